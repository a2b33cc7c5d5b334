"""Parts of a track that count as having no value; and data of a track with parts that are changed."""

from __future__ import annotations

import operator
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from modos.errors import InvalidInputError
from modos.storage import Storage
from modos.tracks import zooms
from modos.tracks.arrays import Names, write_small
from modos.tracks.assembly import read_bed
from modos.tracks.contigs import past_end
from modos.tracks.parsing import Block, Runs, Values
from modos.tracks.runs import Spans, complement, restricted, to_runs, union
from modos.tracks.sharded import ArraySpec
from modos.tracks.track import StoredTrack

NOTHING = np.empty((2, 0), np.int64)
COMPARISONS = {"lt": operator.lt, "le": operator.le, "gt": operator.gt, "ge": operator.ge, "eq": operator.eq, "ne": operator.ne}


@dataclass(frozen=True)
class Condition:
    """Values that are less than, at most, ... a number: `lt`, `le`, `gt`, `ge`, `eq`, `ne`."""

    comparison: str
    number: float

    def __post_init__(self) -> None:
        if self.comparison not in COMPARISONS:
            raise InvalidInputError(f"there is no comparison {self.comparison}", f"there are {', '.join(COMPARISONS)}")

    def of(self, values: np.ndarray) -> np.ndarray:
        """For which values it holds; for none that is NaN."""
        return COMPARISONS[self.comparison](values, np.float32(self.number)) & ~np.isnan(values)


def spans_of(track: StoredTrack, where: str | Condition) -> Spans:
    """Places on the axis: the intervals of a BED file, or where a condition holds for a track's values."""
    contigs, parts = track.contigs, [NOTHING]
    if isinstance(where, Condition):
        for data in track.iter_data():
            runs = data if isinstance(data, Runs) else to_runs(data)
            chosen = where.of(runs.values)
            parts.append(np.stack([runs.starts[chosen], runs.ends[chosen]]) + contigs[data.contig].offset)
    else:
        for name, spans in read_bed(where, contigs).items():
            if spans.size and spans.max() > contigs[name].length:
                raise past_end(contigs[name], int(spans.max()))
            parts.append(spans + contigs[name].offset)
    return union(NOTHING, np.concatenate(parts, axis=1))


def count_masked(track: StoredTrack, spans: Spans) -> int:
    """How many values of a track lie in places on the axis."""
    return sum(int((inside.ends - inside.starts).sum()) for runs in _runs(track)
               for inside in [restricted(_on_axis(track, runs), spans)])


def united(track: StoredTrack, spans: Spans) -> Spans:
    """A track's mask with more places."""
    return union(track.mask, spans)


def write_mask(storage: Storage, track: StoredTrack, spans: Spans, names: Names, written: list[str]) -> list[ArraySpec]:
    """Write a mask that replaces a track's, with the zoom levels and statistics that follow."""
    summary = zooms.Accumulator(track.contigs)
    free = complement(spans, track.contigs.size)
    bare = track.without_mask()
    for data in bare.iter_data():
        runs = _on_axis(track, data if isinstance(data, Runs) else to_runs(data))
        inside = restricted(runs, free)
        summary.add_runs(track.contigs.number(data.contig), inside.starts, inside.ends, inside.values)
    specs = summary.write(storage, names, written, track.data.spec.length if track.is_runs else None)
    if spans.shape[1]:
        specs.append(write_small(storage, names.path("mask"), spans, zooms.CHUNK, written, {"rows": ["start", "end"]}))
    return specs


def _runs(track: StoredTrack) -> Iterator[Runs]:
    for data in track.iter_data():
        yield data if isinstance(data, Runs) else to_runs(data)


def _on_axis(track: StoredTrack, runs: Runs) -> Runs:
    offset = track.contigs[runs.contig].offset
    return runs._replace(starts=runs.starts + offset, ends=runs.ends + offset)


def blanked(track: StoredTrack, spans: Spans) -> Iterator[Block]:
    """A track's data without those at places on the axis."""
    free = complement(spans, track.contigs.size)
    for runs in _runs(track):
        left = restricted(_on_axis(track, runs), free)
        offset = track.contigs[runs.contig].offset
        if len(left.starts):
            yield _block(left._replace(starts=left.starts - offset, ends=left.ends - offset))


def patched(track: StoredTrack, contig: str, start: int, values: np.ndarray) -> Iterator[Block]:
    """A track's data with other values from a position of a contig on."""
    place = track.contigs[contig]
    if start < 0 or start + len(values) > place.length:
        raise past_end(place, start + len(values))
    if np.isinf(values).any():
        raise InvalidInputError("a value is infinite")
    statistics = track.statistics()
    for name in track.contigs:
        if name == place.name:
            yield from _patched(track, name, start, np.asarray(values, np.float32))
        elif name in statistics:
            yield from (_block(data) for data in track.iter_data([name]))


def _patched(track: StoredTrack, name: str, start: int, values: np.ndarray) -> Iterator[Block]:
    end, given = start + len(values), False
    for data in track.iter_data([name]):
        first, last = (data.start, data.start + len(data.values)) if isinstance(data, Values) else (int(data.starts[0]), int(data.ends[-1]))
        if not given and first >= end:
            yield _block(Values(name, start, values))
            given = True
        if last <= start or first >= end:
            yield _block(data)
            continue
        runs = data if isinstance(data, Runs) else to_runs(data)
        for low, high in ((0, start), (end, track.contigs[name].length)):
            part = restricted(runs, np.array([[low], [high]]))
            if low and not given:
                yield _block(Values(name, start, values))
                given = True
            if len(part.starts):
                yield _block(part)
    if not given:
        yield _block(Values(name, start, values))


def _block(data: Values | Runs) -> Block:
    return Block(data, lambda number: f"{data.contig}, value {number}")
