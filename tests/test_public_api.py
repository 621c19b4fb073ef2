"""``zobench.run`` and its result, as they are used in a notebook."""

from __future__ import annotations

import dataclasses
import inspect
import math
from html.parser import HTMLParser
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest
from tiny import SETTINGS, SIZES, TinyEncoder, run, tiny_registry

import zobench
from zobench.comparison.margins import require_margins
from zobench.config import RunConfig
from zobench.measures.recovery import FPQ
from zobench.records.identity import identity
from zobench.records.stored_run import StoredRun

mpl.use("Agg")


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> StoredRun:
    return run(tmp_path_factory.mktemp("runs"), optimizer="random", overrides=SIZES)


def test_the_keywords_are_the_fields_of_a_config_with_the_same_defaults() -> None:
    keywords = inspect.signature(zobench.run).parameters
    for each in dataclasses.fields(RunConfig):
        if each.name != "overrides":
            assert keywords[each.name].default == each.default, each.name
            assert keywords[each.name].annotation == each.type, each.name


def test_settings_are_written_as_on_the_command_line(tmp_path: Path) -> None:
    settings = {**SETTINGS, "out": tmp_path, "registry": tiny_registry()}
    by_set = zobench.run(
        optimizer="random",
        set={"optimizer.step": 0.02, "split.train": 120, "split.test_per_cell": 40},
        **settings,
    )
    assert by_set.manifest.parameters["optimizer"]["step"] == 0.02
    assert by_set.manifest.split.train == 120
    with pytest.raises(
        zobench.ConfigError, match=r"no keyword 'optimzer' \(did you mean 'optimizer'"
    ):
        zobench.run(optimzer="random", **settings)
    with pytest.raises(zobench.ConfigError, match=r"takes keywords.*'probes'"):
        zobench.run("probes")  # type: ignore[arg-type]
    with pytest.raises(zobench.ConfigError, match=r"set is .*but must be a mapping"):
        zobench.run(set=["optimizer.step=1"])  # type: ignore[arg-type]
    with pytest.raises(zobench.ConfigError, match="mappings by owner go to overrides="):
        zobench.run(set={"optimizer": {"step": 0.1}})
    with pytest.raises(zobench.ConfigError, match="a config or keywords, not both"):
        zobench.run(RunConfig(), seed=3)
    with pytest.raises(zobench.ConfigError, match=r"step.*'x'"):
        zobench.run(optimizer="random", set={"optimizer.step": "x"}, **settings)


def test_numbers_of_numpy_are_taken(tmp_path: Path) -> None:
    settings = {**SETTINGS, "registry": tiny_registry(), "overrides": SIZES, "optimizer": "random"}
    numbers = {"seed": np.int64(3), "penalty": np.float32(0.5), "budget": np.arange(201)[-1]}
    step = {**SIZES, "optimizer": {"step": np.float32(0.5), "candidates": np.int8(2)}}
    given = zobench.run(out=tmp_path / "one", **{**settings, **numbers, "overrides": step})
    plain = {"seed": 3, "penalty": 0.5, "budget": 200}
    step = {**SIZES, "optimizer": {"step": 0.5, "candidates": 2}}
    typed = zobench.run(out=tmp_path / "two", **{**settings, **plain, "overrides": step})
    assert identity(given.manifest) == identity(typed.manifest)
    assert given.config == typed.config
    assert zobench.show(given.run_dir).config.overrides["optimizer"]["step"] == 0.5
    with pytest.raises(zobench.ConfigError, match="seed is "):
        zobench.run(seed=np.float64(3), out=tmp_path)


def test_progress_is_shown_where_it_is_wanted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = {**SETTINGS, "registry": tiny_registry(), "overrides": SIZES, "optimizer": "random"}
    zobench.run(out=tmp_path / "a", **settings)
    assert capsys.readouterr().err == ""  # no terminal, no notebook
    zobench.run(out=tmp_path / "b", progress=True, **settings)
    assert "optimize" in capsys.readouterr().err


def test_a_frame_has_a_row_of_each_classifier_with_the_numbers_of_the_table(
    found: StoredRun,
) -> None:
    table = found.to_frame()
    assert found.results is not None
    assert table["row"].tolist()[:2] == ["ERM", "reweighing"]
    edits = table[table["row"] == "edit"]
    assert len(edits) == len(found.scores) - 1
    last = found.scores[-1]
    assert edits.iloc[-1]["eo_p"] == last.metrics["eo_p"].value
    assert edits.iloc[-1]["recovery_low"] == last.recovery.low
    assert edits["queries"].tolist() == [each.queries for each in found.scores[1:]]


