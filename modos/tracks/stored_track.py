"""A track that is kept in an object and read by region."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from modos.errors import IntegrityError, InvalidInputError
from modos.genomics.region import Region
from modos.storage.processes.forking import cached_property
from modos.tracks import zooms
from modos.tracks.contigs import CHUNK, Contigs
from modos.tracks.data import Floats, Places, Runs, Values
from modos.tracks.packing import Packing
from modos.tracks.runs import (
    Spans,
    blank,
    complement,
    expand,
    expand_windows,
    intersection,
    restrict,
)
from modos.tracks.sharded import BATCH, ShardedArray
from modos.tracks.track import STEP, Track
from modos.tracks.zarr_layout import EMPTY_SLOT, Codec
from modos.tracks.zooms import EMPTY, Summary, bin_runs, combine, summarise

_Chunk = tuple[int, Places, Places, Floats]  # of runs
_RUN_CHUNKS = 32  # chunks of runs that are looked at together
_WINDOW_VALUES = 1 << 22  # values of windows that are made at once


class StoredTrack(Track):
    """A track of an object.

    Parameters
    ----------
    element_id
        The element that it is.
    data
        Its values or runs.
    zoom, statistics
        As they are stored.
    mask
        Spans on the axis that count as having no value, where it has a mask.
    """

    def __init__(
        self,
        name: str,
        element_id: str,
        contigs: Contigs,
        data: ShardedArray,
        zoom: ShardedArray,
        statistics: ShardedArray,
        mask: ShardedArray | None,
    ):
        self.name = name
        self.element_id = element_id
        self.contigs = contigs
        self.data = data
        self.zoom_array = zoom
        self._statistics = statistics
        self._mask = mask
        self.is_far = data.is_far
        self.packing = Packing.from_attributes("int32" if self.is_runs else data.spec.dtype, data.spec.attributes)

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle the places of its arrays, and none of what was read."""
        arrays = self.data, self.zoom_array, self._statistics, self._mask
        return StoredTrack, (self.name, self.element_id, self.contigs, *arrays)

    @property
    def is_runs(self) -> bool:
        """Return whether it is kept as runs of equal values, as few bases have one."""
        return "origins" in self.data.spec.attributes

    @property
    def encoding(self) -> str:
        """Description of how its values are stored, in words."""
        form = "runs" if self.is_runs else "values"
        return f"{form} ({self.packing.dtype}/{10**self.packing.decimals})" if self.packing.is_integer else f"{form} (float32)"

    def describe(self) -> dict[str, Any]:
        """Return what a listing says of the track."""
        spec = self.data.spec
        return {
            "id": self.element_id,
            "encoding": self.encoding,
            "codec": _codec_name(spec.codec),
            "bytes": sum(spec.sizes),
            "masked": self.is_masked,
        } | ({"runs": spec.length} if self.is_runs else {})

    @property
    def empty_contigs(self) -> list[str]:
        """Contigs that were loaded, and had no value."""
        known = self.data.spec.attributes.get(EMPTY_SLOT)
        return [name for name in self.contigs if name in known] if isinstance(known, list) else []

    def loaded_contigs(self) -> list[str]:
        """List the contigs that it has values of, masked or not, or was given without values."""
        empty, counts = set(self.empty_contigs), self.table[0].tolist()
        return [name for name, n in zip(self.contigs, counts) if n or name in empty or (self.is_masked and self.has_values(name))]

    def has_values(self, name: str) -> bool:
        """Return whether it has values of a contig, masked or not."""
        if self.of_contig(name).n or not self.is_masked:
            return self.of_contig(name).n > 0
        return any(not np.isnan(data.values).all() for data in self.without_mask().iter_data([name]))

    @cached_property
    def mask(self) -> Spans:
        """Masked spans on the axis: shape (2, n), int64, 0-based half-open."""
        return self._mask.read() if self._mask else np.empty((2, 0), np.int64)

    @property
    def is_masked(self) -> bool:
        """Return whether it has a mask."""
        return self._mask is not None

    def fill(self, out: Floats, contig: str, start: int) -> None:
        """Write the values of a stretch into `out`, float32; see `Track.fill`."""
        at = self.contigs[contig].offset + start
        self._fill(out, at)
        if self._mask is not None:
            blank(out, at, self.mask)

    def _fill(self, out: Floats, at: int) -> None:
        if self.is_runs:
            self._fill_from_runs(out, at)
            return
        first, last = at // CHUNK, (at + len(out) - 1) // CHUNK
        if first == last:
            self._fill_chunk(out, at - first * CHUNK, self.data.chunk(first))
            return

        def into(number: int, chunk: np.ndarray | None) -> None:
            low, high = max(number * CHUNK, at), min((number + 1) * CHUNK, at + len(out))
            self._fill_chunk(out[low - at : high - at], low - number * CHUNK, chunk)

        self.data.chunks(range(first, last + 1), into)

    def _fill_chunk(self, out: Floats, lead: int, chunk: np.ndarray | None) -> None:
        if chunk is None:
            out.fill(np.nan)
        else:
            self.packing.unpack(chunk[lead : lead + len(out)], out)

    def scan(self, region: Region | str) -> Summary:
        """Call a function on all values of some contigs; see `Track.scan`."""
        if self.is_runs:
            return super().scan(region)
        contig, start, end = self.contigs.place(region)
        begin, stop = contig.offset + start, contig.offset + end

        def work(number: int, chunk: np.ndarray | None) -> Summary:
            if chunk is None:
                return EMPTY
            low, high = max(number * CHUNK, begin), min((number + 1) * CHUNK, stop)
            values = np.empty(high - low, np.float32)
            self._fill_chunk(values, low - number * CHUNK, chunk)
            if self._mask is not None:
                blank(values, low, self.mask)
            return summarise(values)

        return combine(self.data.visit(range(begin // CHUNK, (stop - 1) // CHUNK + 1), work))

    @cached_property
    def _origins(self) -> Places:
        origins = np.array(self.data.spec.attributes["origins"], np.int64)
        if len(origins) != -(-self.data.spec.length // self.data.spec.chunk):
            raise IntegrityError(f"the runs of {self.element_id} are damaged", "see what is wrong with `modos check`")
        return origins

    def _run_chunks(self, start: int, end: int) -> range:
        """Return the chunks with runs that may overlap [start, end) on the axis."""
        first = max(int(np.searchsorted(self._origins, start, "right")) - 1, 0)
        return range(first, max(int(np.searchsorted(self._origins, end, "left")), min(1, len(self._origins))))

    def _runs_of_chunk(self, number: int) -> _Chunk:
        """Return an origin, and from there on starts, ends and values of the runs of a chunk."""
        cache, key = self.data.cache, (self.data.spec.path, number, "runs")
        found: _Chunk | None = cache.get(key)
        if found is None:
            chunk = self.data.chunk(number)
            if chunk is None:
                raise IntegrityError(f"runs of {self.element_id} are missing", "see what is wrong with `modos check`")
            gaps, lengths, values = chunk[:, : min(self.data.spec.chunk, self.data.spec.length - number * self.data.spec.chunk)]
            ends: Places = np.cumsum(np.add(gaps, lengths, dtype=np.int64))
            numbers = values.view(np.int32 if self.packing.is_integer else np.float32)
            found = int(self._origins[number]), ends - lengths, ends, self.packing.unpack(numbers)
            cache.put(key, found, ends.nbytes * 2 + values.nbytes)
        return found

    def runs(self, start: int, end: int) -> Iterator[tuple[Places, Places, Floats]]:
        """Read runs that overlap [start, end), unmasked, by chunk: (n,), int64 starts and ends on the axis, float32 values."""
        chunks = self._run_chunks(start, end)
        for place, number in enumerate(chunks):
            if self.is_far and place % _RUN_CHUNKS == 0:
                self.data.prefetch(chunks[place : place + _RUN_CHUNKS])
            origin, starts, ends, values = self._runs_of_chunk(number)
            low, high = np.searchsorted(ends, start - origin, "right"), np.searchsorted(starts, end - origin, "left")
            if low < high:
                yield starts[low:high] + origin, ends[low:high] + origin, values[low:high]

    def _fill_from_runs(self, out: Floats, at: int) -> None:
        found = list(self.runs(at, at + len(out)))
        if not found:
            out.fill(np.nan)
            return
        starts, ends, values = found[0] if len(found) == 1 else (np.concatenate(column) for column in zip(*found))
        expand(starts, ends, values, at, at + len(out), out)

    def fill_windows(self, out: Floats, contigs: Sequence[str], starts: Places) -> None:
        """Write the values of many stretches into `out`, float32; see `Track.fill_windows`."""
        offsets = {name: self.contigs[name].offset for name in set(contigs)}
        places = np.fromiter((offsets[name] for name in contigs), np.int64, len(contigs)) + starts
        if self.is_runs:
            self._windows_from_runs(places, out)
        else:
            self._windows_from_chunks(places, out)
        if self._mask is not None:
            for place, row in zip(places.tolist(), out):
                blank(row, place, self.mask)

    def _windows_from_chunks(self, places: Places, out: Floats) -> None:
        width = out.shape[1]
        rows: dict[int, list[int]] = {}
        for row, (first, last) in enumerate(zip((places // CHUNK).tolist(), ((places + width - 1) // CHUNK).tolist())):
            for number in range(first, last + 1):
                rows.setdefault(number, []).append(row)
        at = places.tolist()

        def into(number: int, chunk: np.ndarray | None) -> None:
            start = number * CHUNK
            for row in rows[number]:
                low, high = max(start, at[row]), min(start + CHUNK, at[row] + width)
                self._fill_chunk(out[row, low - at[row] : high - at[row]], low - start, chunk)

        for number, chunk in self.data.iter_chunks(sorted(rows)):  # in one thread: most is done in Python
            into(number, chunk)

    def _windows_from_runs(self, places: Places, out: Floats) -> None:
        if not len(self._origins):
            out.fill(np.nan)
            return
        width, order = out.shape[1], np.argsort(places, kind="stable")
        places = places[order]
        firsts = np.maximum(np.searchsorted(self._origins, places, "right") - 1, 0)
        lasts = np.maximum(np.searchsorted(self._origins, places + width, "left"), 1)
        at = 0
        while at < len(places):
            near = int(np.searchsorted(lasts, lasts[at] + _RUN_CHUNKS, "left"))
            end = max(min(near, at + _WINDOW_VALUES // width), at + 1)
            chunks = sorted(
                {n for first, last in zip(firsts[at:end].tolist(), lasts[at:end].tolist()) for n in range(first, last)}
            )
            self.data.prefetch(chunks)
            starts, ends, values = self._join_chunks(chunks)
            out[order[at:end]] = expand_windows(starts, ends, values, places[at:end], width)
            at = end

    def _join_chunks(self, chunks: Iterable[int]) -> tuple[Places, Places, Floats]:
        """Join the runs of some chunks: starts and ends on the axis, and values."""
        parts = [(starts + origin, ends + origin, values) for origin, starts, ends, values in map(self._runs_of_chunk, chunks)]
        if len(parts) == 1:
            return parts[0]
        starts, ends, values = (np.concatenate(column) for column in zip(*parts))
        return starts, ends, values

    def prefetch(self, contig: str, start: int, end: int) -> None:
        """Fetch what reading a stretch takes; see `Track.prefetch`."""
        at = self.contigs[contig].offset
        chunks = (
            self._run_chunks(at + start, at + end) if self.is_runs else range((at + start) // CHUNK, (at + end - 1) // CHUNK + 1)
        )
        self.data.prefetch(chunks[:BATCH])

    def statistics(self) -> dict[str, Summary]:
        """Return the statistics of all values; see `Track.statistics`."""
        return self._by_contig

    @cached_property
    def _by_contig(self) -> dict[str, Summary]:
        columns = self.table.T.tolist()
        return {name: Summary(int(n), *rest) for name, (n, *rest) in zip(self.contigs, columns) if n}

    def of_contig(self, contig: str) -> Summary:
        """Return the statistics of a contig; see `Track.of_contig`."""
        n, *rest = self.table[:, self.contigs.number(contig)].tolist()
        return Summary(int(n), *rest) if n else EMPTY

    @cached_property
    def table(self) -> npt.NDArray[np.float64]:
        """Statistics of each contig, as they are stored: shape (5, contigs), float64."""
        return self._statistics.read()

    @cached_property
    def levels(self) -> list[zooms.Level]:
        """Zoom levels, finest first."""
        levels = zooms.read_levels(self.zoom_array.spec.attributes)
        if any(level.bin < 1 or level.first < 0 or level.first + level.bins > self.zoom_array.spec.length for level in levels):
            raise IntegrityError(f"the zoom levels of {self.element_id} are damaged", "see what is wrong with `modos check`")
        return levels

    def bins(self, level: zooms.Level, first: int, last: int) -> npt.NDArray[np.float64]:
        """Return n, sum, min and max of bins [first, last) of a level: shape (4, last - first), float64."""
        size = self.zoom_array.spec.chunk
        low, high = level.first + first, level.first + last
        out = np.zeros((4, last - first))

        def into(number: int, chunk: np.ndarray | None) -> None:
            if chunk is not None:
                a, b = max(number * size, low), min((number + 1) * size, high)
                out[:, a - low : b - low] = chunk[:, a - number * size : b - number * size]

        self.zoom_array.chunks(range(low // size, -(-high // size)), into)
        return out

    def summary(self, region: Region | str) -> Summary:
        """Summarise the values of a region; see `Track.summary`."""
        contig, start, end = self.contigs.place(region)
        if (start, end) == (0, contig.length):
            return self.of_contig(contig.name)
        parts = []
        for level, first, last in zooms.cover(contig.offset + start, contig.offset + end, self.levels):
            if level is None:
                values = np.empty(last - first, np.float32)
                self.fill(values, contig.name, first - contig.offset)
                parts.append(summarise(values)._replace(sum_squares=np.nan))
            else:
                n, total, low, high = self.bins(level, first, last)
                if (n > 0).any():
                    parts.append(Summary(int(n.sum()), float(total.sum()), np.nan, low[n > 0].min(), high[n > 0].max()))
        return combine(parts)

    def zoom(self, region: Region | str, bins: int = 1000) -> npt.NDArray[np.float64]:
        """Summarise equal parts of a region from zoom levels: shape (4, bins), float64, or None; see `Track.zoom`."""
        if bins < 1:
            raise InvalidInputError(f"{bins} bins: at least one is needed")
        contig, start, end = self.contigs.place(region)
        borders = start + np.arange(bins + 1) * (end - start) // bins
        usable = [level for level in self.levels if level.bin * 4 <= (end - start) / bins]
        if usable:
            level = usable[-1]
            first, last = (contig.offset + start) // level.bin, -(-(contig.offset + end) // level.bin)
            n, total, lows, highs = self.bins(level, first, last)
            middles = np.clip((np.arange(first, last) + 0.5) * level.bin - contig.offset, start, end - 1)
            groups = np.searchsorted(middles, borders)
            return _summarise_groups(n, total, lows, highs, groups)
        if self.is_runs:
            return self._zoom_of_runs(borders + contig.offset)
        parts = [np.empty((4, 0))]
        for low in range(0, bins, max(STEP * bins // max(end - start, 1), 1)):
            high = min(low + max(STEP * bins // max(end - start, 1), 1), bins)
            values = np.empty(int(borders[high] - borders[low]), np.float32)
            self.fill(values, contig.name, int(borders[low]))
            present = ~np.isnan(values)
            zeroed = np.where(present, values, 0).astype(np.float64)
            parts.append(
                _summarise_groups(present.astype(np.float64), zeroed, zeroed, zeroed, borders[low : high + 1] - borders[low])
            )
        return np.concatenate(parts, axis=1)

    def _zoom_of_runs(self, borders: Places) -> npt.NDArray[np.float64]:
        """Return n, mean, min and max of bins between places on the axis, (4, bins)."""
        out = np.full((4, len(borders) - 1), np.nan)
        start, end = int(borders[0]), int(borders[-1])
        found = list(self.runs(start, end))
        none = np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0, np.float32)
        starts, ends, values = (np.concatenate(column) for column in zip(*(found or [none])))
        free = np.array([[start], [end]])
        if self._mask is not None:
            free = intersection(complement(self.mask, self.contigs.size), free)
        inside = restrict(Runs("", starts, ends, values), free)
        out[0] = 0
        has_bases = np.diff(borders) > 0
        if len(inside.starts):
            bins, n, total, low, high = bin_runs(
                inside.starts, inside.ends, inside.values, borders[np.concatenate(([True], has_bases))]
            )
            out[:, np.flatnonzero(has_bases)[bins]] = n, total / n, low, high
        return out

    def without_mask(self) -> StoredTrack:
        """Return the track with all of its values; its statistics stay those with the mask."""
        return StoredTrack(self.name, self.element_id, self.contigs, self.data, self.zoom_array, self._statistics, None)

    def iter_data(self, contigs: Iterable[str] | None = None) -> Iterator[Values | Runs]:
        """Read all data, contig by contig: float32 values of shape (bases,), or as runs; see `Track.iter_data`."""
        names = list(self.contigs) if contigs is None else contigs
        if not self.is_runs or self.is_masked:
            yield from super().iter_data(names)
            return
        for name in names:
            contig = self.contigs[name]
            for starts, ends, values in self.runs(contig.offset, contig.offset + contig.length):
                yield Runs(name, starts - contig.offset, ends - contig.offset, values)


def _codec_name(codec: Codec) -> str:
    return " ".join(str(codec["configuration"][key]) for key in ("cname", "shuffle"))


def _summarise_groups(
    n: np.ndarray, total: np.ndarray, low: np.ndarray, high: np.ndarray, borders: Places
) -> npt.NDArray[np.float64]:
    """Return n, mean, min and max of groups of columns, (4, groups)."""
    out = np.full((4, len(borders) - 1), np.nan)
    out[0] = 0
    used = borders[1:] > borders[:-1]
    at = borders[:-1][used]
    if len(at):
        end = borders[-1]
        present = n[:end] > 0
        counts = np.add.reduceat(n[:end], at)
        with np.errstate(invalid="ignore", divide="ignore"):
            out[0, used] = counts
            out[1, used] = np.add.reduceat(total[:end], at) / counts
        out[2, used] = np.where(counts > 0, np.minimum.reduceat(np.where(present, low[:end], np.inf), at), np.nan)
        out[3, used] = np.where(counts > 0, np.maximum.reduceat(np.where(present, high[:end], -np.inf), at), np.nan)
    return out
