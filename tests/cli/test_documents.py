"""Runs the commands and code of the documents."""

from __future__ import annotations

import importlib.util
import itertools
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from tiny import SIZES, run, tiny_registry

import zobench
from zobench.comparison.all_pairs import LevelRanking, Pair
from zobench.registry.discovery import Offer, Registry, load_registry
from zobench.runs.lifecycle import start_run
from zobench.runs.resolved import resolve_config, resolve_plugin
from zobench.runs.search_parts import build_optimizer
from zobench.suite.file import Problems, read_suite
from zobench.testing import ToyOracle
from zobench.testing.optimizers import rounds

DOCS = Path(__file__).parents[2] / "docs"


def imported(path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, path.stem, module)
    spec.loader.exec_module(module)
    return module


def test_the_optimizer_of_the_how_to_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = (DOCS / "how-to" / "write-an-optimizer.md").read_text()
    _, code = re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL)
    (tmp_path / "random_walk.py").write_text(code)
    module = imported(tmp_path / "random_walk.py", monkeypatch)
    (plugin,) = module.zobench_register_optimizers().values()
    registry = tiny_registry(optimizer=plugin.target)
    overrides = {**SIZES, "optimizer": {"step": 0.05}}
    result = run(tmp_path, registry, optimizer="mine", overrides=overrides)
    assert result.scores[-1].queries == 400
    assert result.scores[-1].objective < result.scores[0].objective


def test_the_wrapper_of_the_how_to_halves_what_is_recommended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = (DOCS / "how-to" / "write-an-optimizer.md").read_text()
    code, _ = re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL)
    (tmp_path / "halved.py").write_text(code)
    module = imported(tmp_path / "halved.py", monkeypatch)
    ((name, plugin),) = module.zobench_register_optimizers().items()
    there = load_registry()
    optimizers = {**there.offers["optimizers"], name: Offer(name, plugin, "mine")}
    registry = Registry({**there.offers, "optimizers": optimizers})
    oracle = ToyOracle()
    settings = {"factor": 0.25, "inner.lr": 0.02}
    halved = build_optimizer(
        resolve_plugin("optimizer", "halved:adam", settings, registry), oracle.context(0)
    )
    alone = build_optimizer(
        resolve_plugin("optimizer", "adam", {"lr": 0.02}, registry), oracle.context(0)
    )
    for each in (halved, alone):
        rounds(each, oracle, 5)
    assert alone.recommend().abs().max() > 0.01
    assert torch.allclose(halved.recommend(), 0.25 * alone.recommend())
    state = halved.state_dict()
    again = build_optimizer(
        resolve_plugin("optimizer", "halved:adam", settings, registry), oracle.context(1)
    )
    again.load_state_dict(state)
    assert torch.equal(again.recommend(), halved.recommend())


def test_the_comparison_has_every_bundled_optimizer_and_its_tables_are_made_from_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    registry, problems = load_registry(), Problems()
    # three came later: one for another objective than the others, two after their comparison
    files = ("optimizers.toml", "probes-pgd.toml", "margin-probes.toml", "probes-signum.toml")
    suites = [read_suite(DOCS / "explanation" / file, problems) for file in files]
    assert not problems
    parts = {
        part for suite in suites for each in suite.configs for part in each.optimizer.split(":")
    }
    bundled = [o for o in registry.offers["optimizers"].values() if o.distribution == "zobench"]
    # what borrows an encoder depends on which, and has a page of its own
    assert {each.name for each in bundled if not each.plugin.borrows} <= parts
    monkeypatch.syspath_prepend(DOCS / "explanation")
    tables = imported(DOCS / "explanation" / "optimizer_tables.py", monkeypatch)
    small = {"budget": 640, "batch_size": 16, "snapshots": 2, "replicates": 20, "overrides": SIZES}
    for optimizer, seed in itertools.product(("random", "sep-cma"), (0, 1)):
        run(tmp_path / "runs", optimizer=optimizer, seed=seed, disease="edema", **small)
    run(tmp_path / "runs", optimizer="random", seed=2, disease="pneumonia", **small)  # left out
    pictures = tmp_path / "pictures"
    words = ["optimizer_tables.py", str(tmp_path / "runs"), "--pictures", str(pictures)]
    monkeypatch.setattr(sys, "argv", [*words, "--disease", "edema"])
    tables.main()
    printed = capsys.readouterr().out
    assert "### Feedback: values only" in printed
    assert re.search(r"\| `random` \| 2 \| .* \[.*\] \|", printed)
    assert "of 1 pairs differ beyond chance" in printed
    assert "Recovery at no query: reweighing" in printed
    for name in ("runs.svg", "runs-ranks.svg"):  # as the folder of the runs
        assert (pictures / name).stat().st_size > 10_000


