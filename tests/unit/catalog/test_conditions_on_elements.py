"""Conditions select what a walk over the metadata in plain Python selects."""

from __future__ import annotations

import itertools
import random

import pytest

from modos.catalog.conditions_on_elements import parse_condition, select_elements
from modos.catalog.element_rows import Rows
from modos.errors import InvalidInputError, SchemaError

SEXES, TAXA, FORMATS = (
    ("Male", "Female", None),
    ("NCBITaxon:9606", "http://purl.obolibrary.org/obo/NCBITaxon_10090", None),
    ("CRAM", "BAM", "VCF"),
)


def make_object(rng):
    """An object with samples, data, an assay and a reference, linked by chance."""
    metadata = {
        "o": {
            "@type": "MODO",
            "id": "o",
            "creation_date": rng.choice(["2024-05-01", "2025-01-15T10:00:00"]),
            "has_assay": ["assay/a"],
        }
    }
    samples = [f"sample/s{n}" for n in range(rng.randrange(3))]
    for one in samples:
        taxon = rng.choice(TAXA)
        metadata[one] = {
            "@type": "Sample",
            "sex": rng.choice(SEXES),
            "taxon_id": [taxon] if taxon else None,
            "collector": rng.sample(["x", "y", "z"], 2),
        }
        metadata[one] = {name: value for name, value in metadata[one].items() if value is not None}
    data = [f"data/d{n}" for n in range(rng.randrange(4))]
    for one in data:
        metadata[one] = {
            "@type": rng.choice(["AlignmentSet", "VariantSet"]),
            "data_format": rng.choice(FORMATS),
            "data_size": rng.randrange(100),
            "data_path": one[5:],
        }
        if samples and rng.random() < 0.6:
            metadata[one]["has_sample"] = rng.sample(samples, rng.randint(1, len(samples)))
        if rng.random() < 0.5:
            metadata[one]["has_reference"] = ["reference/r"]
    metadata["reference/r"] = {
        "@type": "ReferenceGenome",
        "data_path": "r.fa",
        "assembly": rng.choice(["GRCh38", "mm10"]),
        "taxon_id": ["NCBITaxon:9606"],
    }
    metadata["assay/a"] = {
        "@type": "Assay",
        "omics_type": rng.sample(["GENOMICS", "PROTEOMICS"], rng.randint(1, 2)),
        "has_data": rng.sample(data, rng.randrange(len(data) + 1)),
    }
    if samples and rng.random() < 0.5:
        metadata["assay/a"]["has_sample"] = [samples[0]]
    return metadata


@pytest.fixture(scope="module")
def objects():
    rng = random.Random(23)
    return {f"o{n:03}": make_object(rng) for n in range(120)}


@pytest.fixture(scope="module")
def elements(objects):
    rows = Rows()
    for key, metadata in objects.items():
        rows.add(key, "o", metadata, 1, "")
    return rows.to_frames()[0].lazy()


def linked(metadata, element_id, group):
    """Ids of what an element of data or a sample is linked to, by the words of the page on finding."""
    assays = [i for i in metadata if i.startswith("assay/")]
    own = metadata[element_id]
    mine = [a for a in assays if element_id in metadata[a].get("has_data", ())]
    if group == "sample" and element_id.startswith("data/"):
        return own.get("has_sample") or list(dict.fromkeys(s for a in mine for s in metadata[a].get("has_sample", ())))
    if group == "reference" and element_id.startswith("data/"):
        return own.get("has_reference", [])
    if group == "assay" and element_id.startswith("data/"):
        return mine
    if group == "data" and element_id.startswith("sample/"):
        direct = [d for d in metadata if d.startswith("data/") and element_id in metadata[d].get("has_sample", ())]
        by_assay = [d for a in assays if element_id in metadata[a].get("has_sample", ()) for d in metadata[a].get("has_data", ())]
        return list(dict.fromkeys(direct + by_assay))
    if group == "object":
        return ["o"]
    raise AssertionError(group)


