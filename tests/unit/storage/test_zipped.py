"""A storage in a zip file: it gives what others' programs have put in, and never anything else."""

from __future__ import annotations

import pickle
import shutil
import struct
import subprocess
import tempfile
import warnings
import zipfile
import zlib
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modos.errors import (
    AccessError,
    ConflictError,
    IntegrityError,
    InvalidInputError,
    ModosError,
    NotFoundError,
    TruncatedStream,
)
from modos.storage.base import ByteRange
from modos.storage.local import LocalStorage
from modos.storage.zip_format import ALIGNMENT, TAIL, Entry, place_data, write_directory, write_end, write_header
from modos.storage.zipped import ZippedStorage, open_zipped

FILES = {"a.txt": b"hello", "b/c": bytes(range(256)) * 300, "b/d/e": b"", "b-": b"x", "data.zarr/zarr.json": b"{}"}


def opened(path: Path) -> ZippedStorage:
    return ZippedStorage(LocalStorage(path.parent), path.name, str(path))


def write_own(path: Path, files: dict[str, bytes]) -> Path:
    """A zip file as modos writes it."""
    at, entries = 0, []
    with open(path, "wb") as file:
        for name, data in files.items():
            entries.append(Entry(name, len(data), zlib.crc32(data), at))
            file.write(write_header(entries[-1]) + data)
            assert file.tell() == place_data(name, len(data), at) + len(data)
            at = file.tell()
        directory = b"".join(write_directory(entries))
        file.write(directory + write_end(len(entries), ByteRange(at, at + len(directory))))
    return path


def write_foreign(path: Path, files: dict[str, bytes], **options) -> Path:
    """A zip file as Python writes it."""
    with warnings.catch_warnings(), zipfile.ZipFile(path, "w", **options) as file:
        warnings.simplefilter("ignore")
        for name, data in files.items():
            file.writestr(name, data)
    return path


def read_all(path: Path) -> dict[str, bytes]:
    storage = opened(path)
    found = {info.key: storage.read(info.key)[0] for info in storage.iter_files()}
    for key, data in found.items():
        assert b"".join(storage.iter_range(key, 0, len(data))) == data
        assert storage.stat(key).size == len(data)
    return found


@pytest.mark.parametrize("write", [write_own, write_foreign])
def test_what_is_in_comes_out(write, tmp_path):
    """Files, ranges, tags, folders; of a file by modos and by Python."""
    storage = opened(write(tmp_path / "x.zip", FILES))
    assert [info.key for info in storage.iter_files()] == sorted(FILES)
    assert [info.key for info in storage.iter_files("b")] == ["b/c", "b/d/e"]
    assert [info.key for info in storage.child("b").iter_files()] == ["c", "d/e"]
    assert storage.list_folders() == ["b", "data.zarr"] and storage.list_folders("b") == ["b/d"]
    assert [info.key for info in storage.find("zarr.json")] == ["data.zarr/zarr.json"]
    assert read_all(tmp_path / "x.zip") == FILES
    data, info = storage.read_part("b/c", 70_000, 70_010)
    assert data == FILES["b/c"][70_000:70_010] and info == storage.stat("b/c")
    assert storage.read_range("b/c", 76_790, 99_999) == FILES["b/c"][76_790:]
    assert storage.child("b").read("c") == storage.read("b/c")
    assert storage.read_changed("a.txt", storage.stat("a.txt").etag) is None
    assert list(pickle.loads(pickle.dumps(storage.child("b"))).iter_files()) == list(storage.child("b").iter_files())
    with pytest.raises(ConflictError):
        storage.read_part("a.txt", 0, 2, if_match="other")
    with pytest.raises(TruncatedStream):
        list(storage.iter_range("a.txt", 0, 6))
    for call in (storage.read, storage.stat, lambda key: storage.read_range(key, 0, 1)):
        with pytest.raises(NotFoundError):
            call("b")


def test_nothing_can_be_written(tmp_path):
    storage = opened(write_own(tmp_path / "x.zip", FILES))
    before = (tmp_path / "x.zip").read_bytes()
    for change in (
        lambda: storage.write("n", b""),
        lambda: storage.write_stream("n", [], size=0),
        lambda: storage.write_placed("n", lambda place: [], size=0),
        lambda: storage.put_new("n", b""),
        lambda: storage.delete("a.txt"),
        lambda: storage.copy("n", "a.txt"),
        lambda: storage.patch("a.txt", [], lambda start, end: b"", size=0, if_match=""),
    ):
        with pytest.raises(AccessError, match="only read") as caught:
            change()
        assert "modos unpack" in caught.value.hint
    assert (tmp_path / "x.zip").read_bytes() == before


