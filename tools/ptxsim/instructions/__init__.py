"""The instruction families. Importing this package registers their decoders."""

from tools.ptxsim.instructions import (  # noqa: F401
    arithmetic,
    asynchronous,
    atomics,
    bits,
    carry,
    compare,
    control,
    convert,
    matrix,
    memory,
    move,
    special_functions,
    warp,
)
