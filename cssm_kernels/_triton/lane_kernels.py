"""The Triton kernels of every recurrence with a small state in each lane; an operation brings the maths of one step.

A program takes a tile of lanes through time, a step after another, with the state in registers. A state, an operand or a
result of a lane is a tuple of numbers (see `values.py`). An operation is three functions and an option of its own:

    STEP(before, operands, OPTION) -> state
    OUTPUT(state, operands, OPTION) -> y
    STEP_VJP(before, operands, ct, carry, OPTION) -> (cotangent of before, a gradient for each operand)

in which operands are at one step, () where absent, the first one is the transition, and ct and carry are the cotangents of
y and of the state, the latter from later steps. A step that is reset has 0 for its transition and for the state before it.
One that keeps its states otherwise within a scan than in memory has two more, ENTER(h0) and LEAVE(state), between those;
numbers of the state that are all 0 are then its zero, and cotangents are those of the state as in memory.

PLAN is the `Plan` of `lane_scan.py`; steps are counted in the order of the recurrence.
"""

import triton
import triton.language as tl

from cssm_kernels._triton.tiles import is_flagged, place, tile, time_of
from cssm_kernels._triton.values import add, convert, load_run, store_run, sum_rows, zero_where, zeros


@triton.jit
def _as_it_is(state):
    return state


@triton.jit
def forward(
    STEP: tl.constexpr, OUTPUT: tl.constexpr, operands, h0, reset, y, final, PLAN: tl.constexpr,
    ENTER: tl.constexpr = _as_it_is, LEAVE: tl.constexpr = _as_it_is,
):  # fmt: skip
    """y at every step, and the last state."""
    spot = _spot(PLAN)
    mask = spot[4]
    operands = _places(operands, PLAN.operands, spot, PLAN)
    reset = _place(reset, PLAN.reset, spot, PLAN)
    y = _place(y, PLAN.y, spot, PLAN)
    constants = _constants(operands, mask, PLAN)
    state = _start(ENTER, h0, spot, mask, PLAN)
    full: tl.constexpr = PLAN.steps // PLAN.unroll * PLAN.unroll
    for step in range(0, full, PLAN.unroll):
        state = _forward_steps(step, PLAN.unroll, STEP, OUTPUT, state, operands, constants, reset, y, spot, PLAN)
    if full < PLAN.steps:
        for step in range(full, PLAN.steps):
            state = _forward_steps(step, 1, STEP, OUTPUT, state, operands, constants, reset, y, spot, PLAN)
    _write(_place(final, PLAN.final, spot, PLAN), 0, LEAVE(state), PLAN.final, spot, PLAN.state)


@triton.jit
def _forward_steps(
    first, COUNT: tl.constexpr, STEP: tl.constexpr, OUTPUT: tl.constexpr,
    state, operands, constants, reset, y, spot, PLAN: tl.constexpr,
):  # fmt: skip
    loaded = ()
    for u in tl.static_range(COUNT):
        loaded = loaded + (_at_step(first + u, operands, constants, reset, spot[4], PLAN),)
    for u in tl.static_range(COUNT):
        values, is_reset = loaded[u]
        state = STEP(_cleared(state, is_reset, PLAN.reset), values, PLAN.option)
        out = OUTPUT(state, values, PLAN.option)
        _write(y, time_of(first + u, PLAN.steps, PLAN.reverse), out, PLAN.y, spot, PLAN.state)
    return state


