"""Join, cut and expand runs of equal values."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

from modos.tracks.data import Floats, Places, Runs, Values

Spans = Places  # (2, n) int64: starts and ends, in order, apart from each other


def to_runs(values: Values) -> Runs:
    """Convert values per base to runs: arrays of shape (n,), int64 starts and ends, 0-based half-open, float32 values."""
    bits = values.values.view(np.uint32)
    borders = np.concatenate(([0], np.flatnonzero(bits[1:] != bits[:-1]) + 1, [len(bits)]))
    return join_runs(Runs(values.contig, borders[:-1] + values.start, borders[1:] + values.start, values.values[borders[:-1]]))


def as_runs(data: Values | Runs) -> Runs:
    """Convert data of either form to runs: three arrays of shape (n,), int64 starts and ends, float32 values."""
    return data if isinstance(data, Runs) else to_runs(data)


def join_runs(runs: Runs) -> Runs:
    """Drop runs without a value and unite neighbours of the same value: arrays of shape (n,), int64 and float32."""
    starts, ends, values = runs.starts, runs.ends, runs.values
    absent = np.isnan(values)
    if absent.any():
        starts, ends, values = starts[~absent], ends[~absent], values[~absent]
    bits = values.view(np.uint32)
    follows = (starts[1:] == ends[:-1]) & (bits[1:] == bits[:-1])
    if not follows.any():
        return Runs(runs.contig, starts, ends, values)
    first = np.concatenate(([True], ~follows))
    last = np.concatenate((~follows, [True]))
    return Runs(runs.contig, starts[first], ends[last], values[first])


def iter_joined(parts: Iterable[Runs], size: int) -> Iterator[Runs]:
    """Join the runs of a contig, wherever they were cut, and cut them anew: `size` in each part but the last, none empty.

    Parts are arrays of shape (n,), int64 starts and ends, float32 values.
    """
    waiting: list[Runs] = []
    count = 0
    for part in parts:
        joined = join_runs(_drop_empty(part))
        if not len(joined.starts):
            continue
        waiting.append(joined)
        count += len(joined.starts)
        if count <= size:
            continue
        whole = _concatenate(waiting)
        done = (len(whole.starts) - 1) // size * size  # the last may go on in the next part
        for at in range(0, done, size):
            yield _slice(whole, at, at + size)
        waiting = [_slice(whole, done, len(whole.starts))]
        count = len(whole.starts) - done
    if waiting:
        whole = _concatenate(waiting)
        for at in range(0, len(whole.starts), size):
            yield _slice(whole, at, at + size)


def _drop_empty(runs: Runs) -> Runs:
    """Drop runs without a base, which only divide long gaps."""
    full = runs.ends > runs.starts
    return runs if full.all() else Runs(runs.contig, runs.starts[full], runs.ends[full], runs.values[full])


def _concatenate(parts: list[Runs]) -> Runs:
    starts, ends, values = (np.concatenate(column) for column in zip(*(part[1:] for part in parts)))
    return join_runs(Runs(parts[0].contig, starts, ends, values))


def _slice(runs: Runs, start: int, stop: int) -> Runs:
    return Runs(runs.contig, runs.starts[start:stop], runs.ends[start:stop], runs.values[start:stop])


def expand(starts: Places, ends: Places, values: Floats, start: int, end: int, out: Floats) -> None:
    """Write runs that overlap [start, end) into `out`, (end - start,), NaN between them."""
    if len(starts) < 12:
        out.fill(np.nan)
        for first, last, value in zip(starts.tolist(), ends.tolist(), values.tolist()):
            out[max(first - start, 0) : last - start] = value
        return
    borders = np.empty(2 * len(starts) + 2, np.int64)
    borders[0], borders[-1] = start, end
    borders[1:-1:2], borders[2:-1:2] = starts, ends
    np.clip(borders, start, end, out=borders)
    filled = np.full(2 * len(starts) + 1, np.nan, np.float32)
    filled[1::2] = values
    out[:] = np.repeat(filled, np.diff(borders))


def expand_windows(starts: Places, ends: Places, values: Floats, places: Places, width: int) -> Floats:
    """Expand runs that cover many stretches of one width to values per base: shape (places, width), float32."""
    low = np.searchsorted(ends, places, "right")
    counts = np.maximum(np.searchsorted(starts, places + width, "left") - low, 0)
    window = np.repeat(np.arange(len(places)), counts)
    run = np.arange(len(window)) - np.repeat(np.cumsum(counts) - counts, counts) + low[window]
    begin, shift = places[window], window * width - places[window]
    borders = np.empty(2 * len(run) + 2, np.int64)
    borders[0], borders[-1] = 0, len(places) * width
    borders[1:-1:2] = np.maximum(starts[run], begin) + shift
    borders[2:-1:2] = np.minimum(ends[run], begin + width) + shift
    filled = np.full(2 * len(run) + 1, np.nan, np.float32)
    filled[1::2] = values[run]
    return np.repeat(filled, np.diff(borders)).reshape(len(places), width)


def restrict(runs: Runs, spans: Spans) -> Runs:
    """Cut runs to the spans of their contig: arrays of shape (n,), int64 starts and ends, 0-based half-open, float32 values."""
    first = np.searchsorted(spans[1], runs.starts, "right")
    last = np.searchsorted(spans[0], runs.ends, "left")
    counts = np.maximum(last - first, 0)
    run = np.repeat(np.arange(len(counts)), counts)
    span = np.arange(len(run)) - np.repeat(np.cumsum(counts) - counts, counts) + first[run]
    return Runs(
        runs.contig, np.maximum(runs.starts[run], spans[0][span]), np.minimum(runs.ends[run], spans[1][span]), runs.values[run]
    )


def complement(spans: Spans, end: int) -> Spans:
    """Return the parts of [0, end) that are in no span: shape (2, n), int64, 0-based half-open."""
    starts = np.concatenate(([0], np.minimum(spans[1], end)))
    ends = np.concatenate((np.minimum(spans[0], end), [end]))
    return np.stack([starts, ends])[:, ends > starts]


def intersection(left: Spans, right: Spans) -> Spans:
    """Return the parts that are in both of two sets of spans: shape (2, n), int64, 0-based half-open."""
    both = restrict(Runs("", left[0], left[1], np.zeros(left.shape[1], np.float32)), right)
    return np.stack([both.starts, both.ends])


def union(left: Spans, right: Spans) -> Spans:
    """Return the parts that are in at least one of two sets of spans, those that meet united: shape (2, n), int64."""
    both = np.concatenate([left, right], axis=1)
    starts, ends = both[:, np.argsort(both[0], kind="stable")]
    if not len(starts):
        return both
    reached = np.maximum.accumulate(ends)
    first = np.concatenate(([True], starts[1:] > reached[:-1]))
    last = np.concatenate((first[1:], [True]))
    return np.stack([starts[first], reached[last]])


def blank(values: Floats, start: int, spans: Spans) -> None:
    """Set those of the values from `start` on that lie in spans to NaN."""
    first = int(np.searchsorted(spans[1], start, "right"))
    last = int(np.searchsorted(spans[0], start + len(values), "left"))
    for begin, end in spans[:, first:last].T.tolist():
        values[max(begin - start, 0) : end - start] = np.nan
