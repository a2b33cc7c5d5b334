"""No id has characters that a terminal obeys, whatever way it comes; older objects that have some can be shown, exported, mended, removed."""

from __future__ import annotations

import json

import pytest
import yaml

from modos.errors import InvalidInputError
from modos.object import commits
from modos.object.document import Document, group_node
from modos.object.modo import MODO
from modos.storage import open_storage
from tests.support import commands

pytestmark = pytest.mark.sweep(15)

BAD = ["\x1b[2J", "\x1b]8;;x\x07", "\x9b", "\u202e", "\u2066", "\n", "\t", "\x7f", "\u2028"]
IDS = [f"sample/a{bad}b" for bad in (*BAD, "\x00")]
DATES = {"creation_date": "2024-01-01", "last_update_date": "2024-01-01"}


def run(*command):
    return commands.run(
        command,
        capture_output=True,
        text=True,
        timeout=100,
    )


@pytest.fixture
def old(tmp_path):
    """An object that others made, with such ids."""
    path = tmp_path / "old"
    storage = open_storage(path)
    commits.create(storage, Document({"@type": "MODO", "id": "o\x1b[2Jx", **DATES}))
    (path / "a.txt").write_text("text")

    def change(document):
        for element_id in IDS:
            document.nodes[element_id] = group_node({"@type": "Sample", "name": "n"})
        document.nodes["data/d\x9b"] = group_node(
            {"@type": "DataEntity", "data_path": "a.txt", "data_format": "TSV", "has_sample": IDS[:2]}
        )

    commits.commit(storage, change)
    return path


@pytest.mark.parametrize("bad", BAD, ids=ascii)
def test_none_comes_in(tmp_path, bad):
    modo = MODO.create(tmp_path / "ex")
    before, named, sample = modo.metadata, f"a{bad}b", {"@type": "Sample", "id": f"a{bad}b"}
    (tmp_path / "file.yaml").write_text(yaml.safe_dump([{"element": sample}]))
    (tmp_path / "own.json").write_text(json.dumps([{"element": {"@type": "MODO", "id": named}}]))
    (tmp_path / "a.sizes").write_text("chr1\t10\n")
    for add in (
        lambda: modo.add_element(sample),
        lambda: MODO.from_file(tmp_path / "file.yaml", tmp_path / "ex"),
        lambda: MODO.from_file(tmp_path / "file.yaml", tmp_path / "new"),
        lambda: MODO.from_file(tmp_path / "own.json", tmp_path / "new"),
        lambda: MODO.create(tmp_path / "new", id=named),
        lambda: MODO(tmp_path / "new", id=named),
        lambda: modo.add_genome(sizes=[str(tmp_path / "a.sizes")], id=named),
        lambda: modo.update_element("ex", {"id": named}),
    ):
        with pytest.raises(InvalidInputError) as raised:
            add()
        assert bad not in str(raised.value)
    if bad not in "\n\t\u2028":
        (tmp_path / "sheet.tsv").write_text(f"id\tname\na{bad}b\tn\n")
        with pytest.raises(InvalidInputError):
            MODO.from_file(tmp_path / "sheet.tsv", tmp_path / "ex", type="sample")
    assert MODO(tmp_path / "ex").metadata == before and not (tmp_path / "new").exists()


def test_the_command_line_says_so_in_a_line(tmp_path):
    run("create", tmp_path / "ex")
    (tmp_path / "sheet.tsv").write_text("id\nfine\na\x1b[2Jb\n")
    for command in (
        ["add", tmp_path / "ex", "sample", "-e", json.dumps({"id": "a\u202eb"})],
        ["create", tmp_path / "new", "-m", json.dumps({"id": "a\x9bb"})],
        ["create", tmp_path / "a\x1bb"],
        ["update", tmp_path / "ex", "-c", tmp_path / "sheet.tsv", "--type", "sample"],
        ["create", tmp_path / "new", "-f", tmp_path / "sheet.tsv", "--type", "sample"],
    ):
        done = run(*command)
        assert done.returncode == 2 and done.stderr.startswith("error: ") and len(done.stderr.splitlines()) == 2, done.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["ex", "sheet.tsv"]


