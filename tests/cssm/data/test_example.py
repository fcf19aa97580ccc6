"""tf.train.Example, encoded and decoded."""

from __future__ import annotations

from contextlib import suppress

import numpy as np
import pytest
from cssm.data.example import ExampleError, decode, encode
from hypothesis import given, settings
from hypothesis import strategies as st

int64 = st.integers(-(2**63), 2**63 - 1)
values = (
    st.lists(st.binary(max_size=200), max_size=4)
    | st.lists(int64, max_size=4).map(lambda v: np.array(v, np.int64))
    | st.lists(st.floats(width=32, allow_nan=False), max_size=4).map(lambda v: np.array(v, np.float32))
)


@settings(max_examples=60, deadline=None)
@given(st.dictionaries(st.text(max_size=5), values, max_size=4))
def test_round_trip(features):
    decoded = decode(encode(features))
    assert decoded.keys() == features.keys()
    for key, value in features.items():
        if isinstance(value, list):
            assert decoded[key] == value
        else:
            assert decoded[key].dtype == value.dtype
            np.testing.assert_array_equal(decoded[key], value)


def test_bytes_written():
    # Features { feature { key: "a" value { int64_list { value: [-1, 3] } } } feature { key: "b" ... bytes_list "x" } }
    minus_one = "ff" * 9 + "01"
    first = "0a14 0a0161 120f 1a0d 0a0b" + minus_one + "03"
    second = "0a0a 0a0162 1205 0a03 0a0178"
    expected = bytes.fromhex(f"0a22 {first} {second}")
    assert encode({"b": b"x", "a": [-1, 3]}) == expected
    assert decode(expected)["a"].tolist() == [-1, 3]


READ = {
    "unpacked integers": ("0a0d 0a0b 0a0161 1206 1a04 0805 0806", {"a": [5, 6]}),
    "unpacked floats": ("0a13 0a11 0a0161 120c 120a 0d0000803f 0d00000040", {"a": [1.0, 2.0]}),
    "value before key": ("0a0c 0a0a 1205 0a03 0a0178 0a0161", {"a": [b"x"]}),
    "last of a key": ("0a18 0a0a 0a0161 1205 0a03 0a0178 0a0a 0a0161 1205 0a03 0a0179", {"a": [b"y"]}),
    "last of a oneof": ("0a11 0a0f 0a0161 120a 0a03 0a0178 1a03 0a0107", {"a": [7]}),
    "unknown fields": ("1001 0a0c 0a0a 0a0161 1205 0a03 0a0178 1a0161 25 00000000 29 0000000000000000", {"a": [b"x"]}),
    "nothing": ("", {}),
    "no kind": ("0a07 0a05 0a0161 1200", {"a": []}),
}


@pytest.mark.parametrize("case", READ)
def test_forms_a_reader_must_take(case):
    payload, expected = READ[case]
    assert {key: list(value) for key, value in decode(bytes.fromhex(payload)).items()} == expected


BROKEN = {
    "0a": "a varint is cut short",
    "0a05": "a field of 5 bytes in a message that ends",
    "0b": "wire type 3",
    "0a" + "ff" * 10: "a varint of more than 10 bytes",
    "0801": "got a varint, expected bytes",
    "0a0c 0a0a 0a0161 1205 1203 0a0178": "a list of floats has 1 bytes",
    "0a07 0a05 0a01ff 1200": "a key is not UTF-8",
}


@pytest.mark.parametrize("payload", BROKEN)
def test_broken(payload):
    with pytest.raises(ExampleError, match=BROKEN[payload]):
        decode(bytes.fromhex(payload))


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=60))
def test_any_bytes_decode_or_are_refused(payload):
    with suppress(ExampleError):
        decode(payload)


def test_refused():
    with pytest.raises(TypeError, match=r"a: got 'text', expected bytes, floats or integers"):
        encode({"a": "text"})
    with pytest.raises(ValueError, match=r"a: got .*, expected integers of 64 bits with a sign"):
        encode({"a": np.array([2**63], np.uint64)})
