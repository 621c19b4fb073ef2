"""The last step of ``vit-mae``'s pre-training: the last linear layer and its limits.

A shared edit can lower L without hiding sex: it shifts all embeddings in one direction, the frozen
SA head is wrong, and a refitted SA head predicts sex as well as before. With unbounded embeddings
this shift is always the easiest way to lower L. Here every number of the embedding is clipped to
[-1, 1], and the direction that predicts sex linearly is in a few numbers with a narrow range: an
edit that shifts these numbers past their limit makes them equal for all patients.

The layer maps two inputs: the summary that stage two learned, and the tokens' first principal axes
over the films of the folder. The axes keep the variation of real films that phantoms lack. The
layer is computed in closed form. The erasure of the difference of the class means through the
covariance within classes is the method of Belrose et al.,
"LEACE: Perfect linear concept erasure in closed form", 2023, section 4.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np
import torch
from torch import Tensor

from zobench.contracts.dataset import Pixels
from zobench.contracts.listener import ReportProgress, silent
from zobench.errors import ConfigError

from ..architecture import EMBEDDING, SUMMARY, CompactViT
from .films import Bank
from .networks import Learner, standardised

SEX_UNITS = 16
"""How many of the embedding's numbers encode sex: overlapping windows of one axis."""
HALF_WIDTH = 1.0
"""Half the width of a window, in standard deviations of the axis within a sex."""
SPREAD = 0.7
"""The window centres lie evenly between -SPREAD and SPREAD, in the unit of HALF_WIDTH."""
END = 2.0
"""The limit of the other numbers, in standard deviations over phantoms and the folder's films."""
AXES = 96
"""Number of the tokens' principal axes that are used beside the summary."""
RIDGE = 1e-4
"""Added to the covariance's diagonal, relative to its mean."""
MOST_FILMS = 4096
"""Largest number of films for computing the principal axes; they are spaced evenly among all."""
CHUNK = 64


@dataclass(frozen=True)
class LinearMap:
    """``numbers @ weight + bias``."""

    weight: Tensor
    bias: Tensor

    def __call__(self, numbers: Tensor) -> Tensor:
        """Maps ``(n, from)`` to ``(n, to)``."""
        return numbers @ self.weight + self.bias


def align(
    learner: Learner, labelled: Bank, folder: Bank | None, progress: ReportProgress = silent
) -> None:
    """Sets the last layer of the learner's encoder.

    Args:
        learner: The networks after both training stages.
        labelled: Films with sex in column 0 and finding in column 1, every pair of them present.
        folder: Unlabelled films for the principal axes; ``None`` uses the labelled films.
        progress: Called with the number of films read, and their total.
    """
    encoder, summarise = learner.encoder, learner.summarise
    scenes = folder or labelled
    spaced = np.linspace(0, len(scenes.pixels) - 1, min(MOST_FILMS, len(scenes.pixels))).astype(int)
    total = len(spaced) + len(labelled.pixels)
    progress(0, total)
    seen = _tokens(encoder, scenes.pixels[spaced])
    progress(len(spaced), total)
    axes = principal_axes(seen, AXES)
    weight = torch.cat([summarise.weight.double().T, axes], dim=1)
    bias = torch.cat([summarise.bias.double(), -seen.mean(0) @ axes])
    numbers = LinearMap(weight.detach(), bias.detach())
    labels = torch.from_numpy(labelled.labels)
    tokens = []
    for start in range(0, len(labelled.pixels), CHUNK):
        tokens.append(numbers(_tokens(encoder, labelled.pixels[start : start + CHUNK])))
        progress(len(spaced) + start + len(tokens[-1]), total)
    last = alignment(torch.cat(tokens), labels[:, 0], labels[:, 1], numbers(seen))
    with torch.no_grad():
        encoder.project.weight.copy_((numbers.weight @ last.weight).T)
        encoder.project.bias.copy_(last(numbers.bias))


