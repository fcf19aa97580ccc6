"""Divergent branches and loops, switches, device functions and barriers of part of a block."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.gpu_offline.ptxsim.harness import HEADER, REGISTERS, apply, run
from tools import ptxsim


def collatz(n: int) -> int:
    steps = 0
    while n > 1 and steps < 200:
        n = 3 * n + 1 if n % 2 else n // 2
        steps += 1
    return steps


@settings(max_examples=10, deadline=None)
@given(st.lists(st.integers(1, 10**6), min_size=40, max_size=40))
def test_divergent_loop(numbers: list[int]) -> None:
    """Back edges, exits and a branch inside diverge; a `continue` jumps back from the middle."""
    body = """
    mov.u32 %o, 0; mov.u32 %r5, %a;
    LOOP:
    setp.le.u32 %p1, %r5, 1; @%p1 bra DONE;
    setp.ge.u32 %p2, %o, 200; @%p2 bra DONE;
    add.u32 %o, %o, 1; and.b32 %r6, %r5, 1; setp.eq.u32 %p3, %r6, 0;
    @%p3 bra EVEN;
    mad.lo.u32 %r5, %r5, 3, 1;
    bra LOOP;
    EVEN:
    shr.u32 %r5, %r5, 1;
    bra.uni LOOP;
    DONE:
    """
    got = apply(body, [np.array(numbers, np.uint32)], np.uint32)
    assert got.tolist() == [collatz(n) for n in numbers]


def test_lanes_meet_again_after_a_branch() -> None:
    """All lanes take part in a shuffle behind a diamond, and behind a loop of different lengths."""
    out = np.zeros(32, np.uint32)
    body = """
    mov.u32 %r5, 0;
    LOOP: add.u32 %r5, %r5, 1; setp.le.u32 %p1, %r5, %r0; @%p1 bra LOOP;
    and.b32 %r1, %r0, 1; setp.eq.u32 %p2, %r1, 0; @%p2 bra EVEN;
    add.u32 %r5, %r5, 100; bra JOIN;
    EVEN: add.u32 %r5, %r5, 200;
    JOIN: shfl.sync.bfly.b32 %r6, %r5, 31, 31, -1;
    mad.wide.u32 %rd5, %r0, 4, %rd0; st.global.u32 [%rd5], %r6;
    """
    run(body, [out])
    assert out.tolist() == [(31 - i) + 1 + (100 if i % 2 == 0 else 200) for i in range(32)]


def test_switch() -> None:
    x = np.arange(8, dtype=np.uint32) % 3
    body = """
    TABLE: .branchtargets ZERO, ONE, TWO;
    brx.idx %a, TABLE;
    ZERO: mov.u32 %o, 5; bra END;
    ONE: mov.u32 %o, 6; bra END;
    TWO: mov.u32 %o, 7;
    END:
    """
    assert apply(body, [x], np.uint32).tolist() == (x + 5).tolist()


def test_nested_scopes_have_their_own_registers() -> None:
    x = np.arange(4, dtype=np.float32)
    body = "{ .reg .f32 t; add.f32 t, %a, %a; { .reg .f32 t; mov.f32 t, 0f00000000; } mov.f32 %o, t; }"
    assert apply(body, [x], np.float32).tolist() == [0, 2, 4, 6]


FUNCTIONS = (
    HEADER
    + """
