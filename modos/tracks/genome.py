"""A genome with its sequence and tracks, to be asked for like arrays.

Positions are 0-based half-open in indices, as in Python, and 1-based
inclusive in text, as in samtools.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from modos.errors import InvalidInputError, NotFoundError, RegionError, did_you_mean, listing
from modos.region import Region
from modos.tracks.contigs import Contig, Contigs, past_end
from modos.tracks.sharded import ShardedArray, pool
from modos.tracks.track import Track
from modos.tracks.zooms import EMPTY, Summary

if TYPE_CHECKING:
    import xarray

KeyForm = Literal["one", "slice", "list"]
TrackKey = Any  # a number, name, slice, list or array of tracks
_NO_BASE = ord("N")
_READERS = 8
_XARRAY_CHUNK = 1 << 20  # bases


class PositionError(RegionError, IndexError):
    """A position, or the number of a track, that there is not."""


Write = Callable[[str, int, str, np.ndarray], "Genome"]


class Genome(Mapping[str, "ContigView"]):
    """Contigs, sequence and tracks.

    Parameters
    ----------
    contigs
        Of the genome.
    tracks
        In the order in which numbers stand for them.
    sequence
        A byte per base, where there is one.
    write
        Writes values of a track (contig, start, track's name, values), and
        gives the genome as it is then.
    reopen
        Opens the same again, in another process.
    """

    def __init__(self, contigs: Contigs, tracks: Iterable[Track], sequence: ShardedArray | None = None,
                 write: Write | None = None, reopen: Callable[[], Genome] | None = None, id: str = "genome"):
        self.id = id
        self.contigs = contigs
        self.tracks = {track.name: track for track in tracks}
        self.sequence = sequence
        self._write = write
        self._reopen = reopen
        self._is_open = True

    def __getitem__(self, key: Any) -> Any:
        """A contig by name; or the values of a region as text, of all tracks or of some.

        ``g["chr1"]``, ``g["chr2:1,424-1,433"]`` (bases, tracks),
        ``g["chr2:1,424-1,433", "signal"]`` (bases,).
        """
        if isinstance(key, tuple) and len(key) == 2 and isinstance(key[0], (str, Region)):
            contig, start, end = self.contigs.place(key[0])
            return ContigView(self, contig)[start:end, key[1]]
        if isinstance(key, str) and key not in self.contigs and ":" in key:
            return self[key, :]
        if not isinstance(key, str):
            raise InvalidInputError(f"{key!r} is neither a contig nor a region", "write g['chr1'] or g['chr1:1-1000', 'track']")
        return ContigView(self, self.contigs[key])

    def __iter__(self) -> Iterator[str]:
        return iter(self.contigs)

    def __len__(self) -> int:
        return len(self.contigs)

    def __contains__(self, key: object) -> bool:
        return key in self.contigs

    def __enter__(self) -> Genome:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Nothing has to be freed; afterwards it counts as closed."""
        self._is_open = False

    @property
    def isopen(self) -> bool:
        """Whether it was not closed."""
        return self._is_open

    def track(self, name: str) -> Track:
        """A track by name; NotFoundError where there is none."""
        if name not in self.tracks:
            near = did_you_mean(name, self.tracks)
            raise NotFoundError(f"no track {name}", f"did you mean {near}?" if near else
                                f"there are {listing(self.tracks)}" if self.tracks else "the genome has none")
        return self.tracks[name]

    @property
    def num_tracks_continuous(self) -> int:
        """Number of tracks."""
        return len(self.tracks)

    @property
    def tracknames_continuous(self) -> list[str]:
        """Names of the tracks."""
        return list(self.tracks)

    def index_continuous(self, name: str) -> int:
        """The number that stands for a track."""
        self.track(name)
        return self.tracknames_continuous.index(name)

    def select(self, key: TrackKey) -> tuple[list[Track], tuple[int, ...] | None]:
        """The tracks that a key stands for, and the shape of its axis: None for one track alone."""
        names = self.tracknames_continuous
        if isinstance(key, str):
            return [self.track(key)], None
        if isinstance(key, (int, np.integer)) and not isinstance(key, bool):
            if not -len(names) <= key < len(names):
                raise PositionError(f"there is no track {key}: the genome has {len(names)}", "names work as well")
            return [self.tracks[names[key]]], None
        if isinstance(key, slice):
            chosen = names[key]
            return [self.tracks[name] for name in chosen], (len(chosen),)
        if isinstance(key, (list, tuple)) and any(isinstance(one, str) for one in key):
            return [self.select(one)[0][0] for one in key], (len(key),)
        keys = np.asarray(key)
        if keys.dtype == bool:
            if keys.shape != (len(names),):
                raise PositionError(f"a mask of {keys.shape} does not fit {len(names)} tracks")
            keys = np.flatnonzero(keys)
        if not keys.size:
            return [], keys.shape
        return [self.select(one.item())[0][0] for one in keys.ravel()], keys.shape

    def windows(self, regions: Iterable[str | Region | tuple[str, int, int]], tracks: TrackKey = slice(None)) -> np.ndarray:
        """The values of many regions of the same width.

        Parameters
        ----------
        regions
            As text (1-based inclusive), as Region, or as (contig, start,
            end), 0-based half-open.
        tracks
            Names or numbers.

        Returns
        -------
        ndarray
            float32, (regions, tracks, width).
        """
        places = [(self.contigs.resolve(r[0]) or self.contigs[r[0]].name, *r[1:]) if isinstance(r, tuple)
                  else _named(*self.contigs.place(r)) for r in regions]
        widths = {end - start for _, start, end in places}
        if len(widths) > 1:
            raise InvalidInputError(f"the regions are {min(widths):,} to {max(widths):,} bases wide", "all must have one width")
        width = widths.pop() if widths else 0
        names, starts = [place[0] for place in places], np.array([place[1] for place in places], np.int64)
        for name, start, end in places:
            if start < 0 or width < 1 or end > self.contigs.lengths[name]:
                raise past_end(self.contigs[name], end) if start >= 0 and width > 0 else RegionError(
                    f"{name}, {start:,} to {end:,}, is no region")
        chosen, _ = self.select(tracks if not isinstance(tracks, (str, int)) else [tracks])
        out = np.empty((len(places), len(chosen), width), np.float32)

        def fill(number: int) -> None:
            chosen[number].fill_windows(out[:, number], names, starts)

        if any(track.is_far for track in chosen):
            list(pool("tracks", _READERS).map(fill, range(len(chosen))))
        else:
            for number in range(len(chosen)):
                fill(number)
        return out

    def _per_track(self, number: Callable[[Summary], float]) -> np.ndarray:
        return np.array([number(track.total) for track in self.tracks.values()])

    num_datapoints = property(lambda self: self._per_track(lambda s: s.n), doc="Values of each track, (tracks,).")
    sums = property(lambda self: self._per_track(lambda s: s.sum), doc="Their sums, (tracks,).")
    sums_squares = property(lambda self: self._per_track(lambda s: s.sum_squares), doc="Sums of squares, (tracks,).")
    mins = property(lambda self: self._per_track(lambda s: s.min), doc="The least, (tracks,).")
    maxs = property(lambda self: self._per_track(lambda s: s.max), doc="The largest, (tracks,).")
    means = property(lambda self: self._per_track(lambda s: s.mean), doc="Means, (tracks,).")
    vars = property(lambda self: self._per_track(lambda s: s.var), doc="Variances of the population, (tracks,).")

    def write(self, contig: str, start: int, track: str, values: np.ndarray) -> None:
        """Change values of a track, in one commit."""
        if self._write is None:
            raise InvalidInputError("this genome can only be read", "bring its tracks into an object with `modos track add`")
        self.tracks = self._write(contig, start, track, values).tracks

    def to_xarray(self, contigs: Iterable[str] | None = None) -> xarray.Dataset:
        """Whole contigs as arrays that are read when they are computed, here or on a dask cluster.

        Returns
        -------
        xarray.Dataset
            A variable per contig, float32, with the dimensions
            `position_<contig>` (0-based) and `track`.
        """
        from modos.tracks.out_of_core import to_dataset

        if self._reopen is None:
            raise InvalidInputError("this genome cannot be opened again by other processes")
        return to_dataset(self, self._reopen, list(self.contigs if contigs is None else contigs), _XARRAY_CHUNK)

    def __repr__(self) -> str:
        return f"<genome {self.id}: {len(self.contigs):,} contigs, {len(self.tracks):,} tracks>"


def _named(contig: Contig, start: int, end: int) -> tuple[str, int, int]:
    return contig.name, start, end


class ContigView:
    """A contig: `[bases, tracks]` gives values, `seq[bases]` the sequence.

    Attributes
    ----------
    name
        Of the contig.
    start, end
        0 and its length.
    """

    start = 0

    def __init__(self, genome: Genome, contig: Contig):
        self.genome = genome
        self.contig = contig
        self.name = contig.name
        self.end = contig.length
        self.seq = Bases(genome, contig, 0, contig.length)
        self.continuous = Continuous(genome, contig, 0, contig.length)

    def __getitem__(self, key: Any) -> Any:
        return self.continuous[key]

    def __setitem__(self, key: Any, values: Any) -> None:
        self.continuous[key] = values

    def __len__(self) -> int:
        return self.end

    @property
    def size(self) -> int:
        """Its length in bases."""
        return self.end

    @property
    def supercontigs(self) -> Supercontigs:
        """The stretches that can have data, `supercontigs[start:end]` those that overlap a part."""
        return Supercontigs(self.genome, self.contig)

    def __iter__(self) -> Iterator[Supercontig]:
        return iter(self.supercontigs)

    def itercontinuous(self) -> Iterator[tuple[Supercontig, Continuous]]:
        """Each stretch with its values, which are read when they are asked for."""
        for supercontig in self.supercontigs:
            yield supercontig, supercontig.continuous

    @property
    def num_tracks_continuous(self) -> int:
        """Number of tracks."""
        return self.genome.num_tracks_continuous

    @property
    def tracknames_continuous(self) -> list[str]:
        """Names of the tracks."""
        return self.genome.tracknames_continuous

    def index_continuous(self, name: str) -> int:
        """The number that stands for a track."""
        return self.genome.index_continuous(name)

    def _per_track(self, number: Callable[[Summary], float]) -> np.ndarray:
        return np.array([number(track.statistics().get(self.name, EMPTY)) for track in self.genome.tracks.values()])

    num_datapoints = property(lambda self: self._per_track(lambda s: s.n), doc="Values of each track, (tracks,).")
    sums = property(lambda self: self._per_track(lambda s: s.sum), doc="Their sums, (tracks,).")
    sums_squares = property(lambda self: self._per_track(lambda s: s.sum_squares), doc="Sums of squares, (tracks,).")
    mins = property(lambda self: self._per_track(lambda s: s.min), doc="The least, (tracks,).")
    maxs = property(lambda self: self._per_track(lambda s: s.max), doc="The largest, (tracks,).")

    def __repr__(self) -> str:
        return f"<contig {self.name}: {self.end:,} bases>"


def settle_bases(key: Any, length: int) -> tuple[np.ndarray | slice, KeyForm]:
    """Which bases a key stands for, and what kind of key it is: the shape of the answer depends on it.

    Returns
    -------
    slice or ndarray
        A slice with 0 <= start <= stop and step 1, or positions (int64).
    """
    if isinstance(key, slice):
        try:
            start, stop, step = key.indices(length)
        except (TypeError, ValueError):
            raise PositionError(f"{key} is not a slice of positions", "write [1000:2000]") from None
        if step == 1:
            return slice(start, max(start, stop)), "slice"
        return np.arange(start, stop, step), "slice"
    if key is Ellipsis:
        return slice(0, length), "slice"
    if isinstance(key, (int, np.integer)) and not isinstance(key, (bool, np.bool_)):
        position = int(key) + (length if key < 0 else 0)
        if not 0 <= position < length:
            raise PositionError(f"position {int(key):,} is not within {length:,} bases", "positions are 0-based")
        return slice(position, position + 1), "one"
    positions = np.asarray(key)
    if positions.dtype == bool:
        if positions.shape != (length,):
            raise PositionError(f"a mask of {positions.shape} does not fit {length:,} bases")
        return np.flatnonzero(positions), "list"
    if not positions.size:
        return positions.astype(np.int64), "list"
    if positions.dtype.kind not in "iu":
        raise PositionError(f"{key!r} does not say which bases are meant", "give numbers, a slice, a list or a mask")
    positions = np.where(positions < 0, positions + length, positions).astype(np.int64)
    if (positions < 0).any() or (positions >= length).any():
        raise PositionError(f"a position is not within {length:,} bases", "positions are 0-based")
    return positions, "list"


_GATHER = 1 << 16  # bases between two positions that are read with what lies between them


def gathered(positions: np.ndarray, read: Callable[[int, int], np.ndarray], dtype: str) -> np.ndarray:
    """Values at positions in any order, read in stretches."""
    unique, inverse = np.unique(positions, return_inverse=True)
    out = np.empty(len(unique), dtype)
    borders = [0, *(np.flatnonzero(np.diff(unique) > _GATHER) + 1).tolist(), len(unique)]
    for low, high in zip(borders, borders[1:]):
        while low < high:
            stop = min(int(np.searchsorted(unique, unique[low] + (1 << 22))), high)
            first = int(unique[low])
            out[low:stop] = read(first, int(unique[stop - 1]) + 1)[unique[low:stop] - first]
            low = stop
    return out[inverse.reshape(positions.shape)]


class Continuous:
    """The values of a stretch of a contig as a lazy array, (bases, tracks), float32; NaN where there is none."""

    dtype = np.dtype(np.float32)

    def __init__(self, genome: Genome, contig: Contig, start: int, end: int):
        self._genome, self._contig, self._start, self._length = genome, contig, start, end - start

    @property
    def shape(self) -> tuple[int, int]:
        """Bases and tracks."""
        return self._length, len(self._genome.tracks)

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, key: Any) -> Any:
        base_key, track_key = key if isinstance(key, tuple) and len(key) == 2 else (key, slice(None))
        bases, form = settle_bases(base_key, self._length)
        tracks, axis = self._genome.select(track_key)
        if isinstance(bases, slice):
            block = self._slice(bases.start, bases.stop, tracks)
            block = block[:, 0] if axis is None else block.reshape(len(block), *axis)
            return block[0] if form == "one" else block
        if axis is None or form == "slice" or isinstance(track_key, slice):
            columns = [self._gather(bases, track) for track in tracks]
            if axis is None:
                return columns[0]
            return np.stack(columns, -1).reshape(*bases.shape, *axis) if columns else np.empty((*bases.shape, *axis), np.float32)
        try:
            wanted, which = np.broadcast_arrays(bases, np.arange(len(tracks)).reshape(axis))
        except ValueError:
            raise PositionError(f"lists of {bases.shape} bases and {axis} tracks do not fit together",
                                "take bases of all tracks first: contig[bases][:, tracks]") from None
        out = np.empty(wanted.shape, np.float32)
        for number, track in enumerate(tracks):
            out[which == number] = self._gather(wanted[which == number], track)
        return out

    def _slice(self, start: int, stop: int, tracks: Sequence[Track]) -> np.ndarray:
        columns = np.empty((len(tracks), stop - start), np.float32)
        if start == stop:
            return columns.T
        if len(tracks) > 1:
            list(pool("tracks", _READERS).map(lambda t: t.prefetch(self._contig.name, self._start + start, self._start + stop),
                                              [track for track in tracks if track.is_far]))
        for row, track in zip(columns, tracks):
            track.fill(row, self._contig.name, self._start + start)
        return columns.T

    def _gather(self, positions: np.ndarray, track: Track) -> np.ndarray:
        return gathered(positions, lambda low, high: self._slice(low, high, [track])[:, 0], "float32")

    def __setitem__(self, key: Any, values: Any) -> None:
        base_key, track_key = key if isinstance(key, tuple) and len(key) == 2 else (key, slice(None))
        bases, _ = settle_bases(base_key, self._length)
        tracks, axis = self._genome.select(track_key)
        if not isinstance(bases, slice) or bases.start == bases.stop:
            raise InvalidInputError("values are written to a stretch of bases", "write contig[start:end, track] = values")
        new = np.broadcast_to(np.asarray(values, np.float32), (bases.stop - bases.start, *(axis or ())))
        for number, track in enumerate(tracks):
            column = new if axis is None else new.reshape(len(new), -1)[:, number]
            self._genome.write(self._contig.name, self._start + bases.start, track.name, np.ascontiguousarray(column))

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.asarray(self[:], dtype)


