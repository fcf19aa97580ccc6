"""The Triton kernels of linear_scan. See `triton.py` for what they are given, `rules.py` for the maths.

A program takes a tile of lanes, (rows: reduced, columns: kept), through one chunk of time, a step after another; loads of
several steps are issued before the first is used. An operand is its pointer with the `Strides` of `_triton.lanes` (None
where absent), a place (pointer, offset of each lane) inside the kernels. Steps are counted in the order of the recurrence.
"""

import triton
import triton.language as tl

from cssm_kernels._triton.tiles import is_flagged, place, read, tile, time_of, write
from cssm_kernels._triton.values import add, convert, multiply, multiply_add, store, sum_rows, zero_where, zeros


@triton.jit
def _before(
    h,
    h0,
    step,
    mask,
    STEPS: tl.constexpr,
    REVERSE: tl.constexpr,
    H: tl.constexpr,
    H0: tl.constexpr,
    PARTS: tl.constexpr,
    STATE: tl.constexpr,
):
    """h of the step before, or h0 before the first."""
    t = time_of(step - 1, STEPS, REVERSE)
    value = read(h, t, mask & (step > 0), H, PARTS, STATE)
    if H0 is not None:
        value = add(value, read(h0, 0, mask & (step == 0), H0, PARTS, STATE))
    return value


@triton.jit
def linear_scan_forward(
    a, x, h0, reset, da, h, h0_before, carries, out, final,
    STEPS: tl.constexpr, CHUNK: tl.constexpr, REVERSE: tl.constexpr,
    KEPT: tl.constexpr, REDUCED: tl.constexpr,
    A: tl.constexpr, X: tl.constexpr, H0: tl.constexpr, RESET: tl.constexpr,
    DA: tl.constexpr, H: tl.constexpr, H0_BEFORE: tl.constexpr, CARRIES: tl.constexpr,
    OUT: tl.constexpr, FINAL: tl.constexpr,
    PARTS: tl.constexpr, STATE: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr, UNROLL: tl.constexpr,
):  # fmt: skip
    """out_t = a_t out_{t-1} + x_t, and + da_t h_{t-1} where there is da: the tangent.

    A chunk starts from `carries`, the states after each chunk, or from h0, and writes every state.
    """
    chunks: tl.constexpr = (STEPS + CHUNK - 1) // CHUNK
    column, in_columns, row, in_rows, _, chunk = tile(KEPT, REDUCED, ROWS, COLUMNS)
    mask = in_columns & in_rows
    a_at = place(a, column, row, KEPT, REDUCED, A)
    x_at = place(x, column, row, KEPT, REDUCED, X)
    reset_at = place(reset, column, row, KEPT, REDUCED, RESET)
    da_at = place(da, column, row, KEPT, REDUCED, DA)
    h_at = place(h, column, row, KEPT, REDUCED, H)
    h0_before_at = place(h0_before, column, row, KEPT, REDUCED, H0_BEFORE)
    out_at = place(out, column, row, KEPT, REDUCED, OUT)
    state = _start(h0, carries, chunk, column, row, mask, KEPT, REDUCED, H0, CARRIES, 0, PARTS, STATE)
    constant_a = read(a_at, 0, mask, A, PARTS, STATE)
    begin, full, end = _range(chunk, STEPS, CHUNK, UNROLL)
    for step in range(begin, full, UNROLL):
        state = _scan_steps(
            step, UNROLL, state, constant_a, a_at, x_at, reset_at, da_at, h_at, h0_before_at, out_at, mask,
            STEPS, REVERSE, A, X, RESET, DA, H, H0_BEFORE, OUT, PARTS, STATE,
        )  # fmt: skip
    for step in range(full, end):
        state = _scan_steps(
            step, 1, state, constant_a, a_at, x_at, reset_at, da_at, h_at, h0_before_at, out_at, mask,
            STEPS, REVERSE, A, X, RESET, DA, H, H0_BEFORE, OUT, PARTS, STATE,
        )  # fmt: skip
    store(final, place(final, column, row, KEPT, REDUCED, FINAL)[1], state, mask & (chunk == chunks - 1))


