"""The fused path gives the embeddings of the network's own code, and is refused where it does not."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from zobench_encoders.fused.gpu_layers import CUDA
from zobench_encoders.fused.layers import Layers
from zobench_encoders.fused.network import FusedNetwork, agreeing
from zobench_encoders.fused.packed import ONEDNN
from zobench_encoders.fused.transformers import FusedBlock, FusedLastBlock, PatchProducts
from zobench_encoders.local import TOLERANCE, Backbone, LocalEncoder, LocalParameters
from zobench_encoders.resident import ResidentPixels
from zobench_encoders.vision_transformer import VisionTransformer
from zobench_encoders.vit_mae import VitMaeParameters, vit_mae

from zobench.contracts.encoder import EncoderRequest
from zobench.errors import ConfigError, EncoderError

MEAN, STD = (0.5, 0.4, 0.3), (0.2, 0.3, 0.4)


def request(cache: Path, **options: Any) -> EncoderRequest:
    return replace(EncoderRequest("test", "", "cpu", "fp32", cache), **options)


def noise(count: int, side: int = 32, channels: int = 3) -> Tensor:
    return torch.rand(count, channels, side, side, generator=torch.Generator().manual_seed(count))


def timm_network(name: str, **options: Any) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network: nn.Module = timm.create_model(name, num_classes=0, **options)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):  # fresh ones would change nothing
            assert module.running_mean is not None
            assert module.running_var is not None
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 2.0)
    return network.eval().requires_grad_(False)


class Plain(nn.Module):
    """Convolutions as torchvision and others write them: functions, padding layers, shared results."""

    def __init__(self) -> None:
        super().__init__()
        self.pad, self.uneven = nn.ZeroPad2d(1), nn.ZeroPad2d((0, 1, 0, 1))
        self.first, self.norm = nn.Conv2d(3, 8, 3, bias=False), nn.BatchNorm2d(8)
        self.second = nn.Conv2d(8, 8, 3, stride=2, groups=8)
        self.weight = nn.Parameter(torch.randn(4, 8, 1, 1))
        self.norm.running_mean = torch.randn(8)

    def forward(self, images: Tensor) -> Tensor:
        features = F.relu(self.norm(self.first(self.pad(images))))
        shared = self.second(self.uneven(features))
        last = F.conv2d(shared, self.weight, stride=1)
        return torch.cat([shared.mean((2, 3)), F.relu6(last).mean((2, 3))], dim=1)


NETWORKS = {
    "ViT with class token": lambda: timm_network("vit_tiny_patch16_224", img_size=32),
    "ViT with layer scales": lambda: timm_network(
        "vit_small_patch14_dinov2", img_size=28, depth=2, init_values=0.3
    ),
    "ViT with normalised queries": lambda: timm_network(
        "vit_tiny_patch16_224", img_size=32, depth=2, qk_norm=True, qkv_bias=False
    ),
    "ViT with registers": lambda: timm_network(
        "vit_tiny_patch16_224", img_size=32, depth=2, reg_tokens=2, qkv_bias=False
    ),
    "ViT with mean": lambda: timm_network(
        "vit_tiny_patch16_224", img_size=32, depth=2, global_pool="avg"
    ),
    "ViT of the bundled networks": lambda: VisionTransformer(
        channels=3, grid=2, side=16, width=48, depth=2, heads=4
    ),
    "ResNet": lambda: timm_network("resnet10t"),
    "EfficientNet": lambda: timm_network("efficientnet_lite0"),
    "RegNet": lambda: timm_network("regnetx_002"),
    "functions and padding": Plain,
}
LAYERS = {"oneDNN": ONEDNN, "CUDA": CUDA}


@pytest.mark.parametrize("layers", LAYERS.values(), ids=LAYERS)
@pytest.mark.parametrize("name", NETWORKS)
def test_a_rebuilt_network_gives_the_same_embeddings(name: str, layers: Layers) -> None:
    network = NETWORKS[name]().eval().requires_grad_(False)
    images = noise(5, 28 if "scales" in name else 32)
    mean, std = (torch.tensor(each).view(1, 3, 1, 1) for each in (MEAN, STD))
    wanted = network((images - mean) / std)
    before = {key: value.clone() for key, value in network.state_dict().items()}
    rebuilt = FusedNetwork(network, MEAN, STD, layers=layers)
    for _ in range(2):  # the sums are written over earlier results, which must not be weights
        found = rebuilt(images)
        assert float((found - wanted).abs().max()) <= 1e-5 * float(wanted.abs().max())
    grey = images[:, :1]
    repeated = network((grey - mean) / std)
    assert float((rebuilt(grey) - repeated).abs().max()) <= 1e-5 * float(repeated.abs().max())
    parts = (FusedBlock, PatchProducts) if name.startswith("ViT") else (layers.convolution,)
    for kind in parts:
        assert any(isinstance(each, kind) for each in rebuilt.modules()), kind
    assert all(torch.equal(before[key], each) for key, each in network.state_dict().items())


class AllTokens(nn.Module):
    """Reads every token of a network that would read its class token alone."""

    def __init__(self) -> None:
        super().__init__()
        self.network: Any = NETWORKS["ViT with class token"]()

    def forward(self, images: Tensor) -> Tensor:
        tokens: Tensor = self.network.forward_features(images)
        return tokens.mean(1)


LAST = {
    "ViT with class token": True,
    "ViT with layer scales": True,
    "ViT with registers": True,
    "ViT with normalised queries": False,
    "ViT with mean": False,
}


@pytest.mark.parametrize("name", LAST)
def test_a_last_block_computes_one_token_where_the_network_reads_no_other(name: str) -> None:
    rebuilt = FusedNetwork(NETWORKS[name](), MEAN, STD)
    lasts = [each for each in rebuilt.modules() if isinstance(each, FusedLastBlock)]
    assert len(lasts) == LAST[name]


def test_a_network_within_another_computes_all_tokens() -> None:
    network = AllTokens().eval().requires_grad_(False)
    rebuilt = FusedNetwork(network, MEAN, STD)
    images = noise(3)
    mean, std = (torch.tensor(each).view(1, 3, 1, 1) for each in (MEAN, STD))
    wanted = network((images - mean) / std)
    assert float((rebuilt(images) - wanted).abs().max()) <= 1e-5 * float(wanted.abs().max())


@pytest.mark.parametrize("layers", LAYERS.values(), ids=LAYERS)
def test_pixels_and_edits_are_standardised_by_the_patch_weights(layers: Layers) -> None:
    network = NETWORKS["ViT with class token"]()
    rebuilt = FusedNetwork(network, MEAN, STD, layers=layers)
    levels = (noise(6, channels=1) * 255).to(torch.uint8)
    edits = noise(2, channels=1) - 0.5
    owner = torch.tensor([0, 0, 0, 1, 1, 1])
    tokens = rebuilt.tokens_of_edits(edits)
    assert tokens is not None
    mean, std = (torch.tensor(each).view(1, 3, 1, 1) for each in (MEAN, STD))
    wanted = network((levels / 255 + edits[owner] - mean) / std)
    found = rebuilt.edited(levels, tokens[owner])
    assert float((found - wanted).abs().max()) <= 1e-5 * float(wanted.abs().max())


class Looks(nn.Module):
    """A network that uses the weights of a layer instead of calling the layer."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(48, 4)

    def forward(self, images: Tensor) -> Tensor:
        return images.flatten(1) @ self.layer.weight.T


