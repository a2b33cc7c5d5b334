"""Write files, indexes and lists of digests of an object as they were recorded, whole or not at all."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Protocol

from modos.errors import ChecksumMismatch
from modos.object import damage
from modos.object.findings import describe_ranges, join_ranges
from modos.object.healing import PartSource, Place
from modos.object.part_lists import write_anew
from modos.storage import ObjectInfo, Storage
from modos.storage.base import ByteRange, Progress
from modos.storage.part_digests import DigestList, Layout, PartHasher, digest_parts, find_differing


class Mending(Protocol):
    """Mending of one file of an object."""

    @property
    def element_id(self) -> str:
        """Element that the file is of."""

    @property
    def key(self) -> str:
        """Where it is."""

    @property
    def is_complete(self) -> bool:
        """Return whether nothing of the element's data file is left damaged."""

    def heal(self, storage: Storage, progress: Progress | None) -> None:
        """Do it."""

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON has it."""


@dataclass(frozen=True)
class FileMending:
    """A data file of which some parts are fetched.

    Parameters
    ----------
    info
        The file as it is; None if it is missing.
    header
        The recorded one, of an encrypted file.
    own_start
        Where the first part is in the file as it is.
    has_header
        Whether the file has that header.
    source
        Gives the parts.
    damaged
        Parts that do not fit, by their numbers.
    lacking
        Those of them that are nowhere, and stay as they are.
    origins
        Where the others were found.
    """

    element_id: str
    key: str
    info: ObjectInfo | None
    header: bytes
    own_start: int
    has_header: bool
    source: PartSource
    damaged: tuple[int, ...]
    lacking: tuple[int, ...]
    origins: tuple[str, ...]

    @property
    def _layout(self) -> Layout:
        return self.source.expected.layout

    @property
    def size(self) -> int:
        """Bytes of the file when it is healed."""
        return len(self.header) + self._layout.sizes[0]

    @property
    def is_complete(self) -> bool:
        """Return whether no part stays damaged."""
        return not self.lacking

    @property
    def is_sound(self) -> bool:
        """Return whether nothing is wrong with the file."""
        return self.info is not None and self.info.size == self.size and self.has_header and not self.damaged

    @property
    def is_possible(self) -> bool:
        """Return whether something can be healed: where the size is another, that takes all parts."""
        if self.info is None or self.info.size != self.size or self._is_moved:
            return not self.lacking
        return bool(self.ranges)

    @property
    def _is_moved(self) -> bool:
        return self.own_start != len(self.header)

    @cached_property
    def _healed(self) -> list[int]:
        lacking = set(self.lacking)
        return [number for number in self.damaged if number not in lacking]

    @cached_property
    def ranges(self) -> tuple[ByteRange, ...]:
        """Bytes that are written."""
        if self.info is None or self._is_moved:
            return (ByteRange(0, self.size),)
        start = len(self.header)
        head = () if self.has_header else (ByteRange(0, start),)
        return tuple(join_ranges([*head, *damage.ranges_of(self._healed, self._layout, start)]))

    def heal(self, storage: Storage, progress: Progress | None) -> None:
        """Write the file anew, or those bytes of it; raise IntegrityError where that is not what was recorded."""
        if self.info is None:
            pieces = self._watch(self._iter_all())
            storage.write_stream(self.key, pieces, size=self.size)
            return
        storage.patch(self.key, self.ranges, self._fetch, size=self.size, if_match=self.info.etag, watch=self._watch)
        if not storage.is_remote:
            return  # all bytes have passed
        written = PartSource(self.source.expected, [Place(storage, self.key, len(self.header))], progress)
        if wrong := written.find_lacking(self._healed):
            ranges = damage.ranges_of(wrong, self._layout, len(self.header))
            raise ChecksumMismatch(f"{describe_ranges(ranges)} are not the recorded ones after they were written")

    def _iter_all(self) -> Iterator[bytes]:
        if self.header:
            yield self.header
        yield from self.source.iter_all()

    def _fetch(self, start: int, end: int) -> bytes:
        """Return bytes [start, end) of the file as it was recorded."""
        skip, part = len(self.header), self._layout.part
        head = self.header[start:end]
        low, high = max(start - skip, 0), end - skip
        if high <= low:
            return head
        first = low // part
        data, lacking = self.source.gather(first, -(-high // part))
        if lacking:
            raise ChecksumMismatch(f"bytes {start:,}-{end - 1:,} are not to be had any more")
        return head + bytes(memoryview(data)[low - first * part : high - first * part])

    def _watch(self, pieces: Iterator[bytes]) -> Iterator[bytes]:
        """Pass all bytes on, and see at the end that they are the recorded ones."""
        hasher, head = PartHasher(self._layout.part), b""
        for piece in pieces:
            skipped = min(len(self.header) - len(head), len(piece))
            head += piece[:skipped]
            hasher.update(memoryview(piece)[skipped:])
            yield piece
        wrong = set(find_differing(hasher.finish().digests, self.source.expected.digests)) - set(self.lacking)
        if wrong or head != self.header:
            raise ChecksumMismatch("what was to be written is not what is recorded: the file was changed meanwhile")

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON has it."""
        return {
            "where": self.element_id,
            "key": self.key,
            "kind": "file",
            "ranges": [list(bounds) for bounds in self.ranges],
            "from": list(self.origins),
        }

    def __str__(self) -> str:
        what = describe_ranges(self.ranges) if self.ranges else "the end"
        if self.info is None:
            what = f"all {self.size:,} bytes"
        origins = f", from {self.origins[0]}" if self.origins else ""
        return f"{self.element_id}: {what} of {self.key}{origins}"


