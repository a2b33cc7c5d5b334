"""An address gives the places where its object may be, the outermost first, and never one that it does not name."""

from __future__ import annotations

import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modos.api import MODO
from modos.errors import InvalidInputError, NotFoundError
from modos.filesystem.object_places import Places, Reach, iter_places, strip_protocol

PART = st.text("abc.%2fFé ", min_size=1, max_size=4).filter(lambda part: part not in (".", ".."))


@pytest.mark.parametrize(
    "address, first, last",
    [
        ("modos://bucket/ex/a.bam", ("s3://bucket", "ex/a.bam"), ("s3://bucket/ex/a.bam", "")),
        ("modos:///data/ex/a.bam", ("/data", "ex/a.bam"), ("/data/ex/a.bam", "")),
        ("modos://https://server/files/ex", ("https://server/files", "ex"), ("https://server/files/ex", "")),
        ("bucket/ex/", ("s3://bucket", "ex"), ("s3://bucket/ex", "")),
    ],
)
def test_forms_of_addresses(address, first, last):
    places = list(iter_places(strip_protocol(address)))
    assert places[0] == first and places[-1] == last


@given(st.lists(PART, min_size=1, max_size=6), st.sampled_from(["", "/"]))
def test_the_parts_are_those_of_the_address(parts, start):
    place = start + "/".join(parts)
    found = list(iter_places(strip_protocol(f"modos://{place}")))
    assert len(found) == len(parts)
    for address, rest in found:
        whole = f"{address}/{rest}".rstrip("/") if not rest else f"{address}/{rest}"
        assert whole.removeprefix("s3://") == place


@given(
    st.lists(PART, max_size=4),
    st.sampled_from(["..", ".", "", "a\\b", "a\x1bb", "\ud800"]),
    st.lists(PART, min_size=1, max_size=4),
)
def test_what_could_lead_elsewhere_is_refused(before, bad, after):
    with pytest.raises(InvalidInputError, match="not the address"):
        list(iter_places("/" + "/".join([*before, bad, *after])))


@pytest.mark.parametrize("place", ["", "/", "http://", "https://"])
def test_no_object_is_named(place):
    with pytest.raises(InvalidInputError, match="names no object"):
        list(iter_places(place))


def test_the_outermost_object_is_found_whatever_was_asked_before(tmp_path):
    MODO.create(tmp_path / "a" / "inner", id="inner")
    places = Places(Reach(), lambda opened: opened.storage.url)
    inner = f"{tmp_path}/a/inner/x"
    assert places.find(inner) == (str(tmp_path / "a" / "inner"), f"{tmp_path}/a/inner", "x")
    with pytest.raises(NotFoundError, match="lies in no MODO"):
        places.find(str(tmp_path))
    assert pickle.loads(pickle.dumps(Reach("http://server"))) == Reach("http://server")
