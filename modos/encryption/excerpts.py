"""Give away stretches of an encrypted file without its key.

Anybody can seal a packet for a public key. An excerpt has the packets of the
file as they are, an edit list that is sealed for the reader, and those segments
of the body that are touched: a Crypt4GH file of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from modos.encryption.header import Edits
from modos.formats.crypt4gh import SEALED, SEGMENT
from modos.storage.base import ByteRange


@dataclass(frozen=True)
class Excerpt:
    """Segments of a body, and what counts of them.

    Parameters
    ----------
    segments
        Numbers [start, end) of segments, in order and apart.
    edits
        Plain bytes of them to skip and to keep, in turn.
    """

    segments: tuple[tuple[int, int], ...]
    edits: Edits

    @classmethod
    def of_ranges(cls, ranges: Sequence[ByteRange]) -> Excerpt:
        """Plan the excerpt that is some ranges of the plain bytes.

        Parameters
        ----------
        ranges
            0-based, half-open, in order and apart.
        """
        segments: list[tuple[int, int]] = []
        edits: list[int] = []
        at, base = 0, 0  # bytes of the excerpt before the next, and where its segments would begin in the file
        for span in ranges:
            first, beyond = span.start // SEGMENT, -(-span.end // SEGMENT)
            if segments and first <= segments[-1][1]:
                segments[-1] = (segments[-1][0], max(beyond, segments[-1][1]))
            else:
                base += (first - (segments[-1][1] if segments else 0)) * SEGMENT
                segments.append((first, beyond))
            edits += [span.start - base - at, span.size]
            at = span.end - base
        return cls(tuple(segments), tuple(edits))

    def locate(self, start: int, end: int) -> list[ByteRange]:
        """Return the bytes of the encrypted file that are its segments.

        Parameters
        ----------
        start
            Where the body begins: the bytes of the header.
        end
            Bytes of the file.
        """
        return [ByteRange(start + first * SEALED, min(start + beyond * SEALED, end)) for first, beyond in self.segments]
