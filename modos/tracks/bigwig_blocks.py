"""Parse the structure of a bigWig file: header, contigs, index, blocks (Kent et al. 2010, supplement).

The index is read once, so that the statistics of one contig cost what its own
data cost. The rows of a block are used only after a check that they are in
order, do not overlap, and lie where the contig and the index have them: a
program without that check adds up overlapping rows.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import Any, Literal, NamedTuple

import numpy as np
from isal import isal_zlib

from modos.errors import IntegrityError, InvalidInputError
from modos.formats.deflate import DeflateError
from modos.formats.text import BIGWIG
from modos.storage.given import Name
from modos.storage.processes.forking import cached_property
from modos.tracks.contigs import Contig, past_end_error
from modos.tracks.data import Floats, Places
from modos.tracks.runs import expand
from modos.tracks.zooms import EMPTY, Summary, combine

_HEADER = "4sHHQQQHHQQIQ"  # magic, version, zoom levels, places of contigs, data and index, fields, ..., place of the summary
_SUMMARY = "Qdddd"
_CONTIG_TREE, _INDEX = (0x78CA8C91, 32), (0x2468ACE0, 48)  # what each begins with, and the size of its header
_INNER = [("first", "u4"), ("start", "u4"), ("last", "u4"), ("end", "u4"), ("at", "u8")]  # contigs and places below a node
_LEAF = [*_INNER, ("size", "u8")]
_BLOCK = "IIIIIBBH"  # contig, start, end, step, span, form, -, number of rows
_BEDGRAPH, _VARIABLE, _FIXED = 1, 2, 3
_MAX_BLOCK = 24 + 65_535 * 12  # bytes
_DEEPEST = 24
_ZOOM = "IIQQ"  # bases per value, -, places of data and index
_ZOOM_ROW = [
    ("contig", "u4"),
    ("start", "u4"),
    ("end", "u4"),
    ("n", "u4"),
    ("min", "f4"),
    ("max", "f4"),
    ("sum", "f4"),
    ("squares", "f4"),
]
_VERSIONS = range(1, 5)
_MAX_UNPACKED = (
    1 << 24
)  # bytes: other readers set as many aside as the header says; the largest block with zooms of all its rows has 2 MiB
_RECENT = 16  # blocks that are kept for windows that lie next to each other


class Rows(NamedTuple):
    """Rows of a block: starts, ends (int64, 0-based half-open), values (float32)."""

    starts: Places
    ends: Places
    values: Floats


class _Place(NamedTuple):
    """A row of the index: contigs and bases that a block is for, and where it is."""

    first: int
    start: int
    last: int
    end: int
    at: int
    size: int


class BigWigBlocks:
    """A bigWig file, read block by block.

    Raises
    ------
    InvalidInputError, IntegrityError
        It is none, or was cut off; its header is damaged.
    """

    def __init__(self, path: Name):
        self.path = path
        self._file = open(path, "rb", buffering=0)
        self._size = os.fstat(self._file.fileno()).st_size
        head = os.pread(self._file.fileno(), 64, 0)
        self._order: Literal["<", ">"] = ">" if head[:4] == BIGWIG[1] else "<"
        if head[:4] not in BIGWIG or len(head) < 64:
            raise self._truncated_error()
        fields = struct.unpack(self._order + _HEADER, head[: struct.calcsize("<" + _HEADER)])
        self._level_count, self._contigs_at, data_at, self._index_at, self._summary_at, self._unpacked = (
            *fields[2:6],
            *fields[9:11],
        )
        if not all(64 <= place < self._size for place in (self._contigs_at, data_at, self._index_at)):
            raise self._truncated_error()
        if fields[1] not in _VERSIONS or self._unpacked > _MAX_UNPACKED or 0 < self._summary_at < 64:
            raise self._damage_error("its header is none")
        self._recent = lru_cache(_RECENT)(self._block)
        self._recent_level = lru_cache(1)(self._level)
        self._indexes: dict[str, tuple[np.ndarray, np.ndarray]] = {}

    def close(self) -> None:
        """Read no more."""
        self._file.close()

    def _truncated_error(self) -> InvalidInputError:
        return InvalidInputError(f"{self.path} is no bigWig, or was cut off", "copy it again")

    def _damage_error(self, what: str) -> IntegrityError:
        return IntegrityError(f"{self.path} is damaged: {what}", "copy it again")

    def _read(self, at: int, size: int) -> bytes:
        data = os.pread(self._file.fileno(), size, at) if at + size <= self._size else b""
        if len(data) != size:
            raise self._damage_error("it refers to what is past its end")
        return data

    def _unpack(self, form: str, at: int) -> tuple[Any, ...]:
        return struct.unpack(self._order + form, self._read(at, struct.calcsize("<" + form)))

    @cached_property
    def _levels(self) -> dict[int, int]:
        """Return where the index of each zoom level is, by the bases per value."""
        form = self._order + _ZOOM
        levels = {
            bases: at for bases, _, _, at in struct.iter_unpack(form, self._read(64, self._level_count * struct.calcsize(form)))
        }
        if 0 in levels:
            raise self._damage_error("a zoom level is none")
        return levels

    def _level(self, bases: int) -> np.ndarray:
        """Read the rows of the index of a zoom level."""
        return np.concatenate([np.empty(0, np.dtype(_LEAF)), *self._leaves(self._levels[bases])])

    def zoom_rows(self, contig: str, start: int, end: int, most: float) -> Iterator[np.ndarray] | None:
        """Read the values of a zoom level of a contig in [start, end), block by block, each of shape (n,) and a dtype of fields.

        Parameters
        ----------
        most
            Bases per value: the coarsest level that has no more is taken.

        Returns
        -------
        iterator or None
            Arrays with the fields start, end, n, min, max, sum and squares;
            None if no level is as fine.

        Raises
        ------
        IntegrityError
            The file is damaged.
        """
        bases = max((bases for bases in self._levels if bases <= most), default=None)
        if bases is None:
            return None
        rows, number = self._recent_level(bases), self._numbers[contig]
        begins = (rows["first"] < number) | (rows["first"] == number) & (rows["start"] < end)
        ends = (rows["last"] > number) | (rows["last"] == number) & (rows["end"] > start)
        return (self._zoom_block(place, number) for place in map(_Place._make, rows[begins & ends].tolist()))

    def _zoom_block(self, place: _Place, number: int) -> np.ndarray:
        data, form = self._data_of(place, _MAX_UNPACKED), np.dtype(_ZOOM_ROW).newbyteorder(self._order)
        if len(data) % form.itemsize:
            raise self._damage_error("a block of a zoom level is not one of whole rows")
        rows = np.frombuffer(data, form)
        own: np.ndarray = rows[rows["contig"] == number]
        return own

    @property
    def total(self) -> Summary | None:
        """Summary of all values, as the header has it; None in old files, which lack it."""
        if not self._summary_at:
            return None
        n, low, high, total, squares = self._unpack(_SUMMARY, self._summary_at)
        return Summary(n, total, squares, low, high) if n else None

    @cached_property
    def _contigs(self) -> dict[int, Contig]:
        """The contigs by the number that each has in the file."""
        magic, _, key, value, count, _ = self._unpack("IIIIQQ", self._contigs_at)
        if magic != _CONTIG_TREE[0] or value != 8 or not 0 < key <= 1 << 16 or count * (key + 8) > self._size:
            raise self._damage_error("its list of contigs is none")
        found = list(self._contigs_below(self._contigs_at + _CONTIG_TREE[1], key, _DEEPEST, set()))
        numbers = dict(found)
        if not count == len(found) == len(numbers) == len({contig.name for contig in numbers.values()}):
            raise self._damage_error("its list of contigs has one twice, or lacks one")
        return numbers

    @cached_property
    def lengths(self) -> dict[str, int]:
        """The contigs with their lengths."""
        return {contig.name: contig.length for contig in self._contigs.values()}

    @cached_property
    def _numbers(self) -> dict[str, int]:
        return {contig.name: number for number, contig in self._contigs.items()}

    def _contigs_below(self, at: int, key: int, depth: int, seen: set[int]) -> Iterator[tuple[int, Contig]]:
        is_leaf, _, count = self._node(at, depth, seen)
        rows = self._read(at + 4, count * (key + 8))
        for low in range(0, len(rows), key + 8):
            name, rest = rows[low : low + key], rows[low + key : low + key + 8]
            if is_leaf:
                number, length = struct.unpack(self._order + "II", rest)
                yield number, Contig(name.rstrip(b"\0").decode(errors="replace"), length, 0, ())
            else:
                yield from self._contigs_below(struct.unpack(self._order + "Q", rest)[0], key, depth - 1, seen)

    def _node(self, at: int, depth: int, seen: set[int]) -> tuple[int, int, int]:
        if not depth or at in seen:  # a node that several lead to makes a small file endless
            raise self._damage_error("its index has no end")
        seen.add(at)
        return self._unpack("BBH", at)

    def _leaves(self, at: int) -> Iterator[np.ndarray]:
        """Yield the rows of an index for all its blocks, some at a time."""
        if self._unpack("I", at)[0] != _INDEX[0]:
            raise self._damage_error("its index is none")
        yield from self._leaves_below(at + _INDEX[1], _DEEPEST, set())

    def _leaves_below(self, at: int, depth: int, seen: set[int]) -> Iterator[np.ndarray]:
        is_leaf, _, count = self._node(at, depth, seen)
        form = np.dtype(_LEAF if is_leaf else _INNER).newbyteorder(self._order)
        rows = np.frombuffer(self._read(at + 4, count * form.itemsize), form)
        if is_leaf:
            yield rows
            return
        for place in rows["at"].tolist():
            yield from self._leaves_below(place, depth - 1, seen)

    def extent(self, contig: str, clip: bool = False) -> tuple[int, int] | None:
        """Return start of the first and end of the last value of a contig, 0-based half-open, or None; see `rows`."""
        if contig not in self._borders:
            return None
        start, place = self._borders[contig]
        known, rows = self._contig(place.first), self._block(place)
        if not len(rows.ends):
            return start, min(place.end, known.length)
        self._check(known, rows, 0, clip)
        return start, int(rows.ends[-1]) if clip else min(int(rows.ends[-1]), known.length)

    @cached_property
    def _borders(self) -> dict[str, tuple[int, _Place]]:
        """Find where the first value of each contig that has any begins, and its last row of the index.

        The ends in the index do not do: of values apart from each other some
        programs note where the next one would begin.
        """
        found = self._all
        first = np.flatnonzero(np.diff(found["first"].astype(np.int64), prepend=-1))
        last = np.append(first[1:], len(found)) - 1
        return {
            self._contig(place[0]).name: (start, _Place(*place))
            for start, place in zip(found["start"][first].tolist(), found[last[: len(first)]].tolist())
        }

    @cached_property
    def _all(self) -> np.ndarray:
        """The rows of the index, by contig and start: what an inner node says of those below it is not relied upon."""
        found = np.concatenate([np.empty(0, np.dtype(_LEAF)), *self._leaves(self._index_at)])
        expected = self._unpack("Q", self._index_at + 8)[0]
        if len(found) < expected:
            raise self._damage_error(f"its index has {expected:,} blocks, and leads to {len(found):,}")
        for number in np.unique(found["first"]).tolist():
            self._contig(number)
        return found[np.lexsort((found["start"], found["first"]))]

    def _contig(self, number: int) -> Contig:
        if number not in self._contigs:
            raise self._damage_error("it has data of a contig that it does not name")
        return self._contigs[number]

    def statistics(self, contig: str | None = None) -> dict[str, Summary]:
        """Return the summary of the values of one contig, or of each that has any.

        Raises
        ------
        IntegrityError, InvalidInputError
            The file is damaged; rows overlap, or lie past the contig's end.
        """
        if contig is not None and contig not in self._numbers:
            return {}
        found: dict[str, Summary] = {}
        for name, rows in self._iter_rows([self._all if contig is None else self._index(contig)[0]]):
            found[name] = combine([found.get(name, EMPTY), _summarise(rows.values, rows.ends - rows.starts)])
        return {name: summary for name, summary in found.items() if summary.n}

    def rows(self, contig: str, start: int = 0, end: int | None = None, clip: bool = False) -> Iterator[Rows]:
        """Read the rows of the blocks of a contig that can have values in [start, end), in order: shape (n,), int64 and float32.

        Parameters
        ----------
        clip
            Whether rows past the contig's end come out as they are; else they
            are an error.

        Raises
        ------
        IntegrityError, InvalidInputError
            The file is damaged; rows overlap, or lie past the contig's end.
        """
        index, reached = self._index(contig)
        first = int(np.searchsorted(reached, start, "right"))
        last = len(index) if end is None else int(np.searchsorted(index["start"], end, "left"))
        return (rows for _, rows in self._iter_rows([index[first:last]], clip))

    def fill(self, out: Floats, contig: str, start: int, clip: bool = False) -> None:
        """Fill in the values from a base of a contig on, NaN if there is none; see `rows`."""
        end, filled = start + len(out), start
        for rows in self.rows(contig, start, end, clip):
            first, last = max(int(rows.starts[0]), start), min(int(rows.ends[-1]), end)
            if first < last:
                out[filled - start : first - start] = np.nan
                part = out[first - start : last - start]
                if rows.ends[-1] - rows.starts[0] == len(rows.values):  # a value per base
                    part[:] = rows.values[first - rows.starts[0] : last - rows.starts[0]]
                else:
                    expand(*rows, first, last, part)
                filled = last
        out[filled - start :] = np.nan

    def _index(self, contig: str) -> tuple[np.ndarray, np.ndarray]:
        """Return the rows of the index for the blocks of a contig in order, and what is reached with each."""
        if contig not in self._indexes:
            number = self._numbers[contig]
            found = self._all[slice(*np.searchsorted(self._all["first"], [number, number + 1]))]
            self._indexes[contig] = found, np.maximum.accumulate(found["end"])
        return self._indexes[contig]

    def _iter_rows(self, parts: Iterable[np.ndarray], clip: bool = False) -> Iterator[tuple[str, Rows]]:
        """Iterate over the rows of blocks, which are in order and apart from each other, with the contig of each."""
        reached: dict[int, int] = {}
        for part in parts:
            for place in map(_Place._make, part.tolist()):
                contig, rows = self._contig(place.first), self._recent(place)
                if len(rows.values):
                    self._check(contig, rows, reached.get(place.first, 0), clip)
                    reached[place.first] = int(rows.ends[-1])
                    yield contig.name, rows

    def _check(self, contig: Contig, rows: Rows, reached: int, clip: bool) -> None:
        starts, ends, values = rows
        if (ends <= starts).any():
            raise self._shape_error(contig, starts[np.argmax(ends <= starts)], "the end is not after the start")
        if starts[0] < reached or (starts[1:] < ends[:-1]).any():
            wrong = np.concatenate(([starts[0] < reached], starts[1:] < ends[:-1]))
            raise self._shape_error(contig, starts[np.argmax(wrong)], "it overlaps what is before it, or is not in order")
        if np.isinf(values).any():
            raise self._shape_error(contig, starts[np.argmax(np.isinf(values))], "a value is infinite")
        if ends[-1] > contig.length and not clip:
            wrong = (ends > contig.length) & ~np.isnan(values)
            if wrong.any():
                number = int(np.argmax(wrong))
                raise self._shape_error(
                    contig,
                    starts[number],
                    past_end_error(contig, int(ends[number])).message,
                    "is it damaged? `modos track add --clip` leaves out what has no place, and says how much",
                )

    def _shape_error(
        self, contig: Contig, start: int, reason: str, hint: str = "make it again from its source"
    ) -> InvalidInputError:
        return InvalidInputError(f"{self.path}, {contig.name}:{int(start) + 1:,}: {reason}", hint)

    def _data_of(self, place: _Place, most: int) -> bytes:
        """Read a block unchanged, of up to so many bytes."""
        if place.size > 2 * most:
            raise self._damage_error("a block is too large")
        data, packed = self._read(place.at, place.size), isal_zlib.decompressobj()
        if not self._unpacked:
            return data
        try:
            data = packed.decompress(data, most + 1)
        except DeflateError as error:
            raise self._damage_error(f"a block cannot be decompressed: {error}") from None
        if not packed.eof:
            raise self._damage_error("a block does not end where it should")
        return data

    def _block(self, place: _Place) -> Rows:
        """Parse the rows of a block."""
        data = self._data_of(place, _MAX_BLOCK)
        if len(data) < 24:
            raise self._damage_error("a block is too short")
        of, start, _, step, span, form, _, count = struct.unpack_from(self._order + _BLOCK, data)
        places = {_BEDGRAPH: ["start", "end"], _VARIABLE: ["start"], _FIXED: []}.get(form)
        if of != place.first or places is None or len(data) < 24 + count * (len(places) * 4 + 4):
            raise self._damage_error("a block is not what its index says")
        rows = np.frombuffer(data, [(name, self._order + "u4") for name in places] + [("value", self._order + "f4")], count, 24)
        starts = rows["start"].astype(np.int64) if places else start + np.arange(count, dtype=np.int64) * step
        ends = rows["end"].astype(np.int64) if form == _BEDGRAPH else starts + span
        if count and (starts[0] < place.start or ends[-1] > place.end):
            raise self._damage_error("a block is not what its index says")
        return Rows(starts, ends, rows["value"].astype(np.float32))


def _summarise(values: Floats, lengths: Places) -> Summary:
    """Summarise values for some bases each, NaN left out."""
    missing = np.isnan(values)
    if missing.any():
        values, lengths = values[~missing], lengths[~missing]
    if not len(values):
        return EMPTY
    wide = values.astype(np.float64)
    weighted = wide * lengths
    return Summary(int(lengths.sum()), float(weighted.sum()), float(weighted @ wide), float(wide.min()), float(wide.max()))
