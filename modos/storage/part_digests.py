"""Digests of the parts of files, in a list of two levels by which any range of them can be verified.

A part is 64 KiB of a file (the last of each file may be shorter), or one
segment of a Crypt4GH body. Its digest is BLAKE3 (32 bytes). The digests of up
to 1,024 parts of a file that follow each other are a group, whose digest is
that of the digests. The root is the digest of the list's head (sizes) and of
its group digests. So with a root that is trusted, a range of a file takes the
head, the group digests, and the digests of the groups that it touches.
"""

from __future__ import annotations

import struct
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate, pairwise

from modos.errors import IntegrityError

PART = 1 << 16  # bytes
GROUP = 1 << 10  # parts
DIGEST = 32  # bytes
_MAGIC = b"modospd1"
_HEAD = struct.Struct("<8sII")  # magic, bytes of a part, number of files
_SIZE = struct.Struct("<Q")


def digest(data: bytes | bytearray | memoryview) -> bytes:
    """Return BLAKE3 of some bytes (32 bytes)."""
    from blake3 import blake3

    return blake3(data).digest()


def digest_parts(data: bytes | bytearray | memoryview, part: int = PART) -> bytes:
    """Return the digests of the parts of some bytes, one after the other; the last part may be short."""
    from blake3 import blake3

    view = memoryview(data)
    return b"".join([blake3(view[at : at + part]).digest() for at in range(0, len(view), part)])


