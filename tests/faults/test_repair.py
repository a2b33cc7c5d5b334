"""A damaged object is healed from a copy by the recorded digests: just the damaged parts, whole or not at all."""

from __future__ import annotations

import json
import os
import random
import stat
import subprocess

import pysam
import pytest

from modos.api import MODO
from modos.errors import ConflictError, ModosError, NotFoundError
from modos.object.changes import Update
from modos.object.part_lists import digest_stored
from modos.storage.base import ByteRange
from modos.storage.local import LocalStorage
from tests.faults.conftest import fail, interrupted, killed_at
from tests.support import commands

pytestmark = pytest.mark.sweep(14)

PART = 1 << 16
SIZE = 20 * (1 << 20) + 7  # an upload of several parts


@pytest.fixture(scope="module")
def big(tmp_path_factory):
    """A file of many parts that nothing compresses."""
    path = tmp_path_factory.mktemp("big") / "big.tsv"
    path.write_bytes(random.Random(5).randbytes(SIZE))
    return path


@pytest.fixture
def modo(place, big, bams):
    """An object with a large file, and one with an index."""
    modo = MODO.create(place.new(), id="ex", **place.options)
    modo.add_element({"id": "big", "@type": "DataEntity", "data_format": "TSV"}, big)
    modo.add_element({"id": "a", "@type": "AlignmentSet"}, bams / "a.bam")
    return modo


@pytest.fixture
def copy(modo, tmp_path):
    """A sound copy in a folder."""
    return modo.download(tmp_path / "copy").storage


def content(storage, key):
    return b"".join(storage.iter_range(key, 0, storage.stat(key).size))


def put(storage, key, data):
    storage.delete(key)
    storage.write_stream(key, [bytes(data)], size=len(data))


def flip(storage, key, *places):
    data = bytearray(content(storage, key))
    for place in places:
        data[place] ^= 1
    put(storage, key, data)


def files(storage):
    """All files that are no metadata, with their bytes."""
    return {
        info.key: content(storage, info.key)
        for info in storage.iter_files()
        if not info.key.startswith(("data.zarr/", ".modos/"))
    }


