"""What is described: a layer or a model at one input shape. Nothing is computed: variables are shapes and dtypes."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from cssm.layers.registry import MIXERS
from cssm.models import BaselineViT, CSSMSHViT, CSSMViT, SimpleCSSM

MODELS: Mapping[str, type[nn.Module]] = {
    "simple": SimpleCSSM,
    "vit": CSSMViT,
    "shvit": CSSMSHViT,
    "baseline": BaselineViT,
}
_ELSEWHERE = {"channels": "--shape", "dtype": "--dtype"}


@dataclasses.dataclass(frozen=True)
class Subject:
    """A module, its input, and how it is called.

    title: what it is called.
    module: the layer or model.
    x: shape and dtype of its input.
    apply: (variables, x) -> y, one forward call, as in inference.
    variables: {collection: tree of shapes and dtypes}.
    """

    title: str
    module: nn.Module
    x: jax.ShapeDtypeStruct
    apply: Callable[..., Any]
    variables: Mapping[str, Any]


def layer(key: str, shape: tuple[int, ...], fields: Mapping[str, Any], dtype: str | None = None) -> Subject:
    """The layer of a registry key, for x of `shape` (B, T, H, W, C).

    Raises:
      ValueError, TypeError: an unknown key, a field that the layer does not have, or what the layer itself refuses.
    """
    if key not in MIXERS:
        raise ValueError(f"KEY: got {key!r}, expected one of {', '.join(MIXERS)}")
    return _subject(f"{key} ({MIXERS[key].__name__})", MIXERS[key], shape, fields, dtype, {"channels": shape[-1]}, {})


def model(name: str, shape: tuple[int, ...], fields: Mapping[str, Any], dtype: str | None = None) -> Subject:
    """The model of this name, for a video of `shape` (B, T, H, W, C_in), in inference.

    Raises:
      ValueError, TypeError: as `layer`.
    """
    if name not in MODELS:
        raise ValueError(f"--model: got {name!r}, expected one of {', '.join(MODELS)}")
    return _subject(f"{name} ({MODELS[name].__name__})", MODELS[name], shape, fields, dtype, {}, {"training": False})


def _subject(
    title: str,
    cls: type[nn.Module],
    shape: tuple[int, ...],
    fields: Mapping[str, Any],
    dtype: str | None,
    own: Mapping[str, Any],
    call: Mapping[str, Any],
) -> Subject:
    _check_fields(cls, fields)
    given = {} if dtype is None else {"dtype": jnp.dtype(dtype)}
    module = cls(**own, **given, **fields)
    x = jax.ShapeDtypeStruct(shape, dtype or jnp.float32)
    variables = jax.eval_shape(functools.partial(module.init, **call), jax.random.key(0), x)
    return Subject(title, module, x, functools.partial(module.apply, **call), variables)


def _check_fields(cls: type[nn.Module], fields: Mapping[str, Any]) -> None:
    """Raises ValueError for a name that is no field, and TypeError for a value of another kind than the default's."""
    defaults = {field.name: field.default for field in dataclasses.fields(cls)}
    known = sorted(defaults.keys() - {"parent", "name"} - _ELSEWHERE.keys())
    for name, value in fields.items():
        if name in _ELSEWHERE:
            raise ValueError(f"--set: got {name}={value!r}, expected it as {_ELSEWHERE[name]}")
        if name not in known:
            raise ValueError(f"--set: got {name!r}, expected a field of {cls.__name__}: {', '.join(known)}")
        kind = type(defaults[name])
        accepted = (int, float) if kind is float else kind
        if kind in (bool, int, float, str) and (
            not isinstance(value, accepted) or isinstance(value, bool) != (kind is bool)
        ):
            raise TypeError(
                f"--set: got {name}={value!r}, expected {kind.__name__}, as its default, {defaults[name]!r}"
            )
