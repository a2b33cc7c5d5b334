"""Zarr trees as DRS has them: a bundle of bundles, whose blobs are the files, for whoever may read them."""

from __future__ import annotations

import hashlib

import pytest
import requests

from modos.api import MODO
from modos.encryption.keys import SecretKey
from modos.formats import header_key
from modos.server import drs_trees
from modos.server.app import create_app
from modos.server.auth import Access
from modos.server.drs import object_id
from modos.server.rules import Rule, Rules
from modos.server.run import BackgroundServer
from modos.storage import open_storage
from modos.storage.part_digests import root_of
from tests.integration.test_trees import contents, write_tree

ME = SecretKey.random()


@pytest.fixture
def tree(tmp_path):
    return write_tree(tmp_path / "source" / "counts.zarr")


@pytest.fixture
def modo(tmp_path, tree):
    modo = MODO.create(tmp_path / "served" / "ex", id="ex")
    modo.add_element({"id": "m", "@type": "DataEntity", "description": "counts"}, tree)
    return modo


@pytest.fixture
def drs(tmp_path, modo):
    with BackgroundServer(create_app(open_storage(tmp_path / "served"))) as server:

        def get(path, **parameters):
            url = f"{server.url}/ga4gh/drs/v1/objects/{object_id(path)}"
            answer = requests.get(url, params=parameters, timeout=60)
            return answer.json() if answer.ok else answer.status_code

        get.url = server.url
        yield get


def read(drs, content):
    """The bytes of a blob, by its access."""
    (uri,) = content["drs_uri"]
    place = f"{drs.url}/ga4gh/drs/v1/objects/{uri.rpartition('/')[2]}"
    blob = requests.get(place, timeout=60).json()
    assert blob["id"] == content["id"] and [method["access_id"] for method in blob["access_methods"]] == ["file"]
    access = requests.get(f"{place}/access/file", timeout=60).json()
    data = requests.get(access["url"], headers=dict(line.split(": ", 1) for line in access["headers"]), timeout=60).content
    assert len(data) == blob["size"]
    return data, blob["checksums"]


def walk(drs, bundle, above=""):
    """Download a bundle as a client does: names of folders and files are those of the contents."""
    found = {}
    for content in bundle["contents"]:
        part = requests.get(f"{drs.url}/ga4gh/drs/v1/objects/{content['id']}", timeout=60).json()
        name = f"{above}{content['name']}"
        found |= walk(drs, part, f"{name}/") if "contents" in part else {name: read(drs, content)}
    return found


def test_a_client_gets_all_files_of_a_tree_from_its_bundle(drs, tree):
    (listed,) = drs("ex")["contents"]
    bundle = drs("ex/counts.zarr")
    assert listed["name"] == bundle["name"] == "counts.zarr" and listed["id"] == bundle["id"]
    assert bundle["size"] == sum(map(len, contents(tree).values())) and "access_methods" not in bundle
    assert bundle["description"] == "counts" and [content["name"] for content in bundle["contents"]] == [
        "a",
        "large",
        "zarr.json",
    ]
    found = walk(drs, bundle)
    assert {name: data for name, (data, _) in found.items()} == contents(tree)
    for data, checksums in found.values():
        assert checksums == [{"type": "modos-parts-blake3", "checksum": root_of(data)}]
    digests = "".join(sorted(checksums[0]["checksum"] for _, checksums in found.values()))
    assert bundle["checksums"] == [{"type": "blake2b-512", "checksum": hashlib.blake2b(digests.encode()).hexdigest()}]


def test_it_is_expanded_when_asked_for_and_not_without_end(drs, tree, monkeypatch):
    def names(listed, above=""):
        for content in listed:
            name = f"{above}{content['name']}"
            yield from names(content["contents"], f"{name}/") if "contents" in content else [name]

    assert set(names(drs("ex/counts.zarr", expand="true")["contents"])) == set(contents(tree))
    assert set(names(drs("ex/counts.zarr/large", expand="true")["contents"])) == {"c/0", "c/1", "zarr.json"}
    monkeypatch.setattr(drs_trees, "MOST_EXPANDED", 3)
    assert drs("ex/counts.zarr", expand="true") == 400 and drs("ex/counts.zarr/large", expand="true")["contents"]


def test_what_is_not_of_the_tree_is_not_there(drs, modo):
    modo.storage.write("counts.zarr/notes.txt", b"mine")
    for path in ("counts.zarr/notes.txt", "counts.zarr/larg", "counts.zarr/large/c/7", "counts.zarr.parts", "other.zarr"):
        assert drs(f"ex/{path}") == 404, path
    bundle = f"{drs.url}/ga4gh/drs/v1/objects/{object_id('ex/counts.zarr')}/access/file"
    assert requests.get(bundle, timeout=60).status_code == 404


def test_the_id_of_a_replaced_tree_leads_to_the_new_one(drs, modo, tmp_path):
    modo.update_element("data/m", {}, write_tree(tmp_path / "other.zarr", seed=2))
    assert drs("ex/counts.zarr")["id"] == object_id("ex/counts~2.zarr")
    assert drs("ex/counts.zarr/zarr.json")["id"] == object_id("ex/counts~2.zarr/zarr.json")


def test_an_encrypted_tree_comes_with_what_it_takes_to_open_it(drs, modo):
    modo.encrypt(ME.public)
    bundle, header = drs("ex/counts.zarr.c4gh"), header_key(modo["data/m"])
    found = walk(drs, bundle)
    assert set(found) == {"0000000", header, "counts.zarr.c4gh.files"}
    assert {name: data for name, (data, _) in found.items() if name != "0000000"} == {
        name: modo.storage.read(name)[0] for name in (header, "counts.zarr.c4gh.files")
    }
    assert found[header][1] == [{"type": "blake2b-512", "checksum": hashlib.blake2b(found[header][0]).hexdigest()}]


def test_who_may_not_read_an_object_gets_nothing_of_its_trees(tmp_path, modo):
    rules = Rules((Rule(frozenset({"anyone"}), ("other",), ()),))
    app = create_app(open_storage(tmp_path / "served"), access=Access({}, rules))
    with BackgroundServer(app) as server:
        for path in ("ex/counts.zarr", "ex/counts.zarr/large", "ex/counts.zarr/zarr.json"):
            for end in ("", "/access/file", "?expand=true"):
                url = f"{server.url}/ga4gh/drs/v1/objects/{object_id(path)}{end}"
                assert requests.get(url, timeout=60).status_code in (401, 403), path
