"""Changes do what they say: merge, unset, replace, remove, bring up to date; and refuse what would do harm."""

from __future__ import annotations

import contextlib
import json
import shutil

import pysam
import pytest
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st

from modos.api import MODO
from modos.errors import (
    AlreadyExistsError,
    IntegrityError,
    InvalidInputError,
    ModosError,
    NotFoundError,
    SchemaError,
)
from modos.metadata import model
from modos.object.commits import load
from tests.support.sampling import most


@pytest.fixture
def source(example):
    return example / "source"


@pytest.fixture
def modo(tmp_path, source):
    modo = MODO(tmp_path / "ex")
    with modo.transaction() as tx:
        tx.add_element({"id": "a", "@type": "Assay", "omics_type": "GENOMICS"})
        tx.add_element({"id": "s", "@type": "Sample", "name": "S", "collector": ["A", "B"]}, part_of="a")
        tx.add_element({"id": "r", "@type": "AlignmentSet", "has_sample": "s"}, source / "demo2.bam", part_of="a")
    return modo


def names(modo):
    return sorted(path.relative_to(modo.path).as_posix() for path in modo.list_files())


def test_slots_are_merged_and_unset(modo):
    modo.update_element("s", {"sex": "Female", "collector": [], "name": None})
    assert modo.metadata["sample/s"] == {"@type": "Sample", "sex": "Female"}
    modo.update_element("sample/s", model.Sample(id="s", description="text"))
    assert modo.metadata["sample/s"] == {"@type": "Sample", "sex": "Female", "description": "text"}


def test_the_object_itself_can_be_changed(modo):
    modo.update_element("ex", {"name": "New"})
    assert MODO.open(modo.path).metadata["ex"]["name"] == "New" and modo.metadata["ex"]["has_assay"] == ["assay/a"]
    modo.update_date("2030-01-01")
    assert MODO.open(modo.path).metadata["ex"]["last_update_date"] == "2030-01-01"


def test_a_class_can_become_a_narrower_one(modo):
    modo.update_element("data/r", {"@type": "DataEntity"})
    assert modo.metadata["data/r"]["@type"] == "DataEntity"
    with pytest.raises(SchemaError):
        modo.update_element("data/r", {"@type": "Sample"})


def test_a_replaced_file_gets_a_new_name(modo, source, tmp_path):
    with (
        pysam.AlignmentFile(str(source / "demo2.bam")) as file,
        pysam.AlignmentFile(str(tmp_path / "demo2.bam"), "wb", header=file.header) as out,
    ):
        out.write(next(file))
    modo.update_element("r", {}, tmp_path / "demo2.bam")
    assert names(modo) == ["demo2~2.bam", "demo2~2.bam.bai"] and modo.find_problems() == []
    modo.update_element("r", {}, source / "demo1.cram")
    assert names(modo) == ["demo1.cram", "demo1.cram.crai"] and modo.find_problems() == []
    assert modo.metadata["data/r"]["data_format"] == "CRAM"


def test_another_path_is_measured_and_deletes_nothing(modo, source):
    shutil.copy(source / "demo1.cram", modo.path / "other.cram")
    modo.update_element("r", {"data_path": "other.cram", "data_format": "CRAM"})
    attributes = modo.metadata["data/r"]
    assert attributes["data_size"] == (source / "demo1.cram").stat().st_size
    assert {f.kind for f in modo.find_problems()} == {"index", "unknown"}
    assert names(modo) == ["demo2.bam", "demo2.bam.bai", "other.cram"]


def test_the_same_file_again_changes_nothing(modo, source):
    before = (modo.path / "data.zarr/zarr.json").read_bytes()
    modo.update_element("r", {}, source / "demo2.bam")
    assert (modo.path / "data.zarr/zarr.json").read_bytes() == before and names(modo) == ["demo2.bam", "demo2.bam.bai"]


