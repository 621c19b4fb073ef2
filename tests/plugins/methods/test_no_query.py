"""The no-query methods against their definitions and against the packages they come from."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from tiny import TinyDataset
from zobench_plugins.methods import inlp
from zobench_plugins.methods.leace import balanced_copies, erase
from zobench_plugins.methods.weighting import reweighing, weighted_head

from zobench.contracts.encoder import EncoderSpec
from zobench.contracts.head import PROTOCOLS, HeadProtocol
from zobench.errors import ConfigError
from zobench.problem.heads import cell_weights
from zobench.problem.images import Images, load_images
from zobench.registry.discovery import load_registry
from zobench.runs.baselines import Baseline, EmbeddedContext, require_fitting
from zobench.runs.scoring import Embedded

REGISTRY = load_registry()
NO_QUERY = sorted(
    name
    for name, offer in REGISTRY.offers["methods"].items()
    if not offer.plugin.load().needs_queries
)
SPEC = EncoderSpec("toy", (1, 8, 8), 10, False, True, "toy", 50)
RNG = np.random.default_rng(0)


def biased(count: int, rate: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Embeddings that show y weakly and a strongly; a share of the images has y = a."""
    a = RNG.integers(0, 2, count)
    y = np.where(RNG.random(count) < rate, a, 1 - a)
    noise = RNG.normal(size=(count, 10))
    noise[:, 0] += 1.2 * y
    noise[:, 1] += 3.0 * a
    return noise.astype(np.float32), y, a


def images(y: np.ndarray, a: np.ndarray) -> Images:
    films = load_images(TinyDataset(), np.zeros(len(y), dtype=np.int64))
    return Images(films.pixels, y, a, np.arange(len(y)))


TRAIN, Y, A = biased(600, 0.9)
TEST, TEST_Y, TEST_A = biased(2000, 0.5)


def solved(
    name: str, protocol: HeadProtocol = "converged", seed: int = 0, **overrides: object
) -> np.ndarray:
    test, embedded = images(TEST_Y, TEST_A), Embedded(TRAIN, TEST)
    context: Any = EmbeddedContext(
        images(Y, A), test.pixels, TEST_A, embedded, protocol, seed, SPEC, "", name
    )
    offer, _ = REGISTRY.find("methods", name)
    return np.asarray(offer.plugin.make(context, overrides, "method").solve().scores)


def test_groups_with_one_label_are_refused_before_a_query_is_spent() -> None:
    offer, argument = REGISTRY.find("methods", "group-thresholds")
    named = [Baseline("group-thresholds", offer, argument)]
    require_fitting(named, Y, A)
    with pytest.raises(ConfigError, match=r"group 1 have the labels \[0\]; leave it out"):
        require_fitting(named, np.where(A == 1, 0, Y), A)


def gap(scores: np.ndarray) -> float:
    called = scores > 0
    rates = [[called[(y == TEST_Y) & (a == TEST_A)].mean() for a in (0, 1)] for y in (0, 1)]
    return float(np.mean([abs(one - other) for one, other in rates]))


def test_the_issue_s_methods_are_there_and_say_that_they_need_no_query() -> None:
    wanted = {"reweighing", "leace", "leace-cells", "inlp", "balanced-subset", "group-thresholds"}
    assert wanted | {"erm", "group-dro", "batch-sampling"} == set(NO_QUERY)
    assert all(REGISTRY.offers["methods"][name].plugin.label == "no query" for name in NO_QUERY)


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("name", NO_QUERY)
def test_scores_are_finite_and_the_same_every_time(name: str, protocol: HeadProtocol) -> None:
    first = solved(name, protocol)
    assert first.shape == (2000,)
    assert np.isfinite(first).all()
    assert np.array_equal(first, solved(name, protocol))


@pytest.mark.parametrize("name", sorted(set(NO_QUERY) - {"erm", "leace"}))
def test_the_gap_of_a_biased_training_set_shrinks_without_a_query(name: str) -> None:
    assert gap(solved(name)) < 0.6 * gap(solved("erm"))


def test_reweighing_makes_disease_and_attribute_independent() -> None:
    weights = reweighing(Y, A)
    assert weights.mean() == pytest.approx(1.0)
    joint = np.array([[weights[(y == Y) & (a == A)].sum() for a in (0, 1)] for y in (0, 1)])
    joint /= joint.sum()
    np.testing.assert_allclose(joint, np.outer(joint.sum(1), joint.sum(0)), atol=1e-12)
    np.testing.assert_allclose(joint.sum(1), np.bincount(Y) / len(Y))  # the marginals stay


def test_reweighing_is_weighted_logistic_regression() -> None:
    scale = TRAIN.astype(np.float64)
    x, test = ((each - scale.mean(0)) / scale.std(0) for each in (scale, TEST.astype(np.float64)))
    model = LogisticRegression(C=1.0 / (0.1 * len(x)), tol=1e-12, max_iter=10_000)
    model.fit(x, Y, sample_weight=reweighing(Y, A))
    np.testing.assert_allclose(solved("reweighing"), model.decision_function(test), atol=1e-5)


@pytest.mark.parametrize("balanced", [False, True])
def test_no_linear_classifier_finds_the_attribute_after_leace(balanced: bool) -> None:
    rows = balanced_copies(Y, A) if balanced else np.arange(len(Y))
    (erased,) = erase(TRAIN, A, rows, TRAIN)
    means = [erased[rows][A[rows] == each].mean(0) for each in (0, 1)]
    np.testing.assert_allclose(means[0], means[1], atol=1e-6)  # the condition of LEACE
    probe = LogisticRegression(C=1e-2, max_iter=10_000).fit(erased[rows], A[rows])
    assert probe.score(erased[rows], A[rows]) < max(A[rows].mean(), 1 - A[rows].mean()) + 0.02
    assert LogisticRegression().fit(TRAIN, A).score(TRAIN, A) > 0.9


def test_copies_balance_the_cells() -> None:
    rows = balanced_copies(Y, A)
    cells = np.bincount(2 * Y[rows] + A[rows])
    assert cells.max() / cells.min() < 1.15  # copies are whole numbers
    assert set(rows) == set(range(len(Y)))


def test_inlp_removes_a_dimension_a_round(monkeypatch: pytest.MonkeyPatch) -> None:
    left: list[np.ndarray] = []

    def seen(context: Any, embeddings: np.ndarray, weights: np.ndarray) -> Any:
        left.append(embeddings)
        return weighted_head(context, embeddings, weights)

    monkeypatch.setattr(inlp, "weighted_head", seen)
    for rounds in (1, 2, 8):
        solved("inlp", rounds=rounds)
        assert np.linalg.matrix_rank(left[-1], tol=1e-6) == 10 - rounds
    cells = cell_weights(Y, A)  # the attribute beyond what the finding tells of it
    probe = LogisticRegression(max_iter=10_000).fit(left[-1], A, sample_weight=cells)
    assert probe.score(left[-1], A, sample_weight=cells) < 0.55
    assert LogisticRegression().fit(TRAIN, A).score(TRAIN, A, sample_weight=cells) > 0.85
