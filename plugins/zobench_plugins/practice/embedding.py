"""Embeddings of picture files by any encoder."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from zobench.billing.account import close_and_tell
from zobench.comparison.export import as_utf8
from zobench.config import RunConfig
from zobench.contracts.encoder import checked_embeddings
from zobench.contracts.listener import Listener
from zobench.errors import ConfigError, DatasetError, Interrupted
from zobench.problem.images import slices
from zobench.registry.discovery import Registry, load_registry
from zobench.runs.parts import make_encoder
from zobench.runs.resolved import resolve_plugin

from ..datasets.films import UnreadableFilms
from ..datasets.pictures.decoding import COLOUR, PictureForm, has_colour
from ..datasets.pictures.levels import UnfittingPicture, Window
from .picture_files import ARRAY
from .sending import sent, window_as_option

if TYPE_CHECKING:
    from pandas import DataFrame
    from torch import Tensor


class Embeddings:
    """Embeddings of images, kept in float32, to be written as a table."""

    def __init__(self) -> None:
        self._blocks: list[tuple[list[str], NDArray[np.float32]]] = []

    def __len__(self) -> int:
        """The number of images."""
        return sum(len(names) for names, _ in self._blocks)

    def add(self, names: list[str], block: NDArray[np.float32]) -> None:
        """Adds the embeddings ``(n, D)`` of ``n`` images."""
        self._blocks.append((names, block))

    def numbers(self) -> NDArray[np.float32]:
        """All embeddings ``(N, D)``, in the order in which they were added; there must be one."""
        names, blocks = zip(*self._blocks, strict=True)
        self._blocks = [(list(chain.from_iterable(names)), np.concatenate(blocks))]
        return self._blocks[0][1]

    def table(self) -> DataFrame:
        """One row an image: its name as ``image``, and its numbers as ``e0``, ``e1`` and so on."""
        from pandas import DataFrame

        numbers = self.numbers()
        table = DataFrame(numbers, columns=[f"e{place}" for place in range(numbers.shape[1])])
        table.insert(0, "image", [as_utf8(name) for name in self._blocks[0][0]])
        return table


def embed_pictures(
    embeddings: Embeddings,
    config: RunConfig,
    pairs: Sequence[tuple[Path, Path]],
    window: Window | None,
    edit: Tensor | None,
    listener: Listener,
    registry: Registry | None = None,
    form: PictureForm | None = None,
    stopped: Callable[[], bool] = lambda: False,
) -> None:
    """Embeds pictures, as many at a time as the encoder takes.

    A picture in colour becomes grey, by its luma, where the encoder or ``form`` has one channel. A
    damaged one is left out, and is an error once all others are embedded; one that wants a window is
    an error at once, since others will want it, too.

    Args:
        embeddings: Receives them; a caller has them even if this raises, since they may cost money.
        config: Names the encoder, its parameters, device and precision.
        pairs: Files and their names.
        window: The stored values that are black and white, for more than 8 bits.
        edit: An edit ``(1, H, W)`` that is added; ``None`` for none.
        listener: Receives the progress.
        registry: Plugins; those of the installed packages if ``None``.
        form: The form that all pictures are brought to, as in the run of the edit; ``None`` for the
            encoder's size, in colour where the encoder and the picture have it.
        stopped: Whether to stop before the next call of the encoder.

    Raises:
        Interrupted: ``stopped`` asked for it.
        ConfigError: The edit or the form does not fit the encoder's images.
        UnreadableFilms: Pictures are damaged; the message names the first of them.
        UnfittingPicture: A picture needs a window.
        EncoderError: The encoder cannot be loaded or reached.
    """
    import torch

    registry = registry or load_registry()
    overrides = config.overrides.get("encoder", {})
    plugin = resolve_plugin("encoder", config.encoder, overrides, registry)
    listener.phase("load the encoder", 0)
    encoder = make_encoder(config, plugin)
    try:
        channels, height, width = encoder.spec.image_shape
        if height != width:
            raise ConfigError(
                f"{config.encoder} takes {height} x {width} pixels, not square images"
            )
        if edit is not None and edit.shape[1:] != (height, width):
            raise ConfigError(
                f"the edit has {edit.shape[1]} x {edit.shape[2]} pixels, but encoder {config.encoder!r} "
                f"takes {height} x {width}"
            )
        if form is not None and form.channels not in (1, channels):
            raise ConfigError(
                f"the run's pictures have {form.channels} channels, but encoder {config.encoder!r} "
                f"takes {channels}"
            )
        added = torch.zeros(1, height, width) if edit is None else edit
        listener.phase("embed", len(pairs))
        faults: dict[int, DatasetError] = {}
        for part in slices(len(pairs), encoder.spec.block):
            if stopped():
                damaged = f"; {len(faults):,} before it are damaged" if faults else ""
                raise Interrupted(
                    f"stopped before image {part.start + 1:,} of {len(pairs):,}{damaged}"
                )
            names, images = [], []
            for place, (path, name) in enumerate(pairs[part], part.start):
                try:
                    images.append(_image(path, channels, height, window, added, form))
                    names.append(str(name))
                except UnfittingPicture:
                    raise
                except DatasetError as error:
                    faults[place] = error
            if images:
                with torch.inference_mode():
                    answer = encoder.embed(torch.stack(images))
                checked = checked_embeddings(encoder.spec, len(images), answer)
                embeddings.add(names, checked.float().cpu().numpy())
            listener.update(len(embeddings) + len(faults))
        if faults:
            raise UnreadableFilms(faults)
    finally:
        close_and_tell(encoder, listener)


def _image(
    path: Path,
    channels: int,
    size: int,
    window: Window | None,
    edit: Tensor,
    form: PictureForm | None,
) -> Tensor:
    """One picture ``(C, size, size)`` with the edit; a grey one fills all channels."""
    if path.suffix.lower() == ARRAY:
        return _array(path, (channels, size, size)) + edit
    if form is None:
        with window_as_option():
            colour = channels == COLOUR and has_colour(path, str(path), window)
        form = PictureForm(size, COLOUR if colour else 1, window, converts=True)
    return sent(path, str(path), form, edit, channels)


def _array(path: Path, shape: tuple[int, int, int]) -> Tensor:
    """What an encoder was sent, as ``zobench apply --as-sent`` writes it."""
    import torch

    try:
        array = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise DatasetError(f"{path} is no array that NumPy can read: {error}") from error
    if not isinstance(array, np.ndarray) or array.shape != shape or array.dtype.kind != "f":
        held = f"{array.dtype} {array.shape}" if isinstance(array, np.ndarray) else "several arrays"
        raise DatasetError(
            f"{path} holds {held}, but the encoder is sent floats {shape}, as "
            "zobench apply --as-sent writes them"
        )
    if not np.isfinite(array).all():
        raise DatasetError(f"{path} holds NaN or infinity")
    return torch.from_numpy(array.astype(np.float32))
