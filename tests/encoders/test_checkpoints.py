"""Weights from files: MAE layouts written here, wrong shapes, unsafe files."""

from __future__ import annotations

import pickle
from collections import OrderedDict
from pathlib import Path

import pytest
import timm
import torch
from safetensors.torch import save_file
from zobench_encoders.checkpoints import read_weights
from zobench_encoders.timm_models import TimmParameters, timm_model

from zobench.contracts.encoder import EncoderRequest
from zobench.errors import ConfigError

NAME = "vit_tiny_patch16_224"


def load(tmp_path: Path, path: Path, **options: object):
    ask = EncoderRequest(f"timm:{NAME}", NAME, "cpu", "fp32", tmp_path)
    parameters = TimmParameters(weights=str(path), chunk=2, **{"size": 64, **options})
    return timm_model(ask, parameters)


@pytest.fixture(scope="module")
def mae_state() -> dict[str, torch.Tensor]:
    """Weights as Medical_MAE saves them: timm's names, plus a decoder and a mask token."""
    torch.manual_seed(5)
    model = timm.create_model(NAME, num_classes=0, img_size=224, global_pool="token")
    state = dict(model.state_dict())
    state["mask_token"] = torch.zeros(1, 1, 64)
    state["decoder_embed.weight"] = torch.randn(64, 192)
    state["decoder_pos_embed"] = torch.randn(1, 197, 64)
    state["decoder_blocks.0.norm1.weight"] = torch.ones(64)
    return state


def test_an_mae_checkpoint_loads_with_its_decoder_dropped_and_positions_resized(
    tmp_path: Path, mae_state: dict[str, torch.Tensor]
) -> None:
    path = tmp_path / "mae.pth"
    torch.save({"model": OrderedDict(mae_state), "epoch": 799}, path)
    encoder = load(tmp_path, path, pool="avg", size=96)
    assert encoder.spec.image_shape == (3, 96, 96)
    assert encoder.spec.notes == ()
    images = torch.rand(2, 3, 96, 96)
    found = encoder.embed(images)
    # The reference: timm's model at 96 pixels, the mean over patch tokens without the class token.
    reference = timm.create_model(
        NAME, num_classes=0, img_size=96, global_pool="avg", fc_norm=False
    )
    from timm.layers.pos_embed import resample_abs_pos_embed

    wanted = {k: mae_state[k] for k in reference.state_dict()}
    wanted["pos_embed"] = resample_abs_pos_embed(mae_state["pos_embed"], [6, 6])
    reference.load_state_dict(wanted)
    tokens = reference.eval().forward_features((images - 0.5) / 0.5)
    torch.testing.assert_close(found, tokens[:, 1:].mean(1), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("wrapper", ["plain", "model", "state_dict", "module", "safetensors"])
def test_all_usual_layouts_load(
    tmp_path: Path, wrapper: str, mae_state: dict[str, torch.Tensor]
) -> None:
    path = tmp_path / ("w.safetensors" if wrapper == "safetensors" else "w.pth")
    if wrapper == "safetensors":
        save_file({k: v.contiguous() for k, v in mae_state.items()}, path)
    elif wrapper == "module":
        torch.save({f"module.{k}": v for k, v in mae_state.items()}, path)
    else:
        torch.save(mae_state if wrapper == "plain" else {wrapper: mae_state}, path)
    assert load(tmp_path, path).spec.embedding_dim == 192


def test_a_wrong_shape_names_the_weight_and_both_shapes(
    tmp_path: Path, mae_state: dict[str, torch.Tensor]
) -> None:
    path = tmp_path / "w.pth"
    torch.save(mae_state, path)
    with pytest.raises(
        ConfigError, match=r"patch_embed.proj.weight.*\(192, 3, 16, 16\).*\(192, 1,"
    ):
        load(tmp_path, path, channels=1)


def test_a_missing_and_an_extra_weight_are_named(
    tmp_path: Path, mae_state: dict[str, torch.Tensor]
) -> None:
    path = tmp_path / "w.pth"
    torch.save({k: v for k, v in mae_state.items() if k != "norm.weight"}, path)
    with pytest.raises(ConfigError, match=r"has no 'norm.weight'"):
        load(tmp_path, path)
    torch.save({**mae_state, "surprise": torch.zeros(1)}, path)
    with pytest.raises(ConfigError, match="surprise"):
        load(tmp_path, path)


class Trap:
    """An object that runs code when it is unpickled."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (exec, ("raise SystemExit('ran')",))


def test_a_file_that_could_run_code_is_refused_unrun(tmp_path: Path) -> None:
    path = tmp_path / "trap.pth"
    torch.save({"model": Trap()}, path)
    with pytest.raises(ConfigError, match="foreign code"):
        read_weights(path)
    path.write_bytes(pickle.dumps(Trap(), protocol=2))
    with pytest.raises(ConfigError):
        read_weights(path)


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_damaged_and_missing_files_are_named(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"w{suffix}"
    with pytest.raises(ConfigError, match="not a file"):
        read_weights(path)
    path.write_bytes(b"not weights at all")
    with pytest.raises(ConfigError, match=str(path)):
        read_weights(path)


def test_a_file_without_tensors_says_so(tmp_path: Path) -> None:
    path = tmp_path / "w.pth"
    torch.save({"epoch": 3}, path)
    with pytest.raises(ConfigError, match="holds no weights"):
        read_weights(path)


@pytest.mark.parametrize("wrapper", ["model", "state_dict"])
@pytest.mark.parametrize("zipped", [True, False])
def test_a_pth_tar_file_loads_from_either_wrapper(
    tmp_path: Path, mae_state: dict[str, torch.Tensor], wrapper: str, zipped: bool
) -> None:
    path = tmp_path / "checkpoint.pth.tar"
    found = {wrapper: {f"module.{name}": value for name, value in mae_state.items()}, "epoch": 3}
    torch.save(found, path, _use_new_zipfile_serialization=zipped)
    assert {name: value.shape for name, value in read_weights(path).items()} == {
        name: value.shape for name, value in mae_state.items()
    }
