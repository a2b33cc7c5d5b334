"""Zarr trees are sealed whole, under one key and one header, and what is sealed opens for who may and nobody else."""

from __future__ import annotations

import io
import pickle
import zipfile

import pytest
import zarr
from crypt4gh.lib import decrypt as crypt4gh_decrypt

from modos.api import MODO
from modos.encryption.keys import SecretKey
from modos.errors import AccessError, DecryptError, IntegrityError, InvalidInputError, TransportError
from modos.formats import files_name, header_key, parts_name
from tests.faults.conftest import check_whole, fail, files, interrupted, killed_at, place  # noqa: F401 - fixtures
from tests.integration.test_trees import ELEMENT, arrays, contents, flip, modo, plain, put, stored, tree, write_tree  # noqa: F401

pytestmark = pytest.mark.sweep(24)

ME, HER = SecretKey.random(), SecretKey.random()


@pytest.fixture
def sealed(modo, plain):  # noqa: F811
    """An object with a sealed tree, and another element."""
    modo.add_element(ELEMENT, plain)
    modo.add_element({"id": "s", "@type": "Sample"})
    assert modo.encrypt(ME.public) == ["data/m"]
    return modo


def opened(modo, secret=ME):  # noqa: F811
    return arrays(modo["data/m"].to_zarr(secret_key=secret))


def test_a_tree_is_sealed_and_opened_as_it_was(modo, tree):  # noqa: F811
    modo.add_element(ELEMENT, tree)
    before = {slot: modo["data/m"][slot] for slot in ("data_digest", "data_size", "data_path")}
    assert modo.encrypt(ME.public) == ["data/m"] and modo.encrypt(ME.public) == []
    element = modo["data/m"]
    assert element["data_path"] == "counts.zarr.c4gh" and element["recipients"] == [str(ME.public)]
    assert (element["plain_digest"], element["plain_size"]) == (before["data_digest"], before["data_size"])
    assert modo.find_problems() == [] and stored(modo.storage, "counts.zarr") == {}
    assert opened(modo) == arrays(zarr.open_group(tree, mode="r"))
    assert modo.verify_encryption(ME) == ["data/m"]
    assert modo.decrypt(ME) == ["data/m"]
    assert {slot: modo["data/m"][slot] for slot in before} == before
    assert not {"recipients", "plain_digest", "header_digests", "plain_size"} & set(modo["data/m"])
    assert stored(modo.storage, "counts.zarr") == contents(tree) and modo.find_problems() == []
    assert [key for key in files(modo.storage) if "c4gh" in key] == []


def test_nothing_of_a_tree_is_told_without_the_key(sealed, plain):  # noqa: F811
    names, blob = contents(plain), b"".join(sealed.storage.read(key)[0] for key in files(sealed.storage))
    assert len(stored(sealed.storage, "counts.zarr.c4gh")) == 1  # not even how many there are
    assert not any(name.encode() in blob for name in names if "/" in name)
    assert not any(data in blob for data in names.values() if len(data) > 40)
    with pytest.raises(AccessError, match="is encrypted"):
        sealed["data/m"].to_zarr()
    with pytest.raises(DecryptError, match="not sealed for this key"):
        opened(sealed, HER)
    with pytest.raises(DecryptError):
        sealed.decrypt(HER)
    with pytest.raises(InvalidInputError, match="cannot be pickled"):
        pickle.dumps(sealed["data/m"].open_store(secret_key=ME))
    assert sealed.find_problems() == []


def test_header_and_body_are_a_file_of_crypt4gh(sealed, plain, tmp_path):  # noqa: F811
    """Given the header before it, the package of others opens the body: a zip file, which zarr opens."""
    head = sealed.storage.read(header_key(sealed["data/m"]))[0]
    (body,) = stored(sealed.storage, "counts.zarr.c4gh").values()
    with open(tmp_path / "tree.zip", "wb") as target:
        crypt4gh_decrypt([(0, ME.raw, None)], io.BytesIO(head + body), target)
    with zipfile.ZipFile(tmp_path / "tree.zip") as file:
        assert file.testzip() is None
        assert {name: file.read(name) for name in file.namelist()} == contents(plain)
    with zarr.storage.ZipStore(tmp_path / "tree.zip", mode="r") as store:
        assert arrays(zarr.open_group(store, mode="r")) == arrays(zarr.open_group(plain, mode="r"))


