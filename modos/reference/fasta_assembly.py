"""Open a FASTA of an object as a reference, like one from a store."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from modos.errors import TruncatedStream
from modos.reference.assembly import Assembly, StoredContig
from modos.reference.digests import Digests, SequenceHash, seqcol_digest
from modos.reference.fai import FaiEntry
from modos.reference.reference import Reference
from modos.reference.sequences import check_plain, iter_bases, read_fai
from modos.storage import Storage

_LETTERS = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ*-"


def open_fasta(storage: Storage, fasta: str, name: str, digests: Mapping[str, Digests] | None = None) -> Reference:
    """Open the bases of a FASTA, by position; without a .fai index all of it is read once first.

    Parameters
    ----------
    digests
        Of its sequences, as far as they are known.

    Raises
    ------
    NotFoundError, IntegrityError
        There is no FASTA; its index is damaged, or none can be made.
    InvalidInputError
        The FASTA is compressed.
    """
    check_plain(storage, fasta)
    entries = {contig: entry for contig, entry in read_fai(storage, fasta).items() if entry.length}
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

    return Reference(Assembly(name, contigs, seqcol, fasta), _locate_none, partial(_read_range, storage, fasta, entries))


def _locate_none(contig: StoredContig) -> None:
    """Say that the sequence of a contig has no file of its own."""


def _read_range(
    storage: Storage, fasta: str, entries: Mapping[str, FaiEntry], contig: StoredContig, start: int, end: int
) -> bytes:
    bases = b"".join(iter_bases(storage, fasta, entries[contig.name], start, end))
    if len(bases) != end - start or bases.translate(None, _LETTERS):
        raise TruncatedStream(f"{storage.url}/{fasta} does not fit its index", "make it again with samtools faidx")
    return bases


def digest_fasta(storage: Storage, fasta: str) -> tuple[StoredContig, ...]:
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