def local(text):
    return None if text is None else text.rpartition("_")[2] if "://" in text else text.rpartition(":")[2]


def select(objects, kinds, test, *groups):
    """Elements of some kinds that pass a test with one combination of what they are linked to."""
    found = set()
    for key, metadata in objects.items():
        for element_id, attributes in metadata.items():
            if attributes["@type"] not in kinds:
                continue
            ways = [[metadata[i] for i in linked(metadata, element_id, group)] or [{}] for group in groups]
            if any(test(attributes, *way) for way in itertools.product(*ways)):
                found.add((key, "" if element_id == "o" else element_id))
    return found


DATA = ("AlignmentSet", "VariantSet")
CASES = [
    ("AlignmentSet", "sex = 'Female'", ("AlignmentSet",), lambda a, s: s.get("sex") == "Female", ("sample",)),
    (
        "DataEntity",
        "sex = 'Female' and taxon_id = '9606'",
        DATA,
        lambda a, s: s.get("sex") == "Female" and "9606" in map(local, s.get("taxon_id", ())),
        ("sample",),
    ),
    ("DataEntity", "taxon_id = '10090'", DATA, lambda a, s: "10090" in map(local, s.get("taxon_id", ())), ("sample",)),
    ("DataEntity", "taxon_id = 'NCBITaxon:9606'", DATA, lambda a, s: "NCBITaxon:9606" in s.get("taxon_id", ()), ("sample",)),
    ("DataEntity", "'9606' = taxon_id", DATA, lambda a, s: "9606" in map(local, s.get("taxon_id", ())), ("sample",)),
    ("DataEntity", "reference.taxon_id in ('9606')", DATA, lambda a, r: bool(r), ("reference",)),
    (
        "DataEntity",
        "data_size > 50 and data_format in ('CRAM', 'BAM')",
        DATA,
        lambda a: a["data_size"] > 50 and a["data_format"] in ("CRAM", "BAM"),
        (),
    ),
    ("DataEntity", "data_size>=50 or sex is null", DATA, lambda a, s: a["data_size"] >= 50 or s.get("sex") is None, ("sample",)),
    (
        "DataEntity",
        "omics_type = 'PROTEOMICS' and assembly = 'mm10'",
        DATA,
        lambda a, y, r: "PROTEOMICS" in y.get("omics_type", ()) and r.get("assembly") == "mm10",
        ("assay", "reference"),
    ),
    ("DataEntity", "not (sex = 'Male')", DATA, lambda a, s: s.get("sex") not in (None, "Male"), ("sample",)),
    ("Sample", "data_format = 'CRAM'", ("Sample",), lambda a, d: d.get("data_format") == "CRAM", ("data",)),
    (
        "Sample",
        "sex = 'Female' and collector = 'x'",
        ("Sample",),
        lambda a: a.get("sex") == "Female" and "x" in a["collector"],
        (),
    ),
    ("DataEntity", "creation_date >= '2025-01-01'", DATA, lambda a, o: o["creation_date"] >= "2025", ("object",)),
    ("MODO", "creation_date = '2024-05-01'", ("MODO",), lambda a: a["creation_date"] == "2024-05-01", ()),
    ("MODO", "creation_date = '2024-05-01T00:00:00'", ("MODO",), lambda a: a["creation_date"] == "2024-05-01", ()),
    ("MODO", "'2025-01-15T12:00+02:00' <= creation_date", ("MODO",), lambda a: a["creation_date"] > "2025", ()),
    ("MODO", "creation_date in ('2024-05-01 00:00', '2023')", ("MODO",), lambda a: a["creation_date"] == "2024-05-01", ()),
    ("MODO", "creation_date between '2025-01' and '20250115T100000'", ("MODO",), lambda a: a["creation_date"] > "2025", ()),
    ("MODO", "creation_date like '2024-%'", ("MODO",), lambda a: a["creation_date"] < "2025", ()),
    (
        "DataEntity",
        "sex = 'Male' and taxon_id like 'NCBITaxon%'",
        DATA,
        lambda a, s: s.get("sex") == "Male" and any(t.startswith("NCBI") for t in s.get("taxon_id", ())),
        ("sample",),
    ),
    (
        "DataEntity",
        "taxon_id not like '9606%'",
        DATA,
        lambda a, s: bool(s.get("taxon_id")),
        ("sample",),
    ),
    ("DataEntity", "taxon_id in ('9606', '1')", DATA, lambda a, s: "9606" in map(local, s.get("taxon_id", ())), ("sample",)),
    (
        "DataEntity",
        "sex = 'Male' and other is null and data_size > 10",
        DATA,
        lambda a, s: s.get("sex") == "Male" and a["data_size"] > 10,
        ("sample",),
    ),
    (None, "element = 'data/d1' and object < 'o05'", DATA, None, ()),
    (
        "DataEntity",
        "lower(data_format) like 'c%' and collector <> 'x'",
        DATA,
        lambda a, s: a["data_format"] == "CRAM" and any(c != "x" for c in s.get("collector", ())),
        ("sample",),
    ),
]


