"""The tests that every optimizer must pass, for built-in optimizers and plugins."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from collections.abc import Mapping
from typing import Any, ClassVar, Protocol

import numpy as np
import torch

from zobench.contracts.optimizer import FEEDBACK, Answer, Ask, Optimizer, Preparing, State
from zobench.contracts.parameters import declarations
from zobench.errors import ConfigError
from zobench.registry.discovery import Registry
from zobench.runs.extending import is_paced
from zobench.runs.resolved import ResolvedPlugin, resolve_plugin
from zobench.runs.search_parts import build_optimizer, feedback_of

from .installed import installed
from .memory import peaks
from .toy import ToyOracle

WIDE = 388
"""Side of a point of 150,544 dimensions: three channels of 224 x 224 have 150,528."""


class OptimizerConformance:
    """Tests of the optimizer contract; subclass it, set ``name``, and pytest collects the tests.

    Attributes:
        name: The name of the optimizer, as given to ``--optimizer``.
        first: The test that ``zobench plugin check`` begins with.
        overrides: Parameters other than the defaults.
        progress: The smallest share of the possible decrease of the value that the optimizer must
            reach within the budget; with 0 the value must not increase.
        memory: Most bytes of the optimizer in 150,544 dimensions; one float32 point is 0.6 MB.
    """

    name: ClassVar[str]
    first: ClassVar[str] = "test_asks_are_well_formed"
    overrides: ClassVar[Mapping[str, object]] = {}
    progress: ClassVar[float] = 0.0
    memory: ClassVar[int] = 256 * 2**20

    def registry(self) -> Registry:
        """The registry that holds the optimizer; by default all installed plugins."""
        return installed()

    def oracle(self) -> ToyOracle:
        """An oracle that answers at the level that the optimizer's class declares."""
        return ToyOracle(feedback=feedback_of(self.plugin()))

    def make(self, oracle: ToyOracle, seed: int = 0) -> Optimizer:
        """The optimizer under test."""
        return build_optimizer(self.plugin(), oracle.context(seed))

    def plugin(self) -> ResolvedPlugin:
        """The plugin under test with its parameters."""
        return resolve_plugin("optimizer", self.name, self.overrides, self.registry())

    def test_declares_the_feedback_that_the_list_shows(self) -> None:
        """``feedback`` of the class and ``label`` of the plugin are the same level."""
        plugin = self.plugin().offer.plugin
        declared = getattr(plugin.load(), "feedback", "value")
        assert declared in FEEDBACK, f"feedback is {declared!r}; choose one of {FEEDBACK}"
        assert plugin.label == declared, (
            f"Plugin(label={plugin.label!r}) but feedback = {declared!r}; make them equal"
        )

    def test_asks_are_well_formed(self) -> None:
        """Points are finite float32, minibatch or rows int64, ``want`` within ``feedback``."""
        oracle = self.oracle()
        optimizer = self.make(oracle)
        for ask in rounds(optimizer, oracle, 4):
            count = len(ask.points)
            assert tuple(ask.points.shape) == (count, *oracle.space.shape), (
                f"points have shape {tuple(ask.points.shape)}; return (K, *context.space.shape)"
            )
            assert ask.points.dtype == torch.float32, f"points are {ask.points.dtype}, not float32"
            assert torch.isfinite(ask.points).all(), "points hold NaN or infinity"
            named = ask.minibatch if ask.rows is None else ask.rows
            assert named is not None, "an ask names its images by minibatch or by rows"
            assert named.dtype == np.int64, f"minibatch or rows are {named.dtype}, not int64"
            assert len(named) == count, "one minibatch number, or one row of rows, a point"
            assert (named >= 0).all(), "minibatch numbers or rows are negative"
            assert FEEDBACK.index(ask.want) <= FEEDBACK.index(oracle.feedback), (
                f"wants {ask.want!r} but declares {oracle.feedback!r}"
            )
            if ask.cotangents is not None:
                assert ask.want == "gradient", f"cotangents with want={ask.want!r}, not 'gradient'"
                assert torch.isfinite(ask.cotangents).all(), "cotangents hold NaN or infinity"

    def test_always_recommends_a_finite_point_of_the_space(self) -> None:
        """The recommendation is valid before the first answer and after every answer."""
        oracle = self.oracle()
        optimizer = self.make(oracle)
        for _ in range(4):
            point = optimizer.recommend()
            assert tuple(point.shape) == oracle.space.shape, "return a point of context.space.shape"
            assert torch.isfinite(point).all(), "the recommendation holds NaN or infinity"
            rounds(optimizer, oracle, 1)

    def test_does_not_change_what_was_asked_or_recommended(self) -> None:
        """Asked and recommended points are copies, so later steps cannot change them."""
        oracle = self.oracle()
        optimizer = self.make(oracle)
        rounds(optimizer, oracle, 2)
        recommended = optimizer.recommend()
        ask = optimizer.ask()
        kept = recommended.clone(), ask.points.clone()
        optimizer.tell(ask, oracle.query(ask))
        rounds(optimizer, oracle, 2)
        assert torch.equal(kept[0], recommended), (
            "recommend() returned a tensor that it changed later"
        )
        assert torch.equal(kept[1], ask.points), "ask() returned points that it changed later"

    def test_the_same_seed_asks_the_same_and_another_seed_does_not(self) -> None:
        """An optimizer that draws no random number may ask the same for every seed."""
        oracle = self.oracle()
        one, two, other = (trace(self.make(oracle, seed), oracle) for seed in (1, 1, 2))
        assert one == two, "two runs with one seed differ: draw from context.rng only"
        context = oracle.context(1)
        fresh = json.dumps(context.rng.bit_generator.state)
        rounds(build_optimizer(self.plugin(), context), oracle, 8)
        drew = json.dumps(context.rng.bit_generator.state) != fresh
        assert one != other or not drew, "another seed changes nothing"

    def test_another_process_asks_the_same(self) -> None:
        """The asks are the same in a process with another hash seed."""
        here = trace(self.make(self.oracle(), 1), self.oracle())
        assert self.trace_elsewhere() == here, (
            "another process asks otherwise: do not depend on hash(), sets, time or a global stream"
        )

    def trace_elsewhere(self) -> str:
        """The trace in a fresh process; only an installed optimizer can be found there."""
        code = (
            "import sys; from zobench.testing.optimizers import remote_trace; "
            "print(remote_trace(sys.argv[1], sys.argv[2]))"
        )
        command = [sys.executable, "-c", code, self.name, json.dumps(dict(self.overrides))]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"a fresh process failed: {done.stderr[-500:]}"
        return done.stdout.split()[-1]

    def test_with_a_larger_budget_it_asks_the_same_if_it_says_so(self) -> None:
        """``paced = False`` promises that the budget does not decide the asks."""
        oracle, larger = self.oracle(), self.oracle()
        if is_paced(self.plugin(), oracle.budget):
            return  # it promises nothing
        larger.budget *= 16
        assert trace(self.make(oracle, 1), oracle) == trace(self.make(larger, 1), larger), (
            "declares paced = False, but asks otherwise where the budget is larger: do not look at "
            "context.budget, or leave paced out"
        )

    def test_preparing_changes_neither_asks_nor_state(self) -> None:
        """``prepare()`` between ask and tell is optional; nothing to check for a class without it."""
        oracle = self.oracle()
        plain, prepared = self.make(oracle, 1), self.make(oracle, 1)
        if not isinstance(prepared, Preparing):
            return
        for _ in range(4):
            ask, twin = plain.ask(), prepared.ask()
            assert _content(ask) == _content(twin), (
                "after prepare() it asks otherwise: draw the same numbers in the same order"
            )
            prepared.prepare()
            assert torch.equal(ask.points, twin.points), (
                "prepare() changed the points that were asked"
            )
            answer = oracle.query(ask)
            plain.tell(ask, answer)
            prepared.tell(twin, answer)
            states = [_copied(optimizer.state_dict()) for optimizer in (plain, prepared)]
            lost = [
                key for key, value in states[0].items() if _shown(value) != _shown(states[1][key])
            ]
            assert not lost, (
                f"after prepare() state_dict() gives another {' and '.join(lost)}: it must be the state "
                "that leads to the same asks without prepare()"
            )

    def test_answers_change_what_is_asked_or_recommended(self) -> None:
        """Opposite answers lead to other asks or another recommendation within 40 rounds."""
        oracle = self.oracle()
        told, otherwise = self.make(oracle, 1), self.make(oracle, 1)
        for _ in range(40):  # some optimizers need the values of a whole population first
            ask, twin = told.ask(), otherwise.ask()
            if not torch.equal(ask.points, twin.points):
                return
            answer = oracle.query(ask)
            told.tell(ask, answer)
            otherwise.tell(twin, _opposite(answer))
            if not torch.equal(told.recommend(), otherwise.recommend()):
                return
        raise AssertionError(
            "in 40 rounds, what it is told changes neither what it asks nor what it recommends"
        )

    def test_save_and_restore_equals_no_interruption(self) -> None:
        """A state restores into an optimizer with another seed: before the first ask and later."""
        for before in (0, 1, 5, 13):
            oracle = self.oracle()
            straight = self.make(oracle)
            rounds(straight, oracle, before)
            state = _copied(straight.state_dict())
            for key, value in state.items():
                assert isinstance(value, torch.Tensor | int | float | str), (
                    f"state[{key!r}] is {type(value).__name__}; store tensors, numbers and texts"
                )
            restored = self.make(oracle, seed=99)
            restored.load_state_dict(state)
            lost = _differing(straight, restored)
            assert trace(straight, oracle) == trace(restored, oracle), (
                f"restored after {before} asks it goes on otherwise: state_dict() lacks "
                f"{' or '.join(lost) or 'something that is no attribute'}"
            )
            assert torch.equal(straight.recommend(), restored.recommend()), (
                f"restored after {before} asks it recommends another point"
            )

    def test_the_state_does_not_grow_with_the_answers(self) -> None:
        """The state after 60 asks is at most 1.5 times as large as after 30 asks, plus 128 KiB."""
        oracle = self.oracle()
        optimizer = self.make(oracle)
        rounds(optimizer, oracle, 30)
        before = _size(optimizer.state_dict())
        rounds(optimizer, oracle, 30)
        after = _size(optimizer.state_dict())
        assert after <= 1.5 * before + 2**17, (
            f"the state grew from {before:,} to {after:,} bytes in 30 asks; forget old answers"
        )

    def test_ends_no_worse_than_it_began(self) -> None:
        """Minimises a noisy bowl in 64 dimensions with a thousand evaluations."""
        oracle = self.oracle()
        optimizer = self.make(oracle)
        spent = 0
        while True:
            ask = optimizer.ask()
            spent += ask.price(oracle.batch_size, backward_cost=2)
            if spent > oracle.budget:
                break
            optimizer.tell(ask, oracle.query(ask))
        left = oracle.value(optimizer.recommend())
        assert left <= 1.0 - self.progress + 1e-6, (
            f"after a thousand evaluations the recommended value is {left:.0%} as far from the best "
            f"value as the start was; at most {1.0 - self.progress:.0%} is allowed"
        )

    def test_holds_150528_dimensions_or_refuses_them(self) -> None:
        """An optimizer that needs too much memory raises ``ConfigError`` in ``__init__``."""
        peak = self.peak_elsewhere()
        assert peak <= self.memory, (
            f"{peak / 2**20:.0f} MiB in 150,544 dimensions, more than {self.memory / 2**20:.0f}; keep "
            "O(d) numbers, or raise ConfigError in __init__ and name a --space that fits"
        )

    def peak_elsewhere(self) -> int:
        """Peak bytes of the optimizer in a fresh process."""
        return peaks([self.name], WIDE, self.overrides)[self.name]

    def test_parameters_outside_their_rule_are_refused(self) -> None:
        """Values out of bounds and unknown names raise ``ConfigError``."""
        context = self.oracle().context(0)
        bad: list[dict[str, Any]] = [{"no_such_parameter": 1}]
        for declaration in declarations(self.plugin().offer.plugin.parameters()).values():
            assert declaration.help, f"parameter {declaration.name!r} has no help text"
            if declaration.type in (int, float):
                above = declaration.high + max(1, abs(declaration.high))
                bad += [
                    {declaration.name: declaration.type(declaration.low) - 1},
                    {declaration.name: above},
                ]
            if declaration.choices:
                bad.append({declaration.name: "no such choice"})
        for overrides in bad:
            try:
                plugin = resolve_plugin("optimizer", self.name, overrides, self.registry())
                build_optimizer(plugin, context)
            except ConfigError:
                continue
            raise AssertionError(f"{overrides} was accepted")


