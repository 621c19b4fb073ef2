"""The server as a real process, with requests over real sockets."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import io
import json
import signal
import socket
import struct
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx2 as httpx
import numpy as np
import pytest
import torch
from commands import run_command
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image
from plain_http import get, post
from served import Served, served
from tiny import TinyEncoder

from zobench.errors import EncoderError
from zobench.serving.batching import Batcher

pytestmark = pytest.mark.usefixtures("tiny_installed")


TOKEN = "s3cret"
ORIENTATION = 0x0112
"""The EXIF tag."""
LENGTH = "Inference-Header-Content-Length"


def levels(count: int, seed: int = 0) -> NDArray[np.uint8]:
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (count, 1, 8, 8)).astype(np.uint8)


def floats(count: int, seed: int = 0) -> NDArray[np.float32]:
    return (levels(count, seed) / np.float32(255)).astype(np.float32)


def expected(images: NDArray[np.float32]) -> NDArray[np.float32]:
    found: NDArray[np.float32] = TinyEncoder().embed(torch.from_numpy(images)).numpy()
    return found


def request(
    images: NDArray[np.floating],
    *,
    input_name: str = "images",
    nested: tuple[int, ...] = (),
    **fields: object,
) -> dict[str, object]:
    entry = {"name": input_name, "shape": list(images.shape), "datatype": "FP32"}
    return {
        "inputs": [{**entry, "data": images.reshape(nested or images.shape).tolist()}],
        **fields,
    }


def uri(
    image: NDArray[np.uint8], kind: str = "PNG", mode: str | None = None, **options: Any
) -> str:
    file = io.BytesIO()
    picture = Image.fromarray(image[0])
    (picture.convert(mode) if mode else picture).save(file, kind, **options)
    return f"data:image/{kind.lower()};base64,{base64.b64encode(file.getvalue()).decode()}"


def test_json_and_raw_bytes_give_the_embeddings_of_the_encoder_here(server: Served) -> None:
    images = floats(5)
    answer = post(f"{server.url}/infer", json=request(images, id="7"))
    assert answer.status_code == 200
    told = answer.json()
    assert (told["model_name"], told["id"]) == ("tiny", "7")
    (output,) = told["outputs"]
    assert (output["name"], output["datatype"], output["shape"]) == ("embeddings", "FP32", [5, 6])
    values = np.array(output["data"], dtype=np.float32).reshape(5, 6)
    assert np.array_equal(values, expected(images))

    entry = {"name": "images", "shape": [5, 1, 8, 8], "datatype": "FP32"}
    size = {"parameters": {"binary_data_size": images.nbytes}}
    wanted = {"outputs": [{"name": "embeddings", "parameters": {"binary_data": True}}]}
    said = json.dumps({"inputs": [{**entry, **size}], **wanted}).encode()
    answer = post(
        f"{server.url}/infer", content=said + images.tobytes(), headers={LENGTH: str(len(said))}
    )
    raw = answer.content[int(answer.headers[LENGTH]) :]
    assert struct.unpack("<30f", raw) == tuple(expected(images).reshape(-1).tolist())


def test_pictures_give_the_embeddings_of_their_levels(server: Served) -> None:
    pictures = levels(3)
    fields = {"model": "tiny", "input": [uri(each) for each in pictures]}
    answer = post(f"{server.root}/v1/embeddings", json=fields).json()
    assert [entry["index"] for entry in answer["data"]] == [0, 1, 2]
    found = np.array([entry["embedding"] for entry in answer["data"]], dtype=np.float32)
    assert np.array_equal(found, expected(floats(3)))

    plain = post(
        f"{server.root}/v1/embeddings", json={"input": uri(pictures[0]), "encoding_format": None}
    )
    assert isinstance(plain.json()["data"][0]["embedding"], list)
    one = {"input": uri(pictures[0]), "encoding_format": "base64"}
    (entry,) = post(f"{server.root}/v1/embeddings", json=one).json()["data"]
    assert base64.b64decode(entry["embedding"]) == expected(floats(1)).tobytes()


def test_a_picture_that_lies_on_its_side_is_turned_upright(server: Served) -> None:
    """As datasets read it: a camera's orientation 6 means a quarter turn clockwise."""
    (picture,), exif = levels(1), Image.Exif()
    exif[ORIENTATION] = 6
    stored = np.rot90(picture, axes=(1, 2))
    answer = post(f"{server.root}/v1/embeddings", json={"input": uri(stored, exif=exif)}).json()
    found = np.array([entry["embedding"] for entry in answer["data"]], dtype=np.float32)
    assert np.array_equal(found, expected(floats(1)))