def find_differing(found: bytes, expected: bytes) -> list[int]:
    """Find the digests that are not the expected ones, or are missing, by their numbers."""
    if found == expected:
        return []
    return [at // DIGEST for at in range(0, len(expected), DIGEST) if found[at : at + DIGEST] != expected[at : at + DIGEST]]


class PartHasher:
    """Computes the digests of the parts of a file whose bytes pass by in pieces of any size."""

    def __init__(self, part: int = PART):
        self._part = part
        self._digests: list[bytes] = []
        self._rest = bytearray()
        self.size = 0

    def update(self, data: bytes | bytearray | memoryview) -> None:
        """Add some bytes."""
        view = memoryview(data)
        self.size += len(view)
        if self._rest:
            taken = min(self._part - len(self._rest), len(view))
            self._rest += view[:taken]
            view = view[taken:]
            if len(self._rest) < self._part:
                return
            self._digests.append(digest(self._rest))
            self._rest = bytearray()
        whole = len(view) - len(view) % self._part
        self._digests.append(digest_parts(view[:whole], self._part))
        self._rest += view[whole:]

    def pass_on(self, pieces: Iterable[bytes]) -> Iterator[bytes]:
        """Pass on pieces, and add them."""
        for piece in pieces:
            self.update(piece)
            yield piece

    def add_digests(self, digests: bytes, size: int) -> None:
        """Add whole parts, and the last, by their digests; nothing of a part may be pending."""
        self._digests.append(digests)
        self.size += size

    def finish(self) -> DigestList:
        """Return the list of all of it."""
        rest = [digest(self._rest)] if self._rest else []
        return DigestList(Layout((self.size,), self._part), b"".join([*self._digests, *rest]))


def digest_pieces(pieces: Iterable[bytes], part: int = PART) -> DigestList:
    """Return the list of digests of a file whose bytes come in pieces."""
    digests = PartHasher(part)
    for piece in pieces:
        digests.update(piece)
    return digests.finish()


def begins_list(data: bytes) -> bool:
    """Return whether some bytes are the first of a list of digests."""
    return data.startswith(_MAGIC)


def read_layout(data: bytes, part: int = PART) -> Layout:
    """Read the layout of a stored list; raise IntegrityError if it is none, or of parts of another size."""
    if len(data) >= _HEAD.size and begins_list(data):
        _, found, count = _HEAD.unpack_from(data)
        if found == part and _HEAD.size + _SIZE.size * count <= len(data):
            return Layout(struct.unpack_from(f"<{count}Q", data, _HEAD.size), part)
    raise IntegrityError("it is no list of digests")


def list_parts(data: bytes | bytearray | memoryview, part: int = PART) -> DigestList:
    """Return the list of digests of a file that is at hand as a whole."""
    return DigestList(Layout((len(data),), part), digest_parts(data, part))


def root_of(data: bytes | bytearray | memoryview, part: int = PART) -> str:
    """Return the root of a file that is at hand as a whole."""
    return list_parts(data, part).root


@dataclass(frozen=True)
class Layout:
    """Layout of a list of digests: what it is about, and where in it is what.

    Parameters
    ----------
    sizes
        Bytes of each of the files, most often one.
    part
        Bytes of a part.
    """

    sizes: tuple[int, ...]
    part: int = PART

    @property
    def head(self) -> bytes:
        """First bytes of the list."""
        return _HEAD.pack(_MAGIC, self.part, len(self.sizes)) + b"".join(map(_SIZE.pack, self.sizes))

    @cached_property
    def first_parts(self) -> list[int]:
        """Number of the first part of each file, and the number of all parts."""
        return list(accumulate((-(-size // self.part) for size in self.sizes), initial=0))

    @property
    def parts(self) -> int:
        """Number of all parts."""
        return -(-self.sizes[0] // self.part) if len(self.sizes) == 1 else self.first_parts[-1]

    @cached_property
    def first_groups(self) -> list[int]:
        """Number of the first group of each file, and the number of all groups."""
        return list(accumulate((-(-size // (self.part * GROUP)) for size in self.sizes), initial=0))

    @property
    def groups(self) -> int:
        """Number of all groups."""
        return self.first_groups[-1]

    @property
    def table_size(self) -> int:
        """Bytes of the list before the digests of parts: the head and the digests of the groups."""
        return _HEAD.size + _SIZE.size * len(self.sizes) + DIGEST * self.groups

    @property
    def size(self) -> int:
        """Bytes of the whole list."""
        return self.table_size + DIGEST * self.parts

    def group_parts(self, group: int) -> tuple[int, int]:
        """Return the parts [first, beyond) of a group."""
        file = bisect_right(self.first_groups, group) - 1
        first = self.first_parts[file] + (group - self.first_groups[file]) * GROUP
        return first, min(first + GROUP, self.first_parts[file + 1])

    def group_of(self, part: int) -> int:
        """Return the group that a part is in."""
        file = bisect_right(self.first_parts, part) - 1
        return self.first_groups[file] + (part - self.first_parts[file]) // GROUP

    def group_range(self, group: int) -> tuple[int, int]:
        """Return the bytes [start, end) of the list that are the digests of a group."""
        first, beyond = self.group_parts(group)
        return self.table_size + DIGEST * first, self.table_size + DIGEST * beyond


@dataclass(frozen=True)
class DigestList:
    """List of digests of the parts of some files.

    Parameters
    ----------
    digests
        Those of all parts, in order.
    """

    layout: Layout
    digests: bytes

    def __post_init__(self) -> None:
        if len(self.digests) != DIGEST * self.layout.parts:
            raise IntegrityError(f"{len(self.digests):,} bytes of digests are not those of {self.layout.parts:,} parts")

    @cached_property
    def table(self) -> bytes:
        """Head and group digests, which the root is the digest of."""
        view = memoryview(self.digests)
        groups = (
            (first, min(first + GROUP, beyond))
            for begin, beyond in pairwise(self.layout.first_parts)
            for first in range(begin, beyond, GROUP)
        )
        return self.layout.head + b"".join([digest(view[DIGEST * first : DIGEST * beyond]) for first, beyond in groups])

    @cached_property
    def root(self) -> str:
        """Root, in hexadecimal digits."""
        return digest(self.table).hex()

    @property
    def is_stored(self) -> bool:
        """Return whether the list is kept in a file: of a single part the root tells everything."""
        return self.layout.parts > 1

    def to_bytes(self) -> bytes:
        """Return the list as it is stored."""
        return self.table + self.digests


def join_lists(lists: Iterable[DigestList]) -> DigestList:
    """Join the lists of single files to one of all of them."""
    found = list(lists)
    part = found[0].layout.part if found else PART
    sizes = tuple(size for one in found for size in one.layout.sizes)
    return DigestList(Layout(sizes, part), b"".join(one.digests for one in found))


def split_list(digests: DigestList) -> list[DigestList]:
    """Split the list of some files to one of each."""
    layout, view = digests.layout, digests.digests
    bounds = zip(layout.sizes, pairwise(layout.first_parts), strict=True)
    return [DigestList(Layout((size,), layout.part), view[DIGEST * first : DIGEST * beyond]) for size, (first, beyond) in bounds]


class ListHasher:
    """Computes the root of a stored list whose bytes pass by, and compares the digests of parts with those of groups."""

    def __init__(self, layout: Layout):
        self._layout = layout
        self._table = b""
        self._rest = bytearray()
        self._group = 0
        self._fits = True

    def update(self, data: bytes | bytearray | memoryview) -> None:
        """Add some bytes."""
        self._rest += data
        if not self._table and len(self._rest) >= self._layout.table_size:
            self._table = self._take(self._layout.table_size)
        while self._table and self._group < self._layout.groups:
            start, end = self._layout.group_range(self._group)
            if len(self._rest) < end - start:
                return
            at = len(self._layout.head) + DIGEST * self._group
            self._fits &= digest(self._take(end - start)) == self._table[at : at + DIGEST]
            self._group += 1

    def _take(self, size: int) -> bytes:
        taken = bytes(self._rest[:size])
        del self._rest[:size]
        return taken

    @property
    def root(self) -> str:
        """Root, in hexadecimal digits; empty if the list is not whole, or not that of such a file."""
        is_whole = self._fits and self._group == self._layout.groups and not self._rest
        return digest(self._table).hex() if is_whole and self._table.startswith(self._layout.head) else ""
