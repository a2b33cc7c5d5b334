"""Read a list of digests of parts as it is needed, compared with its root."""

from __future__ import annotations

import threading
from collections import OrderedDict

from modos.errors import ChecksumMismatch, IntegrityError, NotFoundError
from modos.storage.base import Readable
from modos.storage.part_digests import DIGEST, DigestList, Layout, digest, digest_parts, find_differing
from modos.storage.prefetch import fetch_ahead
from modos.storage.processes import forking

_MAX_GROUPS = 256  # of one list that are kept: 8 MiB
_MAX_TABLE = 64 << 20  # bytes of a list before the digests of parts; those of a file of 128 TiB
_NEAR = 1 << 16  # bytes of a list that are rather read than left out


class KnownDigests:
    """A list of digests that is in memory, to be asked like `StoredDigests`."""

    def __init__(self, digests: DigestList):
        self._digests = digests

    def find_differing(self, first: int, data: bytes | bytearray | memoryview) -> list[int]:
        """Find the parts of some bytes that are not the recorded ones; see `StoredDigests.find_differing`."""
        found = digest_parts(data, self._digests.layout.part)
        return [first + number for number in find_differing(found, self.read(first, first + len(found) // DIGEST))]

    def read(self, first: int, beyond: int) -> bytes:
        """Return the digests of parts [first, beyond)."""
        return self._digests.digests[DIGEST * first : DIGEST * beyond]

    def has(self, first: int, beyond: int) -> bool:
        """Return True."""
        return True


class StoredDigests:
    """A list of digests in a storage, of which the groups that are asked for are fetched and compared with the root.

    Parameters
    ----------
    root
        The root that is trusted.
    """

    def __init__(self, storage: Readable, key: str, layout: Layout, root: str):
        self._storage = storage
        self._key = key
        self._layout = layout
        self._root = root
        self._table = b""
        self._groups: OrderedDict[int, bytes] = OrderedDict()
        forking.begin(self, StoredDigests._start)

    def _start(self) -> None:
        self._lock = threading.Lock()

    def find_differing(self, first: int, data: bytes | bytearray | memoryview) -> list[int]:
        """Find the parts of some bytes that are not the recorded ones, by their numbers.

        Parameters
        ----------
        first
            Number of the part that the bytes begin with; all parts are whole.

        Raises
        ------
        IntegrityError
            The list is missing or damaged.
        """
        found = digest_parts(data, self._layout.part)
        expected = self.read(first, first + len(found) // DIGEST)
        return [first + number for number in find_differing(found, expected)]

    def read(self, first: int, beyond: int) -> bytes:
        """Return the digests of parts [first, beyond), fetched if they are not here yet."""
        pieces, at = [], first
        while at < beyond:
            group = self._layout.group_of(at)
            start, end = self._layout.group_parts(group)
            pieces.append(self._group(group)[DIGEST * (at - start) : DIGEST * (min(beyond, end) - start)])
            at = end
        return b"".join(pieces)

    def has(self, first: int, beyond: int) -> bool:
        """Return whether the digests of parts [first, beyond) are here."""
        groups = range(self._layout.group_of(first), self._layout.group_of(beyond - 1) + 1)
        return all(group in self._groups for group in groups)

    def _group(self, group: int) -> bytes:
        with self._lock:
            known = self._groups.get(group)
            if known is None:
                try:
                    known = self._read_group(group)
                except ChecksumMismatch:
                    self._table = b""
                    known = self._read_group(group)
                self._groups[group] = known
                while len(self._groups) > _MAX_GROUPS:
                    self._groups.popitem(last=False)
            return known

    def _read_group(self, group: int) -> bytes:
        layout = self._layout
        if layout.table_size > _MAX_TABLE:
            raise IntegrityError(
                f"{self._storage.url}/{self._key} would be the list of digests of {sum(layout.sizes):,} bytes, which no file has",
                "what is recorded of the file's size is damaged",
            )
        start, end = layout.group_range(group)
        wanted = (
            [(start, end)]
            if self._table
            else [(0, end)]
            if start - layout.table_size < _NEAR
            else [(0, layout.table_size), (start, end)]
        )
        try:
            pieces = list(fetch_ahead(lambda bounds, _: self._storage.read_part(self._key, *bounds)[0], wanted, len(wanted)))
        except NotFoundError:
            raise IntegrityError(
                f"{self._storage.url}/{self._key} is gone, the list of digests by which ranges are verified",
                "`modos check --fix` makes it anew if the file is what it was",
            ) from None
        if not self._table:
            table = pieces[0][: layout.table_size]
            if digest(table).hex() != self._root or not table.startswith(layout.head):
                raise self._damaged()
            self._table = table
        at = len(layout.head) + DIGEST * group
        data = pieces[-1][start - end :]
        if digest(data) != self._table[at : at + DIGEST]:
            raise self._damaged()
        return data

    def _damaged(self) -> ChecksumMismatch:
        return ChecksumMismatch(
            f"{self._storage.url}/{self._key}, the list of digests by which ranges are verified, is not the recorded one",
            "it was changed or damaged: `modos check --fix` makes it anew if the file is what it was",
        )
