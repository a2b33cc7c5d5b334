"""Read a reference store through the cache of this machine."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, Protocol, TypeVar

from modos.errors import (
    AccessError,
    ChecksumMismatch,
    ConflictError,
    IntegrityError,
    InvalidInputError,
    NotFoundError,
    RemoteError,
    TruncatedStream,
)
from modos.reference.assembly import Assembly, StoredContig, check_name, sequence_key
from modos.reference.cache import (
    OFFLINE_VARIABLE,
    Wanted,
    bring,
    cache_folder,
    has_sequence,
    has_size,
    is_offline,
    make_folder,
    sequence_path,
    table_path,
)
from modos.reference.proofs import digests_of, find_difference
from modos.reference.shared import replace_file
from modos.reference.store import ReferenceStore
from modos.reference.tried import try_once
from modos.storage.base import Progress


class _Kept(Protocol):
    def to_bytes(self) -> bytes:
        """Serialise as in a file."""


T = TypeVar("T", bound=_Kept)


class CachedStore:
    """A reference store, with what was fetched of it, and a folder for what was known of it."""

    def __init__(self, store: ReferenceStore):
        self.store = store
        self.names = cache_folder("assemblies") / hashlib.sha256(store.url.encode()).hexdigest()[:16]

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle by the store: the cache is that of the machine."""
        return CachedStore, (self.store,)

    @property
    def is_here(self) -> bool:
        """Return whether the store itself is on this machine: nothing is copied then."""
        return not self.store.storage.is_remote

    def assembly(self, name: str) -> Assembly:
        """Return an assembly as the store has it now or, offline, as it was when it was fetched.

        Raises
        ------
        NotFoundError
            There is none, or offline, it was never fetched.
        ConflictError
            The store has other sequences under that name than before.
        """
        if self.is_here:
            return self.store.assembly(name)
        return self.remember(
            "assembly",
            name,
            self.names / f"{check_name(name)}.json",
            Assembly.from_bytes,
            lambda: self.store.assembly(name),
            lambda assembly: assembly.seqcol,
        )

    def remember(
        self,
        thing: str,
        name: str,
        kept: Path,
        parse: Callable[[bytes, str], T],
        fetch: Callable[[], T],
        identity: Callable[[T], object],
    ) -> T:
        """Fetch what the store says of an assembly or annotation; where it cannot be reached, what it has said before.

        Parameters
        ----------
        kept
            Where what it has said is kept.
        identity
            What has to be the same as before.
        """
        known = _read_kept(kept, parse)
        if is_offline():
            if known is None:
                raise NotFoundError(
                    f"the {thing} {name} of {self.store.url} is not in the cache, and {OFFLINE_VARIABLE} is set",
                    f"`modos reference pull {name}` when there is a network",
                )
            return known
        try:
            found = fetch()
        except (RemoteError, AccessError):
            if known is None:
                raise
            return known
        if known is not None and identity(known) != identity(found):
            raise ConflictError(
                f"the {thing} {name} of {self.store.url} is another one than when it was fetched",
                f"if that is right, forget the old one: `modos reference cache --forget {name}`",
            )
        if known != found:
            keep(kept, found.to_bytes())
        return found

    def list_known(self) -> list[str]:
        """List the names of what was fetched before."""
        return sorted(path.name.removesuffix(".json").removesuffix(".annotation") for path in self.names.glob("*.json"))

    def annotation_path(self, name: str) -> Path:
        """Return the path where what is known of an annotation is kept."""
        return self.names / f"{check_name(name)}.annotation.json"

    def knows_annotation(self, name: str) -> bool:
        """Return whether it was fetched before."""
        return not self.is_here and self.annotation_path(name).is_file()

    def forget(self, name: str) -> None:
        """Forget what was known of an assembly or annotation; what was fetched of it stays."""
        (self.names / f"{check_name(name)}.json").unlink(missing_ok=True)
        self.annotation_path(name).unlink(missing_ok=True)

    def locate(self, contig: StoredContig, progress: Progress | None = None) -> Path:
        """Locate the file with a contig's sequence, fetched if it is not there.

        Raises
        ------
        NotFoundError
            The store lacks it; offline, it is not in the cache.
        ChecksumMismatch, TruncatedStream
            What the store has is not what its name says; nothing is kept.
        """
        key = sequence_key(contig.md5)
        if self.is_here:
            path = self.store.storage.local_path(key)
            if path is None or not path.is_file():
                raise NotFoundError(
                    f"{self.store.url} lacks the sequence {contig.name} ({contig.md5})", "see `modos reference verify`"
                )
            if not has_size(path, contig.length):
                raise IntegrityError(
                    f"{path} has {path.stat().st_size:,} bytes, and {contig.name} has {contig.length:,} bases",
                    "see `modos reference verify`",
                )
            return _prove(path, "md5", contig.digests)
        source = f"the sequence {contig.name} (MD5 {contig.md5}) of {self.store.url}"
        return bring(
            Wanted(sequence_path(contig.md5), contig.length, "md5", contig.md5, source, contig.ga4gh),
            partial(self._read, key, contig.length),
            progress,
        )

    def locate_file(self, key: str, size: int, sha256: str, progress: Progress | None = None) -> Path:
        """Return a table of the store, fetched if it is not there.

        IntegrityError where it is not what its digest says, or cannot be read.
        """
        storage = self.store.storage
        if self.is_here:
            path = storage.local_path(key)
            if path is None or not has_size(path, size):
                raise IntegrityError(
                    f"{storage.url}/{key} is missing, or is not of {size:,} bytes", "see `modos reference verify`"
                )
            return try_once(_prove(path, "sha256", {"sha256": sha256}), sha256)
        wanted = Wanted(table_path(sha256), size, "sha256", sha256, f"{storage.url}/{key}")
        return try_once(bring(wanted, partial(self._read, key, size), progress), sha256)

    def _read(self, key: str, size: int, start: int) -> Iterator[bytes]:
        storage = self.store.storage
        found = storage.stat(key).size
        if found != size:
            raise TruncatedStream(f"{storage.url}/{key} has {found:,} bytes, not {size:,}", "tell those who keep the store")
        yield from storage.iter_range(key, start, size)


