"""Cache files from elsewhere: downloads are resumed, verified, and kept within a limit.

Sequences lie in the layout of htslib's REF_CACHE, so that samtools finds them
too. One process at a time fetches a file; the others wait and use it. The
folder can be shared: files can be read by all, and new folders have the
permissions of the cache's own.
"""

from __future__ import annotations

import errno
import hashlib
import os
import re
import stat
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, NamedTuple

from modos.errors import (
    AccessError,
    ChecksumMismatch,
    InvalidInputError,
    ModosError,
    NotFoundError,
    TruncatedStream,
)
from modos.reference.assembly import StoredContig
from modos.reference.proofs import (
    Hasher,
    compute,
    digests_of,
    find_difference,
    new_digests,
)
from modos.reference.shared import is_file, iter_two_below, make_like_above, open_part
from modos.storage.base import INTERRUPTIONS, Progress, expect, report
from modos.storage.system import sync_file

CACHE_VARIABLE = "MODOS_CACHE_DIR"
OFFLINE_VARIABLE = "MODOS_OFFLINE"
LIMIT_VARIABLE = "MODOS_CACHE_LIMIT"
_UNITS = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}
_KINDS = ("sequences", "tables")
_LOCKS = 256

Read = Callable[[int], Iterator[bytes]]
_in_use: set[Path] = set()  # what this process has asked for, and may be reading


class Wanted(NamedTuple):
    """A file that is to be in the cache.

    Its path there; its size in bytes; the algorithm and the hexadecimal
    digits of its hash; where it comes from, for messages; and the `SQ.` of
    GA4GH of a sequence, where that is known.
    """

    path: Path
    size: int
    algorithm: str
    digest: str
    source: str
    ga4gh: str = ""

    @property
    def digests(self) -> dict[str, str]:
        """All that it has to have, by kind."""
        return {self.algorithm: self.digest} | ({"ga4gh": self.ga4gh} if self.ga4gh else {})


def is_offline() -> bool:
    """Return whether MODOS_OFFLINE says that the network is not to be used."""
    return os.environ.get(OFFLINE_VARIABLE, "").lower() not in ("", "0", "no", "false")


def cache_limit() -> int | None:
    """Return the limit of the cache in bytes, from MODOS_CACHE_LIMIT (`20G`); None if there is no limit."""
    text = os.environ.get(LIMIT_VARIABLE, "").strip().upper().removesuffix("B")
    if not text:
        return None
    found = re.fullmatch(r"(\d{1,15}(?:\.\d{1,15})?)\s*([KMGT]?)", text, re.ASCII)
    if not found:
        raise InvalidInputError(f"{LIMIT_VARIABLE}={text} is no size", "write it like 20G")
    return int(float(found[1]) * _UNITS[found[2]])


def cache_folder(kind: str = "") -> Path:
    """Return the folder of cached files: MODOS_CACHE_DIR, else a folder of the user's; and in it that of a kind."""
    base = os.environ.get(CACHE_VARIABLE)
    root = Path(base) if base else Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "modos"
    return root / kind


def sequence_path(md5: str) -> Path:
    """Return the path of a sequence in the cache."""
    return cache_folder("sequences") / md5[:2] / md5[2:4] / md5[4:]


def table_path(sha256: str) -> Path:
    """Return the path of a table in the cache."""
    return cache_folder("tables") / sha256[:2] / sha256[2:4] / f"{sha256[4:]}.parquet"


def search_in(folder: Path) -> None:
    """Let htslib look for sequences in a folder, before the places of REF_PATH."""
    pattern = f"{folder}/%2s/%2s/%s"
    places = os.environ.get("REF_PATH", "")
    if pattern not in places.split(":"):
        os.environ["REF_PATH"] = f"{pattern}:{places}" if places else pattern


def htslib_has(md5: str) -> bool:
    """Return whether htslib finds a sequence here by REF_CACHE or REF_PATH (samtools, "Environment variables")."""
    patterns = [os.environ.get("REF_CACHE", ""), *os.environ.get("REF_PATH", "").replace("::", "\0").split(":")]
    return any(
        os.path.isfile(_expand(pattern.replace("\0", ":"), md5))
        for pattern in patterns
        if pattern and "://" not in pattern.replace("\0", ":")
    )


