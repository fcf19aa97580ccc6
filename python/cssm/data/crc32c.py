"""CRC-32C (Castagnoli) of bytes, and the mask that record files put on it.

With the package google-crc32c where it is installed. Otherwise NumPy: the bytes are cut into lanes whose remainders advance
together, a byte a step, and pairs of lanes are joined until one is left. Both are exact; NumPy's is slower by far.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

try:
    from google_crc32c import value as _native
except ImportError:
    _native = None

_POLYNOMIAL = 0x82F63B78  # bits reversed: the lowest is x^31
_BYTES_A_LANE = 96
_FEWEST_LANES = 8  # below, NumPy's calls cost more than the bytes


def crc32c(data: bytes | bytearray | memoryview) -> int:
    """CRC-32C; of b"123456789" it is 0xE3069283."""
    return crc32c_numpy(data) if _native is None else _native(bytes(data))


def masked_crc32c(data: bytes | bytearray | memoryview) -> int:
    """The CRC rotated right by 15 bits plus 0xA282EAD8, modulo 2^32: what record files store."""
    crc = crc32c(data)
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def crc32c_numpy(data: bytes | bytearray | memoryview) -> int:
    """CRC-32C without google-crc32c."""
    lanes = 1 << max(0, len(data) // _BYTES_A_LANE).bit_length()
    if lanes < _FEWEST_LANES:
        return _bytewise(data)
    length = -(-len(data) // lanes)
    # Zeros in front leave a remainder of 0 as it is; the initial remainder of all ones is the first four bytes inverted.
    padded = np.zeros(lanes * length, np.uint8)
    begin = len(padded) - len(data)
    padded[begin:] = np.frombuffer(data, np.uint8)
    padded[begin : begin + 4] ^= 0xFF
    columns = np.ascontiguousarray(padded.reshape(lanes, length).T)
    table = _table()
    remainder = np.zeros(lanes, np.uint32)
    for column in columns:
        remainder = table[(remainder & 0xFF) ^ column] ^ (remainder >> 8)
    for matrix in _shifts(length, lanes.bit_length() - 1):
        remainder = _apply(matrix, remainder[::2]) ^ remainder[1::2]
    return int(remainder[0]) ^ 0xFFFFFFFF


def _bytewise(data: bytes | bytearray | memoryview) -> int:
    table = _table_list()
    remainder = 0xFFFFFFFF
    for byte in bytes(data):
        remainder = table[(remainder ^ byte) & 0xFF] ^ (remainder >> 8)
    return remainder ^ 0xFFFFFFFF


@lru_cache
def _table() -> np.ndarray:
    """The remainder after each byte."""
    table = np.arange(256, dtype=np.uint32)
    for _ in range(8):
        table = np.where(table & 1, (table >> 1) ^ np.uint32(_POLYNOMIAL), table >> 1)
    return table


@lru_cache
def _table_list() -> list[int]:
    return _table().tolist()


@lru_cache(64)
def _shifts(length: int, levels: int) -> tuple[np.ndarray, ...]:
    """What length, 2 length, 4 length, ... zero bytes do to a remainder: matrices over GF(2), a uint32 a column."""
    bits = np.uint32(1) << np.arange(32, dtype=np.uint32)
    power = _table()[bits & 0xFF] ^ (bits >> 8)  # one byte
    shift = bits  # the identity
    while length:
        if length & 1:
            shift = _apply(power, shift)
        power = _apply(power, power)
        length >>= 1
    shifts = []
    for _ in range(levels):
        shifts.append(shift)
        shift = _apply(shift, shift)
    return tuple(shifts)


def _apply(matrix: np.ndarray, remainders: np.ndarray) -> np.ndarray:
    bits = (remainders[:, None] >> np.arange(32, dtype=np.uint32)) & 1
    return np.bitwise_xor.reduce(bits * matrix, axis=1)
