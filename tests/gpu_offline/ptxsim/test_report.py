"""Traffic as a profiler would count it."""

import numpy as np
import pytest

from tests.gpu_offline.ptxsim.harness import run


@pytest.mark.parametrize(
    ("address", "nbytes", "sectors"),
    [
        ("mad.wide.u32 %rd5, %r0, 4, %rd0;", 128, 4),  # coalesced
        ("mad.wide.u32 %rd5, %r0, 8, %rd0;", 128, 8),  # every other word
        ("mad.wide.u32 %rd5, %r0, 64, %rd0;", 128, 32),  # a sector a lane
        ("mov.u64 %rd5, %rd0;", 4, 1),  # one word for all
        ("xor.b32 %r1, %r0, 31; mad.wide.u32 %rd5, %r1, 4, %rd0;", 128, 4),  # backwards
        ("and.b32 %r1, %r0, 3; mad.wide.u32 %rd5, %r1, 4, %rd0;", 16, 1),  # four words, in turns
    ],
)
@pytest.mark.parametrize("block", [32, 96])
def test_coalescing(address: str, nbytes: int, sectors: int, block: int) -> None:
    warps = block // 32
    lane = "and.b32 %r0, %r0, 31;"
    report = run(f"{lane} {address} ld.global.u32 %r2, [%rd5];", [np.zeros(1024, np.uint32)], block=block)
    assert (report.bytes_loaded, report.sectors_loaded) == (warps * nbytes, warps * sectors)
    assert report.load_widths == {4: warps}
    assert report.bytes_stored == 0


def test_partial_warps() -> None:
    body = "setp.lt.u32 %p1, %r0, 40; mad.wide.u32 %rd5, %r0, 4, %rd0; @%p1 st.global.u32 [%rd5], %r0;"
    report = run(body, [np.zeros(64, np.uint32)], block=64)
    assert (report.bytes_stored, report.sectors_stored, report.store_widths) == (160, 5, {4: 2})
    in_turns = "and.b32 %r1, %r0, 3; mad.wide.u32 %rd5, %r1, 64, %rd0; setp.lt.u32 %p1, %r0, 40;"
    report = run(f"{in_turns} @%p1 ld.global.u32 %r2, [%rd5];", [np.zeros(64, np.uint32)], block=64)
    assert (report.bytes_loaded, report.sectors_loaded, report.load_widths) == (32, 8, {4: 2})


def test_instructions_and_sums() -> None:
    body = "mov.u32 %r1, 0; L: add.u32 %r1, %r1, 1; setp.le.u32 %p1, %r1, %r0; @%p1 bra L; bar.sync 0;"
    report = run(body, block=64)
    assert report.instructions["add.u32"] == 32 + 64  # a warp's longest lane
    assert report.instructions["bar.sync"] == 2
    twice = report + report
    assert twice.instructions["add.u32"] == 192
    assert twice.races == report.races
