"""A store of zarr-python over the files of a tree, each compared with its digests as it is read."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from zarr.abc.store import ByteRequest, OffsetByteRequest, RangeByteRequest, Store, SuffixByteRequest
from zarr.core.buffer import Buffer, BufferPrototype

from modos.errors import IntegrityError, InvalidInputError
from modos.storage.prefetch import fetch_ahead
from modos.storage.processes import forking
from modos.trees.kinds import MOST_METADATA, TreeMetadata
from modos.trees.tree_files import TreeFiles

_WORKERS = 16
_METADATA = (".zarray", ".zmetadata", "zarr.json")
_RUNS_CODE = ("pickle", "dill", "cloudpickle", "joblib")  # codecs of objects: to read a chunk is to run what is in it
_MAY_NAME_ONE = (*map(str.encode, _RUNS_CODE), b"\\u", b"\0")  # escaped, or in UTF-16, a name is not seen in the bytes


class TreeStore(Store):
    """The files of a tree as zarr-python reads them; it cannot be written to.

    What is not in the manifest is known to be absent, and is not asked for. It
    can be pickled as far as its storage can.

    Parameters
    ----------
    allow_pickle
        Read arrays of objects whose codecs run code that is in their chunks.

    Raises
    ------
    IntegrityError
        As a file is read: it is not the recorded one.
    InvalidInputError
        As metadata are read: an array has such a codec.
    """

    supports_writes = supports_deletes = False
    supports_listing = True

    def __init__(self, files: TreeFiles, *, allow_pickle: bool = False):
        super().__init__(read_only=True)
        self.files = files
        self._allow_pickle = allow_pickle
        forking.begin(self, TreeStore._start)

    def _start(self) -> None:
        self._lock = threading.Lock()
        self._pool: ThreadPoolExecutor | None = None

    def __reduce__(self) -> tuple[Any, ...]:
        return _open_store, (self.files, self._allow_pickle)

    def with_read_only(self, read_only: bool = False) -> TreeStore:
        """Return the store itself; raise InvalidInputError where it is to be written to."""
        if not read_only:
            raise InvalidInputError(f"{self} cannot be written to", "write another tree, and bring it with `modos update`")
        return self

    def __eq__(self, other: object) -> bool:
        return isinstance(other, TreeStore) and (self.files.url, self.files.root) == (other.files.url, other.files.root)

    def __hash__(self) -> int:
        return hash((self.files.url, self.files.root))

    def __str__(self) -> str:
        return self.files.url

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self}>"

    def read_all(self, keep: Callable[[str, bytes], None] | None = None) -> None:
        """Read all files, several at once, each of which is compared, and metadata as `get` does.

        `keep` gets the pieces of each in order.
        """

        def read(name: str, _: threading.Event) -> None:
            if _tells_codecs(name):
                self._check_metadata(name, self.files.read(name, 0, check_size(self.files, name)))
            for data in self.files.iter_bytes(name):
                if keep:
                    keep(name, data)

        for _ in fetch_ahead(read, self.files.names, _WORKERS, 4 * _WORKERS, wait=True):
            pass

    @property
    def metadata(self) -> TreeMetadata:
        """Metadata of its groups and arrays, read as they are asked for."""
        return TreeMetadata(self._read_metadata, self.files.names, str(self))

    def _read_metadata(self, name: str) -> bytes | None:
        return self.files.read(name, 0, check_size(self.files, name)) if name in self.files.sizes else None

    def _check_metadata(self, name: str, data: bytes) -> None:
        if not self._allow_pickle:
            refuse_code(f"{self}/{name}", data)

    async def get(self, key: str, prototype: BufferPrototype, byte_range: ByteRequest | None = None) -> Buffer | None:
        """Read a file, or bytes of it; None if the tree has none of that name."""
        size = self.files.sizes.get(key)
        if size is None:
            return None
        is_metadata = _tells_codecs(key)
        start, end = _bounds(byte_range, check_size(self.files, key) if is_metadata else size)
        loop = asyncio.get_running_loop()
        data = await loop.run_in_executor(self._threads(), self.files.read, key, start, end)
        if is_metadata:
            self._check_metadata(key, data)
        return prototype.buffer.from_bytes(data)

    def _threads(self) -> ThreadPoolExecutor:
        with self._lock:
            if self._pool is None:
                self._pool = ThreadPoolExecutor(_WORKERS, "modos-tree")
            return self._pool

    async def get_partial_values(
        self, prototype: BufferPrototype, key_ranges: Iterable[tuple[str, ByteRequest | None]]
    ) -> list[Buffer | None]:
        """Read several files, or bytes of them, at once."""
        return list(await asyncio.gather(*(self.get(key, prototype, byte_range) for key, byte_range in key_ranges)))

    async def exists(self, key: str) -> bool:
        """Return whether the tree has a file."""
        return key in self.files.sizes

    async def getsize(self, key: str) -> int:
        """Return the bytes of a file; raise FileNotFoundError if there is none."""
        if key not in self.files.sizes:
            raise FileNotFoundError(key)
        return self.files.sizes[key]

    async def set(self, key: str, value: Buffer) -> None:
        """Refuse to write."""
        self._check_writable()

    async def delete(self, key: str) -> None:
        """Refuse to delete."""
        self._check_writable()

    async def list(self) -> AsyncIterator[str]:
        """Iterate over the names of all files."""
        for name in self.files.names:
            yield name

    async def list_prefix(self, prefix: str) -> AsyncIterator[str]:
        """Iterate over the names of files that begin with a prefix."""
        for name in self.files.iter_below(prefix):
            yield name

    async def list_dir(self, prefix: str) -> AsyncIterator[str]:
        """Iterate over the names of files and folders in a folder."""
        for first, _ in self.files.iter_folder(prefix.rstrip("/")):
            yield first


def _open_store(files: TreeFiles, allow_pickle: bool) -> TreeStore:
    return TreeStore(files, allow_pickle=allow_pickle)


def _bounds(byte_range: ByteRequest | None, size: int) -> tuple[int, int]:
    if isinstance(byte_range, RangeByteRequest):
        return min(byte_range.start, size), min(byte_range.end, size)
    if isinstance(byte_range, OffsetByteRequest):
        return min(byte_range.offset, size), size
    if isinstance(byte_range, SuffixByteRequest):
        return max(size - byte_range.suffix, 0), size
    return 0, size


def _tells_codecs(name: str) -> bool:
    return name.rpartition("/")[2] in _METADATA


def check_size(files: TreeFiles, name: str) -> int:
    """Return the size of a file of metadata; raise IntegrityError if it is too large for one."""
    size = files.sizes[name]
    if size > MOST_METADATA:
        raise IntegrityError(f"{files.url}/{name} has {size:,} bytes, too many for metadata", "write the tree again")
    return size


def check_metadata(files: TreeFiles, name: str) -> None:
    """Read a file if it is metadata, and refuse what `refuse_code` refuses, with its errors; any other file passes."""
    if _tells_codecs(name):
        refuse_code(f"{files.url}/{name}", files.read(name, 0, check_size(files, name)))


def refuse_code(where: str, data: bytes) -> None:
    """Refuse metadata of arrays whose codecs run code that is in the chunks.

    Raises
    ------
    InvalidInputError
        They name such a codec.
    """
    if not any(sign in data for sign in _MAY_NAME_ONE):
        return
    try:
        document = json.loads(data)
    except (ValueError, RecursionError):  # and so says zarr
        return
    if codec := _find_codec(document):
        raise InvalidInputError(
            f"{where}: an array is stored with the codec {codec}, which runs code that is in the file",
            "where you trust its maker: allow_pickle=True",
        )


def _find_codec(value: Any) -> str | None:
    """Find a codec that runs code in metadata of any version, consolidated ones as well."""
    pending = [value]
    while pending:
        one = pending.pop()
        if isinstance(one, dict):
            for slot in ("id", "name"):
                name = one.get(slot)
                if isinstance(name, str) and name.removeprefix("numcodecs.") in _RUNS_CODE:
                    return name
            pending += one.values()
        elif isinstance(one, list):
            pending += one
    return None
