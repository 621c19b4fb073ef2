"""Processes that fill one cache at the same time make each film once."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from zobench_plugins.datasets import film_cache
from zobench_plugins.datasets.film_cache import FilmCache

from zobench.contracts.listener import silent

ROWS, SHAPE = np.arange(6), (2, 2)
FILMS = np.arange(24, dtype=np.uint8).reshape(6, *SHAPE)

HOLDER = """
import sys, time
from pathlib import Path
import numpy as np
from zobench.contracts.listener import silent
from zobench_plugins.datasets.film_cache import FilmCache
cache = FilmCache(Path(sys.argv[1]), (2, 2))
films = np.arange(24, dtype=np.uint8).reshape(6, 2, 2)
with cache.filling(np.arange(6), silent) as todo:
    print(len(todo), flush=True)
    for row in range(int(sys.argv[2])):
        time.sleep(0.3)
        cache.write(np.array([row]), films[row : row + 1])
    time.sleep(float(sys.argv[3]))
"""


def holder(folder: Path, films: int, rest: float) -> subprocess.Popen[str]:
    """A process that makes some films, rests, and ends; it has begun."""
    command = [sys.executable, "-c", HOLDER, str(folder), str(films), str(rest)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "6\n"
    return process


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FilmCache]:
    monkeypatch.setattr(film_cache, "LOOK", 0.2)
    with closing(FilmCache(tmp_path, SHAPE)) as made:
        yield made


def test_films_of_another_process_are_not_made_again(cache: FilmCache, tmp_path: Path) -> None:
    with holder(tmp_path, 6, 0):
        seen: list[int] = []
        with cache.filling(ROWS, lambda done, _: seen.append(done)) as todo:
            assert not len(todo)
        assert np.array_equal(cache.read(ROWS), FILMS)
        assert seen == sorted(seen)
        assert seen[-1] == len(ROWS)
        assert len(set(seen)) > 2  # while it waits


def test_a_killed_process_leaves_what_it_has_not_made(cache: FilmCache, tmp_path: Path) -> None:
    with holder(tmp_path, 2, 60) as process:
        while len(cache.missing(ROWS)) > 4:
            time.sleep(0.05)
        process.kill()
    with cache.filling(ROWS, silent) as todo:
        assert todo.tolist() == [2, 3, 4, 5]


def test_a_process_that_rests_is_not_waited_for(
    cache: FilmCache, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(film_cache, "PATIENCE", 3)
    with holder(tmp_path, 1, 60) as process:
        with cache.filling(ROWS, silent) as todo:
            assert todo.tolist() == [1, 2, 3, 4, 5]
            cache.write(todo, FILMS[todo])
        process.kill()
    assert np.array_equal(cache.read(ROWS), FILMS)
