"""Commands on many runs: make them, compare them, show them, hold a build to them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .options import DEFAULTS, JsonFlag, Settings, Trackers
from .root import app


@app.command(rich_help_panel="Many runs")
def suite(
    path: Annotated[Path, typer.Argument(metavar="FILE", help="A suite file, in TOML.")],
    jobs: Annotated[int, typer.Option(help="Runs at a time, each in a process of its own.")] = 1,
    out: Annotated[Path, typer.Option(help="Folder for run folders.")] = Path("runs"),
    trackers: Trackers = None,
    as_json: JsonFlag = False,
) -> None:
    """Run what is missing of a suite: optimizers x encoders x datasets x spaces x seeds."""
    from .suite import run_suite_file

    if not run_suite_file(path, out, jobs, trackers or [], as_json):
        raise typer.Exit(1)


@app.command(rich_help_panel="Many runs")
def report(
    runs: Annotated[
        list[Path], typer.Argument(metavar="RUNS", help="Run folders, or folders of runs.")
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="The page to write.")] = Path(
        "report.html"
    ),
    suite: Annotated[
        Path | None, typer.Option(help="Suite file that names the targets and the title.")
    ] = None,
    title: Annotated[str | None, typer.Option(help="Title of the page.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace the page.")] = False,
) -> None:
    """Make one self-contained HTML page about many runs."""
    from .report import write_report

    write_report(runs, out, suite, title, force)


@app.command(rich_help_panel="Many runs")
def compare(
    a: Annotated[Path, typer.Argument(metavar="A", help="A run folder, or a folder of runs.")],
    b: Annotated[
        Path | None, typer.Argument(metavar="B", help="Likewise; A if it is not given.")
    ] = None,
    optimizer_a: Annotated[
        str | None, typer.Option("--a", metavar="LABEL", help="Only this optimizer of A.")
    ] = None,
    optimizer_b: Annotated[
        str | None, typer.Option("--b", metavar="LABEL", help="Only this optimizer of B.")
    ] = None,
    margins: Annotated[
        list[str] | None,
        typer.Option(
            "--margin", metavar="METRIC=VALUE", help="What B may lose and still be no worse."
        ),
    ] = None,
    export: Annotated[
        Path | None, typer.Option(help="Write all pairs to a .csv or .parquet file.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace the exported file.")] = False,
    as_json: JsonFlag = False,
) -> None:
    """Say whether B is better than A, and how sure that is; paired by problem and seed."""
    from .compare import compare_runs

    labels = (optimizer_a, optimizer_b)
    compare_runs(a, b or a, labels, margins or [], export, force, as_json)


@app.command(rich_help_panel="Many runs")
def gate(
    runs: Annotated[
        list[Path], typer.Argument(metavar="RUNS", help="Run folders, or folders of runs.")
    ],
    baseline: Annotated[Path, typer.Option(help="What the runs are held to.")] = Path(
        "baseline.json"
    ),
    update: Annotated[bool, typer.Option("--update", help="Write the baseline.")] = False,
    margins: Annotated[
        list[str] | None,
        typer.Option(
            "--margin", metavar="METRIC=VALUE", help="What may be lost; with --update only."
        ),
    ] = None,
    markdown: Annotated[
        bool, typer.Option("--markdown", help="A table for a CI job's summary page.")
    ] = False,
    as_json: JsonFlag = False,
) -> None:
    """Fail (exit 1) if fairness per query fell below a baseline."""
    from .gate import hold_to_baseline

    if not hold_to_baseline(runs, baseline, update, margins or [], as_json, markdown):
        raise typer.Exit(1)


@app.command(rich_help_panel="Many runs")
def paper(
    product: Annotated[
        str,
        typer.Argument(
            metavar="WHAT", help="table, fig2a, fig2b, fig3, fig4, universality, or all of them."
        ),
    ],
    preset: Annotated[
        str, typer.Option(help="quick: minutes on two cores; full: the paper's settings.")
    ] = "quick",
    encoder: Annotated[str, typer.Option(help="See: zobench list encoders.")] = DEFAULTS.encoder,
    dataset: Annotated[str, typer.Option(help="See: zobench list datasets.")] = DEFAULTS.dataset,
    data_root: Annotated[Path | None, typer.Option(help="Folder of the dataset.")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda:N.")] = DEFAULTS.device,
    precision: Annotated[str, typer.Option(help="auto, fp32 or bf16.")] = DEFAULTS.precision,
    settings: Settings = None,
    methods: Annotated[
        list[str] | None,
        typer.Option("--method", metavar="NAME", help="One more row; see: zobench list methods."),
    ] = None,
    without: Annotated[
        list[str] | None,
        typer.Option("--without", metavar="NAME", help="A row to leave out. May be repeated."),
    ] = None,
    diseases: Annotated[
        list[str] | None,
        typer.Option("--disease", metavar="NAME", help="Instead of the paper's three. Repeatable."),
    ] = None,
    seeds: Annotated[int | None, typer.Option(help="Instead of the preset's.", min=1)] = None,
    epochs: Annotated[int | None, typer.Option(help="Instead of the preset's.", min=1)] = None,
    transfer: Annotated[
        list[str] | None,
        typer.Option(
            "--transfer-to",
            metavar="ENCODER",
            help="Also carry the noise there; universality only.",
        ),
    ] = None,
    jobs: Annotated[int, typer.Option(help="Runs at a time.", min=1)] = 1,
    form: Annotated[
        str, typer.Option("--format", help="Of tables: terminal, html, latex, markdown or csv.")
    ] = "terminal",
    out: Annotated[Path, typer.Option(help="Folder for runs, answers and figures.")] = Path(
        "runs/paper"
    ),
) -> None:
    """Reproduce the paper's table and figures, with the published numbers beside ours."""
    from ..config import OWNERS, RunConfig, parse_overrides
    from .paper import chosen, make_paper

    overrides = parse_overrides(settings or [], (*OWNERS, "method"))
    of_methods = overrides.pop("method", {})
    base = RunConfig(
        encoder=encoder,
        dataset=dataset,
        data_root=data_root,
        device=device,
        precision=precision,
        overrides=overrides,
    )
    rows = (methods or [], without or [])
    wanted = chosen(preset, seeds, epochs, diseases or [], *rows, of_methods)
    if not make_paper(product, wanted, base, out, jobs, form, transfer or []):
        raise typer.Exit(1)