def test_other_programs_read_ours(tmp_path):
    """Python and unzip find no fault, and each entry begins at a multiple of 64 bytes."""
    path = write_own(tmp_path / "x.zip", FILES | {"ü/é": b"utf8"})
    with zipfile.ZipFile(path) as file:
        assert file.testzip() is None
        assert {info.filename: file.read(info) for info in file.infolist()} == FILES | {"ü/é": b"utf8"}
        data = path.read_bytes()
        for info in file.infolist():
            lengths = struct.unpack_from("<2H", data, info.header_offset + 26)
            assert (info.header_offset + 30 + sum(lengths)) % ALIGNMENT == 0
    if shutil.which("unzip"):
        assert subprocess.run(["unzip", "-tq", path], capture_output=True).returncode == 0


@pytest.mark.skipif(not shutil.which("zip"), reason="needs zip")
def test_a_file_of_info_zip_is_read(tmp_path):
    for name, data in FILES.items():
        (tmp_path / "f" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "f" / name).write_bytes(data)
    subprocess.run(["zip", "-0qr", "../x.zip", "."], cwd=tmp_path / "f", check=True)
    assert read_all(tmp_path / "x.zip") == FILES


def test_large_files_and_places(tmp_path):
    """Sizes and places of more than four bytes (ZIP64): in a file that has holes for most of its bytes."""
    entries, at = [], 0
    with open(tmp_path / "x.zip", "wb") as file:
        for name, size in (("big", (5 << 30) + 3), ("small", 4)):
            entries.append(Entry(name, size, zlib.crc32(b"tail"), at))
            file.seek(at)
            file.write(write_header(entries[-1]))
            at = place_data(name, size, at) + size
            file.seek(at - 4)
            file.write(b"tail")
        directory = b"".join(write_directory(entries))
        file.write(directory + write_end(2, ByteRange(at, at + len(directory))))
    storage = opened(tmp_path / "x.zip")
    assert {info.key: info.size for info in storage.iter_files()} == {"big": (5 << 30) + 3, "small": 4}
    assert storage.read_range("big", (5 << 30) - 5, 6 << 30) == bytes(4) + b"tail"
    assert storage.read("small")[0] == b"tail"
    with zipfile.ZipFile(tmp_path / "x.zip") as file:
        assert file.getinfo("big").file_size == (5 << 30) + 3 and file.read("small") == b"tail"


def test_many_entries(tmp_path):
    """More than two bytes can count (ZIP64)."""
    files = {f"c/{n}": b"%d" % n for n in range(70_000)}
    path = write_own(tmp_path / "x.zip", files)
    storage = opened(path)
    assert sum(1 for _ in storage.iter_files()) == 70_000 and storage.read("c/69999")[0] == b"69999"
    with zipfile.ZipFile(path) as file:
        assert len(file.infolist()) == 70_000 and file.read("c/69999") == b"69999"
    write_foreign(path, files)
    assert opened(path).read("c/65536")[0] == b"65536"


NAMES = st.text(st.sampled_from("abc/.-é"), min_size=1, max_size=8).filter(
    lambda name: all(part not in ("", ".", "..") for part in name.split("/"))
)
CONTENTS = st.dictionaries(NAMES, st.binary(max_size=300), max_size=8).filter(
    lambda files: not any(other.startswith(f"{name}/") for name in files for other in files)
)


@given(CONTENTS, st.booleans(), st.binary(max_size=30).filter(lambda comment: b"PK\5\6" not in comment), st.data())
def test_any_layout_gives_the_same_files(files, is_own, comment, data):
    """Whatever extra fields, comments and forms of ZIP64 there are."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "x.zip")
        if is_own:
            write_own(path, files)
        else:
            with zipfile.ZipFile(path, "w") as file:
                for name, content in files.items():
                    info = zipfile.ZipInfo(name)
                    extra = data.draw(st.binary(max_size=200))
                    info.extra = struct.pack("<2H", 0x7777, len(extra)) + extra
                    with file.open(info, "w", force_zip64=data.draw(st.booleans())) as entry:
                        entry.write(content)
                file.comment = comment
        assert read_all(path) == files
        with zipfile.ZipFile(path) as file:
            assert {info.filename: file.read(info) for info in file.infolist()} == files
        if is_own and files:
            starts = [place_data(e.filename, e.file_size, e.header_offset) for e in zipfile.ZipFile(path).infolist()]
            assert all(start % ALIGNMENT == 0 for start in starts) and all(a < b or not a for a, b in pairwise(starts))


@given(st.data())
def test_damage_is_found_or_does_no_harm(data):
    """Bytes that are flipped, cut off or put in: an error, or just what was there."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "x.zip")
        (write_own if data.draw(st.booleans()) else write_foreign)(path, FILES)
        content = bytearray(path.read_bytes())
        at = data.draw(st.integers(0, len(content) - 1))
        kind = data.draw(st.sampled_from(["flip", "cut", "put in", "take out"]))
        if kind == "flip":
            content[at] ^= data.draw(st.integers(1, 255))
        elif kind == "cut":
            del content[at:]
        elif kind == "put in":
            content[at:at] = data.draw(st.binary(min_size=1, max_size=100))
        else:
            del content[at : at + data.draw(st.integers(1, 100))]
        path.write_bytes(content)
        try:
            found = read_all(path)
        except (IntegrityError, InvalidInputError):
            return
        assert found == FILES


