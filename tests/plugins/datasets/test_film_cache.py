"""Processes that fill one cache at the same time make each film once."""

from __future__ import annotations

import subprocess
import sys
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
import sys
from pathlib import Path
import numpy as np
from zobench.contracts.listener import silent
from zobench_plugins.datasets.film_cache import FilmCache
cache = FilmCache(Path(sys.argv[1]), (2, 2))
films = np.arange(24, dtype=np.uint8).reshape(6, 2, 2)
with cache.filling(np.arange(6), silent) as todo:
    for row in range(int(sys.argv[2])):
        cache.write(np.array([row]), films[row : row + 1])
    print(len(todo), flush=True)
    for row in map(int, sys.stdin):
        cache.write(np.array([row]), films[row : row + 1])
"""
"""Makes some films, and others whose numbers it is told, until its input ends."""


def holder(folder: Path, films: int) -> subprocess.Popen[str]:
    """A process that has made some films of an empty cache, and waits for more numbers."""
    command = [sys.executable, "-c", HOLDER, str(folder), str(films)]
    pipe = subprocess.PIPE
    process = subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "6\n"
    return process


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FilmCache]:
    monkeypatch.setattr(film_cache, "POLL_SECONDS", 0.1)
    with closing(FilmCache(tmp_path, SHAPE)) as made:
        yield made


def test_films_of_another_process_are_not_made_again(cache: FilmCache, tmp_path: Path) -> None:
    with holder(tmp_path, 1) as process:
        seen: list[int] = []

        def progress(done: int, _: int) -> None:
            """Lets the other process make one film each time that this one looks."""
            seen.append(done)
            assert process.stdin is not None
            if done < len(ROWS):
                process.stdin.write(f"{done}\n")
                process.stdin.flush()
            else:
                process.stdin.close()

        with cache.filling(ROWS, progress) as todo:
            assert not len(todo)
        assert np.array_equal(cache.read(ROWS), FILMS)
        assert seen == sorted(seen)
        assert seen[0] == 1
        assert seen[-1] == len(ROWS)


def test_a_killed_process_leaves_what_it_has_not_made(cache: FilmCache, tmp_path: Path) -> None:
    with holder(tmp_path, 2) as process:
        process.kill()
    with cache.filling(ROWS, silent) as todo:
        assert todo.tolist() == [2, 3, 4, 5]


def test_a_process_that_rests_is_not_waited_for(
    cache: FilmCache, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(film_cache, "POLLS_WITHOUT_FILM", 3)
    with holder(tmp_path, 1) as process:
        with cache.filling(ROWS, silent) as todo:
            assert todo.tolist() == [1, 2, 3, 4, 5]
            cache.write(todo, FILMS[todo])
        process.kill()
    assert np.array_equal(cache.read(ROWS), FILMS)


@pytest.mark.parametrize("error", [NotImplementedError, PermissionError])
def test_films_are_made_where_the_file_system_has_no_locks(
    cache: FilmCache, monkeypatch: pytest.MonkeyPatch, error: type[Exception]
) -> None:
    def refused(*_: object, **__: object) -> None:
        raise error("test")

    monkeypatch.setattr(film_cache, "FileLock", refused)
    with cache.filling(ROWS, silent) as todo:
        assert np.array_equal(todo, ROWS)