def _expand(pattern: str, md5: str) -> Path:
    """Fill `%2s/%2s/%s` with the digits; `%s` takes all that are left, and what is left at the end is added."""

    def take(found: re.Match[str]) -> str:
        nonlocal md5
        count = int(found[1]) if found[1] else len(md5)
        taken, md5 = md5[:count], md5[count:]
        return taken

    path = re.sub(r"%(\d*)s", take, pattern)
    return Path(path, md5) if md5 else Path(path)


def cached_files(*kinds: str) -> Iterator[Path]:
    """List the files in the cache, or those of some kinds."""
    for kind in kinds or _KINDS:
        yield from (path for path in iter_two_below(cache_folder(kind)) if is_file(path) and not path.name.startswith("."))


def clear() -> None:
    """Remove all files, and what tries that were broken off have left."""
    for kind in _KINDS:
        for path in iter_two_below(cache_folder(kind)):
            path.unlink(missing_ok=True)


def has_size(path: Path, size: int) -> bool:
    """Return whether there is a file of a size."""
    try:
        status = path.stat()
    except OSError:
        return False
    return stat.S_ISREG(status.st_mode) and status.st_size == size


def is_there(path: Path, size: int) -> bool:
    """Return whether a file is in the cache with its size; it is used now, and will not be removed by this process."""
    _in_use.add(path)
    if not has_size(path, size):
        _drop_special(path)
        return False
    with suppress(OSError):
        os.utime(path, follow_symlinks=False)
    return True


def _drop_special(path: Path) -> None:
    """Remove a pipe or a device, which htslib would open and wait for."""
    with suppress(OSError):
        if not stat.S_ISREG(path.stat().st_mode):
            path.unlink()


def is_whole(path: Path, size: int, digests: Mapping[str, str]) -> bool:
    """Return whether a file has a size and digests, computed from its bytes; the first says of what kind it is."""
    try:
        return has_size(path, size) and find_difference(digests, digests_of(path, next(iter(digests)))) is None
    except OSError:
        return False


def has_sequence(contig: StoredContig) -> bool:
    """Return whether a sequence is in the cache, with its digests."""
    path = sequence_path(contig.md5)
    return is_there(path, contig.length) and is_whole(path, contig.length, contig.digests)


def find_damaged_files(progress: Progress | None = None) -> Iterator[Path]:
    """Find the files in the cache that do not match their names, whatever is noted of them."""
    if progress:
        expect(progress, sum(path.stat().st_size for kind in _KINDS for path in cached_files(kind) if path.is_file()))
    for kind, algorithm in zip(_KINDS, ("md5", "sha256")):
        for path in cached_files(kind):
            with suppress(FileNotFoundError):  # others remove some, too
                if compute(path, algorithm)[algorithm] != "".join(path.parts[-3:]).removesuffix(".parquet"):
                    yield path
                elif progress:
                    progress(path.stat().st_size)


def bring(wanted: Wanted, read: Read, progress: Progress | None = None) -> Path:
    """Fetch a file into the cache, unless it is there.

    Parameters
    ----------
    read
        Gives the file from a byte on, in pieces.

    Raises
    ------
    NotFoundError
        It is not there, and the network is not to be used.
    ChecksumMismatch, TruncatedStream
        What came is not what was wanted; nothing of it is kept.
    AccessError
        The cache cannot be written.
    """
    if is_there(wanted.path, wanted.size) and is_whole(wanted.path, wanted.size, wanted.digests):
        return wanted.path
    if is_offline():
        raise NotFoundError(
            f"{wanted.source} is not in the cache, and {OFFLINE_VARIABLE} is set",
            "`modos reference pull` when there is a network",
        )
    with _hold_lock(wanted.path):
        if not is_whole(wanted.path, wanted.size, wanted.digests):
            _fetch(wanted, read, progress)
            _shrink()
    return wanted.path


