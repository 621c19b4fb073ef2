"""Suites that tell whether a plugin keeps its contract; subclass one and pytest does the rest.

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
