"""Create elements from the headers of an object's files: sequences, samples and assays."""

from __future__ import annotations

import io
import logging
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

from modos.errors import ModosError, NotFoundError
from modos.errors.escaping import is_plain
from modos.formats import format_of, is_array_path, plain_name
from modos.formats.mztab import MzTab, parse_mztab
from modos.genomics import GenomicFile
from modos.genomics.reader import contig_lines, header_lines, translate_text_errors
from modos.genomics.sources import StorageSource
from modos.object.document import Document
from modos.object.references import find_new_sequences
from modos.object.sealed_files import open_files_of
from modos.object.transaction import Transaction
from modos.reference.assembly import StoredContig
from modos.reference.digests import seqcol_digest
from modos.storage import Readable

_MD5 = re.compile("[0-9a-f]{32}")
_MAX_MZTAB = 16 << 20
_MAX_ID = 150  # bytes, so that a number fits behind them

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Sequence:
    """Reference sequence of a header."""

    name: str
    md5: str | None = None
    source: str | None = None
    length: int | None = None


@dataclass
class Header:
    """Content of a header: sequences, samples, and whether samples that are not there may be made."""

    sequences: list[Sequence] = field(default_factory=list)
    samples: list[str] = field(default_factory=list)
    new_samples: bool = False


def enrich(transaction: Transaction, endpoint: str | None = None) -> list[str]:
    """Add and link what the headers of the data files say; returns ids of the files that could not be read.

    CRAM and BAM give reference sequences (@SQ) and the samples of read groups
    (@RG SM) that are in the object; VCF and BCF contigs and samples; mzTab
    samples and an assay; a Zarr tree its kind, axes, shape and modalities, and a
    VCF Zarr contigs and samples. A reference with a FASTA, or one that names an
    assembly of a reference store, gets all of its sequences with their MD5
    and refget digests, and its own. What is there already stays as it is.
    What is encrypted is read with the transaction's key.

    Parameters
    ----------
    endpoint
        The server whose reference store may be asked.
    """
    skipped = []
    for element_id in list(transaction.view.ids()):
        attributes = transaction.view.element(element_id)
        path = attributes.get("data_path")
        format = format_of(plain_name(path)) if path and element_id.startswith("data/") else None
        if path is None or format is None or not (format.streamable or format.name in ("mzTab", "Zarr")) or is_array_path(path):
            continue
        try:
            if format.name == "Zarr":
                _add_tree(transaction, element_id)
            elif format.name == "mzTab":
                _add_mztab(
                    transaction, element_id, _read_mztab(*open_files_of(transaction.storage, attributes, transaction.secret))
                )
            else:
                _add_header(
                    transaction, element_id, read_header(*open_files_of(transaction.storage, attributes, transaction.secret))
                )
        except ModosError as error:
            logger.warning("%s: %s", element_id, error)
            skipped.append(element_id)
    for element_id in list(_ids(transaction.view, "reference")):
        try:
            _add_digests(transaction, element_id, endpoint)
        except ModosError as error:
            logger.warning("%s: %s", element_id, error)
            skipped.append(element_id)
    return skipped


def _add_digests(transaction: Transaction, reference_id: str, endpoint: str | None) -> None:
    view = transaction.view
    metadata = {id: view.element(id) for id in view.ids()}
    contigs = find_new_sequences(transaction.storage, metadata, reference_id, endpoint, transaction.secret)
    if not contigs:
        return
    sequences = find_or_add_contigs(transaction, contigs)
    if not view.element(reference_id).get("seqcol_digest"):
        transaction.update_element(reference_id, {"seqcol_digest": seqcol_digest([vars(contig) for contig in contigs])})
    _link(transaction, reference_id, "has_sequence", sequences)


def find_or_add_contigs(transaction: Transaction, contigs: Iterable[StoredContig]) -> list[str]:
    """Return the ids of the sequences of a reference; those that the object lacks are added."""
    known, sequences = Names(transaction, "sequence"), []
    for contig in contigs:
        sequence_id = _find_or_add_sequence(transaction, known, Sequence(contig.name, contig.md5))
        if not transaction.view.element(sequence_id).get("refget_digest"):
            transaction.update_element(sequence_id, {"refget_digest": contig.ga4gh})
        sequences.append(sequence_id)
    return sequences


