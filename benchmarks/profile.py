"""`python -m benchmarks.profile`: training steps of a small SimpleCSSM, and the kernels alone, under a profiler.

On an NVIDIA GPU it runs itself under Nsight Systems; `--trace DIR` writes a trace of jax's own profiler instead, anywhere.
What to look for is in docs/profiling.md.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from benchmarks import platforms

WARM_UP = 3
"""Steps before the profiler looks: compilation, autotuning, and the first fill of the memory pool."""

LEARNING_RATE = 1e-3

Range = Callable[[str], contextlib.AbstractContextManager[None]]
"""A named span of the host's timeline."""


def parser() -> argparse.ArgumentParser:
    """The argument parser."""
    result = argparse.ArgumentParser(prog="python -m benchmarks.profile", description=__doc__)
    result.add_argument("--steps", type=int, default=10, help="training steps, and calls of each kernel (10)")
    result.add_argument("--kernels", action="store_true", help="also linear_scan and spectral_scan alone")
    result.add_argument("--batch", type=int, default=4, help="videos (4)")
    result.add_argument("--frames", type=int, default=64, help="T (64)")
    result.add_argument("--side", type=int, default=32, help="H = W (32)")
    result.add_argument("--channels", type=int, default=64, help="C (64)")
    result.add_argument("--depth", type=int, default=2, help="layers (2)")
    result.add_argument(
        "--trace", type=Path, metavar="DIR", help="write a trace of jax.profiler here, and no nsys report"
    )
    result.add_argument(
        "--out", type=Path, default=Path("results/profile/cssm"), help="name of the nsys report, without suffix"
    )
    result.add_argument(
        "--graphs", action="store_true", help="leave CUDA graphs on: faster, with less said of each kernel"
    )
    result.add_argument("--print", action="store_true", help="print the nsys command line, and run nothing")
    result.add_argument("--under-nsys", action="store_true", help=argparse.SUPPRESS)
    return result


def nsys_command(arguments: argparse.Namespace, argv: list[str]) -> list[str]:
    """Nsight Systems around this program, recording between its calls of the CUDA profiler's start and stop."""
    return [
        "nsys", "profile", "--trace=cuda,nvtx,osrt", "--cuda-graph-trace=node", "--capture-range=cudaProfilerApi",
        "--capture-range-end=stop", "--force-overwrite=true", f"--output={arguments.out}",
        sys.executable, "-m", "benchmarks.profile", "--under-nsys", *(word for word in argv if word != "--print"),
    ]  # fmt: skip


def nsys_variables(arguments: argparse.Namespace) -> dict[str, str]:
    """Environment of the profiled process."""
    flags = [os.environ.get("XLA_FLAGS", "")]
    if not arguments.graphs:
        flags.append("--xla_gpu_enable_command_buffer=")
    return {**platforms.VARIABLES[platforms.CUDA], "XLA_FLAGS": " ".join(filter(None, flags))}


def training_step(arguments: argparse.Namespace) -> tuple[Callable[..., Any], tuple[Any, ...]]:
    """(params, video, labels) -> (params, loss), and its first arguments."""
    import jax
    import jax.numpy as jnp
    from cssm.models import SimpleCSSM

    model = SimpleCSSM(
        num_classes=2,
        embed_dim=arguments.channels,
        depth=arguments.depth,
        cssm_type="no_gate",
        kernel_size=11,
        stem_mode="pathtracker",
        pos_embed="none",
        frame_readout="all",
        seq_len=arguments.frames,
    )
    shape = (arguments.batch, arguments.frames, arguments.side, arguments.side, 3)
    video = jax.random.normal(jax.random.key(0), shape)
    labels = jnp.arange(arguments.batch) % 2
    params = jax.jit(model.init)(jax.random.key(1), video)

    @jax.jit
    def train_step(params: Any, video: Any, labels: Any) -> Any:
        def loss(params: Any) -> Any:
            logits = model.apply(params, video)
            with jax.named_scope("loss"):
                return -jnp.mean(jnp.take_along_axis(jax.nn.log_softmax(logits), labels[:, None], 1))

        value, grads = jax.value_and_grad(loss)(params)
        with jax.named_scope("update"):
            return jax.tree.map(lambda p, g: p - LEARNING_RATE * g, params, grads), value

    return train_step, (params, video, labels)


