"""Batches of augmented films: labelled phantoms and, optionally, a folder of unlabelled X-rays."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageOps
from torch import Tensor
from torch.nn import functional as F

from zobench.contracts.dataset import Dataset, Pixels
from zobench.contracts.listener import ReportProgress
from zobench.errors import ConfigError, DatasetError

UNKNOWN = -1
SUFFIXES = {".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff"}


@dataclass(frozen=True)
class Bank:
    """Films ``(n, 1, 224, 224)`` and their labels; an unknown label is -1.

    Attributes:
        pixels: 8-bit films.
        labels: One row a film: sex, finding (0 for none), bedside view, age in decades.
    """

    pixels: Pixels
    labels: NDArray[np.int64]


@dataclass(frozen=True)
class Batch:
    """Augmented films ``(B, 1, 224, 224)`` in [0, 1], and their labels ``(B, 4)``."""

    images: Tensor
    labels: Tensor


def labelled_bank(datasets: Sequence[Dataset], progress: ReportProgress) -> Bank:
    """Joins datasets that each label one finding; the n-th dataset's finding gets number n."""
    pixels, labels = [], []
    total = sum(len(dataset.records) for dataset in datasets)
    before = 0
    for number, dataset in enumerate(datasets, start=1):
        records = dataset.records
        rows = np.arange(len(records), dtype=np.int64)

        def report(done: int, _: int, before: int = before) -> None:
            progress(before + done, total)

        pixels.append(dataset.pixels(rows, report))
        portable = (records.view == "AP").astype(np.int64)
        labels.append(
            np.stack(
                [records.sensitive, records.label * number, portable, records.age // 10], axis=1
            )
        )
        before += len(records)
    return Bank(np.concatenate(pixels), np.concatenate(labels))


def folder_bank(folder: Path, size: int) -> Bank:
    """Every image of a folder, as grey films without labels.

    Raises:
        ConfigError: The folder is missing or holds no image.
        DatasetError: A file is not a readable image, has more than 8 bits of grey, several pages, or
            transparent pixels.
    """
    if not folder.is_dir():
        raise ConfigError(f"--images is {str(folder)!r}, which is not a folder")
    paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES)
    if not paths:
        raise ConfigError(
            f"--images is {str(folder)!r}, which holds no {', '.join(sorted(SUFFIXES))}"
        )
    films = []
    for path in paths:
        films.append(_film(path, size))
    pixels = np.stack(films)[:, None]
    return Bank(pixels, np.full((len(films), 4), UNKNOWN, dtype=np.int64))


def _film(path: Path, size: int) -> NDArray[np.uint8]:
    """The image of a file, upright, in 8-bit grey at one size."""
    try:
        with Image.open(path) as image:
            if getattr(image, "n_frames", 1) > 1:
                raise DatasetError(f"{path} has several pages; an image file must have one")
            if image.mode.startswith(("I", "F")):  # Pillow would clip them at 255
                raise DatasetError(
                    f"{path} has more than 8 bits; save it with 8, black and white as in a viewer"
                )
            if image.has_transparency_data and not _is_opaque(image):
                raise DatasetError(f"{path} has transparent pixels; an image must be opaque")
            ImageOps.exif_transpose(image, in_place=True)
            grey = image.convert("L").resize((size, size), Image.Resampling.LANCZOS)
    except DatasetError:
        raise
    except Exception as error:  # Pillow passes on any error of its decoders
        raise DatasetError(f"{path} is not a readable image: {error}") from error
    return np.asarray(grey)


def _is_opaque(image: Image.Image) -> bool:
    return image.convert("RGBA").getchannel("A").getextrema() == (255, 255)


def draw_batch(
    labelled: Bank, folder: Bank | None, size: int, folder_share: float, rng: np.random.Generator
) -> Batch:
    """One augmented batch; the films of the folder come last."""
    from_folder = round(size * folder_share) if folder is not None else 0
    rows = rng.integers(len(labelled.pixels), size=size - from_folder)
    pixels, labels = [labelled.pixels[rows]], [labelled.labels[rows]]
    if folder is not None and from_folder:
        rows = rng.integers(len(folder.pixels), size=from_folder)
        pixels.append(folder.pixels[rows])
        labels.append(folder.labels[rows])
    images = torch.from_numpy(np.concatenate(pixels)).float() / 255.0
    return Batch(_augmented(images, rng), torch.from_numpy(np.concatenate(labels)))


def _augmented(images: Tensor, rng: np.random.Generator) -> Tensor:
    """Small random rotations, zooms, shifts and exposure changes; no flip, as hearts are left."""
    count = len(images)
    angle = rng.normal(0, math.radians(3.0), count)
    zoom = np.exp(rng.normal(-0.02, 0.07, count))
    matrix = np.zeros((count, 2, 3), dtype=np.float32)
    matrix[:, 0, 0] = matrix[:, 1, 1] = zoom * np.cos(angle)
    matrix[:, 0, 1] = -zoom * np.sin(angle)
    matrix[:, 1, 0] = zoom * np.sin(angle)
    matrix[:, :, 2] = rng.normal(0, 0.05, (count, 2))
    grid = F.affine_grid(torch.from_numpy(matrix), list(images.shape), align_corners=False)
    moved = F.grid_sample(images, grid, mode="bilinear", padding_mode="border", align_corners=False)
    shape = (count, 1, 1, 1)
    gamma = torch.from_numpy(np.exp(rng.normal(0, 0.18, shape)).astype(np.float32))
    gain = torch.from_numpy(rng.normal(1.0, 0.08, shape).astype(np.float32))
    lift = torch.from_numpy(rng.normal(0.0, 0.04, shape).astype(np.float32))
    return (moved.clamp(1e-4, 1.0) ** gamma * gain + lift).clamp(0.0, 1.0)
