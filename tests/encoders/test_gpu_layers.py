"""The layers of a GPU, compared with PyTorch's own modules; on a GPU where there is one."""

from __future__ import annotations

from pathlib import Path

import pytest
import timm
import torch
from torch import Tensor, nn
from zobench_encoders.fused.gpu_layers import CUDA, GpuConvolution, GpuLinear
from zobench_encoders.fused.layers import Geometry, known_activation
from zobench_encoders.fused.network import FusedNetwork
from zobench_encoders.fused.transformers import PatchProducts
from zobench_encoders.local import TOLERANCE, Backbone, LocalEncoder, LocalParameters
from zobench_encoders.precision import reproducible_convolutions

from zobench.contracts.encoder import EncoderRequest

DEVICE = "cuda:0" if torch.cuda.is_available() else "cpu"
needs_gpu = pytest.mark.skipif(DEVICE == "cpu", reason="no CUDA device")

ACTIVATIONS = [
    nn.Identity(),
    nn.ReLU(),
    nn.ReLU6(),
    nn.Hardtanh(-0.5, 0.25),
    nn.SiLU(),
    nn.GELU(),
    nn.GELU(approximate="tanh"),
]


def difference(one: Tensor, other: Tensor) -> float:
    return float((one.float() - other.float()).abs().max() / other.float().abs().max())


@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("activation", ACTIVATIONS, ids=str)
@torch.inference_mode()
def test_a_linear_layer_with_an_activation(
    activation: nn.Module, bias: bool, dtype: torch.dtype
) -> None:
    plain = nn.Linear(24, 16, bias=bias).to(DEVICE, dtype)
    known = known_activation(activation)
    assert known is not None
    layer = GpuLinear(plain.weight, plain.bias, known)
    rows = torch.randn(2, 5, 24, device=DEVICE, dtype=dtype)
    before = rows.clone()
    assert difference(layer(rows), activation(plain(rows))) <= TOLERANCE[dtype] / 2
    assert torch.equal(rows, before)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("activation", ACTIVATIONS, ids=str)
@torch.inference_mode()
def test_a_convolution_with_an_activation(activation: nn.Module, bias: bool) -> None:
    plain = nn.Conv2d(6, 4, 3, stride=2, padding=(1, 2), dilation=2, groups=2, bias=bias)
    plain = plain.to(DEVICE)
    known = known_activation(activation)
    assert known is not None
    layer = GpuConvolution(plain.weight, plain.bias, Geometry((2, 2), (1, 2), (2, 2), 2), known)
    maps = torch.randn(3, 6, 12, 14, device=DEVICE).contiguous(memory_format=torch.channels_last)
    with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
        assert difference(layer(maps), activation(plain(maps))) <= 1e-5


@torch.inference_mode()
def test_pixels_are_centred_before_they_are_rounded_to_bfloat16() -> None:
    """Near 0.9, a step of bfloat16 is 0.004, nearly half of the deviation here."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        embedding = timm.layers.PatchEmbed(32, 16, 3, 24)
    mean, std = (0.9,) * 3, (0.01,) * 3
    images = 0.9 + 0.01 * torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    wanted = embedding((images - 0.9) / 0.01)
    coarse = PatchProducts(embedding.to(torch.bfloat16).proj, mean, std, CUDA)
    assert difference(coarse(images), wanted) <= 0.02


@torch.inference_mode()
def test_a_normalisation_is_folded_before_weights_are_rounded_to_bfloat16() -> None:
    generator = torch.Generator().manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 32, 3), nn.BatchNorm2d(32)).eval()
    norm = network[1]
    assert isinstance(norm, nn.BatchNorm2d)
    assert norm.running_var is not None
    norm.running_var.uniform_(0.5, 2.0, generator=generator)
    norm.weight.uniform_(0.5, 2.0, generator=generator)
    network.to(torch.bfloat16)
    scale = norm.weight.double() / (norm.running_var.double() + norm.eps).sqrt()
    wanted = (network[0].weight.double() * scale.view(-1, 1, 1, 1)).to(torch.bfloat16)
    rebuilt = FusedNetwork(network, (0.0,) * 3, (1.0,) * 3, layers=CUDA)
    (layer,) = (each for each in rebuilt.modules() if isinstance(each, GpuConvolution))
    assert float((layer._weight != wanted).float().mean()) < 0.01


def test_float32_stays_float32_on_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    for flag in ("allow_tf32", "deterministic"):
        monkeypatch.setattr(torch.backends.cudnn, flag, flag == "allow_tf32")
    reproducible_convolutions(torch.device("cpu"))
    assert torch.backends.cudnn.allow_tf32
    reproducible_convolutions(torch.device("cuda:0"))
    assert not torch.backends.cudnn.allow_tf32
    assert torch.backends.cudnn.deterministic
    torch.get_float32_matmul_precision()  # raises where its old and new settings were mixed


@needs_gpu
@pytest.mark.parametrize("path", ["eager", "fused"])
@pytest.mark.parametrize("name", ["vit_tiny_patch16_224", "resnet18", "efficientnet_lite0"])
def test_a_gpu_gives_the_embeddings_and_gradients_of_a_cpu(
    tmp_path: Path, name: str, path: str
) -> None:
    """In float32, no product is rounded to TF32, which would be off by a thousandth."""
    torch.manual_seed(0)
    module = timm.create_model(name, num_classes=0)
    backbone = Backbone(module, (3, 64, 64), (0.5,) * 3, (0.2,) * 3, name)
    if "vit" in name:
        backbone = Backbone(module, (3, 224, 224), (0.5,) * 3, (0.2,) * 3, name)
    images = torch.rand(4, *backbone.image_shape)
    weights = torch.randn(1, 4096)  # a plain sum would hardly change behind a layer norm
    found = []
    for device in ("cpu", DEVICE):
        request = EncoderRequest(name, "", device, "fp32", tmp_path)
        encoder = LocalEncoder(backbone, request, LocalParameters(chunk=4, path=path))
        assert encoder.spec.settings["path"] == path
        variable = images.clone().requires_grad_()
        answer = encoder.embed(variable).cpu()
        loss = (answer * weights[:, : answer.shape[1]]).sum()
        (slope,) = torch.autograd.grad(loss, variable)
        found.append((answer.detach(), slope))
        with torch.inference_mode():
            found[-1] += (encoder.embed(images).cpu(),)
        backbone.module.cpu()
    for one, other in zip(*found, strict=True):
        assert difference(one, other) <= 1e-4


@needs_gpu
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_the_same_batches_give_the_same_bits(tmp_path: Path, precision: str) -> None:
    """Gradients, too: a resumed run must not differ from one that was never stopped."""
    torch.manual_seed(0)
    backbone = Backbone(
        timm.create_model("vit_tiny_patch16_224", num_classes=0),
        (3, 224, 224),
        (0.5,) * 3,
        (0.2,) * 3,
        "tiny",
    )
    request = EncoderRequest("tiny", "", DEVICE, precision, tmp_path)
    images = torch.rand(16, 3, 224, 224)
    found = []
    for _ in range(3):
        encoder = LocalEncoder(backbone, request, LocalParameters(chunk=8))
        variable = images.clone().requires_grad_()
        (slope,) = torch.autograd.grad(encoder.embed(variable).square().sum(), variable)
        with torch.inference_mode():
            found.append((encoder.embed(images), slope))
    for values, slope in found[1:]:
        assert torch.equal(values, found[0][0])
        assert torch.equal(slope, found[0][1])
