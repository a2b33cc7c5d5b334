"""Convert chunks of Zarr v2 arrays to those of Zarr v3, one by one."""

from __future__ import annotations

import bz2
import json
import lzma
import math
import zlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import numcodecs
import numpy as np

from modos.errors import IntegrityError, InvalidInputError
from modos.object.old_layout import ZSTD_LEVEL, is_text
from modos.storage.base import MAX_READ
from modos.tracks.frames import check_frame

_FILTERED = 16  # times the bytes of its values: no filter makes more of them
_MAX_TEXTS = 64 << 20  # bytes of a chunk of texts, which take about ten times that in memory
_ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
_ARRAY_FILTERS = (
    "delta",
    "shuffle",
    "fixedscaleoffset",
    "quantize",
    "bitround",
    "packbits",
    "astype",
    "crc32",
    "adler32",
    "fletcher32",
)
_TEXT_FILTERS = ("vlen-utf8", "json2")
_BOUNDED: dict[str, Callable[[], Any]] = {
    "zlib": zlib.decompressobj,
    "gzip": lambda: zlib.decompressobj(zlib.MAX_WBITS | 16),
    "bz2": bz2.BZ2Decompressor,
    "lzma": lzma.LZMADecompressor,
}


class _TooMuch(ValueError):
    """Error: a chunk holds more than it may."""


def explain_unreadable(meta: Mapping[str, Any]) -> str | None:
    """Say what keeps an array's chunks from being decoded here; None if nothing does.

    Codecs that would run code that a file brings (pickle) are none of ours.
    """
    compressor = (meta.get("compressor") or {}).get("id")
    filters = [codec.get("id") for codec in meta.get("filters") or ()]
    known = _TEXT_FILTERS if meta["dtype"] == "|O" else _ARRAY_FILTERS
    if compressor not in (None, "blosc", "lz4", "zstd", *_BOUNDED):
        return f"the compressor {compressor}"
    if unknown := [name for name in filters if name not in known]:
        return f"the filter {unknown[0]}"
    if "json2" in filters and meta.get("order") == "F" and len(meta["shape"]) > 1:
        return "json2 in the order F"
    if math.prod(meta["chunks"]) * np.dtype(meta["dtype"]).itemsize > MAX_READ:
        return f"chunks of more than {MAX_READ >> 20} MiB"
    return None


def convert_chunk(meta: Mapping[str, Any], place: tuple[int, ...], data: bytes, name: str) -> bytes:
    """Convert a chunk of a Zarr v2 array to the form of Zarr v3; see `old_layout.array_node`.

    Raises
    ------
    IntegrityError
        It is damaged, or holds other than texts where it should.
    InvalidInputError
        It holds more than 64 MiB of texts.
    """
    try:
        values = _decode(meta, data)
        encoded = (
            numcodecs.VLenUTF8().encode(_extract_texts(meta, values, place, name))
            if is_text(meta)
            else _make_little_endian(values).tobytes()
        )
    except IntegrityError:
        raise
    except _TooMuch as error:
        if not np.dtype(meta["dtype"]).hasobject:
            raise IntegrityError(f"{name} is damaged: {error}", "restore the object from a copy") from None
        raise InvalidInputError(f"{name} is a chunk of texts, and {error}", "write the array anew in smaller chunks") from None
    except Exception as error:  # each codec has errors of its own
        raise IntegrityError(f"{name} is damaged: {error}", "restore the object from a copy") from None
    return bytes(numcodecs.Zstd(level=ZSTD_LEVEL).encode(encoded))


