"""Pickles of nested containers of numbers, strings and arrays, read without running what is in them.

A pickle is a program: `pickle.load` calls whatever it names. Here it can name the few constructors below and nothing else,
none of which opens, imports or executes anything.
"""

from __future__ import annotations

import argparse
import codecs
import collections
import io
import pickle
from collections.abc import Callable, Mapping
from typing import Any

import ml_dtypes
import numpy as np


class RefusedPickle(ValueError):
    """The file names something that a checkpoint has no use for."""


class _FromBuffer:
    """How NumPy builds an array from its bytes in protocol 5."""

    __slots__ = ()  # a pickle may set attributes of what it names; this has none, as NumPy's own constructors

    def __call__(self, buffer: bytes, dtype: np.dtype, shape: tuple[int, ...], order: Any) -> np.ndarray:
        return np.frombuffer(buffer, dtype).reshape(shape, order=order).copy()


class _FromJax:
    """How a jax.Array is built: by a constructor of its NumPy array, its arguments, and what that array is then told."""

    __slots__ = ()

    def __call__(self, construct: Callable[..., Any], arguments: tuple[Any, ...], state: Any, _: Any) -> np.ndarray:
        if construct is not _CONSTRUCT_ARRAY and construct is not _FROM_BUFFER:
            raise RefusedPickle(f"it builds a jax array by {construct!r}")
        array = construct(*arguments)
        if state is not None:
            array.__setstate__(state)
        return array


_CONSTRUCT_ARRAY, _CONSTRUCT_SCALAR = np.zeros(1).__reduce__()[0], np.float64(0).__reduce__()[0]
_FROM_BUFFER = _FromBuffer()
_MULTIARRAY = ("numpy.core.multiarray", "numpy._core.multiarray")

_ALLOWED: Mapping[tuple[str, str], Any] = {
    **{(module, "_reconstruct"): _CONSTRUCT_ARRAY for module in _MULTIARRAY},
    **{(module, "scalar"): _CONSTRUCT_SCALAR for module in _MULTIARRAY},
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
    **{("numpy.dtypes", type(np.dtype(c)).__name__): type(np.dtype(c)) for c in "?bBhHiIlLqQefdFD"},
    ("ml_dtypes", "bfloat16"): ml_dtypes.bfloat16,
    **{(module, "_frombuffer"): _FROM_BUFFER for module in ("numpy.core.numeric", "numpy._core.numeric")},
    ("jax._src.array", "_reconstruct_array"): _FromJax(),
    ("collections", "OrderedDict"): collections.OrderedDict,
    ("_codecs", "encode"): codecs.encode,  # how protocols before 3 write bytes
    ("builtins", "complex"): complex,
}


class _Unpickler(pickle.Unpickler):
    def __init__(self, stream: io.BytesIO) -> None:
        super().__init__(stream)
        # A class of its own for each file: what a file does to it stays with it.
        self._namespace = type("Namespace", (argparse.Namespace,), {})

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("argparse", "Namespace"):
            return self._namespace
        if (module, name) not in _ALLOWED:
            raise RefusedPickle(f"it names {module}.{name}")
        return _ALLOWED[module, name]

    def persistent_load(self, pid: Any) -> Any:
        raise pickle.UnpicklingError(f"it refers to something outside it, {pid!r}")


def loads(data: bytes) -> Any:
    """What the pickle `data` holds.

    Raises:
      RefusedPickle: it names anything but plain containers, numbers and arrays; nothing of it was run.
      ValueError: it is truncated or no pickle.
    """
    stream = io.BytesIO(data)
    try:
        value = _Unpickler(stream).load()
    except RefusedPickle:
        raise
    except Exception as error:  # a broken pickle can fail in any of its opcodes
        raise ValueError(f"no readable pickle ({type(error).__name__}: {error})") from error
    return value
