"""Walk the containers of a CRAM, and check that a CRAI points at them (CRAMv3 sections 7 and 12)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import pairwise
from typing import NamedTuple, TypeVar

from modos.errors import IntegrityError, InvalidInputError
from modos.formats import CRAM2_EOF
from modos.genomics.index.bgzf import Read, read_exactly
from modos.genomics.index.crai import Crai
from modos.genomics.index.cram import ContainerHeader, Cursor, decompress, read_block, read_container_header
from modos.genomics.index.file_header import Header
from modos.genomics.index.slices import misfit_error

_FIRST_READ, _MAX_HEADER = 1 << 12, 1 << 24  # bytes of a container's header
_FEWEST, _MOST, _LANDMARK = 12, 72, 5  # bytes that a header takes, and those for each slice
_MAX_LOOKS = 16
_MAX_EMPTY = 64  # containers without slices that follow each other
SEVERAL = -2

T = TypeVar("T")


class Container(NamedTuple):
    """A container, with the file offsets of its first block and of what follows it."""

    header: ContainerHeader
    blocks: int
    end: int


def major_version(header: Header) -> int:
    """Return 2 or 3, as the end marker says."""
    return 2 if header.eof == CRAM2_EOF else 3


def read_container(read: Read, size: int, offset: int, major: int) -> Container:
    """Read the header of the container at a file offset.

    Raises
    ------
    IntegrityError
        There is none; TruncatedStream if the file ends in it.
    """
    cursor, header = _read_and_parse(read, size, offset, lambda cursor: read_container_header(cursor, major))
    following = offset + cursor.at + header.length
    if header.length < 0 or following > size:
        raise _no_container_error(offset)
    return Container(header, offset + cursor.at, following)


def read_slice(read: Read, container: Container, landmark: int, major: int) -> tuple[int, int, int]:
    """Return reference, start and end of a slice of a container, 0-based and half-open (CRAMv3 section 8.5)."""
    offset = container.blocks + landmark
    _, (method, _, size, payload) = _read_and_parse(read, container.end, offset, lambda cursor: read_block(cursor, major))
    cursor = Cursor(decompress(method, payload, size))
    reference, start, span = (cursor.itf8() for _ in range(3))
    return reference, start - 1, start - 1 + max(span, 1)


def _read_and_parse(read: Read, size: int, offset: int, parse: Callable[[Cursor], T]) -> tuple[Cursor, T]:
    """Parse from a file offset on, reading as many bytes as that takes."""
    length = _FIRST_READ
    while True:
        end = min(offset + length, size)
        cursor = Cursor(read_exactly(read, offset, end) if offset < end else b"")
        try:
            return cursor, parse(cursor)
        except InvalidInputError:
            if end == size or length >= _MAX_HEADER:
                raise _no_container_error(offset) from None
            length *= 8
        except IntegrityError:
            raise _no_container_error(offset) from None


def plan_checks(read: Read, size: int, header: Header, index: Crai, some: Iterable[int]) -> Iterator[Callable[[], None]]:
    """Plan checks of a file, each of which raises IntegrityError if the index does not fit.

    Parameters
    ----------
    some
        Containers whose reference and bases are compared with what the index says.
    """

    def check_after(offset: int, following: int) -> None:
        _check_between(read, size, read_container(read, size, offset, major).end, following, major)

    def check_own(offset: int) -> None:
        _check_rows(read_container(read, size, offset, major).header, offset, rows[offset])

    end, major = size - len(header.eof), major_version(header)
    offsets = [header.end, *index.containers, end]
    if (index.containers and index.containers[0] < header.end) or offsets != sorted(offsets):
        raise misfit_error("it has containers where the file has none")
    if offsets[1] != header.end:
        yield lambda: _check_between(read, size, header.end, offsets[1], major)
    doubtful = [pair for pair in pairwise(offsets[1:]) if not _may_follow(index, *pair)]
    last = [offsets[-2:]] if index.containers else []
    for offset, following in (*doubtful[:_MAX_LOOKS], *last):
        yield partial(check_after, offset, following)
    rows = rows_of(index)
    for offset in some:
        yield partial(check_own, offset)


def _may_follow(index: Crai, offset: int, following: int) -> bool:
    """Return whether a container ends where another begins, by the size of its slices and what a header may take."""
    extent, slices = index.extents[offset]
    return _FEWEST <= following - offset - extent <= _MOST + _LANDMARK * slices


def _check_between(read: Read, size: int, offset: int, following: int, major: int) -> None:
    """Check that nothing but empty containers lies between two file offsets."""
    for _ in range(_MAX_EMPTY):
        if offset >= following:
            break
        container = read_container(read, size, offset, major)
        if container.header.landmarks:
            raise misfit_error(f"it leaves out the container at byte {offset:,}")
        offset = container.end
    if offset > following:
        raise misfit_error(f"a container ends at byte {offset:,}, within another that it has")


def rows_of(index: Crai) -> dict[int, list[tuple[int, int, int]]]:
    """Return by container the reference, start and end of its slices."""
    rows: dict[int, list[tuple[int, int, int]]] = {}
    for reference, slices in index.slices.items():
        for start, end, container in slices:
            rows.setdefault(container, []).append((reference, start, end))
    return rows


def _check_rows(header: ContainerHeader, offset: int, rows: list[tuple[int, int, int]]) -> None:
    if header.reference == SEVERAL or any(reference == SEVERAL for reference, *_ in rows):
        return
    own = [(start, end) for reference, start, end in rows if reference == header.reference]
    first, last = min(own, default=(1, 0))[0], max((end for _, end in own), default=0)
    begin = header.start - 1
    if len(own) < len(rows) or (header.reference >= 0 and (first > begin or last < begin + header.span)):
        raise misfit_error(f"the container at byte {offset:,} has other records than it says")


def is_covered(stretches: Iterable[tuple[int, int]], start: int, end: int) -> bool:
    """Return whether stretches together have all of [start, end)."""
    for first, last in sorted(stretches):
        if first > start:
            break
        start = max(start, last)
    return start >= end


def _no_container_error(offset: int) -> IntegrityError:
    return IntegrityError(f"no container starts at byte {offset:,}")
