"""Headers that htslib takes and pysam's own functions refuse: files with them are read, and what is wrong with others is one line."""

from __future__ import annotations

import struct

import pytest

from modos.errors import IntegrityError
from modos.formats import BGZF_EOF
from modos.genomics import GenomicFile
from modos.genomics.index import bgzf
from modos.genomics.sources import StorageSource
from modos.genomics.writer import OutputFormat
from modos.object.enrichment import Header, Sequence, read_header
from modos.storage import open_storage
from tests.support.hard_files import run

COLUMNS = "#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n"


def bam(path, text):
    names = b"".join(struct.pack("<I", len(name) + 1) + name + b"\0" + struct.pack("<I", 1000) for name in (b"a", b"b"))
    path.write_bytes(bgzf.compress(b"BAM\1" + struct.pack("<I", len(text)) + text + struct.pack("<I", 2) + names) + BGZF_EOF)
    return read_header(open_storage(path.parent), path.name)


def test_lines_of_other_kinds(tmp_path):
    """An AssertionError of pysam ended the whole of `modos enrich`."""
    text = (
        b"@HD\tVN:1.6\n@SQ\tSN:a\tLN:1000\tM5:"
        + b"0" * 32
        + b"\n@SQ\tSN:b\tLN:1000\n@WQ\tXX:1\n@RG\tID:x\tSM:one\n@CO\tfree: text\n"
    )
    assert bam(tmp_path / "a.bam", text) == Header([Sequence("a", "0" * 32, length=1000), Sequence("b", length=1000)], ["one"])


def test_text_that_is_none(tmp_path):
    with pytest.raises(IntegrityError, match="a.bam is no UTF-8 text"):
        bam(tmp_path / "a.bam", b"@SQ\tSN:a\tLN:1000\n@SQ\tSN:b\tLN:1000\n@CO\t\xe4\n")


def test_numbers_of_contigs_with_gaps(tmp_path):
    """A BCF may leave out numbers (IDX); the contigs of pysam's header were an AssertionError."""
    text = f"##fileformat=VCFv4.3\n##contig=<ID=a,length=1000,IDX=0>\n##contig=<ID=b,length=900,IDX=4>\n{COLUMNS}\0".encode()
    shared = struct.pack("<iiifii", 4, 9, 1, 0.0, 2 << 16, 0) + b"\x17x\x17A\x17C\x00"
    record = struct.pack("<II", len(shared), 0) + shared
    path = tmp_path / "a.bcf"
    path.write_bytes(bgzf.compress(b"BCF\2\2" + struct.pack("<I", len(text)) + text + record) + BGZF_EOF)
    run("bcftools", "index", path)
    file = GenomicFile(StorageSource(open_storage(tmp_path), "a.bcf"))
    assert read_header(open_storage(tmp_path), "a.bcf") == Header(
        [Sequence("a", length=1000), Sequence("b", length=900)], [], new_samples=True
    )
    assert file.count("b:10") == 1 and file.count("b:11") == 0


def test_what_bcftools_does_not_take_is_damaged(tmp_path):
    """It was an error of ours, with a hint that there was no room."""
    path = tmp_path / "a.vcf.gz"
    path.write_bytes(bgzf.compress(f"##fileformat=VCFv4.3\n##contig=<ID=a>\n{COLUMNS[:8]}\nx\n".encode()) + BGZF_EOF)
    with pytest.raises(IntegrityError, match="bcftools cannot write .*a.vcf.gz as BCF"), open(tmp_path / "out", "wb") as out:
        GenomicFile(StorageSource(open_storage(tmp_path), "a.vcf.gz")).write(out.fileno(), output=OutputFormat("BCF"))