def test_it_says_what_it_is(server: Served) -> None:
    assert "binary_tensor_data" in get(f"{server.root}/v2").json()["extensions"]
    told = get(server.url).json()
    assert told["inputs"] == [{"name": "images", "datatype": "FP32", "shape": [-1, 1, 8, 8]}]
    assert told["outputs"] == [{"name": "embeddings", "datatype": "FP32", "shape": [-1, 6]}]
    version = told["versions"][0]
    assert get(f"{server.url}/versions/{version}").status_code == 200
    assert get(f"{server.url}/versions/{version}/ready").status_code == 200
    assert get(f"{server.url}/versions/none/ready").status_code == 404
    assert get(f"{server.url}/ready").status_code == 200
    assert get(f"{server.root}/v2/health/ready").status_code == 200
    assert get(f"{server.root}/v1/models").json()["data"][0]["id"] == "tiny"


def test_one_request_that_fails_is_embedded_once() -> None:
    calls: list[int] = []

    class Broken(TinyEncoder):
        def embed(self, images: torch.Tensor) -> torch.Tensor:
            calls.append(len(images))
            raise EncoderError("broken")

    async def ask() -> None:
        batcher = Batcher(Broken(), batch=8, wait=0.0, capacity=8)
        batcher.start()
        with pytest.raises(EncoderError, match="broken"):
            await batcher.embed(torch.from_numpy(floats(2)))
        await batcher.stop()

    asyncio.run(ask())
    assert calls == [2]


BLACK = Image.new("L", (8, 8))
BAD = [
    (json.dumps(request(floats(2), outputs=[{"name": "nope"}])), 400, "there is no output 'nope'"),
    ("{}", 400, "no list of objects 'inputs'"),
    ("nonsense", 400, "cannot be read"),
    (json.dumps(request(floats(2)[:, :, :4])), 400, "takes [N, 1, 8, 8]"),
    (json.dumps(request(np.zeros((0, 1, 8, 8), np.float32))), 400, "0 images came"),
    (json.dumps(request(floats(257))), 400, "1 to 256"),
    (json.dumps(request(np.full((1, 1, 8, 8), np.inf))), 400, "cannot be read"),
    (json.dumps(request(np.full((1, 1, 8, 8), 1e39))), 400, "NaN or infinity"),
    (json.dumps(request(floats(2), input_name="mask")), 400, "inputs came: mask"),
    (json.dumps(request(floats(2), nested=(2, 8, 8, 1))), 400, "is nested as [2, 8, 8, 1]"),
    (json.dumps({"inputs": []}), 400, "inputs came: none; the model takes one, 'images'"),
]


@pytest.mark.parametrize(("body", "status", "word"), BAD)
def test_bad_tensors_get_the_protocols_error(
    server: Served, body: str, status: int, word: str
) -> None:
    answer = post(f"{server.url}/infer", content=body)
    assert answer.status_code == status
    assert word in answer.json()["error"]


