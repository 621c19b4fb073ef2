"""Pictures from PNG, TIFF and DICOM files, against Pillow's and pydicom's own pixels."""

from __future__ import annotations

import struct
import sys
import warnings
import zlib
from pathlib import Path

import numpy as np
import pydicom
import pytest
import tifffile
from PIL import Image
from pydicom.data import get_testdata_file
from pydicom.pixels import apply_modality_lut, apply_windowing
from zobench_plugins.datasets.films import ArchiveFilms
from zobench_plugins.datasets.pictures.decoding import PictureForm, load_picture
from zobench_plugins.datasets.pictures.dicom_files import read_dicom, windowed
from zobench_plugins.datasets.pictures.levels import UnfittingPicture, Window, parsed_window
from zobench_plugins.datasets.pictures.pillow_files import read_pillow

from zobench.errors import ConfigError, DatasetError

RAMP = np.linspace(0, 4095, 32 * 32).reshape(32, 32).astype(np.uint16)
WANTED = np.rint(RAMP / 4095 * 255).astype(np.uint8)


def dicom(name: str) -> tuple[Path, pydicom.Dataset]:
    """One of the real files that pydicom brings for tests."""
    path = Path(str(get_testdata_file(name, download=False)))
    return path, pydicom.dcmread(path)


def test_sixteen_bits_are_taken_where_the_file_says_how(tmp_path: Path) -> None:
    picture = Image.fromarray(RAMP)
    picture.save(tmp_path / "said.tif", tiffinfo={280: 0, 281: 4095})
    assert np.array_equal(read_pillow(tmp_path / "said.tif", "film", None), WANTED)
    picture.save(tmp_path / "silent.tif")
    for name in ("silent.tif", "silent.png"):
        picture.save(tmp_path / name)
        with pytest.raises(DatasetError, match="more than 8 bits and does not say which values"):
            read_pillow(tmp_path / name, "film", None)
        assert np.array_equal(read_pillow(tmp_path / name, "film", Window(0, 4095)), WANTED)


