"""How well gradients of another encoder tell slopes: cosines with the encoder's own, at no query.

    python docs/explanation/surrogate_slopes.py --encoder vit-mae --surrogates vit-mae:plain dinov2-s14

A linear map from the surrogate's embeddings to the encoder's is fitted on the clean films. Three slopes:
that of the SA head's mean score around no edit, and that of the squared error of a refitted SA head
around no edit and around one that lowers the SA head's score.
"""

from __future__ import annotations

import argparse

import torch
from encoder_slopes import SIDE, Slopes, cosine
from zobench_plugins.optimizers.embedding_map import EmbeddingMap
from zobench_plugins.optimizers.refitted_heads import residuals

from zobench.contracts.random_streams import generator
from zobench.problem.heads import fit_sensitive_head


def main() -> None:
    """Prints the cosines of each surrogate."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--encoder", default="vit-mae")
    parser.add_argument("--surrogates", nargs="+", required=True)
    parser.add_argument("--disease", default="edema")
    parser.add_argument("--seed", type=int, default=100)
    parser.add_argument("--cohort", type=int, default=900)
    parser.add_argument("--images", type=int, default=200, help="training images, at most")
    wanted = parser.parse_args()
    slopes = Slopes.of(wanted.encoder, wanted.disease, wanted.seed, wanted.cohort, wanted.images)
    films, everything, zero = slopes.films, slopes.everything, slopes.zero
    clean = slopes.embed(slopes.own, everything, zero)
    rng = generator(wanted.seed, "optimizer")
    head = fit_sensitive_head(
        clean.numpy(), films.sensitive, films.label, protocol="converged", rng=rng
    )
    scores = torch.from_numpy(head.weight[1] - head.weight[0])
    mean_score = slopes.gradient(slopes.own, zero, lambda answer, _: (answer @ scores).sum())
    edit = -0.015 * SIDE * torch.nn.functional.normalize(mean_score, dim=0)
    moved = slopes.embed(slopes.own, everything, edit)
    kinds = {"SA head's mean score, no edit": (zero, scores, torch.ones(len(films)))}
    for name, center, embedded in (("no edit", zero, clean), ("an edit", edit, moved)):
        kinds[f"refitted head's error, {name}"] = (
            center,
            *residuals(embedded, *slopes.labels(everything)),
        )
    true = {
        name: slopes.gradient(
            slopes.own,
            center,
            lambda answer, part, w=weight, h=linear: (w[part] * (answer @ h)).sum(),
        )
        for name, (center, linear, weight) in kinds.items()
    }
    for surrogate in wanted.surrogates:
        by = slopes.by(surrogate)
        mapped = EmbeddingMap.fitted(slopes.embed(by, everything, zero), clean)
        print(f"{wanted.encoder} by {surrogate}: the map explains {mapped.explained:.2f}")
        for name, (center, linear, weight) in kinds.items():
            gradient = slopes.gradient(
                by,
                center,
                lambda answer, part, m=mapped, w=weight, h=linear: (
                    w[part] * (m(answer) @ h)
                ).sum(),
            )
            print(f"  {name}: {cosine(gradient, true[name]):.2f}", flush=True)


if __name__ == "__main__":
    main()
