"""Each error by a kernel with the fault, and none by the same kernel without it."""

import numpy as np
import pytest

from tests.gpu_offline.ptxsim.harness import kernel, run
from tools import ptxsim

AT = "mad.wide.u32 %rd5, %r0, 4, %rd0;"


def test_message_says_where() -> None:
    out = np.zeros(40, np.uint32)
    body = f"mov.u32 %r1, %ctaid.x; mad.lo.u32 %r0, %r1, 32, %r0; {AT} st.global.u32 [%rd5], %r0;"
    with pytest.raises(ptxsim.OutOfBounds) as caught:
        run(body, [out], grid=2)
    message = str(caught.value)
    for part in ("kernel k", "'st.global.u32 [%rd5], %r0'", "block (1, 0, 0)", "thread (8, 0, 0)", "offset 160"):
        assert part in message


@pytest.mark.parametrize("access", ["ld.global.u32 %r1, [%rd5]", "st.global.u32 [%rd5], %r0"])
def test_global_bounds(access: str) -> None:
    run(f"{AT} {access};", [np.zeros(32, np.uint32)])
    for wrong in (
        f"{AT} add.u64 %rd5, %rd5, 4;",
        f"{AT} sub.u64 %rd5, %rd5, 4;",
        "mov.u64 %rd5, 0;",
        "mov.u64 %rd5, -8;",
    ):
        with pytest.raises(ptxsim.OutOfBounds):
            run(f"{wrong} {access};", [np.zeros(32, np.uint32)])


def test_straddling_the_end() -> None:
    with pytest.raises(ptxsim.OutOfBounds):
        run("ld.global.v2.u32 {%r1, %r2}, [%rd0];", [np.zeros(1, np.uint32)], block=1)
    with pytest.raises(ptxsim.OutOfBounds, match="offset 8"):
        run("ld.global.u64 %rd5, [%rd0+8];", [np.zeros(3, np.uint32)], block=1)


def test_lanes_in_two_mappings() -> None:
    body = "setp.lt.u32 %p1, %r0, 16; selp.b64 %rd5, %rd0, %rd1, %p1; st.global.u32 [%rd5+4], %r0;"
    arrays = [np.zeros(2, np.uint32), np.zeros(2, np.uint32)]
    run(body, arrays)
    assert [array[1] for array in arrays] == [15, 31]
    with pytest.raises(ptxsim.OutOfBounds, match=r"thread \(16, 0, 0\)"):
        run(body, [np.zeros(2, np.uint32), np.zeros(1, np.uint32)])


def test_guarded_lanes_do_not_access() -> None:
    run(f"setp.lt.u32 %p1, %r0, 5; {AT} @%p1 st.global.u32 [%rd5], %r0;", [np.zeros(5, np.uint32)])


def test_misaligned() -> None:
    with pytest.raises(ptxsim.Misaligned, match="not a multiple of 8"):
        run("ld.global.v2.u32 {%r1, %r2}, [%rd0+4];", [np.zeros(8, np.uint32)])
    shared = ".shared .align 16 .b8 s[64]; st.shared.u32 [s+2], %r0;"
    with pytest.raises(ptxsim.Misaligned, match="shared"):
        run(shared)
    with pytest.raises(ptxsim.Misaligned, match="local"):
        run(".local .align 8 .b8 s[64]; st.local.u64 [s+4], %rd5;".replace("%rd5", "1"))


def test_read_only() -> None:
    array = np.zeros(32, np.uint32)
    with pytest.raises(ptxsim.ReadOnlyStore):
        run(f"{AT} st.global.u32 [%rd5], %r0;", [array], writable=[False])
    with pytest.raises(ptxsim.ReadOnlyStore):
        run("red.global.add.u32 [%rd0], 1;", [array], writable=[False])
    assert not array.any()


@pytest.mark.parametrize("space", ["shared", "local"])
def test_bounds_and_first_use_of_other_spaces(space: str) -> None:
    declare = f".{space} .align 8 .b8 s[64];"
    run(f"{declare} st.{space}.u32 [s+60], 1; bar.sync 0; ld.{space}.u32 %r1, [s+60];", block=1)
    with pytest.raises(ptxsim.OutOfBounds, match=space):
        run(f"{declare} st.{space}.u32 [s+64], 1;")
    with pytest.raises(ptxsim.OutOfBounds, match=space):
        run(f"{declare} ld.{space}.u32 %r1, [s-4];".replace("s-4", "s+-4"))
    with pytest.raises(ptxsim.UninitialisedRead, match=space):
        run(f"{declare} st.{space}.u32 [s], 1; ld.{space}.u64 %rd5, [s];", block=1)
    with pytest.raises(ptxsim.UninitialisedRead, match=space):
        run(f"{declare} setp.eq.u32 %p1, %r0, 3; @%p1 st.{space}.u32 [s], 1; @!%p1 ld.{space}.u32 %r1, [s+4];")


