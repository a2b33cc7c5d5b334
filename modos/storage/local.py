"""A storage in a folder of this machine."""

from __future__ import annotations

import errno
import hashlib
import logging
import os
import re
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from io import FileIO
from operator import itemgetter
from pathlib import Path, PurePosixPath
from stat import S_ISREG
from typing import Any

from modos.errors import (
    ConflictError,
    InvalidInputError,
    NotFoundError,
    TruncatedStream,
)
from modos.storage import modes
from modos.storage.base import INTERRUPTIONS, ByteRange, ObjectInfo, Partial, Place, Storage, check_key, piece_size
from modos.storage.local_batches import group_by_folder, name_in_folder, read_files, remove_files, write_files
from modos.storage.local_files import are_unique, file_marks, open_file, read_up_to, refuse_special, translate_errors
from modos.storage.part_files import PART, Placer, find_done, find_kept, part_of, sync_folder, write_durably
from modos.storage.patching import compose, replace_file
from modos.storage.system import forget_pages, sync_file

_CHUNK = 1 << 19  # bytes per piece when a file is read as a stream
_LOCK = re.compile(r"\..*\.lock")
_LOCK_KEY = ".modos/.commit.lock"
_NO_LINKS = (
    errno.EPERM,
    errno.ENOTSUP,
    errno.EOPNOTSUPP,
    errno.ENOSYS,
    errno.EMLINK,
    errno.EXDEV,
)  # where there are no hard links
LOCK_TIMEOUT = 60.0  # seconds to wait for another process that commits

logger = logging.getLogger(__name__)


