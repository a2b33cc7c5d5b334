"""The protocols and the base class of storages."""

from __future__ import annotations

import re
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from modos.errors import InvalidInputError, RemoteError, TruncatedStream
from modos.errors.escaping import escape_line, hide_secrets
from modos.storage.prefetch import fetch_ahead
from modos.storage.system import count_cores

INTERRUPTIONS = (RemoteError, KeyboardInterrupt, SystemExit)  # after which what was done is worth keeping
_REMOTE_READERS = 8
_BAD_KEY = re.compile(r"(?:\A|/)\.{0,2}(?:/|\Z)|[\x00-\x1f\\\ud800-\udfff]")  # an empty part, `.`, `..`, and characters
_LONGEST_KEY = 1000  # bytes
MAX_READ = 1 << 30  # bytes that may be read into memory at once

Progress = Callable[[int], Any]
ProgressLike = Progress | Any  # also True or False, which `show_progress` takes away before anything is told of bytes
Place = Callable[[int, bytes], None]  # puts bytes at an offset of a file; for several threads


def expect(progress: Progress | None, total: int | None) -> None:
    """Tell a progress how many bytes are to come, where it is one that shows the way that is left (it has `expect`)."""
    tell = getattr(progress, "expect", None)
    if tell and total:
        tell(total)


def report(pieces: Iterable[bytes], progress: Progress | None) -> Iterator[bytes]:
    """Pass pieces on, and tell a progress of the bytes of each once it was used."""
    return iter(pieces) if progress is None else _report(pieces, progress)


def _report(pieces: Iterable[bytes], progress: Progress) -> Iterator[bytes]:
    for piece in pieces:
        yield piece
        progress(len(piece))


class ByteRange(NamedTuple):
    """Bytes [start, end) of a file; 0-based, half-open."""

    start: int
    end: int

    @property
    def size(self) -> int:
        """Bytes in it."""
        return self.end - self.start

    def __bool__(self) -> bool:
        return self.end > self.start


@dataclass(frozen=True)
class ObjectInfo:
    """Size in bytes, tag that changes with the content, and time of writing of one key.

    The time is by the storage's own clock, see `Storage.now`; None where it
    is not told.
    """

    key: str
    size: int
    etag: str
    modified: float | None = field(default=None, compare=False)


@dataclass(frozen=True)
class Partial:
    """Remains of a write that did not end: the key or upload, its owner's mark, its age in seconds."""

    name: str
    mark: str
    age: float


class Readable(Protocol):
    """Protocol of a storage from which ranges of files can be read; see `Storage`."""

    @property
    def url(self) -> str:
        """The root as a user would write it."""

    @property
    def is_remote(self) -> bool:
        """Return whether reading it needs the network."""

    def stat(self, key: str) -> ObjectInfo:
        """Return size and tag of one key."""

    def read_part(self, key: str, start: int, end: int, *, if_match: str | None = None) -> tuple[bytes, ObjectInfo]:
        """Read bytes [start, end), and return what is known of the file."""

    def local_path(self, key: str) -> Path | None:
        """Return the file as a path of this machine."""


