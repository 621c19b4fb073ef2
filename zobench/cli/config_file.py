"""A run's config as a TOML file: ``zobench run --config FILE`` and ``zobench show RUN --config``.

The keys are the fields of a config; parameters of parts are tables such as ``[set.optimizer]``.
"""

from __future__ import annotations

import dataclasses
import json
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import typer

from zobench.config import OWNERS, RunConfig
from zobench.contracts.parameters import nearest
from zobench.errors import ConfigError

SET = "set"
ALWAYS = ("optimizer", "encoder", "dataset", "disease", "budget", "seed")
"""Fields that are written even where they have their default."""
FIELDS = tuple(field.name for field in dataclasses.fields(RunConfig) if field.name != "overrides")


def read_config(path: Path) -> dict[str, Any]:
    """The fields of a config in a file; ``overrides`` if the file sets parameters.

    Raises:
        ConfigError: The file cannot be read, or has an unknown key.
    """
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(
            f"{path} cannot be read: {error.strerror or error}; zobench show RUN --config prints such "
            "a file"
        ) from error
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"{path} cannot be read: {error}") from error
    settings = content.pop(SET, {})
    if "optimizers" in content:
        raise ConfigError(f"{path} is a suite of many runs, not one run: zobench suite {path}")
    for name, value in content.items():
        if name in OWNERS and isinstance(value, Mapping):
            raise ConfigError(f"{path}: [{name}] is to be [{SET}.{name}], the table of parameters")
        if name not in FIELDS:
            raise ConfigError(
                f"{path}: there is no field {name!r}{nearest(name, FIELDS)}; known: "
                f"{', '.join(FIELDS)}, and tables [set.OWNER] of {', '.join(OWNERS)}"
            )
    if not isinstance(settings, Mapping) or not all(
        isinstance(setting, Mapping) for setting in settings.values()
    ):
        raise ConfigError(f"{path}: parameters go into tables, such as [set.optimizer]")
    return {**content, **({"overrides": _flat(settings)} if settings else {})}


def merged(
    file: Mapping[str, Any], typed: Mapping[str, Any], context: typer.Context
) -> dict[str, Any]:
    """The fields of a config: those that were typed, else the file's, else the defaults.

    Args:
        file: The fields that the file has.
        typed: All fields, as the command line gives them.
        context: Tells which of them were typed.
    """
    fields = dict(typed)
    for name, value in file.items():
        source = context.get_parameter_source(name)
        if name != "overrides" and (source is None or source.name == "DEFAULT"):
            fields[name] = value
    both = (file.get("overrides", {}), typed["overrides"])
    owners = {owner: None for settings in both for owner in settings}
    fields["overrides"] = {
        owner: {name: value for settings in both for name, value in settings.get(owner, {}).items()}
        for owner in owners
    }
    return fields


def _flat(settings: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """Parameters by owner; a table in a table, such as ``inner``, gives names with dots."""
    flat: dict[str, dict[str, Any]] = {}
    for owner, values in settings.items():
        flat[owner] = {}
        for name, value in values.items():
            if isinstance(value, Mapping):
                flat[owner] |= {f"{name}.{key}": inner for key, inner in value.items()}
            else:
                flat[owner][name] = value
    return flat


def written(config: RunConfig) -> str:
    """The text of a file that :func:`read_config` reads to an equal config."""
    default, lines = RunConfig(), []
    for name in FIELDS:
        value = getattr(config, name)
        if name in ALWAYS or value != getattr(default, name):
            lines.append(f"{name} = {_value(value)}")
    for owner, values in config.overrides.items():
        lines += ["", f"[{SET}.{owner}]"]
        lines += [
            f"{json.dumps(name, ensure_ascii=False)} = {_value(value)}"
            for name, value in values.items()
        ]
    return "\n".join(lines) + "\n"


def _value(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return (
        repr(value)
        if isinstance(value, int | float)
        else json.dumps(str(value), ensure_ascii=False)
    )
