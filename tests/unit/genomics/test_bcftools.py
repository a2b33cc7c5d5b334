"""Variants are converted as bcftools view does, and what fails leaves no file that could pass for one."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from modos.errors import InvalidInputError, ModosError, TransportError, TruncatedStream
from modos.formats import FORMATS
from modos.genomics.bcftools import write_variants
from modos.genomics.indexer import check_complete
from modos.genomics.writer import OutputFormat

HEADER = """##fileformat=VCFv4.2
##INFO=<ID=END,Number=1,Type=Integer,Description="End">
##INFO=<ID=SVLEN,Number=A,Type=Integer,Description="Length">
##INFO=<ID=SVTYPE,Number=1,Type=String,Description="Type">
##FORMAT=<ID=GT,Number=1,Type=String,Description="Genotype">
##contig=<ID=1,length=1000>
#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\tFORMAT\ta\tb,c\td
"""
RECORDS = """1\t100\t.\tA\tC\t.\t.\tEND=100\tGT\t0/1\t1/1\t./.
1\t200\t.\tA\t<DEL>\t.\t.\tSVTYPE=DEL;SVLEN=-3\tGT\t0/1\t0/0\t0/1
"""
TEXT = (HEADER + RECORDS).encode()
KINDS = [("VCF", True), ("VCF", False), ("BCF", True), ("BCF", False)]


def write(path, output, samples=None, pieces=(TEXT,)):
    with open(path, "wb") as target:
        write_variants(pieces, target.fileno(), output, samples, threads=1)
    return path


def view(path, *options):
    """What bcftools says, of the version that pysam has."""
    code = "import sys; from pysam import bcftools; sys.stdout.write(bcftools.view(*sys.argv[1:]))"
    return subprocess.run(
        [sys.executable, "-c", code, "--no-version", *options, str(path)], check=True, capture_output=True, text=True
    ).stdout


@pytest.mark.parametrize(("name", "compressed"), KINDS)
def test_no_record_changes(tmp_path, name, compressed):
    out = write(tmp_path / "out", OutputFormat(name, compressed))
    assert view(out, "-H") == RECORDS


@pytest.mark.parametrize("samples", [("d",), ("d", "a"), ("b,c",)])
def test_samples_are_those_of_bcftools(tmp_path, samples):
    (tmp_path / "in.vcf").write_bytes(TEXT)
    (tmp_path / "names").write_text("".join(f"{name}\n" for name in samples))
    out = write(tmp_path / "out", OutputFormat("VCF", False), samples)
    assert out.read_text() == view(tmp_path / "in.vcf", "-I", "-S", str(tmp_path / "names"))


def test_what_the_header_leaves_out_is_named(tmp_path):
    text = TEXT.replace(b"##contig=<ID=1,length=1000>\n", b"").replace(b"##INFO=<ID=END", b"##INFO=<ID=ENDE")
    with pytest.raises(InvalidInputError, match="does not declare .*INFO END"):
        write(tmp_path / "out", OutputFormat("BCF", True), pieces=[text])


@pytest.mark.parametrize(("name", "compressed"), [("VCF", True), ("BCF", True)])
def test_a_stream_that_breaks_leaves_no_end(tmp_path, name, compressed):
    def broken():
        yield TEXT
        yield b"".join(b"1\t%d\t.\tA\tC\t.\t.\t.\tGT\t0/1\t0/0\t0/1\n" % at for at in range(300, 60_000))
        raise TransportError("the line is dead")

    with pytest.raises(TransportError, match="dead"):
        write(tmp_path / "out", OutputFormat(name, compressed), pieces=broken())
    with pytest.raises(TruncatedStream):
        check_complete(tmp_path / "out", FORMATS[name])


def test_a_closed_pipe_is_no_error_of_the_file():
    read, written = os.pipe()
    os.close(read)
    try:
        with pytest.raises(BrokenPipeError):
            write_variants([TEXT], written, OutputFormat("VCF", False))
    finally:
        os.close(written)


def test_a_damaged_file_is_refused(tmp_path):
    with pytest.raises(ModosError, match="cannot write"):
        write(tmp_path / "out", OutputFormat("VCF", False), pieces=[b"no VCF at all\n"])
