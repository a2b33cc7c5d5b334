"""Changes of Zarr trees that are killed, fail, or meet another writer at any step, in folders and on S3."""

from __future__ import annotations

import contextlib

import pytest
import zarr

from modos.api import MODO
from modos.encryption.keys import SecretKey
from modos.errors import ModosError, NotFoundError
from modos.object import checking
from modos.object.stored_trees import list_tree_keys
from tests.faults.conftest import check_whole, expected_files, fail, files, interrupted, killed_at
from tests.integration.test_trees import arrays, stored, write_tree
from tests.support.sampling import some

ME, HER = SecretKey.random(), SecretKey.random()
ELEMENT = {"id": "m", "@type": "DataEntity"}
SEED = {"add": 2, "replace": 2, "replace_sealed": 2}


def add(modo, trees):
    modo.add_element(ELEMENT, trees / "2" / "counts.zarr")


def replace(modo, trees):
    modo.update_element("data/m", {}, trees / "2" / "counts.zarr")


def remove(modo, trees):
    modo.remove_element("data/m")


def rename(modo, trees):
    modo.update_element("data/m", {"data_path": "rna.zarr"})


def encrypt(modo, trees):
    modo.encrypt(ME.public)


def decrypt(modo, trees):
    modo.decrypt(ME)


def share(modo, trees):
    modo.share(ME, HER.public)


def revoke(modo, trees):
    modo.revoke(ME, HER.public)


def rotate(modo, trees):
    modo.revoke(ME, HER.public, rotate=True)


def replace_sealed(modo, trees):
    modo.update_element("data/m", {}, trees / "2" / "counts.zarr")


def rename_sealed(modo, trees):
    modo.update_element("data/m", {"data_path": "rna.zarr"})


OPERATIONS = [add, replace, remove, rename, encrypt, decrypt, share, revoke, rotate, replace_sealed, rename_sealed]
SEALED = {decrypt, share, revoke, rotate, replace_sealed, rename_sealed}


@pytest.fixture(scope="module")
def trees(tmp_path_factory):
    """The trees that are there before and after."""
    folder = tmp_path_factory.mktemp("trees")
    for seed in (1, 2):
        write_tree(folder / str(seed) / "counts.zarr", seed=seed)
    return folder


@pytest.fixture(params=OPERATIONS, ids=lambda operation: operation.__name__)
def operation(request):
    return request.param


def make(place, trees, operation):
    """An object as it is before an operation."""
    modo = MODO.create(path := place.new(), **place.options)
    modo.add_element({"id": "s", "@type": "Sample"})
    if operation is not add:
        modo.add_element(ELEMENT, trees / "1" / "counts.zarr")
    if operation in SEALED:
        modo.encrypt([ME.public, HER.public] if operation in (revoke, rotate) else ME.public)
    return path


def look(modo):
    """What an object says of its tree, and what is in that; chance and dates left out."""
    found = modo.metadata.get("data/m")
    if found is None:
        return None
    is_sealed = found["data_path"].endswith(".c4gh")
    values = arrays(modo["data/m"].to_zarr(**({"secret_key": ME} if is_sealed else {})))
    return found["data_path"], found.get("recipients"), found.get("description"), values


def owned(modo):
    """Keys of the files that an object has, those of its tree among them."""
    trees_ = [a for a in modo.metadata.values() if ".zarr" in a.get("data_path", "")]
    return expected_files(modo) | {key for attributes in trees_ for key in list_tree_keys(modo.storage, attributes)}


def count_steps(place, trees, operation):
    path = make(place, trees, operation)
    old = look(place.open(path))
    with interrupted(10**9, fail) as begun:
        operation(place.open(path), trees)
    new = look(place.open(path))
    assert old != new and owned(place.open(path)) == files(place.open(path).storage)
    return old, new, len(begun)


def verify(place, path, operation, trees, old, new):
    """Old or new, nothing else; nothing is left after a fix, and the operation ends well when it is done again."""
    modo = place.open(path)
    now = look(modo)
    assert now in (old, new)
    left = check_whole(modo.storage)
    checking.fix(modo.storage, left, limit=0)
    assert check_whole(modo.storage) == [] and files(modo.storage) == owned(modo) and modo.storage.partial_writes() == []
    if now == old:
        operation(place.open(path), trees)
    modo = place.open(path)
    assert look(modo) == new and check_whole(modo.storage) == [] and files(modo.storage) == owned(modo)


def sampled(steps, place):
    """Steps to interrupt: all with MODOS_ALL=1, else some."""
    return some(range(steps), 1 if place.is_remote else 2)


