"""Fit data to a genome: what lies outside is an error, or is left out and counted."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from modos.errors import InvalidInputError, RegionError
from modos.tracks.contigs import Contig, Contigs, past_end_error
from modos.tracks.data import Block, Runs, Values, extent
from modos.tracks.mask_files import NOTHING, MaskFile
from modos.tracks.runs import Spans, blank, complement, intersection, restrict


@dataclass
class LoadReport:
    """Outcome of loading a source.

    Attributes
    ----------
    matched, skipped
        Contigs of the source that the genome has, and that it has not.
    unmasked
        Contigs of the files of places that the genome has not.
    outside
        Values past the end of a contig or in a gap of the genome that were
        left out, as was asked for.
    """

    matched: dict[str, None] = field(default_factory=dict)
    skipped: dict[str, None] = field(default_factory=dict)
    unmasked: dict[str, None] = field(default_factory=dict)
    outside: int = 0


def stretches(contig: Contig) -> Spans:
    """Return the stretches of a contig that can have data: shape (2, n), int64, starts and ends, 0-based half-open."""
    return np.array(contig.supercontigs, np.int64).reshape(-1, 2).T


def gap_error(contig: Contig, position: int) -> RegionError:
    """Make the error for a value at a position (0-based) where a contig has no data."""
    gaps = complement(stretches(contig), contig.length).T.tolist()
    start, end = next(gap for gap in gaps if gap[0] <= position < gap[1])
    return RegionError(
        f"position {position + 1:,} of {contig.name} is in a gap of the genome, {contig.name}:{start + 1:,}-{end:,}",
        "the stretches that can have values: `modos genome contigs`",
    )


class Fitting:
    """Takes what of data lies on a genome and is wanted.

    Parameters
    ----------
    mask, keep
        Files (BED, wiggle, bigWig): values there are not wanted; only values there are.
    clip
        Whether values that lie past the end of a contig or in a gap are left
        out and counted; else they are an error.
    """

    def __init__(self, contigs: Contigs, mask: str | None, keep: str | None, clip: bool):
        self._contigs, self._clip = contigs, clip
        files = [MaskFile(path) if path else None for path in (mask, keep)]
        self.unknown = {
            name: None for file in files if file for name in file.find_unknown(contigs)
        }  # contigs that they have, and the genome lacks
        masked, kept = (file.place_on(contigs) if file else None for file in files)
        self._masked, self._kept = masked or {}, kept
        self._spans: dict[str, tuple[Spans, Spans]] = {}

    def parts_of(self, block: Block, name: str, report: LoadReport) -> Iterator[Block]:
        """Cut from data of a contig what is to be loaded.

        Raises
        ------
        InvalidInputError
            Values lie past the contig's end, or in a gap.
        """
        contig = self._contigs[name]
        if extent(block.data)[1] <= contig.length and self._is_whole(contig):
            yield block
            return
        allowed, lost = self._find_spans(contig)
        outside = _count(_restrict(block.data, lost))
        if outside and not self._clip:
            raise self._error(block, contig, lost)
        report.outside += outside
        data = _restrict(block.data, allowed)
        if isinstance(data, Values):
            data = data._replace(values=data.values[: max(contig.length - data.start, 0)])
        if len(data.values):
            yield Block(data, block.where)

    def _is_whole(self, contig: Contig) -> bool:
        return self._kept is None and contig.name not in self._masked and contig.supercontigs == ((0, contig.length),)

    def _find_spans(self, contig: Contig) -> tuple[Spans, Spans]:
        """Find where values of a contig are taken, and where they are wanted but have no place."""
        if contig.name not in self._spans:
            endless = np.iinfo(np.int64).max
            wanted = complement(self._masked.get(contig.name, NOTHING), endless)
            if self._kept is not None:
                wanted = intersection(wanted, self._kept.get(contig.name, NOTHING))
            known = stretches(contig)
            self._spans[contig.name] = intersection(wanted, known), intersection(wanted, complement(known, endless))
        return self._spans[contig.name]

    def _error(self, block: Block, contig: Contig, lost: Spans) -> InvalidInputError:
        """Make the error for the first value that has no place, with its position in the source."""
        data = block.data
        if isinstance(data, Values):
            number = int(np.argmax(~np.isnan(_restrict_values(data, lost).values)))
            position = data.start + number
        else:
            overlaps = np.searchsorted(lost[1], data.starts, "right") < np.searchsorted(lost[0], data.ends, "left")
            number = int(np.argmax(overlaps & ~np.isnan(data.values)))
            one = slice(number, number + 1)
            position = int(restrict(Runs(data.contig, data.starts[one], data.ends[one], data.values[one]), lost).starts[0])
        if position >= contig.length:
            error = past_end_error(contig, int(data.ends[number]) if isinstance(data, Runs) else position + 1)
        else:
            error = gap_error(contig, position)
        return InvalidInputError(
            f"{block.where(number)}: {error.message}",
            "is it of another genome? --clip leaves out what has no place, and says how much",
        )


def _count(data: Values | Runs) -> int:
    """Count the bases that have a value."""
    present = ~np.isnan(data.values)
    return int((data.ends - data.starts)[present].sum() if isinstance(data, Runs) else np.count_nonzero(present))


def _restrict(data: Values | Runs, spans: Spans) -> Values | Runs:
    """Cut data to spans of their contig."""
    return restrict(data, spans) if isinstance(data, Runs) else _restrict_values(data, spans)


def _restrict_values(data: Values, spans: Spans) -> Values:
    values = data.values.copy()
    end = data.start + len(values)
    blank(values, data.start, complement(spans, end))
    return data._replace(values=values)
