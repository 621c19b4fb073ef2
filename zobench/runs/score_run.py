"""The last phase of a run: scores ERM, the snapshots, their controls and the no-query baselines.

Every score is stored at once, so a run that is stopped goes on with the next one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from zobench.contracts.listener import Listener, ReportProgress
from zobench.contracts.metric import Predictions
from zobench.contracts.purpose import Purpose
from zobench.contracts.random_streams import seed_sequence
from zobench.errors import Interrupted
from zobench.measures.edit_score import EditScore, ScoredCurve
from zobench.measures.group_rates import accuracy, count_groups, gap
from zobench.measures.patient_bootstrap import ScoredImages
from zobench.measures.recovery import recovery
from zobench.oracle.metered_encoder import MeteredEncoder
from zobench.problem.placebo import placebo
from zobench.records.run_folder import RunFolder, StoredScores

from .baselines import COMBINED, Baseline, solve_baselines
from .parts import Parts
from .players import TrainingData, make_objective
from .score_plan import ScorePlan, score_plan
from .scoring import Embedded, ScoredSubset, Scorer
from .shared_results import SharedResults

if TYPE_CHECKING:
    from torch import Tensor

    from zobench.problem.images import Images

Stopped = Callable[[], bool]
"""Whether the user asked to stop."""

CONTROLS = ("placebo", "negative")


@dataclass
class RunScoring:
    """Scores the edits of one run.

    Attributes:
        parts: Everything that the config names.
        training: The training images, their clean embeddings and the SA head g.
        test: The test images.
        encoder: The encoder, metered.
        folder: The run folder; holds the snapshots and stores the scores.
        shared: Computes shared results, or takes them over from other runs.
        listener: Receives the progress.
        stopped: Whether the user asked to stop; called after each block of images.
    """

    parts: Parts
    training: TrainingData
    test: Images
    encoder: MeteredEncoder
    folder: RunFolder
    shared: SharedResults
    listener: Listener
    stopped: Stopped
    _images: int = field(default=0, init=False)

    def score(self) -> None:
        """Computes and stores every score that is not stored yet.

        Raises:
            Interrupted: The user asked to stop.
        """
        config, training = self.parts.config, self.training
        self._scorer = Scorer(
            training.images,
            self.test,
            self.encoder,
            training.head,
            make_objective(config, self.parts.resolved.objective, training),
            config.penalty,
            config.heads,
            config.seed,
        )
        plan = self._plan()
        subset = plan.subset(training.images, self.test, config.seed)
        self._part = self._scorer if subset is None else self._scorer.on(subset)
        self._seconds_before, stored = self.encoder.seconds, self.folder.scores()
        if stored is not None:
            self.encoder.ledger.put(Purpose.SCORE, stored.counts)
            self._seconds_before -= stored.encoder_seconds
            self.encoder.seconds = self._seconds_before + stored.encoder_seconds
        self.listener.phase("score", self._total(plan))
        if stored is None:
            stored = self._clean(plan, subset)
        if plan.last:
            stored = self._last(stored, plan.last, subset)
        for queries in plan.distinct:
            stored = self._point(stored, queries)
        if stored.curve is not None:
            stored = self._whole(stored, stored.curve.best)
        self._control(stored, plan)

    def _plan(self) -> ScorePlan:
        contents = {each: self._edit(each).numpy().tobytes() for each in self.folder.snapshots()}
        return score_plan(contents, self._edit(0).numpy().tobytes())

    def _edit(self, queries: int) -> Tensor:
        import torch

        shape = (1, *self.parts.encoder.spec.image_shape[1:])
        return self.folder.edit(queries) if queries else torch.zeros(shape, dtype=torch.float32)

    def _total(self, plan: ScorePlan) -> int:
        """Images to embed, at most."""
        controls, whole, part = self.parts.config.controls, self._scorer.images, self._part.images
        edits = len(plan.distinct)
        total = (
            len(self.test)
            + edits * part
            + (2 * whole - part if self._part is not self._scorer else 0)
        )
        if controls != "none" and plan.last:
            total += len(CONTROLS) * whole
        if controls == "all":
            total += len(CONTROLS) * (edits - 1) * part
        return total

    def _clean(self, plan: ScorePlan, subset: ScoredSubset | None) -> StoredScores:
        """The scores without an edit: ERM and the no-query baselines."""
        zero = self._edit(0)
        test = self.shared.clean_test_embeddings(
            self.encoder, self.test, self.training.clean, self._report()
        )
        embedded = Embedded(self.training.clean, test)
        curve = None
        if subset is not None:
            part, piece = self._part, embedded.part(subset)
            curve = ScoredCurve(
                len(subset.train),
                tuple(subset.test.tolist()),
                (part.score(zero, 0, piece),),
                (part.training_objective(zero, piece),),
            )
        stored = StoredScores(
            edits=[self._scorer.score(zero, 0, embedded)],
            equal=plan.edits,
            test=ScoredImages(self.test.patient, self.test.label, self.test.sensitive),
            counts={},
            encoder_seconds=0.0,
            curve=curve,
            baselines=self._solve(self.parts.resolved.baselines, embedded),
        )
        return self._store(stored, len(self.test))

    def _last(self, stored: StoredScores, last: int, subset: ScoredSubset | None) -> StoredScores:
        """Scores the last edit on all images, and together with :data:`COMBINED`."""
        if any(each.queries == last for each in stored.edits):
            return stored
        edit = self._edit(last)
        embedded = self._scorer.embed(edit, self._report())
        combined = self._solve(
            [each for each in self.parts.resolved.baselines if each.name == COMBINED], embedded
        )
        curve = stored.curve
        if curve is not None and subset is not None:
            piece = embedded.part(subset)
            objective = self._part.training_objective(edit, piece)
            curve = curve.with_score(self._part.score(edit, last, piece), objective)
        edits = _sorted([*stored.edits, self._scorer.score(edit, last, embedded)])
        combined_score = combined.get(COMBINED)
        return self._store(
            replace(stored, edits=edits, combined=combined_score, curve=curve), self._scorer.images
        )

    def _whole(self, stored: StoredScores, queries: int) -> StoredScores:
        """Scores an edit on all images."""
        if any(each.queries == queries for each in stored.edits):
            return stored
        edit = self._edit(queries)
        embedded = self._scorer.embed(edit, self._report())
        edits = _sorted([*stored.edits, self._scorer.score(edit, queries, embedded)])
        return self._store(replace(stored, edits=edits), self._scorer.images)

    def _point(self, stored: StoredScores, queries: int) -> StoredScores:
        """Scores an edit for the curve, on the subset if there is one."""
        curve = stored.curve
        if curve is None:
            return self._whole(stored, queries)
        if any(each.queries == queries for each in curve.edits):
            return stored
        edit = self._edit(queries)
        embedded = self._part.embed(edit, self._report())
        objective = self._part.training_objective(edit, embedded)
        curve = curve.with_score(self._part.score(edit, queries, embedded), objective)
        return self._store(replace(stored, curve=curve), self._part.images)

    def _control(self, stored: StoredScores, plan: ScorePlan) -> None:
        """Scores placebo and negative of the last edit, and of all edits with ``--controls all``."""
        controls, last = self.parts.config.controls, plan.last
        if controls == "none" or not last:
            return
        for name in CONTROLS:
            if name not in stored.controls:
                score = self._scored_control(self._scorer, name, last)
                found = {**stored.controls, name: score}
                stored = self._store(replace(stored, controls=found), self._scorer.images)
        if controls == "last":
            return
        for queries in plan.distinct:
            for name in CONTROLS:
                known = stored.all_controls.get(name, ())
                if queries == last and stored.curve is None:
                    score = replace(stored.controls[name], queries=queries)
                elif any(each.queries == queries for each in known):
                    continue
                else:
                    score = self._scored_control(self._part, name, queries)
                found_all = {**stored.all_controls, name: (*known, score)}
                stored = self._store(replace(stored, all_controls=found_all), self._part.images)

    def _scored_control(self, scorer: Scorer, name: str, queries: int) -> EditScore:
        edit = self._edit(queries)
        if name == "negative":
            control = -edit
        else:  # every snapshot has its own random numbers, so the order does not matter
            seeds = seed_sequence(self.parts.config.seed, "placebo")
            key = (*seeds.spawn_key, queries)
            own = np.random.SeedSequence(entropy=seeds.entropy, spawn_key=key)
            control = placebo(edit, np.random.default_rng(own))
        return scorer.score(control, queries, scorer.embed(control, self._report()))

    def _solve(
        self, baselines: Sequence[Baseline], embedded: Embedded
    ) -> Mapping[str, tuple[float, ...]]:
        images, spec = self.training.images, self.parts.encoder.spec
        return solve_baselines(baselines, images, self.test, embedded, self.parts.config, spec)

    def _store(self, scores: StoredScores, images: int) -> StoredScores:
        """Stores the scores so far; ``images`` more are embedded."""
        encoder = self.encoder
        stored = replace(
            scores,
            counts=asdict(encoder.ledger.score),
            encoder_seconds=encoder.seconds - self._seconds_before,
        )
        self.folder.write_scores(stored)
        encoder.settle()
        self._images += images
        self.listener.update(self._images, **_figures(stored, self.parts.config.tolerance))
        return stored

    def _report(self) -> ReportProgress:
        """A progress callback that raises ``Interrupted`` if the user asked to stop."""
        already = self._images

        def report(done: int, total: int) -> None:
            self.listener.update(already + done)
            if self.stopped():
                raise Interrupted("stopped on request")

        return report


def _sorted(edits: Sequence[EditScore]) -> list[EditScore]:
    return sorted(edits, key=lambda each: each.queries)


def _figures(scores: StoredScores, tolerance: float) -> dict[str, float]:
    """Objective and recovery of the last edit that is scored on all images, for the display."""
    test = scores.test
    predictions = [
        Predictions(np.asarray(each.score), test.label, test.sensitive)
        for each in (scores.edits[0], scores.edits[-1])
    ]
    erm, last = count_groups(predictions, np.ones((1, len(test.label))))
    found = recovery(gap(erm), gap(last), accuracy(erm), accuracy(last), tolerance)
    return {"objective": scores.edits[-1].objective, "recovery": float(found[0])}
