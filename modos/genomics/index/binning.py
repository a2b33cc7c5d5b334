"""The binning indexes BAI, TBI and CSI (SAMv1 section 5, tabix, CSIv1).

Bins form a tree: level 0 is one bin over everything, and each bin has eight
children. A record lies in the smallest bin that holds all of it, and each bin
lists its records as chunks of the file. In a sorted file two bounds narrow the
chunks: no record before the linear index's (or the bin's `loffset`) reaches the
region, and none after the first chunk of a bin to the right starts before its end.
"""

from __future__ import annotations

import struct
from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, field

from modos.errors import InvalidInputError
from modos.genomics.index.slices import Chunk
from modos.storage.processes.forking import cached_property

_MAX_DEPTH = 10  # more levels have more bins than 32 bits can number
_MAX_WIDTH = 62  # bits of a position
_MAX_TARGETS = 1 << 22
_TABIX_FIELDS = struct.Struct("<7i")
_LINEAR_BIN = struct.Struct("<II")  # BAI and TBI: number, count of chunks
_CSI_BIN = struct.Struct("<I8xI")  # the same, with the loffset between them
_CHUNK_BYTES = 16
_WINDOW_SHIFT = 14  # BAI and TBI: bases per window of the linear index, as a power of two


class _Target:
    """The bins of one reference sequence, found in the index's bytes when they are asked for.

    Parameters
    ----------
    data
        The index.
    start, count
        Where the bins start, and how many they are.
    layout
        What a bin starts with, before its chunks.
    linear, windows
        Where the linear index starts, and how many windows it has.
    """

    def __init__(self, data: bytes, start: int, count: int, layout: struct.Struct, linear: int, windows: int):
        self._data = data
        self._start = start
        self._count = count
        self._layout = layout
        self._linear = linear
        self._windows = windows

    @cached_property
    def _positions(self) -> dict[int, int]:
        """Bin number -> where its chunks are counted."""
        at, positions = self._start, {}
        for _ in range(self._count):
            number, chunks = self._layout.unpack_from(self._data, at)
            at += self._layout.size
            positions[number] = at - 4
            at += _CHUNK_BYTES * chunks
        return positions

    @cached_property
    def bins(self) -> list[int]:
        """All bin numbers, sorted."""
        return sorted(self._positions)

    def chunks(self, number: int) -> list[Chunk]:
        """Return the chunks of a bin."""
        at = self._positions[number]
        (count,) = struct.unpack_from("<I", self._data, at)
        offsets = struct.unpack_from(f"<{2 * count}Q", self._data, at + 4)
        return list(zip(offsets[::2], offsets[1::2], strict=True))

    def loffset(self, number: int) -> int:
        """Return the virtual offset before which no record reaches the bin's first base, for CSI."""
        offset: int = struct.unpack_from("<Q", self._data, self._positions[number] - 8)[0]
        return offset

    @property
    def linear(self) -> tuple[int, ...]:
        """BAI and TBI: the linear index, 0 in windows that say nothing."""
        return struct.unpack_from(f"<{self._windows}Q", self._data, self._linear)

    def linear_offset(self, base: int) -> int:
        """Return the virtual offset before which no record reaches `base` or what follows, for BAI and TBI."""
        offset: int
        for window in range(min(base >> _WINDOW_SHIFT, self._windows - 1), -1, -1):
            (offset,) = struct.unpack_from("<Q", self._data, self._linear + 8 * window)
            if offset:
                return offset
        return 0


