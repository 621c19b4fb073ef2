"""``zobench plugin check`` finds faults of encoders and datasets, and leaves no encoder open."""

from __future__ import annotations

from pathlib import Path

from tiny import TinyDataset, TinyEncoder, tiny_registry
from torch import Tensor

from zobench.contracts.encoder import Encoder, EncoderRequest
from zobench.errors import ConfigError, EncoderError
from zobench.registry.discovery import Offer, Registry
from zobench.registry.plugin import Plugin
from zobench.testing.checking import Finding, check


class Counted:
    """Makes tiny encoders, and counts those that are open."""

    def __init__(self, fault: str = "") -> None:
        self.made = self.open = 0
        self.fault = fault
        self.registry = tiny_registry(encoder=self.make)

    def make(self, request: EncoderRequest) -> Encoder:
        self.made += 1
        self.open += 1
        counted = self

        class Closing(TinyEncoder):
            def embed(self, images: Tensor) -> Tensor:
                if images.shape[1:] != self.spec.image_shape:
                    raise EncoderError(f"images of shape {tuple(images.shape)} do not fit")
                return super().embed(images)

            def close(self) -> None:
                counted.open -= 1
                if counted.fault:
                    raise RuntimeError(counted.fault)

        return Closing()


def test_an_encoder_is_made_once_and_twice_more_to_compare_two() -> None:
    counted = Counted()
    faults = [each for each in check("tiny", counted.registry, "encoders") if each.fault]
    assert not faults
    assert counted.made == 3
    assert counted.open == 0


def test_an_encoder_that_fails_to_close_is_a_finding() -> None:
    counted = Counted("the socket is gone")
    *_, last = check("tiny", counted.registry, "encoders")
    assert last.what == "it closes without an error"
    assert "the socket is gone" in last.fault


def refuse_all(disease: str, root: Path | None, argument: str, parameters: object) -> None:
    raise ConfigError(f"disease is {disease!r}, which is no good")


def forgotten_arguments(disease: str) -> None:
    return None


def with_precheck(name: str) -> Registry:
    """The tiny dataset with a precheck of this module."""
    registry = tiny_registry()
    plugin = Plugin(lambda request: TinyDataset(), "test", precheck=f"{__name__}:{name}")
    datasets = {**registry.offers["datasets"], "tiny": Offer("tiny", plugin, "tests")}
    return Registry({**registry.offers, "datasets": datasets})


def prechecked(name: str) -> Finding:
    found = check("tiny", with_precheck(name), "datasets", {"disease": "spots", "size": 8})
    return next(each for each in found if "precheck" in each.what)


def test_a_precheck_that_refuses_what_the_dataset_takes_is_found() -> None:
    assert "disease is 'spots', which is no good" in prechecked("refuse_all").fault
    assert "positional argument" in prechecked("forgotten_arguments").fault