class LocalStorage(Storage):
    """Files below a folder.

    Replacing a file is one rename, after fsync. Symbolic links that lead out
    of the folder are refused.

    Parameters
    ----------
    marker
        A key that folders have whose files are kept apart; see `apart`.
    """

    def __init__(self, root: Path, marker: str | None = None):
        self._root = Path(root)
        self._marker = marker
        self._real_root = os.path.realpath(self._root)
        self._seen: dict[str, tuple[str, tuple[int, ...]]] = {}  # by key: tag, and what the system says of no other file

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle by the folder, which is the same from wherever a process is started."""
        return LocalStorage, (Path(os.path.abspath(self._root)), self._marker)

    @property
    def url(self) -> str:
        """Root as a user would write it, without a trailing slash."""
        return str(self._root)

    @property
    def path(self) -> Path:
        """Root as listings show it: the folder, or `bucket/prefix`."""
        return self._root

    @property
    def is_remote(self) -> bool:
        """Return whether reading it needs the network."""
        return False

    def local_path(self, key: str) -> Path | None:
        """Return the path of a file on this machine, or None; see `Storage.local_path`."""
        path = self._resolve(key)
        with suppress(OSError):
            refuse_special(path, os.stat(path))
        return path

    def child(self, prefix: str) -> LocalStorage:
        """Return the storage of a folder below this one; see `Storage.child`."""
        self._resolve(prefix)
        return LocalStorage(self._root / prefix)

    def confine(self, marker: str) -> LocalStorage:
        """Return the same storage, where no link leads out of the folder of an object; see `Storage.confine`."""
        return LocalStorage(self._root, marker)

    def as_file(self) -> tuple[LocalStorage, str] | None:
        """Return the storage above this one, and the key of the root in it; see `Storage.as_file`."""
        root = self._root if self._root.name not in ("", "..") else Path(os.path.abspath(self._root))
        return (LocalStorage(root.parent), root.name) if root.name else None

    def presign(self, key: str, expires: int) -> str | None:
        """Return a URL that anybody may GET for a time, or None; see `Storage.presign`."""
        return None

    def stat(self, key: str) -> ObjectInfo:
        """Return size, tag and time of a file; see `Storage.stat`."""
        path = self._resolve(key)
        with translate_errors(path):
            return _info(key, os.stat(path), path)

    def read(self, key: str) -> tuple[bytes, str]:
        """Read a file and its tag; see `Storage.read`."""
        path = self._resolve(key)
        with translate_errors(path), open_file(path) as file:
            now, marks = time.time_ns(), file_marks(os.fstat(file.fileno()))
            data = file.readall()
        tag = _content_tag(data)
        if are_unique(marks, now):
            self._seen[key] = tag, marks
        return data, tag

    def read_changed(self, key: str, tag: str) -> tuple[bytes, str] | None:
        """Read a file if its tag has changed; see `Storage.read_changed`."""
        seen = self._seen.get(key)
        if seen and seen[0] == tag and seen[1] == self._marks_of(key):
            return None
        return super().read_changed(key, tag)

    def _marks_of(self, key: str) -> tuple[int, ...] | None:
        try:
            descriptor = os.open(self._root / key, os.O_RDONLY | os.O_NONBLOCK)  # opening asks also a server of files anew
        except OSError:
            return None
        try:
            return file_marks(os.fstat(descriptor))
        finally:
            os.close(descriptor)

    def read_part(self, key: str, start: int, end: int, *, if_match: str | None = None) -> tuple[bytes, ObjectInfo]:
        """Read bytes [start, end) of a file; see `Storage.read_part`."""
        path = self._resolve(key)
        with translate_errors(path), open_file(path) as file:
            info = _info(key, os.fstat(file.fileno()), path)
            if if_match is not None and info.etag != if_match:
                raise ConflictError(f"{path} was changed while it was read")
            file.seek(start)
            return read_up_to(file, min(end, info.size) - start), info

    def iter_range(self, key: str, start: int, end: int, unit: int = 1) -> Iterator[bytes]:
        """Read bytes [start, end) of a file in pieces; see `Storage.iter_range`."""
        path = self._resolve(key)
        with translate_errors(path), open_file(path) as file:
            file.seek(start)
            step = piece_size(_CHUNK, unit)
            while start < end:
                piece = read_up_to(file, min(step, end - start))
                if not piece:
                    raise TruncatedStream(f"{path} ends at byte {start:,}, {end - start:,} bytes early")
                start += len(piece)
                yield piece

    def let_go(self, key: str, start: int, end: int) -> None:
        """Let the system forget bytes of a file that it has in memory; see `Storage.let_go`."""
        with suppress(OSError), open_file(self._resolve(key)) as file:
            forget_pages(file.fileno(), start, end)

    def write(self, key: str, data: bytes, *, if_match: str | None = None, if_absent: bool = False, durable: bool = True) -> str:
        """Write a small file and return its tag; see `Storage.write`."""
        path = self._resolve(key)
        with translate_errors(path):
            if if_match is None and not if_absent:
                self._replace(path, data, durable)
                return _content_tag(data)
            with self._hold_lock():
                _check_condition(path, if_match)
                self._replace(path, data, durable)
        return _content_tag(data)

    def _replace(self, path: Path, data: bytes, durable: bool) -> None:
        with part_of(path) as part:
            with open(modes.make_in_folder(path, self._root, lambda: modes.create_file(part, path)), "wb") as file:
                file.write(data)
                if durable:
                    file.flush()
                    sync_file(file.fileno())
            os.replace(part, path)
        if durable:
            sync_folder(path.parent)

    def _rename_new(self, part: Path, path: Path) -> None:
        """Rename without ever replacing a file that is there."""
        try:
            os.link(part, path)
        except FileExistsError:
            raise _exists_error(path) from None
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
            with self._hold_lock():  # a file system without hard links
                _check_condition(path, None)
                os.rename(part, path)

    @contextmanager
    def _hold_lock(self) -> Iterator[None]:
        """Keep other processes from writing on conditions meanwhile."""
        from filelock import FileLock, Timeout

        path = self._resolve(_LOCK_KEY)  # others of a group may have made it a link
        try:
            with modes.make_in_folder(
                path, self._root, lambda: FileLock(path, timeout=LOCK_TIMEOUT, mode=modes.lock_mode(path.parent)).acquire()
            ):
                yield
        except Timeout:
            raise ConflictError(f"{self._root} is locked by another process", "try again when it has finished") from None

    def write_stream(
        self, key: str, pieces: Iterable[bytes], *, size: int, resume: bool = False, like: str | None = None
    ) -> None:
        """Write a file from pieces; see `Storage.write_stream`."""
        self._write_new(key, lambda file: write_durably(file, pieces), size, like, resume=resume)

    def put_new(self, key: str, data: bytes) -> None:
        """Put a small new file at once, to be flushed with others; see `Storage.put_new`."""
        self.put_all([(key, data)], lambda _: None)

    def put_all(self, files: Iterable[tuple[str, bytes]], wrote: Callable[[str], None]) -> None:
        """Put small new files, each folder looked at once; see `Storage.put_all`."""
        for members in group_by_folder(files, itemgetter(0)):
            self._put_into_folder(deque(members), wrote)

    def _put_into_folder(self, left: deque[tuple[str, bytes]], wrote: Callable[[str], None]) -> None:
        path = self._resolve(left[0][0])

        def write() -> None:
            for _ in write_files(_real(path.parent), [(name_in_folder(key), data) for key, data in left]):
                wrote(left.popleft()[0])

        try:
            modes.make_in_folder(path, self._root, write)
        except FileExistsError:
            raise _exists_error(self._root / left[0][0]) from None
        except OSError:
            with translate_errors(self._root / left[0][0] if left else path):
                raise
        finally:
            if left:
                self._prune(path.parent)

    def read_small(self, files: Iterable[tuple[str, int]]) -> list[bytes]:
        """Read small files, each folder looked at once; see `Storage.read_small`."""
        found = []
        for members in group_by_folder(files, itemgetter(0)):
            path = self._resolve(members[0][0], follow=False)
            with translate_errors(path), modes.open_folder(_real(path.parent)) as folder:
                read = read_files(folder, [(name_in_folder(key), most) for key, most in members])
            pairs = zip(members, read, strict=True)
            found += [self.read_part(key, 0, most)[0] if data is None else data for (key, most), data in pairs]
        return found

    def flush(self) -> None:
        """Wait until all that was written is on the disk; see `Storage.flush`."""
        os.sync()

    def write_placed(
        self, key: str, make: Callable[[Place | None], Iterable[bytes]], *, size: int, like: str | None = None
    ) -> None:
        """Write a file from pieces that are put in their places; see `Storage.write_placed`."""
        if not hasattr(os, "pwrite"):
            super().write_placed(key, make, size=size, like=like)
            return

        def write(file: FileIO) -> int:
            with closing(Placer(file)) as place:
                return write_durably(file, make(place), are_placed=True)

        self._write_new(key, write, size, like)

    def _write_new(self, key: str, write: Callable[[FileIO], int], size: int, like: str | None, *, resume: bool = False) -> None:
        path, model = self._resolve(key), self._model(like)
        with translate_errors(path):
            if os.path.lexists(path):
                raise _exists_error(path)
            kept = find_kept(path, self.now) if resume else None
            try:
                with part_of(path, keep=INTERRUPTIONS if resume else ()) as part:
                    if kept:
                        os.rename(kept, part)
                    flags = os.O_APPEND | os.O_NONBLOCK if kept else os.O_EXCL
                    opened = modes.make_in_folder(path, self._root, lambda: modes.create_file(part, model, flags=flags))
                    with open(opened, "ab" if kept else "wb", buffering=0) as file:
                        written = file.tell() + write(file)
                    if written != size:
                        raise TruncatedStream(f"{path}: {written:,} bytes arrived, {size:,} were announced")
                    if not part.exists():
                        raise ConflictError(f"{part} was removed before it was whole", "nothing was changed: try again")
                    self._rename_new(part, path)
            finally:
                self._prune(path.parent)
            sync_folder(path.parent)

    def copy(self, key: str, source: str) -> None:
        """Add one more name for the bytes, where the file system has hard links."""
        path, real = self._resolve(key), os.path.realpath(self._resolve(source))
        with translate_errors(path):
            try:
                modes.make_in_folder(path, self._root, lambda: os.link(real, path))
            except FileExistsError:
                raise _exists_error(path) from None
            except OSError as error:
                self._prune(path.parent)
                if error.errno not in _NO_LINKS:
                    raise
            else:
                sync_folder(path.parent)
                return
        super().copy(key, source)

    def _model(self, like: str | None) -> Path | None:
        with suppress(InvalidInputError):  # a link that leads out of the folder is replaced as any other
            return self._resolve(like) if like else None
        return None

    def kept_size(self, key: str) -> int:
        """Return the size of what an interrupted write has left; see `Storage.kept_size`."""
        part = find_kept(self._resolve(key), self.now)
        return part.stat().st_size if part else 0

    def read_kept(self, key: str) -> Iterator[bytes]:
        """Read what an interrupted write has left; see `Storage.read_kept`."""
        part = find_kept(self._resolve(key), self.now)
        if part:
            with open_file(part) as file:
                while piece := file.read(_CHUNK):
                    yield piece

    def mend_kept(self, key: str, start: int, data: bytes) -> None:
        """Write bytes over those at a place of what an interrupted write has left."""
        part = find_kept(self._resolve(key), self.now)
        if part:
            with translate_errors(part), open(part, "r+b", buffering=0) as file:
                file.seek(start)
                file.write(data)

    def drop_kept(self, key: str) -> None:
        """Remove what an interrupted write has left; see `Storage.drop_kept`."""
        path = self._resolve(key)
        for done in find_done(path, self.now):
            done.unlink(missing_ok=True)
        while part := find_kept(path, self.now):
            part.unlink()

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
        """Replace ranges of a file; see `Storage.patch`."""
        path = self._resolve(key)
        pieces = watch(compose(self, key, ranges, fetch, ByteRange(0, size), if_match))

        def confirm() -> None:
            if self.stat(key).etag != if_match:
                raise ConflictError(f"{path} was changed by somebody else", "nothing was changed: try again")

        with translate_errors(path):
            replace_file(path, pieces, size, confirm)

    def delete(self, key: str) -> None:
        """Delete a file; see `Storage.delete`."""
        path = self._resolve(key, follow=False)
        with translate_errors(path):
            path.unlink(missing_ok=True)
            self._prune(path.parent)

    def delete_all(self, keys: Iterable[str]) -> None:
        """Delete files, each folder looked at once; see `Storage.delete_all`."""
        for members in group_by_folder(sorted(keys), str):
            path = self._resolve(members[0], follow=False)
            with suppress(NotFoundError), translate_errors(path), modes.open_folder(_real(path.parent)) as folder:
                remove_files(folder, map(name_in_folder, members))
            self._prune(path.parent)

    def _prune(self, folder: Path) -> None:
        """Remove folders that became empty, up to but without the root."""
        while folder != self._root and self._root in folder.parents:
            try:
                folder.rmdir()
            except OSError:
                return
            folder = folder.parent

    def iter_files(self, prefix: str = "") -> Iterator[ObjectInfo]:
        """List files with their sizes and tags; see `Storage.iter_files`."""
        top = self._resolve(prefix) if prefix else self._root
        for folder, folders, names in os.walk(top):
            folders.sort()
            within = Path(folder).relative_to(self._root).as_posix()
            above = "" if within == "." else f"{within}/"
            for name in sorted(names):
                if name.startswith(".") and (PART.fullmatch(name) or _LOCK.fullmatch(name)):
                    continue
                path = os.path.join(folder, name)
                try:
                    yield _info(above + name, os.stat(path), path)
                except (OSError, NotFoundError):
                    continue

    def partial_writes(self) -> list[Partial]:
        """List the remains of writes that did not end; see `Storage.partial_writes`."""
        found = [
            (Path(folder, name), match["mark"])
            for folder, _, names in os.walk(self._root)
            for name in names
            if (match := PART.fullmatch(name))
        ]
        now, partials = self.now() if found else 0.0, []
        for path, mark in found:
            with suppress(FileNotFoundError):
                partials.append(Partial(path.relative_to(self._root).as_posix(), mark, now - path.lstat().st_mtime))
        return partials

    def drop_partial(self, partial: Partial) -> None:
        """Remove the remains of a write; see `Storage.drop_partial`."""
        self.delete(partial.name)

    def now(self) -> float:
        """Return the time of the file system's clock, maybe another machine's: a file is made to see it."""
        try:
            with part_of(self._root / "clock") as part, open(part, "xb") as file:
                return os.fstat(file.fileno()).st_mtime
        except OSError:  # it is only read
            return time.time()

    def identify_place(self, make: bool = False) -> str:
        """Return the number of the folder in its file system: the same on every machine, but different for any copy."""
        if make:
            with translate_errors(self._root):
                self._root.mkdir(parents=True, exist_ok=True)
        try:
            return f"folder {os.stat(self._root).st_ino}"
        except OSError:
            return ""

    def find(self, *names: str) -> Iterator[ObjectInfo]:
        """Find the files of a path below any folder; see `Storage.find`."""
        for folder, folders, _ in os.walk(self._root, onerror=_warn_of_folder):
            for path in (Path(folder, name) for name in names):
                with suppress(OSError, NotFoundError):
                    yield _info(path.relative_to(self._root).as_posix(), os.stat(path), path)
                    folders.clear()
                    break
            folders.sort()

    def tidy(self) -> None:
        """Remove the root where no file is left below it; see `Storage.tidy`."""
        if next(self.iter_files(), None) is not None:
            return
        for folder, _, names in os.walk(self._root, topdown=False):
            with suppress(OSError):
                for name in names:
                    if _LOCK.fullmatch(name):
                        Path(folder, name).unlink()
                os.rmdir(folder)

    @contextmanager
    def make_root(self) -> Iterator[None]:
        """Create the root with what is written within; see `Storage.make_root`."""
        made = [folder for folder in (self._root, *self._root.parents) if not folder.exists()]
        try:
            yield
        except BaseException:
            with suppress(OSError):
                for folder in made:
                    folder.rmdir()
            raise

    def list_folders(self, prefix: str = "") -> list[str]:
        """List folders; see `Storage.list_folders`."""
        top = self._resolve(prefix) if prefix else self._root
        with translate_errors(top):
            entries = sorted(entry.name for entry in os.scandir(top) if entry.is_dir(follow_symlinks=False))
        return [f"{prefix}/{name}" if prefix else name for name in entries]

    def _resolve(self, key: str, follow: bool = True) -> Path:
        path = self._root / check_key(key)
        real = os.path.realpath(path if follow else path.parent)
        if self._marker:
            self._check_apart(key, path if follow else path.parent, real)
        if real != self._real_root and not real.startswith(os.path.join(self._real_root, "")):
            raise InvalidInputError(
                f"{path} is a symbolic link that leads out of {self._root}",
                "an object holds its own files: copy the file instead of linking it",
            )
        return path

    def _check_apart(self, key: str, path: Path, real: str) -> None:
        """Raise NotFoundError if links lead a key out of the folder with the marker that it is in."""
        top = Path(self._real_root)
        if real == str(top / path.relative_to(self._root)):
            return
        folders = [top / folder for folder in PurePosixPath(key).parents]
        own = next((str(folder) for folder in folders if (folder / str(self._marker)).exists()), None)
        if own is None or os.path.realpath(own) != own or not real.startswith(os.path.join(own, "")):
            logger.warning("%s is not given out: links lead it out of its object", path)
            raise NotFoundError(f"no file {key}")


def _content_tag(data: bytes) -> str:
    return hashlib.blake2b(data, digest_size=16).hexdigest()


def _real(path: Path) -> Path:
    return Path(os.path.realpath(path))


def _warn_of_folder(error: OSError) -> None:
    if not isinstance(error, FileNotFoundError | NotADirectoryError):
        logger.warning("what is in %s is left out: %s", error.filename, error.strerror)


def _info(key: str, stat: os.stat_result, path: Path | str) -> ObjectInfo:
    if not S_ISREG(stat.st_mode):
        raise NotFoundError(f"{path} is not a file")
    return ObjectInfo(key, stat.st_size, f"{stat.st_ino:x}-{stat.st_mtime_ns:x}-{stat.st_size:x}", stat.st_mtime)


def _exists_error(path: Path) -> ConflictError:
    return ConflictError(f"{path} exists already")


def _check_condition(path: Path, if_match: str | None) -> None:
    try:
        with open_file(path) as file:
            current = _content_tag(file.readall())
    except FileNotFoundError:
        current = None
    if current != if_match:
        raise ConflictError(f"{path} was changed by somebody else") if if_match else _exists_error(path)
