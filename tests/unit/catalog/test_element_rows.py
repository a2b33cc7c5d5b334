"""Rows of a catalogue hold all that the metadata say: what goes in comes out, whatever it is."""

from __future__ import annotations

from io import BytesIO

import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from modos.catalog.element_rows import OWN, Rows, digest_schema, group_by_object, schema, to_metadata
from modos.metadata.model import class_names, slots

TEXTS = st.text(max_size=8) | st.sampled_from(
    ["2025-01-15", "2025-01-15T10:00:00", "2024-02-30", "2020-01-01T00:00:00+02:00", "\ud800", "9606"]
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(1 << 70), 1 << 70) | st.floats(allow_nan=False) | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=6,
)
NAMES = st.sampled_from([*sorted(slots()), "tag", "object", "other", "problem", "colour", "@type"])
ATTRIBUTES = st.dictionaries(NAMES, VALUES, max_size=6) | st.fixed_dictionaries(
    {"@type": st.sampled_from(class_names())},
    optional={"name": TEXTS, "data_size": st.integers(), "taxon_id": st.lists(TEXTS, max_size=2)},
)
IDS = st.sampled_from(["data/a", "data/b", "sample/s", "assay/ä", "reference/r"])


@given(
    st.dictionaries(
        st.sampled_from(["a", "b/c", ""]),
        st.tuples(st.sampled_from(["a", "c", "x y"]), ATTRIBUTES, st.dictionaries(IDS, ATTRIBUTES)),
        min_size=1,
    )
)
@settings(max_examples=200, deadline=None)
def test_metadata_come_back_from_parquet(objects):
    rows, expected = Rows(), {}
    for key, (object_id, own, elements) in objects.items():
        own = {**own, "id": object_id}
        expected[key] = {object_id: own, **elements}
        rows.add(key, object_id, expected[key], 3, '"tag"')
    stored = []
    for frame in rows.to_frames():
        file = BytesIO()
        frame.write_parquet(file)
        stored.append(pl.read_parquet(file.getvalue()))
    digests = {key: found.to_dicts() for key, found in group_by_object(stored[1])}
    found = {key: to_metadata(key, one.to_dicts(), digests.get(key, [])) for key, one in group_by_object(stored[0])}
    assert found == expected


def test_each_slot_has_one_column():
    columns = set(schema()) | set(digest_schema())
    assert slots() - columns == {"id"}
    assert set(schema()) & set(digest_schema()) == {"object", "element"}
    assert not slots() & set(OWN)


def test_slots_have_the_types_of_the_schema():
    assert schema()["data_size"] == pl.Int64 and schema()["shape"] == pl.List(pl.Int64)
    assert schema()["creation_date"] == pl.Datetime("us") and schema()["taxon_id"] == pl.List(pl.String)


def test_what_repeats_takes_few_bytes():
    rows = Rows()
    metadata = {"o": {"@type": "MODO", "id": "o", "has_assay": ["assay/a"]}} | {
        f"data/d{n}": {"@type": "AlignmentSet", "data_path": f"d{n}.cram", "data_format": "CRAM", "has_sample": ["sample/s"]}
        for n in range(9)
    }
    for number in range(2000):
        rows.add(f"o{number}", "o", metadata, 1, f'"{number:032x}"')
    file = BytesIO()
    rows.to_frames()[0].write_parquet(file, compression="zstd")
    assert len(file.getvalue()) / 20_000 <= 20
