"""Of variants nothing that locates outside of what is allowed, and nothing of other samples, is given; all else is."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modos.errors import IntegrityError
from modos.formats import BGZF_EOF
from modos.genomics.bounded_slices import cut_file
from modos.genomics.bounding import Bounds
from modos.genomics.htsget.protocol import HtsgetError
from modos.genomics.index.bgzf import compress
from modos.genomics.planning import Planner
from modos.genomics.region import Region, settle
from modos.storage import open_storage
from tests.support.hard_files import run
from tests.support.masking_oracle import lies_in, spans_of
from tests.support.sampling import most
from tests.support.variant_oracle import CONTIGS, SAMPLES, mask_line, write_telling_variants

SITE_KEYS = {"END", "SVTYPE", "CHR2", "POS2", "MATEID", "DB"}


@pytest.fixture(scope="module", params=["vcf", "bcf"])
def path(request, tmp_path_factory):
    return write_telling_variants(
        tmp_path_factory.mktemp("telling") / f"a.{request.param}{'.gz' * (request.param == 'vcf')}", request.param
    )


regions = st.builds(
    lambda contig, start, width: Region(contig, min(start, CONTIGS[contig] - 1), min(start, CONTIGS[contig] - 1) + width),
    st.sampled_from(list(CONTIGS)),
    st.integers(0, 60_000),
    st.sampled_from([1, 50, 400, 5_000, 30_000]),
)


def cut(path, wanted, bounds):
    storage = open_storage(str(path.parent))
    return cut_file(storage, Planner(storage), path.name, wanted, bounds)


def view(path, *arguments):
    """Lines of a file as bcftools writes them, without the header."""
    return run("bcftools", "view", "-H", *arguments, path).decode().splitlines()


def lines_of(path, made):
    out = path.with_name("out" + "".join(path.suffixes))
    out.write_bytes(b"".join(made.pieces))
    return view(out)


def overlapping(path, regions):
    table = path.with_name("regions.tsv")
    table.write_text("".join(f"{region.contig}\t{region.start + 1}\t{region.end}\n" for region in regions))
    return view(path, "-R", table) if regions else []


@settings(max_examples=most(80, 15), deadline=None)
@given(allowed=st.lists(regions, min_size=1, max_size=8), wanted=st.none() | st.lists(regions, min_size=1, max_size=4))
def test_each_variant_is_what_the_slow_masker_makes_of_it(path, allowed, wanted):
    bounds = Bounds(settle(allowed, list(CONTIGS)))
    made = cut(path, None if wanted is None else settle(wanted, list(CONTIGS)), bounds)
    found = lines_of(path, made)
    spans = spans_of(bounds.regions)
    masked = [mask_line(line, spans, spans_of(made.regions)) for line in overlapping(path, made.regions)]
    assert found == [line for line in masked if line is not None]
    assert made.records == len(found)
    for contig, position in re.findall(r"[\[\]]([^\[\]\t]+):(\d+)[\[\]]", "\n".join(found)):
        assert lies_in(spans, contig, int(position) - 1, int(position))


@pytest.mark.parametrize(
    ("allele", "entry"),
    [
        ("<CPX>", "CPX_INTERVALS=DUP_chr2:5000-6000,INV_chr2:6000-7000"),
        ("<INS>", "SOURCE=DUP_chr2:5000-6000"),
        ("N[chr2:5000[", "REGIONB=5000,5100"),
        ("N[chr1:90000[", "MATEDIST=89900"),
        ("N[chr2:5000[", "REMOTE_LINKED_BY=asm1"),
    ],
)
@pytest.mark.parametrize("ending", ["vcf.gz", "bcf"])
def test_what_callers_say_of_other_places_in_keys_of_their_own_goes(tmp_path, allele, entry, ending):
    key = entry.partition("=")[0]
    text = (
        "##fileformat=VCFv4.3\n##contig=<ID=chr1,length=100000>\n##contig=<ID=chr2,length=100000>\n"
        f'##INFO=<ID={key},Number=.,Type=String,Description="x">\n##INFO=<ID=DP,Number=1,Type=Integer,Description="x">\n'
        f"#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\nchr1\t100\t.\tN\t{allele}\t.\t.\tDP=7;{entry}\n"
    )
    (tmp_path / "a.vcf").write_text(text)
    path = tmp_path / f"a.{ending}"
    run("bcftools", "view", "-O", "b" if ending == "bcf" else "z", "-o", path, tmp_path / "a.vcf")
    run("bcftools", "index", path)
    (line,) = lines_of(path, cut(path, None, Bounds((Region("chr1", 0, 1000),))))
    assert line.split("\t")[7] == "DP=7"
    (line,) = lines_of(path, cut(path, None, Bounds((Region("chr1", 0, 1000),), is_masking=False)))
    assert line.split("\t")[7] == f"DP=7;{entry}"


@pytest.mark.parametrize("samples", [("alice",), ("bob", "dave"), ("carol",), ("dave", "eve", "alice")])
def test_samples_are_cut_as_bcftools_cuts_them(path, samples):
    kept = [name for name in SAMPLES if name in samples]
    made = cut(path, None, Bounds(samples=frozenset(samples), info=frozenset(("AC", "AN", "DP", "NOTE")), is_masking=False))
    found = lines_of(path, made)
    given = view(path, "-s", ",".join(kept))
    assert len(found) == len(given)
    for mine, theirs in zip(found, given):
        mine, theirs = mine.split("\t"), theirs.split("\t")
        assert mine[:7] + mine[8:] == theirs[:7] + theirs[8:]
        mine, theirs = (dict(e.partition("=")[::2] for e in line[7].split(";") if e != ".") for line in (mine, theirs))
        assert mine == {key: value for key, value in theirs.items() if key in ("AC", "AN", "DP", "NOTE") and key in mine}
        assert {"DP", "NOTE"} & theirs.keys() == {"DP", "NOTE"} & mine.keys()


def test_by_default_only_what_is_of_the_site_stays_beside_the_counts(path):
    found = lines_of(path, cut(path, None, Bounds(samples=frozenset(("bob",)))))
    keys = {entry.partition("=")[0] for line in found for entry in line.split("\t")[7].split(";")}
    assert keys - {"."} == SITE_KEYS | {"AC", "AN"}


def test_the_header_names_no_other_sample(path):
    made = cut(path, None, Bounds(samples=frozenset(("alice",))))
    out = path.with_name("out" + "".join(path.suffixes))
    out.write_bytes(b"".join(made.pieces))
    header = run("bcftools", "view", "-h", "--no-version", out).decode()
    assert header.rstrip().endswith("FORMAT\talice")
    assert not re.search(r"\b(bob|carol|dave)\b", header)
    assert "##SAMPLE=<ID=alice" in header and "ID=END" in header


def test_all_samples_of_a_file_take_nothing_away(path):
    made = cut(path, None, Bounds(samples=frozenset((*SAMPLES, "eve"))))
    assert lines_of(path, made) == view(path)


def test_keys_are_those_that_may_be_given(path):
    found = lines_of(path, cut(path, None, Bounds(info=frozenset(("DP", "AF")), formats=frozenset(("GT", "PS")))))
    given = view(path)
    assert len(found) == len(given)
    for mine, theirs in zip(found, given):
        mine, theirs = mine.split("\t"), theirs.split("\t")
        assert mine[7] == (";".join(e for e in theirs[7].split(";") if e.partition("=")[0] in ("DP", "AF")) or ".")
        at = [n for n, key in enumerate(theirs[8].split(":")) if key in ("GT", "PS")]
        assert mine[8] == (":".join(theirs[8].split(":")[n] for n in at) or ".")
        expected = [":".join(c.split(":")[n] for n in at if n < len(c.split(":"))) or "." for c in theirs[9:]]
        assert [c.rstrip(":.") for c in mine[9:]] == [c.rstrip(":.") for c in expected]


@pytest.mark.parametrize("columns", [["alice"], ["alice", "carol"]])
def test_a_line_with_more_samples_than_the_header_names_is_refused(tmp_path, columns):
    """Whose they are is not known, also where all that are named may be given."""
    text = "##fileformat=VCFv4.3\n##contig=<ID=chr1,length=1000>\n"
    text += "\t".join(["#CHROM", "POS", "ID", "REF", "ALT", "QUAL", "FILTER", "INFO", "FORMAT", *columns]) + "\n"
    line = ["chr1", "9", ".", "A", "C", ".", ".", ".", "GT", *["0/1"] * len(columns)]
    for more, is_sound in (([], True), (["1/1"], False)):
        path = tmp_path / "a.vcf.gz"
        path.write_bytes(compress((text + "\t".join(line + more) + "\n").encode()) + BGZF_EOF)
        run("tabix", "-f", "-p", "vcf", path)
        made = cut(path, None, Bounds((Region("chr1"),), samples=frozenset(("alice",))))
        if is_sound:
            assert len(lines_of(path, made)) == 1
        else:
            with pytest.raises(IntegrityError, match="malformed"):
                b"".join(made.pieces)


def test_a_file_without_a_sample_that_may_be_given_is_refused(path):
    with pytest.raises(HtsgetError, match="no sample"):
        cut(path, None, Bounds(samples=frozenset(("eve",))))
