"""Regions are read as samtools reads them."""

import contextlib
import gzip
import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modos.errors import InvalidInputError, NotFoundError, RegionError, TruncatedStream
from modos.genomics.region import UNMAPPED, Region, as_regions, read_regions, settle


@pytest.mark.parametrize(
    ("text", "start", "end"),
    [
        ("chr1", 0, None),
        ("chr1:58-58", 57, 58),
        ("chr1:1,000-2,000", 999, 2000),
        ("chr1:1000-", 999, None),
        ("chr1:-2000", 0, 2000),
        ("chr1:1000", 999, None),
        ("{chr1}:5-9", 4, 9),
        ("chr1:0-10", 0, 10),
        ("chr1:", 0, None),
    ],
)
def test_forms(text, start, end):
    assert Region.parse(text) == Region("chr1", start, end)
    assert Region.parse(text, ["chr1"]) == Region("chr1", start, end)


@pytest.mark.parametrize(
    "text", ["", "chr1:2-1", "chr1:1x", "chr1:1-2-3", "chr1:--", "chr1:1 - 2", "chr1:9999999999999999", "a\nb"]
)
def test_malformed(text):
    with pytest.raises(RegionError):
        Region.parse(text)


def test_names_with_colons_are_settled_by_the_header():
    contigs = ["HLA-DRB1*15:01:01:01", "chr1"]
    assert Region.parse("HLA-DRB1*15:01:01:01:1-100", contigs) == Region(contigs[0], 0, 100)
    assert Region.parse("HLA-DRB1*15:01:01:01", contigs) == Region(contigs[0])
    with pytest.raises(RegionError, match="two things"):
        Region.parse("chr1:5-9", ["chr1", "chr1:5-9"])
    with pytest.raises(NotFoundError):
        Region.parse("chr2:5-9", ["chr1"])


@given(st.text("abcX*:-.0_", min_size=1, max_size=12), st.integers(0, 10**9), st.none() | st.integers(1, 10**6))
def test_text_and_region_are_the_same(contig, start, length):
    region = Region(contig, start, None if length is None else start + length)
    assert Region.parse(str(region), [contig]) == region


@given(st.text(max_size=40))
def test_any_text_is_a_region_or_a_clear_error(text):
    try:
        Region.parse(text)
    except InvalidInputError as error:
        assert "\n" not in str(error)


# --- several regions ---

CONTIGS = ("chr2", "chr1", "HLA:01", "chr10")
some = st.builds(
    lambda contig, start, width: Region(contig, start, width and start + width),
    st.sampled_from([*CONTIGS, UNMAPPED]),
    st.integers(0, 300),
    st.none() | st.integers(1, 100),
)


def bases(regions):
    return {(r.contig, base) for r in regions for base in range(r.start, min(r.limit, 400))}


@given(st.lists(some, min_size=1, max_size=12))
def test_settled_regions_are_the_same_bases_in_file_order_and_apart(regions):
    settled = settle(regions, CONTIGS)
    assert bases(settled) == bases(regions)
    order = [*CONTIGS, UNMAPPED]
    places = [(order.index(r.contig), r.start, r.limit) for r in settled]
    assert places == sorted(places)
    assert all(a[0] < b[0] or a[2] < b[1] for a, b in itertools.pairwise(places))


def test_text_is_settled_against_the_header():
    assert settle(["chr10:5-9", Region("chr1", 0, 4), "HLA:01", "chr1:3-8"], CONTIGS) == (
        Region("chr1", 0, 8),
        Region("HLA:01"),
        Region("chr10", 4, 9),
    )
    assert settle(["b:1-2", "a"]) == (Region("b", 0, 2), Region("a"))


def test_one_or_several_or_all():
    assert as_regions(None) is None
    assert as_regions("chr1") == ("chr1",) and as_regions(Region("chr1")) == (Region("chr1"),)
    assert as_regions(iter(["chr1", Region("a")])) == ("chr1", Region("a"))
    with pytest.raises(RegionError):
        as_regions([])


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("a.bed", "track name=x\n#c\nchr1\t0\t10\tname\nchr1\t5\t5\n\nchr2 1 3\n", [Region("chr1", 0, 10), Region("chr2", 1, 3)]),
        (
            "a.txt",
            "chr1\t1\t10\nchr1\t1,000\t2,000\nchr2\nchr3\t7\n",
            [Region("chr1", 0, 10), Region("chr1", 999, 2000), Region("chr2"), Region("chr3", 6, 7)],
        ),
        ("a.vcf", "##x\nchr1\t7\tid\tA\tC\n", [Region("chr1", 6, 7)]),
        ("A.BED.gz", "chr1\t0\t10\n", [Region("chr1", 0, 10)]),
    ],
)
def test_files_of_regions(tmp_path, name, text, expected):
    data = text.encode()
    (tmp_path / name).write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    assert read_regions(str(tmp_path / name)) == tuple(expected)


@pytest.mark.parametrize(
    ("name", "data", "words"),
    [
        ("a.bed", b"chr1\t5\n", "line 1"),
        ("a.bed", b"chr1\tx\t5\n", "line 1"),
        ("a.bed", b"\n#\n", "no regions"),
        ("a.bed", b"chr1\t9\t5\n", "line 1"),
        ("a.bed", b"chr1\t-1\t5\n", "line 1"),
        ("a.txt", b"chr1\t9\t5\n", "line 1"),
        ("a.bed", b"\x1f\x8b\x00nothing", "not a file of regions"),
        ("a.bed", b"\xff\xfe\x00", "not a file of regions"),
    ],
)
def test_malformed_files_of_regions_say_where(tmp_path, name, data, words):
    (tmp_path / name).write_bytes(data)
    with pytest.raises(RegionError, match=words):
        read_regions(str(tmp_path / name))


def test_a_truncated_file_of_regions(tmp_path):
    """What is missing may be regions: the error is that of other files that were cut off."""
    path = tmp_path / "x.bed.gz"
    path.write_bytes(gzip.compress(b"".join(b"c1\t%d\t%d\n" % (i, i + 1) for i in range(999)))[:-20])
    with pytest.raises(TruncatedStream, match="x.bed.gz is truncated") as error:
        read_regions(path)
    assert error.value.exit_code == 6


def test_a_file_of_regions_that_is_not_there(tmp_path):
    with pytest.raises(NotFoundError):
        read_regions(str(tmp_path / "none.bed"))


@given(st.binary(max_size=300))
def test_any_file_of_regions_is_read_or_refused(tmp_path_factory, data):
    path = tmp_path_factory.getbasetemp() / "any.bed"
    path.write_bytes(data)
    with contextlib.suppress(RegionError, TruncatedStream):
        assert read_regions(str(path))
