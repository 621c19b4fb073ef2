"""Renders the content of a report as one self-contained HTML page."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Callable, Sequence
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zobench.contracts.optimizer import FEEDBACK
from zobench.files.atomic import write_atomically
from zobench.records.layout import EDIT_PICTURE, IMAGES_PICTURE
from zobench.records.stored_run import StoredRun
from zobench.registry.discovery import distribution_version

from .content import Content
from .numbers import Json

if TYPE_CHECKING:
    from jinja2 import Environment
    from markupsafe import Markup

WIDTHS = {EDIT_PICTURE: 900, IMAGES_PICTURE: 480}
"""File names of a run's pictures, and the largest size of each on the page in pixels."""
QUALITY = 60


def write_page(out: Path, page: str) -> None:
    """Replaces a page as a whole; a link to a page stays a link.

    Characters that UTF-8 does not have, from names of folders, become question marks.

    Raises:
        StoreError: The page cannot be written; the old one stays as it was.
    """
    write_atomically(out.resolve(), page.encode(errors="replace"))


def render(title: str, content: Content, runs: Sequence[StoredRun]) -> str:
    """Renders the page and returns it as HTML text.

    Text from configs, plugins and files is escaped: the template escapes HTML, and the JSON data
    for the charts have a JSON escape in place of ``<``.

    Args:
        title: The title of the page.
        content: The numbers and facts of the page.
        runs: All runs of the report; the page shows the pictures of one run per optimizer and
            problem.
    """
    from plotly.offline import get_plotlyjs

    environment = templates()
    environment.filters["tojson_plain"] = _plain
    part = environment.get_template("figure.html.jinja")
    from markupsafe import Markup

    def figure(name: str, title: str, note: str) -> Markup:
        return Markup(part.render(name=name, title=title, note=note))

    shared: dict[str, Callable[..., Any]] = {
        "figure": figure,
        "cell": _cell,
        "count": _count,
        "queries": _queries,
        "share": _share,
    }
    here = resources.files("zobench.reporting")
    return environment.get_template("page.html.jinja").render(
        title=title + _where(runs),
        content=content,
        levels=_levels(content),
        leading=content.columns[:2],
        metrics=content.columns[2:],
        pictures=_pictures(runs),
        version=distribution_version("zobench"),
        style=(here / "page.css").read_text(encoding="utf-8"),
        script=(here / "page.js").read_text(encoding="utf-8"),
        plotly=get_plotlyjs(),
        data=_data(content),
        **shared,
    )


def _where(runs: Sequence[StoredRun]) -> str:
    """What the title says of runs at a service, whose encoder nobody here can look into."""
    billed = sum(run.bill is not None for run in runs)
    if not billed:
        return ""
    return f" ({'' if billed == len(runs) else 'partly '}measured at a service)"


def templates() -> Environment:
    """The templates of this package, which escape all text that they are given."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    return Environment(
        loader=PackageLoader("zobench.reporting", ""), autoescape=True, undefined=StrictUndefined
    )


def _levels(content: Content) -> list[tuple[str, list[Json]]]:
    """The rows of the results table by feedback level, in each level the best FPQ first."""
    ordered = sorted(content.rows, key=lambda row: -(row["fpq"]["value"] if row["fpq"] else -9.0))
    levels = ((level, [row for row in ordered if row["feedback"] == level]) for level in FEEDBACK)
    return [(level, rows) for level, rows in levels if rows]


def _data(content: Content) -> str:
    """The data of the charts as JSON without ``<``, so that no text can end the script element."""
    kept = {key: getattr(content, key) for key in ("problems", "curves", "runtimes", "tradeoffs")}
    rows = [{key: row[key] for key in ("optimizer", "problem", "feedback")} for row in content.rows]
    text = json.dumps({**kept, "rows": rows}, allow_nan=False)
    return text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


def _plain(value: object) -> str:
    return json.dumps(value, indent=1, default=str)


def _cell(interval: Json | None, digits: int, why: str = "") -> Markup:
    """A table cell with an interval; ``why`` explains the value when the pointer is over a star."""
    from markupsafe import Markup

    if interval is None:
        return Markup('<td class="number" data-value="-1e300">\N{EN DASH}</td>')
    value, low, high = (
        f"{round(interval[key], digits) + 0.0:.{digits}f}" for key in ("value", "low", "high")
    )
    star = Markup('<abbr title="{}">*</abbr>').format(why) if why else ""
    reason = Markup(' data-why="{}"').format(why) if why else ""
    return Markup(
        '<td class="number" data-value="{}" data-low="{}" data-high="{}"{}>{}{} '
        "<small>[{}, {}]</small></td>"
    ).format(
        *(interval[key] for key in ("value", "low", "high")),
        *(reason, _minus(value), star, _minus(low), _minus(high)),
    )


def _count(value: float) -> Markup:
    from markupsafe import Markup

    return Markup('<td class="number" data-value="{}">{}</td>').format(value, f"{value:,.0f}")


def _share(value: float) -> str:
    return _minus(f"{round(value, 2) + 0.0:.2f}")


def _queries(value: float | None) -> str:
    return "∞" if value is None else f"{value:,.0f}"


def _minus(text: str) -> str:
    return text.replace("-", "\N{MINUS SIGN}")


def _pictures(runs: Sequence[StoredRun]) -> list[Json]:
    """The pictures of one run per problem and optimizer.

    The run is the one with the lowest seed that is done and has both pictures.
    """
    shown: dict[tuple[str, str], Json] = {}
    for run in sorted(runs, key=lambda run: run.config.seed):
        key = (run.problem, run.label)
        pictures = [(run.files.picture(name), width) for name, width in WIDTHS.items()]
        if not run.done or key in shown or any(path is None for path, _ in pictures):
            continue
        edit, images = (embedded(path, width) for path, width in pictures if path is not None)
        names = {"problem": run.problem, "optimizer": run.label, "seed": run.config.seed}
        shown[key] = {**names, "edit": edit, "images": images}
    return [shown[key] for key in sorted(shown)]


def embedded(path: Path, width: int) -> str:
    """A picture as a WEBP data URL, reduced to at most ``width`` pixels in width and height."""
    from PIL import Image

    with Image.open(path) as picture:
        small = picture.convert("RGB")
        small.thumbnail((width, width))
    content = io.BytesIO()
    small.save(content, "WEBP", quality=QUALITY)
    return f"data:image/webp;base64,{base64.b64encode(content.getvalue()).decode()}"