@dataclass(frozen=True)
class BinningIndex:
    """A BAI, TBI or CSI index.

    Parameters
    ----------
    kind
        BAI, TBI or CSI.
    min_shift, depth
        Bases in a bin of the lowest level, as a power of two, and the number of that level.
    names
        Contigs in the order of their ids; empty where only the file's header has them.
    targets
        The bins of each contig, by id.
    """

    kind: str
    min_shift: int
    depth: int
    names: tuple[str, ...]
    targets: tuple[_Target, ...] = field(repr=False)

    @classmethod
    def parse(cls, data: bytes) -> BinningIndex:
        """Read an index, decompressed.

        Raises
        ------
        InvalidInputError
            It is malformed or cut.
        """
        kind = data[:3].decode("ascii", "replace")
        try:
            return _PARSERS[kind](data)
        except struct.error:
            raise InvalidInputError(f"the {kind} index is cut or damaged", "make the index again") from None

    def chunks(self, target: int, start: int, end: int) -> list[Chunk]:
        """Find the chunks with the records of one target that may overlap [start, end), 0-based.

        Parameters
        ----------
        target
            Id of the contig in this index.
        start, end
            0-based, half-open.

        Returns
        -------
        list
            Chunks of virtual offsets, unsorted; they may overlap and may have other records too.
        """
        end = min(end, 1 << (self.min_shift + 3 * self.depth))
        if target >= len(self.targets) or start >= end:
            return []
        bins = self.targets[target]
        low, high = self._lower_bound(bins, start), self._upper_bound(bins, end)
        found = []
        for first, shift, _ in self._levels():
            left = bisect_left(bins.bins, first + (start >> shift))
            right = bisect_right(bins.bins, first + (end - 1 >> shift))
            for number in bins.bins[left:right]:
                found += [(max(a, low), min(b, high)) for a, b in bins.chunks(number) if b > low and a < high]
        return [(a, b) for a, b in found if a < b]

    def end_of_placed(self) -> int:
        """Return the virtual offset after the last record that has a position, or 0 if there is none."""
        beyond = _first_bin(self.depth + 1)  # a bin with statistics in place of chunks may follow
        return max(
            (end for target in self.targets for number in target.bins if number < beyond for _, end in target.chunks(number)),
            default=0,
        )

    def starts(self) -> list[int]:
        """Return the virtual offsets at which records start, sorted: where the chunks begin."""
        beyond = _first_bin(self.depth + 1)
        return sorted(
            {start for target in self.targets for number in target.bins if number < beyond for start, _ in target.chunks(number)}
        )

    def _levels(self) -> Iterator[tuple[int, int, int]]:
        """Return of each level its first bin, the bases of a bin as a power of two, and the next level's first bin."""
        for level in range(self.depth + 1):
            yield _first_bin(level), self.min_shift + 3 * (self.depth - level), _first_bin(level + 1)

    def extent(self, number: int) -> tuple[int, int] | None:
        """Return the bases of a bin, 0-based and half-open; None if it is no bin, or one with statistics."""
        for first, shift, following in self._levels():
            if first <= number < following:
                return (number - first) << shift, (number - first + 1) << shift
        return None

    def counts(self, target: int) -> tuple[int, int] | None:
        """Return the numbers of mapped and unmapped records of a contig, where the index has them."""
        statistics = self._statistics(target)
        return statistics[1] if statistics else None

    def span(self, target: int) -> Chunk | None:
        """Return the virtual offsets around the records of a contig; None if it has none."""
        if statistics := self._statistics(target):
            return statistics[0]
        bins, beyond = self.targets[target], _first_bin(self.depth + 1)
        chunks = [chunk for number in bins.bins if number < beyond for chunk in bins.chunks(number)]
        return (min(chunks)[0], max(end for _, end in chunks)) if chunks else None

    def _statistics(self, target: int) -> list[Chunk]:
        """Return where a contig's records are, and how many are mapped and unmapped; nothing if the index lacks it."""
        bins, number = self.targets[target], _first_bin(self.depth + 1) + 1
        statistics = bins.chunks(number) if number in bins.bins[-2:] else []
        return statistics if len(statistics) == 2 else []

    def _lower_bound(self, target: _Target, start: int) -> int:
        """Return the virtual offset before which no record reaches base `start`."""
        if self.kind == "CSI":
            return max(self._left_offsets(target, start), default=0)
        return target.linear_offset(start)

    def _left_offsets(self, target: _Target, start: int) -> Iterator[int]:
        """Return of each level the `loffset` of the nearest bin that starts at or before base `start`."""
        for first, shift, _ in self._levels():
            nearest = bisect_right(target.bins, first + (start >> shift)) - 1
            if nearest >= 0 and target.bins[nearest] >= first:
                yield target.loffset(target.bins[nearest])

    def _upper_bound(self, target: _Target, end: int) -> int:
        """Return the virtual offset from which on no record starts before base `end`."""
        bound = 1 << 64
        for first, shift, following in self._levels():
            nearest = bisect_right(target.bins, first + (end - 1 >> shift))
            if nearest < len(target.bins) and target.bins[nearest] < following:
                bound = min([bound, *(start for start, _ in target.chunks(target.bins[nearest]))])
        return bound


