"""Damaged, missing and swapped files of Zarr trees are healed from a copy: those that are recorded, and nothing else."""

from __future__ import annotations

import itertools
import json
import random
import shutil

import pytest

from modos.api import MODO
from modos.encryption.keys import SecretKey
from modos.errors import ModosError, NotFoundError
from modos.formats import files_name, header_key, parts_name
from modos.storage.local import LocalStorage
from tests.faults.conftest import files, killed_at
from tests.faults.test_repair import content, flip, put, remove, run
from tests.integration.test_trees import contents, stored, write_tree

pytestmark = pytest.mark.sweep(16)

ME, HER = SecretKey.random(), SecretKey.random()
CHUNK = "counts.zarr/large/c/1"


@pytest.fixture(params=["plain", "sealed"])
def sealed(request):
    """Whether the tree is encrypted."""
    return request.param == "sealed"


@pytest.fixture
def modo(place, tmp_path, sealed):
    """An object with a tree, plain or sealed."""
    modo = MODO.create(place.new(), id="ex", **place.options)
    modo.add_element({"id": "m", "@type": "DataEntity"}, write_tree(tmp_path / "counts.zarr"))
    if sealed:
        modo.encrypt(ME.public)
    return modo


@pytest.fixture
def copy(modo, tmp_path):
    """A sound copy in a folder."""
    return modo.download(tmp_path / "copy").storage


def data(storage):
    """The files of the tree, its lists and its header, with their bytes."""
    return {key: content(storage, key) for key in files(storage) if key.startswith(("counts", "rna"))}


def cut(storage, key):
    put(storage, key, content(storage, key)[:-7])


def lengthen(storage, key):
    put(storage, key, content(storage, key) + b"more")


