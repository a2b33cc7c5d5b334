"""The header of variants names no sample that is cut."""

from __future__ import annotations

import pytest

from modos.genomics.exact.variant_header import cut_text

COLUMNS = b"#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\tFORMAT\t"


def cut(line: bytes, names: list[str], kept: list[int]) -> list[bytes]:
    text = b"##fileformat=VCFv4.3\n" + line + b"\n" + COLUMNS + b"\t".join(name.encode() for name in names) + b"\n"
    found = cut_text(text, names, kept).split(b"\n")
    assert found[-2] == COLUMNS + b"\t".join(names[number].encode() for number in kept)
    return found[1:-2]


@pytest.mark.parametrize(
    "line",
    [
        b"##SAMPLE=<ID=NA2>",
        b"##files=/data/NA2.bam",
        b"##files=/data/NA2_lib.bam",
        b"##files=run_NA2_3.bam",
        b"##PEDIGREE=<Child=NA1,Father=NA2>",
    ],
)
def test_a_line_that_names_another_sample_goes(line):
    assert cut(line, ["NA1", "NA2"], [0]) == []
    assert cut(line, ["NA1", "NA2"], [0, 1]) == [line]


@pytest.mark.parametrize(
    ("line", "names"),
    [
        (b"##SAMPLE=<ID=NA1>", ["NA1", "NA2"]),
        (b"##files=/data/NA12.bam", ["NA1", "NA2", "A1"]),
        (b"##SAMPLE=<ID=NA1_b>", ["NA1_b", "NA1"]),
        (b"##contig=<ID=NA2>", ["NA1", "NA2"]),
    ],
)
def test_what_names_only_those_that_stay_stays(line, names):
    assert cut(line, names, [0]) == [line]


def test_a_longer_name_is_not_taken_for_one_that_stays():
    assert cut(b"##SAMPLE=<ID=NA1_b>", ["NA1", "NA1_b"], [0]) == []
    assert cut(b"##files=A_B_C.bam", ["A_B", "B_C"], [0]) == []


def test_of_a_definition_the_description_goes():
    line = b'##INFO=<ID=X,Number=1,Type=String,Description="depth of NA2_lib">'
    assert cut(line, ["NA1", "NA2"], [0]) == [b'##INFO=<ID=X,Number=1,Type=String,Description="">']


NAMES = ("S1", "S2", "NA12878")
ALL = b"#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\tFORMAT\tS1\tS2\tNA12878\n"


@pytest.mark.parametrize(
    ("line", "cut"),
    [
        (b"##source=caller S2_sorted.bam", None),
        (b"##source=caller run_S2.bam", None),
        (b"##reference=file:///x/tumorNA12878dna.fa", None),
        (b"##source=caller S1_sorted.bam", b"##source=caller S1_sorted.bam"),
        (b"##source=caller CS20.bam", b"##source=caller CS20.bam"),
        (b'##INFO=<ID=A,Number=1,Type=Integer,Description="in S2_x">', b'##INFO=<ID=A,Number=1,Type=Integer,Description="">'),
        (
            b'##INFO=<ID=A,Number=1,Type=Integer,Description="a",Source="S2.vcf">',
            b'##INFO=<ID=A,Number=1,Type=Integer,Description="a",Source="">',
        ),
    ],
)
def test_names_within_longer_ones_are_found(line, cut):
    """Of names of files and of texts of definitions as well."""
    text = b"##fileformat=VCFv4.2\n" + line + b"\n" + ALL
    kept = cut_text(text, NAMES, [0]).split(b"\n")
    assert kept[1:-2] == ([] if cut is None else [cut])
    assert kept[-2].split(b"\t")[9:] == [b"S1"]
