"""Connecting to a service: certificate, key, and the choice of a wire."""

from __future__ import annotations

import datetime
import json
import ssl
import traceback
from pathlib import Path
from urllib.parse import quote

import pytest
import torch
import trustme
from rented import connected, films, right, service
from scripted import http, says, scripted
from zobench_encoders.remote.exchange import ServiceReply
from zobench_encoders.remote.inference import InferenceService, read_metadata
from zobench_encoders.remote.service_text import ServiceText

from zobench.errors import ConfigError, ServiceError


def test_a_vendors_key_that_goes_to_another_address_is_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "k-secret-9")
    monkeypatch.setenv("ZOBENCH_API_KEY", "k-secret-8")
    answer = says(http(b'{"data": [{"embedding": [1.0, 2.0]}]}'))
    for settings, told in (
        ({"kind": "openai"}, "the key of OPENAI_API_KEY was sent to 127.0.0.1:"),
        ({"kind": "openai", "key_env": "OPENAI_API_KEY"}, ""),
        ({"kind": "oip"}, ""),
    ):
        with scripted() as server:
            server.script.extend([answer] if told or "key_env" in settings else [])
            encoder = connected(server.url, **settings)
            encoder.close()
            assert server.asked[0].headers["authorization"].startswith("Bearer k-secret-")
        assert len(encoder.spec.notes) == bool(told)
        assert not told or encoder.spec.notes[0].startswith(told)
        assert "k-secret" not in repr(encoder.spec)


@pytest.mark.parametrize("when", ["expired", "valid"])
def test_certificates_are_checked(
    when: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    monkeypatch.setattr(
        "zobench_encoders.remote.address.is_loopback", lambda host: False
    )  # SSL_CERT_FILE is ignored for loopback addresses
    ends = datetime.datetime.now(datetime.UTC)
    ends += datetime.timedelta(days=-1 if when == "expired" else 1)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1", not_after=ends).configure_cert(context)
    with scripted(context=context) as server:
        url = server.url.replace("http:", "https:")
        if when == "valid":
            encoder = connected(url)
            assert torch.equal(encoder.embed(films(2)), right(films(2)))
            encoder.close()
        else:
            with pytest.raises(ServiceError, match=r"certificate is not valid.*expired"):
                connected(url)


def test_the_key_is_sent_and_shown_nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_KEY", "k-secret-9")
    told = says(http(b'{"error": "bad key k-secret-9"}', "401 Unauthorized"))
    with service(told, key_env="MY_KEY") as (server, encoder):
        with pytest.raises(ServiceError) as caught:
            encoder.embed(films(1))
        assert server.asked[0].headers["authorization"] == "Bearer k-secret-9"
        assert "k-secret-9" not in str(caught.value)
        assert "bad key ***" in str(caught.value)
        assert "k-secret-9" not in repr(encoder.account._rows) + repr(encoder.spec)


KEY = "sk-se/cret+ab12=="


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (KEY, "text/plain"),
        (json.dumps({"error": KEY}), "application/json"),
        (json.dumps({"error": KEY}).replace("/", r"\/"), "application/json"),  # as PHP writes it
        (KEY.replace("=", r"\u003d").replace("+", r"\u002B"), "application/json"),  # as Gson does
        (quote(KEY, safe=""), "text/plain"),
        (quote(KEY, safe="").lower(), "text/plain"),
        (KEY.replace("/", "&#47;").replace("+", "&#x2B;").replace("=", "&#061;"), "text/plain"),
        (f"<p>bad {KEY[:5]}<wbr>{KEY[5:]}</p>", "text/html"),
        (f"<p>bad {KEY[:5]}<wbr></b>{KEY[5:]}</p>", "text/html"),
        (KEY.replace("/", "&sol;").replace("+", "&plus;").replace("=", "&equals;"), "text/plain"),
        (json.dumps(KEY.replace("/", r"\/"))[1:-1], "text/plain"),  # JSON inside JSON
        ("".join(f"%{byte:02X}" for byte in KEY.encode()), "text/plain"),
    ],
)
def test_a_key_that_comes_back_in_another_form_is_shown_nowhere(body: str, kind: str) -> None:
    shown = ServiceText(KEY).of_body(f"no: {body}!".encode(), kind)
    assert "***" in shown
    rest = shown.replace("***", "").replace('{"error": "', "").replace('"}', "")
    assert " ".join(rest.split()) in ("no: !", "no: bad !")


