"""The plugin behind ``zobench pretrain vit-mae``: prepares the films and trains on them."""

from __future__ import annotations

from pathlib import Path

from zobench.contracts.listener import Listener
from zobench.contracts.pretraining import PretrainingRequest
from zobench.errors import Interrupted
from zobench.runs.signals import stop_on_signal

from .preparing import prepared_films
from .recipe import Recipe
from .training import train


class VitMaePretraining:
    """Trains on one phantom cohort per finding and an optional folder of real films."""

    def __init__(self, request: PretrainingRequest, parameters: Recipe) -> None:
        self._request = request
        self._recipe = parameters

    def run(self, listener: Listener) -> Path:
        """Trains to the recipe's last step, from the last checkpoint if there is one."""
        recipe = self._recipe
        labelled, unlabelled = prepared_films(self._request, recipe, listener)
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
