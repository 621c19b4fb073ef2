"""Requests and responses of each service, against bodies written from its API reference."""

from __future__ import annotations

import base64
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from zobench_encoders.remote.dialects import DIALECTS, read_dialect
from zobench_encoders.remote.exchange import ServiceReply
from zobench_encoders.remote.pictures import PictureService
from zobench_encoders.remote.request_failure import RequestFailure

from zobench.errors import ConfigError

IMAGES = torch.tensor([0.0, 0.2, 1.3, -1.0]).view(2, 1, 1, 2).expand(2, 1, 2, 2)
LEVELS = [[[0, 51], [0, 51]], [[255, 0], [255, 0]]]
HERE = "http://127.0.0.1:9/v1"


def service(kind: str, channels: int = 1, **options: Any) -> PictureService:
    return PictureService(HERE, DIALECTS[kind], "m-1", (channels, 2, 2), **options)


def body(kind: str, **options: Any) -> tuple[str, Any]:
    call = service(kind, **options).call(IMAGES)
    assert call.body is not None
    return call.url, json.loads(call.body)


def decoded(text: str) -> list[Any]:
    coded = text.removeprefix("data:image/png;base64,")
    with Image.open(io.BytesIO(base64.b64decode(coded))) as file:
        assert file.format == "PNG"
        return np.asarray(file).tolist()  # type: ignore[no-any-return]


def reply(value: object) -> ServiceReply:
    return ServiceReply({}, json.dumps(value).encode())


def test_images_travel_as_clipped_8_bit_levels() -> None:
    _, said = body("openai")
    assert [decoded(each) for each in said["input"]] == LEVELS
    call = service("openai", channels=3).call(IMAGES)
    (first, _) = json.loads(call.body or b"")["input"]
    assert decoded(first) == [[[0, 0, 0], [51, 51, 51]]] * 2


def test_each_service_is_asked_in_its_own_words() -> None:
    url, said = body("openai")
    assert url == f"{HERE}/embeddings"
    assert said.keys() == {"model", "input", "modality", "encoding_format"}
    assert (said["model"], said["modality"], said["encoding_format"]) == ("m-1", "image", "float")

    url, said = body("vllm")
    (message,) = said["messages"]
    assert message["role"] == "user"
    assert [part["type"] for part in message["content"]] == ["image_url", "image_url"]
    assert decoded(message["content"][0]["image_url"]["url"]) == LEVELS[0]

    url, said = body("voyage")
    assert url == f"{HERE}/multimodalembeddings"
    (content,) = said["inputs"][1]["content"]
    assert content["type"] == "image_base64"
    assert decoded(content["image_base64"]) == LEVELS[1]

    url, said = body("cohere")
    assert url == f"{HERE}/embed"
    assert (said["input_type"], said["embedding_types"]) == ("image", ["float"])
    assert decoded(said["images"][1]) == LEVELS[1]

    _, said = body("jina")
    assert decoded(said["input"][0]["image"]) == LEVELS[0]

    url, said = body("vertex")
    assert url == HERE
    assert decoded(said["instances"][1]["image"]["bytesBase64Encoded"]) == LEVELS[1]
    assert decoded(body("medsiglip")[1]["instances"][0]["image"]["input_bytes"]) == LEVELS[0]
    assert decoded(body("cxr-foundation")[1]["instances"][0]["input_bytes"]) == LEVELS[0]


VECTORS = [[1.0, 2.5], [3.0, -4.0]]
CODED = [base64.b64encode(np.array(each, "<f4").tobytes()).decode() for each in VECTORS]
ANSWERS = [
    ("openai", {"data": [{"embedding": each, "index": i} for i, each in enumerate(VECTORS)]}),
    ("openai", {"data": [{"embedding": VECTORS[1], "index": 1}, {"embedding": VECTORS[0], "index": 0}]}),
    ("openai", {"data": [{"embedding": each, "index": i} for i, each in enumerate(CODED)]}),
    ("openai", {"data": [{"embedding": VECTORS[1], "index": 2}, {"embedding": VECTORS[0], "index": 1}]}),
    ("vllm", {"object": "list", "data": [{"embedding": e, "index": i} for i, e in enumerate(VECTORS)]}),
    ("jina", {"data": [{"index": i, "embedding": e} for i, e in enumerate(VECTORS)], "usage": {}}),
    ("voyage", {"data": [{"embedding": each} for each in VECTORS], "usage": {"image_pixels": 8}}),
    ("cohere", {"id": "x", "embeddings": {"float": VECTORS}, "meta": {}}),
    ("vertex", {"predictions": [{"imageEmbedding": each} for each in VECTORS]}),
    ("medsiglip", {"predictions": [{"embedding": each} for each in VECTORS]}),
    ("cxr-foundation", {"predictions": [{"general_img_emb": [[a], [b]]} for a, b in VECTORS]}),
    ("huggingface", VECTORS),
]  # fmt: skip


def test_every_dialect_has_a_sample_answer() -> None:
    missing = set(DIALECTS) - {kind for kind, _ in ANSWERS}
    assert not missing, f"add a sample answer of {missing} to ANSWERS"


@pytest.mark.parametrize(("kind", "answer"), ANSWERS)
def test_embeddings_are_found_where_each_service_puts_them(kind: str, answer: object) -> None:
    assert service(kind).read(reply(answer), 2).tolist() == VECTORS


