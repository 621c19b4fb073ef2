"""The wheel of ``pip install .`` is complete; an editable install would hide missing files."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.mark.lengthy
def test_the_wheel_holds_every_file_of_the_packages(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "-w", str(tmp_path)]
    subprocess.run([*command, str(ROOT)], check=True)
    (wheel,) = tmp_path.glob("*.whl")
    packed = set(zipfile.ZipFile(wheel).namelist())
    packages = {"zobench": ROOT, "zobench_plugins": ROOT / "plugins"}
    packages["zobench_encoders"] = ROOT / "encoders"
    files = {
        path.relative_to(parent).as_posix()
        for package, parent in packages.items()
        for path in (parent / package).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert files - packed == set()
