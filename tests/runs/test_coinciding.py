"""An encoder that gives all films the same embedding ends the run with an error that says why."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from tiny import TinyEncoder, run, tiny_registry
from torch import Tensor

from zobench.errors import EncoderError
from zobench.problem.images import Images
from zobench.runs.coinciding import require_distinct


class OfAnotherRange(TinyEncoder):
    """Expects pixels from -1024 to 1024, so films from 0 to 1 are all the same grey to it."""

    def embed(self, images: Tensor) -> Tensor:
        return super().embed((images / 1024).round())


def test_a_wrong_range_of_pixels_is_an_error_that_names_the_range(tmp_path: Path) -> None:
    registry = tiny_registry(encoder=lambda request: OfAnotherRange())
    with pytest.raises(EncoderError, match=r"answered 1 different.*pixels from 0 to 1"):
        run(tmp_path, registry)


def films(different: int, count: int) -> Images:
    pixels = (np.arange(count) % different).astype(np.uint8).reshape(count, 1, 1, 1)
    nothing = np.zeros(count, np.int64)
    return Images(pixels, nothing, nothing, np.arange(count))


@pytest.mark.parametrize(
    ("different", "answered", "refused"),
    [(10, 10, False), (10, 6, False), (10, 5, True), (10, 1, True), (1, 1, False)],
)
def test_a_few_equal_embeddings_and_equal_images_are_no_fault(
    different: int, answered: int, refused: bool
) -> None:
    spec, images = TinyEncoder().spec, films(different, 20)
    rows = torch.arange(20) % different % answered
    embeddings = rows[:, None].float().numpy()
    if refused:
        with pytest.raises(EncoderError, match=f"{answered} different embeddings for {different}"):
            require_distinct(spec, images, embeddings)
    else:
        require_distinct(spec, images, embeddings)
