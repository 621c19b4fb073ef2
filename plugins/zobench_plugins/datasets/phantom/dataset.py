"""A cohort of phantom patients as a dataset: sex as sensitive attribute, one finding as disease."""

from __future__ import annotations

import hashlib
import os
import signal
import warnings
from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import cache

import numpy as np
from joblib import Parallel, cpu_count, delayed
from numpy.typing import NDArray

from zobench.contracts.dataset import DatasetRequest, DatasetSpec, Pixels, Records, Rows
from zobench.contracts.listener import ReportProgress, silent
from zobench.contracts.parameters import nearest, parameter
from zobench.errors import ConfigError

from ..film_cache import FilmCache
from .anatomy import draw_build, draw_portable
from .findings import FINDINGS
from .generator import SIZE, SUBTLETY, VERSION, render, study_stream

IMAGES_PER_PATIENT = (0.45, 0.35, 0.20)
"""Probabilities of one, two and three films per patient."""

BIAS = {
    "pleural_effusion": (0.74, 0.42),
    "pneumonia": (0.75, 0.42),
    "edema": (0.67, 0.46),
}
"""Gap and positive rate of the training images at which the ERM rows come near the paper's, see
docs/explanation/calibration.md."""

BATCH = 32
SAFE_PATH = "PYTHONSAFEPATH"


@dataclass(frozen=True)
class PhantomParameters:
    """Settings of the cohort of phantom patients."""

    cohort: int = parameter(
        0, "number of the cohort; every number gives other patients", low=0, high=2_147_483_647
    )
    patients: int = parameter(
        3600, "patients in the cohort, with 1 to 3 films each", low=8, high=1_000_000
    )


def precheck(disease: str, *_: object) -> None:
    """Refuses a disease that the phantom does not draw.

    Raises:
        ConfigError: The disease is unknown.
    """
    if disease not in FINDINGS:
        raise ConfigError(
            f"disease is {disease!r}, but the phantom draws only {', '.join(sorted(FINDINGS))}"
            + nearest(disease, FINDINGS)
        )


class PhantomDataset:
    """Phantom patients, equally many per cell of (sex, finding); films are made on demand.

    Attributes:
        spec: The spec of the cohort.
        records: One row per film.
    """

    def __init__(self, request: DatasetRequest, parameters: PhantomParameters) -> None:
        """Draws the table of the cohort; no film is rendered yet.

        Raises:
            ConfigError: The disease is unknown, or the encoder wants another image size.
        """
        precheck(request.disease)
        self._disease = request.disease
        self._seed, self._patients = parameters.cohort, parameters.patients
        self._patient, self._image = _cohort(self._seed, self._patients)
        self._size = request.size
        self.records = self._table()
        who = f"{self._disease}-{SUBTLETY[self._disease]}-{self._seed}-{self._patients}"
        tag = f"phantom-{VERSION}-{who}"
        digest = hashlib.blake2b(tag.encode(), digest_size=8).hexdigest()
        self.spec = DatasetSpec(
            name="phantom",
            disease=self._disease,
            shape=(1, self._size, self._size),
            groups=("female", "male"),
            digest=f"{VERSION}:{digest}",
            positive_rate_gap=BIAS[self._disease][0],
            positive_rate=BIAS[self._disease][1],
            generated=True,
        )
        self._folder = request.cache / f"phantom-{digest}"

    def pixels(self, rows: Rows, progress: ReportProgress = silent) -> Pixels:
        """Pixels of films; films that the cache lacks are rendered on all cores."""
        with closing(FilmCache(self._folder, (SIZE, SIZE))) as cache:
            ordered = np.sort(rows)  # films of one patient share their anatomy
            with cache.filling(ordered, progress) as todo:
                done = len(rows) - len(todo)
                with closing(self._rendered(todo)) as parts:
                    for batch, rendered in parts:
                        cache.write(batch, rendered)
                        done += len(batch)
                        progress(done, len(rows))
            films = cache.read(rows)[:, None]
        return films if self._size == SIZE else _resized(films, self._size)

    def _rendered(self, rows: Rows) -> Generator[tuple[Rows, Pixels]]:
        """Renders batches of films, in order; few batches start no worker processes."""
        batches = [rows[start : start + BATCH] for start in range(0, len(rows), BATCH)]
        jobs = min(cpu_count(), len(batches)) if len(batches) > 2 else 1
        work = (delayed(_render_rows)(*self._arguments(batch)) for batch in batches)
        with _modules_of_the_installation():
            films = Parallel(n_jobs=max(jobs, 1), return_as="generator")(work)
        try:
            yield from zip(batches, films, strict=True)
        finally:
            with warnings.catch_warnings():  # joblib's, of films that nobody took: the user stopped
                warnings.simplefilter("ignore")
                films.close()

    def _arguments(self, rows: Rows) -> tuple[int, int, str, list[tuple[int, int, bool, bool]]]:
        films = [
            (
                int(self._patient[row]),
                int(self._image[row]),
                bool(self.records.sensitive[row]),
                bool(self.records.label[row]),
            )
            for row in rows
        ]
        return os.getpid(), self._seed, self._disease, films

    def _table(self) -> Records:
        """Sex and finding follow from the patient's number; age and view from its anatomy."""
        ages, views = _ages_and_views(self._seed, self._patients)
        return Records(
            patient=self._patient,
            label=(self._patient // 2) % 2,
            sensitive=self._patient % 2,
            age=ages.copy(),
            view=views.copy(),
        )


def _films(seed: int, patients: int) -> Rows:
    """The number of films of each patient."""
    rng = np.random.default_rng([seed, 0xC0])
    return 1 + rng.choice(len(IMAGES_PER_PATIENT), size=patients, p=IMAGES_PER_PATIENT)


def _cohort(seed: int, patients: int) -> tuple[Rows, Rows]:
    """Patient number and image number of every film."""
    films = _films(seed, patients)
    patient = np.repeat(np.arange(patients, dtype=np.int64), films)
    return patient, np.concatenate([np.arange(film, dtype=np.int64) for film in films])


@cache
def _ages_and_views(seed: int, patients: int) -> tuple[Rows, NDArray[np.str_]]:
    """Age and view of every film; cached, since a worker makes the same cohort for every run."""
    ages, views = [], []
    for patient, films in enumerate(_films(seed, patients).tolist()):
        build = np.random.default_rng([seed, patient])
        _, _, age = draw_build(build, male=bool(patient % 2))
        for image in range(films):
            ages.append(age)
            views.append("AP" if draw_portable(study_stream(seed, patient, image), age) else "PA")
    return np.asarray(ages, dtype=np.int64), np.asarray(views)


def _render_rows(
    parent: int, seed: int, disease: str, films: list[tuple[int, int, bool, bool]]
) -> Pixels:
    """Renders a batch; a worker process ignores Ctrl-C, which the parent handles."""
    if os.getpid() != parent:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    return np.stack(
        [
            render(seed, patient, image, male=male, finding=disease if sick else None).pixels
            for patient, image, male, sick in films
        ]
    )


def _resized(films: Pixels, size: int) -> Pixels:
    from PIL import Image

    return np.stack(
        [
            np.asarray(Image.fromarray(film[0]).resize((size, size), Image.Resampling.LANCZOS))
            for film in films
        ]
    )[:, None]


@contextmanager
def _modules_of_the_installation() -> Iterator[None]:
    """Keeps files of the working folder from workers that start now: ``random.py`` is not Python's."""
    before = os.environ.get(SAFE_PATH)
    os.environ[SAFE_PATH] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ[SAFE_PATH]
        else:
            os.environ[SAFE_PATH] = before
