"""Record files: round trips, every way to be broken, random access."""

from __future__ import annotations

import gzip
import os
import pickle

import numpy as np
import pytest
from cssm.data.record_file import RecordFile, decompressed
from cssm.data.tfrecord import RecordError, read_records, scan_records, write_records

PAYLOADS = [b"", b"one", bytes(range(256)) * 5, b"last"]
# An empty record, byte for byte: 8 zero bytes, their masked CRC, and the masked CRC of nothing.
EMPTY_RECORD = bytes(8) + bytes.fromhex("29039807") + bytes.fromhex("d8ea82a2")


@pytest.mark.parametrize("compress", [False, True])
def test_round_trip(tmp_path, compress):
    path = tmp_path / "a.tfrecord"
    assert write_records(path, PAYLOADS, compress=compress) == 4
    assert list(read_records(path)) == PAYLOADS
    assert path.read_bytes().startswith(b"\x1f\x8b") == compress
    before = path.read_bytes()
    write_records(path, PAYLOADS, compress=compress)
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["a.tfrecord"]


def test_wire_format(tmp_path):
    write_records(tmp_path / "a", [b""])
    assert (tmp_path / "a").read_bytes() == EMPTY_RECORD


def test_failed_write_leaves_the_old_file(tmp_path):
    path = tmp_path / "a.tfrecord"
    write_records(path, PAYLOADS)

    def broken():
        yield b"new"
        raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        write_records(path, broken())
    assert list(read_records(path)) == PAYLOADS
    assert os.listdir(tmp_path) == ["a.tfrecord"]


def test_cut_anywhere(tmp_path):
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    write_records(whole, [b"one", b"two"])
    data = whole.read_bytes()
    for size in range(len(data)):
        cut.write_bytes(data[:size])
        if size in (0, 19):
            assert list(read_records(cut)) == [b"one"][: size // 19]
            continue
        for read in (lambda: list(read_records(cut)), lambda: RecordFile(cut, keep_index=False)):
            with pytest.raises(RecordError, match=f"cut, record at byte {size // 19 * 19}: .*ends") as error:
                read()
        assert (error.value.path, error.value.offset) == (cut, size // 19 * 19)
        assert str(pickle.loads(pickle.dumps(error.value))) == str(error.value)


def test_any_byte_wrong(tmp_path):
    whole, bad = tmp_path / "whole", tmp_path / "bad"
    write_records(whole, [b"one", b"two"])
    for at in range(38):
        data = bytearray(whole.read_bytes())
        data[at] ^= 0x10
        bad.write_bytes(data)
        with pytest.raises(RecordError, match=f"bad, record at byte {at // 19 * 19}: its (length|payload) does not"):
            list(read_records(bad))
        if at % 19 < 12:
            with pytest.raises(RecordError, match="its length does not"):
                RecordFile(bad, keep_index=False)
            continue
        assert [record.intact for record in scan_records(bad)] == [at >= 19, at < 19]
        file = RecordFile(bad, keep_index=False)
        with pytest.raises(RecordError, match=f"record at byte {at // 19 * 19}: its payload"):
            file[at // 19]
        assert file[1 - at // 19] == (b"two", b"one")[at // 19]


def test_gzip_cut_or_wrong(tmp_path):
    path = tmp_path / "a"
    write_records(path, [np.random.default_rng(0).bytes(1000)], compress=True)
    data = path.read_bytes()
    path.write_bytes(data[:-20])
    with pytest.raises(RecordError, match="a, record at byte 0: GZIP"):
        list(read_records(path))
    path.write_bytes(gzip.compress(b"\x01" * 30))
    with pytest.raises(RecordError, match="a, record at byte 0: its length"):
        list(read_records(path))


def test_a_length_may_look_like_gzip(tmp_path):
    path = tmp_path / "a"
    payload = bytes(0x8B1F)
    write_records(path, [payload])
    assert list(read_records(path)) == [payload]


def test_random_access_and_index(tmp_path):
    path = tmp_path / "a.tfrecord"
    write_records(path, PAYLOADS)
    file = RecordFile(path)
    assert [file[i] for i in (3, 1, 0, 2)] == [PAYLOADS[i] for i in (3, 1, 0, 2)]
    assert pickle.loads(pickle.dumps(file))[2] == PAYLOADS[2]
    kept = tmp_path / "a.tfrecord.idx.npy"
    index = np.load(kept)
    np.testing.assert_array_equal(index, [[0, 0], [16, 3], [35, 1280], [1331, 4]])

    np.save(kept, index[[0, 3]])  # is believed while it is as new as the file and reaches its end
    assert len(RecordFile(path)) == 2
    write_records(path, PAYLOADS[:2])
    assert len(RecordFile(path)) == 2
    assert RecordFile(path)[1] == b"one"


def test_compressed_files_are_decompressed_once(tmp_path):
    path = tmp_path / "train-batch_0--00000-of-00001"
    write_records(path, PAYLOADS, compress=True)
    with pytest.raises(ValueError, match=r"path: got .*, compressed, expected"):
        RecordFile(path)
    copy = decompressed(path, tmp_path / "cache")
    made = copy.stat().st_mtime_ns
    assert list(read_records(copy)) == PAYLOADS
    assert decompressed(path, tmp_path / "cache").stat().st_mtime_ns == made
    write_records(path, PAYLOADS[:1], compress=True)
    assert list(read_records(decompressed(path, tmp_path / "cache"))) == PAYLOADS[:1]
    assert decompressed(copy) == copy
