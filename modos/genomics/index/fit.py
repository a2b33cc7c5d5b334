"""Check that an index fits its file, with a few reads of the file at most.

In a sorted file the chunks of an index cover all records that have a position,
without a gap: one that is of a shorter file, or lacks a contig, does not. That
and the order of its bins take no byte of the file. Whether its offsets are
places of the file, with the records that the index says, is tried at some of them.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import accumulate, groupby, pairwise
from typing import NamedTuple, TypeVar

from modos.errors import IntegrityError, InvalidInputError
from modos.formats import FileFormat
from modos.genomics.index import containers
from modos.genomics.index.bgzf import Blocks, Read
from modos.genomics.index.binning import BinningIndex
from modos.genomics.index.crai import Crai
from modos.genomics.index.file_header import Header
from modos.genomics.index.parse import Index
from modos.genomics.index.places import Records
from modos.genomics.index.plan import INDEX_KINDS
from modos.genomics.index.slices import Chunk, misfit_error
from modos.genomics.region import Region
from modos.storage.prefetch import fetch_ahead

_LOOKS = 16  # places of the file that are looked at
_SEED = 1  # the same ones each time
_MAX_GAPS = 16

Item = TypeVar("Item")
Result = TypeVar("Result")


class _Bin(NamedTuple):
    """A bin with records: its contig, its number, its bases, and its chunks in their order."""

    target: int
    number: int
    start: int
    end: int
    chunks: list[Chunk]


def check_fit(format: FileFormat, read: Read, size: int, header: Header, index: Index, workers: int = 1) -> None:
    """Raise IntegrityError where an index is not that of a file, as far as a few reads of the file tell.

    Parameters
    ----------
    read
        Gives bytes [start, end) of the file; from several threads, where
        there are workers.
    size
        Bytes in the file.
    """
    check_contigs(format, header, index)
    if isinstance(index, Crai):
        looks: Iterable[Callable[[], None]] = containers.plan_checks(read, size, header, index, _some(index.containers))
    else:
        bins = list(_bins(index))
        _check_bins(index, bins, size << 16)
        looks = [
            lambda: _check_covered(format, read, size, header, (chunk for bin in bins for chunk in bin.chunks)),
            *_plan_record_checks(format, read, size, header, index, bins),
        ]
    _take(looks, workers)


def check_contigs(format: FileFormat, header: Header, index: Index) -> None:
    """Raise IntegrityError where the contigs of an index are not those of a header; nothing is read."""
    if index.kind not in INDEX_KINDS[format.name]:
        raise misfit_error(f"it is a {index.kind}, and a {format.name} has a {' or '.join(INDEX_KINDS[format.name])}")
    known = max(header.target_ids.values(), default=-1) + 1
    if isinstance(index, Crai):
        if max(index.slices, default=-1) >= known:
            raise misfit_error(f"it is of at least {max(index.slices) + 1:,} contigs, the file of {known:,}")
    elif format.name == "VCF":
        if index.names and len(index.names) != len(index.targets):
            raise misfit_error(f"it names {len(index.names):,} contigs, and has {len(index.targets):,}")
    elif len(index.targets) > known or (index.kind == "BAI" and len(index.targets) < known):
        raise misfit_error(f"it is of {len(index.targets):,} contigs, the file of {known:,}")


def is_empty(format: FileFormat, header: Header, index: Index, region: Region) -> bool:
    """Return whether an index has nothing for a region of a contig."""
    number = header.target_ids.get(region.contig)
    if isinstance(index, Crai):
        return number is None or next(index.containers_of(number, region.start, region.limit), None) is None
    if format.name == "VCF" and index.names:
        number = index.names.index(region.contig) if region.contig in index.names else None
    return number is None or not index.chunks(number, region.start, region.limit)


def check_contigs_covered(format: FileFormat, read: Read, size: int, header: Header, index: Index) -> None:
    """Raise IntegrityError where an index leaves out a contig, or the end of a file; it is quick for large indexes, too."""
    if isinstance(index, Crai):
        _take(containers.plan_checks(read, size, header, index, ()), 1)
    else:
        _check_covered(format, read, size, header, (span for span in map(index.span, range(len(index.targets))) if span))


def _check_covered(format: FileFormat, read: Read, size: int, header: Header, stretches: Iterable[Chunk]) -> None:
    """Raise IntegrityError where a file has records with a position outside of what an index has of it."""
    records, reached, gaps = Records(format, Blocks(read, size), size, header), header.end, 0
    for start, end in sorted(stretches):
        if start > reached and gaps < _MAX_GAPS:
            gaps += 1
            with_reasons(partial(_check_gap, records, reached, start))
        reached = max(reached, end)
    following = with_reasons(lambda: records.place(reached))
    if following is not None and following.contig is not None:
        raise misfit_error(f"it ends before {following}")


def with_reasons(look: Callable[[], Result]) -> Result:
    """Call a check of the file; what is wrong there is reported as an index that does not fit."""
    try:
        return look()
    except (IntegrityError, InvalidInputError) as error:
        if isinstance(error, IntegrityError) and error.message.startswith("the index"):
            raise
        raise misfit_error(error.message) from None


def _take(looks: Iterable[Callable[[], None]], workers: int) -> None:
    for _ in fetch_ahead(lambda look, _: with_reasons(look), looks, workers) if workers > 1 else map(with_reasons, looks):
        pass


def _some(items: list[Item]) -> list[Item]:
    """Choose the first, the last, and some in between."""
    if len(items) <= _LOOKS:
        return items
    chosen = random.Random(_SEED).sample(range(1, len(items) - 1), _LOOKS - 2)
    return [items[at] for at in (0, *sorted(chosen), -1)]


def _bins(index: BinningIndex) -> Iterator[_Bin]:
    levels = list(index._levels())
    for number, target in enumerate(index.targets):
        at = 0
        for bin in target.bins:
            while at < len(levels) and bin >= levels[at][2]:
                at += 1
            if at == len(levels):
                break  # bins with statistics
            if chunks := target.chunks(bin):
                first, shift, _ = levels[at]
                yield _Bin(number, bin, bin - first << shift, bin - first + 1 << shift, sorted(chunks))


def _check_bins(index: BinningIndex, bins: list[_Bin], limit: int) -> None:
    """Check that bins and contigs follow each other in the file, and that no records start after they do."""
    spans = []
    for number, of_target in groupby(bins, key=lambda bin: bin.target):
        own = list(of_target)
        if any(start > end for bin in own for start, end in bin.chunks):
            raise misfit_error("it has chunks that end before they start")
        if any(end > limit for bin in own for _, end in bin.chunks):
            raise misfit_error("it points beyond the end of the file")
        spans.append((min(bin.chunks[0][0] for bin in own), max(bin.chunks[-1][1] for bin in own)))
        _check_order(own)
        if _starts_late(index, number, own):
            raise misfit_error("it says that records start after they do")
    if any(end > start for (_, end), (start, _) in pairwise(sorted(spans))):
        raise misfit_error("its contigs overlap in the file")


def _check_order(bins: list[_Bin]) -> None:
    ended = iter(sorted(bins, key=lambda bin: bin.end))
    before: _Bin | None = next(ended)
    latest = -1
    for bin in sorted(bins, key=lambda bin: bin.start):
        while before and before.end <= bin.start:
            latest, before = max(latest, before.chunks[-1][0]), next(ended, None)
        if bin.chunks[0][0] < latest:
            raise misfit_error("its bins are not in the file's order")


def _starts_late(index: BinningIndex, number: int, bins: list[_Bin]) -> bool:
    """Return whether the bounds from which on a query reads lie after records that it should find."""
    target = index.targets[number]
    if index.kind == "CSI":
        return any(target.loffset(bin.number) > bin.chunks[0][0] for bin in bins)
    linear = list(accumulate(target.linear, _carry_forward))
    return any(a > b for a, b in pairwise(linear)) or (
        bool(linear) and any(linear[min(bin.start >> index.min_shift, len(linear) - 1)] > bin.chunks[0][0] for bin in bins)
    )


def _carry_forward(before: int, offset: int) -> int:
    return offset or before


def _check_gap(records: Records, start: int, end: int) -> None:
    if not records.is_empty(start, end):
        raise misfit_error(f"it leaves out {records.place(start) or 'records'}")


def _plan_record_checks(
    format: FileFormat, read: Read, size: int, header: Header, index: BinningIndex, bins: list[_Bin]
) -> Iterator[Callable[[], None]]:
    chunks = sorted((start, end, bin) for bin in bins for start, end in bin.chunks)
    names = dict(enumerate(index.names)) or {number: name for name, number in header.target_ids.items()}
    known = set(names.values())
    for start, end, bin in _some(chunks):
        yield partial(
            _check_chunk,
            Records(format, Blocks(read, size), size, header),
            max(start, header.end),
            end,
            names.get(bin.target, f"contig {bin.target}"),
            bin,
            known,
        )


def _check_chunk(records: Records, start: int, end: int, contig: str, bin: _Bin, known: set[str]) -> None:
    place = records.place(start)
    if place is None or place.contig != contig or not bin.start <= place.start < bin.end:
        raise misfit_error(f"where it has a record of {contig}:{bin.start + 1:,}-{bin.end:,}, there is {place or 'none'}")
    following = records.place(end)
    if following and following.contig is not None and following.contig not in known:
        raise misfit_error(f"where it has the end of {contig}:{bin.start + 1:,}-{bin.end:,}, there is {following}")
