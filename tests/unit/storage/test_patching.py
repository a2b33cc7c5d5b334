"""A file that is patched has the new bytes in some ranges and the old ones elsewhere, at once or not at all."""

from __future__ import annotations

import os
import random
import stat

import pytest

from modos.errors import ConflictError
from modos.storage import open_storage
from modos.storage.base import ByteRange
from modos.storage.local import LocalStorage

MIB = 1 << 20


@pytest.fixture(params=["local", "s3"])
def storage(request, tmp_path):
    if request.param == "local":
        return open_storage(tmp_path / "root")
    stack = request.getfixturevalue("stack")
    return open_storage(f"s3://modos-demo/{tmp_path.name}", s3_url=stack.s3)


def put(storage, data):
    storage.write_stream("a/big", [data], size=len(data))
    return storage.stat("a/big").etag


@pytest.mark.parametrize(
    ("old", "new", "ranges"),
    [
        (10, 10, [(3, 5)]),
        (25 * MIB, 25 * MIB, [(0, 10), (14 * MIB, 14 * MIB + 1), (25 * MIB - 1, 25 * MIB)]),
        (40 * MIB, 40 * MIB, [(20 * MIB, 21 * MIB)]),
        (20 * MIB, 30 * MIB, [(5, 6), (20 * MIB, 30 * MIB)]),
        (30 * MIB, 20 * MIB + 7, [(6 * MIB - 1, 6 * MIB + 1)]),
        (0, 7 * MIB, [(0, 7 * MIB)]),
    ],
)
def test_ranges_are_replaced(storage, old, new, ranges):
    before, after = random.Random(1).randbytes(old), bytearray(random.Random(1).randbytes(old)[:new].ljust(new, b"\0"))
    fresh = random.Random(2).randbytes(new)
    for low, high in ranges:
        after[low:high] = fresh[low:high]
    tag = put(storage, before)
    storage.patch("a/big", [ByteRange(*r) for r in ranges], lambda start, end: fresh[start:end], size=new, if_match=tag)
    assert b"".join(storage.iter_range("a/big", 0, storage.stat("a/big").size)) == after
    assert storage.partial_writes() == []


@pytest.mark.parametrize("size", [10, 20 * MIB])
def test_another_file_is_not_patched(storage, size):
    tag = put(storage, bytes(size))
    storage.delete("a/big")
    put(storage, b"\1" * size)
    with pytest.raises(ConflictError):
        storage.patch("a/big", [ByteRange(0, 1)], lambda *_: b"\2", size=size, if_match=tag)
    assert storage.read_range("a/big", 0, 1) == b"\1"
    assert storage.partial_writes() == []


@pytest.mark.parametrize("size", [10, 20 * MIB])
def test_bytes_that_cannot_be_fetched_leave_the_old_file(storage, size):
    def fetch(start, end):
        raise RuntimeError("cut")

    tag = put(storage, bytes(size))
    with pytest.raises(RuntimeError, match="cut"):
        storage.patch("a/big", [ByteRange(size - 1, size)], fetch, size=size, if_match=tag)
    assert storage.stat("a/big").etag == tag
    assert storage.partial_writes() == []


def test_mode_and_links_stay(tmp_path):
    storage = LocalStorage(tmp_path)
    tag = put(storage, b"12345")
    os.chmod(tmp_path / "a/big", 0o640)
    os.symlink("big", tmp_path / "a/link")
    storage.patch("a/link", [ByteRange(1, 2)], lambda *_: b"x", size=5, if_match=tag)
    assert (tmp_path / "a/big").read_bytes() == b"1x345"
    assert stat.S_IMODE((tmp_path / "a/big").stat().st_mode) == 0o640
    assert (tmp_path / "a/link").is_symlink()
