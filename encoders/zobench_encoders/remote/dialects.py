"""The dialects of all known services; ``http:custom`` reads a dialect from a file.

The fields are those of :class:`~zobench_encoders.remote.pictures.Dialect`.

Sources: the services' published references, and the code of Infinity 0.0.78 and vLLM.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import orjson

from zobench.contracts.parameters import nearest
from zobench.errors import ConfigError

from .pictures import IMAGES, WORDS, Dialect, texts

MEGABYTE = 10**6
HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
"""A token (RFC 9110, 5.6.2)."""
PICTURES, MODEL = ("$base64", "$uri"), "$model"
"""Words of a template that stand for a picture and for the model's name."""
FRAMING = ("content-length", "transfer-encoding", "connection", "host")
"""Headers that say where a request ends and where it goes."""

DIALECTS: dict[str, Dialect] = {
    # Infinity, zobench serve, and other services with OpenAI's embeddings API
    "openai": Dialect(
        request={
            "model": "$model",
            "input": "$images",
            "modality": "image",
            "encoding_format": "float",
        },
        item="$uri",
        answer="data[].embedding",
        path="/embeddings",
        chunk=32,
        key_env="OPENAI_API_KEY",
    ),
    "vllm": Dialect(
        request={
            "model": "$model",
            "messages": [{"role": "user", "content": "$images"}],
            "encoding_format": "float",
        },
        item={"type": "image_url", "image_url": {"url": "$uri"}},
        answer="data[].embedding",
        path="/embeddings",
        key_env="VLLM_API_KEY",
    ),
    "voyage": Dialect(
        request={"model": "$model", "inputs": "$images", "truncation": False},
        item={"content": [{"type": "image_base64", "image_base64": "$uri"}]},
        answer="data[].embedding",
        path="/multimodalembeddings",
        url="https://api.voyageai.com/v1",
        chunk=64,
        bytes=20 * MEGABYTE,
        key_env="VOYAGE_API_KEY",
        key_needed=True,
    ),
    "cohere": Dialect(
        request={
            "model": "$model",
            "input_type": "image",
            "images": "$images",
            "embedding_types": ["float"],
        },
        item="$uri",
        answer="embeddings.float",
        path="/embed",
        url="https://api.cohere.com/v2",
        chunk=1,
        bytes=20 * MEGABYTE,
        key_env="CO_API_KEY",
        key_needed=True,
    ),
    "jina": Dialect(
        request={"model": "$model", "input": "$images", "embedding_type": "float"},
        item={"image": "$base64"},
        answer="data[].embedding",
        path="/embeddings",
        url="https://api.jina.ai/v1",
        chunk=32,
        key_env="JINA_API_KEY",
        key_needed=True,
    ),
    # Vertex AI: the address ends with :predict
    "vertex": Dialect(
        request={"instances": "$images"},
        item={"image": {"bytesBase64Encoded": "$base64"}},
        answer="predictions[].imageEmbedding",
        bytes=int(1.5 * MEGABYTE),
        key_env="VERTEX_ACCESS_TOKEN",
        key_needed=True,
    ),
    "medsiglip": Dialect(
        request={"instances": "$images"},
        item={"image": {"input_bytes": "$base64"}},
        answer="predictions[].embedding",
        chunk=8,
        bytes=int(1.5 * MEGABYTE),
        key_env="VERTEX_ACCESS_TOKEN",
        key_needed=True,
    ),
    "cxr-foundation": Dialect(
        request={"instances": "$images"},
        item={"input_bytes": "$base64"},
        answer="predictions[].general_img_emb",
        chunk=8,
        bytes=int(1.5 * MEGABYTE),
        key_env="VERTEX_ACCESS_TOKEN",
        key_needed=True,
    ),
    # Hugging Face inference endpoints answer every failure with 400
    "huggingface": Dialect(
        request={"inputs": "$images"},
        item="$base64",
        answer="",
        key_env="HF_TOKEN",
        failures_are_400=True,
    ),
}