def flip_middle(storage, key):
    flip(storage, key, len(content(storage, key)) // 2)


def replace(storage, key):
    put(storage, key, random.Random(1).randbytes(len(content(storage, key))))


def empty(storage, key):
    put(storage, key, b"")


@pytest.mark.sweep(3)
@pytest.mark.parametrize("damage", [cut, lengthen, flip_middle, replace, empty, remove])
def test_whatever_the_damage_the_files_are_as_they_were(modo, copy, damage):
    """Of each file alone, of both lists and of the header; then of all at once."""
    before = data(modo.storage)
    for key in before:
        damage(modo.storage, key)
        plan = modo.plan_repair(copy.url)
        plan.heal()
        assert plan.left == [] and data(modo.storage) == before, key
    for key in before:
        damage(modo.storage, key)
    plan = modo.plan_repair(copy.url)
    assert len(plan.heal()) == len(before) and plan.left == []
    assert data(modo.storage) == before and modo.find_problems() == []


def test_swapped_files_and_segments_are_healed(modo, copy, sealed):
    before = data(modo.storage)
    if sealed:
        (key,) = (key for key in before if key.endswith("/0000000"))
        body, segment = before[key], 65_564
        put(modo.storage, key, body[segment : 2 * segment] + body[:segment] + body[2 * segment :])
    else:
        one, other = "counts.zarr/large/c/0", CHUNK
        put(modo.storage, one, before[other]), put(modo.storage, other, before[one])
    assert {finding.kind for finding in modo.find_problems()} == {"checksum"}
    modo.plan_repair(copy.url).heal()
    assert data(modo.storage) == before and modo.find_problems() == []


@pytest.mark.sweep(4)
@pytest.mark.parametrize("lie", ["bytes", "lists", "shorter", "longer", "names"])
def test_a_hostile_copy_gives_nothing_that_is_not_recorded(modo, copy, lie, sealed, tmp_path):
    """Whatever it says: the root that is recorded here decides."""
    path = modo["data/m"]["data_path"]
    for key in data(modo.storage):
        if not key.endswith("zarr.json"):
            flip_middle(modo.storage, key)
    before, victim = data(modo.storage), tmp_path / "victim"
    victim.write_bytes(b"mine")
    for key in data(copy):
        original = content(copy, key)
        size = len(original) + {"shorter": -3, "longer": 3}.get(lie, 0)
        if lie != "lists" or not key.endswith((".parts", ".files")):
            put(copy, key, random.Random(7).randbytes(max(size, 1)))
    if lie == "names":
        put(copy, files_name(path), b"../../victim\n/etc/passwd\nzarr.json\n")
        shutil.copy(victim, tmp_path / "copy" / "zarr.json")
    plan = modo.plan_repair(copy.url)
    plan.heal()
    now = data(modo.storage)
    assert plan.left and all(now[key] == before[key] for key in before if not key.endswith((".parts", ".files")))
    assert modo.find_problems() != [] and victim.read_bytes() == b"mine"


def test_what_both_have_damaged_is_named_and_the_rest_is_healed(modo, copy, sealed):
    before = data(modo.storage)
    key, last = ("counts.zarr.c4gh/0000000", 7 * 65_564 + 9) if sealed else (CHUNK, 3 * 65_536 + 9)
    flip(modo.storage, key, 5, last)
    flip(copy, key, last + 1)
    plan = modo.plan_repair(copy.url)
    ((where, told),) = plan.left
    assert where == "data/m" and key in told and "does not have them, either" in told
    plan.heal()
    now = data(modo.storage)
    assert [n for n in range(len(now[key])) if now[key][n] != before[key][n]] == [last]
    (finding,) = modo.find_problems()
    assert finding.kind == "checksum" and key in finding.message


@pytest.mark.sweep(2)
def test_lists_are_made_again_without_a_copy_where_the_files_are_sound(modo, sealed):
    """Of a sealed tree, as long as its sealed list of places is there."""
    path, before = modo["data/m"]["data_path"], data(modo.storage)
    for name in (parts_name(path), *(() if sealed else (files_name(path),))):
        for damage in (remove, flip_middle, empty, cut):
            damage(modo.storage, name)
            if name.endswith(".parts"):
                put(modo.storage, f"{path}/zzz", b"not of the tree")
            findings = [finding for finding in modo.find_problems() if finding.kind == "list"]
            assert modo.mend(findings) == [] and len(findings) == 1
            modo.storage.delete(f"{path}/zzz")
            assert data(modo.storage) == before and modo.find_problems() == []
    if sealed:
        remove(modo.storage, files_name(path))
        (left,) = modo.mend(modo.find_problems())
        assert left.kind == "checksum" and not modo.storage.exists(files_name(path))


def test_a_copy_of_another_name_and_the_tree_itself_will_do(place, tmp_path):
    """The path of the copy's element with the same digest; or the folder that the tree was brought from, without lists."""
    source = write_tree(tmp_path / "counts.zarr")
    modo = MODO.create(place.new(), id="ex", **place.options)
    modo.add_element({"id": "m", "@type": "DataEntity"}, source)
    copy = modo.download(tmp_path / "copy")
    copy.update_element("data/m", {"data_path": "rna.zarr"})
    before = data(modo.storage)
    for at in (copy.storage.url, source):
        for key in (parts_name("counts.zarr"), files_name("counts.zarr"), CHUNK):
            remove(modo.storage, key)
        flip(modo.storage, "counts.zarr/zarr.json", 3)
        plan = modo.plan_repair(at)
        assert len(plan.heal()) == 4 and plan.left == [] and data(modo.storage) == before


@pytest.mark.sweep(2)
@pytest.mark.parametrize("where", ["packed", "served", "packed at a server"])
def test_an_object_in_one_file_and_one_at_a_server_will_do(tmp_path, where, sealed):
    """A server cannot be listed: what is missing is looked for by its name."""
    from modos.server.app import create_app
    from modos.server.run import BackgroundServer
    from modos.storage import open_storage

    modo = MODO.create(tmp_path / "ex", id="ex")
    modo.add_element({"id": "m", "@type": "DataEntity"}, write_tree(tmp_path / "counts.zarr"))
    if sealed:
        modo.encrypt(ME.public)
    modo.download(tmp_path / "served" / "copy").pack(tmp_path / "served" / "copy.zip")
    before = data(modo.storage)
    with BackgroundServer(create_app(open_storage(tmp_path / "served"))) as server:
        at = {
            "packed": tmp_path / "served" / "copy.zip",
            "served": f"{server.url}/files/copy",
            "packed at a server": f"{server.url}/files/copy.zip",
        }[where]
        for damages in ((remove, flip_middle), (flip_middle, remove), (cut, empty)):
            for damage, key in zip(itertools.cycle(damages), before, strict=False):
                damage(modo.storage, key)
            plan = modo.plan_repair(at)
            plan.heal()
            assert plan.left == [] and data(modo.storage) == before and modo.find_problems() == []


def test_a_sealed_copy_for_others_has_the_body_and_not_the_header(place, tmp_path):
    modo = MODO.create(place.new(), id="ex", **place.options)
    modo.add_element({"id": "m", "@type": "DataEntity"}, write_tree(tmp_path / "counts.zarr"))
    modo.encrypt(ME.public)
    copy = modo.download(tmp_path / "copy").storage
    modo.share(ME, HER.public)
    before, path = data(modo.storage), modo["data/m"]["data_path"]
    flip(modo.storage, f"{path}/0000000", 70_000)
    remove(modo.storage, parts_name(path))
    plan = modo.plan_repair(copy.url)
    plan.heal()
    assert plan.left == [] and data(modo.storage) == before
    remove(modo.storage, header_key(modo["data/m"]))
    plan = modo.plan_repair(copy.url)
    assert [told for _, told in plan.left] == [f"the header of {path} is not the recorded one, and {copy.url} does not have that"]
    assert plan.mendings == []


@pytest.mark.sweep(3)
@pytest.mark.parametrize("at", range(10))
def test_killed_halfway_each_file_is_the_old_or_the_healed_one(modo, copy, place, at):
    sound = data(modo.storage)
    for damage, key in zip(itertools.cycle((remove, flip_middle)), sound, strict=False):
        damage(modo.storage, key)
    damaged = data(modo.storage)
    killed_at(at, lambda: place.open(modo.storage.url).plan_repair(copy.url).heal())
    for key, value in data(modo.storage).items():
        assert value in (sound[key], damaged.get(key))
    modo.plan_repair(copy.url).heal()
    modo.mend(modo.find_problems(), limit=0)
    assert data(modo.storage) == sound and modo.find_problems() == [] and modo.storage.partial_writes() == []


def test_a_link_out_of_the_object_is_a_finding_and_neither_read_nor_written(tmp_path):
    """In the place of a file of a tree: the other files are checked and healed all the same."""
    modo = MODO.create(tmp_path / "ex", id="ex")
    modo.add_element({"id": "m", "@type": "DataEntity"}, write_tree(tmp_path / "counts.zarr"))
    modo.download(tmp_path / "copy")
    (tmp_path / "mine").write_bytes(content(modo.storage, CHUNK))
    (tmp_path / "ex" / CHUNK).unlink()
    (tmp_path / "ex" / CHUNK).symlink_to(tmp_path / "mine")
    flip(modo.storage, "counts.zarr/large/c/0", 9)
    assert {f.kind for f in modo.find_problems()} == {"checksum"} and len(modo.find_problems()) == 2
    plan = modo.plan_repair(tmp_path / "copy")
    assert [mending.key for mending in plan.heal()] == ["counts.zarr/large/c/0"]
    assert [where for where, told in plan.left if "leads out" in told] == ["data/m"]
    (found,) = modo.find_problems()
    assert "large/c/1 cannot be read" in found.message and (tmp_path / "ex" / CHUNK).is_symlink()


def test_bytes_that_a_disk_does_not_give_are_a_finding_and_healed(tmp_path, monkeypatch):
    modo = MODO.create(tmp_path / "ex", id="ex")
    modo.add_element({"id": "m", "@type": "DataEntity"}, write_tree(tmp_path / "counts.zarr"))
    modo.download(tmp_path / "copy")
    original, before = LocalStorage.read_part, data(modo.storage)

    def failing(self, key, start, end, **named):
        if self.url == modo.storage.url and key == CHUNK and start <= 70_000 < end:
            raise ModosError(f"cannot use {self.url}/{key}: Input/output error")
        return original(self, key, start, end, **named)

    def failing_together(self, wanted):
        return [failing(self, key, 0, most)[0] for key, most in wanted]

    with monkeypatch.context() as patched:
        patched.setattr(LocalStorage, "read_part", failing)
        patched.setattr(LocalStorage, "read_small", failing_together)
        (found,) = modo.find_problems()
        assert found.kind == "checksum" and f"{CHUNK} cannot be read" in found.message and "Input/output" in found.message
        plan = modo.plan_repair(tmp_path / "copy")
        assert [str(mending).partition(" of ")[0] for mending in plan.mendings] == ["data/m: bytes 65,536-131,071"]
        plan.heal()
    assert data(modo.storage) == before and modo.find_problems() == []


def test_nothing_is_no_copy(tmp_path):
    modo = MODO.create(tmp_path / "ex", id="ex")
    modo.add_element({"id": "m", "@type": "DataEntity"}, write_tree(tmp_path / "counts.zarr"))
    with pytest.raises(NotFoundError):
        modo.plan_repair(tmp_path / "nowhere")


def test_the_command_shows_and_heals(tmp_path):
    modo = MODO.create(tmp_path / "ex", id="ex")
    modo.add_element({"id": "m", "@type": "DataEntity"}, write_tree(tmp_path / "counts.zarr"))
    modo.download(tmp_path / "copy")
    flip(modo.storage, CHUNK, 70_000)
    remove(modo.storage, files_name("counts.zarr"))
    check = ("check", tmp_path / "ex", "--repair-from", tmp_path / "copy")
    plan = run(*check, "--dry-run")
    assert plan.returncode == 0 and plan.stdout == (
        "heal data/m: the list of files counts.zarr.files\n"
        f"heal data/m: bytes 65,536-131,071 of {CHUNK}, from {tmp_path}/copy/{CHUNK}\n"
    )
    told = json.loads(run(*check, "--dry-run", "--json").stdout)
    assert [one["key"] for one in told["repairs"]] == ["counts.zarr.files", CHUNK]
    healed = run(*check, "--yes")
    assert healed.returncode == 0 and "is whole" in healed.stderr
    assert stored(modo.storage, "counts.zarr") == contents(tmp_path / "counts.zarr")
