"""Stream a VCF Zarr as the VCF that it was made of: whole, or the variants that overlap some regions."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from modos.errors import IntegrityError, InvalidInputError, ModosError
from modos.formats import BGZF_EOF, FORMATS
from modos.genomics.index.bgzf import compress
from modos.genomics.region import Region, RegionLike, Regions, settle, unknown_contig_error
from modos.genomics.sources import Stream
from modos.storage.prefetch import fetch_ahead
from modos.storage.processes.forking import cached_property
from modos.trees.kinds import find_kind
from modos.trees.tree_opening import open_group, require
from modos.trees.vcf_zarr_text import header_of, records_of

if TYPE_CHECKING:
    import numpy as np

    from modos.trees.tree_store import TreeStore

_WORKERS = 16  # files that are read at once
_AHEAD = 64 << 20  # bytes of chunks that are read ahead
_INDEX_COLUMNS = 6  # chunk, contig, first position, last position, last end, number of variants
_NEEDED = ("variant_contig", "variant_position", "variant_length", "variant_allele", "contig_id", "sample_id")


class VcfZarrSource:
    """The variants of a VCF Zarr, as a VCF that is streamed; see `modos.genomics.sources.Source`.

    The arrays are read through the tree's store, which compares each file;
    vcztools is given the group, and opens nothing itself.

    Parameters
    ----------
    store
        Of a VCF Zarr.

    Raises
    ------
    InvalidInputError
        It is none, or vcztools is not installed.
    """

    format = FORMATS["VCF"]

    def __init__(self, store: TreeStore):
        found = find_kind(store.metadata)
        if found != "VCF-Zarr":
            raise InvalidInputError(
                f"{store} is {found or 'a Zarr hierarchy of no kind that is known'}, and no VCF Zarr with variants to stream",
                "open it in Python with MODO(...)[element].to_zarr()",
            )
        require("vcztools", "vcf-zarr")
        self._store = store
        self.name = str(store)

    def open(self, regions: Sequence[RegionLike] | None) -> Iterator[Stream]:
        """Open one stream."""
        meant = None if regions is None else self._settle(regions)
        yield Stream(meant, None, self._iter_pieces(meant), is_verified=True)

    def open_header(self) -> Iterator[bytes]:
        """Open the header, without an end marker."""
        with self._translate_errors(), self._open_reader() as reader:
            yield compress(header_of(_writing(), reader).encode())

    def contigs(self) -> tuple[str, ...]:
        """Return the contigs of the header."""
        return self._contigs

    def measure(self, regions: Sequence[Region]) -> None:
        """Return None: its chunks are not looked up for that."""

    @cached_property
    def _contigs(self) -> tuple[str, ...]:
        with self._translate_errors():
            return tuple(map(str, self._group["contig_id"][:].tolist()))

    @cached_property
    def _group(self) -> Any:
        group = open_group(self._store)
        if missing := [name for name in _NEEDED if name not in group]:
            raise IntegrityError(f"{self.name} is no whole VCF Zarr: it has no {missing[0]}", "write the tree again")
        return group

    def _settle(self, regions: Sequence[RegionLike]) -> Regions:
        settled = settle(regions, self._contigs)
        if unknown := next((region.contig for region in settled if region.contig not in self._contigs), None):
            raise unknown_contig_error(unknown, self._contigs)
        return settled

    def _iter_pieces(self, regions: Regions | None) -> Iterator[bytes]:
        """Yield the header, the records of each chunk, and the end marker, in BGZF blocks."""
        with self._translate_errors(), self._open_reader() as reader:
            writing = _writing()
            yield compress(header_of(writing, reader).encode())
            if regions is not None:
                reader.set_variants(self._plan(regions, reader.variants_chunk_size))
            for chunk in reader.variant_chunks():
                yield compress(records_of(writing, reader, chunk).encode())
            yield BGZF_EOF

    @contextmanager
    def _open_reader(self) -> Iterator[Any]:
        reading = import_module("vcztools.retrieval")
        with reading.VczReader(self._group, readahead_workers=_WORKERS, readahead_bytes=_AHEAD) as reader:
            yield reader

    def _plan(self, regions: Regions, chunk_size: int) -> Any:
        """Plan which variants are read: those that overlap some regions, in the tree's order."""
        import numpy as np

        spans: dict[int, list[tuple[int, int]]] = {}
        for region in regions:
            spans.setdefault(self._contigs.index(region.contig), []).append((region.start, region.limit))
        find = partial(self._find_in_chunk, spans)
        found = [rows for rows in fetch_ahead(find, self._find_chunks(spans), _WORKERS, 2 * _WORKERS) if len(rows)]
        rows = np.concatenate(found) if found else np.empty(0, dtype=np.int64)
        return import_module("vcztools.regions").chunk_plan_from_indexes(rows, min_chunk=chunk_size)

    def _find_in_chunk(self, spans: dict[int, list[tuple[int, int]]], chunk: int, _: threading.Event) -> np.ndarray:
        """Find the numbers of the variants of a chunk of positions that overlap spans of contigs."""
        import numpy as np

        size = self._group["variant_position"].chunks[0]
        rows = slice(chunk * size, (chunk + 1) * size)
        contigs, positions, lengths = (
            self._group[name][rows].astype(np.int64) for name in ("variant_contig", "variant_position", "variant_length")
        )
        overlaps = np.zeros(len(positions), dtype=bool)
        for contig, wanted in spans.items():
            for start, end in wanted:
                overlaps |= (contigs == contig) & (positions - 1 < end) & (positions - 1 + lengths > start)
        found: np.ndarray = rows.start + np.flatnonzero(overlaps)
        return found

    def _find_chunks(self, spans: dict[int, list[tuple[int, int]]]) -> list[int]:
        """Find the chunks of positions that may have variants of spans: by the index of the tree where it has a sound one."""
        positions = self._group["variant_position"]
        size, total = positions.chunks[0], positions.shape[0]
        every = list(range(-(-total // size)))
        if "region_index" not in self._group:
            return every
        index = self._group["region_index"][:]
        if index.ndim != 2 or index.shape[1] != _INDEX_COLUMNS or not _counts_all(index, size, total):
            return every
        return sorted(
            {
                int(chunk)
                for chunk, contig, first, _, last_end, _ in index.tolist()
                if any(first - 1 < end and last_end > start for start, end in spans.get(contig, ()))
            }
        )

    @contextmanager
    def _translate_errors(self) -> Iterator[None]:
        try:
            yield
        except (ModosError, BrokenPipeError):
            raise
        except Exception as error:  # each library has its own ones for what it does not take
            if cause := _find_own(error):
                raise cause from None
            raise IntegrityError(
                f"{self.name} cannot be read as VCF Zarr: {type(error).__name__}: {error}",
                "open it with to_zarr(), and look what it has",
            ) from error


def iter_lines(tree: Path) -> Iterator[str]:
    """Iterate over the records of a VCF Zarr in a folder of this machine, as lines."""
    import zarr

    reading, writing = import_module("vcztools.retrieval"), _writing()
    with reading.VczReader(zarr.open_group(tree, mode="r"), readahead_workers=1, readahead_bytes=_AHEAD) as reader:
        for chunk in reader.variant_chunks():
            yield from records_of(writing, reader, chunk).split("\n")[:-1]


def _counts_all(index: np.ndarray, size: int, total: int) -> bool:
    """Return whether an index of regions has each variant of each chunk."""
    counted = dict.fromkeys(range(-(-total // size)), 0)
    for chunk, *_, number in index.tolist():
        if chunk not in counted:
            return False
        counted[chunk] += number
    return all(number == min(size, total - chunk * size) for chunk, number in counted.items())


def _find_own(error: BaseException) -> ModosError | None:
    """Find the error of ours that another one came of."""
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, ModosError):
            return seen
        seen = seen.__cause__ or seen.__context__
    return None


def _writing() -> Any:
    return import_module("vcztools.vcf_writer")
