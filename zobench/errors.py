"""Everything that zobench raises on purpose.

::

    ZobenchError
    ├── ConfigError          the request is wrong: names the field, its value, the rule and the fix
    │   └── PluginError      a plugin is unknown, broken, registered twice or breaks its contract
    ├── DatasetError         a file or a row of a dataset is wrong: names both
    ├── EncoderError         the encoder failed or answered nonsense
    │   └── ServiceError     a rented one does not answer, refuses, or has changed
    ├── ExecutorError        the engine that carries out a suite's runs is not as it must be, or is gone
    ├── CostReached          the next images would cost more than allowed
    ├── StoreError           a run folder cannot be read or written
    │   ├── NotARunError     the path given is no run folder (a ConfigError as well)
    │   └── BusyError        another process writes to the run folder
    ├── Interrupted          stopped on request; the state is saved
    └── BudgetExhausted      control flow: the next batch would pass the budget

The exit code of the command line belongs to the class: 2 for a wrong request, 3 for a fault of the
environment, 130 for an interruption.
"""

from __future__ import annotations

from typing import ClassVar


class ZobenchError(Exception):
    """Root of all errors of zobench."""

    exit_code: ClassVar[int] = 3


class ConfigError(ZobenchError):
    """A request that cannot be carried out as it stands."""

    exit_code: ClassVar[int] = 2


class PluginError(ConfigError):
    """A plugin that is unknown, broken, registered twice, or breaks its contract."""


class DatasetError(ZobenchError):
    """A dataset whose files do not hold what they must."""

    exit_code: ClassVar[int] = 2


class EncoderError(ZobenchError):
    """An encoder that failed, or answered something that cannot be an embedding."""


class ServiceError(EncoderError):
    """A rented encoder that cannot be used any more.

    Attributes:
        status: Of the last answer; ``None`` if there was none.
        attempts: Requests that were made for the images in question.
    """

    def __init__(self, message: str, status: int | None = None, attempts: int = 0) -> None:
        super().__init__(message)
        self.status = status
        self.attempts = attempts


class ExecutorError(ZobenchError):
    """An engine, such as a cluster, that cannot carry out runs; what is stored is safe."""


class CostReached(ZobenchError):
    """A service would have to be paid more than the user allows; nothing of it was asked."""


class StoreError(ZobenchError):
    """A run folder that cannot be read or written."""


class NotARunError(StoreError, ConfigError):
    """A path that was given as a run folder and is none."""

    exit_code: ClassVar[int] = 2


class BusyError(StoreError):
    """A run folder that another process is writing to."""


class Interrupted(ZobenchError):
    """The user asked to stop; everything computed so far is saved."""

    exit_code: ClassVar[int] = 130


class BudgetExhausted(ZobenchError):
    """The batch asked for would pass the budget; nothing of it was evaluated.

    Attributes:
        limit: Which one: ``budget`` or ``max_cost``.
    """

    def __init__(self, message: str, limit: str = "budget") -> None:
        super().__init__(message)
        self.limit = limit
