"""How lanes are shared out to programs: the sizes of tiles, and how many steps are loaded ahead."""

from __future__ import annotations

from cssm_kernels._triton.lanes import Lanes

WARPS = 2
THREADS = 32 * WARPS
# Threads that keep a large GPU busy: 128 on each of 132 multiprocessors.
BUSY_THREADS = 16 * 1024
# Loads a thread issues before it uses the first of them, to cover the latency of memory: over all operands, and of one.
_LOADS_AHEAD = 16
MOST_STEPS_AHEAD = 8


def tile_of(lanes: Lanes, itemsize: int, *, most_lanes: int, most_rows: int) -> tuple[int, int]:
    """(rows, columns) of a tile, of numbers of this size.

    Args:
      most_lanes: neighbouring lanes a thread takes at most.
      most_rows: rows of a tile that a thread takes, where there are lanes enough for all threads in one.
    """
    total = lanes.kept_count * lanes.reduced_count
    # 16 bytes of neighbouring lanes a thread, less if that would leave threads idle.
    wide = 16 if total * itemsize >= 16 * BUSY_THREADS else 8
    wide = min(max(wide // itemsize, 1), most_lanes)
    tile = THREADS * wide
    if all(s is None or s.reduced[-1] in (0, 1) for s in lanes.strides) and lanes.reduced_count > 1:
        rows = min(tile, power_of_two(lanes.reduced_count))  # the reduced lanes are the neighbours
        columns = max(1, tile // rows)
        return rows, columns
    columns = min(tile, power_of_two(lanes.kept_count))
    rows = min(power_of_two(lanes.reduced_count), max(most_rows, tile // columns))
    return rows, columns


def steps_ahead(streams: int, tile_bytes: int, most: int = MOST_STEPS_AHEAD) -> int:
    """Steps loaded together, where so many numbers change in time and a step of a tile has so many bytes of each."""
    loads = max(1, tile_bytes // (THREADS * 16))  # of 16 bytes, by a thread, of one number and step
    steps = max(1, min(most, _LOADS_AHEAD // (max(streams, 1) * loads)))
    return power_of_two(steps + 1) // 2  # sequences are often a power of two long: no steps left over


def power_of_two(n: int) -> int:
    """The least one that is at least n."""
    return 1 << (n - 1).bit_length()
