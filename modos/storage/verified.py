"""Read files of a storage by ranges, each compared with the digests of its parts."""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from modos.errors import ChecksumMismatch, NotFoundError, TruncatedStream
from modos.storage.base import ObjectInfo, Readable, Storage, pieces_ahead
from modos.storage.part_digests import PART, DigestList, Layout, root_of
from modos.storage.prefetch import fetch_ahead
from modos.storage.processes import forking
from modos.storage.stored_digests import KnownDigests, StoredDigests

_MAX_KEPT = 64  # parts at the edges of ranges that are kept, as the next range often begins there
_MAX_LISTS = 64
_INDEX = (256 << 20) + 1  # bytes of a file that is read as a whole, at most
_PIECE, _WORKERS = 4 << 20, 4
_HINT = (
    "the file was changed or damaged: `modos check` says more, and `modos check --repair-from COPY` heals it from a "
    "copy; open the object again where somebody else has changed it"
)

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class PartRecord:
    """Record of the parts of a file in the metadata.

    Parameters
    ----------
    roots
        Root of the list of digests; of an index, those of all indexes of the file.
    layout
        Of the list; None for a file that is always read as a whole, as indexes are, and has no list.
    list_key
        Where the list is.
    file
        Number of the file among those that the list is about.
    start
        Bytes before the first part, which the list leaves out: the header of an encrypted file.
    """

    roots: tuple[str, ...]
    layout: Layout | None = None
    list_key: str = ""
    file: int = 0
    start: int = 0

    @property
    def root(self) -> str:
        """The root of a file that is no index."""
        return self.roots[0]

    @property
    def size(self) -> int | None:
        """Bytes of the file, if they are recorded."""
        return None if self.layout is None else self.layout.sizes[self.file] + self.start


FindPartRecord = Callable[[str], PartRecord | None]