@pytest.mark.parametrize("kind", ["text/plain", "text/html"])
@pytest.mark.parametrize("key", ["\\" * 60 + "x", "a\\\\b", KEY])
def test_a_body_that_ends_within_the_key_or_is_full_of_it_shows_none_of_it(
    key: str, kind: str
) -> None:
    text = ServiceText(key)
    assert "***" in text.of_body(f"no {key}!".encode(), kind)
    assert "***" in text.of_body(f"no {json.dumps(key)[1:-1]}!".encode(), kind)
    for size in (16_384, 65_536):
        body = b"<b>" * ((size - 5) // 3) + key.encode() * 9
        assert key[:3] not in text.of_body(body, kind)


def test_what_is_not_the_key_is_shown() -> None:
    told = ServiceText("a&b", None, "", "trial-key-1").of_body(b"a b, a&amp;c, trial-key", "")
    assert told == "a b, a&amp;c, trial-key"


def test_texts_of_a_templates_headers_are_shown_nowhere(tmp_path: Path) -> None:
    own = tmp_path / "own.toml"
    lines = ['request = {input = "$images"}', 'item = "$base64"', 'answer = "v"', "[headers]"]
    for words in ('Accept = "application/json"', 'X-Auth = "Token hidden-one-7"'):
        own.write_text("\n".join([*lines, words]))
        said = b"hidden-one-7 is wrong, application/json expected"
        refusing = scripted(says(http(said, "403 Forbidden")))
        with refusing as server, pytest.raises(ServiceError) as shown:
            connected(server.url, "custom", template=str(own), size=4)
        assert ("hidden-one-7" in str(shown.value)) == ("Accept" in words)
        assert "application/json expected" in str(shown.value)
    own.write_text("\n".join([*lines, 'authorization = "Bearer hidden-one-7"']))
    with pytest.raises(ConfigError, match="authorization is the header of the key"):
        connected(server.url, "custom", template=str(own), size=4)
    own.write_text("\n".join([*lines, 'x-api-key = "hidden-one-7"']))
    with scripted(says(http(b"denied for hidden-one-7", "403 Forbidden"))) as server:
        with pytest.raises(ServiceError, match=r"denied for \*\*\*") as caught:
            connected(server.url, "custom", template=str(own), size=4)
        assert server.asked[0].headers["x-api-key"] == "hidden-one-7"
        assert "hidden-one-7" not in str(caught.value)
    own.write_text("\n".join([*lines, 'x-api-key = "hidden-one-7 "']))
    with pytest.raises(ConfigError, match="value of the header x-api-key must be") as refused:
        connected(server.url, "custom", template=str(own), size=4)
    assert "hidden-one-7" not in str(refused.value)


def test_a_key_that_a_service_repeats_in_an_answer_is_shown_nowhere(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("MY_KEY", "k-secret-9")
    told = says(http(b'{"outputs": [{"name": "k-secret-9", "shape": "k-secret-9"}]}'))
    with service(told, key_env="MY_KEY", retries=0) as (_, encoder):
        with pytest.raises(ServiceError, match=r"'\*\*\*' has shape") as caught:
            encoder.embed(films(1))
        shown = "".join(traceback.format_exception(caught.value))
        assert "k-secret-9" not in shown + repr(encoder.account._rows)


def test_binary_is_tried_first_and_json_when_a_server_stumbles_over_it() -> None:
    with scripted(says(http(b"oops", "500 Internal Server Error"))) as server:
        encoder = connected(server.url, wire="auto", retries=0)
        assert encoder.spec.settings["wire"] == "json"
        assert "inference-header-content-length" in server.asked[0].headers
        assert encoder.account.bill.total().images_maybe_billed == 1
        encoder.close()
    with scripted() as server:
        encoder = connected(server.url, wire="auto")
        assert encoder.spec.settings["wire"] == "binary"
        encoder.close()


@pytest.mark.parametrize(
    ("url", "word"),
    [
        ("", "encoder-url"),
        ("ftp://127.0.0.1/x", "encoder-url"),
        ("http://", "encoder-url"),
        ("http://a..b/v2/models/x", "cannot be a host"),
        (f"http://{'a' * 70}.com/v2/models/x", "cannot be a host"),
        ("http://127.0.0.1:9/v2/models/x\a", "a character that cannot be printed"),
        ("http://exa mple.org/v2/models/x", "holds a blank"),
        ("http://me:pw@host/x", "environment variable"),
        ("https://host/x?key=abc", "environment variable"),
        ("http://host:99999/", "cannot be read"),
    ],
)
def test_addresses_that_cannot_be_used_or_hold_secrets_are_refused(url: str, word: str) -> None:
    with pytest.raises(ConfigError, match=word) as caught:
        connected(url)
    assert "pw" not in str(caught.value)
    assert "abc" not in str(caught.value)


def test_certificates_that_cannot_be_read_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", "/nowhere/certificates.pem")
    with pytest.raises(
        ConfigError, match=r"SSL_CERT_FILE=/nowhere/certificates\.pem cannot be read"
    ):
        connected("https://example.invalid/v2/models/x")


def test_what_is_no_model_of_images_is_refused() -> None:
    with scripted() as server:
        server.model["inputs"][0]["datatype"] = "BYTES"
        with pytest.raises(ConfigError, match="does not describe a model"):
            connected(server.url)


@pytest.mark.parametrize(
    ("told", "chunk", "sent"),
    [
        ({"max_images": 8}, 0, 8),
        ({"max_images": 8, "block": 4}, 0, 4),
        ({"max_images": 8, "block": 4}, 64, 8),
        ({}, 0, 32),
        ({"max_body": 4096 + 3 * 64}, 0, 3),
    ],
)
def test_no_request_has_more_images_than_the_model_takes(
    told: dict[str, int], chunk: int, sent: int
) -> None:
    inputs = [{"name": "x", "datatype": "FP32", "shape": [-1, 1, 4, 4]}]
    reply = ServiceReply({}, json.dumps({"inputs": inputs, "parameters": told}).encode())
    metadata = read_metadata("http://127.0.0.1:9", reply, 4, 1)
    service = InferenceService("http://127.0.0.1:9", metadata, "binary", chunk)
    assert service.properties.chunk == sent


def test_no_image_is_no_request() -> None:
    with service() as (server, encoder):
        dimension = encoder.spec.embedding_dim
        assert encoder.embed(films(0)).shape == (0, dimension)
        assert not server.asked
