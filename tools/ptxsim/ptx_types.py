"""PTX's fundamental types as NumPy sees them."""

from dataclasses import dataclass

import numpy as np

UNSIGNED: dict[int, np.dtype] = {
    8: np.dtype(np.uint8),
    16: np.dtype(np.uint16),
    32: np.dtype(np.uint32),
    64: np.dtype(np.uint64),
}
SIGNED: dict[int, np.dtype] = {
    8: np.dtype(np.int8),
    16: np.dtype(np.int16),
    32: np.dtype(np.int32),
    64: np.dtype(np.int64),
}


@dataclass(frozen=True)
class Type:
    """`bits` in all; `pack` elements of `dtype`, the storage: bf16 is stored as uint16."""

    name: str
    bits: int
    dtype: np.dtype
    pack: int = 1

    @property
    def nbytes(self) -> int:
        return max(self.bits // 8, 1)

    @property
    def is_float(self) -> bool:
        return "f" in self.name

    @property
    def is_signed(self) -> bool:
        return self.name[0] == "s"

    @property
    def is_predicate(self) -> bool:
        return self.name == "pred"

    @property
    def is_bfloat(self) -> bool:
        return self.name.startswith("bf16")


def _types() -> dict[str, Type]:
    types: dict[str, Type] = {}
    for bits in (8, 16, 32, 64):
        for kind in "ub":
            types[f"{kind}{bits}"] = Type(f"{kind}{bits}", bits, UNSIGNED[bits])
        types[f"s{bits}"] = Type(f"s{bits}", bits, SIGNED[bits])
    for bits in (16, 32, 64):
        types[f"f{bits}"] = Type(f"f{bits}", bits, np.dtype(f"float{bits}"))
    types["bf16"] = Type("bf16", 16, UNSIGNED[16])
    types["f16x2"] = Type("f16x2", 32, np.dtype(np.float16), pack=2)
    types["bf16x2"] = Type("bf16x2", 32, UNSIGNED[16], pack=2)
    types["f32x2"] = Type("f32x2", 64, np.dtype(np.float32), pack=2)
    types["pred"] = Type("pred", 1, np.dtype(bool))
    return types


TYPES = _types()


def unsigned(bits: int) -> Type:
    return TYPES[f"u{bits}"]


def widened(type_: Type) -> Type:
    """The type of twice the width and the same kind, as `mul.wide` writes it."""
    return TYPES[f"{type_.name[0]}{2 * type_.bits}"]
