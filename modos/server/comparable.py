"""Cut ranges of files so that a client can compare them with the digests of their parts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from modos.genomics.index import Segment
from modos.storage import ByteRange
from modos.storage.verified import VerifiedFiles

MOST_INLINE = 2 << 20  # bytes at the edges of ranges that come with a ticket
MOST_PARTS = 1 << 14  # with digests in a ticket: 1 GiB


class ComparableRanges:
    """Ranges of a file for one ticket.

    Within limits they are cut at the edges of parts. What is left of them comes
    as bytes, which are compared here; of the parts, the ticket has the digests.
    """

    def __init__(self, files: VerifiedFiles, key: str):
        self._files = files
        self._key = key
        self._part, self._size = files.listed(key) or (0, 0)
        self._inline, self._parts = MOST_INLINE, MOST_PARTS

    def cut(self, segments: Iterable[Segment]) -> Iterator[Segment]:
        """Cut the ranges among some segments."""
        for segment in segments:
            if isinstance(segment, bytes) or not self._part or self._inline < 2 * self._part:
                yield segment
                continue
            for piece in self._cut(segment):
                if self._begins_and_ends_with_parts(piece):
                    yield piece
                else:
                    self._inline -= piece.size
                    yield self._files.read_part(self._key, *piece)[0]

    def read_digests(self, span: ByteRange) -> tuple[int, bytes]:
        """Return the bytes of a part, and the digests of those of a range; 0 and none if it has none or too many."""
        first, beyond = (span.start // self._part, -(-span.end // self._part)) if self._part else (0, 0)
        if not self._part or not self._begins_and_ends_with_parts(span) or beyond - first > self._parts:
            return 0, b""
        self._parts -= beyond - first
        return self._part, self._files.read_digests(self._key, first, beyond)

    def _begins_and_ends_with_parts(self, span: ByteRange) -> bool:
        return span.start % self._part == 0 and (span.end % self._part == 0 or span.end == self._size)

    def _cut(self, span: ByteRange) -> Iterator[ByteRange]:
        first = min(-(-span.start // self._part) * self._part, span.end)
        beyond = max(span.end if span.end == self._size else span.end // self._part * self._part, first)
        return filter(None, (ByteRange(span.start, first), ByteRange(first, beyond), ByteRange(beyond, span.end)))
