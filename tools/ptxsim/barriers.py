"""Barriers of a block: who waits, who is missing, and when they go on."""

import numpy as np

from tools.ptxsim.batch import WARP, Batch
from tools.ptxsim.errors import BarrierDivergence

ALL_THREADS = 0  # the thread count of a barrier that names none


def arrive(batch: Batch, lanes: np.ndarray, barrier: np.ndarray, count: np.ndarray) -> None:
    """`bar.arrive`: these lanes are counted at a barrier but do not wait for it."""
    for block in np.unique(batch.block[lanes]):
        chosen = batch.block[lanes] == block
        for identifier in np.unique(barrier[chosen]):
            members = lanes[chosen & (barrier == identifier)]
            batch.arrivals.setdefault((int(block), int(identifier)), []).append(members)


def release_waiting(batch: Batch) -> bool:
    """Let go the blocks whose barrier is complete. False if no lane waits. Raises BarrierDivergence."""
    waiting = (batch.waiting >= 0).reshape(-1, batch.padded)
    if not waiting.any():
        return False
    at = batch.waiting.reshape(-1, batch.padded)
    identifiers, counts = batch.barrier.reshape(2, -1, batch.padded)
    exists = batch.exists.reshape(-1, batch.padded)
    together = (at == at[:, :1]) & (identifiers == identifiers[:, :1])
    together &= (counts == ALL_THREADS) | (counts == batch.threads)
    complete = (together & waiting | ~exists).all(axis=1)
    if complete.any():
        _resume(batch, np.flatnonzero(complete[batch.block] & batch.exists))
        batch.shared.join(np.flatnonzero(complete))
    for block in np.flatnonzero(waiting.any(axis=1) & ~complete):
        _release_counted(batch, int(block))
    return True


def _resume(batch: Batch, lanes: np.ndarray) -> None:
    batch.pcs[lanes] = batch.waiting[lanes] + 1
    batch.waiting[lanes] = -1


def _release_counted(batch: Batch, block: int) -> None:
    """Barriers of part of a block. At least one must be complete, for no thread of the block can go on otherwise."""
    lanes = np.flatnonzero((batch.block == block) & (batch.waiting >= 0))
    identifiers, counts = batch.barrier[:, lanes]
    released = False
    for identifier in np.unique(identifiers):
        members = lanes[identifiers == identifier]
        expected = set(counts[identifiers == identifier].tolist())
        arrived = batch.arrivals.get((block, int(identifier)), [])
        everyone = np.concatenate([members, *arrived])
        # Different barrier instructions may meet at one count, as producers and consumers do, but not at a full barrier.
        if len(expected) != 1 or ALL_THREADS in expected or len(everyone) != next(iter(expected)):
            continue
        participants = np.zeros(batch.padded // WARP, bool)
        participants[batch.warp[everyone]] = True
        batch.arrivals.pop((block, int(identifier)), None)
        _resume(batch, members)
        batch.shared.join(np.array([block]), participants)
        released = True
    if not released:
        raise _divergence(batch, block, lanes)


def _divergence(batch: Batch, block: int, lanes: np.ndarray) -> BarrierDivergence:
    places = {int(pc): int((batch.waiting[lanes] == pc).sum()) for pc in np.unique(batch.waiting[lanes])}
    batch.pc = min(places)
    parts = [f"{count} wait at '{batch.program.instructions[pc].text}' (pc {pc})" for pc, count in places.items()]
    if exited := batch.threads - len(lanes):
        parts.append(f"{exited} have exited")
    lane = int(lanes[batch.waiting[lanes] == batch.pc][0])
    return BarrierDivergence(f"of {batch.threads} threads {' and '.join(parts)}", lane)
