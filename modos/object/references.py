"""Open the references of an object, from its own FASTA or from a reference store."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from modos.errors import ConflictError, IntegrityError, InvalidInputError, ModosError, NotFoundError, did_you_mean, listing
from modos.formats import Metadata, format_of, is_array_path, is_compressed, is_encrypted, name_of, plain_name
from modos.genomics import GenomicFile
from modos.genomics.reader import header_lines
from modos.genomics.sources import StorageSource
from modos.object.cram_references import read_digests
from modos.object.part_lists import verified_files
from modos.object.sealed_files import open_files_of
from modos.reference.assembly import StoredContig
from modos.reference.fai import format_fai
from modos.reference.fasta_assembly import digest_fasta, open_fasta
from modos.reference.locate import open_reference, read_assembly, read_contigs
from modos.reference.reference import Reference
from modos.reference.sequences import Files, compute_fai
from modos.storage import Storage
from modos.storage.part_digests import root_of

if TYPE_CHECKING:
    from modos.encryption.keys import SecretKey

logger = logging.getLogger(__name__)

_MD5 = re.compile("[0-9a-f]{32}")
_SHOWN = 5  # contigs that a message names


def reference_of_object(
    storage: Storage, metadata: Metadata, name: str | None, endpoint: str | None = None, secret: SecretKey | None = None
) -> Reference:
    """Open a reference of an object, or of the user's store, to ask for its bases.

    Parameters
    ----------
    name
        The id or name of a ReferenceGenome, or the assembly that it names;
        else of an assembly in the store. The object's only one, where it is
        None.
    secret
        The key to decrypt its FASTA with, as it is read.

    Raises
    ------
    NotFoundError
        Neither the object nor the store has it.
    AccessError
        Its FASTA is encrypted, and there is no key.
    ConflictError
        The store has another assembly of that name than the object names.
    """
    known = {id: attributes for id, attributes in metadata.items() if id.startswith("reference/")}
    if name is None and len(known) != 1:
        raise NotFoundError(
            f"{storage.url} has {f'the references {listing(known)}' if known else 'no reference'}",
            "say which one is meant" if known else "name an assembly of the reference store",
        )
    found = next(
        (id for id, a in known.items() if name in (None, id, id.partition("/")[2], a.get("name"), a.get("assembly"))), None
    )
    if found is None:
        assert name is not None
        try:
            return open_reference(name, endpoint=endpoint)
        except NotFoundError as error:
            near = did_you_mean(name, known)
            raise NotFoundError(
                f"{storage.url} has no reference {name}, and {error.message}", f"did you mean {near}?" if near else error.hint
            ) from None
    attributes = known[found]
    if attributes.get("assembly"):
        return open_reference(attributes["assembly"], endpoint=endpoint, seqcol=attributes.get("seqcol_digest"))
    files, fasta = _open_fasta_of(storage, found, attributes, secret)
    own = found.partition("/")[2]
    reference = open_fasta(files, fasta, own, read_digests(metadata, attributes))
    if reference.assembly.seqcol == attributes.get("seqcol_digest"):
        return reference
    return open_fasta(files, fasta, own)  # those digests are not of this FASTA, but of one that it has replaced


def _open_fasta_of(storage: Storage, id: str, attributes: Mapping[str, Any], secret: SecretKey | None) -> tuple[Files, str]:
    """Return what the FASTA of a reference is read from, decrypted where it is encrypted, and its key there."""
    path: str | None = attributes.get("data_path")
    if not path or is_array_path(path):
        raise NotFoundError(
            f"{id} of {storage.url} has no FASTA, and names no assembly of a reference store",
            "give it one: modos update, with `assembly` or `data_path`",
        )
    format = format_of(plain_name(path))
    if format and format.name == "TwoBit":
        raise InvalidInputError(
            f"{storage.url}/{name_of(path)} is 2bit, and bases in an object are read from FASTA",
            "give it as FASTA, or bring it into a reference store (`modos reference add`) and name its `assembly`",
        )
    return open_files_of(storage, attributes, secret)


def find_new_sequences(
    storage: Storage, metadata: Metadata, id: str, endpoint: str | None = None, secret: SecretKey | None = None
) -> tuple[StoredContig, ...]:
    """Find the sequences of a reference: as its store has them, or as its FASTA does; none if it has neither.

    A FASTA is read only where its sequences are not known yet; an encrypted
    one with the key that is given.
    """
    attributes = metadata[id]
    path = attributes.get("data_path")
    if attributes.get("assembly"):
        return read_contigs(attributes, endpoint)
    if not path or is_array_path(path) or is_compressed(plain_name(path)) or attributes.get("seqcol_digest"):
        return ()
    format = format_of(plain_name(path))
    if format and format.name == "TwoBit":
        return ()
    if not storage.exists(path):
        return ()
    return digest_fasta(*open_files_of(storage, attributes, secret))


def index_references(storage: Storage, metadata: Metadata) -> dict[str, str]:
    """Write the .fai of each plain FASTA that has none; where that cannot be, a warning says why.

    Returns
    -------
    dict
        Roots of the digests of those that were written, by their elements.
    """
    written: dict[str, str] = {}
    for id, attributes in metadata.items():
        path = attributes.get("data_path")
        if not id.startswith("reference/") or not path or is_array_path(path) or is_encrypted(path) or is_compressed(path):
            continue
        format = format_of(path)
        if format is None or format.name != "FASTA" or not storage.exists(path) or storage.exists(f"{path}.fai"):
            continue
        try:
            content = format_fai(compute_fai(verified_files(storage, {id: attributes}), path))
            storage.write(f"{path}.fai", content, if_absent=True)
            written[id] = root_of(content)
        except ConflictError:  # somebody else has just written it
            continue
        except (IntegrityError, InvalidInputError) as error:
            logger.warning("%s has no index: %s", id, error)
    return written


def iter_mismatches(storage: Storage, metadata: Metadata, endpoint: str | None = None) -> Iterator[tuple[str, str, bool]]:
    """Find alignments whose contigs are not those of their reference: id, what is wrong, and whether it is certain.

    The M5 tags of the header are compared, contig by contig; no record is
    decoded.
    """
    for id, attributes in metadata.items():
        path = attributes.get("data_path")
        links = [link for link in attributes.get("has_reference", ()) if link in metadata]
        format = format_of(path) if path else None
        if not links or path is None or format is None or format.name not in ("CRAM", "BAM") or not storage.exists(path):
            continue
        for link in links:
            try:
                known = _known_md5s(metadata, metadata[link], endpoint)
                wrong = _find_differing(storage, path, known) if known else []
            except ModosError as error:
                yield id, f"cannot be compared with {link}: {error.message}", False
                continue
            if wrong:
                more = f" and {len(wrong) - _SHOWN:,} more" if len(wrong) > _SHOWN else ""
                yield id, f"{path} was made with other sequences than {link}: {', '.join(wrong[:_SHOWN])}{more}", True


def _known_md5s(metadata: Metadata, reference: Mapping[str, Any], endpoint: str | None) -> dict[str, set[str]]:
    if reference.get("assembly"):
        return {name: {contig.md5} for name, contig in read_assembly(reference, endpoint=endpoint).by_name.items()}
    found: dict[str, set[str]] = {}
    for link in reference.get("has_sequence", ()):
        sequence = metadata.get(link, {})
        if sequence.get("name") and sequence.get("refget_digest") and sequence.get("sequence_md5"):
            found.setdefault(sequence["name"], set()).add(sequence["sequence_md5"])
    return found


def _find_differing(storage: Storage, path: str, known: Mapping[str, set[str]]) -> list[str]:
    lines = header_lines(GenomicFile(StorageSource(storage, path)).header, "SQ", path)
    return [
        f"{line['SN']} (M5 {line['M5']}, not {' or '.join(sorted(known[line['SN']]))})"
        if line["SN"] in known
        else f"{line['SN']} (unknown)"
        for line in lines
        if "SN" in line and _MD5.fullmatch(line.get("M5", "")) and line["M5"] not in known.get(line["SN"], ())
    ]
