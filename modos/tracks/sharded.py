"""Sharded Zarr arrays, read and written directly: chunks along the last axis, grouped to shards.

What is written is a Zarr v3 array with the sharding codec (ZEP 2): each shard
is one file, its chunks one after another, at its end the places of the chunks
and a CRC-32C of them. Each chunk ends with a CRC-32C of its own. A chunk that
holds nothing but the fill value is left out, and so is a shard.
"""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from io import FileIO
from typing import Any, TypeVar

import numpy as np

from modos.errors import (
    ChecksumMismatch, ConflictError, IntegrityError, InvalidInputError, NotFoundError, TruncatedStream,
)
from modos.storage import Storage

CHUNKS_IN_SHARD = 256
_ABSENT = 2**64 - 1
_CRC = {"name": "crc32c"}
_RESIDUE = 0x48674BC7  # CRC-32C of anything that ends with its own CRC-32C
_SMALL = 512 << 10  # bytes up to which a shard is fetched whole
_NEAR = 64 << 10  # bytes between two chunks that are fetched together
_OPEN = 128  # files that are kept open
_WORKERS = 16
_DECODERS = 2
_BATCH = 1024  # chunks that are gone through at once

Result = TypeVar("Result")

Codec = Mapping[str, Any]


def blosc(name: str, shuffle: str, level: int, itemsize: int) -> Codec:
    """The Blosc codec of Zarr v3, configured."""
    return {"name": "blosc", "configuration": {"typesize": itemsize, "cname": name, "clevel": level, "shuffle": shuffle,
                                               "blocksize": 0}}


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

    def key(self, zarr: str, number: int) -> str:
        """The key of a shard in an object."""
        return f"{zarr}/{self.path}/c/{'0/' * (len(self.shape) - 1)}{number}"

    def to_node(self) -> dict[str, Any]:
        """Its metadata as Zarr v3 has them."""
        shape = list(self.shape[:-1])
        endian = {"name": "bytes", "configuration": {"endian": "little"}}
        plain = {"name": "bytes"} if np.dtype(self.dtype).itemsize == 1 else endian
        sharding = {"chunk_shape": list(self.chunk_shape), "codecs": [plain, dict(self.codec), _CRC],
                    "index_codecs": [endian, _CRC], "index_location": "end"}
        return {
            "zarr_format": 3, "node_type": "array", "shape": list(self.shape), "data_type": self.dtype,
            "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [*shape, self.shard]}},
            "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
            "fill_value": "NaN" if self.fill != self.fill else self.fill,
            "codecs": [{"name": "sharding_indexed", "configuration": sharding}],
            "attributes": {**self.attributes, "shard_sizes": list(self.sizes)}, "storage_transformers": [],
        }

    @classmethod
    def from_node(cls, path: str, node: Mapping[str, Any]) -> ArraySpec:
        """Read what `to_node` gives; InvalidInputError for an array of another layout."""
        try:
            (sharding,) = node["codecs"]
            inner = sharding["configuration"]
            *_, codec, crc = inner["codecs"]
            attributes = dict(node["attributes"])
            sizes = tuple(int(size) for size in attributes.pop("shard_sizes"))
            fill = np.nan if node["fill_value"] == "NaN" else node["fill_value"]
            spec = cls(path, tuple(node["shape"]), inner["chunk_shape"][-1], node["data_type"], fill, codec, sizes, attributes)
            written = spec.to_node()
            same = all(written[key] == node[key] for key in ("codecs", "chunk_grid", "chunk_key_encoding"))
            same = same and len(sizes) == spec.shards and crc == _CRC
        except (KeyError, TypeError, ValueError, AttributeError, IndexError):
            same = False
        if not same:
            raise InvalidInputError(f"the array {path} has a layout that modos does not write", "read it with zarr")
        return spec


class Cache:
    """Recently used chunks, up to a number of bytes."""

    def __init__(self, limit: int):
        self._limit = limit
        self._size = 0
        self._kept: OrderedDict[tuple, tuple[Any, int]] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: tuple) -> Any:
        """What is kept at a key, or None."""
        with self._lock:
            found = self._kept.get(key)
            if found is None:
                return None
            self._kept.move_to_end(key)
            return found[0]

    def put(self, key: tuple, value: Any, size: int) -> None:
        """Keep something of a size in bytes."""
        with self._lock:
            if key in self._kept:
                return
            self._kept[key] = value, size
            self._size += size
            while self._size > self._limit:
                self._size -= self._kept.popitem(last=False)[1][1]


