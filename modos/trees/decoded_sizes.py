"""Tell how many bytes a stored chunk unpacks to, before it is unpacked: a few bytes may stand for gigabytes."""

from __future__ import annotations

import bz2
import gzip
import io
import zlib
from collections.abc import Callable, Iterable
from typing import Any

from modos.errors import IntegrityError, InvalidInputError
from modos.trees.tree_files import TreeFiles

_KEEP_THE_SIZE = {"transpose", "bytes", "crc32c", "crc32", "adler32", "shuffle", "delta", "fixedscaleoffset"}
_ZSTD = b"\x28\xb5\x2f\xfd"


def check_chunks(files: TreeFiles, array: Any, keys: Iterable[str], size: int) -> None:
    """Check that chunks of an array unpack to no more than a chunk has.

    Parameters
    ----------
    array
        A zarr.Array.
    keys
        Of the chunks, in its tree; those that are not there have no values.
    size
        Bytes of a chunk.

    Raises
    ------
    InvalidInputError
        How they are packed does not tell.
    IntegrityError
        One is larger, or is not packed as it is said to be.
    """
    packer = _find_packer(array)
    for key in keys:
        stored = files.sizes.get(key)
        if stored is None:
            continue
        if stored > 2 * size + 4096:
            raise IntegrityError(f"{key} has {stored:,} bytes, for a chunk of {size:,}")
        if packer is None:
            continue
        try:
            unpacked = _MEASURES[packer](files.read(key, 0, stored), size)
        except (OSError, EOFError, zlib.error):
            unpacked = None
        if unpacked is None or unpacked > size:
            raise IntegrityError(f"{key} does not unpack to a chunk of {size:,} bytes")


def _find_packer(array: Any) -> str | None:
    """Find the name of the one codec of an array that changes sizes; None if there is none."""
    described = array.metadata.to_dict()
    if array.metadata.zarr_format == 2:
        named = [*(described.get("filters") or ()), *filter(None, [described.get("compressor")])]
        names = [str(codec.get_config()["id"] if hasattr(codec, "get_config") else codec["id"]) for codec in named]
    else:
        names = [str(codec["name"]).removeprefix("numcodecs.") for codec in described["codecs"]]
    packers = [name for name in names if name not in _KEEP_THE_SIZE]
    if len(packers) > 1 or (packers and packers[0] not in _MEASURES):
        raise InvalidInputError(f"how its chunks are packed ({', '.join(packers)}) does not tell how large they are")
    return packers[0] if packers else None


def _measure_gzip(data: bytes, most: int) -> int:
    return len(io.BufferedReader(gzip.GzipFile(fileobj=io.BytesIO(data))).read(most + 1))


def _measure_bz2(data: bytes, most: int) -> int:
    return len(io.BufferedReader(bz2.BZ2File(io.BytesIO(data))).read(most + 1))


def _measure_zstd(data: bytes, most: int) -> int | None:
    """Read the size of the content in the header of a frame (RFC 8878, 3.1.1.1), of which no more is unpacked."""
    if data[:4] != _ZSTD or len(data) < 9:
        return None
    flags = data[4]
    is_single, width = flags >> 5 & 1, (0, 2, 4, 8)[flags >> 6]
    if not width and not is_single:
        return None
    start = 5 + (0 if is_single else 1) + (0, 1, 2, 4)[flags & 3]
    width = width or 1
    return int.from_bytes(data[start : start + width], "little") + (256 if width == 2 else 0)


_MEASURES: dict[str, Callable[[bytes, int], int | None]] = {
    "blosc": lambda data, _: int.from_bytes(data[4:8], "little") if len(data) >= 16 else None,
    "lz4": lambda data, _: int.from_bytes(data[:4], "little") if len(data) >= 4 else None,
    "zstd": _measure_zstd,
    "gzip": _measure_gzip,
    "zlib": lambda data, most: len(zlib.decompressobj().decompress(data, most + 1)),
    "bz2": _measure_bz2,
}