class Answers(Protocol):
    """An oracle that answers asks: ``ToyOracle`` or the oracle of a run."""

    def query(self, ask: Ask) -> Answer:
        """The answer."""
        ...


def rounds(optimizer: Optimizer, oracle: Answers, count: int) -> list[Ask]:
    """Asks and tells ``count`` times."""
    asks = []
    for _ in range(count):
        ask = optimizer.ask()
        optimizer.tell(ask, oracle.query(ask))
        asks.append(ask)
    return asks


def trace(optimizer: Optimizer, oracle: Answers, count: int = 4) -> str:
    """A digest of the next asks."""
    hasher = hashlib.blake2b(digest_size=16)
    for ask in rounds(optimizer, oracle, count):
        hasher.update(_content(ask))
    return hasher.hexdigest()


def _content(ask: Ask) -> bytes:
    """All that an ask asks for."""
    named = (b"" if numbers is None else numbers.tobytes() for numbers in (ask.minibatch, ask.rows))
    words = f"{ask.want} {ask.images}".encode()
    along = b"" if ask.cotangents is None else ask.cotangents.numpy().tobytes()
    return b"".join((ask.points.numpy().tobytes(), words, *named, along))


def remote_trace(name: str, overrides: str) -> str:
    """The trace inside the process of :meth:`OptimizerConformance.trace_elsewhere`."""
    suite = type(
        "Remote", (OptimizerConformance,), {"name": name, "overrides": json.loads(overrides)}
    )()
    return trace(suite.make(suite.oracle(), 1), suite.oracle())


