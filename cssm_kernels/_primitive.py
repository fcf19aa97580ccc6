"""Primitives for recurrences: one mechanism for optional operands, lowering, vmap and sharding, used by every operation.

Operands are aligned (see `_layout`): their lane dimensions are the same in number, each full or 1; None where absent. Only
over a frame (height and width after time) may their sizes differ otherwise. Component dimensions, of a vector or matrix in
each lane, come after the lanes. An operation is three of these primitives, tied by differentiation rules: `scan`, its
`tangent` (linear in the tangents), and `vjp`, the fused backward kernel. `jax.custom_vjp` has no jvp, and `custom_jvp` with
`linear_call` gives a wrong second order.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

# The only private import: a primitive that lowers to custom_partitioning must see the devices while lowering.
from jax._src.dispatch import prim_requires_devices_during_lowering
from jax.experimental.custom_partitioning import custom_partitioning
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir
from jax.sharding import NamedSharding, PartitionSpec

Operands = Sequence[Array | None]
# Takes a primitive's operands and params but `implementation`; returns its results, or None for operands it cannot take.
NativeForm = Callable[..., Sequence[Array] | None]


class RecurrencePrimitive:
    """A primitive over aligned operands, some of which may be absent.

    Args:
      name: the primitive's name.
      results: (*operands, **params) -> [(shape, dtype), ...]; operands are abstract values or None.
      definition: the same computation in terms of jax and other primitives. It is what lowers where there is no native
        form, and what higher derivatives go through.
      native: {(platform, implementation): the same computation as a custom call}, more with `register_native`.
      whole: (which operands are present, **params) -> indices of those that must have the batch under vmap: one whose shape
        a result has, which would otherwise be summed over the batch, and one that may not be broadcast.
      frame_dims: dimensions after `axis` that are worked on whole, as time is. Where there are any, batches lead.
      components: how many of the first operand's dimensions are its components; every dimension that an operand has beyond
        the first one's lanes is a component of its own.
      lane_axes: params, beside `axis`, that are None or the index of a lane dimension.

    Params always hold `axis` and `implementation`: None for the first form registered for the platform, or the one demanded.
    """

    def __init__(
        self,
        name: str,
        *,
        results: Callable[..., list[tuple[tuple[int, ...], Any]]],
        definition: Callable[..., Sequence[Array]],
        native: Mapping[tuple[str, str], NativeForm],
        whole: Callable[..., tuple[int, ...]] = lambda present, **params: (),
        frame_dims: int = 0,
        components: int = 0,
        lane_axes: tuple[str, ...] = (),
    ) -> None:
        self.results, self.definition, self.whole, self.frame_dims = results, definition, whole, frame_dims
        self.components, self.lane_axes = components, lane_axes
        self.native: dict[str, dict[str, NativeForm]] = {}
        self.primitive = Primitive(name)
        self.primitive.multiple_results = True
        self.primitive.def_impl(self._run)
        self.primitive.def_abstract_eval(self._abstract_eval)
        batching.primitive_batchers[self.primitive] = self._batch
        mlir.register_lowering(self.primitive, functools.partial(self._lower, None))
        for (platform, implementation), form in native.items():
            self.register_native(platform, implementation, form)
        self._default = {platform: next(iter(forms.values())) for platform, forms in self.native.items()}
        prim_requires_devices_during_lowering.add(self.primitive)

    def register_native(self, platform: str, implementation: str, form: NativeForm) -> None:
        """Let `implementation` run on `platform` where it is named; what runs there unnamed stays as it is."""
        forms = self.native.setdefault(platform, {})
        if not forms:
            mlir.register_lowering(self.primitive, functools.partial(self._lower, platform), platform=platform)
        forms[implementation] = form

    def __call__(self, *operands: Array | None, **params: Any) -> list[Array]:
        present = tuple(operand is not None for operand in operands)
        flat = same_varying_axes([operand for operand in operands if operand is not None])
        return self.primitive.bind(*flat, present=present, **params)

    def def_jvp(self, rule: Callable[..., tuple[list[Any], list[Any]]]) -> None:
        """`rule(primals, tangents, **params)`: operands with None where absent, tangents None where zero."""

        def jvp(primals, tangents, *, present, **params):
            outs, out_tangents = rule(unpack(primals, present), unpack(map(_or_none, tangents), present), **params)
            return outs, [
                ad.Zero(jax.typeof(o).to_tangent_aval()) if t is None else t for o, t in zip(outs, out_tangents)
            ]

        ad.primitive_jvps[self.primitive] = jvp

    def def_jvp_by_definition(self) -> None:
        """Differentiate `definition` instead."""

        def rule(primals, tangents, **params):
            live = [i for i, tangent in enumerate(tangents) if tangent is not None]

            def of_live(*values):
                operands = list(primals)
                for i, value in zip(live, values):
                    operands[i] = value
                return self.definition(*operands, **params)

            return jax.jvp(of_live, [primals[i] for i in live], [tangents[i] for i in live])

        self.def_jvp(rule)

    def def_transpose(self, rule: Callable[..., Sequence[Array | None]]) -> None:
        """`rule(cotangents, operands, is_linear, **params)` -> a cotangent or None for each operand.

        Cotangents are `ad.Zero` where zero; linear operands are undefined primals.
        """

        def transpose(cotangents, *flat, present, **params):
            operands = unpack(flat, present)
            is_linear = [o is not None and ad.is_undefined_primal(o) for o in operands]
            if all(type(ct) is ad.Zero for ct in cotangents):
                outs = [ad.Zero(o.aval) if linear else None for o, linear in zip(operands, is_linear)]
            else:
                outs = list(rule(cotangents, operands, is_linear, **params))
            return [out for out, there in zip(outs, present) if there]

        ad.primitive_transposes[self.primitive] = transpose

    def _run(self, *flat, **params):
        return _jitted(self.primitive, tuple(sorted(params.items())))(*flat)

    def _abstract_eval(self, *avals, present, **params):
        # An operand's own aval, so that the mesh axes it varies over under shard_map are kept.
        return [
            avals[0].update(shape=shape, dtype=dtype, weak_type=False)
            for shape, dtype in self.results(*unpack(avals, present), **params)
        ]

    def _batch(self, flat, dims, *, present, **params):
        """The batch becomes one more lane dimension, where the first batched operand has it, or the leading one."""
        size, at = next((x.shape[d], d) for x, d in zip(flat, dims) if d is not None)
        lanes = flat[0].ndim - (dims[0] is not None) - self.components
        at = 0 if self.frame_dims or at > lanes else at
        flat = [jnp.expand_dims(x, at) if d is None else jnp.moveaxis(x, d, at) for x, d in zip(flat, dims)]
        operands = unpack(flat, present)
        for i in self.whole(present, **params):
            shape = operands[i].shape
            operands[i] = jnp.broadcast_to(operands[i], shape[:at] + (size,) + shape[at + 1 :])
        for name in ("axis", *self.lane_axes):
            if params[name] is not None:
                params[name] += at <= params[name]
        outs = self(*operands, **params)
        return outs, [at] * len(outs)

    def _lower(self, platform, ctx, *flat, present, implementation, axis, **params):
        form = self._form(platform, implementation)

        def compute(*flat):
            operands = unpack(flat, present)
            outs = None if form is None else form(*operands, axis=axis, **params)
            if outs is None:
                self._check_definition_may_serve(platform, implementation)
                outs = self.definition(*operands, axis=axis, implementation=implementation, **params)
            return outs

        if form is not None and getattr(ctx.module_context.axis_context, "num_devices", 1) != 1:
            in_shapes = [aval.shape for aval in ctx.avals_in]
            out_shapes = [aval.shape for aval in ctx.avals_out]
            lanes = len(in_shapes[0]) - self.components
            compute = _partitioned(compute, in_shapes, out_shapes, lanes, range(axis, axis + 1 + self.frame_dims))
        return mlir.lower_fun(compute, multiple_results=True)(ctx, *flat)

    def _form(self, platform, implementation):
        return (
            self._default.get(platform) if implementation is None else self.native.get(platform, {}).get(implementation)
        )

    def _check_definition_may_serve(self, platform, implementation):
        """A primitive with no native form of this name anywhere leaves the check to those in its definition."""
        if implementation is None or not any(implementation in forms for forms in self.native.values()):
            return
        reason = (
            "does not take these operands" if implementation in self.native.get(platform, {}) else "does not run there"
        )
        raise ValueError(
            f"implementation is {implementation!r}, but {self.primitive.name} is being compiled for "
            f"{platform or 'another platform'} and it {reason}; expected None or an implementation that does"
        )


def unpack(flat: Any, present: tuple[bool, ...]) -> list[Any]:
    """Operands with None where absent, from those that are there."""
    values = iter(flat)
    return [next(values) if there else None for there in present]


def _or_none(tangent):
    return None if type(tangent) is ad.Zero else tangent


@functools.lru_cache(maxsize=1024)
def _jitted(primitive, params):
    return jax.jit(functools.partial(primitive.bind, **dict(params)))


def same_varying_axes(arrays: list[Array]) -> list[Array]:
    """Under shard_map, every operand varies over the same mesh axes; the transpose sums a replicated operand's gradient."""
    varying = [_varying_axes(jax.typeof(x)) for x in arrays]
    every = frozenset().union(*varying)
    return [
        jax.lax.pcast(x, tuple(every - axes), to="varying") if every - axes else x for x, axes in zip(arrays, varying)
    ]


