"""What only modos says lies where readers of sdsc-ordes modos do not look, and is lost by nobody's change."""

from __future__ import annotations

import json

import pytest
import zarr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from modos.errors import IntegrityError
from modos.object import commits
from modos.object.checking import find_problems
from modos.object.document import ROOT_KEY, STATE, Document, group_node
from modos.object.marks import OWN_NODE
from modos.storage import open_storage

OBJECT = {"@type": "MODO", "id": "ex", "creation_date": "2024-01-01", "last_update_date": "2024-01-01"}
OURS = {
    "Assay": {"has_sample", "sample_processing"},
    "ReferenceSequence": {"refget_digest"},
    "ReferenceGenome": {"assembly", "seqcol_digest", "data_format", "data_checksum", "data_size", "seal_digest", "recipients"},
    "AlignmentSet": {"data_size", "plain_size", "plain_checksum", "seal_digest", "header_digests", "recipients", "sender"},
}
ELEMENTS = {
    "assay/a": {
        "@type": "Assay",
        "name": "A",
        "omics_type": ["GENOMICS"],
        "has_sample": ["sample/s"],
        "sample_processing": ["DNA extraction"],
    },
    "sample/s": {"@type": "Sample", "name": "S"},
    "reference/r": {"@type": "ReferenceGenome", "name": "r", "assembly": "GRCh38", "seqcol_digest": "x" * 32},
    "sequence/q": {"@type": "ReferenceSequence", "name": "q", "sequence_md5": "m", "refget_digest": "SQ.q"},
    "data/d": {
        "@type": "AlignmentSet",
        "data_path": "d.cram.c4gh",
        "data_format": "CRAM",
        "data_size": 7,
        "data_checksum": "c" * 128,
        "plain_size": 5,
        "plain_checksum": "p" * 128,
        "seal_digest": "s" * 128,
        "header_digests": ["h" * 128],
        "recipients": ["me"],
    },
}
slots = st.fixed_dictionaries(
    {"@type": st.just("AlignmentSet")},
    optional={
        "name": st.text(max_size=5),
        "data_path": st.sampled_from(("a.bam", "b.bam")),
        "data_checksum": st.sampled_from(("a" * 128, "b" * 128)),
        "data_size": st.integers(0, 2**40),
        "recipients": st.lists(st.sampled_from("xyz"), min_size=1),
        "sender": st.just("x"),
        "has_reference": st.just(["reference/r"]),
    },
)
documents = st.dictionaries(st.sampled_from([f"data/{name}" for name in ("a", "b", "ü", "d.e")]), slots)


def of(content):
    document = Document(dict(OBJECT), {group: group_node({}) for group in ("assay", "data", "reference", "sample", "sequence")})
    for element_id, attributes in content.items():
        document.add(element_id, attributes)
    document.stamp("first")
    return document


def read(data):
    return Document.from_bytes(data, "tag", "ex")


class Older:
    """A root as versions before this format read, change and write it: nodes are kept whole, and all slots are attributes."""

    def __init__(self, data):
        self.root = json.loads(data)
        self.nodes = self.root["consolidated_metadata"]["metadata"]

    def set(self, element_id, **changes):
        self.nodes[element_id] = self.nodes[element_id] | {"attributes": self.nodes[element_id]["attributes"] | changes}

    def rename(self, element_id, new_id):
        self.nodes[new_id] = self.nodes.pop(element_id)

    def add(self, element_id, attributes):
        self.nodes[element_id] = group_node(dict(attributes))

    def commit(self, name):
        state = self.root["attributes"].get(STATE) or {}
        self.root["attributes"][STATE] = {
            "format_version": 1,
            "revision": state.get("revision", 0) + 1,
            "commits": [*state.get("commits", ()), name],
        }
        return json.dumps(self.root).encode()


def old_form(document):
    """The root as versions before this format write it."""
    nodes = {path: node for path, node in document.nodes.items() if path != OWN_NODE}
    return json.dumps(
        group_node(document.attributes)
        | {"consolidated_metadata": {"kind": "inline", "must_understand": False, "metadata": nodes}}
    ).encode()


