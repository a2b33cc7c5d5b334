"""The layout of BAM, BCF and VCF records in decompressed bytes.

A record says where it ends and begins with its contig and position (SAMv1
section 4.2, VCFv4.3 sections 1.6 and 6.3), so that it can be found, placed and
passed on without being decoded. How far a variant reaches is what bcftools
1.24 takes: in a BCF the length that the record carries; in a VCF the furthest
of REF, INFO/END, INFO/SVLEN of symbolic deletions, duplications, inversions and
copy numbers, and FORMAT/LEN of reference blocks (VCFv4.5 section 1.6.1), each
only where the header declares it as Integer.
"""

from __future__ import annotations

import re
import struct
from abc import ABC, abstractmethod
from typing import NoReturn

from modos.errors import IntegrityError
from modos.formats import FileFormat
from modos.genomics.index.file_header import header_fields
from modos.genomics.index.opening import Opening
from modos.genomics.index.vcf_header import header_text
from modos.genomics.region import UNMAPPED

Contig = int | str  # what records have: its number in the header, or in a VCF its name

MAX_RECORD = 1 << 28  # bytes

_BAM_FIXED, _BCF_FIXED = 36, 32  # bytes of a record whose place in it is fixed
_NO_TARGET = 0xFFFFFFFF  # the contig of a read without a position: the last in the file
_CONSUMES_REFERENCE = 0b110001101  # M, D, N, =, X: a bit for each operation
_NEWLINE = re.compile(b"\n")
_AFTER_NEWLINE = re.compile(rb"\n[#\r\n]")
_NO_RECORD = re.compile(rb"^(?:#[^\n]*|\r?)\n", re.MULTILINE)
_NO_LINE = re.compile(rb"^(?:#(?![^\t\n]*\t[0-9]+\t)[^\n]*|\r?)\n", re.MULTILINE)
_DECLARATION = re.compile(rb"^##(INFO|FORMAT)=<([^\n]*ID=(?:END|SVLEN|LEN)\b[^\n]*)", re.MULTILINE)
_END = re.compile(rb"(?:^|;)END=([+-]?\d+)(?![^;]*,)")  # one number: of several none counts, of what follows it nothing
_SVLEN = re.compile(rb"(?:^|;)SVLEN=([^;]*)")
_SPANNING = re.compile(rb"<(?:DEL|DUP|CNV|INV)[:>]")  # alleles whose SVLEN lies on the reference
_BLOCK = re.compile(rb"(?:^|,)<(?:\*|NON_REF)>")  # alleles of a block without variants
_NUMBER = re.compile(rb"[+-]?\d+")

_length = struct.Struct("<I").unpack_from
_lengths = struct.Struct("<II").unpack_from
_bam_place = struct.Struct("<4xIi").unpack_from  # contig, position
_bam_cigar = struct.Struct("<8xiB3xHH").unpack_from  # position, bytes of the name, operations, flag
_bcf_place = struct.Struct("<8xIi").unpack_from
_bcf_span = struct.Struct("<12xii").unpack_from  # position, bases of the reference


class Layout(ABC):
    """The records of one file, by where they start in some of its bytes."""

    @abstractmethod
    def starts(self, data: bytes) -> list[int]:
        """Find where the whole records start, and where the last one ends."""

    def clean(self, data: bytes, *, whole: bool = False) -> bytes:
        """Remove data between records that belongs to none.

        Parameters
        ----------
        whole
            Whether all records of the file are wanted: a record that begins
            with `#` is one then for htslib, which regions leave out.
        """
        return data

    @abstractmethod
    def place(self, data: bytes, at: int) -> tuple[Contig, int]:
        """Return the contig of a record, as the format stores it, and its position, 0-based."""

    @abstractmethod
    def end(self, data: bytes, at: int) -> int:
        """Return the base after the last one that the record reaches, 0-based."""

    @abstractmethod
    def contig(self, name: str) -> Contig:
        """Return how records store a contig; one that the header leaves out has no records where they store its number."""

    def is_unplaced(self, contig: Contig) -> bool:
        """Return whether it stands for the reads without a position."""
        return contig == _NO_TARGET


def layout_of(format: FileFormat, opening: Opening) -> Layout:
    """Return the layout of a BAM, BCF or VCF whose header was read."""
    if format.name == "VCF":
        return _Vcf(header_text(opening, format))
    return (_Bam if format.name == "BAM" else _Bcf)(opening.header.target_ids)


class _Numbered(Layout):
    """Records that name their contig by its number in the header."""

    def __init__(self, target_ids: dict[str, int]):
        self._target_ids = target_ids

    def contig(self, name: str) -> int:
        return _NO_TARGET if name == UNMAPPED else self._target_ids.get(name, _NO_TARGET - 1)