def test_removing_an_element_removes_its_files_and_links(modo):
    modo.remove_element("r")
    assert names(modo) == [] and "has_data" not in modo.metadata["assay/a"]
    modo.remove_element("assay/a")
    assert "has_assay" not in modo.metadata["ex"]
    assert "r" not in zarr.open_group(str(modo.path / "data.zarr"), mode="r", use_consolidated=False)["data"]
    with pytest.raises(NotFoundError):
        modo.remove_element("r")
    with pytest.raises(InvalidInputError, match="object itself"):
        modo.remove_element("ex")


def test_removing_an_object_leaves_its_neighbours(modo, tmp_path):
    shutil.copytree(modo.path, tmp_path / "ex2")
    modo.remove_object()
    assert not modo.path.exists() and MODO.open(tmp_path / "ex2").find_problems() == []


def test_a_link_out_of_the_object_is_never_followed(modo, tmp_path):
    outside = tmp_path / "outside.bam"
    outside.write_bytes(b"precious")
    (modo.path / "demo2.bam").unlink()
    (modo.path / "demo2.bam").symlink_to(outside)
    with pytest.raises(InvalidInputError):
        modo.download(tmp_path / "copy")
    assert [finding.kind for finding in modo.find_problems()] == ["path"]
    modo.remove_element("r")
    assert outside.read_bytes() == b"precious"


@pytest.mark.parametrize(
    "path", ["/etc/hosts", "../x.bam", "a/../../x.bam", "data.zarr/x.bam", ".modos/x.bam", "a//b.bam", "", "a\\b.bam", "x\n.bam"]
)
def test_paths_that_lead_elsewhere_are_refused(modo, source, path):
    for change in (
        lambda: modo.update_element("r", {"data_path": path}, source / "demo1.cram"),
        lambda: modo.add_element({"id": "n", "@type": "AlignmentSet", "data_path": path}, source / "demo1.cram"),
    ):
        if path == "":
            continue
        with pytest.raises(InvalidInputError):
            change()
    assert names(modo) == ["demo2.bam", "demo2.bam.bai"]


def test_one_path_has_one_owner(modo, source):
    with pytest.raises(AlreadyExistsError):
        modo.add_element({"id": "n", "@type": "AlignmentSet", "data_path": "demo2.bam", "data_format": "BAM"})
    with pytest.raises(AlreadyExistsError), modo.transaction() as tx:
        for name in "xy":
            tx.add_element({"id": name, "@type": "AlignmentSet", "data_path": "z.bam"}, source / "demo2.bam")


def test_a_damaged_path_in_the_metadata_touches_nothing(modo, tmp_path):
    """Somebody else wrote the metadata."""
    outside = tmp_path / "outside.bam"
    outside.write_bytes(b"precious")
    root = modo.path / "data.zarr/zarr.json"
    root.write_text(root.read_text().replace('"demo2.bam"', f'"{outside}"').replace("demo2.bam", "../outside.bam"))
    again = MODO.open(modo.path)
    with pytest.raises(ModosError):
        again.download(tmp_path / "copy")
    with pytest.raises(ModosError):
        list(again.stream_genomics(str(outside)))
    assert [finding.kind for finding in again.find_problems() if not finding.harmless] == ["path"]
    with contextlib.suppress(ModosError):
        again.remove_element("r")
    assert outside.read_bytes() == b"precious"


@settings(max_examples=most(60, 15), deadline=None)
@given(name=st.text(min_size=1, max_size=40))
def test_ids_are_refused_or_come_back(tmp_path_factory, name):
    modo = MODO(tmp_path_factory.mktemp("ids") / "ex")
    try:
        element_id = modo.add_element({"id": name, "@type": "Sample"})
    except InvalidInputError:
        return
    again = MODO.open(modo.path)
    assert again.metadata[element_id] == {"@type": "Sample"} and again.find_problems() == []
    assert again.remove_element(element_id) == element_id and len(MODO.open(modo.path).metadata) == 1