class VerifiedFiles:
    """Files of a storage, read by ranges that are widened to parts and compared with their digests.

    A part that does not fit is fetched once more. Files of which no digests
    are recorded are read as they are.

    Parameters
    ----------
    find_record
        Tells what is recorded of a file.
    known
        Lists of digests that are in memory, by their keys and roots.

    Raises
    ------
    IntegrityError
        From `read_part`: some bytes are not those that are recorded, or the list of
        digests is missing or damaged; TruncatedStream if the file has another size.
    """

    def __init__(self, storage: Readable, find_record: FindPartRecord, known: Mapping[tuple[str, str], DigestList] | None = None):
        self._storage = storage
        self._known = dict(known or {})
        self._find_record = find_record
        self._lists: OrderedDict[tuple[str, str], StoredDigests] = OrderedDict()
        self._kept: OrderedDict[tuple[str, str, int], bytes] = OrderedDict()
        self._told: set[str] = set()
        forking.begin(self, VerifiedFiles._start)

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle the place and the records, and nothing of what was read."""
        return VerifiedFiles, (self._storage, self._find_record, self._known)

    def _start(self) -> None:
        self._lock = threading.Lock()

    def __repr__(self) -> str:
        return f"<verified {self._storage!r}>"

    @property
    def url(self) -> str:
        """URL of the storage."""
        return self._storage.url

    @property
    def is_remote(self) -> bool:
        """Return whether reading takes the network."""
        return self._storage.is_remote

    def local_path(self, key: str) -> Path | None:
        """Return the file as a path of this machine; what is read there is not compared."""
        return self._storage.local_path(key)

    def is_decrypted(self, key: str) -> bool:
        """Return whether the storage decrypts a file as it is read."""
        return isinstance(self._storage, Storage) and self._storage.is_decrypted(key)

    def stat(self, key: str) -> ObjectInfo:
        """Return size and tag of a file, whose size is compared."""
        info = self._storage.stat(key)
        record = self._find_record(key)
        if record is not None:
            self._check_size(key, info, record)
        return info

    def has_size(self, key: str, size: int) -> bool:
        """Return whether a file of a size may be the recorded one; of an empty one only the comparison says it."""
        record = self._find_record(key)
        return record is None or (size > 0 and record.size in (None, size))

    def verifies(self, key: str) -> bool:
        """Return whether what is read of a file is compared; said in the log where it is not."""
        if self._find_record(key) is not None:
            return True
        if key not in self._told:
            self._told.add(key)
            logger.info(
                "%s/%s: no digests of its parts are recorded, and what is read of it is not verified "
                "(`modos check --digests` records them)",
                self.url,
                key,
            )
        return False

    def roots(self, key: str) -> tuple[str, ...]:
        """Return the roots of which one has to be that of a file; none if nothing is recorded."""
        record = self._find_record(key)
        return record.roots if record is not None else ()

    def fits(self, key: str, first: int, data: bytes | bytearray | memoryview) -> bool:
        """Return whether some bytes are parts of a file, from a number on, as they are recorded; all of them are whole."""
        record = self._find_record(key)
        if record is None or record.layout is None:
            return False
        layout = record.layout
        if layout.parts <= 1:
            return root_of(data) in record.roots
        digests, base = self._list_of(record, layout), layout.first_parts[record.file]
        return not digests.find_differing(base + first, data)

    def listed(self, key: str) -> tuple[int, int] | None:
        """Return the bytes of a part and of a plain file that has a list of digests; None for any other."""
        record = self._find_record(key)
        if record is None or record.layout is None or record.layout.parts <= 1 or record.start:
            return None
        return record.layout.part, record.layout.sizes[record.file]

    def read_digests(self, key: str, first: int, beyond: int) -> bytes:
        """Read the digests of parts [first, beyond) of a file that has a list of them."""
        record = self._find_record(key)
        if record is None or record.layout is None:
            raise NotFoundError(f"there are no digests of the parts of {self.url}/{key}")
        base = record.layout.first_parts[record.file]
        return self._list_of(record, record.layout).read(base + first, base + beyond)

    def read_part(self, key: str, start: int, end: int, *, if_match: str | None = None) -> tuple[bytes, ObjectInfo]:
        """Read bytes [start, end), fewer only if the file ends before, and compare them; see `Storage.read_part`."""
        record = self._find_record(key)
        if record is None:
            self.verifies(key)
            return self._storage.read_part(key, start, end, if_match=if_match)
        if record.start > start:
            return self._read_with_header(key, record, start, end, if_match)
        if record.layout is None or record.layout.parts <= 1:
            return self._read_whole(key, record, start, end, if_match)
        size, part = record.layout.sizes[record.file] + record.start, record.layout.part
        if start >= min(end, size):
            data, info = self._storage.read_part(key, start, end, if_match=if_match)
            self._check_size(key, info, record)
            return data, info
        first, beyond = (start - record.start) // part, -(-(min(end, size) - record.start) // part)
        head, middle, tail, info = self._gather(key, record, first, beyond, if_match)
        offset = first * part + record.start
        if not head and not tail and start == offset and end - start >= len(middle):
            return middle, info
        return b"".join((*head, middle, *tail))[start - offset : end - offset], info

    def iter_range(self, key: str, start: int, end: int, unit: int = 1) -> Iterator[bytes]:
        """Iterate over bytes [start, end) in pieces, compared."""
        return pieces_ahead(self, key, start, end, _PIECE // unit * unit, _WORKERS)

    def _read_with_header(
        self, key: str, record: PartRecord, start: int, end: int, if_match: str | None
    ) -> tuple[bytes, ObjectInfo]:
        """Read a range that begins in the header, which has a digest of its own elsewhere."""
        header, info = self._storage.read_part(key, start, min(end, record.start), if_match=if_match)
        if end <= record.start:
            return header, info
        body, info = self.read_part(key, record.start, end, if_match=info.etag)
        return header + body, info

    def _gather(
        self, key: str, record: PartRecord, first: int, beyond: int, if_match: str | None
    ) -> tuple[list[bytes], bytes, list[bytes], ObjectInfo]:
        """Gather parts [first, beyond): those at the edges that are kept, and between them those that are read now."""
        if if_match is None or record.size is None:
            data, info = self._read_parts(key, record, first, beyond, if_match)
            return [], data, [], info
        head = self._find_kept(key, record, range(first, beyond))
        first += len(head)
        tail = self._find_kept(key, record, range(beyond - 1, first - 1, -1))
        beyond -= len(tail)
        middle, info = b"", ObjectInfo(key, record.size, if_match)
        if first < beyond:
            middle, info = self._read_parts(key, record, first, beyond, if_match)
        return head, middle, tail[::-1], info

    def _find_kept(self, key: str, record: PartRecord, numbers: range) -> list[bytes]:
        """Find parts that follow each other and were read lately, from the first of some numbers on."""
        found = []
        with self._lock:
            for number in numbers:
                known = self._kept.get((key, record.root, number))
                if known is None:
                    break
                found.append(known)
        return found

    def _read_parts(
        self, key: str, record: PartRecord, first: int, beyond: int, if_match: str | None
    ) -> tuple[bytes, ObjectInfo]:
        layout = record.layout
        assert layout is not None
        part, base = layout.part, layout.first_parts[record.file]
        digests, start = self._list_of(record, layout), record.start + first * part
        end = record.start + min(beyond * part, layout.sizes[record.file])

        def read_data() -> tuple[bytes, ObjectInfo]:
            return self._storage.read_part(key, start, end, if_match=if_match)

        if self.is_remote and not digests.has(base + first, base + beyond):
            calls: list[Callable[[], Any]] = [read_data, lambda: digests.read(base + first, base + beyond)]
            (data, info), _ = fetch_ahead(lambda call, _: call(), calls, 2)
        else:
            data, info = read_data()
        self._check_size(key, info, record)
        if len(data) != end - start:
            raise TruncatedStream(f"{self.url}/{key} ends before byte {end:,}", _HINT)
        differing = [number - base for number in digests.find_differing(base + first, data)]
        if differing:
            data = self._read_again(key, record, digests, first, data, differing)
        self._keep(key, record, first, beyond, data)
        return data, info

    def _read_again(
        self, key: str, record: PartRecord, digests: StoredDigests | KnownDigests, first: int, data: bytes, differing: list[int]
    ) -> bytes:
        """Fetch parts that do not fit once more, each for itself; raise ChecksumMismatch if one does not fit again."""
        whole, layout = bytearray(data), record.layout
        assert layout is not None
        part, base = layout.part, layout.first_parts[record.file]
        for number in differing:
            start = record.start + number * part
            end = record.start + min((number + 1) * part, layout.sizes[record.file])
            logger.info("%s/%s: bytes %d-%d do not fit their digest, and are fetched once more", self.url, key, start, end - 1)
            again, _ = self._storage.read_part(key, start, end)
            if len(again) != end - start or digests.find_differing(base + number, again):
                raise mismatch(f"{self.url}/{key}", start, end)
            at = (number - first) * part
            whole[at : at + len(again)] = again
        return bytes(whole)

    def _keep(self, key: str, record: PartRecord, first: int, beyond: int, data: bytes) -> None:
        """Keep the parts at the edges of what was read."""
        assert record.layout is not None
        part = record.layout.part
        with self._lock:
            for number in {first, beyond - 1}:
                at = (number - first) * part
                self._kept[key, record.root, number] = data[at : at + part]
            while len(self._kept) > _MAX_KEPT:
                self._kept.popitem(last=False)

    def _read_whole(self, key: str, record: PartRecord, start: int, end: int, if_match: str | None) -> tuple[bytes, ObjectInfo]:
        """Read a range of a file that is compared as a whole."""
        first, part = record.start, record.layout.part if record.layout else PART
        most = max(end, _INDEX) if record.size is None else record.size + 1
        for again in (True, False):
            data, info = self._storage.read_part(key, first, most, if_match=if_match)
            self._check_size(key, info, record)
            if len(data) == info.size - first and root_of(data, part) in record.roots:
                return data[start - first : end - first], info
            if not again:
                raise mismatch(f"{self.url}/{key}", 0, info.size)
        raise AssertionError

    def _check_size(self, key: str, info: ObjectInfo, record: PartRecord) -> None:
        if record.size not in (None, info.size):
            raise TruncatedStream(
                f"{self.url}/{key} has {info.size:,} bytes, recorded are {record.size:,}: it is damaged, or was replaced", _HINT
            )

    def _list_of(self, record: PartRecord, layout: Layout) -> StoredDigests | KnownDigests:
        name = record.list_key, record.root
        if name in self._known:
            return KnownDigests(self._known[name])
        with self._lock:
            if name not in self._lists:
                self._lists[name] = StoredDigests(self._storage, record.list_key, layout, record.root)
                while len(self._lists) > _MAX_LISTS:
                    self._lists.popitem(last=False)
            return self._lists[name]


def mismatch(name: str, start: int, end: int) -> ChecksumMismatch:
    """Return the error for bytes [start, end) of a file that are not the recorded ones."""
    return ChecksumMismatch(f"{name}: bytes {start:,}-{end - 1:,} are not those that are recorded", _HINT)
