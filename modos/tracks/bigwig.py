"""Read bigWig files as blocks of data, or as a genome with one track (Kent et al. 2010)."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from modos.errors import NotFoundError
from modos.formats.text import BIGWIG
from modos.genomics.region import Region
from modos.storage.base import Progress
from modos.storage.given import Given, Name, refuse_pipe
from modos.storage.processes.forking import cached_property
from modos.tracks.bigwig_blocks import BigWigBlocks
from modos.tracks.bigwig_zooms import zoom_blocks
from modos.tracks.contigs import Contig, Contigs, Span
from modos.tracks.data import Block, Floats, Runs, Values, Where
from modos.tracks.genome import Genome
from modos.tracks.track import STEP, Track
from modos.tracks.zooms import EMPTY, Summary, combine

_DENSE = 1 / 8  # of the bases of a file have a value: read as values, not as intervals
_AT_ONCE = 64  # blocks


def is_bigwig(file: Given) -> bool:
    """Return whether a file begins as a bigWig does."""
    return file.peek(4) in BIGWIG


def _blocks_of(path: Name) -> BigWigBlocks:
    refuse_pipe(path, "a bigWig is read at random", "write it to a file first")
    if not os.path.isfile(path):
        raise NotFoundError(f"cannot read {path}: no such file", "check the path")
    return BigWigBlocks(path)


def read_bigwig(path: Name, progress: Progress | None = None, clip: bool = False) -> Iterator[Block]:
    """Read the data of a bigWig, contig by contig.

    Parameters
    ----------
    clip
        Whether data past the end of a contig, as the file has it, come out as
        they are; else they are an error.

    Raises
    ------
    NotFoundError, InvalidInputError, IntegrityError
        There is no such file; it is none, or its intervals overlap; it is damaged.
    """
    blocks = _blocks_of(path)
    size, done, total = Path(path).stat().st_size, 0, sum(blocks.lengths.values())
    read = _values if blocks.total and blocks.total.n > total * _DENSE else _intervals
    try:
        for contig, length in blocks.lengths.items():
            yield from read(blocks, path, contig, clip)
            if progress:
                progress(size * (done + length) // total - size * done // total)
            done += length
    finally:
        blocks.close()


def _values(blocks: BigWigBlocks, path: Name, contig: str, clip: bool) -> Iterator[Block]:
    begin, end = blocks.extent(contig, clip) or (0, 0)
    for start in range(begin - begin % STEP, end, STEP):
        values = np.empty(min(STEP, end - start), np.float32)
        blocks.fill(values, contig, start, clip)
        if not np.isnan(values).all():
            yield Block(Values(contig, start, values), _places(path, contig, range(start, start + len(values))))


def _intervals(blocks: BigWigBlocks, path: Name, contig: str, clip: bool) -> Iterator[Block]:
    rows = blocks.rows(contig, clip=clip)
    while some := list(islice(rows, _AT_ONCE)):
        starts, ends, values = (np.concatenate(column) for column in zip(*some))
        yield Block(Runs(contig, starts, ends, values), _places(path, contig, starts))


def _places(path: Name, contig: str, starts: Sequence[int] | np.ndarray) -> Where:
    return lambda number: f"{path}, {contig}:{starts[number] + 1:,}"


class _Reached(Contigs):
    """The contigs of a bigWig: each begins where its first value does and ends with its last one, as in Genomedata."""

    def __init__(self, lengths: Mapping[str, int], blocks: BigWigBlocks):
        super().__init__(lengths)
        self._blocks = blocks
        self._known: dict[str, Contig] = {}

    def __getitem__(self, name: str) -> Contig:
        if name not in self._known:
            contig = super().__getitem__(name)
            found = self._blocks.extent(contig.name)
            if found and not found[0] < found[1]:
                found = None
            self._known[name] = contig._replace(supercontigs=(found,) if found else ())
        return self._known[name]

    def extent(self, contig: Contig) -> Span:
        return contig.supercontigs[0] if contig.supercontigs else super().extent(contig)


class BigWigTrack(Track):
    """The one track of a bigWig file; the statistics of all of it are those that the file has of itself."""

    def __init__(self, path: Name):
        self._path = path
        self._blocks = _blocks_of(path)
        self._known: dict[str, Summary] = {}
        self.name = Path(path).name.removesuffix(".gz").rsplit(".", 1)[0]
        self.contigs = _Reached(self._blocks.lengths, self._blocks)

    def fill(self, out: Floats, contig: str, start: int) -> None:
        """Write the values of a stretch into `out`, float32; see `Track.fill`."""
        self._blocks.fill(out, contig, start)

    @cached_property
    def total(self) -> Summary:
        """As the file's header has it."""
        return self._blocks.total or combine(list(self.statistics().values()))

    @cached_property
    def _statistics(self) -> dict[str, Summary]:
        return self._blocks.statistics()

    def statistics(self) -> dict[str, Summary]:
        """Return the statistics of all values; see `Track.statistics`."""
        return self._statistics

    def of_contig(self, contig: str) -> Summary:
        """Return the statistics of a contig; see `Track.of_contig`."""
        name = self.contigs[contig].name
        if "_statistics" not in self.__dict__ and name not in self._known:
            self._known[name] = self._blocks.statistics(name).get(name, EMPTY)
        return self._known[name] if name in self._known else self._statistics.get(name, EMPTY)

    def summary(self, region: Region | str) -> Summary:
        """Summarise the values of a region; see `Track.summary`."""
        contig, start, end = self.contigs.place(region)
        return self.of_contig(contig.name) if (start, end) == (0, contig.length) else self.scan(Region(contig.name, start, end))

    def zoom(self, region: Region | str, bins: int = 1000) -> npt.NDArray[np.float64]:
        """Summarise equal parts of a region from zoom levels: shape (4, bins), float64, or None; see `Track.zoom`."""
        contig, start, end = self.contigs.place(region)
        return zoom_blocks(self._blocks, contig.name, start, end, bins)

    def describe(self) -> dict[str, Any]:
        """Return what a listing says of the track."""
        return {"id": self.name, "encoding": "bigWig", "bytes": Path(self._path).stat().st_size, "masked": False}

    def __reduce__(self) -> tuple[Any, ...]:
        return BigWigTrack, (os.path.abspath(self._path),)


def open_bigwig(path: Name) -> Genome:
    """Open a bigWig file as a genome with one track, named after the file."""
    track = BigWigTrack(path)
    return Genome(track.contigs, [track], reopen=partial(open_bigwig, os.path.abspath(path)), id=track.name)
