"""The contracts between zobench and plugins: protocols that plugins implement, and their inputs.

A plugin author imports from here::

    from zobench.contracts import Answer, Ask, Feedback, OptimizerContext, Stateful
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .client import Client
    from .dataset import Dataset, DatasetRequest, DatasetSpec, Pixels, Records, Rows
    from .encoder import Encoder, EncoderOutlook, EncoderRequest, EncoderSpec
    from .executor import Executor, ExecutorRequest, Outcome, Progress, Resources
    from .head import HeadProtocol, LinearHead
    from .listener import Listener, ReportProgress, silent
    from .method import Method, MethodContext, MethodResult
    from .metric import GroupCounts, Metric, Predictions
    from .objective import ComparingObjective, LearningObjective, Objective, ObjectiveContext
    from .optimizer import (
        Answer,
        Ask,
        AskTell,
        Feedback,
        Optimizer,
        OptimizerContext,
        Preparing,
        State,
    )
    from .parameters import nearest, parameter
    from .pretraining import PretrainingRequest
    from .run_status import RunStatus
    from .space import Space
    from .stateful import Stateful
    from .tracker import Tracker, TrackerRequest

__all__ = [
    "Answer",
    "Ask",
    "AskTell",
    "Client",
    "ComparingObjective",
    "Dataset",
    "DatasetRequest",
    "DatasetSpec",
    "Encoder",
    "EncoderOutlook",
    "EncoderRequest",
    "EncoderSpec",
    "Executor",
    "ExecutorRequest",
    "Feedback",
    "GroupCounts",
    "HeadProtocol",
    "LearningObjective",
    "LinearHead",
    "Listener",
    "Method",
    "MethodContext",
    "MethodResult",
    "Metric",
    "Objective",
    "ObjectiveContext",
    "Optimizer",
    "OptimizerContext",
    "Outcome",
    "Pixels",
    "Predictions",
    "Preparing",
    "PretrainingRequest",
    "Progress",
    "Records",
    "ReportProgress",
    "Resources",
    "Rows",
    "RunStatus",
    "Space",
    "State",
    "Stateful",
    "Tracker",
    "TrackerRequest",
    "nearest",
    "parameter",
    "silent",
]

_MODULES = {
    "client": "Client",
    "dataset": "Dataset DatasetRequest DatasetSpec Pixels Records Rows",
    "encoder": "Encoder EncoderOutlook EncoderRequest EncoderSpec",
    "executor": "Executor ExecutorRequest Outcome Progress Resources",
    "head": "HeadProtocol LinearHead",
    "listener": "Listener ReportProgress silent",
    "method": "Method MethodContext MethodResult",
    "metric": "GroupCounts Metric Predictions",
    "objective": "ComparingObjective LearningObjective Objective ObjectiveContext",
    "optimizer": "Answer Ask AskTell Feedback Optimizer OptimizerContext Preparing State",
    "parameters": "nearest parameter",
    "pretraining": "PretrainingRequest",
    "run_status": "RunStatus",
    "space": "Space",
    "stateful": "Stateful",
    "tracker": "Tracker TrackerRequest",
}
"""The names of each module; it is imported when one of them is first used."""


def __dir__() -> list[str]:
    """The public names."""
    return __all__


def __getattr__(name: str) -> Any:
    for module, names in _MODULES.items():
        if name == module:
            return import_module(f"{__name__}.{module}")
        if name in names.split():
            member = globals()[name] = getattr(import_module(f"{__name__}.{module}"), name)
            return member
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
