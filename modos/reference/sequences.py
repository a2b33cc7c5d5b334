"""Read sequences from a FASTA by position and by MD5, without reading the rest."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from modos.errors import IntegrityError, InvalidInputError, NotFoundError
from modos.formats import is_compressed
from modos.reference.assembly import StoredContig
from modos.reference.cache import (
    Wanted,
    bring,
    cache_folder,
    has_sequence,
    sequence_path,
)
from modos.reference.fai import FaiEntry, parse_fai
from modos.storage import Storage
from modos.storage.base import Progress
from modos.storage.verified import VerifiedFiles

if TYPE_CHECKING:
    from modos.encryption.view import DecryptedView

Files: TypeAlias = "Storage | VerifiedFiles | DecryptedView"  # what a FASTA is read from

_MAX_FAI = 64 << 20
_MAX_COMPUTED = 4
_computed: dict[tuple[str, str, int, str], dict[str, FaiEntry]] = {}  # indexes of FASTA files that have none; oldest first


def read_fai(storage: Files, fasta: str, most: int | None = None) -> dict[str, FaiEntry]:
    """Read the index of a plain FASTA; if it has none, make it in memory from the whole FASTA, and keep it.

    Parameters
    ----------
    most
        Bytes of a FASTA that may be read for that; NotFoundError is raised for one of more.
    """
    try:
        data, _ = storage.read_part(f"{fasta}.fai", 0, _MAX_FAI + 1)
    except NotFoundError:
        return compute_fai(storage, fasta, most)
    if len(data) > _MAX_FAI:
        raise IntegrityError(f"{storage.url}/{fasta}.fai is larger than any index", "make it again with samtools faidx")
    return parse_fai(data)


def compute_fai(storage: Files, fasta: str, most: int | None = None) -> dict[str, FaiEntry]:
    """Compute the index of a plain FASTA from its bytes, of which it may have only so many.

    Raises
    ------
    NotFoundError
        There is no FASTA, or it has too many bytes.
    IntegrityError
        It is none that has an index.
    """
    from modos.reference.unindexed import index_fasta

    info = storage.stat(fasta)
    if most is not None and info.size > most:
        raise NotFoundError(f"{storage.url}/{fasta} has no .fai index", "make one with samtools faidx, and add it")
    known = storage.url, fasta, info.size, info.etag
    if known not in _computed:
        check_plain(storage, fasta)
        _computed[known] = index_fasta(storage.iter_range(fasta, 0, info.size), f"{storage.url}/{fasta}")
        while len(_computed) > _MAX_COMPUTED:
            _computed.pop(next(iter(_computed)), None)
    return _computed[known]


def check_plain(storage: Files, fasta: str) -> None:
    """Refuse a FASTA that is compressed, whatever it is called."""
    if is_compressed(fasta) or storage.read_part(fasta, 0, 2)[0] == b"\x1f\x8b":
        raise InvalidInputError(
            f"{storage.url}/{fasta} is compressed, and its bases cannot be found by position",
            "keep it plain (bgzip -d), or add it to a reference store: modos reference add",
        )


def iter_bases(storage: Files, fasta: str, entry: FaiEntry, start: int, end: int) -> Iterator[bytes]:
    """Iterate over the bases [start, end) of a sequence in pieces, upper case."""
    for piece in storage.iter_range(fasta, entry.byte_of(start), entry.byte_of(end)):
        yield piece.upper().translate(None, b" \t\r\n")


def cache_sequences(storage: Files, fasta: str, wanted: Mapping[str, StoredContig], progress: Progress | None = None) -> Path:
    """Fetch the sequences of a FASTA that are missing in the cache.

    Parameters
    ----------
    fasta
        Key of a plain FASTA.
    wanted
        Length and MD5 by name, as in @SQ LN and M5; names that the FASTA lacks are left out.

    Returns
    -------
    Path
        The cache folder.

    Raises
    ------
    NotFoundError
        The FASTA is missing.
    IntegrityError
        A sequence that does not have its length or MD5.
    """
    lacking = {name: contig for name, contig in wanted.items() if not has_sequence(contig)}
    entries = read_fai(storage, fasta) if lacking else {}
    for name, contig in lacking.items():
        if name in entries:
            _cache(storage, fasta, contig, entries[name], progress)
    return cache_folder("sequences")


def _cache(storage: Files, fasta: str, contig: StoredContig, entry: FaiEntry, progress: Progress | None) -> None:
    source = f"sequence {contig.name} of {fasta} in {storage.url}"
    wanted = Wanted(sequence_path(contig.md5), contig.length, "md5", contig.md5, source, contig.ga4gh)
    try:
        bring(wanted, lambda start: iter_bases(storage, fasta, entry, min(start, entry.length), entry.length), progress)
    except IntegrityError as error:
        raise type(error)(
            f"{error.message}: it is not the one the CRAM was made with", "give the right FASTA (-T, reference_filename)"
        ) from None
