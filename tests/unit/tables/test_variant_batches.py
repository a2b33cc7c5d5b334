"""Tables of variants have what bcftools writes of them, cell by cell, of VCF and BCF alike, and every damage is an error."""

from __future__ import annotations

import gzip
import random
import subprocess
from contextlib import suppress

import pyarrow as pa
import pysam
import pytest

from modos.errors import IntegrityError, InvalidInputError, ModosError, NotFoundError
from modos.genomics import GenomicFile
from modos.genomics.sources import StorageSource
from modos.storage import open_storage
from modos.tables.record_tables import RecordTable
from modos.tables.variant_batches import VariantBatches
from tests.support.table_oracle import assert_same, parse_vcf, rows_of, variant_rows

HEADER = """##fileformat=VCFv4.3
##FILTER=<ID=q10,Description="q">
##FILTER=<ID=s50,Description="s">
##contig=<ID=chr1,length=100000>
##contig=<ID=chr2,length=100000>
##INFO=<ID=DP,Number=1,Type=Integer,Description="d">
##INFO=<ID=AF,Number=A,Type=Float,Description="d">
##INFO=<ID=AC,Number=R,Type=Integer,Description="d">
##INFO=<ID=DB,Number=0,Type=Flag,Description="d">
##INFO=<ID=ST,Number=1,Type=String,Description="d">
##INFO=<ID=SL,Number=.,Type=String,Description="d">
##INFO=<ID=CH,Number=1,Type=Character,Description="d">
##INFO=<ID=FL,Number=1,Type=Float,Description="d">
##INFO=<ID=END,Number=1,Type=Integer,Description="d">
##INFO=<ID=SVLEN,Number=.,Type=Integer,Description="d">
##FORMAT=<ID=GT,Number=1,Type=String,Description="d">
##FORMAT=<ID=AD,Number=R,Type=Integer,Description="d">
##FORMAT=<ID=GQ,Number=1,Type=Integer,Description="d">
##FORMAT=<ID=GL,Number=G,Type=Float,Description="d">
##FORMAT=<ID=FT,Number=1,Type=String,Description="d">
##FORMAT=<ID=LS,Number=.,Type=String,Description="d">
"""
COLUMNS = "#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO"
INFO = {
    "DP": ["0", "-5", "127", "128", "70000", "2147483647", "."],
    "AF": ["0.5", "0.1,nan", "inf,-inf,1e-30", ".", ".,1"],
    "AC": ["1,2", "300,.", "5", "."],
    "DB": [None],
    "ST": ["a%3Bb", "x,y", "héllo", "."],
    "SL": ["a,b", ".,c,.", "one"],
    "CH": ["c"],
    "FL": ["1.5", "nan", "1e10", "."],
    "END": ["99000"],
    "SVLEN": ["-88", "5,6"],
}
FORMAT = {
    "GT": ["0/1", "0|1", "./.", ".", "1", "0/1/2", "1|.", "10/11"],
    "AD": ["1,2", "300,.", ".", "70000,1,2", ".,."],
    "GQ": ["9", "99", "."],
    "GL": ["-1.5,.,-3", ".", "0,-0.1,-1e-10"],
    "FT": ["PASS", "q10", "."],
    "LS": ["a,b", "héllo", ".", ".,x"],
}


def hard_lines(count, samples, seed):
    chance = random.Random(seed)
    for number in range(count):
        alleles = chance.choice([".", "C", "C,G", "<DEL>", "*", "A]chr1:3]", "<*>", "ACGT" * 40])
        info = ";".join(
            key if (value := chance.choice(INFO[key])) is None else f"{key}={value}"
            for key in chance.sample(list(INFO), chance.randrange(8))
        )
        fields = [
            f"chr{1 + 2 * number // count}",
            str(1 + number * 7),
            chance.choice([".", "rs1", "rs1;rs2"]),
            chance.choice(["A", "N", "ACGTN" * 30]),
            alleles,
            chance.choice([".", "30", "1e10", "0.12345678"]),
            chance.choice([".", "PASS", "q10", "q10;s50"]),
            info or ".",
        ]
        if samples:
            keys = [key for key in FORMAT if chance.random() < 0.6] or ["GT"]
            fields.append(":".join(keys))
            for _ in range(samples):
                values = [chance.choice(FORMAT[key]) for key in keys]
                fields.append(":".join(values[: chance.choice([len(values), len(values), 1])]))
        yield "\t".join(fields) + "\n"