def test_shared_memory_of_another_block_is_not_there() -> None:
    body = """
    .shared .align 4 .b8 s[4]; mov.u32 %r1, %ctaid.x; setp.eq.u32 %p1, %r1, 0;
    @%p1 st.shared.u32 [s], 1; bar.sync 0; ld.shared.u32 %r2, [s];
    """
    with pytest.raises(ptxsim.UninitialisedRead, match=r"block \(1, 0, 0\)"):
        run(body, grid=2, block=1)


def test_uninitialised_register() -> None:
    with pytest.raises(ptxsim.UninitialisedRead, match="%r7"):
        run("add.u32 %r1, %r7, 1;")
    with pytest.raises(ptxsim.UninitialisedRead, match="%p7"):
        run("@%p7 mov.u32 %r1, 1;")
    with pytest.raises(ptxsim.UninitialisedRead, match="%p7"):
        run("@%p7 bra L; L:")


def test_register_written_on_one_path_only() -> None:
    body = "setp.lt.u32 %p1, %r0, {}; @%p1 bra SKIP; mov.u32 %r7, 1; SKIP: {} add.u32 %r1, %r7, 1;"
    with pytest.raises(ptxsim.UninitialisedRead, match=r"thread \(0, 0, 0\)"):
        run(body.format(4, ""))
    run(body.format(0, ""))  # no lane takes the path without the write
    run(body.format(4, "@!%p1"))  # nor reads
    both = "setp.lt.u32 %p1, %r0, 4; @%p1 mov.u32 %r7, 1; @!%p1 mov.u32 %r7, 2; add.u32 %r1, %r7, 1;"
    run(both)


def test_register_of_a_loop_that_is_written_in_its_first_round() -> None:
    body = """
    mov.u32 %r1, 0;
    LOOP: setp.eq.u32 %p1, %r1, {}; @%p1 mov.u32 %r7, 5; add.u32 %r2, %r7, 1;
    add.u32 %r1, %r1, 1; setp.lt.u32 %p2, %r1, 3; @%p2 bra LOOP;
    """
    run(body.format(0))
    with pytest.raises(ptxsim.UninitialisedRead):
        run(body.format(1))


def test_undefined_half_of_a_packed_value() -> None:
    """LLVM packs a value with an undefined one and drops the result's half; using that half is an error."""
    packed = "mov.u16 %h1, 0x3C00; mov.b32 %r5, {%h1, %h2}; add.f16x2 %r6, %r5, %r5;"
    run(f"{packed} mov.b32 {{%h3, _}}, %r6; add.f16 %h4, %h3, %h3;")
    with pytest.raises(ptxsim.UninitialisedRead, match="%h3"):
        run(f"{packed} mov.b32 {{_, %h3}}, %r6; add.f16 %h4, %h3, %h3;")
    with pytest.raises(ptxsim.UninitialisedRead, match="%r6"):
        run(f"{packed} add.u32 %r7, %r6, 1;")


def test_bytes_picked_from_a_half_written_value() -> None:
    """Only those that are picked need to have been written."""
    packed = "mov.u16 %h1, 0x1234; mov.b32 %r5, {%h1, %h2};"
    run(f"{packed} prmt.b32 %r6, %r5, 0, 0x7710U; add.u32 %r7, %r6, 1;")
    with pytest.raises(ptxsim.UninitialisedRead, match="%r6"):
        run(f"{packed} prmt.b32 %r6, %r5, 0, 0x7720U; add.u32 %r7, %r6, 1;")


def test_barrier_after_an_early_return() -> None:
    body = "setp.lt.u32 %p1, %r0, {}; @%p1 ret; bar.sync 0;"
    run(body.format(0), block=64)
    with pytest.raises(ptxsim.BarrierDivergence, match=r"54 wait at 'bar.sync 0'.*10 have exited"):
        run(body.format(10), block=64)


def test_barriers_of_two_branches() -> None:
    branches = "setp.lt.u32 %p1, %r0, 32; @%p1 bra A; bar.sync {}; bra END; A: bar.sync 0; END:"
    for identifier in (0, 1):
        with pytest.raises(ptxsim.BarrierDivergence, match=r"32 wait at .* and 32 wait at"):
            run(branches.format(identifier), block=64)


def test_counted_barrier_without_enough_threads() -> None:
    body = "setp.ge.u32 %p1, %r0, 32; @%p1 ret; bar.sync 1, {};"
    run(body.format(32), block=64)
    with pytest.raises(ptxsim.BarrierDivergence):
        run(body.format(64), block=64)
    with pytest.raises(ptxsim.BarrierDivergence):
        run("bar.sync 1, 32;", block=64)  # which 32 of the 64 that wait is open


