"""Sequences out of a FASTA, by position and by MD5, without reading the rest of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from modos.errors import IntegrityError, InvalidInputError, NotFoundError
from modos.reference.assembly import StoredContig
from modos.reference.cache import (
    Wanted,
    bring,
    cache_folder,
    has_sequence,
    sequence_path,
)
from modos.storage import Storage
from modos.storage.base import Progress

_MAX_FAI = 64 << 20
_MAX_COMPUTED = 4
_computed: dict[tuple[str, str, int, str], dict[str, FaiEntry]] = {}  # indexes of FASTA files that have none; oldest first


class FaiEntry(NamedTuple):
    """A row of a .fai index (samtools faidx): lengths in bases, offset and widths in bytes."""

    length: int
    offset: int
    line_bases: int
    line_width: int

    def byte_of(self, base: int) -> int:
        """Return the offset of a base in the FASTA, both from 0; that after the last base is the byte after it."""
        if not base:
            return self.offset
        full, rest = divmod(base - 1, self.line_bases)
        return self.offset + full * self.line_width + rest + 1


def parse_fai(text: bytes) -> dict[str, FaiEntry]:
    """Parse the sequences of a FASTA by name; raise IntegrityError for text that is no .fai."""
    entries = {}
    try:
        for line in filter(None, text.decode().split("\n")):
            name, *fields = line.rstrip("\r").split("\t")
            if name in entries or not all(field.isascii() and field.isdecimal() for field in fields[:4]):
                raise ValueError
            entry = FaiEntry(*map(int, fields[:4]))
            if entry.length and not 0 < entry.line_bases <= entry.line_width:
                raise ValueError
            entries[name] = entry
        if not entries:
            raise ValueError
    except (ValueError, TypeError):
        raise IntegrityError("the FASTA's .fai index is damaged", "make it again with samtools faidx") from None
    return entries


def format_fai(entries: dict[str, FaiEntry]) -> bytes:
    """Format the text of a .fai."""
    return "".join(
        f"{name}\t{entry.length}\t{entry.offset}\t{entry.line_bases}\t{entry.line_width}\n" for name, entry in entries.items()
    ).encode()


def read_fai(storage: Storage, fasta: str) -> dict[str, FaiEntry]:
    """Read the index of a plain FASTA; if it has none, make it in memory from the whole FASTA, and keep it."""
    try:
        if storage.stat(f"{fasta}.fai").size > _MAX_FAI:
            raise IntegrityError(f"{storage.url}/{fasta}.fai is larger than any index", "make it again with samtools faidx")
        return parse_fai(storage.read(f"{fasta}.fai")[0])
    except NotFoundError:
        return compute_fai(storage, fasta)


def compute_fai(storage: Storage, fasta: str) -> dict[str, FaiEntry]:
    """Compute the index of a plain FASTA from its bytes.

    Raises
    ------
    NotFoundError
        There is no FASTA.
    IntegrityError
        It is none that has an index.
    """
    from modos.reference.unindexed import index_fasta

    info = storage.stat(fasta)
    known = storage.url, fasta, info.size, info.etag
    if known not in _computed:
        check_plain(storage, fasta)
        _computed[known] = index_fasta(storage.iter_range(fasta, 0, info.size), f"{storage.url}/{fasta}")
        while len(_computed) > _MAX_COMPUTED:
            _computed.pop(next(iter(_computed)), None)
    return _computed[known]


def is_compressed(fasta: str) -> bool:
    """Return whether a FASTA has the name of a compressed one."""
    return fasta.lower().endswith((".gz", ".bgz"))


def check_plain(storage: Storage, fasta: str) -> None:
    """Refuse a FASTA that is compressed, whatever it is called."""
    if is_compressed(fasta) or storage.read_range(fasta, 0, 2) == b"\x1f\x8b":
        raise InvalidInputError(
            f"{storage.url}/{fasta} is compressed, and its bases cannot be found by position",
            "keep it plain (bgzip -d), or add it to a reference store: modos reference add",
        )


def iter_bases(storage: Storage, fasta: str, entry: FaiEntry, start: int, end: int) -> Iterator[bytes]:
    """Iterate over the bases [start, end) of a sequence in pieces, upper case."""
    for piece in storage.iter_range(fasta, entry.byte_of(start), entry.byte_of(end)):
        yield piece.upper().translate(None, b" \t\r\n")


def cache_sequences(storage: Storage, fasta: str, wanted: Mapping[str, StoredContig], progress: Progress | None = None) -> Path:
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


def _cache(storage: Storage, fasta: str, contig: StoredContig, entry: FaiEntry, progress: Progress | None) -> None:
    source = f"sequence {contig.name} of {fasta} in {storage.url}"
    wanted = Wanted(sequence_path(contig.md5), contig.length, "md5", contig.md5, source, contig.ga4gh)
    try:
        bring(wanted, lambda start: iter_bases(storage, fasta, entry, min(start, entry.length), entry.length), progress)
    except IntegrityError as error:
        raise type(error)(
            f"{error.message}: it is not the one the CRAM was made with", "give the right FASTA (-T, reference_filename)"
        ) from None