@dataclass(frozen=True)
class IndexMending:
    """An index that is fetched whole.

    Parameters
    ----------
    header
        The recorded one, of an encrypted index.
    place
        Where its other bytes are.
    root
        Of the digests of these.
    path
        The file that it is of.
    """

    element_id: str
    key: str
    header: bytes
    place: Place
    layout: Layout
    root: str
    path: str
    is_complete = False

    def heal(self, storage: Storage, progress: Progress | None) -> None:
        """Write the index; raise ChecksumMismatch where it is not the recorded one."""
        start = self.place.start
        data, _ = self.place.storage.read_part(self.place.key, start, start + self.layout.sizes[0])
        if len(data) != self.layout.sizes[0] or DigestList(self.layout, digest_parts(data, self.layout.part)).root != self.root:
            raise ChecksumMismatch(f"{self.place} was changed meanwhile")
        content = self.header + data
        if storage.exists(self.key):
            storage.write(self.key, content)
        else:
            storage.write_stream(self.key, [content], size=len(content), like=self.path)
        if progress:
            progress(len(content))

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON has it."""
        return {"where": self.element_id, "key": self.key, "kind": "index", "from": [str(self.place)]}

    def __str__(self) -> str:
        return f"{self.element_id}: the index {self.key}, from {self.place}"


@dataclass(frozen=True)
class ListMending:
    """A list of digests that is written anew."""

    element_id: str
    path: str
    digests: DigestList
    key: str
    is_complete = False

    def heal(self, storage: Storage, progress: Progress | None) -> None:
        """Write the list, which fits its root."""
        write_anew(storage, self.key, self.digests, like=self.path)

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON has it."""
        return {"where": self.element_id, "key": self.key, "kind": "list"}

    def __str__(self) -> str:
        return f"{self.element_id}: the list of digests {self.key}"


@dataclass(frozen=True)
class ContentMending:
    """A small file beside a tree that is written anew: one of its lists, or its header.

    Parameters
    ----------
    content
        What is recorded.
    kind
        `list` or `header`.
    what
        In words.
    """

    element_id: str
    key: str
    content: bytes = field(repr=False)
    kind: str
    what: str
    is_complete = False

    def heal(self, storage: Storage, progress: Progress | None) -> None:
        """Write it, in one step."""
        storage.write(self.key, self.content)

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON has it."""
        return {"where": self.element_id, "key": self.key, "kind": self.kind}

    def __str__(self) -> str:
        return f"{self.element_id}: {self.what} {self.key}"