def test_a_png_with_significant_bits_uses_all_of_them(tmp_path: Path) -> None:
    full = (RAMP.astype(np.uint32) * 65535 // 4095).astype(np.uint16)
    Image.fromarray(full).save(tmp_path / "plain.png")
    content = (tmp_path / "plain.png").read_bytes()
    body = b"sBIT" + bytes([12])
    chunk = struct.pack(">I", 1) + body + struct.pack(">I", zlib.crc32(body))
    (tmp_path / "said.png").write_bytes(content[:33] + chunk + content[33:])
    found = read_pillow(tmp_path / "said.png", "film", None).astype(int)
    assert np.abs(found - WANTED).max() <= 1  # scaled in whole numbers


TURNS = {
    1: lambda stored: stored,
    2: np.fliplr,
    3: lambda stored: np.rot90(stored, 2),
    4: np.flipud,
    5: np.transpose,
    6: lambda stored: np.rot90(stored, -1),
    7: lambda stored: np.rot90(stored, 2).T,
    8: np.rot90,
}
"""What makes stored rows and columns upright, by where the EXIF standard (2.32, 4.6.4) has them."""


@pytest.mark.parametrize("orientation", TURNS)
@pytest.mark.parametrize("name", ["x.png", "x.webp", "x.tif", "deep.tif", "plain.tif"])
def test_pictures_are_turned_upright(tmp_path: Path, name: str, orientation: int) -> None:
    stored = WANTED[:20]
    window = Window(0, 255) if name == "deep.tif" else None
    if name.endswith("tif"):
        values = stored.astype(np.uint16) if window else stored
        packed = None if name == "plain.tif" else "zlib"
        tags = [(274, "H", 1, orientation, True)]
        tifffile.imwrite(tmp_path / name, values, extratags=tags, compression=packed)
    else:
        exif = Image.Exif()
        exif[274] = orientation
        Image.fromarray(stored).save(tmp_path / name, exif=exif, lossless=True)
    found, said = None, ""
    try:
        found = read_pillow(tmp_path / name, "film", window)
    except DatasetError as error:
        said = str(error)
    if name == "plain.tif" and orientation > 4 and found is None:  # Pillow 13 garbles these
        assert "stored sideways, which Pillow misreads; turn it upright" in said
    else:
        assert np.array_equal(found, TURNS[orientation](stored))


def test_a_pgm_file_says_itself_which_value_is_white(tmp_path: Path) -> None:
    path = tmp_path / "x.pgm"
    path.write_bytes(b"P5\n32 32\n4095\n" + RAMP.astype(">u2").tobytes())
    assert np.abs(read_pillow(path, "film", None).astype(int) - WANTED).max() <= 1
    with pytest.raises(DatasetError, match="no window can be given for it; leave the window out"):
        read_pillow(path, "film", Window(0, 4095))


def test_floats_of_a_pfm_file_need_a_window(tmp_path: Path) -> None:
    path = tmp_path / "x.pfm"
    path.write_bytes(b"Pf\n2 1\n-1.0\n" + np.array([0.0, 1.0], "<f4").tobytes())
    with pytest.raises(UnfittingPicture, match="does not say which values are black and white"):
        read_pillow(path, "film", None)
    assert read_pillow(path, "film", Window(0, 1)).tolist() == [[0, 255]]


def test_a_mode_that_is_neither_grey_nor_rgb_is_refused(tmp_path: Path) -> None:
    Image.new("LAB", (2, 2), (128, 0, 0)).save(tmp_path / "x.tif")
    with pytest.raises(DatasetError, match="pixel mode LAB; an image must be grey or RGB"):
        read_pillow(tmp_path / "x.tif", "film", None)


@pytest.mark.parametrize("mode", ["LA", "RGBA"])
@pytest.mark.parametrize("size", [(1, 2), (2, 1), (1, 1)])
def test_alpha_of_the_smallest_pictures_is_dropped(
    tmp_path: Path, mode: str, size: tuple[int, int]
) -> None:
    picture = Image.new("RGB", size, (9, 99, 199)).convert(mode)
    picture.save(tmp_path / "x.png")
    shown = np.asarray(picture.convert("RGB" if mode == "RGBA" else "L"))
    assert np.array_equal(read_pillow(tmp_path / "x.png", "film", None), shown)


@pytest.mark.parametrize("name", ["MR_small.dcm", "MR_small_RLE.dcm"])
def test_grey_values_go_through_slope_and_window(name: str) -> None:
    path, header = dicom(name)
    ours = read_dicom(path, "film", None)
    values = apply_modality_lut(header.pixel_array, header)
    # pydicom spreads a window over the stored range, so it is taken to 0 to 255 here
    spread = apply_windowing(values, header)
    bits, signed = header.BitsStored, header.PixelRepresentation
    low = (-(2 ** (bits - 1)) if signed else 0) * float(header.get("RescaleSlope", 1))
    low += float(header.get("RescaleIntercept", 0))
    wanted = (spread - low) / (2**bits - 1) * 255
    assert np.abs(ours - wanted).max() <= 0.51


@pytest.mark.parametrize(
    "name",
    [
        "JPEG2000.dcm",
        "MR_small_jpeg_ls_lossless.dcm",
        "MR_small_jp2klossless.dcm",
        "JPGExtended.dcm",
    ],
)
def test_compressed_files_are_decoded(name: str) -> None:
    path, header = dicom(name)
    assert header.file_meta.TransferSyntaxUID.is_compressed
    window = None if "WindowWidth" in header else Window(0, float(header.pixel_array.max()))
    ours = read_dicom(path, "film", window)
    assert ours.shape == header.pixel_array.shape
    assert ours.max() > ours.min()


def test_more_than_8_bits_without_a_window_are_refused_with_the_range_that_is_there() -> None:
    path, header = dicom("CT_small.dcm")
    values = apply_modality_lut(header.pixel_array, header)
    with pytest.raises(UnfittingPicture, match="16 bits and no window") as caught:
        read_dicom(path, "film", None)
    assert f"from {values.min():g} to {values.max():g}" in str(caught.value)


def test_compression_without_loss_changes_no_pixel() -> None:
    plain = read_dicom(dicom("MR_small.dcm")[0], "film", None)
    for name in ("MR_small_RLE.dcm", "MR_small_jpeg_ls_lossless.dcm", "MR_small_bigendian.dcm"):
        assert np.array_equal(read_dicom(dicom(name)[0], "film", None), plain)


@pytest.mark.parametrize(
    "name", ["SC_rgb_rle.dcm", "examples_ybr_color.dcm", "examples_palette.dcm"]
)
def test_colour_is_read_as_pydicom_reads_it(name: str) -> None:
    path, header = dicom(name)
    if int(header.get("NumberOfFrames") or 1) > 1:
        with pytest.raises(DatasetError, match="frames; an image file must have one"):
            read_dicom(path, "film", None)
        return
    ours = read_dicom(path, "film", None)
    assert ours.shape[2:] == (3,)
    if header.PhotometricInterpretation == "RGB":
        assert np.array_equal(ours, header.pixel_array)


def test_monochrome1_is_inverted(tmp_path: Path) -> None:
    path, header = dicom("CT_small.dcm")
    header.PhotometricInterpretation = "MONOCHROME1"
    header.save_as(tmp_path / "negative.dcm")
    plain = read_dicom(path, "film", Window(-1000, 1000))
    negative = read_dicom(tmp_path / "negative.dcm", "film", Window(-1000, 1000))
    assert np.array_equal(negative, 255 - plain)


def test_a_window_of_the_file_or_of_the_user_is_used(tmp_path: Path) -> None:
    _, header = dicom("CT_small.dcm")
    header.WindowCenter, header.WindowWidth = 40, 400
    header.save_as(tmp_path / "soft.dcm")
    values = apply_modality_lut(header.pixel_array, header).astype(float)
    wanted = np.clip((values - 39.5) / 399 + 0.5, 0, 1) * 255  # PS3.3, C.11.2.1.2
    assert np.abs(read_dicom(tmp_path / "soft.dcm", "film", None) - wanted).max() <= 0.51
    chosen = read_dicom(tmp_path / "soft.dcm", "film", Window(-1000, 1000))
    assert np.abs(chosen - np.clip((values + 1000) / 2000, 0, 1) * 255).max() <= 0.51


@pytest.mark.parametrize("function", ["LINEAR", "LINEAR_EXACT", "SIGMOID"])
def test_window_functions_are_those_of_pydicom(function: str) -> None:
    header = pydicom.Dataset()
    header.PhotometricInterpretation, header.PixelRepresentation = "MONOCHROME2", 0
    header.BitsStored, header.WindowCenter, header.WindowWidth = 12, 1000, 600
    header.VOILUTFunction = function
    wanted = apply_windowing(RAMP, header) / 4095 * 255
    assert np.abs(windowed(RAMP, 1000, 600, function) - wanted).max() <= 0.51


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("rtplan.dcm", "is a DICOM file without an image"),
        ("MR_truncated.dcm", "is not a readable DICOM image"),
        ("rtdose.dcm", "15 frames; an image file must have one"),
    ],
)
def test_dicom_files_without_one_image_are_named(name: str, words: str) -> None:
    path, _ = dicom(name)
    with pytest.raises(DatasetError, match=f"film.*{words}"):
        read_dicom(path, "film", None)