@triton.jit
def _scan_steps(
    first, COUNT: tl.constexpr, state, constant_a, a, x, reset, da, h, h0_before, out, mask,
    STEPS: tl.constexpr, REVERSE: tl.constexpr, A: tl.constexpr, X: tl.constexpr, RESET: tl.constexpr,
    DA: tl.constexpr, H: tl.constexpr, H0_BEFORE: tl.constexpr, OUT: tl.constexpr,
    PARTS: tl.constexpr, STATE: tl.constexpr,
):  # fmt: skip
    loaded = ()
    for u in tl.static_range(COUNT):
        t = time_of(first + u, STEPS, REVERSE)
        a_t = constant_a if A[0] == 0 else read(a, t, mask, A, PARTS, STATE)
        x_t = read(x, t, mask, X, PARTS, STATE)
        flag = False if RESET is None else is_flagged(reset, t, mask, RESET)
        if DA is not None:
            before = _before(h, h0_before, first + u, mask, STEPS, REVERSE, H, H0_BEFORE, PARTS, STATE)
            turn = multiply(read(da, t, mask, DA, PARTS, STATE), before)
            x_t = add(x_t, turn if RESET is None else zero_where(flag, turn))
        loaded = loaded + ((a_t, x_t, flag),)
    for u in tl.static_range(COUNT):
        a_t, x_t, flag = loaded[u]
        state = _step(a_t, state, x_t, flag, RESET)
        write(out, time_of(first + u, STEPS, REVERSE), state, mask, OUT)
    return state


@triton.jit
def _step(a, state, x, flag, RESET: tl.constexpr):
    if RESET is not None:
        state = zero_where(flag, state)
        a = zero_where(flag, a)
    return multiply_add(a, state, x)


@triton.jit
def _range(chunk, STEPS: tl.constexpr, CHUNK: tl.constexpr, UNROLL: tl.constexpr):
    """(first step, where whole groups of UNROLL end, end) of a chunk"""
    if CHUNK >= STEPS:
        return 0, STEPS // UNROLL * UNROLL, STEPS
    else:
        begin = chunk * CHUNK
        end = tl.minimum(begin + CHUNK, STEPS)
        return begin, begin + (end - begin) // UNROLL * UNROLL, end


@triton.jit
def _start(
    h0, carries, chunk, column, row, mask, KEPT: tl.constexpr, REDUCED: tl.constexpr, H0: tl.constexpr,
    CARRIES: tl.constexpr, FIRST: tl.constexpr, PARTS: tl.constexpr, STATE: tl.constexpr,
):  # fmt: skip
    """The state a chunk starts from: h0 (zero if absent) in the FIRST one, else its neighbour's carry."""
    state = zeros(mask, PARTS, STATE)
    if H0 is not None:
        at = place(h0, column, row, KEPT, REDUCED, H0)
        state = read(at, 0, mask & (chunk == FIRST), H0, PARTS, STATE)
    if CARRIES is not None:
        at = place(carries, column, row, KEPT, REDUCED, CARRIES)
        neighbour = chunk - 1 if FIRST == 0 else chunk + 1
        state = add(state, read(at, neighbour, mask & (chunk != FIRST), CARRIES, PARTS, STATE))
    return state


