"""Views of a contig as arrays: `[bases, tracks]` and `seq[bases]`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from modos.errors import InvalidInputError, NotFoundError
from modos.tracks.contigs import MAX_LENGTH, Contig
from modos.tracks.data import Floats, Places
from modos.tracks.positions import PositionError, gather, settle_bases, settle_stretch
from modos.tracks.sharded import pool
from modos.tracks.track import Track
from modos.tracks.zooms import Summary

if TYPE_CHECKING:
    from modos.tracks.genome import Genome

_NO_BASE = ord("N")
READERS = 8  # tracks that are fetched at once


class ContigView:
    """A contig: `[bases, tracks]` gives values, `seq[bases]` the sequence.

    Attributes
    ----------
    name
        Of the contig.
    start, end
        0 and its length; of a bigWig file, where the first value begins and
        the last one ends.
    """

    def __init__(self, genome: Genome, contig: Contig):
        self.genome = genome
        self.contig = contig
        self.name = contig.name
        self.start, self.end = genome.contigs.extent(contig)
        self.seq = Bases(genome, contig, 0, contig.length, MAX_LENGTH)
        self.continuous = Continuous(genome, contig, 0, contig.length, MAX_LENGTH)
        self._is_open = True

    def __getitem__(self, key: Any) -> Any:
        return self.continuous[key]

    def __setitem__(self, key: Any, values: Any) -> None:
        self.continuous[key] = values

    def close(self) -> None:
        """Count as closed from now on; nothing has to be freed. The genome gives an open one again."""
        self._is_open = False

    @property
    def isopen(self) -> bool:
        """Return whether both the view and its genome are open."""
        return self._is_open and self.genome.isopen

    def __len__(self) -> int:
        return self.contig.length

    @property
    def size(self) -> int:
        """Length in bases."""
        return self.contig.length

    @property
    def supercontigs(self) -> Supercontigs:
        """The stretches that can have data, `supercontigs[start:end]` those that overlap a part."""
        return Supercontigs(self.genome, self.contig)

    def __iter__(self) -> Iterator[Supercontig]:
        return iter(self.supercontigs)

    def itercontinuous(self) -> Iterator[tuple[Supercontig, Continuous]]:
        """Yield each stretch with its values, which are read when they are asked for."""
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
        """Return the number that stands for a track."""
        return self.genome.index_continuous(name)

    def _per_track(self, number: Callable[[Summary], float]) -> np.ndarray:
        return np.array([number(track.of_contig(self.name)) for track in self.genome.tracks.values()])

    num_datapoints = property(lambda self: self._per_track(lambda s: s.n), doc="Values of each track, (tracks,).")
    sums = property(lambda self: self._per_track(lambda s: s.sum), doc="Their sums, (tracks,).")
    sums_squares = property(lambda self: self._per_track(lambda s: s.sum_squares), doc="Sums of squares, (tracks,).")
    mins = property(lambda self: self._per_track(lambda s: s.min), doc="The least, (tracks,).")
    maxs = property(lambda self: self._per_track(lambda s: s.max), doc="The largest, (tracks,).")

    def __repr__(self) -> str:
        return f"<contig {self.name}: {self.size:,} bases>"


class Continuous:
    """The values of a stretch of a contig as a lazy array, (bases, tracks), float32; NaN where there is none.

    Parameters
    ----------
    reach
        How far a slice may go past its end: NaN there, as in Genomedata; cut
        off, as numpy has it, where it is None.
    """

    dtype = np.dtype(np.float32)

    def __init__(self, genome: Genome, contig: Contig, start: int, end: int, reach: int | None = None):
        self._genome, self._contig, self._start, self._length, self._reach = genome, contig, start, end - start, reach

    @property
    def shape(self) -> tuple[int, int]:
        """Bases and tracks."""
        return self._length, len(self._genome.tracks)

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, key: Any) -> Any:
        base_key, track_key = key if isinstance(key, tuple) and len(key) == 2 else (key, slice(None))
        bases, form = settle_bases(base_key, self._length, self._reach)
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
            raise PositionError(
                f"lists of {bases.shape} bases and {axis} tracks do not fit together",
                "take bases of all tracks first: contig[bases][:, tracks]",
            ) from None
        out = np.empty(wanted.shape, np.float32)
        for number, track in enumerate(tracks):
            out[which == number] = self._gather(wanted[which == number], track)
        return out

    def _slice(self, start: int, stop: int, tracks: Sequence[Track]) -> Floats:
        columns, inside = np.empty((len(tracks), stop - start), np.float32), max(min(stop, self._length) - start, 0)
        columns[:, inside:] = np.nan
        if not inside:
            return columns.T
        at = self._start + start
        if len(tracks) > 1:
            list(
                pool("tracks", READERS).map(
                    lambda t: t.prefetch(self._contig.name, at, at + inside), [track for track in tracks if track.is_far]
                )
            )
        for row, track in zip(columns, tracks):
            track.fill(row[:inside], self._contig.name, at)
        return columns.T

    def _gather(self, positions: Places, track: Track) -> Floats:
        return gather(positions, lambda low, high: self._slice(low, high, [track])[:, 0], "float32")

    def __setitem__(self, key: Any, values: Any) -> None:
        base_key, track_key = key if isinstance(key, tuple) and len(key) == 2 else (key, slice(None))
        try:
            start, stop = settle_stretch(base_key, self._length)
        except PositionError as error:
            raise PositionError(f"{self._describe()}: {error.message}", error.hint) from None
        tracks, axis = self._genome.select(track_key)
        if not tracks:
            raise InvalidInputError("values are written to tracks, and none is meant", "write contig[start:end, track] = values")
        new = np.broadcast_to(np.asarray(values, np.float32), (stop - start, *(axis or ()))).reshape(stop - start, -1)
        self._genome.write(
            self._contig.name,
            self._start + start,
            {track.name: np.ascontiguousarray(column) for track, column in zip(tracks, new.T)},
        )

    def _describe(self) -> str:
        whole = self._length == self._contig.length
        return self._contig.name if whole else f"{self._contig.name}:{self._start + 1:,}-{self._start + self._length:,}"

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.asarray(self[:], dtype)


class Bases:
    """The bases of a stretch of a contig, uint8 (ASCII), `N` outside of what is known; `reach` as for `Continuous`."""

    def __init__(self, genome: Genome, contig: Contig, start: int, end: int, reach: int | None = None):
        self._genome, self._contig, self._start, self._length, self._reach = genome, contig, start, end - start, reach

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, key: Any) -> Any:
        bases, form = settle_bases(key, self._length, self._reach)
        if not isinstance(bases, slice):
            return gather(bases, self._read, "uint8")
        found = self._read(bases.start, bases.stop)
        return found[0] if form == "one" else found

    def _read(self, start: int, end: int) -> np.ndarray:
        array, out = self._genome.sequence, np.full(end - start, _NO_BASE, np.uint8)
        if array is None:
            raise NotFoundError("the genome has no sequence", "give a FASTA to `modos genome init`")
        inside = min(end, self._length) - start
        if inside <= 0:
            return out
        at, size = self._contig.offset + self._start + start, array.spec.chunk

        def into(number: int, chunk: np.ndarray | None) -> None:
            if chunk is not None:
                low, high = max(number * size, at), min((number + 1) * size, at + inside)
                out[low - at : high - at] = chunk[low - number * size : high - number * size]

        array.chunks(range(at // size, (at + inside - 1) // size + 1), into)
        return out

    def __bytes__(self) -> bytes:
        data: bytes = self[:].tobytes()
        return data


class Supercontig:
    """A stretch of a contig that can have data, [start, end), 0-based."""

    def __init__(self, genome: Genome, contig: Contig, number: int):
        self.start, self.end = contig.supercontigs[number]
        self.name = f"supercontig_{number}"
        self.seq = Bases(genome, contig, self.start, self.end)
        self.continuous = Continuous(genome, contig, self.start, self.end)

    def project(self, position: int) -> int:
        """Project a position of the contig onto this stretch."""
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
        """Return the supercontigs that overlap positions of the contig."""
        bases, _ = settle_bases(key, self._length)
        if not isinstance(bases, slice):
            raise PositionError("give a position, or a slice without a step")
        return [s for s in self._all if s.start < bases.stop and s.end > bases.start]