def test_a_missing_package_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    path, _ = dicom("CT_small.dcm")
    monkeypatch.setitem(sys.modules, "pydicom", None)
    with pytest.raises(ConfigError, match=r"pydicom.*zobench\[dicom\]"):
        load_picture(path, "film", PictureForm(16))


def test_pictures_that_are_no_single_opaque_image_are_named(tmp_path: Path) -> None:
    grey = Image.new("L", (8, 8), 3)
    grey.save(tmp_path / "pages.tif", save_all=True, append_images=[grey])
    with pytest.raises(DatasetError, match="2 pages; an image file must have one"):
        read_pillow(tmp_path / "pages.tif", "film", None)
    Image.new("LA", (8, 8), (9, 100)).save(tmp_path / "clear.png")
    with pytest.raises(DatasetError, match="transparent pixels"):
        read_pillow(tmp_path / "clear.png", "film", None)
    Image.new("RGB", (8, 8), (9, 10, 11)).save(tmp_path / "colour.png")
    with pytest.raises(DatasetError, match="film has colour"):
        load_picture(tmp_path / "colour.png", "film", PictureForm(4))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert load_picture(tmp_path / "colour.png", "film", PictureForm(4, 3)).shape == (3, 4, 4)


@pytest.mark.parametrize("text", ["4095", "a,b", "5,5", "9,1", "1,2,3"])
def test_a_window_is_two_rising_numbers(text: str) -> None:
    with pytest.raises(ConfigError, match=r"dataset\.window is"):
        parsed_window(text)


