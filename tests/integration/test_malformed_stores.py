"""What a stranger wrote into a reference store is a line, and stops nothing else."""

from __future__ import annotations

import json

import pytest
import requests

from modos.errors import IntegrityError, InvalidInputError
from modos.reference.store import INDEX, ReferenceStore
from modos.server.app import create_app
from modos.server.run import BackgroundServer
from modos.storage import open_storage


@pytest.fixture
def store(tmp_path):
    store = ReferenceStore(open_storage(tmp_path / "store"))
    store.add("good", lambda: iter([("chr1", b""), (None, b"ACGTACGTAA")]))
    store.add("other", lambda: iter([("chr1", b""), (None, b"GGGGGGGGGG")]))
    return store


def change(path, edit):
    content = json.loads(path.read_text())
    edit(content)
    path.write_text(json.dumps(content))


@pytest.mark.sweep(4)
@pytest.mark.parametrize(
    "name",
    ["../good", "a b", "\x1b[2J", "\ud800", "", "x" * 5000, "x" * 10_000_000, "caf\udcff", "a\x00b", "a\nb", "a/b", "\u202egood"],
)
def test_one_bad_name_in_an_index_does_not_stop_refget(store, tmp_path, name, caplog):
    change(tmp_path / "store" / INDEX, lambda index: index["assemblies"].update({name: index["assemblies"]["good"]}))
    md5 = store.assembly("good").contigs[0].md5
    with BackgroundServer(create_app(open_storage(tmp_path), references=store)) as server:
        answer = requests.get(f"{server.url}/refget/sequence/{md5}", timeout=20)
        assert answer.status_code == 200 and answer.text == "ACGTACGTAA"
        assert requests.get(f"{server.url}/refget/sequence/{md5}/metadata", timeout=20).json()["metadata"]["aliases"]
    assert [record.levelname for record in caplog.records if "cannot be a name" in record.getMessage()]
    assert max(len(record.getMessage()) for record in caplog.records) < 1000
    assert not any("\x1b" in record.getMessage() or "\u202e" in record.getMessage() for record in caplog.records)


ASSEMBLIES = {
    "alias is half a pair": lambda a: a["contigs"][0].update(aliases=["\ud800"]),
    "aliases are null": lambda a: a["contigs"][0].update(aliases=None),
    "length is negative": lambda a: a["contigs"][0].update(length=-3),
    "length is infinite": lambda a: a["contigs"][0].update(length=float("inf")),
    "length is 10^400": lambda a: a["contigs"][0].update(length=10**400),
    "contigs are a number": lambda a: a.update(contigs=3),
    "name is half a pair": lambda a: a["contigs"][0].update(name="\udfff"),
    "md5 is a list": lambda a: a["contigs"][0].update(md5=[]),
    "masked is a text": lambda a: a.update(masked="xyz"),
    "masked leads out": lambda a: a.update(masked=["../x", 1, "0" * 64]),
    "a contig twice": lambda a: a.update(contigs=a["contigs"] * 2),
    "no contigs": lambda a: a.update(contigs=[]),
}


@pytest.mark.sweep(5)
@pytest.mark.parametrize("name", ASSEMBLIES)
def test_a_malformed_assembly_is_a_line_and_the_others_are_served(store, tmp_path, name):
    change(tmp_path / "store/assemblies/other/assembly.json", ASSEMBLIES[name])
    with pytest.raises((IntegrityError, InvalidInputError)) as raised:
        store.assembly("other")
    assert len(str(raised.value).splitlines()) == 1
    md5 = store.assembly("good").contigs[0].md5
    with BackgroundServer(create_app(open_storage(tmp_path), references=store)) as server:
        assert requests.get(f"{server.url}/refget/sequence/{md5}/metadata", timeout=20).status_code == 200


INDEXES = [
    [],
    3,
    None,
    {"format": "x"},
    {"format": 1, "assemblies": []},
    {"format": 1, "assemblies": {"a": 3}},
    {"format": float("inf")},
    {"format": 1, "assemblies": {"a": {"seqcol": [], "contigs": "x", "bases": {}}}},
    {"format": 10**400},
    {"format": [1]},
]


@pytest.mark.parametrize("content", INDEXES, ids=lambda content: json.dumps(content)[:40])
def test_a_malformed_index_is_a_line(store, tmp_path, content):
    (tmp_path / "store" / INDEX).write_text(json.dumps(content))
    with pytest.raises((IntegrityError, InvalidInputError)) as raised:
        store.index()
    assert len(str(raised.value).splitlines()) == 1 and len(str(raised.value)) < 1000
