"""The declarations of a suite file; one error lists all its problems."""

from __future__ import annotations

from pathlib import Path

import pytest

from zobench.errors import ConfigError
from zobench.suite.file import TARGETS, Suite, read_suite


def read(tmp_path: Path, text: str) -> Suite:
    path = tmp_path / "bench.toml"
    path.write_text(text)
    return read_suite(path)


def test_the_grid_is_the_product_and_entries_have_spaces_settings_and_diseases_of_their_own(
    tmp_path: Path,
) -> None:
    suite = read(
        tmp_path,
        """
        optimizers = ["gezo", {name = "adam", set = {lr = 0.003}, spaces = ["pixel", "lowres:14"]}]
        datasets = ["phantom", {name = "nih", data_root = "xrays", diseases = ["pneumonia"]}]
        diseases = ["edema", "pleural_effusion"]
        objectives = ["dne", {name = "fisher", set = {shrinkage = 0.3}}]
        seeds = [4, 7]
        [run]
        budget = 999
        [split]
        train = 300
        """,
    )
    assert suite.name == "bench"
    assert suite.targets == TARGETS
    rows = [
        (each.optimizer, each.objective, each.space, each.dataset, each.disease, each.seed)
        for each in suite.configs
    ]
    assert len(rows) == len(set(rows)) == 3 * 3 * 2 * 2
    assert ("adam", "fisher", "lowres:14", "nih", "pneumonia", 7) in rows
    assert ("gezo", "dne", "lowres:14", "phantom", "edema", 4) not in rows
    assert all(each.budget == 999 for each in suite.configs)
    assert all(each.overrides["split"] == {"train": 300} for each in suite.configs)
    adam = next(each for each in suite.configs if each.optimizer == "adam")
    assert adam.overrides["optimizer"] == {"lr": 0.003}
    fisher = next(each for each in suite.configs if each.objective == "fisher")
    assert fisher.overrides["objective"] == {"shrinkage": 0.3}
    roots = {each.data_root for each in suite.configs if each.dataset == "nih"}
    assert roots == {str(tmp_path / "xrays")}


@pytest.mark.parametrize("inner", ['"inner.lr" = 0.1', "inner.lr = 0.1", "inner = {lr = 0.1}"])
def test_parameters_of_an_optimizer_inside_another_one(tmp_path: Path, inner: str) -> None:
    text = f'optimizers = [{{name = "best-of:adam", set = {{share = 0.5, {inner}}}}}]'
    (config,) = read(tmp_path, f"{text}\nseeds = 1").configs
    assert config.overrides["optimizer"] == {"share": 0.5, "inner.lr": 0.1}


def test_a_number_of_seeds_counts_from_nought_and_neighbours_differ_in_it(tmp_path: Path) -> None:
    suite = read(tmp_path, 'optimizers = ["gezo", "adam"]\nseeds = 3\n')
    assert [each.seed for each in suite.configs] == [0, 1, 2, 0, 1, 2]


@pytest.mark.parametrize(
    ("text", "problems"),
    [
        ('optimisers = ["gezo"]', ["did you mean 'optimizers'", "optimizers is []"]),
        ("optimizers = []", ["at least one name"]),
        ('optimizers = ["gezo"]\nseeds = 0', ["3 means 0, 1, 2"]),
        ('optimizers = ["gezo"]\nseeds = [1, -1]', ["whole numbers"]),
        ('optimizers = ["gezo", "gezo"]', ["is declared twice"]),
        ('optimizers = ["gezo"]\ndiseases = "edema"', ["diseases is 'edema'"]),
        ('optimizers = ["gezo"]\ntargets = [0.5, 0.1]', ["increasing"]),
        ('optimizers = [{name = "gezo", sett = {}}]', ["did you mean 'set'"]),
        ("optimizers = [{set = {}}]", ["tables with a name"]),
        ('optimizers = ["gezo"]\n[run]\nbudgte = 3', ["did you mean 'budget'"]),
        (
            'optimizers = ["gezo"]\nbudget = 3\n[run]\nseed = 3\noptimizer = "pgd"\nbudgt = 4',
            [
                "unknown key budget; it belongs into the table [run]",
                "unknown key run.seed; it belongs before the first table, as seeds = …",
                "unknown key run.optimizer; it belongs before the first table, as optimizers",
                "unknown key run.budgt (did you mean 'budget'?)",
            ],
        ),
        ('optimizers = ["gezo"]\n[run]\nbudget = "all"', ["budget is 'all'"]),
        (
            'optimizers = ["gezo"]\nspaces = ["pixels"]\nname = 3\n[runs]\nbudget = 1',
            ["has 3 problems", "name is 3", "unknown key runs", "space is 'pixels'"],
        ),
        ("optimizers = [", ["is no TOML"]),
    ],
)
def test_everything_that_is_wrong_is_told_at_once(
    text: str, problems: list[str], tmp_path: Path
) -> None:
    with pytest.raises(ConfigError) as caught:
        read(tmp_path, text)
    for problem in problems:
        assert problem in str(caught.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"cannot read the suite file .*nowhere\.toml"):
        read_suite(tmp_path / "nowhere.toml")
