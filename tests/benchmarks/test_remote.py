"""Images per second of a remote encoder, relative to the same encoder in this process."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from served import served

from zobench.contracts.encoder import Encoder, EncoderRequest
from zobench.registry.discovery import load_registry

IMAGES = 1024
ROUNDS = 5


def make(name: str, cache: Path, **settings: Any) -> Encoder:
    offer, argument = load_registry().find("encoders", name)
    request = EncoderRequest(name, argument, "auto", "auto", cache)
    encoder: Encoder = offer.plugin.make(request, settings, "encoder")
    return encoder


def seconds(encoder: Encoder, images: torch.Tensor) -> float:
    started = time.perf_counter()
    with torch.inference_mode():
        for part in images.split(encoder.spec.block):
            encoder.embed(part)
    return time.perf_counter() - started


@contextmanager
def rivals(cache: Path, chunk: int) -> Iterator[dict[str, Encoder]]:
    """The local encoder, and three connections to servers with that encoder; equal chunk sizes."""
    settings = ("--set", f"encoder.chunk={chunk}")
    with (
        served(*settings, encoder="vit-mae") as near,
        served(*settings, "--latency", "0.05", encoder="vit-mae") as far,
    ):
        found = {
            "here": make("vit-mae", cache, chunk=chunk),
            "OIP binary": make("http:oip", cache, url=near.url, wire="binary", chunk=chunk),
            "PNG": make("http:openai", cache, url=f"{near.root}/v1", model="vit-mae", chunk=chunk),
            "OIP binary, 50 ms, 8 connections": make(
                "http:oip", cache, url=far.url, wire="binary", chunk=chunk, connections=8
            ),
        }
        try:
            yield found
        finally:
            for encoder in found.values():
                encoder.close()


@pytest.mark.parametrize("chunk", [32])
def test_the_way_to_a_server(benchmark: Any, tmp_path: Path, chunk: int) -> None:
    images = torch.rand(IMAGES, 1, 224, 224, generator=torch.Generator().manual_seed(0))
    with rivals(tmp_path, chunk) as encoders:
        taken: dict[str, list[float]] = {name: [] for name in encoders}

        def one_round() -> None:
            for name, encoder in encoders.items():  # alternates, as machine speed changes
                taken[name].append(seconds(encoder, images))
                if hasattr(encoder, "account"):
                    encoder.account.settle()

        benchmark.pedantic(one_round, rounds=ROUNDS, warmup_rounds=1)
    for name, rounds in taken.items():
        ratios = sorted(here / each for here, each in zip(taken["here"], rounds, strict=True))
        rate, middle = IMAGES / min(rounds), ratios[len(ratios) // 2]
        print(
            f"\n{name:<34} {rate:6.0f} images/s at best, {middle:.2f} of the encoder here", end=""
        )
        benchmark.extra_info[name] = middle
    print()
