"""The how-to on one's own images, command by command, on real pictures or on generated ones."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas
import pytest
from PIL import Image

HOW_TO = Path(__file__).parents[2] / "docs" / "how-to" / "use-your-own-images.md"
SMALL = [
    *("--snapshots", "1", "--replicates", "20", "--baselines", "none", "--controls", "none"),
    *("--set", "split.train=40", "--set", "split.test_per_cell=8", "--set", "encoder.size=64"),
]


def commands() -> list[list[str]]:
    """The zobench commands of the page, as words."""
    text = HOW_TO.read_text().replace("\\\n", " ")
    blocks = re.findall(r"```sh\n(.*?)```", text, flags=re.DOTALL)
    lines = [line for block in blocks for line in block.splitlines()]
    return [shlex.split(line)[1:] for line in lines if line.startswith("zobench ")]


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of HAM10000, or a small generated one with its columns."""
    named = os.environ.get("ZOBENCH_TEST_PICTURES")
    root = Path(named) if named else Path(__file__).parents[3] / "shared" / "ham10000"
    return root if (root / "metadata.csv").is_file() else generated(tmp_path_factory.mktemp("ham"))


def generated(root: Path) -> Path:
    (root / "images").mkdir()
    rng = np.random.default_rng(0)
    rows = []
    for number in range(120):
        name = f"ISIC_{number:07d}"
        noise = rng.integers(0, 256, (32, 32, 3), dtype=np.uint8)
        Image.fromarray(noise).save(root / "images" / f"{name}.jpg")
        sex, dx = ("male", "female")[number % 2], ("nv", "mel", "bkl", "bcc", "akiec")[number % 5]
        rows.append([name, f"HAM_{number:07d}", dx, "histo", str(30 + number % 50), sex, "back"])
    columns = ["image_id", "lesion_id", "dx", "dx_type", "age", "sex", "localization"]
    pandas.DataFrame(rows, columns=columns).to_csv(root / "metadata.csv", index=False)
    return root


def told(command: list[str], root: Path) -> list[str]:
    """A command of the page, with another folder and sizes that take seconds."""
    words = [str(root) if word == "ham10000" else word for word in command]
    if words[0] == "probe":
        return [*words, "--images", "100", "--set", "encoder.size=64"]
    smaller = {"512": "128", "32": "8"}  # queries, and images a minibatch
    return [smaller.get(word, word) for word in words] + SMALL


@pytest.mark.lengthy
def test_the_page_works_as_it_is_written(
    pictures: Path, here: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    probe, run = (told(each, pictures) for each in commands())
    done = here(*probe)
    assert done.returncode == 0, done.stderr
    assert "malignant" in done.stdout
    done = here(*run, "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    folder = Path(found["run_dir"])
    names = json.loads((folder / "images.json").read_text())
    assert len(names["train"]) == 40
    assert len(names["test"]) == 32
    assert all((pictures / name).is_file() for name in [*names["train"], *names["test"]])
    assert not set(names["train"]) & set(names["test"])


def test_both_generated_and_real_tables_begin_as_the_page_shows(tmp_path: Path) -> None:
    (shown,) = re.findall(r"```text\n(image_id.*?)\n", HOW_TO.read_text())
    assert (generated(tmp_path) / "metadata.csv").read_text().startswith(shown)