def names(count):
    return [f"s{number}" if number else "NA 1/2" for number in range(count)]


def write(path, lines, samples=0, header=HEADER):
    columns = COLUMNS + "".join(f"\t{name}" for name in ["FORMAT", *names(samples)] if samples)
    with pysam.BGZFile(str(path), "wb") as file:
        file.write((header + columns + "\n" + "".join(lines)).encode())
    return path


def to_bcf(vcf):
    bcf = vcf.with_name("same.bcf")
    subprocess.run(["bcftools", "view", "--no-version", "-Ob", "-o", bcf, vcf], check=True, capture_output=True)
    subprocess.run(["bcftools", "index", "-f", bcf], check=True)
    return bcf


def table(path, region=None, columns=None, **options):
    return RecordTable(GenomicFile(StorageSource(open_storage(path.parent), path.name)), region, columns, **options)


@pytest.fixture(scope="module", params=[0, 1, 3])
def hard(request, tmp_path_factory):
    """A VCF and a BCF with the same records."""
    vcf = write(tmp_path_factory.mktemp("hard") / "hard.vcf.gz", hard_lines(500, request.param, request.param), request.param)
    pysam.tabix_index(str(vcf), preset="vcf", force=True)
    return vcf, to_bcf(vcf)


@pytest.mark.parametrize("kind", [0, 1], ids=["vcf", "bcf"])
def test_cells_are_those_of_bcftools(hard, kind):
    assert_same(rows_of(table(hard[kind]).read()), variant_rows(hard[kind]))


def test_cells_of_a_vcf_are_those_of_its_text(hard):
    assert_same(rows_of(table(hard[0]).read()), parse_vcf(gzip.decompress(hard[0].read_bytes()).decode()))


@pytest.mark.parametrize("kind", [0, 1], ids=["vcf", "bcf"])
@pytest.mark.parametrize("run_bytes", [1, 3_000])
def test_batches_make_the_table(hard, kind, run_bytes, monkeypatch):
    whole, init = table(hard[kind]).read(), VariantBatches.__init__

    def small(self, *given):
        init(self, *given)
        self.run_bytes = run_bytes

    monkeypatch.setattr(VariantBatches, "__init__", small)
    schema, batches = table(hard[kind]).open()
    assert schema == whole.schema and repr(pa.Table.from_batches(list(batches), schema).to_pylist()) == repr(whole.to_pylist())


def test_vcf_and_bcf_are_the_same_table(hard):
    vcf, bcf = (table(path).read() for path in hard)
    assert vcf.schema == bcf.schema
    assert_same(rows_of(vcf), rows_of(bcf))


@pytest.mark.parametrize("kind", [0, 1], ids=["vcf", "bcf"])
def test_rows_of_samples_are_the_same_cells(hard, kind):
    wide, long = table(hard[kind]).read(), table(hard[kind], samples="rows").read()
    samples = [field.name for field in wide.schema if pa.types.is_struct(field.type)]
    expected = [
        {name: value for name, value in row.items() if name not in samples}
        | {"sample": sample}
        | {f"FORMAT/{key}": value for key, value in row[sample].items()}
        for row in wide.to_pylist()
        for sample in samples
    ]
    assert repr(long.to_pylist()) == repr(expected)


@pytest.mark.parametrize("kind", [0, 1], ids=["vcf", "bcf"])
def test_columns_and_samples_are_those_that_are_named_in_their_order(hard, kind):
    whole = table(hard[kind]).read()
    samples = [field.name for field in whole.schema if pa.types.is_struct(field.type)]
    found = table(hard[kind], None, ["INFO/AF", "pos", "FORMAT/GT", "INFO/DB", "FORMAT/AD"], samples=samples[::-1]).read()
    assert found.schema.names == ["INFO/AF", "pos", "INFO/DB", *samples[::-1]]
    assert repr(found.select([0, 1, 2]).to_pylist()) == repr(whole.select(["INFO/AF", "pos", "INFO/DB"]).to_pylist())
    for sample in samples:
        expected = [{"GT": value["GT"], "AD": value["AD"]} for value in whole[sample].to_pylist()]
        assert found[sample].to_pylist() == expected
    rows = table(hard[kind], None, ["pos", "FORMAT/GQ"], samples=samples[:1], sample_rows=True).read()
    assert rows.num_rows == (500 if samples else 0)


