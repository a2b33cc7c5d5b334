"""Write files under a temporary name until they are whole and on the disk."""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from io import FileIO
from pathlib import Path

from modos.storage import modes
from modos.storage.processes import ownership
from modos.storage.system import sync_file

_SUFFIX = ".part"
PART = re.compile(r"\..*\.(?P<mark>[0-9a-f]+-\d+-[0-9a-f]+)\.part")
_FLUSH = 64 << 20  # bytes that are written before the disk is asked to have them
_WRITE = 1 << 16  # bytes of a write: for more, Linux takes blocks of memory that a virtual machine may have to be given first


@contextmanager
def part_of(path: Path, keep: tuple[type[BaseException], ...] = ()) -> Iterator[Path]:
    """Name the part file beside a file; it is removed at the end, unless it ends with an error of `keep`."""
    mark = ownership.new_mark()
    part = path.with_name(f".{path.name[:60]}.{mark}{_SUFFIX}")
    try:
        yield part
    except keep:
        raise
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    else:
        part.unlink(missing_ok=True)
    finally:
        ownership.release(mark)


def sync_folder(folder: Path) -> None:
    """Make a rename durable, where the system allows it."""
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError:
        return
    try:
        sync_file(descriptor)
    except OSError:
        pass
    finally:
        os.close(descriptor)


def write_durably(file: FileIO, pieces: Iterable[bytes], *, are_placed: bool = False) -> int:
    """Write, and have it on the disk; returns the number of bytes.

    The disk is at work all the while, not only at the end.

    Parameters
    ----------
    are_placed
        Whether each piece is in the file before it is given: see `Placer`.
    """
    written = flushed = 0
    with ThreadPoolExecutor(1, "modos-flush") as flusher:
        flush: Future[None] | None = None
        for piece in pieces:
            if not are_placed:
                _write_all(file, piece)
            written += len(piece)
            if written - flushed >= _FLUSH and (flush is None or flush.done()):
                if flush:
                    flush.result()
                flush, flushed = flusher.submit(sync_file, file.fileno()), written
        if flush:
            flush.result()
    sync_file(file.fileno())
    return written


class Placer:
    """Puts bytes at an offset of a file, when it is called; by several threads, of which one at a time writes.

    Linux locks the file for each, and threads that wait for that lock keep
    their processors busy. After `close` nothing is written any more, as the
    number of a file that was closed may be that of another one.
    """

    def __init__(self, file: FileIO):
        self._file = file
        self._lock = threading.Lock()
        self._is_closed = False

    def __call__(self, at: int, data: bytes) -> None:
        """Put bytes in their place; ValueError after `close`."""
        view, done = memoryview(data), 0
        with self._lock:
            if self._is_closed:
                raise ValueError("nothing is written to this file any more")
            while done < len(view):
                done += os.pwrite(self._file.fileno(), view[done : done + _WRITE], at + done)

    def close(self) -> None:
        """Wait for the thread that writes; the others write nothing any more."""
        with self._lock:
            self._is_closed = True


def _write_all(file: FileIO, data: bytes) -> None:
    """Write some bytes; one call may take fewer."""
    view, done = memoryview(data), 0
    while done < len(view):
        done += file.write(view[done : done + _WRITE])


def find_kept(path: Path, now: Callable[[], float]) -> Path | None:
    """Find the largest of the parts that ended processes have left of a file; `now` is the clock that sets its times."""
    found = [(status.st_size, part) for part, status in _iter_left(path, now) if modes.may_go_on(status, path.parent)]
    return max(found)[1] if found else None


def find_done(path: Path, now: Callable[[], float]) -> list[Path]:
    """Find the parts that are a file itself: of processes that ended after they had given it its name."""
    with suppress(OSError):
        done = os.stat(path, follow_symlinks=False)
        return [part for part, status in _iter_left(path, now) if os.path.samestat(status, done)]
    return []


def _iter_left(path: Path, now: Callable[[], float]) -> Iterator[tuple[Path, os.stat_result]]:
    """Iterate over the parts that ended processes have left of a file."""
    with suppress(OSError):
        for entry in list(os.scandir(path.parent)):
            match = PART.fullmatch(entry.name)
            if match and entry.name == f".{path.name[:60]}.{match['mark']}{_SUFFIX}":
                status = entry.stat(follow_symlinks=False)
                if ownership.is_abandoned(match["mark"], now() - status.st_mtime):
                    yield Path(entry.path), status