def test_the_edit_is_an_array_and_the_last_one(found: StoredRun) -> None:
    assert found.edit.shape == (8, 8)
    assert np.array_equal(found.edit, np.load(found.run_dir / "edit.npy"))


def test_a_notebook_shows_the_verdict_and_a_table_without_foreign_code(found: StoredRun) -> None:
    assert repr(found).startswith("<run of random on tiny/spots tiny, seed 0: done, FPQ ")
    shown = found._repr_html_()
    assert found.verdict.text.split(";")[0] in shown
    seen: list[str] = []

    class Tags(HTMLParser):
        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            seen.append(tag)

    Tags().feed(shown)
    assert {"table", "tr", "td"} <= set(seen) <= {"p", "b", "table", "caption", "tr", "th", "td"}
    assert seen.count("tr") == 1 + len(found.to_frame())


def test_the_curve_is_drawn_with_what_costs_no_query(found: StoredRun) -> None:
    axes = found.plot()
    assert axes.get_xscale() == "log"
    labels = [each.get_text() for each in axes.get_legend().get_texts()]
    assert labels[0] == "random"
    assert "reweighing, no query" in labels
    assert found.results is not None
    drawn = axes.get_lines()[0].get_ydata()
    np.testing.assert_array_equal(drawn, found.results.curve.recovery[1:, 0])
    again = found.plot(axes)
    assert again is axes


def test_an_unfinished_folder_has_a_text_too(tmp_path: Path) -> None:
    assert "is not a run folder" in repr(StoredRun(tmp_path))


def test_a_report_of_nothing_and_targets_that_are_none_are_refused(
    found: StoredRun, tmp_path: Path
) -> None:
    with pytest.raises(zobench.ConfigError, match="got no run"):
        zobench.report([], tmp_path / "page.html")
    for targets in ([], [0.5, 0.1], [-3.0], [float("nan")], ["a"]):
        with pytest.raises(zobench.ConfigError, match="must be increasing recoveries"):
            zobench.report(found.run_dir, tmp_path / "page.html", targets=targets)  # type: ignore[arg-type]
    assert not (tmp_path / "page.html").exists()
    with pytest.raises(zobench.ConfigError, match=r"must be a list of names: \['wandb'\]"):
        zobench.run_suite("quick", trackers="wandb")


def test_a_report_takes_runs_from_any_iterable(found: StoredRun, tmp_path: Path) -> None:
    zobench.report(iter([found.run_dir]), tmp_path / "page.html")
    assert (tmp_path / "page.html").stat().st_size > 10_000


def test_values_of_a_wrong_type_are_refused_with_the_rule(found: StoredRun, tmp_path: Path) -> None:
    folder = found.run_dir.parent
    for wrong, words in (
        (
            lambda: zobench.compare(folder, where=["seed=0"]),
            r"where is \['seed=0'\], but must be a map",
        ),
        (lambda: zobench.report(folder, tmp_path / "a.html", where="seed=0"), "{'budget': 6400}"),
        (lambda: require_margins("fpq=1", (FPQ,)), "mapping from metrics to losses: {'fpq': 0.02}"),
        (lambda: zobench.run(out=None), "out is None, but must be a path or a URL"),
        (lambda: zobench.show(3), "folder is 3, but must be a path or a URL"),
        (lambda: zobench.report([3], tmp_path / "a.html"), "runs is 3, but must be a path"),
        (lambda: zobench.report(3, tmp_path / "a.html"), "runs is 3, but must be a path"),
        (lambda: zobench.report(folder, 3), "out is 3, but must be a path$"),
        (lambda: zobench.run_suite(None), "file is None, but must be a path, or the name of a"),
    ):
        with pytest.raises(zobench.ConfigError, match=words):
            wrong()
    for margin in ("x", math.nan, -1, True):
        with pytest.raises(zobench.ConfigError, match=f"margin fpq={margin!r} must be a finite"):
            require_margins({"fpq": margin}, (FPQ,))


def test_a_run_that_failed_before_its_scores_says_so_where_they_are_wanted(tmp_path: Path) -> None:
    class Broken:
        def __init__(self, context: object) -> None:
            self.spec = TinyEncoder().spec

        def embed(self, images: object) -> object:
            raise RuntimeError("out of order")

        def close(self) -> None:
            pass

    with pytest.raises(zobench.ZobenchError, match="out of order"):
        run(tmp_path, tiny_registry(encoder=Broken), optimizer="random", overrides=SIZES)
    (folder,) = tmp_path.iterdir()
    failed = StoredRun(folder)
    with pytest.raises(
        zobench.ConfigError, match="is failed and has no scored edit to draw; compl"
    ):
        failed.plot()
    with pytest.raises(zobench.ConfigError, match="is failed and has no scores; complete it with"):
        failed.values(FPQ)
