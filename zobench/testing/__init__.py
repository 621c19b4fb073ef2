"""Tests of the contracts of plugins; subclass a suite, and pytest collects its tests.

::

    from zobench.testing import OptimizerConformance

    class TestRandomWalk(OptimizerConformance):
        name = "random-walk"

There is a suite for optimizers, encoders, datasets, objectives, methods and metrics.
``zobench plugin check random-walk`` runs the same without pytest.
"""

from .checking import Finding, check
from .datasets import DatasetConformance
from .encoders import EncoderConformance
from .methods import MethodConformance
from .metrics import MetricConformance
from .objectives import ObjectiveConformance
from .optimizers import OptimizerConformance
from .toy import ToyOracle

__all__ = [
    "DatasetConformance",
    "EncoderConformance",
    "Finding",
    "MethodConformance",
    "MetricConformance",
    "ObjectiveConformance",
    "OptimizerConformance",
    "ToyOracle",
    "check",
]