def _varying_axes(aval):
    axes = getattr(aval, "vma", None)
    if axes is None:
        axes = getattr(getattr(aval, "manual_axis_type", None), "varying", None)
    return frozenset(axes or ())


def _partitioned(compute, in_shapes, out_shapes, lanes, kept):
    """`compute` as XLA's partitioner sees it: independent along every lane but the `kept` ones, time and the frame.

    Without this a custom call's operands are gathered to every device.
    """
    full = full_shape_of([shape[:lanes] for shape in in_shapes + out_shapes])

    def is_split(shape, d):
        return shape[d] == full[d] and d not in kept

    def partition(mesh, args, results):
        spec = _common_spec([*args, *results], [d for d in range(lanes) if d not in kept], full)

        def sharding(shape):
            own = (s if is_split(shape, d) else None for d, s in enumerate(spec))
            return NamedSharding(mesh, PartitionSpec(*own, *(None,) * (len(shape) - lanes)))

        def local(*flat):
            return [_sum_over_devices(out, shape) for out, shape in zip(compute(*flat), out_shapes)]

        def _sum_over_devices(out, shape):
            axes = [s for d, s in enumerate(spec) if s is not None and not is_split(shape, d)]
            names = tuple(name for s in axes for name in _names(s))
            return jax.lax.psum(out, names) if names else out

        return mesh, local, tuple(sharding(s) for s in out_shapes), tuple(sharding(s) for s in in_shapes)

    partitioned = custom_partitioning(lambda *flat: tuple(compute(*flat)))
    rule, kept_factors = _sharding_rule(in_shapes, out_shapes, lanes, full, kept)
    partitioned.def_partition(partition=partition, sharding_rule=rule, need_replication_factors=kept_factors)
    return partitioned


