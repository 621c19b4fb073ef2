"""What makes two runs the same run: a digest of everything that can change the result."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

PLACES = ("data_root", "device", "precision", "overrides", "max_cost")
"""Fields of the config that say where things are, what may be paid, or what is recorded elsewhere."""


def identity(manifest: Mapping[str, Any]) -> str:
    """Digest of a run: config, parameters, data, weights, arithmetic, versions and schema.

    Where the data lie, which of several GPUs computes and how large its chunks are is left out; so
    are the versions of foreign libraries, which may change the last bit (they are in the manifest).

    Args:
        manifest: As stored, or as :func:`zobench.runs.lifecycle.new_manifest` makes it.

    Returns:
        32 hexadecimal digits.
    """
    encoder, versions = manifest["encoder"], manifest["versions"]
    settings = encoder["settings"]
    config = {key: value for key, value in manifest["config"].items() if key not in PLACES}
    parts = {
        "schema": manifest["schema"],
        "config": config,
        "parameters": manifest["parameters"],
        "encoder": encoder["digest"],
        "arithmetic": [str(settings.get("device")).partition(":")[0], settings.get("precision")],
        "dataset": manifest["dataset"]["digest"],
        "split": manifest["split"]["digest"],
        "versions": {name: versions[name] for name in {"zobench", *manifest["plugins"].values()}},
    }
    text = json.dumps(parts, sort_keys=True, allow_nan=False)
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def label(config: Mapping[str, Any], parameters: Mapping[str, Any] | None = None) -> str:
    """How tables call an optimizer: its name, what was set, and its space unless that is pixel.

    Args:
        config: As in the manifest.
        parameters: As in the manifest, so that what was typed as 3e-4 is 0.0003.
    """
    name = config["optimizer"] + _settings(config, "optimizer", parameters)
    return name if config["space"] == "pixel" else f"{name} in {config['space']}"


def problem(config: Mapping[str, Any], parameters: Mapping[str, Any] | None = None) -> str:
    """How tables call what was to be solved: dataset, disease, encoder, what was set, how it is sent."""
    dataset = f"{config['dataset']}/{config['disease']}" + _settings(config, "dataset", parameters)
    bits = f" {config['quantize']}-bit" if config.get("quantize") else ""
    return f"{dataset} {config['encoder']}" + _settings(config, "encoder", parameters) + bits


def _settings(config: Mapping[str, Any], owner: str, parameters: Mapping[str, Any] | None) -> str:
    typed = config["overrides"].get(owner, {})
    values = typed if parameters is None else parameters[owner]
    return "".join(f" {name}={values[name]}" for name in sorted(typed) if name in values)
