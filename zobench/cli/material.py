"""Commands about what runs are made of: plugins, encoders, weights, the installation."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from zobench.config import RunConfig, parse_overrides

from .options import DEFAULTS, JsonFlag, Settings
from .root import app


@app.command("list", rich_help_panel="What runs are made of")
def list_(
    kind: Annotated[
        str | None, typer.Argument(help="optimizers, encoders, datasets, spaces, …")
    ] = None,
    name: Annotated[str | None, typer.Argument(help="One of them, with its parameters.")] = None,
    as_json: JsonFlag = False,
    every: Annotated[
        bool, typer.Option("--all", help="Name and count the members of families too.")
    ] = False,
) -> None:
    """List what is installed: optimizers, encoders, datasets and what plugins bring."""
    from .listing import list_plugins

    list_plugins(kind, name, as_json, every)


@app.command(rich_help_panel="What runs are made of")
def probe(
    encoder: Annotated[str, typer.Option(help="See: zobench list encoders.")] = DEFAULTS.encoder,
    dataset: Annotated[str, typer.Option(help="See: zobench list datasets.")] = DEFAULTS.dataset,
    disease: Annotated[str, typer.Option(help="Finding to predict.")] = DEFAULTS.disease,
    data_root: Annotated[Path | None, typer.Option(help="Folder of the dataset.")] = None,
    images: Annotated[int, typer.Option(help="Use at most so many images.", min=20)] = 2000,
    seed: Annotated[int, typer.Option(help="Seed of the folds.")] = 0,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda:N.")] = DEFAULTS.device,
    precision: Annotated[str, typer.Option(help="auto, fp32 or bf16.")] = DEFAULTS.precision,
    settings: Settings = None,
    as_json: JsonFlag = False,
) -> None:
    """Say what a linear head reads from an encoder, by patient-grouped cross-validation."""
    from zobench.runs.probe import probe_encoder

    from .console import ConsoleListener, output_console

    config = RunConfig(
        encoder=encoder,
        dataset=dataset,
        disease=disease,
        data_root=data_root,
        seed=seed,
        device=device,
        precision=precision,
        overrides=parse_overrides(settings or []),
    )
    with ConsoleListener() as listener:
        found = probe_encoder(config, images, listener)
    if as_json:
        print(json.dumps(found.as_dict()))
        return
    console = output_console()
    console.print(
        f"{found.images:,} images of {found.patients:,} patients, {found.folds} folds by patient"
    )
    for name, value in (("sensitive attribute", found.sensitive), (disease, found.disease)):
        console.print(f"  {name:<22}{value.accuracy:6.1f} % accuracy   {value.auc:6.1f} % AUC")


@app.command(rich_help_panel="What runs are made of")
def pretrain(
    recipe: Annotated[str, typer.Argument(help="Weights to make.")] = "vit-mae",
    out: Annotated[Path, typer.Option(help="Folder for checkpoints and weights.")] = Path(
        "pretrained"
    ),
    images: Annotated[
        Path | None, typer.Option(help="Folder of unlabelled X-rays to learn from as well.")
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="recipe.NAME=VALUE", help="A number of the recipe."),
    ] = None,
) -> None:
    """Make bundled weights again, or others; resumes where it was stopped."""
    from zobench.contracts.pretraining import PretrainingRequest, dataset_maker
    from zobench.registry.discovery import load_registry

    from .console import ConsoleListener, output_console

    registry = load_registry()
    offer, _ = registry.find("pretrainings", recipe)
    request = PretrainingRequest(out, images, dataset_maker(registry))
    overrides = parse_overrides(settings or [], owners=("recipe",)).get("recipe", {})
    with ConsoleListener() as listener:
        weights = offer.plugin.make(request, overrides, "recipe").run(listener)
    output_console().print(f"weights: {weights}", soft_wrap=True)


@app.command(rich_help_panel="What runs are made of")
def doctor(as_json: JsonFlag = False) -> None:
    """Check this installation: versions, devices, caches, plugins, and what is missing."""
    from .checkup import examine

    examine(as_json)


@app.command(rich_help_panel="What runs are made of")
def serve(
    encoder: Annotated[str, typer.Option(help="See: zobench list encoders.")] = DEFAULTS.encoder,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="0 for any that is free.", min=0, max=65535)] = 8000,
    name: Annotated[
        str | None, typer.Option(help="Of the model in its address; the encoder's if not given.")
    ] = None,
    token_env: Annotated[
        str, typer.Option(help="Environment variable with the bearer token; unset: no token.")
    ] = "ZOBENCH_SERVE_TOKEN",
    device: Annotated[str, typer.Option(help="auto, cpu or cuda:N.")] = DEFAULTS.device,
    precision: Annotated[str, typer.Option(help="auto, fp32 or bf16.")] = DEFAULTS.precision,
    settings: Settings = None,
    max_images: Annotated[int, typer.Option(help="Images in a request.", min=1)] = 256,
    max_body: Annotated[int, typer.Option(help="MiB of a request's body.", min=1)] = 64,
    max_requests: Annotated[
        int, typer.Option(help="Requests at a time; more get 429.", min=1)
    ] = 64,
    max_waiting: Annotated[
        int, typer.Option(help="Images waiting for the encoder; more get 429.", min=1)
    ] = 4096,
    latency: Annotated[float, typer.Option(help="Play slow: seconds added to a request.")] = 0.0,
    jitter: Annotated[float, typer.Option(help="Play slow: at most so many seconds more.")] = 0.0,
    fail_rate: Annotated[float, typer.Option(help="Play faulty: share of requests to fail.")] = 0.0,
    rate_limit: Annotated[int, typer.Option(help="Play limited: images a minute.", min=0)] = 0,
    quantize: Annotated[int, typer.Option(help="Play 8-bit: 8 rounds pixels, 0 does not.")] = 0,
    seed: Annotated[int, typer.Option(help="Of what is played.")] = 0,
) -> None:
    """Serve an encoder over HTTP: Open Inference Protocol v2, and embeddings in OpenAI's shape."""
    from .serve import require_extra, serve_encoder

    require_extra()
    from zobench.serving.difficulties import Difficulties
    from zobench.serving.limits import Limits

    config = RunConfig(
        encoder=encoder,
        device=device,
        precision=precision,
        overrides=parse_overrides(settings or [], ("encoder",)),
    )
    limits = Limits(
        body=max_body * 2**20, images=max_images, requests=max_requests, waiting=max_waiting
    )
    difficulties = Difficulties(latency, jitter, fail_rate, rate_limit, quantize, seed)
    serve_encoder(config, name, host, port, token_env, limits, difficulties)