def _common_spec(arrays, split, full):
    """How each lane dimension of `split` is divided: as the first array does that has it whole, the largest asked first."""
    spec = [None] * len(full)
    used = set()
    for array in sorted(arrays, key=lambda array: -sum(array.shape[d] == full[d] for d in split)):
        own = [*array.sharding.spec, *(None,) * len(full)]
        for d in split:
            if spec[d] is None and own[d] is not None and array.shape[d] == full[d] and used.isdisjoint(_names(own[d])):
                spec[d] = own[d]
                used.update(_names(own[d]))
    return spec


def _names(split):
    """Mesh axes of one entry of a PartitionSpec."""
    return split if isinstance(split, tuple) else (split,)


def full_shape_of(shapes: Sequence[tuple[int, ...]]) -> tuple[int, ...]:
    return tuple(max(sizes) if 0 not in sizes else 0 for sizes in zip(*shapes))


def _sharding_rule(in_shapes, out_shapes, lanes, full, kept):
    """An einsum-like rule; a dimension that is not full, or a component, is a factor of its own."""
    own = (f"s{i}" for i in range(1_000_000))
    kept_factors = []

    def factors(shape):
        names = [f"d{d}" if n == m else next(own) for d, (n, m) in enumerate(zip(shape, full))]
        names += [next(own) for _ in shape[lanes:]]
        kept_factors.extend(names[d] for d in (*kept, *range(lanes, len(shape))) if names[d] not in kept_factors)
        return " ".join(names)

    rule = ", ".join(map(factors, in_shapes)) + " -> " + ", ".join(map(factors, out_shapes))
    return rule, tuple(kept_factors)