class Wrong(nn.Module):
    """A network with other results when it is called within one that holds a packed layer."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(48, 4)

    def forward(self, images: Tensor) -> Tensor:
        return self.layer(images.flatten(1)) * (1 if type(self.layer) is nn.Linear else 1.001)


class Keyword(nn.Module):
    """A network that calls its convolution with a keyword."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Conv2d(3, 4, 3)

    def forward(self, images: Tensor) -> Tensor:
        return self.layer(input=images).mean((2, 3))  # type: ignore[no-any-return]


class Strict(nn.Module):
    """A network that knows its layers by their class."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(48, 4)

    def forward(self, images: Tensor) -> Tensor:
        scale = {nn.Linear: 2.0}[type(self.layer)]
        return scale * self.layer(images.flatten(1))


@pytest.mark.parametrize("kind", [Looks, Wrong, Keyword, Strict, nn.Flatten])
def test_a_network_that_cannot_be_rebuilt_is_computed_by_its_own_code(
    tmp_path: Path, kind: type[nn.Module]
) -> None:
    module = kind().requires_grad_(False)
    assert agreeing(module, MEAN, STD, module, (3, 4, 4), TOLERANCE[torch.float32]) is None
    backbone = Backbone(module, (3, 4, 4), MEAN, STD, "test")
    encoder = LocalEncoder(backbone, request(tmp_path), LocalParameters(chunk=4))
    assert encoder.spec.settings["path"] == "eager"
    with pytest.raises(
        EncoderError, match=r"has no fused path on this machine.*encoder.path=eager"
    ):
        LocalEncoder(backbone, request(tmp_path), LocalParameters(chunk=4, path="fused"))


def test_gradients_come_from_the_networks_own_code(tmp_path: Path) -> None:
    eager, fused = (
        vit_mae(request(tmp_path), VitMaeParameters(chunk=4, path=path))
        for path in ("eager", "fused")
    )
    images = noise(3, 224, 1)
    slopes = []
    for encoder in (eager, fused):
        variable = images.clone().requires_grad_()
        slopes.append(torch.autograd.grad(encoder.embed(variable).sum(), variable)[0])
    assert torch.equal(*slopes)
    with torch.inference_mode():
        one, other = eager.embed(images), fused.embed(images)
    assert not torch.equal(one, other)  # else this compares one path with itself
    assert float((one - other).abs().max()) <= TOLERANCE[torch.float32] * float(one.abs().max())


def test_a_resumed_run_keeps_its_path(tmp_path: Path) -> None:
    def path(settings: dict[str, str | int]) -> str | int:
        ask = request(tmp_path, settings=settings)
        return vit_mae(ask, VitMaeParameters(path="auto")).spec.settings["path"]

    assert path({"chunk": 4, "path": "fused"}) == "fused"
    assert path({"chunk": 4, "path": "eager"}) == "eager"
    assert path({"chunk": 4}) == "eager"  # as version 0.1 wrote it


def test_an_unknown_path_names_those_there_are(tmp_path: Path) -> None:
    from zobench.registry.discovery import load_registry

    offer, _ = load_registry().find("encoders", "vit-mae")
    with pytest.raises(ConfigError, match=r"encoder.path is 'slow'.*auto, eager, fused, recorded"):
        offer.plugin.make(request(tmp_path), {"path": "slow"}, "encoder")


@pytest.mark.skipif(torch.cpu._is_avx512_bf16_supported() is False, reason="this CPU has no bf16")
def test_bf16_embeddings_agree_within_their_tolerance(tmp_path: Path) -> None:
    exact = vit_mae(request(tmp_path), VitMaeParameters(chunk=4))
    coarse = vit_mae(request(tmp_path, precision="bf16"), VitMaeParameters(chunk=4))
    assert coarse.spec.settings["precision"] == "bf16"
    with torch.inference_mode():
        one, other = (each.embed(noise(3, 224, 1)) for each in (exact, coarse))
    difference = float((one - other).abs().max()) / float(one.abs().max())
    assert 1e-5 < difference <= TOLERANCE[torch.bfloat16]


def test_resident_pixels_are_sent_once_and_in_parts_where_they_do_not_fit(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (6, 1, 4, 4), dtype=np.uint8)
    rows = np.array([5, 0, 5])
    store = ResidentPixels(torch.device("meta"))
    assert store.rows(pixels, rows).shape == (3, 1, 4, 4)
    first = store._resident(pixels)
    assert first is not None
    assert store._resident(pixels) is first
    assert store._resident(pixels.copy()) is not first

    monkeypatch.setattr(torch, "tensor", full)
    other = ResidentPixels(torch.device("meta"))
    assert other._resident(pixels) is None
    assert other.rows(pixels, rows).shape == (3, 1, 4, 4)


def test_encoders_of_other_libraries_do_not_load_timm() -> None:
    code = "import sys, zobench_encoders.local; print('timm' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


class Guarded(nn.Module):
    """A vision transformer behind code that takes nothing but tensors."""

    def __init__(self, *, unused: bool) -> None:
        super().__init__()
        self.network = timm_network("vit_tiny_patch16_224", img_size=32, depth=2)
        if unused:
            self.spare = timm.layers.PatchEmbed(32, 16, 3, 8)

    def forward(self, images: Tensor) -> Tensor:
        assert isinstance(images, Tensor)
        return self.network(images)  # type: ignore[no-any-return]


@pytest.mark.parametrize("unused", [False, True])
def test_a_network_that_takes_tensors_only_is_rebuilt_without_its_first_product(
    unused: bool,
) -> None:
    network = Guarded(unused=unused).eval().requires_grad_(False)
    mean, std = (torch.tensor(each).view(1, 3, 1, 1) for each in (MEAN, STD))

    def eager(images: Tensor) -> Tensor:
        return network((images.expand(-1, 3, -1, -1) - mean) / std)  # type: ignore[no-any-return]

    found = agreeing(network, MEAN, STD, eager, (3, 32, 32), TOLERANCE[torch.float32])
    assert found is not None
    assert found.tokens_of_edits(noise(1, channels=1)) is None


OWNERS = {
    "one for all": np.zeros(11, dtype=np.int64),
    "shared": np.arange(11) // 4,
    "one each": np.arange(11),
    "mixed": np.array([3, 0, 2, 2, 1, 0, 3, 3, 1, 2, 0]),
}


@pytest.mark.parametrize("path", ["eager", "fused"])
@pytest.mark.parametrize("owner", OWNERS.values(), ids=OWNERS)
@pytest.mark.parametrize("chunk", [3, 8])
def test_edited_pixels_are_embedded_like_edited_images(
    tmp_path: Path, path: str, owner: np.ndarray[Any, np.dtype[np.int64]], chunk: int
) -> None:
    """The last chunk is padded with 8 images a chunk."""
    encoder = vit_mae(request(tmp_path), VitMaeParameters(chunk=chunk, path=path))
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (20, 1, 224, 224), dtype=np.uint8)
    rows = rng.permutation(20)[:11]
    edits = torch.from_numpy(rng.normal(0, 0.2, (int(owner.max()) + 1, 1, 224, 224))).float()
    with torch.inference_mode():
        wanted = encoder.embed(torch.from_numpy(pixels[rows]) / 255 + edits[owner])
        found = encoder.embed_edited(pixels, rows, edits, owner)
    assert found.shape == wanted.shape
    assert float((found - wanted).abs().max()) <= 1e-5 * float(wanted.abs().max())


def full(*_: object, **__: object) -> Tensor:
    raise torch.OutOfMemoryError("test")


def test_a_network_that_memory_is_too_short_to_check_is_not_rebuilt(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(FusedNetwork, "forward", full)
    encoder = vit_mae(request(tmp_path), VitMaeParameters(chunk=4))
    assert encoder.spec.settings["path"] == "eager"
    with pytest.raises(EncoderError, match="or memory is too short to tell"):
        vit_mae(request(tmp_path), VitMaeParameters(chunk=4, path="fused"))


def test_edits_whose_tokens_do_not_fit_are_added_to_the_pixels(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoder = vit_mae(request(tmp_path), VitMaeParameters(chunk=4, path="fused"))
    pixels = np.random.default_rng(0).integers(0, 256, (4, 1, 224, 224), dtype=np.uint8)
    question = (pixels, np.arange(4), 0.1 * noise(1, 224, 1), np.zeros(4, dtype=np.int64))
    with torch.inference_mode():
        wanted = encoder.embed_edited(*question)
        monkeypatch.setattr(FusedNetwork, "tokens_of_edits", full)
        found = encoder.embed_edited(*question)
    assert not torch.equal(found, wanted)
    assert float((found - wanted).abs().max()) <= 1e-5 * float(wanted.abs().max())


def test_resident_pixels_give_way_to_a_network_that_needs_the_memory(tmp_path: Path) -> None:
    store = ResidentPixels(torch.device("meta"))
    arrays = [np.zeros((2, 1, 4, 4), dtype=np.uint8) for _ in range(3)]
    for each in arrays:
        store.rows(each, np.array([0]))
    assert [
        held is arrays[number] for number, (held, _) in enumerate(store._known.values(), 1)
    ] == [
        True,
        True,
    ]
    assert store.give_way()
    assert not store.give_way()
    assert store.rows(arrays[0], np.array([0])).shape == (1, 1, 4, 4)
    assert store._known == {}
