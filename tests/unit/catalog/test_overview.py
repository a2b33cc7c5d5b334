"""An overview finds, counts and pages as going through all metadata one by one does."""

from __future__ import annotations

import random
import threading
from collections import Counter

import numpy as np
import polars as pl
import pytest

from modos.catalog import overview as overview_module
from modos.catalog.catalog_view import Frames, View
from modos.catalog.element_rows import Rows
from modos.catalog.overview import FACETS, Overview, Overviews
from modos.catalog.searching import parse_search
from modos.errors import InvalidInputError, ModosError
from modos.storage import open_storage
from tests.support.waiting import wait_until

WORDS = ("liver", "Kidney", "Straße", "a.b", "x*", "(", "ÄRZTE", "50%", "\\d", "[", "naïve")


def everything(keys):
    return np.ones(len(keys), bool)


def make_metadata(number, rng):
    """An object of some elements, of which some have what no column holds."""
    key = f"o{number:03}"
    metadata = {
        key: {
            "@type": "MODO",
            "id": key,
            "name": rng.choice(WORDS),
            "creation_date": "2025-01-15",
            "last_update_date": f"2025-0{rng.randint(1, 9)}-15T10:00:00",
        }
    }
    for at in range(rng.randint(0, 3)):
        taxa = rng.sample(
            ["NCBITaxon:9606", "http://purl.obolibrary.org/obo/NCBITaxon_9606", "NCBITaxon:10090"], rng.randint(0, 2)
        )
        metadata[f"sample/s{at}"] = {
            "@type": "Sample",
            "sex": rng.choice(["Male", "Female"]),
            "taxon_id": taxa,
            "description": " ".join(rng.sample(WORDS, 3)),
        }
    for at in range(rng.randint(0, 2)):
        metadata[f"data/d{at}"] = {
            "@type": rng.choice(["AlignmentSet", "VariantSet"]),
            "data_path": f"{rng.choice(WORDS)}.bam",
            "data_format": rng.choice(["BAM", "VCF"]),
            "data_size": rng.randint(0, 20),
            "data_checksum": f"{rng.getrandbits(512):0128x}",
            "sample_processing" if rng.random() < 0.2 else "name": rng.choice(WORDS),
        }
    if rng.random() < 0.5:
        metadata["reference/r"] = {"@type": "ReferenceGenome", **rng.choice([{"assembly": "hg38"}, {"name": "hg19"}, {}])}
    return key, metadata


@pytest.fixture(scope="module")
def objects():
    rng = random.Random(7)
    return dict(make_metadata(number, rng) for number in range(120))


def view_of(objects, storage):
    rows = Rows()
    for key, metadata in objects.items():
        rows.add(key, key, metadata, 1, "tag")
    rows.add_problem("o050x", "damaged: it is")
    elements, digests = rows.to_frames()
    none = Frames(pl.DataFrame(schema=elements.schema), pl.DataFrame(schema=digests.schema))
    return View(storage, None, b"", none.elements, Frames(elements, digests))


@pytest.fixture(scope="module")
def overview(objects, tmp_path_factory):
    return Overview(view_of(objects, open_storage(tmp_path_factory.mktemp("root"))))


def local(value):
    return value.replace("http://purl.obolibrary.org/obo/NCBITaxon_", "NCBITaxon:")


def values_of(metadata, key, facet):
    """The values of a facet, by going through the elements."""
    found = set()
    for element_id, attributes in metadata.items():
        if element_id == key:
            continue
        if facet == "class":
            found.add(attributes["@type"])
        elif facet == "assembly":
            if attributes["@type"] == "ReferenceGenome":
                found.add(attributes.get("assembly") or attributes.get("name") or "r")
        else:
            value = attributes.get(FACETS[facet])
            found |= {local(one) for one in (value if isinstance(value, list) else [value]) if one is not None}
    return found


def without_numbers(metadata, key):
    """What words are looked for in: not in digests and numbers, and not in times and links."""
    hidden = ("data_checksum", "data_size", "creation_date", "last_update_date")
    return {i: {name: value for name, value in a.items() if name not in hidden} for i, a in metadata.items()}


def all_of(overview, words="", chosen=None, shows=everything, readable=everything, limit=7):
    """All pages."""
    found, after = [], None
    while True:
        page = overview.find(words, chosen or {}, shows, readable, after, limit)
        found += page.objects
        if page.following is None:
            assert page.total == len(found) and len({one.key for one in found}) == len(found)
            return found, page
        assert page.following == page.objects[-1].key and len(page.objects) == limit
        after = page.following


@pytest.mark.parametrize(
    "words",
    [
        *WORDS,
        "liver kidney",
        "strasse",
        "STRASSE",
        "o01",
        "data/d0",
        "nothing at all",
        "female",
        "bam",
        "NCBITaxon:9606",
        '"a.b"',
    ],
)
def test_words_are_found_where_they_are(objects, overview, words):
    terms = parse_search(words)
    expected = [
        key
        for key, metadata in objects.items()
        if all(term.is_in(without_numbers(metadata, key)) or term.value in key for term in terms)
    ]
    assert [one.key for one in all_of(overview, words)[0]] == expected


@pytest.mark.parametrize(
    "words",
    [
        "sex=Female",
        "sex=female",
        "sex=fem",
        "sex~fem",
        "taxon_id=NCBITaxon:9606",
        "name=straße",
        "data_size=12",
        "data_size~1",
        "@type=Sample",
        "id=sample/s0",
        "id~s1",
        "data_checksum~ab12",
        "last_update_date~2025-03",
        "sample_processing~liver",
        'description~"x* ("',
    ],
)
def test_values_of_slots_are_found_where_they_are(objects, overview, words):
    terms = parse_search(words)
    expected = [key for key, metadata in objects.items() if all(term.is_in(metadata) for term in terms)]
    assert [one.key for one in all_of(overview, words)[0]] == expected


