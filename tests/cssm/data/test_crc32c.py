"""CRC-32C, native and NumPy's."""

from __future__ import annotations

import numpy as np
import pytest
from cssm.data.crc32c import crc32c, crc32c_numpy, masked_crc32c

# Of RFC 3720, B.4, and the check value of the catalogue of CRCs.
VECTORS = {
    b"": 0,
    b"123456789": 0xE3069283,
    bytes(32): 0x8A9136AA,
    b"\xff" * 32: 0x62A8AB43,
    bytes(range(32)): 0x46DD794E,
    bytes(range(31, -1, -1)): 0x113FDB5C,
}


@pytest.mark.parametrize("compute", [crc32c, crc32c_numpy])
def test_known_values(compute):
    assert {data: compute(data) for data in VECTORS} == VECTORS


@pytest.mark.parametrize("size", [1, 767, 768, 769, 6000, 98_305])
def test_lanes_are_bytes(size):
    data = np.random.default_rng(size).bytes(size)
    table = [0] * 256
    for i in range(256):
        crc = i
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
        table[i] = crc
    expected = 0xFFFFFFFF
    for byte in data:
        expected = table[(expected ^ byte) & 0xFF] ^ expected >> 8
    assert crc32c_numpy(data) == crc32c(memoryview(data)) == expected ^ 0xFFFFFFFF


def test_mask():
    crc = 0xE3069283
    assert masked_crc32c(b"123456789") == (((crc >> 15) | (crc << 17)) % 2**32 + 0xA282EAD8) % 2**32
