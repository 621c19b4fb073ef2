"""``zobench paper``: makes the paper's table and figures from new runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from zobench.cli.options import DEFAULTS
from zobench.config import OWNERS, RunConfig, parse_overrides
from zobench.errors import ConfigError


def paper(
    product: Annotated[
        str,
        typer.Argument(
            metavar="WHAT", help="One of table, fig2a, fig2b, fig3, fig4, universality, all."
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
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="OWNER.NAME=VALUE",
            help="A parameter, e.g. split.train=800 or method.biasadv.steps=5.",
        ),
    ] = None,
    methods: Annotated[
        list[str] | None,
        typer.Option(
            "--method",
            metavar="NAME",
            help="One more row; see: zobench list methods. May be repeated.",
        ),
    ] = None,
    without: Annotated[
        list[str] | None,
        typer.Option("--without", metavar="NAME", help="A row to leave out. May be repeated."),
    ] = None,
    diseases: Annotated[
        list[str] | None,
        typer.Option(
            "--disease", metavar="NAME", help="Replace the three diseases. May be repeated."
        ),
    ] = None,
    seeds: Annotated[
        int | None, typer.Option(help="Replace the number of seeds.", min=1, max=1_000)
    ] = None,
    epochs: Annotated[
        int | None, typer.Option(help="Replace the GeZO epochs.", min=1, max=100_000)
    ] = None,
    transfer: Annotated[
        list[str] | None,
        typer.Option(
            "--transfer-to",
            metavar="ENCODER",
            help="Test the noise on this encoder; only universality. May be repeated.",
        ),
    ] = None,
    jobs: Annotated[int, typer.Option(help="Runs at a time.", min=1, max=1_000)] = 1,
    form: Annotated[
        str, typer.Option("--format", help="Table format: terminal, html, latex, markdown, csv.")
    ] = "terminal",
    out: Annotated[
        str, typer.Option(metavar="FOLDER", help="Folder for runs, results and figures.")
    ] = "runs/paper",
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="Say what the runs will send, cost and take; start none."),
    ] = False,
) -> None:
    """Reproduce the paper's table and figures, with the published numbers beside ours."""
    from .production import chosen, make_paper

    if "://" in out:
        raise ConfigError(
            f"--out is {out!r}, but must be a folder: figures are drawn beside the runs"
        )
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
    if not make_paper(product, wanted, base, Path(out), jobs, form, transfer or [], dry_run):
        raise typer.Exit(1)