def test_an_upgrade_brings_none(tmp_path):
    (tmp_path / "v2/data.zarr").mkdir(parents=True)
    group = {"zarr_format": 2}
    (tmp_path / "v2/data.zarr/.zmetadata").write_text(
        json.dumps(
            {
                "zarr_consolidated_format": 1,
                "metadata": {
                    ".zgroup": group,
                    ".zattrs": {"@type": "MODO", "id": "ex", **DATES},
                    "sample/.zgroup": group,
                    "sample/a\u202eb/.zgroup": group,
                    "sample/a\u202eb/.zattrs": {"@type": "Sample", "name": "n"},
                },
            }
        )
    )
    assert "sample/a\u202eb" in MODO(tmp_path / "v2").metadata
    done = run("upgrade", tmp_path / "v2")
    assert done.returncode == 2 and "cannot be an id" in done.stderr and not (tmp_path / "v2/data.zarr/zarr.json").exists()


def test_what_an_older_object_has_is_shown_and_exported(old, tmp_path):
    assert set(IDS) < set(json.loads(run("show", old, "--json").stdout))
    assert run("check", old).returncode == 0
    for format in ("turtle", "ro-crate"):
        done = run("publish", old, "-O", format, "--base-uri", "http://x.org/old")
        assert done.returncode == 0 and "a%1B%5B2Jb" in done.stdout
    assert run("remote", "download", old, tmp_path / "copy").returncode == 0
    assert run("diff", old, tmp_path / "copy").returncode == 0 and (tmp_path / "copy/a.txt").read_text() == "text"
    tree = run("show", old, "--zarr").stdout
    assert len(tree.splitlines()) == 1 + 5 + len(IDS) + 1


@pytest.mark.sweep(2)
@pytest.mark.parametrize("element_id", [*IDS, "data/d\x9b"], ids=ascii)
def test_it_is_given_a_sound_id_and_its_links_follow(old, element_id):
    modo, group = MODO(old), element_id.partition("/")[0]
    attributes = modo.metadata[element_id]
    linked = "has_sample" in attributes or element_id in modo.metadata["data/d\x9b"]["has_sample"]
    assert modo.update_element(element_id, {"id": "sound", "description": "new"}) == f"{group}/sound"
    now = MODO(old).metadata
    assert element_id not in now and now[f"{group}/sound"] == attributes | {"description": "new"}
    if group == "sample":
        assert ("sample/sound" in now["data/d\x9b"]["has_sample"]) == linked and element_id not in now["data/d\x9b"]["has_sample"]
    assert run("check", old).returncode == 0
    with pytest.raises(InvalidInputError, match="cannot be changed"):
        modo.update_element(f"{group}/sound", {"id": "another"})


def test_the_object_too(old):
    modo = MODO(old)
    assert modo.update_element("o\x1b[2Jx", {"id": "old"}) == "old" and MODO(old).metadata["old"]["id"] == "old"


def test_no_other_id_is_taken_or_as_bad(old):
    modo = MODO(old)
    modo.add_element({"@type": "Sample", "id": "there"})
    before = modo.metadata
    for new in ("there", "a\u2066c", "a/b", "data/x"):
        with pytest.raises(Exception, match="exists already|cannot be an id"):
            modo.update_element(IDS[0], {"id": new})
    assert MODO(old).metadata == before


def test_it_is_removed(old):
    for element_id in IDS[1:-1]:
        MODO(old).remove_element(element_id)
    for element_id in (IDS[0], "data/d\x9b"):
        assert run("remove", old, element_id, "--yes").returncode == 0
    assert set(MODO(old).metadata) == {"o\x1b[2Jx", IDS[-1]} and not (old / "a.txt").exists()
    assert run("remove", old, "--yes").returncode == 0 and not old.exists()