class ShardedArray:
    """An array of an object, read chunk by chunk.

    Parameters
    ----------
    zarr
        Key of the group tree in the storage.
    cache
        Shared by all arrays of an object.
    """

    def __init__(self, storage: Storage, zarr: str, spec: ArraySpec, cache: Cache):
        self.spec = spec
        self._storage = storage
        self._zarr = zarr
        self.cache = cache
        self._decode = decoder(spec.codec)
        self.is_far = storage.is_remote
        self._local = None if storage.is_remote else _OpenFiles(storage)

    def chunk(self, number: int) -> np.ndarray | None:
        """The stored numbers of a chunk, to be read only; None where there are none.

        Raises
        ------
        ChecksumMismatch, TruncatedStream, NotFoundError
            The file is damaged or missing.
        """
        key = (self.spec.path, number)
        found = self.cache.get(key)
        if found is None:
            packed = self._packed(number)
            if packed is None:
                return None
            found = self._unpacked(number, packed)
            self.cache.put(key, found, found.nbytes)
        return found

    def chunks(self, numbers: Iterable[int], into: Callable[[int, np.ndarray | None], None]) -> None:
        """Hand over chunks in any order, several at once: from afar, what lies near each other comes in one request."""
        wanted = list(dict.fromkeys(numbers))
        if self._local is None:
            self._fetch([n for n in wanted if self.cache.get((self.spec.path, n)) is None])
        if len(wanted) < 4:
            for number in wanted:
                into(number, self.chunk(number))
            return

        def decode(part: list[int]) -> None:
            for number in part:
                into(number, self.chunk(number))

        step = max(-(-len(wanted) // (_DECODERS * 4)), 1)
        for _ in pool("decode", _DECODERS).map(decode, [wanted[at:at + step] for at in range(0, len(wanted), step)]):
            pass

    def visit(self, numbers: Sequence[int], work: Callable[[int, np.ndarray | None], Result]) -> list[Result]:
        """What `work` makes of each chunk, in order; the chunks are not kept, and must not be."""
        scratch, found = np.empty(self.spec.chunk_shape, self.spec.dtype), []
        for at in range(0, len(numbers), _BATCH):
            batch = numbers[at:at + _BATCH]
            if self._local is None:
                self._fetch(list(batch))
            found += [work(number, self._passing(number, scratch)) for number in batch]
        return found

    def _passing(self, number: int, scratch: np.ndarray) -> np.ndarray | None:
        known = self.cache.get((self.spec.path, number))
        packed = None if known is not None else self._packed(number)
        return known if packed is None else self._unpacked(number, packed, scratch)

    def read(self) -> np.ndarray:
        """All of it, for an array that is small."""
        out = np.full(self.spec.shape, self.spec.fill, self.spec.dtype)

        def into(number: int, data: np.ndarray | None) -> None:
            if data is not None:
                start = number * self.spec.chunk
                target = out[..., start:start + self.spec.chunk]
                target[...] = data[..., :target.shape[-1]]

        self.chunks(range(-(-self.spec.length // self.spec.chunk)), into)
        return out

    def prefetch(self, numbers: Iterable[int]) -> None:
        """Have chunks from afar in the cache."""
        if self._local is None:
            self._fetch([n for n in dict.fromkeys(numbers) if self.cache.get((self.spec.path, n)) is None])

    def _packed(self, number: int) -> bytes | None:
        shard, within = divmod(number, CHUNKS_IN_SHARD)
        size = self.spec.sizes[shard]
        if not size:
            return None
        if self._local is None:
            self._fetch([number])
            found = self.cache.get((self.spec.path, number, "packed"))
            return found if found is not None else self._packed_now(number)
        index = self._index(shard)
        start, length = int(index[within, 0]), int(index[within, 1])
        if start == _ABSENT:
            return None
        return self._local.read(self.spec.key(self._zarr, shard), size, start, start + length)

    def _packed_now(self, number: int) -> bytes | None:
        """A chunk that was fetched and fell out of the cache, or that is not there."""
        shard, within = divmod(number, CHUNKS_IN_SHARD)
        start, length = map(int, self._index(shard)[within])
        return None if start == _ABSENT else self._read(shard, start, start + length)

    def _unpacked(self, number: int, packed: bytes, out: np.ndarray | None = None) -> np.ndarray:
        if crc32c(packed) != _RESIDUE:
            raise self._damaged(number // CHUNKS_IN_SHARD)
        try:
            if out is not None:
                self._decode(memoryview(packed)[:-4], out)
                return out
            return np.frombuffer(self._decode(memoryview(packed)[:-4]), self.spec.dtype).reshape(self.spec.chunk_shape)
        except (ValueError, RuntimeError):
            raise self._damaged(number // CHUNKS_IN_SHARD) from None

    def _damaged(self, shard: int) -> ChecksumMismatch:
        return ChecksumMismatch(f"{self._storage.url}/{self.spec.key(self._zarr, shard)} is damaged",
                                "restore it from a copy of the object")

    def _index(self, shard: int) -> np.ndarray:
        """Start and length of each chunk of a shard, (256, 2)."""
        key = (self.spec.path, "index", shard)
        found = self.cache.get(key)
        if found is None:
            size, span = self.spec.sizes[shard], CHUNKS_IN_SHARD * 16 + 4
            if self._local is None:
                data = self._read(shard, size - span, size)
            else:
                data = self._local.read(self.spec.key(self._zarr, shard), size, max(size - span, 0), size)
            found = self._parsed(shard, data)
            self.cache.put(key, found, found.nbytes)
        return found

    def _parsed(self, shard: int, data: bytes) -> np.ndarray:
        if len(data) != CHUNKS_IN_SHARD * 16 + 4 or crc32c(data) != _RESIDUE:
            raise self._damaged(shard)
        index = np.frombuffer(data[:-4], "<u8").reshape(CHUNKS_IN_SHARD, 2)
        used = index[index[:, 0] != _ABSENT]
        if (used[:, 1] < 4).any() or (used > self.spec.sizes[shard]).any() or (used.sum(1) > self.spec.sizes[shard]).any():
            raise self._damaged(shard)
        return index

    def _read(self, shard: int, start: int, end: int) -> bytes:
        key = self.spec.key(self._zarr, shard)
        try:
            data = self._storage.read_part(key, start, end)[0]
        except NotFoundError:
            raise _gone(self._storage, key) from None
        if len(data) != end - start:
            raise TruncatedStream(f"{self._storage.url}/{key} is shorter than its metadata say",
                                  "restore it from a copy of the object")
        return data

    def _fetch(self, numbers: list[int]) -> None:
        """Have chunks in the cache as they are stored: indexes first, then what is missing, both in parallel."""
        by_shard: dict[int, list[int]] = {}
        for number in numbers:
            if self.spec.sizes[number // CHUNKS_IN_SHARD] and self.cache.get((self.spec.path, number, "packed")) is None:
                by_shard.setdefault(number // CHUNKS_IN_SHARD, []).append(number)
        if not by_shard:
            return
        run = pool("fetch", _WORKERS).map
        small = [shard for shard in by_shard if self.spec.sizes[shard] <= _SMALL
                 and self.cache.get((self.spec.path, "index", shard)) is None]
        list(run(self._fetch_whole, small))
        others = [shard for shard in by_shard if shard not in small]
        list(run(self._index, others))
        spans = [(shard, span) for shard in others for span in self._spans(shard, by_shard[shard])]
        list(run(self._fetch_span, spans))

    def _fetch_whole(self, shard: int) -> None:
        data = self._read(shard, 0, self.spec.sizes[shard])
        index = self._parsed(shard, data[-CHUNKS_IN_SHARD * 16 - 4:])
        self.cache.put((self.spec.path, "index", shard), index, index.nbytes)
        for within in np.flatnonzero(index[:, 0] != _ABSENT).tolist():
            self._keep(shard, within, data, 0, index)

    def _spans(self, shard: int, numbers: list[int]) -> list[list[int]]:
        """Chunks of a shard that are there, in groups that lie near each other."""
        index = self._index(shard)
        inside = sorted((int(index[n % CHUNKS_IN_SHARD, 0]), n % CHUNKS_IN_SHARD) for n in numbers)
        spans: list[list[int]] = []
        for start, within in inside:
            if start == _ABSENT:
                continue
            if spans and start - int(index[spans[-1][-1]].sum()) <= _NEAR:
                spans[-1].append(within)
            else:
                spans.append([within])
        return spans

    def _fetch_span(self, wanted: tuple[int, list[int]]) -> None:
        shard, span = wanted
        index = self._index(shard)
        start = int(index[span[0], 0])
        data = self._read(shard, start, int(index[span[-1]].sum()))
        for within in span:
            self._keep(shard, within, data, start, index)

    def _keep(self, shard: int, within: int, data: bytes, start: int, index: np.ndarray) -> None:
        at, size = int(index[within, 0]) - start, int(index[within, 1])
        self.cache.put((self.spec.path, shard * CHUNKS_IN_SHARD + within, "packed"), data[at:at + size], size)


class _OpenFiles:
    """Files of this machine, the most recently used of them kept open.

    They are read and not mapped: a file that somebody truncates is then an
    error, where touching a mapped one would end the process.
    """

    def __init__(self, storage: Storage):
        self._storage = storage
        self._files: OrderedDict[str, FileIO] = OrderedDict()
        self._lock = threading.Lock()

    def read(self, key: str, size: int, start: int, end: int) -> bytes:
        """Bytes [start, end) of a file; TruncatedStream where it does not have its size."""
        file = self._files.get(key)
        if file is None:
            file = self._open(key, size)
            with self._lock:
                self._files[key] = file
                while len(self._files) > _OPEN:
                    self._files.popitem(last=False)
        data = os.pread(file.fileno(), end - start, start)
        if len(data) != end - start:
            raise self._too_short(key, size, start + len(data))
        return data

    def _open(self, key: str, size: int) -> FileIO:
        try:
            found = self._storage.stat(key).size
        except NotFoundError:
            raise _gone(self._storage, key) from None
        if found != size:
            raise self._too_short(key, size, found)
        path = self._storage.local_path(key)
        try:
            return open(path, "rb", buffering=0)
        except OSError as error:
            raise IntegrityError(f"cannot read {path}: {error.strerror}") from None

    def _too_short(self, key: str, size: int, found: int) -> TruncatedStream:
        return TruncatedStream(f"{self._storage.url}/{key} has {found:,} bytes, and its metadata say {size:,}",
                               "restore it from a copy of the object")


def _gone(storage: Storage, key: str) -> ConflictError:
    return ConflictError(f"{storage.url}/{key} is gone: the track was changed or removed by somebody else meanwhile",
                         "open the object again")


_pools: dict[str, ThreadPoolExecutor] = {}
_pools_lock = threading.Lock()
os.register_at_fork(after_in_child=_pools.clear)  # a child has none of their threads


def pool(name: str, workers: int) -> ThreadPoolExecutor:
    """Threads for one kind of work, shared by all who do it."""
    with _pools_lock:
        if name not in _pools:
            _pools[name] = ThreadPoolExecutor(workers, f"modos-{name}")
        return _pools[name]


def decoder(codec: Codec) -> Callable[..., bytes]:
    """What undoes a codec's compression; InvalidInputError for a codec that is not known."""
    from numcodecs import blosc

    if codec["name"] != "blosc":
        raise InvalidInputError(f"an array is compressed with {codec['name']}, which modos does not write", "read it with zarr")
    return blosc.decompress


def encoder(codec: Codec) -> Callable[[np.ndarray], bytes]:
    """What compresses the numbers of a chunk, with a CRC-32C at the end."""
    from numcodecs import Blosc

    settings = codec["configuration"]
    shuffle = {"noshuffle": Blosc.NOSHUFFLE, "shuffle": Blosc.SHUFFLE, "bitshuffle": Blosc.BITSHUFFLE}[settings["shuffle"]]
    compressor = Blosc(settings["cname"], settings["clevel"], shuffle, settings["blocksize"])

    def encode(chunk: np.ndarray) -> bytes:
        data = compressor.encode(np.ascontiguousarray(chunk))
        return data + crc32c(data).to_bytes(4, "little")

    return encode


def crc32c(data: bytes) -> int:
    """CRC-32C of some bytes."""
    import google_crc32c

    return google_crc32c.value(data)


def shard_bytes(chunks: Mapping[int, bytes]) -> bytes:
    """A shard of encoded chunks by their place in it; nothing where there are none."""
    if not chunks:
        return b""
    index = np.full((CHUNKS_IN_SHARD, 2), _ABSENT, "<u8")
    at, parts = 0, []
    for within, data in sorted(chunks.items()):
        index[within] = at, len(data)
        at += len(data)
        parts.append(data)
    table = index.tobytes()
    return b"".join([*parts, table, crc32c(table).to_bytes(4, "little")])


def split_shard(data: bytes) -> dict[int, bytes]:
    """The encoded chunks of a shard that was written with `shard_bytes`."""
    if not data:
        return {}
    index = np.frombuffer(data[-CHUNKS_IN_SHARD * 16 - 4:-4], "<u8").reshape(CHUNKS_IN_SHARD, 2)
    return {within: data[int(start):int(start + size)] for within, (start, size) in enumerate(index.tolist())
            if start != _ABSENT}
