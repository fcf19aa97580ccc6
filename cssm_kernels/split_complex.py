"""The type of complex numbers in two half-precision arrays."""

from __future__ import annotations

from typing import Any

import jax
import jax.export
import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from jax.typing import ArrayLike, DTypeLike

PLANE_DTYPES = ("bfloat16", "float16", "float32")


@jax.tree_util.register_pytree_with_keys_class
class SplitComplex:
    """An array of complex numbers in two real ones: half the bytes of complex64, where the planes are half-precision.

        x = SplitComplex.from_complex(z)                # bfloat16
        y = cssm_kernels.linear_scan(a, x).to_complex()

    A pytree of two arrays, and so differentiable in them: a gradient is the pair of the real gradients of its planes.
    Accepted where `linear_scan`, `gated_scan`, `matrix_scan` and `delta_scan` take complex operands; the state is complex64,
    and each operand and result is rounded to its planes' dtype once.

    Args:
      re, im: real and imaginary parts, of one shape and dtype: bfloat16, float16 or float32.

    Raises:
      TypeError: one is no array of these dtypes, or their dtypes differ.
      ValueError: their shapes differ.
    """

    re: Array
    im: Array

    def __init__(self, re: ArrayLike, im: ArrayLike) -> None:
        self.re, self.im = checked_planes("re", re, "im", im)

    @classmethod
    def from_complex(cls, z: ArrayLike, dtype: DTypeLike = jnp.bfloat16) -> SplitComplex:
        """Of real or complex numbers, rounded to planes of this dtype."""
        z = jnp.asarray(z)
        return cls(z.real.astype(dtype), z.imag.astype(dtype))

    def to_complex(self) -> Array:
        """The numbers, complex64."""
        re, im = jnp.broadcast_arrays(self.re, self.im)
        return lax.complex(re.astype(jnp.float32), im.astype(jnp.float32))

    @property
    def shape(self) -> tuple[int, ...]:
        return self.re.shape

    @property
    def ndim(self) -> int:
        return self.re.ndim

    @property
    def dtype(self) -> np.dtype:
        """Of the planes."""
        return self.re.dtype

    def __repr__(self) -> str:
        return f"SplitComplex(re={self.re!r}, im={self.im!r})"

    def tree_flatten_with_keys(self) -> tuple[Any, None]:
        get = jax.tree_util.GetAttrKey
        return ((get("re"), self.re), (get("im"), self.im)), None

    @classmethod
    def tree_unflatten(cls, _: None, planes: Any) -> SplitComplex:
        """Of anything: transformations put other things than arrays in a tree."""
        pair = object.__new__(cls)
        pair.re, pair.im = planes
        return pair


jax.export.register_pytree_node_serialization(
    SplitComplex,
    serialized_name="cssm_kernels.SplitComplex",
    serialize_auxdata=lambda _: b"",
    deserialize_auxdata=lambda _: None,
)

Gate = ArrayLike | SplitComplex


def joined(operand: Any) -> Any:
    """A pair as complex64, anything else as it is."""
    return operand.to_complex() if isinstance(operand, SplitComplex) else operand


def checked_planes(re_name: str, re: Any, im_name: str, im: Any) -> tuple[Array, Array]:
    """Two planes as arrays.

    Raises:
      TypeError, ValueError: as of `SplitComplex`, with these names for them.
    """
    for name, plane in ((re_name, re), (im_name, im)):
        if not isinstance(plane, (jax.Array, np.ndarray)):
            raise TypeError(
                f"{name} is a {type(plane).__name__}; expected an array of one of {', '.join(PLANE_DTYPES)}"
            )
        if plane.dtype not in PLANE_DTYPES:
            raise TypeError(f"{name} has dtype {plane.dtype}; expected one of {', '.join(PLANE_DTYPES)}")
    if re.dtype != im.dtype:
        raise TypeError(f"{im_name} has dtype {im.dtype}; expected {re.dtype}, the dtype of {re_name}")
    if re.shape != im.shape:
        raise ValueError(f"{im_name} has shape {im.shape}; expected {re.shape}, the shape of {re_name}")
    return jnp.asarray(re), jnp.asarray(im)
