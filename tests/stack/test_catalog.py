"""The catalogue of a bucket of the real services: who may write it does, and each caller finds what they may read."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time

import polars as pl
import pytest
import requests

import modos
from modos.api import MODO
from modos.catalog.element_rows import to_metadata
from modos.catalog.refreshing import look
from modos.errors import AccessError
from modos.object import commits
from modos.storage import open_storage
from tests.support.waiting import wait_until

from .conftest import ALICE, BOB

pytestmark = pytest.mark.stack


def run(native, *words, **environment):
    """Call `modos` with the stack as its endpoint."""
    done = subprocess.run(
        [sys.executable, "-m", "modos", "--endpoint", native.url, *words],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return done


def keys(native, name):
    """Variables of the environment with credentials."""
    given = native.credentials(name)
    return {"AWS_ACCESS_KEY_ID": given["key"], "AWS_SECRET_ACCESS_KEY": given["secret"]}


def compare_with_roots(storage, view):
    """See that the rows are what the root documents say, and that all of these are there."""
    elements, digests = view.elements.collect(), view.digests.collect()
    roots = {info.key.rpartition("/data.zarr/")[0] for info in storage.iter_files() if info.key.endswith("data.zarr/zarr.json")}
    roots = {key for key in roots if "/data.zarr" not in key and ".zarr" not in key}
    assert set(elements["object"]) == roots
    for key in roots:
        of_it = pl.col("object") == key
        assert (
            to_metadata(key, elements.filter(of_it).to_dicts(), digests.filter(of_it).to_dicts())
            == commits.load(storage.child(key)).metadata()
        )


def test_a_bucket_has_a_catalogue(native, example):
    server = native.credentials("server")
    where = {"services": {"s3": native.s3}, "s3_kwargs": server}
    storage = open_storage("s3://modos-demo", s3_url=native.s3, s3_kwargs=server)
    said = run(native, "catalog", "refresh", "s3://modos-demo", "--full", **keys(native, "server")).stderr
    assert "the catalogue of s3://modos-demo has" in said
    compare_with_roots(storage, look(storage).view)
    MODO.open(example / "ex").upload("s3://modos-demo/found/ex", **where)
    MODO.open("s3://modos-demo/found/ex", **where).add_element({"id": "new", "@type": "Sample", "sex": "Male"})
    rows = json.loads(
        run(native, "find", "s3://modos-demo", "--where", "element = 'sample/new'", "--json", **keys(native, "demo")).stdout
    )
    assert [(row["url"], row["sex"]) for row in rows] == [("s3://modos-demo/found/ex", "Male")]
    run(native, "catalog", "refresh", "s3://modos-demo", **keys(native, "server"))
    compare_with_roots(storage, look(storage).view)

    def ask(path: str) -> list:
        time.sleep(0.3)  # the server may have looked a while ago, and looks anew when that is old: not asked all the time
        return requests.get(native.url + path, timeout=20).json()["data"]

    males = "/find?class=Sample&where=sex%20%3D%20'Male'"
    wait_until(lambda: "s3://modos-demo/found/ex" in {row["path"] for row in ask(males)})
    MODO.open("s3://modos-demo/found/ex", **where).remove_object()
    assert "found/ex" not in set(modos.open_catalog("s3://modos-demo", **where).elements.collect()["object"])
    storage.delete_all([info.key for info in storage.iter_files(".modos-catalog")])
    wait_until(lambda: "s3://modos-demo/found/ex" not in ask("/list"))


def test_a_reader_cannot_write_it(native):
    with pytest.raises(AccessError):
        modos.refresh_catalog("s3://modos-demo", services={"s3": native.s3}, s3_kwargs=native.credentials("demo"), full=True)


def test_callers_find_what_they_may_read(private, monkeypatch):
    where = {"services": {"s3": private.s3}, "s3_kwargs": private.credentials("server")}
    storage = open_storage("s3://modos-demo", s3_url=private.s3, s3_kwargs=private.credentials("server"))
    modos.refresh_catalog("s3://modos-demo", **where, full=True)
    for token, objects in ((ALICE, {"lab-a/ex", "open/ex"}), (BOB, {"lab-b/ex", "open/ex"}), (None, {"open/ex"})):
        if token:
            monkeypatch.setenv("MODOS_TOKEN", token)
        else:
            monkeypatch.delenv("MODOS_TOKEN")
        catalog = modos.open_catalog(private.url)
        for rows in (catalog.elements, catalog.digests):
            found = set(rows.collect()["object"])
            assert {key for key in found if "/new-" not in key} == objects  # other tests add theirs
            assert {key.partition("/")[0] for key in found} == {key.partition("/")[0] for key in objects}
        with pytest.raises(AccessError):
            modos.open_catalog("s3://modos-demo", endpoint=private.url)
    monkeypatch.setenv("MODOS_TOKEN", ALICE)
    MODO("s3://modos-demo/lab-a/ex", endpoint=private.url).add_element({"id": "hers", "@type": "Sample", "sex": "Female"})
    found = modos.open_catalog(private.url).find("Sample", "element = 'sample/hers'")
    if not found:  # she may not announce it; it is found by looking at all objects
        modos.refresh_catalog("s3://modos-demo", **where, full=True)
        found = modos.open_catalog(private.url).find("Sample", "element = 'sample/hers'")
    assert [one.object for one in found] == ["lab-a/ex"]
    compare_with_roots(storage, look(storage).view)
    MODO("s3://modos-demo/lab-a/ex", endpoint=private.url).remove_element("sample/hers")
    storage.delete_all([info.key for info in storage.iter_files(".modos-catalog")])  # others look for what they add at once
