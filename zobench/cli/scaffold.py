"""``zobench plugin new``: the files of a small plugin project that works unchanged."""

from __future__ import annotations

import keyword
import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from string import Template

from zobench.contracts.parameters import cut, nearest
from zobench.errors import ConfigError

MAX_CHARACTERS = 60
NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")


@dataclass(frozen=True)
class Example:
    """The parts of a project that differ between the kinds of plugins.

    Attributes:
        module: The template of the module.
        use: The command that uses the plugin.
        attributes: Lines of the test class beside the name.
        check: Options of ``zobench plugin check``.
    """

    module: str
    use: str
    attributes: str = ""
    check: str = ""


EXAMPLES: Mapping[str, Example] = {
    "optimizer": Example(
        "optimizer.py.txt", "zobench run --optimizer $name", "    progress = 0.1\n"
    ),
    "encoder": Example("encoder.py.txt", "zobench run --optimizer kalman --encoder $name"),
    "dataset": Example(
        "dataset.py.txt",
        "zobench run --optimizer kalman --dataset $name --disease stripes",
        '    disease = "stripes"\n',
        " --disease stripes",
    ),
    "method": Example("method.py.txt", "zobench run --optimizer kalman --baselines $name"),
    "objective": Example("objective.py.txt", "zobench run --optimizer kalman --objective $name"),
    "metric": Example("metric.py.txt", "zobench list metrics $name"),
}
LEVELS = ("value", "embeddings")
"""The levels of feedback of which there is an example of an optimizer."""


def write_project(
    name: str, parent: Path, feedback: str = "value", kind: str = "optimizer"
) -> Path:
    """Writes the project ``zobench-<name>`` into ``parent`` and returns its folder.

    Args:
        name: The name of the plugin; a metric's name has underscores in place of hyphens.
        parent: The folder to write into.
        feedback: The level of feedback of an optimizer: ``value`` or ``embeddings``.
        kind: The kind of the plugin, a key of :data:`EXAMPLES`.

    Raises:
        ConfigError: The name is no plugin name, there is no example of that kind or level, or the
            folder exists or cannot be written.
    """
    example = EXAMPLES.get(kind)
    if example is None:
        raise ConfigError(
            f"kind is {cut(kind)}{nearest(kind, EXAMPLES)}, but must be one of {', '.join(EXAMPLES)}"
        )
    if feedback not in LEVELS or (kind != "optimizer" and feedback != LEVELS[0]):
        raise ConfigError(
            f"feedback is {cut(feedback)}, but must be {' or '.join(LEVELS)}, and only an optimizer has "
            "it: there are examples of these two"
        )
    if kind == "optimizer" and feedback != LEVELS[0]:
        example = Example(f"optimizer-{feedback}.py.txt", example.use, example.attributes)
    _check_name(name)
    contents = _contents(name, kind, example)
    folder = parent / f"zobench-{name}"
    if folder.exists():
        raise ConfigError(f"{folder} exists already; choose another name or another --out")
    try:
        for path, text in contents.items():
            target = folder / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text)
    except OSError as error:
        raise ConfigError(
            f"cannot write {folder}: {error.strerror}; choose another --out"
        ) from error
    return folder


def registered_name(name: str, kind: str) -> str:
    """The name that a project registers: a metric is a key of JSON, so it has underscores."""
    return name.replace("-", "_") if kind == "metric" else name


def _check_name(name: str) -> None:
    if not NAME.fullmatch(name):
        raise ConfigError(
            f"the name is {cut(name)}, but must be small letters and digits, a letter first, joined by "
            "single hyphens, e.g. random-walk"
        )
    if len(name) > MAX_CHARACTERS:
        raise ConfigError(
            f"the name has {len(name):,} characters; at most {MAX_CHARACTERS} are allowed"
        )
    if keyword.iskeyword(name.replace("-", "_")) or keyword.iskeyword(_class(name)):
        raise ConfigError(
            f"the name is {name!r}, a word of Python, so no module or class can have it; choose "
            f"another, e.g. {name}-search"
        )


def _contents(name: str, kind: str, example: Example) -> dict[str, str]:
    """The files of a project, by path."""
    module = name.replace("-", "_")
    article = "an" if kind[0] in "aeiou" else "a"
    registered = registered_name(name, kind)
    words = {
        "name": name,
        "module": module,
        "Class": _class(name),
        "kind": kind,
        "Kind": kind.capitalize(),
        "article": article,
        "Article": article.capitalize(),
        "attributes": example.attributes,
        "check": example.check,
        "tested": f", and of the progress of {name}" if kind == "optimizer" else "",
        "use": Template(example.use).substitute(name=registered),
    }
    naming = {**words, "name": registered}
    return {
        "pyproject.toml": _filled("pyproject.toml.txt", words),
        f"zobench_{module}.py": _filled(example.module, words),
        f"tests/test_{module}.py": _filled("test.py.txt", naming),
        "README.md": _filled("README.md.txt", words).replace(
            f"plugin check {name}", f"plugin check {registered}"
        ),
        ".github/workflows/ci.yml": _filled("workflow.yml.txt", words),
        ".gitignore": _filled("gitignore.txt", words),
    }


def _filled(template: str, words: Mapping[str, str]) -> str:
    text = (files("zobench") / "cli" / "templates" / template).read_text(encoding="utf-8")
    return Template(text).substitute(words)


def _class(name: str) -> str:
    return "".join(map(str.capitalize, name.split("-")))
