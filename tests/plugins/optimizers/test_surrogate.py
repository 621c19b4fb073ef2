"""Surrogate with an encoder that is the API's own, and with one that knows nothing of it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.linear_model import Ridge
from torch import Tensor
from zobench_plugins.optimizers.embedding_map import PENALTIES, EmbeddingMap
from zobench_plugins.optimizers.paid_checks import Cells
from zobench_plugins.optimizers.surrogate import Surrogate, SurrogateParameters

from zobench.contracts.client import Client
from zobench.contracts.optimizer import Answer, LocalEncoder, OptimizerContext
from zobench.errors import ConfigError
from zobench.problem.heads import Head
from zobench.problem.spaces import PixelSpace

SIDE, IMAGES = 8, 400
SPACE = PixelSpace(SIDE, SIDE)


class Api:
    """An encoder whose reading of the attribute saturates: a bright lower half hides it."""

    def __init__(self) -> None:
        rng = np.random.default_rng(0)
        self.label, self.sensitive = rng.integers(0, 2, (2, IMAGES))
        biased = rng.random(IMAGES) < 0.35  # among the sick, more of one group
        self.label = np.where(biased, self.sensitive, self.label)
        films = 0.4 + 0.02 * rng.standard_normal((IMAGES, 1, SIDE, SIDE))
        films[:, :, : SIDE // 2] += 0.04 * self.label[:, None, None, None]
        films[:, :, SIDE // 2 :] += 0.05 * self.sensitive[:, None, None, None]
        self.films = torch.from_numpy(films).float()

    def embed(self, images: Tensor) -> Tensor:
        upper = images[:, 0, : SIDE // 2].mean((1, 2))
        lower = images[:, 0, SIDE // 2 :].mean((1, 2))
        aside = images[:, 0, :, ::2].mean((1, 2)) - images[:, 0, :, 1::2].mean((1, 2))
        # far from 0.42 the brightness of the lower half is read less and less, and the rest prevails
        return torch.stack([40 * upper, 3 * torch.tanh(12 * (lower - 0.42)) + 100 * aside], 1)

    def context(self, local: LocalEncoder, budget: int = 4000, seed: int = 0) -> OptimizerContext:
        client = Client(
            head=Head(np.zeros((2, 2)), np.zeros(2)),
            clean=self.embed(self.films),
            sensitive=torch.from_numpy(self.sensitive),
            label=torch.from_numpy(self.label),
            pixels=lambda rows: self.films[torch.from_numpy(rows)],
            values=lambda embeddings, rows: torch.zeros(len(embeddings), dtype=torch.float64),
            penalty=0.0,
        )
        rng = np.random.default_rng(seed)
        return OptimizerContext(SPACE, rng, budget, 16, client=client, local=local)


def told(api: Api, optimizer: Surrogate) -> Surrogate:
    """The optimizer after its check was answered."""
    ask = optimizer.ask()
    assert ask.rows is not None
    assert ask.rows.shape == (2, 96)
    assert torch.equal(ask.points[0], -ask.points[1])
    images = [api.films[torch.from_numpy(ask.rows[0])] + each for each in ask.points]
    embeddings = torch.stack([api.embed(each) for each in images])
    optimizer.tell(ask, Answer(torch.zeros(2), embeddings, None, ask.rows))
    return optimizer


PARAMETERS = SurrogateParameters(stride=0.05, length=0.2)


def test_the_api_s_own_encoder_gives_an_edit_that_is_kept() -> None:
    api = Api()
    optimizer = told(api, Surrogate(api.context(api.embed), PARAMETERS))
    edit = optimizer.recommend()
    lower = edit[0, SIDE // 2 :].mean()
    assert abs(float(lower)) > 0.05  # where the attribute is read
    ask = optimizer.ask()
    assert ask.rows is not None
    assert ask.rows.shape[1] == 1  # pairs around the edit
    middle = (ask.points[: len(ask.points) // 2] + ask.points[len(ask.points) // 2 :]) / 2
    torch.testing.assert_close(middle, edit.expand_as(middle), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("length", [0.005, 0.1])
def test_pairs_keep_the_length_that_the_edit_may_have(length: float) -> None:
    api = Api()
    parameters = SurrogateParameters(stride=0.05, length=length, least=0.0)
    optimizer = told(api, Surrogate(api.context(api.embed), parameters))
    checked = float(optimizer.recommend().square().mean().sqrt())
    assert 0.5 * length < checked < 1.001 * length
    for _ in range(3):
        ask = optimizer.ask()
        assert ask.rows is not None
        embeddings = api.embed(api.films[torch.from_numpy(ask.rows[:, 0])] + ask.points)
        optimizer.tell(ask, Answer(torch.zeros(len(ask.rows)), embeddings[:, None], None, ask.rows))
        found = float(optimizer.recommend().square().mean().sqrt())
        assert 0.9 * checked < found < 1.001 * length


def test_an_encoder_that_knows_nothing_is_given_up_for_probes() -> None:
    api = Api()
    noise = torch.from_numpy(np.random.default_rng(1).standard_normal((SIDE * SIDE, 5))).float()

    def local(images: Tensor) -> Tensor:
        return torch.sin(40 * images.flatten(1) @ noise)

    optimizer = Surrogate(api.context(local), PARAMETERS)
    assert not bool(optimizer.recommend().any())
    optimizer = told(api, optimizer)
    assert not bool(optimizer.recommend().any())
    ask = optimizer.ask()
    assert ask.rows is not None
    assert len(ask.points) == 32  # single probes around no edit
    assert float(ask.points.mean(0).norm()) < float(ask.points[0].norm())


def test_the_better_sign_is_kept() -> None:
    api = Api()
    optimizer = Surrogate(api.context(api.embed), PARAMETERS)
    ask = optimizer.ask()
    assert ask.rows is not None
    rows = torch.from_numpy(ask.rows[0])
    before = optimizer.recommend()
    good, bad = (
        api.embed(api.films[rows] + each * (before if each else 0.0 * before)) for each in (1, 0)
    )
    # the answers are exchanged, so the negative looks good
    optimizer.tell(ask, Answer(torch.zeros(2), torch.stack([bad, good]), None, ask.rows))
    torch.testing.assert_close(optimizer.recommend(), -before)


def test_a_budget_that_ends_with_the_check_is_refused() -> None:
    api = Api()
    with pytest.raises(ConfigError, match="budget is 192, but must be more than 192"):
        Surrogate(api.context(api.embed, budget=192), SurrogateParameters())


def test_the_price_of_a_check_is_that_of_the_cells_there_are() -> None:
    label, sensitive = np.repeat([0, 1], 30), np.repeat([0, 1], 30)  # two cells are empty
    cells = Cells(label, sensitive, torch.ones(60))
    for count in (8, 50, 96):
        drawn = cells.balanced(count, np.random.default_rng(0))
        assert len(drawn) == cells.balanced_count(count) == min(count, 60)


@pytest.mark.parametrize("numbers", [20, 150])  # fewer than images, and more
def test_the_map_is_that_of_scikit_learn_with_the_best_left_out_prediction(numbers: int) -> None:
    rng = np.random.default_rng(3)
    source = rng.standard_normal((60, numbers)) * np.linspace(0.1, 5.0, numbers)
    target = source[:, :4] @ rng.standard_normal((4, 3)) + rng.standard_normal((60, 3))
    features, wanted = source / source.std(0), target - target.mean(0)
    total = (wanted**2).sum()

    def left_out(penalty: float) -> float:
        model = Ridge(60 * penalty)  # with a mean that the image is no part of
        errors = 0.0
        for row in range(60):
            rest = np.arange(60) != row
            predicted = model.fit(features[rest], wanted[rest]).predict(features[row : row + 1])
            errors += ((predicted - wanted[row]) ** 2).sum()
        return float(1 - errors / total)

    explained = {each: left_out(each) for each in PENALTIES}
    best = max(explained, key=lambda each: explained[each])
    found = EmbeddingMap.fitted(torch.from_numpy(source), torch.from_numpy(target))
    assert found.explained == pytest.approx(explained[best], rel=1e-6)
    model = Ridge(60 * best).fit(features, wanted)
    expected = model.predict(features) + target.mean(0)
    np.testing.assert_allclose(found(torch.from_numpy(source)), expected, rtol=1e-8, atol=1e-8)


def test_a_number_that_hardly_varies_is_left_out_of_the_map() -> None:
    rng = np.random.default_rng(0)
    source, target = torch.from_numpy(rng.standard_normal((2, 50, 3)))
    source[:, 1] = 0.5 + 1e-8 * source[:, 1]  # rounding of the network
    found = EmbeddingMap.fitted(source, target)
    moved = source + torch.tensor([0.0, 0.1, 0.0])
    torch.testing.assert_close(found(moved), found(source))