class Storage(ABC):
    """Bytes at keys below one root.

    Every method takes keys, checks them with `check_key`, and raises
    NotFoundError, AccessError, TransportError, or ConflictError for a
    condition that did not hold.
    """

    def __repr__(self) -> str:
        return escape_line(hide_secrets(f"<{type(self).__name__} {self.url}>"))

    @property
    @abstractmethod
    def url(self) -> str:
        """The root as a user would write it, without a trailing slash."""

    @property
    @abstractmethod
    def path(self) -> Path:
        """The root as listings show it: the folder, or `bucket/prefix`."""

    @property
    def is_remote(self) -> bool:
        """Return whether reading it needs the network."""
        return True

    @property
    def has_paths(self) -> bool:
        """Return whether its files are files of this machine, which `local_path` gives."""
        return not self.is_remote

    def is_decrypted(self, key: str) -> bool:
        """Return whether a file is decrypted as it is read, so that its bytes belong on no disk."""
        return False

    @property
    def endpoint_url(self) -> str | None:
        """The S3 server that clients are told; None if it is not on one."""
        return None

    @abstractmethod
    def stat(self, key: str) -> ObjectInfo:
        """Return size and tag of one key."""

    @abstractmethod
    def read(self, key: str) -> tuple[bytes, str]:
        """Read all bytes of a small file and the tag of just these bytes."""

    def read_changed(self, key: str, tag: str) -> tuple[bytes, str] | None:
        """Read like `read`, or return None if the file still has a tag, without reading its bytes if that is possible."""
        data, now = self.read(key)
        return None if now == tag else (data, now)

    @abstractmethod
    def read_part(self, key: str, start: int, end: int, *, if_match: str | None = None) -> tuple[bytes, ObjectInfo]:
        """Read bytes [start, end), fewer only if the file ends before, and return what is known of the file.

        Raises ConflictError where the file's tag (that of `stat`) is not
        `if_match`.
        """

    def read_range(self, key: str, start: int, end: int) -> bytes:
        """Read bytes [start, end), fewer only if the file ends before."""
        return self.read_part(key, start, end)[0] if end > start else b""

    def for_many(self) -> Storage:
        """Return the same files, for the reading of very many small ones in this process."""
        return self

    def read_small(self, files: Iterable[tuple[str, int]]) -> list[bytes]:
        """Read small files from their beginning on, each up to a number of bytes."""
        return [self.read_part(key, 0, most)[0] for key, most in files]

    @abstractmethod
    def write(self, key: str, data: bytes, *, if_match: str | None = None, if_absent: bool = False, durable: bool = True) -> str:
        """Put a small file in one step, whole or not at all; returns its tag.

        Without `durable` it may be lost when the machine goes down.

        Raises ConflictError where the file's tag is not `if_match`, or where
        it exists and `if_absent` was asked.
        """

    @abstractmethod
    def iter_range(self, key: str, start: int, end: int, unit: int = 1) -> Iterator[bytes]:
        """Iterate over bytes [start, end) in pieces, all but the last of them of a multiple of `unit`.

        Raises TruncatedStream where the file is shorter.
        """

    @abstractmethod
    def write_stream(
        self, key: str, pieces: Iterable[bytes], *, size: int, resume: bool = False, like: str | None = None
    ) -> None:
        """Put a new file of `size` bytes, whole or not at all; raise ConflictError if it exists.

        Parameters
        ----------
        resume
            Whether what a broken connection or an interruption leaves is kept,
            and what was kept is used: see `kept`.
        like
            The file that it replaces, under another key: whose mode and group
            it gets, where the storage has such.
        """

    def write_placed(
        self, key: str, make: Callable[[Place | None], Iterable[bytes]], *, size: int, like: str | None = None
    ) -> None:
        """Put a new file like `write_stream`, from pieces that several threads make.

        Parameters
        ----------
        make
            Gives the pieces in order. Called with what puts bytes at an offset of the file, where the threads can do that: then
            each piece is in its place before it is given. Called with None where they cannot.
        """
        self.write_stream(key, make(None), size=size, like=like)

    def put_new(self, key: str, data: bytes) -> None:
        """Put a small new file that no reader knows of yet; raise ConflictError if it exists.

        It is there for good after `flush`; where that does not come, it may be there in part.
        """
        self.write_stream(key, [data], size=len(data))

    def put_all(self, files: Iterable[tuple[str, bytes]], wrote: Callable[[str], None]) -> None:
        """Put small new files one after the other, as `put_new` does; `wrote` is called with the key of each that is there."""
        for key, data in files:
            self.put_new(key, data)
            wrote(key)

    def flush(self) -> None:
        """Wait until what `put_new` has put is there for good."""

    def kept_size(self, key: str) -> int:
        """Return how many first bytes of a file need not come again with `resume`; see `read_kept`."""
        return 0

    def read_kept(self, key: str) -> Iterator[bytes]:
        """Read those bytes, to be looked at before they are used."""
        return iter(())

    def drop_kept(self, key: str) -> None:
        """Forget them."""

    def matches(self, key: str, pieces: Iterable[bytes]) -> bool:
        """Return whether a file is known to have just these bytes, as far as can be told without reading it from afar."""
        return False

    def splice(self, key: str, head: bytes, source: str, start: int) -> None:
        """Put a new file of some bytes and of those of another from `start` on, whole or not at all.

        ConflictError where it exists.
        """
        size = self.stat(source).size
        self.write_stream(key, chain((head,), self.iter_range(source, start, size)), size=len(head) + size - start, like=source)

    def copy(self, key: str, source: str) -> None:
        """Put a new file that is another one, whole or not at all, and without its bytes where that can be.

        ConflictError where it exists.
        """
        self.splice(key, b"", source, 0)

    @abstractmethod
    def patch(
        self,
        key: str,
        ranges: Sequence[ByteRange],
        fetch: Callable[[int, int], bytes],
        *,
        size: int,
        if_match: str,
        watch: Callable[[Iterator[bytes]], Iterator[bytes]] = iter,
    ) -> None:
        """Replace some ranges of a file, in one step; the others stay as they are, and mode and group.

        ConflictError where its tag is not `if_match`.

        Parameters
        ----------
        ranges
            In order; all beyond its end is in them where it becomes longer.
        fetch
            Gives new bytes [start, end) of a range; may be called from several threads.
        size
            Bytes of the file afterwards.
        watch
            What all bytes pass through before the file is in its place, if they pass here: a server copies its own.
        """

    @abstractmethod
    def delete(self, key: str) -> None:
        """Remove a file; nothing happens if there is none."""

    def delete_all(self, keys: Iterable[str]) -> None:
        """Remove files, several at once; nothing happens where there is none."""
        for _ in fetch_ahead(lambda key, _: self.delete(key), keys, _REMOTE_READERS):
            pass

    @abstractmethod
    def iter_files(self, prefix: str = "") -> Iterator[ObjectInfo]:
        """Iterate over every file below `prefix` (a folder), sorted by key."""

    def find(self, *names: str) -> Iterator[ObjectInfo]:
        """Find the files that have one of some paths (such as `data.zarr/zarr.json`) below the root or any folder.

        Below a folder that has one nothing has to be looked for; of a folder that has several the first comes, or all do.
        """
        ends = tuple(f"/{name}" for name in names)
        return (info for info in self.iter_files() if info.key in names or info.key.endswith(ends))

    @abstractmethod
    def list_folders(self, prefix: str = "") -> list[str]:
        """List the folders directly below the folder `prefix`, as keys."""

    @abstractmethod
    def partial_writes(self) -> list[Partial]:
        """List the remains of writes that did not end."""

    @abstractmethod
    def drop_partial(self, partial: Partial) -> None:
        """Remove it."""

    @abstractmethod
    def child(self, prefix: str) -> Storage:
        """Return the storage rooted at a folder of this one."""

    def as_file(self) -> tuple[Storage, str] | None:
        """Return the storage above this one, and the key of the root in it, which may be a file; None if there is none."""
        return None

    @property
    def can_list(self) -> bool:
        """Return whether it tells which files there are."""
        return True

    def confine(self, marker: str) -> Storage:
        """Return the same files, unless a link leads out of the folder that holds both the file and the key `marker`."""
        return self

    @abstractmethod
    def presign(self, key: str, expires: int) -> str | None:
        """Sign a URL that anybody may GET for `expires` seconds; return None if there are none."""

    def now(self) -> float:
        """Return the time by the clock of the machine that holds the files, which sets their times."""
        return time.time()

    def identify_place(self, make: bool = False) -> str:
        """Return what tells this place from a copy of its files elsewhere; empty if nothing does.

        Parameters
        ----------
        make
            Whether the place is made if there is none.
        """
        return self.url

    def tidy(self) -> None:
        """Remove the root itself where no file is left below it."""

    @contextmanager
    def make_root(self) -> Iterator[None]:
        """Create the root with what is written within; where that fails, remove the folders that were made for it."""
        yield

    def let_go(self, key: str, start: int, end: int) -> None:
        """Say that bytes of a file were read for the last time, so that the system need not keep them in memory."""

    def exists(self, key: str) -> bool:
        """Return whether there is a file at `key`."""
        from modos.errors import NotFoundError

        try:
            self.stat(key)
        except NotFoundError:
            return False
        return True

    def local_path(self, key: str) -> Path | None:
        """Return the file as a path of this machine, or None if it is not on it."""
        return None


