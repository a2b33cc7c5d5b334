"""References of a store on this machine: fetched when they are asked for, once, verified, and within a limit.

Sequences lie in the layout of htslib's REF_CACHE, so that samtools finds them
too. One process at a time fetches a sequence; the others wait and use it.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from modos.errors import AccessError, ConflictError, IntegrityError, InvalidInputError, ModosError, NotFoundError, RemoteError
from modos.reference.digests import SequenceHash
from modos.reference.sequences import cache_folder
from modos.reference.store import Assembly, ReferenceStore, StoredContig, sequence_key
from modos.storage.base import Progress

OFFLINE_VARIABLE = "MODOS_OFFLINE"
LIMIT_VARIABLE = "MODOS_CACHE_LIMIT"
_UNITS = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}


def is_offline() -> bool:
    """Whether MODOS_OFFLINE says that the network is not to be used."""
    return os.environ.get(OFFLINE_VARIABLE, "").lower() not in ("", "0", "no", "false")


def cache_limit() -> int | None:
    """Bytes that the sequences in the cache may have, from MODOS_CACHE_LIMIT (`20G`); None where there is no limit."""
    text = os.environ.get(LIMIT_VARIABLE, "").strip().upper().removesuffix("B")
    if not text:
        return None
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([KMGT]?)", text)
    if not found:
        raise InvalidInputError(f"{LIMIT_VARIABLE}={text} is no size", "write it like 20G")
    return int(float(found[1]) * _UNITS[found[2]])


def sequence_path(md5: str) -> Path:
    """Where a sequence is in the cache."""
    return cache_folder() / sequence_key(md5).removeprefix("sequences/")


class CachedStore:
    """A reference store, with what was fetched of it.

    Parameters
    ----------
    store
        None where only what is cached can be used.
    """

    def __init__(self, store: ReferenceStore):
        self.store = store
        self._folder = cache_folder().parent / "assemblies" / hashlib.sha256(store.url.encode()).hexdigest()[:16]

    @property
    def is_here(self) -> bool:
        """Whether the store itself is on this machine: nothing is copied then."""
        return not self.store.storage.is_remote

    def assembly(self, name: str) -> Assembly:
        """An assembly: as the store has it now; offline, as it was when it was fetched.

        Raises
        ------
        NotFoundError
            There is none, or offline, it was never fetched.
        ConflictError
            The store has other sequences under that name than before.
        """
        kept = self._folder / f"{name}.json"
        if self.is_here:
            return self.store.assembly(name)
        known = Assembly.from_bytes(kept.read_bytes(), str(kept)) if kept.is_file() else None
        if is_offline():
            if known is None:
                raise NotFoundError(f"the assembly {name} of {self.store.url} is not in the cache, and {OFFLINE_VARIABLE} is set",
                                    f"`modos reference pull {name}` when there is a network")
            return known
        try:
            found = self.store.assembly(name)
        except (RemoteError, AccessError):
            if known is None:
                raise
            return known
        if known is not None and known.seqcol != found.seqcol:
            raise ConflictError(f"the assembly {name} of {self.store.url} has other sequences than when it was fetched",
                                f"if that is right, forget the old one: `modos reference cache --forget {name}`")
        if known != found:
            _write(kept, found.to_bytes())
        return found

    def forget(self, name: str) -> None:
        """Forget what was known of an assembly; its sequences stay."""
        (self._folder / f"{name}.json").unlink(missing_ok=True)

    def locate(self, contig: StoredContig, progress: Progress | None = None) -> Path:
        """The file with a contig's sequence, fetched if it is not there.

        Raises
        ------
        NotFoundError
            The store lacks it; offline, it is not in the cache.
        ChecksumMismatch, TruncatedStream
            What the store has is not what its name says; nothing is kept.
        """
        if self.is_here:
            path = self.store.storage.local_path(sequence_key(contig.md5))
            if path is None or not path.is_file():
                raise NotFoundError(f"{self.store.url} lacks the sequence {contig.name} ({contig.md5})", "see `modos reference verify`")
            _check_size(path, contig)
            return path
        path = sequence_path(contig.md5)
        if is_whole(path, contig):
            with suppress(OSError):
                os.utime(path)  # used now
            return path
        if is_offline():
            raise NotFoundError(f"the sequence {contig.name} (MD5 {contig.md5}) is not in the cache, and {OFFLINE_VARIABLE} is set",
                                "pull its assembly when there is a network")
        with _locked(path):
            if not is_whole(path, contig):
                self._fetch(contig, path, progress)
                self._shrink(path)
        return path

    def _fetch(self, contig: StoredContig, path: Path, progress: Progress | None) -> None:
        found, key, part = SequenceHash(), sequence_key(contig.md5), path.with_name(f".{path.name}.{os.getpid()}.part")
        storage = self.store.storage
        size = storage.stat(key).size
        if size != contig.length:
            raise IntegrityError(f"{storage.url}/{key} has {size:,} bytes, and {contig.name} has {contig.length:,} bases",
                                 "tell those who keep the store")
        try:
            with open(part, "xb") as file:
                for piece in storage.iter_range(key, 0, size):
                    found.update(piece)
                    file.write(piece)
                    if progress:
                        progress(len(piece))
                file.flush()
                os.fsync(file.fileno())
            if found.digests().md5 != contig.md5:
                raise IntegrityError(f"{storage.url}/{key} does not have the MD5 that it is named by", "tell those who keep the store")
            part.chmod(0o644)
            part.replace(path)
        except OSError as error:
            if isinstance(error, ModosError):
                raise
            raise AccessError(f"cannot write to the cache, {path.parent}: {error.strerror}", "set MODOS_CACHE_DIR to another folder") from None
        finally:
            part.unlink(missing_ok=True)

    def _shrink(self, keep: Path) -> None:
        """Remove sequences that were not used for longest until the rest is within the limit."""
        limit = cache_limit()
        if limit is None:
            return
        files = sorted(((path.stat().st_mtime, path.stat().st_size, path) for path in cached_sequences()), reverse=True)
        total = 0
        for _, size, path in files:
            total += size
            if total > limit and path != keep:
                path.unlink(missing_ok=True)


def cached_sequences() -> Iterator[Path]:
    """The files of the sequences in the cache."""
    folder = cache_folder()
    yield from (path for path in folder.glob("??/??/*") if path.is_file() and not path.name.startswith("."))


def is_whole(path: Path, contig: StoredContig) -> bool:
    """Whether a file has the length of a contig's sequence."""
    try:
        return path.stat().st_size == contig.length
    except OSError:
        return False


