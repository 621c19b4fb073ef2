"""Client data of made-up embeddings, for tests of optimizers that see embeddings."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from zobench.contracts.client import Client
from zobench.problem.heads import Head, fit_sensitive_head


def client_data(
    clean: Tensor, label: NDArray[np.int64], sensitive: NDArray[np.int64], side: int
) -> Client:
    """The client of these embeddings: black images, the SA head of its own, an objective of no use."""
    head = fit_sensitive_head(clean.numpy(), sensitive, label, protocol="converged", rng=None)
    assert isinstance(head, Head)
    return Client(
        head=head,
        clean=clean,
        sensitive=torch.from_numpy(sensitive),
        label=torch.from_numpy(label),
        pixels=lambda rows: torch.zeros(len(rows), 1, side, side),
        values=lambda embeddings, rows: embeddings.double().mean((1, 2)),
        penalty=0.0,
    )
