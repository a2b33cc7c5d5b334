"""Write and read the structures of zip files with stored entries."""

from __future__ import annotations

import re
import stat
import struct
from array import array
from bisect import bisect_left
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from modos.errors import IntegrityError, InvalidInputError, TruncatedStream
from modos.storage.base import ByteRange, check_key

ENDING = ".zip"
ALIGNMENT = 64  # bytes of entries begin at a multiple of it
MOST_ENTRIES = 1 << 20
MOST_DIRECTORY = 128 << 20  # bytes
TAIL = 256 << 10  # bytes at the end of a file that are read first; a comment has 65,535 at most
END_SIZE = 22
HEAD = 30  # bytes of a local header before the name

_LOCAL = struct.Struct("<4s5H3L2H")
_CENTRAL = struct.Struct("<4s6H3L5H2L")
_END = struct.Struct("<4s4H2LH")
_END64 = struct.Struct("<4sQ2H2L4Q")
_LOCATOR = struct.Struct("<4sLQL")
_SIGNATURES = b"PK\x03\x04", b"PK\x01\x02", b"PK\x05\x06", b"PK\x06\x06", b"PK\x06\x07"
_LOCAL_MARK, _CENTRAL_MARK, _END_MARK, _END64_MARK, _LOCATOR_MARK = _SIGNATURES
_PLAIN = re.compile(r"[\w-][\w.-]*(?:/[\w-][\w.-]*)*", re.ASCII)  # names that need not be looked at closely
_ZIP64, _PADDING = 0x0001, 0xD935  # kinds of extra fields
_LARGE, _MANY = 0xFFFFFFFF, 0xFFFF
_LIMITS = (_MANY, _MANY, _LARGE, _LARGE)
_UTF8 = 0x0800
_HARMLESS = _UTF8 | 0x0006  # flags; two of them are about compression
_VERSION, _VERSION64 = 20, 45  # of zip, that a reader has to know
_UNIX, _MODE = 3 << 8, 0o100644 << 16
_DATE = 0x21  # 1980-01-01
_HINT = "copy it again; an intact one is made with `modos pack`"


class Entry(NamedTuple):
    """Entry of a zip file: its name, its bytes, their CRC-32, and where its local header is."""

    name: str
    size: int
    crc: int
    header: int


def place_data(name: str, size: int, header: int) -> int:
    """Return where the bytes of an entry begin that has its header at a place."""
    least = header + HEAD + len(name.encode()) + (20 if size >= _LARGE else 0)
    padding = -least % ALIGNMENT
    return least + (padding + ALIGNMENT if 0 < padding < 6 else padding)


def write_header(entry: Entry) -> bytes:
    """Write the local header of an entry, up to its bytes."""
    name, size = entry.name.encode(), min(entry.size, _LARGE)
    extra = struct.pack("<2H2Q", _ZIP64, 16, entry.size, entry.size) if entry.size >= _LARGE else b""
    padding = place_data(entry.name, entry.size, entry.header) - entry.header - HEAD - len(name) - len(extra)
    if padding:
        extra += struct.pack("<3H", _PADDING, padding - 4, ALIGNMENT) + bytes(padding - 6)
    version = _VERSION64 if entry.size >= _LARGE else _VERSION
    return _LOCAL.pack(_LOCAL_MARK, version, _UTF8, 0, 0, _DATE, entry.crc, size, size, len(name), len(extra)) + name + extra


def write_directory(entries: Iterable[Entry]) -> Iterator[bytes]:
    """Write the central directory, entry by entry."""
    for entry in entries:
        name, size, header = entry.name.encode(), min(entry.size, _LARGE), min(entry.header, _LARGE)
        large = [entry.size] * 2 * (size == _LARGE) + [entry.header] * (header == _LARGE)
        extra = struct.pack(f"<2H{len(large)}Q", _ZIP64, 8 * len(large), *large) if large else b""
        version = _VERSION64 if large else _VERSION
        fields = (
            _UNIX | version,
            version,
            _UTF8,
            0,
            0,
            _DATE,
            entry.crc,
            size,
            size,
            len(name),
            len(extra),
            0,
            0,
            0,
            _MODE,
            header,
        )
        yield _CENTRAL.pack(_CENTRAL_MARK, *fields) + name + extra


