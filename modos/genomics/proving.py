"""Prove that queries through an index find every record, by reading the whole file once.

For a record the answer is known from where it lies: the query of each window of
the genome that it overlaps must have its bytes (BAM, BCF, VCF), or its container (CRAM).
"""

from __future__ import annotations

import threading
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Iterator

from modos.errors import IntegrityError, TruncatedStream
from modos.formats import FORMATS, FileFormat
from modos.genomics.index import Header, Index, Opening, Read, open_stream
from modos.genomics.index.bgzf import inflate_block, read_exactly
from modos.genomics.index.binning import BinningIndex
from modos.genomics.index.containers import SEVERAL, is_covered, major_version, read_container, read_slice, rows_of
from modos.genomics.index.crai import UNPLACED, Crai
from modos.genomics.index.layout import MAX_RECORD, Contig, layout_of
from modos.genomics.index.places import Place
from modos.genomics.index.slices import misfit_error
from modos.genomics.reader import RecordReader
from modos.genomics.slicing import THREADS, block_batches
from modos.storage.base import ByteRange, Progress
from modos.storage.prefetch import fetch_ahead

_STEP = 4 << 20  # bytes that are read at once
_MAX_WINDOWS = 1 << 12  # of one record that are looked at; evenly chosen where it has more
_REMEMBERED = 1 << 16  # windows
_UNMAPPED = 4
_FLAG = 18  # where in a BAM record its flag is
_NO_LINE = (b"#", b"\r", b"\n")  # what a line of a VCF that is no record starts with


def check_records(
    format: FileFormat, read: Read, size: int, header: Header, index: Index, *, workers: int = 1, progress: Progress | None = None
) -> None:
    """Raise IntegrityError where a query through an index would not find a record of its file, or its counts are wrong.

    Parameters
    ----------
    read
        Gives bytes [start, end) of the file; from several threads, where
        there are workers.
    size
        Bytes in the file.
    progress
        Called with the bytes that were gone through.
    """
    if isinstance(index, Crai):
        _check_containers(read, size, header, index, progress)
        return
    first = header.end >> 16
    opening = open_stream(format, _pieces(read, size, workers))
    walk = _Walk(format, opening, index)
    for blocks in fetch_ahead(_inflate, block_batches(opening.records), THREADS):
        for offset, data, compressed in blocks:
            walk.walk(first + offset, data)
            if progress:
                progress(compressed)
    walk.finish(size)


def _marks(index: BinningIndex) -> Iterator[int]:
    """Yield all places where an index says that a record starts or ends."""
    for target in index.targets:
        yield from target.linear
        for number in target.bins:
            if index.extent(number):
                for chunk in target.chunks(number):
                    yield from chunk
                if index.kind == "CSI":
                    yield target.loffset(number)


def _pieces(read: Read, size: int, workers: int) -> Iterator[bytes]:
    bounds = ((at, min(at + _STEP, size)) for at in range(0, size, _STEP))
    return fetch_ahead(lambda span, _: read_exactly(read, *span), bounds, workers)


def _inflate(batch: tuple[int, list[memoryview]], _: threading.Event) -> list[tuple[int, bytes, int]]:
    """Decompress blocks: of each its offset, its data, and the bytes it takes."""
    offset, found = batch[0], []
    for block in batch[1]:
        found.append((offset, inflate_block(block, offset), len(block)))
        offset += len(block)
    return found


class _Walk:
    """Goes through the records of a BGZF file, block by block, and asks the index for each."""

    def __init__(self, format: FileFormat, opening: Opening, index: BinningIndex):
        header = opening.header
        self._format = format.name
        self._index = index
        self._finder = _Finder(index)
        self._layout = layout_of(format, opening)
        self._names = dict(enumerate(index.names)) or {number: name for name, number in header.target_ids.items()}
        self._numbers: dict[Contig, int] = {name: number for number, name in self._names.items()}
        self._skip = header.end & 0xFFFF
        self._rest = b""
        self._blocks: list[tuple[int, int]] = []  # where the data of a block start in the rest, and its file offset
        self._counts: Counter[tuple[int, bool]] = Counter()
        self._marks = sorted({mark for mark in _marks(index) if mark > header.end}, reverse=True)
        self._open: set[int] = set()  # places in the rest where the index says that a record starts

    def walk(self, offset: int, data: bytes) -> None:
        """Go on with the data of a block."""
        if self._skip:
            self._blocks, self._rest, self._skip = [(-self._skip, offset)], data[self._skip :], 0
        else:
            self._blocks.append((len(self._rest), offset))
            self._rest += data
        if len(self._rest) > MAX_RECORD:
            raise IntegrityError(f"a record is larger than {MAX_RECORD >> 20} MiB: the file is damaged")
        self._note_marks(offset, self._blocks[-1][0], len(data))
        *starts, used = self._layout.starts(self._rest)
        number, blocks = 0, self._blocks
        for at in starts:
            self._open.discard(at)
            while number + 1 < len(blocks) and blocks[number + 1][0] <= at:
                number += 1
            self._check(at, blocks[number][1] << 16 | at - blocks[number][0])
        self._open.discard(used)
        if self._open and min(self._open) < used:
            raise misfit_error(f"it points into a record, in or before the block at byte {offset:,}")
        self._open = {at - used for at in self._open}
        self._rest = self._rest[used:]
        held = max((n for n, (start, _) in enumerate(blocks) if start <= used), default=0)
        self._blocks = [(start - used, offset) for start, offset in blocks[held:]]

    def _note_marks(self, offset: int, start: int, length: int) -> None:
        """Take the places in a block that the index names; `start` is that of its data in the rest."""
        while self._marks and self._marks[-1] >> 16 <= offset:
            mark = self._marks.pop()
            if mark >> 16 < offset or mark & 0xFFFF > length:
                raise misfit_error(f"no block with a byte {mark & 0xFFFF:,} starts at byte {mark >> 16:,}")
            self._open.add(start + (mark & 0xFFFF))

    def finish(self, size: int) -> None:
        """Check what can be seen only when all records were read."""
        if self._rest.strip():
            if self._format != "VCF":
                raise TruncatedStream("the file ends within a record")
            self._open.discard(len(self._rest))
            self.walk(size, b"\n")
        if (self._marks and self._marks[0] > size << 16) or self._open - {0}:
            raise misfit_error("it points beyond the last record")
        for number in range(len(self._index.targets)):
            said = self._index.counts(number)
            found = self._counts[number, True], self._counts[number, False]
            if said is not None and said != found:
                raise misfit_error(
                    f"it counts {sum(said):,} records ({said[0]:,} mapped) of {self._names.get(number, number)}, the file "
                    f"has {sum(found):,} ({found[0]:,} mapped)"
                )

    def _check(self, at: int, virtual: int) -> None:
        """Check that a query finds the record that starts in the rest at a place, and in the file at a virtual offset."""
        data, layout, is_mapped, is_vcf = self._rest, self._layout, True, self._format == "VCF"
        if is_vcf and data[at : at + 1] in _NO_LINE:
            return
        contig, start = layout.place(data, at)
        if layout.is_unplaced(contig):
            return
        number = self._numbers.get(contig, -1) if is_vcf else int(contig)
        if self._format == "BAM":
            is_mapped = not data[at + _FLAG] & _UNMAPPED
        self._counts[number, is_mapped] += 1
        end = max(layout.end(data, at), start + 1, 1)
        if number < 0 or not self._finder.finds(number, max(start, 0), end, virtual):
            raise misfit_error(
                f"a query would not find the record at {Place(str(self._names.get(number, contig)), start)}-{end:,}"
            )


