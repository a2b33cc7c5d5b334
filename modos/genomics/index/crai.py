"""CRAI, the index of CRAM: slices by reference sequence (CRAMv3 section 12)."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Container, Iterator
from dataclasses import dataclass, field

from modos.errors import InvalidInputError
from modos.genomics.region import MAX_POSITION

UNPLACED = -1  # reference id of slices of reads without a position
SEVERAL = -2  # reference id of slices of several references, where the index does not say which
_MAX_TEXT = 64 << 20  # bytes: over a million slices


@dataclass(frozen=True)
class Crai:
    """A CRAI index.

    Parameters
    ----------
    slices
        By reference id: start (0-based), end, and file offset of the container.
    containers
        File offsets of all containers, sorted.
    extents
        By container: where its last slice ends, in bytes from the end of the container's header on, and how many slices it has.
    """

    slices: dict[int, list[tuple[int, int, int]]]
    containers: list[int]
    extents: dict[int, tuple[int, int]] = field(default_factory=dict, repr=False)

    kind = "CRAI"

    @classmethod
    def parse(cls, text: bytes) -> Crai:
        """Read an index, decompressed.

        Raises
        ------
        InvalidInputError
            A line does not have six whole numbers, an offset is negative, or it is larger than 64 MiB.
        """
        if len(text) > _MAX_TEXT:
            raise InvalidInputError(f"the CRAI index is larger than {_MAX_TEXT >> 20} MiB")
        slices: dict[int, list[tuple[int, int, int]]] = {}
        ends: dict[int, set[int]] = {}
        for number, line in enumerate(text.splitlines(), 1):
            try:
                reference, start, span, container, slice_offset, slice_size = map(int, line.split(b"\t"))
            except ValueError:
                raise InvalidInputError(f"not an index: line {number} is not one of a CRAI") from None
            if min(container, slice_offset, slice_size) < 0:
                raise InvalidInputError(f"the CRAI index has a negative offset in line {number}")
            slices.setdefault(reference, []).append((start - 1, start - 1 + max(span, 1), container))
            ends.setdefault(container, set()).add(slice_offset + slice_size)
        return cls(slices, sorted(ends), {container: (max(of), len(of)) for container, of in ends.items()})

    def containers_of(self, reference: int, start: int, end: int) -> Iterator[int]:
        """Yield the file offsets of the containers that may have records of one reference in [start, end), 0-based."""
        for first, last, container in self.slices.get(reference, ()):
            if reference == UNPLACED or (first < end and last > start):
                yield container
        for *_, container in self.slices.get(SEVERAL, ()):
            yield container

    def spans_in(self, containers: Container[int]) -> dict[int, tuple[int, int]]:
        """Return the spans that the slices in some containers have of references, by their ids.

        Where a container has slices of several, each of them is taken as a whole: readers decode such slices with all of it.
        """
        chosen = [(id, start, end, at) for id, slices in self.slices.items() for start, end, at in slices if at in containers]
        several = {at for at, count in Counter(at for _, at in {(id, at) for id, *_, at in chosen}).items() if count > 1}
        spans: dict[int, tuple[int, int]] = {}
        for id, start, end, at in chosen:
            low, high = spans.get(id, (start, end))
            spans[id] = (0, MAX_POSITION) if at in several else (min(low, start), max(high, end))
        return spans

    def end_of(self, container: int) -> int | None:
        """Return the file offset of the container after this one, or None after the last."""
        following = bisect_right(self.containers, container)
        return self.containers[following] if following < len(self.containers) else None
