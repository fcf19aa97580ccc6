"""Planted bugs: each must make the smoke tests fail, on the twin, or the tests prove nothing."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import jax
import pytest

from tests.gpu_offline.spectral.cases import CHECKED
from tests.spectral_scan.cases import Case, call, make_operands
from tools import ptxsim
from tools.gpu_offline import cuda_bridge
from tools.gpu_offline.twin import REPOSITORY, build, source_hash

# name: (file, what is there, what is put there)
MUTANTS = {
    "no barrier before the columns": (
        "spectral_forward.h",
        "    __syncthreads();\n    block.for_columns",
        "    block.for_columns",
    ),
    "no barrier after the columns": ("spectral_forward.h", "    __syncthreads();\n    if (emits)", "    if (emits)"),
    "no barrier after the adjoint's columns": (
        "spectral_backward.h",
        "      __syncthreads();\n      if (adjoint &&",
        "      if (adjoint &&",
    ),
    "idle threads return before a barrier": (
        "spectral_forward.h",
        "  bool passes = true;",
        "  if (threadIdx.x >= unsigned(block.tasks)) return;\n  bool passes = true;",
    ),
    "the last step left out": ("spectral_forward.h", "step < block.end", "step + 1 < block.end"),
    "a channel too many": ("spectral_block.h", "+ lane < scan.channels", "+ lane <= scan.channels"),
    "no conjugate in the adjoint": ("spectral_backward.h", "conj(k_[i]) * p[v]", "k_[i] * p[v]"),
    "a gradient through a reset": ("spectral_backward.h", "wants_dk_ && !resets", "wants_dk_"),
    "a part forgotten": ("spectral_backward.h", "add_to_parts(segment == last)", "add_to_parts(true)"),
    "a state handed through a reset": ("spectral_sums.h", "params.carries.passes[slot] && ", ""),
    "an imaginary part of column W/2 kept": ("spectral_block.h", "if (f == 0 || 2 * f == W) {", "if (f == 0) {"),
}  # fmt: skip


@pytest.fixture(scope="module")
def tree(tmp_path_factory) -> Path:
    """The sources, with kernels for frames up to 16 by 16 in single precision alone: built in seconds."""
    root = tmp_path_factory.mktemp("mutants")
    shutil.copytree(REPOSITORY / "csrc", root / "csrc")
    shutil.copy(REPOSITORY / "CMakeLists.txt", root)
    for path in (root / "csrc/cuda").glob("spectral_*_f*.cu"):
        lines = path.read_text().splitlines(keepends=True)
        path.write_text("".join(line for line in lines if not re.search(r"(, 32>|, 64>|<double, 16>);", line)))
    return root


def smoke_tests(library: Path) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider"]
    command.append(str(Path(__file__).with_name("test_smoke.py")))
    environment = {**os.environ, "CSSM_CUDA_TWIN": str(library)}
    return subprocess.run(command, env=environment, cwd=REPOSITORY, capture_output=True, text=True, check=False)


def library_of(tree: Path, name: str) -> Path:
    """A copy: each is loaded by a process of its own, and the next is built in its place."""
    return Path(shutil.copy(build(tree, tree / "build"), tree / f"{name}.so"))


def test_the_sources_as_they_are_pass(tree):
    done = smoke_tests(library_of(tree, "sound"))
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("name", MUTANTS)
def test_mutant_is_caught(name, tree):
    file, there, put = MUTANTS[name]
    path = tree / "csrc/cuda" / file
    sound = path.read_text()
    assert sound.count(there) == 1, f"the source has changed: {there!r} is there {sound.count(there)} times"
    path.write_text(sound.replace(there, put))
    try:
        done = smoke_tests(library_of(tree, "mutant"))
    finally:
        path.write_text(sound)
    assert done.returncode != 0, "no test noticed"
    assert re.search(r"AssertionError|Fatal Python error: Aborted", done.stdout + done.stderr), done.stdout


@pytest.mark.skipif(cuda_bridge.nvcc() is None, reason="no nvcc on this machine")
@pytest.mark.parametrize("name", ["no barrier before the columns", "no barrier after the columns"])
def test_a_race_is_seen_in_the_ptx(name, tree, twin, rng):
    """Whatever the numbers."""
    file, there, put = MUTANTS[name]
    path = tree / "csrc/cuda" / file
    sound = path.read_text()
    path.write_text(sound.replace(there, put))
    try:
        text = cuda_bridge.compiled(tree / "csrc/cuda/spectral_forward_f32.cu", tree, source_hash(name))
    finally:
        path.write_text(sound)
    operands = make_operands(Case((), 3, (16, 16, 8)), "float32", rng)
    with pytest.raises(ptxsim.RaceError), cuda_bridge.ptx_kernels(twin, ptxsim.parse(text).kernels):
        jax.block_until_ready(call(operands, **CHECKED))
