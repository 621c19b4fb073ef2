"""The metric AUC: area under the ROC curve of the disease classifier's score."""

from __future__ import annotations

from zobench.contracts.metric import Metric
from zobench.measures.roc import weighted_auc

AUC = Metric(
    name="auc",
    heading="AUC",
    latex="AUC",
    summary="area under the ROC curve of the classifier's score",
    higher_is_better=True,
    in_tables=False,
    from_scores=weighted_auc,
)