@pytest.mark.parametrize("kind", [0, 1], ids=["vcf", "bcf"])
@pytest.mark.parametrize("region", ["chr1:300-900", ["chr1:1-20", "chr2:2000-2500"], "chr2:99,990-100,000"])
def test_regions_have_the_records_of_bcftools(hard, kind, region):
    words = [region] if isinstance(region, str) else region
    text = subprocess.run(
        ["bcftools", "view", "-H", "-r", ",".join(words).replace(",9", "9").replace(",0", "0"), hard[kind]],
        capture_output=True,
        check=True,
        text=True,
    ).stdout
    expected = [(line.split("\t")[0], int(line.split("\t")[1])) for line in text.splitlines()]
    found = table(hard[kind], region, ["chrom", "pos"]).read().to_pylist()
    assert [(row["chrom"], row["pos"]) for row in found] == expected


def test_an_empty_region_has_the_same_types(hard):
    for path in hard:
        empty = table(path, "chr2:99,500-99,600", ["chrom", "INFO/DP"])
        assert empty.read().num_rows == 0 and empty.read().schema == table(path, None, ["chrom", "INFO/DP"]).read().schema
        assert table(path, "chr2:99,500-99,600").read().schema == table(path).read().schema


def one_record(folder, info=".", format="GT", values=("0/1",), **fields):
    given = {"chrom": "chr1", "pos": "5", "id": ".", "ref": "A", "alt": "C", "qual": ".", "filter": "."} | fields
    line = "\t".join([*given.values(), info, format, *values]) + "\n"
    return write(folder / "one.vcf.gz", [line], len(values))


@pytest.mark.parametrize(
    ("info", "message"),
    [
        ("DP=1,2", "INFO/DP is '1,2' in a record"),
        ("DP=1.5", "INFO/DP is '1.5' in a record"),
        ("DP=x", "INFO/DP is 'x' in a record"),
        ("DP=99999999999999999999", "more than 64 bits"),
        ("DP=1;DP=2", "a record has INFO/DP twice"),
        ("AF=0.1,x", "INFO/AF is 'x' in a record"),
        ("FL=0.1,0.2", "INFO/FL is '0.1,0.2' in a record"),
    ],
)
def test_values_that_are_not_what_the_header_declares_are_errors(tmp_path, info, message):
    """Where other readers have a null, or a part of what is there."""
    vcf = one_record(tmp_path, info)
    with pytest.raises(IntegrityError, match=message):
        table(vcf).read()
    assert table(vcf, None, ["chrom", "INFO/ST"]).read().to_pylist() == [{"chrom": "chr1", "INFO/ST": None}]


def test_a_column_with_a_told_type_has_what_is_there(tmp_path):
    vcf = one_record(tmp_path, "DP=1,2;XX=undeclared")
    found = table(vcf, None, ["INFO/DP:String", "INFO/XX:String"]).read().to_pylist()
    assert found == [{"INFO/DP": "1,2", "INFO/XX": "undeclared"}]
    assert table(vcf, None, ["INFO/DP:Integer[]"]).read().to_pylist() == [{"INFO/DP": [1, 2]}]


def test_undeclared_keys_are_there_or_asked_for(tmp_path):
    """None is left out in silence: a table has them as texts, batches whose schema is fixed have an error."""
    vcf = one_record(tmp_path, "DP=1;XX=7;YY", "GT:ZZ", ["0/1:5", "0/0:."])
    found = table(vcf).read().to_pylist()[0]
    assert (found["INFO/XX"], found["INFO/YY"], found["s1"]["ZZ"], found["NA 1/2"]["ZZ"]) == ("7", "", None, "5")
    schema, batches = table(vcf).open()
    with pytest.raises(InvalidInputError, match="does not declare INFO/XX, INFO/YY, FORMAT/ZZ") as error:
        list(batches)
    assert "INFO/XX:String" in error.value.hint and "INFO/XX" not in schema.names
    assert len(list(table(vcf, None, ["pos", "INFO/DP", "FORMAT/GT"]).open()[1])) == 1


def test_what_a_reader_of_vcf_may_meet(tmp_path):
    vcf = one_record(tmp_path, "DB=1;ST;SL=;AC=.", "AD:GT", ["1,2:1", ""], pos="0", alt=".", qual="nan")
    row = table(vcf).read().to_pylist()[0]
    assert row["pos"] == 0 and row["alt"] == [] and row["qual"] != row["qual"]
    assert row["INFO/DB"] is True and row["INFO/ST"] == "" and row["INFO/SL"] == [] and row["INFO/AC"] is None
    assert row["NA 1/2"]["GT"] == "1" and row["s1"]["GT"] is None and row["s1"]["AD"] == []


