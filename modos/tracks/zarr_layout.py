"""The layout of sharded Zarr arrays, with chunks along the last axis grouped into shards.

What is written is a Zarr v3 array with the sharding codec (ZEP 2): each shard
is one file, its chunks one after another, at its end the places of the chunks
and a CRC-32C of them. Each chunk ends with a CRC-32C of its own. A chunk that
holds nothing but the fill value is left out, and so is a shard.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Any

import numpy as np

from modos.errors import InvalidInputError
from modos.formats import SHARDS_LIST, ZARR
from modos.storage.part_digests import Layout
from modos.storage.processes.forking import cached_property
from modos.storage.verified import PartRecord
from modos.tracks.frames import HEADER, check_frame

CHUNKS_IN_SHARD = 256
INDEX_SIZE = CHUNKS_IN_SHARD * 16 + 4  # bytes
ABSENT = 2**64 - 1
CRC_SIZE = 4  # bytes
RESIDUE = 0x48674BC7  # CRC-32C of anything that ends with its own CRC-32C
DIGEST_SLOT = "shard_digest"  # attribute of an array: root of the list of digests of its shards' parts
EMPTY_SLOT = "empty"  # attribute of a track's data: contigs that were loaded, and had no value
_CRC = {"name": "crc32c"}
_DTYPES = ("uint8", "int8", "int16", "uint32", "int64", "float32", "float64")
_MAX_CHUNK = 1 << 20  # numbers along the last axis
_MAX_ROWS = 8
_SHUFFLES = ("noshuffle", "shuffle", "bitshuffle")

Codec = Mapping[str, Any]


def blosc(name: str, shuffle: str, level: int, itemsize: int) -> Codec:
    """Return the Blosc codec of Zarr v3, configured."""
    return {
        "name": "blosc",
        "configuration": {"typesize": itemsize, "cname": name, "clevel": level, "shuffle": shuffle, "blocksize": 0},
    }


@dataclass(frozen=True)
class ArraySpec:
    """An array as Zarr describes it.

    Parameters
    ----------
    path
        Its place in the group tree.
    shape
        (n,), or (rows, n) where all rows of a column are in one chunk.
    chunk
        Length of a chunk along the last axis.
    dtype, fill
        What it holds, and what stands where there is no chunk.
    codec
        Compresses a chunk.
    sizes
        Bytes of each shard; 0 for one that is left out.
    attributes
        Those of the array, without the sizes.
    """

    path: str
    shape: tuple[int, ...]
    chunk: int
    dtype: str
    fill: int | float
    codec: Codec
    sizes: tuple[int, ...] = ()
    attributes: Mapping[str, Any] = field(default_factory=dict)

    @property
    def length(self) -> int:
        """Along the last axis."""
        return self.shape[-1]

    @property
    def shard(self) -> int:
        """Length of a shard along the last axis."""
        return self.chunk * CHUNKS_IN_SHARD

    @property
    def shards(self) -> int:
        """Number of shards."""
        return -(-self.length // self.shard)

    @property
    def chunk_shape(self) -> tuple[int, ...]:
        """Shape of a chunk."""
        return (*self.shape[:-1], self.chunk)

    @property
    def chunk_bytes(self) -> int:
        """Bytes of a chunk's numbers."""
        return math.prod(self.chunk_shape) * np.dtype(self.dtype).itemsize

    @property
    def stored_limit(self) -> int:
        """Bytes that a chunk has at most as it is stored: those of its numbers, a header, a checksum."""
        return self.chunk_bytes + HEADER + CRC_SIZE

    def key(self, number: int) -> str:
        """Return the key of a shard in an object."""
        return f"{ZARR}/{self.path}/c/{'0/' * (len(self.shape) - 1)}{number}"

    @property
    def list_key(self) -> str:
        """Key of the list of digests of the parts of the shards."""
        return f"{ZARR}/{self.path}/{SHARDS_LIST}"

    @cached_property
    def layout(self) -> Layout:
        """Layout of that list, of which the existing shards are the files, in order."""
        return Layout(tuple(filter(None, self.sizes)))

    @cached_property
    def _places(self) -> list[int]:
        return list(accumulate((size > 0 for size in self.sizes), initial=0))

    def part_record(self, number: int) -> PartRecord | None:
        """Return what is recorded of the parts of an existing shard; None in arrays of older versions."""
        root = self.attributes.get(DIGEST_SLOT)
        return PartRecord((root,), self.layout, self.list_key, self._places[number]) if root else None

    def files(self) -> dict[str, int]:
        """Return the bytes of its files by key: the existing shards, and the list of digests if there is one."""
        found = {self.key(number): size for number, size in enumerate(self.sizes) if size}
        has_list = DIGEST_SLOT in self.attributes and self.layout.parts > 1
        return found | ({self.list_key: self.layout.size} if has_list else {})

    def to_node(self) -> dict[str, Any]:
        """Return its metadata in the form of Zarr v3."""
        shape = list(self.shape[:-1])
        endian = {"name": "bytes", "configuration": {"endian": "little"}}
        plain = {"name": "bytes"} if np.dtype(self.dtype).itemsize == 1 else endian
        sharding = {
            "chunk_shape": list(self.chunk_shape),
            "codecs": [plain, dict(self.codec), _CRC],
            "index_codecs": [endian, _CRC],
            "index_location": "end",
        }
        return {
            "zarr_format": 3,
            "node_type": "array",
            "shape": list(self.shape),
            "data_type": self.dtype,
            "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [*shape, self.shard]}},
            "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
            "fill_value": "NaN" if self.fill != self.fill else self.fill,
            "codecs": [{"name": "sharding_indexed", "configuration": sharding}],
            "attributes": {**self.attributes, "shard_sizes": list(self.sizes)},
            "storage_transformers": [],
        }

    @classmethod
    def from_node(cls, path: str, node: Mapping[str, Any]) -> ArraySpec:
        """Read what `to_node` gives; raise InvalidInputError for an array of another layout."""
        try:
            (sharding,) = node["codecs"]
            inner = sharding["configuration"]
            *_, codec, crc = inner["codecs"]
            attributes = dict(node["attributes"])
            sizes = tuple(attributes.pop("shard_sizes"))
            fill = np.nan if node["fill_value"] == "NaN" else node["fill_value"]
            spec = cls(path, tuple(node["shape"]), inner["chunk_shape"][-1], node["data_type"], fill, codec, sizes, attributes)
            written = spec.to_node()
            same = all(written[key] == node[key] for key in ("codecs", "chunk_grid", "chunk_key_encoding"))
            same = same and len(sizes) == spec.shards and crc == _CRC and spec.dtype in _DTYPES
            same = same and 0 < spec.chunk <= _MAX_CHUNK and len(spec.shape) <= 2 and all(n >= 0 for n in spec.shape)
            same = same and (len(spec.shape) < 2 or 0 < spec.shape[0] <= _MAX_ROWS) and _is_codec(codec)
            same = (
                same and all(type(number) is int for number in (*spec.shape, spec.chunk, *sizes)) and _can_hold(spec.dtype, fill)
            )
            most = INDEX_SIZE + CHUNKS_IN_SHARD * spec.stored_limit if same else 0
            same = same and all(size == 0 or INDEX_SIZE < size <= most for size in sizes)
            same = same and type(attributes.get(DIGEST_SLOT, "")) is str
        except (KeyError, TypeError, ValueError, AttributeError, IndexError, OverflowError):
            same = False
        if not same:
            raise InvalidInputError(f"the array {path} has a layout that modos does not write", "read it with zarr")
        return spec


