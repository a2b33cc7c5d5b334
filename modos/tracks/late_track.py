"""A track that is opened when it is first read, as opening it takes reading."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NoReturn

import numpy as np
import numpy.typing as npt

from modos.errors import InvalidInputError
from modos.genomics.region import Region
from modos.storage.processes.forking import cached_property
from modos.tracks.contigs import Contigs
from modos.tracks.data import Floats, Places, Runs, Values
from modos.tracks.stored_track import StoredTrack
from modos.tracks.track import Track
from modos.tracks.zooms import Summary


class LateTrack(Track):
    """A track of which the name and the contigs are known before it is opened.

    It cannot be pickled, as what opens it may be a secret key.

    Parameters
    ----------
    open_track
        Opens it.
    """

    def __init__(self, name: str, element_id: str, contigs: Contigs, is_far: bool, open_track: Callable[[], StoredTrack]):
        self.name = name
        self.element_id = element_id
        self.contigs = contigs
        self.is_far = is_far
        self._open_track = open_track

    @cached_property
    def opened(self) -> StoredTrack:
        """The track itself."""
        return self._open_track()

    def __reduce__(self) -> NoReturn:
        raise InvalidInputError(
            f"the track {self.name} is decrypted here, and its key cannot be pickled", "open it in each process"
        )

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # of Python's own protocols
            raise AttributeError(name)
        return getattr(self.opened, name)

    def check(self) -> None:
        """Open the track."""
        self.opened  # noqa: B018 - opened when it is asked for

    def describe(self) -> dict[str, Any]:
        """Return what a listing says of the track."""
        return self.opened.describe() | {"encrypted": True}

    def fill(self, out: Floats, contig: str, start: int) -> None:
        """Write the values of a stretch into `out`, float32; see `Track.fill`."""
        self.opened.fill(out, contig, start)

    def fill_windows(self, out: Floats, contigs: Sequence[str], starts: Places) -> None:
        """Write the values of many stretches into `out`, float32; see `Track.fill_windows`."""
        self.opened.fill_windows(out, contigs, starts)

    def prefetch(self, contig: str, start: int, end: int) -> None:
        """Fetch what reading a stretch takes; see `Track.prefetch`."""
        self.opened.prefetch(contig, start, end)

    def scan(self, region: Region | str) -> Summary:
        """Return the summary of a region's values, every one of them read."""
        return self.opened.scan(region)

    def statistics(self) -> dict[str, Summary]:
        """Return the statistics of all values; see `Track.statistics`."""
        return self.opened.statistics()

    def of_contig(self, contig: str) -> Summary:
        """Return the statistics of a contig; see `Track.of_contig`."""
        return self.opened.of_contig(contig)

    def summary(self, region: Region | str) -> Summary:
        """Summarise the values of a region; see `Track.summary`."""
        return self.opened.summary(region)

    def zoom(self, region: Region | str, bins: int = 1000) -> npt.NDArray[np.float64]:
        """Summarise equal parts of a region from zoom levels: shape (4, bins), float64; see `Track.zoom`."""
        return self.opened.zoom(region, bins)

    def iter_data(self, contigs: Iterable[str] | None = None) -> Iterator[Values | Runs]:
        """Read all data, contig by contig: float32 values of shape (bases,), or as runs; see `Track.iter_data`."""
        return self.opened.iter_data(contigs)
