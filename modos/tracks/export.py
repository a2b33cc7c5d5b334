"""Export tracks as bedGraph, wiggle or bigWig."""

from __future__ import annotations

import gzip
import itertools
import os
import tempfile
from collections.abc import Iterable, Iterator
from io import BufferedIOBase
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import numpy as np

from modos.errors import AlreadyExistsError, InvalidInputError, NotFoundError
from modos.errors.missing import load_late
from modos.genomics.region import Region
from modos.storage.base import Progress, expect
from modos.storage.modes import replace_output
from modos.storage.processes.panics import translate_panics
from modos.tracks.contigs import Contigs
from modos.tracks.data import Runs
from modos.tracks.runs import as_runs, join_runs
from modos.tracks.track import Track

if TYPE_CHECKING:
    import polars as pl
else:
    pl = load_late("polars")

FORMATS = {
    "bigWig": (".bw", ".bigwig"),
    "bedGraph": (".bedgraph", ".bedgraph.gz", ".bg", ".bg.gz", ".bed", ".bed.gz"),
    "wig": (".wig", ".wig.gz"),
}
_LONG = 64  # values in a row that are worth a declaration of their own


def format_of(path: str) -> str:
    """Return the format that a file's name says; raise InvalidInputError if it says none."""
    for name, endings in FORMATS.items():
        if path.lower().endswith(endings):
            return name
    raise InvalidInputError(f"{path} does not say which format is wanted", "end it in .bw, .bedGraph or .wig, or name one (-O)")


def iter_runs(track: Track, regions: Iterable[Region] | None, progress: Progress | None = None) -> Iterator[Runs]:
    """Read a track's runs, in genome order, of some regions or all: int64 starts and ends, float32 values, (n,)."""
    if regions is None:
        expect(progress, sum(length for name, length in track.contigs.lengths.items() if track.of_contig(name).n))
    for region in map(Region, track.contigs) if regions is None else regions:
        contig, start, end = track.contigs.place(region)
        if regions is None and not track.of_contig(contig.name).n:
            continue
        done = start
        for data in (
            track.iter_data([contig.name]) if (start, end) == (0, contig.length) else track.iter_values(contig.name, start, end)
        ):
            runs = as_runs(data)
            if len(runs.starts):
                yield runs
                if progress:
                    progress(int(runs.ends[-1]) - done)
                    done = int(runs.ends[-1])
        if progress:
            progress(end - done)


def write_text(
    track: Track,
    out: BinaryIO | BufferedIOBase,
    format: str,
    regions: Iterable[Region] | None = None,
    progress: Progress | None = None,
) -> None:
    """Write a track as bedGraph or wiggle."""
    if format == "wig":
        out.write(f'track type=wiggle_0 name="{track.name}"\n'.encode())
    for runs in iter_runs(track, regions, progress):
        out.write(_bedgraph(join_runs(runs)) if format == "bedGraph" else _wiggle(runs))


def _bedgraph(runs: Runs) -> bytes:
    contig = pl.Series([runs.contig]).new_from_index(0, len(runs.starts))
    table = pl.DataFrame({"contig": contig, "start": runs.starts, "end": runs.ends, "value": runs.values})
    return table.write_csv(include_header=False, separator="\t").encode()


def _wiggle(runs: Runs) -> bytes:
    """Format stretches without a gap as fixedStep, what is between them as variableStep."""
    lengths = runs.ends - runs.starts
    breaks = np.flatnonzero(runs.starts[1:] != runs.ends[:-1]) + 1
    parts = []
    for first, last in zip(np.concatenate(([0], breaks)).tolist(), np.concatenate((breaks, [len(lengths)])).tolist()):
        bases = int(runs.ends[last - 1] - runs.starts[first])
        if bases >= _LONG and bases <= 4 * (last - first):
            parts.append(f"fixedStep chrom={runs.contig} start={runs.starts[first] + 1} step=1\n".encode())
            values = np.repeat(runs.values[first:last], lengths[first:last])
            parts.append(pl.DataFrame({"value": values}).write_csv(include_header=False).encode())
            continue
        spans = lengths[first:last]
        for low, high in _iter_alike(spans):
            parts.append(f"variableStep chrom={runs.contig} span={spans[low]}\n".encode())
            table = pl.DataFrame(
                {"at": runs.starts[first + low : first + high] + 1, "value": runs.values[first + low : first + high]}
            )
            parts.append(table.write_csv(include_header=False, separator=" ").encode())
    return b"".join(parts)


def _iter_alike(numbers: np.ndarray) -> Iterator[tuple[int, int]]:
    borders = [0, *(np.flatnonzero(np.diff(numbers)) + 1).tolist(), len(numbers)]
    yield from itertools.pairwise(borders)


def write_bigwig(track: Track, path: Path, regions: Iterable[Region] | None = None, progress: Progress | None = None) -> None:
    """Write a track as a bigWig."""
    import pybigtools

    chroms = dict(track.contigs.lengths)

    def records() -> Iterator[tuple[str, int, int, float]]:
        for runs in iter_runs(track, regions, progress):
            for start, end, value in zip(runs.starts.tolist(), runs.ends.tolist(), runs.values.tolist()):
                yield runs.contig, start, end, value

    entries = records()
    first = next(entries, None)
    if first is None:
        raise InvalidInputError(f"the track {track.name} has no values there", "a bigWig needs at least one")

    def all_records() -> Iterator[tuple[str, int, int, float]]:
        yield first
        yield from entries

    with translate_panics(f"the track {track.name}", "it cannot be written as a bigWig: write bedGraph"):
        pybigtools.open(str(path), "w").write(chroms, all_records())


def export(
    track: Track,
    path: str | Path,
    format: str | None = None,
    regions: Iterable[Region] | None = None,
    force: bool = False,
    progress: Progress | None = None,
) -> None:
    """Write a track to a file, whole or not at all.

    Parameters
    ----------
    path
        Ends in `.bw`, `.bedGraph` or `.wig`, the latter two also in `.gz`.
    force
        Replace a file that is there.

    Raises
    ------
    AlreadyExistsError
        There is such a file.
    """
    path, target = os.fspath(path), Path(path)
    format = format or format_of(path)
    if os.path.exists(target) and not force:
        raise AlreadyExistsError(f"{path} exists already", "choose another name, or replace it with --force")
    if not os.path.isdir(target.parent):
        raise NotFoundError(f"there is no folder {target.parent}", "make it first")
    with replace_output(target) as descriptor, tempfile.TemporaryDirectory(prefix="modos-") as folder:
        if format == "bigWig":
            name = Path(folder, "track.bw")  # the library opens by name: in a folder of this user's alone
            name.symlink_to(f"/dev/fd/{descriptor}")
            write_bigwig(track, name, regions, progress)
            return
        with (
            open(descriptor, "wb", closefd=False) as file,
            gzip.GzipFile("", "wb", 6, file) if path.endswith(".gz") else file as out,
        ):
            write_text(track, out, format, regions, progress)


def contigs_table(contigs: Contigs) -> Iterator[tuple[str, int, int]]:
    """Yield name, start and end (0-based, half-open) of every stretch that can have data."""
    for name in contigs:
        for start, end in contigs[name].supercontigs:
            yield name, start, end