def write_end(count: int, directory: ByteRange) -> bytes:
    """Write what follows the central directory and ends the file."""
    head = b""
    if count >= _MANY or directory.end >= _LARGE:
        sizes = (count, count, directory.size, directory.start)
        head = _END64.pack(_END64_MARK, _END64.size - 12, _UNIX | _VERSION64, _VERSION64, 0, 0, *sizes)
        head += _LOCATOR.pack(_LOCATOR_MARK, 0, directory.end, 1)
    many = min(count, _MANY)
    return head + _END.pack(_END_MARK, 0, 0, many, many, min(directory.size, _LARGE), min(directory.start, _LARGE), 0)


@dataclass(frozen=True)
class DirectoryPlace:
    """Place of a central directory, and how many entries it says to have."""

    bounds: ByteRange
    count: int


def find_directory(tail: bytes, size: int, where: str) -> DirectoryPlace:
    """Find the central directory by the last bytes of a file.

    Parameters
    ----------
    size
        Bytes of the file.
    where
        The file, for messages.

    Raises
    ------
    TruncatedStream
        The file has no end of a directory.
    IntegrityError, InvalidInputError
        The directory cannot be where it says, or is too large.
    """
    start, at = size - len(tail), len(tail) - END_SIZE
    while at >= 0 and not (tail.startswith(_END_MARK, at) and at + END_SIZE + _END.unpack_from(tail, at)[-1] == len(tail)):
        at = tail.rfind(_END_MARK, 0, at + len(_END_MARK) - 1)
    if at < 0:
        raise TruncatedStream(f"{where} does not end as a zip file does: it is cut short, or damaged", _HINT)
    if tail.find(_END_MARK, at + 1) >= 0:
        raise InvalidInputError(f"{where} has a comment that could be its end", "pack the object again, without a comment")
    *disks, here, count, length, begin, _ = _END.unpack_from(tail, at)[1:]
    end = at
    if at >= _LOCATOR.size and tail.startswith(_LOCATOR_MARK, at - _LOCATOR.size):
        said = (here, count, length, begin)
        end, disks, here, count, length, begin = _read_end64(tail, at - _LOCATOR.size, start, where)
        if any(old not in (new, limit) for old, new, limit in zip(said, (here, count, length, begin), _LIMITS, strict=True)):
            raise IntegrityError(f"{where} says at its end in two ways where its directory is", _HINT)
    if any(disks) or here != count:
        raise InvalidInputError(f"{where} is one of several files of an archive", "an object is packed into one file")
    if begin + length != start + end or count * _CENTRAL.size > length:
        raise IntegrityError(f"{where}: the directory is not where the file says at its end", _HINT)
    if count > MOST_ENTRIES or length > MOST_DIRECTORY:
        raise InvalidInputError(
            f"{where} has {count:,} entries, in a directory of {length:,} bytes; "
            f"{MOST_ENTRIES:,} and {MOST_DIRECTORY >> 20} MiB are read at most",
            "leave the object in its folder",
        )
    return DirectoryPlace(ByteRange(begin, begin + length), count)


def _read_end64(tail: bytes, locator: int, start: int, where: str) -> tuple[int, list[int], int, int, int, int]:
    _, disk, place, disks = _LOCATOR.unpack_from(tail, locator)
    at = place - start
    if not (0 <= at <= locator - _END64.size and tail.startswith(_END64_MARK, at)):
        raise IntegrityError(f"{where}: the end of a large zip file (ZIP64) is damaged", _HINT)
    _, length, _, _, number, first, here, count, size, begin = _END64.unpack_from(tail, at)
    if at + 12 + length != locator:
        raise IntegrityError(f"{where}: the end of a large zip file (ZIP64) is damaged", _HINT)
    return at, [disk, number, first, disks - 1], here, count, size, begin


