"""Open tracks as dask arrays whose blocks are read when they are computed."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from modos.errors import InvalidInputError

if TYPE_CHECKING:
    import xarray

    from modos.tracks.genome import Genome


@lru_cache(8)
def _open_cached(reopen: Callable[[], Genome]) -> Genome:
    return reopen()


def _block(reopen: Callable[[], Genome], contig: str, names: tuple[str, ...], start: int, end: int) -> np.ndarray:
    genome = _open_cached(reopen)
    values: np.ndarray = genome[contig][start:end, list(names)]
    return values


def to_dataset(genome: Genome, reopen: Callable[[], Genome], contigs: list[str], chunk: int) -> xarray.Dataset:
    """See `Genome.to_xarray`."""
    try:
        import dask.array
        import xarray
        from dask.delayed import delayed
    except ImportError:
        raise InvalidInputError("xarray and dask are not installed", "pip install 'modos-store[xarray]'") from None
    names = tuple(genome.tracks)
    if not names:
        raise InvalidInputError("the genome has no tracks")
    variables = {}
    for contig in contigs:
        length = genome.contigs[contig].length
        blocks = [
            dask.array.from_delayed(
                delayed(_block, pure=True)(reopen, contig, names, at, min(at + chunk, length)),
                (min(chunk, length - at), len(names)),
                np.float32,
            )
            for at in range(0, length, chunk)
        ]
        variables[contig] = ((f"position_{contig}", "track"), dask.array.concatenate(blocks))
    return xarray.Dataset(variables, coords={"track": list(names)})
