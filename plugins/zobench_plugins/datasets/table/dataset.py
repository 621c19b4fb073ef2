"""The dataset of a table: a folder of images, and a CSV, TSV or parquet file that describes them."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from zobench.contracts.dataset import DatasetRequest, DatasetSpec, Pixels, Records, Rows
from zobench.contracts.listener import ReportProgress, silent
from zobench.errors import DatasetError

from ..films import ArchiveFilms, Unreadable, UnreadableFilms, digest_of
from ..pictures.decoding import COLOUR, GREY, PictureForm, has_colour
from ..pictures.levels import Window, parsed_window
from .parameters import TableParameters
from .reading import find_table, read_table
from .selection import SKIP, numbers, selected

BIAS = 0.8
AGE, VIEW = "age", "view"
"""Columns, in any capitals, that become ages and projections where a table has them."""
UNREADABLE = "file cannot be decoded"


class TableDataset:
    """Images of one's own, with labels from a table.

    Attributes:
        spec: The dataset's spec; an amplified bias has the direction of the table's.
        records: One row an image.
    """

    def __init__(self, request: DatasetRequest, parameters: TableParameters) -> None:
        """Reads and checks the table; only the first image is opened, for its colour.

        Raises:
            ConfigError: The folder or the table is missing.
            DatasetError: Something is wrong with the table; the message names everything at once.
        """
        source = find_table(request.root, parameters.file)
        assert request.root is not None  # ``find_table`` refuses it
        window = parsed_window(parameters.window)
        root = request.root.absolute()
        folder = request.cache / "table"
        known = digest_of([str(root)])
        self._unreadable = Unreadable(folder / f"unreadable-{known}.txt")
        self._skips = parameters.missing == SKIP
        chosen = selected(read_table(source), source, root, request.disease, parameters)
        there = np.array(
            [not (self._skips and root / path in self._unreadable) for path in chosen.paths]
        )
        self._names = [path for path, good in zip(chosen.paths, there, strict=True) if good]
        self._paths = [root / name for name in self._names]
        self._source = source
        self._lines = [int(line) for line in chosen.table.index[there]]
        label, sensitive = (
            column.to_numpy(dtype=np.int64)[there] for column in (chosen.label, chosen.sensitive)
        )
        table = chosen.table[there]
        by_name = {name.lower(): name for name in reversed(list(table.columns))}
        count = len(table)
        self.records = Records(
            patient=np.unique(chosen.patient[there], return_inverse=True)[1].astype(np.int64),
            label=label,
            sensitive=sensitive,
            age=numbers(table[by_name[AGE]]) if AGE in by_name else np.full(count, -1),
            view=table[by_name[VIEW]].to_numpy(str) if VIEW in by_name else np.full(count, ""),
            image=np.array(self._names),
        )
        lean = label[sensitive == 0].mean() - label[sensitive == 1].mean()
        lost = int((~there).sum())
        notes = (
            *chosen.notes,
            *([f"{lost:,} images left out, whose {UNREADABLE}"] if lost else []),
        )
        form, told = _form(request, parameters, self._paths[0], window)
        self.spec = DatasetSpec(
            name="table",
            disease=request.disease,
            shape=form.shape,
            groups=chosen.groups,
            digest=digest_of(
                [
                    f"{form.key}",
                    *(
                        f"{name},{patient},{y},{a},{path.stat().st_size}"
                        for name, patient, y, a, path in zip(
                            self._names,
                            chosen.patient[there],
                            label.tolist(),
                            sensitive.tolist(),
                            self._paths,
                            strict=True,
                        )
                    ),
                ]
            ),
            positive_rate_gap=BIAS if lean >= 0 else -BIAS,
            bias="as-is",
            notes=(*notes, *told),
        )
        self._films = ArchiveFilms(folder, self._paths, form, self._title)

    def pixels(self, rows: Rows, progress: ReportProgress = silent) -> Pixels:
        """Images, decoded the first time that they are asked for.

        Raises:
            ConfigError: A DICOM file needs a package that is not installed.
            DatasetError: Files cannot be decoded, or have colour where grey is sent.
        """
        try:
            return self._films.read(rows, progress)
        except UnreadableFilms as fault:
            self._unreadable.remember([self._paths[row] for row in fault.rows])
            fix = (
                "they are remembered: the same command leaves them out"
                if self._skips
                else "with --set dataset.missing=skip they are left out"
            )
            raise DatasetError(f"{fault}\n{fix}") from fault

    def _title(self, row: int) -> str:
        return f"{self._paths[row]} (line {self._lines[row]:,} of {self._source.name})"


def _form(
    request: DatasetRequest, parameters: TableParameters, first: Path, window: Window | None
) -> tuple[PictureForm, tuple[str, ...]]:
    """The form of the pictures that the encoder gets, and a note where colour is lost."""
    colour = parameters.colour == "rgb"
    notes: tuple[str, ...] = ()
    if parameters.colour == "auto":
        coloured = has_colour(first, str(first), window)
        colour = coloured and request.channels == COLOUR
        if coloured and not colour:
            notes = (
                "colour images are sent as grey, by their luma: the encoder takes one channel",
            )
    channels = COLOUR if colour else GREY
    return PictureForm(request.size, channels, window, converts=not colour), notes
