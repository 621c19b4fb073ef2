"""Every strategy of nevergrad's registry, such as ``nevergrad:CMA`` or ``nevergrad:TwoPointsDE``.

Rapin and Teytaud, "Nevergrad: a gradient-free optimization platform", 2018. A strategy's own state
cannot be stored without pickling it, so what is remembered is its seed and every value that it was
told: a restored strategy is made anew and told the same again, which only costs its own thinking. A
few strategies seed themselves from the clock; they run, but their replay asks for other points, and
then the run says that it cannot be resumed instead of going on as another.
"""

from __future__ import annotations

import hashlib
import random
import tracemalloc
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, ClassVar

import nevergrad as ng
import numpy as np
import torch
from torch import Tensor

from zobench.contracts.optimizer import Answer, Ask, Feedback, OptimizerContext, State
from zobench.contracts.parameters import nearest, parameter
from zobench.errors import ConfigError

MEMORY_LIMIT = 2e9
"""Bytes that a strategy may be expected to take."""

TRIAL_STEP = 400
"""Memory is measured at one, two and three times this dimension."""


@dataclass(frozen=True)
class NevergradParameters:
    """What a strategy is told beside the space and the budget."""

    sigma: float = parameter(
        0.02, "standard deviation of the first mutations, in pixel range", low=1e-6
    )
    workers: int = parameter(
        10, "points a batch; strategies that cannot evaluate in parallel take 1", low=1
    )