def _first_bin(level: int) -> int:
    return ((1 << 3 * level) - 1) // 7


def _parse_bai(data: bytes) -> BinningIndex:
    (count,) = struct.unpack_from("<I", data, 4)
    return BinningIndex("BAI", 14, 5, (), _parse_targets(data, 8, count, _LINEAR_BIN))


def _parse_tbi(data: bytes) -> BinningIndex:
    (count,) = struct.unpack_from("<I", data, 4)
    names, end = _parse_names(data, 8)
    return BinningIndex("TBI", 14, 5, names, _parse_targets(data, end, count, _LINEAR_BIN))


def _parse_csi(data: bytes) -> BinningIndex:
    min_shift, depth, length = struct.unpack_from("<3I", data, 4)
    if depth > _MAX_DEPTH or min_shift + 3 * depth > _MAX_WIDTH:
        raise InvalidInputError(f"the CSI index has impossible bins: min_shift {min_shift}, depth {depth}")
    (count,) = struct.unpack_from("<I", data, 16 + length)
    names = _parse_names(data[: 16 + length], 16)[0] if length >= _TABIX_FIELDS.size else ()
    return BinningIndex("CSI", min_shift, depth, names, _parse_targets(data, 20 + length, count, _CSI_BIN))


_PARSERS = {"BAI": _parse_bai, "TBI": _parse_tbi, "CSI": _parse_csi}


def _parse_names(data: bytes, at: int) -> tuple[tuple[str, ...], int]:
    """Parse the contigs of a tabix header, each ended by NUL, and return where they end."""
    length = _TABIX_FIELDS.unpack_from(data, at)[-1]
    start = at + _TABIX_FIELDS.size
    if not 0 <= length <= len(data) - start:
        raise struct.error
    text = data[start : start + length].removesuffix(b"\0")
    if text.count(b"\0") >= _MAX_TARGETS:
        raise _too_many_error()
    return tuple(text.decode("utf-8", "backslashreplace").split("\0")) if text else (), start + length


def _parse_targets(data: bytes, at: int, count: int, layout: struct.Struct) -> tuple[_Target, ...]:
    """Walk over the bins of all targets, noting where they are."""
    if count > _MAX_TARGETS:
        raise _too_many_error()
    targets = []
    for _ in range(count):
        (bins,) = struct.unpack_from("<I", data, at)
        start = at + 4
        at = _skip_bins(data, start, bins, layout)
        linear, windows = at, 0
        if layout is _LINEAR_BIN:
            (windows,) = struct.unpack_from("<I", data, at)
            linear, at = at + 4, at + 4 + 8 * windows
        targets.append(_Target(data, start, bins, layout, linear, windows))
    if at > len(data):
        raise struct.error
    return tuple(targets)


def _skip_bins(data: bytes, at: int, count: int, layout: struct.Struct) -> int:
    unpack, size = layout.unpack_from, layout.size
    for _ in range(count):
        at += size + _CHUNK_BYTES * unpack(data, at)[1]
    return at


def _too_many_error() -> InvalidInputError:
    return InvalidInputError(f"the index is of more than {_MAX_TARGETS:,} contigs")