def _is_codec(codec: Codec) -> bool:
    if codec["name"] != "blosc":
        return type(codec["name"]) is str
    settings = codec["configuration"]
    return (
        type(settings["cname"]) is str
        and settings["shuffle"] in _SHUFFLES
        and all(type(settings[key]) is int for key in ("clevel", "blocksize"))
    )


def _can_hold(dtype: str, fill: Any) -> bool:
    return type(fill) in (int, float) and (dtype.startswith("float") if fill != fill else bool(np.array(fill, dtype) == fill))


def decoder(codec: Codec, size: int) -> Callable[..., bytes]:
    """Return a function that decompresses chunks of a codec that hold `size` bytes, without the CRC-32C at their end.

    It raises ValueError or RuntimeError for what is not such a chunk.

    Raises
    ------
    InvalidInputError
        The codec is not known.
    """
    from numcodecs import blosc

    if codec["name"] != "blosc":
        raise InvalidInputError(f"an array is compressed with {codec['name']}, which modos does not write", "read it with zarr")

    def decode(chunk: memoryview | bytes, out: np.ndarray | None = None) -> bytes:
        check_frame(chunk, size)
        data: bytes = blosc.decompress(chunk, out)
        return data

    return decode


def encoder(codec: Codec) -> Callable[[np.ndarray], bytes]:
    """Return a function that compresses an array of any shape and dtype and adds a CRC-32C."""
    from numcodecs import Blosc

    settings = codec["configuration"]
    shuffle = {"noshuffle": Blosc.NOSHUFFLE, "shuffle": Blosc.SHUFFLE, "bitshuffle": Blosc.BITSHUFFLE}[settings["shuffle"]]
    compressor = Blosc(settings["cname"], settings["clevel"], shuffle, settings["blocksize"])

    def encode(chunk: np.ndarray) -> bytes:
        data: bytes = compressor.encode(np.ascontiguousarray(chunk))
        return data + crc32c(data).to_bytes(4, "little")

    return encode


def crc32c(data: bytes) -> int:
    """Return CRC-32C of some bytes."""
    import google_crc32c

    checksum: int = google_crc32c.value(data)
    return checksum


def shard_bytes(chunks: Mapping[int, bytes]) -> bytes:
    """Assemble a shard of encoded chunks by their place in it; return nothing if there are none."""
    if not chunks:
        return b""
    index = np.full((CHUNKS_IN_SHARD, 2), ABSENT, "<u8")
    at, parts = 0, []
    for within, data in sorted(chunks.items()):
        index[within] = at, len(data)
        at += len(data)
        parts.append(data)
    table = index.tobytes()
    return b"".join([*parts, table, crc32c(table).to_bytes(4, "little")])


def split_shard(data: bytes) -> dict[int, bytes]:
    """Split a shard that was written with `shard_bytes` into its encoded chunks."""
    if not data:
        return {}
    index = np.frombuffer(data[-INDEX_SIZE:-4], "<u8").reshape(CHUNKS_IN_SHARD, 2)
    return {
        within: data[int(start) : int(start + size)] for within, (start, size) in enumerate(index.tolist()) if start != ABSENT
    }
