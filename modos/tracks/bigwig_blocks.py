"""What a bigWig file says of itself and where its data are: header, contigs, index, blocks (Kent et al. 2010, supplement).

The index is gone down only where a contig has data, so that the statistics of
one contig cost what its own data cost.
"""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from modos.errors import IntegrityError, InvalidInputError
from modos.forking import cached_property
from modos.tracks.zooms import EMPTY, Summary, combine

MAGIC = (b"\x26\xfc\x8f\x88", b"\x88\x8f\xfc\x26")
_HEADER = "4sHHQQQHHQQIQ"  # magic, version, zoom levels, places of contigs, data and index, fields, ..., place of the summary
_SUMMARY = "Qdddd"
_CONTIG_TREE, _INDEX = (0x78CA8C91, 32), (0x2468ACE0, 48)  # what each begins with, and the size of its header
_INNER = [("first", "u4"), ("start", "u4"), ("last", "u4"), ("end", "u4"), ("at", "u8")]  # contigs and places below a node
_LEAF = [*_INNER, ("size", "u8")]
_BLOCK = "IIIIIBBH"  # contig, start, end, step, span, form, -, number of rows
_BEDGRAPH, _VARIABLE, _FIXED = 1, 2, 3
_MAX_BLOCK = 24 + 65_535 * 12  # bytes
_DEEPEST = 24


