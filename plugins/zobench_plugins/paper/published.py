"""The numbers of the paper's Table 1 (Jin et al., MICCAI 2024; Table 2 of the preprint)."""

from __future__ import annotations

from collections.abc import Mapping

METRICS = ("eo_n", "eo_p", "di_gap_tpr", "accuracy")
"""Columns of Table 1, in percent. ``di_gap_tpr`` is its |1-DI|; the docs explain why."""

DISEASES = ("pleural_effusion", "pneumonia", "edema")

METHODS = {
    "erm": "ERM",
    "sketch": "Sketch",
    "group-dro": "Group DRO",
    "batch-sampling": "Batch Samp.",
    "biasadv": "BiasAdv",
    "dne:adam": "DNE",
    "dne:gezo": "DNE-GeZO",
}
"""Rows of Table 1: the name of the method here, and its title in the paper."""

Row = tuple[float, float, float, float]

PUBLISHED: Mapping[str, Mapping[str, Row]] = {
    "erm": {
        "pleural_effusion": (40.5, 57.0, 58.5, 72.9),
        "pneumonia": (70.0, 70.0, 74.5, 59.6),
        "edema": (42.0, 39.0, 42.0, 74.5),
    },
    "sketch": {
        "pleural_effusion": (44.0, 52.0, 57.5, 66.3),
        "pneumonia": (64.0, 61.0, 72.6, 56.3),
        "edema": (44.0, 15.0, 15.5, 67.0),
    },
    "group-dro": {
        "pleural_effusion": (41.0, 58.0, 59.5, 72.3),
        "pneumonia": (60.0, 56.0, 64.4, 61.0),
        "edema": (40.5, 40.5, 43.3, 74.8),
    },
    "batch-sampling": {
        "pleural_effusion": (41.5, 50.5, 51.8, 74.3),
        "pneumonia": (64.0, 72.0, 76.6, 60.5),
        "edema": (39.0, 43.0, 44.8, 76.0),
    },
    "biasadv": {
        "pleural_effusion": (39.0, 54.5, 58.2, 71.1),
        "pneumonia": (36.0, 54.0, 77.1, 61.0),
        "edema": (39.0, 33.5, 36.6, 74.9),
    },
    "dne:adam": {
        "pleural_effusion": (28.5, 23.0, 25.6, 75.1),
        "pneumonia": (38.0, 25.0, 34.7, 61.3),
        "edema": (27.5, 17.0, 19.7, 75.6),
    },
    "dne:gezo": {
        "pleural_effusion": (37.0, 25.0, 28.5, 72.8),
        "pneumonia": (35.0, 27.0, 33.7, 61.5),
        "edema": (34.0, 15.5, 17.2, 75.1),
    },
}


def published(method: str, disease: str) -> Row | None:
    """The published numbers of a row, in the order of :data:`METRICS`; ``None`` if there are none."""
    return PUBLISHED.get(method, {}).get(disease)
