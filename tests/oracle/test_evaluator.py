"""The objective of edits: its values and gradients, however images are packed."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from asked import BATCH, HEAD, IMAGES, ask, make_oracle, points
from tiny import DIMENSION, SIDE, TinyEncoder
from torch import Tensor

from zobench.contracts.objective import Objective
from zobench.contracts.optimizer import Ask, Feedback
from zobench.errors import ConfigError, PluginError
from zobench.oracle.evaluator import edit_norms


def test_values_are_the_papers_objective_in_plain_numpy() -> None:
    oracle = make_oracle()
    request = ask(3)
    answer = oracle.query(request)
    evaluator = oracle.evaluator
    for k in range(3):
        rows = evaluator.rows(k)
        images = evaluator.images.pixels[rows] / 255.0 + request.points[k].numpy()
        z = TinyEncoder().embed(torch.from_numpy(images).float()).numpy().astype(np.float64)
        logits = z @ HEAD.weight.T + HEAD.bias
        probability = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
        entropy = -np.log(probability[np.arange(BATCH), evaluator.images.sensitive[rows]])
        expected = -entropy.mean() + 0.01 * np.sqrt((request.points[k].numpy() ** 2).sum())
        assert answer.values[k].item() == pytest.approx(expected, rel=1e-6)


def test_gradients_agree_with_differences_of_values() -> None:
    oracle = make_oracle(budget=10**6, penalty=0.3)
    request = ask(1, "gradient")
    gradient = oracle.query(request).gradients
    assert gradient is not None
    direction = points(1, 1.0)
    h = 1e-2
    ends = torch.cat([request.points + h * direction, request.points - h * direction])
    up, down = oracle.query(Ask(ends, np.zeros(2, dtype=np.int64))).values.tolist()
    assert (up - down) / (2 * h) == pytest.approx(float((gradient * direction).sum()), rel=2e-3)


def test_the_norm_has_subgradient_zero_at_the_origin() -> None:
    oracle = make_oracle(penalty=1000.0)
    zero = Ask(torch.zeros(1, 1, SIDE, SIDE), np.zeros(1, dtype=np.int64), "gradient")
    free = make_oracle(penalty=0.0).query(zero).gradients
    assert free is not None
    assert torch.equal(oracle.query(zero).gradients, free)


def test_equal_minibatch_numbers_mean_the_same_images_in_any_ask() -> None:
    oracle = make_oracle()
    rows = [oracle.evaluator.rows(number).tolist() for number in (4, 4, 5)]
    assert rows[0] == rows[1] != rows[2]
    assert len(set(rows[0])) == BATCH
    same = oracle.query(Ask(points(1).repeat(3, 1, 1, 1), np.array([7, 7, 8]))).values.tolist()
    assert same[0] == pytest.approx(same[1], rel=1e-6) != same[2]


@pytest.mark.parametrize("block", [1, 3, 7, 50, 1000])
def test_packing_changes_nothing_and_calls_are_as_few_as_the_block_allows(block: int) -> None:
    encoder = TinyEncoder(block=block)
    values = make_oracle(encoder=encoder).query(ask(6)).values
    reference = make_oracle(encoder=TinyEncoder(block=BATCH)).query(ask(6)).values
    torch.testing.assert_close(values, reference, rtol=1e-6, atol=1e-7)
    assert len(encoder.calls) == -(-6 * BATCH // block)
    assert max(encoder.calls) <= block


def test_a_gradient_that_does_not_fit_in_memory_is_taken_in_smaller_slices() -> None:
    class Small(TinyEncoder):
        def embed(self, images: Tensor) -> Tensor:
            if len(images) > 2:
                raise torch.OutOfMemoryError("test")
            return super().embed(images)

    request = ask(1, "gradient")
    found = make_oracle(encoder=Small()).query(request).gradients
    expected = make_oracle().query(request).gradients
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize(("images", "block"), [(1, 7), (1, 64), (3, 64), (5, 16), (64, 50)])
def test_images_of_many_points_fill_whole_blocks(images: int, block: int) -> None:
    encoder = TinyEncoder(block=block)
    oracle = make_oracle(10**6, "embeddings", encoder)
    count = 200
    rows = np.random.default_rng(0).integers(0, IMAGES, (count, min(images, IMAGES)))
    asked = Ask(points(count), rows=rows)
    answer = oracle.query(asked)
    assert len(encoder.calls) == -(-rows.size // block)
    assert set(encoder.calls[:-1]) <= {block}
    one_by_one = [
        make_oracle(10**6, "embeddings").query(Ask(asked.points[[k]], rows=rows[[k]])).values
        for k in range(0, count, 23)
    ]
    torch.testing.assert_close(answer.values[::23], torch.cat(one_by_one), rtol=1e-6, atol=1e-9)


class Odd:
    """An objective that gives whatever it is told to."""

    mean_over_images = True

    def __init__(self, found: object) -> None:
        self.found = found

    def values(self, embeddings: Tensor, sensitive: Tensor, label: Tensor) -> Tensor:
        return self.found  # type: ignore[return-value]


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (torch.full((1,), torch.nan, dtype=torch.float64), "gave NaN or infinity"),
        (torch.zeros(2, dtype=torch.float64), r"gave \(2,\) of type float64"),
        (torch.zeros(1), r"gave \(1,\) of type float32"),
        (0.5, "gave float"),
    ],
)
def test_an_objective_that_breaks_its_contract_is_named(found: object, words: str) -> None:
    oracle = make_oracle(objective=Odd(found))
    with pytest.raises(PluginError, match=f"objective 'tested': values.*must give.*{words}"):
        oracle.query(ask(1))


class Spread:
    """An objective that is no mean over images: the variance of the embeddings."""

    mean_over_images = False

    def values(self, embeddings: Tensor, sensitive: Tensor, label: Tensor) -> Tensor:
        return embeddings.double().var(dim=1, correction=0).sum(-1)


class Paired(Spread):
    """One that has no value for a single image."""

    least_images = 2


@pytest.mark.parametrize("want", ["value", "gradient"])
def test_too_few_images_for_an_objective_are_refused_before_they_are_paid(want: Feedback) -> None:
    oracle = make_oracle(objective=Paired())
    with pytest.raises(ConfigError, match=r"objective tested compares images .* needs 2 at least"):
        oracle.query(replace(ask(2, want), images=1))
    assert oracle.ledger.optimize.queries == 0
    oracle.query(replace(ask(2, "embeddings"), images=1))  # its value is not wanted
    oracle.query(replace(ask(2, want), images=2))


@pytest.mark.parametrize("block", [1, 2, 5, 50])
def test_gradients_of_an_objective_of_the_whole_minibatch_do_not_depend_on_the_block(
    block: int,
) -> None:
    encoder = TinyEncoder(block=block)
    oracle = make_oracle(objective=Spread(), encoder=encoder)
    answer = oracle.query(ask(2, "gradient"))
    whole = make_oracle(objective=Spread()).query(ask(2, "gradient"))
    torch.testing.assert_close(answer.values, whole.values, rtol=1e-6, atol=1e-9)
    torch.testing.assert_close(answer.gradients, whole.gradients, rtol=1e-4, atol=1e-6)
    counts = oracle.ledger.optimize
    assert (counts.forward, counts.backward, counts.queries) == (10, 10, 30)


@pytest.mark.parametrize("objective", [None, Spread(), Paired()])
@pytest.mark.parametrize("block", [1, 2, 50])
def test_cotangents_give_the_slope_of_their_products_with_the_embeddings(
    objective: Objective | None, block: int
) -> None:
    encoder = TinyEncoder(block=block)
    oracle = make_oracle(objective=objective, encoder=encoder, penalty=0.3)
    cotangents = torch.randn(2, BATCH, DIMENSION, generator=torch.Generator().manual_seed(0))
    asked = replace(ask(2, "gradient"), cotangents=cotangents)
    answer = oracle.query(asked)
    assert answer.gradients is not None
    assert answer.embeddings is not None
    counts = oracle.ledger.optimize
    assert (counts.forward, counts.backward, counts.queries) == (10, 10, 30)
    h = 1e-2
    for k in range(2):
        direction = points(1, 1.0)[0]
        images = torch.from_numpy(oracle.evaluator.images.pixels[oracle.evaluator.rows(k)] / 255.0)
        ends = [
            TinyEncoder().embed(images.float() + asked.points[k] + sign * h * direction).double()
            for sign in (1, -1)
        ]
        slope = float(((ends[0] - ends[1]) / (2 * h) * cotangents[k]).sum(1).mean())
        assert float((answer.gradients[k] * direction).sum()) == pytest.approx(slope, rel=2e-3)
    plain = make_oracle(objective=objective, penalty=0.3).query(ask(2, "gradient"))
    torch.testing.assert_close(answer.values, plain.values, rtol=1e-6, atol=1e-9)
    torch.testing.assert_close(answer.embeddings, plain.embeddings, rtol=1e-5, atol=1e-6)


def test_cotangents_need_no_value_of_the_objective_and_as_many_numbers_as_an_embedding() -> None:
    oracle = make_oracle(objective=Paired())
    asked = replace(ask(1, "gradient"), images=1)
    oracle.query(replace(asked, cotangents=torch.zeros(1, 1, DIMENSION)))
    rule = rf"cotangents of shape \(1, 1, 2\); .* \(1, 1, {DIMENSION}\)"
    with pytest.raises(PluginError, match=rule):
        oracle.query(replace(asked, cotangents=torch.zeros(1, 1, 2)))


@pytest.mark.parametrize("size", [0.0, 1e-24, 1e-3, 1.0, 1e20])
def test_norms_of_edits_of_any_size(size: float) -> None:
    edits = size * torch.randn(3, 1, 40, 30, generator=torch.Generator().manual_seed(0))
    wanted = edits.double().flatten(1).norm(dim=1)
    torch.testing.assert_close(edit_norms(edits), wanted, rtol=1e-6, atol=0)
