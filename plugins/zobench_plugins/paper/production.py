"""Runs the experiments of ``zobench paper``, and writes its table and figures."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.markup import escape

from zobench.cli.display.board import board_for
from zobench.cli.display.console import error_console, output_console
from zobench.cli.display.forecast import print_suite_forecast
from zobench.cli.display.layouts import print_fitting
from zobench.cli.display.progress import ConsoleListener
from zobench.config import RunConfig
from zobench.contracts.parameters import nearest, resolve
from zobench.errors import ConfigError, Interrupted
from zobench.files.atomic import write_atomically
from zobench.runs.shared_parts import SharedParts
from zobench.suite.engine import Engine, run_planned

from .gradients import require_before_any_run
from .presets import PRESETS, Preset
from .study import DNE, Study

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from zobench.contracts.listener import Listener
    from zobench.registry.discovery import Registry
    from zobench.suite.file import Suite

    from .table import Block

FORMATS = {"html": ".html", "latex": ".tex", "markdown": ".md", "csv": ".csv"}
PRODUCTS = ("table", "fig2a", "fig2b", "fig3", "fig4", "universality", "all")


def chosen(
    name: str,
    seeds: int | None,
    epochs: int | None,
    diseases: Sequence[str],
    methods: Sequence[str],
    without: Sequence[str],
    settings: Mapping[str, str],
) -> Preset:
    """A preset with the changes that the user asked for.

    Raises:
        ConfigError: The preset, a row or a method is unknown.
    """
    _require(name, tuple(PRESETS), "--preset")
    preset = PRESETS[name]
    if seeds is not None:
        preset = dataclasses.replace(preset, seeds=seeds)
    if epochs is not None:
        preset = dataclasses.replace(preset, epochs=epochs, ablated_epochs=epochs)
    if diseases:
        diseases = [
            *dict.fromkeys(re.sub(r"[\s-]+", "_", disease.strip().lower()) for disease in diseases)
        ]
        ablated = preset.ablated if preset.ablated in diseases else diseases[0]
        preset = dataclasses.replace(preset, diseases=tuple(diseases), ablated=ablated)
    rows = list(dict.fromkeys((*preset.methods, *methods)))
    for method in without:
        _require(method, rows, "--without")
        rows.remove(method)
    by_method = {name: dict(values) for name, values in preset.settings.items()}
    for path, value in settings.items():
        method, dot, name = path.rpartition(".")
        if not dot:
            raise ConfigError(
                f"--set method.{path} is not of the form method.NAME.parameter=value, e.g. "
                "method.biasadv.steps=5"
            )
        _require(method, [row.partition(":")[0] for row in rows], "--set method")
        by_method.setdefault(method, {})[name] = value
    return dataclasses.replace(preset, methods=tuple(rows), settings=by_method)


def _require(value: str, allowed: Sequence[str], name: str) -> None:
    if value not in allowed:
        raise ConfigError(
            f"{name} is {value!r}, but must be one of {', '.join(allowed)}{nearest(value, allowed)}"
        )


def make_paper(
    product: str,
    preset: Preset,
    base: RunConfig,
    out: Path,
    jobs: int,
    form: str,
    transfer: Sequence[str],
    dry: bool = False,
) -> bool:
    """Carries out missing runs, then writes the products; false if a run failed.

    With ``dry`` it only says what the runs will send, cost and take.

    Raises:
        ConfigError: An option is wrong.
        Interrupted: The user stopped it; the same command goes on.
    """
    from zobench.registry.discovery import load_registry

    _require(product, PRODUCTS, "WHAT")
    _require(form, ("terminal", *FORMATS), "--format")
    if "optimizer" in base.overrides:
        raise ConfigError(
            "--set optimizer.… would set it for every row; the rows are what the paper compares. "
            "Settings of datasets, encoders and splits may be given"
        )
    registry = load_registry()
    for method in preset.methods:
        offer, _ = registry.find("methods", method)
        name = method.partition(":")[0]
        resolve(offer.plugin.parameters(), preset.settings.get(name, {}), f"method.{name}")
    if transfer and product not in ("universality", "all"):
        raise ConfigError("--transfer-to goes with universality, or all")
    if product in ("table", "all"):
        require_before_any_run(preset.methods, base, registry)
    with ConsoleListener() as listener, SharedParts(registry, listener) as shared:
        study = Study(preset, base, out, shared)
        if dry:
            print_suite_forecast(_suite(study, product), False)
            if rest := _not_counted(preset, product):
                output_console().print(
                    f"[dim]without the rows {', '.join(rest)}, which send more[/]"
                )
            return True
        _check_transfer(base, transfer, registry)
        if not _run_ahead(study, product, jobs, registry, listener):
            return False
        wanted = PRODUCTS[:-1] if product == "all" else (product,)
        _Writer(study, out, form, transfer).write(wanted, whole=product == "all")
    return True


def _elsewhere(config: RunConfig, encoder: str) -> RunConfig:
    """The same problem with another encoder, which has default settings."""
    rest = {owner: values for owner, values in config.overrides.items() if owner != "encoder"}
    return config.changed(encoder=encoder, overrides=rest)


def _check_transfer(base: RunConfig, encoders: Sequence[str], registry: Registry) -> None:
    """Checks the encoders of ``--transfer-to`` before any run starts.

    Raises:
        ConfigError: An encoder is not known, or has images of another size.
    """
    from zobench.runs.parts import make_encoder
    from zobench.runs.resolved import resolve_plugin

    sizes = []
    for config in (base, *(_elsewhere(base, name) for name in encoders)) if encoders else ():
        overrides = config.overrides.get("encoder", {})
        plugin = resolve_plugin("encoder", config.encoder, overrides, registry)
        made = make_encoder(config, plugin)
        sizes.append(made.spec.image_shape[1:])
        made.close()
        if sizes[-1] != sizes[0]:
            raise ConfigError(
                f"--transfer-to {config.encoder}: its images have {sizes[-1][0]} x {sizes[-1][1]} "
                f"pixels, and the noise of {base.encoder} {sizes[0][0]} x {sizes[0][1]}"
            )


def _run_ahead(
    study: Study, product: str, jobs: int, registry: Registry, listener: Listener
) -> bool:
    """Carries out all needed runs, ``jobs`` at a time; whether all are done."""
    from zobench.suite.planning import plan

    suite = _suite(study, product)
    planned = plan(suite, Path(f"preset {study.preset.name}"), study.out, registry, listener)
    running = run_planned(
        planned, Engine(jobs=jobs), registry, study.out, board_for=board_for, note=_note
    )
    if running.unfinished:
        raise Interrupted("stopped; everything so far is saved. The same command goes on")
    for job, error in running.errors.items():
        words = f"[red]failed[/] {escape(str(job.folder))}: {escape(error)}"
        error_console().print(words, soft_wrap=True, highlight=False)
    return not running.errors


def _suite(study: Study, product: str) -> Suite:
    """The runs that a product is made from."""
    from zobench.suite.file import Suite

    needed: list[RunConfig] = []
    if product in ("table", "all"):
        needed += study.table_runs()
    if product in ("universality", "all"):
        needed += study.source_runs()
    if product in ("fig3", "fig4", "all"):
        needed += study.shown_runs()
    if product in ("fig2a", "all"):
        needed += [run for runs in study.penalty_runs().values() for run in runs]
    if product in ("fig2b", "all"):
        needed += [run for runs in study.iteration_runs().values() for run in runs]
    unique = {repr(config): config for config in needed}
    return Suite(f"paper {product}", tuple(unique.values()), ())


def _not_counted(preset: Preset, product: str) -> list[str]:
    """The rows of a product that are made without runs, so that a forecast does not count them."""
    if product in ("table", "all"):
        return [method for method in preset.methods if not method.startswith(DNE)]
    return [] if product in ("fig3", "fig4") else ["erm"]


def _note(text: str) -> None:
    error_console().print(text, markup=False)


class _Writer:
    """Prints the tables of a study, and writes its tables and figures to files."""

    def __init__(self, study: Study, out: Path, form: str, transfer: Sequence[str]) -> None:
        self._study, self._out, self._form, self._transfer = study, out, form, transfer

    def write(self, products: Sequence[str], whole: bool) -> None:
        """Writes each product; with ``whole`` also writes the tables in all formats."""
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
        from .table import arrange

        self._tell(arrange(self._study.table(), self._study.columns), "table", whole)

    def _universality(self, whole: bool) -> None:
        from .table import arrange

        own = self._study.problems()
        self._tell(
            arrange(self._study.universality(own), self._study.columns), "universality", whole
        )
        for encoder in self._transfer:
            targets = [_elsewhere(config, encoder) for config in own]
            blocks = arrange(self._study.universality(targets), self._study.columns)
            self._tell(blocks, f"transfer-{encoder.replace(':', '_').replace('/', '_')}", whole)

    def _tell(self, blocks: Sequence[Block], name: str, whole: bool) -> None:
        from . import table

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
            tables = table.rich_tables(blocks), table.rich_tables(blocks, short=True)
            print_fitting(zip(*tables, strict=True), console)
            console.print(
                "percent: mean over seeds, 95 % interval over seeds and patients, and below it what the "
                f"paper published for CheXpert; best bold, second underlined; runs in {self._out}",
                soft_wrap=True,
                markup=False,
                highlight=False,
            )
        else:
            print(texts[self._form](), end="")

    def _save(self, name: str, text: str) -> None:
        write_atomically(self._out / name, text.encode())

    def _ablation(self, name: str) -> None:
        from .figures import draw_ablation

        study = self._study
        (erm,) = study.entries(study.solve(["erm"], study.problems([study.preset.ablated])))
        if name == "fig2a":
            figure = draw_ablation(study.ablation(study.penalty_runs()), erm, "λ, white-box")
        else:
            figure = draw_ablation(
                study.ablation(study.iteration_runs()), erm, "R, local iterations of GeZO"
            )
        self._draw(figure, name)

    def _noise(self, name: str) -> None:
        from .figures import draw_images, draw_noise

        disease = self._study.preset.ablated
        films, groups = self._study.films(disease)
        shown = self._study.shown_noises().items()
        noises = {title: self._study.noise(method, disease) for title, method in shown}
        draw = draw_images if name == "fig3" else draw_noise
        self._draw(draw(films, groups, noises), name)

    def _draw(self, figure: Figure, name: str) -> None:
        from .figures import save

        for suffix in (".pdf", ".png"):
            path = self._out / f"{name}{suffix}"
            save(figure, path)
            error_console().print(f"wrote {path}", soft_wrap=True, highlight=False, markup=False)
