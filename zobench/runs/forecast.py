"""What a run will send, cost and take, before it starts; a service is sent nothing for it."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from zobench.config import RunConfig
from zobench.contracts.encoder import Encoder, EncoderOutlook, EncoderSpec
from zobench.contracts.listener import Listener, Silence
from zobench.errors import ConfigError
from zobench.oracle.metered_encoder import BLOCKS
from zobench.registry.discovery import Registry

from .parts import Parts, fit_parts, make_dataset, make_parts
from .resolved import ResolvedConfig, resolve_config
from .score_plan import most_images
from .search_parts import feedback_of
from .shared_results import CLEAN_SETS

if TYPE_CHECKING:
    from torch import Tensor

FLOAT = 4
"""Bytes of a stored number."""
A_SCORE = 30
"""Bytes of a test image's score in ``scores.json``."""


@dataclass(frozen=True)
class Forecast:
    """What a run will send, cost and take at most.

    Attributes:
        setup: Clean training images.
        optimize: Images that the optimizer may send, at most; the budget.
        score: Edited images that scoring sends, at most.
        least: Images of a run that ends after its first batch.
        chunk: Images of a request; 0 if the service tells it later.
        price: The price of an image; 0 if there is none.
        rented: Whether the encoder is a service.
        seconds: Time in the encoder, from a few measured images; ``None`` if it was not measured.
        disk: Bytes of the run folder, about.
        check: Images by which the encoder checks that its service is what it was, about.
    """

    setup: int
    optimize: int
    score: int
    least: int
    chunk: int
    price: float
    rented: bool
    seconds: float | None
    disk: int
    check: int = 0

    @property
    def images(self) -> int:
        """All images, at most, without retries."""
        return self.setup + self.optimize + self.score + self.check

    @property
    def requests(self) -> int | None:
        """Requests or encoder calls, about; ``None`` if a service tells its chunk later."""
        if not self.chunk:
            return None
        parts = (self.setup, self.optimize, self.score)
        return sum(math.ceil(part / self.chunk) for part in parts)

    @property
    def cost(self) -> float | None:
        """The cost of all images, at most; ``None`` where nobody bills or no price is known."""
        return self.images * self.price if self.price else None

    @property
    def line(self) -> str:
        """All images by purpose, and their cost, in one line."""
        cost = f" ≤ {self.cost:,.2f}" if self.cost is not None else ""
        spent = f"setup {self.setup:,} + optimize ≤ {self.optimize:,} + score ≤ {self.score:,}"
        spent += f" + check {self.check:,}" if self.check else ""
        return f"{spent} images{cost}"

    def require_payable(self, limit: float) -> None:
        """Refuses a limit on the cost that ends the run before its first edit is scored.

        Raises:
            ConfigError: Setup, the first batch and the scores of one edit cost more.
        """
        least = self.least * self.price
        if limit and least > limit * (1 + 1e-12):
            raise ConfigError(
                f"max_cost is {limit:g}, but the least that this run sends, clean images, the first "
                f"batch of its optimizer and the scores of one edit and its controls, if any, is "
                f"{self.least:,} images for {least:,.2f}; the whole run is {self.line}. Give more, or "
                "send fewer with --controls none, --scored, --set split.train or split.test_per_cell"
            )

    def as_dict(self) -> dict[str, Any]:
        """The forecast as a JSON object."""
        return {**vars(self), "images": self.images, "requests": self.requests, "cost": self.cost}


class _Unreached:
    """Stands for a service that nothing is sent to."""

    def __init__(self, name: str, shape: tuple[int, int, int], price: float) -> None:
        self.spec = EncoderSpec(name, shape, 1, False, False, "", 1, price=price)

    def embed(self, images: Tensor) -> Tensor:
        """Is never called.

        Raises:
            AssertionError: Always.
        """
        raise AssertionError("a forecast sends nothing to a service")

    def close(self) -> None:
        """Has nothing to close."""


