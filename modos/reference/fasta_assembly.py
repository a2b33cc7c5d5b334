"""Open a FASTA of an object as a reference, like one from a store."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from modos.errors import IntegrityError, TruncatedStream
from modos.reference.assembly import Assembly, StoredContig
from modos.reference.digests import Digests, SequenceHash, seqcol_digest
from modos.reference.fai import FaiEntry, check_entry
from modos.reference.reference import Reference
from modos.reference.sequences import Files, check_plain, iter_bases, read_fai
from modos.storage import Storage
from modos.storage.prefetch import call_both

_LETTERS = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ*-"


def open_fasta(
    storage: Files, fasta: str, name: str, digests: Mapping[str, Digests] | None = None, *, most_unindexed: int | None = None
) -> Reference:
    """Open the bases of a FASTA, by position; without a .fai index all of it is read once first.

    Parameters
    ----------
    digests
        Of its sequences, as far as they are known.
    most_unindexed
        Bytes that one without an index may have; any number where it is None.

    Raises
    ------
    NotFoundError, IntegrityError
        There is no FASTA; its index is damaged, or none can be made.
    InvalidInputError
        The FASTA is compressed.
    """
    entries = {contig: entry for contig, entry in _read_index(storage, fasta, most_unindexed).items() if entry.length}
    known = digests or {}
    contigs = tuple(
        StoredContig(
            contig,
            entry.length,
            known[contig].md5 if contig in known else f"none of {contig}",
            known[contig].ga4gh if contig in known else "",
        )
        for contig, entry in entries.items()
    )
    seqcol = seqcol_digest([vars(contig) for contig in contigs]) if all(contig.ga4gh for contig in contigs) else ""

    unchecked = set(entries) if _has_unknown_index(storage, fasta) else set()
    read = partial(_read_range, storage, fasta, entries, unchecked)
    return Reference(Assembly(name, contigs, seqcol, fasta), _locate_none, read)


def _read_index(storage: Files, fasta: str, most_unindexed: int | None) -> dict[str, FaiEntry]:
    """Read the index of a FASTA, and look at the same time whether that is plain."""
    if not storage.is_remote:
        check_plain(storage, fasta)
        return read_fai(storage, fasta, most_unindexed)
    return call_both(partial(check_plain, storage, fasta), partial(read_fai, storage, fasta, most_unindexed))[1]


def _has_unknown_index(storage: Files, fasta: str) -> bool:
    """Return whether it is on record what a FASTA is, and not what its index is."""
    return not isinstance(storage, Storage) and storage.verifies(fasta) and not storage.verifies(f"{fasta}.fai")


def _locate_none(contig: StoredContig) -> None:
    """Say that the sequence of a contig has no file of its own."""


def _read_range(
    storage: Files,
    fasta: str,
    entries: Mapping[str, FaiEntry],
    unchecked: set[str],
    contig: StoredContig,
    start: int,
    end: int,
) -> bytes:
    if contig.name in unchecked:
        _check_row(storage, fasta, contig.name, entries[contig.name])
        unchecked.discard(contig.name)
    bases = b"".join(iter_bases(storage, fasta, entries[contig.name], start, end))
    if len(bases) != end - start or bases.translate(None, _LETTERS):
        raise TruncatedStream(f"{storage.url}/{fasta} does not fit its index", "make it again with samtools faidx")
    return bases


def _check_row(storage: Files, fasta: str, name: str, entry: FaiEntry) -> None:
    """Compare a row of an index with the FASTA."""
    try:
        check_entry(lambda start, end: storage.read_part(fasta, start, end)[0], storage.stat(fasta).size, name, entry)
    except IntegrityError as error:
        raise type(error)(
            f"{storage.url}/{fasta}.fai: {error.message}", error.hint or "make it again with samtools faidx"
        ) from None


def digest_fasta(storage: Files, fasta: str) -> tuple[StoredContig, ...]:
    """Digest the sequences of a FASTA; all of it is read."""
    check_plain(storage, fasta)
    contigs = []
    for name, entry in read_fai(storage, fasta).items():
        found = SequenceHash()
        for bases in iter_bases(storage, fasta, entry, 0, entry.length):
            found.update(bases)
        if found.length != entry.length:
            raise TruncatedStream(f"{storage.url}/{fasta} does not fit its index", "make it again with samtools faidx")
        contigs.append(StoredContig(name, entry.length, *found.digests()))
    return tuple(contigs)