def test_no_slot_of_ours_is_among_the_attributes_and_all_are_read():
    data = of(ELEMENTS).to_bytes()
    root = json.loads(data)
    nodes = root["consolidated_metadata"]["metadata"]
    assert STATE not in root["attributes"]
    for element_id, attributes in ELEMENTS.items():
        ours = OURS.get(attributes["@type"], set())
        assert nodes[element_id]["attributes"] == {name: value for name, value in attributes.items() if name not in ours}
    assert {i: read(data).raw(i) for i in ELEMENTS} == ELEMENTS and read(data).state == of(ELEMENTS).state


@given(documents)
@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_what_is_written_is_read(content):
    document = of(content)
    again = read(document.to_bytes())
    assert again.metadata() == document.metadata() and again.to_bytes() == document.to_bytes() == again.copy().to_bytes()


@given(documents)
@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_an_older_object_is_read_as_before_and_moves_with_its_next_commit(content):
    older = read(old_form(of(content)))
    assert older.metadata() == of(content).metadata() and OWN_NODE not in older.nodes and older.state["revision"] == 1
    older.stamp("second")
    newer = read(older.to_bytes())
    assert newer.metadata() == of(content).metadata() and newer.state == {
        "format_version": 1,
        "revision": 2,
        "commits": ["first", "second"],
    }
    assert STATE not in json.loads(older.to_bytes())["attributes"]


@given(
    documents,
    st.lists(st.tuples(st.sampled_from(("name", "rename", "remove", "again", "replace", "ours")), st.integers(0, 3)), max_size=8),
)
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_older_and_newer_writers_take_turns_and_nothing_is_lost(content, steps):
    """A model of what an element has after each step decides."""
    data, expected, revision = of(content).to_bytes(), {key: dict(value) for key, value in content.items()}, 1
    for number, (step, which) in enumerate(steps):
        element_id = sorted(expected)[which % len(expected)] if expected else None
        revision += 1
        if step == "ours" or element_id is None:
            document = read(data)
            document.add(f"data/new{number}", {"@type": "AlignmentSet", "data_path": f"{number}.bam", "data_size": number})
            document.stamp(str(number))
            data, expected[f"data/new{number}"] = document.to_bytes(), document.raw(f"data/new{number}")
            continue
        older = Older(data)
        if step == "name":
            older.set(element_id, name=f"n{number}")
            expected[element_id]["name"] = f"n{number}"
        elif step == "rename":
            older.rename(element_id, f"data/r{number}")
            expected[f"data/r{number}"] = expected.pop(element_id)
        elif step == "replace":
            file = {"data_path": f"f{number}.bam", "data_checksum": f"{number:0>16}" * 8, "data_size": number}
            older.set(element_id, **file)
            kept = {name: value for name, value in expected[element_id].items() if name not in ("recipients", "sender")}
            expected[element_id] = kept | file
        else:
            del older.nodes[element_id]
            del expected[element_id]
            if step == "again":
                older.add(element_id, {"@type": "AlignmentSet", "name": "another"})
                expected[element_id] = {"@type": "AlignmentSet", "name": "another"}
        data = older.commit(str(number))
    document = read(data)
    assert {i: document.raw(i) for i in document.ids()} == expected
    assert document.state.get("revision") == revision and document.state["commits"][1:] == [str(n) for n in range(len(steps))]


def test_an_older_writer_adds_to_samples_that_it_does_not_see():
    older = Older(of(ELEMENTS).to_bytes())
    older.set("assay/a", has_sample=["sample/t"])
    assert read(older.commit("x")).raw("assay/a")["has_sample"] == ["sample/s", "sample/t"]


def test_slots_of_another_file_are_none():
    """As a program writes it that knows nothing of ours: another checksum, whatever the path is."""
    older = Older(of(ELEMENTS).to_bytes())
    older.set("data/d", data_checksum="e" * 128)
    left = read(older.commit("x")).raw("data/d")
    assert left == {name: value for name, value in ELEMENTS["data/d"].items() if name not in OURS["AlignmentSet"]} | {
        "data_checksum": "e" * 128
    }


@pytest.fixture
def storage(tmp_path):
    storage = open_storage(tmp_path / "ex")
    commits.create(storage, of(ELEMENTS))
    return storage


