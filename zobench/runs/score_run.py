"""The last phase of a run: scores ERM, the snapshots, their controls and the no-query baselines.

Every score is stored at once, so a run that is stopped goes on with the next one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from zobench.contracts.listener import Listener, ReportProgress
from zobench.contracts.metric import Predictions
from zobench.contracts.purpose import Purpose
from zobench.contracts.random_streams import seed_sequence
from zobench.errors import Interrupted
from zobench.measures.group_rates import count_groups
from zobench.measures.patient_bootstrap import ScoredImages
from zobench.measures.recovery import Recoveries, reaches
from zobench.oracle.metered_encoder import MeteredEncoder
from zobench.problem.placebo import placebo
from zobench.records.run_folder import RunFolder
from zobench.records.stored_numbers import StoredScores

from .baselines import COMBINED, Baseline, solve_baselines
from .parts import Parts
from .score_plan import CONTROLS, ScorePlan, controlled_edits, score_plan
from .scoring import Embedded, Scorer
from .search_parts import TrainingData, make_objective
from .shared_results import SharedResults

if TYPE_CHECKING:
    from torch import Tensor

    from zobench.problem.images import Images

Stopped = Callable[[], bool]
"""Whether the user asked to stop."""


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
    _shows: bool = field(default=False, init=False)
    _booked: bool = field(default=False, init=False)

    @cached_property
    def _scorer(self) -> Scorer:
        config, training = self.parts.config, self.training
        return Scorer(
            training.images,
            self.test,
            self.encoder,
            training.head,
            make_objective(config, self.parts.resolved.objective, training),
            config.objective,
            config.penalty,
            config.heads,
            config.seed,
        )

    def _book_stored(self) -> None:
        """Books what the scores of an earlier process cost, at the first call only."""
        stored = None if self._booked else self.folder.scores()
        self._booked = True
        if stored is not None:
            self.encoder.ledger.put(Purpose.SCORE, stored.counts)
            self.encoder.seconds += stored.encoder_seconds

    def reached(self) -> bool:
        """Scores the snapshots so far; whether the recovery of one is that of the config's ``until``.

        Raises:
            Interrupted: The user asked to stop.
        """
        self._book_stored()
        plan, tolerance = self._plan(), self.parts.config.tolerance
        stored = _of_last(self.folder.scores() or self._clean(plan), plan)
        for queries in plan.distinct:
            if queries not in {edit.queries for edit in stored.edits}:
                stored = self._edited(stored, queries, last=queries == plan.last)
        recoveries = _recoveries(stored, tolerance)
        wanted = self.parts.config.until
        return any(reaches(recoveries[queries][0], wanted) for queries in plan.distinct)

    def score(self) -> None:
        """Computes and stores every score that is not stored yet.

        Raises:
            Interrupted: The user asked to stop.
        """
        self._book_stored()
        config, plan = self.parts.config, self._plan()
        before = stored = self.folder.scores()
        if before is not None:
            there = {0, *plan.distinct}
            kept = [edit for edit in before.edits if edit.queries in there]
            stored = _of_last(replace(before, edits=kept), plan)
        controlled = controlled_edits(config.controls, plan.count) if plan.last else 0
        edits = plan.count + len(CONTROLS) * controlled
        self.listener.phase("score", len(self.test) + edits * self._scorer.images)
        self._shows = True
        if stored is None:
            stored = self._clean(plan)
        else:
            self._images = len(self.test) + (len(stored.edits) - 1) * self._scorer.images
            if before is not None and before.equal != stored.equal:
                stored = self._store(stored, 0)  # of a run that went on to equal edits only, too
        while (queries := plan.following(_recoveries(stored, config.tolerance))) is not None:
            stored = self._edited(stored, queries, last=queries == plan.last)
        if plan.last and stored.combined is None:
            stored = self._with_reweighing(stored, plan.last)
        for queries in plan.controlled(config.controls, [edit.queries for edit in stored.edits]):
            for name in CONTROLS:
                stored = self._control(stored, name, queries, last=queries == plan.last)

    def _plan(self) -> ScorePlan:
        contents = {
            queries: self._edit(queries).numpy().tobytes() for queries in self.folder.snapshots()
        }
        times = self.folder.manifest().times_scored
        return score_plan(contents, self._edit(0).numpy().tobytes(), self.parts.config, times)

    def _edit(self, queries: int) -> Tensor:
        import torch

        shape = (1, *self.parts.encoder.spec.image_shape[1:])
        return self.folder.edit(queries) if queries else torch.zeros(shape, dtype=torch.float32)

    def _clean(self, plan: ScorePlan) -> StoredScores:
        """The scores without an edit: ERM and the no-query baselines."""
        test = self.shared.clean_test_embeddings(
            self.encoder, self.test, self.training.clean, self._report()
        )
        embedded = Embedded(self.training.clean, test)
        stored = StoredScores(
            edits=[self._scorer.score(self._edit(0), 0, embedded)],
            equal=plan.edits,
            test=ScoredImages(self.test.patient, self.test.label, self.test.sensitive),
            counts={},
            encoder_seconds=0.0,
            baselines=self._solve(self.parts.resolved.baselines, embedded),
            last=plan.last,
        )
        return self._store(stored, len(self.test))

    def _edited(self, stored: StoredScores, queries: int, *, last: bool) -> StoredScores:
        """Scores an edit; the last edit also together with :data:`COMBINED`."""
        edit = self._edit(queries)
        embedded = self._scorer.embed(edit, self._report())
        combined = stored.combined
        if last:
            chosen = [
                baseline for baseline in self.parts.resolved.baselines if baseline.name == COMBINED
            ]
            combined = self._solve(chosen, embedded).get(COMBINED)
        edits = [*stored.edits, self._scorer.score(edit, queries, embedded)]
        edits.sort(key=lambda scored: scored.queries)
        return self._store(replace(stored, edits=edits, combined=combined), self._scorer.images)

    def _with_reweighing(self, stored: StoredScores, queries: int) -> StoredScores:
        """The last edit together with :data:`COMBINED`, where the edit was scored before it was last."""
        chosen = [
            baseline for baseline in self.parts.resolved.baselines if baseline.name == COMBINED
        ]
        if not chosen:
            return stored
        embedded = self._scorer.embed(self._edit(queries), self._report())
        combined = self._solve(chosen, embedded).get(COMBINED)
        return self._store(replace(stored, combined=combined), 0)

    def _control(
        self, stored: StoredScores, name: str, queries: int, *, last: bool
    ) -> StoredScores:
        """Scores the placebo or the negative of an edit."""
        earlier = stored.all_controls.get(name, ())
        for scored in earlier:
            if scored.queries == queries:
                self._images += self._scorer.images
                if last and name not in stored.controls:
                    stored = replace(stored, controls={**stored.controls, name: scored})
                    return self._store(stored, 0)
                return stored
        edit = self._edit(queries)
        if name == "negative":
            control = -edit
        else:  # every snapshot has its own random numbers, so the order does not matter
            seeds = seed_sequence(self.parts.config.seed, "placebo")
            key = (*seeds.spawn_key, queries)
            own = np.random.SeedSequence(entropy=seeds.entropy, spawn_key=key)
            control = placebo(edit, np.random.default_rng(own))
        score = self._scorer.score(control, queries, self._scorer.embed(control, self._report()))
        controls = sorted((*earlier, score), key=lambda scored: scored.queries)
        stored = replace(stored, all_controls={**stored.all_controls, name: tuple(controls)})
        if last:
            stored = replace(stored, controls={**stored.controls, name: score})
        return self._store(stored, self._scorer.images)

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
            encoder_seconds=encoder.seconds,
        )
        self.folder.write_scores(stored)
        encoder.settle()
        self._images += images
        if self._shows:
            self.listener.update(self._images, **_figures(stored, self.parts.config.tolerance))
        return stored

    def _report(self) -> ReportProgress:
        """A progress callback that raises ``Interrupted`` if the user asked to stop."""
        already = self._images

        def report(done: int, total: int) -> None:
            if self._shows:
                self.listener.update(already + done)
            if self.stopped():
                raise Interrupted("stopped on request")

        return report


def _of_last(stored: StoredScores, plan: ScorePlan) -> StoredScores:
    """The scores with the plan's edits; what belongs to a former last edit is left out."""
    stored = replace(stored, equal=plan.edits)
    if stored.last == plan.last:
        return stored
    return replace(stored, combined=None, controls={}, last=plan.last)


def _figures(scores: StoredScores, tolerance: float) -> dict[str, float]:
    """Objective and recovery of the scored edit with most queries, for the progress display."""
    share = _rows(scores, tolerance).recovery[-1, 0]
    return {"objective": scores.edits[-1].objective, "recovery": float(share)}


def _recoveries(scores: StoredScores, tolerance: float) -> dict[int, tuple[float, float]]:
    """Recovery with and without the tolerance of each scored edit, by query count."""
    rows = _rows(scores, tolerance)
    pairs = zip(rows.recovery[:, 0].tolist(), rows.gap_recovery[:, 0].tolist(), strict=True)
    return {edit.queries: pair for edit, pair in zip(scores.edits, pairs, strict=True)}


def _rows(scores: StoredScores, tolerance: float) -> Recoveries:
    """Gap, accuracy and recovery ``(S, 1)`` of the scored edits on the test data."""
    test = scores.test
    answers = [
        Predictions(np.asarray(edit.score), test.label, test.sensitive) for edit in scores.edits
    ]
    return Recoveries.of_counts(count_groups(answers, np.ones((1, len(test.label)))), tolerance)