@triton.jit
def checkpoints(
    STEP: tl.constexpr, operands, h0, reset, starts, PLAN: tl.constexpr, ENTER: tl.constexpr = _as_it_is
):  # fmt: skip
    """The state before each segment."""
    spot = _spot(PLAN)
    mask = spot[4]
    operands = _places(operands, PLAN.operands, spot, PLAN)
    reset = _place(reset, PLAN.reset, spot, PLAN)
    starts = _place(starts, PLAN.starts, spot, PLAN)
    constants = _constants(operands, mask, PLAN)
    state = _start(ENTER, h0, spot, mask, PLAN)
    segments: tl.constexpr = (PLAN.steps + PLAN.segment - 1) // PLAN.segment
    for segment in range(segments - 1):
        _write(starts, segment, state, PLAN.starts, spot, PLAN.state)
        for i in range(0, PLAN.segment, PLAN.unroll):  # which divides it
            first = segment * PLAN.segment + i
            state = _recomputed(first, PLAN.unroll, STEP, state, operands, constants, reset, (), 0, spot, PLAN)
    _write(starts, segments - 1, state, PLAN.starts, spot, PLAN.state)


@triton.jit
def _recomputed(
    first, COUNT: tl.constexpr, STEP: tl.constexpr,
    state, operands, constants, reset, states, begin, spot, PLAN: tl.constexpr,
):  # fmt: skip
    """The state after so many steps. Where there is a place for `states`, those before each step are written there."""
    loaded = ()
    for u in tl.static_range(COUNT):
        loaded = loaded + (_at_step(first + u, operands, constants, reset, spot[4], PLAN),)
    for u in tl.static_range(COUNT):
        values, is_reset = loaded[u]
        if len(states) > 0:
            _write(states, first + u - begin, state, PLAN.states, spot, PLAN.state)
        state = STEP(_cleared(state, is_reset, PLAN.reset), values, PLAN.option)
    return state


@triton.jit
def vjp(
    STEP: tl.constexpr, STEP_VJP: tl.constexpr,
    operands, h0, reset, ct, ct_final, starts, states, gradients, PLAN: tl.constexpr,
    ENTER: tl.constexpr = _as_it_is,
):  # fmt: skip
    """The gradients, from the last segment to the first: its states are computed again, then gone through backwards.

    A gradient is summed over the tile's rows, and over time where its operand is constant in it. That of h0 is the last.
    """
    spot = _spot(PLAN)
    mask = spot[4]
    operands = _places(operands, PLAN.operands, spot, PLAN)
    reset = _place(reset, PLAN.reset, spot, PLAN)
    ct = _place(ct, PLAN.ct, spot, PLAN)
    starts = _place(starts, PLAN.starts, spot, PLAN)
    states = _place(states, PLAN.states, spot, PLAN)
    gradients = _gradient_places(gradients, spot, PLAN)
    constants = _constants(operands, mask, PLAN)
    carry = _read(_place(ct_final, PLAN.ct_final, spot, PLAN), 0, PLAN.ct_final, mask, PLAN)
    carry = _or_zeros(carry, PLAN.numbers, PLAN.parts, mask, PLAN)
    totals = _no_totals(mask, PLAN)
    segments: tl.constexpr = (PLAN.steps + PLAN.segment - 1) // PLAN.segment
    for i in range(segments):
        segment = segments - 1 - i
        begin = segment * PLAN.segment
        end = tl.minimum(begin + PLAN.segment, PLAN.steps)
        full = begin + (end - begin) // PLAN.unroll * PLAN.unroll
        if PLAN.starts is None:
            state = _start(ENTER, h0, spot, mask, PLAN)
        else:
            state = _read(starts, segment, PLAN.starts, mask, PLAN)
        for step in range(begin, full, PLAN.unroll):
            state = _recomputed(
                step, PLAN.unroll, STEP, state, operands, constants, reset, states, begin, spot, PLAN
            )  # fmt: skip
        if PLAN.steps % PLAN.unroll > 0:
            for step in range(full, end):
                state = _recomputed(step, 1, STEP, state, operands, constants, reset, states, begin, spot, PLAN)
        tl.debug_barrier()  # a lane's states may be read by another thread than wrote them
        for j in range(end - begin):
            step = end - 1 - j
            before = _read(states, step - begin, PLAN.states, mask, PLAN)
            carry, totals = _vjp_step(
                step, STEP_VJP, before, carry, totals, operands, constants, reset, ct, gradients, spot, PLAN
            )
        tl.debug_barrier()
    for i in tl.static_range(len(totals)):
        if len(totals[i]) > 0:
            _write(gradients[i], 0, totals[i], PLAN.gradients[i], spot, tl.float64)
    _write(gradients[len(totals)], 0, carry, PLAN.gradients[len(totals)], spot, tl.float64)


