"""Write the arrays of an object shard by shard, with a checksum over all of them."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from itertools import islice
from typing import Any, NamedTuple

import numpy as np

from modos.errors import ChecksumMismatch
from modos.formats import ZARR
from modos.storage import Storage
from modos.storage.base import Progress, report
from modos.storage.part_digests import DigestList, digest_parts
from modos.storage.write_log import WriteLog
from modos.tracks.zarr_layout import (
    CHUNKS_IN_SHARD,
    DIGEST_SLOT,
    ArraySpec,
    Codec,
    blosc,
    decoder,
    encoder,
    shard_bytes,
    split_shard,
)

MAX_ATTEMPTS = 3  # at a packing that all values fit in, before they are kept as they are
_ROLES = ("values", "runs", "zoom", "statistics", "mask", "sequence")
_ENCODERS = 2
_UPLOADS = 4
_TRIED = 8  # chunks that codecs are tried on
_QUICK = 1.03  # how much larger a codec's result may be that is read several times as fast
_CODECS = (("lz4", "bitshuffle", 5), ("zstd", "shuffle", 3), ("zstd", "bitshuffle", 3), ("zstd", "noshuffle", 3))


class Names:
    """Paths of the arrays that one change of an element writes.

    No other array has them, so that what is replaced stays readable until the
    commit, and what an interrupted change has left can be told from the rest.

    Parameters
    ----------
    folder
        Path of the element's group.
    """

    def __init__(self, folder: str):
        self.folder = folder
        self._token = secrets.token_hex(4)

    def path(self, role: str, attempt: int = 0) -> str:
        """Return the path of an array that is a track's `values`, `zoom` and so on."""
        return f"{self.folder}/{role}-{self._token}" + (f"-{attempt}" if attempt else "")

    def folders(self) -> list[str]:
        """Return all keys below which files may be written."""
        attempts = [self.path("values", attempt) for attempt in range(1, MAX_ATTEMPTS + 1)]
        return [f"{ZARR}/{path}" for path in (*map(self.path, _ROLES), *attempts)]


def role_of(path: str) -> str | None:
    """Return what an array is by its name, as `Names` gives it (`values-1a2b` is `values`); None of any other."""
    role, dash, _ = path.rpartition("/")[2].partition("-")
    return role if dash and role in _ROLES else None