def kernels(arguments: argparse.Namespace) -> dict[str, tuple[Callable[..., Any], tuple[Any, ...]]]:
    """Each operation alone, forward and backward, at the sizes of the model's layers."""
    import jax
    import jax.numpy as jnp

    from cssm_kernels import linear_scan, spectral_scan

    side = arguments.side
    x = jnp.ones((arguments.batch, arguments.frames, side, side, arguments.channels))
    k_hat = jnp.full((side, side // 2 + 1, arguments.channels), 0.9, jnp.complex64)
    u = jnp.ones((arguments.frames, arguments.batch * k_hat.size), jnp.complex64)
    a = jnp.full((arguments.batch * k_hat.size,), 0.9, jnp.complex64)

    def both(function: Callable[..., Any]) -> Callable[..., Any]:
        def run(*operands: Any) -> Any:
            out, vjp = jax.vjp(function, *operands)
            return out, vjp(out)

        run.__name__ = function.__name__  # what the module is called on the timeline
        return jax.jit(run)

    return {"linear_scan": (both(linear_scan), (a, u)), "spectral_scan": (both(spectral_scan), (x, k_hat))}


def run(arguments: argparse.Namespace, span: Range, recording: contextlib.AbstractContextManager[Any]) -> None:
    """Warm up, then everything under the profiler. Calls are only awaited at the end, as in a training loop."""
    import jax

    step, (params, *batch) = training_step(arguments)
    alone = kernels(arguments) if arguments.kernels else {}
    for _ in range(WARM_UP):
        params, loss = step(params, *batch)
        for function, operands in alone.values():
            jax.block_until_ready(function(*operands))
    jax.block_until_ready(loss)
    with recording:
        for number in range(arguments.steps):
            with span(f"train step {number}"):
                params, loss = step(params, *batch)
        jax.block_until_ready(params)
        for name, (function, operands) in alone.items():
            for number in range(arguments.steps):
                with span(f"{name} {number}"):
                    out = function(*operands)
            jax.block_until_ready(out)
    print(f"{arguments.steps} steps on {jax.devices()[0].device_kind}; loss {float(loss):.4f}")


def trace(arguments: argparse.Namespace) -> None:
    """Under jax's profiler."""
    import jax

    recording = jax.profiler.trace(str(arguments.trace), create_perfetto_trace=True)
    run(arguments, jax.profiler.TraceAnnotation, recording)
    written = max(arguments.trace.glob("plugins/profile/*/perfetto_trace.json.gz"))  # folders are named by the time
    print(f"written: {written}; open it at https://ui.perfetto.dev")


def record(arguments: argparse.Namespace) -> None:
    """Under nsys, as its child."""
    from cssm_kernels import _native

    _native.require_cuda()
    cuda: Any = _native.load_cuda()

    @contextlib.contextmanager
    def span(name: str) -> Iterator[None]:
        cuda.range_push(name)
        try:
            yield
        finally:
            cuda.range_pop()

    @contextlib.contextmanager
    def recording() -> Iterator[None]:
        cuda.profiler_start()
        try:
            yield
        finally:
            cuda.profiler_stop()

    run(arguments, span, recording())


def main(argv: list[str] | None = None) -> int:
    """Entry point: 2 where there is nothing to profile with, or on."""
    argv = sys.argv[1:] if argv is None else argv
    arguments = parser().parse_args(argv)
    if arguments.trace is not None:
        trace(arguments)
        return 0
    if arguments.under_nsys:
        record(arguments)
        return 0
    command, variables = nsys_command(arguments, argv), nsys_variables(arguments)
    if arguments.print:
        print(shlex.join([*(f"{name}={value}" for name, value in variables.items()), *command]))
        return 0
    problem = platforms.missing_gpu(platforms.VARIABLES[platforms.CUDA])
    if problem is None and shutil.which("nsys") is None:
        problem = (
            "nsys is not on PATH: install Nsight Systems (it comes with the CUDA toolkit, or on its own from NVIDIA)"
        )
    if problem is not None:
        print(
            f"nothing was profiled: {problem}\n`python -m benchmarks.profile --trace DIR` traces anywhere",
            file=sys.stderr,
        )
        return 2
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    code = subprocess.run(command, env={**os.environ, **variables}, check=False).returncode
    if code == 0:
        print(f"written: {arguments.out}.nsys-rep; open it in Nsight Systems, or `nsys stats {arguments.out}.nsys-rep`")
    return code


if __name__ == "__main__":
    sys.exit(main())
