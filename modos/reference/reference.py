"""A reference, which gives the bases of an assembly by position."""

from __future__ import annotations

import mmap
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from modos.errors import InvalidInputError, NotFoundError
from modos.errors.escaping import escape_line
from modos.genomics.region import Region
from modos.reference.assembly import Assembly, StoredContig
from modos.storage.local_files import open_file
from modos.storage.processes import forking
from modos.storage.processes.forking import cached_property

if TYPE_CHECKING:
    from modos.reference.annotations.annotation import Annotation
    from modos.reference.soft_mask import Mask

_COMPLEMENT = bytes.maketrans(b"ACGTUNRYSWKMBDHVacgtunryswkmbdhv", b"TGCAANYRSWMKVHDBtgcaanyrswmkvhdb")
_BLOCK = 64 << 10  # bases that are fetched at once from afar
_BLOCKS = 1024  # that are kept
_MAX = 1 << 30  # bases of an answer

ReadRange = Callable[[StoredContig, int, int], bytes]


def _no_mask() -> None:
    """Give no soft mask."""


class Reference:
    """An assembly whose bases can be asked for.

    Positions are 0-based half-open in numbers, 1-based inclusive in text.

    Parameters
    ----------
    assembly
        Its contigs and their names.
    locate
        Gives the file of a contig's sequence where it is on this machine.
    read_range
        Reads a part of one that is not.
    find_annotation
        Gives an annotation of the assembly by name.
    read_mask
        Gives what is soft masked, if anything is.
    annotation
        The name of the annotation that it was opened by.
    """

    def __init__(
        self,
        assembly: Assembly,
        locate: Callable[[StoredContig], Path | None],
        read_range: ReadRange,
        find_annotation: Callable[[str], Annotation] | None = None,
        read_mask: Callable[[], Mask | None] = _no_mask,
        annotation: str | None = None,
    ):
        self.assembly = assembly
        self._annotation = annotation
        self._find_annotation = find_annotation
        self._read_mask = read_mask
        self._annotations: dict[str, Annotation] = {}
        self._locate = locate
        self._read_range = read_range
        self._open: dict[
            str, mmap.mmap
        ] = {}  # sequences of this machine, by contig: what is said of one is not believed for another
        self._by_name: dict[str, mmap.mmap] = {}
        self._blocks: OrderedDict[tuple[str, int], bytes] = OrderedDict()
        forking.begin(self, Reference._start)

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle the assembly and where its sequences are, none of these themselves."""
        found_by = self._locate, self._read_range, self._find_annotation, self._read_mask
        return Reference, (self.assembly, *found_by, self._annotation)

    def _start(self) -> None:
        self._lock = threading.Lock()

    @property
    def name(self) -> str:
        """Name of the assembly in its store."""
        return self.assembly.name

    @property
    def contigs(self) -> dict[str, int]:
        """Lengths in bases by name."""
        return {contig.name: contig.length for contig in self.assembly.contigs}

    def dna(
        self,
        contig: str,
        start: int | None = None,
        end: int | None = None,
        strand: str = "+",
        pad: bool = False,
        soft_mask: bool = False,
    ) -> str:
        """Return the bases of a stretch, in upper case.

        Parameters
        ----------
        contig
            By any of its names; or a region as text, without start and end.
        strand
            `-` gives the reverse complement.
        pad
            Fill up with N what is outside of the contig.
        soft_mask
            Give in lower case what was so in the files of the assembly
            (repeats, as UCSC and Ensembl mark them).

        Raises
        ------
        NotFoundError
            No such contig; its sequence is not to be had.
        InvalidInputError
            Positions outside of the contig.
        """
        known = self._by_name.get(contig)
        if known is not None and end is not None and strand == "+" and not soft_mask and 0 <= (start or 0) < end <= len(known):
            return known[start:end].decode("ascii")
        if start is None and end is None and contig not in self.assembly.by_name:
            region = Region.parse(contig, self.assembly.by_name)
            contig, start, end = region.contig, region.start, region.end
        _check_strand(strand)
        found = self.assembly.contig(contig)
        start, end = start or 0, found.length if end is None else end
        bases = self._read_stretch(found, start, end, "+" if soft_mask else strand, pad)
        if found.name in self._open:
            self._by_name[contig] = self._open[found.name]
        if soft_mask and self.mask is not None:
            bases = self.mask.lower(found.name, start, bases)
        if soft_mask and strand == "-":
            bases = bases.translate(_COMPLEMENT)[::-1]
        return bases.decode("ascii")

    @cached_property
    def mask(self) -> Mask | None:
        """Soft-masked stretches, by contig; None if there are none."""
        return self._read_mask()

    def dna_many(
        self, places: Iterable[tuple[str, int, int] | tuple[str, int, int, str]], strand: str = "+", pad: bool = False
    ) -> list[str]:
        """Return the bases of many stretches: (contig, start, end), or with a strand as fourth."""
        by_name, known, answers = self.assembly.by_name, self._open, []
        for place in places:
            name, start, end = place[:3]
            found = by_name.get(name) or self.assembly.contig(name)
            data = known.get(found.name)
            if data is not None and len(place) == 3 and strand == "+" and 0 <= start < end <= found.length:
                answers.append(data[start:end].decode("ascii"))
            else:
                answers.append(self._read_stretch(found, start, end, place[3] if len(place) > 3 else strand, pad).decode("ascii"))
        return answers

    def annotation(self, name: str | None = None) -> Annotation:
        """Open an annotation of the assembly, by its name in the store.

        Parameters
        ----------
        name
            The one that the assembly was opened by, where it is None.

        Raises
        ------
        NotFoundError
            There is none.
        InvalidInputError
            It is of another assembly; none is named.
        """
        name = name or self._annotation
        if name is None:
            raise InvalidInputError(f"{self.name} was opened by its own name", "say which of its annotations is meant")
        if name not in self._annotations:
            if self._find_annotation is None:
                raise NotFoundError(
                    f"{self.name} is not from a store, and has no annotations", "open it with modos.reference.open"
                )
            self._annotations[name] = self._find_annotation(name)
        return self._annotations[name]

    def _read_stretch(self, contig: StoredContig, start: int, end: int, strand: str, pad: bool) -> bytes:
        _check_strand(strand)
        if start > end or end - start > _MAX:
            raise InvalidInputError(f"{contig.name}, {start:,} to {end:,}, is no stretch of bases")
        low, high = max(start, 0), min(end, contig.length)
        if not pad and (start < 0 or end > contig.length):
            raise InvalidInputError(
                f"{contig.name} has {contig.length:,} bases, and {contig.name}:{start + 1:,}-{end:,} goes beyond",
                "that is 1-based, as in text; in Python pad=True fills up with N",
            )
        bases = self._bases(contig, low, high) if low < high else b""
        bases = b"N" * min(max(low - start, 0), end - start) + bases
        bases += b"N" * (end - start - len(bases))
        return bases.translate(_COMPLEMENT)[::-1] if strand == "-" else bases

    def _bases(self, contig: StoredContig, start: int, end: int) -> bytes:
        data = self._open.get(contig.name)
        if data is None:
            data = self._map_sequence(contig)
            if data is None:
                return b"".join(self._fetch_blocks(contig, start, end))
        return data[start:end]

    def _map_sequence(self, contig: StoredContig) -> mmap.mmap | None:
        """Map a sequence of this machine; return None for one that is elsewhere."""
        for again in (True, False):
            path = self._locate(contig)
            if path is None:
                return None
            try:
                with open_file(path) as file:
                    return self._open.setdefault(contig.name, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
            except FileNotFoundError:  # somebody has made room in the cache meanwhile
                if not again:
                    raise
        raise AssertionError

    def _fetch_blocks(self, contig: StoredContig, start: int, end: int) -> Iterator[bytes]:
        for number in range(start // _BLOCK, -(-end // _BLOCK)):
            at, key = number * _BLOCK, (contig.name, number)
            with self._lock:
                block = self._blocks.get(key)
            if block is None:
                block = self._read_range(contig, at, min(at + _BLOCK, contig.length))
                with self._lock:
                    self._blocks[key] = block
                    while len(self._blocks) > _BLOCKS:
                        self._blocks.popitem(last=False)
            yield block[max(start - at, 0) : end - at]

    def __repr__(self) -> str:
        return escape_line(f"<reference {self.name}: {len(self.assembly.contigs):,} contigs, {self.assembly.bases:,} bases>")

    def _repr_html_(self) -> str:
        return self.assembly._repr_html_()


def _check_strand(strand: str) -> None:
    if strand not in ("+", "-"):
        raise InvalidInputError(f"strand {strand!r} is neither + nor -")
