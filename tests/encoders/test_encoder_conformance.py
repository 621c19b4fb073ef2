"""Every encoder in the registry passes the conformance suite of encoders."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from served import served
from small_models import save_onnx, save_open_clip, save_transformers, save_xrv
from tiny import tiny_plugin

from zobench.registry.discovery import load_registry
from zobench.testing import EncoderConformance
from zobench.testing.checking import requirements

STACK = ExitStack()
NAMES = sorted(load_registry().offers["encoders"])


@cache
def folder() -> Path:
    """A folder for the models that this module saves."""
    return Path(STACK.enter_context(TemporaryDirectory()))


@cache
def service() -> str:
    """URL of a server that starts at the first call and stops after the tests of this module."""
    STACK.enter_context(tiny_plugin())
    return STACK.enter_context(served()).url


Example = tuple[str, Mapping[str, object]]

EXAMPLES: Mapping[str, Callable[[], Example]] = {
    "vit-mae": lambda: ("vit-mae:plain", {"chunk": 3}),
    "dinov2-s14": lambda: ("dinov2-s14", {"chunk": 3}),
    "efficientnet-lite0": lambda: ("efficientnet-lite0", {"chunk": 3}),
    "timm": lambda: ("timm:test_vit", {"chunk": 3}),
    "hf": lambda: (f"hf:{save_transformers('siglip', folder() / 'hf')}", {"chunk": 3}),
    "open_clip": lambda: (f"open_clip:{save_open_clip(folder() / 'clip')}", {"chunk": 3}),
    "onnx": lambda: (f"onnx:{save_onnx(folder() / 'small.onnx')}", {"output": "mean"}),
    "xrv": lambda: (
        "xrv:densenet121-res224-nih",
        {"weights": str(save_xrv(folder() / "xrv.pt")), "size": 64, "chunk": 3},
    ),
    "http": lambda: ("http:oip", {"url": service()}),
}
"""A small example of each registered encoder; an encoder without an example fails a test.

Most are told the chunk, since measuring it takes longer than all checks; ``onnx`` measures it.
"""


@cache
def suite(name: str) -> EncoderConformance:
    example, overrides = EXAMPLES[name]()
    where = {"device": "auto", "precision": "auto"} if name == "http" else {}
    made = type(
        "Suite", (EncoderConformance,), {"name": example, "overrides": overrides, **where}
    )()
    STACK.callback(made.teardown_class)
    return made


@pytest.fixture(scope="module", autouse=True)
def _services() -> Iterator[None]:
    with STACK:
        yield


def test_each_has_an_example_here() -> None:
    assert set(EXAMPLES) == set(NAMES)


@pytest.mark.parametrize("requirement", requirements(EncoderConformance))
@pytest.mark.parametrize("name", NAMES)
def test_each_meets(name: str, requirement: str) -> None:
    getattr(suite(name), requirement)()
