"""A genome with its sequence and tracks, indexed like arrays.

Positions are 0-based half-open in indices, as in Python, and 1-based
inclusive in text, as in samtools.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np

from modos.errors import (
    InvalidInputError,
    NotFoundError,
    RegionError,
    did_you_mean,
    listing,
)
from modos.errors.escaping import escape_line
from modos.formats.html_tables import MOST_ROWS, always, write_table
from modos.genomics.region import Region
from modos.tracks.contigs import Contig, Contigs, past_end_error
from modos.tracks.data import Floats
from modos.tracks.positions import PositionError
from modos.tracks.sharded import ShardedArray, pool
from modos.tracks.track import Track
from modos.tracks.views import READERS, ContigView
from modos.tracks.zooms import Summary

if TYPE_CHECKING:
    import xarray

TrackKey = Any  # a number, name, slice, list or array of tracks
_XARRAY_CHUNK = 1 << 20  # bases


Write = Callable[[str, int, Mapping[str, Floats]], "Genome"]


class Genome(Mapping[str, ContigView]):
    """Contigs, sequence and tracks.

    Parameters
    ----------
    contigs
        Of the genome.
    tracks
        In the order in which numbers stand for them.
    sequence
        A byte per base, where there is one; or what opens it, when it is first read.
    write
        Writes values of tracks (contig, start, values by track's name), and
        gives the genome as it is then.
    reopen
        Opens the same again, in another process.
    format_version
        Of the layout that it is kept in; None for a bigWig file.
    """

    def __init__(
        self,
        contigs: Contigs,
        tracks: Iterable[Track],
        sequence: ShardedArray | Callable[[], ShardedArray] | None = None,
        write: Write | None = None,
        reopen: Callable[[], Genome] | None = None,
        id: str = "genome",
        format_version: int | None = None,
    ):
        self.id = id
        self.format_version = format_version
        self.contigs = contigs
        self.tracks = {track.name: track for track in tracks}
        self._sequence = sequence
        self._write = write
        self._reopen = reopen
        self._is_open = True

    @property
    def has_sequence(self) -> bool:
        """Return whether the bases are known."""
        return self._sequence is not None

    @property
    def sequence(self) -> ShardedArray | None:
        """A byte per base, where there is one."""
        if callable(self._sequence):
            self._sequence = self._sequence()
        return self._sequence

    def __reduce__(self) -> tuple[Any, ...]:
        if self._reopen is None:
            raise InvalidInputError(f"the genome {self.id} cannot be pickled", "open it in each process")
        return self._reopen, ()

    def __getitem__(self, key: Any) -> Any:
        """Return a contig by name; or the values of a region as text, of all tracks or of some.

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
        """Count as closed from now on; nothing has to be freed."""
        self._is_open = False

    @property
    def isopen(self) -> bool:
        """Return whether the genome is still open."""
        return self._is_open

    def track(self, name: str) -> Track:
        """Return a track by name; raise NotFoundError if there is none."""
        if name not in self.tracks:
            near = did_you_mean(name, self.tracks)
            raise NotFoundError(
                f"no track {name}",
                f"did you mean {near}?"
                if near
                else f"there are {listing(self.tracks)}"
                if self.tracks
                else "the genome has none",
            )
        return self.tracks[name]

    def check_tracks(self, names: Iterable[str] | None = None) -> list[Track]:
        """Return some tracks, or all, when all of them are open, several at once; raise what keeps one from being read."""
        chosen = list(self.tracks.values()) if names is None else [self.track(name) for name in names]
        list(pool("tracks", READERS).map(lambda track: track.check(), chosen))
        return chosen

    def plot(self, region: Region | str, **options: Any) -> Any:
        """Plot a region of all tracks: a matplotlib.figure.Figure, with options and errors as of `modos.plot` (extra `plot`)."""
        import modos

        return modos.plot(self, region, **options)

    @property
    def num_tracks_continuous(self) -> int:
        """Number of tracks."""
        return len(self.tracks)

    @property
    def tracknames_continuous(self) -> list[str]:
        """Names of the tracks."""
        return list(self.tracks)

    def index_continuous(self, name: str) -> int:
        """Return the number that stands for a track."""
        self.track(name)
        return self.tracknames_continuous.index(name)

    def select(self, key: TrackKey) -> tuple[list[Track], tuple[int, ...] | None]:
        """Select the tracks that a key stands for, and the shape of its axis: None for one track alone."""
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

    def windows(self, regions: Iterable[str | Region | tuple[str, int, int]], tracks: TrackKey = slice(None)) -> Floats:
        """Read the values of many regions of the same width.

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
        places = [
            (self.contigs.resolve(r[0]) or self.contigs[r[0]].name, *r[1:])
            if isinstance(r, tuple)
            else _named(*self.contigs.place(r))
            for r in regions
        ]
        widths = {end - start for _, start, end in places}
        if len(widths) > 1:
            raise InvalidInputError(f"the regions are {min(widths):,} to {max(widths):,} bases wide", "all must have one width")
        width = widths.pop() if widths else 0
        names, starts = [place[0] for place in places], np.array([place[1] for place in places], np.int64)
        for name, start, end in places:
            if start < 0 or width < 1 or end > self.contigs.lengths[name]:
                raise (
                    past_end_error(self.contigs[name], end)
                    if start >= 0 and width > 0
                    else RegionError(f"{name}, {start:,} to {end:,}, is no region")
                )
        chosen, _ = self.select(tracks if not isinstance(tracks, (str, int)) else [tracks])
        out = np.empty((len(places), len(chosen), width), np.float32)

        def fill(number: int) -> None:
            chosen[number].fill_windows(out[:, number], names, starts)

        if any(track.is_far for track in chosen):
            list(pool("tracks", READERS).map(fill, range(len(chosen))))
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

    def write(self, contig: str, start: int, values: Mapping[str, Floats]) -> None:
        """Change values of tracks, by name, in one commit."""
        if self._write is None:
            raise InvalidInputError("this genome can only be read", "bring its tracks into an object with `modos track add`")
        self.tracks = self._write(contig, start, values).tracks

    def to_xarray(self, contigs: Iterable[str] | None = None) -> xarray.Dataset:
        """Return whole contigs as arrays that are read when they are computed, here or on a dask cluster.

        Returns
        -------
        xarray.Dataset
            A variable per contig, float32, with the dimensions
            `position_<contig>` (0-based) and `track`.
        """
        from modos.tracks.xarray import to_dataset

        if self._reopen is None:
            raise InvalidInputError("this genome cannot be opened again by other processes")
        return to_dataset(self, self._reopen, list(self.contigs if contigs is None else contigs), _XARRAY_CHUNK)

    def __repr__(self) -> str:
        return escape_line(f"<genome {self.id}: {len(self.contigs):,} contigs, {len(self.tracks):,} tracks>")

    @always
    def _repr_html_(self) -> str:
        title = f"genome {self.id}: {len(self.contigs):,} contigs, {sum(self.contigs.lengths.values()):,} bases"
        rows = ((name, *track.tell()) for name, track in islice(self.tracks.items(), MOST_ROWS))
        tracks = write_table(title, rows, ("track", "id", "kept as"), total=len(self.tracks))
        return tracks + self.contigs._repr_html_()


def _named(contig: Contig, start: int, end: int) -> tuple[str, int, int]:
    return contig.name, start, end