def read_dialect(path: Path) -> Dialect:
    """A dialect from a TOML file with the fields of :class:`~.pictures.Dialect`.

    Raises:
        ConfigError: The file cannot be read, or a field is unknown, missing or of another type.
    """
    try:
        content = tomllib.loads(path.read_text())
        orjson.dumps([content.get(name) for name in ("request", "item")])
    except (OSError, ValueError) as error:  # no TOML, no UTF-8, or a number of thousands of digits
        raise ConfigError(f"the template {path} cannot be read: {error}") from error
    except (TypeError, RecursionError) as error:
        raise ConfigError(
            f"the template {path} cannot be sent as JSON: its request or item is nested too deep, or "
            f"holds what JSON has not ({error})"
        ) from error
    declared = {field.name: field for field in fields(Dialect)}
    for name, value in content.items():
        if name not in declared:
            raise ConfigError(f"{path}: there is no field {name!r}{nearest(name, declared)}")
        type_ = {"str": str, "int": int, "bool": bool}.get(str(declared[name].type))
        if type_ is not None and type(value) is not type_:
            raise ConfigError(f"{path}: {name} is {value!r}, but must be {type_.__name__}")
    missing = {"request", "item", "answer"} - set(content)
    if missing:
        raise ConfigError(f"{path}: {', '.join(sorted(missing))} must be given")
    if content.get("chunk", 1) < 1:
        raise ConfigError(f"{path}: chunk is {content['chunk']}, but must be at least 1")
    if content["answer"].count("[]") > 1:
        raise ConfigError(
            f"{path}: answer is {content['answer']!r}, but one list holds the images: [] may stand "
            "once; leave out the lists inside an entry"
        )
    _check_headers(path, content)
    _check_words(path, content)
    return Dialect(**content)


def _check_words(path: Path, content: Mapping[str, Any]) -> None:
    """Refuses templates that would send no picture, or a word that nothing fills in."""
    request, item = texts(content["request"]), texts(content["item"])
    if IMAGES not in request:
        raise ConfigError(
            f'{path}: request must hold "$images", in place of the list of the images'
        )
    if not any(word in PICTURES for text in item for word in WORDS.findall(text)):
        raise ConfigError(f"{path}: item must hold $base64 or $uri, in place of the picture")
    for name, inside, allowed in (
        ("request", [word for word in request if word != IMAGES], (MODEL,)),
        ("item", item, (*PICTURES, MODEL)),
    ):
        for word in (word for text in inside for word in WORDS.findall(text)):
            if word == IMAGES:
                raise ConfigError(f'{path}: in {name}, "$images" must stand alone')
            if word not in allowed:
                raise ConfigError(
                    f"{path}: {name} holds {word}, which nothing stands for"
                    f"{nearest(word, allowed)}; it may hold {', '.join(allowed)}"
                )


def _check_headers(path: Path, content: Mapping[str, Any]) -> None:
    """Refuses headers that no request can have, before one is sent."""
    headers = content.get("headers", {})
    if not isinstance(headers, dict):
        raise ConfigError(
            f"{path}: headers is {headers!r:.80}, but must be a table of names and texts"
        )
    of_key = content.get("header", Dialect.header)
    if taken := next((name for name in headers if name.lower() == of_key.lower()), None):
        raise ConfigError(
            f"{path}: {taken} is the header of the key: put the key into an environment variable "
            "(key_env), with what stands before it in scheme, or name another header for the key"
        )
    named = {**headers, of_key: content.get("scheme", Dialect.scheme)}
    for name, value in named.items():
        if not HEADER_NAME.fullmatch(name):
            raise ConfigError(
                f"{path}: {name!r:.80} cannot be the name of a header; use letters, digits, - and _"
            )
        if name.lower() in FRAMING:
            raise ConfigError(f"{path}: the header {name} is set by zobench itself; leave it out")
        text = isinstance(value, str) and value.isascii() and value.isprintable()
        if not text or (name in headers and value != value.strip()):
            raise ConfigError(
                f"{path}: the value of the header {name} must be a text of printable ASCII characters, "
                "without blanks around it"  # it may be a secret, and is not shown
            )


def list_services() -> list[str]:
    """The names of all services, which may follow ``http:``."""
    return ["oip", *DIALECTS, "custom"]
