"""Mask parts of a track, and change parts of its data."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from modos.errors import InvalidInputError, RegionError
from modos.storage.base import Progress
from modos.storage.write_log import WriteLog
from modos.tracks import zooms
from modos.tracks.arrays import Names, write_small
from modos.tracks.conditions import Condition
from modos.tracks.contigs import CHUNK, past_end_error
from modos.tracks.data import Block, Floats, Runs, Values, extent
from modos.tracks.fitting import gap_error, stretches
from modos.tracks.mask_files import NOTHING, MaskFile
from modos.tracks.runs import Spans, as_runs, complement, iter_joined, restrict, union
from modos.tracks.runs_writer import PIECE
from modos.tracks.stored_track import StoredTrack
from modos.tracks.zarr_layout import CHUNKS_IN_SHARD, ArraySpec


def spans_of(track: StoredTrack, where: str | Path | MaskFile | Condition | Spans) -> Spans:
    """Return places on the axis, shape (2, n), int64: of a file, where a condition holds for a track's values, or as given."""
    if isinstance(where, np.ndarray):
        return where
    contigs, parts = track.contigs, [NOTHING]
    if isinstance(where, Condition):
        for runs in _runs(track):
            chosen = where.test(runs.values)
            parts.append(np.stack([runs.starts[chosen], runs.ends[chosen]]) + contigs[runs.contig].offset)
    else:
        file = where if isinstance(where, MaskFile) else MaskFile(where)
        file.check_ends(contigs)
        parts += [spans + contigs[name].offset for name, spans in file.place_on(contigs).items()]
    return union(NOTHING, np.concatenate(parts, axis=1))


def count_masked(track: StoredTrack, spans: Spans) -> int:
    """Count the values of a track that lie in places on the axis."""
    return sum(
        int((inside.ends - inside.starts).sum())
        for runs in _runs(track)
        for inside in [restrict(_place_on_axis(track, runs), spans)]
    )


def unite_mask(track: StoredTrack, spans: Spans) -> Spans:
    """Add places to a track's mask: shape (2, n), int64, on the axis."""
    return union(track.mask, spans)


def summarise_track(track: StoredTrack, masked: Spans, progress: Progress | None = None) -> zooms.Accumulator:
    """Summarise the values of a track outside of some spans on the axis, as when it was made."""
    summary, step = zooms.Accumulator(track.contigs, masked), CHUNKS_IN_SHARD
    if track.is_runs:
        for name in track.contigs:
            for part in iter_joined(map(as_runs, track.without_mask().iter_data([name])), PIECE):
                summary.add_runs(part)
                if progress:
                    progress(part.values.nbytes)
        return summary
    shards = [number for number, size in enumerate(track.data.spec.sizes) if size]
    for number, chunk in track.data.iter_chunks(chunk for shard in shards for chunk in range(shard * step, (shard + 1) * step)):
        if chunk is not None:
            summary.set_values(number * CHUNK, track.packing.unpack(chunk))
            if progress:
                progress(4 * CHUNK)
    return summary


def write_mask(
    log: WriteLog, track: StoredTrack, spans: Spans, names: Names, progress: Progress | None = None
) -> list[ArraySpec]:
    """Write a mask that replaces a track's, with the zoom levels and statistics that follow."""
    specs = summarise_track(track, spans, progress).write(log, names, track.data.spec.length if track.is_runs else None)
    if spans.shape[1]:
        specs.append(write_small(log, names.path("mask"), spans, zooms.CHUNK, {"rows": ["start", "end"]}))
    return specs


def _runs(track: StoredTrack) -> Iterator[Runs]:
    return map(as_runs, track.iter_data())


def _place_on_axis(track: StoredTrack, runs: Runs) -> Runs:
    offset = track.contigs[runs.contig].offset
    return runs._replace(starts=runs.starts + offset, ends=runs.ends + offset)


def iter_blanked(track: StoredTrack, spans: Spans) -> Iterator[Block]:
    """Iterate over a track's data without those at places on the axis."""
    free = complement(spans, track.contigs.size)
    for runs in _runs(track):
        left = restrict(_place_on_axis(track, runs), free)
        offset = track.contigs[runs.contig].offset
        if len(left.starts):
            yield _block(left._replace(starts=left.starts - offset, ends=left.ends - offset))


Patch = tuple[str, int, Floats]  # contig, start (0-based), values


def check_patch(track: StoredTrack, contig: str, start: int, values: Floats) -> Patch:
    """Return values to be written; raise RegionError if the contig has no such positions, or no room for values there."""
    place, values = track.contigs[contig], np.array(values, np.float32)
    if values.ndim != 1:
        raise InvalidInputError(f"values of {values.ndim} dimensions are not those of a stretch", "give one number for each base")
    if start < 0:
        raise RegionError(f"position {start:,} is before the start of {place.name}", "positions are 0-based in Python")
    if start + len(values) > place.length:
        raise past_end_error(place, start + len(values))
    if np.isinf(values).any():
        raise InvalidInputError("a value is infinite")
    gaps = complement(stretches(place), place.length) - start
    for first, last in gaps[:, (gaps[1] > 0) & (gaps[0] < len(values))].T.tolist():
        present = ~np.isnan(values[max(first, 0) : last])
        if present.any():
            raise gap_error(place, start + max(first, 0) + int(np.argmax(present)))
    return place.name, start, values


def iter_patched(track: StoredTrack, patches: Sequence[Patch]) -> Iterator[Block]:
    """Iterate over a track's data with other values in places; of two patches for a place the later counts."""
    for name in track.contigs:
        yield from _patch_contig(
            track, name, _unite_patches([(start, values) for contig, start, values in patches if contig == name])
        )


def _unite_patches(patches: Sequence[tuple[int, Floats]]) -> list[tuple[int, Floats]]:
    """Unite patches of a contig, in order, that meet or overlap."""
    spans = union(
        NOTHING, np.array([(start, start + len(values)) for start, values in patches if len(values)], np.int64).reshape(-1, 2).T
    )
    made = [(start, np.empty(end - start, np.float32)) for start, end in spans.T.tolist()]
    starts = spans[0]
    for start, values in patches:
        if len(values):
            first, target = made[int(np.searchsorted(starts, start, "right")) - 1]
            target[start - first : start - first + len(values)] = values
    return made


def _patch_contig(track: StoredTrack, name: str, patches: list[tuple[int, Floats]]) -> Iterator[Block]:
    waiting = patches[::-1]
    free = complement(
        np.array([(start, start + len(values)) for start, values in patches], np.int64).reshape(-1, 2).T,
        track.contigs[name].length,
    )
    for data in track.iter_data([name]):
        first, last = extent(data)
        if not patches or not any(start < last and start + len(values) > first for start, values in patches):
            yield from _iter_due(name, waiting, first)
            yield _block(data)
            continue
        runs = as_runs(data)
        touched = free[:, np.searchsorted(free[1], first, "right") : np.searchsorted(free[0], last, "left")]
        for span in touched.T:
            left = restrict(runs, span.reshape(2, 1))
            yield from _iter_due(name, waiting, int(span[0]))
            if len(left.starts):
                yield _block(left)
    yield from _iter_due(name, waiting, track.contigs[name].length + 1)


def _iter_due(name: str, waiting: list[tuple[int, Floats]], before: int) -> Iterator[Block]:
    """Iterate over the patches that begin before a position."""
    while waiting and waiting[-1][0] < before:
        yield _block(Values(name, *waiting.pop()))


def _block(data: Values | Runs) -> Block:
    return Block(data, lambda number: f"{data.contig}, value {number}")
