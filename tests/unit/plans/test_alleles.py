"""Counts of alleles by group are those of bcftools and of brute force on the text of the files."""

import gzip
import shutil
import subprocess
from collections import defaultdict

import polars as pl
import pytest

from modos import open_catalog
from modos.api import MODO
from modos.errors import InvalidInputError, PartitionError
from modos.plans import allele_counts
from tests.support.cohort import brute_depth, write_calls


def group_of(number):
    return ("Female", "Male")[number % 2]


def brute_counts(files, depth=None):
    """AC and AN by (contig, start, ref, alt, group), from the text; with a depth, samples without a record count by it."""
    calls = {}
    for number in range(6):
        with gzip.open(files / f"S{number}.vcf.gz", "rt") as file:
            for line in file:
                if not line.startswith("#"):
                    contig, pos, _, ref, alt, *_, gt = line.rstrip("\n").split("\t")
                    calls[number, (contig, int(pos) - 1, ref)] = alt.split(","), gt.replace("|", "/").split("/")
    alts = defaultdict(set)
    for (_, site), (found, _) in calls.items():
        alts[site].update(found)
    rows = set()
    for site, found in alts.items():
        an = {"Female": 0, "Male": 0}
        ac = defaultdict(int)
        for number in range(6):
            if (number, site) in calls:
                own, called = calls[number, site]
                present = [int(allele) for allele in called if allele != "."]
                an[group_of(number)] += len(present)
                for allele in present:
                    if allele:
                        ac[own[allele - 1], group_of(number)] += 1
            elif depth is not None:
                contig, start, ref = site
                if brute_depth(files / f"S{number}.bam", contig, start, start + len(ref)).min() >= depth:
                    an[group_of(number)] += 2
        rows |= {(*site, alt, group, ac[alt, group], an[group]) for alt in found for group in an}
    return rows


def as_rows(frame):
    return set(frame.select("contig", "start", "ref", "alt", "group", "ac", "an").rows())


@pytest.mark.parametrize("depth", [None, 1, 7])
def test_counts_are_those_of_brute_force(catalog, files, depth):
    given = {} if depth is None else {"allele_number": "depth", "min_depth": depth}
    found = allele_counts(catalog, "chr1", group="sex", **given)
    assert as_rows(found) == brute_counts(files, depth) and found.height > 100
    shares = [ac / an if an else None for ac, an in found.select("ac", "an").rows()]
    assert found["af"].to_list() == shares


@pytest.mark.skipif(not shutil.which("bcftools"), reason="needs bcftools")
def test_counts_are_those_of_bcftools(catalog, files):
    paths = " ".join(str(files / f"S{number}.vcf.gz") for number in range(6))
    expected = set()
    for group, names in (("Female", "S0,S2,S4"), ("Male", "S1,S3,S5")):
        command = (
            f"bcftools merge -m both {paths} | bcftools view -I -s {names} | bcftools +fill-tags -- -t AC,AN"
            " | bcftools query -f '%CHROM\t%POS\t%REF\t%ALT\t%AC\t%AN\n'"
        )
        text = subprocess.run(["bash", "-o", "pipefail", "-c", command], capture_output=True, text=True, check=True).stdout
        for line in text.splitlines():
            contig, pos, ref, alts, ac, an = line.split("\t")
            for place, alt in enumerate(alts.split(",")):
                number = 0 if ac == "." else int(ac.split(",")[place])
                expected.add((contig, int(pos) - 1, ref, alt, group, number, int(an)))
    assert as_rows(allele_counts(catalog, "chr1", group="sex")) == expected and len(expected) > 100


def test_parts_of_a_plan_count_each_record_once(catalog, files):
    whole = allele_counts(catalog, "chr1", group="sex")
    parts = allele_counts(catalog, ["chr1:1-2050", "chr1:2000-3051", "chr1:3052-20000"], group="sex")
    assert parts.equals(whole)


def test_groups_that_are_given_and_samples_that_nobody_knows(catalog):
    found = allele_counts(catalog, "chr1:1-1000", group={"S0": "a", "S1": "a", "S2": "b"})
    assert found["group"].unique(maintain_order=True).to_list() == ["a", "b", None]
    together = allele_counts(catalog, "chr1:1-1000")
    assert together["group"].unique().to_list() == ["all"]
    alleles = ["contig", "start", "ref", "alt"]
    totals = found.group_by(alleles).agg(pl.col("ac", "an").sum()).sort(alleles)
    assert totals.equals(together.select(*alleles, "ac", "an").sort(alleles))


def test_a_sample_in_two_files_is_refused(cohort, tmp_path):
    import random

    shutil.copytree(cohort / "s000", tmp_path / "c" / "s000")
    write_calls(tmp_path / "again.vcf.gz", "S0", random.Random(3))
    MODO(tmp_path / "c" / "s000").add_element(
        {"id": "data/again", "@type": "VariantSet", "has_sample": ["sample/one"]}, tmp_path / "again.vcf.gz"
    )
    catalog = open_catalog(tmp_path / "c")
    with pytest.raises(InvalidInputError, match=r"sample/one of s000 is in data/again and data/calls|data/calls and data/again"):
        allele_counts(catalog, "chr1")
    assert allele_counts(catalog, "chr1", where="element = 'data/calls'").height > 10


def test_two_namings_of_contigs_are_refused(cohort, tmp_path):
    import random

    from tests.support import cohort as support

    shutil.copytree(cohort / "s000", tmp_path / "c" / "s000")
    modo = MODO.create(tmp_path / "c" / "other")
    text = tmp_path / "x.vcf"
    support.write_calls(tmp_path / "y.vcf.gz", "Y", random.Random(3))
    text.write_text(gzip.open(tmp_path / "y.vcf.gz", "rt").read().replace("chr", ""))
    import pysam

    pysam.tabix_compress(str(text), str(tmp_path / "x.vcf.gz"))
    pysam.tabix_index(str(tmp_path / "x.vcf.gz"), preset="vcf")
    modo.add_element({"id": "data/calls", "@type": "VariantSet"}, tmp_path / "x.vcf.gz")
    catalog = open_catalog(tmp_path / "c")
    with pytest.raises(PartitionError, match="no contig chr1"):
        allele_counts(catalog, "chr1")
    with pytest.raises(InvalidInputError, match="call a contig 1 and others chr1"):
        allele_counts(catalog, None)
    with pytest.raises(InvalidInputError, match="call a contig 1 and others chr1"):
        allele_counts(catalog, ["chr1", "1"], missing="skip")


def test_refusals(catalog):
    with pytest.raises(InvalidInputError, match="'genotypes' or 'depth'"):
        allele_counts(catalog, "chr1", allele_number="gt")
    with pytest.raises(InvalidInputError, match="no slot sexx"):
        allele_counts(catalog, "chr1", group="sexx")