@pytest.mark.parametrize(
    "collective",
    [
        "shfl.sync.bfly.b32 %r1, %r0, 1, 31, -1;",
        "setp.eq.u32 %p2, %r0, 0; vote.sync.ballot.b32 %r1, %p2, -1;",
        "redux.sync.add.s32 %r1, %r0, -1;",
        "match.any.sync.b32 %r1, %r0, -1;",
        "bar.warp.sync -1;",
    ],
)
def test_missing_lanes(collective: str) -> None:
    run(f"setp.lt.u32 %p1, %r0, 0; @%p1 ret; {collective}")
    with pytest.raises(ptxsim.MissingLanes, match="lanes 0x0000000f do not take part"):
        run(f"setp.lt.u32 %p1, %r0, 4; @%p1 ret; {collective}")
    with pytest.raises(ptxsim.MissingLanes, match="does not name the executing lane"):
        run(collective.replace("-1;", "0xFFFF;"))


def test_shuffle_from_a_lane_outside_the_mask() -> None:
    body = "setp.lt.u32 %p1, %r0, 16; @%p1 shfl.sync.idx.b32 %r1, %r0, {}, 31, 0xFFFF;"
    run(body.format(3))
    with pytest.raises(ptxsim.MissingLanes, match="shuffle from lane 20"):
        run(body.format(20))


@pytest.mark.parametrize(
    "instruction",
    [
        "mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%r1}, {%r2}, {%r3}, {%r4};",
        "add.rz.f64 %fd1, %fd1, %fd1;",
        "add.mystery.u32 %r1, %r0, %r0;",
        "frobnicate.u32 %r1, %r0;",
        "mul.u32 %r1, %r0, %r0;",
        "mov.u32 %r1, %unknown;",
        "add.u64 %r1, %r0, %r0;",
    ],
)
def test_unsupported_instruction(instruction: str) -> None:
    """Raised when a lane comes to it, and only then."""
    with pytest.raises(ptxsim.UnsupportedInstruction, match="instruction '"):
        run(f"mov.f64 %fd1, 0d0000000000000000; {instruction}")
    run(f"mov.f64 %fd1, 0d0000000000000000; setp.lt.u32 %p1, %r0, 0; @!%p1 ret; {instruction}")


def test_runaway_loop() -> None:
    with pytest.raises(ptxsim.RunawayLoop, match="more than 1000 instructions"):
        run("L: add.u32 %r0, %r0, 1; bra L;", budget=1000)


def test_trap_and_assertion() -> None:
    with pytest.raises(ptxsim.DeviceTrap, match=r"thread \(5, 0, 0\)"):
        run("setp.eq.u32 %p1, %r0, 5; @%p1 trap;")
    with pytest.raises(ptxsim.DeviceTrap, match="assertion"):
        run("call.uni __assertfail, ();", before=".extern .func __assertfail();")


def test_division_by_zero() -> None:
    run("setp.ne.u32 %p1, %r0, 0; @%p1 div.u32 %r1, 7, %r0;")
    with pytest.raises(ptxsim.DivisionByZero, match=r"thread \(0, 0, 0\)"):
        run("div.u32 %r1, 7, %r0;")


def test_arguments() -> None:
    compiled = kernel("", ".param .u64 a, .param .u32 n, .param .align 8 .b8 s[16]", name="args")
    memory = ptxsim.GlobalMemory()
    launch = lambda args, grid=(1, 1, 1), block=(32, 1, 1): ptxsim.launch(compiled, grid, block, args, memory)
    launch([0, 3, bytes(16)])
    launch([0, -3, bytes(16)])
    for args, match in (
        ([0, 3], "takes 3 arguments, not 2"),
        ([0, 3, bytes(12)], "16 bytes, not 12"),
        ([0, 3, 5], "16 bytes by value"),
        ([0, 1 << 32, bytes(16)], "does not fit"),
        ([1 << 64, 3, bytes(16)], "does not fit"),
    ):
        with pytest.raises(ptxsim.LaunchError, match=match):
            launch(args)
    with pytest.raises(ptxsim.LaunchError, match="grid"):
        launch([0, 3, bytes(16)], grid=(0, 1, 1))
    with pytest.raises(ptxsim.LaunchError, match="block"):
        launch([0, 3, bytes(16)], block=(1025, 1, 1))


def test_parse_error() -> None:
    with pytest.raises(ptxsim.ParseError, match="no label NOWHERE"):
        run("bra NOWHERE;")
    with pytest.raises(ptxsim.ParseError, match="closing brace"):
        ptxsim.parse(".version 8.0\n.visible .entry k() {\n add.u32 %r1, %r2, 3;\n")
