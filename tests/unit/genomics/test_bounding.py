"""Regions are cut to bounds base by base."""

from __future__ import annotations

import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modos.genomics.bounding import Bounds
from modos.genomics.region import UNMAPPED, Region, settle

SPANS = st.tuples(st.sampled_from(["chr1", "chr2", "HLA:1"]), st.integers(0, 30), st.one_of(st.none(), st.integers(1, 9)))
REGIONS = st.lists(SPANS.map(lambda s: Region(s[0], s[1], None if s[2] is None else s[1] + s[2])), max_size=6)


def bases(regions):
    return {(one.contig, base) for one in regions for base in range(one.start, min(one.limit, 60))}


@given(REGIONS, REGIONS)
def test_what_is_cut_has_the_bases_of_both(allowed, wanted):
    cut = Bounds(tuple(allowed)).cut(wanted)
    assert bases(cut) == bases(allowed) & bases(wanted) and cut == settle(cut)
    assert all((one.end is None) == (one.limit > 60) for one in cut)
    assert (cut == settle(wanted)) == (bases(wanted) <= bases(allowed))


@given(REGIONS)
def test_without_bounds_or_regions(regions):
    assert Bounds().cut(None) is None and Bounds().cut(regions) == settle(regions)
    assert Bounds(tuple(regions)).cut(None) == settle(regions)
    assert Bounds(()).cut(regions) == ()


@pytest.mark.parametrize(("allowed", "wanted", "cut"), [("*", "*", ("*",)), ("chr1", "*", ()), ("*", "chr1", ())])
def test_reads_without_a_position(allowed, wanted, cut):
    assert Bounds((Region(allowed),)).cut([Region(wanted)]) == tuple(map(Region, cut))
    assert UNMAPPED == "*"


def test_a_panel_of_an_exome_is_cut_and_pickled():
    exome = tuple(Region("chr1", at, at + 100) for at in range(0, 200_000_000, 1000))
    bounds = Bounds(exome)
    assert bounds.cut(exome[::200]) == exome[::200]
    assert pickle.loads(pickle.dumps(bounds)) == bounds
