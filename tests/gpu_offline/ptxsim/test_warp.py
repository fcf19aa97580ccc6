"""Warp instructions against a warp in plain Python, with whole and partial warps."""

import numpy as np
import pytest

from tests.gpu_offline.ptxsim.harness import apply, run
from tools import ptxsim

SHUFFLES = {
    "up": lambda lane, b, low, high: lane - b if lane - b >= low else None,
    "down": lambda lane, b, low, high: lane + b if lane + b <= high else None,
    "bfly": lambda lane, b, low, high: lane ^ b if lane ^ b <= high else None,
    "idx": lambda lane, b, low, high: low + b if low + b <= high else None,
}


@pytest.mark.parametrize("mode", SHUFFLES)
@pytest.mark.parametrize("width", [32, 16, 8])
@pytest.mark.parametrize("offset", [1, 3, 5])
def test_shuffle(mode: str, width: int, offset: int) -> None:
    """As CUDA's __shfl_*_sync(mask, x, offset, width)."""
    x = np.arange(64, dtype=np.uint32) * 7
    clamp = (32 - width) << 8 | (0 if mode == "up" else width - 1)
    body = f"shfl.sync.{mode}.b32 %r5|%p1, %a, {offset}, {clamp}, -1; selp.u32 %r6, 1000, 0, %p1; add.u32 %o, %r5, %r6;"
    got = apply(body, [x], np.uint32)
    for i in range(64):
        lane = i % 32
        low = lane // width * width
        source = SHUFFLES[mode](lane, offset, low, low + width - 1)
        assert got[i] == x[i if source is None else i - lane + source] + (0 if source is None else 1000)


def test_shuffle_with_an_index_of_each_lane() -> None:
    x = np.arange(32, dtype=np.uint32) + 50
    index = np.random.default_rng(0).permutation(32).astype(np.uint32)
    assert apply("shfl.sync.idx.b32 %o, %a, %b, 31, -1;", [x, index], np.uint32).tolist() == (index + 50).tolist()


def test_votes() -> None:
    out = np.zeros(5 * 32, np.uint32)
    body = """
    setp.lt.u32 %p1, %r0, 3;
    vote.sync.ballot.b32 %r1, %p1, -1; vote.sync.ballot.b32 %r2, !%p1, -1;
    vote.sync.any.pred %p2, %p1, -1; vote.sync.all.pred %p3, %p1, -1; vote.sync.uni.pred %p4, %p3, -1;
    selp.u32 %r3, 1, 0, %p2; selp.u32 %r4, 1, 0, %p3; selp.u32 %r5, 1, 0, %p4;
    mad.wide.u32 %rd5, %r0, 4, %rd0;
    st.global.u32 [%rd5], %r1; st.global.u32 [%rd5+128], %r2; st.global.u32 [%rd5+256], %r3;
    st.global.u32 [%rd5+384], %r4; st.global.u32 [%rd5+512], %r5;
    """
    run(body, [out])
    assert out.reshape(5, 32)[:, 7].tolist() == [7, 0xFFFFFFF8, 1, 0, 1]


@pytest.mark.parametrize("guard", ["", "@%p1 "])
def test_part_of_a_warp(guard: str) -> None:
    """The even lanes alone, by a branch and by a guard, with a mask that names them."""
    branch = "@!%p1 bra END;" if not guard else ""
    body = f"""
    and.b32 %r1, %r0, 1; setp.eq.u32 %p1, %r1, 0; mov.u32 %r9, 0; mov.u32 %r8, 0; mov.u32 %r7, 0; {branch}
    {guard}activemask.b32 %r9;
    {guard}shfl.sync.up.b32 %r8, %r0, 2, 0, 0x55555555;
    {guard}redux.sync.add.s32 %r7, %r0, 0x55555555;
    END:
    mad.wide.u32 %rd5, %r0, 4, %rd0; st.global.u32 [%rd5], %r9; st.global.u32 [%rd5+128], %r8; st.global.u32 [%rd5+256], %r7;
    """
    out = np.zeros((3, 32), np.uint32)
    run(body, [out])
    assert out[0, ::2].tolist() == [0x55555555] * 16
    assert out[1, ::2].tolist() == [0, *range(0, 30, 2)]
    assert out[2, ::2].tolist() == [240] * 16
    assert not out[:, 1::2].any()


def test_match_and_elect() -> None:
    x = (np.arange(32, dtype=np.uint32) // 3) % 4
    got = apply("match.any.sync.b32 %o, %a, -1;", [x], np.uint32)
    assert got.tolist() == [sum(1 << j for j in range(32) if x[j] == x[i]) for i in range(32)]
    same = np.full(32, 5, np.uint32)
    assert apply("match.all.sync.b32 %o|%p1, %a, -1;", [same], np.uint32).tolist() == [0xFFFFFFFF] * 32
    assert apply("match.all.sync.b32 %r5|%o, %a, -1;", [x], bool).tolist() == [False] * 32
    assert apply("elect.sync %r5|%o, -1;", [x], bool).tolist() == [True] + [False] * 31


@pytest.mark.parametrize(("name", "function"), [("min", min), ("max", max), ("add", sum)])
def test_reductions(name: str, function) -> None:
    x = np.random.default_rng(1).integers(-(2**20), 2**20, 64).astype(np.int32)
    got = apply(f"redux.sync.{name}.s32 %o, %a, -1;", [x], np.int32)
    assert got.tolist() == [function(x[:32].tolist())] * 32 + [function(x[32:].tolist())] * 32


def test_block_that_is_not_whole_warps() -> None:
    """Lanes beyond the block's threads do not exist: naming them in a mask is no error, reading from them is."""
    out = np.zeros(40, np.uint32)
    tail = "mad.wide.u32 %rd5, %r0, 4, %rd0; st.global.u32 [%rd5], %r1;"
    run(f"shfl.sync.bfly.b32 %r1, %r0, 1, 31, -1; {tail}", [out], block=40)
    assert out.tolist() == [i ^ 1 for i in range(40)]
    with pytest.raises(ptxsim.MissingLanes, match="which does not take part"):
        run(f"shfl.sync.bfly.b32 %r1, %r0, 16, 31, -1; {tail}", [out], block=40)
