"""The last step of ``vit-mae``: what the embedding's numbers are, and where each of them ends.

A shared edit can lower L without hiding anything: it moves all embeddings to one side, the frozen
SA head is wrong, and a refitted one reads sex as before. On an encoder whose answers have no end that
is always the shortest way. Here every number of the embedding ends at -1 and 1, and what tells sex
linearly stands in a few numbers that end soon: pushed past their end they say the same of everybody.

The numbers are the summary that stage two learned and the tokens' first principal axes over the films
of the folder, which keep what real films show and phantoms do not. All is one linear map in closed
form. Erasing the difference of the class means through the covariance within classes is that of
Belrose et al., "LEACE: Perfect linear concept erasure in closed form", 2023, section 4.
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

from ..architecture import EMBEDDING, CompactViT
from .films import Bank
from .networks import SUMMARY, Learner, standardised

SEX_UNITS = 16
"""Numbers of the embedding that tell sex: one axis, cut into overlapping windows."""
HALF_WIDTH = 1.0
"""Half a window, in standard deviations of the axis within a sex."""
SPREAD = 0.7
"""The windows' middles lie evenly in plus and minus this, in the same unit."""
END = 2.0
"""Where the other numbers end, in standard deviations over phantoms and the folder's films alike."""
AXES = 96
"""Principal axes of the tokens taken beside the summary."""
RIDGE = 1e-4
"""Added to the covariance's diagonal, relative to its mean."""
MOST_FILMS = 4096
"""Films that the principal axes are taken from, evenly spaced among all."""
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
        learner: Trained by both stages.
        labelled: Films with sex in column 0 and finding in column 1, every pair of them present.
        folder: Unlabelled films, or ``None``: then the labelled films serve for both.
        progress: Told of films looked at, and of all.
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
    known = []
    for start in range(0, len(labelled.pixels), CHUNK):
        known.append(numbers(_tokens(encoder, labelled.pixels[start : start + CHUNK])))
        progress(len(spaced) + start + len(known[-1]), total)
    last = alignment(torch.cat(known), labels[:, 0], labels[:, 1], numbers(seen))
    with torch.no_grad():
        encoder.project.weight.copy_((numbers.weight @ last.weight).T)
        encoder.project.bias.copy_(last(numbers.bias))


def alignment(numbers: Tensor, sex: Tensor, finding: Tensor, others: Tensor) -> LinearMap:
    """The map from numbers to the embedding.

    Args:
        numbers: ``(n, d)`` of labelled films.
        sex: ``(n,)``, 0 or 1.
        finding: ``(n,)``, 0 for none.
        others: ``(m, d)`` of further films, which shall lie within the ends as well.
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
    """Looks, before hours of training, whether these films can be aligned.

    Raises:
        ConfigError: There are too few films, or no woman or no man with some finding.
    """
    for films, least in ((folder or labelled, AXES + 1), (labelled, AXES + SUMMARY)):
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
    """The ``count`` directions ``(d, count)`` in which points ``(n, d)`` vary most, first the most."""
    _, _, axes = torch.linalg.svd(points - points.mean(0), full_matrices=False)
    first: Tensor = axes[:count].T
    return first


def _sex_difference(unit: Tensor, sex: Tensor, finding: Tensor) -> tuple[Tensor, Tensor]:
    """Men's mean less women's, healthy and sick weighing alike, and the covariance within cells."""
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
    found = []
    with torch.no_grad():
        for start in range(0, len(pixels), CHUNK):
            films = torch.from_numpy(pixels[start : start + CHUNK]).float() / 255.0
            found.append(encoder.tokens(standardised(films)).double())
    return torch.cat(found)