class _Bam(_Numbered):
    def starts(self, data: bytes) -> list[int]:
        at, limit = 0, len(data) - _BAM_FIXED
        starts: list[int] = []
        add, length = starts.append, _length
        while at <= limit:
            add(at)
            at += length(data, at)[0] + 4
        return _drop_cut(starts, at, data)

    def place(self, data: bytes, at: int) -> tuple[int, int]:
        return _bam_place(data, at)

    def end(self, data: bytes, at: int) -> int:
        """Return the end of a read; one that takes no base of the reference counts as one (htslib, bam_endpos)."""
        position: int
        position, name, operations, flag = _bam_cigar(data, at)
        if flag & 4 or not operations:
            return position + 1
        cigar = _length(data, at + 36 + name) if operations == 1 else struct.unpack_from(f"<{operations}I", data, at + 36 + name)
        return position + (sum([op >> 4 for op in cigar if _CONSUMES_REFERENCE >> (op & 15) & 1]) or 1)


class _Bcf(_Numbered):
    def starts(self, data: bytes) -> list[int]:
        at, limit = 0, len(data) - _BCF_FIXED
        starts: list[int] = []
        add, lengths = starts.append, _lengths
        while at <= limit:
            add(at)
            at += sum(lengths(data, at)) + 8
        return _drop_cut(starts, at, data)

    def place(self, data: bytes, at: int) -> tuple[int, int]:
        return _bcf_place(data, at)

    def end(self, data: bytes, at: int) -> int:
        start: int
        bases: int
        start, bases = _bcf_span(data, at)
        return start + bases


class _Vcf(Layout):
    def __init__(self, header: bytes):
        types: dict[tuple[bytes, str | None], str | None] = {}
        for kind, line in _DECLARATION.findall(header):
            fields = header_fields(line)
            types.setdefault((kind, fields.get("ID")), fields.get("Type"))
        self._has_end = types.get((b"INFO", "END")) == "Integer"
        self._has_svlen = types.get((b"INFO", "SVLEN")) == "Integer"
        self._has_len = types.get((b"FORMAT", "LEN")) == "Integer"

    def starts(self, data: bytes) -> list[int]:
        return [0, *(newline.end() for newline in _NEWLINE.finditer(data))]

    def clean(self, data: bytes, *, whole: bool = False) -> bytes:
        has_other = data.startswith((b"#", b"\n", b"\r")) or _AFTER_NEWLINE.search(data)
        return (_NO_LINE if whole else _NO_RECORD).sub(b"", data) if has_other else data

    def place(self, data: bytes, at: int) -> tuple[str, int]:
        tab = data.find(b"\t", at)
        end = data.find(b"\t", tab + 1)
        position = data[tab + 1 : end]
        if not 0 <= tab < end or not position.isdigit() or b"\n" in data[at:tab]:
            _refuse(data, at)
        return data[at:tab].decode("utf-8", "backslashreplace"), int(position) - 1

    def end(self, data: bytes, at: int) -> int:
        columns = data[at : data.find(b"\n", at)].rstrip(b"\r").split(b"\t")
        if len(columns) < 8:
            _refuse(data, at)
        position, reference, alleles, info = columns[1], columns[3], columns[4], columns[7]
        start = int(position) - 1
        end = start + len(reference)
        if self._has_end and (match := _END.search(info)):
            end = max(end, int(match[1]))
        if self._has_svlen and b"<" in alleles:
            end = max(end, start + _longest_allele(alleles, info))
        if self._has_len and len(columns) > 9 and _BLOCK.search(alleles):
            end = max(end, start + _longest_block(columns[8], columns[9:]))
        return end

    def contig(self, name: str) -> str:
        return name


def _longest_allele(alleles: bytes, info: bytes) -> int:
    """Return the bases of the longest symbolic allele that lies on the reference, 0 if there is none."""
    match = _SVLEN.search(info)
    lengths = [_number(text) for text in match[1].split(b",")] if match else []
    return max((abs(length) for allele, length in zip(alleles.split(b","), lengths) if _SPANNING.match(allele)), default=0)


def _longest_block(keys: bytes, samples: list[bytes]) -> int:
    """Return the bases of the longest block of a sample, 0 if there is none."""
    names = keys.split(b":")
    if b"LEN" not in names:
        return 0
    at = names.index(b"LEN")
    return max((_number(values[at]) for values in (sample.split(b":") for sample in samples) if at < len(values)), default=0)


def _number(text: bytes) -> int:
    match = _NUMBER.match(text)
    return int(match[0]) if match else 0


def _drop_cut(starts: list[int], at: int, data: bytes) -> list[int]:
    """Drop the start of a record that is cut; `at` is where the last one ends."""
    starts.append(starts.pop() if at > len(data) else at)
    return starts


def _refuse(data: bytes, at: int) -> NoReturn:
    line = data[at : at + 60].split(b"\n")[0]
    raise IntegrityError(
        f"a line of the VCF is malformed: {line.decode('utf-8', 'replace')!r}", "it has no contig and position, separated by tabs"
    )
