"""How well probes of single images tell slopes: cosines with the encoder's own gradients.

    python docs/explanation/probe_slopes.py --encoder vit-mae

Two slopes, in cosine coefficients: that of the SA head's mean score around no edit, from single
probes, and that of the squared error of a refitted SA head around an edit, from pairs of probes. Each
is estimated twice: with one Jacobian for all images, and with Jacobians that differ between images.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor
from zobench_plugins.optimizers.frequencies import spectrum
from zobench_plugins.optimizers.jacobian_field import JacobianField, Rows
from zobench_plugins.optimizers.probes import SMOOTHNESS, ProbesParameters
from zobench_plugins.optimizers.refitted_heads import residuals

from zobench.config import RunConfig
from zobench.contracts.listener import Silence
from zobench.contracts.random_streams import generator
from zobench.problem.heads import cell_weights, fit_sensitive_head
from zobench.problem.images import Images, load_images, slices
from zobench.problem.spaces import DctSpace
from zobench.registry.discovery import load_registry
from zobench.runs.parts import make_parts

CHUNK = 32
DEFAULTS = ProbesParameters()


def main() -> None:
    """Prints the cosines after each number of queries."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--encoder", default="vit-mae")
    parser.add_argument("--disease", default="edema")
    parser.add_argument("--seed", type=int, default=100)
    parser.add_argument("--cohort", type=int, default=900)
    parser.add_argument("--images", type=int, default=400, help="training images, at most")
    parser.add_argument("--queries", type=int, nargs="+", default=[160, 320, 640])
    wanted = parser.parse_args()
    config = RunConfig(
        optimizer="pgd",
        encoder=wanted.encoder,
        disease=wanted.disease,
        seed=wanted.seed,
        overrides={"dataset": {"cohort": wanted.cohort}},
    )
    parts = make_parts(config, load_registry(), Silence())
    films = load_images(parts.dataset, parts.split.train[: wanted.images])
    _, height, width = parts.encoder.spec.image_shape
    waves = DctSpace(height, width, DEFAULTS.side)

    def decode(coefficients: Tensor) -> Tensor:
        return waves.decode(coefficients.float().reshape(-1, 1, waves.side, waves.side))

    def embed(rows: Rows, coefficients: Tensor) -> Tensor:
        found = []
        with torch.no_grad():
            for part in slices(len(rows), CHUNK):
                edits = decode(coefficients[part])
                found.append(parts.encoder.embed(films.batch(rows[part]) + edits).cpu())
        return torch.cat(found).double()

    def gradient(center: Tensor, loss: Callable[[Tensor, slice], Tensor]) -> Tensor:
        """Gradient of the sum of a loss over all images with respect to the coefficients."""
        total = torch.zeros(waves.side**2, dtype=torch.float64)
        for part in slices(len(films), CHUNK):
            variable = center.clone().requires_grad_()
            answer = parts.encoder.embed(films.batch(part) + decode(variable)).double()
            (found,) = torch.autograd.grad(loss(answer, part), variable)
            total += found
        return total

    rng, everything = generator(wanted.seed, "optimizer"), np.arange(len(films))
    zero = torch.zeros(waves.side**2, dtype=torch.float64)
    clean = embed(everything, zero.expand(len(films), -1))
    head = fit_sensitive_head(
        clean.numpy(), films.sensitive, films.label, protocol="converged", rng=rng
    )
    scores = torch.from_numpy(head.weight[1] - head.weight[0])
    coarse = spectrum(waves.side, SMOOTHNESS, DEFAULTS.corner).reshape(waves.side, -1)
    coarse[DEFAULTS.coarse :] = coarse[:, DEFAULTS.coarse :] = 0.0
    first = JacobianField.of(clean, coarse.flatten(), DEFAULTS.noise)
    later = JacobianField.of(
        clean, spectrum(waves.side, SMOOTHNESS, DEFAULTS.later), DEFAULTS.noise
    )

    def drawn(prior: Tensor, count: int, rms: float) -> tuple[Tensor, Rows]:
        white = torch.from_numpy(rng.standard_normal((count, len(prior)))) * prior.sqrt()
        rows = np.concatenate([rng.permutation(len(films)) for _ in range(-(-count // len(films)))])
        return rms * waves.side * torch.nn.functional.normalize(white), rows[:count]

    true = gradient(zero, lambda answer, _: (answer @ scores).sum())
    true[coarse.flatten() == 0] = 0.0
    probes, rows = drawn(first.prior, max(wanted.queries), DEFAULTS.radius)
    changes = embed(rows, probes) - clean[rows]
    print(f"{wanted.encoder}, slope of the SA head's mean score around no edit")
    for count in wanted.queries:
        pair = [
            _cosine(field.mean(probes[:count], rows[:count], changes[:count]) @ scores, true)
            for field in (_alike(first), first)
        ]
        print(f"{count} queries: one Jacobian {pair[0]:.2f}, one for each image {pair[1]:.2f}")

    jacobian = first.mean(probes, rows, changes)
    direction = torch.linalg.svd(jacobian, full_matrices=False)[0][:, 0]
    edit = 0.015 * waves.side * direction
    print(f"{wanted.encoder}, slope of a refitted SA head's squared error around an edit")
    moved = embed(everything, edit.expand(len(films), -1))
    target, weights = _labels(films, everything)
    refitted, left_over = residuals(moved, target, weights)
    # at the optimum of the head, the error's slope is that of its predictions at fixed weights
    true = gradient(edit, lambda answer, part: (left_over[part] * (answer @ refitted)).sum())
    most = 4 * max(wanted.queries)
    probes, rows = drawn(later.prior, most // 2, DEFAULTS.narrow)
    plus, minus = embed(rows, edit + probes), embed(rows, edit - probes)
    for count in (*wanted.queries, most):
        some = slice(0, count // 2)
        target, weights = _labels(films, rows[some])
        own, over = residuals((plus[some] + minus[some]) / 2.0, target, weights)
        told = probes[some], rows[some], ((plus - minus)[some] / 2.0) @ own, over
        pair = [_cosine(field.slope(*told), true) for field in (_alike(later), later)]
        print(f"{count} queries: one Jacobian {pair[0]:.2f}, one for each image {pair[1]:.2f}")


def _alike(field: JacobianField) -> JacobianField:
    """The same field with one Jacobian for all images."""
    return replace(field, features=torch.zeros_like(field.features))


def _labels(films: Images, rows: Rows) -> tuple[Tensor, Tensor]:
    sensitive, label = films.sensitive[rows], films.label[rows]
    return torch.from_numpy(2.0 * sensitive - 1.0), torch.from_numpy(cell_weights(label, sensitive))


def _cosine(one: Tensor, other: Tensor) -> float:
    return float(torch.nn.functional.cosine_similarity(one, other, dim=0))


if __name__ == "__main__":
    main()
