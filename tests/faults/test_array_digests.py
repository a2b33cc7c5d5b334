"""Shards of arrays are compared with their digests, sampled, given digests, and healed from a copy; in a folder and on S3."""

from __future__ import annotations

import json
import random
from dataclasses import replace

import numpy as np
import pytest

from modos.api import MODO
from modos.errors import ConflictError, ModosError, NotFoundError
from modos.object import array_recording
from modos.object.changes import Update
from modos.object.part_lists import digest_stored
from modos.object.sampling import Sampler
from modos.storage.base import ByteRange
from modos.storage.local import LocalStorage
from modos.tracks import arrays, shard_digests
from modos.tracks.shard_digests import digest_shards
from modos.tracks.shard_records import specs_of_nodes
from tests.faults.conftest import killed_at
from tests.faults.test_repair import content, damage_all, damage_byte, damage_end, damage_size, flip, put, remove, run

pytestmark = pytest.mark.sweep(12)

PART = 1 << 16
RANDOM = np.random.default_rng(3)
NOISE = {"chr1": RANDOM.normal(size=70_000).astype(np.float32), "chr2": RANDOM.normal(size=40_000).astype(np.float32)}
BASES = {name: "".join(RANDOM.choice(list("ACGT"), len(values))) for name, values in NOISE.items()}


def write_fasta(path):
    path.write_text("".join(f">{name}\n{text}\n" for name, text in BASES.items()))
    return path


@pytest.fixture
def modo(place, tmp_path):
    """An object with a sequence, a track of some parts, and a file."""
    modo = MODO.create(place.new(), id="ex", **place.options)
    modo.add_genome(write_fasta(tmp_path / "genome.fa"), id="genome")
    modo.add_track("noise", NOISE)
    modo.add_element({"id": "fasta", "@type": "ReferenceGenome", "name": "fasta"}, tmp_path / "genome.fa")
    assert values_of(modo).layout.parts > 4
    return modo


@pytest.fixture
def copy(modo, tmp_path):
    """A sound copy in a folder."""
    return modo.download(tmp_path / "copy").storage


def specs_of(modo):
    return list(specs_of_nodes(modo._document.nodes))


def values_of(modo):
    return next(spec for spec in specs_of(modo) if "/values-" in spec.path)


def zoom_of(modo):
    return next(spec for spec in specs_of(modo) if spec.layout.parts == 1)


def files(storage):
    return {info.key: content(storage, info.key) for info in storage.iter_files("data.zarr") if not info.key.endswith(".json")}


def forget(modo, *, checksum=False):
    """Leave the arrays as an older version wrote them: without digests."""
    for spec in specs_of(modo):
        modo.storage.delete(spec.list_key)
    root = json.loads(modo.storage.read("data.zarr/zarr.json")[0])
    for node in root["consolidated_metadata"]["metadata"].values():
        node["attributes"].pop("shard_digest", None)
        if checksum:
            node["attributes"].pop("shard_checksum", None)
    modo.storage.write("data.zarr/zarr.json", json.dumps(root).encode())


def kinds(modo, **named):
    return [(finding.kind, finding.where) for finding in modo.find_problems(**named) if finding.kind != "mirror"]


def test_damaged_parts_are_named_and_nothing_is_hashed_with_blake2b(modo, monkeypatch):
    spec, small = values_of(modo), zoom_of(modo)
    key = spec.key(0)

    monkeypatch.delattr(arrays, "shard_checksum")
    monkeypatch.delattr(shard_digests, "digest_shards")
    assert modo.find_problems() == []
    flip(modo.storage, key, 5, PART + 1, 3 * PART)
    flip(modo.storage, small.key(0), 9)
    found = {finding.where: finding for finding in modo.find_problems()}
    assert found.keys() == {spec.path, small.path} and {finding.kind for finding in found.values()} == {"checksum"}
    assert found[spec.path].ranges == (ByteRange(0, 2 * PART), ByteRange(3 * PART, 4 * PART))
    assert f"bytes 0-131,071, 196,608-262,143 of {key} are not those that are recorded" in found[spec.path].message
    assert found[small.path].ranges == (ByteRange(0, small.sizes[0]),)


