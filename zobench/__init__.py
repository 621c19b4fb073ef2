"""zobench: which black-box optimizer buys the most fairness per query?

From Python::

    import zobench

    result = zobench.run(optimizer="gezo", encoder="vit-mae", budget=6400)
    print(result.fpq.value, result.scores[-1].metrics["eo_p"])
"""

from __future__ import annotations

import dataclasses
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .config import RunConfig, parse_overrides
from .contracts.head import HeadProtocol
from .contracts.metric import Metric
from .contracts.parameters import cut, nearest, parameter
from .errors import (
    BudgetExhausted,
    ConfigError,
    DatasetError,
    EncoderError,
    Interrupted,
    PluginError,
    StoreError,
    ZobenchError,
)
from .registry.hooks import hookimpl
from .registry.plugin import Plugin

if TYPE_CHECKING:
    from .comparison.pairs import Comparison
    from .contracts.listener import Listener
    from .records.selection import Choice
    from .records.stored_run import StoredRun
    from .registry.discovery import Registry
    from .reporting.report import Report
    from .suite.suite_run import SuiteResult

__version__ = "0.1.0"

__all__ = [
    "BudgetExhausted",
    "ConfigError",
    "DatasetError",
    "EncoderError",
    "Interrupted",
    "Metric",
    "Plugin",
    "PluginError",
    "RunConfig",
    "StoreError",
    "ZobenchError",
    "compare",
    "hookimpl",
    "parameter",
    "report",
    "resume",
    "run",
    "run_suite",
    "show",
]

_DEFAULTS, _FIELDS = RunConfig(), dataclasses.fields(RunConfig)

PathOrUrl = str | os.PathLike[str]
"""A path, or a URL such as ``s3://bucket/runs``."""


def __dir__() -> list[str]:
    """The public names."""
    return [*__all__, "__version__"]


def run(  # noqa: D417  # RunConfig describes its fields
    config: RunConfig | None = None,
    *,
    optimizer: str = _DEFAULTS.optimizer,
    encoder: str = _DEFAULTS.encoder,
    dataset: str = _DEFAULTS.dataset,
    disease: str = _DEFAULTS.disease,
    objective: str = _DEFAULTS.objective,
    data_root: str | os.PathLike[str] | None = _DEFAULTS.data_root,
    space: str = _DEFAULTS.space,
    box: float = _DEFAULTS.box,
    seed: int = _DEFAULTS.seed,
    budget: int = _DEFAULTS.budget,
    batch_size: int = _DEFAULTS.batch_size,
    penalty: float = _DEFAULTS.penalty,
    backward_cost: int = _DEFAULTS.backward_cost,
    heads: HeadProtocol = _DEFAULTS.heads,
    snapshots: int = _DEFAULTS.snapshots,
    scored: int = _DEFAULTS.scored,
    controls: str = _DEFAULTS.controls,
    baselines: str = _DEFAULTS.baselines,
    replicates: int = _DEFAULTS.replicates,
    tolerance: float = _DEFAULTS.tolerance,
    device: str = _DEFAULTS.device,
    precision: str = _DEFAULTS.precision,
    quantize: int = _DEFAULTS.quantize,
    max_cost: float = _DEFAULTS.max_cost,
    max_time: float = _DEFAULTS.max_time,
    until: float = _DEFAULTS.until,
    overrides: Mapping[str, Mapping[str, Any]] | None = None,
    set: Mapping[str, object] | None = None,  # noqa: A002  # as --set on the command line
    out: PathOrUrl = "runs",
    progress: bool | None = None,
    registry: Registry | None = None,
    listener: Listener | None = None,
    **unknown: Any,
) -> StoredRun:
    """Carries out one run.

    The keywords are the fields of :class:`RunConfig`, which says what each means.

    Args:
        config: The config of the run, instead of keywords for its fields.
        overrides: Parameters by owner and name, e.g. ``{"optimizer": {"step": 0.02}}``.
        set: The same as on the command line, e.g. ``{"optimizer.step": 0.02}``.
        out: Folder for run folders, or its URL.
        progress: Whether the progress is shown on standard error; in notebooks and terminals if
            ``None``, unless there is a listener.
        registry: Plugins; those of the installed packages if ``None``.
        listener: Receives the progress.
        **unknown: Keywords of no field, which are refused with a hint.

    Returns:
        The finished run.

    Raises:
        ConfigError: A keyword is unknown, a value is not allowed, or a config is given and a keyword
            differs from its default.
        ZobenchError: See :mod:`zobench.errors`.
    """
    arguments = locals()
    given = {field.name: arguments[field.name] for field in _FIELDS}
    given["overrides"] = overrides or {}
    from .records.urls.copies import published
    from .runs.lifecycle import start_run

    if config is not None and not isinstance(config, RunConfig):
        raise ConfigError(
            f"zobench.run takes keywords, or a RunConfig first, not {config!r:.80}; e.g. "
            'zobench.run(optimizer="probes")'
        )
    if set is not None and not isinstance(set, Mapping):
        raise ConfigError(f"set is {set!r:.80}, but must be a mapping: {{'optimizer.step': 0.02}}")
    for name, value in (set or {}).items():
        if isinstance(value, Mapping):
            raise ConfigError(
                f"set has a mapping at {name!r}, but must have names of the form owner.name: "
                "set={'optimizer.step': 0.02}; mappings by owner go to overrides={'optimizer': {...}}"
            )
    names = [field.name for field in _FIELDS]
    for name in unknown:
        keywords = [*names, "set", "out", "progress", "registry", "listener"]
        raise ConfigError(
            f"zobench.run has no keyword {name!r}{nearest(name, keywords)}; known: {', '.join(keywords)}"
        )
    made = RunConfig(**given)
    if set:
        settings = [f"{name}={value}" for name, value in set.items()]
        for owner, values in parse_overrides(settings).items():
            made = made.with_settings(owner, **values)
    if config is not None and made != _DEFAULTS:
        raise ConfigError("give zobench.run a config or keywords, not both")
    with ExitStack() as entered:
        folder = entered.enter_context(published(_place(out, "out")))
        if listener is None and (_is_watched() if progress is None else progress):
            from .cli.display.progress import ConsoleListener

            listener = entered.enter_context(ConsoleListener())
        return start_run(config or made, folder, registry=registry, listener=listener)


