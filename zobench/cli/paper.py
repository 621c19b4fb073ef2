"""``zobench paper``: the paper's table and figures from runs of one's own."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ..config import RunConfig
from ..errors import ConfigError, Interrupted
from ..files import disk_errors
from ..paper.presets import PRESETS, Preset
from ..paper.study import Study
from ..parameters import nearest
from .console import ConsoleListener, output_console
from .suite import run_planned

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from ..paper.table import Block
    from ..plugins import Registry
    from ..progress import Listener

FORMATS = {"html": ".html", "latex": ".tex", "markdown": ".md", "csv": ".csv"}
PRODUCTS = ("table", "fig2a", "fig2b", "fig3", "fig4", "universality", "all")
NOISES = {"DNE": "dne:adam", "DNE-GeZO": "dne:gezo"}
"""What Fig. 3 and 4 show, by the paper's names."""


def chosen(
    name: str,
    seeds: int | None,
    epochs: int | None,
    diseases: Sequence[str],
    methods: Sequence[str],
) -> Preset:
    """A preset with what the user wants otherwise.

    Raises:
        ConfigError: There is none of that name.
    """
    _require(name, tuple(PRESETS), "--preset")
    preset = PRESETS[name]
    if seeds is not None:
        preset = dataclasses.replace(preset, seeds=seeds)
    if epochs is not None:
        preset = dataclasses.replace(preset, epochs=epochs, ablated_epochs=epochs)
    if diseases:
        ablated = preset.ablated if preset.ablated in diseases else diseases[0]
        preset = dataclasses.replace(preset, diseases=tuple(diseases), ablated=ablated)
    rows = dict.fromkeys((*preset.methods, *methods))
    return dataclasses.replace(preset, methods=tuple(rows))


def _require(value: str, known: Sequence[str], name: str) -> None:
    if value not in known:
        raise ConfigError(
            f"{name} is {value!r}, but must be one of {', '.join(known)}{nearest(value, known)}"
        )


def make_paper(
    product: str,
    preset: Preset,
    base: RunConfig,
    out: Path,
    jobs: int,
    form: str,
    transfer: Sequence[str],
) -> None:
    """Runs what is missing, then prints or draws what was asked for.

    Raises:
        ConfigError: An option is wrong.
        ZobenchError: A run failed, or the user stopped it; the same command goes on.
    """
    from ..plugins import load_registry

    _require(product, PRODUCTS, "WHAT")
    _require(form, ("terminal", *FORMATS), "--format")
    if "optimizer" in base.overrides:
        raise ConfigError(
            "--set optimizer.… would set it for every row; the rows are what the paper compares. "
            "Settings of datasets, encoders and splits may be given"
        )
    registry = load_registry()
    for method in preset.methods:
        registry.find("methods", method)
    with ConsoleListener() as listener:
        study = Study(preset, base, out, registry, listener)
        _run_ahead(study, product, jobs, registry, listener)
        wanted = PRODUCTS[:-1] if product == "all" else (product,)
        _Writer(study, out, form, transfer).write(wanted, whole=product == "all")


def _run_ahead(
    study: Study, product: str, jobs: int, registry: Registry, listener: Listener
) -> None:
    """All runs that are needed, several at a time."""
    from ..suite.file import Suite
    from ..suite.planning import plan

    needed: list[RunConfig] = []
    if product not in ("fig2a", "fig2b"):
        needed += study.table_runs()
    if product in ("fig2a", "all"):
        needed += [run for runs in study.penalty_runs().values() for run in runs]
    if product in ("fig2b", "all"):
        needed += [run for runs in study.iteration_runs().values() for run in runs]
    unique = {repr(config): config for config in needed}
    suite = Suite(f"paper {product}", tuple(unique.values()), ())
    planned = plan(suite, Path(f"preset {study.preset.name}"), study.out, registry, listener)
    running = run_planned(planned, jobs)
    if running.those("interrupted"):
        raise Interrupted("stopped; everything so far is saved. The same command goes on")
    for job, error in running.errors.items():
        raise ConfigError(f"{job.folder.name} failed: {error}")


class _Writer:
    """Puts what a study found where the user wants it."""

    def __init__(self, study: Study, out: Path, form: str, transfer: Sequence[str]) -> None:
        self._study, self._out, self._form, self._transfer = study, out, form, transfer

    def write(self, products: Sequence[str], whole: bool) -> None:
        """Each product; with ``whole`` tables are written in all formats besides."""
        makers: dict[str, Callable[[bool], None]] = {
            "table": self._table,
            "universality": self._universality,
            "fig2a": lambda whole: self._ablation("fig2a"),
            "fig2b": lambda whole: self._ablation("fig2b"),
            "fig3": lambda whole: self._noise("fig3"),
            "fig4": lambda whole: self._noise("fig4"),
        }
        for product in products:
            makers[product](whole)

    def _table(self, whole: bool) -> None:
        from ..paper.table import arrange

        self._tell(arrange(self._study.table()), "table", whole)

    def _universality(self, whole: bool) -> None:
        from ..paper.table import arrange

        own = self._study.problems()
        self._tell(arrange(self._study.universality(own)), "universality", whole)
        for encoder in self._transfer:
            targets = [config.changed(encoder=encoder) for config in own]
            found = arrange(self._study.universality(targets))
            self._tell(found, f"transfer-{encoder.replace(':', '_').replace('/', '_')}", whole)

    def _tell(self, blocks: Sequence[Block], name: str, whole: bool) -> None:
        from ..paper import table

        texts = {
            "html": lambda: table.page(blocks, f"{name}, preset {self._study.preset.name}"),
            "latex": lambda: table.latex(blocks),
            "markdown": lambda: table.markdown(blocks),
            "csv": lambda: table.as_csv(blocks),
        }
        console = output_console()
        if whole:
            for form, suffix in FORMATS.items():
                self._save(name + suffix, texts[form]())
        if self._form == "terminal":
            for each in table.rich_tables(blocks):
                console.print(each)
        else:
            print(texts[self._form](), end="")

    def _save(self, name: str, text: str) -> None:
        with disk_errors(self._out):
            self._out.mkdir(parents=True, exist_ok=True)
            (self._out / name).write_text(text, encoding="utf-8")

    def _ablation(self, name: str) -> None:
        from ..paper.figures import draw_ablation
        from ..paper.study import entries

        study = self._study
        (erm,) = entries(study.solve(["erm"], study.problems([study.preset.ablated])))
        if name == "fig2a":
            figure = draw_ablation(study.ablation(study.penalty_runs()), erm, "λ, white-box")
        else:
            figure = draw_ablation(
                study.ablation(study.iteration_runs()), erm, "R, local iterations of GeZO"
            )
        self._draw(figure, name)

    def _noise(self, name: str) -> None:
        from ..paper.figures import draw_images, draw_noise

        disease = self._study.preset.ablated
        films, groups = self._study.films(disease)
        noises = {title: self._study.noise(method, disease) for title, method in NOISES.items()}
        draw = draw_images if name == "fig3" else draw_noise
        self._draw(draw(films, groups, noises), name)

    def _draw(self, figure: Figure, name: str) -> None:
        from ..paper.figures import save

        for suffix in (".pdf", ".png"):
            path = self._out / f"{name}{suffix}"
            save(figure, path)
            output_console().print(f"wrote {path}", soft_wrap=True, highlight=False)
