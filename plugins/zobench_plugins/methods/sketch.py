"""Trains and tests the disease head on sketches, which hide features of the groups.

Yao et al., "Improving Fairness in Image Classification via Sketching", 2022. They draw the sketches
with a learned network (Chan et al. 2022). The default here is a classical line extraction, the
extended difference of Gaussians (Winnemoeller, Kyprianidis and Olsen, "XDoG", Computers & Graphics
2012, Eq. 5 and 6). The parameter ``sketcher`` can name any other function.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from zobench.contracts.dataset import Pixels
from zobench.contracts.method import MethodContext, MethodResult
from zobench.contracts.parameters import parameter
from zobench.errors import ConfigError
from zobench.problem.heads import fit_head
from zobench.registry.failure import plugin_code

Sketcher = Callable[[NDArray[np.float32]], NDArray[np.floating]]
"""A function from an image ``(H, W)`` in [0, 1] to its sketch, of the same shape and range."""


@dataclass(frozen=True)
class SketchParameters:
    """Parameters of the sketches."""

    sketcher: str = parameter("xdog", "xdog, or package.module:function from (H, W) to (H, W)")
    sigma: float = parameter(1.0, "width of the lines, in pixels", low=0.1)
    sharpening: float = parameter(20.0, "XDoG's p, the weight of the edges", low=0.0)
    threshold: float = parameter(0.5, "XDoG's epsilon, level from which pixels are white", low=0.0)
    slope: float = parameter(10.0, "XDoG's phi, the sharpness of the lines", low=0.0)

    def __post_init__(self) -> None:
        """Refuses a sketcher that cannot be imported, before anything is computed.

        Raises:
            ConfigError: There is no such function.
            RunFailure: Its module raised something else when it was imported.
        """
        _sketcher(self)


RATIO = 1.6
"""k of the difference of Gaussians, after Marr and Hildreth 1980."""


def xdog(image: NDArray[np.float32], parameters: SketchParameters) -> NDArray[np.floating]:
    """Dark lines on white, ``(H, W)`` in [0, 1]."""
    from scipy.ndimage import gaussian_filter

    narrow = gaussian_filter(image, parameters.sigma)
    wide = gaussian_filter(image, RATIO * parameters.sigma)
    sharpened = (1 + parameters.sharpening) * narrow - parameters.sharpening * wide
    below = np.minimum(sharpened - parameters.threshold, 0.0)
    return np.asarray(1.0 + np.tanh(parameters.slope * below))


class Sketch:
    """A disease head on embeddings of sketches."""

    needs_queries: ClassVar[bool] = True

    def __init__(self, context: MethodContext, parameters: SketchParameters) -> None:
        self._context, self._draw = context, _sketcher(parameters)

    def solve(self) -> MethodResult:
        """Draws all images, fits the head on sketches and predicts from sketches."""
        context = self._context
        head = fit_head(
            context.embed_train(self._sketches(context.train.pixels)),
            context.train.label,
            protocol=context.protocol,
            role="disease",
            rng=context.rng(),
        )
        return context.result(head.score(context.embed_test(self._sketches(context.test_pixels))))

    def _sketches(self, pixels: Pixels) -> Pixels:
        """The sketches of images; all channels of an image get the same grey sketch."""
        drawn = np.empty_like(pixels)
        for place, image in enumerate(pixels):
            sketch = np.asarray(self._draw(image.mean(axis=0, dtype=np.float32) / 255))
            if sketch.shape != image.shape[1:] or not ((sketch >= 0) & (sketch <= 1)).all():
                raise ConfigError(
                    f"method.sketch.sketcher made {sketch.shape} of an image of {image.shape[1:]}, or "
                    "numbers outside of [0, 1]; it must return one value in [0, 1] a pixel"
                )
            drawn[place] = np.clip(np.rint(255 * sketch), 0, 255).astype(np.uint8)
        return drawn


def _sketcher(parameters: SketchParameters) -> Sketcher:
    if parameters.sketcher == "xdog":
        return lambda image: xdog(image, parameters)
    module, _, name = parameters.sketcher.partition(":")
    with plugin_code():
        try:
            function: Any = getattr(import_module(module), name)
        except (ImportError, AttributeError, TypeError, ValueError) as error:
            raise ConfigError(
                f"method.sketch.sketcher is {parameters.sketcher!r}, but must be xdog or an importable "
                f"package.module:function ({type(error).__name__}: {error})"
            ) from error
    if not callable(function):
        raise ConfigError(
            f"method.sketch.sketcher is {parameters.sketcher!r}, which is no function"
        )
    sketcher: Sketcher = function
    return sketcher
