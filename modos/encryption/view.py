"""A decrypted view of a storage that fetches, and compares, only the segments a range touches."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from modos.encryption.body import decrypt_segments, kept_stretches, plain_size
from modos.encryption.header import Opened
from modos.encryption.keys import PublicKey, SecretKey
from modos.encryption.recorded import FindRecord, SealRecord, iter_whole
from modos.encryption.segments import SealedSegments, open_segments
from modos.errors import DecryptError, NotFoundError
from modos.formats import ENCRYPTED_SUFFIX, is_index
from modos.formats.crypt4gh import SEGMENT
from modos.storage import ObjectInfo, Storage
from modos.storage.base import pieces_ahead
from modos.storage.prefetch import fetch_ahead
from modos.storage.processes import forking

_MAX_FILES = 64
_PART = 64  # segments of a whole file that are fetched at once
_FEW, _MAX_SEGMENTS = 8, 64  # segments of a read that are kept, and of all
_PIECE, _WORKERS = 64 * SEGMENT, 4  # of a file that is gone through


@dataclass(frozen=True)
class _Encrypted:
    """Facts of an encrypted file."""

    info: ObjectInfo
    segments: SealedSegments
    opened: Opened
    stretches: tuple[tuple[int, int], ...]  # plain bytes [start, end) that count, in order

    @property
    def size(self) -> int:
        return sum(end - start for start, end in self.stretches)


class DecryptedView:
    """Reads `a.bam` from `a.bam.c4gh`; what of a storage it takes to plan and read regions.

    Parameters
    ----------
    storage
        Holds the encrypted files.
    secret
        The key to open them with.
    find_record
        Tells what is recorded of an encrypted file, to compare it with.
    senders
        Allowed senders: one of them must have encrypted them; None allows anybody.

    Raises
    ------
    IntegrityError
        From every method: a file is not encrypted for the key, or by nobody of
        the senders; or it was changed, or is not the one that is recorded. Each
        segment is compared before it is opened, if digests are recorded.
    """

    def __init__(
        self,
        storage: Storage,
        secret: SecretKey,
        find_record: FindRecord = lambda name: SealRecord(),
        senders: Iterable[PublicKey] | None = None,
    ):
        self._storage = storage
        self._secret = secret
        self._find_record = find_record
        self._senders = None if senders is None else tuple(senders)
        self._files: OrderedDict[str, _Encrypted] = OrderedDict()
        self._segments: OrderedDict[tuple[ObjectInfo, int], bytes] = OrderedDict()
        forking.begin(self, DecryptedView._start)

    def _start(self) -> None:
        self._lock = threading.Lock()

    @property
    def url(self) -> str:
        """URL of the storage."""
        return self._storage.url

    @property
    def is_remote(self) -> bool:
        """Return whether reading takes the network."""
        return self._storage.is_remote

    def local_path(self, key: str) -> Path | None:
        """Return None: the plain file is nowhere on disk."""
        return None

    def stat(self, key: str) -> ObjectInfo:
        """Return the plain size, and the tag of the encrypted file."""
        try:
            info = self._storage.stat(key + ENCRYPTED_SUFFIX)
        except NotFoundError:
            self._check_plain(key)
            return self._storage.stat(key)
        sealed = self._find_encrypted(key, info.etag)
        return ObjectInfo(key, sealed.size, sealed.info.etag)

    def read_part(self, key: str, start: int, end: int, *, if_match: str | None = None) -> tuple[bytes, ObjectInfo]:
        """Read plain bytes [start, end), fewer only if the file ends before; see `Storage.read_part`."""
        try:
            sealed = self._find_encrypted(key, if_match)
        except NotFoundError:
            self._check_plain(key)
            return self._storage.read_part(key, start, end, if_match=if_match)
        end = min(end, sealed.size)
        data = b"".join(self._read_plain(sealed, *stretch) for stretch in _cut(sealed.stretches, start, end))
        return data, ObjectInfo(key, sealed.size, sealed.info.etag)

    def iter_range(self, key: str, start: int, end: int, unit: int = 1) -> Iterator[bytes]:
        """Iterate over plain bytes [start, end) in pieces; TruncatedStream if the file ends before."""
        return pieces_ahead(self, key, start, end, _PIECE // unit * unit, _WORKERS)

    def verifies(self, key: str) -> bool:
        """Return whether what is read of a file is compared with what is recorded of it."""
        return self.find_record(key).has_bytes

    def find_record(self, key: str) -> SealRecord:
        """Return what is recorded of the encrypted file."""
        return self._find_record(key + ENCRYPTED_SUFFIX)

    def iter_whole(self, info: ObjectInfo, workers: int) -> Iterator[bytes]:
        """Iterate over all plain bytes of a file as `stat` found it, compared as a whole (see `recorded.iter_whole`)."""
        sealed = self._find_encrypted(info.key, info.etag)
        name, segments = f"{self.url}/{sealed.info.key}", sealed.segments

        def fetch(begin: int, _: threading.Event) -> bytes:
            return self._read_sealed(sealed, begin, min(begin + _PART, segments.count))

        record = SealRecord() if segments.is_verified else self.find_record(info.key)
        return iter_whole(fetch_ahead(fetch, range(0, segments.count, _PART), workers), sealed.opened, record, name)

    def _check_plain(self, key: str) -> None:
        """Allow a plain index, as htsget-rs takes one, where no encrypted one is recorded."""
        if not is_index(key):
            raise NotFoundError(f"no {key}{ENCRYPTED_SUFFIX} in {self.url}")
        if self._senders is not None or self.find_record(key).has_bytes:
            raise NotFoundError(
                f"{self.url}/{key}{ENCRYPTED_SUFFIX} is gone",
                "an index that is not sealed is not read in its place, as anybody can have made it",
            )

    def _find_encrypted(self, key: str, if_match: str | None) -> _Encrypted:
        with self._lock:
            known = self._files.get(key)
        if known and known.info.etag == (if_match or self._storage.stat(key + ENCRYPTED_SUFFIX).etag):
            return known
        known = self._open(key, if_match)
        with self._lock:
            self._files[key] = known
            while len(self._files) > _MAX_FILES:
                self._files.popitem(last=False)
        return known

    def _open(self, key: str, if_match: str | None) -> _Encrypted:
        name = key + ENCRYPTED_SUFFIX
        try:
            header, segments, info = open_segments(self._storage, name, self._find_record(name), if_match)
            opened = header.decrypt(self._secret, self._senders)
            stretches = kept_stretches(plain_size(info.size - header.size), opened.edits)
        except DecryptError as error:
            raise DecryptError(f"{self.url}/{name}: {error.message}", error.hint) from None
        return _Encrypted(info, segments, opened, stretches)

    def _read_plain(self, sealed: _Encrypted, start: int, end: int) -> bytes:
        """Read plain bytes [start, end) of the body."""
        begin, beyond = start // SEGMENT, -(-end // SEGMENT)
        head, tail = self._find_segments(sealed, range(begin, beyond)), b""
        first = begin + len(head)
        if first < beyond:
            tail_parts = self._find_segments(sealed, range(beyond - 1, first - 1, -1))
            beyond -= len(tail_parts)
            tail = b"".join(reversed(tail_parts))
        middle = self._fetch_segments(sealed, first, beyond) if first < beyond else b""
        offset = begin * SEGMENT
        return b"".join((*head, middle, tail))[start - offset : end - offset]

    def _find_segments(self, sealed: _Encrypted, numbers: range) -> list[bytes]:
        """Find segments that follow each other and were decrypted lately, from the first of some numbers on."""
        found = []
        with self._lock:
            for number in numbers:
                segment = self._segments.get((sealed.info, number))
                if segment is None:
                    break
                found.append(segment)
        return found

    def _fetch_segments(self, sealed: _Encrypted, begin: int, beyond: int) -> bytes:
        """Fetch and decrypt segments [begin, beyond); a few are kept, as planning a region reads its edges first."""
        data = self._read_sealed(sealed, begin, beyond)
        try:
            plain = bytes(decrypt_segments(data, sealed.opened.keys, begin))
        except DecryptError as error:
            raise DecryptError(f"{self.url}/{sealed.info.key}: {error.message}", error.hint) from None
        if beyond - begin <= _FEW:
            with self._lock:
                for number in range(begin, beyond):
                    at = (number - begin) * SEGMENT
                    self._segments[sealed.info, number] = plain[at : at + SEGMENT]
                while len(self._segments) > _MAX_SEGMENTS:
                    self._segments.popitem(last=False)
        return plain

    def _read_sealed(self, sealed: _Encrypted, begin: int, beyond: int) -> bytes:
        try:
            return sealed.segments.read(begin, beyond)
        except DecryptError as error:
            raise DecryptError(f"{self.url}/{sealed.info.key}: {error.message}", error.hint) from None


def _cut(stretches: tuple[tuple[int, int], ...], start: int, end: int) -> list[tuple[int, int]]:
    """Cut the parts of some stretches that are bytes [start, end) of all of them together."""
    parts, at = [], 0
    for low, high in stretches:
        size = high - low
        first, last = max(start - at, 0), min(end - at, size)
        if first < last:
            parts.append((low + first, low + last))
        at += size
    return parts