def _prove(path: Path, algorithm: str, digests: Mapping[str, str]) -> Path:
    """Prove a file that has digests; raise ChecksumMismatch if it is another one."""
    wrong = find_difference(digests, digests_of(path, algorithm))
    if wrong is not None:
        raise ChecksumMismatch(
            f"{path} has the {wrong[0].upper()} {wrong[1]}, not {wrong[2]}, that it is named by", "see `modos reference verify`"
        )
    return path


def _read_kept(path: Path, parse: Callable[[bytes, str], T]) -> T | None:
    """Read what was kept; nothing if it is not there, or was not written to its end."""
    try:
        return parse(path.read_bytes(), str(path))
    except (OSError, IntegrityError, InvalidInputError):
        return None


def keep(path: Path, data: bytes) -> None:
    """Keep a small file for offline use, where the cache can be written."""
    with suppress(OSError):
        make_folder(path.parent)
        replace_file(path, data)


def compare(cached: CachedStore, contigs: Iterable[StoredContig], progress: Progress | None = None) -> bool:
    """Compare contigs with their sequences, as far as those are on this machine; whether all are.

    Raises
    ------
    NotFoundError, IntegrityError
        The store is on this machine and lacks a sequence, or has another one.
    """
    are_all = True
    for contig in contigs:
        if cached.is_here:
            cached.locate(contig)
        else:
            are_all &= has_sequence(contig)
        if progress:
            progress(contig.length)
    return are_all


def find_missing(cached: CachedStore, contigs: Iterable[StoredContig]) -> list[StoredContig]:
    """Find the contigs whose sequences are not on this machine."""
    return [] if cached.is_here else [contig for contig in contigs if not has_sequence(contig)]


def pull_sequences(cached: CachedStore, contigs: Iterable[StoredContig], progress: Progress | None = None) -> None:
    """Fetch the sequences of contigs to this machine."""
    for contig in contigs:
        cached.locate(contig, progress)
