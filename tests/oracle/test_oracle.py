"""The oracle: what an ask costs, what an answer holds, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from asked import BATCH, HEAD, ask, make_oracle, points
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny import DIMENSION, SIDE, TinyEncoder

from zobench.contracts.optimizer import Ask, Feedback
from zobench.errors import BudgetExhausted, PluginError
from zobench.testing.memory import resident_peak


def test_a_refused_ask_costs_and_computes_nothing() -> None:
    encoder = TinyEncoder()
    oracle = make_oracle(budget=3 * BATCH, encoder=encoder)
    oracle.query(ask(2))
    calls, spent = len(encoder.calls), oracle.ledger.optimize.queries
    with pytest.raises(BudgetExhausted):
        oracle.query(ask(2))
    assert (len(encoder.calls), oracle.ledger.optimize.queries) == (calls, spent)
    oracle.query(ask(1))
    assert oracle.ledger.optimize.queries == 3 * BATCH


@settings(deadline=None, max_examples=60)
@given(
    budget=st.integers(BATCH, 40 * BATCH),
    backward_cost=st.integers(0, 4),
    asks=st.lists(st.tuples(st.integers(1, 6), st.booleans()), max_size=12),
)
def test_the_ledger_never_passes_the_budget_and_counts_every_image(
    budget: int, backward_cost: int, asks: list[tuple[int, bool]]
) -> None:
    encoder = TinyEncoder()
    oracle = make_oracle(budget, encoder=encoder, backward_cost=backward_cost)
    forward = backward = evaluations = 0
    for count, gradient in asks:
        try:
            oracle.query(ask(count, "gradient" if gradient else "value"))
        except BudgetExhausted:
            continue
        forward += count * BATCH
        backward += count * BATCH if gradient else 0
        evaluations += count
    counts = oracle.ledger.optimize
    assert (counts.forward, counts.backward, counts.evaluations) == (forward, backward, evaluations)
    assert counts.forward == sum(encoder.calls)
    assert counts.requests == len(encoder.calls)
    assert counts.queries == forward + backward_cost * backward <= budget


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        (Ask(torch.zeros(0, 1, SIDE, SIDE), np.zeros(0, dtype=np.int64)), "K >= 1"),
        (Ask(torch.zeros(1, 1, SIDE, 3), np.zeros(1, dtype=np.int64)), "points of shape"),
        (Ask(torch.zeros(2, 1, SIDE, SIDE), np.zeros(1, dtype=np.int64)), "one a point"),
        (Ask(torch.zeros(1, 1, SIDE, SIDE), np.zeros(1)), "whole numbers from 0"),
        (Ask(torch.zeros(1, 1, SIDE, SIDE), np.array([-1])), "whole numbers from 0"),
        (Ask(torch.full((1, 1, SIDE, SIDE), torch.nan), np.array([0])), "NaN"),
    ],
)
def test_an_ask_that_breaks_the_contract_is_refused(request_: Ask, message: str) -> None:
    with pytest.raises(PluginError, match=message):
        make_oracle().query(request_)


@pytest.mark.parametrize("want", ["embeddings", "gradient"])
def test_more_feedback_than_declared_is_refused(want: Feedback) -> None:
    with pytest.raises(PluginError, match="at most its declared level, 'value'"):
        make_oracle(feedback="value").query(ask(1, want))


def test_an_answer_holds_what_the_declared_level_knows_and_no_more() -> None:
    blind = make_oracle(feedback="value").query(ask(2))
    assert (blind.embeddings, blind.gradients, blind.rows) == (None, None, None)
    oracle = make_oracle(feedback="embeddings")
    answer = oracle.query(ask(2))
    assert answer.embeddings is not None
    assert answer.rows is not None
    assert tuple(answer.embeddings.shape) == (2, BATCH, DIMENSION)
    pixels = oracle.evaluator.images.batch(answer.rows[1]) + ask(2).points[1]
    torch.testing.assert_close(answer.embeddings[1], TinyEncoder().embed(pixels))


@pytest.mark.parametrize("images", [1, 3, 60])
def test_an_ask_may_say_how_many_images_each_point_gets(images: int) -> None:
    oracle = make_oracle(feedback="embeddings")
    answer = oracle.query(Ask(points(4), np.array([3, 3, 5, 6]), images=images))
    assert answer.rows is not None
    assert answer.rows.shape == (4, images)
    assert np.array_equal(answer.rows[0], answer.rows[1])
    assert all(len(set(rows)) == images for rows in answer.rows.tolist())
    assert oracle.ledger.optimize.queries == 4 * images
    assert oracle.ledger.optimize.evaluations == 4


def test_an_ask_may_name_the_rows_and_gets_their_embeddings_and_values() -> None:
    oracle = make_oracle(feedback="embeddings")
    rows = np.array([[7, 7], [0, 59], [3, 4]])
    asked = Ask(points(3), rows=rows)
    answer = oracle.query(asked)
    assert answer.embeddings is not None
    assert np.array_equal(answer.rows, rows)
    for k in range(3):
        images = oracle.evaluator.images.batch(rows[k]) + asked.points[k]
        expected = TinyEncoder().embed(images)
        torch.testing.assert_close(answer.embeddings[k], expected)
        labels = torch.from_numpy(oracle.evaluator.images.sensitive[rows[k]])
        logits = expected.double() @ torch.from_numpy(HEAD.weight).T + torch.from_numpy(HEAD.bias)
        value = -torch.nn.functional.cross_entropy(logits, labels) + 0.01 * asked.points[k].norm()
        assert float(answer.values[k]) == pytest.approx(float(value), rel=1e-6)
    assert oracle.ledger.optimize.queries == 6


def test_a_million_points_are_refused_by_price_before_anything_is_allocated() -> None:
    oracle = make_oracle(budget=1000, feedback="embeddings")
    million = torch.zeros(1, 1, SIDE, SIDE).expand(10**6, -1, -1, -1)
    before = resident_peak()
    with pytest.raises(BudgetExhausted, match="the next batch costs 1000000"):
        oracle.query(Ask(million, rows=np.zeros((10**6, 1), dtype=np.int64)))
    assert resident_peak() - before < 60 * 2**20  # a copy of the points would be 256 MB
    assert oracle.ledger.optimize.queries == 0