@triton.jit
def _vjp_step(
    step, STEP_VJP: tl.constexpr,
    before, carry, totals, operands, constants, reset, ct, gradients, spot, PLAN: tl.constexpr,
):  # fmt: skip
    t = time_of(step, PLAN.steps, PLAN.reverse)
    values, is_reset = _at_step(step, operands, constants, reset, spot[4], PLAN)
    ct_t = _or_zeros(_read(ct, t, PLAN.ct, spot[4], PLAN), PLAN.outputs, PLAN.parts, spot[4], PLAN)
    carry, found = STEP_VJP(_cleared(before, is_reset, PLAN.reset), values, ct_t, carry, PLAN.option)
    # A NaN that comes from later steps does not pass a reset either.
    carry = _cleared(carry, is_reset, PLAN.reset)
    sums = ()
    for i in tl.static_range(len(totals)):
        total = totals[i]
        if PLAN.gradients[i] is not None:
            gradient = _cleared(found[i], is_reset, PLAN.reset) if i == 0 else found[i]
            if _is_constant(PLAN.gradients[i]):
                total = _added(total, gradient)
            else:
                _write(gradients[i], t, gradient, PLAN.gradients[i], spot, tl.float64)
        sums = sums + (total,)
    return carry, sums


@triton.jit
def _spot(PLAN: tl.constexpr):
    """(columns of lanes, their mask, rows, block of rows, mask of the tile)"""
    column, in_columns, row, in_rows, row_block, _ = tile(PLAN.kept, PLAN.reduced, PLAN.rows, PLAN.columns)
    return column, in_columns, row, row_block, in_columns & in_rows


@triton.jit
def _place(ptr, LAYOUT: tl.constexpr, spot, PLAN: tl.constexpr):
    if LAYOUT is None:
        return ()
    elif LAYOUT.partial == 0:
        return place(ptr, spot[0], spot[2], PLAN.kept, PLAN.reduced, LAYOUT)
    else:
        ptr += spot[3].to(tl.int64) * LAYOUT.partial * LAYOUT.parts
        return place(ptr, spot[0], tl.zeros([1, 1], tl.int64), PLAN.kept, PLAN.reduced, LAYOUT)


@triton.jit
def _places(pointers, LAYOUTS: tl.constexpr, spot, PLAN: tl.constexpr):
    places = ()
    for i in tl.static_range(len(LAYOUTS)):
        places = places + (_place(pointers[i], LAYOUTS[i], spot, PLAN),)
    return places


@triton.jit
def _gradient_places(pointers, spot, PLAN: tl.constexpr):
    """Of the gradients, where only those that are wanted have a pointer."""
    places = ()
    for i in tl.static_range(len(PLAN.gradients)):
        places = places + (_place(pointers[PLAN.slots[i]], PLAN.gradients[i], spot, PLAN),)
    return places


@triton.jit
def _read(place, t, LAYOUT: tl.constexpr, mask, PLAN: tl.constexpr):
    """An array's numbers at a time; none if it is absent."""
    numbers = ()
    if LAYOUT is not None:
        at = place[1] + tl.cast(t, tl.int64) * LAYOUT.time
        for i in tl.static_range(0, LAYOUT.components, LAYOUT.run):
            numbers = numbers + load_run(place[0], at + i * LAYOUT.spacing, mask, LAYOUT.run, LAYOUT.parts, PLAN.state)
    return numbers