def _check_size(path: Path, contig: StoredContig) -> None:
    if not is_whole(path, contig):
        raise IntegrityError(f"{path} has {path.stat().st_size:,} bytes, and {contig.name} has {contig.length:,} bases",
                             "see `modos reference verify`")


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """One process at a time, for what is written to a path."""
    from filelock import FileLock

    lock = path.with_name(f".{path.name}.lock")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(lock, mode=0o666):
            yield
    except OSError as error:
        if isinstance(error, ModosError):
            raise
        raise AccessError(f"cannot write to the cache, {path.parent}: {error.strerror}",
                          "set MODOS_CACHE_DIR to another folder") from None
    with suppress(OSError):
        lock.unlink()


def _write(path: Path, data: bytes) -> None:
    with suppress(OSError):  # it is only kept for offline use
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(f".{path.name}.{os.getpid()}")
        part.write_bytes(data)
        part.replace(path)


def pull(cached: CachedStore, assembly: Assembly, contigs: Iterable[str] | None = None, progress: Progress | None = None) -> int:
    """Have sequences of an assembly on this machine; returns the bytes that were fetched."""
    chosen = assembly.contigs if contigs is None else [assembly.contig(name) for name in contigs]
    before = {path for path in cached_sequences()}
    for contig in chosen:
        cached.locate(contig, progress)
    return sum(contig.length for contig in chosen if not cached.is_here and sequence_path(contig.md5) not in before)