def foresee(config: RunConfig, registry: Registry, listener: Listener | None = None) -> Forecast:
    """The forecast of a run.

    A local encoder is loaded and timed on a few images; a service is not reached.

    Args:
        config: The config of the run.
        registry: Installed plugins.
        listener: Receives the phases that take long, and notes.

    Raises:
        ConfigError: A name or a parameter is wrong, or two parts are incompatible.
        DatasetError: A file or a row of the dataset is wrong.
        EncoderError: A local encoder cannot be loaded.
    """
    listener = listener or Silence()
    resolved = resolve_config(config, registry)
    outlook = resolved.encoder.outlook
    if outlook is not None:
        return at_a_service(resolved, outlook, listener.note)
    parts = make_parts(config, registry, listener)
    with ExitStack() as opened:
        for encoder in parts.encoders:
            opened.callback(encoder.close)
        require_folder_read(parts)
        tell_of_the_data(parts, listener.note)
        return forecast_of(parts, seconds_an_image(parts.encoder))


def require_folder_read(parts: Parts) -> None:
    """Refuses a config whose folder would not be read, since the dataset generates its images.

    Raises:
        ConfigError: There is such a folder.
    """
    config = parts.config
    if config.data_root and parts.dataset.spec.generated:
        raise ConfigError(
            f"--data-root is {str(config.data_root)!r}, but the images of dataset {config.dataset} are "
            "generated and no folder is read; name the dataset with --dataset, such as nih or table, or "
            "leave --data-root out"
        )


def announce(config: RunConfig, registry: Registry, listener: Listener) -> None:
    """Tells what a run will send to a service, before the first image is sent; else does nothing.

    Raises:
        ConfigError: ``max_cost`` cannot pay the least that the run sends, or parts are incompatible.
    """
    resolved = resolve_config(config, registry)
    outlook = resolved.encoder.outlook
    if outlook is not None:
        try:
            forecast = foresee(config, registry)
        except ConfigError:
            if outlook.shape_known or feedback_of(resolved.optimizer) == "gradient":
                raise
            return  # the real image shape may fit; the service tells it
        forecast.require_payable(config.max_cost)
        listener.note(f"{config.encoder} will be sent: {forecast.line}")


def tell_of_the_data(parts: Parts, note: Callable[[str], None]) -> None:
    """Says what is known of the dataset before a run, such as rows that are left out."""
    for text in parts.dataset.spec.notes:
        note(text)


def at_a_service(
    resolved: ResolvedConfig, outlook: EncoderOutlook, note: Callable[[str], None]
) -> Forecast:
    """The forecast of a run at a service, which is not reached; ``note`` is told of the data."""
    config = resolved.config
    dataset = make_dataset(config, resolved.dataset, outlook.image_shape)
    # what the service really takes is known once it is reached; the numbers of images are not affected
    encoder = _Unreached(config.encoder, dataset.spec.shape, outlook.price)
    parts = fit_parts(resolved, encoder, lambda shape: dataset)
    tell_of_the_data(parts, note)
    return forecast_of(parts, None, outlook)


def forecast_of(
    parts: Parts, seconds: float | None, outlook: EncoderOutlook | None = None
) -> Forecast:
    """The forecast of a run whose parts are made.

    Args:
        parts: The parts.
        seconds: Time of an image; ``None`` if it was not measured.
        outlook: What is known of a service; ``None`` for a local encoder.
    """
    config, spec = parts.config, parts.encoder.spec
    train, test = len(parts.split.train), len(parts.split.test)
    score = most_images(config, config.snapshots, train, test)
    least = train + parts.first_batch + most_images(config, 1, train, test)
    images = train + config.budget + score
    check = 0
    if outlook is not None:
        check = outlook.checks(images, CLEAN_SETS)
        least += outlook.checks(least, CLEAN_SETS)
    _, height, width = spec.image_shape
    edits = min(config.snapshots, 1 + config.budget // config.batch_size) + 1
    disk = FLOAT * (edits * height * width + train * spec.embedding_dim) + A_SCORE * test * (
        config.most_scored + 8
    )
    return Forecast(
        setup=train,
        optimize=config.budget,
        score=score,
        least=least,
        chunk=outlook.chunk if outlook is not None else spec.block,
        price=spec.price,
        rented=outlook is not None,
        seconds=None if seconds is None else seconds * images,
        disk=disk,
        check=check,
    )


def seconds_an_image(encoder: Encoder) -> float:
    """The time of an image, over a few calls of random images after a first one."""
    import torch

    spec = encoder.spec
    images = torch.rand(spec.block, *spec.image_shape, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        encoder.embed(images)
        began = time.perf_counter()
        for _ in range(BLOCKS):
            encoder.embed(images).cpu()  # waits for the device
    return (time.perf_counter() - began) / (BLOCKS * spec.block)
