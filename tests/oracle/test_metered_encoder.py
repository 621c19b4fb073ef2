"""The encoder that counts: its time, and answers that break its contract."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from asked import BATCH, ask, make_oracle, points
from tiny import TinyEncoder
from torch import Tensor

from zobench.contracts.dataset import Pixels, Rows
from zobench.contracts.optimizer import Ask
from zobench.errors import EncoderError
from zobench.oracle.evaluator import POINTS


class Adding(TinyEncoder):
    """Adds edits itself, as an encoder on a GPU does."""

    def embed_edited(self, pixels: Pixels, rows: Rows, edits: Tensor, owner: Rows) -> Tensor:
        return self.embed(torch.from_numpy(pixels[rows]) / 255.0 + edits[torch.from_numpy(owner)])


@pytest.mark.parametrize("kind", [TinyEncoder, Adding])
@pytest.mark.parametrize("broken", [False, True])
def test_what_is_done_meanwhile_comes_once_after_all_points_and_is_no_encoder_time(
    monkeypatch: pytest.MonkeyPatch, kind: type[TinyEncoder], broken: bool
) -> None:
    clock, seen = [0.0], list[tuple[int, bool]]()
    monkeypatch.setattr("time.perf_counter", lambda: clock[0])

    encoder = kind(block=BATCH)
    plain = encoder.embed

    def embed(images: Tensor) -> Tensor:
        clock[0] += 1.0
        return plain(images) * (torch.nan if broken else 1.0)

    monkeypatch.setattr(encoder, "embed", embed)
    oracle, count = make_oracle(encoder=encoder), 1 if broken else 2 * POINTS
    asked = Ask(points(count), np.arange(count))
    wanted = make_oracle().query(asked).values

    def meanwhile() -> None:
        clock[0] += 100.0
        asked.points.zero_()
        seen.append((sum(encoder.calls), torch.is_inference_mode_enabled()))

    if broken:
        with pytest.raises(EncoderError, match="answered NaN"):
            oracle.query(asked, meanwhile)
        assert len(seen) == (kind is Adding)  # the answer is checked once it is waited for
        return
    torch.testing.assert_close(oracle.query(asked, meanwhile).values, wanted)
    assert seen == [(count * BATCH, False)]
    assert oracle.evaluator.encoder.seconds == len(encoder.calls)


def test_nan_from_the_encoder_names_the_encoder_and_the_image() -> None:
    class Broken(TinyEncoder):
        def embed(self, images: Tensor) -> Tensor:
            answer = super().embed(images)
            answer[2] = torch.nan
            return answer

    with pytest.raises(EncoderError, match=r"encoder tiny answered NaN .* for 1 of .* number 2"):
        make_oracle(encoder=Broken()).query(ask(1))


def test_a_wrong_dimension_names_what_was_declared() -> None:
    class Narrow(TinyEncoder):
        def embed(self, images: Tensor) -> Tensor:
            return super().embed(images)[:, :-1]

    with pytest.raises(EncoderError, match=r"shape \(5, 5\).*embedding_dim=6"):
        make_oracle(encoder=Narrow()).query(ask(1))