def _is_watched() -> bool:
    """Whether somebody looks on: a terminal, or a notebook."""
    shell = sys.modules.get("IPython")
    notebook = shell is not None and shell.get_ipython() is not None
    return notebook or sys.stderr.isatty()


def resume(
    folder: PathOrUrl,
    *,
    budget: int | None = None,
    max_cost: float | None = None,
    max_time: float | None = None,
    overrides: Mapping[str, Mapping[str, Any]] | None = None,
    registry: Registry | None = None,
    listener: Listener | None = None,
) -> StoredRun:
    """Resumes an interrupted, failed or killed run; a finished run is only read, or extended.

    Args:
        folder: A run folder, or its URL.
        budget: Larger budget of the whole run, in queries; a finished run goes on to it.
        max_cost: New limit on the total cost of a service; 0 for none. A finished run that the limit
            had ended goes on.
        max_time: New limit on the wall time of the whole run, in seconds; 0 for none. A finished run
            that the limit had ended goes on.
        overrides: Other values of the parameters that say how a service is used, such as
            ``{"encoder": {"chunk": 8}}``.
        registry: Plugins; those of the installed packages if ``None``.
        listener: Receives the progress.

    Raises:
        NotARunError: The folder is no run folder.
        ConfigError: The encoder, dataset, split, parameters, device or precision differ from those
            that the run began with, or the run cannot be extended.
        ZobenchError: See :mod:`zobench.errors`.
    """
    from .records.urls.copies import published_run
    from .runs.lifecycle import resume_run

    with published_run(_place(folder, "folder")) as place:
        return resume_run(
            place,
            registry=registry,
            listener=listener,
            budget=budget,
            max_cost=max_cost,
            max_time=max_time,
            overrides=overrides,
        )


def show(folder: PathOrUrl, *, registry: Registry | None = None) -> StoredRun:
    """Reads a run folder, finished or not. Statistics are computed when they are first asked for.

    Args:
        folder: A run folder, or its URL.
        registry: Plugins; those of the installed packages if ``None``.

    Raises:
        NotARunError: It is no run folder.
        DamagedError: A file of the run is damaged or missing.
        StoreError: It cannot be read, or was written by another version of zobench.
    """
    from .records.stored_run import StoredRun
    from .records.urls.copies import fetch

    opened = StoredRun(fetch(_place(folder, "folder")), registry)
    opened.files.require_whole()
    _ = opened.files.scores
    return opened


def run_suite(
    file: str | os.PathLike[str],
    *,
    out: PathOrUrl = "runs",
    jobs: int | None = None,
    executor: str = "local",
    settings: Mapping[str, Any] | None = None,
    trackers: Sequence[str] = (),
    data_root: str | os.PathLike[str] | None = None,
    registry: Registry | None = None,
    listener: Listener | None = None,
) -> SuiteResult:
    """Carries out the runs of a suite file that are not done yet.

    Args:
        file: The suite, in TOML; or the name of a suite that comes with zobench, such as
            ``"standard"``.
        out: Folder for run folders, or its URL.
        jobs: Number of runs carried out at the same time; ``None``: the executor chooses it.
        executor: Registered name of the executor that carries out the runs.
        settings: Parameters of the executor.
        trackers: Names of the trackers that receive the events of each run.
        data_root: Folder of the datasets for which the file names none.
        registry: Plugins; those of the installed packages if ``None``. Worker processes always use
            the plugins of the installed packages.
        listener: Receives the progress while the runs are planned.

    Returns:
        The status of every run; a failed run raises no error.

    Raises:
        ConfigError: The file is wrong; all problems are listed, and nothing was started.
        ZobenchError: See :mod:`zobench.errors`.
    """
    from .suite.engine import Engine
    from .suite.named_suites import suite_file
    from .suite.suite_run import run_suite_file

    if isinstance(trackers, str):
        raise ConfigError(f"trackers is {trackers!r}, but must be a list of names: [{trackers!r}]")
    engine = Engine(executor, jobs, settings=settings or {})
    return run_suite_file(
        suite_file(_place(file, "file", "a path, or the name of a suite")),
        _place(out, "out"),
        engine,
        trackers=trackers,
        data_root=Path(data_root) if data_root is not None else None,
        registry=registry,
        listener=listener,
    )


