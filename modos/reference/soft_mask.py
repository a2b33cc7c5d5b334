"""Soft masks of assemblies, kept as a table beside upper-case sequences."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt

from modos.errors import IntegrityError, InvalidInputError
from modos.errors.missing import load_late, need
from modos.reference.annotations.parquet import read_parquet

if TYPE_CHECKING:
    import polars as pl
else:
    pl = load_late("polars")

_COLUMNS = ("contig", "start", "end")


class MaskTable(NamedTuple):
    """The file of a table: its name, size in bytes and SHA-256."""

    file: str
    size: int
    sha256: str


class MaskCollector:
    """The masked stretches of sequences that come in pieces."""

    def __init__(self) -> None:
        self._found: list[tuple[str, npt.NDArray[np.int64]]] = []
        self._spans: list[npt.NDArray[np.int64]] = []
        self._length = 0

    def add(self, bases: bytes) -> None:
        """Add the next bases of the sequence."""
        masked = np.frombuffer(bases, np.uint8) >= ord("a")
        if masked.any():
            if not self._found and not self._spans:
                need("polars")  # before all is read in vain
            borders = np.flatnonzero(np.diff(np.concatenate(([False], masked, [False])).astype(np.int8)))
            self._spans.append(borders.reshape(-1, 2) + self._length)
        self._length += len(bases)

    def finish(self, contig: str) -> None:
        """Finish the sequence; the next one begins."""
        if self._spans:
            spans = np.concatenate(self._spans)
            apart = np.concatenate(([True], spans[1:, 0] != spans[:-1, 1]))  # pieces have cut some in two
            self._found.append(
                (contig, np.stack((spans[apart, 0], spans[np.append(np.flatnonzero(apart)[1:] - 1, len(spans) - 1), 1])))
            )
        self._spans, self._length = [], 0

    def write(self, folder: Path) -> MaskTable | None:
        """Write the table into a folder; nothing if nothing is masked."""
        if not self._found:
            return None
        counts = [spans.shape[1] for _, spans in self._found]
        names = pl.Series("contig", [contig for contig, _ in self._found]).gather(np.repeat(np.arange(len(counts)), counts))
        starts, ends = np.concatenate([spans for _, spans in self._found], axis=1)
        path = folder / "masked.parquet"
        pl.DataFrame({"contig": names, "start": starts, "end": ends}).write_parquet(
            path, compression="zstd", compression_level=12
        )
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        named = f"masked.{digest[:16]}.parquet"
        path.rename(folder / named)
        return MaskTable(named, (folder / named).stat().st_size, digest)


class Mask:
    """The masked stretches of an assembly, by contig: (2, n) int64, 0-based half-open, in order."""

    def __init__(self, path: Path):
        try:
            table = read_parquet(path, _COLUMNS)
            kinds = table["contig"].dtype == pl.String and all(table[name].dtype.is_integer() for name in _COLUMNS[1:])
            if not kinds or any(column.null_count() for column in table):
                raise ValueError("its columns are not those of stretches")
            self._spans = {
                str(contig): part.select("start", "end").to_numpy().T.astype(np.int64)
                for (contig,), part in table.group_by("contig", maintain_order=True)
            }
            if not all(map(_are_apart, self._spans.values())):
                raise ValueError("its stretches overlap, or are not in order")
        except (pl.exceptions.PolarsError, ValueError) as error:
            if isinstance(error, InvalidInputError):
                raise
            raise IntegrityError(f"{path} is damaged: {str(error).splitlines()[0]}", "see `modos reference verify`") from None

    def spans(self, contig: str) -> npt.NDArray[np.int64]:
        """Return the masked stretches of a contig: shape (2, n), int64, starts and ends, 0-based half-open."""
        return self._spans.get(contig, np.empty((2, 0), np.int64))

    def lower(self, contig: str, start: int, bases: bytes) -> bytes:
        """Lower the masked bases among the bases from a position on."""
        spans, end = self.spans(contig), start + len(bases)
        first, last = np.searchsorted(spans[1], start, "right"), np.searchsorted(spans[0], end, "left")
        letters = np.frombuffer(bases, np.uint8).copy()
        for low, high in spans[:, first:last].T.tolist():
            letters[max(low - start, 0) : high - start] |= 32
        return letters.tobytes()


def _are_apart(spans: npt.NDArray[np.int64]) -> bool:
    starts, ends = spans
    return bool(starts[0] >= 0 and (starts < ends).all() and (ends[:-1] <= starts[1:]).all())