def _differing(one: object, other: object) -> list[str]:
    """Names of attributes that differ: ``state_dict`` may lack them."""
    mine, yours = (getattr(optimizer, "__dict__", {}) for optimizer in (one, other))
    names = sorted(mine.keys() | yours.keys())
    return [name for name in names if _shown(mine.get(name)) != _shown(yours.get(name))]


def _shown(value: object) -> object:
    """A comparable form of a value; for an unknown type only the type is compared."""
    if isinstance(value, torch.Tensor):
        return value.shape, value.detach().numpy().tobytes()
    if isinstance(value, np.ndarray):
        return value.shape, value.tobytes()
    if isinstance(value, np.random.Generator):
        return json.dumps(value.bit_generator.state, default=repr)
    if isinstance(value, list | tuple):
        return [_shown(item) for item in value]
    if isinstance(value, dict):
        return {key: _shown(entry) for key, entry in value.items()}
    return value if isinstance(value, int | float | str | None) else type(value)


def _opposite(answer: Answer) -> Answer:
    """An answer that says the opposite; embeddings are also moved, for even functions of them."""
    embeddings = None if answer.embeddings is None else 1.0 - answer.embeddings
    gradients = None if answer.gradients is None else -answer.gradients
    return Answer(-answer.values, embeddings, gradients, answer.rows)


def _size(state: State) -> int:
    """Bytes of the tensors and texts of a state."""
    return sum(
        entry.numel() * entry.element_size() if isinstance(entry, torch.Tensor) else len(str(entry))
        for entry in state.values()
    )


def _copied(state: State) -> State:
    return {k: v.clone() if isinstance(v, torch.Tensor) else v for k, v in state.items()}
