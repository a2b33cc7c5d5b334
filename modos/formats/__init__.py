"""The file formats that modos knows, and plain readers for some of them.

A format is recognised by the end of a file's name. `FORMATS` has, for each,
its EDAM term, the endings, the endings of its index, the class of records it
holds and the marker that a complete file ends with.

In: names of files, and text, FASTA, 2bit, mzTab and assembly reports to be read. Out:
a `FileFormat`, names of indexes and versions, and plain values. The formats of
genomic records are only named here: `modos.genomics` reads them.

It imports storages and errors; it knows no network and no object.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any, Literal

from modos.errors import InvalidInputError, listing

ZARR = "data.zarr"  # the group tree of an object
ROOT_KEYS = (f"{ZARR}/zarr.json", f"{ZARR}/.zmetadata")  # what has one of them is an object: of Zarr v3, or of v2

RecordKind = Literal["reads", "variants"]
Metadata = Mapping[str, Mapping[str, Any]]  # of an object: the attributes of its elements, by their ids

# SAMv1 section 4.1.2: the empty BGZF block that ends a file.
BGZF_EOF = bytes.fromhex("1f8b08040000000000ff0600424302001b0003000000000000000000")
# CRAMv3 section 9: the EOF containers of version 3 and of version 2.1.
CRAM3_EOF = bytes.fromhex("0f000000ffffffff0fe0454f4600000000010005bdd94f0001000606010001000100ee63014b")
CRAM2_EOF = bytes.fromhex("0b000000ffffffff0fe0454f460000000001000001000606010001000100")


def cram_eof_forms(marker: bytes) -> tuple[bytes, bytes]:
    """Return a CRAM EOF container in both forms in use: writers differ in four unused bits of byte 8 (ITF8 of -1)."""
    return marker, marker[:8] + b"\xff" + marker[9:]


@dataclass(frozen=True)
class FileFormat:
    """A file format: its name in the schema and what it takes to handle it."""

    name: str
    edam: str | None
    suffixes: tuple[str, ...]
    kind: RecordKind | None = None
    index_suffixes: tuple[str, ...] = ()
    eof_markers: tuple[bytes, ...] = ()

    @property
    def streamable(self) -> bool:
        """Return whether regions of it can be streamed."""
        return self.kind is not None


FORMATS: dict[str, FileFormat] = {
    format.name: format
    for format in (
        FileFormat(
            "CRAM", "EDAM:format_3462", (".cram",), "reads", (".crai",), (*cram_eof_forms(CRAM3_EOF), *cram_eof_forms(CRAM2_EOF))
        ),
        FileFormat("BAM", "EDAM:format_2572", (".bam",), "reads", (".bai", ".csi"), (BGZF_EOF,)),
        FileFormat("VCF", "EDAM:format_3016", (".vcf.gz", ".vcf.bgz"), "variants", (".tbi", ".csi"), (BGZF_EOF,)),
        FileFormat("BCF", "EDAM:format_3020", (".bcf",), "variants", (".csi",), (BGZF_EOF,)),
        FileFormat(
            "FASTA",
            "EDAM:format_1929",
            (".fa", ".fasta", ".fna", ".fa.gz", ".fasta.gz", ".fna.gz"),
            index_suffixes=(".fai", ".gzi"),
        ),
        FileFormat("FASTQ", "EDAM:format_1930", (".fastq", ".fq", ".fastq.gz", ".fq.gz"), index_suffixes=(".fai", ".gzi")),
        FileFormat("BED", "EDAM:format_3003", (".bed", ".bed.gz"), index_suffixes=(".tbi", ".csi")),
        FileFormat("GFF3", "EDAM:format_1975", (".gff3", ".gff3.gz", ".gff", ".gff.gz"), index_suffixes=(".tbi", ".csi")),
        FileFormat("TwoBit", "EDAM:format_3009", (".2bit",)),
        FileFormat("Zarr", "EDAM:format_3915", (".zarr",)),
        FileFormat("HDF5", "EDAM:format_3590", (".h5ad", ".h5mu", ".h5", ".hdf5")),
        FileFormat("Loom", "EDAM:format_3913", (".loom",)),
        FileFormat("mzML", "EDAM:format_3244", (".mzml", ".mzml.gz")),
        FileFormat("mzTab", "EDAM:format_3681", (".mztab",)),
        FileFormat("OME-TIFF", "EDAM:format_3727", (".ome.tif", ".ome.tiff")),
        FileFormat("Parquet", None, (".parquet",)),
        FileFormat("TSV", "EDAM:format_3475", (".tsv", ".tsv.gz"), index_suffixes=(".tbi", ".csi")),
        FileFormat("JSON", "EDAM:format_3464", (".json",)),
    )
}

ENCRYPTED_SUFFIX = ".c4gh"
TREE_SUFFIX = ".zarr"
CUTS_SUFFIX = ".cuts"  # of what a server without the key finds regions of an encrypted file by
PARTS_SUFFIX = ".parts"  # of the list of digests beside a file
FILES_SUFFIX = ".files"  # of the list of the names of the files of a tree, beside it
SHARDS_LIST = "parts"  # name of the list of digests in the folder of an array, where no chunk has it
STORED_KEY_HEADER = "Modos-Stored-Key"  # of requests that mean the file at a key, and no other of its name
_HEADER_MARK = 16  # digits of the digest of a header in its name
_BESIDE_TREE = re.compile(rf"\.zarr(?:\.c4gh)?\.(?:files|header-[0-9a-f]{{{_HEADER_MARK}}})\Z", re.IGNORECASE)
_VERSION = re.compile(r"(?<=[^/])~([2-9]|[1-9][0-9]+)\Z")
INDEX_SUFFIXES = tuple(sorted({suffix for format in FORMATS.values() for suffix in format.index_suffixes}))


def format_of(path: str | PurePath) -> FileFormat | None:
    """Return the format that a file's name says, or None.

    The longest ending counts, so `a.vcf.gz` is VCF.
    """
    name = str(path).lower().rstrip("/").rpartition("/")[2]
    known = [(len(s), f) for f in FORMATS.values() for s in f.suffixes if name.endswith(s) and len(name) > len(s)]
    return max(known, key=lambda pair: pair[0])[1] if known else None


def find_mismatch(path: str | PurePath, name: str) -> tuple[FileFormat, FileFormat] | None:
    """Return the formats that a file and another name for it say, if both are known and differ."""
    one, other = format_of(plain_name(path)), format_of(plain_name(name))
    return (one, other) if one and other and one != other else None


def streamable_format(path: str | PurePath) -> FileFormat:
    """Return the format of a file whose records can be streamed.

    Raises
    ------
    InvalidInputError
        For any other file; the message names the formats that can be.
    """
    format = format_of(path)
    if format is None or not format.streamable:
        endings = listing(s for f in FORMATS.values() if f.streamable for s in f.suffixes)
        raise InvalidInputError(
            f"{PurePath(path).name} is not a file whose records can be streamed",
            f"these can: {endings}",
        )
    return format


def stem_of(path: str | PurePath) -> str:
    """Return the path without its format's ending: `ex/a.sorted.vcf.gz` -> `ex/a.sorted`."""
    text = str(path).rstrip("/")
    format = format_of(text)
    if format is None:
        return str(path)
    suffix = max((s for s in format.suffixes if text.lower().endswith(s)), key=len)
    return text[: -len(suffix)]