def raw(entries, *, locals_=None, count=None, tail=b"") -> bytes:
    """A zip file of entries (name, content, fields of the directory that are otherwise); the local headers may be others."""
    body, rows = b"", b""
    for number, (name, content, change) in enumerate(entries):
        fields = {
            "flags": 0,
            "method": 0,
            "crc": zlib.crc32(content),
            "packed": len(content),
            "size": len(content),
            "at": len(body),
            "mode": 0,
        }
        fields |= change
        local = {**fields, "name": name} | ((locals_ or {}).get(number, {}))
        body += struct.pack(
            "<4s5H3L2H",
            b"PK\3\4",
            20,
            local["flags"],
            local["method"],
            0,
            0x21,
            local["crc"],
            local["packed"],
            local["size"],
            len(local["name"]),
            local.get("extra", 0),
        )
        body += local["name"] + content
        rows += struct.pack(
            "<4s6H3L5H2L",
            b"PK\1\2",
            3 << 8 | 20,
            20,
            fields["flags"],
            fields["method"],
            0,
            0x21,
            fields["crc"],
            fields["packed"],
            fields["size"],
            len(name),
            0,
            0,
            0,
            0,
            fields["mode"] << 16,
            fields["at"],
        )
        rows += name
    number = len(entries) if count is None else count
    return body + rows + struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, number, number, len(rows), len(body), len(tail)) + tail


