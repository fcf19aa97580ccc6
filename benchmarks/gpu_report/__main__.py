"""python -m benchmarks.gpu_report [PAGE]: compile the programs for each GPU and count what our kernels move."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

os.environ.setdefault("JAX_PLATFORMS", "cpu")

import jax
import jaxlib

from benchmarks.gpu_report.deviceless import compile_for
from benchmarks.gpu_report.programs import Program, programs
from benchmarks.gpu_report.targets import GPUS, Gpu
from benchmarks.gpu_report.traffic import kernel_traffic

INTRODUCTION = """# GPU report: computed, not measured

Made by `make gpu-report` on a machine without a GPU, with jax {jax} and jaxlib {jaxlib}. Nothing here is a measurement:
the programs were compiled by XLA for each GPU; bytes are XLA's own analysis of what it compiled plus, for our kernels, what
their PTX loads and stores when `tools/ptxsim` runs it at these sizes; the time is those bytes at the memory's nominal
bandwidth, which no program reaches and which leaves out arithmetic, latency and launches.

T = 1,024 and 65,536 lanes, complex64, for linear_scan; (1, 1024, 32, 32, 32), float32, for the others: one sequence, whose
time is cut into chunks to fill the GPU. "Of many": (40, 32, 32, 32, 32), which fill it as they are.

- minimum: bytes that any program must read and write once.
- kernels: what the program launches; a Triton call is one, our CUDA calls are counted by their launches.
- temp: memory besides operands and results.
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("page", nargs="?", type=Path, help="where to write it (Markdown); printed if absent")
    page = parser.parse_args().page
    lines = [INTRODUCTION.format(jax=jax.__version__, jaxlib=jaxlib.__version__)]
    everything = programs()
    traffic = {}
    for program in everything:
        if program.kernels and not program.launches_of:
            print(f"counting what {program.name} moves", flush=True)
            traffic[program.name] = kernel_traffic(program)
    for gpu in GPUS:
        lines.append(
            f"## {gpu.name}\n\n{gpu.bandwidth / 1e12:.2f} TB/s, {gpu.multiprocessors} multiprocessors, compute capability "
            f"{gpu.capability // 10}.{gpu.capability % 10}.\n\n"
            "| program | minimum, GB | bytes / minimum | kernels | temp, MB | computed time, ms |\n"
            "|---|---:|---:|---|---:|---:|"
        )
        for program in everything:
            lines.append(_row(gpu, program, traffic.get(program.launches_of or program.name)))
            print(lines[-1], flush=True)
        lines.append("")
    if page is not None:
        page.write_text("\n".join(lines))


def _row(gpu: Gpu, program: Program, traffic) -> str:
    os.environ["CSSM_KERNELS_COMPUTE_CAPABILITY"] = str(gpu.capability)
    jax.clear_caches()
    compiled = compile_for(gpu, program.compiled_form(), program.shapes)
    moved, launches = compiled.accessed_bytes, dict(compiled.kernels)
    if traffic is not None:
        moved += traffic.moved_bytes
        launches = {name: n for name, n in launches.items() if "triton" not in name and "cssm" not in name}
        launches.update(traffic.launches)
    kernels = ", ".join(f"{n} {name}" for name, n in launches.items())
    return (
        f"| {program.name} | {program.minimum_bytes / 1e9:.2f} | {moved / program.minimum_bytes:.3f} | {kernels} | "
        f"{compiled.temp_bytes / 1e6:.1f} | {moved / gpu.bandwidth * 1e3:.2f} |"
    )


if __name__ == "__main__":
    main()