@triton.jit
def _write(place, t, numbers, LAYOUT: tl.constexpr, spot, SUM: tl.constexpr):
    """Numbers, or the real part of them for a real array; summed over rows, in the precision SUM, for one that wants it."""
    if LAYOUT is not None:
        at = place[1] + tl.cast(t, tl.int64) * LAYOUT.time
        for i in tl.static_range(0, LAYOUT.components, LAYOUT.run):
            run = ()
            for j in tl.static_range(i, i + LAYOUT.run):
                number = _of_parts(numbers[j], LAYOUT.parts)
                run = run + (number if LAYOUT.partial == 0 else sum_rows(convert(number, SUM)),)
            store_run(place[0], at + i * LAYOUT.spacing, run, spot[4] if LAYOUT.partial == 0 else spot[1])


@triton.jit
def _of_parts(number, PARTS: tl.constexpr):
    if len(number) > PARTS:
        return (number[0],)
    else:
        return number


@triton.constexpr_function
def _is_constant(layout):
    """Whether there is an array, and it does not change in time."""
    return layout is not None and layout.time == 0


@triton.jit
def _constants(operands, mask, PLAN: tl.constexpr):
    """Of each operand that is constant in time its numbers, () of the others."""
    constants = ()
    for i in tl.static_range(len(PLAN.operands)):
        numbers = ()
        if _is_constant(PLAN.operands[i]):
            numbers = _read(operands[i], 0, PLAN.operands[i], mask, PLAN)
        constants = constants + (numbers,)
    return constants


@triton.jit
def _at_step(step, operands, constants, reset, mask, PLAN: tl.constexpr):
    """(every operand at a step, whether it is reset)"""
    t = time_of(step, PLAN.steps, PLAN.reverse)
    is_reset = False
    if PLAN.reset is not None:
        is_reset = is_flagged(reset, t, mask, PLAN.reset)
    values = ()
    for i in tl.static_range(len(PLAN.operands)):
        numbers = constants[i]
        if len(numbers) == 0:
            numbers = _read(operands[i], t, PLAN.operands[i], mask, PLAN)
        values = values + ((_cleared(numbers, is_reset, PLAN.reset) if i == 0 else numbers),)
    return values, is_reset


@triton.jit
def _cleared(numbers, is_reset, RESET: tl.constexpr):
    if RESET is None:
        return numbers
    else:
        out = ()
        for i in tl.static_range(len(numbers)):
            out = out + (zero_where(is_reset, numbers[i]),)
        return out


@triton.jit
def _start(ENTER: tl.constexpr, h0, spot, mask, PLAN: tl.constexpr):
    if PLAN.h0 is None:
        return _or_zeros((), PLAN.kept_numbers, PLAN.kept_parts, mask, PLAN)
    else:
        return ENTER(_read(_place(h0, PLAN.h0, spot, PLAN), 0, PLAN.h0, mask, PLAN))


@triton.jit
def _or_zeros(numbers, COUNT: tl.constexpr, PARTS: tl.constexpr, mask, PLAN: tl.constexpr):
    """These, or as many zeros as there should be if they are absent."""
    if len(numbers) > 0:
        return numbers
    else:
        out = ()
        for _ in tl.static_range(COUNT):
            out = out + (zeros(mask, PARTS, PLAN.state),)
        return out


@triton.jit
def _no_totals(mask, PLAN: tl.constexpr):
    """Of each operand whose gradient is summed over time, zeros; () of the others."""
    totals = ()
    for i in tl.static_range(len(PLAN.operands)):
        total = ()
        if _is_constant(PLAN.gradients[i]):
            for _ in tl.static_range(PLAN.gradients[i].components):
                total = total + (zeros(mask, PLAN.gradients[i].parts, tl.float64),)
        totals = totals + (total,)
    return totals


@triton.jit
def _added(total, gradient):
    out = ()
    for i in tl.static_range(len(total)):
        out = out + (add(total[i], convert(_of_parts(gradient[i], len(total[i])), tl.float64)),)
    return out
