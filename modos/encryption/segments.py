"""Read the sealed segments of an encrypted file in a storage, each compared with its recorded digest."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from modos.encryption.body import encrypted_size
from modos.encryption.header import Header
from modos.encryption.recorded import SealRecord
from modos.encryption.stored import read_stored_header
from modos.errors import DecryptError
from modos.formats.crypt4gh import SEALED
from modos.storage import ObjectInfo, Storage
from modos.storage.part_digests import DigestList, Layout, digest_parts
from modos.storage.prefetch import fetch_ahead
from modos.storage.stored_digests import StoredDigests
from modos.storage.verified import mismatch

_LARGEST = 256 << 20  # bytes of an index, which is compared as a whole

logger = logging.getLogger(__name__)


class SealedSegments:
    """Body of an encrypted file, of which segments are read.

    Those of a file with a list of digests are compared one by one, and those
    that do not fit are fetched once more. All of the body is compared where
    there is no list: of an index, and of a file of one segment.

    Parameters
    ----------
    storage
        Holds the file.
    info
        Of the file.
    start
        First byte of the body.
    first
        First bytes of the file.
    record
        What is recorded of it; nothing is compared where no root is.
    digests
        List of digests that was opened already.

    Raises
    ------
    IntegrityError
        From `read`: some segments are not those that are recorded.
    """

    def __init__(
        self, storage: Storage, info: ObjectInfo, start: int, first: bytes, record: SealRecord, digests: StoredDigests | None
    ):
        self._storage = storage
        self._info = info
        self._start = start
        self._first = first
        self._roots = record.roots
        self._digests = digests
        self._name = f"{storage.url}/{info.key}"
        self.is_verified = bool(record.roots)

    @property
    def count(self) -> int:
        """Number of segments."""
        return -(-(self._info.size - self._start) // SEALED)

    def read(self, begin: int, beyond: int) -> bytes:
        """Read segments [begin, beyond), sealed as they are."""
        if self._digests is None and self.is_verified:
            low = begin * SEALED
            return self._read_body()[low : low + (beyond - begin) * SEALED]
        digests = self._digests
        if digests is None:
            return self._fetch(begin, beyond)
        if self._storage.is_remote and not digests.has(begin, beyond):
            calls: list[Callable[[], Any]] = [lambda: self._fetch(begin, beyond), lambda: digests.read(begin, beyond)]
            data, _ = fetch_ahead(lambda call, _: call(), calls, 2)
        else:
            data = self._fetch(begin, beyond)
        differing = digests.find_differing(begin, data)
        return self._read_again(digests, begin, data, differing) if differing else data

    def _read_body(self) -> bytes:
        """Read all segments, which are compared together."""
        size = self._info.size - self._start
        layout = Layout((size,), SEALED)
        for again in (False, True):
            if size > _LARGEST:
                break
            data = self._fetch(0, self.count, again=again)
            if DigestList(layout, digest_parts(data, SEALED)).root in self._roots:
                return data
        raise mismatch(self._name, self._start, self._info.size)

    def _read_again(self, digests: StoredDigests, begin: int, data: bytes, differing: list[int]) -> bytes:
        """Fetch segments that do not fit once more, each for itself."""
        whole = bytearray(data)
        for number in differing:
            start, end = self._bounds(number, number + 1)
            logger.info("%s: bytes %d-%d do not fit their digest, and are fetched once more", self._name, start, end - 1)
            again = self._fetch(number, number + 1, again=True)
            if digests.find_differing(number, again):
                raise mismatch(self._name, start, end)
            at = (number - begin) * SEALED
            whole[at : at + len(again)] = again
        return bytes(whole)

    def _fetch(self, begin: int, beyond: int, *, again: bool = False) -> bytes:
        low, high = self._bounds(begin, beyond)
        data = b"" if again else self._first[low:high]
        if low + len(data) < high:
            more, _ = self._storage.read_part(self._info.key, low + len(data), high, if_match=self._info.etag)
            data += more
        if len(data) != high - low:
            raise DecryptError("the file ends before its size")
        return data

    def _bounds(self, begin: int, beyond: int) -> tuple[int, int]:
        """Return the bytes of the file that are segments [begin, beyond)."""
        return self._start + begin * SEALED, min(self._start + beyond * SEALED, self._info.size)


def open_segments(
    storage: Storage, key: str, record: SealRecord, if_match: str | None = None
) -> tuple[Header, SealedSegments, ObjectInfo]:
    """Read the header of an encrypted file, which is compared, and be ready to read its segments.

    Where reading takes the network, the first digests are fetched at the same time.
    """
    early = _open_early(storage, record)

    def read_header(_: Any = None) -> tuple[Header, bytes, ObjectInfo]:
        return read_stored_header(storage, key, SEALED, if_match)

    if early and storage.is_remote:
        known = early[1]
        calls: list[Callable[[], Any]] = [read_header, lambda: known.read(0, 1)]
        header, first, info = next(iter(fetch_ahead(lambda call, _: call(), calls, 2)))
    else:
        header, first, info = read_header()
    name = f"{storage.url}/{key}"
    record.check_header(header, name)
    record.check_size(info.size, name)
    layout = Layout((info.size - header.size,), SEALED)
    digests: StoredDigests | None = None
    if record.roots and record.list_key and layout.parts > 1:
        digests = early[1] if early and early[0] == layout else StoredDigests(storage, record.list_key, layout, record.roots[0])
    return header, SealedSegments(storage, info, header.size, first, record, digests), info


def _open_early(storage: Storage, record: SealRecord) -> tuple[Layout, StoredDigests] | None:
    """Open the list of digests of a file whose header is not known yet: its plain size tells that of its body."""
    if not record.roots or not record.list_key or record.plain_size is None:
        return None
    layout = Layout((encrypted_size(record.plain_size),), SEALED)
    return (layout, StoredDigests(storage, record.list_key, layout, record.roots[0])) if layout.parts > 1 else None
