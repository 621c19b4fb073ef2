"""The exceptions of zobench.

::

    ZobenchError
    ├── ConfigError          the request is wrong: names the field, its value, the rule and the fix
    │   └── PluginError      a plugin is unknown, broken, registered twice or breaks its contract
    ├── DatasetError         a file or row of a dataset is wrong: names the file and the row
    ├── EncoderError         the encoder failed or gave an invalid answer
    │   └── ServiceError     a rented encoder does not answer, or refuses
    │       └── ModelChanged its model is another one than when the run began
    ├── ExecutorError        the executor of a suite is not set up correctly, or is lost
    ├── CostReached          the next images could cost more than ``max_cost``
    ├── RunFailure           a plugin raised an exception that zobench does not know
    ├── StoreError           a run folder cannot be read or written
    │   ├── DamagedError     a stored file is damaged or missing
    │   ├── NotARunError     the path given is no run folder (a ConfigError as well)
    │   └── BusyError        another process writes to the run folder
    ├── Interrupted          stopped on request; the state is saved
    └── BudgetExhausted      control flow: the next batch would pass the budget

Each class sets the exit code of the command line: 2 for a wrong request, 3 for a fault of the
environment, 4 for an exception in the code of a plugin or of zobench, 130 for an interruption.
"""

from __future__ import annotations

from typing import ClassVar


class ZobenchError(Exception):
    """Root of all errors of zobench."""

    exit_code: ClassVar[int] = 3


class ConfigError(ZobenchError):
    """A request that is invalid and cannot be carried out."""

    exit_code: ClassVar[int] = 2


class PluginError(ConfigError):
    """A plugin that is unknown, broken, registered twice, or breaks its contract."""


class DatasetError(ZobenchError):
    """A dataset with missing or invalid files."""

    exit_code: ClassVar[int] = 2


class EncoderError(ZobenchError):
    """An encoder that failed, or whose answer is not a valid embedding."""


class ServiceError(EncoderError):
    """A rented encoder that cannot be used any more.

    Attributes:
        status: The HTTP status of the last answer; ``None`` if there was no answer.
        attempts: The number of requests that were made for these images.
    """

    def __init__(self, message: str, status: int | None = None, attempts: int = 0) -> None:
        super().__init__(message)
        self.status = status
        self.attempts = attempts


class ModelChanged(ServiceError):
    """A service whose model is not the one that a run began with; the run cannot go on."""


class ExecutorError(ZobenchError):
    """An executor, such as a cluster, that cannot carry out runs; stored runs are safe."""


class CostReached(ZobenchError):
    """The next request could cost more than ``max_cost`` allows; it was not sent."""


class StoreError(ZobenchError):
    """A run folder that cannot be read or written."""


class RunFailure(ZobenchError):
    """An exception that zobench does not know, from the code of a plugin or of zobench itself."""

    exit_code: ClassVar[int] = 4


class DamagedError(StoreError):
    """A stored file whose content is not what was written, or that is missing.

    Attributes:
        fault: The name of the file and its damage, without advice.
    """

    def __init__(self, fault: str, advice: str) -> None:
        super().__init__(f"{fault}; {advice}")
        self.fault = fault


class NotARunError(StoreError, ConfigError):
    """A path that was given as a run folder and is none."""

    exit_code: ClassVar[int] = 2


class BusyError(StoreError):
    """A run folder that another process is writing to."""


class Interrupted(ZobenchError):
    """The user asked to stop; everything computed so far is saved."""

    exit_code: ClassVar[int] = 130


class BudgetExhausted(ZobenchError):
    """The next batch would pass the budget; no point of the batch was evaluated.

    Attributes:
        limit: The limit that was reached: ``budget`` or ``max_cost``.
    """

    def __init__(self, message: str, limit: str = "budget") -> None:
        super().__init__(message)
        self.limit = limit
