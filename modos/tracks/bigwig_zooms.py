"""Summarise equal parts of a bigWig region, from its zoom levels or from its values."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from modos.errors import IntegrityError, InvalidInputError
from modos.tracks.bigwig_blocks import BigWigBlocks
from modos.tracks.data import Places

_EXACT = 1e-6  # what sums of fractions of bases may be off


def zoom_blocks(blocks: BigWigBlocks, contig: str, start: int, end: int, bins: int) -> npt.NDArray[np.float64]:
    """Return n, mean, min and max of equal parts of a region, float64, (4, bins); NaN where n is 0.

    A value of a zoom level counts for each part that it is in by its share of
    it; bases are rounded up, as UCSC has it. Parts of less than a base have
    the value of the base that they are in.

    Raises
    ------
    IntegrityError, InvalidInputError
        The file is damaged, or lies.
    """
    if bins < 1:
        raise InvalidInputError(f"{bins} bins: at least one is needed")
    borders, cells = np.unique(start + np.arange(bins + 1) * (end - start) // bins, return_inverse=True)
    if len(borders) < 2:
        return np.concatenate([np.zeros((1, bins)), np.full((3, bins), np.nan)])
    parts = _Parts(borders)
    levels = blocks.zoom_rows(contig, start, end, (end - start) / (2 * bins))
    if levels is None:
        for starts, ends, values in blocks.rows(contig, start, end):
            parts.add(starts, ends, ends - starts, values.astype(np.float64) * (ends - starts), values, values)
    else:
        for rows in levels:
            if not parts.add(
                rows["start"].astype(np.int64), rows["end"].astype(np.int64), rows["n"], rows["sum"], rows["min"], rows["max"]
            ):
                raise IntegrityError(f"{blocks.path} is damaged: values of a zoom level overlap", "copy it again")
    return parts.result()[:, cells[:-1]]


class _Parts:
    """Sums, minima and maxima between borders, added to stretch by stretch."""

    def __init__(self, borders: Places):
        count = len(borders) - 1
        self._borders = borders
        self._n, self._total = np.zeros(count), np.zeros(count)
        self._low, self._high = np.full(count, np.inf), np.full(count, -np.inf)

    def add(self, starts: Places, ends: Places, n: np.ndarray, total: np.ndarray, low: np.ndarray, high: np.ndarray) -> bool:
        """Add stretches; False, and nothing is added, where they lie on top of each other."""
        borders, count = self._borders, len(self._n)
        used = (starts < ends) & (starts < borders[-1]) & (ends > borders[0]) & (n > 0) & ~np.isnan(total)
        starts, ends, n, total, low, high = (column[used] for column in (starts, ends, n, total, low, high))
        first = np.searchsorted(borders, np.maximum(starts, borders[0]), "right") - 1
        spans = np.searchsorted(borders, np.minimum(ends, borders[-1]), "left") - first
        if spans.sum() > 4 * (len(starts) + count):
            return False
        row = np.repeat(np.arange(len(starts)), spans)
        part = np.arange(len(row)) - np.repeat(np.cumsum(spans) - spans, spans) + first[row]
        overlap, size = np.minimum(ends[row], borders[part + 1]) - np.maximum(starts[row], borders[part]), (ends - starts)[row]
        self._n += np.bincount(part, n[row].astype(np.float64) * overlap / size, count)
        self._total += np.bincount(part, total[row].astype(np.float64) * overlap / size, count)
        np.fmin.at(self._low, part, low[row].astype(np.float64))
        np.fmax.at(self._high, part, high[row].astype(np.float64))
        return True

    def result(self) -> npt.NDArray[np.float64]:
        """Return n, mean, min and max of each part."""
        out = np.stack([np.ceil(self._n - _EXACT), *np.full((3, len(self._n)), np.nan)])
        has = self._n > 0
        out[1:, has] = self._total[has] / self._n[has], self._low[has], self._high[has]
        out[0, ~has] = 0
        return out
