"""Check that the arrays of a track fit a genome before their sizes are believed."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

from modos.tracks import zooms
from modos.tracks.contigs import CHUNK, GRAIN, Contigs
from modos.tracks.frames import HEADER
from modos.tracks.zarr_layout import CHUNKS_IN_SHARD, CRC_SIZE, INDEX_SIZE, ArraySpec

_DIVISORS = frozenset(10**decimals for decimals in range(7))


def fits_values(spec: ArraySpec, contigs: Contigs) -> bool:
    """Return whether an array can have a track's value of each base."""
    integers = spec.dtype in ("int8", "int16")
    return (
        spec.shape == (contigs.size,)
        and spec.chunk == CHUNK
        and (integers or spec.dtype == "float32")
        and integers == ("divisor" in spec.attributes)
        and _has_divisor(spec.attributes)
    )


def fits_runs(spec: ArraySpec, contigs: Contigs) -> bool:
    """Return whether an array can have a track's runs: none is shorter than a base."""
    origins = spec.attributes["origins"]
    return (
        len(spec.shape) == 2
        and spec.shape[0] == 3
        and spec.length <= contigs.size
        and spec.dtype == "uint32"
        and spec.chunk <= CHUNK
        and _has_divisor(spec.attributes)
        and _is_full(spec)
        and type(origins) is list
        and len(origins) == -(-spec.length // spec.chunk)
        and all(type(origin) is int for origin in origins)
        and all(low <= high for low, high in pairwise([0, *origins, contigs.size]))
    )


def fits_zoom(spec: ArraySpec, contigs: Contigs) -> bool:
    """Return whether an array can have the zoom levels of a track, each with a bin for all of the axis."""
    try:
        levels = zooms.read_levels(spec.attributes)
    except (KeyError, TypeError, ValueError, OverflowError):
        return False
    return (
        len(spec.shape) == 2
        and spec.shape[0] == len(zooms.ROWS)
        and spec.dtype == "float64"
        and spec.length <= 2 * -(-contigs.size // GRAIN) + GRAIN
        and all(
            level.bin >= GRAIN and level.bins == -(-contigs.size // level.bin) and 0 <= level.first <= spec.length - level.bins
            for level in levels
        )
        and all(finer.bin * zooms.STEP == level.bin for finer, level in pairwise(levels))
    )


def fits_statistics(spec: ArraySpec, contigs: Contigs) -> bool:
    """Return whether an array can have the statistics of each contig."""
    return spec.shape == (len(zooms.STATISTICS), len(contigs)) and spec.dtype == "float64"


def fits_mask(spec: ArraySpec, contigs: Contigs) -> bool:
    """Return whether an array can have spans of the axis, which are apart from each other and not empty."""
    return (
        len(spec.shape) == 2
        and spec.shape[0] == 2
        and spec.length <= (contigs.size + 1) // 2
        and spec.dtype == "int64"
        and spec.chunk <= zooms.CHUNK
        and _is_full(spec)
    )


def fits_sequence(spec: ArraySpec, contigs: Contigs) -> bool:
    """Return whether an array can have the bases of a genome."""
    return spec.shape == (contigs.size,) and spec.dtype == "uint8" and spec.chunk <= CHUNK


def _has_divisor(attributes: Mapping[str, Any]) -> bool:
    divisor = attributes.get("divisor", 1)
    return type(divisor) is int and divisor in _DIVISORS


def _is_full(spec: ArraySpec) -> bool:
    """Return whether the shards can hold all chunks, as those of an array do of which no chunk has nothing but zeros."""
    chunks = -(-spec.length // spec.chunk)
    return all(
        size >= INDEX_SIZE + (HEADER + CRC_SIZE) * min(CHUNKS_IN_SHARD, chunks - number * CHUNKS_IN_SHARD)
        for number, size in enumerate(spec.sizes)
    )
