"""Headers of variants do not name the samples that are cut."""

from __future__ import annotations

import pytest

from modos.genomics.exact.variant_header import cut_text

NAMES = ("S1", "S2", "NA12878")
COLUMNS = b"#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\tFORMAT\tS1\tS2\tNA12878\n"


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
    text = b"##fileformat=VCFv4.2\n" + line + b"\n" + COLUMNS
    kept = cut_text(text, NAMES, [0]).split(b"\n")
    assert kept[1:-2] == ([] if cut is None else [cut])
    assert kept[-2].split(b"\t")[9:] == [b"S1"]