@pytest.mark.sweep(2)
def test_killed_before_any_step(place, trees, operation):
    old, new, steps = count_steps(place, trees, operation)
    for at in sampled(steps, place):
        path = make(place, trees, operation)
        killed_at(at, lambda: operation(place.open(path), trees))
        verify(place, path, operation, trees, old, new)


@pytest.mark.sweep(1)
@pytest.mark.parametrize("for_good", [False, True])
def test_a_storage_that_fails_at_any_step(place, trees, operation, for_good, monkeypatch):
    monkeypatch.setattr("modos.object.commits.time.sleep", lambda seconds: None)
    old, new, steps = count_steps(place, trees, operation)
    for at in sampled(steps, place):
        path = make(place, trees, operation)
        with interrupted(at, fail, for_good=for_good), contextlib.suppress(ModosError):
            operation(place.open(path), trees)
        verify(place, path, operation, trees, old, new)


@pytest.mark.sweep(1)
def test_another_writer_at_any_step(place, trees, operation):
    """Who changes something else: both changes are there. Nothing is lost and nothing is left."""
    _, new, steps = count_steps(place, trees, operation)
    for at in sampled(steps, place):
        path = make(place, trees, operation)
        with interrupted(at, lambda: place.open(path).update_element("sample/s", {"description": "other"})):
            operation(place.open(path), trees)
        modo = place.open(path)
        assert look(modo) == new and modo.metadata["sample/s"]["description"] == "other"
        assert check_whole(modo.storage) == [] and files(modo.storage) == owned(modo)


@pytest.mark.sweep(1)
def test_another_writer_of_the_same_tree_at_any_step(place, trees, operation):
    """One of both is there, whole; the other is told, or is there, too; nothing is left."""
    _, _, steps = count_steps(place, trees, operation)
    for at in sampled(steps, place):
        path, outcomes = make(place, trees, operation), []

        def other(path=path, outcomes=outcomes):
            modo = place.open(path)
            try:
                if "data/m" in modo.metadata:
                    modo.remove_element("data/m")
                else:
                    modo.add_element(ELEMENT | {"description": "theirs"}, trees / "1" / "counts.zarr")
                outcomes.append("theirs")
            except ModosError:
                outcomes.append("theirs failed")

        with interrupted(at, other):
            try:
                operation(place.open(path), trees)
                outcomes.append("ours")
            except ModosError:
                outcomes.append("ours failed")
        modo = place.open(path)
        assert set(outcomes) & {"ours", "theirs"}
        look(modo)
        checking.fix(modo.storage, check_whole(modo.storage), limit=0)
        assert check_whole(modo.storage) == [] and files(modo.storage) == owned(modo)


@pytest.mark.sweep(1)
@pytest.mark.parametrize("sealed", [False, True])
def test_a_copy_that_is_killed_at_any_step_is_gone_on_with(place, trees, tmp_path, sealed):
    """Uploaded or downloaded; what has arrived is not sent again where that can be told."""
    source = MODO.create(tmp_path / "source", id="ex")
    source.add_element(ELEMENT, trees / "1" / "counts.zarr")
    if sealed:
        source.encrypt(ME.public)

    def copy(target):
        source.upload(target, **place.options) if place.is_remote else source.download(target)

    with interrupted(10**9, fail) as begun:
        copy(place.new())
    for at in sampled(len(begun), place):
        target = place.new()
        killed_at(at, lambda target=target: copy(target))
        if not MODO.exists(target, **place.options):
            with pytest.raises(NotFoundError):
                place.open(target)
            copy(target)
        modo = place.open(target)
        checking.fix(modo.storage, check_whole(modo.storage), limit=0)
        assert look(modo) == look(source) and files(modo.storage) == owned(modo) and check_whole(modo.storage) == []


def test_a_tree_that_was_there_is_opened_while_another_takes_its_place(place, trees):
    """Who has it open reads all of the old one, or an error: never of both."""
    modo = place.open(make(place, trees, replace))
    group = modo["data/m"].to_zarr()
    before = arrays(zarr.open_group(trees / "1" / "counts.zarr", mode="r"))
    replace(place.open(modo.storage.url), trees)
    with pytest.raises(ModosError):
        assert arrays(group) == before
        raise ModosError("it was still there")
    assert arrays(place.open(modo.storage.url)["data/m"].to_zarr()) == arrays(
        zarr.open_group(trees / "2" / "counts.zarr", mode="r")
    )
    assert stored(modo.storage, "counts.zarr") == {}