def test_colour_of_sixteen_bits_is_refused_and_not_cut(tmp_path: Path) -> None:
    deep = np.stack([RAMP] * 3, axis=-1)
    tifffile.imwrite(tmp_path / "deep.tif", deep, photometric="rgb")
    with pytest.raises(DatasetError, match="16 bits in RGB, which would be cut to 8"):
        read_pillow(tmp_path / "deep.tif", "film", Window(0, 4095))


def test_white_is_zero_is_inverted_with_sixteen_bits_too(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "negative.tif", RAMP, photometric="miniswhite")
    found = read_pillow(tmp_path / "negative.tif", "film", Window(0, 4095))
    assert np.array_equal(found, 255 - WANTED)


def test_pixels_that_are_no_numbers_or_too_large_are_refused(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "nan.tif", np.full((4, 4), np.nan, np.float32))
    with pytest.raises(DatasetError, match="a pixel is NaN or infinite"):
        read_pillow(tmp_path / "nan.tif", "film", Window(0, 1))
    tifffile.imwrite(tmp_path / "large.tif", np.full((4, 4), 4_000_000_000, np.uint32))
    with pytest.raises(DatasetError, match="film"):
        read_pillow(tmp_path / "large.tif", "film", Window(0, 1))


def test_a_modality_table_says_the_range_where_there_is_no_window(tmp_path: Path) -> None:
    _, header = dicom("CT_small.dcm")
    for name in ("RescaleSlope", "RescaleIntercept", "WindowCenter", "WindowWidth"):
        if name in header:
            delattr(header, name)
    table = pydicom.Dataset()
    table.LUTDescriptor, table.ModalityLUTType = [4096, 0, 16], "US"
    table.LUTData = (np.arange(4096) * 16).astype("<u2").tobytes()
    header.ModalityLUTSequence = pydicom.Sequence([table])
    header.PixelRepresentation, header.BitsStored, header.HighBit = 0, 12, 11
    stored = (np.arange(header.Rows * header.Columns) % 4096).astype("<u2")
    header.PixelData = stored.tobytes()
    header.save_as(tmp_path / "table.dcm")
    wanted = stored.reshape(header.Rows, header.Columns) * 16 / 65535 * 255
    assert np.abs(read_dicom(tmp_path / "table.dcm", "film", None) - wanted).max() <= 0.51


def test_parallel_reading_leaves_the_filters_of_warnings_alone(tmp_path: Path) -> None:
    path, _ = dicom("MR_small.dcm")
    paths = [tmp_path / f"{number}.dcm" for number in range(24)]
    for each in paths:
        each.write_bytes(path.read_bytes())
    before = list(warnings.filters)
    ArchiveFilms(tmp_path / "cache", paths, PictureForm(8), str).read(np.arange(24))
    assert warnings.filters == before


def test_windows_that_differ_in_a_late_digit_have_caches_of_their_own() -> None:
    keys = {PictureForm(8, window=Window(1e6, 1e6 + end)).key for end in (10, 14)}
    assert len(keys) == 2


@pytest.mark.parametrize(
    ("mode", "colour"), [("L", 7), ("RGB", (7, 8, 9)), ("I;16", 7), ("I;16", 700)]
)
def test_a_png_whose_one_level_is_transparent_is_as_one_with_alpha(
    tmp_path: Path, mode: str, colour: int | tuple[int, ...]
) -> None:
    picture = Image.new(mode, (8, 8), colour)
    window = Window(0, 255) if mode == "I;16" else None
    picture.save(tmp_path / "clear.png", transparency=colour)
    with pytest.raises(DatasetError, match="transparent pixels"):
        read_pillow(tmp_path / "clear.png", "film", window)
    other = (6, 8, 9) if mode == "RGB" else 6
    picture.save(tmp_path / "opaque.png", transparency=other)
    shown = np.minimum(np.asarray(picture), 255)
    assert (read_pillow(tmp_path / "opaque.png", "film", window) == shown).all()
