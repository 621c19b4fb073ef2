"""The plugin behind ``zobench pretrain vit-mae``: prepares the films and trains on them."""

from __future__ import annotations

from pathlib import Path

from zobench.contracts.listener import Listener
from zobench.contracts.pretraining import PretrainingRequest
from zobench.errors import Interrupted
from zobench.runs.signals import stop_on_signal

from ..architecture import IMAGE_SIZE
from .films import folder_bank, labelled_bank
from .recipe import Recipe
from .training import train

FINDINGS = ("pleural_effusion", "pneumonia", "edema")


class VitMaePretraining:
    """Trains on one phantom cohort per finding and an optional folder of real films."""

    def __init__(self, request: PretrainingRequest, parameters: Recipe) -> None:
        self._request = request
        self._recipe = parameters

    def run(self, listener: Listener) -> Path:
        """Trains to the recipe's last step, from the last checkpoint if there is one."""
        recipe = self._recipe
        folder = self._request.images
        unlabelled = folder_bank(folder, IMAGE_SIZE) if folder is not None else None
        cohorts = [
            self._request.dataset(
                "phantom",
                finding,
                IMAGE_SIZE,
                {"cohort": recipe.cohort + number, "patients": recipe.patients},
            )
            for number, finding in enumerate(FINDINGS)
        ]
        listener.phase("prepare images", sum(len(cohort.records) for cohort in cohorts))
        labelled = labelled_bank(cohorts, lambda done, _: listener.update(done))
        listener.phase("train", recipe.masked_steps + recipe.described_steps)

        def report(step: int, _: int, losses: dict[str, float]) -> None:
            listener.update(step, **losses)

        def aligning(done: int, total: int) -> None:
            if done == 0:
                listener.phase("align", total)
            listener.update(done)
            if stopped():
                raise Interrupted("stopped while aligning; the same command goes on from there")

        out = self._request.out
        with stop_on_signal(listener) as stopped:
            return train(recipe, labelled, unlabelled, out, report, stopped, aligning)