def _fetch(wanted: Wanted, read: Read, progress: Progress | None) -> None:
    part = wanted.path.with_name(f".{wanted.path.name}.{os.geteuid()}.part")
    for again in (True, False):
        try:
            start, size, wrong = _download(part, wanted, read, progress)
            if size == wanted.size and wrong is None:
                part.replace(wanted.path)
                return
            part.unlink()
        except FileNotFoundError:  # the cache was cleared meanwhile
            if not again:
                raise _write_error(part.parent, FileNotFoundError("others clear it")) from None
            continue
        except INTERRUPTIONS:  # the next try goes on from there
            raise
        except (OSError, ModosError) as error:
            with suppress(OSError):
                part.unlink(missing_ok=True)
            if isinstance(error, ModosError):
                raise
            raise _write_error(part.parent, error) from None
        if not start:
            break
    if size != wanted.size:
        raise TruncatedStream(f"{wanted.source} has {size:,} bytes, not {wanted.size:,}", "tell those who keep it")
    assert wrong is not None
    kind, found, named = wrong
    raise ChecksumMismatch(
        f"{wanted.source} has the {kind.upper()} {found}, not {named}, that it is named by", "tell those who keep it"
    )


def _download(part: Path, wanted: Wanted, read: Read, progress: Progress | None) -> tuple[int, int, tuple[str, str, str] | None]:
    """Complete what an earlier try has left: its size, that of all, and what digest of all is another one than it has to be."""
    hash = new_digests(wanted.algorithm)
    with open_part(part) as file:
        start = _resume(file, wanted, hash)
        file.truncate(start)
        file.seek(start)
        for piece in report(read(start), progress):
            hash.update(piece)
            file.write(piece)
        file.flush()
        os.fchmod(file.fileno(), 0o644)
        sync_file(file.fileno())
        return start, file.tell(), find_difference(wanted.digests, hash.result())


def _resume(file: BinaryIO, wanted: Wanted, hash: Hasher) -> int:
    """Return how much of a file an earlier try has left."""
    start = os.fstat(file.fileno()).st_size
    if start >= wanted.size:
        return 0
    while piece := file.read(1 << 20):
        hash.update(piece)
    return start


def _shrink() -> None:
    """Remove the files not used for longest until the rest is within the limit; none that this process has asked for."""
    limit = cache_limit()
    if limit is None:
        return
    files = []
    for path in cached_files():
        with suppress(OSError):  # others remove some, too
            status = path.lstat()
            files.append((status.st_mtime, status.st_size, path))
    total = 0
    for _, size, path in sorted(files, reverse=True):
        total += size
        if total > limit and path not in _in_use:
            path.unlink(missing_ok=True)


@contextmanager
def _hold_lock(path: Path) -> Iterator[None]:
    """Let one process at a time write to a path."""
    from filelock import FileLock

    number = int(hashlib.sha256(path.name.encode()).hexdigest(), 16) % _LOCKS
    folder = cache_folder("locks")
    try:
        make_folder(folder)
        make_folder(path.parent)
        lock = FileLock(folder / f"{number:02x}", mode=0o666)
        lock.acquire()
    except OSError as error:
        raise _write_error(path.parent, error) from None
    try:
        yield
    finally:
        lock.release()


def make_folder(folder: Path) -> None:
    """Make a folder of the cache, with the permissions of the one above it."""
    root = cache_folder()
    for one in (folder, *folder.parents[: len(folder.parts) - len(root.parts) - 1]) if folder != root else ():
        _refuse_foreign(one)
    if folder.is_dir():
        return
    if folder == root:
        folder.mkdir(parents=True, exist_ok=True)
        return
    make_folder(folder.parent)
    with suppress(FileExistsError):
        make_like_above(folder)


def _refuse_foreign(folder: Path) -> None:
    """Raise PermissionError if a folder of the cache is a link that another user has made: it may lead anywhere."""
    with suppress(FileNotFoundError):
        status = folder.lstat()
        if stat.S_ISLNK(status.st_mode) and status.st_uid not in (0, os.geteuid()):
            raise PermissionError(errno.EACCES, "another user has made it a link", str(folder))


def _write_error(folder: Path, error: OSError) -> AccessError:
    return AccessError(
        f"cannot write to the cache, {folder}: {error.strerror or error}", f"set {CACHE_VARIABLE} to another folder"
    )