@pytest.mark.parametrize(("class_name", "where", "kinds", "test", "groups"), CASES, ids=[case[1] for case in CASES])
def test_as_by_hand(objects, elements, class_name, where, kinds, test, groups):
    found = select_elements(elements, class_name, where).select("object", "element").collect().rows()
    assert len(found) == len(set(found))
    if test is None:
        expected = {(key, "data/d1") for key, metadata in objects.items() if "data/d1" in metadata and key < "o05"}
    else:
        expected = select(objects, kinds, test, *groups)
    assert set(found) == expected
    assert len(expected) > 0


def test_all_of_a_class(objects, elements):
    found = select_elements(elements, "DataEntity").collect()
    assert found.height == sum(a["@type"] in DATA for metadata in objects.values() for a in metadata.values())
    assert found.columns == elements.collect_schema().names()


@pytest.mark.parametrize(
    ("where", "said"),
    [
        ("sx = 'Female'", "did you mean sex"),
        ("sample.sx = 'F'", "no column sample.sx"),
        ("simple.sex = 'F'", "no link simple"),
        ("sex = ", "cannot be read"),
        ("sex = 'Female", "a quote is not closed"),
        ("", "it is empty"),
        ("data_size", "Boolean"),
        ("data_size = 'x'", "cannot compare"),
        ("read_csv('/etc/passwd') = 'x'", "cannot call read_csv"),
        ("regexp_like(sex, 'a')", "cannot call"),
        ("exists (select 1)", "cannot call exists"),
        ("sex = 'F'; drop", "cannot be read"),
        ("(" * 3000, "cannot be read"),
        ("sex = 'a' or " * 400 + "sex = 'b'", "characters"),
        ("sex = $1", "cannot be read"),
        ("\x00", "cannot be read"),
        ("taxon_id in ('NCBITaxon:9606', '10090')", "with a prefix and with others without"),
        ("creation_date > 'yesterday'", "which is no time"),
        ("sex = 'x' /* ' */ or data_path = 'x' /* ' */", "a comment"),
        ("sex = 'x' -- ' or sex = 'y'\n or sex = ' ", "a comment"),
        ("$$'$$ <> object or object = $$'$$", "cannot be read"),
        ("not object", "cannot be read"),
        ("abs(object) > 1", "cannot be read"),
        ("revision = '1'", "cannot be read"),
        ("1", "cannot be read"),
    ],
)
def test_what_cannot_be_read_is_said_in_one_line(elements, where, said):
    with pytest.raises(InvalidInputError) as caught:
        select_elements(elements, None, where).collect()
    assert said in str(caught.value) and "\n" not in caught.value.message


@pytest.mark.parametrize(
    ("class_name", "where"), [("MODO", "sex = 'Male'"), ("ReferenceGenome", "sex is null"), ("Sample", "sequence.name = 'a'")]
)
def test_what_a_class_is_not_linked_to_is_an_error(elements, class_name, where):
    with pytest.raises(InvalidInputError, match=f"{class_name} has no .* and no link to what has it"):
        select_elements(elements, class_name, where)


