"""A root that is not as it should be is one line, to every reader, and takes nothing else with it."""

from __future__ import annotations

import json
import os

import pytest
import requests

from modos.catalog.catalog import Catalog
from modos.errors import IntegrityError, InvalidInputError
from modos.metadata.description import read_descriptions
from modos.metadata.ids import format_id
from modos.object import commits
from modos.object.document import Document
from modos.object.modo import MODO
from modos.object.shape import MAX_ROOT
from modos.server.app import create_app
from modos.server.run import BackgroundServer
from modos.storage import open_storage
from tests.support import commands

pytestmark = pytest.mark.sweep(40)

DEEP: list = []
for _ in range(400):
    DEEP = [DEEP]

OWN = {  # of the object
    "id is a list": {"id": ["ex"]},
    "id is an object": {"id": {}},
    "id is a number": {"id": 7},
    "id is null": {"id": None},
    "id is an element's": {"id": "sample/s"},
    "id is half a pair": {"id": "\ud800"},
    "type is a list": {"@type": ["MODO"]},
    "type is another": {"@type": "Sample"},
    "state is a list": {"_modos": [1]},
    "state is a text": {"_modos": "x"},
    "revision is a text": {"_modos": {"revision": "1"}},
    "commits is a number": {"_modos": {"commits": 3}},
    "commits has lists": {"_modos": {"commits": [[]]}},
    "links are objects": {"has_assay": [{"a": 1}]},
    "links are a number": {"has_assay": 3},
    "date is a list": {"creation_date": [1]},
    "name is deep": {"name": DEEP},
    "unknown slot is deep": {"more": DEEP},
    "unknown slot is NaN": {"more": float("nan")},
    "description is half a pair": {"description": "\udc80"},
    "name is an object": {"name": {"a": 1}},
}
ELEMENT = {  # of data/d
    "class is a list": {"@type": ["DataEntity"]},
    "class is null": {"@type": None},
    "class is an object": {"@type": {}},
    "path is a list": {"data_path": ["a.cram"]},
    "path is a number": {"data_path": 3},
    "path is an object": {"data_path": {}},
    "size is a text": {"data_size": "big"},
    "size is true": {"data_size": True},
    "size is infinite": {"data_size": float("inf")},
    "checksum is a list": {"data_checksum": []},
    "format is a list": {"data_format": ["CRAM"]},
    "format is an object": {"data_format": {}},
    "recipients are objects": {"recipients": [{}]},
    "samples are deep": {"has_sample": DEEP},
    "name is NaN": {"name": float("nan")},
    "digests are numbers": {"header_digests": [3]},
    "name is a list": {"name": ["a"]},
}
NODES = {
    "nodes are a list": [],
    "nodes are a text": "x",
    "a node is a list": {"data/d": []},
    "a node is null": {"data/d": None},
    "attributes are null": {"data/d": {"attributes": None}},
    "attributes are a list": {"data/d": {"attributes": []}},
    "an id leads out": {"data/../../x": {"attributes": {}}},
    "an id is empty": {"": {"attributes": {}}},
    "an array is deep": {"data/a": {"node_type": "array", "attributes": {"x": DEEP}}},
}
RAW = {
    "nothing": b"",
    "not JSON": b"{",
    "a list": b"[]",
    "null": b"null",
    "not UTF-8": b"\xff\xfe",
    "very deep": b"[" * 200_000,
    "a raw surrogate": b'{"node_type": "group", "attributes": {"@type": "MODO", "id": "\xed\xa0\x80"}}',
    "a huge number": b'{"node_type": "group", "attributes": {"@type": "MODO", "id": "x", "more": ' + b"9" * 5000 + b"}}",
    "too large": b'{"node_type": "group", "attributes": {"@type": "MODO", "id": "x", "name": "' + b"x" * MAX_ROOT + b'"}}',
    "consolidated is a list": b'{"node_type": "group", "attributes": {"@type": "MODO", "id": "x"}, "consolidated_metadata": [1]}',
}