def index_names(path: str | PurePath) -> list[str]:
    """List the names of a file's index, best first: `a.bam.bai`, `a.bam.csi`, `a.bai`; encrypted as the file is."""
    text = str(path)
    if is_encrypted(text):
        return [name + ENCRYPTED_SUFFIX for name in index_names(plain_name(text))]
    format = format_of(text)
    if format is None:
        return []
    beside = [text + suffix for suffix in format.index_suffixes]
    if format.kind == "reads":
        beside += [stem_of(text) + suffix for suffix in format.index_suffixes]
    return beside


def parts_name(path: str) -> str:
    """Return the name of the list of digests of a file's parts: `a.cram` -> `a.cram.parts`."""
    return path + PARTS_SUFFIX


def files_name(path: str) -> str:
    """Return the name of the list of the files of a tree: `a.zarr` -> `a.zarr.files`."""
    return path + FILES_SUFFIX


def tree_name(place: str) -> str:
    """Return the name of a tree at a place: `run1/counts.zarr.zip` -> `counts.zarr`, `s3://b/counts` -> `counts.zarr`."""
    last = place.rstrip("/").rpartition("/")[2]
    last = last[: -len(".zip")] if last.lower().endswith(".zip") else last
    return last if last.lower().endswith(TREE_SUFFIX) else last + TREE_SUFFIX


def header_key(attributes: Mapping[str, Any]) -> str:
    """Return the key of the header of an element's encrypted data: its file, or a file beside its tree that has its digest."""
    path, digests = attributes["data_path"], read_roots(attributes, "header_digests")
    return f"{path}.header-{digests[0][:_HEADER_MARK]}" if is_tree_path(path) and digests else str(path)