def compare(
    a: PathOrUrl,
    b: PathOrUrl | None = None,
    *,
    optimizer_a: str | None = None,
    optimizer_b: str | None = None,
    margins: Mapping[str, float] | None = None,
    where: Mapping[str, object] | None = None,
    registry: Registry | None = None,
) -> Comparison:
    """Tells whether the runs of B are better than those of A, paired by problem and seed.

    Args:
        a: The reference: a run folder, or a folder of runs; or its URL.
        b: The runs that may be better, as a folder or URL like ``a``; ``None`` for ``a`` itself.
        optimizer_a: Label of an optimizer; only its runs in A are compared.
        optimizer_b: Label of an optimizer; only its runs in B are compared.
        margins: By metric, the largest loss at which B still counts as no worse than A.
        where: Only runs with these values, e.g. ``{"budget": 6400}``.
        registry: Plugins; those of the installed packages if ``None``.

    Raises:
        ConfigError: No finished run of A has a finished partner in B, or runs are not comparable.
        StoreError: ``a`` or ``b`` holds no run, or a run is damaged.
    """
    from .comparison.compare import compare_locations
    from .records.urls.copies import fetch

    sides = _place(a, "a"), _place(b if b is not None else a, "b")
    locations = [fetch(place) for place in sides]
    return compare_locations(
        *locations,
        optimizer_a=optimizer_a,
        optimizer_b=optimizer_b,
        margins=margins,
        choice=_choice(where),
        registry=registry,
    )


def _place(value: PathOrUrl, name: str, rule: str = "a path or a URL") -> str:
    """A path or URL that a caller gave, as text."""
    if not isinstance(value, str | os.PathLike):
        raise ConfigError(f"{name} is {cut(value)}, but must be {rule}")
    return os.fspath(value)


def _choice(where: Mapping[str, object] | None) -> Choice:
    from .records.selection import Choice, Where

    if where is not None and not isinstance(where, Mapping):
        raise ConfigError(f"where is {cut(where)}, but must be a mapping: {{'budget': 6400}}")
    return Choice([Where.parsed(f"{key}={value}") for key, value in (where or {}).items()])


def report(
    runs: PathOrUrl | Iterable[PathOrUrl],
    out: str | os.PathLike[str] = "report.html",
    *,
    title: str = "zobench report",
    targets: Sequence[float] | None = None,
    most: int | None = None,
    where: Mapping[str, object] | None = None,
    force: bool = False,
    registry: Registry | None = None,
    listener: Listener | None = None,
) -> Report:
    """Writes one self-contained HTML page about many runs.

    Args:
        runs: Run folders, and folders of runs, or their URLs; or one of them.
        out: Path of the HTML file.
        title: Title of the page.
        targets: Target values of recovery for the runtime analysis, increasing, each in (0, 1];
            ``None`` for 0.1, 0.25, 0.5 and 0.75.
        most: Largest number of runs on the page; a sample is spread evenly over optimizers and
            problems. ``None`` for all runs.
        where: Only runs with these values, e.g. ``{"budget": 6400}``.
        force: Whether to replace an existing file.
        registry: Plugins; those of the installed packages if ``None``.
        listener: Receives the progress.

    Raises:
        ConfigError: The file exists already, no run or no such targets are given, or the runs cannot be
            shown on one page.
        StoreError: A folder holds no run, a run is damaged, or the page cannot be written.
    """
    from .records.urls.copies import fetch
    from .reporting.report import write_report
    from .suite.file import TARGETS, checked_targets

    places = (  # a path is no iterable
        list(runs) if isinstance(runs, Iterable) and not isinstance(runs, str) else [runs]
    )
    if not places:
        raise ConfigError("zobench.report got no run; name run folders, or folders of runs")
    return write_report(
        [fetch(_place(place, "runs")) for place in places],
        Path(_place(out, "out", "a path")),
        title=title,
        targets=TARGETS if targets is None else checked_targets(targets),
        most=most,
        choice=_choice(where),
        force=force,
        registry=registry,
        listener=listener,
    )
