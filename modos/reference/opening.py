"""Stores of references, and assemblies out of them, by where they are and what they are called."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from modos.access import open_remote
from modos.config import resolve_services
from modos.errors import ChecksumMismatch, InvalidInputError, NotFoundError, TruncatedStream
from modos.reference.cache import has_size, is_offline, search_in, sequence_path
from modos.reference.digests import SequenceHash
from modos.reference.dna import Reference
from modos.reference.store import Assembly, Pieces, ReferenceStore, StoredContig, sequence_key
from modos.reference.stored import CachedStore
from modos.storage import open_storage
from modos.storage.base import Progress

logger = logging.getLogger(__name__)

STORE_VARIABLE = "MODOS_REFERENCE_STORE"


def store_place() -> str:
    """Where the user's references are: MODOS_REFERENCE_STORE, else a folder of the user's."""
    base = os.environ.get("XDG_DATA_HOME") or str(Path.home() / ".local" / "share")
    return os.environ.get(STORE_VARIABLE) or str(Path(base) / "modos" / "references")


def has_store() -> bool:
    """Whether the user has references."""
    return bool(os.environ.get(STORE_VARIABLE)) or Path(store_place()).is_dir()


def provide(contigs: Iterable[StoredContig]) -> None:
    """Have sequences of the user's store where htslib looks for them; those that the store lacks are left out.

    Raises
    ------
    IntegrityError
        The store has something else by that name.
    """
    cached = CachedStore(open_store())
    for contig in contigs:
        try:
            folder = cached.locate(contig).parents[2]
        except NotFoundError as error:
            logger.info("%s", error)
            continue
        search_in(folder)


def open_store(place: str | Path | None = None, endpoint: str | None = None, s3_kwargs: dict[str, Any] | None = None) -> ReferenceStore:
    """A store in a folder or an S3 prefix; that of the user where none is named."""
    where = str(place or store_place())
    if where.startswith("s3://"):
        return ReferenceStore(open_remote(where, resolve_services(endpoint, None), s3_kwargs))
    if "://" in where:
        raise InvalidInputError(f"{where} is no place for references", "give a folder, or s3://bucket/prefix")
    return ReferenceStore(open_storage(Path(where)))


def open_reference(name: str, place: str | Path | None = None, endpoint: str | None = None,
                   s3_kwargs: dict[str, Any] | None = None) -> Reference:
    """An assembly of a store, to be asked for its bases.

    What is on this machine, in the store or the cache, is read from there.
    Else the parts that are asked for are fetched; `modos reference pull`
    fetches all.

    Raises
    ------
    NotFoundError
        The store has no such assembly.
    """
    store = open_store(place, endpoint, s3_kwargs)
    cached = CachedStore(store)
    return Reference(cached.assembly(name), partial(_file_of, cached), partial(_read_range, store))


def _file_of(cached: CachedStore, contig: StoredContig) -> Path | None:
    has_it = cached.is_here or has_size(sequence_path(contig.md5), contig.length)
    return cached.locate(contig) if has_it or is_offline() else None


def _read_range(store: ReferenceStore, contig: StoredContig, start: int, end: int) -> bytes:
    data, info = store.storage.read_part(sequence_key(contig.md5), start, end)
    if info.size != contig.length or len(data) != end - start:
        raise TruncatedStream(f"{store.url}/{sequence_key(contig.md5)} has {info.size:,} bytes, and {contig.name} has "
                              f"{contig.length:,} bases", "tell those who keep the store")
    return data


def read_sequences(paths: Sequence[str], progress: Progress | None = None) -> Pieces:
    """The sequences of FASTA and 2bit files in pieces."""
    from modos.reference.twobit import is_twobit, iter_twobit
    from modos.tracks.assembly import iter_fasta

    for path in paths:
        yield from iter_twobit(path) if is_twobit(path) else iter_fasta(path, progress)


def read_aliases(path: str) -> Iterator[list[str]]:
    """The names of each contig in a table of UCSC (chromAlias.txt) or in an NCBI assembly report.

    Raises
    ------
    InvalidInputError
        It is neither.
    """
    from modos.tracks.assembly import NAME_STYLES, read_rows

    columns, found = None, False
    for line in read_rows(path):
        fields = line.rstrip("\n").split("\t")
        if line.startswith("# Sequence-Name"):
            header = line[2:].split("\t")
            columns = [header.index(style) for style in NAME_STYLES if style in header and style != "Assigned-Molecule"]
        if line.startswith("#") or not line.strip():
            continue
        if len(fields) < 2:
            raise InvalidInputError(f"{path} is no table of names: {line[:80]!r}", "give a chromAlias.txt or an assembly report")
        chosen = fields if columns is None else [fields[number] for number in columns if number < len(fields)]
        found = True
        yield [name for name in chosen if name and name != "na"]
    if not found:
        raise InvalidInputError(f"{path} has no names", "give a chromAlias.txt or an assembly report")


def add_files(store: ReferenceStore, name: str, paths: Sequence[str], names: str | None = None, source: str = "",
              progress: Progress | None = None) -> Assembly:
    """Add an assembly from FASTA or 2bit files, with the other names that a table has for its contigs."""
    from modos.tracks.assembly import expand_paths

    files = expand_paths(paths)
    aliases: dict[str, list[str]] = {}
    for row in read_aliases(names) if names else ():
        for one in row:
            aliases[one] = [other for other in dict.fromkeys(row) if other != one]
    return store.add(name, partial(read_sequences, files, progress), source or ", ".join(Path(file).name for file in files), aliases)


def push(source: ReferenceStore, target: ReferenceStore, name: str, progress: Progress | None = None) -> int:
    """Bring an assembly to another store: the sequences that it lacks, then the names; returns the bytes sent.

    Raises
    ------
    AlreadyExistsError
        The target has another assembly of that name.
    """
    assembly, sent = source.assembly(name), 0
    for contig in assembly.contigs:
        if target.put_sequence(contig.md5, contig.length, _checked(source, contig, progress)):
            sent += contig.length
    target.register(assembly)
    return sent


def _checked(source: ReferenceStore, contig: StoredContig, progress: Progress | None) -> Iterator[bytes]:
    """A sequence of a store, compared with its name at the end."""
    key, found = sequence_key(contig.md5), SequenceHash()
    for piece in source.storage.iter_range(key, 0, contig.length):
        found.update(piece)
        yield piece
        if progress:
            progress(len(piece))
    if found.digests().md5 != contig.md5:
        raise ChecksumMismatch(f"{source.url}/{key} does not have the MD5 that it is named by", "see `modos reference verify`")