def test_a_bar_of_the_ranks_joins_neighbours_that_do_not_differ(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.syspath_prepend(DOCS / "explanation")
    tables = imported(DOCS / "explanation" / "optimizer_tables.py", monkeypatch)

    def ranking(*apart: str) -> LevelRanking:
        pairs = [
            Pair(a, b, None, 0.0, 0.01 if b + a in apart else 0.5)
            for b, a in itertools.combinations("abcd", 2)
        ]
        return LevelRanking("value", tuple("abcd"), {}, tuple(pairs))

    assert tables.cliques(ranking()) == [(0, 3)]
    assert tables.cliques(ranking("ad")) == [(0, 2), (1, 3)]
    assert tables.cliques(ranking("ac", "ad", "bc", "bd")) == [(0, 1), (2, 3)]
    assert tables.cliques(ranking("ab", "ac", "ad", "bc", "bd", "cd")) == []


def test_the_sweep_of_nevergrad_tells_what_ran_and_what_did_not(tmp_path: Path) -> None:
    script = DOCS / "reference" / "sweep_nevergrad.py"
    words = [sys.executable, "-W", "ignore", str(script), "OnePlusOne", "NLOPT_LN_SBPLX", "Nobody"]
    done = subprocess.run(words, capture_output=True, text=True, cwd=tmp_path, check=True)
    assert re.search(r"\| OnePlusOne \| \d+% \| 10 \|", done.stdout)
    assert re.search(r"\| NLOPT_LN_SBPLX \| .*not installed", done.stdout)
    assert re.search(r"\| Nobody \| nevergrad has no strategy", done.stdout)


def test_the_tracker_of_the_how_to_follows_a_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    text = (DOCS / "how-to" / "follow-runs-elsewhere.md").read_text()
    (code,) = re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL)
    (tmp_path / "lines.py").write_text(code)
    (plugin,) = imported(tmp_path / "lines.py", monkeypatch).zobench_register_trackers().values()
    offers: dict[Any, Any] = dict(tiny_registry().offers)
    offers["trackers"] = {"lines": Offer("lines", plugin, "tests")}
    settings = {"optimizer": "random", "budget": 400, "batch_size": 10, "overrides": SIZES}
    config = zobench.RunConfig(encoder="tiny", dataset="tiny", disease="spots", **settings)
    start_run(config, tmp_path, registry=Registry(offers), trackers=["lines"])
    printed = capsys.readouterr()
    wanted = (
        "0 rows are there",
        "\n50 queries, objective",
        "\n400 queries, objective",
        "kept 0000",
    )
    for words in (*wanted, "done, fairness per query {"):
        assert words in printed.err
    assert not printed.out  # which belongs to the command


@pytest.mark.parametrize(("name", "runs"), [("bench.toml", 4 * 2 * 3), ("six.toml", 6 * 3 * 3)])
def test_the_suites_of_the_how_to_declare_what_it_says(
    tmp_path: Path, name: str, runs: int
) -> None:
    text = (DOCS / "how-to" / "run-a-suite.md").read_text()
    (content,) = re.findall(rf"`{name}`[^`]*```toml\n(.*?)```", text, flags=re.DOTALL)
    (tmp_path / name).write_text(content)
    suite = read_suite(tmp_path / name)
    assert len(suite.configs) == runs
    registry = load_registry()
    for config in suite.configs:
        resolve_config(config, registry)


def test_every_link_between_documents_leads_somewhere() -> None:
    for page in [*DOCS.rglob("*.md"), DOCS.parent / "README.md"]:
        for target in re.findall(r"\]\(([^)#]+?)(?:#[^)]*)?\)", page.read_text()):
            if "://" not in target:
                assert (page.parent / target).exists(), f"{page.name}: {target}"


@pytest.mark.lengthy
def test_the_notebook_runs_and_was_executed(tmp_path: Path) -> None:
    cells = json.loads((DOCS / "tutorial" / "notebook.ipynb").read_text())["cells"]
    code = [cell for cell in cells if cell["cell_type"] == "code"]
    assert [cell["execution_count"] for cell in code] == list(range(1, len(code) + 1))
    assert all(cell["outputs"] for cell in code)
    script = "\n\n".join("".join(cell["source"]) for cell in code)
    for large, small in (('train": 400', 'train": 80'), ('per_cell": 200', 'per_cell": 20')):
        assert large in script
        script = script.replace(large, small)
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=tmp_path,
        env={**os.environ, "MPLBACKEND": "Agg"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "did you mean 'optimizer'" in done.stdout
    assert re.search(r"FPQ -?\d\.\d+ against -?\d\.\d+, a difference of", done.stdout)