@pytest.mark.parametrize(
    ("fields", "word"),
    [
        ({}, "input must be"),
        ({"input": []}, "0 images came"),
        ({"input": "https://example.org/a.png"}, "no data URI"),
        ({"input": "data:image/png;base64,???"}, "cannot be read"),
        ({"input": "data:image/png;base64,AAAA"}, "cannot be read"),
        ({"input": uri(np.zeros((1, 9, 8), np.uint8))}, "8x9 pixels"),
        ({"input": uri(levels(1)[0], mode="RGB")}, "mode RGB"),
        ({"input": uri(levels(1)[0], mode="I;16")}, "mode I;16"),
        ({"input": uri(levels(1)[0], "GIF")}, "cannot be read"),
        ({"input": uri(levels(1)[0]), "encoding_format": "x"}, "float or base64"),
        ({"input": uri(levels(1)[0]), "dimensions": 1}, "dimensions"),
        ({"input": uri(levels(1)[0], transparency=0)}, "a transparent colour"),
        ({"input": uri(levels(1)[0], save_all=True, append_images=[BLACK])}, "several frames"),
    ],
)
def test_bad_pictures_get_openais_error(
    server: Served, fields: dict[str, object], word: str
) -> None:
    answer = post(f"{server.root}/v1/embeddings", json=fields)
    assert answer.status_code == 400
    error = answer.json()["error"]
    assert word in error["message"]
    assert error["type"] == "invalid_request_error"


def test_unknown_models_versions_and_ways_are_404_and_405(server: Served) -> None:
    before = server.requests("404")
    for path in ("/v2/models/other", "/v2/models/tiny/versions/9", "/nowhere"):
        assert get(server.root + path).status_code == 404
    assert server.requests("404") == before + 3
    assert get(f"{server.url}/infer").status_code == 405
    fields = {"model": "other", "input": uri(levels(1)[0])}
    assert post(f"{server.root}/v1/embeddings", json=fields).status_code == 404


def test_small_requests_of_many_clients_are_batched_and_not_mixed_up(server: Served) -> None:
    def ask(seed: int) -> bool:
        images = floats(1 + seed % 3, seed)
        told = post(f"{server.url}/infer", json=request(images)).json()
        values = np.array(told["outputs"][0]["data"], dtype=np.float32)
        return np.array_equal(values, expected(images).reshape(-1))

    before = server.images()["embedded"]
    with ThreadPoolExecutor(16) as pool:
        assert all(pool.map(ask, range(200)))
    assert server.images()["embedded"] - before == sum(1 + seed % 3 for seed in range(200))


def test_without_the_token_nothing_is_told_but_health() -> None:
    with served(ZOBENCH_SERVE_TOKEN=TOKEN) as server:
        for path in ("/v2", "/v2/models/tiny", "/v1/models", "/metrics"):
            assert get(server.root + path).status_code == 401
            wrong = {"Authorization": f"Bearer {TOKEN}x"}
            assert get(server.root + path, headers=wrong).status_code == 401
            right = {"Authorization": f"Bearer {TOKEN}"}
            assert get(server.root + path, headers=right).status_code == 200
        refused = post(f"{server.url}/infer", json=request(floats(1)))
        assert refused.status_code == 401
        assert refused.headers["WWW-Authenticate"] == "Bearer"
        assert get(f"{server.root}/v2/health/live").status_code == 200


def test_limits_answer_413_and_429_and_the_server_lives_on() -> None:
    options = ("--max-body", "1", "--max-requests", "2", "--latency", "0.6")
    with served(*options) as server:
        big = b"x" * (2**20 + 1)
        assert post(f"{server.url}/infer", content=big).status_code == 413
        chunked = post(f"{server.url}/infer", content=iter([big[:9], big]))
        assert chunked.status_code == 413
        packed = post(f"{server.url}/infer", content=b"", headers={"Content-Encoding": "gzip"})
        assert packed.status_code == 415

        def ask(seed: int) -> httpx.Response:
            return post(f"{server.url}/infer", json=request(floats(1, seed)))

        with ThreadPoolExecutor(6) as pool:
            answers = list(pool.map(ask, range(6)))
        assert sorted({each.status_code for each in answers}) == [200, 429]
        busy = next(each for each in answers if each.status_code == 429)
        assert float(busy.headers["Retry-After"]) > 0
        assert ask(0).status_code == 200


