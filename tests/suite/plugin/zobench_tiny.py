"""A plugin for tests of suites: tiny parts, and an optimizer that fails or dies on request."""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from tiny import TinyDataset, TinyEncoder
from zobench_plugins.optimizers.random_search import RandomSearch, RandomSearchParameters

import zobench
from zobench.contracts.optimizer import Answer, Ask, OptimizerContext


@dataclass(frozen=True)
class TroubledParameters(RandomSearchParameters):
    pause: float = zobench.parameter(0.0, "seconds a tell", low=0)
    fails_at: int = zobench.parameter(0, "the tell that raises; 0 for none", low=0)
    dies_at: int = zobench.parameter(0, "the tell that kills the process; 0 for none", low=0)
    once: str = zobench.parameter("", "a file; where it is, the process is not killed again")


class Troubled(RandomSearch):
    def __init__(self, context: OptimizerContext, parameters: TroubledParameters) -> None:
        super().__init__(context, parameters)
        self._trouble = parameters

    def tell(self, ask: Ask, answer: Answer) -> None:
        super().tell(ask, answer)
        time.sleep(self._trouble.pause)
        if self.steps == self._trouble.fails_at:
            raise ArithmeticError("lost my way")
        if self.steps == self._trouble.dies_at and not Path(self._trouble.once or "-").exists():
            if self._trouble.once:
                Path(self._trouble.once).touch()
            os._exit(9)


@dataclass(frozen=True)
class VandalParameters(RandomSearchParameters):
    deed: str = zobench.parameter("", "what it does to its process")


class Vandal(RandomSearch):
    """Does something to its process in its third tell that no plugin should do."""

    def __init__(self, context: OptimizerContext, parameters: VandalParameters) -> None:
        super().__init__(context, parameters)
        self._deed = parameters.deed
        if self._deed.startswith("made "):
            DEEDS[self._deed.removeprefix("made ")]()

    def tell(self, ask: Ask, answer: Answer) -> None:
        super().tell(ask, answer)
        if self._deed == "rewrite":
            answer.values.zero_()
            ask.points.zero_()
        if self.steps == 3 and self._deed in DEEDS:
            DEEDS[self._deed]()


def _raises(error: BaseException) -> None:
    raise error


def _always(value: object) -> Callable[..., object]:
    return lambda *arguments, **named: value


DEEDS: dict[str, Callable[[], object]] = {
    "float16": lambda: torch.set_default_dtype(torch.float16),
    "float64": lambda: torch.set_default_dtype(torch.float64),
    "rng": lambda: setattr(np.random, "default_rng", _always(np.random.default_rng(0))),
    "time": lambda: setattr(time, "perf_counter", _always(0.0)),
    "chdir": lambda: os.chdir("/"),
    "environment": os.environ.clear,
    "thread": lambda: threading.Thread(target=threading.Event().wait).start(),
    "process": lambda: subprocess.Popen(["sleep", "1000"]),
    "print": lambda: print('{"number": 1, "outcome": {"state": "done"}}', flush=True),
    "SystemExit": lambda: _raises(SystemExit(0)),
    "KeyboardInterrupt": lambda: _raises(KeyboardInterrupt()),
    "GeneratorExit": lambda: _raises(GeneratorExit()),
    "exit": lambda: os._exit(0),
    "modules": lambda: Path(os.environ["ZOBENCH_TEST_MODULES"]).write_text(" ".join(sys.modules)),
}


@zobench.hookimpl
def zobench_register_optimizers() -> dict[str, zobench.Plugin]:
    return {
        "troubled": zobench.Plugin(Troubled, "test", label="value"),
        "vandal": zobench.Plugin(Vandal, "test", label="value"),
    }


@zobench.hookimpl
def zobench_register_encoders() -> dict[str, zobench.Plugin]:
    return {
        "tiny": zobench.Plugin(lambda request: TinyEncoder(), "test"),
        "other": zobench.Plugin(lambda request: TinyEncoder(name="other", seed=4), "test"),
    }


@zobench.hookimpl
def zobench_register_datasets() -> dict[str, zobench.Plugin]:
    return {"tiny": zobench.Plugin(lambda request: TinyDataset(), "test")}
