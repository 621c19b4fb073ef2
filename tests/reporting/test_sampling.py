"""Drawing a sample of runs for a page: evenly, and without reading their results."""

from __future__ import annotations

import shutil
from collections import Counter

import pytest
from tiny import SIZES, run

from zobench.errors import ConfigError
from zobench.files.json_files import read_json, write_json
from zobench.files.location import Location
from zobench.records import layout
from zobench.records.run_search import find_runs
from zobench.reporting.sampling import sample


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> list[Location]:
    """Manifests of 3 optimizers with 10, 10 and 2 seeds."""
    out = tmp_path_factory.mktemp("runs")
    original = run(out / "original", optimizer="random", overrides=SIZES).run_dir
    manifest = read_json(original / layout.MANIFEST)
    for optimizer, seeds in (("a", 10), ("b", 10), ("c", 2)):
        for seed in range(seeds):
            config = {**manifest["config"], "optimizer": optimizer, "seed": seed}
            path = out / f"{optimizer}-{seed}" / layout.MANIFEST
            write_json(path, {**manifest, "config": config})
    shutil.rmtree(out / "original")
    return find_runs([Location(out)])


def test_few_enough_are_all_taken(folders: list[Location]) -> None:
    assert sample(folders, 22) == folders


@pytest.mark.parametrize(("most", "each"), [(3, (1, 1, 1)), (9, (4, 3, 2)), (20, (9, 9, 2))])
def test_every_optimizer_has_its_share(
    folders: list[Location], most: int, each: tuple[int, int, int]
) -> None:
    drawn = sample(folders, most)
    found = Counter(folder.name[0] for folder in drawn)
    assert tuple(found[name] for name in "abc") == each
    assert drawn == sample(folders[::-1], most)


def test_one_of_each_must_fit(folders: list[Location]) -> None:
    with pytest.raises(ConfigError, match="must be at least 3"):
        sample(folders, 2)