def test_it_plays_limited_and_faulty_as_it_was_told() -> None:
    def codes(server: Served, count: int) -> list[int]:
        body = request(floats(2))
        return [post(f"{server.url}/infer", json=body).status_code for _ in range(count)]

    options = ("--rate-limit", "60", "--fail-rate", "0.5", "--seed", "3")
    with served(*options) as server:
        began = time.monotonic()
        found = codes(server, 45)
        passed = [code for code in found if code != 429]
        assert found[:30] == passed[:30]
        assert set(passed) == {200, 500}
        assert 30 <= len(passed) <= 31 + (time.monotonic() - began) / 2  # an image per second
        outcomes = server.images()
        assert outcomes["embedded"] == 2 * found.count(200)
        assert outcomes["failed"] == 2 * found.count(500)
        assert outcomes["refused"] == 2 * found.count(429) > 0
    with served(*options) as server:
        assert codes(server, 30) == passed[:30]


def test_it_plays_8_bit() -> None:
    images = floats(3) + np.float32(0.3 / 255)
    with served("--quantize", "8") as server:
        assert get(server.url).json()["parameters"]["bits"] == 8
        told = post(f"{server.url}/infer", json=request(images)).json()
    values = np.array(told["outputs"][0]["data"], dtype=np.float32).reshape(3, 6)
    assert np.array_equal(values, expected(floats(3)))


def test_what_was_begun_is_finished_after_sigterm() -> None:
    with served("--latency", "1.5") as server:
        found: list[int] = []

        def ask() -> None:
            answer = post(f"{server.url}/infer", json=request(floats(1)), timeout=30)
            found.append(answer.status_code)

        thread = threading.Thread(target=ask)
        thread.start()
        time.sleep(0.7)
        code = server.end(signal.SIGTERM)
        thread.join()
        assert found == [200]
        assert code in (0, -signal.SIGTERM)
        with pytest.raises(httpx.ConnectError):
            get(server.url)


def test_an_address_that_is_taken_is_one_message(server: Served) -> None:
    done = run_command("serve", "--encoder", "tiny", "--port", str(server.port))
    assert done.returncode == 2
    assert "cannot listen on 127.0.0.1" in done.stderr
    assert "Traceback" not in done.stderr


@given(body=st.binary(max_size=300), length=st.none() | st.integers(-2, 400), picture=st.booleans())
@settings(max_examples=150)
def test_no_body_makes_it_stumble(
    server: Served, body: bytes, length: int | None, picture: bool
) -> None:
    target = f"{server.root}/v1/embeddings" if picture else f"{server.url}/infer"
    headers = {} if length is None else {LENGTH: str(length)}
    assert post(target, content=body, headers=headers).status_code == 400


@given(
    fields=st.dictionaries(
        st.sampled_from(["input", "model", "encoding_format", "inputs", "outputs", "parameters"]),
        st.none()
        | st.integers()
        | st.text(max_size=20)
        | st.lists(st.text(max_size=9), max_size=3),
        max_size=4,
    )
)
@settings(max_examples=100)
def test_no_fields_make_it_stumble(server: Served, fields: dict[str, object]) -> None:
    for target in (f"{server.root}/v1/embeddings", f"{server.url}/infer"):
        assert post(target, json=fields).status_code in (400, 404)


