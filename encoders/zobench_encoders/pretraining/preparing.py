"""The films that a recipe learns from: one phantom cohort per finding, and a folder of X-rays."""

from __future__ import annotations

from zobench.contracts.listener import Listener
from zobench.contracts.pretraining import PretrainingRequest

from ..architecture import IMAGE_SIZE
from .films import Bank, folder_bank, labelled_bank
from .recipe import Recipe

FINDINGS = ("pleural_effusion", "pneumonia", "edema")


def prepared_films(
    request: PretrainingRequest, recipe: Recipe, listener: Listener
) -> tuple[Bank, Bank | None]:
    """Labelled phantoms, and the unlabelled films of the request's folder if it names one."""
    folder = request.images
    unlabelled = folder_bank(folder, IMAGE_SIZE) if folder is not None else None
    cohorts = [
        request.dataset(
            "phantom",
            finding,
            IMAGE_SIZE,
            {"cohort": recipe.cohort + number, "patients": recipe.patients},
        )
        for number, finding in enumerate(FINDINGS)
    ]
    listener.phase("prepare images", sum(len(cohort.records) for cohort in cohorts))
    return labelled_bank(cohorts, lambda done, _: listener.update(done)), unlabelled