@triton.jit
def linear_scan_chunk_maps(
    a, x, reset, product, final,
    STEPS: tl.constexpr, CHUNK: tl.constexpr, REVERSE: tl.constexpr, ADJOINT: tl.constexpr,
    KEPT: tl.constexpr, REDUCED: tl.constexpr,
    A: tl.constexpr, X: tl.constexpr, RESET: tl.constexpr, PRODUCT: tl.constexpr, FINAL: tl.constexpr,
    PARTS: tl.constexpr, STATE: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr, UNROLL: tl.constexpr,
):  # fmt: skip
    """What each chunk does to the state it is given: s -> product s + final.

    With ADJOINT to the cotangent that comes from later steps: s -> a_t (x_t + s), from the last step to the first; x may
    then be absent.
    """
    column, in_columns, row, in_rows, _, chunk = tile(KEPT, REDUCED, ROWS, COLUMNS)
    mask = in_columns & in_rows
    a_at = place(a, column, row, KEPT, REDUCED, A)
    x_at = place(x, column, row, KEPT, REDUCED, X)
    reset_at = place(reset, column, row, KEPT, REDUCED, RESET)
    state = zeros(mask, PARTS, STATE)
    turn = _with_one(state)
    constant_a = read(a_at, 0, mask, A, PARTS, STATE)
    begin, full, end = _range(chunk, STEPS, CHUNK, UNROLL)
    if ADJOINT:
        for i in range(end - full):
            state, turn = _map_steps(
                end - 1 - i, 1, state, turn, constant_a, a_at, x_at, reset_at, mask,
                STEPS, REVERSE, ADJOINT, A, X, RESET, PARTS, STATE,
            )  # fmt: skip
        for i in range(0, full - begin, UNROLL):
            state, turn = _map_steps(
                full - 1 - i, UNROLL, state, turn, constant_a, a_at, x_at, reset_at, mask,
                STEPS, REVERSE, ADJOINT, A, X, RESET, PARTS, STATE,
            )  # fmt: skip
    else:
        for step in range(begin, full, UNROLL):
            state, turn = _map_steps(
                step, UNROLL, state, turn, constant_a, a_at, x_at, reset_at, mask,
                STEPS, REVERSE, ADJOINT, A, X, RESET, PARTS, STATE,
            )  # fmt: skip
        for step in range(full, end):
            state, turn = _map_steps(
                step, 1, state, turn, constant_a, a_at, x_at, reset_at, mask,
                STEPS, REVERSE, ADJOINT, A, X, RESET, PARTS, STATE,
            )  # fmt: skip
    write(place(product, column, row, KEPT, REDUCED, PRODUCT), chunk, turn, mask, PRODUCT)
    write(place(final, column, row, KEPT, REDUCED, FINAL), chunk, state, mask, FINAL)


@triton.jit
def _with_one(zero):
    if len(zero) == 1:
        return (zero[0] + 1,)
    else:
        return zero[0] + 1, zero[1]


@triton.jit
def _map_steps(
    first, COUNT: tl.constexpr, state, turn, constant_a, a, x, reset, mask,
    STEPS: tl.constexpr, REVERSE: tl.constexpr, ADJOINT: tl.constexpr, A: tl.constexpr, X: tl.constexpr,
    RESET: tl.constexpr, PARTS: tl.constexpr, STATE: tl.constexpr,
):  # fmt: skip
    loaded = ()
    for u in tl.static_range(COUNT):
        t = time_of(first - u if ADJOINT else first + u, STEPS, REVERSE)
        a_t = constant_a if A[0] == 0 else read(a, t, mask, A, PARTS, STATE)
        x_t = zeros(mask, PARTS, STATE) if X is None else read(x, t, mask, X, PARTS, STATE)
        if RESET is not None:
            a_t = zero_where(is_flagged(reset, t, mask, RESET), a_t)
        loaded = loaded + ((a_t, x_t),)
    for u in tl.static_range(COUNT):
        a_t, x_t = loaded[u]
        turn = multiply(a_t, turn)
        state = multiply(a_t, add(x_t, state)) if ADJOINT else multiply_add(a_t, state, x_t)
    return state, turn


