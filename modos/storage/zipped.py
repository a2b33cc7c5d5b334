"""A read-only storage in one zip file of another storage, whose entries are ranges of its bytes."""

from __future__ import annotations

import threading
import zlib
from array import array
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NoReturn

from modos.errors import (
    AccessError,
    ChecksumMismatch,
    ConflictError,
    IntegrityError,
    InvalidInputError,
    NotFoundError,
    TruncatedStream,
)
from modos.storage.base import MAX_READ, ObjectInfo, Progress, Storage, check_key, piece_size
from modos.storage.prefetch import fetch_ahead
from modos.storage.processes import forking
from modos.storage.readonly import ReadOnlyStorage
from modos.storage.zip_format import END_SIZE, HEAD, TAIL, Directory, check_header, find_directory, header_size

_CHUNK = 4 << 20  # bytes per piece when an entry is read as a stream
_WORKERS = 4
_NEAR = 64 << 10  # bytes from the beginning of an entry, up to which its header comes in the same request


class ZippedStorage(ReadOnlyStorage):
    """Files that are stored entries of a zip file; nothing can be written.

    The directory is read when it is first needed, with the file's end in one
    request or two; the header of an entry with its first bytes. What was read
    of one state of the file is never mixed with another.

    Parameters
    ----------
    below
        The storage with the zip file.
    key
        Of the zip file.
    url
        As a user would write it.
    info
        The zip file's size and tag, where they are known.
    """

    def __init__(self, below: Storage, key: str, url: str, info: ObjectInfo | None = None):
        super().__init__(url)
        self._zip, self._prefix = _ZipFile(below, key, url, info), ""

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle by the place: unpickling looks at the file as it is then."""
        return _reopen, (self._zip.below, self._zip.key, self._zip.url, self._prefix)

    @property
    def path(self) -> Path:
        """Root as listings show it: the file, or `bucket/prefix/file`."""
        return Path(self._url.partition("://")[2] or self._url)

    @property
    def is_remote(self) -> bool:
        """Return whether reading it needs the network."""
        return self._zip.below.is_remote

    @property
    def has_paths(self) -> bool:
        """Return whether its files are files of this machine: they are parts of one."""
        return False

    @property
    def can_list(self) -> bool:
        """Return whether the storage can list its files."""
        return True

    def child(self, prefix: str) -> ZippedStorage:
        """Return the storage of a folder below this one; see `Storage.child`."""
        other = ZippedStorage.__new__(ZippedStorage)
        other._url, other._zip, other._prefix = f"{self._url}/{prefix}", self._zip, self._name(prefix)
        return other

    def as_file(self) -> tuple[Storage, str] | None:
        """Return the storage above this one, and the key of the root in it; see `Storage.as_file`."""
        return None if self._prefix else (self._zip.below, self._zip.key)

    def stat(self, key: str) -> ObjectInfo:
        """Return size, tag and time of a file; see `Storage.stat`."""
        state = self._zip.get()
        return state.describe(self._find(state, key), key)

    def read(self, key: str) -> tuple[bytes, str]:
        """Read a file and its tag; see `Storage.read`."""
        return self._read(self._zip.get(), key)

    def read_changed(self, key: str, tag: str) -> tuple[bytes, str] | None:
        """Read a file if its tag has changed; see `Storage.read_changed`. It looks at the zip file anew."""
        state = self._zip.look()
        if state.describe(self._find(state, key), key).etag == tag:
            return None
        return self._read(state, key)

    def _read(self, state: _State, key: str) -> tuple[bytes, str]:
        info = state.describe(number := self._find(state, key), key)
        if info.size > MAX_READ:
            raise InvalidInputError(f"{self._url}/{key} has {info.size:,} bytes, which is too much for it")
        data = state.read(number, 0, info.size)
        state.compare(number, zlib.crc32(data))
        return data, info.etag

    def read_part(self, key: str, start: int, end: int, *, if_match: str | None = None) -> tuple[bytes, ObjectInfo]:
        """Read bytes [start, end) of a file; see `Storage.read_part`."""
        state = self._zip.get()
        info = state.describe(number := self._find(state, key), key)
        if if_match is not None and info.etag != if_match:
            raise ConflictError(f"{self._url}/{key} was changed while it was read")
        end = min(end, info.size)
        return state.read(number, start, end) if end > start else b"", info

    def iter_range(self, key: str, start: int, end: int, unit: int = 1) -> Iterator[bytes]:
        """Read bytes [start, end) of a file in pieces; all of them are compared with its CRC-32. See `Storage.iter_range`."""
        state = self._zip.get()
        number = self._find(state, key)
        size, crc = state.directory.sizes[number], 0
        if end > size:
            raise TruncatedStream(f"{self._url}/{key} ends at byte {size:,}, before {end:,}")
        for piece in state.iter_range(number, start, end, piece_size(_CHUNK, unit)):
            crc = zlib.crc32(piece, crc)
            yield piece
        if (start, end) == (0, size):
            state.compare(number, crc)

    def iter_files(self, prefix: str = "") -> Iterator[ObjectInfo]:
        """List files with their sizes and tags; see `Storage.iter_files`."""
        state, skip = self._zip.get(), len(self._prefix) + 1 if self._prefix else 0
        for number in state.directory.list_below(self._name(prefix) if prefix else self._prefix):
            yield state.describe(number, state.directory.names[number][skip:])

    def list_folders(self, prefix: str = "") -> list[str]:
        """List folders; see `Storage.list_folders`."""
        skip = len(prefix) + 1 if prefix else 0
        found = (info.key[skip:].partition("/") for info in self.iter_files(prefix))
        return [f"{prefix}/{name}" if prefix else name for name in dict.fromkeys(name for name, slash, _ in found if slash)]

    def find_damaged(self, is_compared: Callable[[str], bool], progress: Progress | None = None) -> Iterator[tuple[str, str]]:
        """Read all entries, and find those whose header or bytes are not what the directory says; gives keys and messages.

        Parameters
        ----------
        is_compared
            Tells by its key whether the bytes of a file are compared elsewhere: then only its header is read.
        """
        state = self._zip.get()

        def look(info: ObjectInfo, _: object) -> tuple[str, str] | None:
            number = self._find(state, info.key)
            try:
                if is_compared(info.key):
                    state.locate(number)
                    return None
                for _piece in self.iter_range(info.key, 0, info.size):
                    if progress:
                        progress(len(_piece))
                if not info.size:
                    state.locate(number)
            except IntegrityError as error:
                return info.key, error.message
            return None

        return (found for found in fetch_ahead(look, self.iter_files(), _WORKERS) if found)

    def presign(self, key: str, expires: int) -> str | None:
        """Return a URL that anybody may GET for a time, or None; see `Storage.presign`."""
        return None

    def _name(self, key: str) -> str:
        return f"{self._prefix}/{check_key(key)}" if self._prefix else check_key(key)

    def _find(self, state: _State, key: str) -> int:
        number = state.directory.find(self._name(key))
        if number is None:
            raise NotFoundError(f"no file {self._url}/{key}")
        return number

    def _refuse(self, what: str) -> NoReturn:
        raise AccessError(
            f"cannot {what} {self._url}: an object in one file is only read",
            f"unpack it (`modos unpack {self._zip.url} FOLDER`), change the folder, and pack that",
        )


class _ZipFile:
    """Zip file of a storage, whose directory is read once for each state of it."""

    def __init__(self, below: Storage, key: str, url: str, info: ObjectInfo | None):
        self.below, self.key, self.url = below, key, url
        self._info, self._state = info, None
        forking.begin(self, _ZipFile._start)

    _state: _State | None

    def _start(self) -> None:
        self._lock = threading.Lock()

    def get(self) -> _State:
        """Return its state when it was last looked at."""
        with self._lock:
            return self._state or self._load(self._info or self.below.stat(self.key))

    def look(self) -> _State:
        """Look whether it is another file than before, and return its state."""
        with self._lock:
            info = self.below.stat(self.key)
            if self._state and self._state.info == info:
                return self._state
            return self._load(info)

    def _load(self, info: ObjectInfo) -> _State:
        self._state = _State(self, info)
        return self._state


class _State:
    """State of a zip file: its size and tag, its last bytes, its directory, and where the bytes of entries were found."""

    def __init__(self, file: _ZipFile, info: ObjectInfo):
        self._file, self.info = file, info
        self._tail, self._tail_start = b"", info.size
        self._tail = self._load_tail()
        place = find_directory(self._tail, info.size, file.url)
        self.directory = Directory(self._fetch(*place.bounds), place, file.url)
        self._starts = array("Q", bytes(8 * len(self.directory.names)))

    def _load_tail(self) -> bytes:
        start, url = max(self.info.size - TAIL, 0), self._file.url
        if self.info.size < END_SIZE:
            raise TruncatedStream(f"{url} has {self.info.size} bytes, and is no zip file", "copy it again")
        tail = self._fetch(start, self.info.size)
        self._tail_start = start
        return tail

    def describe(self, number: int, key: str) -> ObjectInfo:
        """Return size, tag and time of an entry."""
        directory = self.directory
        tag = f"{self.info.etag}-{directory.headers[number]:x}-{directory.crcs[number]:08x}"
        return ObjectInfo(key, directory.sizes[number], tag, self.info.modified)

    def iter_range(self, number: int, start: int, end: int, step: int) -> Iterator[bytes]:
        """Iterate over bytes [start, end) of an entry, some fetched ahead."""
        bounds = [(at, min(at + step, end)) for at in range(start, end, step)]
        if len(bounds) < 2:
            return (self.read(number, *few) for few in bounds)
        return fetch_ahead(lambda few, _: self.read(number, *few), bounds, _WORKERS)

    def compare(self, number: int, crc: int) -> None:
        """Raise ChecksumMismatch if the CRC-32 of an entry's bytes is another than recorded."""
        if crc != self.directory.crcs[number]:
            raise ChecksumMismatch(
                f"{self._where(number)} does not have the CRC-32 in the directory of the zip file",
                "the file was changed or damaged: copy it again",
            )

    def read(self, number: int, start: int, end: int) -> bytes:
        """Read bytes [start, end) of an entry."""
        begin = self._starts[number]
        if not begin and start <= _NEAR:
            header, room = self.directory.headers[number], self.directory.header_room(number)
            data = self._fetch(header, min(header + room + end, self.directory.limits[number]))
            begin = self._check(number, data)
            if len(data) >= begin - header + end:
                return data[begin - header + start : begin - header + end]
        begin = begin or self.locate(number)
        return self._fetch(begin + start, begin + end)

    def locate(self, number: int) -> int:
        """Find where the bytes of an entry begin, by its header; raise IntegrityError where that does not fit the directory."""
        if not self._starts[number]:
            header, room = self.directory.headers[number], self.directory.header_room(number)
            self._check(number, self._fetch(header, min(header + room, self.directory.limits[number])))
        return self._starts[number]

    def _check(self, number: int, data: bytes) -> int:
        header, where = self.directory.headers[number], self._where(number)
        size = header_size(data[:HEAD], where)
        if header + size + self.directory.sizes[number] > self.directory.limits[number]:
            raise ChecksumMismatch(f"{where}: the header is too long for its place", "copy the file again")
        if size > len(data):
            data = self._fetch(header, header + size)
        check_header(data[:size], self.directory.entry(number), where)
        self._starts[number] = header + size
        return header + size

    def _fetch(self, start: int, end: int) -> bytes:
        """Read bytes of the zip file in just this state; ConflictError if it was changed."""
        if start >= self._tail_start:
            return self._tail[start - self._tail_start : end - self._tail_start]
        file = self._file
        data = file.below.read_part(file.key, start, end, if_match=self.info.etag)[0] if end > start else b""
        if len(data) != end - start:
            raise TruncatedStream(f"{file.url} ends at byte {start + len(data):,}, before {end:,}", "copy it again")
        return data

    def _where(self, number: int) -> str:
        return f"{self._file.url}/{self.directory.names[number]}"


def open_zipped(below: Storage, key: str, url: str) -> ZippedStorage | None:
    """Open a zip file as a storage; None if there is no file."""
    try:
        info = below.stat(key)
    except NotFoundError:
        return None
    return ZippedStorage(below, key, url, info)


def _reopen(below: Storage, key: str, url: str, prefix: str) -> ZippedStorage:
    storage = ZippedStorage(below, key, url)
    return storage.child(prefix) if prefix else storage