def count_readers(storage: Readable) -> int:
    """Return how many threads read a file of a storage at once: a few from afar, else one on each core."""
    return _REMOTE_READERS if storage.is_remote else count_cores()


def piece_size(about: int, unit: int) -> int:
    """Return a multiple of `unit` near a number of bytes."""
    return max(about // unit, 1) * unit


def pieces_ahead(storage: Readable, key: str, start: int, end: int, step: int, workers: int) -> Iterator[bytes]:
    """Yield bytes [start, end) in pieces of `step`, in order, some fetched ahead; raise TruncatedStream if they end before."""
    bounds = [(at, min(at + step, end)) for at in range(start, end, step)]
    pieces = fetch_ahead(lambda b, _: storage.read_part(key, *b)[0], bounds, workers)
    for (at, stop), piece in zip(bounds, pieces):
        if len(piece) != stop - at:
            raise TruncatedStream(f"{storage.url}/{key} ends at byte {at + len(piece):,}, before {end:,}")
        yield piece


def check_key(key: str) -> str:
    """Refuse a key that could lead outside its root.

    Raises
    ------
    InvalidInputError
        For an absolute key, one with `..`, an empty part, a backslash or a
        control character.
    """
    if _BAD_KEY.search(key) or len(key.encode()) > _LONGEST_KEY:
        raise InvalidInputError(
            f"{key!r} is not a path inside an object",
            "use a relative path with / between its parts, without `..`",
        )
    return key
