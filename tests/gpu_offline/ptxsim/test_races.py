"""Each kind of race by a kernel that has it, and none by the kernel with the barrier."""

import numpy as np
import pytest

from tests.gpu_offline.ptxsim.harness import run
from tools import ptxsim

SHARED = ".shared .align 16 .b8 s[1024]; mov.u32 %r10, s; mad.lo.u32 %r1, %r0, 4, %r10;"
# The neighbour that is 32 threads away is in the other warp; %r3 is its address.
OTHER_WARP = "xor.b32 %r2, %r0, 32; mad.lo.u32 %r3, %r2, 4, %r10;"
SAME_WARP = "xor.b32 %r2, %r0, 1; mad.lo.u32 %r3, %r2, 4, %r10;"


def kinds(body: str, block: int = 64, **options) -> set[str]:
    return {race.kind for race in run(body, block=block, **options).races}


@pytest.mark.parametrize(
    ("kind", "before", "after"),
    [
        ("RAW", "st.shared.u32 [%r1], %r0;", "ld.shared.u32 %r4, [%r3];"),
        ("WAR", "st.shared.u32 [%r1], %r0; bar.sync 0; ld.shared.u32 %r4, [%r3];", "st.shared.u32 [%r1], %r4;"),
        ("WW", "st.shared.u32 [%r1], %r0;", "st.shared.u32 [%r3], %r0;"),
    ],
)
def test_between_warps(kind: str, before: str, after: str) -> None:
    assert kinds(f"{SHARED} {OTHER_WARP} {before} {after}") == {kind}
    assert kinds(f"{SHARED} {OTHER_WARP} {before} bar.sync 0; {after}") == set()
    if kind != "WAR":  # there the barrier before the load is enough for lanes of one warp
        warp = f"{SHARED} {SAME_WARP} {before} bar.warp.sync -1; {after}"
        assert kinds(warp) == set()


def test_within_a_warp() -> None:
    store_and_load = "st.shared.u32 [%r1], %r0; {} ld.shared.u32 %r4, [%r3];"
    assert kinds(f"{SHARED} {SAME_WARP} {store_and_load.format('')}") == {"warp"}
    assert kinds(f"{SHARED} {SAME_WARP} {store_and_load.format('bar.warp.sync -1;')}") == set()
    assert kinds(f"{SHARED} {SAME_WARP} {store_and_load.format('bar.sync 0;')}") == set()


def test_warp_barrier_does_not_order_warps() -> None:
    body = f"{SHARED} {OTHER_WARP} st.shared.u32 [%r1], %r0; bar.warp.sync -1; ld.shared.u32 %r4, [%r3];"
    assert kinds(body) == {"RAW"}


def test_own_cells_do_not_race() -> None:
    assert kinds(f"{SHARED} st.shared.u32 [%r1], %r0; ld.shared.u32 %r4, [%r1]; st.shared.u32 [%r1], %r4;") == set()


def test_loop_with_one_barrier_too_few() -> None:
    """Store, barrier, load of the neighbour's: the next round's store races unless a second barrier comes before it."""
    body = """
    mov.u32 %r5, 0;
    LOOP: st.shared.u32 [%r1], %r5; bar.sync 0; ld.shared.u32 %r4, [%r3]; {}
    add.u32 %r5, %r5, 1; setp.lt.u32 %p1, %r5, 3; @%p1 bra LOOP;
    """
    assert kinds(f"{SHARED} {OTHER_WARP} {body.format('')}") == {"WAR"}
    assert kinds(f"{SHARED} {OTHER_WARP} {body.format('bar.sync 0;')}") == set()


def test_two_readers_of_two_warps() -> None:
    """Both warps load a cell; the store by either races with the other's load."""
    for writer in (0, 32):
        body = f"""
        {SHARED} setp.eq.u32 %p1, %r0, {writer}; @%p1 st.shared.u32 [s], 1; bar.sync 0;
        ld.shared.u32 %r4, [s]; @%p1 st.shared.u32 [s], 2;
        """
        assert "WAR" in kinds(body)