def root(own=(), element=(), nodes=None):
    document = Document(
        {"@type": "MODO", "id": "bad", "creation_date": "2024-01-01", "last_update_date": "2024-01-01", **dict(own)},
        {
            "data/d": {
                "node_type": "group",
                "attributes": {"@type": "DataEntity", "data_path": "d.cram", "data_format": "CRAM", **dict(element)},
            },
            "sample/s": {"node_type": "group", "attributes": {"@type": "Sample"}},
        },
    )
    members = document.nodes if nodes is None else nodes
    return json.dumps(
        {
            "node_type": "group",
            "zarr_format": 3,
            "attributes": document.attributes,
            "consolidated_metadata": {"metadata": members},
        }
    ).encode()


TABLE = (
    {name: root(own=change) for name, change in OWN.items()}
    | {f"element: {name}": root(element=change) for name, change in ELEMENT.items()}
    | {name: root(nodes=nodes) for name, nodes in NODES.items()}
    | RAW
)


def put(folder, data):
    (folder / "data.zarr").mkdir(parents=True, exist_ok=True)
    (folder / "data.zarr/zarr.json").write_bytes(data)
    return folder


def test_the_root_that_the_table_changes_is_good(tmp_path):
    assert len(TABLE) >= 57
    assert "data/d" in commits.load(open_storage(put(tmp_path / "ex", root()))).metadata()
    assert "data/d" in commits.load(open_storage(put(tmp_path / "ex", root(own={"more": [[{"a": 1.5}]]})))).metadata()


@pytest.mark.parametrize("name", TABLE)
def test_a_malformed_root_is_one_line(tmp_path, name):
    with pytest.raises(IntegrityError, match="is damaged|cannot be read: it is larger than 48 MiB") as raised:
        MODO.open(put(tmp_path / "bad", TABLE[name]))
    assert len(str(raised.value).splitlines()) == 1 and len(str(raised.value)) < 600


def test_the_lists_of_a_server_go_on_without_them(tmp_path, caplog):
    for number, data in enumerate(TABLE.values()):
        put(tmp_path / f"bad{number}", data)
    put(tmp_path / "good", root())
    os.makedirs(os.fsencode(tmp_path) + b"/name\xff/data.zarr")
    with open(os.fsencode(tmp_path) + b"/name\xff/data.zarr/zarr.json", "wb") as file:
        file.write(root())
    put(tmp_path / "esc\x1b[2J", root())
    with BackgroundServer(create_app(open_storage(tmp_path))) as server:
        found = requests.get(f"{server.url}/meta", timeout=60)
        assert found.status_code == 200 and [entry["path"] for entry in found.json()["data"]] == ["good"]
        left = found.json()["left_out"]
        assert len(left) == len(TABLE) and {entry["reason"] for entry in left} == {"damaged"}
        searched = requests.get(f"{server.url}/meta", params={"search": "cram"}, timeout=60)
        assert searched.status_code == 200 and len(searched.json()["data"]) == 1
        listed = requests.get(f"{server.url}/list", timeout=60)
        assert listed.status_code == 200 and set(listed.json()["data"]) == {"good"} | {entry["path"] for entry in left}
        assert "esc" not in listed.text + found.text and searched.json()["left_out"] == left
        assert requests.get(f"{server.url}/list", params={"search": "cram"}, timeout=60).json() == {
            "data": ["good"],
            "left_out": left,
        }
    assert len([record for record in caplog.records if "is left out" in record.message]) >= len(TABLE)
    assert not any("\x1b" in record.getMessage() for record in caplog.records)
    assert [key for key, _ in Catalog(open_storage(tmp_path)).iter_metadata()] == ["good"]