def test_just_the_damaged_parts_are_fetched(modo, copy, tmp_path, monkeypatch):
    before, read = files(modo.storage), []
    flip(modo.storage, "big.tsv", 3, 5 * PART, 5 * PART + 1, 300 * PART, SIZE - 1)
    original = LocalStorage.read_part

    def counting(self, key, start, end, **named):
        if str(self.url) == str(tmp_path / "copy") and key == "big.tsv":
            read.append((start, min(end, SIZE)))
        return original(self, key, start, end, **named)

    monkeypatch.setattr(LocalStorage, "read_part", counting)
    damaged = [(0, PART), (5 * PART, 6 * PART), (300 * PART, 301 * PART), (SIZE // PART * PART, SIZE)]
    (found,) = modo.find_problems()
    assert (found.kind, found.where, found.ranges) == ("checksum", "data/big", tuple(ByteRange(*r) for r in damaged))
    assert "bytes 0-65,535, 327,680-393,215, 19,660,800-19,726,335 and 1 more range of big.tsv" in found.message
    plan = modo.plan_repair(tmp_path / "copy")
    assert [mending.key for mending in plan.mendings] == ["big.tsv"] and plan.left == []
    assert len(plan.heal()) == 1
    assert sorted(set(read)) == damaged
    assert files(modo.storage) == before and modo.find_problems() == [] and modo.storage.partial_writes() == []


def damage_size(storage, key):
    data = content(storage, key)
    put(storage, key, data[: len(data) // 3])


def damage_end(storage, key):
    put(storage, key, content(storage, key) + b"more")


def damage_all(storage, key):
    put(storage, key, b"something else")


def remove(storage, key):
    storage.delete(key)


def damage_byte(storage, key):
    flip(storage, key, 20)


@pytest.mark.parametrize("damage", [damage_size, damage_end, damage_all, remove, damage_byte])
@pytest.mark.parametrize("key", ["big.tsv", "big.tsv.parts", "a.bam", "a.bam.bai"])
def test_whatever_the_damage_the_files_are_as_they_were(modo, copy, damage, key):
    before = files(modo.storage)
    damage(modo.storage, key)
    assert {finding.kind for finding in modo.find_problems()} & {"size", "missing", "checksum", "index", "list"}
    modo.plan_repair(copy.url).heal()
    assert files(modo.storage) == before and modo.find_problems() == []


def test_a_list_is_mended_without_a_copy(modo):
    before = files(modo.storage)
    for damage in (remove, damage_size, damage_byte, damage_all):
        damage(modo.storage, "big.tsv.parts")
        (found,) = modo.find_problems()
        assert (found.kind, found.where, found.fixable, found.harmless) == ("list", "big.tsv.parts", True, False)
        assert modo.mend([found]) == []
        assert files(modo.storage) == before and modo.find_problems() == []


def test_no_list_is_made_of_a_file_that_is_not_the_recorded_one(modo):
    modo.storage.delete("big.tsv.parts")
    flip(modo.storage, "big.tsv", 9)
    (found,) = modo.find_problems()
    assert found.kind == "checksum" and "where it differs cannot be told: big.tsv.parts is missing" in found.message
    (left,) = modo.mend([type(found)("list", "big.tsv.parts", "is missing")])
    assert left.kind == "checksum" and not modo.storage.exists("big.tsv.parts")


def test_what_is_damaged_in_both_is_said_and_the_rest_is_healed(modo, copy):
    before = files(modo.storage)
    flip(modo.storage, "big.tsv", 10, 5 * PART, 9 * PART)
    flip(copy, "big.tsv", 5 * PART + 7)
    plan = modo.plan_repair(copy.url)
    assert plan.left == [("data/big", f"bytes 327,680-393,215 of big.tsv: {copy.url} does not have them, either")]
    plan.heal()
    after = content(modo.storage, "big.tsv")
    assert [n for n in range(SIZE) if after[n] != before["big.tsv"][n]] == [5 * PART]
    assert [finding.ranges for finding in modo.find_problems()] == [(ByteRange(5 * PART, 6 * PART),)]


def test_both_lists_may_be_gone_where_one_file_is_whole(modo, copy):
    before = files(modo.storage)
    flip(modo.storage, "big.tsv", 10)
    modo.storage.delete("big.tsv.parts")
    copy.delete("big.tsv.parts")
    modo.plan_repair(copy.url).heal()
    assert files(modo.storage) == before and modo.find_problems() == []


def test_a_folder_with_the_bytes_is_enough_of_a_copy(modo, big, tmp_path):
    before = files(modo.storage)
    (tmp_path / "backup").mkdir()
    (tmp_path / "backup" / "of another name").write_bytes(big.read_bytes())
    flip(modo.storage, "big.tsv", 10, PART * 100)
    modo.plan_repair(tmp_path / "backup").heal()
    assert files(modo.storage) == before
    with pytest.raises(NotFoundError, match="there is nothing at"):
        modo.plan_repair(tmp_path / "nowhere")


@pytest.mark.parametrize("lie", ["bytes", "lists", "digests", "shorter", "longer", "index"])
def test_a_hostile_copy_gives_nothing_that_is_not_recorded(modo, copy, tmp_path, lie):
    """Whatever it says of its bytes: the digests of this object decide."""
    flip(modo.storage, "big.tsv", 10, 5 * PART)
    flip(modo.storage, "a.bam.bai", 10)
    modo.storage.delete("big.tsv.parts")
    theirs = MODO.open(tmp_path / "copy")
    wrong = random.Random(6).randbytes({"shorter": SIZE - 9, "longer": SIZE + 9}.get(lie, SIZE))
    put(copy, "big.tsv", wrong)
    flip(copy, "a.bam.bai", 11)
    if lie == "lists":
        put(copy, "big.tsv.parts", digest_stored(copy, "big.tsv").to_bytes())
    elif lie == "digests":
        put(copy, "big.tsv.parts", digest_stored(copy, "big.tsv").to_bytes())
        base = theirs._document.element("data/big")
        with theirs.transaction() as transaction:
            transaction._make(Update("data/big", {"data_digest": digest_stored(copy, "big.tsv").root}, base))
    elif lie == "index":
        put(copy, "a.bam.bai", b"BAI\1" + bytes(400))
    before = files(modo.storage)
    plan = modo.plan_repair(copy.url)
    plan.heal()
    ours = {key: data for key, data in files(modo.storage).items() if key != "big.tsv.parts"}
    assert ours == {key: data for key, data in before.items() if key != "big.tsv.parts"}
    assert {element_id for element_id, _ in plan.left} == {"data/big", "data/a"}
    assert {finding.kind for finding in modo.find_problems()} >= {"checksum", "index"}


def test_a_copy_that_changes_between_plan_and_healing_gives_nothing(modo, copy):
    flip(modo.storage, "big.tsv", 10)
    before = content(modo.storage, "big.tsv")
    plan = modo.plan_repair(copy.url)
    flip(copy, "big.tsv", 11)
    assert plan.heal() == [] and "are not to be had any more" in plan.left[0][1]
    assert content(modo.storage, "big.tsv") == before and modo.storage.partial_writes() == []


def test_a_file_that_others_change_between_plan_and_healing_is_left(modo, copy):
    flip(modo.storage, "big.tsv", 10)
    plan = modo.plan_repair(copy.url)
    put(modo.storage, "big.tsv", b"other")
    with pytest.raises(ConflictError):
        plan.heal()
    assert content(modo.storage, "big.tsv") == b"other"


@pytest.mark.parametrize("at", range(12))
def test_killed_halfway_the_old_file_is_there_or_the_healed_one(modo, copy, place, at):
    sound = files(modo.storage)
    flip(modo.storage, "big.tsv", 10, 200 * PART)
    flip(modo.storage, "a.bam.bai", 7)
    modo.storage.delete("a.bam")
    damaged = files(modo.storage)
    killed_at(at, lambda: place.open(modo.storage.url).plan_repair(copy.url).heal())
    for key, data in files(modo.storage).items():
        assert data in (sound[key], damaged.get(key))
    modo.plan_repair(copy.url).heal()
    modo.mend(modo.find_problems(), limit=0)
    assert files(modo.storage) == sound and modo.find_problems() == [] and modo.storage.partial_writes() == []


@pytest.mark.parametrize("at", range(3, 9, 2))
def test_a_line_that_breaks_leaves_the_old_file(modo, copy, at):
    flip(modo.storage, "big.tsv", 10, 200 * PART)
    before = files(modo.storage)
    with interrupted(at, fail, for_good=True):
        try:
            modo.plan_repair(copy.url).heal()
        except OSError:
            assert files(modo.storage) == before
    modo.plan_repair(copy.url).heal()
    assert modo.find_problems() == []


def test_mode_stays_and_nothing_else_is_touched(big, bams, tmp_path):
    modo = MODO.create(tmp_path / "ex", id="ex")
    modo.add_element({"id": "big", "@type": "DataEntity", "data_format": "TSV"}, big)
    modo.download(tmp_path / "copy")
    flip(modo.storage, "big.tsv", 10)
    os.chmod(tmp_path / "ex" / "big.tsv", 0o640)
    (tmp_path / "ex" / "mine").write_bytes(b"mine")
    modo.plan_repair(tmp_path / "copy").heal()
    assert stat.S_IMODE((tmp_path / "ex" / "big.tsv").stat().st_mode) == 0o640
    assert (tmp_path / "ex" / "mine").read_bytes() == b"mine"


def run(*args):
    return commands.run(list(map(str, args)), capture_output=True, text=True)


def test_the_command_shows_asks_heals_and_says_what_is_left(big, bams, tmp_path):
    modo = MODO.create(tmp_path / "ex", id="ex")
    modo.add_element({"id": "big", "@type": "DataEntity", "data_format": "TSV"}, big)
    modo.add_element({"id": "a", "@type": "AlignmentSet"}, bams / "a.bam")
    copy = modo.download(tmp_path / "copy").storage
    flip(modo.storage, "big.tsv", 10, 5 * PART)
    flip(copy, "big.tsv", 5 * PART)
    before = files(modo.storage)
    check = ("check", tmp_path / "ex", "--repair-from", tmp_path / "copy")
    told = run(*check)
    assert told.returncode == 2 and "this heals 1 thing and nobody is there to be asked" in told.stderr
    plan = run(*check, "--dry-run")
    assert plan.returncode == 6 and "--- traceback" not in plan.stderr
    assert plan.stdout == f"heal data/big: bytes 0-65,535 of big.tsv, from {tmp_path}/copy/big.tsv\n"
    assert f"warning: data/big: bytes 327,680-393,215 of big.tsv: {tmp_path}/copy does not have them, either" in plan.stderr
    assert json.loads(run(*check, "--dry-run", "--json").stdout)["repairs"][0]["ranges"] == [[0, PART]]
    assert files(modo.storage) == before
    healed = run(*check, "--yes", "--json")
    assert healed.returncode == 6 and "healed data/big: bytes 0-65,535 of big.tsv" in healed.stderr
    said = json.loads(healed.stdout)
    assert [one["key"] for one in said["repairs"]] == ["big.tsv"] and len(said["left"]) == 1
    assert said["findings"][0]["ranges"] == [[5 * PART, 6 * PART]]
    put(copy, "big.tsv", big.read_bytes())
    whole = run(*check, "--yes")
    assert whole.returncode == 0 and "ex is whole: 2 elements" in whole.stderr
    nothing = run(*check)
    assert nothing.returncode == 0 and "nothing to heal in" in nothing.stderr
    assert (
        subprocess.run(["b2sum", tmp_path / "ex/big.tsv"], capture_output=True, text=True).stdout.split()[0]
        == (modo.metadata["data/big"]["data_checksum"])
    )


def test_a_disk_that_does_not_give_some_bytes_is_healed(big, tmp_path, monkeypatch):
    """As far as the list tells, the parts are named that cannot be read, and these are fetched."""
    modo = MODO.create(tmp_path / "ex", id="ex")
    modo.add_element({"id": "big", "@type": "DataEntity", "data_format": "TSV"}, big)
    copy = modo.download(tmp_path / "copy").storage
    original, bad = LocalStorage.read_part, 70 * PART + 9

    def failing(self, key, start, end, **named):
        if self.url == modo.storage.url and key == "big.tsv" and start <= bad < end:
            raise ModosError(f"cannot use {self.url}/{key}: Input/output error")
        return original(self, key, start, end, **named)

    with monkeypatch.context() as patched:
        patched.setattr(LocalStorage, "read_part", failing)
        (found,) = modo.find_problems()
        assert found.kind == "checksum" and found.ranges == (ByteRange(70 * PART, 71 * PART),)
        assert "cannot be read" in found.message and "Input/output error" in found.message
        modo.plan_repair(copy.url).heal()
    assert content(modo.storage, "big.tsv") == big.read_bytes() and modo.find_problems() == []


def test_an_index_beside_the_recorded_one_is_named_and_harmless_unless_it_is_read(bams, tmp_path):
    modo = MODO.create(tmp_path / "ex", id="ex")
    modo.add_element({"id": "a", "@type": "AlignmentSet"}, bams / "a.bam")
    pysam.samtools.index("-c", str(tmp_path / "ex" / "a.bam"))
    assert [(finding.kind, finding.where) for finding in modo.find_problems()] == [("unknown", "data/a")]
    modo.storage.write("a.bam.bai", modo.storage.read("a.bam.csi")[0])
    assert "index" in {finding.kind for finding in modo.find_problems()}


def test_what_has_no_digests_is_named_and_not_healed(big, tmp_path):
    modo = MODO.create(tmp_path / "ex", id="ex")
    modo.add_element({"id": "big", "@type": "DataEntity", "data_format": "TSV"}, big)
    copy = modo.download(tmp_path / "copy").storage
    with modo.transaction() as transaction:
        transaction._make(Update("data/big", {"data_digest": None}, transaction.view.element("data/big")))
    plan = modo.plan_repair(copy.url)
    assert (plan.skipped, plan.left, plan.mendings) == (["data/big"], [], [])
    assert run("check", tmp_path / "ex", "--repair-from", copy.url, "--dry-run").returncode == 0
    flip(modo.storage, "big.tsv", 4)
    told = run("check", tmp_path / "ex", "--repair-from", copy.url)
    assert told.returncode == 6 and "data/big has no digests, by which it could be healed" in told.stderr


def test_a_modos_server_is_a_copy(big, bams, tmp_path):
    """Which cannot be listed: the files that have the object's digests are found by its metadata, or their names."""
    from modos.server.app import create_app
    from modos.server.run import BackgroundServer
    from modos.storage import open_storage

    modo = MODO.create(tmp_path / "ex", id="ex")
    modo.add_element({"id": "big", "@type": "DataEntity", "data_format": "TSV"}, big)
    modo.add_element({"id": "a", "@type": "AlignmentSet"}, bams / "a.bam")
    modo.download(tmp_path / "served" / "copy")
    before = files(modo.storage)
    flip(modo.storage, "big.tsv", 5 * PART, 80 * PART)
    modo.storage.delete("a.bam")
    modo.storage.delete("a.bam.bai")
    modo.storage.delete("big.tsv.parts")
    with BackgroundServer(create_app(open_storage(tmp_path / "served"))) as server:
        plan = modo.plan_repair(f"{server.url}/files/copy")
        plan.heal()
    assert plan.left == [] and files(modo.storage) == before and modo.find_problems() == []
