"""One process's share of a run: embed, optimize, score; whatever happens, the folder tells."""

from __future__ import annotations

import shlex
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from zobench.files import files
from zobench.records import run_folder as store
from zobench.billing.account import Account, PaidEncoder
from .parts import Parts
from zobench.config import RunConfig, cache_folder
from zobench.oracle.metered_encoder import MeteredEncoder
from zobench.errors import CostReached, EncoderError, Interrupted, StoreError
from zobench.measures.group_rates import Predictions, metrics
from .shared_results import Groundwork
from zobench.records.summary_line import point_values
from zobench.problem.heads import Head
from zobench.problem.images import Images, load_images
from zobench.oracle.ledger import Counts, Ledger
from .loop import Loop, snapshot_schedule
from zobench.oracle.objective import Objective
from zobench.oracle.oracle import Oracle
from .pictures import draw_pictures
from zobench.contracts.listener import Listener
from .recorder import Recorder
from zobench.measures.recovery import recovery
from zobench.records.result import RunResult, read_result, read_scores
from .scoring import Raw, Scorer
from .result_cache import SharedResults
from .signals import Stop, stop_on_signal
from zobench.contracts.random_streams import seed_sequence
from zobench.contracts.tracker import Trackers

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Material:
    """What an objective and a score are made of.

    Attributes:
        train: Images that heads learn from and the objective draws from.
        test: Images that metrics are computed on.
        clean: Embeddings of ``train`` without an edit.
        head: The SA head g.
    """

    train: Images
    test: Images
    clean: NDArray[np.float32]
    head: Head


