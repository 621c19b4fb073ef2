"""Commands about what runs are made of: plugins, encoders, weights, the installation."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from ..config import RunConfig, parse_overrides
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
    from ..probing import probe_encoder
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
    from ..plugins import load_registry
    from ..pretraining import PretrainingRequest, dataset_maker
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