def test_lines_may_end_as_on_windows(tmp_path):
    plain = one_record(tmp_path, "DP=3").read_bytes()
    with pysam.BGZFile(str(tmp_path / "dos.vcf.gz"), "wb") as file:
        file.write(gzip.decompress(plain).replace(b"\n", b"\r\n"))
    assert table(tmp_path / "dos.vcf.gz").read().to_pylist() == table(tmp_path / "one.vcf.gz").read().to_pylist()


def test_many_samples_of_one_width_are_the_same_cells(tmp_path):
    """GT alone, as many bytes in each: another way through the code."""
    chance = random.Random(5)
    for widths in (["0|1", "1/1", "./."], ["0/1", "10/1"], ["1"], ["0|1", "0:1"]):
        lines = [
            f"chr1\t{at}\t.\tA\tC\t.\t.\t.\tGT\t" + "\t".join(chance.choices(widths, k=40)).replace("0:1", "0|1:") + "\n"
            for at in range(1, 30)
        ]
        vcf = write(tmp_path / "many.vcf.gz", lines, 40)
        assert_same(rows_of(table(vcf).read()), parse_vcf(gzip.decompress(vcf.read_bytes()).decode()))


@pytest.mark.parametrize(
    "line", ["chr1\t5\t.\tA\tC\t.\t.\t.\tGT\t0/1\n", "chr1\t5\t.\tA\tC\t.\t.\t.\tGT\t0/1\t0/1\t0/1\n", "chr1\t5\t.\tA\tC\t.\n"]
)
@pytest.mark.parametrize("long", [False, True])
def test_a_line_with_other_columns_than_the_header_is_an_error(tmp_path, line, long):
    if long:
        line = line.replace("\tA\t", f"\t{'A' * 5000}\t")
    with pytest.raises(IntegrityError, match="columns"):
        table(write(tmp_path / "x.vcf.gz", [line], 2)).read()


@pytest.mark.parametrize(
    ("columns", "message", "hint"),
    [
        (["chrm"], "no column chrm", "did you mean chrom"),
        (["INFO/DQ"], "no column INFO/DQ", "did you mean INFO/DP"),
        (["DP"], "no column DP", "INFO/DP"),
        (["INFO/DP:Number"], "no type", "Integer, Float, String"),
        (["pos", "pos"], "named twice", "once"),
    ],
)
def test_columns_that_there_are_not(hard, columns, message, hint):
    with pytest.raises(InvalidInputError, match=message) as error:
        table(hard[0], None, columns)
    assert hint in error.value.hint


def test_samples_that_there_are_not(tmp_path):
    vcf = one_record(tmp_path, values=["0/1", "0/0"])
    with pytest.raises(NotFoundError, match="has no sample s9") as error:
        table(vcf, samples=["s9"])
    assert "it has NA 1/2, s1" in error.value.hint
    with pytest.raises(InvalidInputError, match="samples are named twice"):
        table(vcf, samples=["s1", "s1"])
    with pytest.raises(InvalidInputError, match="a list of names, or 'rows'"):
        table(vcf, samples="s1")


def test_a_sample_called_as_a_column_is_refused_where_it_would_be_one(tmp_path):
    vcf = one_record(tmp_path)
    data = gzip.decompress(vcf.read_bytes()).replace(b"\tNA 1/2\n", b"\tpos\n")
    with pysam.BGZFile(str(vcf), "wb") as file:
        file.write(data)
    with pytest.raises(InvalidInputError, match="a sample is called pos"):
        table(vcf)
    assert table(vcf, samples="rows").read()["sample"].to_pylist() == ["pos"]
    assert table(vcf, None, ["chrom", "FORMAT/GT"]).read().to_pylist() == [{"chrom": "chr1", "pos": {"GT": "0/1"}}]


def test_damaged_records_of_a_bcf_are_no_crash(hard, tmp_path):
    data = bytearray(gzip.decompress(hard[1].read_bytes())[:20_000])
    chance = random.Random(3)
    for number in range(200):
        changed = bytearray(data)
        at = chance.randrange(2_500, len(data))
        changed[at] = chance.randrange(256)
        path = tmp_path / f"changed{number}.bcf"
        with pysam.BGZFile(str(path), "wb") as file:
            file.write(bytes(changed))
        with suppress(ModosError):
            table(path).read()