class _Finder:
    """Queries of single windows of the genome, and what they find."""

    def __init__(self, index: BinningIndex):
        self._index = index
        self._shift = index.min_shift
        self._target = -1
        self._windows: dict[int, tuple[list[int], list[int]]] = {}

    def finds(self, target: int, start: int, end: int, virtual: int) -> bool:
        """Return whether each query of a part of a record finds its virtual offset."""
        if target != self._target or len(self._windows) > _REMEMBERED:
            self._target, self._windows = target, {}
        first, last = start >> self._shift, max(end - 1, start) >> self._shift
        step = max((last - first) // _MAX_WINDOWS, 1)
        return all(self._has(window, virtual) for window in range(first, last + 1, step)) and (
            step == 1 or self._has(last, virtual)
        )

    def _has(self, window: int, virtual: int) -> bool:
        starts, ends = self._windows.get(window) or self._ask(window)
        at = bisect_right(starts, virtual) - 1
        return at >= 0 and virtual < ends[at]

    def _ask(self, window: int) -> tuple[list[int], list[int]]:
        starts: list[int] = []
        ends: list[int] = []
        for start, end in sorted(self._index.chunks(self._target, window << self._shift, window + 1 << self._shift)):
            if ends and start <= ends[-1]:
                ends[-1] = max(ends[-1], end)
            else:
                starts.append(start)
                ends.append(end)
        self._windows[window] = starts, ends
        return starts, ends


def _check_containers(read: Read, size: int, header: Header, index: Crai, progress: Progress | None) -> None:
    major, rows, names = major_version(header), rows_of(index), {n: name for name, n in header.target_ids.items()}
    ahead, at, end = _read_ahead(read, size), header.end, size - len(header.eof)
    while at < end:
        container = read_container(ahead, size, at, major)
        own = rows.get(at, [])
        if not any(reference == SEVERAL for reference, *_ in own):
            slices = [read_slice(ahead, container, landmark, major) for landmark in container.header.landmarks]
            places: Iterable[tuple[int, int, int]] = slices
            if any(reference == SEVERAL for reference, *_ in slices):
                places = _iter_reads(ahead, header, at, container.end)
            for place in places:
                _check_place(place, own, names)
        if progress:
            progress(container.end - at)
        at = container.end


def _check_place(place: tuple[int, int, int], rows: list[tuple[int, int, int]], names: dict[int, str]) -> None:
    reference, start, end = place
    own = [(first, last) for number, first, last in rows if number == reference]
    if reference == UNPLACED:
        if not own:
            raise misfit_error("a query would not find reads without a position")
    elif not is_covered(own, start, end):
        raise misfit_error(f"a query would not find all reads at {Place(names.get(reference, str(reference)), start)}")


def _iter_reads(read: Read, header: Header, start: int, end: int) -> Iterator[tuple[int, int, int]]:
    """Return contig, start and end of the reads in a container."""
    head = b"".join(read_exactly(read, *part) if isinstance(part, ByteRange) else part for part in header.segments)
    with RecordReader([head, read_exactly(read, start, end), header.eof], FORMATS["CRAM"], places_only=True) as reader:
        for record in reader:
            position = record.reference_start
            yield record.reference_id, position, max(record.reference_end or 0, position + 1)


def _read_ahead(read: Read, size: int) -> Read:
    """Return the same file, reading more at a time, to read it from start to end."""
    at, held = 0, b""

    def read_on(start: int, end: int) -> bytes:
        nonlocal at, held
        if not at <= start <= end <= at + len(held):
            at, held = start, read(start, min(max(end, start + _STEP), size))
        return held[start - at : end - at]

    return read_on
