"""Kernels around a few instructions of hand-written PTX."""

from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from tools import ptxsim

HEADER = ".version 8.5\n.target sm_90a\n.address_size 64\n"
REGISTERS = """
    .reg .pred %p<20>;
    .reg .b16 %h<20>;
    .reg .b32 %r<40>;
    .reg .f32 %f<20>;
    .reg .b64 %rd<40>;
    .reg .f64 %fd<20>;
"""


@lru_cache(maxsize=1024)
def kernel(body: str, params: str = "", before: str = "", name: str = "k") -> ptxsim.Kernel:
    """A kernel of this body, with the registers above and 64-bit parameters `p0`, `p1`, ... named in `params`."""
    text = f"{HEADER}{before}\n.visible .entry {name}({params})\n{{{REGISTERS}{body}\nret;\n}}\n"
    return ptxsim.parse(text).kernels[name]


def pointers(count: int) -> str:
    return ", ".join(f".param .u64 p{i}" for i in range(count))


def run(
    body: str,
    arrays: Sequence[np.ndarray] = (),
    *,
    grid: int = 1,
    block: int | tuple[int, int, int] = 32,
    before: str = "",
    dynamic_shared: int = 0,
    writable: Sequence[bool] | None = None,
    budget: int = 100_000,
) -> ptxsim.Report:
    """Launch a kernel of this body; `%rd0`, `%rd1`, ... hold the arrays' addresses and `%r0` is %tid.x."""
    memory = ptxsim.GlobalMemory()
    flags = writable or [True] * len(arrays)
    addresses = [memory.map(array, flag) for array, flag in zip(arrays, flags)]
    loads = "".join(f"ld.param.u64 %rd{i}, [p{i}];\n" for i in range(len(arrays)))
    compiled = kernel(f"{loads}mov.u32 %r0, %tid.x;\n{body}", pointers(len(arrays)), before)
    size = (block, 1, 1) if isinstance(block, int) else block
    return ptxsim.launch(compiled, (grid, 1, 1), size, addresses, memory, dynamic_shared, budget)


def apply(instructions: str, inputs: Sequence[np.ndarray], result: np.dtype | type) -> np.ndarray:
    """`instructions` compute `%o` from `%a`, `%b`, ... (elements of the inputs, as bits; a bool input is a predicate).

    `%o` has the width of `result`; if that is bool, it is a predicate.
    """
    count = len(inputs[0])
    kinds = [array.dtype for array in inputs]
    stored = [array.astype(np.uint8) if array.dtype == bool else np.ascontiguousarray(array) for array in inputs]
    out = np.dtype(np.uint8) if result is bool else np.dtype(result)
    output = np.full(count * out.itemsize, 0xEE, np.uint8).view(out)
    lines = ["mov.u32 %r1, %ctaid.x; mov.u32 %r2, %ntid.x; mad.lo.u32 %r1, %r1, %r2, %r0;"]
    lines += [f"setp.ge.u32 %p0, %r1, {count};", "@%p0 ret;"]
    for letter, kind, array, i in zip("abcde", kinds, stored, range(5)):
        bits = 8 * array.itemsize
        declared = max(bits, 16)
        lines += [f".reg .b{declared} %{letter}_;" if kind.kind == "b" else f".reg .b{declared} %{letter};"]
        name = f"%{letter}_" if kind.kind == "b" else f"%{letter}"
        lines += [f"mad.wide.u32 %rd20, %r1, {array.itemsize}, %rd{i};", f"ld.global.b{bits} {name}, [%rd20];"]
        if kind.kind == "b":
            lines += [f".reg .pred %{letter};", f"setp.ne.u16 %{letter}, {name}, 0;"]
    bits = 8 * out.itemsize
    lines += [".reg .pred %o;" if result is bool else f".reg .b{max(bits, 16)} %o;", instructions]
    stored_name = "%o"
    if result is bool:
        lines += ["selp.u16 %h0, 1, 0, %o;"]
        stored_name = "%h0"
    lines += [
        f"mad.wide.u32 %rd20, %r1, {out.itemsize}, %rd{len(inputs)};",
        f"st.global.b{bits} [%rd20], {stored_name};",
    ]
    run("\n".join(lines), [*stored, output], grid=-(-count // 128), block=128)
    return output.view(bool) if result is bool else output
