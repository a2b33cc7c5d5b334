"""Load a track from files or arrays: read sources, match contigs, apply masks."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from modos.errors import InvalidInputError, listing
from modos.formats.text import expand_paths
from modos.storage.base import Progress
from modos.storage.given import as_file, is_pipe, open_given
from modos.storage.write_log import WriteLog
from modos.tracks.arrays import Names
from modos.tracks.bigwig import is_bigwig, read_bigwig
from modos.tracks.build import TrackBuilder
from modos.tracks.contigs import Contigs
from modos.tracks.data import Block, Values
from modos.tracks.fitting import Fitting, LoadReport
from modos.tracks.wiggle import read_text
from modos.tracks.zarr_layout import ArraySpec

Source = Any  # a path, `-`, several of them, a mapping of contigs to arrays, or blocks
_ARRAY_PIECE = 1 << 22


def read_source(source: Source, progress: Progress | None = None, clip: bool = False) -> Iterator[Block]:
    """Read the data of files (text or bigWig; `-` is stdin, and a pipe will do), of arrays by contig, or of blocks.

    Parameters
    ----------
    clip
        Whether data past the end that a bigWig says a contig has come out too; else they are an error.
    """
    if isinstance(source, Mapping):
        yield from _read_arrays(source)
    elif isinstance(source, (str, Path)):
        yield from _read_files([source], progress, clip)
    else:
        source = list(source) if isinstance(source, (list, tuple)) else source
        if isinstance(source, list) and all(isinstance(one, (str, Path)) for one in source):
            yield from _read_files(source, progress, clip)
        else:
            for one in source:
                yield one if isinstance(one, Block) else Block(one, lambda number: f"value {number}")


def _read_files(paths: list[str | Path], progress: Progress | None, clip: bool) -> Iterator[Block]:
    for path in expand_paths(paths):
        with open_given(path) as file, tempfile.TemporaryDirectory(prefix="modos-") as folder:
            if is_bigwig(file):
                yield from read_bigwig(as_file(file, folder, ".bw"), progress, clip)
            else:
                yield from read_text(file, progress)


def _read_arrays(arrays: Mapping[str, Any]) -> Iterator[Block]:
    for contig, given in arrays.items():
        values = np.asarray(given)
        if values.ndim != 1 or values.dtype.kind not in "fiub":
            raise InvalidInputError(f"the values of {contig} are not numbers in one dimension")
        for start in range(0, len(values), _ARRAY_PIECE):
            part = np.array(values[start : start + _ARRAY_PIECE], np.float32)
            if np.isinf(part).any():
                raise InvalidInputError(f"a value of {contig} is infinite")
            yield Block(Values(contig, start, part), partial(_place, contig, start))


def _place(contig: str, start: int, number: int) -> str:
    return f"value {start + number:,} of {contig}"


def source_size(source: Source) -> int | None:
    """Return the bytes of a source's files, if known."""
    paths = [source] if isinstance(source, (str, Path)) else source if isinstance(source, (list, tuple)) else []
    if not paths or any(not isinstance(path, (str, Path)) for path in paths):
        return None
    try:
        files = expand_paths(paths)
        return None if any(map(is_pipe, files)) else sum(Path(path).stat().st_size for path in files)
    except OSError:
        return None


def build_track(
    log: WriteLog,
    contigs: Contigs,
    names: Names,
    blocks: Iterable[Block],
    *,
    mask: str | None = None,
    keep: str | None = None,
    strict: bool = False,
    clip: bool = False,
    may_be_empty: bool = False,
    report: LoadReport | None = None,
    like: ArraySpec | None = None,
    empty: Iterable[str] = (),
) -> list[ArraySpec]:
    """Write the arrays of a track.

    Parameters
    ----------
    names
        Of the arrays.
    mask, keep
        Files of places: values there are left out; only values there are taken.
    strict
        Whether a contig that the genome does not have is an error; else it
        is left out.
    like
        An array of values whose type and codec come first.
    empty
        Contigs that the track has, and may have no value of.

    Raises
    ------
    InvalidInputError
        None of the contigs is the genome's; or a defect of the data.
    """
    report = report or LoadReport()
    fitting = Fitting(contigs, mask, keep, clip)
    if fitting.unknown and strict:
        raise InvalidInputError(
            f"places are given on contigs that the genome has not: {listing(fitting.unknown)}", f"it has {listing(contigs)}"
        )
    report.unmasked |= fitting.unknown
    builder = TrackBuilder(log, contigs, names, like)
    try:
        for block in blocks:
            name = contigs.resolve(block.data.contig)
            if name is None:
                if strict:
                    raise InvalidInputError(
                        f"{block.where(0)}: the genome has no contig {block.data.contig}", f"it has {listing(contigs)}"
                    )
                report.skipped[block.data.contig] = None
                continue
            report.matched[name] = None
            builder.check(block)
            for part in fitting.parts_of(block, name, report):
                builder.add(part)
        if not report.matched and not may_be_empty:
            raise InvalidInputError(
                "none of the contigs of the data is in the genome: they have "
                f"{listing(report.skipped)}, it has {listing(contigs)}"
                if report.skipped
                else "there are no data",
                "map the names with --assembly-report or a table of names when the genome is made" if report.skipped else None,
            )
        return builder.finish(empty)
    except BaseException:
        builder.drop()
        raise
