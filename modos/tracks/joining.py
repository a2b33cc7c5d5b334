"""Put two tracks of different contigs together to one.

A large track with a value per base keeps its shards: those that only one of
the two has get one more name, by a hard link or by the server, and their bytes
are not read. A small track, one that is kept as runs, and one whose type the
new values do not fit are written anew.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from modos.errors import NotFoundError
from modos.storage import Storage
from modos.storage.part_digests import DIGEST, ListHasher
from modos.storage.stored_digests import StoredDigests
from modos.storage.write_log import WriteLog
from modos.tracks import zooms
from modos.tracks.arrays import ArrayWriter, Names, write_small
from modos.tracks.build import TrackBuilder
from modos.tracks.contigs import GRAIN
from modos.tracks.data import Block
from modos.tracks.masking import summarise_track
from modos.tracks.runs import Spans
from modos.tracks.shard_digests import digest_shards
from modos.tracks.stored_track import StoredTrack
from modos.tracks.zarr_layout import CHUNKS_IN_SHARD, DIGEST_SLOT, EMPTY_SLOT, ArraySpec
from modos.tracks.zooms import STEP, Level, Rows

SMALL = 4 << 20  # bytes of its values up to which a track is written anew
_WORKERS = 8
_OF_SHARDS = frozenset((DIGEST_SLOT, EMPTY_SLOT, "shard_checksum", "order"))


def is_large(track: StoredTrack) -> bool:
    """Return whether a track keeps its shards where another is joined to it."""
    return not track.is_runs and sum(track.data.spec.sizes) > SMALL


class TrackJoiner:
    """Writes the arrays of a track that is joined of two, perhaps several times, and reuses what it wrote before.

    Parameters
    ----------
    log
        Has the storage of the object, and gets the keys of the files.
    names
        Of the arrays.
    """

    def __init__(self, log: WriteLog, names: Names):
        self._log, self._storage, self._names = log, log.storage, names
        self._there: dict[str, bytes] = {}  # digests of the parts of shards that were given another name
        self._is_known = True  # what lies in the folders is what is there

    def join(self, base: StoredTrack, part: StoredTrack) -> list[ArraySpec]:
        """Write a track that has the values of both, and the mask of the first; returns its arrays but the mask.

        Parameters
        ----------
        part
            Has contigs that the other has not.
        """
        if not self._is_known:
            self._clear()
        self._is_known = False
        if _fit_together(base, part):
            specs = [self._join_values(base, part), *self._join_summaries(base, part)]
            self._drop_others(specs)
            self._is_known = True
            return specs
        self._clear()
        return self._write_anew(base, part)

    def _clear(self) -> None:
        self._there = {}
        for folder in self._names.folders():
            for info in list(self._storage.iter_files(folder)):
                self._storage.delete(info.key)

    def _drop_others(self, specs: list[ArraySpec]) -> None:
        """Remove what an earlier attempt wrote, and the track has not any more."""
        wanted = {key for spec in specs for key in spec.files()}
        folders = tuple(f"{folder}/" for folder in self._names.folders())
        for key in self._log.keys - wanted:
            if key.startswith(folders):
                self._storage.delete(key)
                self._there.pop(key, None)

    def _write_anew(self, base: StoredTrack, part: StoredTrack) -> list[ArraySpec]:
        builder = TrackBuilder(self._log, base.contigs, self._names, masked=base.mask)
        try:
            own, others = part.loaded_contigs(), set(base.loaded_contigs())
            for name in sorted({*own, *others}, key=base.contigs.number):
                for block in _iter_blocks(base if name in others else part, name):
                    builder.check(block)
                    builder.add(block)
            return builder.finish([*base.empty_contigs, *part.empty_contigs])
        except BaseException:
            builder.drop()
            raise

    def _join_values(self, base: StoredTrack, part: StoredTrack) -> ArraySpec:
        writer, missing = self._begin(base.data.spec, "values"), base.packing.missing
        known, new = (_read_digests(self._log, track.data.spec) for track in (base, part))
        self._take(writer, base.data.spec, known)
        self._take(writer, part.data.spec, {number: digests for number, digests in new.items() if number not in known})
        for shard in sorted(new.keys() & known.keys()):  # contigs that are shorter than a shard share one
            self._there[writer.spec.key(shard)] = b""
            for number in range(shard * CHUNKS_IN_SHARD, (shard + 1) * CHUNKS_IN_SHARD):
                chunk = part.data.chunk(number)
                if chunk is not None:
                    before = writer.get(number)
                    absent = np.isnan(chunk) if missing != missing else chunk == missing
                    writer.put(number, chunk if before is None else np.where(absent, before, chunk))
            writer.flush()
        empty = {*base.empty_contigs, *part.empty_contigs}
        return writer.finish({EMPTY_SLOT: [name for name in base.contigs if name in empty]} if empty else {})

    def _join_summaries(self, base: StoredTrack, part: StoredTrack) -> list[ArraySpec]:
        """Write zoom levels and statistics; those of the second track follow the mask of the first."""
        summary = _summary_of(part, base.mask)
        own = [base.contigs[name] for name in part.loaded_contigs()]
        numbers = [base.contigs.number(contig.name) for contig in own]
        table = base.table.copy()
        table[:, numbers] = summary.statistics()[:, numbers]
        writer = self._begin(base.zoom_array.spec, "zoom")
        self._take(writer, base.zoom_array.spec, _read_digests(self._log, base.zoom_array.spec))
        smallest = base.levels[0].bin
        spans = [(contig.offset // smallest, -(-(contig.offset + contig.length) // smallest)) for contig in own]
        for number in _update_levels(writer, base.levels, spans, summary):
            self._there[writer.spec.key(number)] = b""
        return [
            writer.finish(),
            write_small(self._log, self._names.path("statistics"), table, zooms.CHUNK, {"rows": list(zooms.STATISTICS)}),
        ]

    def _begin(self, like: ArraySpec, role: str) -> ArrayWriter:
        attributes = {name: value for name, value in like.attributes.items() if name not in _OF_SHARDS}
        return ArrayWriter(self._log, replace(like, path=self._names.path(role), sizes=(), attributes=attributes))

    def _take(self, writer: ArrayWriter, source: ArraySpec, digests: Mapping[int, bytes]) -> None:
        """Give shards of another array a name in this one, without reading their bytes."""

        def give_name(number: int) -> None:
            key = writer.spec.key(number)
            known = self._there.get(key)
            if known == digests[number]:
                return
            if known is not None:
                self._storage.delete(key)
            self._log.wrote(key)
            self._storage.copy(key, source.key(number))
            self._there[key] = digests[number]

        with ThreadPoolExecutor(_WORKERS, "modos-join") as pool:
            list(pool.map(give_name, digests))
        for number, parts in digests.items():
            writer.adopt(number, source.sizes[number], parts)


class _Summary(Protocol):
    """Summary of a track by its smallest bins and by contig."""

    def bins(self, first: int, beyond: int) -> npt.NDArray[np.float64]:
        """Return n, sum, min and max of bins: shape (4, beyond - first), float64."""

    def statistics(self) -> npt.NDArray[np.float64]:
        """Return the statistics of each contig: shape (5, contigs), float64."""


class _StoredSummary:
    """Summary of a track as it is stored."""

    def __init__(self, track: StoredTrack):
        self._track = track

    def bins(self, first: int, beyond: int) -> npt.NDArray[np.float64]:
        """Return n, sum, min and max of bins: shape (4, beyond - first), float64."""
        return self._track.bins(self._track.levels[0], first, beyond)

    def statistics(self) -> npt.NDArray[np.float64]:
        """Return the statistics of each contig: shape (5, contigs), float64."""
        return self._track.table


def _summary_of(track: StoredTrack, masked: Spans) -> _Summary:
    return summarise_track(track, masked) if masked.shape[1] else _StoredSummary(track)


def _fit_together(base: StoredTrack, part: StoredTrack) -> bool:
    """Return whether shards of both can be those of one array."""
    if part.is_runs or not is_large(base) or base.levels != part.levels or base.levels[0].bin != GRAIN:
        return False
    one, other = base.data.spec, part.data.spec
    return (one.dtype, one.codec, base.packing) == (other.dtype, other.codec, part.packing)


def _iter_blocks(track: StoredTrack, name: str) -> Iterator[Block]:
    """Iterate over the values of a contig, masked or not; those of which none is there are left out."""
    for data in track.without_mask().iter_data([name]):
        if not np.isnan(data.values).all():
            yield Block(data, lambda number: f"value {number} of {name}")


def _read_digests(log: WriteLog, spec: ArraySpec) -> dict[int, bytes]:
    """Read the digests of the parts of each existing shard, compared with the root; without a list the shards are read."""
    shards = [number for number, size in enumerate(spec.sizes) if size]
    root, layout = spec.attributes.get(DIGEST_SLOT), spec.layout
    if root is None or layout.parts < 2:
        digests = digest_shards(log.storage, spec).digests
    else:
        digests = _read_list(log.storage, spec, root)
    bounds = zip(layout.first_parts, layout.first_parts[1:])
    return {number: digests[DIGEST * first : DIGEST * beyond] for number, (first, beyond) in zip(shards, bounds)}


def _read_list(storage: Storage, spec: ArraySpec, root: str) -> bytes:
    """Read a list of digests in one request; where it is not what it should be, group by group, for the error."""
    layout, hasher = spec.layout, ListHasher(spec.layout)
    with suppress(NotFoundError):
        data = storage.read_part(spec.list_key, 0, layout.size)[0]
        hasher.update(data)
        if hasher.root == root:
            return data[layout.table_size :]
    return StoredDigests(storage, spec.list_key, layout, root).read(0, layout.parts)


def _update_levels(writer: ArrayWriter, levels: list[Level], spans: Iterable[tuple[int, int]], summary: _Summary) -> set[int]:
    """Set the smallest bins of some spans, and the larger ones that they lie in; returns the shards that change."""
    columns, below = _Columns(writer), None
    spans = list(spans)
    for level in levels:
        for first, beyond in spans:
            if below is None:
                rows: Any = summary.bins(first, beyond)
            else:
                rows = Rows(*columns.read(below.first + first * STEP, below.first + min(beyond * STEP, below.bins))).coarsen()
            columns.write(level.first + first, np.stack([np.asarray(row, np.float64) for row in rows]))
        spans, below = _widen(spans), level
    return columns.shards


def _widen(spans: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return the bins of the next level that spans of bins lie in; those that meet are united."""
    wide: list[tuple[int, int]] = []
    for first, beyond in ((first // STEP, -(-beyond // STEP)) for first, beyond in spans):
        if wide and first <= wide[-1][1]:
            wide[-1] = (wide[-1][0], max(beyond, wide[-1][1]))
        else:
            wide.append((first, beyond))
    return wide


class _Columns:
    """Columns of an array that is written, to be read and changed."""

    def __init__(self, writer: ArrayWriter):
        self._writer, self._chunk = writer, writer.spec.chunk
        self.shards: set[int] = set()

    def read(self, first: int, beyond: int) -> npt.NDArray[np.float64]:
        """Read columns [first, beyond): shape (rows, beyond - first), float64."""
        parts = [self._get(number)[:, low:high] for number, low, high in self._places(first, beyond)]
        return np.concatenate(parts, axis=1)

    def write(self, first: int, data: npt.NDArray[np.float64]) -> None:
        """Write columns from one on."""
        done = 0
        for number, low, high in self._places(first, first + data.shape[1]):
            chunk = self._get(number)
            chunk[:, low:high] = data[:, done : done + high - low]
            self._writer.put(number, chunk)
            self.shards.add(number // CHUNKS_IN_SHARD)
            done += high - low

    def _get(self, number: int) -> np.ndarray:
        chunk = self._writer.get(number)
        return np.zeros(self._writer.spec.chunk_shape, self._writer.spec.dtype) if chunk is None else chunk

    def _places(self, first: int, beyond: int) -> Iterator[tuple[int, int, int]]:
        """Iterate over the chunks that columns lie in: number, and where in it they begin and end."""
        for number in range(first // self._chunk, -(-beyond // self._chunk)):
            start = number * self._chunk
            yield number, max(first - start, 0), min(beyond - start, self._chunk)
