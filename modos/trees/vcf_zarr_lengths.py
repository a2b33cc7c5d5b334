"""Give the variants of a VCF Zarr the lengths that htslib gives them, by which regions are found."""

from __future__ import annotations

from array import array
from importlib import import_module
from pathlib import Path
from typing import Any


class VariantLengths:
    """Lengths of the variants of a tree, which are compared one after the other with those of its source.

    bio2zarr counts the bases of REF or up to END; htslib as well those of
    SVLEN, where an allele is symbolic, and of FORMAT LEN.

    Parameters
    ----------
    tree
        VCF Zarr in a folder of this machine.
    """

    def __init__(self, tree: Path):
        import zarr

        self._tree = tree
        group: Any = zarr.open_group(tree, mode="r+")
        self._group, self._array = group, group["variant_length"]
        self._size: int = self._array.chunks[0]
        self._row = 0
        self._chunk: list[int] = []
        self._rows, self._lengths = array("q"), array("q")  # of those that differ

    def compare(self, length: int | None) -> None:
        """Compare the length of the next variant; None where the source has none for it."""
        within = self._row % self._size
        if within == 0:
            self._chunk = self._array[self._row : self._row + self._size].tolist()
        if length is not None and self._chunk[within] != length:
            self._rows.append(self._row)
            self._lengths.append(length)
        self._row += 1

    def mend(self) -> None:
        """Write those that differ, and the index of regions, which is made of them."""
        import numpy as np

        if not self._rows:
            return
        rows, lengths = np.array(self._rows), np.array(self._lengths)
        for chunk in np.unique(rows // self._size).tolist():
            start, of_chunk = chunk * self._size, rows // self._size == chunk
            values = self._array[start : start + self._size]
            values[rows[of_chunk] - start] = lengths[of_chunk]
            self._array[start : start + len(values)] = values
        del self._group["region_index"]
        import_module("bio2zarr.vcf").create_index(self._tree)
