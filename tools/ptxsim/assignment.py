"""Which register reads may see an unwritten register: definite assignment, forward over the control-flow graph."""

from collections.abc import Callable


def unassigned_reads(
    entry: int,
    reads: dict[int, set[int]],
    writes: dict[int, set[int]],
    guarded: set[int],
    passing: set[int],
    successors: Callable[[int], list[int]],
) -> dict[int, set[int]]:
    """For each instruction, the registers it reads that are not written on every path from `entry`.

    A guarded write counts as none: whether its lanes executed it is only known when it runs. What an instruction in
    `passing` writes is as written as what it reads.
    """
    next_pcs = {pc: successors(pc) for pc in reads}
    written = {pc: sum(1 << register for register in writes[pc]) for pc in reads}
    read = {pc: sum(1 << register for register in reads[pc]) for pc in reads}
    assigned: dict[int, int] = {entry: 0}  # sets of registers as the bits of an integer
    pending = [entry]
    while pending:
        pc = pending.pop()
        while True:
            before = assigned[pc]
            if pc in passing and read[pc] & ~before:
                after = before & ~written[pc]
            else:
                after = before if pc in guarded else before | written[pc]
            changed = []
            for target in next_pcs[pc]:
                meet = after if target not in assigned else assigned[target] & after
                if assigned.get(target) != meet:
                    assigned[target] = meet
                    changed.append(target)
            if not changed:
                break
            pc = changed[0]
            pending += changed[1:]
    found = {pc: {r for r in reads[pc] if not assigned[pc] >> r & 1} for pc in assigned}
    return {pc: registers for pc, registers in found.items() if registers}
