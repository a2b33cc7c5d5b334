"""Check Blosc chunks before its C code sees them.

C-Blosc trusts the length that a chunk's header states, and reads past the end
of a buffer that is shorter. Here every length of a chunk is
compared with the bytes that there are: 16 bytes of header, then the place of
each block, then the blocks, each of one stream or of one for each byte of a
number, each stream with its length before it.
"""

from __future__ import annotations

from struct import Struct, unpack_from

HEADER = 16  # bytes
_VERSIONS = 0x0102  # 2 of Blosc, 1 of the codec
_SHUFFLE, _COPIED, _BITSHUFFLE, _WHOLE = 1, 2, 4, 16
_CODECS = (0, 1, 3, 4)  # blosclz, lz4, zlib, zstd
_FLAGS = frozenset(
    codec << 5 | whole | copied | shuffle
    for codec in _CODECS
    for whole in (0, _WHOLE)
    for copied in (0, _COPIED)
    for shuffle in (0, _SHUFFLE, _BITSHUFFLE)
)
_MAX_STREAMS = 16
_MIN_STREAM = 128  # bytes of a stream below which a block is not split
_header = Struct("<HBBiii").unpack_from
_number = Struct("<i").unpack_from


def check_frame(data: memoryview | bytes, size: int) -> None:
    """Raise ValueError unless a chunk is whole and holds `size` bytes."""
    stored = len(data)
    if stored < HEADER:
        raise ValueError("a chunk is shorter than its header")
    versions, flags, itemsize, held, block, recorded = _header(data)
    if (
        recorded != stored
        or held != size
        or versions != _VERSIONS
        or flags not in _FLAGS
        or not itemsize
        or not 0 < block <= size
    ):
        raise ValueError("a chunk's header does not fit the chunk")
    if not flags & _COPIED:
        _check_blocks(data, size, block, 1 if flags & _WHOLE else itemsize)
    elif stored != HEADER + size:
        raise ValueError("a chunk that was copied has another length than its content")


def _check_blocks(data: memoryview | bytes, size: int, block: int, itemsize: int) -> None:
    count, rest, stored = -(-size // block), size % block, len(data)
    first = used = HEADER + 4 * count
    last = stored - 4
    if first > last:
        raise ValueError("a chunk has more blocks than bytes")
    streams = itemsize if itemsize <= _MAX_STREAMS and block // itemsize >= _MIN_STREAM else 1
    if block % streams:
        raise ValueError("a block of a chunk is not one of whole numbers")
    held = block // streams
    for number, start in enumerate(_number(data, HEADER) if count == 1 else unpack_from(f"<{count}i", data, HEADER), 1):
        if rest and number == count:
            streams, held = 1, rest
        at = start
        for _ in range(streams):
            if not first <= at <= last:
                raise ValueError("a block lies outside its chunk")
            (length,) = _number(data, at)
            if not 0 < length <= held:
                raise ValueError("a stream is longer than what it holds")
            at += 4 + length
        if at > stored:
            raise ValueError("a stream goes on behind its chunk")
        used += at - start
    if used != stored:
        raise ValueError("the blocks of a chunk are not all that it has")
