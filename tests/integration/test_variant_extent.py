"""How far a variant reaches is what bcftools 1.24 takes, for a VCF and for a BCF, whatever the header declares."""

from __future__ import annotations

import itertools
import subprocess
import sys

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from modos.api import MODO
from tests.support.sampling import most

DECLARATIONS = {
    "END": '##INFO=<ID=END,Number=1,Type=Integer,Description="End">',
    "SVLEN": '##INFO=<ID=SVLEN,Number=A,Type=Integer,Description="Length, of <X,y>">',
    "LEN": '##FORMAT=<Description="Length",ID=LEN,Type=Integer,Number=1>',
}
OTHERWISE = {
    "END": '##INFO=<ID=END,Number=1,Type=String,Description="End">',
    "SVLEN": '##INFO=<ID=SVLEN,Number=.,Type=Float,Description="Length">',
    "LEN": '##FORMAT=<ID=LEN,Number=1,Type=String,Description="Length">',
}
ALLELES = [
    "C",
    "<DEL>",
    "<DEL:ME>",
    "<INS>",
    "<DUP>",
    "<DUP:TANDEM>",
    "<INV>",
    "<CNV>",
    "<CN0>",
    "<del>",
    "<DELX>",
    "*",
    "<*>",
    "<NON_REF>",
    "A[1:900[",
    ".",
]
INFO = [
    "DP=3",
    "END={}",
    "SVLEN={}",
    "SVLEN=-{},{}",
    "SVTYPE=DEL",
    "XEND={}",
    "IMPRECISE",
    "END=.",
    "SVLEN=.",
    "END=2",
    "END=7,9",
    "END={}.0",
    "END={}x",
]
CODE = """
import sys
from pysam import bcftools
name, *regions = sys.argv[1:]
for region in regions:
    print(*(line.split("\\t")[2] for line in bcftools.view("-H", "-r", region, name).splitlines()))
"""


@st.composite
def documents(draw):
    lines = [
        "##fileformat=VCFv4.4",
        "##contig=<ID=1,length=100000>",
        '##FORMAT=<ID=GT,Number=1,Type=String,Description="">',
        '##INFO=<ID=DP,Number=1,Type=Integer,Description="">',
        '##INFO=<ID=XEND,Number=1,Type=Integer,Description="">',
        '##INFO=<ID=SVTYPE,Number=1,Type=String,Description="">',
        '##INFO=<ID=IMPRECISE,Number=0,Type=Flag,Description="">',
    ]
    for name in DECLARATIONS:
        lines += draw(st.sampled_from([[DECLARATIONS[name]]] * 3 + [[OTHERWISE[name]], []]))
    lines.append("#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\tFORMAT\ta\tb")
    number = st.integers(1, 400)
    for at, position in enumerate(sorted(draw(st.lists(st.integers(1, 300), min_size=3, max_size=12)))):
        alleles = (
            ",".join(draw(st.lists(st.sampled_from(ALLELES[:-1]), min_size=1, max_size=3, unique=True)))
            if draw(st.booleans())
            else draw(st.sampled_from(ALLELES))
        )
        keys = draw(st.lists(st.sampled_from(INFO), max_size=4, unique_by=lambda text: text.partition("=")[0]))
        info = ";".join(key.format(*(draw(number) for _ in range(key.count("{}")))) for key in keys) or "."
        reference = "A" * draw(st.sampled_from([1, 1, 1, 4, 30]))
        format, samples = draw(
            st.sampled_from([("GT", "0/1\t1/1"), ("GT:LEN", "0/1:{}\t1/1"), ("LEN:GT", "{}:0/0\t{}:0/0"), ("LEN", ".\t{}")])
        )
        samples = samples.format(*(draw(number) for _ in range(samples.count("{}"))))
        lines.append(f"1\t{position}\tv{at}\t{reference}\t{alleles}\t.\t.\t{info}\t{format}\t{samples}")
    newline, last = draw(st.sampled_from(["\n", "\n", "\r\n"])), draw(st.booleans())
    return newline.join(lines) + newline * last


def said_by_bcftools(path, regions):
    done = subprocess.run([sys.executable, "-c", CODE, str(path), *regions], capture_output=True, text=True, check=True)
    return [line.split() for line in done.stdout.splitlines()]


@pytest.mark.sweep(1)
@settings(max_examples=most(12, 4), deadline=None, suppress_health_check=list(HealthCheck))
@given(text=documents())
@pytest.mark.parametrize("form", ["vcf", "bcf"])
def test_the_same_variants_overlap(text, form, tmp_path_factory):
    folder = tmp_path_factory.mktemp("extent")
    plain, path = folder / "a.vcf", folder / ("a.vcf.gz" if form == "vcf" else "a.bcf")
    plain.write_text(text, newline="")
    code = "import sys; from pysam import bcftools; bcftools.view('-O', sys.argv[1], '-o', sys.argv[2], sys.argv[3], catch_stdout=False)"
    if form == "vcf":
        path.write_bytes(subprocess.run(["bgzip", "-c", plain], check=True, capture_output=True).stdout)
    elif subprocess.run([sys.executable, "-c", code, "b", path, plain], capture_output=True).returncode:
        return  # bcftools writes no BCF where the header leaves something out
    modo = MODO(folder / "ex")
    modo.add_element({"id": "a", "@type": "VariantSet"}, path)
    edges = sorted({1, 2, 90, 299, 300, 400, *(int(line.split("\t")[1]) for line in text.splitlines() if line[0] != "#")})
    spans = [(p + d, p + d) for p, d in itertools.product(edges[:8], (0, 1, 3, 18, 60, 150)) if p + d > 0] + [
        (250, 320),
        (1, 100_000),
        (650, 700),
    ]
    regions = [f"1:{start}-{end}" for start, end in spans]
    index = next(folder.joinpath("ex").glob("a.*i"))
    (folder / (path.name + index.suffix)).write_bytes(index.read_bytes())
    expected = said_by_bcftools(path, regions)
    for region, ids in zip(regions, expected):
        assert [record.id for record in modo.stream_genomics(path.name, region)] == ids, (region, text)
