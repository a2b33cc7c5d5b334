"""Gather the parts of files by their digests, from wherever they are: the digests decide what is taken."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from modos.errors import ChecksumMismatch, ConflictError, ModosError, NotFoundError
from modos.storage import Storage
from modos.storage.base import Progress
from modos.storage.part_digests import DIGEST, DigestList, digest
from modos.storage.prefetch import fetch_ahead

_PIECE_PARTS = 64  # parts that are fetched at once
_WORKERS = 4


@dataclass(frozen=True)
class Place:
    """File in which parts may be.

    Parameters
    ----------
    storage, key
        Where it is.
    start
        Bytes before its first part: of the header, if it is encrypted.
    """

    storage: Storage
    key: str
    start: int = 0

    def __str__(self) -> str:
        return f"{self.storage.url}/{self.key}"


@dataclass
class PartSource:
    """Parts of a file, gathered from several places.

    Parameters
    ----------
    expected
        Digests of the parts.
    places
        Files that may have them, the likeliest first.

    Attributes
    ----------
    used
        The places from which parts were taken.
    """

    expected: DigestList
    places: Sequence[Place]
    progress: Progress | None = None
    used: dict[str, None] = field(default_factory=dict)

    def gather(self, first: int, beyond: int) -> tuple[bytearray, list[int]]:
        """Gather parts [first, beyond); returns their bytes, zeros for those that are nowhere, and the numbers of these."""
        layout = self.expected.layout
        low, size = first * layout.part, layout.sizes[0]
        data, wanted = bytearray(min(beyond * layout.part, size) - low), list(range(first, beyond))
        for place in self.places:
            if not wanted:
                break
            found = self._take(place, wanted, data, low)
            if found:
                self.used[str(place)] = None
            wanted = [number for number in wanted if number not in found]
        if self.progress:
            self.progress(len(data))
        return data, wanted

    def _take(self, place: Place, wanted: list[int], data: bytearray, low: int) -> set[int]:
        """Take those parts that a place has, into their place among bytes that begin at `low`."""
        part, size, taken = self.expected.layout.part, self.expected.layout.sizes[0], set()
        start, end = wanted[0] * part, min((wanted[-1] + 1) * part, size)
        read = memoryview(_read(place, start, end))
        for number in wanted:
            begin, stop = number * part, min((number + 1) * part, size)
            piece = read[begin - start : stop - start]
            if len(piece) == stop - begin and digest(piece) == self.expected.digests[DIGEST * number : DIGEST * (number + 1)]:
                data[begin - low : stop - low] = piece
                taken.add(number)
        return taken

    def iter_all(self) -> Iterator[bytes]:
        """Iterate over all bytes; raise ChecksumMismatch where a part is nowhere."""
        parts = self.expected.layout.parts

        def gather(first: int, _: threading.Event) -> bytearray:
            data, lacking = self.gather(first, min(first + _PIECE_PARTS, parts))
            if lacking:
                raise ChecksumMismatch(f"part {lacking[0]:,} is not to be had")
            return data

        yield from map(bytes, fetch_ahead(gather, range(0, parts, _PIECE_PARTS), _WORKERS))

    def find_lacking(self, numbers: Iterable[int], take: Callable[[int, bytearray], object] | None = None) -> list[int]:
        """Gather some parts, in order, and return the numbers of those that are nowhere.

        Parameters
        ----------
        take
            Is given the number of each part that was found, and its bytes.
        """
        part = self.expected.layout.part

        def gather(run: tuple[int, int], _: threading.Event) -> tuple[int, int, bytearray, list[int]]:
            return (*run, *self.gather(*run))

        lacking: list[int] = []
        for first, beyond, data, missing in fetch_ahead(gather, _runs(numbers), _WORKERS):
            lacking += missing
            for number in range(first, beyond):
                if take and number not in missing:
                    take(number, data[(number - first) * part : (number - first + 1) * part])
        return lacking


def _read(place: Place, start: int, end: int) -> bytes:
    """Read bytes of the parts of a place; none where it has none, or a disk does not give them."""
    try:
        return place.storage.read_part(place.key, place.start + start, place.start + end)[0]
    except (NotFoundError, ConflictError):
        return b""
    except ModosError:
        if place.storage.is_remote:
            raise
        return b""


def _runs(numbers: Iterable[int]) -> Iterator[tuple[int, int]]:
    """Group numbers, in order, that follow each other: [first, beyond), of not too many."""
    first = beyond = -1
    for number in numbers:
        if number == beyond and beyond - first < _PIECE_PARTS:
            beyond += 1
            continue
        if first >= 0:
            yield first, beyond
        first, beyond = number, number + 1
    if first >= 0:
        yield first, beyond
