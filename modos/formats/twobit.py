"""Read 2bit files (UCSC, "twoBit sequence archives", version 0)."""

from __future__ import annotations

import struct
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from modos.errors import IntegrityError, InvalidInputError, NotFoundError
from modos.storage.given import Given, Name

MAGIC = 0x1A412743
_LETTERS = np.array([[b"TCAG"[byte >> shift & 3] for shift in (6, 4, 2, 0)] for byte in range(256)], np.uint8)
_PIECE = 1 << 22  # bases, a multiple of 4
_MAX_SEQUENCES = 1 << 24


def is_twobit(file: Given) -> bool:
    """Return whether a file begins as a 2bit file does."""
    return file.peek(4) in (MAGIC.to_bytes(4, "little"), MAGIC.to_bytes(4, "big"))


def iter_twobit(path: Name) -> Iterator[tuple[str, bytes]]:
    """Iterate over the sequences in pieces, like `modos.formats.fasta.iter_fasta`; lower case is soft masking.

    Raises
    ------
    NotFoundError, InvalidInputError, IntegrityError
        There is no such file; it is none; it is damaged.
    """
    try:
        with open(path, "rb") as file:
            data = np.memmap(file, np.uint8, "r")
    except OSError as error:
        raise NotFoundError(f"cannot read {path}: {error.strerror}", "check the path") from None
    except ValueError:
        raise InvalidInputError(f"{path} is no 2bit file") from None
    order = "<" if bytes(data[:4]) == MAGIC.to_bytes(4, "little") else ">"
    try:
        magic, version, count, _ = struct.unpack(order + "4I", data[:16])
        if magic != MAGIC or version != 0 or count > _MAX_SEQUENCES:
            raise InvalidInputError(f"{path} is no 2bit file of version 0")
        at, seen = 16, set()
        for _ in range(count):
            size = int(data[at])
            name, (offset,) = (
                bytes(data[at + 1 : at + 1 + size]).decode(),
                struct.unpack(order + "I", data[at + 1 + size : at + 5 + size]),
            )
            at += 5 + size
            if offset in seen:  # a small file would have sequences without end
                raise ValueError("two sequences are in one place")
            seen.add(offset)
            yield name, b""
            yield from ((name, piece) for piece in _pieces(data, offset, order))
    except (struct.error, IndexError, UnicodeDecodeError, ValueError) as error:
        if isinstance(error, InvalidInputError):
            raise
        raise IntegrityError(f"{path} is damaged: {error}", "copy it again") from None


def _pieces(data: npt.NDArray[np.uint8], at: int, order: str) -> Iterator[bytes]:
    def numbers(count: int) -> npt.NDArray[np.uint32]:
        nonlocal at
        found = (
            data[at : at + 4 * count].view(order + "u4")
            if at % 4 == 0
            else np.frombuffer(bytes(data[at : at + 4 * count]), order + "u4")
        )
        if len(found) != count:
            raise ValueError("it ends too early")
        at += 4 * count
        return found

    def blocks() -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        count = int(numbers(1)[0])
        starts = numbers(count).astype(np.int64)
        ends = starts + numbers(count)
        if (starts[1:] < ends[:-1]).any() or (ends < starts).any() or (count and ends[-1] > length):
            raise ValueError("its stretches overlap, are not in order, or lie past the end of their sequence")
        return starts, ends

    length = int(numbers(1)[0])
    unknown, masked = blocks(), blocks()
    numbers(1)
    packed = data[at : at + -(-length // 4)]
    if len(packed) != -(-length // 4):
        raise ValueError("it ends too early")
    for start in range(0, length, _PIECE):
        end = min(start + _PIECE, length)
        bases = _LETTERS[packed[start // 4 : -(-end // 4)]].reshape(-1)[: end - start]
        for low, high in _clip_blocks(unknown, start, end):
            bases[low - start : high - start] = ord("N")
        for low, high in _clip_blocks(masked, start, end):
            bases[low - start : high - start] |= 32
        yield bases.tobytes()


def _clip_blocks(blocks: tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]], start: int, end: int) -> Iterator[tuple[int, int]]:
    first, last = np.searchsorted(blocks[1], start, "right"), np.searchsorted(blocks[0], end, "left")
    for low, high in zip(blocks[0][first:last].tolist(), blocks[1][first:last].tolist()):
        yield max(low, start), min(high, end)
