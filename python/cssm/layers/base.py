"""What the mixing layers have in common: their fields, their checks, and how they are run frame by frame."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, ClassVar

import flax.linen as nn
import jax.numpy as jnp
from jax import Array
from jax.typing import DTypeLike

from cssm.layers.chunks import frames_at_once, in_chunks
from cssm.nn.position import apply_rotary
from cssm.nn.products import Dense

State = Mapping[str, Any]


class Mixer(nn.Module):
    """A layer (B, T, H, W, C) -> (B, T, H, W, C) that mixes over space and, causally unless it says otherwise, over time.

    Fields:
      channels: C, the size of the last axis of x.
      kernel_size: K, the side of the spatial kernel, for those that have one.
      rope_mode, rope_base: rotary position encoding of the input (`cssm.nn.position`), for layers that `encode_positions`.
      dtype: in which projections, convolutions and gates are computed; None for the promoted dtype of x and float32.
        Spectra and states are complex64 and float32 throughout (complex128 and float64 where x is float64).
      param_dtype: of the parameters.
      frames_at_once: a divisor of the video's length: so many frames of one video after the other, made again for the
        backward pass (`cssm.layers.chunks`), which takes less memory and more time, and sows nothing. 0 for the whole
        video at once. None, the default, is about 8 for an x of 16 MiB or more in the layers that keep the most, on a CPU,
        and else 0.
      block_size: read by few; accepted by all, as the wrapper and the configs of old checkpoints pass it.

    A subclass implements `advance`, from which follow

      layer(x)                 the whole video; the second argument, `injected_qkv_spatial`, is accepted by every mixer
      layer.step(state, x_t)   one frame (B, H, W, C), the state carried on, None at first: `layer.apply(variables,
                               state, x_t, method="step")` returns (state, y_t)

    Raises, on a call: ValueError or TypeError for an x of another rank, channel count or kind, or a field out of range.
    """

    channels: int
    kernel_size: int = 11
    block_size: int = 1
    rope_mode: str = "none"
    rope_base: float = 10000.0
    dtype: DTypeLike | None = None
    param_dtype: DTypeLike = jnp.float32
    frames_at_once: int | None = None

    encodes_positions: ClassVar[bool] = False
    not_streaming: ClassVar[str] = ""  # why there is no `step`
    starts_from_zeros: ClassVar[bool] = True  # no state is the same as one of zeros
    keeps_much: ClassVar[bool] = False  # for the backward pass: so frames_at_once=None may choose chunks

    def __call__(self, x: Array, injected_qkv_spatial: Array | None = None, *, last_only: bool = False) -> Array:
        """(B, T, H, W, C) -> (B, T, H, W, C); with `last_only` the last frame alone, (B, 1, H, W, C), for less work."""
        return self._whole(x, last_only=last_only)

    def _whole(self, x: Array, *, last_only: bool, **options: Any) -> Array:
        frames = 0 if self.is_initializing() else frames_at_once(self, x)
        if frames:
            return in_chunks(self, self.checked(x), frames, last_only=last_only, **options)
        y = self.advance(x, None, last_only=last_only, **options)[0]
        return y[:, -1:] if last_only else y

    def step(self, state: State | None, x_t: Array) -> tuple[State, Array]:
        """One frame more: (state, x_t (B, H, W, C)) -> (state, y_t), as the full pass would give frame by frame.

        Raises:
          ValueError: the layer cannot be run so.
        """
        if self.not_streaming:
            raise ValueError(f"{type(self).__name__} cannot be run frame by frame: {self.not_streaming}")
        y, state = self.advance(x_t[:, None], state)
        return state, y[:, 0]

    def advance(self, x: Array, state: State | None, *, last_only: bool = False) -> tuple[Array, State]:
        """(y, state after) of the frames x (B, T, H, W, C) that follow those `state` comes from; None: x is the first.

        With `last_only` only the last frame of y need be right, and y may be that frame alone.
        """
        raise NotImplementedError

    def check_fields(self) -> None:
        """Raises ValueError for a field out of range."""
        if self.kernel_size < 1:
            raise ValueError(f"kernel_size: got {self.kernel_size}, expected a positive integer")
        if self.frames_at_once is not None and self.frames_at_once < 0:
            raise ValueError(f"frames_at_once: got {self.frames_at_once}, expected a number >= 0")

    def check_choice(self, field: str, choices: Iterable[str]) -> None:
        """Raises ValueError where the field's value is none of the choices."""
        if getattr(self, field) not in choices:
            raise ValueError(f"{field}: got {getattr(self, field)!r}, expected one of {', '.join(choices)}")

    def checked(self, x: Array) -> Array:
        """x in the dtype the layer computes in, after checking it and the fields."""
        if not jnp.issubdtype(x.dtype, jnp.floating):
            raise TypeError(f"x: got dtype {x.dtype}, expected a real floating dtype")
        if x.ndim != 5:
            raise ValueError(f"x: got shape {x.shape}, expected (B, T, H, W, C)")
        if x.shape[-1] != self.channels:
            raise ValueError(f"x: got {x.shape[-1]} channels in shape {x.shape}, expected channels={self.channels}")
        self.check_fields()
        return x.astype(jnp.promote_types(x.dtype, jnp.float32) if self.dtype is None else self.dtype)

    def rotated(self, x: Array, first: int | Array = 0) -> Array:
        """x with its channel pairs turned by rope_mode, in its dtype; frame 0 of x is frame `first` of the video."""
        if self.rope_mode == "none":
            return x
        return apply_rotary(x, self.rope_mode, self.rope_base, first=first).astype(x.dtype)

    def dense(self, features: int, name: str) -> Dense:
        """A Dense layer in the mixer's dtypes and of its implementation; to be called from a compact method."""
        how: dict[str, Any] = {"dtype": self.dtype, "param_dtype": self.param_dtype}
        return Dense(features, **how, implementation=getattr(self, "implementation", "xla"), name=name)

    def parameter(self, name: str, init: Callable[..., Array], shape: tuple[int, ...]) -> Array:
        """A parameter of `param_dtype`."""
        return self.param(name, init, shape, self.param_dtype)


