"""Whatever is interrupted wherever: a catalogue is an old or a new version, whole, and the next refresh is right."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest

from modos.api import MODO
from modos.catalog import reading_objects
from modos.catalog.element_rows import to_metadata
from modos.catalog.refreshing import fold, look, rebuild
from modos.errors import ConflictError, ModosError, TransportError
from modos.object import commits
from modos.object.announcing import list_announcements
from modos.storage import open_storage
from modos.storage.local import LocalStorage
from modos.storage.s3 import S3Storage
from tests.support.sampling import some

from .conftest import fail, interrupted

pytestmark = pytest.mark.sweep(12)
MOST = 40


@pytest.fixture
def root(place):
    """A storage with three objects and a catalogue, of which one was changed, one removed, and one made since."""
    options = {"s3_url": place.options["services"]["s3"], "s3_kwargs": place.options["s3_kwargs"]} if place.options else {}
    storage = open_storage(place.root, **options)
    for key in "abc":
        MODO.create(f"{place.root}/{key}", **place.options).add_element({"id": "s", "@type": "Sample"})
    rebuild(storage)
    return storage


def change(place):
    place.open(f"{place.root}/a").add_element({"id": "t", "@type": "Sample"})
    place.open(f"{place.root}/b").remove_object()
    MODO.create(f"{place.root}/d", **place.options)


def truth(storage, keys):
    return {key: commits.load(storage.child(key)).metadata() for key in keys}


def shown(view):
    elements, digests = view.elements.collect(), view.digests.collect()
    assert elements.select("object", "element").is_unique().all()
    return {
        key: to_metadata(
            key, elements.filter(pl.col("object") == key).to_dicts(), digests.filter(pl.col("object") == key).to_dicts()
        )
        for key in elements["object"].unique()
    }


def count_changes(work):
    with interrupted(1 << 30, fail) as begun:
        work()
    return len(begun)


def killed_at(at, work, place):
    """Run a refresh in a process of its own (polars has threads, which a fork does not) that is killed before its `at`-th change."""
    script = (
        "from tests.faults.conftest import interrupted, kill\n"
        "from modos.catalog import refreshing\n"
        "from modos.storage import open_storage\n"
        f"with interrupted({at}, kill):\n"
        f"    refreshing.{work.__name__}(open_storage({str(place)!r}))\n"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=Path(__file__).parents[2], capture_output=True, timeout=120)
    assert done.returncode in (0, -signal.SIGKILL), done.stderr.decode()
    return done.returncode != 0


@pytest.mark.parametrize("work", [fold, rebuild])
def test_the_line_breaks_at_each_step(place, root, work):
    for at in range(MOST):
        change_back = truth(root, "abc") if at == 0 else None
        if at == 0:
            change(place)
        else:
            MODO.create(f"{place.root}/n{at}", **place.options)
        keys = {"a", "c", "d", *(f"n{n}" for n in range(1, at + 1))}
        with interrupted(at, fail, for_good=True) as begun, contextlib.suppress(ModosError):
            work(root)
        assert shown(look(root).view) == truth(root, keys), (at, begun, change_back)
        if len(begun) <= at:
            assert not list_announcements(root)
            break
    else:
        raise AssertionError("it never came to an end")
    fold(root)
    assert shown(look(root).view) == truth(root, keys) and not list_announcements(root)


@pytest.mark.parametrize("work", [fold, rebuild])
@pytest.mark.parametrize("at", some(range(8), 3))
def test_it_is_killed_at_a_step(place, root, work, at):
    if place.is_remote:
        pytest.skip("the steps are the same on both, and a crash leaves the same")
    change(place)
    killed_at(at, work, place.root)
    assert shown(look(root).view) == truth(root, "acd")
    fold(root)
    assert shown(look(root).view) == truth(root, "acd") and not list_announcements(root)


def test_a_first_catalogue_is_killed_at_each_step(tmp_path):
    for key in "abc":
        MODO.create(tmp_path / key)
    storage = open_storage(tmp_path)
    for at in range(8):
        killed = killed_at(at, rebuild, tmp_path)
        view = look(storage).view
        assert not view.is_made or shown(view) == truth(storage, "abc")
        if not killed:
            break
    assert not killed and shown(rebuild(storage).view) == truth(storage, "abc")


@pytest.mark.parametrize("kind", [LocalStorage, S3Storage])
def test_the_answer_to_the_head_is_lost(place, root, kind, monkeypatch):
    """It was written, and nobody was told: what the head names is not removed."""
    if place.is_remote != (kind is S3Storage):
        pytest.skip("another storage")
    change(place)
    write, lost = kind.write, []

    def write_and_fail(self, key, *args, **kwargs):
        done = write(self, key, *args, **kwargs)
        if key.endswith("head.json") and not lost:
            lost.append(key)
            raise (ConflictError if kind is S3Storage else TransportError)("the answer was lost")
        return done

    monkeypatch.setattr(kind, "write", write_and_fail)
    fold(root)
    assert lost and shown(look(root).view) == truth(root, "acd") and not list_announcements(root)


def test_the_server_goes_while_objects_are_read(place, root, monkeypatch):
    """What could not be asked for is not taken for gone."""
    before, read = shown(look(root).view), reading_objects.read_object

    def read_some(storage, key, tag=""):
        if key == "b":
            raise TransportError("the server is gone")
        return read(storage, key, tag)

    change(place)
    monkeypatch.setattr(reading_objects, "read_object", read_some)
    for work in (fold, rebuild, look):
        with pytest.raises(TransportError):
            work(root)
    monkeypatch.undo()
    assert before.keys() == set("abc") and shown(look(root).view) == truth(root, "acd")


def test_a_commit_does_not_fail_where_it_cannot_be_announced(place, root, monkeypatch):
    kind = S3Storage if place.is_remote else LocalStorage
    write = kind.write

    def refuse(self, key, *args, **kwargs):
        if "/changed/" in key:
            fail()
        return write(self, key, *args, **kwargs)

    monkeypatch.setattr(kind, "write", refuse)
    change(place)
    monkeypatch.undo()
    assert not list_announcements(root)
    assert shown(rebuild(root).view) == truth(root, "acd")