class Bases:
    """The bases of a stretch of a contig, uint8 (ASCII), `N` outside of what is known."""

    def __init__(self, genome: Genome, contig: Contig, start: int, end: int):
        self._genome, self._contig, self._start, self._length = genome, contig, start, end - start

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, key: Any) -> Any:
        bases, form = settle_bases(key, self._length)
        if not isinstance(bases, slice):
            return gathered(bases, self._read, "uint8")
        found = self._read(bases.start, bases.stop)
        return found[0] if form == "one" else found

    def _read(self, start: int, end: int) -> np.ndarray:
        array, out = self._genome.sequence, np.full(end - start, _NO_BASE, np.uint8)
        if array is None:
            raise NotFoundError("the genome has no sequence", "give a FASTA to `modos genome init`")
        if start == end:
            return out
        at, size = self._contig.offset + self._start + start, array.spec.chunk

        def into(number: int, chunk: np.ndarray | None) -> None:
            if chunk is not None:
                low, high = max(number * size, at), min((number + 1) * size, at + len(out))
                out[low - at:high - at] = chunk[low - number * size:high - number * size]

        array.chunks(range(at // size, (at + len(out) - 1) // size + 1), into)
        return out

    def __bytes__(self) -> bytes:
        return self[:].tobytes()


class Supercontig:
    """A stretch of a contig that can have data, [start, end), 0-based."""

    def __init__(self, genome: Genome, contig: Contig, number: int):
        self.start, self.end = contig.supercontigs[number]
        self.name = f"supercontig_{number}"
        self.seq = Bases(genome, contig, self.start, self.end)
        self.continuous = Continuous(genome, contig, self.start, self.end)

    def project(self, position: int) -> int:
        """A position of the contig as one of this stretch."""
        return position - self.start

    def __len__(self) -> int:
        return self.end - self.start

    def __repr__(self) -> str:
        return f"<{self.name}: [{self.start:,}, {self.end:,})>"


class Supercontigs:
    """The stretches of a contig that can have data."""

    def __init__(self, genome: Genome, contig: Contig):
        self._all = [Supercontig(genome, contig, number) for number in range(len(contig.supercontigs))]
        self._length = contig.length

    def __iter__(self) -> Iterator[Supercontig]:
        return iter(self._all)

    def __len__(self) -> int:
        return len(self._all)

    def __getitem__(self, key: int | slice) -> list[Supercontig]:
        """Those that overlap positions of the contig."""
        bases, _ = settle_bases(key, self._length)
        if not isinstance(bases, slice):
            raise PositionError("give a position, or a slice without a step")
        return [s for s in self._all if s.start < bases.stop and s.end > bases.start]