class NevergradStrategy:
    """Asks for a batch of candidates on one fresh minibatch and recommends what nevergrad does."""

    feedback: ClassVar[Feedback] = "value"

    def __init__(self, context: OptimizerContext, parameters: NevergradParameters) -> None:
        """Makes the strategy.

        Raises:
            ConfigError: nevergrad has no such strategy, or it cannot hold the space's dimension.
        """
        self._name = context.argument
        strategies = names()
        if self._name not in strategies:
            raise ConfigError(
                f"nevergrad has no strategy {self._name!r}{nearest(self._name, strategies)}; "
                "zobench list optimizers --all names them"
            )
        self._shape = context.space.shape
        self._sigma = parameters.sigma
        self._evaluations = max(1, context.budget // context.batch_size)
        serial = ng.optimizers.registry[self._name].no_parallelization
        self._width = 1 if serial else min(parameters.workers, self._evaluations)
        self._seed = int(context.rng.integers(2**32))
        self._begin()
        self._require_memory(context.space.name)

    def _require_memory(self, space: str) -> None:
        """Refuses a strategy that cannot hold the dimension; a portfolio by what it chose."""
        dimension = int(np.prod(self._shape))
        chosen = getattr(getattr(self._strategy, "optim", None), "name", self._name)
        expected = foreseen_memory(chosen if chosen in names() else self._name, dimension)
        if expected > MEMORY_LIMIT:
            choice = "" if chosen == self._name else f" (it chose {chosen})"
            raise ConfigError(
                f"nevergrad:{self._name}{choice} would take about {expected / 1e9:.0f} GB in space "
                f"{space!r} of {dimension:,} dimensions; choose a smaller one, such as --space lowres:16"
            )

    def _begin(self) -> None:
        self._told: list[float] = []
        self._asked = hashlib.blake2b(digest_size=16)
        self._chance = Chance(self._seed)
        with self._inside():
            self._strategy = make_strategy(
                self._name, self._shape, self._sigma, self._seed, self._evaluations, self._width
            )

    @contextmanager
    def _inside(self) -> Iterator[None]:
        """Where nevergrad runs: warnings silenced, global random numbers its own.

        Raises:
            ConfigError: The strategy needs a package that is not installed.
        """
        with quiet(), self._chance.taken():
            try:
                yield
            except (ImportError, RuntimeError) as error:
                if isinstance(error, RuntimeError) and "No module named" not in str(error):
                    raise
                raise ConfigError(
                    f"nevergrad:{self._name} needs a package that is not installed "
                    f"({str(error).splitlines()[-1]}); install it, or choose another strategy"
                ) from error

    def ask(self) -> Ask:
        """As many candidates as evaluate in parallel, on one minibatch."""
        with self._inside():
            self._candidates = [self._strategy.ask() for _ in range(self._width)]
        points = np.stack([candidate.value for candidate in self._candidates])
        numbers = np.full(self._width, len(self._told) // self._width, dtype=np.int64)
        return Ask(torch.from_numpy(points.astype(np.float32)), numbers)

    def tell(self, ask: Ask, answer: Answer) -> None:
        """Passes the values on."""
        self._pass_on(answer.values.tolist())

    def _pass_on(self, values: list[float]) -> None:
        with self._inside():
            for candidate, value in zip(self._candidates, values, strict=True):
                self._asked.update(np.ascontiguousarray(candidate.value).data)
                self._strategy.tell(candidate, value)
        self._told += values

    def recommend(self) -> Tensor:
        """Nevergrad's own recommendation, which for its noisy strategies is not the lowest value."""
        if not self._told:
            return torch.zeros(self._shape)
        with self._inside():
            found = self._strategy.provide_recommendation().value
        return torch.from_numpy(np.asarray(found, dtype=np.float32).reshape(self._shape))

    def state_dict(self) -> State:
        """Seed, everything told, and a digest of the points that it was about."""
        told = torch.tensor(self._told, dtype=torch.float64)
        return {"seed": self._seed, "told": told, "asked": self._asked.hexdigest()}

    def load_state_dict(self, state: State) -> None:
        """Makes the strategy anew and tells it the same.

        Raises:
            ConfigError: The strategy asked for other points this time.
        """
        self._seed = int(str(state["seed"]))
        told = torch.as_tensor(state["told"]).tolist()
        self._begin()
        for start in range(0, len(told), self._width):
            self.ask()
            self._pass_on(told[start : start + self._width])
        if self._asked.hexdigest() != state["asked"]:
            raise ConfigError(
                f"nevergrad:{self._name} does not repeat itself from its seed, so this run cannot be "
                "resumed; start a new one, or choose another strategy"
            )


class Chance:
    """Some strategies draw from the global streams of NumPy and Python; these are put in their place."""

    def __init__(self, seed: int) -> None:
        self._numpy = np.random.RandomState(seed).get_state()
        self._python = random.Random(seed).getstate()

    @contextmanager
    def taken(self) -> Iterator[None]:
        """Swaps the global streams for these, and back."""
        before = np.random.get_state(), random.getstate()
        np.random.set_state(self._numpy)
        random.setstate(self._python)
        try:
            yield
        finally:
            self._numpy, self._python = np.random.get_state(), random.getstate()
            np.random.set_state(before[0])
            random.setstate(before[1])


def names() -> list[str]:
    """All strategies that nevergrad registers."""
    return sorted(ng.optimizers.registry)


def make_strategy(
    name: str, shape: tuple[int, ...], sigma: float, seed: int, evaluations: int, width: int
) -> Any:
    """A strategy around the edit that changes nothing, with random numbers of its own.

    Its budget leaves room for one more batch: the oracle refuses that, but it is asked for.
    """
    array = ng.p.Array(init=np.zeros(shape)).set_mutation(sigma=sigma)
    array.random_state = np.random.RandomState(seed)
    return ng.optimizers.registry[name](array, budget=evaluations + width, num_workers=width)


def foreseen_memory(name: str, dimension: int) -> float:
    """Bytes that a strategy will about take, from what it takes in two small dimensions.

    Three equidistant measurements fix a quadratic, and what a strategy takes is about that:
    a covariance matrix shows in the second difference, whatever else there is.
    """
    if dimension <= 3 * TRIAL_STEP:
        return 0.0
    one, two, three = (_traced_memory(name, TRIAL_STEP * times) for times in (1, 2, 3))
    bend = max(0.0, three - 2.0 * two + one) / (2.0 * TRIAL_STEP**2)
    slope = max(0.0, (three - two) / TRIAL_STEP - 5.0 * TRIAL_STEP * bend)
    return bend * dimension**2 + slope * dimension


def _traced_memory(name: str, dimension: int) -> float:
    """Peak of Python's and NumPy's allocations of a strategy over a few evaluations."""
    tracemalloc.start()
    try:
        with quiet():
            strategy = make_strategy(name, (dimension,), 1.0, 0, 200, 1)
            for number in range(3):
                strategy.tell(strategy.ask(), float(number))
        return float(tracemalloc.get_traced_memory()[1])
    finally:
        tracemalloc.stop()


@contextmanager
def quiet() -> Iterator[None]:
    """Nevergrad warns of settings that are ours to choose, and its dependencies of one another."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