def test_each_shard_is_read_once(modo, monkeypatch):
    read, kind = [], type(modo.storage)
    original = kind.read_part

    def reading(self, key, start, end, **named):
        read.append((key, start, end))
        return original(self, key, start, end, **named)

    monkeypatch.setattr(kind, "read_part", reading)
    assert modo.find_problems() == []
    for spec in specs_of(modo):
        assert sorted(end - start for key, start, end in read if key == spec.key(0)) == [spec.sizes[0]]


@pytest.mark.parametrize("damage", [remove, damage_size, damage_byte, damage_all, damage_end])
def test_a_list_is_mended_without_a_copy(modo, damage):
    spec, before = values_of(modo), files(modo.storage)
    damage(modo.storage, spec.list_key)
    (found,) = modo.find_problems()
    assert (found.kind, found.where, found.fixable, found.harmless) == ("list", spec.list_key, True, False)
    assert modo.mend([found]) == []
    assert files(modo.storage) == before and modo.find_problems() == []


def test_no_list_is_made_of_shards_that_are_not_the_recorded_ones(modo):
    spec = values_of(modo)
    modo.storage.delete(spec.list_key)
    flip(modo.storage, spec.key(0), 9)
    (found,) = modo.find_problems()
    assert (found.kind, found.where) == ("checksum", spec.path) and "where they differ cannot be told" in found.message
    (left,) = modo.mend([type(found)("list", spec.list_key, "is missing")])
    assert (left.kind, left.where) == ("checksum", spec.path) and not modo.storage.exists(spec.list_key)


def test_a_list_that_nothing_needs_is_named(modo):
    small = zoom_of(modo)
    modo.storage.write(small.list_key, b"something")
    (found,) = modo.find_problems()
    assert (found.kind, found.where) == ("unknown", small.list_key) and found.harmless


