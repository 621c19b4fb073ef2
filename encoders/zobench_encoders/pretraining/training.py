"""Two stages of AdamW with checkpoints, then the alignment; a stopped training can be resumed."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from zobench.contracts.listener import ReportProgress, silent
from zobench.errors import ConfigError, DamagedError, Interrupted
from zobench.files.atomic import disk_errors
from zobench.files.tensor_files import read_tensors, write_tensors

from ..architecture import GRID
from .alignment import align, check_films
from .films import Bank, Batch, draw_batch
from .networks import Learner
from .recipe import Recipe
from .targets import description

Report = Callable[[int, int, dict[str, float]], None]
"""Called with (step, steps, losses)."""

CHECKPOINT_EVERY = 250
CHECKPOINT = "checkpoint.safetensors"
WEIGHTS = "vit-mae.safetensors"


def train(
    recipe: Recipe,
    labelled: Bank,
    folder: Bank | None,
    out: Path,
    report: Report,
    stopped: Callable[[], bool] = lambda: False,
    aligning: ReportProgress = silent,
) -> Path:
    """Trains from the start or from the checkpoint, and writes the encoder's weights.

    Every step draws its batch, masks and augmentation from ``(seed, step)``, so a resumed training
    draws the same batches as an uninterrupted training.

    Args:
        recipe: All settings.
        labelled: Phantom films with labels.
        folder: Unlabelled films, or ``None``.
        out: Folder for the checkpoint and the weights.
        report: Called with the progress and the losses after every step.
        stopped: Returns whether the user asked to stop; called after every step.
        aligning: Called with the number of films that the alignment has read, and their total.

    Returns:
        Path of the weights.

    Raises:
        ConfigError: ``out`` holds a checkpoint of another recipe or of other films, or there are too
            few films; or the training diverges.
        Interrupted: ``stopped`` returned true; the state is saved.
        StoreError: ``out`` cannot be read or written, or its checkpoint is damaged.
    """
    check_films(labelled, folder)
    moments = description_moments(recipe, labelled, folder)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.seed)
        learner = Learner(*moments)
    optimizer = torch.optim.AdamW(
        matrices_first(learner.parameters(), recipe), lr=0.0, betas=(0.9, 0.95)
    )
    with disk_errors(out):
        out.mkdir(parents=True, exist_ok=True)
    notes = {"recipe": asdict(recipe), "films": films_digest(labelled, folder)}
    start = _restore(out / CHECKPOINT, notes, learner, optimizer)
    steps = recipe.masked_steps + recipe.described_steps
    for step in range(start, steps):
        rng = np.random.default_rng([recipe.seed, step])
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(recipe, step)
        batch = draw_batch(labelled, folder, recipe.batch, recipe.folder_share, rng)
        optimizer.zero_grad()
        if step < recipe.masked_steps:
            losses = _masked_step(recipe, learner, batch, rng)
        else:
            losses = described_step(recipe, learner, batch)
        slope = torch.nn.utils.clip_grad_norm_(learner.parameters(), 1.0)
        require_finite(recipe, step, losses, slope)
        optimizer.step()
        report(step + 1, steps, losses)
        stopping = stopped()
        if (step + 1) % CHECKPOINT_EVERY == 0 or step + 1 == steps or stopping:
            _save(out, {**notes, "step": step + 1}, learner, optimizer)
        if stopping:
            raise Interrupted(f"stopped after step {step + 1}; the same command goes on from there")
    align(learner, labelled, folder, aligning)
    write_tensors(out / WEIGHTS, learner.encoder.state_dict(), {**notes, "step": steps})
    return out / WEIGHTS


def _masked_step(
    recipe: Recipe, learner: Learner, batch: Batch, rng: np.random.Generator
) -> dict[str, float]:
    """Computes the loss of predicting hidden patches, and its gradients."""
    order = torch.from_numpy(rng.permuted(_patch_numbers(recipe.batch), axis=1))
    visible = round(GRID * GRID * (1.0 - recipe.mask_ratio))
    loss = learner.masked_loss(batch.images, order, visible)
    loss.backward()  # type: ignore[no-untyped-call]
    return {"masked": loss.item()}


def described_step(recipe: Recipe, learner: Learner, batch: Batch) -> dict[str, float]:
    """Computes the loss of predicting film descriptions and known labels, and its gradients."""
    film, patient = learner.described_losses(batch.images, batch.labels)
    loss = film + recipe.label_weight * patient
    loss.backward()  # type: ignore[no-untyped-call]
    return {"film": film.item(), "labels": patient.item()}


def require_finite(
    recipe: Recipe, step: int, losses: Mapping[str, float], slope: torch.Tensor
) -> None:
    """Refuses to go on with a training that diverges, before its weights are lost.

    Args:
        recipe: The settings.
        step: The step, from 0.
        losses: The losses of the step by name.
        slope: Norm of their gradient.

    Raises:
        ConfigError: A loss or the gradient is infinite or NaN.
    """
    if not all(map(math.isfinite, (*losses.values(), float(slope)))):
        raise ConfigError(
            f"the training diverges: at step {step + 1} a loss or its gradient is not finite "
            f"({', '.join(f'{name} {value:g}' for name, value in losses.items())}); "
            f"recipe.learning_rate is {recipe.learning_rate:g}: give a lower one, and another --out"
        )


def learning_rate(recipe: Recipe, step: int) -> float:
    """The learning rate of a step: each stage has a linear warm-up and a cosine decay to zero."""
    if step < recipe.masked_steps:
        done, length = step, recipe.masked_steps
    else:
        done, length = step - recipe.masked_steps, recipe.described_steps
    warm = min(1.0, (done + 1) / recipe.warmup)
    return recipe.learning_rate * warm * 0.5 * (1.0 + math.cos(math.pi * done / length))


def _patch_numbers(batch: int) -> np.ndarray[tuple[int, int], np.dtype[np.int64]]:
    return np.tile(np.arange(GRID * GRID, dtype=np.int64), (batch, 1))


def description_moments(
    recipe: Recipe, labelled: Bank, folder: Bank | None
) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of the descriptions over 16 fixed batches of augmented films."""
    rng = np.random.default_rng([recipe.seed, 2**31])
    batches = [
        description(draw_batch(labelled, folder, recipe.batch, recipe.folder_share, rng).images)
        for _ in range(16)
    ]
    films = torch.cat(batches)
    return films.mean(0), films.std(0) + 1e-3


