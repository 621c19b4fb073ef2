"""``open_clip:`` against open_clip's own model and preprocessing."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import open_clip
import pytest
import torch
from PIL import Image
from small_models import films, make, save_open_clip

from zobench.errors import ConfigError, EncoderError


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_open_clip(tmp_path_factory.mktemp("hub") / "small")


def test_embeddings_and_gradients_are_those_of_open_clip(folder: Path, tmp_path: Path) -> None:
    model, _, preprocess = open_clip.create_model_and_transforms(f"local-dir:{folder}")
    images = (films(4, 32, 3) * 255).round() / 255
    pictures = [Image.fromarray((255 * x).byte().permute(1, 2, 0).numpy()) for x in images]
    encoder = make(f"open_clip:{folder}", tmp_path)
    assert encoder.spec.image_shape == (3, 32, 32)
    edit, other = (torch.zeros(1, 32, 32, requires_grad=True) for _ in range(2))
    ours = encoder.embed(images + edit)
    std = torch.tensor([0.2, 0.25, 0.3]).view(3, 1, 1)
    prepared = torch.stack([preprocess(each) for each in pictures])
    theirs = model.eval().encode_image(prepared + other / std)
    assert (ours - theirs).norm() <= 1e-5 * theirs.norm()
    (slope,) = torch.autograd.grad(ours.square().sum(), edit)
    (wanted,) = torch.autograd.grad(theirs.square().sum(), other)
    assert (slope - wanted).norm() <= 1e-4 * wanted.norm()


def test_an_architecture_has_random_weights_and_says_so_or_those_of_a_file(tmp_path: Path) -> None:
    name = "open_clip:ViT-S-32-alt"
    random = make(name, tmp_path)
    assert "RANDOM weights (seed 0)" in random.spec.notes[0]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        model = open_clip.create_model("ViT-S-32-alt", load_weights=False)
    torch.save({"state_dict": model.state_dict()}, tmp_path / "trained.pth.tar")
    trained = make(name, tmp_path, weights=str(tmp_path / "trained.pth.tar"))
    assert trained.spec.notes == ()
    assert trained.spec.digest != random.spec.digest
    images = films(1, 224)
    with torch.inference_mode():
        mean, std = (
            torch.tensor(x).view(3, 1, 1)
            for x in (open_clip.OPENAI_DATASET_MEAN, open_clip.OPENAI_DATASET_STD)
        )
        wanted = model.eval().encode_image((images.expand(-1, 3, -1, -1) - mean) / std)
        assert (trained.embed(images) - wanted).norm() <= 1e-5 * wanted.norm()


def test_a_folder_without_weights_is_refused_and_its_text_tower_is_never_built(
    folder: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    shutil.copytree(folder, other)
    facts = json.loads((other / "open_clip_config.json").read_text())
    facts["model_cfg"]["text_cfg"] = {"hf_model_name": "somebody/unreachable", "proj": "mlp"}
    (other / "open_clip_config.json").write_text(json.dumps(facts))
    images = films(2, 32, 3)
    one, two = (make(f"open_clip:{each}", tmp_path) for each in (folder, other))
    with torch.inference_mode():
        assert torch.equal(one.embed(images), two.embed(images))
    facts["preprocess_cfg"]["mean"] = [0.1, 0.2, 0.3]
    (other / "open_clip_config.json").write_text(json.dumps(facts))
    assert make(f"open_clip:{other}", tmp_path).spec.digest != two.spec.digest
    (other / "open_clip_model.safetensors").unlink()
    with pytest.raises(ConfigError, match=r"holds no weights; one of open_clip_model\.safetensors"):
        make(f"open_clip:{other}", tmp_path)


def test_unknown_names_and_missing_packages_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ConfigError, match=r"no model 'ViT-B32' \(did you mean"):
        make("open_clip:ViT-B32", tmp_path)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
    with pytest.raises(EncoderError, match="hf download microsoft/BiomedCLIP"):
        make("open_clip:hf-hub:microsoft/BiomedCLIP", tmp_path)
    monkeypatch.setitem(sys.modules, "open_clip", None)
    with pytest.raises(ConfigError, match=r"open_clip.*zobench\[open-clip\]"):
        make("open_clip:ViT-B-32", tmp_path)