def test_sharing_and_revoking_write_one_small_file(sealed):
    bodies = stored(sealed.storage, "counts.zarr.c4gh")
    with interrupted(10_000, fail) as begun:
        assert sealed.share(ME, HER.public) == ["data/m"]
    written = {one.split()[1] for one in begun if not one.startswith(("delete", "halfway"))}
    assert not [key for key in written if key.startswith("counts.zarr.c4gh/")]
    assert opened(sealed, HER) == opened(sealed, ME)
    (told,) = sealed.recipients(HER)
    assert (told.packets, told.opens, len(told.fingerprints)) == (2, True, 2)
    assert sealed.revoke(ME, HER.public) == ["data/m"]
    assert opened(sealed, ME)
    with pytest.raises(DecryptError):
        opened(sealed, HER)
    assert stored(sealed.storage, "counts.zarr.c4gh") == bodies and sealed.find_problems() == []
    assert len([key for key in files(sealed.storage) if ".header-" in key]) == 1


def test_rotating_seals_all_anew(sealed, plain):  # noqa: F811
    sealed.share(ME, HER.public)
    before = stored(sealed.storage, "counts.zarr.c4gh")
    sealed.revoke(ME, HER.public, rotate=True)
    after = stored(sealed.storage, sealed["data/m"]["data_path"])
    assert sealed["data/m"]["data_path"] == "counts~2.zarr.c4gh" and not set(after.values()) & set(before.values())
    assert opened(sealed) == arrays(zarr.open_group(plain, mode="r")) and sealed.find_problems() == []
    assert stored(sealed.storage, "counts.zarr.c4gh") == {}


