"""Runs whose optimizer borrows an encoder: its images are counted apart."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny import SIZES, StopAfter, TinyEncoder, run, tiny_registry
from torch import Tensor

import zobench
from zobench.contracts.encoder import EncoderSpec
from zobench.errors import ConfigError, Interrupted
from zobench.oracle.ledger import Ledger
from zobench.oracle.local_images import LocalImages
from zobench.records import layout
from zobench.records.identity import identity
from zobench.registry.discovery import Offer, Registry
from zobench.registry.plugin import Plugin
from zobench.runs.lifecycle import resume_run, start_run
from zobench.runs.replay import replay_run
from zobench.runs.verify import verify_run

NAME = "surrogate:near"
SETTINGS: dict[str, Any] = {"optimizer": NAME, "overrides": SIZES, "budget": 600}


def registry(encoder: Any = None, seed: int = 3, **changes: Any) -> Registry:
    """The tiny registry with an encoder ``near`` that is like the tiny one, or has other weights."""

    def near(request: object) -> TinyEncoder:
        encoder = TinyEncoder(name="near", seed=seed)
        encoder.spec = replace(encoder.spec, digest=f"near {seed}")
        encoder.spec = replace(encoder.spec, **changes)
        return encoder

    offers = dict(tiny_registry(encoder).offers)
    rented = Plugin(near, "test", outlook="somewhere:outlook")
    offers["encoders"] = {
        **offers["encoders"],
        "near": Offer("near", Plugin(near, "test"), "tests"),
        "rented": Offer("rented", rented, "tests"),
    }
    return Registry(offers)


def test_its_images_are_counted_apart_from_queries(tmp_path: Path) -> None:
    found = run(tmp_path, registry(), **SETTINGS)
    ledger = found.ledger
    # the clean images once, then 20 steps on the same images with and without gradient
    assert ledger["local"]["forward"] == 120 + 2 * ledger["local"]["backward"]
    assert ledger["local"]["backward"] in range(20 * 8, 20 * 64 + 1, 20)
    assert ledger["optimize"]["queries"] <= 600
    assert ledger["optimize"]["backward"] == 0
    assert ledger["local"]["queries"] == 0
    assert found.manifest.local is not None
    assert found.manifest.local.name == "near"
    assert found.as_dict()["ledger"]["local"] == ledger["local"]
    assert "local" not in run(tmp_path, registry(), optimizer="random", overrides=SIZES).ledger


@pytest.mark.parametrize("queries", [1, 300])
def test_an_interrupted_run_ends_as_if_nothing_had_happened(tmp_path: Path, queries: int) -> None:
    whole = run(tmp_path / "whole", registry(), **SETTINGS)
    with pytest.raises(Interrupted):
        run(tmp_path / "cut", registry(), listener=StopAfter(queries), **SETTINGS)
    (folder,) = (tmp_path / "cut").iterdir()
    assert zobench.show(folder).ledger["local"] == whole.ledger["local"]
    found = zobench.resume(folder, registry=registry())
    for name in (layout.TRACE, "edit.npy"):
        assert (folder / name).read_bytes() == (whole.run_dir / name).read_bytes()
    assert found.ledger == whole.ledger


def test_a_longer_run_is_extended_verified_and_replayed(tmp_path: Path) -> None:
    whole = run(tmp_path / "whole", registry(), **{**SETTINGS, "budget": 2400})
    ends = [row["queries"] for row in whole.trace]  # where a whole batch ends
    config = whole.config.changed(budget=next(each for each in ends if 800 < each < 2000))
    short = start_run(config, tmp_path / "short", registry=registry(), record=True)
    found = resume_run(short.run_dir, registry=registry(), budget=2400)
    trace = layout.TRACE
    assert (found.run_dir / trace).read_bytes() == (whole.run_dir / trace).read_bytes()
    assert found.ledger["local"] == whole.ledger["local"]
    assert verify_run(found.run_dir, 2400, registry=registry()).holds
    assert replay_run(found.run_dir, registry=registry()).same_edit
    with pytest.raises(ConfigError, match="the local encoder is not what it was"):
        replay_run(found.run_dir, registry=registry(seed=4))


def test_a_wrapper_passes_it_on(tmp_path: Path) -> None:
    found = run(tmp_path, registry(), **{**SETTINGS, "optimizer": f"best-of:{NAME}", "budget": 900})
    assert found.ledger["local"]["forward"] > 0
    assert found.manifest.plugins["optimizer.inner.local"] == "tests"


def test_other_weights_are_another_run_and_do_not_go_on_with_this_one(tmp_path: Path) -> None:
    with pytest.raises(Interrupted):
        run(tmp_path, registry(), listener=StopAfter(200), **SETTINGS)
    (folder,) = tmp_path.iterdir()
    with pytest.raises(ConfigError, match="the local encoder is not what it was"):
        zobench.resume(folder, registry=registry(seed=4))
    with pytest.raises(ConfigError, match="the local encoder is not what it was"):
        zobench.resume(folder, registry=registry(settings={"precision": "bf16"}))
    begun = zobench.show(folder).manifest
    assert begun.local is not None
    other = replace(begun.local, digest="other")
    assert identity(begun) != identity(begun.changed(local=other))


@pytest.mark.parametrize(
    ("name", "changes", "message"),
    [
        ("surrogate:naer", {}, "did you mean 'near'"),
        (
            "surrogate:rented",
            {},
            "rented is a service, but surrogate needs an encoder on this machine",
        ),
        (NAME, {"differentiable": False}, "gradients on this machine, .* name another one"),
        (NAME, {"digest": "tiny"}, "would have the gradients of tiny itself"),
    ],
)
def test_what_cannot_be_borrowed_is_refused_before_an_image_is_sent(
    tmp_path: Path, name: str, changes: dict[str, Any], message: str
) -> None:
    asked = TinyEncoder()
    offered = registry(encoder=lambda request: asked, **changes)
    with pytest.raises(ConfigError, match=message):
        run(tmp_path, offered, **{**SETTINGS, "optimizer": name})
    assert not asked.calls
    assert not list(tmp_path.iterdir())


def test_images_are_fitted_to_its_size_and_channels() -> None:
    class Wide:
        spec = EncoderSpec("wide", (3, 16, 16), 3, True, True, "wide", 8)
        seen: Tensor

        def embed(self, images: Tensor) -> Tensor:
            self.seen = images
            return images.mean((2, 3)) * torch.tensor([1.0, 2.0, 3.0])

        def close(self) -> None:
            pass

    encoder, ledger = Wide(), Ledger()
    images = torch.rand(2, 1, 8, 8, generator=torch.Generator().manual_seed(0)).requires_grad_()
    found = LocalImages(encoder, ledger)(images)
    assert encoder.seen.shape == (2, 3, 16, 16)
    assert torch.equal(encoder.seen[:, 0], encoder.seen[:, 2])
    (slope,) = torch.autograd.grad(found.sum(), images)
    # each pixel of 64 has its share of the three means
    torch.testing.assert_close(slope.sum((1, 2, 3)), torch.tensor([6.0, 6.0]))
    plain = LocalImages(encoder, ledger)(images.detach())
    torch.testing.assert_close(plain, found.detach())
    assert not plain.is_inference()
    assert (ledger.local.forward, ledger.local.backward) == (4, 2)
    assert ledger.optimize.queries == 0
