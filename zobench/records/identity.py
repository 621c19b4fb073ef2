"""The identity of a run, which is equal for runs with equal edits, and its names in tables.

Runs with one identity have equal results, too, unless a limit of time or cost ended one of them; if that
run went on later, it has more snapshots and scored edits, between which less is interpolated.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from typing import Any

from zobench.config import RunConfig
from zobench.contracts.encoder import EncoderSpec

from .manifest import Manifest

STOPS = ("until",)
"""Config fields that change a result only where they are not 0."""

LEFT_OUT = ("data_root", "device", "precision", "overrides", "max_cost", "max_time")
"""Config fields that cannot change a result, or whose resolved value is in the manifest."""

SEARCH_OWNERS = ("optimizer", "objective")
"""Owners of parameters that are no part of the problem."""

BASELINE = "baseline"
"""First word of the owner of a no-query baseline's distribution."""

SLUG_CHARACTERS = 120
"""Most characters of a slug; filesystems allow 255 bytes in a name."""


def identity(manifest: Manifest) -> str:
    """Digest of a run: config, parameters, data, weights, arithmetic, versions and schema.

    The digest leaves out the data folder, the number of the GPU and the chunk size. It also leaves
    out library versions, which may change the last bit; the manifest records those versions.

    Args:
        manifest: A stored manifest, or one from :func:`zobench.runs.provenance.new_manifest`.

    Returns:
        32 hexadecimal digits.
    """
    config = manifest.config.canonical()
    left_out = (*LEFT_OUT, *(name for name in STOPS if not config[name]))
    parts = {
        "config": {key: value for key, value in config.items() if key not in left_out},
        "parameters": manifest.parameters,
        **_foundation(manifest, manifest.plugins.values()),
    }
    # the snapshots of an extended run are not those of a run that had its budget from the start; one
    # that goes on after a limit of time or cost has those, and one more where it had ended
    budgets = [
        extension
        for extension in manifest.extended
        if extension["budget"] != manifest.config.budget
    ]
    if budgets:
        parts["extended"] = budgets
    if manifest.local is not None:
        parts["local"] = borrowed(manifest)
    return _digest(parts)


def problem_identity(manifest: Manifest, left_out: tuple[str, ...]) -> str:
    """Digest of a run without its optimizer: equal for methods on the same problem.

    Args:
        manifest: The manifest of any run on the problem.
        left_out: Fields of the config that only an optimizer looks at.
    """
    config = manifest.config.canonical()
    parts = {
        "config": {k: v for k, v in config.items() if k not in (*LEFT_OUT, *STOPS, *left_out)},
        "parameters": {k: v for k, v in manifest.parameters.items() if k not in SEARCH_OWNERS},
        **_foundation(
            manifest,
            [
                distribution
                for owner, distribution in manifest.plugins.items()
                if owner.partition(".")[0] not in SEARCH_OWNERS and not owner.startswith(BASELINE)
            ],
        ),
    }
    return _digest(parts)


def _foundation(manifest: Manifest, distributions: Any) -> dict[str, Any]:
    return {
        "schema": manifest.schema,
        "encoder": manifest.encoder.digest,
        "arithmetic": arithmetic(manifest),
        "dataset": manifest.dataset.digest,
        "split": manifest.split.digest,
        "versions": {name: manifest.versions[name] for name in {"zobench", *distributions}},
    }


def _digest(parts: Mapping[str, Any]) -> str:
    text = json.dumps(parts, sort_keys=True, allow_nan=False)
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def arithmetic(manifest: Manifest) -> list[str]:
    """The kind of device and the precision that embeddings were computed with."""
    return _arithmetic(manifest.encoder)


def borrowed(manifest: Manifest) -> list[str]:
    """Digest, kind of device and precision of the encoder that the optimizer borrows; empty for none."""
    return [] if manifest.local is None else [manifest.local.digest, *_arithmetic(manifest.local)]


def _arithmetic(spec: EncoderSpec) -> list[str]:
    settings = spec.settings
    return [str(settings.get("device")).partition(":")[0], str(settings.get("precision"))]


def label(config: RunConfig, parameters: Mapping[str, Any] | None = None) -> str:
    """The optimizer's name in tables: its name, its settings, and its space unless that is pixel.

    An objective other than the default one is named, too.

    Args:
        config: The config of the run.
        parameters: The manifest's parameters; a value typed as 3e-4 is then shown as 0.0003.
    """
    name = config.optimizer + _settings(config, "optimizer", parameters)
    space = "" if config.space == "pixel" else f" in {config.space}"
    objective = ""
    if config.objective != RunConfig.objective or config.overrides.get("objective"):
        objective = f" on {config.objective}" + _settings(config, "objective", parameters)
    return f"{name}{space}{objective}"


def problem(config: RunConfig, parameters: Mapping[str, Any] | None = None) -> str:
    """The problem's name in tables: dataset, disease, encoder, their settings, and 8-bit transport."""
    dataset = f"{config.dataset}/{config.disease}" + _settings(config, "dataset", parameters)
    bits = f" {config.quantize}-bit" if config.quantize else ""
    return f"{dataset} {config.encoder}" + _settings(config, "encoder", parameters) + bits


def _settings(config: RunConfig, owner: str, parameters: Mapping[str, Any] | None) -> str:
    typed = config.overrides.get(owner, {})
    values = typed if parameters is None else parameters[owner]
    return "".join(f" {name}={values[name]}" for name in sorted(typed) if name in values)


def slug(config: RunConfig) -> str:
    """The part of a folder's name that gives optimizer, encoder, dataset, disease and seed.

    Letters, digits, dots, hyphens and underscores stay; any other character becomes ``_``.
    """
    family, colon, argument = config.encoder.partition(":")
    encoder = family + colon + argument.rstrip("/").rpartition("/")[2]  # of a path, the file's name
    words = "-".join([config.optimizer, encoder, config.dataset, config.disease])
    plain = re.sub(r"[^A-Za-z0-9._-]", "_", words).lstrip(".")
    return f"{plain[:SLUG_CHARACTERS]}-s{config.seed}"
