"""The remote encoder against servers of other projects."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from foreign_servers import HERE, Begin, environment, free_port
from PIL import Image
from zobench_encoders.local import TOLERANCE
from zobench_encoders.remote.connecting import RemoteParameters, remote_encoder
from zobench_encoders.remote.encoder import RemoteEncoder
from zobench_encoders.vit_mae import VitMaeParameters, vit_mae

from zobench.contracts.encoder import EncoderRequest

pytestmark = pytest.mark.lengthy


def connected(kind: str, url: str, **settings: Any) -> RemoteEncoder:
    request = EncoderRequest(f"http:{kind}", kind, "auto", "auto", Path())
    return remote_encoder(request, RemoteParameters(url=url, connections=2, **settings))


def films(count: int) -> torch.Tensor:
    levels = torch.randint(0, 256, (count, 1, 224, 224), generator=torch.Generator().manual_seed(0))
    return levels.float() / 255


def equals_the_encoder_here(encoder: RemoteEncoder, cache: Path) -> None:
    here = vit_mae(EncoderRequest("vit-mae", "", "cpu", "fp32", cache), VitMaeParameters(chunk=16))
    images = films(21) + 1e-4
    with torch.inference_mode():
        remote, local = encoder.embed(images), here.embed(images)
    # the server's process may use another number of threads
    assert (remote - local).abs().max() <= TOLERANCE[torch.float32] * local.abs().max()
    total = encoder.account.bill.total()
    assert total.images_billed == 1 + 21


@pytest.fixture(scope="module")
def mlserver(tmp_path_factory: pytest.TempPathFactory, begin: Begin) -> str:
    folder = tmp_path_factory.mktemp("mlserver")
    python = environment(folder / "env", "mlserver==1.7.1")
    model = shutil.copytree(HERE / "mlserver_model", folder / "model")
    port = free_port()
    ports = {"http_port": port, "grpc_port": free_port(), "metrics_port": free_port()}
    settings = {"host": "127.0.0.1", "debug": False, "parallel_workers": 0, **ports}
    (model / "settings.json").write_text(json.dumps(settings))
    command = [str(python.parent / "mlserver"), "start", "."]
    url = f"http://127.0.0.1:{port}/v2/models/encoder"
    begin(command, f"{url}/ready", cwd=model)
    return url


@pytest.mark.skipif(sys.version_info >= (3, 13), reason="MLServer 1.7 needs Python < 3.13")
def test_mlserver_in_json_after_it_stumbled_over_raw_bytes(mlserver: str, tmp_path: Path) -> None:
    encoder = connected("oip", mlserver, chunk=8)
    try:
        assert encoder.spec.settings["wire"] == "json"
        assert encoder.spec.image_shape == (1, 224, 224)
        equals_the_encoder_here(encoder, tmp_path)
        # the canary in raw bytes; one more in JSON if the server resets the connection
        assert encoder.account.bill.total().images_maybe_billed in (1, 2)
    finally:
        encoder.close()


@pytest.fixture(scope="module")
def kserve(tmp_path_factory: pytest.TempPathFactory, begin: Begin) -> str:
    python = environment(tmp_path_factory.mktemp("kserve") / "env", "kserve==0.21.0")
    port = free_port()
    url = f"http://127.0.0.1:{port}/v2/models/encoder"
    begin([str(python), str(HERE / "kserve_model.py"), str(port)], f"{url}/ready")
    return url


@pytest.mark.parametrize("wire", ["auto", "json"])
def test_kserve_in_raw_bytes_and_in_json(kserve: str, tmp_path: Path, wire: str) -> None:
    encoder = connected("oip", kserve, chunk=8, wire=wire)
    try:
        assert encoder.spec.settings["wire"] == ("binary" if wire == "auto" else "json")
        equals_the_encoder_here(encoder, tmp_path)
        assert encoder.account.bill.total().images_maybe_billed == 0
    finally:
        encoder.close()


@pytest.fixture(scope="module")
def infinity(
    tmp_path_factory: pytest.TempPathFactory, begin: Begin, monkeypatch_module: pytest.MonkeyPatch
) -> tuple[str, Path, Path]:
    folder = tmp_path_factory.mktemp("infinity")
    wanted = ("infinity-emb[server,torch]==0.0.78", "pillow", "aiohttp")
    python = environment(folder / "env", *wanted)
    model = folder / "clip"
    model.mkdir()
    subprocess.run([python, HERE / "infinity_model.py", model], check=True)
    port = free_port()
    command = [
        *(str(python.parent / "infinity_emb"), "v2", "--model-id", str(model)),
        *("--served-model-name", "clip", "--host", "127.0.0.1", "--port", str(port)),
        *("--device", "cpu", "--engine", "torch", "--no-bettertransformer"),
        *("--url-prefix", "/v1", "--api-key", "k1", "--no-model-warmup"),
    ]
    offline = {
        "HF_HUB_OFFLINE": "1",
        "DO_NOT_TRACK": "1",
        "INFINITY_ANONYMOUS_USAGE_STATS": "0",
    }
    url = f"http://127.0.0.1:{port}"
    begin(command, f"{url}/health", env={**os.environ, **offline})
    monkeypatch_module.setenv("OPENAI_API_KEY", "k1")
    return f"{url}/v1", model, python


@pytest.fixture(scope="module")
def monkeypatch_module() -> Any:
    with pytest.MonkeyPatch.context() as patch:
        yield patch


def test_infinity_in_pictures(infinity: tuple[str, Path, Path], tmp_path: Path) -> None:
    url, model, python = infinity
    images = films(40)  # more than the limit of 32 images per request
    for number, film in enumerate(images):
        levels = (film[0] * 255).round().byte().numpy()
        Image.fromarray(levels).save(tmp_path / f"{number:02d}.png")
    script = HERE / "infinity_model.py"
    subprocess.run([python, script, model, tmp_path, tmp_path / "found.npy"], check=True)
    encoder = connected("openai", url, model="clip")
    try:
        found = encoder.embed(images).numpy()
    finally:
        encoder.close()
    found /= np.linalg.norm(found, axis=1, keepdims=True)
    np.testing.assert_allclose(found, np.load(tmp_path / "found.npy"), atol=2e-3)
    assert np.abs(found[0] - found[1]).max() > 5e-3  # different images give different embeddings


def test_infinity_refuses_a_wrong_key(
    infinity: tuple[str, Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    from zobench.errors import ServiceError

    monkeypatch.setenv("OPENAI_API_KEY", "wrong-key-1")
    with pytest.raises(ServiceError, match="401") as caught:
        connected("openai", infinity[0], model="clip")
    assert "wrong-key-1" not in str(caught.value)
