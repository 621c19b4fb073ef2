from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny import DIMENSION, SIDE, TinyDataset, TinyEncoder, dne
from torch import Tensor

from zobench.contracts.dataset import Pixels, Rows
from zobench.contracts.objective import Objective
from zobench.contracts.optimizer import Ask, Feedback
from zobench.errors import BudgetExhausted, ConfigError, EncoderError, PluginError
from zobench.oracle.evaluator import POINTS, Evaluator, edit_norms
from zobench.oracle.ledger import Ledger
from zobench.oracle.metered_encoder import MeteredEncoder
from zobench.oracle.oracle import Oracle
from zobench.problem.heads import Head
from zobench.problem.images import load_images
from zobench.problem.spaces import PixelSpace
from zobench.testing.memory import resident_peak

BATCH, IMAGES = 5, 60
RNG = np.random.default_rng(1)
HEAD = Head(RNG.normal(size=(2, DIMENSION)), RNG.normal(size=2))


def make_oracle(
    budget: int = 1000,
    feedback: Feedback = "gradient",
    encoder: TinyEncoder | None = None,
    backward_cost: int = 2,
    penalty: float = 0.01,
    objective: Objective | None = None,
) -> Oracle:
    images = load_images(TinyDataset(), np.arange(IMAGES))
    ledger = Ledger(backward_cost)
    metered = MeteredEncoder(encoder or TinyEncoder(), ledger)
    seed = np.random.SeedSequence(9)
    evaluator = Evaluator(images, metered, objective or dne(HEAD), penalty, BATCH, seed, "tested")
    return Oracle(evaluator, PixelSpace(SIDE, SIDE), budget, feedback)


def points(count: int, scale: float = 0.1) -> Tensor:
    generator = torch.Generator().manual_seed(count)
    return scale * torch.randn(count, 1, SIDE, SIDE, generator=generator)


def ask(count: int, want: Feedback = "value", minibatch: int | None = None) -> Ask:
    numbers = np.arange(count) if minibatch is None else np.full(count, minibatch)
    return Ask(points(count), numbers, want)


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


class Adding(TinyEncoder):
    """Adds edits itself, as an encoder on a GPU does."""

    def embed_edited(self, pixels: Pixels, rows: Rows, edits: Tensor, owner: Rows) -> Tensor:
        return self.embed(torch.from_numpy(pixels[rows]) / 255.0 + edits[torch.from_numpy(owner)])


@pytest.mark.parametrize("kind", [TinyEncoder, Adding])
@pytest.mark.parametrize("broken", [False, True])
def test_what_is_done_meanwhile_comes_once_after_all_points_and_is_no_encoder_time(
    monkeypatch: pytest.MonkeyPatch, kind: type[TinyEncoder], broken: bool
) -> None:
    clock, seen = [0.0], list[tuple[int, bool]]()
    monkeypatch.setattr("time.perf_counter", lambda: clock[0])

    encoder = kind(block=BATCH)
    plain = encoder.embed

    def embed(images: Tensor) -> Tensor:
        clock[0] += 1.0
        return plain(images) * (torch.nan if broken else 1.0)

    monkeypatch.setattr(encoder, "embed", embed)
    oracle, count = make_oracle(encoder=encoder), 1 if broken else 2 * POINTS
    asked = Ask(points(count), np.arange(count))
    wanted = make_oracle().query(asked).values

    def meanwhile() -> None:
        clock[0] += 100.0
        asked.points.zero_()
        seen.append((sum(encoder.calls), torch.is_inference_mode_enabled()))

    if broken:
        with pytest.raises(EncoderError, match="answered NaN"):
            oracle.query(asked, meanwhile)
        assert len(seen) == (kind is Adding)  # the answer is checked once it is waited for
        return
    torch.testing.assert_close(oracle.query(asked, meanwhile).values, wanted)
    assert seen == [(count * BATCH, False)]
    assert oracle.evaluator.encoder.seconds == len(encoder.calls)


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


def test_nan_from_the_encoder_names_the_encoder_and_the_image() -> None:
    class Broken(TinyEncoder):
        def embed(self, images: Tensor) -> Tensor:
            answer = super().embed(images)
            answer[2] = torch.nan
            return answer

    with pytest.raises(EncoderError, match=r"encoder tiny answered NaN .* for 1 of .* number 2"):
        make_oracle(encoder=Broken()).query(ask(1))


def test_a_wrong_dimension_names_what_was_declared() -> None:
    class Narrow(TinyEncoder):
        def embed(self, images: Tensor) -> Tensor:
            return super().embed(images)[:, :-1]

    with pytest.raises(EncoderError, match=r"shape \(5, 5\).*embedding_dim=6"):
        make_oracle(encoder=Narrow()).query(ask(1))


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


def test_a_million_points_are_refused_by_price_before_anything_is_allocated() -> None:
    oracle = make_oracle(budget=1000, feedback="embeddings")
    million = torch.zeros(1, 1, SIDE, SIDE).expand(10**6, -1, -1, -1)
    before = resident_peak()
    with pytest.raises(BudgetExhausted, match="the next batch costs 1000000"):
        oracle.query(Ask(million, rows=np.zeros((10**6, 1), dtype=np.int64)))
    assert resident_peak() - before < 60 * 2**20  # a copy of the points would be 256 MB
    assert oracle.ledger.optimize.queries == 0


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


@pytest.mark.parametrize("size", [0.0, 1e-24, 1e-3, 1.0, 1e20])
def test_norms_of_edits_of_any_size(size: float) -> None:
    edits = size * torch.randn(3, 1, 40, 30, generator=torch.Generator().manual_seed(0))
    wanted = edits.double().flatten(1).norm(dim=1)
    torch.testing.assert_close(edit_norms(edits), wanted, rtol=1e-6, atol=0)
