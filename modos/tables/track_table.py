"""Read tracks as a table of runs of equal values."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from modos.errors import InvalidInputError
from modos.genomics.region import Region, RegionLike, as_regions, settle
from modos.tables import arrow
from modos.tables.choosing import choose_fields
from modos.tracks.data import Runs
from modos.tracks.genome import Genome
from modos.tracks.runs import as_runs, join_runs
from modos.tracks.track import Track

_PLACES = ("contig", "start", "end")
_BASES = 1 << 20  # that are read at once of each track

_Stretches = tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.float32]]  # starts, ends, values (tracks, n)


class TrackTable(arrow.ArrowTable):
    """Tracks as a table: a row for each stretch in which all of them keep their values.

    The columns are `contig`, `start` (0-based), `end` (half-open) and one of
    float32 for each track, null where it has no value; bases where none has
    one are left out.

    Parameters
    ----------
    genome
        The genome of the tracks.
    region
        Of its contigs; None for all.
    columns
        Names of columns; None for all.

    Raises
    ------
    InvalidInputError
        There is no such column; a track is called as another column is.
    NotFoundError
        There is no such contig.
    """

    def __init__(
        self, genome: Genome, region: RegionLike | Iterable[RegionLike] | None = None, columns: Iterable[str] | str | None = None
    ):
        pa = arrow.load_pyarrow()
        if clash := next((name for name in genome.tracks if name in _PLACES), None):
            raise InvalidInputError(f"a track is called {clash}, as a column is", "give it another name (modos track rename)")
        self._genome = genome
        chosen = choose_fields(columns, (*_PLACES, *genome.tracks), f"the tracks of {genome.id}")
        self._tracks = genome.check_tracks(name for name in chosen if name not in _PLACES)
        regions = as_regions(region)
        if regions is None:
            self._regions = tuple(map(Region, genome.contigs))
        else:
            self._regions = settle(
                (Region(contig.name, start, end) for contig, start, end in map(genome.contigs.place, regions)),
                tuple(genome.contigs),
            )
        types = {"contig": pa.string(), "start": pa.int64(), "end": pa.int64()}
        self._schema = pa.schema([pa.field(name, types.get(name, pa.float32())) for name in chosen])

    def open(self) -> tuple[Any, Iterator[Any]]:
        """Return the schema, and an iterator of batches."""
        return self._schema, self._iter()

    def _iter(self) -> Iterator[Any]:
        for region in self._regions:
            contig, start, end = self._genome.contigs.place(region)
            if any(track.of_contig(contig.name).n for track in self._tracks):
                for stretches in _join(_iter_stretches(self._tracks, contig.name, start, end)):
                    yield self._make(contig.name, stretches)

    def _make(self, contig: str, stretches: _Stretches) -> Any:
        pa = arrow.load_pyarrow()
        starts, ends, values = stretches
        columns = {
            "contig": arrow.take_names(arrow.make_strings([contig]), np.zeros(len(starts), np.int32), "a track"),
            "start": arrow.make_numbers(starts),
            "end": arrow.make_numbers(ends),
        }
        columns |= {track.name: arrow.make_numbers(row, np.isnan(row)) for track, row in zip(self._tracks, values)}
        return pa.RecordBatch.from_arrays([columns[name] for name in self._schema.names], schema=self._schema)


def _iter_stretches(tracks: Sequence[Track], contig: str, start: int, end: int) -> Iterator[_Stretches]:
    """Yield the stretches of some bases after the other, cut where any track has a border."""
    for first in range(start, end, _BASES):
        last = min(first + _BASES, end)
        runs = [_read(track, contig, first, last) for track in tracks]
        borders = np.unique(np.concatenate([*(one.starts for one in runs), *(one.ends for one in runs)]))
        values = np.full((len(runs), max(len(borders) - 1, 0)), np.nan, np.float32)
        for row, one in zip(values, runs):
            if len(one.starts) and len(borders):
                at = np.searchsorted(one.starts, borders[:-1], "right") - 1
                is_inside = (at >= 0) & (borders[:-1] < one.ends[at])
                row[is_inside] = one.values[at[is_inside]]
        kept = ~np.isnan(values).all(axis=0)
        yield borders[:-1][kept], borders[1:][kept], values[:, kept]


def _read(track: Track, contig: str, start: int, end: int) -> Runs:
    parts = [as_runs(values) for values in track.iter_values(contig, start, end)]
    columns = (np.concatenate(column) for column in zip(*((part.starts, part.ends, part.values) for part in parts)))
    return join_runs(Runs(contig, *columns))


def _join(parts: Iterable[_Stretches]) -> Iterator[_Stretches]:
    """Unite neighbours with the same values, also from one part to the next."""
    held: _Stretches | None = None
    for starts, ends, values in parts:
        if held is not None:
            starts, ends = np.concatenate((held[0], starts)), np.concatenate((held[1], ends))
            values = np.concatenate((held[2], values), axis=1)
        if not len(starts):
            continue
        bits = values.view(np.uint32)
        goes_on = (starts[1:] == ends[:-1]) & (bits[:, 1:] == bits[:, :-1]).all(axis=0)
        first, last = np.concatenate(([True], ~goes_on)), np.concatenate((~goes_on, [True]))
        starts, ends, values = starts[first], ends[last], values[:, first]
        if len(starts) > 1:
            yield starts[:-1], ends[:-1], values[:, :-1]
        held = starts[-1:], ends[-1:], values[:, -1:]
    if held is not None:
        yield held
