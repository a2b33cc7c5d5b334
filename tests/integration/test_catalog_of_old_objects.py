"""A catalog of objects in the layout of Zarr v2: they are known until one of their files is another, like all others."""

from __future__ import annotations

import json

import pytest

from modos.catalog import Catalog
from modos.object import commits
from modos.storage import open_storage
from tests.support.peer_layout import write_object

SAMPLES = {"sample/s": {"@type": "Sample", "id": "s", "name": "first"}}


@pytest.fixture
def loaded(monkeypatch):
    """The places of the objects that are loaded."""
    found = []
    load = commits.load
    monkeypatch.setattr(commits, "load", lambda storage, *known: found.append(storage.url) or load(storage, *known))
    return found


def test_what_did_not_change_is_not_read_again(tmp_path, loaded):
    write_object(tmp_path / "old", SAMPLES)
    catalog = Catalog(open_storage(tmp_path))
    first = dict(catalog.iter_metadata())
    assert first["old"]["sample/s"]["name"] == "first" and catalog.is_object("old")
    assert dict(catalog.iter_metadata()) == first and catalog.metadata("old") == first["old"]
    assert len(loaded) == 1
    attributes = tmp_path / "old/data.zarr/sample/s/.zattrs"
    attributes.write_text(json.dumps(SAMPLES["sample/s"] | {"name": "the second"}))
    assert catalog.metadata("old")["sample/s"]["name"] == "the second"
    assert dict(catalog.iter_metadata())["old"]["sample/s"]["name"] == "the second" and len(loaded) == 2
