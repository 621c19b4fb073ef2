"""Pictures of an edit, on scales that are the same in all runs, and images before and after."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from zobench.files.atomic import replaced
from zobench.files.location import Location
from zobench.problem.images import Images
from zobench.records import layout
from zobench.records.run_folder import RunFolder

from .canvas import Canvas

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SMOOTHING = 8.0
"""Standard deviation in pixels of the Gaussian filter that smooths out the patch grid."""

STRONGEST = 0.2
"""Share of the pixels, the strongest ones, to highlight, as in Jin et al. 2024, Fig. 4."""

UNEVEN = 0.1
"""Least variation of the strength, relative to its mean, at which the strongest area says anything.

The smoothed magnitude of white noise varies by 1 / 40 of its mean.
"""

FAINT, FULL = 0.01, 1.0
"""Ends of the scale of edits, in pixel range: linear up to the first, logarithmic to the second."""

DECADES = 1e-3, 1.0
"""Ends of the scale of strengths, in pixel range."""

GAINS = (1, 2, 4, 8, 16, 32, 64)
"""Factors by which a difference is shown; the largest that cuts none off."""

Grey = NDArray[np.float32]


def strength_map(edit: Grey) -> Grey:
    """Smoothed magnitude of an edit ``(H, W)``, in pixel range."""
    from scipy.ndimage import gaussian_filter

    return np.asarray(gaussian_filter(np.abs(edit), SMOOTHING), dtype=np.float32)


def scaled(strength: Grey) -> Grey:
    """A strength map stretched to [0, 1], as in Jin et al. 2024, Fig. 4."""
    spread = float(strength.max() - strength.min())
    return np.asarray((strength - strength.min()) / (spread or 1.0), dtype=np.float32)


def draw_pictures(folder: RunFolder, images: Images, groups: tuple[str, str]) -> None:
    """Writes ``edit.npy`` and two pictures of the last snapshot, if there is one.

    Args:
        folder: The run folder.
        images: Test images; the pictures show one image without the finding from each group.
        groups: Names of the groups.
    """
    queries = folder.snapshots()
    if not queries:
        return
    edit = folder.edit(queries[-1])[0].numpy()
    pictures = healthy_images(images)
    with replaced(folder.location / layout.EDIT) as draft, draft.open("wb") as file:
        np.save(file, edit, allow_pickle=False)
    _save(_edit_figure(edit, pictures[0], queries[-1]), folder.location / layout.EDIT_PICTURE)
    _save(_image_figure(edit, pictures, groups), folder.location / layout.IMAGES_PICTURE)


def healthy_films(images: Images) -> Grey:
    """From each group the first image without the finding, grey ``(2, H, W)`` in [0, 1]."""
    pictures = healthy_images(images)
    return np.asarray(pictures if pictures.ndim == 3 else pictures.mean(axis=3))


def healthy_images(images: Images) -> Grey:
    """The same images as they are: grey ``(2, H, W)``, or in colour ``(2, H, W, 3)``."""
    rows = [int(np.flatnonzero((images.sensitive == a) & (images.label == 0))[0]) for a in (0, 1)]
    pixels = images.batch(np.asarray(rows)).numpy()
    return np.asarray(pixels[:, 0] if pixels.shape[1] == 1 else np.moveaxis(pixels, 1, 3))


def _edit_figure(edit: Grey, image: Grey, queries: int) -> Figure:
    from matplotlib.colors import LogNorm, SymLogNorm

    canvas = Canvas(11.5, 3.75, side=3.2)
    raw, smooth, strongest = ((left, 0.15) for left in (0.1, 4.15, 8.2))
    of_edits = SymLogNorm(FAINT, vmin=-FULL, vmax=FULL, base=10)
    canvas.picture(edit, *raw, cmap="RdBu_r", norm=of_edits)
    canvas.bar(*raw, "RdBu_r", of_edits, (-1, -0.1, -0.01, 0, 0.01, 0.1, 1))
    what = f"edit after {queries:,} queries, norm {np.linalg.norm(edit):.2f}"
    canvas.title(what if edit.any() else f"no edit after {queries:,} queries", *raw)

    strength, of_strengths = strength_map(edit), LogNorm(*DECADES)
    canvas.picture(strength.clip(*DECADES), *smooth, cmap="magma", norm=of_strengths)
    canvas.bar(*smooth, "magma", of_strengths, (0.001, 0.01, 0.1, 1))
    canvas.title("smoothed strength", *smooth)

    canvas.picture(image, *strongest, cmap="gray", vmin=0, vmax=1)
    uneven = float(strength.std() / (strength.mean() or 1.0))
    if not edit.any():
        canvas.title("an image as it is", *strongest)
    elif uneven < UNEVEN:
        canvas.title(f"no strongest area: varies by {uneven:.0%}", *strongest)
    else:
        above = np.where(strength >= np.quantile(strength, 1 - STRONGEST), scaled(strength), np.nan)
        least = float(np.nanmin(above))
        canvas.picture(above, *strongest, cmap="autumn", alpha=0.6, vmin=least, vmax=1)
        canvas.title(f"strongest {STRONGEST:.0%} of the area", *strongest)
    return canvas.figure


def _image_figure(edit: Grey, pictures: Grey, groups: tuple[str, str]) -> Figure:
    """Rows: a group's image before, after, and the difference (mid-grey: none), times the gain."""
    most = float(np.abs(edit).max())
    gain = next((factor for factor in reversed(GAINS) if factor * most <= 0.5), 1)
    canvas = Canvas(9.35, 6.9, side=2.95)
    for bottom, image, group in zip((3.6, 0.15), pictures, groups, strict=True):
        added = edit if image.ndim == 2 else edit[..., None]  # the same in each colour
        after = (image + added).clip(0, 1)
        difference = (0.5 + gain * (after - image)).clip(0, 1)
        titles = (f"{group}, before", f"{group}, after", f"{gain} times the difference")
        shown = zip((0.1, 3.2, 6.3), (image, after, difference), titles, strict=True)
        for left, picture, title in shown:
            canvas.picture(picture, left, bottom, cmap="gray", vmin=0, vmax=1)
            canvas.title(title, left, bottom)
    return canvas.figure


def _save(figure: Figure, place: Location) -> None:
    with replaced(place) as draft:
        fast = {"compress_level": 1}  # half of the time; a few kB more
        figure.savefig(draft, format="png", dpi=110, metadata={"Software": None}, pil_kwargs=fast)
