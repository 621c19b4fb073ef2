"""The digest of a set of weights; equal weights have equal digests in any file format."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import torch
from torch import Tensor


def weights_digest(state: Mapping[str, Tensor], *more: object) -> str:
    """Digest of names, shapes and values, and of what else decides an embedding.

    Args:
        state: Tensors by name.
        more: Values whose ``repr`` is taken in, such as the normalisation that a model's files name.
    """
    hasher = hashlib.blake2b(repr(more).encode() if more else b"", digest_size=8)
    for name in sorted(state):
        value = state[name].detach().cpu().contiguous()
        hasher.update(f"{name}{tuple(value.shape)}{value.dtype}".encode())
        hasher.update(value.reshape(-1).view(torch.uint8).numpy().tobytes())
    return hasher.hexdigest()