def read_header(files: Readable, key: str) -> Header:
    """Read the sequences and samples in the header of a BAM, CRAM, VCF or BCF."""
    file = GenomicFile(StorageSource(files, key))
    return parse_header(file.header, file.name)


def parse_header(header: Any, name: str) -> Header:
    """Parse the sequences and samples in pysam's header of a file; raise IntegrityError, with its name, if that is no text."""
    if hasattr(header, "contigs"):
        contigs = contig_lines(header, name)
        sequences = [
            Sequence(contig, _md5(line.get("md5", "")), length=_length(line.get("length", "")))
            for contig, line in contigs.items()
        ]
        with translate_text_errors(name):
            samples = list(header.samples)
        return Header(sequences, samples, new_samples=True)
    sequences = [
        Sequence(sq["SN"], _md5(sq.get("M5", "")), sq.get("UR"), _length(sq.get("LN", "")))
        for sq in header_lines(header, "SQ", name)
        if sq.get("SN")
    ]
    of_groups = dict.fromkeys(rg["SM"] for rg in header_lines(header, "RG", name) if rg.get("SM"))
    return Header(sequences, list(of_groups))


def _md5(text: str) -> str | None:
    return text.lower() if _MD5.fullmatch(text.lower()) else None


def _length(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 20 else None


class Names:
    """Elements of a group by id and by name.

    An id that was made from a name which an id cannot hold is no name of the
    element: the sample `a/b` has the id `a_b`, and a sample `a_b` is another one.
    """

    def __init__(self, transaction: Transaction, group: str):
        self._group, self._view = group, transaction.view
        self._by_name: dict[str, list[str]] = {}
        for element_id in _ids(transaction.view, group):
            self.add(element_id, transaction.view.element(element_id).get("name"))

    def add(self, element_id: str, name: str | None) -> str:
        """Add an element of the object, to be found by its id and its name; returns its full id."""
        id = element_id.partition("/")[2]
        for key in {name} if name and self._is_made_of(id, name) else {id} if name is None else {id, name}:
            self._by_name.setdefault(key, []).append(element_id)
        return element_id

    def _is_made_of(self, id: str, name: str) -> bool:
        plain = plain_id(name) or self._group
        is_numbered = id.startswith(f"{plain}_") and id[len(plain) + 1 :].isdigit()
        return id != name and (id == plain or (is_numbered and f"{self._group}/{plain}" in self._view))

    def find(self, name: str) -> list[str]:
        """List the ids of the elements that have a name."""
        return self._by_name.get(name, [])


def _add_header(transaction: Transaction, data_id: str, header: Header) -> None:
    references = transaction.view.element(data_id).get("has_reference", ())
    known = Names(transaction, "sequence")
    sequences = [_find_or_add_sequence(transaction, known, sequence) for sequence in header.sequences]
    if len(references) == 1 and references[0] in transaction.view:
        _link(transaction, references[0], "has_sequence", sequences)
    _link(transaction, data_id, "has_sample", _find_or_add_samples(transaction, header))


def _find_or_add_sequence(transaction: Transaction, known: Names, sequence: Sequence) -> str:
    for element_id in known.find(sequence.name):
        md5 = transaction.view.element(element_id).get("sequence_md5")
        if md5 is None and sequence.md5:
            transaction.update_element(element_id, {"sequence_md5": sequence.md5})
        if sequence.md5 in (None, md5) or md5 is None:
            return element_id
    name = f"{sequence.name}_{sequence.md5[:6]}" if sequence.md5 else sequence.name
    attributes = {"id": free_id(transaction.view, "sequence", name), "@type": "ReferenceSequence", "name": sequence.name}
    if sequence.md5:
        attributes["sequence_md5"] = sequence.md5
    if sequence.source and re.match(r"(https?|ftp)://", sequence.source):
        attributes["source_uri"] = sequence.source
    return known.add(transaction.add_element(attributes), sequence.name)


def _find_or_add_samples(transaction: Transaction, header: Header) -> list[str]:
    known = Names(transaction, "sample")
    samples = []
    for name in header.samples:
        found = known.find(name)
        if found:
            samples.append(found[0])
        elif header.new_samples:
            samples.append(known.add(_add_sample(transaction, {"name": name}, name), name))
    return samples


def _add_sample(transaction: Transaction, attributes: dict[str, Any], name: str) -> str:
    return transaction.add_element({"id": free_id(transaction.view, "sample", name), "@type": "Sample"} | attributes)


def _add_mztab(transaction: Transaction, data_id: str, table: MzTab) -> None:
    known = Names(transaction, "sample")
    samples = []
    for sample in table.samples:
        name = sample.name or f"sample_{sample.number}"
        attributes: dict[str, Any] = {"name": name}
        if sample.description:
            attributes["description"] = sample.description
        if sample.species:
            attributes["taxon_id"] = sample.species
        if sample.cell_types:
            attributes["cell_type"] = sample.cell_types[0]
        if sample.tissues:
            attributes["source_material"] = sample.tissues[0]
        found = known.find(name)
        samples.append(found[0] if found else known.add(_add_sample(transaction, attributes, name), name))
    _link(transaction, data_id, "has_sample", samples)
    parents = [i for i in _ids(transaction.view, "assay") if data_id in transaction.view.element(i).get("has_data", ())]
    if not parents:
        omics = "METABOLOMICS" if table.is_metabolomics else "PROTEOMICS"
        name = free_id(transaction.view, "assay", data_id.partition("/")[2])
        attributes = {"id": name, "@type": "Assay", "omics_type": [omics], "has_data": [data_id], "has_sample": samples}
        attributes |= {"name": table.title} if table.title else {}
        attributes |= {"description": table.description} if table.description else {}
        transaction.add_element(attributes)


def _add_tree(transaction: Transaction, data_id: str) -> None:
    from modos.object.tree_encryption import open_tree_files
    from modos.trees.tree_description import describe_tree
    from modos.trees.tree_opening import read_texts
    from modos.trees.tree_store import TreeStore

    attributes = transaction.view.element(data_id)
    store = TreeStore(open_tree_files(transaction.storage, attributes, transaction.secret))
    told = describe_tree(store.metadata)
    if any(attributes.get(slot) != value for slot, value in told.items()):
        transaction.update_element(data_id, told)
    if told.get("zarr_kind") == "VCF-Zarr":
        contigs, samples = read_texts(store, "contig_id"), read_texts(store, "sample_id")
        _add_header(transaction, data_id, Header([Sequence(name) for name in contigs], samples, new_samples=True))


def _read_mztab(files: Readable, key: str) -> MzTab:
    size = files.stat(key).size
    text = files.read_part(key, 0, min(size, _MAX_MZTAB))[0].decode("utf-8", errors="replace")
    return parse_mztab(io.StringIO(text))


def _link(transaction: Transaction, parent: str, slot: str, children: list[str]) -> None:
    present = transaction.view.element(parent).get(slot, [])
    missing = [child for child in dict.fromkeys(children) if child not in present]
    if missing:
        transaction.update_element(parent, {slot: [*present, *missing]})


def _ids(document: Document, group: str) -> Iterator[str]:
    return (element_id for element_id in document.ids() if element_id.startswith(f"{group}/"))


def plain_id(name: str) -> str:
    """Turn a name into an id: what that cannot hold becomes `_`, and it begins with neither dot nor `_`."""
    plain = "".join(letter if is_plain(letter) and letter not in "/\\" else "_" for letter in name).strip().lstrip("._")
    return plain.encode(errors="ignore")[:_MAX_ID].decode(errors="ignore")


def free_id(document: Document, group: str, name: str) -> str:
    """Make an id for a name from a file: what an id cannot hold becomes `_`, and a number makes it new."""
    plain = plain_id(name) or group
    candidates = chain([plain], (f"{plain}_{number}" for number in range(2, 100_000)))
    found = next((candidate for candidate in candidates if f"{group}/{candidate}" not in document.nodes), None)
    if found is None:
        raise NotFoundError(f"no free id for {name} in {group}")
    return found
