"""What this package registers, by hook; targets are imported only when used."""

from __future__ import annotations

from collections.abc import Mapping

from zobench.hookspecs import hookimpl
from zobench.registration import Plugin


@hookimpl
def zobench_register_optimizers() -> Mapping[str, Plugin]:
    """Optimizers, with the feedback they ask for."""
    return {
        "gezo": Plugin(
            "zobench_plugins.optimizers.gezo:Gezo",
            "greedy zeroth-order optimization (Jin et al. 2024, Algorithm 1)",
            label="value",
        ),
        "adam": Plugin(
            "zobench_plugins.optimizers.adam:Adam",
            "white-box Adam on the edit, the paper's DNE",
            label="gradient",
        ),
    }


@hookimpl
def zobench_register_datasets() -> Mapping[str, Plugin]:
    """Datasets, with where their films come from."""
    return {
        "phantom": Plugin(
            "zobench_plugins.datasets.phantom:PhantomDataset",
            "procedural chest X-rays: pleural_effusion, pneumonia, edema; sex as attribute",
            label="built in",
        ),
        "nih": Plugin(
            "zobench_plugins.datasets.nih:NihDataset",
            "ChestX-ray14 layout: any finding against No Finding; sex as attribute",
            label="--data-root",
        ),
    }