def names_beside_tree(attributes: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the keys of what lies beside an element's tree: its lists, and the header of an encrypted one."""
    path = attributes["data_path"]
    lists = files_name(path), parts_name(path)
    return (*lists, header_key(attributes)) if is_encrypted(path) else lists


def is_list(key: str) -> bool:
    """Return whether a name is that of a list of digests, or of what lies beside a tree."""
    return key.endswith(PARTS_SUFFIX) or _BESIDE_TREE.search(key) is not None


def read_roots(attributes: Mapping[str, Any], slot: str) -> tuple[str, ...]:
    """Read the root of an element's file (`data_digest`), or those of its indexes (`index_digests`)."""
    roots = attributes.get(slot) or ()
    return (roots,) if isinstance(roots, str) else tuple(roots)


def cuts_name(path: str) -> str:
    """Return the name of what a server without the key finds regions by: `a.bam.c4gh` -> `a.bam.cuts.c4gh`."""
    return plain_name(path) + CUTS_SUFFIX + ENCRYPTED_SUFFIX


def companion_names(path: str) -> list[str]:
    """List the names of what may lie beside a file and goes where it goes: its indexes, its lists, and its cuts."""
    format = format_of(plain_name(path)) if is_encrypted(path) else None
    lists = [parts_name(path), *([files_name(path)] if is_tree_path(path) else [])]
    return [*index_names(path), *lists, *([cuts_name(path)] if format and format.streamable else [])]


def is_encrypted(path: str | PurePath) -> bool:
    """Return whether a file's name says that it is encrypted with Crypt4GH."""
    return str(path).endswith(ENCRYPTED_SUFFIX)


def plain_name(path: str | PurePath) -> str:
    """Return a file's name without the ending of an encrypted file: `a.cram.c4gh` -> `a.cram`."""
    return str(path).removesuffix(ENCRYPTED_SUFFIX)


def name_of(key: str) -> str:
    """Return the name that users call a file by: its key without version mark and without the ending of an encrypted one.

    `reads/a~3.cram.c4gh` -> `reads/a.cram`; an index is called as beside its
    file: `a~3.cram.crai` -> `a.cram.crai`.
    """
    if "~" not in key:
        return plain_name(key)
    stem, endings = _parts_of(plain_name(key))
    return _VERSION.sub("", stem) + endings


def version_of(key: str) -> int:
    """Return the number of the version of a file: `a.cram` is the first, `a~3.cram` the third."""
    found = _VERSION.search(_parts_of(plain_name(key))[0])
    return int(found[1]) if found else 1


def key_of(name: str, version: int) -> str:
    """Return the key of a version of a file: `a.cram` and 3 -> `a~3.cram`; `a.cram.c4gh` stays encrypted."""
    plain = plain_name(name)
    stem, endings = _parts_of(plain)
    return f"{stem}~{version}{endings}{name[len(plain) :]}" if version > 1 else name


def find_keys(known: Iterable[str], path: str) -> list[str]:
    """Find the keys that a path may mean: that very key, else those of files with that name.

    An encrypted file is also found with the ending of one.
    """
    known = set(known)
    for key in (path, path + ENCRYPTED_SUFFIX):
        if key in known:
            return [key]
    return sorted(key for key in known if name_of(key) == plain_name(path) and (path == plain_name(path) or is_encrypted(key)))


def _parts_of(plain: str) -> tuple[str, str]:
    """Split a path into the part before a version mark, and its endings: those of format and index, or the last one."""
    name = PurePath(plain).name.lower()
    index = next((suffix for suffix in INDEX_SUFFIXES if name.endswith(suffix) and name != suffix), "")
    body = plain[: len(plain) - len(index)]
    stem = stem_of(body)
    if stem == body and not index:
        stem = body[: len(body) - len(PurePath(body).suffix)]
    return stem, plain[len(stem) :]


def is_array_path(data_path: str) -> bool:
    """Return whether an element's data_path says that its data are arrays of the object."""
    return data_path == ZARR or data_path.startswith(f"{ZARR}/")


def is_tree_path(data_path: str) -> bool:
    """Return whether an element's data_path says that its data are a Zarr tree: a folder of the object."""
    format = format_of(plain_name(data_path))
    return format is not None and format.name == "Zarr" and not is_array_path(data_path)


def is_file_path(data_path: str) -> bool:
    """Return whether an element's data_path says that its data are one file."""
    return not is_array_path(data_path) and not is_tree_path(data_path)


def object_of(root_key: str) -> str:
    """Return the folder of the object that a root key is of: `lab/ex/data.zarr/zarr.json` -> `lab/ex`."""
    return root_key.rpartition(f"{ZARR}/")[0].rstrip("/")


def is_index(path: str | PurePath) -> bool:
    """Return whether a file's name says that it is an index."""
    return plain_name(PurePath(path).name).lower().endswith(INDEX_SUFFIXES)


def is_compressed(fasta: str) -> bool:
    """Return whether a FASTA has the name of a compressed one."""
    return fasta.lower().endswith((".gz", ".bgz"))
