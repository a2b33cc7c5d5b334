"""Add assemblies to a store, from files or from another store."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial

from modos.errors import InvalidInputError
from modos.formats.assembly_report import NAME_STYLES
from modos.formats.fasta import iter_fasta
from modos.formats.text import expand_paths, read_rows
from modos.formats.twobit import is_twobit, iter_twobit
from modos.reference.assembly import Assembly, StoredContig, assembly_key
from modos.reference.digests import SequenceHash
from modos.reference.store import (
    Pieces,
    ReferenceStore,
    check_present,
    send,
    send_sequence,
)
from modos.storage.base import Progress
from modos.storage.given import Name, as_file, describe_source, open_given

_AUTHORITIES = {"ucsc", "ensembl", "genbank", "refseq", "ncbi", "assembly", "custom", "flybase", "wormbase", "sgd", "gencode"}


def read_sequences(paths: Sequence[str], progress: Progress | None = None) -> Pieces:
    """Read the sequences of FASTA and 2bit files in pieces."""
    for path in paths:
        with open_given(path) as file, tempfile.TemporaryDirectory(prefix="modos-") as folder:
            yield from _read_twobit(as_file(file, folder), progress) if is_twobit(file) else iter_fasta(file, progress)


def _read_twobit(path: Name, progress: Progress | None) -> Pieces:
    """Read the sequences of a 2bit file, of which four bases are a byte; its other content comes last."""
    left = os.path.getsize(path)
    for name, bases in iter_twobit(path):
        yield name, bases
        if progress:
            left -= len(bases) // 4
            progress(len(bases) // 4)
    if progress:
        progress(left)


def digest_sequences(path: str, progress: Progress | None = None) -> tuple[StoredContig, ...]:
    """Digest the sequences of a FASTA or 2bit file; 2bit gets no digests, as it has lost all letters but A, C, G, T and N.

    Raises
    ------
    InvalidInputError
        It is neither; two sequences have one name.
    """
    found: dict[str, SequenceHash] = {}
    for name, bases in read_sequences([path], progress):
        if not bases and name in found:
            raise InvalidInputError(f"{path}: there are two sequences {name}", "leave one out")
        found.setdefault(name, SequenceHash()).update(bases.upper())
    with open_given(path) as file:
        has_all_letters = not is_twobit(file)
    return tuple(
        StoredContig(name, sequence.length, *(sequence.digests() if has_all_letters else ("", "")))
        for name, sequence in found.items()
    )


def read_aliases(path: str) -> Iterator[list[str]]:
    """Read the names of each contig in a table of UCSC (chromAlias.txt) or in an NCBI assembly report.

    Raises
    ------
    InvalidInputError
        It is neither.
    """
    columns, rows, is_database = None, [], False
    for line in read_rows(path):
        fields = line.rstrip("\n").split("\t")
        if line.startswith("# Sequence-Name"):
            header = line[2:].split("\t")
            columns = [header.index(style) for style in NAME_STYLES if style in header and style != "Assigned-Molecule"]
        is_database |= line.lstrip("# ").startswith("alias\tchrom\t")
        if line.startswith("#") or not line.strip():
            continue
        if len(fields) < 2:
            raise InvalidInputError(f"{path} is no table of names: {line[:80]!r}", "give a chromAlias.txt or an assembly report")
        rows.append(fields if columns is None else [fields[number] for number in columns if number < len(fields)])
    if not rows:
        raise InvalidInputError(f"{path} has no names", "give a chromAlias.txt or an assembly report")
    if columns is None and (is_database or _is_database(rows)):
        rows = _group_by_contig(rows)
    for row in rows:
        yield [name for name in row if name and name != "na"]


def _is_database(rows: list[list[str]]) -> bool:
    """Return whether rows are those of UCSC's database: a name, the contig, and who calls it so."""
    return all(len(row) == 3 for row in rows) and all(set(row[2].split(",")) <= _AUTHORITIES for row in rows)


def _group_by_contig(rows: list[list[str]]) -> list[list[str]]:
    found: dict[str, list[str]] = {}
    for alias, contig, *_ in rows:
        found.setdefault(contig, [contig]).append(alias)
    return list(found.values())


def add_files(
    store: ReferenceStore,
    name: str,
    paths: Sequence[str],
    names: str | None = None,
    source: str = "",
    progress: Progress | None = None,
) -> Assembly:
    """Add an assembly from FASTA or 2bit files, with the other names that a table has for its contigs."""
    files = expand_paths(paths)
    return store.add(
        name,
        partial(read_sequences, files, progress),
        source or ", ".join(map(describe_source, files)),
        _Others(read_aliases(names) if names else ()),
    )


class _Others(Mapping[str, tuple[str, ...]]):
    """The other names of each name: all of its rows, which are kept once, not for each of their names."""

    def __init__(self, rows: Iterable[list[str]]):
        self._rows: dict[str, list[list[str]]] = {}
        for row in rows:
            for one in dict.fromkeys(row):
                self._rows.setdefault(one, []).append(row)

    def __getitem__(self, name: str) -> tuple[str, ...]:
        return tuple(dict.fromkeys(other for row in self._rows[name] for other in row if other != name))

    def __iter__(self) -> Iterator[str]:
        return iter(self._rows)

    def __len__(self) -> int:
        return len(self._rows)


def push(source: ReferenceStore, target: ReferenceStore, name: str, progress: Progress | None = None) -> int:
    """Bring an assembly to another store: the sequences that it lacks, then the names; returns the bytes sent.

    Raises
    ------
    AlreadyExistsError
        The target has another assembly of that name.
    IntegrityError
        A sequence does not have the digests that the assembly says.
    """
    assembly = source.assembly(name)
    sizes = {contig: send_sequence(source, target, contig, progress) for contig in assembly.contigs}
    check_present(target, [contig for contig, size in sizes.items() if not size])
    sent = sum(sizes.values())
    if assembly.masked:
        file, size, sha256 = assembly.masked
        sent += send(source, target, assembly_key(name, file), size, sha256, progress=progress)
    target.register(assembly)
    return sent