@dataclass
class Session:
    """Carries a run from its last checkpoint, or its beginning, to its end."""

    config: RunConfig
    parts: Parts
    folder: store.RunFolder
    listener: Listener
    seconds_before: float = 0.0
    trackers: Trackers = field(default_factory=Trackers)
    record: bool = False
    stop: Stop = field(default_factory=Stop)
    ended_by: str = ""
    began: float = field(default_factory=time.perf_counter)

    def __post_init__(self) -> None:
        self.ledger = Ledger(self.config.backward_cost)
        self.encoder = MeteredEncoder(self.parts.encoder, self.ledger)
        self.stopped: Callable[[], bool] = self.stop
        self.groundwork = Groundwork(self.encoder, SharedResults(cache_folder() / "shared"))

    def carry_out(self) -> RunResult:
        """All phases; whatever happens, the manifest says how it ended."""
        try:
            with stop_on_signal(self.listener, self.stop):
                self._follow()
                self._phases()
        except (Interrupted, KeyboardInterrupt) as error:
            self._end("interrupted")
            raise Interrupted(
                "stopped; everything so far is saved. Go on with: "
                f"zobench resume {shlex.quote(str(self.folder.path))}"
            ) from error
        except (EncoderError, CostReached) as error:
            self._end("failed", error=f"{type(error).__name__}: {error}")
            more = " --max-cost MORE" if isinstance(error, CostReached) else ""
            said = f"{error}. Everything so far is saved; go on with: zobench resume "
            error.args = (f"{said}{shlex.quote(str(self.folder.path))}{more}",)
            raise
        except StoreError:
            raise  # the folder cannot be written; what it holds is whole
        except Exception as error:
            self._end("failed", error=f"{type(error).__name__}: {error}")
            raise
        finally:
            self.parts.encoder.close()
            self.folder.close()
        result = read_result(self.folder.path)
        self.trackers.tell("ended", "done", result.as_dict())
        return result

    def _follow(self) -> None:
        """Lets trackers know what is there, and what will be."""
        path = self.folder.path
        self.folder.restore()  # what was not committed is gone
        self.trackers.tell(
            "started", store.read_manifest(path), files.read_rows(path / store.TRACE)
        )

        def committed(rows: list[files.Json], snapshots: list[tuple[int, Path]]) -> None:
            if rows:
                self.trackers.tell("rows", rows)
            for queries, kept in snapshots:
                self.trackers.tell("snapshot", queries, kept)

        self.folder.committed = committed

    def _end(self, status: str, **notes: Any) -> None:
        self.folder.write_manifest(
            ledger=self.ledger.as_dict(),
            encoder_seconds=self.encoder.seconds,
            wall_seconds=self._clock(),
            reused=self.groundwork.reused,
            **notes,
        )
        self.folder.write_manifest(status=status)
        if status != "done":
            self.trackers.tell("ended", status, None)

    def _clock(self) -> float:
        """Seconds that the run took so far, in all its processes."""
        return self.seconds_before + time.perf_counter() - self.began

    def _phases(self) -> None:
        checkpoint = self.folder.restore()
        if checkpoint is not None:
            self.seconds_before = max(self.seconds_before, checkpoint.wall_seconds)
            self.ledger.optimize = Counts(**checkpoint.counts)
        material = self.prepare()
        self.optimize(material, checkpoint)
        config = self.config
        scorer = Scorer(
            material.train,
            material.test,
            self.encoder,
            material.head,
            config.penalty,
            config.heads,
            config.seed,
        )
        self._score(scorer, material.clean)
        draw_pictures(self.folder.path, material.test, self.parts.dataset.spec.groups)
        headline = point_values(self.folder.path, config)
        self._end("done", headline=headline, ended_by=self.ended_by)
        self.folder.drop_checkpoint()

    def prepare(self) -> Material:
        """Images, embeddings of the clean ones, and the SA head.

        Raises:
            ConfigError: Not even scoring could be paid.
        """
        train, test = self._load()
        self._open_account(len(train), len(test))
        clean = self._setup(train)
        config = self.config
        head = self.groundwork.sensitive_head(train, clean, config.heads, config.seed)
        return Material(train, test, clean, head)

    def optimize(self, material: Material, checkpoint: store.Checkpoint | None = None) -> None:
        """Spends the budget, from a checkpoint or from the beginning.

        Raises:
            Interrupted: ``stopped`` said so; the state is saved.
        """
        config = self.config
        objective = Objective(
            images=material.train,
            encoder=self.encoder,
            head=material.head,
            penalty=config.penalty,
            batch_size=config.batch_size,
            entropy=seed_sequence(config.seed, "minibatch"),
        )
        optimizer, space = self.parts.optimizer, self.parts.space
        recorder = Recorder(self.folder.path) if self.record else None
        level = optimizer.feedback
        oracle = Oracle(objective, space, self.ledger, config.budget, level, recorder)
        due = snapshot_schedule(config.batch_size, config.budget, config.snapshots)
        loop = Loop(optimizer, oracle, self.folder, due, self.listener, self._clock, self.stopped)
        loop.run(checkpoint)
        self.ended_by = loop.ended_by

    def _open_account(self, train: int, test: int) -> None:
        """Keeps the bill of a rented encoder in the run's folder."""
        encoder, config = self.parts.encoder, self.config
        if isinstance(encoder, PaidEncoder):
            account = Account(self.folder.path, encoder.spec.price, config.max_cost)
            encoder.open_account(account)

            def to_score() -> int:
                """ERM, the snapshots that are there, and the last one."""
                return test + (train + test) * (len(store.snapshot_queries(self.folder.path)) + 1)

            begun = (self.folder.path / store.SETUP).exists()
            account.set_aside(to_score, besides=0 if begun else train + config.batch_size)

    def _load(self) -> tuple[Images, Images]:
        """Reads or renders the images of the split."""
        split = self.parts.split
        rows = np.concatenate([split.train, split.test])
        self.listener.phase("prepare images", len(rows))
        images = load_images(self.parts.dataset, rows, self._report)
        cut = len(split.train)
        return images.part(slice(0, cut)), images.part(slice(cut, len(rows)))

    def _report(self, done: int, total: int) -> None:
        """Progress of a phase between whose steps it is safe to stop."""
        self.listener.update(done)
        if self.stopped():
            raise Interrupted("stopped on request")

    def _setup(self, train: Images) -> NDArray[np.float32]:
        """Embeds the clean training images, once in a run's life."""
        import torch

        path = self.folder.path / store.SETUP
        if path.exists():
            tensors, notes = files.read_tensors(path)
            self.ledger.setup = Counts(**notes["counts"])
            self.encoder.seconds += notes["encoder_seconds"]
            return np.asarray(tensors["clean"].numpy())

        def begin() -> None:
            self.listener.phase("embed clean images", len(train))

        clean = self.groundwork.clean(train, begin, self._report)
        notes = {"counts": asdict(self.ledger.setup), "encoder_seconds": self.encoder.seconds}
        files.write_tensors(path, {"clean": torch.from_numpy(clean)}, notes)
        self.encoder.settle()
        return clean

    def _score(self, scorer: Scorer, clean: NDArray[np.float32]) -> None:
        """Scores ERM and each snapshot, unless done before; stores each as soon as it is known."""
        import torch

        queries = store.snapshot_queries(self.folder.path)
        raws, _ = read_scores(self.folder.path)
        path = self.folder.path / store.SCORES
        base_seconds = self.encoder.seconds
        if raws:
            before = files.read_json(path)
            self.ledger.score = Counts(**before["counts"])
            self.encoder.seconds += before["encoder_seconds"]
        test, train = len(scorer.test), len(scorer.train)
        scored = {raw.queries for raw in raws}
        images = sum(test + (train if number else 0) for number in scored)
        self.listener.phase("score", (test + train) * len(queries) + test)
        known: dict[bytes, Raw] = {}
        for number in [0, *queries]:
            edit = torch.zeros(self._edit_shape())
            if number:
                edit = store.read_snapshot(self.folder.path, number)
            content = edit.numpy().tobytes()
            if number in scored:
                known[content] = next(raw for raw in raws if raw.queries == number)
                continue

            def report(done: int, total: int, start: int = images) -> None:
                self._report(start + done, total)

            if not number:
                known[content] = self.groundwork.erm(scorer, edit, clean, report)
            elif content not in known:  # an optimizer that stood still is not embedded again
                known[content] = scorer.score(edit, number, progress=report)
            raws.append(replace(known[content], queries=number))
            images += test + (train if number else 0)
            found = {
                "edits": [asdict(raw) for raw in raws],
                "test": {
                    "patient": scorer.test.patient.tolist(),
                    "label": scorer.test.label.tolist(),
                    "sensitive": scorer.test.sensitive.tolist(),
                },
                "counts": asdict(self.ledger.score),
                "encoder_seconds": self.encoder.seconds - base_seconds,
            }
            files.write_json(path, found)
            self.encoder.settle()
            self.listener.update(images, **self._figures(raws, scorer.test))

    def _edit_shape(self) -> tuple[int, int, int]:
        return (1, *self.parts.encoder.spec.image_shape[1:])

    def _figures(self, raws: list[Raw], test: Images) -> dict[str, float]:
        """What the progress line shows after each score."""
        erm, last = (
            metrics(Predictions(np.asarray(raw.score), test.label, test.sensitive))
            for raw in (raws[0], raws[-1])
        )
        found = recovery(
            erm["eodds_average"],
            last["eodds_average"],
            erm["accuracy"],
            last["accuracy"],
            self.config.tolerance,
        )
        return {"objective": raws[-1].objective, "recovery": float(found[0])}