@pytest.mark.parametrize("seed", range(4))
def test_a_sample_finds_what_it_reads(modo, seed):
    spec = values_of(modo)
    sampler = Sampler(2, random.Random(seed))
    assert modo.find_problems(sampler=sampler) == []
    assert sampler.arrays == len(specs_of(modo)) and not sampler.is_whole and sampler.skipped == []
    assert sampler.read == sum(min(one.layout.parts, 2) for one in specs_of(modo)) + 2  # of the FASTA
    flip(modo.storage, spec.key(0), *range(0, spec.sizes[0], PART))
    (found,) = modo.find_problems(sampler=Sampler(2, random.Random(seed)))
    assert (found.kind, found.where) == ("checksum", spec.path)
    assert sum(-(-(end - start) // PART) for start, end in found.ranges) == 2
    assert sampler.to_dict()["arrays"] == sampler.arrays


def test_a_sample_misses_no_list_and_no_shard_that_is_gone(modo):
    spec = values_of(modo)
    modo.storage.delete(spec.list_key)
    (found,) = modo.find_problems(sampler=Sampler(2))
    assert (found.kind, found.where) == ("list", spec.list_key) and f"nothing of {spec.path} was compared" in found.message
    assert modo.mend([found]) == [] and modo.find_problems(sampler=Sampler(2)) == []
    modo.storage.delete(spec.key(0))
    assert kinds(modo, sampler=Sampler(2)) == [("missing", spec.path)]


@pytest.fixture
def old(modo, place):
    """The object as an older version wrote its arrays, and the arrays as they were before."""
    before = {spec.path: spec for spec in specs_of(modo)}, files(modo.storage)
    forget(modo)
    return place.open(modo.storage.url), *before


def test_arrays_without_digests_are_compared_by_their_checksum(old):
    modo, specs, _ = old
    assert kinds(modo) == [] and specs_of(modo) == []
    spec = next(spec for spec in specs.values() if "/values-" in spec.path)
    flip(modo.storage, spec.key(0), 7)
    assert kinds(modo) == [("checksum", spec.path)]


@pytest.mark.parametrize("way", ["record_digests", "upgrade"])
def test_digests_of_arrays_are_recorded_in_one_commit_with_those_of_files(old, way):
    modo, specs, before = old
    with modo.transaction() as transaction:
        slots = {"data_digest": None, "index_digests": None}
        transaction._make(Update("reference/fasta", slots, transaction.view.element("reference/fasta")))
    revision = modo._document.state["revision"]
    recording = getattr(modo, way)()
    assert sorted(recording.recorded) == sorted(["reference/fasta", *specs])
    assert recording.unproven == recording.findings == []
    assert {spec.path: spec for spec in specs_of(modo)} == specs and files(modo.storage) == before
    assert modo._document.state["revision"] == revision + 1
    assert modo.find_problems() == [] and getattr(modo, way)().recorded == []
    assert modo._document.state["revision"] == revision + 1


def test_of_shards_that_differ_nothing_is_recorded(old):
    modo, specs, _ = old
    spec, other = (next(spec for spec in specs.values() if f"/{role}-" in spec.path) for role in ("values", "sequence"))
    flip(modo.storage, spec.key(0), 7)
    put(modo.storage, other.key(0), content(modo.storage, other.key(0)) + b"more")
    recording = modo.record_digests()
    assert {(finding.kind, finding.where) for finding in recording.findings} == {("checksum", spec.path), ("size", other.path)}
    assert set(recording.recorded) == specs.keys() - {spec.path, other.path}
    assert not modo.storage.exists(spec.list_key) and not modo.storage.exists(other.list_key)
    modo.storage.delete(spec.key(0))
    assert ("missing", spec.path) in [(finding.kind, finding.where) for finding in modo.record_digests().findings]


def test_what_nothing_was_recorded_of_is_said(modo, place):
    forget(modo, checksum=True)
    modo = place.open(modo.storage.url)
    recording = modo.record_digests()
    assert [path for path, _ in recording.unproven] == sorted(recording.recorded) and len(recording.recorded) > 3


def test_an_array_that_others_change_meanwhile_is_not_recorded(old, place, monkeypatch):
    modo, _, _ = old
    original = array_recording.record_array

    def recording(log, spec, *given):
        if spec.path.startswith("data/"):
            other = place.open(modo.storage.url)
            if "data/noise" in other.metadata:
                other.remove_element("data/noise")
        return original(log, spec, *given)

    monkeypatch.setattr(array_recording, "record_array", recording)
    try:
        recorded = modo.record_digests()
        assert {finding.kind for finding in recorded.findings} == {"missing"}
    except ConflictError:
        pass
    assert all(path.startswith("reference/") for path in (spec.path for spec in specs_of(place.open(modo.storage.url))))


@pytest.mark.parametrize("at", range(6))
def test_killed_halfway_digests_can_be_recorded_again(old, place, at):
    modo, specs, before = old
    killed_at(at, lambda: place.open(modo.storage.url).record_digests())
    modo = place.open(modo.storage.url)
    assert all(finding.harmless for finding in modo.find_problems())
    modo.record_digests()
    modo.mend(modo.find_problems(), limit=0)
    assert modo.find_problems() == [] and {spec.path: spec for spec in specs_of(modo)} == specs
    assert files(modo.storage) == before


def test_the_digest_of_an_index_that_upgrade_writes_is_recorded(modo):
    modo.storage.delete("genome.fa.fai")
    with modo.transaction() as transaction:
        transaction._make(Update("reference/fasta", {"index_digests": None}, transaction.view.element("reference/fasta")))
    modo.upgrade()
    assert modo.metadata["reference/fasta"]["index_digests"] == [digest_stored(modo.storage, "genome.fa.fai").root]
    assert modo.find_problems() == []


@pytest.mark.parametrize("damage", [damage_size, damage_end, damage_all, remove, damage_byte])
@pytest.mark.parametrize("which", ["shard", "list", "small"])
def test_whatever_the_damage_the_shards_are_as_they_were(modo, copy, damage, which):
    before = files(modo.storage)
    key = {"shard": values_of(modo).key(0), "list": values_of(modo).list_key, "small": zoom_of(modo).key(0)}[which]
    damage(modo.storage, key)
    assert {finding.kind for finding in modo.find_problems()} & {"size", "missing", "checksum", "list"}
    plan = modo.plan_repair(copy.url)
    assert [mending.key for mending in plan.mendings] == [key] and plan.left == []
    assert len(plan.heal()) == 1
    assert files(modo.storage) == before and modo.find_problems() == []


def test_just_the_damaged_parts_are_fetched(modo, copy, monkeypatch):
    spec, before, read = values_of(modo), files(modo.storage), []
    flip(modo.storage, spec.key(0), 3, 2 * PART)
    original = LocalStorage.read_part

    def counting(self, key, start, end, **named):
        if self.url == copy.url and key == spec.key(0):
            read.append((start, end))
        return original(self, key, start, end, **named)

    monkeypatch.setattr(LocalStorage, "read_part", counting)
    modo.plan_repair(copy.url).heal()
    assert set(read) == {(0, PART), (2 * PART, 3 * PART)} and files(modo.storage) == before


def test_what_is_damaged_in_both_is_said_and_the_rest_is_healed(modo, copy):
    spec, before = values_of(modo), files(modo.storage)
    flip(modo.storage, spec.key(0), 10, 2 * PART)
    flip(copy, spec.key(0), 2 * PART + 7)
    plan = modo.plan_repair(copy.url)
    assert plan.left == [(spec.path, f"bytes 131,072-196,607 of {spec.key(0)}: {copy.url} does not have them, either")]
    plan.heal()
    after = content(modo.storage, spec.key(0))
    assert [n for n in range(len(after)) if after[n] != before[spec.key(0)][n]] == [2 * PART]


def test_both_lists_may_be_gone_where_one_array_is_whole(modo, copy):
    spec, before = values_of(modo), files(modo.storage)
    flip(modo.storage, spec.key(0), 10)
    modo.storage.delete(spec.list_key)
    copy.delete(spec.list_key)
    modo.plan_repair(copy.url).heal()
    assert files(modo.storage) == before and modo.find_problems() == []


def test_the_bytes_are_found_under_another_name(modo, copy, tmp_path):
    """A folder with the bytes is enough of a copy, if it has all of them or the list is there."""
    spec, before = values_of(modo), files(modo.storage)
    (tmp_path / "backup").mkdir()
    (tmp_path / "backup" / "a shard").write_bytes(before[spec.key(0)])
    flip(modo.storage, spec.key(0), 10)
    modo.plan_repair(tmp_path / "backup").heal()
    assert files(modo.storage) == before
    with pytest.raises(NotFoundError, match="there is nothing at"):
        modo.plan_repair(tmp_path / "nowhere")


def test_without_its_shard_a_list_is_healed_and_the_rest_is_said(modo, copy):
    spec, before = values_of(modo), files(modo.storage)
    for key in (spec.key(0), spec.list_key):
        modo.storage.delete(key)
    copy.delete(spec.key(0))
    plan = modo.plan_repair(copy.url)
    assert [where for where, _ in plan.left] == [spec.path] and [one.key for one in plan.heal()] == [spec.list_key]
    assert files(modo.storage) == {key: data for key, data in before.items() if key != spec.key(0)}


@pytest.mark.parametrize("lie", ["bytes", "lists", "shorter"])
def test_a_hostile_copy_gives_nothing_that_is_not_recorded(modo, copy, lie):
    spec = values_of(modo)
    sound = content(modo.storage, spec.list_key)
    flip(modo.storage, spec.key(0), 10, PART)
    modo.storage.delete(spec.list_key)
    put(copy, spec.key(0), random.Random(6).randbytes(spec.sizes[0] - 9 * (lie == "shorter")))
    if lie == "lists":
        put(copy, spec.list_key, digest_shards(copy, replace(spec, attributes={})).to_bytes())
    before = files(modo.storage)
    plan = modo.plan_repair(copy.url)
    plan.heal()
    ours = files(modo.storage)
    assert ours.pop(spec.list_key, sound) == sound and ours == before and [where for where, _ in plan.left] == [spec.path]


@pytest.mark.parametrize("at", range(8))
def test_killed_halfway_the_old_shard_is_there_or_the_healed_one(modo, copy, place, at):
    sound, spec = files(modo.storage), values_of(modo)
    flip(modo.storage, spec.key(0), 10, 2 * PART)
    modo.storage.delete(spec.list_key)
    modo.storage.delete(zoom_of(modo).key(0))
    damaged = files(modo.storage)
    killed_at(at, lambda: place.open(modo.storage.url).plan_repair(copy.url).heal())
    for key, data in files(modo.storage).items():
        assert data in (sound[key], damaged.get(key))
    modo.plan_repair(copy.url).heal()
    modo.mend(modo.find_problems(), limit=0)
    assert files(modo.storage) == sound and modo.find_problems() == [] and modo.storage.partial_writes() == []


def test_shards_of_a_large_track_are_healed_one_by_one(tmp_path):
    """Two shards; the second is gone, the first has a hole, and a disk does not give some bytes of it."""
    modo = MODO.create(tmp_path / "ex", id="ex")
    (tmp_path / "sizes").write_text("chr1\t9000000\n")
    modo.add_genome(sizes=tmp_path / "sizes")
    modo.add_track("large", {"chr1": RANDOM.integers(0, 100, 9_000_000).astype(np.float32)})
    copy, spec, before = modo.download(tmp_path / "copy").storage, values_of(modo), files(modo.storage)
    assert len([size for size in spec.sizes if size]) == 2
    second = max(number for number, size in enumerate(spec.sizes) if size)
    flip(modo.storage, spec.key(0), 5 * PART)
    modo.storage.delete(spec.key(second))
    found = modo.find_problems()
    assert [finding.kind for finding in found] == ["missing", "checksum"]
    assert found[1].ranges == (ByteRange(5 * PART, 6 * PART),) and spec.key(0) in found[1].message
    modo.plan_repair(copy.url).heal()
    assert files(modo.storage) == before and modo.find_problems() == []


def test_a_disk_that_does_not_give_some_bytes_is_told_and_healed(tmp_path, monkeypatch):
    modo = MODO.create(tmp_path / "ex", id="ex")
    modo.add_genome(write_fasta(tmp_path / "genome.fa"), id="genome")
    modo.add_track("noise", NOISE)
    copy, spec, before = modo.download(tmp_path / "copy").storage, values_of(modo), files(modo.storage)
    original, bad = LocalStorage.read_part, 2 * PART + 9

    def failing(self, key, start, end, **named):
        if self.url == modo.storage.url and key == spec.key(0) and start <= bad < end:
            raise ModosError(f"cannot use {self.url}/{key}: Input/output error")
        return original(self, key, start, end, **named)

    with monkeypatch.context() as patched:
        patched.setattr(LocalStorage, "read_part", failing)
        (found,) = modo.find_problems()
        assert found.kind == "checksum" and found.ranges == (ByteRange(2 * PART, 3 * PART),)
        modo.plan_repair(copy.url).heal()
    assert files(modo.storage) == before and modo.find_problems() == []


def test_the_commands_say_what_they_do(tmp_path):
    modo = MODO.create(tmp_path / "ex", id="ex")
    modo.add_genome(write_fasta(tmp_path / "genome.fa"), id="genome")
    modo.add_track("noise", NOISE)
    modo.download(tmp_path / "copy")
    spec = values_of(modo)
    flip(modo.storage, spec.key(0), 10)
    told = run("check", tmp_path / "ex")
    assert told.returncode == 6
    assert told.stdout == (f"checksum {spec.path}: bytes 0-65,535 of {spec.key(0)} are not those that are recorded\n")
    healed = run("check", tmp_path / "ex", "--repair-from", tmp_path / "copy", "--yes")
    assert healed.returncode == 0 and f"healed {spec.path}: bytes 0-65,535 of {spec.key(0)}, from" in healed.stderr
    quick = run("check", tmp_path / "ex", "--quick")
    assert quick.returncode == 0 and f"of {len(specs_of(modo))} arrays" in quick.stderr
    forget(modo)
    quick = run("check", tmp_path / "ex", "--quick")
    assert f"{spec.path} was not sampled: no digests of its parts are recorded" in quick.stderr
    done = run("check", tmp_path / "ex", "--digests", "--fix")
    assert done.returncode == 0 and f"recorded digests of {spec.path}" in done.stderr
    forget(modo)
    upgraded = run("upgrade", tmp_path / "ex")
    assert upgraded.returncode == 0 and f"recorded digests of {spec.path}" in upgraded.stderr
    forget(modo)
    skipped = run("check", tmp_path / "ex", "--repair-from", tmp_path / "copy")
    assert f"{spec.path} has no digests, by which it could be healed" in skipped.stderr