def matrices_first(parameters: Iterable[nn.Parameter], recipe: Recipe) -> list[dict[str, object]]:
    """AdamW's groups: matrices, which decay, and vectors, which do not."""
    every = list(parameters)
    matrices = [parameter for parameter in every if parameter.ndim > 1]
    vectors = [parameter for parameter in every if parameter.ndim <= 1]
    return [
        {"params": matrices, "weight_decay": recipe.weight_decay},
        {"params": vectors, "weight_decay": 0.0},
    ]


def _save(
    out: Path,
    notes: dict[str, Any],
    learner: Learner,
    optimizer: torch.optim.AdamW,
) -> None:
    tensors = {f"model.{name}": value for name, value in learner.state_dict().items()}
    for name, parameter in learner.named_parameters():
        for key, value in optimizer.state[parameter].items():
            tensors[f"adam.{key}.{name}"] = value
    write_tensors(out / CHECKPOINT, tensors, notes)


def _restore(
    path: Path, notes: dict[str, Any], learner: Learner, optimizer: torch.optim.AdamW
) -> int:
    """Loads the checkpoint, if there is one, and returns the step to resume at."""
    if not path.exists():
        return 0
    try:
        tensors, stored = read_tensors(path)
    except DamagedError as error:
        raise DamagedError(error.fault, "move it away, and the training begins anew") from error
    for what in notes:
        if stored[what] != notes[what]:
            raise ConfigError(
                f"{path} was written with another recipe or other films ({what}: {stored[what]}); "
                "name another --out, or pass the same settings to resume"
            )
    learner.load_state_dict(
        {name[6:]: value for name, value in tensors.items() if name.startswith("model.")}
    )
    for name, parameter in learner.named_parameters():
        state = {
            key: tensors[f"adam.{key}.{name}"]
            for key in ("step", "exp_avg", "exp_avg_sq")
            if f"adam.{key}.{name}" in tensors
        }
        if state:
            optimizer.state[parameter] = state
    return int(stored["step"])


def films_digest(labelled: Bank, folder: Bank | None) -> str:
    """The digest of all training films."""
    hasher = hashlib.blake2b(digest_size=8)
    for bank in (labelled, folder):
        if bank is not None:
            hasher.update(bank.pixels.data)
    return hasher.hexdigest()
