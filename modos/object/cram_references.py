"""Find the FASTA that a CRAM of an object is decoded with, plain or encrypted."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from modos.errors import AccessError, NotFoundError, make_locked_error
from modos.formats import Metadata, format_of, is_compressed, is_encrypted, name_of, plain_name
from modos.genomics import GenomicFile
from modos.genomics.planning import Planner
from modos.genomics.region import RegionLike, settle
from modos.genomics.sources import StorageSource
from modos.object.part_lists import verified_files
from modos.object.sealed_files import OpensSealed, SealedFiles
from modos.storage import Storage
from modos.storage.base import Progress

if TYPE_CHECKING:
    from modos.reference.assembly import StoredContig
    from modos.reference.digests import Digests

_MD5 = re.compile("[0-9a-f]{32}")


def list_references(metadata: Metadata, key: str) -> list[Mapping[str, Any]]:
    """List the references of a data file."""
    links = [link for a in metadata.values() if a.get("data_path") == key for link in a.get("has_reference", ())]
    return [metadata[link] for link in links if link in metadata]


def find_reference(
    storage: Storage,
    planner: Planner,
    metadata: Metadata,
    key: str,
    reference_filename: str | Path | None,
    regions: Iterable[RegionLike] | None = None,
    endpoint: str | None = None,
    progress: Progress | None = None,
    opened: SealedFiles | None = None,
) -> str | None:
    """Find the FASTA to decode a CRAM with; None if htslib finds what it needs itself.

    The sequences of the contigs that are wanted are put where htslib looks
    for them: out of the FASTA of a remote object, or one that has no index
    (htslib would write one into the object), or, where the object has none,
    out of the cache or the user's reference store, which may be the
    endpoint's. Those of an encrypted FASTA are in memory alone.

    Parameters
    ----------
    opened
        The encrypted files of the object, where there is a key.

    Raises
    ------
    AccessError
        The object's FASTA is encrypted, there is no key, and the sequences are nowhere else.
    IntegrityError
        The object's FASTA is not the one the CRAM was made with.
    """
    if reference_filename is not None:
        return str(reference_filename)
    format = format_of(plain_name(key))
    if format is None or format.name != "CRAM":
        return None
    locked: list[str] = []
    for reference in list_references(metadata, key):
        fasta = reference.get("data_path")
        if not fasta or not _may_be_fasta(fasta) or not _is_there(storage, fasta):
            continue
        sealed = opened if is_encrypted(fasta) else _find_sealed(storage, fasta)
        if sealed is not None:
            wanted, spans = _find_contigs(planner, key, regions)
            in_memory = sealed.open_fasta(plain_name(fasta), read_digests(metadata, reference), reference.get("seqcol_digest"))
            return str(in_memory.bring(wanted, spans, progress)) if wanted else None
        if is_encrypted(fasta):
            locked.append(fasta)
            continue
        from modos.reference.sequences import cache_sequences
        from modos.reference.whole_files import fasta_here

        files = verified_files(storage, metadata)
        local = storage.local_path(fasta)
        if local is not None and (is_compressed(fasta) or storage.exists(f"{fasta}.fai")):
            return str(fasta_here(files, fasta))
        if is_compressed(fasta):
            continue
        wanted = _find_wanted_sequences(planner, key, regions)
        if local is not None and not wanted:
            return str(fasta_here(files, fasta))
        from modos.reference.cache import search_in

        search_in(cache_sequences(files, fasta, wanted, progress))
        return None
    from modos.reference.cache import htslib_has
    from modos.reference.locate import provide

    wanted = _find_wanted_sequences(planner, key, regions)
    provide(wanted.values(), endpoint, progress)
    if locked and not all(htslib_has(contig.md5) for contig in wanted.values()):
        raise make_locked_error(f"{storage.url}/{name_of(locked[0])}")
    return None


def _find_sealed(storage: Storage, fasta: str) -> SealedFiles | None:
    """Return what a FASTA is decrypted by where a storage does that as it is read."""
    return storage.sealed_files if storage.is_decrypted(fasta) and isinstance(storage, OpensSealed) else None


def _is_there(storage: Storage, path: str) -> bool:
    """Return whether a file is there to be read: somebody may have parts of reads, which need no reference, and not of this."""
    try:
        return storage.exists(path)
    except AccessError:
        return False


def _may_be_fasta(path: str) -> bool:
    format = format_of(plain_name(path))
    return format is None or format.name == "FASTA"


def read_digests(metadata: Metadata, reference: Mapping[str, Any]) -> dict[str, Digests]:
    """Read what is recorded of the sequences of a reference, by name; perhaps of a FASTA that was replaced since."""
    from modos.reference.digests import Digests

    sequences = [metadata[link] for link in reference.get("has_sequence", ()) if link in metadata]
    return {
        s["name"]: Digests(s["sequence_md5"], s["refget_digest"])
        for s in sequences
        if s.get("name") and s.get("sequence_md5") and s.get("refget_digest")
    }


def _find_wanted_sequences(planner: Planner, key: str, regions: Iterable[RegionLike] | None) -> dict[str, StoredContig]:
    """Find the contigs that a CRAM is decoded with, and that its header has an MD5 for."""
    return {name: contig for name, contig in _find_contigs(planner, key, regions)[0].items() if _MD5.fullmatch(contig.md5)}


def _find_contigs(
    planner: Planner, key: str, regions: Iterable[RegionLike] | None
) -> tuple[dict[str, StoredContig], dict[str, tuple[int, int]]]:
    """Find the contigs that a CRAM is decoded with, for regions or all of it, and the spans of them where they are known.

    A container may have reads of other contigs, too, and is decoded as a
    whole. The MD5 of a contig is empty where the header has none.
    """
    from modos.genomics.reader import header_lines
    from modos.reference.assembly import StoredContig

    file = GenomicFile(StorageSource(planner.storage, plain_name(key), planner))
    try:
        lengths = {region.contig: region.limit for region in file.whole_contigs()}
    except AccessError:  # a server gives parts of it, which need no reference
        return {}, {}
    md5s = {line["SN"]: line.get("M5", "") for line in header_lines(file.header, "SQ", file.name) if "SN" in line}
    spans: dict[str, tuple[int, int]] = {}
    if regions is not None:
        regions = list(regions)
        with suppress(NotFoundError):  # it has no index, and a server may have
            spans = planner.reference_spans(plain_name(key), regions)
    names = set(md5s) if regions is None else {region.contig for region in settle(regions, list(md5s))} | spans.keys()
    return {name: StoredContig(name, lengths[name], md5s[name], "") for name in names if name in lengths and name in md5s}, spans
