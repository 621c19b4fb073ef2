"""Edits used outside the benchmark, read back by libraries that zobench does not read with."""

from __future__ import annotations

import json
import shutil
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pydicom
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image, ImageOps
from pydicom.data import get_testdata_file
from skimage.io import imread
from tiny import SETTINGS, TinyEncoder, run, tiny_registry
from zobench_plugins.datasets.pictures.decoding import PictureForm, load_picture
from zobench_plugins.datasets.pictures.levels import UnfittingPicture, Window
from zobench_plugins.practice.bundle import write_bundle
from zobench_plugins.practice.editing import write_edited
from zobench_plugins.practice.picture_files import (
    edited_name,
    passed_over,
    picture_files,
    targets,
    with_suffix,
)
from zobench_plugins.practice.sending import write_sent

from zobench.contracts.listener import Silence
from zobench.errors import ConfigError, DatasetError, EncoderError
from zobench.files.json_files import read_json, write_json
from zobench.records.stored_run import StoredRun
from zobench.runs.refit import refit_heads

SIDE = 32
EDIT = np.random.default_rng(0).normal(0, 0.05, (SIDE, SIDE)).astype(np.float32)
GREY = np.random.default_rng(1).integers(60, 200, (SIDE, SIDE))

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


def pictures(root: Path, count: int = 240) -> Path:
    """Grey pictures of 8 x 8 pixels and their table; half of each show the finding and the sex."""
    rng = np.random.default_rng(2)
    (root / "films").mkdir(parents=True)
    lines = ["image,patient,sex,melanoma"]
    for number in range(count):
        sex, finding = number % 2, number // 2 % 2
        film = rng.integers(60, 190, (8, 8))
        film[:4] += 25 * sex
        film[4:] += 20 * finding
        Image.fromarray(film.astype(np.uint8)).save(root / "films" / f"{number}.png")
        lines.append(f"{number}.png,P{number},{'FM'[sex]},{finding}")
    (root / "table.csv").write_text("\n".join(lines) + "\n")
    return root


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> StoredRun:
    """A run on pictures of one's own."""
    root = pictures(tmp_path_factory.mktemp("own"))
    sizes = {"split": {"train": 80, "test_per_cell": 20}}
    more = {**SETTINGS, "dataset": "table", "disease": "melanoma", "data_root": root}
    return run(root / "runs", optimizer="random", overrides=sizes, **more)


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


