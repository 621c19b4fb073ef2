"""Every strategy of nevergrad's registry, such as ``nevergrad:CMA`` or ``nevergrad:TwoPointsDE``.

Rapin and Teytaud, "Nevergrad: a gradient-free optimization platform", 2018. A strategy's own state
can only be stored as a pickle, so zobench stores the strategy's seed and all values that it was
told. To restore a strategy, it is made again and told the same values, which needs no queries. A
few strategies take their seed from the clock. Such a strategy runs, but after a restart it asks for
other points; the run then ends with an error instead of continuing with another state.
"""

from __future__ import annotations

import hashlib
import math
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
from nevergrad.optimization import recaster
from torch import Tensor

from zobench.contracts.optimizer import Answer, Ask, Feedback, OptimizerContext, State
from zobench.contracts.parameters import nearest, parameter
from zobench.errors import ConfigError

MEMORY_LIMIT = 2e9
"""Largest expected memory of a strategy in bytes; larger strategies are refused."""

TRIAL_STEP = 400
"""Memory is measured at one, two and three times this dimension."""


@dataclass(frozen=True)
class NevergradParameters:
    """Parameters of a strategy in addition to space and budget."""

    sigma: float = parameter(
        0.02, "standard deviation of the first mutations, in pixel range", low=1e-6
    )
    workers: int = parameter(
        10, "points per ask; strategies without parallel evaluation use 1", low=1, high=1000
    )


class NevergradStrategy:
    """A nevergrad strategy; all candidates of an ask share one minibatch."""

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
        """Refuses a strategy that needs too much memory; for a portfolio checks the chosen one."""
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
    def _inside(self, *, spend: bool = True) -> Iterator[None]:
        """The context for calls of nevergrad: no warnings, and its own global random streams.

        Args:
            spend: Whether the numbers that it draws from these streams are spent.

        Raises:
            ConfigError: The strategy needs a package that is not installed, one point at a time, or
                more than one dimension.
        """
        with quiet(), self._chance.taken(spend=spend):
            try:
                yield
            except ValueError as error:
                if "does not support parallelization" not in str(error):
                    raise
                raise ConfigError(
                    f"nevergrad:{self._name} evaluates one point at a time, not {self._width}; give it "
                    "--set optimizer.workers=1"
                ) from error
            except TypeError as error:
                if math.prod(self._shape) > 1:
                    raise
                raise ConfigError(
                    f"nevergrad:{self._name} cannot search a space of one dimension ({error}); choose a "
                    "larger --space, or another strategy"
                ) from error
            except (ImportError, RuntimeError) as error:
                if isinstance(error, RuntimeError) and "No module named" not in str(error):
                    raise
                raise ConfigError(
                    f"nevergrad:{self._name} needs a package that is not installed "
                    f"({str(error).splitlines()[-1]}); install it, or choose another strategy"
                ) from error

    @contextmanager
    def _unmoved(self) -> Iterator[None]:
        """Puts the strategy's random stream back, from which a recommendation may draw."""
        stream = self._strategy.parametrization.random_state
        before = stream.get_state()
        try:
            yield
        finally:
            stream.set_state(before)

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
            return torch.zeros(self._shape, dtype=torch.float32)
        with self._inside(spend=False), self._unmoved():
            value = self._strategy.provide_recommendation().value
        return torch.from_numpy(np.asarray(value, dtype=np.float32).reshape(self._shape))

    def state_dict(self) -> State:
        """The seed, all told values, and a digest of all asked points."""
        told = torch.tensor(self._told, dtype=torch.float64)
        return {"seed": self._seed, "told": told, "asked": self._asked.hexdigest()}

    def load_state_dict(self, state: State) -> None:
        """Makes the strategy again and tells it the stored values.

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


def _let_threads_end_with_the_process() -> None:
    """Makes the threads of strategies without ask and tell daemons, for which Python does not wait.

    Such a thread of nevergrad waits for the next value forever.
    """
    thread: Any = getattr(recaster, "_MessagingThread", None)
    if thread is None:  # another version of nevergrad; the command line ends the process then
        return

    class EndingThread(thread):  # type: ignore[misc]
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            self.daemon = True

    recaster._MessagingThread = EndingThread
    # a strategy that refuses to be made is deleted half made, and looks for its thread then
    recaster.RecastOptimizer._messaging_thread = None


_let_threads_end_with_the_process()


class Chance:
    """Seeded states for the global random streams of NumPy and Python, which strategies may use."""

    def __init__(self, seed: int) -> None:
        self._numpy = np.random.RandomState(seed).get_state()
        self._python = random.Random(seed).getstate()

    @contextmanager
    def taken(self, *, spend: bool) -> Iterator[None]:
        """Swaps the global streams for these, and back; keeps what was drawn if it is spent."""
        before = np.random.get_state(), random.getstate()
        np.random.set_state(self._numpy)
        random.setstate(self._python)
        try:
            yield
        finally:
            if spend:
                self._numpy, self._python = np.random.get_state(), random.getstate()
            np.random.set_state(before[0])
            random.setstate(before[1])


def names() -> list[str]:
    """All strategies that nevergrad registers."""
    return sorted(ng.optimizers.registry)


def make_strategy(
    name: str, shape: tuple[int, ...], sigma: float, seed: int, evaluations: int, width: int
) -> Any:
    """A strategy that starts from a zero edit, with its own random numbers.

    Its budget has room for one more ask: the run asks once more before the oracle refuses.
    """
    array = ng.p.Array(init=np.zeros(shape)).set_mutation(sigma=sigma)
    array.random_state = np.random.RandomState(seed)
    return ng.optimizers.registry[name](array, budget=evaluations + width, num_workers=width)


def foreseen_memory(name: str, dimension: int) -> float:
    """Expected memory of a strategy in bytes, from measurements in three small dimensions.

    Three equidistant measurements determine a quadratic, which fits the memory of a strategy: a
    covariance matrix causes the second difference.
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
    """Silences the warnings of nevergrad and of its dependencies."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