def _decode(meta: Mapping[str, Any], data: bytes) -> np.ndarray:
    """Decode the values of a chunk: an array in the chunk's shape, of the dtype of its array."""
    chunks, dtype = tuple(meta["chunks"]), np.dtype(meta["dtype"])
    filters: Sequence[Mapping[str, Any]] = meta.get("filters") or ()
    size = math.prod(chunks) * dtype.itemsize
    decoded: Any = _decompress(
        meta.get("compressor"), data, _MAX_TEXTS if dtype.hasobject else _FILTERED * size + 64 if filters else size
    )
    if dtype.hasobject and filters[0]["id"] == "json2":
        return _parse_json(decoded, chunks)
    if dtype.hasobject and int.from_bytes(bytes(decoded[:4]), "little") != math.prod(chunks):
        raise ValueError("it has another number of texts than a chunk has")
    for codec in reversed(filters):
        decoded = numcodecs.get_codec(dict(codec)).decode(decoded)
    if not dtype.hasobject:
        decoded = np.frombuffer(
            memoryview(np.ascontiguousarray(decoded)).cast("B") if isinstance(decoded, np.ndarray) else decoded, dtype
        )
    return _reshape(decoded, chunks, meta.get("order", "C"))


def _parse_json(data: Any, chunks: tuple[int, ...]) -> np.ndarray:
    """Parse a chunk in the codec json2 (lists in lists, then the type, then the shape): dtype object, in its shape."""
    *values, _, _ = json.loads(bytes(data))
    for _ in chunks[1:]:
        values = [value for row in values for value in row]
    found = np.empty(len(values), dtype=object)
    found[:] = values
    return _reshape(found, chunks, "C")


def _reshape(values: np.ndarray, chunks: tuple[int, ...], order: Literal["C", "F"]) -> np.ndarray:
    if values.size != math.prod(chunks):
        raise ValueError(f"it has {values.size:,} values, not {math.prod(chunks):,}")
    return values.reshape(chunks, order=order)


def _decompress(compressor: Mapping[str, Any] | None, data: bytes, limit: int) -> bytes | np.ndarray:
    kind = compressor["id"] if compressor else None
    found: bytes | np.ndarray
    if kind in _BOUNDED:
        found = _BOUNDED[kind]().decompress(data, limit + 1)
        held = len(found)
    else:
        held = _measure_held(kind, data)
    if held > limit:
        raise _TooMuch(f"it holds more than {limit:,} bytes")
    if kind is None:
        return data
    if kind in _BOUNDED:
        return found
    if kind == "blosc":
        check_frame(data, held)
    codec = numcodecs.get_codec(dict(compressor or ()))
    found = codec.decode(data, np.empty(held, np.uint8)) if kind == "zstd" else codec.decode(data)  # further frames do not fit
    return found


def _measure_held(kind: str | None, data: bytes) -> int:
    """Return the number of bytes that a chunk says it holds."""
    if kind == "blosc":
        return int.from_bytes(data[4:8], "little")
    if kind == "lz4":
        return int.from_bytes(data[:4], "little")
    if kind is None:
        return len(data)
    if data[:4] != _ZSTD_MAGIC or len(data) < 6:
        raise ValueError("it is not in the codec zstd")
    flags = data[4]
    start = 5 + (not flags & 0x20) + (0, 1, 2, 4)[flags & 3]
    length = (1 if flags & 0x20 else 0, 2, 4, 8)[flags >> 6]
    if not length:
        raise ValueError("it does not say how much it holds")
    return int.from_bytes(data[start : start + length], "little") + (256 if length == 2 else 0)


def _make_little_endian(values: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(values).astype(values.dtype.newbyteorder("<"), copy=False)


def _extract_texts(meta: Mapping[str, Any], values: np.ndarray, place: tuple[int, ...], name: str) -> np.ndarray:
    """Extract the values as texts, shape (values,) and dtype object; those outside of the array are empty."""
    inside = tuple(slice(0, length - at * chunk) for length, chunk, at in zip(meta["shape"], meta["chunks"], place, strict=True))
    texts = np.full(values.shape, "", dtype=object)
    texts[inside] = values[inside]
    flat = texts.reshape(-1)
    if others := [text for text in flat if not isinstance(text, str)]:
        raise IntegrityError(
            f"{name} is of an array of texts and holds {str(others[0])[:40]}, of the type {type(others[0]).__name__}",
            "Zarr v3 has no array of mixed values: write it as texts",
        )
    return flat
