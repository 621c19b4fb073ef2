"""Embeddings of pictures: their form, and what is kept where the command is stopped or cannot write."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pandas
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from tiny import TinyEncoder, tiny_registry
from zobench_plugins.datasets.pictures.decoding import PictureForm
from zobench_plugins.practice import commands, picture_files
from zobench_plugins.practice.embedding import Embeddings, embed_pictures
from zobench_plugins.practice.picture_files import free_name

from zobench.comparison import export
from zobench.config import RunConfig
from zobench.contracts.listener import Silence
from zobench.errors import ConfigError
from zobench.files.atomic import replaced

Here = Callable[..., subprocess.CompletedProcess[str]]

SUFFIXES = pytest.mark.parametrize("suffix", [".csv", ".parquet"])


def test_pictures_are_embedded_in_the_form_of_the_run_of_the_edit(tmp_path: Path) -> None:
    """A run that sent grey, to an encoder that takes colour."""

    class Colourful(TinyEncoder):
        def __init__(self) -> None:
            super().__init__()
            self.spec = replace(self.spec, image_shape=(3, 8, 8))

        def embed(self, images: torch.Tensor) -> torch.Tensor:
            return super().embed(images[:, :1] - 2 * images[:, 2:])

    colours = np.random.default_rng(2).integers(0, 256, (8, 8, 3)).astype(np.uint8)
    Image.fromarray(colours).save(tmp_path / "x.png")
    Image.fromarray(colours).convert("L").save(tmp_path / "grey.png")
    pairs = [(tmp_path / name, Path(name)) for name in ("x.png", "grey.png")]
    registry = tiny_registry(lambda request: Colourful())
    edit = torch.full((1, 8, 8), 0.1)
    for form, alike in ((PictureForm(8, 1, converts=True), True), (None, False)):
        embeddings = Embeddings()
        embed_pictures(
            embeddings, RunConfig(encoder="tiny"), pairs, None, edit, Silence(), registry, form
        )
        x, grey = embeddings.numbers()
        assert np.array_equal(x, grey) is alike
    form = PictureForm(8, 3)
    with pytest.raises(ConfigError, match="pictures have 3 channels, but encoder 'tiny' takes 1"):
        embed_pictures(
            Embeddings(),
            RunConfig(encoder="tiny"),
            pairs,
            None,
            edit,
            Silence(),
            tiny_registry(),
            form,
        )


@pytest.fixture
def films(tmp_path: Path) -> Path:
    """A folder of 120 films beside a folder ``out``; the tiny encoder takes 50 of them at a time."""
    rng = np.random.default_rng(2)
    for folder in ("films", "out"):
        (tmp_path / folder).mkdir()
    for number in range(120):
        film = rng.integers(60, 190, (8, 8)).astype(np.uint8)
        Image.fromarray(film).save(tmp_path / "films" / f"{number}.png")
    return tmp_path / "films"


@pytest.fixture
def unheard() -> Iterator[None]:
    """Fails the test, and does not end its process, if nobody hears a SIGTERM."""
    before = signal.signal(signal.SIGTERM, lambda *arguments: pytest.fail("nobody heard SIGTERM"))
    yield
    signal.signal(signal.SIGTERM, before)


def terminate() -> None:
    os.kill(os.getpid(), signal.SIGTERM)


def answering(
    monkeypatch: pytest.MonkeyPatch, block: int, event: Callable[[], object]
) -> list[torch.Tensor]:
    """The embeddings of each block that the tiny encoder answers; something happens at one block."""
    embed, blocks = TinyEncoder.embed, list[torch.Tensor]()

    def answer(encoder: TinyEncoder, images: torch.Tensor) -> torch.Tensor:
        blocks.append(embed(encoder, images))
        if len(blocks) == block:
            event()
        return blocks[-1]

    monkeypatch.setattr(TinyEncoder, "embed", answer)
    return blocks


def numbers(path: Path) -> NDArray[np.float32]:
    table = pandas.read_csv(path) if path.suffix == ".csv" else pandas.read_parquet(path)
    return table.drop(columns="image").to_numpy().astype(np.float32)


@SUFFIXES
def test_sigterm_keeps_what_was_embedded_and_a_second_one_cannot_prevent_it(
    tiny_installed: None,
    unheard: None,
    films: Path,
    monkeypatch: pytest.MonkeyPatch,
    here: Here,
    suffix: str,
) -> None:
    def impatient(path: Path) -> Path:
        terminate()
        return free_name(path)

    monkeypatch.setattr(picture_files, "free_name", impatient)
    blocks = answering(monkeypatch, 2, terminate)
    done = here("embed", "tiny", str(films), "-o", f"out/e{suffix}")
    assert done.returncode == 130
    assert "stopped before image 101 of 120" in done.stderr
    kept = f"out/e-incomplete{suffix}"
    assert f"the embeddings of 100 of 120 images are in {kept}" in done.stderr
    assert np.array_equal(numbers(Path(kept)), torch.cat(blocks).numpy())


def test_sigterm_while_the_table_is_written_lets_it_be_finished(
    tiny_installed: None, unheard: None, films: Path, monkeypatch: pytest.MonkeyPatch, here: Here
) -> None:
    monkeypatch.setattr(export, "replaced", lambda path: terminate() or replaced(path))
    done = here("embed", "tiny", str(films), "-o", "out/e.csv")
    assert (done.returncode, "wrote out/e.csv: 120 images" in done.stdout) == (0, True)
    assert len(numbers(Path("out/e.csv"))) == 120


@SUFFIXES
def test_where_the_folder_is_gone_the_embeddings_are_in_a_temporary_one(
    tiny_installed: None,
    films: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    here: Here,
    suffix: str,
) -> None:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr(commands, "mkdtemp", partial(tempfile.mkdtemp, dir=temporary))
    blocks = answering(monkeypatch, 3, lambda: shutil.rmtree(tmp_path / "out"))
    done = here("embed", "tiny", str(films), "-o", f"out/e{suffix}")
    assert (done.returncode, "error: cannot write out/e" in done.stderr) == (3, True)
    (kept,) = temporary.glob(f"zobench-*/incomplete{suffix}")
    assert f"the embeddings of 120 of 120 images are in {kept}" in done.stderr
    assert np.array_equal(numbers(kept), torch.cat(blocks).numpy())


def test_embeddings_that_can_be_written_nowhere_are_said_to_be_lost(
    tiny_installed: None, films: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, here: Here
) -> None:
    monkeypatch.setattr(commands, "mkdtemp", partial(tempfile.mkdtemp, dir=tmp_path / "nowhere"))
    answering(monkeypatch, 3, lambda: shutil.rmtree(tmp_path / "out"))
    done = here("embed", "tiny", str(films), "-o", "out/e.csv")
    assert (done.returncode, "error: cannot write out/e.csv" in done.stderr) == (3, True)
    assert "the embeddings of 120 of 120 images are lost: neither out nor" in done.stderr
