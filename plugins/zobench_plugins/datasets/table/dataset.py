"""The dataset of a table: a folder of images, and a CSV, TSV or parquet file that describes them."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import numpy as np

from zobench.contracts.dataset import DatasetRequest, DatasetSpec, Pixels, Records, Rows
from zobench.contracts.listener import ReportProgress, silent
from zobench.errors import ConfigError, DatasetError

from ..columns.ages import years
from ..columns.reading import read_table
from ..films import ArchiveFilms, Unreadable, UnreadableFilms, digest_of
from ..pictures.decoding import COLOUR, GREY, PictureForm, has_colour
from ..pictures.levels import Window, parsed_window
from .parameters import TableParameters
from .place import find_table
from .selection import SKIP, selected

BIAS = 0.8
AGE, VIEW = "age", "view"
"""Columns, in any capitals, that become ages and projections where a table has them."""
LOOKED_AT = 16
"""Images, evenly among all, that are opened to tell whether the images have colour."""


def precheck(disease: str, root: Path | None, argument: str, parameters: TableParameters) -> None:
    """Refuses a folder without a table; the table itself is read with the dataset.

    Raises:
        ConfigError: The folder or the table is missing.
    """
    find_table(root, parameters.file)


class TableDataset:
    """Images of one's own, with labels from a table.

    Attributes:
        spec: The dataset's spec; an amplified bias has the direction of the table's.
        records: One row an image.
    """

    def __init__(self, request: DatasetRequest, parameters: TableParameters) -> None:
        """Reads and checks the table; a few images are opened, to tell whether they have colour.

        Raises:
            ConfigError: The folder or the table is missing.
            DatasetError: Something is wrong with the table; the message names everything at once.
        """
        root, source = find_table(request.root, parameters.file)
        window = parsed_window(parameters.window)
        root = root.absolute()
        folder = request.cache / "table"
        digest = digest_of([str(root)])
        self._unreadable = Unreadable(folder / f"unreadable-{digest}.txt")
        self._skips = parameters.missing == SKIP
        chosen = selected(
            read_table(source), source, root, request.disease, parameters, self._unreadable
        )
        table, names = chosen.table, chosen.paths.tolist()
        self._paths = [root / name for name in names]
        self._source = source
        self._lines = [int(line) for line in table.index]
        label, sensitive = (
            column.to_numpy(dtype=np.int64) for column in (chosen.label, chosen.sensitive)
        )
        by_name = {name.lower(): name for name in reversed(list(table.columns))}
        count = len(table)
        self.records = Records(
            patient=np.unique(chosen.patient, return_inverse=True)[1].astype(np.int64),
            label=label,
            sensitive=sensitive,
            age=years(table[by_name[AGE]]) if AGE in by_name else np.full(count, -1),
            view=table[by_name[VIEW]].to_numpy(str) if VIEW in by_name else np.full(count, ""),
            image=np.array(names),
        )
        lean = label[sensitive == 0].mean() - label[sensitive == 1].mean()
        form, told = _form(request, parameters, self._paths, window)
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
                            names,
                            chosen.patient,
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
            notes=(*chosen.notes, *told),
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
            advice = [str(fault)]
            if fault.rows:
                remembered = self._unreadable.remember([self._paths[row] for row in fault.rows])
                advice.append(
                    f"{remembered}: "
                    + ("the same command" if self._skips else "--set dataset.missing=skip")
                    + " leaves them out"
                )
            if fault.unfitting:
                advice.append(
                    "files that do not fit need --set dataset.window=LOW,HIGH, or dataset.colour=rgb or "
                    "grey"
                )
            raise DatasetError("\n".join(advice)) from fault

    def _title(self, row: int) -> str:
        return f"{self._paths[row]} (line {self._lines[row]:,} of {self._source.name})"


def _form(
    request: DatasetRequest, parameters: TableParameters, paths: list[Path], window: Window | None
) -> tuple[PictureForm, tuple[str, ...]]:
    """The form of the pictures that the encoder gets, and a note where colour is lost.

    Raises:
        ConfigError: Colour is asked for, and the encoder takes one channel.
    """
    if parameters.colour == "rgb" and request.channels != COLOUR:
        raise ConfigError(
            f"dataset.colour is 'rgb', but the encoder takes {request.channels} channel(s); use "
            "--set dataset.colour=grey"
        )
    if parameters.colour != "auto":
        colour = parameters.colour == "rgb"
        return PictureForm(request.size, COLOUR if colour else GREY, window, not colour), ()
    if not _any_colour(paths, window):
        return PictureForm(request.size, GREY, window), ()
    if request.channels == COLOUR:
        return PictureForm(request.size, COLOUR, window), ()
    note = "colour images are sent as grey, by their luma: the encoder takes one channel"
    return PictureForm(request.size, GREY, window, converts=True), (note,)


def _any_colour(paths: list[Path], window: Window | None) -> bool:
    """Whether one of a few images has colour; images that cannot be decoded do not count."""
    for place in sorted(set(np.linspace(0, len(paths) - 1, LOOKED_AT).astype(int).tolist())):
        with suppress(DatasetError):
            if has_colour(paths[place], str(paths[place]), window):
                return True
    return False