def alignment(numbers: Tensor, sex: Tensor, finding: Tensor, others: Tensor) -> LinearMap:
    """The map from numbers to the embedding.

    Args:
        numbers: ``(n, d)`` of labelled films.
        sex: ``(n,)``, 0 or 1.
        finding: ``(n,)``, 0 for none.
        others: ``(m, d)`` of further films; the limits are set from them and the labelled films.
    """
    middle, scale = numbers.mean(0), numbers.std(0)
    unit, unit_others = (numbers - middle) / scale, (others - middle) / scale
    between, within = _sex_difference(unit, sex, finding)
    axis = torch.linalg.solve(within, between)
    axis = axis / (axis @ within @ axis).sqrt()  # unit spread within a sex
    erase = torch.eye(len(axis), dtype=axis.dtype) - torch.outer(axis, within @ axis)
    rest = erase @ principal_axes(unit @ erase, EMBEDDING - SEX_UNITS)
    means = torch.stack([(unit @ rest).mean(0), (unit_others @ rest).mean(0)])
    centre = means.mean(0)
    squares = [((part @ rest - centre) ** 2).mean(0) for part in (unit, unit_others)]
    ends = END * torch.stack(squares).mean(0).sqrt()
    windows = torch.linspace(-SPREAD, SPREAD, SEX_UNITS, dtype=axis.dtype)
    weight = torch.cat([axis[:, None].expand(-1, SEX_UNITS) / HALF_WIDTH, rest / ends], dim=1)
    weight = weight / scale[:, None]
    bias = torch.cat([-windows / HALF_WIDTH, -centre / ends])
    return LinearMap(weight, bias - middle @ weight)


def check_films(labelled: Bank, folder: Bank | None) -> None:
    """Checks before the training that the films suffice for the alignment.

    Raises:
        ConfigError: There are too few films, or a finding has no film of a woman or of a man.
    """
    for films, least in ((labelled, AXES + SUMMARY), (folder or labelled, AXES + 1)):
        if len(films.pixels) < least:
            raise ConfigError(
                f"the embedding's axes cannot be told from {len(films.pixels)} films; give at least "
                f"{least}, in --images or by --set recipe.patients"
            )
    pairs = {(int(sex), int(finding)) for sex, finding in labelled.labels[:, :2]}
    for sex, finding in product((0, 1), sorted({finding for _, finding in pairs})):
        if (sex, finding) not in pairs:
            raise ConfigError(
                f"no labelled film shows sex {sex} with finding {finding}, and sex cannot be told from "
                "the finding then; raise --set recipe.patients"
            )


def principal_axes(points: Tensor, count: int) -> Tensor:
    """The first ``count`` principal axes ``(d, count)`` of points ``(n, d)``."""
    _, _, axes = torch.linalg.svd(points - points.mean(0), full_matrices=False)
    first: Tensor = axes[:count].T
    return first


def _sex_difference(unit: Tensor, sex: Tensor, finding: Tensor) -> tuple[Tensor, Tensor]:
    """Mean of men minus women, with equal weight per finding, and the covariance within cells."""
    differences, spreads = [], []
    for kind in sorted(set(finding.tolist())):
        cells = [unit[(sex == value) & (finding == kind)] for value in (0, 1)]
        differences.append(cells[1].mean(0) - cells[0].mean(0))
        spreads += [cell - cell.mean(0) for cell in cells]
    healthy, sick = differences[0], torch.stack(differences[1:] or differences).mean(0)
    spread = torch.cat(spreads)
    within = spread.T @ spread / len(spread)
    within += RIDGE * within.diagonal().mean() * torch.eye(len(within), dtype=within.dtype)
    return (healthy + sick) / 2, within


def _tokens(encoder: CompactViT, pixels: Pixels) -> Tensor:
    """Tokens ``(n, 3136)`` float64 of 8-bit films."""
    tokens = []
    with torch.no_grad():
        for start in range(0, len(pixels), CHUNK):
            films = torch.from_numpy(pixels[start : start + CHUNK]).float() / 255.0
            tokens.append(encoder.tokens(standardised(films)).double())
    return torch.cat(tokens)
