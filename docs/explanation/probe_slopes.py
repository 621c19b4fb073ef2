"""How well probes of single images tell slopes: cosines with the encoder's own gradients.

    python docs/explanation/probe_slopes.py --encoder vit-mae

Two slopes, in cosine coefficients: that of the SA head's mean score around no edit, within the 12 x 12
lowest frequencies, from single probes; and that of the penalised squared error of a refitted SA head
around an edit, at fixed spreads of the embeddings, from pairs of probes. Each is estimated twice: by the
plain mean of the probes, each times its measured slope, and by the Gaussian process of Jacobians.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable

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
"""Images of one call of the encoder."""

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
    single_field = JacobianField.of(clean, coarse.flatten(), DEFAULTS.noise)
    pair_field = JacobianField.of(
        clean, spectrum(waves.side, SMOOTHNESS, DEFAULTS.pair_corner), DEFAULTS.noise
    )

    def drawn(prior: Tensor, count: int, rms: float) -> Tensor:
        white = torch.from_numpy(rng.standard_normal((count, len(prior)))) * prior.sqrt()
        return rms * waves.side * torch.nn.functional.normalize(white)

    cells = [np.flatnonzero(2 * films.label + films.sensitive == cell) for cell in range(4)]

    true = gradient(zero, lambda answer, _: (answer @ scores).sum())
    true[coarse.flatten() == 0] = 0.0
    probes = drawn(single_field.prior, max(wanted.queries), DEFAULTS.radius)
    rows = rng.integers(0, len(films), len(probes))
    changes = embed(rows, probes) - clean[rows]
    print(f"{wanted.encoder}, slope of the SA head's mean score around no edit")
    for count in wanted.queries:
        told = probes[:count], rows[:count], changes[:count]
        plain = single_field.prior * (told[0].T @ (told[2] @ scores))
        _show(count, plain, single_field.mean(*told) @ scores, true)

    jacobian = single_field.mean(probes, rows, changes)
    direction = torch.linalg.svd(jacobian, full_matrices=False)[0][:, 0]
    edit = 0.015 * waves.side * direction
    print(f"{wanted.encoder}, slope of a refitted SA head's squared error around an edit")
    moved = embed(everything, edit.expand(len(films), -1))
    refitted, weighted = residuals(moved, *_labels(films, everything))
    # at its optimum the head's own change adds nothing to the slope
    true = gradient(edit, lambda answer, part: (weighted[part] * (answer @ refitted)).sum())
    most = 4 * max(wanted.queries)
    probes = drawn(pair_field.prior, most // 2, DEFAULTS.pair_radius)
    rows = rng.permutation(np.concatenate([rng.choice(each, most // 8) for each in cells]))
    plus, minus = embed(rows, edit + probes), embed(rows, edit - probes)
    for count in (*wanted.queries, most):
        pairs = slice(0, count // 2)
        head_now, residual = residuals(
            (plus[pairs] + minus[pairs]) / 2.0, *_labels(films, rows[pairs])
        )
        changes = ((plus - minus)[pairs] / 2.0) @ head_now
        plain = pair_field.prior * (probes[pairs].T @ (residual * changes))
        _show(count, plain, pair_field.slope(probes[pairs], rows[pairs], changes, residual), true)


def _show(queries: int, plain: Tensor, process: Tensor, true: Tensor) -> None:
    cosines = (
        torch.nn.functional.cosine_similarity(each, true, dim=0) for each in (plain, process)
    )
    print("{} queries: plain mean {:.2f}, Gaussian process {:.2f}".format(queries, *cosines))


def _labels(films: Images, rows: Rows) -> tuple[Tensor, Tensor]:
    sensitive, label = films.sensitive[rows], films.label[rows]
    return torch.from_numpy(2.0 * sensitive - 1.0), torch.from_numpy(cell_weights(label, sensitive))


if __name__ == "__main__":
    main()