class Directory:
    """Entries of a zip file by their names, in little memory.

    Parameters
    ----------
    data
        The central directory.
    where
        The file, for messages.

    Raises
    ------
    IntegrityError
        It is damaged, or its entries lie over each other.
    InvalidInputError
        Entries that are compressed or encrypted, or have names that lead out, or that two have.
    """

    def __init__(self, data: bytes, place: DirectoryPlace, where: str):
        self._where = where
        names: list[str] = []
        columns = array("Q"), array("I"), array("Q")
        for name, *numbers in _parse(data, place, where):
            names.append(name)
            for column, number in zip(columns, numbers, strict=True):
                column.append(number)
        order = sorted(range(len(names)), key=names.__getitem__)
        self.names = [names[number] for number in order]
        self.sizes, self.crcs, self.headers = (array(one.typecode, map(one.__getitem__, order)) for one in columns)
        self._check_names()
        self.limits = self._find_limits(place.bounds.start)

    def find(self, name: str) -> int | None:
        """Find the number of an entry; None if there is none of that name."""
        number = bisect_left(self.names, name)
        return number if number < len(self.names) and self.names[number] == name else None

    def list_below(self, folder: str) -> range:
        """Return the numbers of the entries in a folder, which are in a row; of all without one."""
        if not folder:
            return range(len(self.names))
        return range(bisect_left(self.names, f"{folder}/"), bisect_left(self.names, f"{folder}0"))  # 0 is next to /

    def entry(self, number: int) -> Entry:
        """Return an entry."""
        return Entry(self.names[number], self.sizes[number], self.crcs[number], self.headers[number])

    def header_room(self, number: int) -> int:
        """Return how many bytes the header of an entry takes, as far as is known before it was read: those that modos writes."""
        return HEAD + len(self.names[number].encode()) + 20 + ALIGNMENT + 6

    def _check_names(self) -> None:
        folders: set[str] = set()
        for number, name in enumerate(self.names):
            if number and self.names[number - 1] == name:
                raise InvalidInputError(
                    f"{self._where} has {name!r} twice", "which one counts, a zip file does not say: pack it again"
                )
            folder = name.rpartition("/")[0]
            while folder and folder not in folders:
                folders.add(folder)
                folder = folder.rpartition("/")[0]
        if taken := next((name for name in self.names if name in folders), None):
            raise InvalidInputError(f"{self._where} has a file and a folder of one name, {taken!r}", "no folder can hold both")

    def _find_limits(self, end: int) -> array[int]:
        """Return where the bytes of each entry have to end: at the next header, or at the directory."""
        limits, beyond = array("Q", bytes(8 * len(self.names))), end
        for number in sorted(range(len(self.names)), key=self.headers.__getitem__, reverse=True):
            least = self.headers[number] + HEAD + len(self.names[number].encode()) + self.sizes[number]
            if least > beyond:
                raise IntegrityError(f"{self._where}: {self.names[number]} lies over other bytes, or beyond the file", _HINT)
            limits[number], beyond = beyond, self.headers[number]
        return limits


def _parse(data: bytes, place: DirectoryPlace, where: str) -> Iterator[Entry]:
    at, damaged = 0, IntegrityError(f"{where}: the directory is damaged", _HINT)
    for _ in range(place.count):
        if len(data) - at < _CENTRAL.size:
            raise damaged
        mark, made, _, flags, method, _, _, crc, packed, size, *lengths, disk, _, mode, header = _CENTRAL.unpack_from(data, at)
        begin = at + _CENTRAL.size
        end = begin + sum(lengths)
        if mark != _CENTRAL_MARK or end > len(data):
            raise damaged
        name = _read_name(data[begin : begin + lengths[0]], flags, where)
        if _LARGE in (size, packed, header):
            extra = data[begin + lengths[0] : begin + lengths[0] + lengths[1]]
            size, packed, header = _read_large(extra, (size, packed, header), f"{where}: {name}")
        at = end
        if name.endswith("/") and not size and not packed:
            continue
        _check_kind(flags, method, f"{where}: {name}")
        if made >> 8 == _UNIX >> 8 and stat.S_IFMT(mode >> 16) not in (0, stat.S_IFREG):
            raise InvalidInputError(f"{where}: {name} is a link or a device, and no file", "do not unpack it")
        if size != packed or disk:
            raise IntegrityError(f"{where}: {name} has another size stored than it has", _HINT)
        yield Entry(_check_name(name, where), size, crc, header)
    if at != len(data):
        raise damaged


