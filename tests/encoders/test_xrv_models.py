"""``xrv:`` against TorchXRayVision's own network, pixel range and file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import torchxrayvision as xrv
from small_models import make, save_xrv

from zobench.errors import ConfigError, EncoderError

NAME = "densenet121-res224-all"


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_xrv(tmp_path_factory.mktemp("xrv") / "weights.pt")


def test_embeddings_are_what_the_packages_classifier_reads(weights: Path, tmp_path: Path) -> None:
    network = torch.load(weights, weights_only=False).eval()  # as the package itself reads it
    films = np.random.default_rng(0).integers(0, 256, (3, 224, 224))
    scaled = np.stack([xrv.datasets.normalize(each.astype(float), 255) for each in films])
    with torch.inference_mode():
        wanted = network.features2(torch.from_numpy(scaled[:, None]).float())
        ours = make(f"xrv:{NAME}", tmp_path, weights=str(weights)).embed(
            torch.from_numpy(films[:, None]).float() / 255
        )
    assert ours.shape == (3, 1024)
    assert (ours - wanted).norm() <= 1e-5 * wanted.norm()


def test_a_file_that_would_run_code_is_refused(tmp_path: Path) -> None:
    class Harmful:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return exec, ("raise SystemExit('code of a weights file ran')",)

    path = tmp_path / "harmful.pt"
    torch.save({"state_dict": Harmful()}, path)
    with pytest.raises(ConfigError, match="holds more than tensors"):
        make(f"xrv:{NAME}", tmp_path, weights=str(path))


def test_the_file_of_the_package_is_found_and_a_missing_one_says_how_to_get_it(
    weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(EncoderError, match=rf"is missing, and nothing .*get_model\('{NAME}'\)"):
        make(f"xrv:{NAME}", tmp_path)
    folder = tmp_path / ".torchxrayvision" / "models_data"
    folder.mkdir(parents=True)
    name = xrv.models.model_urls[NAME]["weights_url"].rpartition("/")[2]
    (folder / name).symlink_to(weights)
    assert make(f"xrv:{NAME}", tmp_path).spec.image_shape == (1, 224, 224)
    with pytest.raises(ConfigError, match="has no weights 'densenet121'"):
        make("xrv:densenet121", tmp_path)


def test_a_resnet_takes_512_pixels(tmp_path: Path) -> None:
    from torchvision.models import resnet50

    name = "resnet50-res512-all"
    with torch.random.fork_rng(devices=[]):
        network = resnet50(num_classes=18)
        network.conv1 = torch.nn.Conv2d(1, 64, kernel_size=7, stride=2, padding=3, bias=False)
    torch.save(network.state_dict(), tmp_path / "resnet.pt")
    encoder = make(f"xrv:{name}", tmp_path, weights=str(tmp_path / "resnet.pt"), size=128)
    assert encoder.spec.image_shape == (1, 128, 128)
    assert encoder.spec.embedding_dim == 2048