def choose_codec(chunks: Iterable[np.ndarray]) -> Codec:
    """Choose the codec that makes some chunks smallest, or nearly so and faster."""
    chunks = list(chunks)
    if len(chunks) > _TRIED:
        chunks = chunks[:: -(-len(chunks) // _TRIED)]
    itemsize = chunks[0].dtype.itemsize if chunks else 1
    tried: list[tuple[float, Codec]] = []
    for number, (name, shuffle, level) in enumerate(_CODECS):
        codec = blosc(name, shuffle, level, itemsize)
        encode = encoder(codec)
        size = sum(len(encode(chunk)) for chunk in chunks) * (_QUICK if number else 1)
        tried.append((size, codec))
    return min(tried, key=lambda sized: sized[0])[1]


class _Shard(NamedTuple):
    """A shard that was written: its bytes, BLAKE2b-512 of them, and the digests of its parts."""

    size: int = 0
    checksum: str = ""
    parts: bytes = b""


class ArrayWriter:
    """Chunks that become an array, in any order; best in order, as few shards are kept in memory.

    Parameters
    ----------
    log
        Has the storage of the object, and gets the keys of the files.
    spec
        The array; its codec may be set before the first chunk.
    """

    def __init__(self, log: WriteLog, spec: ArraySpec):
        self.spec = spec
        self._log, self._storage = log, log.storage
        self._encode = encoder(spec.codec)
        self._open: dict[int, dict[int, Future[bytes] | bytes]] = {}
        self._shards: dict[int, _Shard] = {}
        self._encoders = ThreadPoolExecutor(_ENCODERS, "modos-encode")
        self._uploads = ThreadPoolExecutor(_UPLOADS, "modos-write")
        self._pending: dict[int, Future[_Shard]] = {}

    def put(self, number: int, chunk: np.ndarray) -> None:
        """Write a chunk, of the whole chunk's shape; it must not be changed afterwards."""
        shard = number // CHUNKS_IN_SHARD
        self._reopen(shard)
        if bool((chunk != chunk).all()) if self.spec.fill != self.spec.fill else bool((chunk == self.spec.fill).all()):
            self._open[shard].pop(number % CHUNKS_IN_SHARD, None)
            return
        self._open[shard][number % CHUNKS_IN_SHARD] = self._encoders.submit(self._encode, chunk)

    def get(self, number: int) -> np.ndarray | None:
        """Return a chunk that was put, with the shape and dtype of the array; None if there is none."""
        shard = number // CHUNKS_IN_SHARD
        if shard not in self._open and shard not in self._shards and shard not in self._pending:
            return None
        self._reopen(shard)
        data = self._open[shard].get(number % CHUNKS_IN_SHARD)
        if data is None:
            return None
        packed = data.result() if isinstance(data, Future) else data
        numbers = np.frombuffer(decoder(self.spec.codec, self.spec.chunk_bytes)(packed[:-4]), self.spec.dtype)
        return numbers.reshape(self.spec.chunk_shape).copy()

    def numbers(self) -> list[int]:
        """Return the chunks of shards that have any, in order."""
        shards = sorted(self._open.keys() | self._shards.keys() | self._pending.keys())
        return [shard * CHUNKS_IN_SHARD + within for shard in shards for within in range(CHUNKS_IN_SHARD)]

    def flush(self, keep: Iterable[int] = ()) -> None:
        """Write the shards that are complete, or all but those to be kept open."""
        for shard in [shard for shard in self._open if shard not in set(keep)]:
            chunks = self._open.pop(shard)
            data = shard_bytes({within: c.result() if isinstance(c, Future) else c for within, c in chunks.items()})
            self._settle(shard)
            self._pending[shard] = self._uploads.submit(self._write, shard, data)
            if len(self._pending) >= _UPLOADS:
                self._settle(next(iter(self._pending)))

    def adopt(self, number: int, size: int, parts: bytes) -> None:
        """Take a shard that lies in its place already: its bytes, and the digests of its parts."""
        self._shards[number] = _Shard(size, "", parts)

    def finish(self, attributes: Mapping[str, Any] | None = None) -> ArraySpec:
        """Write what is left, and the list of digests; returns the array, with the sizes, checksum and root of its files.

        Everything is as durable as the storage makes it. With shards that
        were adopted there is no checksum, as their bytes were not read.
        """
        self.flush()
        for shard in list(self._pending):
            self._settle(shard)
        self._encoders.shutdown()
        self._uploads.shutdown()
        sizes = tuple(self._shards.get(number, _Shard()).size for number in range(self.spec.shards))
        spec = replace(self.spec, sizes=sizes)
        digests = DigestList(spec.layout, b"".join(self._shards[number].parts for number in sorted(self._shards)))
        write_list(self._log, spec, digests)
        own = {DIGEST_SLOT: digests.root}
        if all(shard.checksum or not shard.size for shard in self._shards.values()):
            checksums = {number: (shard.size, shard.checksum) for number, shard in self._shards.items()}
            own = {"shard_checksum": combine_checksums(checksums)} | own
        return replace(spec, attributes={**spec.attributes, **(attributes or {}), **own})

    def drop(self) -> None:
        """Stop, and remove what was written."""
        self._encoders.shutdown(cancel_futures=True)
        for future in self._pending.values():
            future.cancel()
        self._uploads.shutdown()
        for number in self._shards.keys() | self._pending.keys():
            self._storage.delete(self.spec.key(number))
        self._storage.delete(self.spec.list_key)

    def _reopen(self, shard: int) -> None:
        if shard in self._open:
            return
        self._open[shard] = {}
        self._settle(shard)
        known = self._shards.pop(shard, _Shard())
        if known.size:
            data = self._storage.read(self.spec.key(shard))[0]
            if digest_parts(data) != known.parts:
                raise ChecksumMismatch(
                    f"{self._storage.url}/{self.spec.key(shard)} was changed by somebody else meanwhile", "try again"
                )
            self._open[shard].update(split_shard(data))

    def _settle(self, shard: int) -> None:
        if shard in self._pending:
            self._shards[shard] = self._pending.pop(shard).result()

    def _write(self, shard: int, data: bytes) -> _Shard:
        key = self.spec.key(shard)
        if data:
            self._log.wrote(key)
            self._storage.write(key, data)
        elif self._storage.exists(key):
            self._storage.delete(key)
        return _Shard(len(data), hashlib.blake2b(data).hexdigest(), digest_parts(data))


def write_list(log: WriteLog, spec: ArraySpec, digests: DigestList) -> None:
    """Write the list of digests of the parts of an array's shards, where one is kept."""
    if digests.is_stored:
        log.wrote(spec.list_key)
        log.storage.write(spec.list_key, digests.to_bytes())


def combine_checksums(shards: Mapping[int, tuple[int, str]]) -> str:
    """Return BLAKE2b-512 over number, size and BLAKE2b-512 of each shard, a line for each."""
    lines = "".join(f"{number} {size} {digest}\n" for number, (size, digest) in sorted(shards.items()) if size)
    return hashlib.blake2b(lines.encode()).hexdigest()


def describe_arrays(arrays: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Summarise arrays, given their attributes by path, for an element: their bytes, and a checksum of their checksums.

    Of an array without a checksum its digest is taken.
    """
    lines = sorted(
        f"{path.rpartition('/')[2].partition('-')[0]} {a.get('shard_checksum') or a[DIGEST_SLOT]}\n" for path, a in arrays.items()
    )
    return {
        "data_size": sum(sum(a["shard_sizes"]) for a in arrays.values()),
        "data_checksum": hashlib.blake2b("".join(lines).encode()).hexdigest(),
    }


def shard_checksum(
    storage: Storage, spec: ArraySpec, progress: Progress | None = None, look: Callable[[int, bytes], None] | None = None
) -> str:
    """Compute the checksum of an array's files as they are now, to compare with the attribute of that name.

    Parameters
    ----------
    look
        Gets each shard, by its number; one at a time is in memory.
    """
    shards = {}
    for number, size in enumerate(spec.sizes):
        if size:
            digest, parts = hashlib.blake2b(), []
            for piece in report(storage.iter_range(spec.key(number), 0, size), progress):
                digest.update(piece)
                if look:
                    parts.append(piece)
            shards[number] = size, digest.hexdigest()
            if look:
                look(number, b"".join(parts))
    return combine_checksums(shards)


def write_pieces(
    log: WriteLog,
    path: str,
    shape: tuple[int, ...],
    chunk: int,
    dtype: str,
    piece: Callable[[int], np.ndarray],
    attributes: Mapping[str, Any] | None = None,
) -> ArraySpec:
    """Write an array of zeros and what `piece` gives for the number of a chunk, of the whole chunk's shape."""
    numbers = range(-(-shape[-1] // chunk))
    sample = (data for data in map(piece, [*numbers[:: len(numbers) // _TRIED + 1], *numbers]) if data.any())
    writer = ArrayWriter(log, ArraySpec(path, shape, chunk, dtype, 0, choose_codec(islice(sample, _TRIED // 2))))
    for number in numbers:
        writer.put(number, piece(number))
        writer.flush(keep=(number // CHUNKS_IN_SHARD,))
    return writer.finish(attributes)


def write_small(log: WriteLog, path: str, data: np.ndarray, chunk: int, attributes: Mapping[str, Any] | None = None) -> ArraySpec:
    """Write an array that is in memory; zeros are not stored."""
    return write_pieces(
        log,
        path,
        data.shape,
        chunk,
        data.dtype.name,
        lambda number: _pad(data[..., number * chunk : (number + 1) * chunk], chunk),
        attributes,
    )


def _pad(piece: np.ndarray, chunk: int) -> np.ndarray:
    missing = chunk - piece.shape[-1]
    return np.pad(piece, [(0, 0)] * (piece.ndim - 1) + [(0, missing)]) if missing else piece
