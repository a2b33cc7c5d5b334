"""Writers at the same time: no update is lost, and none overwrites another unseen."""

from __future__ import annotations

import os
import signal
import time

import pytest

from modos.api import MODO
from modos.encryption.keys import SecretKey
from modos.errors import AlreadyExistsError, ConflictError, NotFoundError
from tests.support.sampling import most

from .conftest import check_whole, fail, interrupted

pytestmark = pytest.mark.sweep(4)

COUNT = most(40, 10)


@pytest.fixture
def path(place):
    path = place.new()
    modo = MODO.create(path, **place.options)
    with modo.transaction() as tx:
        tx.add_element({"id": "a", "@type": "Assay", "omics_type": "GENOMICS"})
        tx.add_element({"id": "s", "@type": "Sample", "name": "one"}, part_of="a")
    return path


def at_commit(action):
    """Run something right before the next root is written."""
    return interrupted(0, action)


@pytest.mark.core
@pytest.mark.sweep(1)
def test_two_processes_add_many_each(place, path):
    children = []
    for writer in range(2):
        child = os.fork()
        if child == 0:
            signal.alarm(120)
            try:
                modo = place.open(path)
                for number in range(COUNT):
                    modo.add_element({"id": f"w{writer}_{number}", "@type": "Sample"}, part_of="assay/a")
                os._exit(0)
            except BaseException as error:
                os.write(2, f"{type(error).__name__}: {error}\n".encode())
                os._exit(1)
        children.append(child)
    assert [os.waitpid(child, 0)[1] for child in children] == [0, 0]
    metadata = place.open(path).metadata
    links = metadata["assay/a"]["has_sample"]
    assert len(metadata) == 2 + 1 + 2 * COUNT and len(links) == len(set(links)) == 2 * COUNT + 1
    assert check_whole(place.open(path).storage) == []


def test_creating_does_not_change_what_was_created_meanwhile(place, tmp_path):
    """By a description, too, which else brings an object up to date."""
    description = tmp_path / "new.json"
    description.write_text('[{"element": {"id": "mine", "@type": "Sample"}}]')
    MODO.from_file(description, path := place.new(), **place.options, new=True)
    before = place.open(path).metadata
    description.write_text('[{"element": {"id": "theirs", "@type": "Sample"}}]')
    with pytest.raises(AlreadyExistsError, match="exists already"):
        MODO.from_file(description, path, **place.options, new=True)
    assert place.open(path).metadata == before


def test_two_processes_create_one_object(place, tmp_path, monkeypatch):
    """The second has looked for an object before the first has made it: it does not say that it has created one."""
    from typer.testing import CliRunner

    from modos.cli.app import app

    description = tmp_path / "new.json"
    description.write_text('[{"element": {"id": "mine", "@type": "Sample"}}]')
    path, exists = place.new(), MODO.exists.__func__

    def slowly(cls, where, *args, **kwargs):
        there = exists(cls, where, *args, **kwargs)
        if not there:
            MODO.create(path, **place.options)
        return there

    if place.is_remote:
        return  # the command is given no server
    monkeypatch.setattr(MODO, "exists", classmethod(slowly))
    assert isinstance(CliRunner().invoke(app, ["create", path, "-f", str(description)]).exception, AlreadyExistsError)
    assert "sample/mine" not in place.open(path).metadata


def test_changes_of_different_elements_are_merged(place, path):
    ours, theirs = place.open(path), place.open(path)
    ours.add_element({"id": "t", "@type": "Sample"})
    with at_commit(lambda: theirs.update_element("sample/t", {"sex": "Male"})):
        ours.update_element("sample/s", {"sex": "Female"})
    metadata = place.open(path).metadata
    assert metadata["sample/s"]["sex"] == "Female" and metadata["sample/t"]["sex"] == "Male"


def test_changes_of_the_same_element_conflict(place, path):
    ours, theirs = place.open(path), place.open(path)
    with at_commit(lambda: theirs.update_element("sample/s", {"name": "theirs"})), pytest.raises(ConflictError):
        ours.update_element("sample/s", {"sex": "Female"})
    assert place.open(path).metadata["sample/s"] == {"@type": "Sample", "name": "theirs"}


def test_removing_what_was_changed_conflicts(place, path):
    ours, theirs = place.open(path), place.open(path)
    with at_commit(lambda: theirs.update_element("sample/s", {"name": "theirs"})), pytest.raises(ConflictError):
        ours.remove_element("sample/s")
    assert "sample/s" in place.open(path).metadata


def test_changing_what_was_removed_conflicts(place, path):
    ours, theirs = place.open(path), place.open(path)
    with at_commit(lambda: theirs.remove_element("sample/s")), pytest.raises(ConflictError):
        ours.update_element("sample/s", {"name": "ours"})
    assert "sample/s" not in place.open(path).metadata


def test_linking_to_what_was_removed_is_refused(place, path):
    ours, theirs = place.open(path), place.open(path)
    with at_commit(lambda: theirs.remove_element("assay/a")), pytest.raises(NotFoundError):
        ours.add_element({"id": "t", "@type": "Sample"}, part_of="assay/a")
    assert "sample/t" not in place.open(path).metadata


def test_links_that_others_added_stay(place, path):
    ours, theirs = place.open(path), place.open(path)
    with at_commit(lambda: theirs.add_element({"id": "t", "@type": "Sample"}, part_of="assay/a")):
        ours.update_element("assay/a", {"name": "ours"})
    assay = place.open(path).metadata["assay/a"]
    assert assay["name"] == "ours" and assay["has_sample"] == ["sample/s", "sample/t"]


def test_a_transaction_that_raises_changes_nothing(place, path):
    before = place.open(path).metadata
    with pytest.raises(ZeroDivisionError), interrupted(0, fail), place.open(path).transaction() as tx:
        tx.remove_element("sample/s")
        raise ZeroDivisionError
    assert place.open(path).metadata == before


def test_of_several_files_none_is_gone_on_with_after_a_failure(tmp_path):
    """Nor after Ctrl-C: what may take hours more is not waited for."""
    modo, size, told = MODO.create(tmp_path / "ex"), 64 << 20, []
    for name, length in ("a", 10), ("b", size):
        (tmp_path / f"{name}.fastq").write_bytes(bytes(length))
        modo.add_element({"id": name, "@type": "DataEntity"}, tmp_path / f"{name}.fastq")

    def tell(count):
        if count == 10:
            raise KeyboardInterrupt
        told.append(count)
        time.sleep(0.3)  # all of it takes much longer than it takes to be told of the failure

    with pytest.raises(KeyboardInterrupt):
        modo.encrypt([SecretKey.random().public], progress=tell)
    assert sum(told) < size // 2
    assert not list((tmp_path / "ex").glob("*.c4gh*"))
    assert modo.find_problems() == []
