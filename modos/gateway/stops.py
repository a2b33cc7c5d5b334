"""Find, by an index, how far a program reads that begins at some byte of a file."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from dataclasses import dataclass

from modos.errors import ModosError
from modos.formats import format_of
from modos.genomics.index import BinningIndex, Index, parse_index
from modos.genomics.index.crai import Crai

_BLOCK = 1 << 16  # bytes of a BGZF block at most
_HEAD = 1 << 10  # bytes, about, of the head of a CRAM container: that of the one after the last is looked at
_BUFFER = 1 << 15  # bytes that htslib reads at a time, also where it needs fewer


@dataclass(frozen=True)
class Stops:
    """Bytes of a data file up to which readers of regions read: where the chunks of its index end.

    Parameters
    ----------
    ends
        Sorted.
    """

    ends: tuple[int, ...] = ()

    def after(self, at: int, least: int) -> int | None:
        """Return the first end beyond byte `at` that is `least` bytes or more beyond; None if there is none.

        Parameters
        ----------
        at, least
            Bytes.
        """
        number = bisect_left(self.ends, max(at + least, at + 1))
        return self.ends[number] if number < len(self.ends) else None


def read_stops(data_name: str, index: bytes) -> Stops:
    """Read the ends of the chunks, or of the containers, of a data file by the bytes of its index; none where it is not good."""
    format = format_of(data_name)
    if format is None or not format.streamable:
        return Stops()
    try:
        return find_stops(parse_index(index))
    except (ModosError, ValueError, EOFError):
        return Stops()


def find_stops(index: Index) -> Stops:
    """Find the ends of the chunks, or of the containers, that an index names."""
    if isinstance(index, Crai):
        return Stops(tuple(start + _HEAD + _BUFFER for start in index.containers[1:]))
    assert isinstance(index, BinningIndex)
    starts, ends = set(), set()
    for target in index.targets:
        for number in target.bins:
            if index.extent(number) is None:
                continue
            for begin, end in target.chunks(number):
                starts.add(begin >> 16)
                ends.add(end)
    known = sorted(starts | {end >> 16 for end in ends})
    return Stops(tuple(sorted({_end_of_block(known, end) + _BUFFER for end in ends})))


def _end_of_block(known: list[int], end: int) -> int:
    """Return the byte after the block that a virtual offset lies in, or an estimate of it from above.

    Parameters
    ----------
    known
        Bytes at which blocks begin.
    """
    block, within = end >> 16, end & 0xFFFF
    if not within:
        return block
    number = bisect_right(known, block)
    return min(known[number], block + _BLOCK) if number < len(known) else block + _BLOCK
