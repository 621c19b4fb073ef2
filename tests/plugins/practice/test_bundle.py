"""The bundle of a run, used without zobench: it reads pictures and scores as zobench does."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from own_pictures import png_of_16_bits
from PIL import Image
from tiny import TinyEncoder, tiny_registry
from zobench_plugins.datasets.pictures.decoding import PictureForm, load_picture
from zobench_plugins.practice.bundle import write_bundle

from zobench.contracts.listener import Silence
from zobench.errors import ConfigError, DatasetError, EncoderError
from zobench.files.json_files import read_json, write_json
from zobench.records.stored_run import StoredRun
from zobench.runs.refit import refit_heads

WITHOUT_ZOBENCH = """
import sys
sys.modules["zobench"] = sys.modules["torch"] = None
sys.path.insert(0, {bundle!r})
import numpy as np
from load import disease, prepare
names, images, out = {names!r}, {root!r}, {out!r}
np.save(out + "/images.npy", np.stack([prepare(images + "/" + name) for name in names]))
np.save(out + "/clean.npy", np.stack([prepare(images + "/" + name, False) for name in names]))
np.save(out + "/risk.npy", disease(np.load(out + "/embeddings.npy")))
"""


def test_a_bundle_gives_the_runs_scores_without_zobench(found: StoredRun, tmp_path: Path) -> None:
    heads = refit_heads(found, Silence(), tiny_registry())
    bundle = tmp_path / "bundle"
    write_bundle(found, heads, bundle)
    names = {each.name for each in bundle.iterdir()}
    assert names == {"edit.npy", "heads.npz", "bundle.json", "load.py", "README.md"}
    root = Path(str(found.config.data_root))
    test = json.loads((bundle / "bundle.json").read_text())["dataset"]["images"]["test"]
    sent = [load_picture(root / name, name, PictureForm(8, 1)) for name in test]
    edited = torch.from_numpy(np.stack(sent)).float() / 255 + found.edit_after(found.snapshots[-1])
    np.save(tmp_path / "embeddings.npy", TinyEncoder().embed(edited).numpy())
    code = WITHOUT_ZOBENCH.format(bundle=str(bundle), names=test, root=str(root), out=str(tmp_path))
    done = subprocess.run(
        [sys.executable, "-I", "-c", code], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert np.array_equal(np.load(tmp_path / "images.npy"), edited.numpy())
    assert np.abs(np.load(tmp_path / "clean.npy") * 255 - np.stack(sent)).max() < 1e-4
    assert found.results is not None
    stored = np.array(found.results.edits[-1].score)
    np.testing.assert_allclose(np.load(tmp_path / "risk.npy"), 1 / (1 + np.exp(-stored)), rtol=1e-5)
    with pytest.raises(ConfigError, match="exists already"):
        write_bundle(found, heads, bundle)


def test_heads_of_another_encoder_are_refused(found: StoredRun, tmp_path: Path) -> None:
    class Other(TinyEncoder):
        def embed(self, images: torch.Tensor) -> torch.Tensor:
            return super().embed(images).mul(40).sin()

    with pytest.raises(EncoderError, match="the encoder is not what it was"):
        refit_heads(found, Silence(), tiny_registry(lambda request: Other()))
    unfinished = tmp_path / "run"
    unfinished.mkdir()
    manifest = read_json(found.run_dir / "manifest.json")
    write_json(unfinished / "manifest.json", {**manifest, "status": "running", "files": {}})
    with pytest.raises(ConfigError, match="only a finished run"):
        refit_heads(StoredRun(unfinished), Silence(), tiny_registry())


def test_the_bundle_reads_a_picture_as_zobench_does_or_refuses_it(
    found: StoredRun, tmp_path: Path
) -> None:
    bundle = tmp_path / "bundle"
    write_bundle(found, refit_heads(found, Silence(), tiny_registry()), bundle)
    grey = np.random.default_rng(3).integers(0, 256, (8, 8)).astype(np.uint8)
    deep = np.random.default_rng(3).integers(0, 65_536, (8, 8, 3)).astype(">u2")
    opaque = np.stack([grey, grey, grey, np.full_like(grey, 255)], 2)
    clear = np.where(np.arange(4) == 3, 9, opaque).astype(np.uint8)
    Image.fromarray(opaque).save(tmp_path / "opaque.png")
    Image.fromarray(opaque).convert("LA").save(tmp_path / "opaque-grey.png")
    Image.fromarray(clear).save(tmp_path / "clear.png")
    pages = [Image.fromarray(each) for each in (grey, 255 - grey)]
    pages[0].save(tmp_path / "pages.tif", save_all=True, append_images=pages[1:])
    turned = Image.Exif()
    turned[274] = 6
    Image.fromarray(grey[:5]).save(tmp_path / "turned.png", exif=turned)
    Image.fromarray(grey[:5]).save(tmp_path / "sideways.tif", exif=turned)
    (tmp_path / "deep.png").write_bytes(png_of_16_bits(deep))
    code = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "import json, pathlib, load\n"
        "def said(path):\n"
        "    try: return load.prepare(path, False).tolist()\n"
        "    except ValueError as error: return str(error)\n"
        "print(json.dumps({p.name: said(p) for p in pathlib.Path(sys.argv[2]).glob('*.*')}))\n"
    )
    words = [sys.executable, "-I", "-c", code, str(bundle), str(tmp_path)]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    ours = json.loads(done.stdout)
    garbled = isinstance(ours["sideways.tif"], str)  # by Pillow 13, so it is refused
    right = ["opaque.png", "opaque-grey.png", "turned.png", *["sideways.tif"][garbled:]]
    for name in right:
        wanted = load_picture(tmp_path / name, name, PictureForm(8, 1))
        assert np.array_equal(np.rint(255 * np.array(ours[name])), wanted)
    refused = {"clear.png": "transparent", "pages.tif": "several pages", "deep.png": "in colour"}
    if garbled:
        refused["sideways.tif"] = "stored sideways"
    for name, words in refused.items():
        assert words in ours[name]
        with pytest.raises(DatasetError):
            load_picture(tmp_path / name, name, PictureForm(8, 1))
