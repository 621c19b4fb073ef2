"""Tests of the contract of plugins; subclass a suite, and pytest collects its tests.

::

    from zobench.testing import OptimizerConformance

    class TestRandomWalk(OptimizerConformance):
        name = "random-walk"

``zobench plugin check random-walk`` runs the same without pytest.
"""

from .checking import Finding, check
from .optimizers import OptimizerConformance
from .toy import ToyOracle

__all__ = ["Finding", "OptimizerConformance", "ToyOracle", "check"]