def mirrors(storage):
    return [finding.where for finding in find_problems(storage) if finding.kind == "mirror"]


def test_zarr_consolidates_anew_and_no_slot_is_lost(storage, tmp_path):
    group = zarr.open_group(tmp_path / "ex/data.zarr", mode="r+")
    group["sample/s"].attrs["name"] = "T"
    with pytest.warns(UserWarning, match="Consolidated"):
        zarr.consolidate_metadata(group.store)
    found = commits.load(storage)
    assert {i: found.raw(i) for i in ELEMENTS} == ELEMENTS | {"sample/s": {"@type": "Sample", "name": "T"}}
    (tmp_path / "ex/data.zarr/zarr.json").write_text(json.dumps({"node_type": "group", "zarr_format": 3, "attributes": OBJECT}))
    assert commits.load(storage).raw("data/d") == ELEMENTS["data/d"], "from the groups' own files as well"


def test_mirrors_are_as_the_root_says_after_each_commit(storage):
    assert mirrors(storage) == []
    commits.commit(storage, lambda document: document.set("data/d", ELEMENTS["data/d"] | {"data_size": 8}))
    assert mirrors(storage) == []
    commits.commit(storage, lambda document: document.remove("data/d"))
    assert mirrors(storage) == []


def test_an_older_object_on_disk_is_whole_before_and_after_it_moves(tmp_path):
    storage = open_storage(tmp_path / "ex")
    storage.write(ROOT_KEY, old_form(of(ELEMENTS)))
    for path, node in of(ELEMENTS).nodes.items():
        if path != OWN_NODE:
            storage.write(
                f"data.zarr/{path}/zarr.json",
                json.dumps({"attributes": node["attributes"], "zarr_format": 3, "node_type": "group"}).encode(),
            )
    assert mirrors(storage) == []
    commits.commit(storage, lambda document: document.set("sample/s", {"@type": "Sample", "name": "T"}))
    assert {i: commits.load(storage).raw(i) for i in ELEMENTS} == ELEMENTS | {"sample/s": {"@type": "Sample", "name": "T"}}
    assert mirrors(storage) == []


def test_a_group_that_others_copied_with_its_key_takes_nothing_from_the_first():
    root = json.loads(of(ELEMENTS).to_bytes())
    nodes = root["consolidated_metadata"]["metadata"]
    copy = nodes["data/d"] | {
        "attributes": nodes["data/d"]["attributes"] | {"data_checksum": "e" * 128, "data_path": "e.cram.c4gh"}
    }
    root["consolidated_metadata"]["metadata"] = {"data/c": copy} | nodes
    found = read(json.dumps(root).encode())
    assert found.raw("data/d") == ELEMENTS["data/d"] and "data_size" not in found.raw("data/c")


def test_a_group_without_consolidated_metadata_has_no_key():
    root = json.loads(of(ELEMENTS).to_bytes())
    root["consolidated_metadata"]["metadata"]["sample/s"]["consolidated_metadata"] = None
    assert read(json.dumps(root).encode()).raw("data/d") == ELEMENTS["data/d"]


@pytest.mark.parametrize(
    "damage",
    [
        [1],
        {"attributes": [1]},
        {"attributes": {"slots": [1]}},
        {"attributes": {"state": [1]}},
        {"attributes": {"state": {"revision": "x"}}},
        {"attributes": {"state": {"revision": 10**4299}}},
        {"attributes": {"slots": {"data/d": [1]}}},
        {"attributes": {"slots": {"data/d": {"data_size": "x", "of": "c" * 16}}}},
        {"consolidated_metadata": [1]},
        {"attributes": {"slots": {"data/d": {"recipients": [[1]], "of": "c" * 16}}}},
    ],
)
def test_a_damaged_group_of_ours_is_a_damaged_root(damage):
    root = json.loads(of(ELEMENTS).to_bytes())
    nodes = root["consolidated_metadata"]["metadata"]
    nodes[OWN_NODE] = nodes[OWN_NODE] | damage if isinstance(damage, dict) else damage
    with pytest.raises(IntegrityError, match="is damaged"):
        read(json.dumps(root).encode())
