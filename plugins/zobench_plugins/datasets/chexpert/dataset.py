"""CheXpert in its published layout: ``train.csv`` and ``valid.csv`` beside folders of JPEG films.

Irvin et al., "CheXpert", AAAI 2019. A finding is compared with "No Finding", as the paper's code does;
films with neither are left out. Labels are 1, 0, -1 (uncertain) or blank (not mentioned).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from zobench.contracts.dataset import DatasetRequest, DatasetSpec, Pixels, Records, Rows
from zobench.contracts.listener import ReportProgress, silent
from zobench.errors import DatasetError

from ..films import ArchiveFilms, Unreadable, UnreadableFilms, digest_of
from ..pictures.decoding import PictureForm
from ..pictures.levels import parsed_window
from .table import AGE, VIEW, CheXpertParameters, chosen_films, find_finding, find_root

BIAS = 0.8


def precheck(disease: str, root: Path | None, *_: object) -> None:
    """Refuses a folder without ``train.csv``, and a disease that is none of CheXpert's.

    Raises:
        ConfigError: The folder is missing, or the disease is unknown.
        DatasetError: The table is missing.
    """
    find_root(root)
    find_finding(disease)


class CheXpertDataset:
    """Films with one finding and films without the finding.

    Attributes:
        spec: The dataset's spec; an amplified bias has the direction of the archive's.
        records: One row per film.
    """

    def __init__(self, request: DatasetRequest, parameters: CheXpertParameters) -> None:
        """Reads and checks the tables; no film is opened yet.

        Raises:
            ConfigError: The folder is missing, or the disease is unknown.
            DatasetError: A file, column or row is wrong.
        """
        root = find_root(request.root)
        finding = find_finding(request.disease)
        folder = request.cache / "chexpert"
        digest = digest_of([str(root.absolute())])
        self._unreadable = Unreadable(folder / f"unreadable-{digest}.txt")
        table, self._paths, groups, notes = chosen_films(
            root, finding, parameters, self._unreadable
        )
        label, sensitive = table["label"].to_numpy(), table["sensitive"].to_numpy()
        self.records = Records(
            patient=table["patient"].to_numpy(),
            label=label,
            sensitive=sensitive,
            age=table[AGE].to_numpy(),
            view=table[VIEW].to_numpy(dtype=str),
            image=np.array([path.relative_to(root).as_posix() for path in self._paths]),
        )
        form = PictureForm(request.size, window=parsed_window(parameters.window))
        lean = label[sensitive == 0].mean() - label[sensitive == 1].mean()
        lines = [
            f"{path.parent.parent.name}/{path.parent.name}/{path.name},{y},{a},{path.stat().st_size}"
            for path, y, a in zip(self._paths, label, sensitive, strict=True)
        ]
        self.spec = DatasetSpec(
            name="chexpert",
            disease=request.disease,
            shape=(1, request.size, request.size),
            groups=groups,
            digest=digest_of([form.key, *lines]),
            positive_rate_gap=BIAS if lean >= 0 else -BIAS,
            bias="as-is",
            notes=notes,
        )
        self._films = ArchiveFilms(folder, self._paths, form, lambda row: str(self._paths[row]))

    def pixels(self, rows: Rows, progress: ReportProgress = silent) -> Pixels:
        """Films, decoded the first time that they are asked for.

        Raises:
            DatasetError: A file is damaged, or not an 8-bit grey film.
        """
        try:
            return self._films.read(rows, progress)
        except UnreadableFilms as fault:
            advice = ""
            if fault.rows:
                remembered = self._unreadable.remember([self._paths[row] for row in fault.rows])
                advice = f"\n{remembered}: the same command leaves them out"
            raise DatasetError(f"{fault}{advice}") from fault
