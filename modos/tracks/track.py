"""The base class of all tracks."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from modos.errors import InvalidInputError
from modos.errors.escaping import escape_line
from modos.formats.html_tables import always, write_table
from modos.genomics.region import Region
from modos.tracks.contigs import CHUNK, Contigs
from modos.tracks.data import Floats, Places, Runs, Values
from modos.tracks.zooms import Summary, combine, summarise

STEP = 64 * CHUNK  # bases that are read at once where a region is gone through


class Track(ABC):
    """Numbers along a genome: a float32 per base, NaN where there is none.

    Attributes
    ----------
    name
        As it is asked for.
    contigs
        Of its genome.
    """

    name: str
    contigs: Contigs
    is_far = False  # whether reading it needs the network

    @abstractmethod
    def fill(self, out: Floats, contig: str, start: int) -> None:
        """Write the values of a contig from `start` (0-based) on into `out`, float32, (n,)."""

    @abstractmethod
    def statistics(self) -> dict[str, Summary]:
        """Return the summary of all values of each contig that has any."""

    @abstractmethod
    def of_contig(self, contig: str) -> Summary:
        """Return the summary of all values of one contig, without reading the others."""

    @abstractmethod
    def summary(self, region: Region | str) -> Summary:
        """Return the exact summary of a region's values, without the sum of squares if that needs all of them."""

    @abstractmethod
    def zoom(self, region: Region | str, bins: int = 1000) -> npt.NDArray[np.float64]:
        """Return summaries of equal parts of a region.

        Returns
        -------
        ndarray
            float64, (4, bins): n, mean, min, max of each; NaN where n is 0.
            A value at the border of two parts may count for its neighbour
            where parts are larger than 1,024 bases.
        """

    def check(self) -> None:
        """Raise what keeps the track from being read, if that shows when it is opened."""

    def values(self, region: Region | str) -> Floats:
        """Read the values of a region: shape (bases,), float32."""
        contig, start, end = self.contigs.place(region)
        out = np.empty(end - start, np.float32)
        self.fill(out, contig.name, start)
        return out

    def fill_windows(self, out: Floats, contigs: Sequence[str], starts: Places) -> None:
        """Write the values of many stretches into the rows of `out`, float32, (n, width)."""
        for row, contig, start in zip(out, contigs, starts.tolist()):
            self.fill(row, contig, start)

    def prefetch(self, contig: str, start: int, end: int) -> None:
        """Fetch what reading a region takes, where the track is far away."""

    @cached_property
    def total(self) -> Summary:
        """The summary of all values."""
        return combine(list(self.statistics().values()))

    def mean(self, region: Region | str | None = None) -> float:
        """Return the exact mean of a region's values, or of all; NaN if there are none."""
        return (self.total if region is None else self.summary(region)).mean

    def scan(self, region: Region | str) -> Summary:
        """Return the summary of a region's values, every one of them read."""
        contig, start, end = self.contigs.place(region)
        buffer, parts = np.empty(min(STEP, end - start), np.float32), []
        for at in range(start, end, STEP):
            values = buffer[: end - at]
            self.fill(values, contig.name, at)
            parts += [summarise(values[low : low + CHUNK]) for low in range(0, len(values), CHUNK)]
        return combine(parts)

    def histogram(self, bins: int, regions: Iterable[Region] | None = None) -> list[tuple[float, float, int]]:
        """Count the values of regions, or all, in equal steps from the least to the largest: from, to, number.

        The last step includes its end.
        """
        places = list(map(Region, self.statistics())) if regions is None else list(regions)
        found = self.total if regions is None else combine([self.summary(region) for region in places])
        if not found.n:
            return []
        counts, borders = np.zeros(bins, np.int64), np.histogram_bin_edges([], bins, (found.min, found.max))
        for region in places:
            contig, start, end = self.contigs.place(region)
            for part in self.iter_values(contig.name, start, end):
                counts += np.histogram(part.values[~np.isnan(part.values)], borders)[0]
        return list(zip(borders[:-1].tolist(), borders[1:].tolist(), counts.tolist()))

    def describe(self) -> dict[str, Any]:
        """Return what a listing says of the track."""
        return {"id": self.name, "bytes": 0, "masked": False}

    def iter_values(self, contig: str, start: int = 0, end: int | None = None) -> Iterator[Values]:
        """Iterate over the values of a stretch of a contig, some million at a time."""
        stop = self.contigs[contig].length if end is None else end
        for at in range(start, stop, STEP):
            values = np.empty(min(STEP, stop - at), np.float32)
            self.fill(values, contig, at)
            yield Values(contig, at, values)

    def iter_data(self, contigs: Iterable[str] | None = None) -> Iterator[Values | Runs]:
        """Read all data, contig by contig, of some contigs or all: float32 values of shape (bases,), or as runs."""
        for contig in self.statistics() if contigs is None else contigs:
            yield from self.iter_values(contig)

    def __array__(self, dtype: object = None, copy: bool | None = None) -> np.ndarray:
        raise InvalidInputError(
            f"the track {self.name} has too many values for one array", "take those of a region: track.values('chr1:1-1000')"
        )

    def tell(self) -> tuple[str, str]:
        """Tell in words what is known of the track without reading it: its id, and what it is kept as."""
        facts = self.describe()
        return str(facts["id"]), ", ".join(filter(None, (facts.get("encoding", ""), "masked" if facts.get("masked") else "")))

    def plot(self, region: Region | str, **options: Any) -> Any:
        """Plot a region: a matplotlib.figure.Figure, with options and errors as of `modos.plot` (extra `plot`)."""
        import modos

        return modos.plot(self, region, **options)

    def __repr__(self) -> str:
        return escape_line(f"<track {self.name}>")

    @always
    def _repr_html_(self) -> str:
        own, kept = self.tell()
        rows = [("id", own), ("kept as", kept), ("contigs", f"{len(self.contigs):,}")]
        bases = [("bases", f"{sum(self.contigs.lengths.values()):,}")]
        return write_table(f"track {self.name}", [*filter(lambda row: row[1], rows), *bases])