@triton.jit
def linear_scan_vjp(
    a, h, h0, reset, ct, ct_final, carries, dx, dh0, da,
    STEPS: tl.constexpr, CHUNK: tl.constexpr, REVERSE: tl.constexpr,
    KEPT: tl.constexpr, REDUCED: tl.constexpr,
    A: tl.constexpr, H: tl.constexpr, H0: tl.constexpr, RESET: tl.constexpr, CT: tl.constexpr,
    CT_FINAL: tl.constexpr, CARRIES: tl.constexpr, DX: tl.constexpr, DH0: tl.constexpr, DA: tl.constexpr,
    DA_SIZE: tl.constexpr,
    PARTS: tl.constexpr, STATE: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr, UNROLL: tl.constexpr,
):  # fmt: skip
    """From the last step to the first: dx_t = ct_t + c, da_t = dx_t h_{t-1}, c = a_t dx_t; at the end dh0 = c.

    c starts from ct_final, or in a chunk from `carries`. da is summed over the tile's rows, and over time where `a` is
    constant in it: each block of rows (and then each chunk) writes a partial sum, an array of DA_SIZE numbers.
    """
    chunks: tl.constexpr = (STEPS + CHUNK - 1) // CHUNK
    column, in_columns, row, in_rows, row_block, chunk = tile(KEPT, REDUCED, ROWS, COLUMNS)
    mask = in_columns & in_rows
    a_at = place(a, column, row, KEPT, REDUCED, A)
    h_at = place(h, column, row, KEPT, REDUCED, H)
    h0_at = place(h0, column, row, KEPT, REDUCED, H0)
    reset_at = place(reset, column, row, KEPT, REDUCED, RESET)
    ct_at = place(ct, column, row, KEPT, REDUCED, CT)
    dx_at = place(dx, column, row, KEPT, REDUCED, DX)
    c = _start(ct_final, carries, chunk, column, row, mask, KEPT, REDUCED, CT_FINAL, CARRIES, chunks - 1, PARTS, STATE)
    constant_a = read(a_at, 0, mask, A, PARTS, STATE)
    total = zeros(mask, PARTS, tl.float64)
    if DA is not None:
        partial = row_block if A[0] != 0 else row_block * chunks + chunk
        da += partial.to(tl.int64) * DA_SIZE * PARTS
    da_at = place(da, column, tl.zeros([1, 1], tl.int64), KEPT, REDUCED, DA)
    begin, full, end = _range(chunk, STEPS, CHUNK, UNROLL)
    for i in range(end - full):
        c, total = _vjp_steps(
            end - 1 - i, 1, c, total, constant_a, a_at, h_at, h0_at, reset_at, ct_at, dx_at, da_at, mask, in_columns,
            STEPS, REVERSE, A, H, H0, RESET, CT, DX, DA, PARTS, STATE,
        )  # fmt: skip
    for i in range(0, full - begin, UNROLL):
        c, total = _vjp_steps(
            full - 1 - i, UNROLL, c, total, constant_a, a_at, h_at, h0_at, reset_at, ct_at, dx_at, da_at, mask, in_columns,
            STEPS, REVERSE, A, H, H0, RESET, CT, DX, DA, PARTS, STATE,
        )  # fmt: skip
    if DA is not None and A[0] == 0:
        write(da_at, 0, sum_rows(total), in_columns, DA)
    store(dh0, place(dh0, column, row, KEPT, REDUCED, DH0)[1], c, mask & (chunk == 0))


@triton.jit
def _vjp_steps(
    first, COUNT: tl.constexpr, c, total, constant_a, a, h, h0, reset, ct, dx, da, mask, in_columns,
    STEPS: tl.constexpr, REVERSE: tl.constexpr, A: tl.constexpr, H: tl.constexpr, H0: tl.constexpr,
    RESET: tl.constexpr, CT: tl.constexpr, DX: tl.constexpr, DA: tl.constexpr,
    PARTS: tl.constexpr, STATE: tl.constexpr,
):  # fmt: skip
    loaded = ()
    for u in tl.static_range(COUNT):
        t = time_of(first - u, STEPS, REVERSE)
        a_t = constant_a if A[0] == 0 else read(a, t, mask, A, PARTS, STATE)
        ct_t = zeros(mask, PARTS, STATE) if CT is None else read(ct, t, mask, CT, PARTS, STATE)
        before = zeros(mask, PARTS, STATE)
        if DA is not None:
            before = _before(h, h0, first - u, mask, STEPS, REVERSE, H, H0, PARTS, STATE)
        if RESET is not None:
            flag = is_flagged(reset, t, mask, RESET)
            a_t = zero_where(flag, a_t)
            before = zero_where(flag, before)
        else:
            flag = False
        loaded = loaded + ((a_t, ct_t, before, flag),)
    for u in tl.static_range(COUNT):
        a_t, ct_t, before, flag = loaded[u]
        t = time_of(first - u, STEPS, REVERSE)
        g = add(ct_t, c)
        write(dx, t, g, mask, DX)
        # A NaN that comes from later steps does not pass a reset either.
        passed = g if RESET is None else zero_where(flag, g)
        c = multiply(a_t, passed)
        if DA is not None:
            da_t = multiply(passed, before)
            if A[0] == 0:
                total = add(total, convert(da_t, tl.float64))
            else:
                write(da, t, sum_rows(convert(da_t, tl.float64)), in_columns, DA)
    return c, total
