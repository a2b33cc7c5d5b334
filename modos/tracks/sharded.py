"""Read sharded arrays directly, only the chunks that are needed."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol, TypeVar

import numpy as np

from modos.errors import (
    ChecksumMismatch,
    ConflictError,
    IntegrityError,
    NotFoundError,
    TruncatedStream,
)
from modos.errors.escaping import escape_line
from modos.storage import ObjectInfo, Storage
from modos.storage.processes import forking
from modos.storage.recent import Cache
from modos.storage.verified import VerifiedFiles
from modos.tracks.frames import HEADER, check_frame
from modos.tracks.open_files import ComparedFiles
from modos.tracks.shard_records import ShardRecords
from modos.tracks.zarr_layout import (
    ABSENT,
    CHUNKS_IN_SHARD,
    CRC_SIZE,
    INDEX_SIZE,
    RESIDUE,
    ArraySpec,
    crc32c,
    decoder,
)

_SMALL = 512 << 10  # bytes up to which a shard is fetched whole
_NEAR = 64 << 10  # bytes between two chunks that are fetched together
_WORKERS = 16
_DECODERS = 2
BATCH = 256  # chunks from afar that are fetched at once; all of them have room in the cache

Result = TypeVar("Result")


class Files(Protocol):
    """Files that shards are in, each byte compared as it is read."""

    def read_part(self, key: str, start: int, end: int) -> tuple[bytes, ObjectInfo]:
        """Read bytes [start, end) of a file; see `VerifiedFiles.read_part`."""


class Reader:
    """Shared state of the arrays of an object: their place, what was read recently, open files.

    Parameters
    ----------
    limit
        Bytes that are kept.
    """

    files: Files

    def __init__(self, storage: Storage, limit: int):
        self.storage = storage
        self.cache = Cache(limit)
        self._specs: dict[str, ArraySpec] = {}
        self.files = (ComparedFiles if storage.has_paths else VerifiedFiles)(storage, ShardRecords(self._specs.get).find)
        self._limit = limit

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle the place alone."""
        return Reader, (self.storage, self._limit)

    def expect(self, spec: ArraySpec) -> None:
        """Note an array, with whose records its files are compared as they are read."""
        self._specs[spec.path] = spec

    def has(self, key: str) -> bool:
        """Return whether a file is there."""
        return self.storage.exists(key)

    def describe(self, key: str) -> str:
        """Return what a file is called in messages."""
        return f"{self.storage.url}/{key}"