HOSTILE = {
    "encrypted": (raw([(b"a", b"x", {"flags": 1})]), InvalidInputError, "password"),
    "compressed": (raw([(b"a", b"x", {"method": 8})]), InvalidInputError, "compressed"),
    "size behind the bytes": (raw([(b"a", b"x", {"flags": 8})]), InvalidInputError, "behind"),
    "a name twice": (raw([(b"a", b"x", {}), (b"a", b"y", {})]), InvalidInputError, "twice"),
    "a file and a folder": (raw([(b"a", b"x", {}), (b"a/b", b"y", {})]), InvalidInputError, "one name"),
    "a link": (raw([(b"a", b"/etc/passwd", {"mode": 0o120777})]), InvalidInputError, "a is a link or a device"),
    "a device": (raw([(b"a", b"", {"mode": 0o060660})]), InvalidInputError, "a is a link or a device"),
    "a directory in the comment": (
        raw([(b"a", b"x", {})], tail=raw([(b"b", b"y", {})])),
        IntegrityError,
        "the directory is not where",
    ),
    "up": (raw([(b"../a", b"x", {})]), InvalidInputError, "not a path"),
    "absolute": (raw([(b"/a", b"x", {})]), InvalidInputError, "not a path"),
    "backslash": (raw([(b"a\\b", b"x", {})]), InvalidInputError, "not a path"),
    "not text": (raw([(b"\xff", b"x", {"flags": 0x800})]), InvalidInputError, "UTF-8"),
    "two over each other": (raw([(b"a", b"xyz", {}), (b"b", b"xyz", {"at": 0})]), IntegrityError, "over other bytes"),
    "beyond the file": (raw([(b"a", b"x", {"packed": 999, "size": 999})]), IntegrityError, "over other bytes"),
    "place beyond the file": (raw([(b"a", b"x", {"at": 99_999})]), IntegrityError, "over other bytes"),
    "another size stored": (raw([(b"a", b"x", {"size": 9})]), IntegrityError, "another size"),
    "a local name": (raw([(b"a", b"x", {})], locals_={0: {"name": b"b"}}), IntegrityError, "does not fit"),
    "a local size": (raw([(b"a", b"x", {})], locals_={0: {"size": 0}}), IntegrityError, "does not fit"),
    "a local way of packing": (raw([(b"a", b"x", {})], locals_={0: {"method": 8}}), IntegrityError, "does not fit"),
    "a long local header": (raw([(b"a", b"x", {})], locals_={0: {"extra": 999}}), IntegrityError, "too long"),
    "a wrong CRC-32": (raw([(b"a", b"x", {"crc": 1})]), IntegrityError, "CRC-32"),
    "fewer than counted": (raw([(b"a", b"x", {})], count=2), IntegrityError, "directory"),
    "more than counted": (raw([(b"a", b"x", {}), (b"b", b"x", {})], count=1), IntegrityError, "directory"),
    "bytes in front": (b"#!/bin/sh\n" + raw([(b"a", b"x", {})]), IntegrityError, "not where"),
    "an end in the comment": (raw([(b"a", b"x", {})], tail=b"PK\5\6 and more"), InvalidInputError, "comment"),
    "no zip file": (b"hello world " * 9, TruncatedStream, "cut short"),
    "empty": (b"", TruncatedStream, "no zip file"),
    "a large place that is missing": (raw([(b"a", b"x", {"at": 0xFFFFFFFF})]), IntegrityError, "ZIP64"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_hostile_files_are_refused(case, tmp_path):
    """One clear error that names the file."""
    content, kind, words = HOSTILE[case]
    (tmp_path / "x.zip").write_bytes(content)
    with pytest.raises(kind, match=words) as caught:
        read_all(tmp_path / "x.zip")
    assert "x.zip" in caught.value.message and len(caught.value.message.splitlines()) == 1


def test_a_sound_one_of_these_is_read(tmp_path):
    (tmp_path / "x.zip").write_bytes(raw([(b"a", b"x", {}), (b"b", b"yz", {})], tail=b"a comment"))
    assert read_all(tmp_path / "x.zip") == {"a": b"x", "b": b"yz"}


class Counting(LocalStorage):
    """A folder that tells how many requests were made, and bytes were read."""

    read_bytes = asked = 0

    def read_part(self, key, start, end, *, if_match=None):
        data, info = super().read_part(key, start, end, if_match=if_match)
        self.read_bytes += len(data)
        self.asked += 1
        return data, info


@pytest.mark.parametrize(("count", "row"), [(3_000_000, 46), (10, 100 << 20)])
def test_a_directory_of_millions_is_not_read(count, row, tmp_path):
    """Nor one of gigabytes: the end of the file tells."""
    size = count * row
    with open(tmp_path / "x.zip", "wb") as file:
        file.truncate(size)
        file.seek(0, 2)
        file.write(write_end(count, ByteRange(0, size)))
    below = Counting(tmp_path)
    with pytest.raises(InvalidInputError, match="at most"):
        ZippedStorage(below, "x.zip", "x.zip").read("a")
    assert below.read_bytes <= TAIL


def test_few_requests(tmp_path):
    """One for a small file's end, directory, and last entries; another for the directory of a large one; one for each entry."""
    write_own(tmp_path / "x.zip", {f"c/{n}": bytes(1000) for n in range(20_000)} | {"z": b"last"})
    below = Counting(tmp_path)
    storage = ZippedStorage(below, "x.zip", "x.zip")
    storage.read("z")
    assert below.asked == 2 or below.asked == 3
    before = below.asked
    storage.read_part("c/7", 500, 600)
    storage.read_part("c/7", 100, 200)
    assert below.asked == before + 2
    write_own(tmp_path / "y.zip", {f"c/{n}": bytes(1000) for n in range(900)} | {"z": b"last"})
    below = Counting(tmp_path)
    assert ZippedStorage(below, "y.zip", "y.zip").read("z")[0] == b"last"
    assert below.asked == 1


def test_a_file_that_is_replaced_is_never_mixed(tmp_path):
    """An error, until it is looked at again."""
    path = write_own(tmp_path / "x.zip", {"a": bytes(400_000), "r": b"1"})
    storage = opened(path)
    tag = storage.read("r")[1]
    write_own(tmp_path / "y.zip", {"a": bytes([1]) * 400_000, "r": b"2"}).replace(path)
    with pytest.raises(ConflictError, match="changed"):
        storage.read("a")
    data, newer = storage.read_changed("r", tag)
    assert data == b"2" and newer != tag
    assert storage.read("a")[0] == bytes([1]) * 400_000
    path.unlink()
    with pytest.raises(NotFoundError):
        storage.read_changed("r", newer)


def test_damaged_entries_are_listed(tmp_path):
    path = write_own(tmp_path / "x.zip", {"a": bytes(9_000_000), "b": b"sound", "c": b"", "d": b"damaged"})
    content = bytearray(path.read_bytes())
    content[5_000_000] ^= 1
    content[content.index(b"damaged")] ^= 1
    header = content.index(b"PK\3\4", content.index(b"sound"))
    assert b"c" in content[header + 30 : header + 31]
    content[header + 14] ^= 1
    path.write_bytes(content)
    assert {key for key, _ in opened(path).find_damaged(lambda key: False)} == {"a", "c", "d"}
    assert {key for key, _ in opened(path).find_damaged(lambda key: True)} == {"c"}


def test_there_may_be_no_file(tmp_path):
    assert open_zipped(LocalStorage(tmp_path), "x.zip", "x.zip") is None
    with pytest.raises(ModosError):
        opened(tmp_path / "x.zip").read("a")