@pytest.mark.parametrize(
    ("name", "top"), [("x.png", 255), ("x.tif", 255), ("deep.png", 65_535), ("deep.tif", 65_535)]
)
def test_a_picture_keeps_its_size_and_depth_and_gets_the_edit(
    tmp_path: Path, name: str, top: int
) -> None:
    path, out = tmp_path / name, tmp_path / f"out-{name}"
    values = (GREY * (top // 255)).astype(np.uint8 if top == 255 else np.uint16)
    Image.fromarray(values).save(path)
    write_edited(path, out, EDIT, Window(0, top), "film")
    read = imread(out)
    assert read.dtype == values.dtype
    assert np.abs(read.astype(float) - values - top * EDIT).max() <= 0.51


def test_a_file_that_names_its_window_keeps_it(tmp_path: Path) -> None:
    path, out = tmp_path / "said.tif", tmp_path / "out.tif"
    Image.fromarray((GREY * 10).astype(np.uint16)).save(path, tiffinfo={280: 500, 281: 2500})
    write_edited(path, out, EDIT, None, "film")
    assert np.abs(imread(out).astype(float) - 10 * GREY - 2000 * EDIT).max() <= 0.51
    form = PictureForm(SIDE, 1)
    before, after = (load_picture(each, "film", form).astype(float) for each in (path, out))
    assert np.abs(after - before - 255 * EDIT)[(after > 0) & (after < 255)].max() <= 1.1
    silent = tmp_path / "silent.png"
    Image.fromarray((GREY * 10).astype(np.uint16)).save(silent)
    with pytest.raises(UnfittingPicture, match="--window LOW,HIGH"):
        write_edited(silent, tmp_path / "no.png", EDIT, None, "film")
    assert not (tmp_path / "no.png").exists()


def test_colour_and_other_sizes_get_the_edit_stretched_and_jpeg_becomes_png(tmp_path: Path) -> None:
    tall = np.full((60, 40, 3), 128, dtype=np.uint8)
    Image.fromarray(tall).save(tmp_path / "x.jpg", quality=100)
    ramp = np.tile(np.linspace(-0.1, 0.1, SIDE, dtype=np.float32), (SIDE, 1))
    out = tmp_path / edited_name(Path("out.jpg"), False)
    assert out.name == "out.png"
    write_edited(tmp_path / "x.jpg", out, ramp, None, "film")
    read: NDArray[np.float64] = imread(out).astype(float)
    assert read.shape == tall.shape
    want = 128 + 255 * np.linspace(-0.1, 0.1, 40)
    assert np.abs(read - want[None, :, None]).max() < 2.0


@pytest.mark.parametrize("kind", ["MONOCHROME1", "MONOCHROME2"])
def test_a_dicom_image_is_darker_where_the_edit_is_and_has_a_uid_of_its_own(
    tmp_path: Path, kind: str
) -> None:
    path = Path(str(get_testdata_file("CT_small.dcm", download=False)))
    header = pydicom.dcmread(path)
    header.PhotometricInterpretation, header.RescaleSlope = kind, 2.0
    header.WindowCenter, header.WindowWidth = 1000, 2000
    header.save_as(tmp_path / "x.dcm")
    darker = np.full((SIDE, SIDE), -0.02, dtype=np.float32)
    out = tmp_path / "out.dcm"
    write_edited(tmp_path / "x.dcm", out, darker, None, "film")
    read = pydicom.dcmread(out)
    shift = read.pixel_array.astype(int) - header.pixel_array.astype(int)
    wanted = -0.02 * 1999 / 2.0  # the window of DICOM's LINEAR is one value less wide
    assert np.unique(shift).tolist() == [round(wanted if kind == "MONOCHROME2" else -wanted)]
    assert read.SOPInstanceUID != header.SOPInstanceUID
    assert read.ImageType[0] == "DERIVED"
    assert (read.PatientID, read.pixel_array.dtype) == (header.PatientID, header.pixel_array.dtype)
    form = PictureForm(128, 1)
    before, after = (
        load_picture(each, "film", form).astype(int) for each in (tmp_path / "x.dcm", out)
    )
    assert (after <= before).all()
    assert (after < before).any()


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "x.png").write_bytes(b"no picture")
    with pytest.raises(DatasetError, match="film 7 is not a readable image"):
        write_edited(tmp_path / "x.png", tmp_path / "y.png", EDIT, None, "film 7")


@pytest.mark.parametrize("name", ["x.jpg", "x.png", "x.tif", "deep.tif"])
def test_a_picture_that_viewers_turn_is_written_upright(tmp_path: Path, name: str) -> None:
    turned = Image.Exif()
    turned[274] = 6
    levels = (GREY * 200).astype(np.uint16) if name == "deep.tif" else GREY.astype(np.uint8)
    Image.fromarray(levels).save(tmp_path / name, exif=turned)
    out = tmp_path / ("out.png" if name == "x.jpg" else f"out-{name}")
    window = Window(0, 65_535) if name == "deep.tif" else None
    write_edited(tmp_path / name, out, 0 * EDIT, window, "film")
    with Image.open(tmp_path / name) as before, Image.open(out) as after:
        shown, stored = np.asarray(ImageOps.exif_transpose(before)), np.asarray(after)
        assert 274 not in after.getexif()
    assert np.array_equal(shown, stored)
    assert not np.array_equal(shown, levels)  # so a picture that is not turned would be seen


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


def test_what_is_sent_is_written_exactly(tmp_path: Path) -> None:
    Image.fromarray(GREY.astype(np.uint8)).save(tmp_path / "x.png")
    edit, form = torch.from_numpy(EDIT)[None], PictureForm(SIDE, 1)
    write_sent(tmp_path / "x.png", tmp_path / "a.npy", edit, form, 3, True)
    exact = np.load(tmp_path / "a.npy")
    assert exact.shape == (3, SIDE, SIDE)
    assert np.abs(exact - (GREY / 255 + EDIT)).max() < 1e-6
    write_sent(tmp_path / "x.png", tmp_path / "b.png", edit, form, 1, False)
    coarse = imread(tmp_path / "b.png")
    assert np.array_equal(coarse, np.rint(255 * (GREY / 255 + EDIT).clip(0, 1)))


def test_what_would_be_lost_is_refused(tmp_path: Path) -> None:
    deep = (np.full((4, 4, 3), 30_000)).astype(">u2")
    (tmp_path / "deep.png").write_bytes(png_of_16_bits(deep))
    with pytest.raises(DatasetError, match="16 bits in colour, which would be lost"):
        write_edited(tmp_path / "deep.png", tmp_path / "out.png", EDIT, None, "film")
    grey = Image.fromarray(np.full((4, 4), 9, dtype=np.uint8))
    grey.save(tmp_path / "holes.png", transparency=9)
    with pytest.raises(DatasetError, match="transparent pixels"):
        write_edited(tmp_path / "holes.png", tmp_path / "out.png", EDIT, None, "film")
    path = Path(str(get_testdata_file("CT_small.dcm", download=False)))
    header = pydicom.dcmread(path)
    header.PhotometricInterpretation = "PALETTE COLOR"
    header.save_as(tmp_path / "palette.dcm")
    with pytest.raises(DatasetError, match="PALETTE COLOR with 16 bits"):
        write_edited(tmp_path / "palette.dcm", tmp_path / "out.dcm", EDIT, Window(0, 99), "film")
    assert not list(tmp_path.glob("out.*"))
    Image.fromarray((GREY * 10).astype(np.uint16)).save(tmp_path / "x.tif")
    write_edited(tmp_path / "x.tif", tmp_path / "out.tif", EDIT, Window(-1000, 100_000), "film")
    assert imread(tmp_path / "out.tif").dtype == np.uint16


def png_of_16_bits(values: NDArray[np.unsignedinteger]) -> bytes:
    """A PNG file in colour with 16 bits, which Pillow cannot write."""
    height, width, _ = values.shape
    rows = b"".join(b"\0" + row.tobytes() for row in values)

    def chunk(kind: bytes, body: bytes) -> bytes:
        return (
            struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        )

    head = struct.pack(">IIBBBBB", width, height, 16, 2, 0, 0, 0)
    parts = (chunk(b"IHDR", head), chunk(b"IDAT", zlib.compress(rows)), chunk(b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def test_no_two_pictures_become_one_and_none_is_replaced(tmp_path: Path) -> None:
    source, out = tmp_path / "in", tmp_path / "out"
    source.mkdir()
    out.mkdir()
    for name in ("a.png", "a.jpg", "1.2.3", "1.2.4", "x[1].png"):
        Image.fromarray(GREY.astype(np.uint8)).save(source / name, "PNG")

    def sent(path: Path, name: Path) -> Path:
        return with_suffix(name, ".npy")

    pairs = [(source / name, Path(name)) for name in ("1.2.3", "1.2.4", "x[1].png")]
    found = targets(pairs, out, sent, False)
    assert [each.name for _, each in found] == ["1.2.3.npy", "1.2.4.npy", "x[1].npy"]
    with pytest.raises(ConfigError, match=r"a.png and .*a.jpg would both become .*a.png"):
        targets(
            [(source / n, Path(n)) for n in ("a.png", "a.jpg")],
            out,
            lambda path, name: edited_name(name, False),
            False,
        )
    (out / "x[1].npy").touch()
    with pytest.raises(ConfigError, match="exists already"):
        targets(pairs, out, sent, False)
    (out / "1.2.3.npy").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ConfigError, match=r"1.2.3.npy exists already"):
        targets(pairs[:1], out, sent, False)
    (target,) = (each for _, each in targets(pairs[:1], out, sent, True))
    write_sent(
        source / "1.2.3", target, torch.from_numpy(EDIT)[None], PictureForm(SIDE, 1), 1, True
    )
    assert not target.is_symlink()
    assert not (tmp_path / "elsewhere").exists()


def test_edited_images_are_not_edited_again_and_no_given_one_is_replaced(tmp_path: Path) -> None:
    films = tmp_path / "films"
    (films / "edited").mkdir(parents=True)
    for name in ("a.png", "edited/a.png"):
        Image.fromarray(GREY.astype(np.uint8)).save(films / name)

    def same(path: Path, name: Path) -> Path:
        return name

    pairs = picture_files([films])
    with pytest.raises(ConfigError, match=r"edited/a.png is an image that was given"):
        targets(pairs, films / "edited", same, True)
    with pytest.raises(ConfigError, match=r"a.png is an image that was given"):
        targets(pairs, films, same, True)
    (tmp_path / "out" / "a.png").mkdir(parents=True)
    with pytest.raises(ConfigError, match=r"a.png is a folder"):
        targets(pairs, tmp_path / "out", same, True)
    assert len(targets(pairs, tmp_path / "new", same, False)) == 2
    deep = tmp_path / "deep" / "er" / "films"
    deep.mkdir(parents=True)
    (deep / "linked.png").symlink_to(films / "a.png")
    pairs = picture_files([tmp_path / "deep"])
    assert len(targets(pairs, tmp_path / "new", same, False)) == 1
    with pytest.raises(ConfigError, match=r"linked.png is an image that was given"):
        targets(pairs, tmp_path / "deep" / "er", same, False)


@pytest.mark.filterwarnings("ignore:Invalid value for VR DS")
def test_the_share_of_pixels_beyond_the_window_is_told(tmp_path: Path) -> None:
    values = np.full((8, 8), 3000, dtype=np.uint16)
    values[:2], values[2:4] = 100, 3900
    Image.fromarray(values).save(tmp_path / "x.tif")
    edit = np.full((8, 8), 0.1, dtype=np.float32)
    window = Window(200, 3500)
    assert write_edited(tmp_path / "x.tif", tmp_path / "y.tif", edit, window, "film") == 0.5
    header = pydicom.dcmread(str(get_testdata_file("CT_small.dcm", download=False)))
    header.WindowCenter, header.WindowWidth = "20405", "100"
    path = tmp_path / "x.dcm"
    header.save_as(path)
    path.write_bytes(path.read_bytes().replace(b"20405 ", b"2040,5"))
    whole = Window(-(2.0**16), 2.0**16)
    assert write_edited(path, tmp_path / "y.dcm", edit, whole, "film") == 0
    with pytest.raises(DatasetError, match="film is not a readable DICOM image"):
        write_edited(path, tmp_path / "z.dcm", edit, None, "film")


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
    assert not (tmp_path / "half").exists()
    Image.fromarray((GREY // 2).astype(np.uint8)).save(tmp_path / "mixed" / "0.png")
    done = here("apply", place, "mixed", "-o", "out", "--force")
    assert (done.returncode, "b.png is not a readable image" in done.stderr) == (2, True)
    assert (tmp_path / "out" / "0.png").read_bytes() == first  # not even with --force
    assert not list(tmp_path.glob("**/.zobench-*"))
    (tmp_path / "mixed" / "b.png").unlink()
    (tmp_path / "mixed" / ".git").mkdir()
    for name in ("IM0001", "notes.txt", ".hidden", ".git/HEAD"):
        (tmp_path / "mixed" / name).touch()
    done = here("apply", place, "mixed", "-o", "out", "--force")
    assert done.returncode == 0, done.stderr
    told = " ".join(done.stderr.split())
    assert "left out, since their names end in none of" in told
    assert "mixed/IM0001, mixed/notes.txt; to take one" in told
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