class BigWigBlocks:
    """A bigWig file, read block by block.

    Raises
    ------
    InvalidInputError
        It is none, or was cut off.
    """

    def __init__(self, path: str | Path):
        self._path = path
        self._file = open(path, "rb", buffering=0)
        self._size = os.fstat(self._file.fileno()).st_size
        head = os.pread(self._file.fileno(), 64, 0)
        self._order = ">" if head[:4] == MAGIC[1] else "<"
        if head[:4] not in MAGIC or len(head) < 64:
            raise self._cut_off()
        fields = struct.unpack(self._order + _HEADER, head[:struct.calcsize("<" + _HEADER)])
        self._contigs_at, data_at, self._index_at, self._summary_at, self._unpacked = *fields[3:6], *fields[9:11]
        if not all(64 <= place < self._size for place in (self._contigs_at, data_at, self._index_at)):
            raise self._cut_off()

    def close(self) -> None:
        """Read no more."""
        self._file.close()

    def _cut_off(self) -> InvalidInputError:
        return InvalidInputError(f"{self._path} is no bigWig, or was cut off", "copy it again")

    def _damaged(self, what: str) -> IntegrityError:
        return IntegrityError(f"{self._path} is damaged: {what}", "copy it again")

    def _read(self, at: int, size: int) -> bytes:
        data = os.pread(self._file.fileno(), size, at) if at + size <= self._size else b""
        if len(data) != size:
            raise self._damaged("it refers to what is past its end")
        return data

    def _unpack(self, form: str, at: int) -> tuple:
        return struct.unpack(self._order + form, self._read(at, struct.calcsize("<" + form)))

    @property
    def total(self) -> Summary | None:
        """Of all values, as the header has it; None in old files, which do not say it."""
        if not self._summary_at:
            return None
        n, low, high, total, squares = self._unpack(_SUMMARY, self._summary_at)
        return Summary(n, total, squares, low, high) if n else None

    @cached_property
    def _names(self) -> dict[int, str]:
        """The contigs by the number that each has in the file."""
        magic, _, key, value, _, _ = self._unpack("IIIIQQ", self._contigs_at)
        if magic != _CONTIG_TREE[0] or value != 8 or not 0 < key <= 1 << 16:
            raise self._damaged("its list of contigs is none")
        return dict(self._names_below(self._contigs_at + _CONTIG_TREE[1], key, _DEEPEST))

    @cached_property
    def _numbers(self) -> dict[str, int]:
        return {name: number for number, name in self._names.items()}

    def _names_below(self, at: int, key: int, depth: int) -> Iterator[tuple[int, str]]:
        is_leaf, _, count = self._node(at, depth)
        rows = self._read(at + 4, count * (key + 8))
        for low in range(0, len(rows), key + 8):
            name, rest = rows[low:low + key], rows[low + key:low + key + 8]
            if is_leaf:
                yield struct.unpack(self._order + "II", rest)[0], name.rstrip(b"\0").decode(errors="replace")
            else:
                yield from self._names_below(struct.unpack(self._order + "Q", rest)[0], key, depth - 1)

    def _node(self, at: int, depth: int) -> tuple[int, int, int]:
        if not depth:
            raise self._damaged("its index has no end")
        return self._unpack("BBH", at)

    def _leaves(self, contig: int | None = None) -> Iterator[np.ndarray]:
        """The rows of the index for the blocks of a contig, or of all, in order and some at a time."""
        if self._unpack("I", self._index_at)[0] != _INDEX[0]:
            raise self._damaged("its index is none")
        yield from self._leaves_below(self._index_at + _INDEX[1], contig, _DEEPEST)

    def _leaves_below(self, at: int, contig: int | None, depth: int) -> Iterator[np.ndarray]:
        is_leaf, _, count = self._node(at, depth)
        form = np.dtype(_LEAF if is_leaf else _INNER).newbyteorder(self._order)
        rows = np.frombuffer(self._read(at + 4, count * form.itemsize), form)
        if contig is not None:
            rows = rows[(rows["first"] <= contig) & (rows["last"] >= contig)]
        if is_leaf:
            yield rows
            return
        for place in rows["at"].tolist():
            yield from self._leaves_below(place, contig, depth - 1)

    def extent(self, contig: str) -> tuple[int, int] | None:
        """Where the first value of a contig begins and the last one ends; None where it has none."""
        if contig not in self._borders:
            return None
        start, *last = self._borders[contig]
        return start, self._block(*last)[2]

    @cached_property
    def _borders(self) -> dict[str, tuple[int, int, int, int]]:
        """Where the first value of each contig that has any begins, and which its last block is: number, place, size.

        The ends in the index do not do: of values apart from each other some
        programs note where the next one would begin.
        """
        names = ("first", "start", "at", "size")
        parts = [np.stack([rows[name].astype(np.int64) for name in names]) for rows in self._leaves()]
        found = np.concatenate([np.empty((4, 0), np.int64), *parts], axis=1)
        found = found[:, np.lexsort((found[1], found[0]))]
        first = np.flatnonzero(np.diff(found[0], prepend=-1))
        last = np.append(first[1:], found.shape[1]) - 1
        return {self._names[number]: (start, number, *place) for number, start, place in zip(
            found[0, first].tolist(), found[1, first].tolist(), found[2:, last].T.tolist() if len(first) else [])
            if number in self._names}

    def statistics(self, contig: str | None = None) -> dict[str, Summary]:
        """The summary of the values of one contig, or of each that has any.

        Raises
        ------
        IntegrityError
            The file is damaged.
        """
        number = None if contig is None else self._numbers.get(contig)
        if contig is not None and number is None:
            return {}
        found: dict[int, Summary] = {}
        for rows in self._leaves(number):
            for of, at, size in zip(rows["first"].tolist(), rows["at"].tolist(), rows["size"].tolist()):
                found[of] = combine([found.get(of, EMPTY), _summarised(*self._block(of, at, size)[:2])])
        return {self._names[of]: summary for of, summary in found.items() if summary.n and of in self._names}

    def _block(self, contig: int, at: int, size: int) -> tuple[np.ndarray, np.ndarray, int]:
        """Values of a block of a contig, for how many bases each of them is, and where the last one ends."""
        if size > 2 * _MAX_BLOCK:
            raise self._damaged("a block is too large")
        data = self._read(at, size)
        if self._unpacked:
            try:
                data = zlib.decompressobj().decompress(data, _MAX_BLOCK)
            except zlib.error as error:
                raise self._damaged(str(error)) from None
        if len(data) < 24:
            raise self._damaged("a block is too short")
        of, start, end, step, span, form, _, count = struct.unpack_from(self._order + _BLOCK, data)
        places = {_BEDGRAPH: ["start", "end"], _VARIABLE: ["start"], _FIXED: []}.get(form)
        if of != contig or places is None or len(data) < 24 + count * (len(places) * 4 + 4):
            raise self._damaged("a block is not what its index says")
        rows = np.frombuffer(data, [(name, self._order + "u4") for name in places] + [("value", self._order + "f4")], count, 24)
        if form == _BEDGRAPH:
            starts, ends = rows["start"].astype(np.int64), rows["end"].astype(np.int64)
        else:
            starts = rows["start"].astype(np.int64) if places else start + np.arange(count, dtype=np.int64) * step
            ends = starts + span
        return rows["value"], ends - starts, int(ends[-1]) if count else end


def _summarised(values: np.ndarray, lengths: np.ndarray) -> Summary:
    """The summary of values for some bases each, NaN left out."""
    missing = np.isnan(values)
    if missing.any():
        values, lengths = values[~missing], lengths[~missing]
    if not len(values):
        return EMPTY
    wide = values.astype(np.float64)
    weighted = wide * lengths
    return Summary(int(lengths.sum()), float(weighted.sum()), float(weighted @ wide), float(wide.min()), float(wide.max()))
