"""Binary floating-point formats in exact rational arithmetic: the truth that instructions are compared with."""

import math
from dataclasses import dataclass
from fractions import Fraction


@dataclass(frozen=True)
class Format:
    """`digits` of precision with the hidden one; `least` is the exponent of the smallest normal number."""

    digits: int
    least: int
    greatest: int


F16 = Format(11, -14, 15)
BF16 = Format(8, -126, 127)
F32 = Format(24, -126, 127)
F64 = Format(53, -1022, 1023)


def rounded(value: Fraction, to: Format, mode: str = "rn") -> float:
    """The number of the format that `mode` (rn, rz, rm, rp) makes of `value`; a zero result is +0."""
    if value == 0:
        return 0.0
    magnitude, sign = abs(value), -1.0 if value < 0 else 1.0
    exponent = magnitude.numerator.bit_length() - magnitude.denominator.bit_length()
    if magnitude < Fraction(2) ** exponent:
        exponent -= 1
    step = Fraction(2) ** (max(exponent, to.least) - to.digits + 1)
    whole, rest = divmod(magnitude, step)
    up = {
        "rn": rest > step / 2 or (rest == step / 2 and whole % 2 == 1),
        "rz": False,
        "rm": rest > 0 and value < 0,
        "rp": rest > 0 and value > 0,
    }[mode]
    result = (whole + up) * step
    top = (2 - Fraction(2) ** (1 - to.digits)) * Fraction(2) ** to.greatest
    if result > top:
        away = mode == "rn" or (mode == "rm" and value < 0) or (mode == "rp" and value > 0)
        return sign * (math.inf if away else float(top))
    return sign * float(result)
