"""The type of goom_scan and goom_matrix_scan: a Goom in, a Goom out; `return_final`, a pair."""

from __future__ import annotations

from typing import Any, Literal, Protocol, cast, overload

from jax import Array
from jax.typing import ArrayLike

from cssm_kernels.goom import Goom

Logs = ArrayLike | Goom


class GoomScan(Protocol):
    @overload
    def __call__(
        self,
        log_a: Logs,
        log_x: Goom,
        log_h0: Logs | None = None,
        *,
        axis: int = 0,
        reverse: bool = False,
        reset: ArrayLike | None = None,
        return_final: Literal[False] = False,
        compat: bool = False,
        implementation: str | None = None,
    ) -> Goom: ...

    @overload
    def __call__(
        self,
        log_a: Logs,
        log_x: Goom,
        log_h0: Logs | None = None,
        *,
        axis: int = 0,
        reverse: bool = False,
        reset: ArrayLike | None = None,
        return_final: Literal[True],
        compat: bool = False,
        implementation: str | None = None,
    ) -> tuple[Goom, Goom]: ...

    @overload
    def __call__(
        self,
        log_a: Logs,
        log_x: ArrayLike,
        log_h0: Logs | None = None,
        *,
        axis: int = 0,
        reverse: bool = False,
        reset: ArrayLike | None = None,
        return_final: Literal[False] = False,
        compat: bool = False,
        implementation: str | None = None,
    ) -> Array: ...

    @overload
    def __call__(
        self,
        log_a: Logs,
        log_x: ArrayLike,
        log_h0: Logs | None = None,
        *,
        axis: int = 0,
        reverse: bool = False,
        reset: ArrayLike | None = None,
        return_final: Literal[True],
        compat: bool = False,
        implementation: str | None = None,
    ) -> tuple[Array, Array]: ...


def typed(function: Any) -> GoomScan:
    """`function` itself, so typed."""
    return cast(GoomScan, function)