class StochasticMixer(Mixer):
    """A mixing layer with dropout of some kind, which `deterministic` turns off, in the call or as a field.

    Fields, besides those of `Mixer`:
      deterministic: no dropout; what the call says goes before. None, the default, is as published.
    """

    deterministic: bool | None = None

    def __call__(
        self,
        x: Array,
        injected_qkv_spatial: Array | None = None,
        *,
        last_only: bool = False,
        deterministic: bool | None = None,
    ) -> Array:
        """As `Mixer`'s."""
        return self._whole(x, last_only=last_only, deterministic=deterministic)

    def advance(
        self, x: Array, state: State | None, *, last_only: bool = False, deterministic: bool | None = None
    ) -> tuple[Array, State]:
        """As `Mixer`'s."""
        raise NotImplementedError


class DeltaMixer(Mixer):
    """A mixing layer o = D(S), S a recurrence over the frames of x and D a Dense(C), returned as o - x.

    The wrapper adds x back, so the block's net effect is o and nothing skips the layer; `residual=True` returns o,
    which makes the net effect x + o.

    Fields, besides those of `Mixer`:
      residual: return o instead of o - x.
    """

    residual: bool = False

    def project(self, states: Array, x: Array, name: str = "out_proj") -> Array:
        """o - x, or o with `residual`, from the states S (B, T, H, W, C); must be called from a compact method."""
        return self.dense(self.channels, name)(states, minus=None if self.residual else x)


class KernelMixer(DeltaMixer):
    """A mixing layer whose transition comes of one parameter beside the projection, and is bounded.

    Fields, besides those of `DeltaMixer`:
      spectral_rho: bound on the transition, in (0, 1].
    """

    kernel_size: int = 5
    spectral_rho: float = 0.999
    # Read by none of these layers: accepted because the wrapper and the configs of old checkpoints pass them.
    gate_type: str = "dense"
    position_independent_gates: bool = False
    short_conv_size: int = 4
    short_conv_spatial_size: int = 0

    def check_fields(self) -> None:
        super().check_fields()
        if not 0 < self.spectral_rho <= 1:
            raise ValueError(f"spectral_rho: got {self.spectral_rho}, expected a number in (0, 1]")

    def spatial_kernel(self, dtype: DTypeLike) -> Array:
        """The parameter `kernel` (C, K, K), normal with standard deviation 0.02, in `dtype`."""
        shape = (self.channels, self.kernel_size, self.kernel_size)
        return self.parameter("kernel", nn.initializers.normal(0.02), shape).astype(dtype)
