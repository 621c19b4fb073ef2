"""Folders of models: a folder on this machine, or a model that the hub's cache holds.

Nothing is downloaded: a run does what it says with the network unplugged, and a model that is missing
is an error that names the command that fetches it.
"""

from __future__ import annotations

import re
from pathlib import Path

from zobench.contracts.parameters import cut
from zobench.errors import ConfigError, EncoderError
from zobench.paths import expanded

from .extras import missing_extra

MODEL_ID = re.compile(r"[\w.-]+(/[\w.-]+)?")


def model_folder(encoder: str, name: str, extra: str) -> Path:
    """The folder of a model, with its config and weights.

    Args:
        encoder: The encoder's name, for messages.
        name: A folder, or a model id such as ``microsoft/rad-dino``.
        extra: The extra that brings the hub's package.

    Raises:
        ConfigError: The name is neither a folder nor a model id, or a package is missing.
        EncoderError: The hub's cache does not hold the model.
    """
    folder = expanded(name)
    if folder.is_dir():
        return folder
    if not MODEL_ID.fullmatch(name):
        raise ConfigError(
            f"encoder {encoder}: {cut(name)} is no folder here, and no model id such as "
            "microsoft/rad-dino"
        )
    try:
        from huggingface_hub import snapshot_download
        from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError
    except ModuleNotFoundError as error:
        raise missing_extra(encoder, extra, error) from error
    try:
        return Path(snapshot_download(name, local_files_only=True))
    except HFValidationError as error:
        raise ConfigError(f"encoder {encoder}: {cut(name)} is no model id: {error}") from error
    except LocalEntryNotFoundError as error:
        raise EncoderError(
            f"encoder {encoder}: there is no folder {name!r} here, the hub's cache holds no model of "
            f"that name, and a run downloads nothing; fetch a model once with: hf download {name}"
        ) from error