.func (.param .b32 result) square(.param .b32 x)
{
    .reg .b32 %r<4>;
    ld.param.u32 %r1, [x]; mul.lo.u32 %r2, %r1, %r1; st.param.b32 [result], %r2;
    ret;
}
.func (.param .align 8 .b8 results[8]) both(.param .b32 x, .param .b32 n)
{
    .reg .b32 %r<8>; .reg .pred %p<2>;
    ld.param.u32 %r1, [x]; ld.param.u32 %r2, [n];
    setp.eq.u32 %p1, %r2, 0; mov.u32 %r3, 0; @%p1 bra OUT;
    { .param .b32 a; st.param.b32 [a], %r1; .param .b32 b;
      call.uni (b), square, (a);
      ld.param.u32 %r3, [b]; }
    OUT: st.param.b32 [results], %r3; st.param.b32 [results+4], %r1;
    ret;
}
.visible .entry k(.param .u64 p)
{"""
    + REGISTERS
    + """
    ld.param.u64 %rd0, [p]; mov.u32 %r0, %tid.x; and.b32 %r1, %r0, 1; mov.u32 %r5, 0; mov.u32 %r6, 0;
    setp.lt.u32 %p1, %r0, 20; @!%p1 bra SKIP;
    { .param .b32 x; st.param.b32 [x], %r0; .param .b32 n; st.param.b32 [n], %r1; .param .align 8 .b8 r[8];
      call (r), both, (x, n);
      ld.param.v2.b32 {%r5, %r6}, [r]; }
    SKIP:
    shfl.sync.idx.b32 %r7, %r6, 3, 31, -1;
    add.u32 %r6, %r6, %r7;
    mad.wide.u32 %rd1, %r0, 8, %rd0; st.global.v2.u32 [%rd1], {%r5, %r6};
    ret;
}
"""
)


def test_device_functions() -> None:
    out = np.zeros((32, 2), np.uint32)
    memory = ptxsim.GlobalMemory()
    ptxsim.launch(ptxsim.parse(FUNCTIONS).kernels["k"], (1, 1, 1), (32, 1, 1), [memory.map(out)], memory)
    want = [(i * i if i % 2 else 0, i + 3) if i < 20 else (0, 3) for i in range(32)]
    assert [tuple(row) for row in out.tolist()] == want


def test_counted_barrier_between_producers_and_consumers() -> None:
    """Warp 0 stores and arrives, warp 1 waits and loads; warp 2 takes no part and exits."""
    out = np.zeros(32, np.uint32)
    body = """
    .shared .align 4 .b8 s[128];
    setp.ge.u32 %p1, %r0, 64; @%p1 ret; setp.ge.u32 %p2, %r0, 32; and.b32 %r1, %r0, 31;
    mov.u32 %r2, s; mad.lo.u32 %r2, %r1, 4, %r2; @%p2 bra CONSUMER;
    st.shared.u32 [%r2], %r1; bar.arrive 1, 64; ret;
    CONSUMER:
    bar.sync 1, 64; xor.b32 %r3, %r1, 31; mov.u32 %r4, s; mad.lo.u32 %r4, %r3, 4, %r4;
    ld.shared.u32 %r5, [%r4]; mad.wide.u32 %rd5, %r1, 4, %rd0; st.global.u32 [%rd5], %r5;
    """
    assert run(body, [out], block=96).check().races == ()
    assert out.tolist() == list(range(31, -1, -1))


@pytest.mark.parametrize("block", [32, 48, 160, 1024])
def test_many_blocks(block: int) -> None:
    """More blocks than run together, of whole and of partial warps."""
    grid = 5000 // block + 3
    out = np.zeros(grid * block, np.uint32)
    body = """
    mov.u32 %r1, %ctaid.x; mov.u32 %r2, %ntid.x; mad.lo.u32 %r3, %r1, %r2, %r0;
    mad.wide.u32 %rd5, %r3, 4, %rd0; st.global.u32 [%rd5], %r3;
    """
    report = run(body, [out], grid=grid, block=block)
    np.testing.assert_array_equal(out, np.arange(grid * block))
    assert report.instructions["st.global.u32"] == grid * -(-block // 32)


def test_clock_goes_on() -> None:
    out = np.zeros(2, np.uint32)
    body = (
        "mov.u32 %r1, %clock; bar.sync 0; mov.u32 %r2, %clock; st.global.u32 [%rd0], %r1; st.global.u32 [%rd0+4], %r2;"
    )
    run(body, [out], block=1)
    assert out[1] > out[0]
