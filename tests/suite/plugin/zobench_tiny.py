"""A plugin for tests of suites: tiny parts, and an optimizer that fails or dies on request."""

import os
import time
from dataclasses import dataclass
from pathlib import Path

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


@zobench.hookimpl
def zobench_register_optimizers() -> dict[str, zobench.Plugin]:
    return {"troubled": zobench.Plugin(Troubled, "test", label="value")}


@zobench.hookimpl
def zobench_register_encoders() -> dict[str, zobench.Plugin]:
    return {
        "tiny": zobench.Plugin(lambda request: TinyEncoder(), "test"),
        "other": zobench.Plugin(lambda request: TinyEncoder(name="other", seed=4), "test"),
    }


@zobench.hookimpl
def zobench_register_datasets() -> dict[str, zobench.Plugin]:
    return {"tiny": zobench.Plugin(lambda request: TinyDataset(), "test")}
