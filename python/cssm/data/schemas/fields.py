"""Reading single values out of features."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from cssm.data.example import Values


def integer(features: Mapping[str, Values], key: str) -> int:
    """The value of an int64[1].

    Raises:
      ValueError: there is none.
    """
    value = features.get(key)
    if not isinstance(value, np.ndarray) or value.dtype != np.int64 or len(value) != 1:
        raise ValueError(f"feature {key}: got {value!r}, expected int64[1]")
    return int(value[0])


def data(features: Mapping[str, Values], key: str) -> bytes:
    """The value of a bytes[1].

    Raises:
      ValueError: there is none.
    """
    value = features.get(key)
    if not isinstance(value, list) or len(value) != 1:
        raise ValueError(f"feature {key}: got {type(value).__name__}, expected bytes[1]")
    return value[0]


def array(features: Mapping[str, Values], key: str, dtype: str, shape: tuple[int, ...]) -> np.ndarray:
    """The array whose bytes, little-endian and in C order, are the value of a bytes[1]; it cannot be written to.

    Raises:
      ValueError: there is none, or not as many bytes.
    """
    content, expected = data(features, key), int(np.prod(shape)) * np.dtype(dtype).itemsize
    if len(content) != expected:
        raise ValueError(f"feature {key}: got {len(content)} bytes, expected {expected} of {shape} {dtype}")
    return np.frombuffer(content, dtype).reshape(shape)


def has(features: Mapping[str, Values], **kinds: type) -> bool:
    """Whether features have values of these kinds, `bytes` or `int`."""
    for key, kind in kinds.items():
        value = features.get(key)
        if not (isinstance(value, list) if kind is bytes else getattr(value, "dtype", None) == np.int64):
            return False
    return True
