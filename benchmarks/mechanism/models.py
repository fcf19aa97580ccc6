"""The functions under test, compiled. The only file of the suite, with `group` and `worker`, that imports jax."""

from __future__ import annotations

import functools
import math
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax.traverse_util import flatten_dict

from benchmarks.mechanism.agreement import SPECTRAL_COMPACT, Result
from benchmarks.mechanism.options import Options
from benchmarks.mechanism.panels import SERIES, Series, Shape

PROBE_STEPS = 5
"""Frames of the layer check: odd, so no power of two is special."""

PROBE_SCALE = 0.3
"""Standard deviation of every parameter in the checks: at their own initial values some recurrences are trivial."""

_DTYPES = {"fp32": jnp.float32, "bf16": jnp.bfloat16}


def missing_layers(keys: list[str]) -> dict[str, str]:
    """The `cssm_type`s among the series that are not built, with what the registry says."""
    from cssm.layers.registry import mixer_class

    missing = {}
    for cssm_type in dict.fromkeys(SERIES[key].cssm_type for key in keys):
        try:
            mixer_class(cssm_type)
        except ValueError as error:
            missing[cssm_type] = str(error)
    return missing


def model(series: Series, shape: Shape, options: Options) -> Any:
    """The model of the published suite around one layer."""
    from cssm.models import SimpleCSSM

    return SimpleCSSM(
        num_classes=1,
        embed_dim=shape.C,
        depth=options.depth,
        cssm_type=series.cssm_type,
        kernel_size=shape.K,
        stem_mode="pathtracker",
        stem_layers=0,
        norm_type="layer",
        pos_embed="none",
        frame_readout=options.frame_readout,
        seq_len=shape.T,
        implementation=series.implementation,
    )


def layer(key: str, shape: Shape) -> Any:
    """The bare mixing layer of a series."""
    from cssm.layers.registry import mixer_class

    spectral = key == SPECTRAL_COMPACT
    series = SERIES["realspace_compact_seq:xla" if spectral else key]
    extra: dict[str, Any] = {"form": "spectral"} if spectral else {}
    if series.implementation is not None:
        extra["implementation"] = series.implementation
    return mixer_class(series.cssm_type)(channels=shape.C, kernel_size=shape.K, **extra)


_cache_hits = 0


def _count_hits(event: str, **_: Any) -> None:
    global _cache_hits
    _cache_hits += event == "/jax/compilation_cache/cache_hits"


def use_compilation_cache(folder: str) -> None:
    """Share compiled programs between the workers of one run, so that none is compiled twice."""
    jax.config.update("jax_compilation_cache_dir", folder)
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", 0)
    jax.monitoring.register_event_listener(_count_hits)


def full_precision_on_a_gpu() -> None:
    """float32 products in float32, unless JAX_DEFAULT_MATMUL_PRECISION says otherwise: by default XLA rounds the operands of
    convolutions and matrix products to TF32 there, 2^-11, and no two series would agree to what `agreement` asks for."""
    if jax.default_backend() == "gpu" and jax.config.jax_default_matmul_precision is None:  # type: ignore[attr-defined]
        jax.config.update("jax_default_matmul_precision", "highest")


def temporary_mb(compiled: Any) -> float:
    """Temporary memory of a compiled program by XLA's analysis, in MB; NaN where the backend has none."""
    analysis = compiled.memory_analysis()
    return analysis.temp_size_in_bytes / 1e6 if analysis is not None else math.nan


class Program:
    """A compiled function with what its compilation cost.

    Attributes:
      build_s: seconds it took to get here.
      compile_s: the same if it was compiled, NaN if a worker before had compiled it.
      peak_mb: its temporary memory in MB by XLA's analysis; what a custom call allocates itself is not in it.
    """

    def __init__(self, function: Callable[..., Any], *arguments: Any) -> None:
        start, hits = time.perf_counter(), _cache_hits
        self.compiled = jax.jit(function).lower(*arguments).compile()
        self.build_s = time.perf_counter() - start
        self.compile_s = self.build_s if _cache_hits == hits else math.nan
        self.peak_mb = temporary_mb(self.compiled)

    def __call__(self, *arguments: Any) -> Any:
        """Run and wait for the result."""
        return jax.block_until_ready(self.compiled(*arguments))


def forward(series: Series, shape: Shape, options: Options) -> Callable[[Any, Any], Any]:
    """(params, images) -> logits."""
    module = model(series, shape, options)
    return lambda params, images: module.apply({"params": params}, images, training=False)


