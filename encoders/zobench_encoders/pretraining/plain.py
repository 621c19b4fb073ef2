"""The recipe of ``vit-mae:plain``: a last layer for vit-mae's trunk that nothing aligned.

Stage two of vit-mae's training learns a summary of the tokens, from which films are described and
labels predicted; the alignment then replaces it by a last layer that is made to be edited. Here the
trunk keeps the weights that are shipped, and the summary is learned on it by stage two's own losses.
The summary is the embedding of ``vit-mae:plain``: no axis is set apart for sex, and no number is
clipped.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import torch
from torch import nn

from zobench.contracts.listener import Listener
from zobench.contracts.pretraining import PretrainingRequest
from zobench.errors import ConfigError, Interrupted
from zobench.files.atomic import disk_errors
from zobench.files.tensor_files import read_tensors, write_tensors
from zobench.runs.signals import stop_on_signal

from ..architecture import CompactViT
from ..vit_mae import PLAIN_WEIGHTS, bundled_trunk
from ..weights_digest import weights_digest
from .films import Bank, draw_batch
from .networks import Learner
from .preparing import prepared_films
from .recipe import Recipe
from .training import (
    described_step,
    description_moments,
    films_digest,
    learning_rate,
    matrices_first,
    require_finite,
)


class PlainPretraining:
    """Learns the summary of stage two on the bundled trunk; it has no checkpoint."""

    def __init__(self, request: PretrainingRequest, parameters: Recipe) -> None:
        self._request = request
        self._recipe = replace(parameters, masked_steps=0)

    def run(self, listener: Listener) -> Path:
        """Trains the layer and writes it."""
        recipe, out = self._recipe, self._request.out
        labelled, folder = prepared_films(self._request, recipe, listener)
        trunk = bundled_trunk()
        notes = {
            "recipe": asdict(recipe),
            "films": films_digest(labelled, folder),
            "trunk": weights_digest(trunk.state_dict()),
        }
        _require_same(out / PLAIN_WEIGHTS, notes)
        listener.phase("train", recipe.described_steps)
        with stop_on_signal(listener) as stopped:
            summary = learned_summary(recipe, trunk, labelled, folder, listener.update, stopped)
        with disk_errors(out):
            out.mkdir(parents=True, exist_ok=True)
        write_tensors(out / PLAIN_WEIGHTS, summary.state_dict(), notes)
        return out / PLAIN_WEIGHTS


def _require_same(weights: Path, notes: Mapping[str, object]) -> None:
    """Refuses to replace the weights of another recipe, or of other films."""
    if not weights.exists():
        return
    stored = read_tensors(weights)[1]
    changed = [name for name, value in notes.items() if stored.get(name) != value]
    if changed:
        raise ConfigError(
            f"{weights} was made with other settings or films ({', '.join(changed)}); name another "
            "--out, or move that file away"
        )


def learned_summary(
    recipe: Recipe,
    trunk: CompactViT,
    labelled: Bank,
    folder: Bank | None,
    report: Callable[..., None],
    stopped: Callable[[], bool] = lambda: False,
) -> nn.Linear:
    """The layer that stage two learns on a trunk that stays as it is.

    Args:
        recipe: The settings; the steps of the first stage are not used.
        trunk: The network whose tokens are summarised; its weights do not change.
        labelled: Phantom films with labels.
        folder: Unlabelled films, or ``None``.
        report: Called with the number of steps done, and the losses by name.
        stopped: Whether the user asked to stop; called after every step.

    Raises:
        ConfigError: The training diverges.
        Interrupted: ``stopped`` returned true; nothing is kept.
    """
    recipe = replace(recipe, masked_steps=0)
    learner = _learner(recipe, trunk, labelled, folder)
    weights = [parameter for parameter in learner.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(matrices_first(weights, recipe), lr=0.0, betas=(0.9, 0.95))
    for step in range(recipe.described_steps):
        rng = np.random.default_rng([recipe.seed, step])
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(recipe, step)
        batch = draw_batch(labelled, folder, recipe.batch, recipe.folder_share, rng)
        optimizer.zero_grad()
        losses = described_step(recipe, learner, batch)
        slope = torch.nn.utils.clip_grad_norm_(weights, 1.0)
        require_finite(recipe, step, losses, slope)
        optimizer.step()
        report(step + 1, **losses)
        if stopped():
            raise Interrupted(f"stopped after step {step + 1}; nothing is kept of this layer")
    return learner.summarise


def _learner(recipe: Recipe, trunk: CompactViT, labelled: Bank, folder: Bank | None) -> Learner:
    """Fresh heads on the frozen trunk."""
    moments = description_moments(recipe, labelled, folder)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.seed)
        learner = Learner(*moments)
    learner.requires_grad_(False)
    learner.encoder = trunk.requires_grad_(False)
    for part in (learner.summarise, learner.describe, learner.label_heads):
        part.requires_grad_(True)
    return learner
