"""Local encoders: chunking, precision, channels, memory, gradients."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from importlib.resources import as_file, files
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from zobench_encoders.local import Backbone, LocalEncoder, LocalParameters
from zobench_encoders.measuring import Choice, fastest
from zobench_encoders.precision import require_representable
from zobench_encoders.timm_models import TimmParameters, timm_model
from zobench_encoders.vit_mae import VitMaeParameters, bundled_trunk, vit_mae

from zobench.contracts.encoder import EncoderRequest
from zobench.errors import ConfigError, EncoderError
from zobench.files.json_files import read_json, write_json


def request(tmp_path: Path, name: str = "vit-mae", argument: str = "") -> EncoderRequest:
    return EncoderRequest(name, argument, "cpu", "fp32", tmp_path)


def films(count: int, channels: int = 1, size: int = 224) -> Tensor:
    return torch.rand(count, channels, size, size, generator=torch.Generator().manual_seed(0))


def test_any_chunking_gives_the_same_embeddings_within_the_stated_tolerance(tmp_path: Path) -> None:
    images = films(21)
    found = [
        vit_mae(request(tmp_path), VitMaeParameters(chunk=chunk)).embed(images)
        for chunk in (1, 4, 16, 64)
    ]
    assert (found[0].abs() < 1).float().mean() > 0.2  # clamped values always agree
    for other in found[1:]:
        torch.testing.assert_close(other, found[0], rtol=1e-5, atol=1e-5)
    none = vit_mae(request(tmp_path), VitMaeParameters(chunk=4)).embed(films(0))
    assert none.shape == (0, found[0].shape[1])


def test_vit_mae_is_one_channel_and_its_numbers_end(tmp_path: Path) -> None:
    encoder = vit_mae(request(tmp_path), VitMaeParameters(chunk=8))
    assert encoder.spec.image_shape == (1, 224, 224)
    assert encoder.spec.differentiable
    z = encoder.embed(films(3))
    assert tuple(z.shape) == (3, encoder.spec.embedding_dim) == (3, 176)
    assert z.min() == -1
    assert z.max() == 1


def test_weights_of_ones_own_are_told_apart_by_their_digest(tmp_path: Path) -> None:
    bundled = vit_mae(request(tmp_path), VitMaeParameters(chunk=8))
    with as_file(files("zobench_encoders") / "weights" / "vit-mae.safetensors") as path:
        state = load_file(path)
    name, tensor = next((name, each) for name, each in state.items() if each.ndim == 2)
    save_file({**state, name: tensor * 1.5}, tmp_path / "own.safetensors")
    save_file(state, tmp_path / "same.safetensors")

    def with_weights(name: str) -> LocalEncoder:
        parameters = VitMaeParameters(weights=str(tmp_path / name), chunk=8)
        return vit_mae(request(tmp_path), parameters)

    assert with_weights("same.safetensors").spec.digest == bundled.spec.digest
    assert with_weights("own.safetensors").spec.digest != bundled.spec.digest
    with pytest.raises(ConfigError, match="is not a file"):
        with_weights("none.safetensors")
    save_file({"x": tensor}, tmp_path / "foreign.safetensors")
    with pytest.raises(ConfigError, match="which this model needs"):
        with_weights("foreign.safetensors")


def test_a_chunk_is_measured_once_and_remembered(tmp_path: Path) -> None:
    first = vit_mae(request(tmp_path), VitMaeParameters())
    known = read_json(tmp_path / "forward.json")
    settings = first.spec.settings
    assert list(known.values()) == [{"path": settings["path"], "chunk": settings["chunk"]}]
    write_json(tmp_path / "forward.json", {key: {"path": "eager", "chunk": 5} for key in known})
    again = vit_mae(request(tmp_path), VitMaeParameters()).spec.settings
    assert (again["path"], again["chunk"]) == ("eager", 5)
    write_json(tmp_path / "forward.json", {key: {"path": "none", "chunk": 0} for key in known})
    assert vit_mae(request(tmp_path), VitMaeParameters()).spec.settings["chunk"] > 1


def test_of_two_that_start_at_once_one_measures_and_both_use_it(tmp_path: Path) -> None:
    asked: list[int] = []

    def images(count: int) -> Tensor:
        asked.append(count)
        return films(count, size=4)

    def size(_: int) -> Choice:
        paths = {"eager": torch.Tensor.clone}
        return fastest("test", torch.device("cpu"), images, paths, tmp_path)

    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(size, range(2))
    assert first == second
    assert asked == sorted(set(asked))


def test_the_first_path_is_measured_again_before_another_one_is_taken(tmp_path: Path) -> None:
    """Another process slows the first path, and ends when the second one is measured."""
    busy = True

    def first(images: Tensor) -> Tensor:
        time.sleep(0.02 if busy else 0.0)  # as slow as if it shared the processor
        return images

    def second(images: Tensor) -> Tensor:
        nonlocal busy
        busy = False
        time.sleep(0.005)
        return images

    paths = {"first": first, "second": second}
    found = fastest("test", torch.device("cpu"), lambda n: films(n, size=4), paths, tmp_path)
    assert found.path == "first"


def test_a_cache_that_cannot_be_written_only_forgets(tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file")
    ask = replace(request(tmp_path), cache=tmp_path / "cache")
    assert vit_mae(ask, VitMaeParameters()).spec.settings["chunk"] > 1


def test_gradients_flow_to_the_images_through_several_chunks(tmp_path: Path) -> None:
    encoder = vit_mae(request(tmp_path), VitMaeParameters(chunk=2))
    images = films(5).requires_grad_()
    encoder.embed(images).sum().backward()
    assert images.grad is not None
    assert (images.grad.flatten(1).norm(dim=1) > 0).all()


def backbone(module: nn.Module, channels: int = 1) -> Backbone:
    mean = tuple(0.0 for _ in range(channels))
    std = tuple(1.0 for _ in range(channels))
    return Backbone(module, (channels, 4, 4), mean, std, "test")


class Hungry(nn.Module):
    """A model that runs out of memory for more than three images, like a small GPU."""

    limit = 3

    def forward(self, images: Tensor) -> Tensor:
        if len(images) > self.limit:
            raise torch.OutOfMemoryError("test")
        return images.flatten(1)


def test_out_of_memory_halves_the_chunk_and_goes_on(tmp_path: Path) -> None:
    encoder = LocalEncoder(backbone(Hungry()), request(tmp_path), LocalParameters(chunk=16))
    images = films(20, size=4)
    torch.testing.assert_close(encoder.embed(images), images.flatten(1))


def test_memory_for_not_even_one_image_is_an_error_that_says_so(tmp_path: Path) -> None:
    module = Hungry()
    encoder = LocalEncoder(backbone(module), request(tmp_path), LocalParameters(chunk=4))
    module.limit = 0
    with pytest.raises(EncoderError, match="not enough memory on cpu for one image"):
        encoder.embed(films(2, size=4))


def test_other_errors_are_not_taken_for_memory(tmp_path: Path) -> None:
    class Broken(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            if len(images) > 1:
                raise RuntimeError("something else")
            return images.flatten(1)

    encoder = LocalEncoder(backbone(Broken()), request(tmp_path), LocalParameters(chunk=4))
    with pytest.raises(RuntimeError, match="something else"):
        encoder.embed(films(2, size=4))


def test_one_channel_films_are_repeated_for_models_with_three(tmp_path: Path) -> None:
    encoder = LocalEncoder(
        backbone(nn.Flatten(), channels=3), request(tmp_path), LocalParameters(chunk=4)
    )
    grey = films(2, size=4)
    assert torch.equal(encoder.embed(grey), encoder.embed(grey.repeat(1, 3, 1, 1)))


def test_a_wrong_image_shape_is_an_error(tmp_path: Path) -> None:
    encoder = LocalEncoder(backbone(nn.Flatten()), request(tmp_path), LocalParameters(chunk=4))
    with pytest.raises(EncoderError, match="takes images of shape"):
        encoder.embed(films(1, size=5))


@pytest.mark.skipif(torch.cpu._is_avx512_bf16_supported(), reason="this CPU has bf16")
def test_bf16_is_refused_where_it_would_only_be_emulated(tmp_path: Path) -> None:
    ask = EncoderRequest("vit-mae", "", "cpu", "bf16", tmp_path)
    with pytest.raises(ConfigError, match="no bf16 arithmetic"):
        vit_mae(ask, VitMaeParameters())


def test_auto_is_fp32_on_a_cpu(tmp_path: Path) -> None:
    ask = EncoderRequest("vit-mae", "", "cpu", "auto", tmp_path)
    assert vit_mae(ask, VitMaeParameters(chunk=4)).spec.settings["precision"] == "fp32"


@pytest.mark.parametrize(
    ("name", "options", "shape"),
    [
        ("vit_tiny_patch16_224", {}, (3, 224, 224)),
        ("vit_tiny_patch16_224", {"size": 96, "channels": 1}, (1, 96, 96)),
        ("resnet10t", {"size": 64, "channels": 1}, (1, 64, 64)),
    ],
)
def test_timm_models_take_any_size_and_channel_count(
    tmp_path: Path, name: str, options: dict[str, int], shape: tuple[int, int, int]
) -> None:
    encoder = timm_model(
        request(tmp_path, f"timm:{name}", name), TimmParameters(chunk=2, **options)
    )
    assert encoder.spec.image_shape == shape
    assert "RANDOM weights" in encoder.spec.notes[0]
    answer = encoder.embed(films(3, size=shape[1]))
    assert tuple(answer.shape) == (3, encoder.spec.embedding_dim)


def test_random_weights_follow_their_seed_and_leave_torchs_generator_alone(tmp_path: Path) -> None:
    ask = request(tmp_path, "timm:resnet10t", "resnet10t")
    state = torch.get_rng_state()
    digests = [
        timm_model(ask, TimmParameters(seed=seed, size=32, chunk=1)).spec.digest
        for seed in (0, 0, 1)
    ]
    assert digests[0] == digests[1] != digests[2]
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize(
    ("weight", "dtype"), [(3.4e38, torch.bfloat16), (7e4, torch.float16), (1e-9, torch.float16)]
)
def test_a_weight_that_16_bits_cannot_hold_is_an_error(weight: float, dtype: torch.dtype) -> None:
    layer = nn.Linear(2, 2)
    require_representable(layer, dtype, "mine")
    with torch.no_grad():
        layer.weight[0, 1] = weight
    require_representable(layer, torch.float32, "mine")
    with pytest.raises(EncoderError, match=r"mine: weights in 'weight' become 0 or infinite in"):
        require_representable(layer, dtype, "mine")


def test_plain_is_a_linear_layer_on_the_tokens_of_the_same_trunk(tmp_path: Path) -> None:
    encoder = vit_mae(request(tmp_path, "vit-mae:plain", "plain"), VitMaeParameters(chunk=8))
    images = films(3)
    with as_file(files("zobench_encoders") / "weights") as folder:
        layer = load_file(folder / "vit-mae-plain.safetensors")
    with torch.inference_mode():
        tokens = bundled_trunk().eval().tokens((images - 0.55) / 0.25)
        wanted = tokens @ layer["weight"].T + layer["bias"]
        assert torch.allclose(encoder.embed(images), wanted, rtol=1e-4, atol=1e-4)
    assert encoder.spec.digest != vit_mae(request(tmp_path), VitMaeParameters(chunk=8)).spec.digest
    with pytest.raises(ConfigError, match="has a last layer for the bundled trunk only"):
        vit_mae(request(tmp_path, "vit-mae:plain", "plain"), VitMaeParameters(weights="mine.pth"))
