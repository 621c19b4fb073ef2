"""A frozen torch module as an encoder: device, precision, chunks, out-of-memory."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn

from zobench.contracts.dataset import Pixels, Rows
from zobench.contracts.encoder import EncoderRequest, EncoderSpec
from zobench.contracts.parameters import parameter
from zobench.errors import ConfigError, EncoderError

from .freed_memory import keep_freed_memory
from .fused.network import FusedNetwork, agreeing
from .measuring import Choice, Forward, fastest, out_of_memory
from .precision import (
    pick_device,
    pick_precision,
    reproducible_convolutions,
    require_representable,
)
from .recorded import RecordedForward, recordable
from .resident import LEVELS, ResidentPixels, sent

GROUP = 8
"""Chunks are padded to a multiple of so many images: most matrix products round such batches alike."""

SHARED = 4
"""Edits are added to patch tokens if so many images, on average, share one; else to the pixels."""

SHARED_BYTES = 64 << 20
"""Largest size of the edits, in all channels, whose patch tokens are held together."""

TOLERANCE = {torch.float32: 1e-5, torch.bfloat16: 5e-2}
"""Largest difference of an embedding from the one in another batch or by another path, relative to the
largest number. In bfloat16, a ViT-B/16 is itself off by 2e-2."""

EAGER, FUSED, RECORDED = "eager", "fused", "recorded"
"""The paths: the network as its library computes it, its rebuilt form, and its recorded passes."""


@dataclass(frozen=True)
class LocalParameters:
    """Settings that every local encoder has: how its images are computed, not what."""

    chunk: int = parameter(
        0, "images a forward pass; 0 measures the best once", low=0, high=65_536, incidental=True
    )
    path: str = parameter(
        "auto",
        "how embeddings without gradients are computed: 'eager' by the network's own code, 'fused' by "
        "its rebuilt form, 'recorded' by one of them with full chunks as a CUDA graph (on a GPU), "
        "'auto' by the faster of the first two (with a given chunk: 'fused' if it exists)",
        choices=("auto", EAGER, FUSED, RECORDED),
        incidental=True,
    )


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
    threads is embedded alike up to :data:`TOLERANCE`. Embeddings without gradients come from the
    fused path where it is faster, and agree with the eager path within the same tolerance.
    Path and chunk size are measured once per encoder and device, kept in the cache and recorded in
    the manifest, so that a resumed run is the same to the last bit.
    """

    def __init__(
        self,
        backbone: Backbone,
        request: EncoderRequest,
        parameters: LocalParameters = LocalParameters(),
    ) -> None:
        """Moves the backbone to its device, and finds its path and chunk size.

        Raises:
            ConfigError: There is no such device, or it lacks the precision asked for.
            EncoderError: A weight becomes 0 or infinite in that precision, or the path that is asked
                for, or that the resumed run used, does not exist here.
        """
        self._device = pick_device(request.device)
        self._dtype = pick_precision(request.precision, self._device)
        reproducible_convolutions(self._device)
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
        keep_freed_memory()
        fused = self._rebuilt(backbone)
        paths: dict[str, Forward] = {EAGER: self._eager}
        if fused is not None:  # it is probably the fastest, so it is measured first
            paths = {FUSED: lambda images: fused(images).float(), **paths}
        choice, recorded = self._choose(backbone, request, parameters, paths)
        self._chunk, self._plain = choice.chunk, paths[choice.path]
        self._forward = self._recorded(request.name) if recorded else self._plain
        self._fused = fused if choice.path == FUSED and not recorded else None
        self._resident = ResidentPixels(self._device)
        precision = "bf16" if self._dtype == torch.bfloat16 else "fp32"
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
                "path": RECORDED if recorded else choice.path,
                **({RECORDED: choice.path} if recorded else {}),
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
        self._require_shape(tuple(images.shape[1:]))

        def embed(part: slice) -> Tensor:
            forward = self._eager if images.requires_grad else self._forward
            chunk = images[part]
            missing = self._missing(len(chunk))
            if not missing:
                return forward(chunk)
            fill = chunk[-1:].detach().expand(missing, -1, -1, -1)
            return forward(torch.cat([chunk, fill]))[: len(chunk)]

        return self._in_chunks(len(images), embed, halve=not images.requires_grad)

    def embed_edited(self, pixels: Pixels, rows: Rows, edits: Tensor, owner: Rows) -> Tensor:
        """Embeddings ``(n, D)`` float32 of ``pixels[rows] / 255 + edits[owner]``.

        The pixels stay on the device, and the edits are added there.

        Raises:
            EncoderError: Wrong image shape, or not even one image fits in memory.
        """
        self._require_shape(pixels.shape[1:])

        tokens = None
        shared = len(edits) == 1 or len(rows) >= SHARED * len(edits)
        size = edits.numel() * edits.element_size() * self._shape[0]
        if self._fused is not None and shared and size <= SHARED_BYTES:
            tokens = self._tokens(self._fused, edits)
        added = sent(edits, self._device) if tokens is None else tokens

        def embed(part: slice) -> Tensor:
            missing = self._missing(len(rows[part]))
            chunk, owners = (
                np.pad(numbers[part], (0, missing), "edge") for numbers in (rows, owner)
            )
            levels, of_each = self._resident.rows(pixels, chunk), _of_each(added, owners)
            if tokens is None:
                answer = self._forward(torch.add(of_each, levels.float(), alpha=1 / LEVELS))
            else:
                answer = cast(FusedNetwork, self._fused).edited(levels, of_each).float()
            return answer[: len(chunk) - missing]

        return self._in_chunks(len(rows), embed, halve=True)

    def _require_shape(self, shape: tuple[int, ...]) -> None:
        if shape[1:] != self._shape[1:] or shape[0] not in (1, self._shape[0]):
            raise EncoderError(
                f"encoder {self._spec.name} takes images of shape {self._shape} (or one channel), "
                f"but got {shape}"
            )

    def _missing(self, images: int) -> int:
        """Images that a chunk is padded with, to a multiple of :data:`GROUP`."""
        return -images % GROUP if self._chunk >= GROUP else 0

    def _in_chunks(self, count: int, embed: Callable[[slice], Tensor], *, halve: bool) -> Tensor:
        """Embeddings of all images, chunk by chunk.

        Args:
            count: The number of images.
            embed: Embeds the images of a slice.
            halve: Whether a chunk that does not fit in memory halves it and all later ones.
        """
        parts: list[Tensor] = []
        start = 0
        while start < count:
            try:
                parts.append(embed(slice(start, min(start + self._chunk, count))))
            except RuntimeError as error:
                if not out_of_memory(error) or not halve:
                    raise  # with gradients, the caller must send fewer images
                if self._resident.give_way():
                    continue
                if self._chunk == 1:
                    raise EncoderError(
                        f"encoder {self._spec.name} has not enough memory on {self._device} for one "
                        "image; choose another --device"
                    ) from error
                self._chunk = max(1, self._chunk // 2)
                settings = {**self._spec.settings, "chunk": self._chunk}
                if isinstance(self._forward, RecordedForward):  # its memory is needed
                    self._forward, settings["path"] = self._plain, settings.pop(RECORDED)
                self._spec = replace(self._spec, settings=settings)
                continue
            start += len(parts[-1])
        return torch.cat(parts) if parts else torch.empty(0, self._spec.embedding_dim)

    def close(self) -> None:
        """Does nothing: the memory is freed with the object."""

    def _tokens(self, fused: FusedNetwork, edits: Tensor) -> Tensor | None:
        """What edits add to the patch tokens; ``None`` where they are added to the pixels instead."""
        try:
            return fused.tokens_of_edits(edits)
        except RuntimeError as error:
            if not out_of_memory(error):
                raise
            return None

    def _rebuilt(self, backbone: Backbone) -> FusedNetwork | None:
        """The rebuilt network; ``None`` where it does not agree, or memory is too short to tell."""
        tolerance, mean, std = TOLERANCE[self._dtype], backbone.mean, backbone.std
        return agreeing(self._module, mean, std, self._eager, self._shape, tolerance)

    def _choose(
        self,
        backbone: Backbone,
        request: EncoderRequest,
        parameters: LocalParameters,
        paths: dict[str, Forward],
    ) -> tuple[Choice, bool]:
        """Path and chunk size: of the resumed run, as asked for, or the fastest.

        Returns:
            The choice, and whether its passes are to be recorded.

        Raises:
            EncoderError: There is no such path here.
        """
        wanted = parameters.path
        if request.settings:  # manifests of version 0.1 name no path, and had one only
            wanted = str(request.settings.get("path", EAGER))
        chunk = parameters.chunk or int(request.settings.get("chunk", 0))
        recorded = wanted == RECORDED
        if recorded:
            if not recordable(self._device):
                raise EncoderError(
                    f"encoder {request.name} has a recorded path on a GPU only, and runs on "
                    f"{self._device}; choose another --device, or --set encoder.path=eager for a new run"
                )
            wanted = str(request.settings.get(RECORDED, "auto"))
        if wanted != "auto":
            if wanted not in paths:
                raise EncoderError(
                    f"encoder {request.name} has no {wanted} path on this machine: its network does "
                    "not give equal embeddings when it is rebuilt, this version of PyTorch lacks the "
                    "operators, or memory is too short to tell; a new run with --set "
                    "encoder.path=eager does without"
                )
            paths = {wanted: paths[wanted]}
        if chunk:
            return Choice(next(iter(paths)), chunk), recorded
        precision = "bf16" if self._dtype == torch.bfloat16 else "fp32"
        choice = fastest(
            key=f"{backbone.digest}-{precision}-{'x'.join(map(str, self._shape))}",
            device=self._device,
            images=lambda count: torch.full((count, *self._shape), 0.5, dtype=torch.float32),
            paths=paths,
            cache=request.cache,
        )
        return choice, recorded

    def _probe_dimension(self, name: str) -> int:
        """The embedding dimension D, found by embedding one black image.

        Raises:
            ConfigError: The backbone does not take images of its declared shape.
        """
        try:
            with torch.inference_mode():
                answer = self._eager(torch.zeros(1, *self._shape, dtype=torch.float32))
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

    def _recorded(self, name: str) -> RecordedForward:
        """Recorded passes of full chunks.

        Raises:
            EncoderError: They cannot be recorded.
        """
        size, tolerance = self._chunk + self._missing(self._chunk), TOLERANCE[self._dtype]
        try:
            return RecordedForward(self._plain, size, self._shape, self._device, tolerance)
        except RuntimeError as error:
            raise EncoderError(
                f"encoder {name}: its passes of {size} images cannot be recorded ({error}); give "
                "--set encoder.path=eager, or a smaller encoder.chunk"
            ) from error

    def _eager(self, images: Tensor) -> Tensor:
        moved = images.to(self._device, non_blocking=True).expand(-1, self._shape[0], -1, -1)
        standardised = ((moved - self._mean) / self._std).to(self._dtype)
        return cast(Tensor, self._module(standardised)).float()


def _of_each(edits: Tensor, owner: Rows) -> Tensor:
    """The edit of each image, ``(1 or n, ...)``; copied only if they do not lie side by side."""
    first, steps = int(owner[0]), np.diff(owner)
    if not steps.any():
        return edits[first : first + 1]
    if (steps == 1).all():
        return edits[first : first + len(owner)]
    return edits[sent(torch.from_numpy(owner), edits.device)]


def standard_normalisation(values: Sequence[float], channels: int) -> tuple[float, ...]:
    """Means or deviations for the given number of channels; other counts get the average."""
    if len(values) == channels:
        return tuple(values)
    return (sum(values) / len(values),) * channels
