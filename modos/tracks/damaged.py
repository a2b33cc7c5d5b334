"""A stand-in for a track that cannot be read, which says why when it is asked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NoReturn

import numpy as np
import numpy.typing as npt

from modos.errors import ModosError
from modos.genomics.region import Region
from modos.tracks.contigs import Contigs
from modos.tracks.data import Floats, Places
from modos.tracks.track import Track
from modos.tracks.zooms import Summary


class DamagedTrack(Track):
    """A track of an object, of which nothing but the name is believed.

    Parameters
    ----------
    error
        What is wrong with it.
    """

    def __init__(self, name: str, element_id: str, contigs: Contigs, error: ModosError):
        self.name = name
        self.element_id = element_id
        self.contigs = contigs
        self.error = error

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.name, self.element_id, self.contigs, self.error)

    def _refuse(self) -> NoReturn:
        raise type(self.error)(self.error.message, self.error.hint)

    def __getattr__(self, name: str) -> NoReturn:
        if name.startswith("__"):  # of Python's own protocols
            raise AttributeError(name)
        self._refuse()

    def tell(self) -> tuple[str, str]:
        """Tell its id, and that it cannot be read."""
        return self.element_id, "cannot be read"

    def check(self) -> None:
        """Raise what is wrong with it."""
        self._refuse()

    def describe(self) -> dict[str, Any]:
        """Return what a listing says of the track."""
        self._refuse()

    def fill(self, out: Floats, contig: str, start: int) -> None:
        """Write the values of a stretch into `out`, float32; see `Track.fill`."""
        self._refuse()

    def fill_windows(self, out: Floats, contigs: Sequence[str], starts: Places) -> None:
        """Write the values of many stretches into `out`, float32; see `Track.fill_windows`."""
        self._refuse()

    def statistics(self) -> dict[str, Summary]:
        """Return the statistics of all values; see `Track.statistics`."""
        self._refuse()

    def of_contig(self, contig: str) -> Summary:
        """Return the statistics of a contig; see `Track.of_contig`."""
        self._refuse()

    def summary(self, region: Region | str) -> Summary:
        """Summarise the values of a region; see `Track.summary`."""
        self._refuse()

    def zoom(self, region: Region | str, bins: int = 1000) -> npt.NDArray[np.float64]:
        """Summarise equal parts of a region from zoom levels: shape (4, bins), float64, or None; see `Track.zoom`."""
        self._refuse()


class LockedTrack(DamagedTrack):
    """A track that is encrypted, without a key for it."""

    def tell(self) -> tuple[str, str]:
        """Tell its id, and that it is encrypted."""
        return self.element_id, "encrypted, and there is no key"
