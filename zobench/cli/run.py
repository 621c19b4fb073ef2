"""``zobench run``: carries out one run and prints its result."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from zobench.config import RunConfig, parse_overrides
from zobench.contracts.parameters import declarations
from zobench.errors import ConfigError

from . import completion
from .config_file import merged, read_config
from .options import DEFAULTS, MAX_TIME, JsonFlag, Out, Trackers, recovery, seconds

WHAT, LIMITS, ORACLE = "What is run", "Budget and limits", "What a query is"
SCORES, WHERE, OUTPUT = "How it is scored", "Where the encoder is", "Output"
"""Panels of the help."""


def run(
    context: typer.Context,
    optimizer: Annotated[
        str,
        typer.Option(
            rich_help_panel=WHAT,
            help="See: zobench list optimizers.",
            autocompletion=completion.plugins("optimizers"),
        ),
    ] = DEFAULTS.optimizer,
    encoder: Annotated[
        str,
        typer.Option(
            rich_help_panel=WHAT,
            help="See: zobench list encoders.",
            autocompletion=completion.plugins("encoders"),
        ),
    ] = DEFAULTS.encoder,
    dataset: Annotated[
        str,
        typer.Option(
            rich_help_panel=WHAT,
            help="See: zobench list datasets.",
            autocompletion=completion.plugins("datasets"),
        ),
    ] = DEFAULTS.dataset,
    disease: Annotated[
        str,
        typer.Option(
            rich_help_panel=WHAT,
            help="Finding to predict.",
        ),
    ] = DEFAULTS.disease,
    objective: Annotated[
        str,
        typer.Option(
            rich_help_panel=WHAT,
            help="Function that the optimizer lowers. See: zobench list objectives.",
        ),
    ] = DEFAULTS.objective,
    data_root: Annotated[
        Path | None,
        typer.Option(
            rich_help_panel=WHAT,
            help="Folder of the dataset.",
        ),
    ] = None,
    space: Annotated[
        str,
        typer.Option(
            rich_help_panel=WHAT, help="Search space: pixel, lowres:<k>, dct:<k> or patch:<p>."
        ),
    ] = DEFAULTS.space,
    box: Annotated[
        float,
        typer.Option(
            rich_help_panel=WHAT,
            help="Largest absolute value of the edit; 0 for none.",
        ),
    ] = DEFAULTS.box,
    seed: Annotated[
        int,
        typer.Option(
            rich_help_panel=WHAT,
            help="Root of all random streams.",
        ),
    ] = DEFAULTS.seed,
    budget: Annotated[
        int,
        typer.Option(
            rich_help_panel=LIMITS,
            help="Queries to spend, in images.",
        ),
    ] = DEFAULTS.budget,
    batch_size: Annotated[
        int,
        typer.Option(
            rich_help_panel=ORACLE,
            help="Images per minibatch of the objective.",
        ),
    ] = DEFAULTS.batch_size,
    penalty: Annotated[
        float,
        typer.Option(
            rich_help_panel=ORACLE,
            help="Lambda of the objective.",
        ),
    ] = DEFAULTS.penalty,
    backward_cost: Annotated[
        int,
        typer.Option(
            rich_help_panel=ORACLE, help="Queries charged for the backward pass of one image."
        ),
    ] = DEFAULTS.backward_cost,
    heads: Annotated[
        str,
        typer.Option(
            rich_help_panel=SCORES, help="Training of the linear heads: converged or paper."
        ),
    ] = DEFAULTS.heads,
    snapshots: Annotated[
        int,
        typer.Option(
            rich_help_panel=SCORES,
            help="Number of log-spaced snapshots of the edit; FPQ sees only these.",
        ),
    ] = DEFAULTS.snapshots,
    scored: Annotated[
        int,
        typer.Option(
            rich_help_panel=SCORES,
            help="Edits to score, at most; other snapshots are interpolated.",
        ),
    ] = DEFAULTS.scored,
    controls: Annotated[
        str,
        typer.Option(
            rich_help_panel=SCORES,
            help="Edits to score beside their placebo and negative: last, all or none.",
        ),
    ] = DEFAULTS.controls,
    baselines: Annotated[
        str,
        typer.Option(
            rich_help_panel=SCORES,
            metavar="NAMES",
            help="No-query methods to show, with commas, or none; see: zobench list methods.",
        ),
    ] = DEFAULTS.baselines,
    replicates: Annotated[
        int,
        typer.Option(
            rich_help_panel=SCORES,
            help="Bootstrap resamples behind every interval.",
        ),
    ] = DEFAULTS.replicates,
    tolerance: Annotated[
        float,
        typer.Option(
            rich_help_panel=SCORES,
            help="Points of accuracy that an edit may cost.",
        ),
    ] = DEFAULTS.tolerance,
    device: Annotated[
        str,
        typer.Option(
            rich_help_panel=WHERE,
            help="auto, cpu or cuda:N.",
        ),
    ] = DEFAULTS.device,
    precision: Annotated[
        str,
        typer.Option(
            rich_help_panel=WHERE,
            help="auto, fp32 or bf16.",
        ),
    ] = DEFAULTS.precision,
    encoder_url: Annotated[
        str | None,
        typer.Option(
            rich_help_panel=WHERE, help="Address of a service; the same as --set encoder.url=…"
        ),
    ] = None,
    quantize: Annotated[
        int,
        typer.Option(
            rich_help_panel=ORACLE,
            help="8: round pixels for a local encoder to 8 bits; 0: exact floats.",
        ),
    ] = DEFAULTS.quantize,
    max_cost: Annotated[
        float,
        typer.Option(
            rich_help_panel=LIMITS,
            help="Limit on the cost of a service, by encoder.price; 0: no limit.",
        ),
    ] = DEFAULTS.max_cost,
    max_time: Annotated[
        str | None,
        typer.Option("--max-time", metavar="TIME", rich_help_panel=LIMITS, help=MAX_TIME),
    ] = None,
    until: Annotated[
        str | None,
        typer.Option(
            rich_help_panel=LIMITS,
            metavar="recovery=X",
            help="Stop once a snapshot has it; every snapshot is scored then.",
        ),
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="OWNER.NAME=VALUE",
            rich_help_panel=WHAT,
            help="A parameter, e.g. optimizer.step=0.02.",
        ),
    ] = None,
    config_file: Annotated[
        Path | None,
        typer.Option(
            "--config",
            rich_help_panel=WHAT,
            metavar="FILE",
            help="Defaults from a TOML file; see zobench show --config.",
        ),
    ] = None,
    out: Out = "runs",
    trackers: Trackers = None,
    record: Annotated[
        bool,
        typer.Option(
            "--record", rich_help_panel=OUTPUT, help="Keep all answers, for zobench replay."
        ),
    ] = False,
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run",
            rich_help_panel=LIMITS,
            help="Say what it will send, cost and take; send nothing.",
        ),
    ] = False,
    as_json: JsonFlag = False,
) -> None:
    """Run one optimizer against one encoder and score what it found."""
    from zobench.records.urls.copies import published
    from zobench.runs.lifecycle import start_run

    from .display.forecast import print_forecast
    from .display.progress import ConsoleListener
    from .display.result import print_result

    fields: dict[str, Any] = {
        "optimizer": optimizer,
        "encoder": encoder,
        "dataset": dataset,
        "disease": disease,
        "objective": objective,
        "data_root": data_root,
        "space": space,
        "box": box,
        "seed": seed,
        "budget": budget,
        "batch_size": batch_size,
        "penalty": penalty,
        "backward_cost": backward_cost,
        "heads": heads,
        "snapshots": snapshots,
        "scored": scored,
        "controls": controls,
        "baselines": baselines,
        "replicates": replicates,
        "tolerance": tolerance,
        "device": device,
        "precision": precision,
        "quantize": quantize,
        "max_cost": max_cost,
        "until": DEFAULTS.until if until is None else recovery(until),
        "max_time": DEFAULTS.max_time if max_time is None else seconds(max_time),
        "overrides": parse_overrides(settings or []),
    }
    if config_file is not None:
        fields = merged(read_config(config_file), fields, context)
    config = RunConfig(**fields)
    if encoder_url is not None:
        _require_service(config)
        config = config.with_settings("encoder", url=encoder_url)
    if dry_run:
        print_forecast(config, as_json)
        return
    with ConsoleListener() as listener, published(out) as folder:
        result = start_run(
            config, folder, listener=listener, trackers=trackers or [], record=record
        )
    print_result(result, as_json)


def _require_service(config: RunConfig) -> None:
    """Refuses an address for an encoder that has none.

    Raises:
        ConfigError: The encoder is no service.
    """
    from zobench.registry.discovery import load_registry

    offer, _ = load_registry().find("encoders", config.encoder)
    if "url" not in declarations(offer.plugin.parameters()):
        raise ConfigError(
            f"--encoder-url is the address of a service, but encoder {config.encoder!r} is none; name "
            "what it speaks: --encoder http:oip, or another one of zobench list encoders --all"
        )
