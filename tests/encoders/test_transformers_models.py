"""``hf:`` against transformers' own models and image processors."""

from __future__ import annotations

import io
import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers
from PIL import Image
from small_models import KINDS, films, make, quiet, save_transformers
from torch import Tensor

from zobench.errors import ConfigError, EncoderError


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("hub")
    return {kind: save_transformers(kind, root / kind) for kind in KINDS}


def published(kind: str, folder: Path, pixels: Tensor) -> Tensor:
    """The embedding that transformers gives, in its own words."""
    with quiet():
        model = transformers.AutoModel.from_pretrained(folder).eval()
    if kind in ("clip", "siglip"):
        answer = model.get_image_features(pixel_values=pixels)
        return answer if isinstance(answer, Tensor) else answer.pooler_output
    return model(pixel_values=pixels).pooler_output


def processed(folder: Path, images: np.ndarray) -> Tensor:
    """8-bit images ``(n, H, W, 3)`` through the model's own image processor."""
    processor = transformers.AutoImageProcessor.from_pretrained(folder)
    pictures = [Image.fromarray(each) for each in images]
    return processor(images=pictures, return_tensors="pt")["pixel_values"]


@pytest.mark.parametrize("kind", KINDS)
def test_embeddings_are_those_of_transformers_with_its_own_image_processor(
    folders: dict[str, Path], kind: str, tmp_path: Path
) -> None:
    side = 40 if kind == "dinov2" else 32  # this processor crops the middle 32 of 40
    images = np.random.default_rng(1).integers(0, 256, (5, side, side, 3), dtype=np.uint8)
    with torch.no_grad():
        wanted = published(kind, folders[kind], processed(folders[kind], images))
    middle = images[:, (side - 32) // 2 : (side + 32) // 2, (side - 32) // 2 : (side + 32) // 2]
    sent = torch.from_numpy(middle.copy()).permute(0, 3, 1, 2).float() / 255
    encoder = make(f"hf:{folders[kind]}", tmp_path)
    assert encoder.spec.image_shape == (3, 32, 32)
    with torch.inference_mode():
        ours = encoder.embed(sent)
    assert (ours - wanted).norm() <= 1e-5 * wanted.norm()


@pytest.mark.parametrize("kind", KINDS)
def test_gradients_are_those_of_transformers(
    folders: dict[str, Path], kind: str, tmp_path: Path
) -> None:
    edit, other = (torch.zeros(1, 32, 32, requires_grad=True) for _ in range(2))
    images = films(3, 32)
    ours = make(f"hf:{folders[kind]}", tmp_path).embed(images + edit)
    processor = transformers.AutoImageProcessor.from_pretrained(folders[kind])
    mean, std = (
        torch.tensor(each).view(1, 3, 1, 1) for each in (processor.image_mean, processor.image_std)
    )
    normalised = ((images + other).expand(-1, 3, -1, -1) - mean) / std
    theirs = published(kind, folders[kind], normalised)
    (slope,) = torch.autograd.grad(ours.square().sum(), edit)
    (wanted,) = torch.autograd.grad(theirs.square().sum(), other)
    assert (slope - wanted).norm() <= 1e-5 * wanted.norm()


@pytest.mark.parametrize("pool", ["cls", "mean"])
def test_tokens_are_pooled_as_asked(folders: dict[str, Path], pool: str, tmp_path: Path) -> None:
    encoder = make(f"hf:{folders['vit']}", tmp_path, pool=pool)
    images = films(3, 32, 3)
    with quiet():
        model = transformers.AutoModel.from_pretrained(folders["vit"]).eval()
    with torch.inference_mode():
        tokens = model(pixel_values=(images - 0.5) / 0.5).last_hidden_state
        wanted = tokens[:, 0] if pool == "cls" else tokens.mean(1)
        assert torch.allclose(encoder.embed(images), wanted, atol=1e-6)


def test_images_of_another_size_are_resized_as_pillow_does_and_gradients_flow(
    folders: dict[str, Path], tmp_path: Path
) -> None:
    large = make(f"hf:{folders['siglip']}", tmp_path, size=64)
    assert large.spec.image_shape == (3, 64, 64)
    smooth = torch.nn.functional.interpolate(films(2, 4, 3), size=64, mode="bicubic").clamp(
        0.2, 0.8
    )
    pictures = [
        Image.fromarray((255 * each).round().byte().permute(1, 2, 0).numpy()).resize(
            (32, 32), Image.Resampling.BICUBIC
        )
        for each in smooth
    ]
    resized = torch.stack([torch.from_numpy(np.asarray(each).copy()) for each in pictures])
    with torch.inference_mode():
        wanted = make(f"hf:{folders['siglip']}", tmp_path).embed(
            resized.permute(0, 3, 1, 2).float() / 255
        )
        ours = large.embed(smooth)
    assert (ours - wanted).norm() <= 0.01 * wanted.norm()  # Pillow rounds to 8 bits
    assert large.embed(smooth.requires_grad_()).requires_grad


def test_a_pooler_without_weights_is_not_used(folders: dict[str, Path], tmp_path: Path) -> None:
    with quiet():
        model = transformers.ViTModel.from_pretrained(folders["vit"], add_pooling_layer=False)
        model.save_pretrained(tmp_path / "bare")
    shutil.copy(folders["vit"] / "preprocessor_config.json", tmp_path / "bare")
    images = films(2, 32, 3)
    with torch.inference_mode():
        mean = make(f"hf:{folders['vit']}", tmp_path, pool="mean").embed(images)
        assert torch.equal(make(f"hf:{tmp_path / 'bare'}", tmp_path).embed(images), mean)
    with pytest.raises(ConfigError, match=r"no weights for it; use --set encoder\.pool=mean"):
        make(f"hf:{tmp_path / 'bare'}", tmp_path, pool="pooler")


def test_a_masked_autoencoder_sees_the_whole_image(tmp_path: Path) -> None:
    from small_models import VISION

    config = transformers.ViTMAEConfig(**VISION, mask_ratio=0.75)
    with torch.random.fork_rng(devices=[]), quiet():
        transformers.ViTMAEModel(config).save_pretrained(tmp_path / "mae")
        transformers.ViTImageProcessor(size={"height": 32, "width": 32}).save_pretrained(
            tmp_path / "mae"
        )
    encoder = make(f"hf:{tmp_path / 'mae'}", tmp_path)
    images = films(2, 32, 3)
    state = torch.get_rng_state()
    with torch.inference_mode():
        assert torch.equal(encoder.embed(images), encoder.embed(images))
    assert torch.equal(state, torch.get_rng_state())  # the model draws the order of its patches


def test_no_code_of_a_folder_is_run(
    folders: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    harmful = tmp_path / "harmful"
    shutil.copytree(folders["vit"], harmful)
    facts = json.loads((harmful / "config.json").read_text())
    facts |= {
        "model_type": "mine",
        "auto_map": {"AutoConfig": "mine.Mine", "AutoModel": "mine.Mine"},
    }
    (harmful / "config.json").write_text(json.dumps(facts))
    (harmful / "mine.py").write_text("raise SystemExit('code of a model ran')")
    monkeypatch.setattr("sys.stdin", io.StringIO("y\n"))
    with pytest.raises(ConfigError, match="cannot be loaded"):
        make(f"hf:{harmful}", tmp_path)


def test_what_decides_an_embedding_beside_the_weights_is_in_the_digest(
    folders: dict[str, Path], tmp_path: Path
) -> None:
    def changed(file: str, **values: object) -> str:
        other = tmp_path / "-".join(values)
        shutil.copytree(folders["vit"], other)
        facts = json.loads((other / file).read_text())
        (other / file).write_text(json.dumps(facts | values))
        return make(f"hf:{other}", tmp_path).spec.digest

    same = make(f"hf:{folders['vit']}", tmp_path).spec.digest
    mean = changed("preprocessor_config.json", image_mean=[0.1, 0.2, 0.3])
    activation = changed("config.json", hidden_act="relu")
    pooled = make(f"hf:{folders['vit']}", tmp_path, pool="cls").spec.digest
    moved = changed("config.json", _name_or_path="elsewhere")
    assert len({same, mean, activation, pooled}) == 4
    assert moved == same


@pytest.mark.parametrize(
    ("file", "values", "words"),
    [
        ("preprocessor_config.json", {"image_std": [0, 1, 1]}, "image_std is .* must be above 0"),
        ("preprocessor_config.json", {"image_mean": [1, 2]}, "must be 3 numbers, one a channel"),
        ("preprocessor_config.json", {"size": {"height": 16, "width": 8}}, "asks for 16x8 pixels"),
        ("preprocessor_config.json", {"size": {"height": 64, "width": 64}}, "cannot be loaded"),
        ("config.json", {"num_channels": 5}, "cannot be loaded"),
    ],
)
def test_files_that_do_not_fit_the_model_are_named(
    folders: dict[str, Path], tmp_path: Path, file: str, values: dict[str, object], words: str
) -> None:
    other = tmp_path / "other"
    shutil.copytree(folders["vit"], other)
    facts = json.loads((other / file).read_text())
    (other / file).write_text(json.dumps(facts | values))
    with pytest.raises(ConfigError, match=words):
        make(f"hf:{other}", tmp_path)


def test_a_damaged_weights_file_is_named(folders: dict[str, Path], tmp_path: Path) -> None:
    other = tmp_path / "other"
    shutil.copytree(folders["vit"], other)
    (other / "model.safetensors").write_bytes(b"junk")
    with pytest.raises(ConfigError, match="cannot be loaded"):
        make(f"hf:{other}", tmp_path)


def test_what_is_missing_is_said_in_one_line_with_the_command_that_gets_it(
    folders: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
    with pytest.raises(
        EncoderError, match="fetch a model once with: hf download google/medsiglip-448"
    ):
        make("hf:google/medsiglip-448", tmp_path)
    with pytest.raises(ConfigError, match="'no folder here' is no folder here, and no model id"):
        make("hf:no folder here", tmp_path)
    with pytest.raises(ConfigError, match=r"cannot be loaded: Unrecognized model"):
        make(f"hf:{tmp_path}", tmp_path)
    lone = tmp_path / "lone"
    shutil.copytree(folders["vit"], lone)
    (lone / "preprocessor_config.json").unlink()
    with pytest.raises(ConfigError, match=r"no readable preprocessor_config\.json"):
        make(f"hf:{lone}", tmp_path)
    monkeypatch.setitem(sys.modules, "transformers.utils", None)
    with pytest.raises(ConfigError, match=r"transformers.*zobench\[hf\]"):
        make(f"hf:{lone}", tmp_path)


def test_pixels_that_the_processor_does_not_rescale_keep_their_range(
    folders: dict[str, Path], tmp_path: Path
) -> None:
    raw = tmp_path / "raw"
    shutil.copytree(folders["vit"], raw)
    path = raw / "preprocessor_config.json"
    facts = {**json.loads(path.read_text()), "do_rescale": False, "do_normalize": False}
    path.write_text(json.dumps(facts))
    images = np.random.default_rng(2).integers(0, 256, (3, 32, 32, 3), dtype=np.uint8)
    with torch.inference_mode():
        wanted = published("vit", raw, processed(raw, images).float())
        sent = torch.from_numpy(images).permute(0, 3, 1, 2).float() / 255
        assert (make(f"hf:{raw}", tmp_path).embed(sent) - wanted).norm() <= 1e-4 * wanted.norm()


@pytest.mark.parametrize(
    ("kind", "settings", "alike"),
    [
        ("EfficientNet", {}, False),  # divides by the standard deviation a second time
        ("EfficientNet", {"include_top": False}, True),
        ("EfficientNet", {"include_top": False, "rescale_offset": True}, False),
        ("MobileViT", {}, False),  # takes blue first
        ("MobileViT", {"do_flip_channel_order": False}, True),
        ("Sam", {}, False),  # pads
        ("Siglip2", {}, False),  # gives patches
    ],
)
def test_a_processor_that_does_more_than_to_normalise_is_refused(
    folders: dict[str, Path], tmp_path: Path, kind: str, settings: dict[str, bool], alike: bool
) -> None:
    folder = tmp_path / "model"
    shutil.copytree(folders["vit"], folder)
    size = {"height": 32, "width": 32}
    sizes = {} if kind in ("Sam", "Siglip2") else {"size": size, "crop_size": size}
    made = getattr(transformers, f"{kind}ImageProcessor")(**sizes, **settings)
    made.save_pretrained(folder)
    if alike:
        make(f"hf:{folder}", tmp_path)
    else:
        with pytest.raises(ConfigError, match=f"{kind}ImageProcessor.* does more with pixels"):
            make(f"hf:{folder}", tmp_path)
