"""Commits are atomic, never lose an update, and know a lost answer from a lost race."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modos.errors import (
    AlreadyExistsError,
    ConflictError,
    IntegrityError,
    InvalidInputError,
    NotFoundError,
    TransportError,
)
from modos.metadata.ids import format_id
from modos.object import commits
from modos.object.document import ROOT_KEY, Document
from modos.storage import open_storage

OWN = {"@type": "MODO", "id": "ex", "creation_date": "2024-01-01", "last_update_date": "2024-01-01"}


@pytest.fixture
def storage(tmp_path):
    storage = open_storage(tmp_path / "ex")
    commits.create(storage, Document(dict(OWN)))
    return storage


def add(name):
    return lambda document: document.add(f"sample/{name}", {"@type": "Sample"})


def test_a_commit_changes_the_root_and_its_mirror(storage):
    commits.commit(storage, add("s1"))
    assert "sample/s1" in commits.load(storage).metadata()
    mirror = json.loads(storage.read("data.zarr/sample/s1/zarr.json")[0])
    assert mirror["attributes"] == {"@type": "Sample"} and mirror["node_type"] == "group"


def test_a_lost_race_is_repeated_on_the_newest(storage):
    raced = []

    def change(document):
        if not raced:
            raced.append(1)
            commits.commit(storage, add("theirs"))
        add("ours")(document)

    assert {"sample/ours", "sample/theirs"} <= commits.commit(storage, change).metadata().keys()


def test_one_id_twice_is_refused_even_after_a_race(storage):
    raced = []

    def change(document):
        if not raced:
            raced.append(1)
            commits.commit(storage, add("s"))
        add("s")(document)

    with pytest.raises(AlreadyExistsError):
        commits.commit(storage, change)


def test_a_lost_answer_is_no_second_commit(storage, monkeypatch):
    write, calls = type(storage).write, []

    def lossy(self, key, data, **conditions):
        tag = write(self, key, data, **conditions)
        if key == ROOT_KEY and not calls:
            calls.append(key)
            raise TransportError("the answer was lost")
        return tag

    monkeypatch.setattr(type(storage), "write", lossy)
    revision = commits.load(storage).state["revision"]
    commits.commit(storage, add("s"))
    assert commits.load(storage).state["revision"] == revision + 1


def test_endless_races_end_in_a_conflict(storage, monkeypatch):
    def taken(self, key, data, **conditions):
        raise ConflictError("somebody else")

    monkeypatch.setattr(type(storage), "write", taken)
    monkeypatch.setattr(commits.time, "sleep", lambda seconds: None)
    with pytest.raises(ConflictError, match="gave up"):
        commits.commit(storage, add("s"))
    monkeypatch.undo()
    assert "sample/s" not in commits.load(storage).metadata()


def test_creating_never_overwrites(storage):
    before = storage.read(ROOT_KEY)
    with pytest.raises(AlreadyExistsError):
        commits.create(storage, Document(dict(OWN, id="other")))
    assert storage.read(ROOT_KEY) == before


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b'{"attributes": {}}',
        b'{"attributes": null}',
        b"\xff\xfe",
        b'{"node_type": "group", "attributes": {"@type": "Sample"}}',
        b'{"node_type": "group", "attributes": {"@type": "MODO"}, "consolidated_metadata": {"metadata": 3}}',
    ],
)
def test_a_damaged_root_is_an_integrity_error(tmp_path, data):
    folder = tmp_path / "bad/data.zarr"
    folder.mkdir(parents=True)
    (folder / "zarr.json").write_bytes(data)
    with pytest.raises(IntegrityError, match="damaged"):
        commits.load(open_storage(tmp_path / "bad"))


def test_a_missing_object_says_so(tmp_path):
    with pytest.raises(NotFoundError, match="no MODO"):
        commits.load(open_storage(tmp_path / "none"))


def test_bare_names_are_found_where_they_are_unambiguous(storage):
    commits.commit(storage, add("x"))
    document = commits.commit(storage, lambda d: d.add("data/x", {"@type": "DataEntity"}))
    with pytest.raises(InvalidInputError, match="data/x or sample/x|sample/x or data/x"):
        document.find("x")
    assert document.find("sample/x") == "sample/x"
    with pytest.raises(NotFoundError) as caught:
        document.find("sample/xx")
    assert "sample/x" in caught.value.hint


@given(st.text(max_size=250))
def test_ids_are_refused_or_stay_below_their_group(name):
    try:
        element_id = format_id("sample", name)
    except InvalidInputError:
        return
    group, _, bare = element_id.partition("/")
    assert group == "sample" and bare and "/" not in bare and bare not in (".", "..", "zarr.json")
    assert format_id("sample", element_id) == element_id