def test_disjoint_bytes_of_one_word() -> None:
    body = ".shared .align 4 .b8 s[64]; mov.u32 %r1, s; add.u32 %r1, %r1, %r0; st.shared.u8 [%r1], %r0;"
    assert kinds(body, block=64) == set()
    mixed = ".shared .align 16 .b8 s[64]; setp.lt.u32 %p1, %r0, 32; @%p1 bra L; st.shared.v2.u32 [s], {%r0, %r0}; bra E; L: "
    assert kinds(f"{mixed} st.shared.u32 [s+8], %r0; E:", block=64) == {"WW"}  # each warp's own lanes collide
    one = "setp.eq.u32 %p2, %r0, 0; setp.eq.u32 %p3, %r0, 32;"
    assert kinds(f"{SHARED} {one} @%p2 st.shared.v2.u32 [s], {{%r0, %r0}}; @%p3 st.shared.u32 [s+8], %r0;") == set()
    assert kinds(f"{SHARED} {one} @%p2 st.shared.v2.u32 [s], {{%r0, %r0}}; @%p3 st.shared.u32 [s+4], %r0;") == {"WW"}


def test_one_instruction_that_stores_twice() -> None:
    assert kinds(f"{SHARED} st.shared.u32 [s], %r0;", block=32) == {"WW"}
    assert kinds(f"{SHARED} st.shared.u32 [s], 7;", block=32) == set()
    assert kinds(f"{SHARED} st.shared.u32 [s], 7;", block=64) == {"redundant"}


def test_redundant_stores_are_recorded_and_pass() -> None:
    body = f"{SHARED} {OTHER_WARP} mov.u32 %r5, 3; st.shared.u32 [%r1], %r5; st.shared.u32 [%r3], %r5;"
    report = run(body, block=64)
    assert {race.kind for race in report.races} == {"redundant"}
    assert report.check() is report


def test_check_raises() -> None:
    report = run(f"{SHARED} {OTHER_WARP} st.shared.u32 [%r1], %r0; ld.shared.u32 %r4, [%r3];", block=64)
    with pytest.raises(ptxsim.RaceError, match=r"RAW race in k: ld\.shared\.u32 %r4, \[%r3\]"):
        report.check()


def test_atomics_race_with_plain_accesses_only() -> None:
    zero = "setp.eq.u32 %p1, %r0, 0; @%p1 st.shared.u32 [s], 0;"
    add = "atom.shared.add.u32 %r4, [s], 1;"
    assert kinds(f"{SHARED} {zero} bar.sync 0; {add} {add}") == set()
    assert "WW" in kinds(f"{SHARED} {zero} {add}")
    assert "RAW" in kinds(f"{SHARED} {zero} bar.sync 0; {add} ld.shared.u32 %r5, [s];")


def test_counted_barrier_orders_only_those_who_meet() -> None:
    body = f"""
    {SHARED} setp.ge.u32 %p1, %r0, 64; st.shared.u32 [%r1], %r0;
    @%p1 bra END; bar.sync 1, 64; xor.b32 %r2, %r0, {{}}; mad.lo.u32 %r3, %r2, 4, %r10; ld.shared.u32 %r4, [%r3]; END:
    """
    assert kinds(body.format(32), block=96) == set()
    assert kinds(body.format(64), block=128) == {"RAW"}


def test_blocks_do_not_share_races() -> None:
    body = f"{SHARED} st.shared.u32 [%r1], %r0; bar.sync 0; ld.shared.u32 %r4, [%r1];"
    assert kinds(body, block=64, grid=70) == set()


BLOCK = "mov.u32 %r1, %ctaid.x; mad.wide.u32 %rd5, %r1, 4, %rd0;"


@pytest.mark.parametrize("grid", [2, 200])
def test_between_blocks(grid: int) -> None:
    out = np.zeros(grid + 1, np.uint32)
    races = lambda body: {race.kind for race in run(f"{BLOCK} {body}", [out], grid=grid, block=1).races}
    assert races("add.u32 %r2, %r1, 5; st.global.u32 [%rd5], %r2; ld.global.u32 %r3, [%rd5];") == set()
    assert "global" in races("add.u32 %r2, %r1, 9; st.global.u32 [%rd5], %r2; ld.global.u32 %r3, [%rd5+4];")
    assert "global" in races("ld.global.u32 %r3, [%rd5+4]; add.u32 %r2, %r1, 77; st.global.u32 [%rd5], %r2;")
    one = f"ld.global.u32 %r3, [%rd0]; setp.eq.u32 %p1, %r1, {grid - 1}; @%p1 st.global.u32 [%rd0], 1234;"
    assert races(one) == {"global"}
    assert races("st.global.u32 [%rd0], 3;") == set()
    assert races("add.u32 %r1, %r1, 10; st.global.u32 [%rd0], %r1;") == {"global"}
    assert races("red.global.add.u32 [%rd0], 1;") == set()
