"""Tensors in requests: bytes written by hand from the protocol's text, and malformed input."""

from __future__ import annotations

import json
import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zobench.serving.oip import HEADER, WireError, read_tensors, write_tensor

TENSOR = np.array([[0.1, -2.0, 3.5]], dtype=np.float32)


def test_a_tensor_is_written_as_the_protocol_says() -> None:
    body, headers = write_tensor("inputs", "x", TENSOR, binary=False, fields={"id": "7"})
    told = json.loads(body)
    assert told["id"] == "7"
    (entry,) = told["inputs"]
    assert (entry["name"], entry["shape"], entry["datatype"]) == ("x", [1, 3], "FP32")
    assert np.array_equal(np.array(entry["data"], dtype=np.float32), TENSOR[0])
    assert HEADER not in headers


def test_raw_bytes_follow_the_json_part_and_the_header_tells_where() -> None:
    body, headers = write_tensor("outputs", "y", TENSOR, binary=True)
    cut = int(headers["Inference-Header-Content-Length"])
    (entry,) = json.loads(body[:cut])["outputs"]
    assert entry["parameters"] == {"binary_data_size": 12}
    assert "data" not in entry
    assert body[cut:] == struct.pack("<3f", 0.1, -2.0, 3.5)


def test_several_tensors_of_several_types_are_read_in_order() -> None:
    entries = [
        {"name": "a", "shape": [2], "datatype": "FP64", "parameters": {"binary_data_size": 16}},
        {"name": "b", "shape": [1, 2], "datatype": "FP32", "data": [[1, 2.5]]},
        {"name": "c", "shape": [1], "datatype": "FP16", "parameters": {"binary_data_size": 2}},
    ]
    said = json.dumps({"inputs": entries}).encode()
    body = said + struct.pack("<2d", 1.5, 2.5) + struct.pack("<e", 0.5)
    _, found = read_tensors("inputs", body, str(len(said)))
    assert {name: values.tolist() for name, values in found.items()} == {
        "a": [1.5, 2.5],
        "b": [[1.0, 2.5]],
        "c": [0.5],
    }
    assert {values.dtype.name for values in found.values()} == {"float32"}


@given(
    values=st.lists(st.floats(width=32, allow_nan=False), min_size=1, max_size=20),
    binary=st.booleans(),
)
@settings(deadline=None)
def test_floats_arrive_bit_for_bit(values: list[float], binary: bool) -> None:
    tensor = np.array(values, dtype=np.float32)
    if not binary and not np.isfinite(tensor).all():
        return  # JSON has no infinity
    body, headers = write_tensor("inputs", "x", tensor, binary=binary)
    _, found = read_tensors("inputs", body, headers.get(HEADER))
    assert found["x"].tobytes() == tensor.tobytes()


def entry(**changes: object) -> dict[str, object]:
    return {"name": "x", "shape": [2], "datatype": "FP32", "data": [1, 2], **changes}


@pytest.mark.parametrize(
    ("body", "length", "word"),
    [
        (b"", None, "cannot be read"),
        (b"[]", None, "no list of objects"),
        (b'{"inputs": 3}', None, "no list of objects"),
        (b'{"inputs": [3]}', None, "no list of objects"),
        (b"{}", "3", "but the body has 2 bytes"),
        (b"{}", "-1", "but the body has 2 bytes"),
        (b"{}", "two", "but the body has 2 bytes"),
        ([entry(name=3)], None, "names of their own"),
        ([entry(), entry()], None, "names of their own"),
        ([entry(shape=[3])], None, "has 2 numbers; its shape is \\[3\\]"),
        ([entry(shape=[-2])], None, "whole numbers"),
        ([entry(shape="2")], None, "whole numbers"),
        ([entry(shape=[1] * 9)], None, "whole numbers"),
        ([entry(shape=[True, 2])], None, "whole numbers"),
        ([entry(datatype="BYTES")], None, "datatype 'BYTES'"),
        ([entry(datatype=["FP32"])], None, "datatype"),
        ([entry(shape=[0, *[2**31 - 1] * 4], data=[])], None, "cannot have shape"),
        ([entry(data=["1", "2"])], None, "other than numbers"),
        ([entry(data=[None, 1])], None, "other than numbers"),
        ([entry(data=[[1], [1, 2]])], None, "ragged"),
        ([entry(data=None)], None, "neither a list"),
        ([entry(parameters={"binary_data_size": 8})], None, "8 bytes, but 0 are left"),
        ([entry(parameters={"binary_data_size": -8})], None, "whole number"),
        (
            [
                entry(parameters={"binary_data_size": 7}),
            ],
            None,
            "7 bytes",
        ),
    ],
)
def test_nonsense_is_named(body: object, length: str | None, word: str) -> None:
    raw = body if isinstance(body, bytes) else json.dumps({"inputs": body}).encode()
    with pytest.raises(WireError, match=word):
        read_tensors("inputs", raw, length)


def test_bytes_after_the_last_tensor_are_named() -> None:
    said = json.dumps({"inputs": [entry()]}).encode()
    with pytest.raises(WireError, match="4 bytes follow"):
        read_tensors("inputs", said + b"more", str(len(said)))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["inputs", "name", "shape", "datatype", "data", "parameters"])
            | st.text(max_size=4),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(message=JSON, tail=st.binary(max_size=16), length=st.none() | st.text(max_size=4))
@settings(deadline=None, max_examples=400)
def test_whatever_comes_there_is_one_kind_of_error(
    message: object, tail: bytes, length: str | None
) -> None:
    body = json.dumps({"inputs": [message]}).encode() + tail
    for each in (length, str(len(body) - len(tail)), None):
        try:
            read_tensors("inputs", body, each)
        except WireError:
            continue


@given(body=st.binary(max_size=200), length=st.none() | st.integers(-3, 300).map(str))
def test_any_bytes_give_tensors_or_one_kind_of_error(body: bytes, length: str | None) -> None:
    try:
        read_tensors("inputs", body, length)
    except WireError:
        return
