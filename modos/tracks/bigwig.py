"""bigWig files: their data as blocks, and a file alone as a genome with one track (Kent et al. 2010)."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from modos import forking
from modos.errors import IntegrityError, InvalidInputError, NotFoundError
from modos.forking import cached_property
from modos.given import Given, Name, refuse_pipe
from modos.region import Region
from modos.storage.base import Progress
from modos.tracks.bigwig_blocks import MAGIC, BigWigBlocks
from modos.tracks.contigs import Contig, Contigs, Span
from modos.tracks.genome import Genome
from modos.tracks.parsing import Block, Runs, Values
from modos.tracks.track import STEP, Track
from modos.tracks.zooms import EMPTY, Summary, combine

_DENSE = 1 / 8  # of the bases of a file have a value: read as values, not as intervals
_AT_ONCE = 1 << 16  # intervals


def is_bigwig(file: Given) -> bool:
    """Whether a file begins as a bigWig does."""
    return file.peek(4) in MAGIC


def _open(path: Name) -> Any:
    import pybigtools

    refuse_pipe(path, "a bigWig is read at random", "write it to a file first")
    if not Path(path).is_file():
        raise NotFoundError(f"cannot read {path}: no such file", "check the path")
    BigWigBlocks(path).close()  # refuses what is none before the library says so to the terminal
    try:
        with _panics_told(path):
            file = pybigtools.open(os.fspath(path))
        if not file.is_bigwig:
            raise InvalidInputError(f"{path} is no bigWig")
        return file
    except (pybigtools.BBIReadError, OSError, ValueError) as error:
        if isinstance(error, InvalidInputError):
            raise
        raise InvalidInputError(f"{path} is no bigWig, or damaged: {error}") from None


@contextmanager
def _panics_told(path: Name) -> Iterator[None]:
    """Raise IntegrityError where the library, which is written in Rust, panics: that is no Exception."""
    try:
        yield
    except BaseException as error:
        if type(error).__name__ != "PanicException":
            raise
        raise IntegrityError(f"{path} is damaged", "copy it again") from None


def read_bigwig(path: Name, progress: Progress | None = None) -> Iterator[Block]:
    """The data of a bigWig, contig by contig.

    Raises
    ------
    NotFoundError, InvalidInputError, IntegrityError
        There is no such file; it is none; it is damaged.
    """
    import pybigtools

    file = _open(path)
    sizes = file.chroms()
    covered = file.info()["summary"]["basesCovered"]
    read = _values if covered > sum(sizes.values()) * _DENSE else _intervals
    size, done, total = Path(path).stat().st_size, 0, sum(sizes.values())
    for contig, length in sizes.items():
        try:
            with _panics_told(path):
                yield from read(file, path, contig, length)
        except (pybigtools.BBIReadError, OSError, RuntimeError) as error:
            raise IntegrityError(f"{path} is damaged: {error}", "copy it again") from None
        if progress:
            progress(size * (done + length) // total - size * done // total)
        done += length


def _values(file: Any, path: Name, contig: str, length: int) -> Iterator[Block]:
    for start in range(0, length, STEP):
        values = _read(file, contig, start, min(start + STEP, length)).astype(np.float32)
        _check_finite(values, path, contig)
        if not np.isnan(values).all():
            yield Block(Values(contig, start, values), lambda number, start=start: f"{path}, {contig}:{start + number + 1:,}")


def _intervals(file: Any, path: Name, contig: str, length: int) -> Iterator[Block]:
    records = file.records(contig, 0, length)
    form = np.dtype([("start", np.int64), ("end", np.int64), ("value", np.float32)])
    while len(rows := np.fromiter(islice(records, _AT_ONCE), form)):
        _check_finite(rows["value"], path, contig)
        starts = rows["start"].copy()
        if (starts[1:] < rows["end"][:-1]).any() or (rows["end"] <= starts).any():
            raise InvalidInputError(f"{path}: its intervals on {contig} overlap or are not in order")
        yield Block(Runs(contig, starts, rows["end"].copy(), rows["value"].copy()),
                    lambda number, starts=starts: f"{path}, {contig}:{starts[number] + 1:,}")


def _check_finite(values: np.ndarray, path: Name, contig: str) -> None:
    if np.isinf(values).any():
        raise InvalidInputError(f"{path}: a value on {contig} is infinite")


def _read(file: Any, contig: str, start: int, end: int) -> np.ndarray:
    return file.values(contig, start, end, fillna=np.nan, oob=np.nan)


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
            if found and not found[0] < found[1] <= contig.length:
                raise IntegrityError(f"the bigWig is damaged: it has data past the end of {contig.name}", "copy it again")
            self._known[name] = contig._replace(supercontigs=(found,) if found else ())
        return self._known[name]

    def extent(self, contig: Contig) -> Span:
        return contig.supercontigs[0] if contig.supercontigs else super().extent(contig)


class BigWigTrack(Track):
    """The one track of a bigWig file; the statistics of all of it are those that the file has of itself."""

    def __init__(self, path: Name):
        self._path = path
        forking.begin(self, BigWigTrack._start)
        lengths = self._file.chroms()
        self._blocks = BigWigBlocks(path)
        self._known: dict[str, Summary] = {}
        self.name = Path(path).name.removesuffix(".gz").rsplit(".", 1)[0]
        self.contigs = _Reached(lengths, self._blocks)

    def _start(self) -> None:
        self._lock = threading.Lock()
        self._opened: Any = None  # two processes that read through one descriptor would move it under each other

    @property
    def _file(self) -> Any:
        opened = self._opened
        if opened is None:
            self._opened = opened = _open(self._path)
        return opened

    def fill(self, out: np.ndarray, contig: str, start: int) -> None:
        with self._lock, _panics_told(self._path):
            out[:] = _read(self._file, contig, start, start + len(out))

    @cached_property
    def total(self) -> Summary:
        """As the file's header has it."""
        return self._blocks.total or combine(list(self.statistics().values()))

    @cached_property
    def _statistics(self) -> dict[str, Summary]:
        return self._blocks.statistics()

    def statistics(self) -> dict[str, Summary]:
        return self._statistics

    def of_contig(self, contig: str) -> Summary:
        name = self.contigs[contig].name
        if "_statistics" not in self.__dict__ and name not in self._known:
            self._known[name] = self._blocks.statistics(name).get(name, EMPTY)
        return self._known[name] if name in self._known else self._statistics.get(name, EMPTY)

    def summary(self, region: Region | str) -> Summary:
        contig, start, end = self.contigs.place(region)
        return self.of_contig(contig.name) if (start, end) == (0, contig.length) else self.scan(Region(contig.name, start, end))

    def zoom(self, region: Region | str, bins: int = 1000) -> np.ndarray:
        contig, start, end = self.contigs.place(region)
        out = np.full((4, bins), np.nan)
        with self._lock, _panics_told(self._path):
            for row, kind in enumerate(("mean", "min", "max"), 1):
                out[row] = self._file.values(contig.name, start, end, bins=bins, summary=kind, fillna=np.nan)
            out[0] = self._file.values(contig.name, start, end, bins=bins, summary="bases_covered", fillna=0)
        return out

    def describe(self) -> dict[str, Any]:
        return {"id": self.name, "encoding": "bigWig", "bytes": Path(self._path).stat().st_size, "masked": False}

    def __reduce__(self) -> tuple:
        return BigWigTrack, (self._path,)


def open_bigwig(path: Name) -> Genome:
    """A bigWig file as a genome with one track, named after the file."""
    track = BigWigTrack(path)
    return Genome(track.contigs, [track], reopen=partial(open_bigwig, os.fspath(path)), id=track.name)
