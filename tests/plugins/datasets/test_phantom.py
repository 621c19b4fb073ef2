"""The phantom dataset: deterministic, cached, verified, and its films match their labels."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw
from zobench_plugins.datasets.phantom import PhantomDataset
from zobench_plugins.datasets.phantom.anatomy import draw_patient
from zobench_plugins.datasets.phantom.dataset import PhantomParameters
from zobench_plugins.datasets.phantom.fields import Pen, edge
from zobench_plugins.datasets.phantom.findings import FINDINGS
from zobench_plugins.datasets.phantom.generator import render

from zobench.contracts.dataset import DatasetRequest
from zobench.errors import ConfigError, Interrupted


def open_dataset(
    cache: Path, disease: str = "edema", size: int = 224, **parameters: int
) -> PhantomDataset:
    return PhantomDataset(
        DatasetRequest(disease, None, size, cache),
        PhantomParameters(**{"patients": 40, **parameters}),
    )


def test_a_film_depends_on_seed_patient_and_image_and_nothing_else() -> None:
    one = render(1, 2, 0, male=True, finding="pneumonia").pixels
    assert np.array_equal(one, render(1, 2, 0, male=True, finding="pneumonia").pixels)
    for other in ((2, 2, 0), (1, 3, 0), (1, 2, 1)):
        assert not np.array_equal(one, render(*other, male=True, finding="pneumonia").pixels)


def test_another_process_renders_the_same_film() -> None:
    code = (
        "from zobench_plugins.datasets.phantom.generator import render; import hashlib;"
        "p = render(5, 6, 1, male=False, finding='edema').pixels;"
        "print(hashlib.sha256(p.tobytes()).hexdigest())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    pixels = render(5, 6, 1, male=False, finding="edema").pixels
    assert done.stdout.strip() == hashlib.sha256(pixels.tobytes()).hexdigest()


def test_files_of_the_working_folder_are_not_taken_for_pythons_own(tmp_path: Path) -> None:
    """Worker processes start with that folder first on their path, unless it is kept from it."""
    for name in ("random", "numbers"):
        (tmp_path / f"{name}.py").write_text("open('imported', 'w')\n")
    code = (
        "import numpy as np\nfrom pathlib import Path\n"
        "from zobench.contracts.dataset import DatasetRequest\n"
        "from zobench_plugins.datasets.phantom import PhantomDataset\n"
        "from zobench_plugins.datasets.phantom.dataset import PhantomParameters\n"
        "if __name__ == '__main__':\n"
        f"    request = DatasetRequest('edema', None, 224, Path({str(tmp_path / 'cache')!r}))\n"
        "    PhantomDataset(request, PhantomParameters(patients=90)).pixels(np.arange(90))\n"
    )
    done = subprocess.run(
        [sys.executable, "-P", "-c", code],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert not (tmp_path / "imported").exists()


@pytest.mark.parametrize("finding", sorted(FINDINGS))
def test_a_finding_only_adds_absorption_and_mostly_where_it_belongs(finding: str) -> None:
    """On average the finding brightens the thorax and leaves the top and bottom edges unchanged."""
    difference = np.mean(
        [
            render(3, i, 0, male=bool(i % 2), finding=finding).pixels.astype(float)
            - render(3, i, 0, male=bool(i % 2), finding=None).pixels
            for i in range(30)
        ],
        axis=0,
    )
    assert difference[40:180, 16:208].mean() > 0.4
    assert abs(difference[:12]).mean() < 0.02
    assert abs(difference[200:]).mean() < 0.02


def test_films_of_one_patient_share_the_anatomy_but_not_the_exposure() -> None:
    films = [render(1, 4, image, male=False, finding=None) for image in range(2)]
    assert films[0].patient == films[1].patient
    assert not np.array_equal(films[0].pixels, films[1].pixels)


def best_threshold_error(women: np.ndarray, men: np.ndarray) -> float:
    """The smallest error rate of a threshold between the groups, which have equal weights."""
    cuts = np.concatenate([women, men])
    wrong = [0.5 * ((women <= cut).mean() + (men > cut).mean()) for cut in cuts]
    return float(min(*wrong, *(1 - np.asarray(wrong))))


def test_no_single_measurement_tells_the_sexes_apart() -> None:
    """A threshold errs for 3 to 12 % of patients on the breast, for over 20 % on other sizes."""
    rng = np.random.default_rng(0)
    women, men = ([draw_patient(rng, male=male) for _ in range(1500)] for male in (False, True))

    def error(name: str) -> float:
        return best_threshold_error(
            *(np.array([getattr(p, name) for p in g]) for g in (women, men))
        )

    assert np.mean([p.breast for p in women]) > 2 * np.mean([p.breast for p in men])
    assert 0.03 < error("breast") < 0.12
    for name in ("thorax_width", "neck", "clavicle_width", "lung_base"):
        assert error(name) > 0.2


def test_the_table_is_balanced_and_patients_keep_sex_and_finding(tmp_path: Path) -> None:
    records = open_dataset(tmp_path, patients=400).records
    for patient in np.unique(records.patient):
        rows = records.patient == patient
        assert 1 <= rows.sum() <= 3
        assert len(set(records.sensitive[rows])) == len(set(records.label[rows])) == 1
        assert len(set(records.age[rows])) == 1
    share = np.bincount(2 * records.label + records.sensitive) / len(records)
    assert (abs(share - 0.25) < 0.05).all()


def test_films_come_from_the_cache_the_second_time_and_are_verified(tmp_path: Path) -> None:
    rows = np.array([3, 0, 7])
    dataset = open_dataset(tmp_path)
    first = dataset.pixels(rows)
    assert first.shape == (3, 1, 224, 224)
    calls: list[tuple[int, int]] = []
    again = open_dataset(tmp_path).pixels(rows, lambda done, total: calls.append((done, total)))
    assert np.array_equal(first, again)
    assert calls == [(3, 3)]  # all films were in the cache

    (path,) = tmp_path.glob("phantom-*/films.bin")
    content = bytearray(path.read_bytes())
    content[7 * 224 * 224 + 5000] ^= 1
    path.write_bytes(content)
    calls.clear()
    mended = open_dataset(tmp_path).pixels(rows, lambda done, total: calls.append((done, total)))
    assert np.array_equal(first, mended)
    assert calls[0] == (2, 3)  # one film was found damaged


def test_many_films_are_rendered_by_several_processes_alike(tmp_path: Path) -> None:
    rows = np.arange(100)
    dataset = open_dataset(tmp_path, patients=80)
    films = dataset.pixels(rows)
    records = dataset.records
    for row in (0, 50, 99):
        image = int((records.patient[:row] == records.patient[row]).sum())
        alone = render(
            0,
            int(records.patient[row]),
            image,
            male=bool(records.sensitive[row]),
            finding="edema" if records.label[row] else None,
        )
        assert np.array_equal(films[row, 0], alone.pixels)
        assert records.age[row] == alone.patient.age
        assert records.view[row] == ("AP" if alone.portable else "PA")


def test_rendering_that_is_stopped_half_way_says_nothing_but_why(tmp_path: Path) -> None:
    def stop(done: int, total: int) -> None:
        if done:
            raise Interrupted("stopped")

    dataset = open_dataset(tmp_path, patients=300)
    with (
        warnings.catch_warnings(record=True, action="always") as caught,
        pytest.raises(Interrupted),
    ):
        dataset.pixels(np.arange(300), stop)
    assert not caught


def test_other_sizes_are_resized(tmp_path: Path) -> None:
    assert open_dataset(tmp_path, size=96).pixels(np.arange(2)).shape == (2, 1, 96, 96)


def test_another_cohort_or_disease_has_another_digest(tmp_path: Path) -> None:
    digests = {
        open_dataset(tmp_path).spec.digest,
        open_dataset(tmp_path, cohort=1).spec.digest,
        open_dataset(tmp_path, disease="pneumonia").spec.digest,
    }
    assert len(digests) == 3


def test_an_unknown_disease_gets_the_nearest_known_one(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="did you mean 'pneumonia'"):
        open_dataset(tmp_path, disease="pnuemonia")


def test_strokes_are_those_of_imagedraw() -> None:
    rng = np.random.default_rng(0)
    tails, heads = rng.uniform(-1, 1, (2, 40, 2))
    pen, plain = Pen(64), Image.new("L", (128, 128))
    for width, level in ((2.6, 161), (0.3, 40)):
        pen.segments(tails, heads, width, level)
        for tail, head in zip(tails, heads, strict=True):
            ends = [*((tail + 1) * 64), *((head + 1) * 64)]
            ImageDraw.Draw(plain).line(ends, fill=level, width=max(1, round(2 * width)))
    wanted = np.asarray(plain.reduce(2), dtype=np.float32) / np.float32(255)
    assert np.array_equal(pen.coverage(), wanted)


def test_a_soft_edge_is_the_cubic_step() -> None:
    distance = np.linspace(-2, 2, 101, dtype=np.float32)[None]
    kept = distance.copy()
    t = np.clip(distance * np.float32(0.5 / 0.7) + np.float32(0.5), 0.0, 1.0)
    assert np.array_equal(edge(distance, 0.7), t * t * (3.0 - 2.0 * t))
    assert np.array_equal(distance, kept)
