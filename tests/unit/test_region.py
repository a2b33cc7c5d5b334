"""Regions are read as samtools reads them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modos.errors import InvalidInputError, NotFoundError, RegionError
from modos.region import Region


@pytest.mark.parametrize(("text", "start", "end"), [
    ("chr1", 0, None), ("chr1:58-58", 57, 58), ("chr1:1,000-2,000", 999, 2000), ("chr1:1000-", 999, None),
    ("chr1:-2000", 0, 2000), ("chr1:1000", 999, None), ("{chr1}:5-9", 4, 9), ("chr1:0-10", 0, 10), ("chr1:", 0, None),
])
def test_forms(text, start, end):
    assert Region.parse(text) == Region("chr1", start, end)
    assert Region.parse(text, ["chr1"]) == Region("chr1", start, end)


@pytest.mark.parametrize("text", ["", "chr1:2-1", "chr1:1x", "chr1:1-2-3", "chr1:--", "chr1:1 - 2", "chr1:9999999999999999",
                                  "a\nb"])
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
