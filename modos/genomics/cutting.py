"""Cut the regions of a file into pieces of some bytes each, by its index."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from modos.genomics.file import GenomicFile
from modos.genomics.region import MAX_POSITION, UNMAPPED, Region, Regions

_SHORTEST = 1 << 14  # bases: the index tells no shorter stretches apart


@dataclass(frozen=True)
class Piece:
    """Some regions that are read together.

    Parameters
    ----------
    regions
        In the order of the file, apart from each other; None for all of it.
    after
        The region before them on their first contig, which is read with
        another piece: its records are not counted again.
    size
        Bytes of the file that the index names for them.
    """

    regions: Regions | None
    after: Region | None
    size: int


def cut_regions(file: GenomicFile, regions: Regions | None, most: int) -> list[Piece]:
    """Cut regions into pieces of at most some bytes, as far as the index tells, so that each record is in one of them.

    Parameters
    ----------
    regions
        As `GenomicFile.resolve` gives them.
    most
        Bytes of a piece. Stretches of 16,384 bases are not cut.

    Returns
    -------
    list
        One piece alone where the index is not to be read.

    Raises
    ------
    NotFoundError
        The file has no index, or not the contig.
    """
    whole = tuple(file.find_contigs()) if regions is None else regions
    size = file.find_size(whole)
    if size is None or size <= most:
        return [Piece(regions, None, size or 0)]
    pieces: list[Piece] = []
    for region in whole:
        for part, part_size in _halve(file, region, most):
            last = pieces[-1] if pieces else None
            if last and last.size + part_size <= most:
                pieces[-1] = replace(last, regions=_join(last.regions or (), part), size=last.size + part_size)
            else:
                pieces.append(Piece((part,), _before(last, part), part_size))
    return pieces


def _halve(file: GenomicFile, region: Region, most: int) -> Iterator[tuple[Region, int]]:
    """Yield the parts of a region, halved until each has few enough bytes or bases, and the bytes of each."""
    size = file.find_size((region,)) or 0
    if size <= most or region.contig == UNMAPPED or region.limit - region.start <= _SHORTEST:
        yield region, size
        return
    middle = (region.start + min(region.limit, MAX_POSITION)) // 2
    yield from _halve(file, Region(region.contig, region.start, middle), most)
    yield from _halve(file, Region(region.contig, middle, region.end), most)


def _join(regions: Regions, part: Region) -> Regions:
    last = regions[-1]
    if last.contig == part.contig and last.end == part.start:
        return (*regions[:-1], Region(last.contig, last.start, part.end))
    return (*regions, part)


def _before(piece: Piece | None, part: Region) -> Region | None:
    if piece is None or not piece.regions or piece.regions[-1].contig != part.contig:
        return None
    return piece.regions[-1]
