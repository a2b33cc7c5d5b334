"""Compare the parts of stored files with what an object records of them."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping
from typing import Any

from modos.errors import DecryptError, IntegrityError, ModosError, NotFoundError
from modos.formats import index_names, parts_name
from modos.formats.crypt4gh import part_size
from modos.object.findings import join_ranges
from modos.object.part_lists import digest_stored
from modos.storage import Storage
from modos.storage.base import ByteRange, Progress, Readable, count_readers
from modos.storage.part_digests import DIGEST, DigestList, Layout, digest_parts, find_differing
from modos.storage.prefetch import fetch_ahead

_PIECE_PARTS = 64  # parts that are read at once


def layout_of(attributes: Mapping[str, Any], start: int, size: int) -> Layout:
    """Return the layout of the list of digests that an element has for its file.

    Parameters
    ----------
    start
        Bytes of the header, if it is encrypted.
    size
        Of the file, where the element does not record it.
    """
    recorded = attributes.get("data_size")
    return Layout(((recorded if isinstance(recorded, int) else size) - start,), part_size(attributes["data_path"]))


def load_list(storage: Readable, key: str, layout: Layout, root: str) -> DigestList:
    """Read the whole list of digests beside a file; see `read_list`."""
    return read_list(storage, parts_name(key), layout, root)


def read_list(storage: Readable, name: str, layout: Layout, root: str) -> DigestList:
    """Read the whole of a list of digests, and compare it with its root.

    Raises
    ------
    IntegrityError
        It is missing, damaged, or of another file.
    """
    try:
        data, info = storage.read_part(name, 0, layout.size + 1)
    except NotFoundError:
        raise IntegrityError(f"{name} is missing") from None
    if info.size != layout.size or len(data) != layout.size or not data.startswith(layout.head):
        raise IntegrityError(f"{name} is not the recorded list")
    found = DigestList(layout, data[layout.table_size :])
    if found.root != root or data[: layout.table_size] != found.table:
        raise IntegrityError(f"{name} is not the recorded list")
    return found


def has_list(storage: Readable, key: str, digests: DigestList) -> bool:
    """Return whether the list of digests beside a file is just this one."""
    try:
        load_list(storage, key, digests.layout, digests.root)
    except IntegrityError:
        return False
    return True


def ranges_of(parts: Iterable[int], layout: Layout, start: int = 0) -> tuple[ByteRange, ...]:
    """Return the bytes of some parts of a file, in order and joined.

    Parameters
    ----------
    start
        Bytes before the first part.
    """
    size, part = layout.sizes[0], layout.part
    return tuple(join_ranges(ByteRange(start + n * part, start + min((n + 1) * part, size)) for n in parts))


def find_damaged(
    storage: Readable, key: str, expected: DigestList, start: int = 0, progress: Progress | None = None
) -> list[int]:
    """Read a file on all cores, and find the parts that are not the expected ones, or cannot be read.

    Parameters
    ----------
    start
        Bytes before the first part.
    """
    layout = expected.layout

    def compare(first: int, _: threading.Event | None = None) -> list[int]:
        beyond = min(first + _PIECE_PARTS, layout.parts)
        found = _digest_readable(storage, key, layout, start, first, beyond)
        wanted = expected.digests[DIGEST * first : DIGEST * beyond]
        if progress:
            progress(min(beyond * layout.part, layout.sizes[0]) - first * layout.part)
        return [first + number for number in find_differing(found, wanted)]

    firsts = range(0, layout.parts, _PIECE_PARTS)
    pieces = fetch_ahead(compare, firsts, count_readers(storage)) if len(firsts) > 1 else map(compare, firsts)
    return [number for piece in pieces for number in piece]


def _digest_readable(storage: Readable, key: str, layout: Layout, start: int, first: int, beyond: int) -> bytes:
    """Digest parts [first, beyond); where a disk does not give them, each for itself, with zeros for those that it does not."""
    low, high = start + first * layout.part, start + min(beyond * layout.part, layout.sizes[0])
    try:
        return digest_parts(storage.read_part(key, low, high)[0], layout.part)
    except ModosError:
        if storage.is_remote:
            raise
        if beyond - first == 1:
            return bytes(DIGEST)
    return b"".join(_digest_readable(storage, key, layout, start, number, number + 1) for number in range(first, beyond))


def digest_indexes(storage: Storage, path: str, sizes: Mapping[str, int]) -> dict[str, str]:
    """Return the roots of the indexes beside a file, by their keys; empty of one that is damaged so that it cannot be read."""
    return {name: _digest_index(storage, name) for name in index_names(path) if name in sizes}


def _digest_index(storage: Storage, key: str) -> str:
    try:
        return digest_stored(storage, key).root
    except DecryptError:
        return ""
