"""``zobench pretrain``: trains bundled weights again."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from zobench.config import parse_overrides


def pretrain(
    recipe: Annotated[
        str, typer.Argument(metavar="[RECIPE]", help="See: zobench list pretrainings.")
    ] = "vit-mae",
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
    """Train bundled weights again, or other weights; an interrupted training resumes."""
    from zobench.contracts.pretraining import Pretraining, PretrainingRequest
    from zobench.files.atomic import require_writable
    from zobench.registry.discovery import load_registry
    from zobench.runs.pretraining import dataset_maker

    from .display.console import output_console
    from .display.progress import ConsoleListener

    require_writable(out)
    registry = load_registry()
    offer, _ = registry.find("pretrainings", recipe)
    request = PretrainingRequest(out, images, dataset_maker(registry))
    overrides = parse_overrides(settings or [], owners=("recipe",)).get("recipe", {})
    pretraining: Pretraining = offer.plugin.make(request, overrides, "recipe")
    with ConsoleListener() as listener:
        weights = pretraining.run(listener)
    output_console().print(f"weights: {weights}", soft_wrap=True, markup=False)
