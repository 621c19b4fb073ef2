"""How well probes of single images tell slopes: cosines with the encoder's own gradients.

    python docs/explanation/probe_slopes.py --encoder vit-mae

Two slopes, in cosine coefficients: that of the SA head's mean score around no edit, within the 12 x 12
lowest frequencies, from single probes; and that of the penalised squared error of a refitted SA head
around an edit, at fixed spreads of the embeddings, from pairs of probes. Each is estimated twice: by the
plain mean of the probes, each times its measured slope, and by the Gaussian process of Jacobians.

``--quantize`` rounds the probes to 8 bits, and ``--service URL`` sends them to a service that holds the
same encoder (``zobench serve --encoder vit-mae``); the true slopes are always those of exact floats.
"""

from __future__ import annotations

import argparse

import numpy as np
import torch
from encoder_slopes import Embed, Rows, Slopes, cosine
from torch import Tensor
from zobench_plugins.optimizers.frequencies import spectrum
from zobench_plugins.optimizers.jacobian_field import JacobianField
from zobench_plugins.optimizers.probes import SMOOTHNESS, ProbesParameters
from zobench_plugins.optimizers.refitted_heads import residuals

from zobench.contracts.random_streams import generator
from zobench.problem.heads import fit_sensitive_head
from zobench.problem.quantization import RoundedEncoder
from zobench.registry.discovery import load_registry
from zobench.runs.parts import make_encoder
from zobench.runs.resolved import resolve_plugin

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
    parser.add_argument("--quantize", action="store_true", help="send 8-bit pixels")
    parser.add_argument("--service", help="URL of an OIP service with the same encoder")
    wanted = parser.parse_args()
    slopes = Slopes.of(wanted.encoder, wanted.disease, wanted.seed, wanted.cohort, wanted.images)
    asked = _asked(slopes, wanted.quantize, wanted.service)
    films, waves, zero = slopes.films, slopes.waves, slopes.zero

    def embed(rows: Rows, coefficients: Tensor) -> Tensor:
        return slopes.embed(asked, rows, coefficients)

    rng, everything = generator(wanted.seed, "optimizer"), slopes.everything
    clean = embed(everything, zero)
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

    true = slopes.gradient(slopes.own, zero, lambda answer, _: (answer @ scores).sum())
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
    refitted, weighted = residuals(embed(everything, edit), *slopes.labels(everything))
    # at its optimum the head's own change adds nothing to the slope
    true = slopes.gradient(
        slopes.own, edit, lambda answer, part: (weighted[part] * (answer @ refitted)).sum()
    )
    most = 4 * max(wanted.queries)
    probes = drawn(pair_field.prior, most // 2, DEFAULTS.pair_radius)
    rows = rng.permutation(np.concatenate([rng.choice(cell, most // 8) for cell in cells]))
    plus, minus = embed(rows, edit + probes), embed(rows, edit - probes)
    for count in (*wanted.queries, most):
        pairs = slice(0, count // 2)
        head_now, residual = residuals(
            (plus[pairs] + minus[pairs]) / 2.0, *slopes.labels(rows[pairs])
        )
        changes = ((plus - minus)[pairs] / 2.0) @ head_now
        plain = pair_field.prior * (probes[pairs].T @ (residual * changes))
        _show(count, plain, pair_field.slope(probes[pairs], rows[pairs], changes, residual), true)


def _asked(slopes: Slopes, quantize: bool, service: str | None) -> Embed:
    """What the probes are sent to."""
    if service is not None:
        plugin = resolve_plugin("encoder", "http:oip", {"url": service}, load_registry())
        return make_encoder(slopes.parts.config.changed(encoder="http:oip"), plugin).embed
    return RoundedEncoder(slopes.parts.encoder).embed if quantize else slopes.own


def _show(queries: int, plain: Tensor, process: Tensor, true: Tensor) -> None:
    cosines = cosine(plain, true), cosine(process, true)
    print("{} queries: plain mean {:.2f}, Gaussian process {:.2f}".format(queries, *cosines))


if __name__ == "__main__":
    main()