def test_grey_and_colour_are_taken_side_by_side_by_an_encoder_of_colour() -> None:
    settings = ("--set", "encoder.size=32", "--name", "m", "--latency", "0.2")
    with served(*settings, encoder="timm:test_vit") as server:
        assert get(server.url).json()["inputs"][0]["shape"] == [-1, 3, 32, 32]
        film = np.random.default_rng(0).integers(0, 256, (1, 32, 32)).astype(np.uint8)
        grey = (film[None] / np.float32(255)).astype(np.float32)

        def ask(channels: int) -> list[float]:
            images = np.repeat(grey, channels, axis=1)
            told = post(f"{server.url}/infer", json=request(images), timeout=60).json()
            return list(told["outputs"][0]["data"])

        with ThreadPoolExecutor(8) as pool:
            found = list(pool.map(ask, [1, 3] * 8))
        assert all(each == found[0] for each in found)
        mixed = {"input": [uri(film), uri(film, mode="RGB")]}
        answer = post(f"{server.root}/v1/embeddings", json=mixed, timeout=60).json()
        assert answer["data"][0]["embedding"] == answer["data"][1]["embedding"]


def test_nonsense_of_one_client_fails_nobody_beside_it() -> None:
    """Very large pixels of one client overflow the encoder; other clients get their answers."""
    with served("--latency", "0.3", encoder="timm:test_vit") as server:
        side = get(server.url).json()["inputs"][0]["shape"][-1]
        good, bad = np.full((1, 1, side, side), 0.5), np.full((1, 1, side, side), 3e38)

        def ask(images: NDArray[np.floating]) -> int:
            return post(f"{server.url}/infer", json=request(images), timeout=60).status_code

        with ThreadPoolExecutor(6) as pool:
            codes = list(pool.map(ask, [good, bad, good, bad, good, good]))
        assert codes == [200, 500, 200, 500, 200, 200]


def test_a_client_that_breaks_off_harms_nobody(server: Served) -> None:
    for piece in (b"POST /v2/mod", b"POST /v2/models/tiny/infer HTTP/1.1\r\nHost: x\r\n"):
        with socket.create_connection(("127.0.0.1", server.port)) as link:
            link.sendall(piece + b"Content-Length: 99\r\n\r\nabc")
    answer = post(f"{server.url}/infer", json=request(floats(1)))
    assert answer.status_code == 200


HEAD = b"POST /v2/models/tiny/infer HTTP/1.1\r\nHost: x\r\n"
READ = b"GET /v2 HTTP/1.1\r\nHost: x\r\n\r\n"


@pytest.mark.parametrize(
    "content",
    [
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n0\r\n" + b"X-1: y\r\n" * 100_000,
        READ * 50_000,
        HEAD + b"X: " + b"y" * 5_000_000,
        READ[:-2] + b"X: " + b"y" * 40_000 + b"\r\n\r\n",
        READ.replace(b"/v2", b"/v2?" + b"y" * 40_000),
    ],
    ids=[
        "endless trailers",
        "endless pipelined requests",
        "an endless header",
        "a long header",
        "a long address",
    ],
)
def test_endless_requests_are_cut_off(server: Served, content: bytes) -> None:
    with socket.create_connection(("127.0.0.1", server.port), 20) as line:
        with contextlib.suppress(OSError):  # the server closes before everything is sent
            line.sendall(content)
        received, beginning = 0, b""
        with contextlib.suppress(ConnectionResetError):
            while part := line.recv(65_536):
                received += len(part)
                beginning = beginning or part[:20]
    assert received < 100_000
    assert b" 200 " not in beginning or content.startswith(READ * 2)
    assert get(f"{server.root}/v2/health/live").status_code == 200


def test_a_refusal_is_read_also_while_a_large_body_is_sent(server: Served) -> None:
    with socket.create_connection(("127.0.0.1", server.port), 20) as line:
        head = HEAD.replace(b"tiny", b"nobody")
        line.sendall(head + b"Content-Length: 1000000\r\n\r\n")
        for _ in range(10):
            time.sleep(0.01)
            line.sendall(b"x" * 100_000)
        assert b" 404 " in line.recv(65_536)
