"""Put files in place of damaged ones: the same bytes, but for some ranges."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from modos.errors import TruncatedStream
from modos.storage import modes
from modos.storage.base import ByteRange, Readable
from modos.storage.part_files import part_of, sync_folder, write_durably

_PIECE = 4 << 20  # bytes that are read at once

Fetch = Callable[[int, int], bytes]


def compose(
    storage: Readable, key: str, ranges: Sequence[ByteRange], fetch: Fetch, bounds: ByteRange, if_match: str
) -> Iterator[bytes]:
    """Iterate over some bytes of a patched file, new ones where ranges are replaced.

    Parameters
    ----------
    ranges
        Those that are replaced, in order.
    fetch
        Gives new bytes [start, end) of them.
    """
    at = bounds.start
    for low, high in (*ranges, ByteRange(bounds.end, bounds.end)):
        while at < min(low, bounds.end):
            end = min(at + _PIECE, low, bounds.end)
            piece, _ = storage.read_part(key, at, end, if_match=if_match)
            if len(piece) != end - at:
                raise TruncatedStream(f"{storage.url}/{key} ends before byte {end:,}")
            yield piece
            at = end
        while low <= at < min(high, bounds.end):
            end = min(at + _PIECE, high, bounds.end)
            yield fetch(at, end)
            at = end


def replace_file(path: Path, pieces: Iterable[bytes], size: int, confirm: Callable[[], object]) -> None:
    """Replace a file of this machine in one step, once all bytes of the new one are on the disk; mode and group stay.

    Parameters
    ----------
    confirm
        Called right before; what it raises leaves the old file.
    """
    real = Path(os.path.realpath(path))
    with part_of(real) as part:
        with open(modes.create_file(part, real), "wb", buffering=0) as file:
            written = write_durably(file, pieces)
        if written != size:
            raise TruncatedStream(f"{path}: {written:,} bytes arrived, {size:,} were announced")
        confirm()
        os.replace(part, real)
    sync_folder(real.parent)


def plan_parts(ranges: Sequence[ByteRange], size: int, part: int, most: int) -> Iterator[tuple[ByteRange, bool]]:
    """Split a patched file into parts of an upload: the bytes of each, and whether a server can copy them.

    Parameters
    ----------
    part
        Bytes of a part that is sent; of one that is copied it is a multiple, up to `most`.
    """
    copied: ByteRange | None = None
    for at in range(0, size, part):
        slot = ByteRange(at, min(at + part, size))
        if any(low < slot.end and slot.start < high for low, high in ranges):
            if copied:
                yield copied, True
                copied = None
            yield slot, False
        elif copied and slot.end - copied.start <= most:
            copied = ByteRange(copied.start, slot.end)
        else:
            if copied:
                yield copied, True
            copied = slot
    if copied:
        yield copied, True
