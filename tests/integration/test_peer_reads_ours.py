"""What modos makes is read by sdsc-ordes modos: what `list_samples`, `query` and `publish` do of it, with zarr-python 3 before that.

Version 0.3.4 opens Zarr v2 only, and later ones are not on PyPI. So the
attributes are taken as such a reader does it (all groups and arrays below each
top-level group), and given to the installed version's own graph of them.
"""

from __future__ import annotations

import json

import pytest
import zarr

from modos.encryption.keys import SecretKey
from modos.object.modo import MODO
from tests.support.peer_layout import run_peer

READ = """
import json, sys
from modos.rdf import attrs_to_graph
graph = attrs_to_graph(json.load(open(sys.argv[1])), "file://ex/")
samples = [str(row[0]) for row in graph.query("SELECT ?s WHERE { ?s a modos:Sample }")]
print(json.dumps([samples, graph.serialize(format="turtle")]))
"""
SLOTS = """
import json, yaml, modos_schema.datamodel as model
from modos.helpers.schema import load_schema
print(json.dumps({name: [slot.name for slot in load_schema().class_induced_slots(name)] for name in load_schema().all_classes()}))
"""


def attributes_of(path):
    """What an object and its elements say, to a reader that knows nothing of modos."""
    root = zarr.open_consolidated(path / "data.zarr")
    found = {root.attrs["id"]: dict(root.attrs)}
    for group, members in root.groups():
        found |= {f"{group}/{name}": dict(member.attrs) for name, member in members.members(max_depth=None)}
    return found


@pytest.fixture
def ours(tmp_path, example):
    modo = MODO.create(tmp_path / "ex")
    modo.add_element({"@type": "Sample", "id": "s", "name": "a sample", "sex": "Female"})
    modo.add_element(
        {
            "@type": "Assay",
            "id": "a",
            "name": "an assay",
            "description": "of it",
            "omics_type": ["GENOMICS"],
            "has_sample": ["sample/s"],
        }
    )
    modo.add_element(
        {"@type": "ReferenceGenome", "id": "r", "name": "ref", "data_path": "reference.fa"},
        source_file=example / "ex/reference.fa",
    )
    modo.add_element(
        {
            "@type": "AlignmentSet",
            "id": "d",
            "name": "reads",
            "data_path": "demo1.cram",
            "has_reference": ["reference/r"],
            "has_sample": ["sample/s"],
        },
        source_file=example / "ex/demo1.cram",
        part_of="assay/a",
    )
    return modo


def test_the_peer_lists_samples_and_publishes_what_modos_made(ours, tmp_path):
    for sealed in (False, True):
        if sealed:
            ours.encrypt(SecretKey.random().public, delete=True)
        (tmp_path / "told.json").write_text(json.dumps(attributes_of(ours.path)))
        samples, turtle = json.loads(run_peer(READ, tmp_path / "told.json"))
        assert samples == ["file://ex/sample/s"]
        assert ("demo1.cram.c4gh" in turtle) is sealed and "a sample" in turtle


@pytest.mark.sweep(2)
@pytest.mark.parametrize(
    ("steps", "is_shown"),
    [
        (["OBI:0000257", "http://purl.obolibrary.org/obo/OBI_0000626#x"], True),
        (["DNA extraction", "OBI:0000257"], False),
        (["Sequencing"], False),
        (["a:b c"], False),
        (["OBI:ä"], False),
        (["a:b#c#d"], False),
        (["a:%zz"], False),
        ([], True),
    ],
)
def test_steps_of_an_assay_are_terms_to_the_peer_or_apart(ours, tmp_path, steps, is_shown):
    ours.update_element("assay/a", {"sample_processing": steps})
    assert MODO.open(ours.path).metadata["assay/a"].get("sample_processing", []) == steps
    assert MODO.open(ours.path).find_problems() == []
    attributes = attributes_of(ours.path)
    assert attributes["assay/a"].get("sample_processing", []) == (steps if is_shown else [])
    (tmp_path / "told.json").write_text(json.dumps(attributes))
    assert json.loads(run_peer(READ, tmp_path / "told.json"))[0] == ["file://ex/sample/s"]


def test_the_peer_reads_the_example_but_for_its_bam(example, tmp_path):
    """`BAM` is no format to it: see format.md."""
    attributes = attributes_of(example / "ex")
    assert attributes.pop("data/demo2")["data_format"] == "BAM"
    (tmp_path / "told.json").write_text(json.dumps(attributes))
    assert len(json.loads(run_peer(READ, tmp_path / "told.json"))[0]) == 2


def test_no_attribute_is_unknown_to_the_peers_schema(ours):
    known = json.loads(run_peer(SLOTS))
    ours.encrypt(SecretKey.random().public, delete=True)
    for place, attributes in attributes_of(ours.path).items():
        assert attributes.keys() - {"@type"} <= set(known[attributes["@type"]]), place
    assert {"recipients", "seal_digest", "data_size"} <= MODO.open(ours.path).metadata["data/d"].keys()


def test_every_slot_that_only_modos_has_is_kept_apart():
    from modos.metadata.model.schema import tables
    from modos.object.marks import _APART, _TERMS

    known = json.loads(run_peer(SLOTS))
    for name, described in tables()["classes"].items():
        assert described["slots"].keys() - known[name] <= _APART.get(name, set()), name
        assert _APART.get(name, set()) & set(known[name]) <= {_TERMS}, "what the peer has is where it looks"