def test_a_slot_is_looked_for_where_there_is_a_way(objects):
    """Sequences are linked to references, which have a taxon, and not to samples, which have one, too."""
    rows = Rows()
    rows.add(
        "o",
        "o",
        {
            "o": {"@type": "MODO", "id": "o"},
            "sequence/1": {"@type": "ReferenceSequence"},
            "reference/r": {"@type": "ReferenceGenome", "has_sequence": ["sequence/1"], "taxon_id": ["NCBITaxon:9606"]},
        },
        1,
        "",
    )
    found = select_elements(rows.to_frames()[0].lazy(), "ReferenceSequence", "taxon_id = '9606'").collect()
    assert found["element"].to_list() == ["sequence/1"]


def test_an_unknown_class(elements):
    with pytest.raises(SchemaError, match="no class Alignment"):
        select_elements(elements, "Alignment")


def test_the_columns_that_are_asked_for():
    found = {
        (c.name, c.slot, c.link, c.is_local)
        for c in parse_condition("sample.name = 'a' and taxon_id in ('9606') and taxon_id = 'A:1'").columns
    }
    assert found == {
        ("sample.name", "name", "sample", False),
        ("taxon_id#", "taxon_id", "", True),
        ("taxon_id", "taxon_id", "", False),
    }


def test_lists_of_any_length_do_not_fill_the_memory():
    """One object with two long lists has 10^10 combinations of their values; each other row counts one."""
    rows, long = Rows(), [f"NCBITaxon:{n}" for n in range(100_000)]
    rows.add("o", "o", {"o": {"@type": "MODO"}, "sample/s": {"@type": "Sample", "collector": long, "taxon_id": long}}, 1, "")
    elements = rows.to_frames()[0].lazy()
    with pytest.raises(InvalidInputError, match="10,000,000,001 combinations of the values of collector, taxon_id"):
        select_elements(elements, None, "collector = 'x' or taxon_id = 'NCBITaxon:7'")
    assert select_elements(elements, None, "taxon_id = '7'").collect().height == 1


@pytest.mark.parametrize("where", ["sex = 'Male'", "sample.sex = 'Male' and assay.name = 'x'"])
def test_links_that_multiply_are_refused_before_they_fill_the_memory(where):
    many = 9000
    metadata = {
        "o": {"@type": "MODO", "id": "o"},
        "data/d": {"@type": "AlignmentSet", "data_path": "d.bam", "has_sample": [f"sample/s{n}" for n in range(many)]},
        "assay/a": {
            "@type": "Assay",
            "has_data": [f"data/x{n}" for n in range(many)],
            "has_sample": [f"sample/s{n}" for n in range(many)],
        },
        **{f"data/x{n}": {"@type": "AlignmentSet", "data_path": f"{n}.bam"} for n in range(many)},
        **{f"sample/s{n}": {"@type": "Sample", "sex": "Male"} for n in range(many)},
    }
    rows = Rows()
    rows.add("o", "o", metadata, 1, "")
    with pytest.raises(InvalidInputError, match="links"):
        select_elements(rows.to_frames()[0].lazy(), "AlignmentSet", where).collect()


def test_data_that_name_their_samples_are_not_multiplied():
    many = 9000
    samples = [f"sample/s{n}" for n in range(many)]
    metadata = {
        "o": {"@type": "MODO", "id": "o"},
        "assay/a": {"@type": "Assay", "has_data": [f"data/x{n}" for n in range(many)], "has_sample": samples},
        **{f"data/x{n}": {"@type": "AlignmentSet", "data_path": f"{n}.bam", "has_sample": [f"sample/s{n}"]} for n in range(many)},
        **{one: {"@type": "Sample", "sex": "Male" if number % 3 else "Female"} for number, one in enumerate(samples)},
    }
    rows = Rows()
    rows.add("o", "o", metadata, 1, "")
    assert select_elements(rows.to_frames()[0].lazy(), "AlignmentSet", "sex = 'Female'").collect().height == many / 3