@pytest.mark.parametrize(
    ("kind", "answer", "outcome", "word"),
    [
        ("vertex", {"predictions": [{"imageEmbedding": [1]}, {"error": {"code": 3}}]}, "doubtful",
         "image 1 of a request was refused"),
        ("openai", {"data": [{"embedding": [1], "index": 0}, {"embedding": [1], "index": 0}]},
         "doubtful", r"numbered \[0, 0\]"),
        ("openai", {"data": [{"embedding": [1], "index": None}, {"embedding": [2], "index": "a"}]},
         "doubtful", "numbered"),
        ("openai", {"data": [{"embedding": [1]}, {"embedding": [1, 2]}]}, "doubtful", "lengths"),
        ("openai", {"data": [{"embedding": [1]}]}, "doubtful", "1 embeddings came for 2"),
        ("openai", {"data": [{"embedding": []}, {"embedding": []}]}, "doubtful", "no numbers"),
        ("openai", {"data": [{"embedding": [None]}] * 2}, "doubtful", "cannot be read"),
        ("openai", {"data": [{"embedding": "%%%"}] * 2}, "doubtful", "cannot be read"),
        ("openai", {"data": [{"embedding": [1e39]}] * 2}, "doubtful", "NaN or infinity"),
        ("openai", {"data": 7}, "doubtful", "no list at 'data'"),
        ("openai", [], "doubtful", "no 'data'"),
        ("cohere", {"embeddings": {}}, "doubtful", "no 'float'"),
    ],
)  # fmt: skip
def test_answers_that_cannot_be_right_are_named(
    kind: str, answer: object, outcome: str, word: str
) -> None:
    with pytest.raises(RequestFailure, match=word) as caught:
        service(kind).read(reply(answer), 2)
    assert caught.value.kind == outcome


def test_requests_stay_within_a_services_bytes() -> None:
    shape = DIALECTS["medsiglip"]
    found = PictureService(HERE, shape, "m", (3, 448, 448), chunk=100)
    assert found.properties.chunk * 448 * 448 * 3 * 4 / 3 <= shape.bytes
    assert found.properties.chunk == 1
    assert PictureService(HERE, shape, "m", (1, 224, 224), chunk=100).properties.chunk > 8


def test_a_path_that_is_there_already_is_not_added() -> None:
    shape = DIALECTS["openai"]
    found = PictureService(f"{HERE}/embeddings", shape, "m", (1, 2, 2))
    assert found.call(IMAGES).url == f"{HERE}/embeddings"


OWN = """
path = "/embed"
chunk = 16
key_env = "OWN_KEY"
header = "X-Api-Key"
scheme = ""
answer = "result.vectors[].values"
item = { picture = "$base64", kind = "png for $model" }

[request]
name = "$model"
batch = "$images"

[headers]
X-Trial = "1"
"""


def test_a_service_of_ones_own_is_described_in_a_file(tmp_path: Path) -> None:
    path = tmp_path / "own.toml"
    path.write_text(OWN)
    found = PictureService(HERE, read_dialect(path), "m-1", (1, 2, 2))
    call = found.call(IMAGES)
    said = json.loads(call.body or b"")
    assert (call.url, said["name"], found.properties.chunk) == (f"{HERE}/embed", "m-1", 16)
    assert (call.headers or {})["X-Trial"] == "1"
    assert decoded(said["batch"][1]["picture"]) == LEVELS[1]
    assert said["batch"][1]["kind"] == "png for m-1"
    answer = {"result": {"vectors": [{"values": each} for each in VECTORS]}}
    assert found.read(reply(answer), 2).tolist() == VECTORS


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("nonsense", "cannot be read"),
        ("request = {}", "answer, item must be given"),
        (OWN + "[itm]", r"'itm' \(did you mean 'item'"),
        (OWN.replace("16", "'x'"), "chunk is 'x', but must be int"),
        (OWN.replace("16", "0"), "at least 1"),
        (OWN.replace('"$images"', '["$images."]'), 'request must hold "\\$images", in place'),
        (OWN.replace("$base64", "$bass64"), r"item must hold \$base64 or \$uri"),
        (OWN.replace("$base64", "$base64 $mode"), r"holds \$mode, .*did you mean '\$model'"),
        (OWN.replace("$base64", "$bass64") + f"x = {'9' * 5000}", "cannot be read"),
        (OWN + f"[request.deep]\nx = {'[' * 300}{']' * 300}", "nested too deep, or"),
        (OWN + "[request.large]\nx = 99999999999999999999", "cannot be sent as JSON"),
        (OWN.replace("$base64", "$base64 $images"), 'in item, "\\$images" must stand alone'),
    ],
)
def test_a_file_that_describes_no_service_is_refused(tmp_path: Path, text: str, word: str) -> None:
    path = tmp_path / "own.toml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=word):
        read_dialect(path)
    with pytest.raises(ConfigError, match="cannot be read"):
        read_dialect(tmp_path / "none.toml")


def test_without_a_models_name_another_address_is_another_model() -> None:
    def digests(model: str) -> list[str]:
        return [
            PictureService(url, DIALECTS["vertex"], model, (1, 2, 2)).properties.digest
            for url in ("https://a.org/one:predict", "http://a.org/one:predict", "https://b.org/v")
        ]

    assert len(set(digests(""))) == 2
    assert len(set(digests("m-1"))) == 1
    assert digests("m-1") != digests("m-2")
