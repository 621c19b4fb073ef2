"""Pictures with an edit, read back by libraries that zobench does not read with."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pydicom
import pytest
import torch
from numpy.typing import NDArray
from own_pictures import EDIT, GREY, SIDE, png_of_16_bits
from PIL import Image, ImageOps
from pydicom.data import get_testdata_file
from skimage.io import imread
from zobench_plugins.datasets.pictures.decoding import PictureForm, load_picture
from zobench_plugins.datasets.pictures.levels import UnfittingPicture, Window
from zobench_plugins.practice.editing import write_edited
from zobench_plugins.practice.picture_files import (
    edited_name,
    picture_files,
    targets,
    with_suffix,
)
from zobench_plugins.practice.sending import write_sent

from zobench.errors import ConfigError, DatasetError


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
    assert edited_name(Path("out.bmp"), False).name == "out.png"
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
    with pytest.raises(ConfigError, match=r"edited/a.png is an image that was given and would"):
        targets(pairs, films / "edited", same, True)
    with pytest.raises(ConfigError, match=r"a.png is an image that was given and would be"):
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
    with pytest.raises(ConfigError, match=r"linked.png lies in .*er, the folder of the new images"):
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