def test_every_changed_swapped_and_missing_file_is_told(sealed, plain):  # noqa: F811
    path = "counts.zarr.c4gh"
    keys = [f"{path}/{name}" for name in stored(sealed.storage, path)]
    beside = [files_name(path), parts_name(path), header_key(sealed["data/m"])]
    good = {key: sealed.storage.read(key)[0] for key in [*keys, *beside]}

    def is_told():
        assert [f for f in sealed.find_problems() if not f.harmless], "check says nothing"
        with pytest.raises((IntegrityError, KeyError)):
            sealed.verify_encryption(ME)

    for key in good:
        if good[key]:
            flip(sealed.storage, key, len(good[key]) // 2)
            is_told()
            put(sealed.storage, key, good[key])
    (one,), segment = keys, 65_564
    whole = good[one]
    assert len(whole) > 3 * segment
    for damaged in (
        whole[segment : 2 * segment] + whole[:segment] + whole[2 * segment :],  # swapped
        whole[:segment] + whole[:segment] + whole[2 * segment :],  # repeated
        whole[:segment] + whole[2 * segment :],  # dropped
        whole[:-1],
        whole[: 2 * segment],
    ):
        put(sealed.storage, one, damaged)
        is_told()
    sealed.storage.delete(one)
    is_told()
    put(sealed.storage, one, whole)
    assert sealed.find_problems() == [] and sealed.verify_encryption(ME)


@pytest.mark.parametrize(
    "damage",
    [
        lambda head: b"",
        lambda head: head[:40],
        lambda head: b"x" + head[1:],
        lambda head: head + b"x",
        lambda head: bytes(9) + head,
    ],
)
def test_a_damaged_header_is_an_error_that_names_it(sealed, damage):
    key = header_key(sealed["data/m"])
    sealed.storage.write(key, damage(sealed.storage.read(key)[0]))
    for use in (opened, lambda it: it.verify_encryption(ME), lambda it: it.share(ME, SecretKey.random().public)):
        with pytest.raises(IntegrityError, match=key.rpartition("/")[2]):
            use(sealed)
    assert any(key in str(problem) for problem in sealed.find_problems())


def test_segments_of_an_older_version_under_the_same_key_do_not_come_back(sealed, plain, tmp_path):  # noqa: F811
    """A rolled-back body opens with the key: the manifest in the commit tells that it is another."""
    path = sealed["data/m"]["data_path"]
    older = stored(sealed.storage, path)
    sealed.decrypt(ME)
    sealed.encrypt(ME.public)
    now = sealed["data/m"]["data_path"]
    ((name, data),) = older.items()
    put(sealed.storage, f"{now}/{name}", data)
    with pytest.raises(IntegrityError):
        sealed.verify_encryption(ME)
    assert {f.kind for f in sealed.find_problems()} == {"checksum"}


def test_a_sealed_tree_is_copied_and_removed(sealed, plain, tmp_path):  # noqa: F811
    copy = sealed.download(tmp_path / "copy")
    assert copy.find_problems() == [] and opened(copy) == opened(sealed)
    copy.share(ME, HER.public)
    assert opened(copy, HER)
    sealed.update_element("data/m", {"data_path": "rna.zarr"})
    assert sealed["data/m"]["data_path"] == "rna.zarr.c4gh" and opened(sealed) and sealed.find_problems() == []
    sealed.remove_element("data/m")
    assert [key for key in files(sealed.storage) if "zarr.c4gh" in key] == [] and sealed.find_problems() == []


def test_the_plain_tree_can_be_kept(modo, plain):  # noqa: F811
    modo.add_element(ELEMENT, plain)
    modo.encrypt(ME.public, delete=False)
    assert stored(modo.storage, "counts.zarr") == contents(plain) and opened(modo)


def test_a_changed_tree_is_not_sealed(modo, plain):  # noqa: F811
    modo.add_element(ELEMENT, plain)
    flip(modo.storage, "counts.zarr/large/c/1", 70_000)
    with pytest.raises(IntegrityError):
        modo.encrypt(ME.public)
    assert modo["data/m"]["data_path"] == "counts.zarr" and stored(modo.storage, "counts.zarr.c4gh") == {}
    assert [key for key in files(modo.storage) if "c4gh" in key] == []


@pytest.mark.sweep(6)
@pytest.mark.parametrize("at", range(16))
@pytest.mark.parametrize("what", ["encrypt", "decrypt", "share", "rotate"])
def test_whatever_is_killed_leaves_the_old_or_the_new(place, plain, what, at):  # noqa: F811
    modo = MODO.create(place.new(), id="ex", **place.options)  # noqa: F811
    modo.add_element(ELEMENT, plain)
    if what != "encrypt":
        modo.encrypt(ME.public)
        if what == "rotate":
            modo.share(ME, HER.public)

    def change():
        own = place.open(modo.storage.url)
        if what == "encrypt":
            own.encrypt(ME.public)
        elif what == "decrypt":
            own.decrypt(ME)
        elif what == "share":
            own.share(ME, HER.public)
        else:
            own.revoke(ME, HER.public, rotate=True)

    killed_at(at, change)
    after = place.open(modo.storage.url)
    check_whole(after.storage)
    is_sealed = after["data/m"]["data_path"].endswith(".c4gh")
    expected = arrays(zarr.open_group(plain, mode="r"))
    assert arrays(after["data/m"].to_zarr(**({"secret_key": ME} if is_sealed else {}))) == expected
    change()
    check_whole(place.open(modo.storage.url).storage)


def test_an_interrupted_encryption_leaves_nothing(modo, plain):  # noqa: F811
    modo.add_element(ELEMENT, plain)
    with interrupted(2, fail), pytest.raises(TransportError):
        modo.encrypt(ME.public)
    assert [key for key in files(modo.storage) if "c4gh" in key] == [] and modo.find_problems() == []


def test_a_new_tree_in_the_place_of_a_sealed_one(sealed, tmp_path):
    """It is sealed for the same recipients, as a file would be, or refused: never left plain in silence."""
    other = write_tree(tmp_path / "other.zarr", seed=2)
    sealed.update_element("data/m", {}, other)
    assert sealed["data/m"]["data_path"].endswith(".c4gh") and sealed["data/m"]["recipients"] == [str(ME.public)]
    assert opened(sealed) == arrays(zarr.open_group(other, mode="r")) and sealed.find_problems() == []
    sealed.update_element("data/m", {}, other, plain=True)
    assert sealed["data/m"]["data_path"].endswith(".zarr") and sealed.find_problems() == []