class ShardedArray:
    """An array of an object, read chunk by chunk."""

    def __init__(self, reader: Reader, spec: ArraySpec):
        self.spec = spec
        self._reader = reader
        self.cache = reader.cache
        self.is_far = reader.storage.is_remote
        self._files = reader.files
        reader.expect(spec)
        self._decode = decoder(spec.codec, spec.chunk_bytes)
        self._stored_limit = spec.stored_limit

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle the place and the layout, and none of what was read."""
        return ShardedArray, (self._reader, self.spec)

    def __repr__(self) -> str:
        return escape_line(f"<array {self.spec.path}: {self.spec.shape} {self.spec.dtype}>")

    def chunk(self, number: int) -> np.ndarray | None:
        """Read the stored numbers of a chunk: the shape and dtype of `spec`, read-only; None if there are none.

        Raises
        ------
        ChecksumMismatch, TruncatedStream, NotFoundError
            The file is damaged or missing.
        """
        key = (self.spec.path, number)
        found: np.ndarray | None = self.cache.get(key)
        if found is None:
            packed = self._read_packed(number)
            if packed is None:
                return None
            found = self._unpack(number, packed)
            self.cache.put(key, found, found.nbytes)
        return found

    def chunks(self, numbers: Iterable[int], into: Callable[[int, np.ndarray | None], None]) -> None:
        """Hand over chunks in any order, several at once: from afar, what lies near each other comes in one request."""

        def decode(part: Sequence[int]) -> None:
            for number in part:
                into(number, self.chunk(number))

        for wanted in self._iter_fetched(list(dict.fromkeys(numbers))):
            if len(wanted) < 4:
                decode(wanted)
                continue
            step = max(-(-len(wanted) // (_DECODERS * 4)), 1)
            list(pool("decode", _DECODERS).map(decode, [wanted[at : at + step] for at in range(0, len(wanted), step)]))

    def iter_chunks(self, numbers: Iterable[int]) -> Iterator[tuple[int, np.ndarray | None]]:
        """Read chunks one after another, with their numbers; shape and dtype as of `chunk`."""
        for wanted in self._iter_fetched(list(dict.fromkeys(numbers))):
            for number in wanted:
                yield number, self.chunk(number)

    def _iter_fetched(self, numbers: Sequence[int]) -> Iterator[Sequence[int]]:
        """Iterate over the numbers, some at a time, when their chunks are at hand."""
        if not self.is_far:
            yield numbers
            return
        for at in range(0, len(numbers), BATCH):
            self.prefetch(numbers[at : at + BATCH])
            yield numbers[at : at + BATCH]

    def visit(self, numbers: Sequence[int], work: Callable[[int, np.ndarray | None], Result]) -> list[Result]:
        """Call `work` on each chunk and return the results in order; it must not keep the chunks."""
        scratch = np.empty(self.spec.chunk_shape, self.spec.dtype)
        return [work(number, self._decode_passing(number, scratch)) for batch in self._iter_fetched(numbers) for number in batch]

    def _decode_passing(self, number: int, scratch: np.ndarray) -> np.ndarray | None:
        known = self.cache.get((self.spec.path, number))
        packed = None if known is not None else self._read_packed(number)
        return known if packed is None else self._unpack(number, packed, scratch)

    def read(self) -> np.ndarray:
        """Read the whole of a small array, in its shape and dtype."""
        out = np.zeros(self.spec.shape, self.spec.dtype)  # takes memory where it is written to, not before
        if self.spec.fill != 0:
            out.fill(self.spec.fill)

        def into(number: int, data: np.ndarray | None) -> None:
            if data is not None:
                start = number * self.spec.chunk
                target = out[..., start : start + self.spec.chunk]
                target[...] = data[..., : target.shape[-1]]

        self.chunks(range(-(-self.spec.length // self.spec.chunk)), into)
        return out

    def prefetch(self, numbers: Iterable[int]) -> None:
        """Fetch chunks from afar into the cache."""
        if self.is_far:
            self._fetch([n for n in dict.fromkeys(numbers) if self.cache.get((self.spec.path, n)) is None])

    def _read_packed(self, number: int) -> bytes | None:
        shard, within = divmod(number, CHUNKS_IN_SHARD)
        size = self.spec.sizes[shard]
        if not size:
            return None
        if self.is_far:
            self._fetch([number])
            found = self.cache.take((self.spec.path, number, "packed"))
            if found is not None:
                return bytes(found)
        index = self._index(shard)  # of one that is not there, or fell out of the cache
        start, length = int(index[within, 0]), int(index[within, 1])
        return None if start == ABSENT else self._read(shard, start, start + length)

    def _unpack(self, number: int, packed: bytes, out: np.ndarray | None = None) -> np.ndarray:
        if crc32c(packed) != RESIDUE:
            raise self._damage_error(number // CHUNKS_IN_SHARD)
        try:
            if out is not None:
                self._decode(memoryview(packed)[:-4], out)
                return out
            return np.frombuffer(self._decode(memoryview(packed)[:-4]), self.spec.dtype).reshape(self.spec.chunk_shape)
        except (ValueError, RuntimeError):
            raise self._damage_error(number // CHUNKS_IN_SHARD) from None

    def _damage_error(self, shard: int) -> ChecksumMismatch:
        return ChecksumMismatch(
            f"{self._reader.describe(self.spec.key(shard))} is damaged", "restore it from a copy of the object"
        )

    def check_shard(self, shard: int, data: bytes | memoryview) -> None:
        """Raise ChecksumMismatch if a shard has a chunk that is damaged, or longer than it can be."""
        view = memoryview(data)
        for start, length in self._parse_index(shard, bytes(view[-INDEX_SIZE:])).tolist():
            if start == ABSENT:
                continue
            packed = view[start : start + length]
            if crc32c(bytes(packed)) != RESIDUE:
                raise self._damage_error(shard)
            try:
                check_frame(packed[:-CRC_SIZE], self.spec.chunk_bytes)
            except ValueError:
                raise self._damage_error(shard) from None

    def _index(self, shard: int) -> np.ndarray:
        """Return start and length of each chunk of a shard, (256, 2)."""
        key = (self.spec.path, "index", shard)
        found: np.ndarray | None = self.cache.get(key)
        if found is None:
            size = self.spec.sizes[shard]
            found = self._parse_index(shard, self._read(shard, size - INDEX_SIZE, size))
            self.cache.put(key, found, found.nbytes)
        return found

    def _parse_index(self, shard: int, data: bytes) -> np.ndarray:
        if len(data) != INDEX_SIZE or crc32c(data) != RESIDUE:
            raise self._damage_error(shard)
        index = np.frombuffer(data[:-4], "<u8").reshape(CHUNKS_IN_SHARD, 2)
        starts, lengths = index[index[:, 0] != ABSENT].T
        if len(starts) and not self._are_places(starts, lengths, self.spec.sizes[shard] - INDEX_SIZE):
            raise self._damage_error(shard)
        return index

    def _are_places(self, starts: np.ndarray, lengths: np.ndarray, limit: int) -> bool:
        """Return whether chunks can lie there in a shard, each apart from the others and before the index."""
        if lengths.min() < HEADER + CRC_SIZE or lengths.max() > self._stored_limit or starts.max() > limit:
            return False
        ends = starts + lengths
        if (starts[1:] < ends[:-1]).any():  # of another order, or overlapping
            ends = ends[order := np.argsort(starts)]
            if (starts[order][1:] < ends[:-1]).any():
                return False
        return bool(ends[-1] <= limit)

    def _read(self, shard: int, start: int, end: int) -> bytes:
        key, size = self.spec.key(shard), self.spec.sizes[shard]
        try:
            data, info = self._files.read_part(key, start, end)
        except NotFoundError:
            raise self._gone_error(key) from None
        except IntegrityError:
            if not self._reader.has(key):
                raise self._gone_error(key) from None
            raise
        if info.size != size or len(data) != end - start:
            raise TruncatedStream(
                f"{self._reader.describe(key)} has {info.size:,} bytes, and its metadata say {size:,}",
                "restore it from a copy of the object",
            )
        return data

    def _gone_error(self, key: str) -> ConflictError:
        told = f"{self._reader.describe(key)} is gone: the track was changed or removed by somebody else meanwhile"
        return ConflictError(told, "open the object again")

    def _fetch(self, numbers: list[int]) -> None:
        """Fetch chunks into the cache as they are stored: indexes first, then what is missing, both in parallel."""
        by_shard: dict[int, list[int]] = {}
        for number in numbers:
            if self.spec.sizes[number // CHUNKS_IN_SHARD] and self.cache.get((self.spec.path, number, "packed")) is None:
                by_shard.setdefault(number // CHUNKS_IN_SHARD, []).append(number)
        if not by_shard:
            return
        run = pool("fetch", _WORKERS).map
        small = [
            shard
            for shard in by_shard
            if self.spec.sizes[shard] <= _SMALL and self.cache.get((self.spec.path, "index", shard)) is None
        ]
        fetched = {shard for shard, is_whole in zip(small, run(self._fetch_whole, small)) if is_whole}
        others = [shard for shard in by_shard if shard not in fetched]
        list(run(self._index, others))
        spans = [(shard, span) for shard in others for span in self._spans(shard, by_shard[shard])]
        list(run(self._fetch_span, spans))

    def _fetch_whole(self, shard: int) -> bool:
        """Fetch a small shard; return whether all of it is as recorded, else its sound chunks can be read one by one."""
        try:
            data = self._read(shard, 0, self.spec.sizes[shard])
        except ChecksumMismatch:
            return False
        index = self._parse_index(shard, data[-INDEX_SIZE:])
        self.cache.put((self.spec.path, "index", shard), index, index.nbytes)
        for within in np.flatnonzero(index[:, 0] != ABSENT).tolist():
            self._keep(shard, within, data, 0, index)
        return True

    def _spans(self, shard: int, numbers: list[int]) -> list[list[int]]:
        """Group the existing chunks of a shard that lie near each other."""
        index = self._index(shard)
        inside = sorted((int(index[n % CHUNKS_IN_SHARD, 0]), n % CHUNKS_IN_SHARD) for n in numbers)
        spans: list[list[int]] = []
        for start, within in inside:
            if start == ABSENT:
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
        self.cache.put((self.spec.path, shard * CHUNKS_IN_SHARD + within, "packed"), data[at : at + size], size)


class _Pools:
    """Threads that stay, by what they are for."""

    def __init__(self) -> None:
        forking.begin(self, _Pools._start)

    def _start(self) -> None:
        self._lock = threading.Lock()
        self._pools: dict[str, ThreadPoolExecutor] = {}

    def get(self, name: str, workers: int) -> ThreadPoolExecutor:
        with self._lock:
            if name not in self._pools:
                self._pools[name] = ThreadPoolExecutor(workers, f"tracks-{name}")
            return self._pools[name]


_pools = _Pools()


def pool(name: str, workers: int) -> ThreadPoolExecutor:
    """Return the threads for one kind of work, shared by all who do it."""
    return _pools.get(name, workers)