def gradient(apply: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    """(params, images) -> gradients of mean(y^2)."""
    return jax.grad(lambda params, images: jnp.mean(jnp.square(apply(params, images).astype(jnp.float32))))


def forward_loop(apply: Callable[[Any, Any], Any]) -> Callable[..., Any]:
    """n forward calls in one program: (params, images, rate, n) -> anything.

    Parameters and images of each pass depend on the outputs before through `rate`, zero at run time but unknown to the
    compiler, which can therefore neither hoist, merge nor drop a pass.
    """

    def run(params: Any, images: Any, rate: Any, n: Any) -> Any:
        def once(_: Any, carry: tuple[Any, Any]) -> tuple[Any, Any]:
            params, images = carry
            nudge = rate * jnp.mean(apply(params, images))
            return jax.tree.map(lambda v: v + nudge.astype(v.dtype), params), images + nudge.astype(images.dtype)

        return jax.lax.fori_loop(0, n, once, (params, images))

    return run


def gradient_loop(apply: Callable[[Any, Any], Any]) -> Callable[..., Any]:
    """n gradient steps of rate `rate` (zero at run time) in one program: see `forward_loop`."""
    grads = gradient(apply)

    def run(params: Any, images: Any, rate: Any, n: Any) -> Any:
        def once(_: Any, params: Any) -> Any:
            return jax.tree.map(lambda v, g: v - rate.astype(v.dtype) * g, params, grads(params, images))

        return jax.lax.fori_loop(0, n, once, params)

    return run


@functools.cache
def _initialise(cssm_type: str, options: Options, C: int, H: int, K: int) -> Any:
    series = next(one for one in SERIES.values() if one.cssm_type == cssm_type)
    shape = Shape(H, C, 1, K)
    images = jnp.ones((1, H, H, 3))
    return jax.jit(model(series, shape, options).init)(jax.random.key(0), images)["params"]


class Parameters:
    """Initial parameters, drawn once for all layers whose trees are alike: equal series start equal."""

    def __init__(self, options: Options) -> None:
        self.options = options
        self._drawn: dict[Any, Any] = {}

    def initial(self, series: Series, shape: Shape) -> Any:
        """Parameters of a series as its initialisers draw them."""
        module = model(series, shape._replace(T=1), self.options)
        tree = jax.eval_shape(module.init, jax.random.key(0), jnp.ones((1, shape.H, shape.H, 3)))["params"]
        signature = (jax.tree.structure(tree), tuple((leaf.shape, leaf.dtype) for leaf in jax.tree.leaves(tree)))
        if signature not in self._drawn:
            self._drawn[signature] = _initialise(series.cssm_type, self.options, shape.C, shape.H, shape.K)
        return self._drawn[signature]


def randomised(params: Any) -> Any:
    """Parameters drawn afresh, normal with PROBE_SCALE around their initial mean of zero or, for scales, one."""
    leaves, structure = jax.tree.flatten_with_path(params)
    random = np.random.default_rng(0)
    drawn = []
    for path, leaf in leaves:
        centre = 1.0 if getattr(path[-1], "key", "") == "scale" else 0.0
        drawn.append(jnp.asarray(centre + PROBE_SCALE * random.standard_normal(leaf.shape), leaf.dtype))
    return jax.tree.unflatten(structure, drawn)


def images(shape: Shape, options: Options, *, random: bool) -> Any:
    """Input of a model: ones, as published, or noise; one image, or with --random_video independent frames."""
    frame = (shape.H, shape.H, 3)
    dims = (options.batch, shape.T, *frame) if options.random_video else (options.batch, *frame)
    noise = random or options.random_video
    values = np.random.default_rng(1).standard_normal(dims) if noise else np.ones(dims)
    return jnp.asarray(values, _DTYPES[options.dtype])


def count(params: Any) -> int:
    """Number of parameters."""
    return sum(leaf.size for leaf in jax.tree.leaves(params))


def to_numpy(tree: Any) -> dict[str, np.ndarray]:
    """Leaves by path."""
    return {"/".join(path): np.asarray(leaf, np.float32) for path, leaf in flatten_dict(tree).items()}


def probe(key: str, shape: Shape, *, with_gradient: bool) -> Result:
    """Outputs of a layer on PROBE_STEPS random frames; gradients of mean(o^2 w), w random, for parameters and input."""
    module = layer(key, shape)
    random = np.random.default_rng(2)
    x, w = (
        jnp.asarray(random.standard_normal((1, PROBE_STEPS, shape.H, shape.H, shape.C)), jnp.float32) for _ in range(2)
    )
    params = randomised(jax.eval_shape(module.init, jax.random.key(0), x)["params"])

    def loss(params: Any, x: Any) -> tuple[Any, Any]:
        o = module.apply({"params": params}, x)
        return jnp.mean(jnp.square(o) * w), o

    if not with_gradient:
        return Result(out=np.asarray(Program(lambda params, x: loss(params, x)[1], params, x)(params, x)))
    (_, o), (grads, grad_x) = Program(jax.value_and_grad(loss, (0, 1), has_aux=True), params, x)(params, x)
    return Result(out=np.asarray(o), grads=to_numpy({**grads, "x": grad_x}))


def environment() -> dict[str, Any]:
    """What this process runs on."""
    import flax
    import jaxlib

    import cssm_kernels

    device = jax.devices()[0]
    result: dict[str, Any] = {
        "backend": jax.default_backend(),
        "device": device.device_kind,
        "jax": jax.__version__,
        "jaxlib": jaxlib.__version__,
        "flax": flax.__version__,
        "numpy": np.__version__,
        "matmul_precision": str(jax.config.jax_default_matmul_precision or "default"),  # type: ignore[attr-defined]
        "cssm_kernels": cssm_kernels.__version__,
    }
    if hasattr(cssm_kernels, "build_info"):
        result["native"] = cssm_kernels.build_info()
    return result
