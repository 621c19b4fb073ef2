"""One threshold per group, by fairlearn's ``ThresholdOptimizer`` for equalised odds.

Hardt, Price, Srebro, "Equality of Opportunity in Supervised Learning", NeurIPS 2016. The thresholds
are chosen on the training images. At test time the method needs the sensitive attribute of every
image, which the other methods do not need. Its predictions are drawn at random where equalised odds
ask for it; the scores are 1 and -1, so their AUC means little.
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from zobench.contracts.dataset import Rows
from zobench.contracts.method import MethodContext, MethodResult
from zobench.errors import ConfigError
from zobench.problem.heads import Head, fit_head

SEEDS = 2**31


class GroupThresholds:
    """The usual disease head with thresholds by group."""

    needs_queries: ClassVar[bool] = False

    def __init__(self, context: MethodContext) -> None:
        self.require(context.train.label, context.train.sensitive)
        self._context = context

    @staticmethod
    def require(label: Rows, sensitive: Rows) -> None:
        """Refuses training images with which a group has no error rate of one kind.

        Raises:
            ConfigError: A group has images with the finding only, or without it only.
        """
        for group in (0, 1):
            if len(labels := np.unique(label[sensitive == group])) < 2:
                raise ConfigError(
                    "group-thresholds needs images with and without the finding in both groups, "
                    f"but those of group {group} have the labels {labels.tolist()}; leave it out of "
                    "--baselines, or use a smaller split.gap"
                )

    def solve(self) -> MethodResult:
        """Fits the head, chooses the thresholds and predicts."""
        from fairlearn.postprocessing import ThresholdOptimizer

        context, train, rng = self._context, self._context.train, self._context.rng()
        clean, test = context.embed_train(), context.embed_test()
        head = fit_head(clean, train.label, protocol=context.protocol, role="disease", rng=rng)
        chosen = ThresholdOptimizer(
            estimator=_scores(head),
            constraints="equalized_odds",
            prefit=True,
            predict_method="decision_function",
        )
        chosen.fit(clean, train.label, sensitive_features=train.sensitive)
        predicted = chosen.predict(
            test,
            sensitive_features=context.test_sensitive,
            random_state=int(rng.integers(SEEDS)),
        )
        return context.result(
            2.0 * np.asarray(predicted, dtype=np.float64) - 1.0, needs_attribute_at_test_time=True
        )


def _scores(head: Head) -> Any:
    """A fitted disease head as an estimator of scikit-learn."""
    from sklearn.base import BaseEstimator, ClassifierMixin

    class Scores(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
        """The head; fitting it again does nothing."""

        def __init__(self) -> None:
            self.classes_ = np.array([0, 1])

        def fit(self, embeddings: object, label: object) -> Scores:
            """Does nothing: the head is fitted."""
            return self

        def decision_function(self, embeddings: NDArray[np.floating]) -> NDArray[np.float64]:
            """The head's scores ``(n,)``."""
            return head.score(np.asarray(embeddings))

        def predict(self, embeddings: NDArray[np.floating]) -> NDArray[np.int64]:
            """The head's predictions ``(n,)``."""
            return head.predict(np.asarray(embeddings))

    return Scores()
