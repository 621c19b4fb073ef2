"""``table``: the images that a table names are found and decoded, or said to be missing or damaged."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas
import pytest
from PIL import Image
from tables import Row, opened, rows, save, write
from zobench_plugins.datasets.films import UnreadableFilms
from zobench_plugins.datasets.pictures.levels import UnfittingPicture

from zobench.errors import ConfigError, DatasetError


def test_images_are_found_without_suffix_in_subfolders_and_of_any_kind(tmp_path: Path) -> None:
    table = rows()
    root = write(tmp_path / "data", table)
    (root / "films" / "deep").mkdir()
    (root / "films" / "film-001.png").rename(root / "films" / "deep" / "film-001.png")
    with Image.open(root / "films" / "film-002.png") as film:
        film.save(root / "films" / "film-002.jpeg")
    (root / "films" / "film-002.png").unlink()
    for row in table:
        row["file"] = row["file"].removesuffix(".png")
    write_table(root, table)
    found = opened(root, tmp_path).records.image
    assert found[1] == "films/deep/film-001.png"
    assert found[2] == "films/film-002.jpeg"


def write_table(root: Path, table: list[Row]) -> None:
    pandas.DataFrame(table).to_csv(root / "labels.csv", index=False)


def test_colour_is_kept_where_the_encoder_has_it_and_grey_elsewhere(tmp_path: Path) -> None:
    root = write(tmp_path / "data", rows())
    noise = np.random.default_rng(0).integers(0, 256, (24, 24, 3), dtype=np.uint8)
    Image.fromarray(noise).save(root / "films" / "film-000.png")
    colour = opened(root, tmp_path, channels=3)
    assert colour.spec.shape == (3, 16, 16)
    pixels = colour.pixels(np.array([0, 1]))
    assert not np.array_equal(pixels[0, 0], pixels[0, 1])
    assert np.array_equal(pixels[1, 0], pixels[1, 2])  # a grey one among them
    grey = opened(root, tmp_path, channels=1)
    assert grey.spec.shape == (1, 16, 16)
    assert "sent as grey, by their luma" in grey.spec.notes[0]
    with Image.open(root / "films" / "film-000.png") as film:
        luma = np.asarray(film.convert("L").resize((16, 16), Image.Resampling.LANCZOS))
    assert np.array_equal(grey.pixels(np.array([0]))[0, 0], luma)
    assert opened(root, tmp_path, channels=3, colour="grey").spec.shape == (1, 16, 16)


def test_undecodable_images_are_named_together_and_skipped_when_that_is_asked_for(
    tmp_path: Path,
) -> None:
    root = write(tmp_path / "data", rows(24))
    for number in (4, 9):
        (root / "films" / f"film-{number:03d}.png").write_text("no picture")
    with pytest.raises(DatasetError, match=r"2 images cannot be used(.|\n)*missing=skip"):
        opened(root, tmp_path).pixels(np.arange(24))
    rest = opened(root, tmp_path, missing="skip")
    assert len(rest.records) == 22
    assert "2 whose image could not be decoded" in rest.spec.notes[0]


def test_only_damage_is_remembered() -> None:
    def fault(cause: Exception | None, kind: type[DatasetError] = DatasetError) -> DatasetError:
        made = kind("film")
        made.__cause__ = cause
        return made

    denied, damaged = fault(PermissionError(13, "denied")), fault(OSError("truncated"))
    found = UnreadableFilms({3: denied, 5: damaged, 8: fault(None, UnfittingPicture)})
    assert (found.rows, found.unfitting) == ((5,), True)
    assert not UnreadableFilms({3: denied, 5: damaged}).unfitting


def test_the_same_name_in_two_folders_must_be_a_path(tmp_path: Path) -> None:
    table = rows()
    root = write(tmp_path / "data", table)
    (root / "more").mkdir()
    save(root / "more" / "film-003.png", 99)
    with pytest.raises(DatasetError, match=r"line 5\): several files have the image's name"):
        opened(root, tmp_path)
    table[3]["file"] = "more/film-003.png"
    write_table(root, table)
    assert opened(root, tmp_path).records.image[3] == "more/film-003.png"


@pytest.mark.lengthy
def test_a_million_rows_ask_the_disk_for_folders_and_not_for_each_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Path] = []
    is_file = Path.is_file
    monkeypatch.setattr(Path, "is_file", lambda path: asked.append(path) or is_file(path))
    root = write(tmp_path / "data", rows())
    many = pandas.DataFrame(rows() * 62_500)
    many["person"] = [f"P{number}" for number in range(len(many))]
    many.to_csv(root / "labels.csv", index=False)
    with pytest.raises(DatasetError, match=r"1,000,000 rows .* the image is named by several rows"):
        opened(root, tmp_path)
    assert len(asked) < 100


def test_a_name_with_a_folder_is_not_looked_for_in_another_folder(tmp_path: Path) -> None:
    table = rows()
    root = write(tmp_path / "data", table)
    for row in table:
        row["file"] = f"train/{row['file']}"
    write_table(root, table)
    with pytest.raises(
        DatasetError, match=r"no value of the column of the images has a file below"
    ):
        opened(root, tmp_path)
    for row in table:
        row["file"] = "C:\\scans\\" + row["file"].removeprefix("train/")
    write_table(root, table)
    assert opened(root, tmp_path).records.image[2] == "films/film-002.png"
    with pytest.raises(DatasetError, match="must be a folder in --data-root"):
        opened(root, tmp_path, folder=str(root / "films"))


def test_links_are_followed_and_a_dangling_one_is_a_missing_file(tmp_path: Path) -> None:
    root = write(tmp_path / "data", rows())
    (root / "films").rename(tmp_path / "elsewhere")
    (root / "linked").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere" / "loop").symlink_to(root)
    assert opened(root, tmp_path).records.image[0] == "linked/film-000.png"
    (tmp_path / "elsewhere" / "film-003.png").unlink()
    (tmp_path / "elsewhere" / "film-003.png").symlink_to(tmp_path / "nowhere")
    with pytest.raises(DatasetError, match=r"line 5\): the image has no file"):
        opened(root, tmp_path)


def test_a_damaged_first_image_is_left_out_like_any_other(tmp_path: Path) -> None:
    root = write(tmp_path / "data", rows(20))
    (root / "films" / "film-000.png").write_text("no picture")
    dataset = opened(root, tmp_path, missing="skip")
    with pytest.raises(DatasetError, match="the same command leaves them out"):
        dataset.pixels(np.arange(20))
    assert len(opened(root, tmp_path, missing="skip").records) == 19


def test_images_that_cannot_be_decoded_may_leave_a_cell_empty(tmp_path: Path) -> None:
    root = write(tmp_path / "data", rows(8))
    for number in (3, 7):  # the women with the finding
        (root / "films" / f"film-{number:03d}.png").write_text("no picture")
    with pytest.raises(DatasetError, match="2 images cannot be used"):
        opened(root, tmp_path, missing="skip").pixels(np.arange(8))
    with pytest.raises(DatasetError, match="there is no image in the cell woman with the finding"):
        opened(root, tmp_path, missing="skip")


def test_colour_among_grey_images_is_seen_or_refused_but_never_lost(tmp_path: Path) -> None:
    root = write(tmp_path / "data", rows(40))
    noise = np.random.default_rng(0).integers(0, 256, (24, 24, 3), dtype=np.uint8)
    for number in range(20, 40):
        Image.fromarray(noise).save(root / "films" / f"film-{number:03d}.png")
    assert opened(root, tmp_path, channels=3).spec.shape == (3, 16, 16)
    for number in range(20, 39):
        save(root / "films" / f"film-{number:03d}.png", number)
    (root / "films" / "film-039.png").rename(root / "films" / "film-039.jpg")
    save(root / "films" / "film-039.png", 1)
    Image.fromarray(noise).save(root / "films" / "film-001.png")  # none of the 16 looked at
    (root / "films" / "film-039.jpg").unlink()
    with pytest.raises(DatasetError, match=r"has colour(.|\n)*dataset\.colour=rgb or grey"):
        opened(root, tmp_path, channels=3).pixels(np.arange(40))
    with pytest.raises(ConfigError, match=r"the encoder takes 1 channel.*dataset\.colour=grey"):
        opened(root, tmp_path, channels=1, colour="rgb")
