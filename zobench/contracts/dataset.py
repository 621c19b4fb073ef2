"""The contract of a dataset: a table of images, and their pixels on demand."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol, TypeAlias

from .listener import ReportProgress, silent

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Rows: TypeAlias = "NDArray[np.int64]"
"""Row numbers of a dataset, or labels."""

Pixels: TypeAlias = "NDArray[np.uint8]"
"""8-bit images ``(n, C, H, W)``."""


def _no_names() -> NDArray[np.str_]:
    import numpy as np

    return np.array([], dtype=np.str_)


@dataclass(frozen=True)
class Records:
    """The table of a dataset: one row per image, stored as columns of equal length.

    Attributes:
        patient: Patient numbers; all images of one patient have the same number.
        label: Disease y, 0 or 1.
        sensitive: Sensitive attribute a, 0 or 1, in the order of ``DatasetSpec.groups``.
        age: Age of the patient in years, -1 where unknown.
        view: Projection, such as ``"PA"`` or ``"AP"``; empty where unknown.
        image: Names of the image files, relative to the dataset's folder; of length 0 where images
            have no files.
    """

    patient: NDArray[np.int64]
    label: NDArray[np.int64]
    sensitive: NDArray[np.int64]
    age: NDArray[np.int64]
    view: NDArray[np.str_]
    image: NDArray[np.str_] = field(default_factory=_no_names)

    def __len__(self) -> int:
        return len(self.patient)


Bias = Literal["as-is", "amplified"]
"""The bias of a training split."""


@dataclass(frozen=True)
class DatasetSpec:
    """The self-description of a dataset; it goes into the manifest of every run.

    Attributes:
        name: The registered name.
        disease: The finding that the label y stands for.
        shape: ``(C, H, W)`` of every image.
        groups: Names of the groups a=0 and a=1.
        digest: Identifies the table and the pixels behind it.
        positive_rate_gap: ``P(y=1|a=0) - P(y=1|a=1)`` in the training images of an amplified split.
        positive_rate: ``P(y=1)`` in the training images of an amplified split.
        bias: Bias of the training images where the user asks for none: ``as-is`` keeps the shares
            of the four cells of (y, a), ``amplified`` draws the gap and the rate above.
        notes: Sentences that every result of the dataset shows.
        generated: Whether the images are generated, so that nobody's health is behind them.
    """

    name: str
    disease: str
    shape: tuple[int, int, int]
    groups: tuple[str, str]
    digest: str
    positive_rate_gap: float
    positive_rate: float = 0.5
    bias: Bias = "amplified"
    notes: tuple[str, ...] = ()
    generated: bool = False


class Dataset(Protocol):
    """A collection of images with labels."""

    @property
    def spec(self) -> DatasetSpec:
        """The self-description."""
        ...

    @property
    def records(self) -> Records:
        """The table."""
        ...

    def pixels(self, rows: Rows, progress: ReportProgress = silent) -> Pixels:
        """The images of ``rows``, ``(n, C, H, W)``, 8-bit; may take long the first time."""
        ...


@dataclass(frozen=True)
class DatasetRequest:
    """The user's request to a dataset.

    Attributes:
        disease: Name of the finding, as typed.
        root: Folder of the dataset; ``None`` where the dataset brings its own images.
        size: Side length in pixels that the encoder wants.
        cache: Folder for files that the dataset can make again.
        argument: The text after the colon of the name as typed, or ``""``.
        channels: Channels that the encoder takes; images of one channel fit every encoder.
    """

    disease: str
    root: Path | None
    size: int
    cache: Path
    argument: str = ""
    channels: int = 1
