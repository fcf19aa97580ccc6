"""tf.train.Example in its protobuf wire format, without protobuf.

Example: field 1, Features: field 1, entries {1: key, 2: Feature} of a map. Feature: one of 1 BytesList, 2 FloatList,
3 Int64List, each of values in field 1, those of numbers packed or not. Source: data specification 2.1.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np

Values: TypeAlias = "list[bytes] | np.ndarray"

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_BYTES_LIST, _FLOAT_LIST, _INT64_LIST = 1, 2, 3


class ExampleError(ValueError):
    """Bytes that are no Example."""


def encode(features: Mapping[str, Any]) -> bytes:
    """The Example of features by name, keys sorted: the same bytes for the same features.

    Args:
      features: bytes or a sequence of bytes; floats or a floating array (stored as float32); integers, booleans or an
        integer array (stored as int64). An empty list has to be an array, to have a type; [] is one of bytes.

    Raises:
      TypeError: a value of another type.
      ValueError: an integer outside of int64.
    """
    entries = []
    for key in sorted(features):
        kind, values = _encode_values(key, features[key])
        feature = _field(kind, values)
        entries.append(_field(1, _field(1, key.encode()) + _field(2, feature)))
    return _field(1, b"".join(entries))


def decode(payload: bytes | memoryview) -> dict[str, Values]:
    """The features of an Example: a list of bytes, or an array (n,) of float32 or int64.

    Packed and unpacked numbers, entries in any order, unknown fields; of a key that comes twice the last entry counts.

    Raises:
      ExampleError: the bytes are no Example.
    """
    features: dict[str, Values] = {}
    for number, message in _fields(memoryview(payload)):
        if number == 1:
            for entry_number, entry in _fields(_message(message)):
                if entry_number == 1:
                    key, feature = _entry(_message(entry))
                    features[key] = feature
    return features


def _encode_values(key: str, value: Any) -> tuple[int, bytes]:
    if isinstance(value, bytes):
        value = [value]
    if isinstance(value, Sequence) and all(isinstance(v, bytes) for v in value):
        return _BYTES_LIST, b"".join(_field(1, v) for v in value)
    array = np.atleast_1d(np.asarray(value))
    if array.ndim == 1 and array.dtype.kind == "f":
        packed = array.astype("<f4").tobytes()
        return _FLOAT_LIST, _field(1, packed) if packed else b""
    if array.ndim == 1 and array.dtype.kind in "iub":
        if array.dtype == np.uint64 and (array > np.iinfo(np.int64).max).any():
            raise ValueError(f"{key}: got {value!r}, expected integers of 64 bits with a sign")
        packed = b"".join(_varint(int(v) & (1 << 64) - 1) for v in array)
        return _INT64_LIST, _field(1, packed) if packed else b""
    raise TypeError(f"{key}: got {value!r}, expected bytes, floats or integers, or a sequence of one of them")


def _field(number: int, content: bytes) -> bytes:
    return b"".join((bytes((number << 3 | _BYTES,)), _varint(len(content)), content))


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _entry(message: memoryview) -> tuple[str, Values]:
    key, feature = "", []  # type: str, Values
    for number, content in _fields(message):
        if number == 1:
            try:
                key = str(_message(content), "utf-8")
            except UnicodeDecodeError as error:
                raise ExampleError(f"a key is not UTF-8: {error}") from error
        elif number == 2:
            feature = _feature(_message(content))
    return key, feature


def _feature(message: memoryview) -> Values:
    kind, parts = _BYTES_LIST, []  # type: int, list[memoryview]
    for number, content in _fields(message):
        if number in (_BYTES_LIST, _FLOAT_LIST, _INT64_LIST):
            if number != kind:  # of a oneof the last kind counts; of one kind the lists are joined
                kind, parts = number, []
            parts.append(_message(content))
    values = [value for part in parts for number, value in _fields(part) if number == 1]
    if kind == _BYTES_LIST:
        return [bytes(_message(value)) for value in values]
    return _floats(values) if kind == _FLOAT_LIST else _integers(values)


def _floats(values: list[int | memoryview]) -> np.ndarray:
    data = b"".join(_message(value) for value in values)
    if len(data) % 4:
        raise ExampleError(f"a list of floats has {len(data)} bytes, expected a multiple of 4")
    return np.frombuffer(data, "<f4").astype(np.float32)


def _integers(values: list[int | memoryview]) -> np.ndarray:
    out = []
    for value in values:
        if isinstance(value, int):
            out.append(value)
            continue
        at = 0
        while at < len(value):
            integer, at = _read_varint(value, at)
            out.append(integer)
    return np.array(out, np.uint64).view(np.int64)


def _message(content: int | memoryview) -> memoryview:
    if isinstance(content, int):
        raise ExampleError("got a varint, expected bytes")
    return content


def _fields(message: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """(number, content): varints as integers, the rest as bytes."""
    at, end = 0, len(message)
    while at < end:
        tag, at = _read_varint(message, at)
        number, wire = tag >> 3, tag & 7
        if wire == _VARINT:
            value, at = _read_varint(message, at)
            yield number, value
            continue
        if wire == _BYTES:
            size, at = _read_varint(message, at)
        elif wire in (_FIXED32, _FIXED64):
            size = 4 if wire == _FIXED32 else 8
        else:
            raise ExampleError(f"byte {at}: wire type {wire}, expected 0, 1, 2 or 5")
        if at + size > end:
            raise ExampleError(f"byte {at}: a field of {size} bytes in a message that ends at byte {end}")
        yield number, message[at : at + size]
        at += size


def _read_varint(message: memoryview, at: int) -> tuple[int, int]:
    if at < len(message) and message[at] < 0x80:  # most of them
        return message[at], at + 1
    value = 0
    for shift in range(0, 70, 7):
        if at == len(message):
            raise ExampleError(f"byte {at}: a varint is cut short")
        byte = message[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value & (1 << 64) - 1, at
    raise ExampleError(f"byte {at}: a varint of more than 10 bytes")