@pytest.mark.parametrize("name", ["a b", "é", "基因", "x" * 200, "50% & more", "#1?", "a:b"])
def test_unusual_ids_work(modo, name):
    modo.add_element({"id": name, "@type": "Sample"}, part_of="a")
    assert f"sample/{name}" in MODO.open(modo.path).metadata
    assert len(modo.knowledge_graph("https://x.org")) > 0


@pytest.mark.parametrize("name", ["a/b", "..", ".", "x" * 300, "zarr.json", "__x", "a\x00b", ".hidden"])
def test_impossible_ids_say_the_rule(modo, name):
    with pytest.raises(InvalidInputError, match="cannot be an id"):
        modo.add_element({"id": name, "@type": "Sample"})


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"sexx": "Male"}, "did you mean sex"),
        ({"sex": "male"}, "did you mean Male"),
        ({"nonsense": None}, "nonsense"),
        ({"id": "other"}, "cannot be changed"),
        ({"@type": "Nothing"}, "no class Nothing"),
    ],
)
def test_updates_are_validated(modo, change, words):
    before = modo.metadata
    with pytest.raises(InvalidInputError) as caught:
        modo.update_element("s", change)
    assert words in f"{caught.value.message} {caught.value.hint}" and MODO.open(modo.path).metadata == before


def test_required_slots_cannot_be_unset(modo):
    with pytest.raises(SchemaError, match="omics_type is required"):
        modo.update_element("a", {"omics_type": None})
    with pytest.raises(NotFoundError) as caught:
        modo.update_element("a", {"has_sample": ["ss"]})
    assert "did you mean sample/s?" in caught.value.hint


def test_a_transaction_sees_itself_and_is_one_commit(modo):
    revision = load(modo.storage).state["revision"]
    with modo.transaction() as tx:
        tx.add_element({"id": "t", "@type": "Sample"})
        tx.update_element("sample/t", {"sex": "Male"})
        tx.add_element({"id": "u", "@type": "Sample"}, part_of="a")
        tx.remove_element("u")
        tx.remove_element("s")
    assert load(modo.storage).state["revision"] == revision + 1
    assert modo.metadata["sample/t"] == {"@type": "Sample", "sex": "Male"}
    assert "has_sample" not in modo.metadata["assay/a"] and "has_sample" not in modo.metadata["data/r"]


def describe(path, entries):
    path.write_text(json.dumps([{"element": element, "args": args} for element, args in entries]))
    return path


def test_from_file_creates_then_brings_up_to_date(tmp_path, source):
    sample, other = {"id": "s", "@type": "Sample", "name": "S"}, {"id": "o", "@type": "Sample"}
    reads = {"id": "r", "@type": "AlignmentSet"}
    bam = {"source_file": str(source / "demo2.bam")}
    first = describe(tmp_path / "1.json", [(sample, {}), (other, {}), (reads, bam)])
    modo = MODO.from_file(first, tmp_path / "ex")
    root = modo.path / "data.zarr/zarr.json"
    before = root.read_bytes()
    MODO.from_file(first, tmp_path / "ex")
    assert root.read_bytes() == before, "nothing to change, nothing written"
    second = describe(tmp_path / "2.json", [(sample | {"name": "T"}, {}), (reads, {"source_file": str(source / "demo1.cram")})])
    changes = MODO.compare_with_file(second, tmp_path / "ex", no_remove=False)
    assert sorted((c.element_id, c.kind) for c in changes) == [
        ("data/r", "changed"),
        ("sample/o", "removed"),
        ("sample/s", "changed"),
    ]
    assert root.read_bytes() == before
    kept = MODO.from_file(second, tmp_path / "ex")
    assert kept.metadata["sample/s"]["name"] == "T" and "sample/o" in kept.metadata
    pruned = MODO.from_file(second, tmp_path / "ex", no_remove=False)
    assert "sample/o" not in pruned.metadata and pruned.find_problems() == [] and len(pruned.list_files()) == 2