@pytest.mark.parametrize("words", ["sex=", "nothing=x", '"'])
def test_a_search_that_cannot_be_read_is_told(overview, words):
    with pytest.raises(InvalidInputError):
        overview.find(words, {}, everything, everything, None, 10)


@pytest.mark.parametrize(
    "chosen",
    [
        {},
        {"sex": "Female"},
        {"organism": "NCBITaxon:9606", "sex": "Male"},
        {"class": "VariantSet", "format": "BAM"},
        {"assembly": "hg38"},
        {"sex": "none of these"},
    ],
)
@pytest.mark.parametrize("words", ["", "liver"])
def test_filters_and_counts(objects, overview, chosen, words):
    terms = parse_search(words)
    fits = [key for key, metadata in objects.items() if all(term.is_in(without_numbers(metadata, key)) for term in terms)]
    found, page = all_of(overview, words, chosen)
    expected = [key for key in fits if all(value in values_of(objects[key], key, facet) for facet, value in chosen.items())]
    assert [one.key for one in found if not one.problem] == expected
    shown = {one.key: {facet: set(values) for facet, values in one.values.items()} for one in found if not one.problem}
    assert shown == {key: {facet: values_of(objects[key], key, facet) for facet in FACETS} for key in expected}
    for facet in FACETS:
        others = {name: value for name, value in chosen.items() if name != facet}
        among = [key for key in fits if all(value in values_of(objects[key], key, name) for name, value in others.items())]
        counts = Counter(value for key in among for value in values_of(objects[key], key, facet))
        assert dict(page.counts[facet]) == counts
        assert [count for _, count in page.counts[facet]] == sorted(counts.values(), reverse=True)


def test_what_may_not_be_read_is_neither_found_nor_counted(objects, overview):
    def shows(key):
        return key[-1:] in set("024")

    def readable(key):
        return key[-1:] in set("02")

    shows, readable = (lambda keys, test=test: np.array([test(key) for key in keys], bool) for test in (shows, readable))
    found, page = all_of(overview, "", {}, shows, readable)
    assert [one.key for one in found] == [key for key in objects if key[-1] in "024"]
    assert all(one.is_readable == (one.key[-1] in "02") for one in found)
    assert not any(
        one.name or one.description or one.values or one.elements or one.updated for one in found if not one.is_readable
    )
    assert dict(page.counts["sex"]) == Counter(
        v for key in objects if key[-1] in "02" for v in values_of(objects[key], key, "sex")
    )
    for words, chosen in (("liver", {}), ("", {"sex": "Female"}), ("sex=Male", {})):
        assert {one.key[-1] for one in all_of(overview, words, chosen, shows, readable)[0]} <= set("02")
    assert [one.key for one in all_of(overview, "o004", {}, shows, readable)[0]] == ["o004"], "by its name, which they may know"


def test_an_object_that_cannot_be_read_is_among_them(overview):
    assert [one.problem for one in all_of(overview)[0] if one.key == "o050x"] == ["damaged"]


def test_an_overview_is_made_once_for_a_version(objects, tmp_path):
    views = [view_of(objects, open_storage(tmp_path))]
    overviews = Overviews(lambda: views[-1])
    first, is_newest = overviews.get()
    assert is_newest and overviews.get()[0] is first
    views.append(view_of({}, open_storage(tmp_path)))
    assert overviews.get()[0].keys == ["o050x"]


def test_while_rows_are_read_the_overview_before_is_given_and_told_apart(objects, tmp_path):
    view, open_gate, reads = view_of(objects, open_storage(tmp_path)), threading.Event(), []

    def read():
        reads.append(1)
        assert open_gate.wait(60)
        return view

    overviews = Overviews(read, waits=False)
    assert overviews.get(0.05, 0.05) == (None, False)
    wait_until(lambda: reads)
    assert overviews.get(0.05, 0.05) == (None, False)
    assert len(reads) == 1, "many questions are one reading"
    open_gate.set()
    first, is_newest = overviews.get(60, 60)
    assert first.keys and is_newest
    open_gate.clear()
    assert overviews.get(0.05, 0.05) == (first, False)
    open_gate.set()
    assert overviews.get(60, 60) == (first, True)


def test_rows_that_cannot_be_read_are_an_error_and_tried_again(objects, tmp_path):
    view, failures = view_of(objects, open_storage(tmp_path)), [ModosError("the storage is gone")]

    def read():
        if failures:
            raise failures.pop()
        return view

    overviews = Overviews(read, waits=False)
    with pytest.raises(ModosError, match="gone"):
        overviews.get(60, 60)
    assert overviews.get(60, 60)[0].keys


def test_an_empty_one(tmp_path):
    rows = Rows()
    elements, digests = rows.to_frames()
    overview = Overview(View(open_storage(tmp_path), None, b"", elements, Frames(elements, digests)))
    page = overview.find("x", {"sex": "Male"}, everything, everything, "a", 10)
    assert (page.total, page.objects, page.following) == (0, [], None)


def test_a_search_goes_through_the_rows_once_for_each_of_a_few_words(overview, monkeypatch):
    looked = []
    find = overview_module.find_objects
    monkeypatch.setattr(overview_module, "find_objects", lambda view, term: looked.append(term) or find(view, term))

    def search(words):
        return overview.find(words, {}, everything, everything, None, 10).total

    assert search("liver " * 100 + "LIVER") == search("liver") and len(looked) == 2
    assert search(" ".join(f"o{number}" for number in range(12))) == 0
    with pytest.raises(InvalidInputError, match="13 different words, of 12 at most"):
        search(" ".join(f"o{number}" for number in range(13)))
