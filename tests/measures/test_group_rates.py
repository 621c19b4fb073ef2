"""Group metrics against fairlearn, AUC against scikit-learn, and invariances of metrics."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
from fairlearn.metrics import MetricFrame, selection_rate, true_negative_rate, true_positive_rate
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, roc_auc_score

from zobench.contracts.metric import Metric, Predictions
from zobench.errors import PluginError
from zobench.measures.group_rates import compute
from zobench.measures.patient_bootstrap import ScoredImages, patient_weights
from zobench.registry.discovery import load_registry

METRICS = load_registry().metrics


def metrics(predictions: Predictions, weights: np.ndarray | None = None) -> dict[str, np.ndarray]:
    """The values of every installed metric; signed metrics as absolute values, as in tables."""
    found = {each.name: compute(each, predictions, weights) for each in METRICS}
    return {each.name: each.shown(found[each.name]) for each in METRICS}


def random_predictions(seed: int, n: int = 200, levels: int | None = None) -> Predictions:
    rng = np.random.default_rng(seed)
    label, sensitive = rng.integers(0, 2, n), rng.integers(0, 2, n)
    score = rng.normal(size=n) + 0.8 * label - 0.6 * sensitive
    if levels:
        score = np.round(score * levels) / levels
    return Predictions(score, label, sensitive)


@pytest.mark.parametrize("seed", range(5))
def test_group_rates_agree_with_fairlearn(seed: int) -> None:
    p = random_predictions(seed)
    called = (p.score > 0).astype(int)
    frame = MetricFrame(
        metrics={
            "tpr": true_positive_rate,
            "tnr": true_negative_rate,
            "rate": selection_rate,
            "accuracy": accuracy_score,
        },
        y_true=p.label,
        y_pred=called,
        sensitive_features=p.sensitive,
    )
    groups, gaps = frame.by_group, frame.difference()
    found = {name: values[0] for name, values in metrics(p).items()}
    assert found["eo_p"] == pytest.approx(100 * gaps["tpr"])
    assert found["eo_n"] == pytest.approx(100 * gaps["tnr"])
    assert found["dp_gap"] == pytest.approx(100 * gaps["rate"])
    assert found["eodds_max"] == pytest.approx(100 * max(gaps["tpr"], gaps["tnr"]))
    assert found["eodds_average"] == pytest.approx(50 * (gaps["tpr"] + gaps["tnr"]))
    ratio = groups["rate"][1] / groups["rate"][0]
    assert found["di_gap"] == pytest.approx(100 * abs(1 - ratio))
    ratio = groups["tpr"][1] / groups["tpr"][0]
    assert found["di_gap_tpr"] == pytest.approx(100 * abs(1 - ratio))
    assert found["accuracy"] == pytest.approx(100 * frame.overall["accuracy"])
    worst = min(groups["tpr"].min(), groups["tnr"].min())
    assert found["worst_group"] == pytest.approx(100 * worst)


@pytest.mark.parametrize("levels", [None, 2, 5])
def test_auc_agrees_with_scikit_learn_with_and_without_ties(levels: int | None) -> None:
    p = random_predictions(7, levels=levels)
    weights = np.random.default_rng(0).integers(0, 4, (3, len(p.label))).astype(float)
    for row, found in zip(weights, metrics(p, weights)["auc"], strict=True):
        assert found == pytest.approx(100 * roc_auc_score(p.label, p.score, sample_weight=row))


def test_the_papers_row_for_erm_on_pleural_effusion() -> None:
    """EO_n 40.5, EO_p 57.0, |1-DI| 58.5, accuracy 72.9 follow from TPR 97.4/40.4, TNR 56.5/97.0.

    The published |1-DI| is a ratio of true-positive rates (di_gap_tpr): the paper's own formula
    gives another number on the same predictions.
    """
    right = {(1, 0): 974, (1, 1): 404, (0, 0): 565, (0, 1): 970}
    rows = []
    for (label, sensitive), correct in right.items():
        for index in range(1000):
            called = label if index < correct else 1 - label
            rows.append((2.0 * called - 1.0, label, sensitive))
    score, label, sensitive = (np.array(column) for column in zip(*rows, strict=True))
    found = {k: v[0] for k, v in metrics(Predictions(score, label, sensitive)).items()}
    assert found["eo_n"] == pytest.approx(40.5)
    assert found["eo_p"] == pytest.approx(57.0)
    assert found["accuracy"] == pytest.approx(72.8, abs=0.1)
    assert found["di_gap_tpr"] == pytest.approx(58.5, abs=0.1)
    assert found["di_gap"] == pytest.approx(69.2, abs=0.1)


def test_a_ratio_of_nothing_to_nothing_is_no_disparity_and_something_to_nothing_is_infinite() -> (
    None
):
    label, sensitive = np.array([0, 0, 1, 1]), np.array([0, 1, 0, 1])
    nobody = metrics(Predictions(np.full(4, -1.0), label, sensitive))
    assert nobody["di_gap"][0] == nobody["di_gap_tpr"][0] == 0
    only_a1 = metrics(Predictions(np.array([-1, 1, -1, 1.0]), label, sensitive))
    assert np.isinf(only_a1["di_gap"][0])
    assert np.isinf(only_a1["di_gap_tpr"][0])


@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 10**6))
def test_metrics_do_not_depend_on_order_and_gaps_not_on_names_of_groups(seed: int) -> None:
    p = random_predictions(seed, n=60)
    order = np.random.default_rng(seed).permutation(60)
    shuffled = Predictions(p.score[order], p.label[order], p.sensitive[order])
    renamed = Predictions(p.score, p.label, 1 - p.sensitive)
    first, second, third = metrics(p), metrics(shuffled), metrics(renamed)
    for name in (each.name for each in METRICS):
        np.testing.assert_allclose(first[name], second[name], rtol=1e-12)
    for name in ("eo_n", "eo_p", "dp_gap", "accuracy", "worst_group", "auc"):
        np.testing.assert_allclose(first[name], third[name], rtol=1e-12)


def test_resamples_keep_patients_whole_and_strata_full() -> None:
    rng = np.random.default_rng(0)
    patient = np.repeat(np.arange(80), 3)
    sensitive, label = patient % 2, (patient // 2) % 2
    label[patient == 8] = [0, 1, 1]  # a patient with both labels belongs to a separate stratum
    weights = patient_weights(ScoredImages(patient, label, sensitive), 200, rng)
    per_patient = weights.reshape(200, 80, 3)
    assert (per_patient == per_patient[:, :, :1]).all()
    pure = ~np.isin(np.arange(80), [8])
    for a in (0, 1):
        for y in (0, 1):
            cell = pure & (np.arange(80) % 2 == a) & ((np.arange(80) // 2) % 2 == y)
            assert (per_patient[:, cell, 0].sum(1) == cell.sum()).all()


def test_the_interval_of_accuracy_agrees_with_the_binomial_one() -> None:
    """With one image per patient, the bootstrap's spread equals that of a binomial proportion."""
    rng = np.random.default_rng(4)
    n = 2000
    label, sensitive = np.arange(n) % 2, (np.arange(n) // 2) % 2
    score = np.where(rng.random(n) < 0.8, 1.0, -1.0) * (2.0 * label - 1)
    weights = patient_weights(ScoredImages(np.arange(n), label, sensitive), 2000, rng)
    spread = metrics(Predictions(score, label, sensitive), weights)["accuracy"].std()
    share = ((score > 0) == label).mean()
    assert spread == pytest.approx(100 * np.sqrt(share * (1 - share) / n), rel=0.1)


def test_a_gap_that_is_0_on_the_data_still_varies_in_the_resamples() -> None:
    label, sensitive = np.array([0, 0, 0, 0, 1, 1, 1, 1]), np.array([0, 0, 1, 1] * 2)
    p = Predictions(np.array([1.0, -1.0] * 4), label, sensitive)
    weights = np.ones((2, 8))
    weights[1, 0] = 3.0
    average = next(each for each in METRICS if each.name == "eodds_average")
    on_data, resampled = compute(average, p, weights)
    assert on_data == 0.0
    assert abs(resampled) == pytest.approx(12.5)


@pytest.mark.parametrize("given", ["from_counts", "from_scores"])
def test_a_metric_that_is_not_one_value_per_resample_is_named(given: str) -> None:
    def wrong(found: object, weights: object = None) -> float:
        return 5.0

    metric = Metric("mine", "mine", "a scalar", **{given: wrong})  # type: ignore[arg-type]
    answers = random_predictions(0)
    with pytest.raises(PluginError, match=r"metric 'mine' gave values of shape \(\) for 1 "):
        compute(metric, answers)


@pytest.mark.parametrize(
    ("value", "bounds", "message"),
    [
        (500.0, {}, "metric 'mine' gave 500, but declares low = 0 and high = 100"),
        (-1.0, {}, "metric 'mine' gave -1, but declares"),
        (-101.0, {"signed": True}, "metric 'mine' gave 101, but declares"),
        (1j, {}, "metric 'mine' gave values of type complex128, not real numbers"),
        ("5", {}, "metric 'mine' gave values of type <U1, not real numbers"),
    ],
)
def test_a_value_that_a_metric_may_not_have_is_named(
    value: object, bounds: dict[str, Any], message: str
) -> None:
    metric = Metric("mine", "mine", "", from_scores=lambda *_: np.array([value]), **bounds)
    with pytest.raises(PluginError, match=re.escape(message)):
        compute(metric, random_predictions(0))


@pytest.mark.parametrize("value", [100.0 + 1e-9, -100.0, np.nan, np.inf])
def test_a_value_within_its_bounds_but_for_rounding_is_taken(value: float) -> None:
    metric = Metric(
        "mine",
        "mine",
        "",
        signed=True,
        high=np.inf if value == np.inf else 100.0,
        from_scores=lambda *_: np.array([value]),
    )
    np.testing.assert_array_equal(compute(metric, random_predictions(0)), [value])
