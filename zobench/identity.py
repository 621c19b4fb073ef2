"""What makes two runs the same run: a digest of everything that can change the result."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

PLACES = ("data_root", "device", "precision", "overrides")
"""Fields of the config that say where things are, or what is recorded elsewhere as it came out."""


def identity(manifest: Mapping[str, Any]) -> str:
    """Digest of a run: config, parameters, data, weights, arithmetic, versions and schema.

    Where the data lie, which of several GPUs computes and how large its chunks are is left out; so
    are the versions of foreign libraries, which may change the last bit (they are in the manifest).

    Args:
        manifest: As stored, or as :func:`zobench.execution.new_manifest` makes it.

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


def label(config: Mapping[str, Any]) -> str:
    """How tables call an optimizer: its name, what was set, and its space unless that is pixel.

    Args:
        config: As in the manifest.
    """
    settings = config["overrides"].get("optimizer", {})
    words = [config["optimizer"], *(f"{name}={settings[name]}" for name in sorted(settings))]
    if config["space"] != "pixel":
        words.append(f"in {config['space']}")
    return " ".join(words)


def problem(config: Mapping[str, Any]) -> str:
    """How tables call what was to be solved: dataset, disease and encoder."""
    return f"{config['dataset']}/{config['disease']} {config['encoder']}"