def test_plain_zarr_sees_every_element_in_whatever_order_they_came(modo):
    for number, group in enumerate(["sample", "assay", "sample", "data", "assay", "sequence", "sample"]):
        class_name = model.default_class(group)
        slots = {"omics_type": "GENOMICS"} if group == "assay" else {}
        slots |= {"data_path": f"{number}.json", "data_format": "JSON"} if group == "data" else {}
        modo.add_element({"id": f'x{number}"{{', "@type": class_name} | slots)
    for consolidated in (True, False):
        root = zarr.open_group(str(modo.path / "data.zarr"), mode="r", use_consolidated=consolidated)
        seen = {f"{group}/{name}" for group in root for name in root[group]}
        assert seen == modo.metadata.keys() - {"ex"}
    assert str(modo.list_arrays()).count("x") >= 7


def test_checksums_tell_content_not_place(modo, tmp_path):
    copy = modo.download(tmp_path / "copy" / "ex")
    assert copy.checksum() == modo.checksum()
    copy.update_element("s", {"name": "other"})
    assert copy.checksum() != modo.checksum()


@pytest.mark.parametrize("damage", [b"", b"{", b"null"])
def test_a_damaged_root_is_named(modo, damage):
    (modo.path / "data.zarr/zarr.json").write_bytes(damage)
    for use in (
        lambda: MODO.open(modo.path),
        lambda: modo.add_element({"id": "n", "@type": "Sample"}),
        lambda: modo.find_problems(),
        lambda: MODO(modo.path),
    ):
        with pytest.raises(IntegrityError, match="damaged"):
            use()
    assert (modo.path / "demo2.bam").exists()


def test_a_class_that_is_not_known_is_read_and_told(modo):
    root = modo.path / "data.zarr/zarr.json"
    root.write_text(root.read_text().replace('"Sample"', '"Specimen"'))
    again = MODO.open(modo.path)
    assert again.metadata["sample/s"]["@type"] == "Specimen"
    assert [f.kind for f in again.find_problems() if not f.harmless] == ["schema"]


@pytest.fixture
def old_layout(example, tmp_path):
    """An object in Zarr v2, as sdsc-ordes modos wrote them."""
    shutil.copytree(example / "ex", tmp_path / "old")
    modern = MODO.open(tmp_path / "old")
    document, metadata = modern._document, modern.metadata
    shutil.rmtree(tmp_path / "old/data.zarr")
    group = zarr.open_group(str(tmp_path / "old/data.zarr"), mode="w", zarr_format=2)
    group.attrs.update({k: v for k, v in document.attributes.items() if not k.startswith("_")})
    for path, node in document.nodes.items():
        group.require_group(path).attrs.update(node["attributes"])
    zarr.consolidate_metadata(group.store)
    return tmp_path / "old", metadata


def test_the_old_layout_is_read_and_upgraded_when_asked(old_layout):
    path, expected = old_layout
    modo = MODO.open(path)
    assert modo.metadata == expected and sum(1 for _ in modo.stream_genomics("demo2.bam", "chr1:20,001-25,000")) == 969
    with pytest.raises(InvalidInputError, match="old layout"):
        modo.add_element({"id": "n", "@type": "Sample"})
    modo.upgrade()
    assert modo.add_element({"id": "n", "@type": "Sample"}) in MODO.open(path).metadata
    assert modo.find_problems() == [] and not list((path / "data.zarr").rglob(".z*[ps]"))


def test_a_root_without_consolidated_metadata_is_completed(modo):
    root = modo.path / "data.zarr/zarr.json"
    document = json.loads(root.read_text())
    document["consolidated_metadata"] = None
    root.write_text(json.dumps(document))
    assert MODO.open(modo.path).metadata == modo.metadata