def test_each_page_names_those_that_it_lacks(tmp_path):
    for key in ("b", "d", "e"):
        put(tmp_path / key, root())
    for key in ("a", "c", "f"):
        put(tmp_path / key, TABLE["id is a list"])
    with BackgroundServer(create_app(open_storage(tmp_path))) as server:
        pages, after = [], {}
        while after is not None:
            pages.append(requests.get(f"{server.url}/meta", params={"limit": 1, **after}, timeout=60).json())
            after = {"after": pages[-1]["next"]} if pages[-1]["next"] else None
        assert [[entry["path"] for entry in page["data"]] for page in pages] == [["b"], ["d"], ["e"]]
        assert [[entry["path"] for entry in page.get("left_out", ())] for page in pages] == [["a"], ["c"], ["f"]]
        words = ["--endpoint", server.url, "remote", "list", "--search", "cram"]
        done = commands.run(words, capture_output=True, text=True, timeout=60)
        assert (
            done.returncode == 0
            and len(done.stdout.splitlines()) == 3
            and "left out" in done.stderr
            and "a, c and f" not in done.stdout
        )


@pytest.mark.sweep(4)
@pytest.mark.parametrize("command", [["show"], ["check"], ["publish", "--base-uri", "http://x.org/"]])
@pytest.mark.parametrize(
    "name", ["id is a list", "element: path is a number", "unknown slot is deep", "description is half a pair"]
)
def test_the_command_line_says_it_in_a_line(tmp_path, command, name):
    put(tmp_path / "bad", TABLE[name])
    done = commands.run([command[0], tmp_path / "bad", *command[1:]], capture_output=True, text=True, timeout=60)
    assert done.returncode == 6, done.stderr
    assert done.stderr.startswith("error: ") and "defect" not in done.stderr and len(done.stderr.splitlines()) == 2


def test_groups_that_are_read_one_by_one_are_looked_at_too(tmp_path):
    bare = {"node_type": "group", "attributes": {"@type": "MODO", "id": "ex"}}
    put(tmp_path / "ex", json.dumps(bare).encode())
    for name, attributes in (("good", {"@type": "Sample"}), ("bad", {"@type": ["Sample"]})):
        (tmp_path / f"ex/data.zarr/sample/{name}").mkdir(parents=True)
        (tmp_path / f"ex/data.zarr/sample/{name}/zarr.json").write_text(
            json.dumps({"node_type": "group", "attributes": attributes})
        )
    assert list(commits.load(open_storage(tmp_path / "ex")).ids()) == ["sample/good"]


def test_nothing_is_written_that_nothing_reads(tmp_path):
    storage = open_storage(tmp_path / "ex")
    commits.create(storage, Document({"@type": "MODO", "id": "ex"}))
    with pytest.raises(InvalidInputError, match="48 MiB"):
        commits.commit(storage, lambda d: d.add("sample/s", {"@type": "Sample", "description": "x" * MAX_ROOT}))
    assert "sample/s" not in commits.load(storage).nodes


@pytest.mark.parametrize("character", ["\x1b", "\x7f", "\x9b", "\u202e", "\u2066", "\n", "\u2028"])
def test_ids_hold_no_characters_that_a_terminal_obeys(tmp_path, character):
    with pytest.raises(InvalidInputError, match="cannot be an id"):
        format_id("sample", f"a{character}b")
    with pytest.raises(InvalidInputError, match="cannot be the id"):
        MODO.create(tmp_path / "ex", id=f"a{character}b")


@pytest.mark.parametrize(
    "text",
    [
        "a: &a [x,x,x,x,x,x,x,x,x,x]\n"
        + "".join(f"{chr(98 + i)}: &{chr(98 + i)} [{','.join(['*' + chr(97 + i)] * 10)}]\n" for i in range(9)),
        "- &a [*a, *a]",
        "[" * 400 + "]" * 400,
        "[" * 40 + "]" * 40,
        "- element: {id: s, '@type': Sample, name: 2024-13-45}",
        "- element: {id: s, '@type': Sample, name: " + "9" * 5000 + "}",
        "&a a: {x: *a}\n? {}\n: 1",
    ],
    ids=["bomb", "itself", "400 deep", "40 deep", "no day", "5,000 digits", "a key that is none"],
)
def test_yaml_that_grows_is_one_line(tmp_path, text):
    path = tmp_path / "d.yaml"
    path.write_text(text)
    with pytest.raises(InvalidInputError) as raised:
        read_descriptions([path], None)
    assert len(str(raised.value).splitlines()) == 1
