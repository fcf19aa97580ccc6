"""cp.async, ldmatrix and stmatrix."""

import numpy as np
import pytest

from tests.gpu_offline.ptxsim.harness import run
from tools import ptxsim

COPY = """
.shared .align 16 .b8 s[2048]; mov.u32 %r10, s;
mad.lo.u32 %r1, %r0, 16, %r10; mad.wide.u32 %rd5, %r0, 16, %rd0; mad.wide.u32 %rd6, %r0, 16, %rd1;
"""
LOAD = "ld.shared.v4.u32 {%r4, %r5, %r6, %r7}, [%r1]; st.global.v4.u32 [%rd6], {%r4, %r5, %r6, %r7};"


def arrays() -> list[np.ndarray]:
    return [np.arange(128, dtype=np.uint32), np.zeros(128, np.uint32)]


@pytest.mark.parametrize("wait", ["cp.async.commit_group; cp.async.wait_group 0;", "cp.async.wait_all;"])
def test_copy_arrives_at_the_wait(wait: str) -> None:
    source, out = arrays()
    report = run(f"{COPY} cp.async.cg.shared.global.L2::128B [%r1], [%rd5], 16; {wait} {LOAD}", [source, out])
    np.testing.assert_array_equal(out, source)
    assert report.load_widths == {16: 1}
    assert report.races == ()


@pytest.mark.parametrize("wait", ["", "cp.async.commit_group;", "cp.async.commit_group; cp.async.wait_group 1;"])
def test_missing_wait(wait: str) -> None:
    with pytest.raises(ptxsim.UninitialisedRead):
        run(f"{COPY} cp.async.cg.shared.global [%r1], [%rd5], 16; {wait} {LOAD}", arrays())


def test_what_is_being_overwritten_cannot_be_read() -> None:
    """The second copy into a buffer, as in a double-buffered loop."""
    again = "st.shared.v4.u32 [%r1], {%r0, %r0, %r0, %r0}; cp.async.cg.shared.global [%r1], [%rd5], 16;"
    run(f"{COPY} {again} cp.async.wait_all; {LOAD}", arrays())
    with pytest.raises(ptxsim.UninitialisedRead):
        run(f"{COPY} {again} cp.async.commit_group; {LOAD}", arrays())


def test_groups_arrive_in_order() -> None:
    source, out = arrays()
    body = f"""
    {COPY} cp.async.ca.shared.global [%r1], [%rd5], 16; cp.async.commit_group;
    cp.async.ca.shared.global [%r1+512], [%rd5], 16; cp.async.commit_group; cp.async.wait_group 1; {LOAD}
    """
    run(body, [source, out])
    np.testing.assert_array_equal(out, source)
    with pytest.raises(ptxsim.UninitialisedRead):
        run(f"{body} ld.shared.u32 %r4, [%r1+512];", arrays())


def test_rest_of_a_short_copy_is_zero() -> None:
    source, out = arrays()
    body = f"{COPY} and.b32 %r2, %r0, 1; mul.lo.u32 %r2, %r2, 8; cp.async.cg.shared.global [%r1], [%rd5], 16, %r2;"
    run(f"{body} cp.async.wait_all; {LOAD}", [source, out])
    want = source.reshape(32, 4).copy()
    want[::2], want[1::2, 2:] = 0, 0
    np.testing.assert_array_equal(out.reshape(32, 4), want)


def test_copy_needs_a_barrier_for_other_warps() -> None:
    other = "xor.b32 %r2, %r0, 32; mad.lo.u32 %r3, %r2, 16, %r10; ld.shared.u32 %r4, [%r3];"
    body = f"{COPY} cp.async.cg.shared.global [%r1], [%rd5], 16; cp.async.wait_all; {{}} {other}"
    big = [np.zeros(256, np.uint32), np.zeros(256, np.uint32)]
    assert {race.kind for race in run(body.format(""), big, block=64).races} == {"RAW"}
    assert run(body.format("bar.sync 0;"), big, block=64).races == ()


def test_copy_out_of_bounds() -> None:
    with pytest.raises(ptxsim.OutOfBounds):
        run(f"{COPY} cp.async.cg.shared.global [%r1], [%rd5], 16;", [np.zeros(4, np.uint32), np.zeros(4, np.uint32)])


MATRIX = """
.shared .align 16 .b8 s[512]; mov.u32 %r10, s; mad.lo.u32 %r1, %r0, 16, %r10;
mad.wide.u32 %rd5, %r0, 16, %rd0; mad.wide.u32 %rd6, %r0, 16, %rd1;
"""


@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize("direction", ["ld", "st"])
def test_matrices(direction: str, transposed: bool) -> None:
    """Lane l holds elements (l / 4, 2 (l % 4)) and the next; lane 8 j + i gives row i of matrix j."""
    matrices = np.arange(256, dtype=np.uint16).reshape(4, 8, 8)
    fragments = matrices.swapaxes(1, 2) if transposed else matrices
    # By lane, the register of each matrix: a pair of elements.
    registers = fragments.reshape(4, 32, 2).transpose(1, 0, 2).copy()
    trans = ".trans" if transposed else ""
    vector = "{%r4, %r5, %r6, %r7}"
    if direction == "ld":
        body = f"""{MATRIX} ld.global.v4.u32 {vector}, [%rd5]; st.shared.v4.u32 [%r1], {vector}; bar.sync 0;
        ldmatrix.sync.aligned.m8n8.x4{trans}.shared.b16 {vector}, [%r1]; st.global.v4.u32 [%rd6], {vector};"""
        source, want = matrices.copy(), registers
    else:
        body = f"""{MATRIX} ld.global.v4.u32 {vector}, [%rd5];
        stmatrix.sync.aligned.m8n8.x4{trans}.shared.b16 [%r1], {vector}; bar.sync 0;
        ld.shared.v4.u32 {vector}, [%r1]; st.global.v4.u32 [%rd6], {vector};"""
        source, want = registers, matrices
    out = np.zeros(256, np.uint16)
    assert run(body, [source, out]).races == ()
    np.testing.assert_array_equal(out, want.reshape(-1))


def test_matrix_move_by_part_of_a_warp() -> None:
    with pytest.raises(ptxsim.MissingLanes):
        run(
            f"{MATRIX} setp.lt.u32 %p1, %r0, 8; @%p1 ldmatrix.sync.aligned.m8n8.x1.shared.b16 {{%r4}}, [%r1];", arrays()
        )
