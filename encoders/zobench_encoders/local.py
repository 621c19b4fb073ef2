"""A frozen torch module as an encoder: device, precision, chunks, out-of-memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import cast

import torch
from torch import Tensor, nn

from zobench.contracts.encoder import EncoderRequest, EncoderSpec
from zobench.errors import ConfigError, EncoderError

from .chunking import chunk_size, out_of_memory

GROUP = 8
"""Chunks are padded to a multiple of so many images: most matrix products round such batches alike."""

TOLERANCE = {torch.float32: 1e-5, torch.bfloat16: 2e-2}
"""Largest difference of an embedding from the one in another batch, relative to the largest number."""


@dataclass(frozen=True)
class Backbone:
    """A module, and the shape and normalisation of the images that it takes.

    Attributes:
        module: Maps standardised ``(N, C, H, W)`` to ``(N, D)``.
        image_shape: ``(C, H, W)``.
        mean: Mean of each channel, in units of [0, 1].
        std: Standard deviation of each channel.
        digest: Identifies architecture and weights.
        notes: Warnings to show beside every result.
        differentiable: Whether gradients flow through the module.
    """

    module: nn.Module
    image_shape: tuple[int, int, int]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    digest: str
    notes: tuple[str, ...] = ()
    differentiable: bool = True


class LocalEncoder:
    """Runs a backbone in chunks on a CPU or a GPU; gradients flow back to the images.

    The same sequence of batches gives the same bits on one machine with one number of threads. The
    same image in another batch, another chunk, on another processor or with another number of
    threads is embedded alike up to :data:`TOLERANCE`. The chunk size is
    measured once per encoder and device, kept in the cache and recorded in the manifest, so that a
    resumed run is the same to the last bit.
    """

    def __init__(self, backbone: Backbone, request: EncoderRequest, chunk: int = 0) -> None:
        """Moves the backbone to its device and finds its chunk size, unless one is given.

        Raises:
            ConfigError: There is no such device, or it lacks the precision asked for.
            EncoderError: A weight becomes 0 or infinite in that precision.
        """
        self._device = pick_device(request.device)
        self._dtype = pick_precision(request.precision, self._device)
        module = backbone.module.eval().requires_grad_(False)
        require_representable(module, self._dtype, request.name)
        self._module = module.to(self._device, self._dtype)
        channels = (1, -1, 1, 1)
        self._mean, self._std = (
            torch.tensor(values, dtype=torch.float32, device=self._device).view(channels)
            for values in (backbone.mean, backbone.std)
        )
        self._shape = backbone.image_shape
        dimension = self._probe_dimension(request.name)
        precision = "bf16" if self._dtype == torch.bfloat16 else "fp32"
        self._chunk = (
            chunk
            or int(request.settings.get("chunk", 0))
            or chunk_size(
                key=f"{backbone.digest}-{precision}-{'x'.join(map(str, self._shape))}",
                device=self._device,
                images=lambda count: torch.full((count, *self._shape), 0.5, dtype=torch.float32),
                forward=self._forward,
                cache=request.cache,
            )
        )
        self._spec = EncoderSpec(
            name=request.name,
            image_shape=self._shape,
            embedding_dim=dimension,
            differentiable=backbone.differentiable,
            exact_floats=True,
            digest=backbone.digest,
            block=self._chunk,  # the pixels of a larger batch would not stay in the CPU cache
            settings={
                "device": str(self._device),
                "precision": precision,
                "chunk": self._chunk,
                "threads": torch.get_num_threads(),
            },
            notes=backbone.notes,
        )

    @property
    def spec(self) -> EncoderSpec:
        """The spec of this encoder, which the manifest stores."""
        return self._spec

    def embed(self, images: Tensor) -> Tensor:
        """Embeddings ``(N, D)`` float32; a chunk that does not fit in memory halves all later ones.

        Raises:
            EncoderError: Wrong image shape, or not even one image fits in memory.
        """
        if images.shape[2:] != self._shape[1:] or images.shape[1] not in (1, self._shape[0]):
            raise EncoderError(
                f"encoder {self._spec.name} takes images of shape {self._shape} (or one channel), "
                f"but got {tuple(images.shape[1:])}"
            )
        parts: list[Tensor] = []
        start = 0
        while start < len(images):
            try:
                parts.append(self._filled_up(images[start : start + self._chunk]))
            except RuntimeError as error:
                if not out_of_memory(error) or images.requires_grad:
                    raise  # with gradients, the caller must send fewer images
                if self._chunk == 1:
                    raise EncoderError(
                        f"encoder {self._spec.name} has not enough memory on {self._device} for one "
                        "image; choose another --device"
                    ) from error
                self._chunk = max(1, self._chunk // 2)
                settings = {**self._spec.settings, "chunk": self._chunk}
                self._spec = replace(self._spec, settings=settings)
                continue
            start += len(parts[-1])
        return torch.cat(parts)

    def close(self) -> None:
        """Does nothing: the memory is freed with the object."""

    def _probe_dimension(self, name: str) -> int:
        """The embedding dimension D, found by embedding one black image.

        Raises:
            ConfigError: The backbone does not take images of its declared shape.
        """
        try:
            with torch.inference_mode():
                answer = self._forward(torch.zeros(1, *self._shape, dtype=torch.float32))
        except (RuntimeError, ValueError, AssertionError) as error:
            raise ConfigError(
                f"encoder {name} does not take images of shape {self._shape}: {error}"
            ) from error
        if answer.ndim != 2:
            raise ConfigError(
                f"encoder {name} answers shape {tuple(answer.shape)} for one image, not (1, D); "
                "choose a pooling"
            )
        return int(answer.shape[1])

    def _filled_up(self, images: Tensor) -> Tensor:
        """Embeddings of a chunk, which is padded to a multiple of :data:`GROUP` images."""
        missing = -len(images) % GROUP if self._chunk >= GROUP else 0
        if not missing:
            return self._forward(images)
        fill = images[-1:].detach().expand(missing, -1, -1, -1)
        return self._forward(torch.cat([images, fill]))[: len(images)]

    def _forward(self, images: Tensor) -> Tensor:
        moved = images.to(self._device, non_blocking=True).expand(-1, self._shape[0], -1, -1)
        standardised = ((moved - self._mean) / self._std).to(self._dtype)
        return cast(Tensor, self._module(standardised)).float()


def require_representable(module: nn.Module, dtype: torch.dtype, name: str) -> None:
    """Checks that no weight becomes 0 or infinite in a precision.

    Raises:
        EncoderError: A weight does; the message names it.
    """
    for key, value in module.state_dict().items():
        if not value.is_floating_point() or value.dtype == dtype:
            continue
        stored = value.to(dtype)
        if bool(((stored == 0) & (value != 0)).any()) or bool(
            (~torch.isfinite(stored) & torch.isfinite(value)).any()
        ):
            raise EncoderError(
                f"encoder {name}: weights in {key!r} become 0 or infinite in "
                f"{str(dtype).removeprefix('torch.')}; use --precision fp32"
            )


def pick_device(name: str) -> torch.device:
    """``auto``, ``cpu`` or ``cuda:N`` as a device.

    Raises:
        ConfigError: There is no such device here.
    """
    if name == "auto":
        return torch.device("cuda:0" if torch.cuda.is_available() else "cpu")
    kind, _, index = name.partition(":")
    if kind == "cpu" and not index:
        return torch.device("cpu")
    if kind == "cuda" and (index.isdigit() or not index):
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        if int(index or 0) < count:
            return torch.device(f"cuda:{int(index or 0)}")
        raise ConfigError(f"device is {name!r}, but this machine shows {count} CUDA device(s)")
    raise ConfigError(f"device is {name!r}, but must be auto, cpu or cuda:N")


def pick_precision(name: str, device: torch.device) -> torch.dtype:
    """``auto``, ``fp32`` or ``bf16``; auto is bf16 on a GPU that has it and fp32 on a CPU.

    Raises:
        ConfigError: bf16 was asked for where the hardware lacks it and would only emulate it.
    """
    if name == "fp32" or (name == "auto" and device.type == "cpu"):
        return torch.float32
    if device.type == "cuda":
        able = torch.cuda.get_device_capability(device) >= (8, 0)
    else:
        able = bool(torch.cpu._is_avx512_bf16_supported())
    if able:
        return torch.bfloat16
    if name == "auto":
        return torch.float32
    raise ConfigError(
        f"precision is 'bf16', but {device} has no bf16 arithmetic; use --precision fp32"
    )


def standard_normalisation(values: Sequence[float], channels: int) -> tuple[float, ...]:
    """Means or deviations for the given number of channels; other counts get the average."""
    if len(values) == channels:
        return tuple(values)
    return (sum(values) / len(values),) * channels
