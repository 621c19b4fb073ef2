"""Draws the paper's figures from runs, for print: as PDF or PNG, readable in greyscale."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from zobench.files.atomic import replaced
from zobench.runs.canvas import new_figure
from zobench.runs.pictures import STRONGEST, scaled, strength_map

from .study import Entry

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Grey = NDArray[np.float32]

LINES = {
    "eo_n": ("EO$_n$", "#0072b2", "o", -0.06),
    "eo_p": ("EO$_p$", "#d55e00", "s", 0.0),
    "accuracy": ("accuracy", "#000000", "^", 0.06),
}
"""The metrics of Fig. 2: title, colour, marker, and a shift so that bars do not overlap."""


def draw_ablation(points: Mapping[Any, Entry], erm: Entry, axis: str) -> Figure:
    """Fig. 2: EO and accuracy along an axis with their intervals, ERM dashed, and the queries."""
    figure = new_figure(6.0, 4.2)
    axes = figure.subplots()
    places = np.arange(len(points))
    for name, (title, color, marker, shift) in LINES.items():
        estimates = [entry.metrics[name] for entry in points.values()]
        value = np.asarray([estimate.value for estimate in estimates])
        below = value - [estimate.low for estimate in estimates]
        above = np.asarray([estimate.high for estimate in estimates]) - value
        axes.errorbar(
            places + shift,
            value,
            (below, above),
            label=title,
            capsize=2,
            color=color,
            marker=marker,
            markersize=5,
        )
        dashed = erm.metrics[name].value
        axes.axhline(dashed, color=color, linestyle="--", linewidth=0.9)
        axes.plot([len(points) - 0.6], [dashed], marker=marker, color=color, markersize=4)
    spent = [entry.queries["optimize"] for entry in points.values()]
    words = [f"{point:g}\n{queries:,.0f}" for point, queries in zip(points, spent, strict=True)]
    axes.set_xticks(places, words)
    axes.set(xlabel=f"{axis}; queries below", ylabel="percent", xlim=(-0.4, len(points) - 0.4))
    axes.spines[["top", "right"]].set_visible(False)
    axes.plot([], [], color="grey", linestyle="--", linewidth=0.9, label="ERM")
    axes.legend(frameon=False, ncols=4, loc="lower center", bbox_to_anchor=(0.5, 1.0))
    return figure


def draw_images(films: Grey, groups: Sequence[str], noises: Mapping[str, Grey]) -> Figure:
    """Fig. 3: a film of each group, and the same with each noise added.

    Args:
        films: ``(2, H, W)`` in [0, 1].
        groups: The names of the two groups.
        noises: The noises ``(H, W)``, by title.
    """
    figure = new_figure(2.4 * (1 + len(noises)), 5.2)
    axes = figure.subplots(len(films), 1 + len(noises))
    for row, (film, group) in enumerate(zip(films, groups, strict=True)):
        shown = {"original": film, **{title: film + noise for title, noise in noises.items()}}
        for column, (title, image) in enumerate(shown.items()):
            _film(axes[row, column], image, f"{group}, {title}")
    return figure


def draw_noise(films: Grey, groups: Sequence[str], noises: Mapping[str, Grey]) -> Figure:
    """Draws Fig. 4: the smoothed strength of each noise, and its strongest fifth over films."""
    figure = new_figure(2.6 * (1 + len(films)), 2.7 * len(noises))
    axes = figure.subplots(len(noises), 1 + len(films), squeeze=False)
    for row, (title, noise) in enumerate(noises.items()):
        strength = scaled(strength_map(noise))
        axes[row, 0].imshow(strength, cmap="gray", vmin=0, vmax=1)
        axes[row, 0].set_title(f"{title}: strength (bright)", fontsize=9)
        axes[row, 0].set_axis_off()
        strongest = strength >= np.quantile(strength, 1 - STRONGEST)
        for column, (film, group) in enumerate(zip(films, groups, strict=True), start=1):
            _film(axes[row, column], film, f"{group}: strongest {STRONGEST:.0%}")
            above = np.where(strongest, strength, np.nan)
            axes[row, column].imshow(above, cmap="autumn", alpha=0.55, vmin=0, vmax=1)
            axes[row, column].contour(strongest, levels=[0.5], colors="white", linewidths=0.8)
    return figure


def _film(axes: Axes, image: Grey, title: str) -> None:
    axes.imshow(image, cmap="gray", vmin=0, vmax=1)
    axes.set_title(title, fontsize=9)
    axes.set_axis_off()


def save(figure: Figure, path: Path) -> None:
    """Writes a figure; the suffix of ``path`` sets the format, e.g. ``.pdf`` or ``.png``.

    Raises:
        StoreError: The file cannot be written.
    """
    stamp = {"Software": None} if path.suffix == ".png" else {"CreationDate": None}
    with replaced(path.resolve()) as draft:
        figure.savefig(draft, format=path.suffix[1:], dpi=200, metadata=stamp)
