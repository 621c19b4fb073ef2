"""``zobench apply``, ``embed`` and ``export`` as they are typed."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from own_pictures import GREY, pictures
from PIL import Image
from tiny import SETTINGS, TinyEncoder, run
from zobench_plugins.datasets.pictures.decoding import PictureForm, load_picture
from zobench_plugins.practice.picture_files import (
    passed_over,
)

from zobench.files.json_files import read_json, write_json
from zobench.records.stored_run import StoredRun


def test_images_are_embedded_as_in_the_run_of_the_edit(
    tiny_installed: None,
    found: StoredRun,
    tmp_path: Path,
    here: Callable[..., subprocess.CompletedProcess[str]],
) -> None:
    """A run that rounded pixels to 8 bits."""
    root = pictures(tmp_path / "own")
    sizes = {"split": {"train": 80, "test_per_cell": 20}}
    more = {**SETTINGS, "dataset": "table", "disease": "melanoma", "data_root": root}
    rounded = run(tmp_path / "runs", optimizer="random", overrides=sizes, quantize=8, **more)
    place, film = str(rounded.run_dir), str(root / "films" / "0.png")
    done = here("apply", place, film, "-o", "sent", "--as-sent")
    assert done.returncode == 0, done.stderr
    levels = np.asarray(Image.open(tmp_path / "sent" / "0.png"))
    want = TinyEncoder().embed(torch.from_numpy(levels.copy())[None, None].float() / 255)[0]
    assert here("embed", "tiny", film, "-o", "e.csv", "--edit", place).returncode == 0
    numbers = (tmp_path / "e.csv").read_text().splitlines()[1].split(",")[1:]
    np.testing.assert_allclose([float(each) for each in numbers], want, rtol=1e-5)
    done = here("apply", str(found.run_dir), film, "-o", "exact", "--as-sent")
    assert done.returncode == 0, done.stderr
    done = here("embed", "tiny", "exact", "-o", "f.csv", "--edit", place)
    assert done.returncode == 2
    assert "so no edit is added to it; leave --edit out" in " ".join(done.stderr.split())


def test_a_run_without_an_edit_is_told_by_all_commands(
    tiny_installed: None,
    found: StoredRun,
    tmp_path: Path,
    here: Callable[..., subprocess.CompletedProcess[str]],
) -> None:
    overrides = {**found.config.overrides, "optimizer": {"lr": 0.0}}
    shared = {"dataset": "table", "disease": "melanoma", "data_root": found.config.data_root}
    more = {**SETTINGS, **shared, "overrides": overrides}
    idle = run(tmp_path / "runs", optimizer="openai-es", **more)
    place, film = str(idle.run_dir), str(Path(str(found.config.data_root), "films", "0.png"))
    done = here("apply", place, film, "-o", "same")
    assert done.returncode == 0, done.stderr
    assert "wrote 1 image without an edit to same" in done.stdout
    done = here("embed", "tiny", film, "-o", "e.csv", "--edit", place)
    assert done.returncode == 0, done.stderr
    assert "recommends no edit: the images are embedded as they are" in done.stderr
    assert here("export", place, "-o", "bundle").returncode == 0
    assert "zero in this run, which recommends none" in (tmp_path / "bundle/README.md").read_text()
    assert "edit.npy" not in here("show", place).stdout
    assert here("report", place, "--for", "people", "-o", "page.html").returncode == 0
    assert "What it does to images" not in (tmp_path / "page.html").read_text()


def test_the_encoder_of_an_edit_has_the_settings_of_its_run(
    found: StoredRun, tmp_path: Path, here: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    copied = shutil.copytree(found.run_dir, tmp_path / "run")
    manifest = read_json(copied / "manifest.json")
    config = manifest["config"]
    config["encoder"] = "timm:test_resnet"
    config["overrides"]["encoder"] = {"size": 8, "channels": 1, "seed": 5}
    write_json(copied / "manifest.json", {**manifest, "config": config, "files": {}})
    film = str(Path(str(found.config.data_root), "films", "0.png"))
    assert here("apply", str(found.run_dir), film, "-o", "sent", "--as-sent").returncode == 0
    settings = ("--set", "encoder.size=8", "--set", "encoder.channels=1", "--set")
    rows = {}
    for name, words in {
        "as in the run": (film, "--edit", "run"),
        "all given": ("sent/0.npy", *settings, "encoder.seed=5"),
        "one replaced": (film, "--edit", "run", "--set", "encoder.seed=6"),
        "all given anew": ("sent/0.npy", *settings, "encoder.seed=6"),
    }.items():
        done = here("embed", "timm:test_resnet", *words, "-o", f"{name}.csv")
        assert done.returncode == 0, done.stderr
        line = (tmp_path / f"{name}.csv").read_text().splitlines()[1]
        rows[name] = [float(each) for each in line.split(",")[1:]]
    np.testing.assert_allclose(rows["as in the run"], rows["all given"], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(rows["one replaced"], rows["all given anew"], rtol=1e-5, atol=1e-6)
    assert rows["as in the run"] != rows["one replaced"]


def test_the_commands_name_what_is_wrong_and_replace_nothing(
    tiny_installed: None,
    found: StoredRun,
    tmp_path: Path,
    here: Callable[..., subprocess.CompletedProcess[str]],
) -> None:
    root, place = str(found.config.data_root), str(found.run_dir)
    done = here("apply", place, f"{root}/films", "-o", "out")
    assert done.returncode == 0, done.stderr
    assert "wrote 240 images" in done.stdout
    first = (tmp_path / "out" / "0.png").read_bytes()
    done = here("apply", place, f"{root}/films", "-o", "out", "--at", "7")
    assert (done.returncode, "snapshots of" in done.stderr) == (2, True)
    done = here("apply", place, f"{root}/films/0.png", "-o", "out")
    assert (done.returncode, "exists already" in done.stderr) == (2, True)
    assert (tmp_path / "out" / "0.png").read_bytes() == first
    (tmp_path / "mixed").mkdir()
    Image.fromarray(GREY.astype(np.uint8)).save(tmp_path / "mixed" / "a.png")
    (tmp_path / "mixed" / "b.png").write_bytes(b"no picture")
    done = here("apply", place, "mixed", "-o", "half")
    assert (done.returncode, "b.png is not a readable image" in done.stderr) == (2, True)
    assert done.stderr.endswith("\n  no image was written\n")
    assert not (tmp_path / "half").exists()
    for number in range(21):
        (tmp_path / "mixed" / f"c{number:02}.png").write_bytes(b"no picture")
    done = here("apply", place, "mixed", "-o", "half")
    told = done.stderr.splitlines()
    assert "22 images cannot be used:" in told[0]
    assert ["b.png is not" in told[1], "c03.png is not" in told[5]] == [True, True]
    assert told[6:] == ["  and 17 more", "  no image was written"]
    for damaged in (tmp_path / "mixed").glob("c*.png"):
        damaged.unlink()
    Image.fromarray((GREY // 2).astype(np.uint8)).save(tmp_path / "mixed" / "0.png")
    done = here("apply", place, "mixed", "-o", "out", "--force")
    assert (done.returncode, "b.png is not a readable image" in done.stderr) == (2, True)
    assert (tmp_path / "out" / "0.png").read_bytes() == first  # not even with --force
    assert not list(tmp_path.glob("**/.zobench-*"))
    (tmp_path / "mixed" / "b.png").unlink()
    (tmp_path / "mixed" / ".git").mkdir()
    Image.fromarray(GREY.astype(np.uint8)).save(tmp_path / "mixed" / "c.bmp")
    for name in ("IM0001", "notes.txt", ".hidden", ".git/HEAD"):
        (tmp_path / "mixed" / name).touch()
    done = here("apply", place, "mixed", "-o", "out", "--force")
    assert done.returncode == 0, done.stderr
    told = " ".join(done.stderr.split())
    assert "left out, since their names end in none of" in told
    assert "mixed/IM0001, mixed/notes.txt; to take one" in told
    assert (tmp_path / "out" / "c.png").exists()
    named = [tmp_path / "mixed", tmp_path / "mixed", tmp_path / "mixed" / "IM0001"]
    assert passed_over(named).count("notes.txt") == 1
    assert "IM0001" not in passed_over(named)
    assert (tmp_path / "out" / "0.png").read_bytes() != first
    assert (tmp_path / "out" / "a.png").exists()
    here("apply", place, f"{root}/films", "-o", "out", "--force")
    done = here("export", place, "-o", "mixed/a.png")
    assert (done.returncode, "a.png exists already; name a new" in done.stderr) == (2, True)
    done = here("apply", place, "mixed/a.png", "-o", "mixed/a.png")
    assert (done.returncode, "is no folder" in done.stderr) == (2, True)
    done = here("apply", place, "nowhere", "-o", "other")
    assert (done.returncode, "nowhere does not exist" in done.stderr) == (2, True)
    done = here("embed", "tiny", f"{root}/films", "-o", "e.csv", "--edit", place)
    assert done.returncode == 0, done.stderr
    lines = (tmp_path / "e.csv").read_text().splitlines()
    assert lines[0] == "image,e0,e1,e2,e3,e4,e5"
    name, *numbers = lines[1].split(",")
    image = torch.from_numpy(
        load_picture(Path(root, "films", name), name, PictureForm(8, 1)).copy()
    )
    edited = image[None].float() / 255 + found.edit_after(found.snapshots[-1])
    want = TinyEncoder().embed(edited)[0]
    np.testing.assert_allclose([float(each) for each in numbers], want, rtol=1e-6)
    assert "note" not in done.stderr
    unfinished = shutil.copytree(place, tmp_path / "unfinished")
    manifest = read_json(unfinished / "manifest.json")
    write_json(unfinished / "manifest.json", {**manifest, "status": "interrupted", "files": {}})
    done = here("embed", "tiny", f"{root}/films", "-o", "f.csv", "--edit", "unfinished")
    assert "the run is interrupted, so nothing says what this edit is worth" in done.stderr
    done = here("embed", "tiny", f"{root}/films", "-o", "e.csv")
    assert (done.returncode, "exists already" in done.stderr) == (2, True)
    done = here("apply", place, f"{root}/films", "-o", "arrays", "--as-sent")
    assert done.returncode == 0, done.stderr
    done = here("embed", "tiny", "arrays", "-o", "same.csv")
    assert done.returncode == 0, done.stderr
    same = (tmp_path / "same.csv").read_text().splitlines()
    assert [each.replace(".npy,", ".png,") for each in same] == lines
    np.save(tmp_path / "arrays" / "0.npy", np.zeros((1, 4, 4), np.float32))
    done = here("embed", "tiny", "arrays", "-o", "other.csv")
    assert (done.returncode, "0.npy holds float32 (1, 4, 4)" in done.stderr) == (2, True)
    assert "the embeddings of 239 of 240 images are in other-incomplete.csv" in done.stderr
    kept = (tmp_path / "other-incomplete.csv").read_text().splitlines()
    whole = [
        each for each in (tmp_path / "same.csv").read_text().splitlines() if each[:6] != "0.npy,"
    ]
    assert sorted(kept) == sorted(whole)
    assert not (tmp_path / "other.csv").exists()
    deep = np.array([[4000, 0], [0, 4000]], np.uint16)
    Image.fromarray(deep).save(tmp_path / "arrays" / "5.tif")
    done = here("embed", "tiny", "arrays", "-o", "other.csv")
    assert (done.returncode, "5.tif" in done.stderr, "--window" in done.stderr) == (2, True, True)
    assert "in other-incomplete-2.csv" in done.stderr
    assert (tmp_path / "other-incomplete.csv").read_text().splitlines() == kept
    (tmp_path / "arrays" / "5.tif").unlink()
    done = here("embed", "tiny", "arrays/0.npy", "-o", "other.csv")
    assert (done.returncode, "holds float32 (1, 4, 4)" in done.stderr) == (2, True)
    assert "the encoder is sent floats (1, 8, 8)" in done.stderr
