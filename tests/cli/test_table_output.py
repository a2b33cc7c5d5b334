"""`modos stream -O arrow`, `parquet` and `tsv` write the tables that Python gives, whole or not at all."""

from __future__ import annotations

import os
import pty
import shutil
import subprocess
import sys

import polars as pl
import pyarrow as pa
import pyarrow.parquet
import pytest

from modos.api import MODO
from tests.support import commands

REGION = "chr1:5,000-20,000"


def modos(*arguments, code=0, text=False):
    result = commands.run(list(map(str, arguments)), capture_output=True, text=text, timeout=120, stdin=subprocess.DEVNULL)
    assert result.returncode == code, result.stderr
    return result


@pytest.fixture
def view(example):
    return MODO.open(example / "ex")["data/demo1"]


def read(path):
    if path.suffix == ".parquet":
        return pa.parquet.read_table(path)
    with pa.OSFile(str(path)) as file:
        return (pa.ipc.open_stream(file) if path.suffix == ".arrows" else pa.ipc.open_file(file)).read_all()


@pytest.mark.parametrize("name", ["x.arrow", "x.arrows", "x.feather", "x.parquet"])
@pytest.mark.parametrize("file", ["demo1.cram", "calls.vcf.gz"])
def test_a_file_has_the_table_and_the_format_of_its_name(example, tmp_path, name, file):
    folder = tmp_path / "out"
    folder.mkdir()
    modos("stream", "-r", REGION, "-o", folder / name, example / "ex" / file)
    expected = MODO.open(example / "ex")[f"data/{file.partition('.')[0]}"].to_arrow(REGION)
    assert read(folder / name).to_pylist() == expected.to_pylist()
    assert os.listdir(folder) == [name]


@pytest.mark.parametrize("format", ["arrow", "parquet"])
def test_stdout_has_the_table(example, tmp_path, view, format):
    written = modos("stream", "-r", REGION, "-O", format, "--columns", "qname,pos,NM", example / "ex/demo1.cram").stdout
    table = pa.ipc.open_stream(written).read_all() if format == "arrow" else pa.parquet.read_table(pa.BufferReader(written))
    assert table.to_pylist() == view.to_arrow(REGION, "qname,pos,NM").to_pylist()


def test_text_is_a_line_for_each_row(example, view):
    text = modos(
        "stream", "-r", REGION, "-O", "TSV", "--columns", "qname,pos,cigar,NM,RG", example / "ex/demo1.cram", text=True
    ).stdout
    rows = view.to_arrow(REGION, "qname,pos,cigar,NM,RG").to_pylist()
    lines = ["\t".join("." if value is None else str(value) for value in row.values()) for row in rows]
    assert text.splitlines() == ["qname\tpos\tcigar\tNM\tRG", *lines] and len(rows) > 100


def test_text_of_variants_has_a_column_for_each_field_of_a_sample(example):
    text = modos(
        "stream", "-r", "chr1:20,001-20,300", "-O", "tsv", "--columns", "chrom,pos,id,alt,filter,INFO/AF,FORMAT/GT,FORMAT/DP", "--samples", "SAMPLE2", example / "ex/calls.vcf.gz", text=True
    ).stdout  # fmt: skip
    assert text == "chrom\tpos\tid\talt\tfilter\tINFO/AF\tSAMPLE2/GT\tSAMPLE2/DP\nchr1\t20245\t.\tC\tPASS\t1\t1/1\t24\n"
    rows = modos(
        "stream",
        "-r",
        "chr1:20,001-20,300",
        "-O",
        "tsv",
        "--columns",
        "pos,FORMAT/GT",
        "--sample-rows",
        example / "ex/cohort.bcf",
        text=True,
    )
    assert rows.stdout == "pos\tsample\tFORMAT/GT\n20245\tSAMPLE1\t1/1\n20245\tSAMPLE2\t1/1\n"


def test_text_can_be_read_by_others(example, tmp_path, view):
    modos("stream", "-r", REGION, "-o", tmp_path / "x.tsv", "--columns", "qname,flag,pos,seq", example / "ex/demo1.cram")
    frame = pl.read_csv(tmp_path / "x.tsv", separator="\t", quote_char=None, null_values=".")
    assert frame.to_dicts() == view.to_arrow(REGION, "qname,flag,pos,seq").to_pylist()


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["-O", "tsv", "--columns", "poss"], 2, "there is no column poss of reads\nhint: did you mean pos?"),
        (["--columns", "pos"], 2, "--columns and --sample-rows are for tables"),
        (["-O", "sam", "--columns", "pos"], 2, "--columns and --sample-rows are for tables"),
        (["-O", "tsv", "--sample-rows"], 2, "samples are for VCF and BCF"),
        (["-O", "tsv", "-r", "chr9"], 3, "no contig chr9"),
        (["-O", "tsv", "--columns", ""], 2, "no column is named"),
    ],
)
def test_what_cannot_be_is_one_line(example, words, code, message):
    result = modos("stream", *words, example / "ex/demo2.bam", code=code, text=True)
    assert message in result.stderr and not result.stdout and "Traceback" not in result.stderr


def test_arrow_is_not_for_a_terminal(example):
    parent, child = pty.openpty()
    result = commands.run(
        ["stream", "-O", "arrow", str(example / "ex/demo2.bam")], stdout=child, stderr=subprocess.PIPE, text=True
    )
    os.close(child), os.close(parent)
    assert result.returncode == 2 and "not for a terminal" in result.stderr


@pytest.mark.parametrize("format", ["arrow", "parquet", "tsv"])
def test_a_closed_pipe_ends_quietly(example, format):
    process = commands.start(
        ["stream", "-O", format, str(example / "ex/demo2.bam")], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    process.stdout.read(10)
    process.stdout.close()
    assert process.wait(60) == 141 and process.stderr.read() == b""


def test_a_file_that_cannot_be_read_to_its_end_leaves_nothing(example, tmp_path):
    shutil.copytree(example / "ex", tmp_path / "ex")
    bam = tmp_path / "ex/demo2.bam"
    data = bam.read_bytes()
    bam.write_bytes(data[: len(data) // 2] + bytes(100) + data[len(data) // 2 + 100 :])
    (tmp_path / "out").mkdir()
    for name in ("x.parquet", "x.arrow", "x.arrows", "x.tsv"):
        modos("stream", "-o", tmp_path / "out" / name, bam, code=6)
    assert os.listdir(tmp_path / "out") == []


def test_without_pyarrow_the_extra_is_named(example):
    program = "import sys; sys.modules['pyarrow'] = None; from modos.cli import main; main()"
    command = [sys.executable, "-c", program, "stream", "-O", "tsv", str(example / "ex/demo2.bam")]
    result = subprocess.run(command, capture_output=True, text=True, env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)})
    assert result.returncode == 2 and "pip install 'modos-store[tables]'" in result.stderr and "Traceback" not in result.stderr


def test_pandas_is_imported_where_it_is_asked_for_alone(example):
    program = f"""
import sys
from modos.api import MODO
modo = MODO.open({str(example / "ex")!r})
for element in ("data/demo1", "data/demo2", "data/calls", "data/cohort"):
    modo[element].to_polars("chr1:1-5,000")
    list(modo[element].iter_arrow("chr1:1-5,000"))
assert "pandas" not in sys.modules
modo[element].to_pandas("chr1:1-5,000")
assert "pandas" in sys.modules
"""
    subprocess.run([sys.executable, "-c", program], check=True, env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)})
