"""From files and arrays to a track: sources read, contigs matched, masks applied."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from modos.errors import InvalidInputError, listing
from modos.given import as_file, is_pipe, open_given
from modos.storage import Storage
from modos.storage.base import Progress
from modos.tracks.arrays import Names
from modos.tracks.assembly import expand_paths, read_bed
from modos.tracks.bigwig import is_bigwig, read_bigwig
from modos.tracks.building import TrackBuilder
from modos.tracks.contigs import Contigs
from modos.tracks.layout import ArraySpec
from modos.tracks.parsing import Block, Runs, Values, read_text
from modos.tracks.runs import Spans, blank, complement, intersection, restricted

Source = Any  # a path, `-`, several of them, a mapping of contigs to arrays, or blocks
_ARRAY_PIECE = 1 << 22


@dataclass
class LoadReport:
    """What came of a source.

    Attributes
    ----------
    matched, skipped
        Contigs of the source that the genome has, and that it has not.
    outside
        Values that lie in gaps of the genome, and were left out.
    """

    matched: dict[str, None] = field(default_factory=dict)
    skipped: dict[str, None] = field(default_factory=dict)
    outside: int = 0


def read_source(source: Source, progress: Progress | None = None) -> Iterator[Block]:
    """The data of files (text or bigWig; `-` is stdin, and a pipe will do), of arrays by contig, or of blocks."""
    if isinstance(source, Mapping):
        yield from _from_arrays(source)
    elif isinstance(source, (str, Path)):
        yield from _from_files([source], progress)
    else:
        source = list(source) if isinstance(source, (list, tuple)) else source
        if isinstance(source, list) and all(isinstance(one, (str, Path)) for one in source):
            yield from _from_files(source, progress)
        else:
            for one in source:
                yield one if isinstance(one, Block) else Block(one, lambda number: f"value {number}")


def _from_files(paths: list[str | Path], progress: Progress | None) -> Iterator[Block]:
    for path in expand_paths(paths):
        with open_given(path) as file, tempfile.TemporaryDirectory(prefix="modos-") as folder:
            if is_bigwig(file):
                yield from read_bigwig(as_file(file, folder, ".bw"), progress)
            else:
                yield from read_text(file, progress)


def _from_arrays(arrays: Mapping[str, Any]) -> Iterator[Block]:
    for contig, given in arrays.items():
        values = np.asarray(given)
        if values.ndim != 1 or values.dtype.kind not in "fiub":
            raise InvalidInputError(f"the values of {contig} are not numbers in one dimension")
        for start in range(0, len(values), _ARRAY_PIECE):
            part = np.array(values[start:start + _ARRAY_PIECE], np.float32)
            if np.isinf(part).any():
                raise InvalidInputError(f"a value of {contig} is infinite")
            yield Block(Values(contig, start, part), lambda number, start=start: f"value {start + number:,} of {contig}")


def source_size(source: Source) -> int | None:
    """Bytes of the files of a source, where that is known."""
    paths = [source] if isinstance(source, (str, Path)) else source if isinstance(source, (list, tuple)) else []
    if not paths or any(not isinstance(path, (str, Path)) for path in paths):
        return None
    try:
        files = expand_paths(paths)
        return None if any(map(is_pipe, files)) else sum(Path(path).stat().st_size for path in files)
    except OSError:
        return None


def build_track(storage: Storage, contigs: Contigs, names: Names, blocks: Iterable[Block], written: list[str], *,
                mask: str | None = None, keep: str | None = None, strict: bool = False,
                report: LoadReport | None = None) -> list[ArraySpec]:
    """Write the arrays of a track.

    Parameters
    ----------
    names
        Of the arrays.
    mask, keep
        BED files: values there are left out; only values there are taken.
    strict
        Whether a contig that the genome does not have is an error; else it
        is left out.

    Raises
    ------
    InvalidInputError
        None of the contigs is the genome's; or a defect of the data.
    """
    report = report or LoadReport()
    allowed = _Allowed(contigs, mask, keep)
    builder = TrackBuilder(storage, contigs, names, written)
    try:
        for block in blocks:
            name = contigs.resolve(block.data.contig)
            if name is None:
                if strict:
                    raise InvalidInputError(f"{block.where(0)}: the genome has no contig {block.data.contig}",
                                            f"it has {listing(contigs)}")
                report.skipped[block.data.contig] = None
                continue
            report.matched[name] = None
            builder.check(block)
            for part in allowed.parts_of(block, name, report):
                builder.add(part)
        if not report.matched:
            raise InvalidInputError("none of the contigs of the data is in the genome: they have "
                                    f"{listing(report.skipped)}, it has {listing(contigs)}" if report.skipped else
                                    "there are no data", "map the names with --assembly-report or a table of names when the "
                                    "genome is made" if report.skipped else None)
        return builder.finish()
    except BaseException:
        builder.drop()
        raise


class _Allowed:
    """Where values are taken: outside gaps of the genome and masks."""

    def __init__(self, contigs: Contigs, mask: str | None, keep: str | None):
        self._contigs = contigs
        self._masked = read_bed(mask, contigs) if mask else {}
        self._kept = read_bed(keep, contigs) if keep else None
        self._spans: dict[str, tuple[Spans, Spans]] = {}

    def _of(self, name: str) -> tuple[Spans, Spans]:
        """What of a contig has no gap, and what of that is not masked."""
        if name not in self._spans:
            contig = self._contigs[name]
            known = np.array(contig.supercontigs, np.int64).reshape(-1, 2).T
            spans = known
            if name in self._masked:
                spans = intersection(spans, complement(self._masked[name], contig.length))
            if self._kept is not None:
                spans = intersection(spans, self._kept.get(name, np.empty((2, 0), np.int64)))
            self._spans[name] = known, spans
        return self._spans[name]

    def parts_of(self, block: Block, name: str, report: LoadReport) -> Iterator[Block]:
        known, spans = self._of(name)
        data = block.data
        whole = spans.shape == (2, 1) and spans[0, 0] == 0 and spans[1, 0] == self._contigs[name].length
        if whole:
            yield block
        elif isinstance(data, Runs):
            inside = restricted(data, known)
            report.outside += int((data.ends - data.starts).sum() - (inside.ends - inside.starts).sum())
            part = restricted(data, spans)
            if len(part.starts):
                yield Block(part, block.where)
        else:
            values, length = data.values.copy(), self._contigs[name].length
            before = int(np.isnan(values).sum())
            blank(values, data.start, complement(known, length))
            report.outside += int(np.isnan(values).sum()) - before
            blank(values, data.start, complement(spans, length))
            yield Block(Values(data.contig, data.start, values), block.where)
