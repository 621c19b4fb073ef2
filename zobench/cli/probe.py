"""``zobench probe``: measures how well linear heads read labels from an encoder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from zobench.config import RunConfig, parse_overrides

from .options import DEFAULTS, JsonFlag

if TYPE_CHECKING:
    from zobench.measures.interval import Interval

OWNERS = ("encoder", "dataset")
"""The owners of parameters that a probe has; it has no optimizer, objective and split."""


def probe(
    encoder: Annotated[str, typer.Option(help="See: zobench list encoders.")] = DEFAULTS.encoder,
    dataset: Annotated[str, typer.Option(help="See: zobench list datasets.")] = DEFAULTS.dataset,
    disease: Annotated[str, typer.Option(help="Finding to predict.")] = DEFAULTS.disease,
    data_root: Annotated[Path | None, typer.Option(help="Folder of the dataset.")] = None,
    images: Annotated[
        int, typer.Option(help="Largest number of images.", min=20, max=10_000_000)
    ] = 2000,
    seed: Annotated[int, typer.Option(help="Seed of the folds.")] = 0,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda:N.")] = DEFAULTS.device,
    precision: Annotated[str, typer.Option(help="auto, fp32 or bf16.")] = DEFAULTS.precision,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="OWNER.NAME=VALUE",
            help="A parameter of encoder or dataset, e.g. encoder.chunk=16.",
        ),
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Measure how well linear heads read labels, by patient-grouped cross-validation."""
    from zobench.runs.probe import probe_encoder

    from .display.console import output_console
    from .display.progress import ConsoleListener

    config = RunConfig(
        encoder=encoder,
        dataset=dataset,
        disease=disease,
        data_root=data_root,
        seed=seed,
        device=device,
        precision=precision,
        overrides=parse_overrides(settings or [], OWNERS),
    )
    with ConsoleListener() as listener:
        probed = probe_encoder(config, images, listener)
    if as_json:
        print(json.dumps(probed.as_dict()))
        return
    console = output_console()
    console.print(
        f"{probed.images:,} images of {probed.patients:,} patients, {probed.folds} folds by patient"
    )
    for name, value in (("sensitive attribute", probed.sensitive), (disease, probed.disease)):
        words = "" if value.reads else "   not read: the interval of the AUC is not above 50 %"
        console.print(
            f"  {name:<22}{_shown(value.accuracy)} % accuracy   {_shown(value.auc)} % AUC{words}",
            markup=False,
            soft_wrap=True,
        )


def _shown(value: Interval) -> str:
    return f"{value.value:6.1f} [{value.low:.1f}, {value.high:.1f}]"