def _read_name(raw: bytes, flags: int, where: str) -> str:
    try:
        return raw.decode("utf-8" if flags & _UTF8 else "ascii")
    except UnicodeDecodeError:
        raise InvalidInputError(
            f"{where} has a name that is not UTF-8, {raw[:100]!r}", "pack the object with `modos pack`"
        ) from None


def _check_name(name: str, where: str) -> str:
    try:
        return name if _PLAIN.fullmatch(name) and len(name) < 1000 else check_key(name)
    except InvalidInputError:
        raise InvalidInputError(
            f"{where} has an entry {name[:100]!r}, which is not a path inside an object", "do not unpack it"
        ) from None


def _check_kind(flags: int, method: int, where: str) -> None:
    hint = "unzip it into a folder, and pack that with `modos pack`"
    if flags & 0x2041:
        raise InvalidInputError(f"{where} is encrypted (a password of zip)", hint)
    if method:
        raise InvalidInputError(f"{where} is compressed, and no range of its bytes can be read", hint)
    if flags & ~_HARMLESS:
        raise InvalidInputError(
            f"{where} has its size behind its bytes, or what is not known to modos (flags {flags:#06x})", hint
        )


def _read_large(extra: bytes, fields: tuple[int, ...], where: str) -> Iterator[int]:
    """Read the numbers that do not fit into four bytes: each field that says so has the next eight of ZIP64's."""
    values = next((content for kind, content in _iter_extra(extra, where) if kind == _ZIP64), b"")
    if len(values) < 8 * fields.count(_LARGE):
        raise IntegrityError(f"{where}: the size or place of a large file (ZIP64) is missing", _HINT)
    large = iter(struct.unpack(f"<{len(values) // 8}Q", values[: len(values) // 8 * 8]))
    return (next(large) if field == _LARGE else field for field in fields)


def _iter_extra(extra: bytes, where: str) -> Iterator[tuple[int, bytes]]:
    at = 0
    while at + 4 <= len(extra):
        kind, length = struct.unpack_from("<2H", extra, at)
        if at + 4 + length > len(extra):
            break
        yield kind, extra[at + 4 : at + 4 + length]
        at += 4 + length
    if any(extra[at:]):
        raise IntegrityError(f"{where}: the header is damaged", _HINT)


def header_size(data: bytes, where: str) -> int:
    """Return the bytes of a local header, of which the first 30 are there."""
    if len(data) < HEAD or not data.startswith(_LOCAL_MARK):
        raise IntegrityError(f"{where}: the header is damaged", _HINT)
    *_, name, extra = _LOCAL.unpack_from(data)
    return HEAD + int(name) + int(extra)


def check_header(data: bytes, entry: Entry, where: str) -> None:
    """Compare a local header with the directory; raise IntegrityError where they differ."""
    mark, _, flags, method, _, _, crc, packed, size, length, more = _LOCAL.unpack_from(data)
    extra = data[HEAD + length : HEAD + length + more]
    if _LARGE in (size, packed):
        size, packed = _read_large(extra, (size, packed), where)
    padding = (content for kind, content in _iter_extra(extra, where) if kind == _PADDING)
    if (
        (mark, method, crc, packed, size) != (_LOCAL_MARK, 0, entry.crc, entry.size, entry.size)
        or data[HEAD : HEAD + length] != entry.name.encode()
        or flags & ~_HARMLESS
        or any(any(content[2:]) for content in padding)
    ):
        raise IntegrityError(f"{where}: its header does not fit the directory", _HINT)
