"""Encrypted files are healed from a copy without a key: their bodies from any, their headers where the copy has the recorded one."""

from __future__ import annotations

import random

import pytest

from modos.api import MODO
from modos.encryption.keys import SecretKey
from modos.formats.crypt4gh import SEALED
from modos.object.changes import Update
from tests.faults.test_repair import SIZE, content, files, flip, put

pytestmark = pytest.mark.sweep(8)

ME, FRIEND = SecretKey.random(), SecretKey.random()
FILE, INDEX, LIST = "a.bam.c4gh", "a.bam.bai.c4gh", "big.tsv.c4gh.parts"


@pytest.fixture
def modo(place, bams, tmp_path):
    """An object with encrypted files, large and small, that have digests."""
    (tmp_path / "big.tsv").write_bytes(random.Random(5).randbytes(SIZE))
    modo = MODO.create(place.new(), id="ex", **place.options)
    modo.add_element({"id": "big", "@type": "DataEntity", "data_format": "TSV"}, tmp_path / "big.tsv")
    modo.add_element({"id": "a", "@type": "AlignmentSet"}, bams / "a.bam")
    modo.encrypt([ME.public])
    with modo.transaction() as transaction:
        for element_id in ("data/big", "data/a"):
            slots = {"data_digest": None, "index_digests": None}
            transaction._make(Update(element_id, slots, transaction.view.element(element_id)))
    modo.record_digests()
    assert modo.find_problems() == []
    return modo


@pytest.fixture
def copy(modo, tmp_path):
    """A sound copy in a folder."""
    return modo.download(tmp_path / "copy").storage


def cut(storage, key):
    data = content(storage, key)
    put(storage, key, data[: len(data) * 2 // 3])


def remove(storage, key):
    storage.delete(key)


def flip_magic(storage, key):
    flip(storage, key, 1)


def flip_count(storage, key):
    flip(storage, key, 13)


def flip_packet(storage, key):
    flip(storage, key, 60)


def flip_end(storage, key):
    flip(storage, key, -1)


def lengthen(storage, key):
    put(storage, key, content(storage, key) + b"more")


DAMAGE = [cut, remove, flip_magic, flip_count, flip_packet, flip_end, lengthen]


@pytest.mark.parametrize("damage", DAMAGE)
@pytest.mark.parametrize("key", [FILE, INDEX, LIST, "big.tsv.c4gh"])
def test_whatever_the_damage_the_files_are_as_they_were(modo, copy, key, damage):
    before = files(modo.storage)
    damage(modo.storage, key)
    assert {finding.kind for finding in modo.find_problems()} & {"size", "missing", "checksum", "index", "list", "seal"}
    plan = modo.plan_repair(copy.url)
    plan.heal()
    assert plan.left == []
    assert files(modo.storage) == before and modo.find_problems() == []


def test_swapped_and_repeated_segments_are_found_and_healed(modo, copy):
    before = files(modo.storage)
    data = bytearray(before["big.tsv.c4gh"])
    start = len(data) - 28 * -(-SIZE // (1 << 16)) - SIZE
    one, two = (slice(start + n * SEALED, start + (n + 1) * SEALED) for n in (3, 200))
    data[one], data[two] = data[two], data[one]
    put(modo.storage, "big.tsv.c4gh", data)
    (found,) = modo.find_problems()
    assert [tuple(bounds) for bounds in found.ranges] == [(s.start, s.stop) for s in (one, two)]
    modo.plan_repair(copy.url).heal()
    assert files(modo.storage) == before


def test_a_copy_for_others_has_the_body_and_not_the_header(modo, copy):
    """After sharing, the header differs in size: the body begins elsewhere in the copy."""
    modo.share(ME, [FRIEND.public])
    key = modo.metadata["data/big"]["data_path"]
    before = files(modo.storage)
    flip(modo.storage, key, 1000, 100 * SEALED, 300 * SEALED)
    plan = modo.plan_repair(copy.url)
    plan.heal()
    assert plan.left == [] and files(modo.storage) == before
    flip(modo.storage, key, 60)
    plan = modo.plan_repair(copy.url)
    assert "the header of" in plan.left[0][1] and "is not the recorded one" in plan.left[0][1]
    plan.heal()
    assert "seal" in {finding.kind for finding in modo.find_problems()}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_copy_gives_nothing_that_is_not_recorded(modo, copy, damage):
    flip(modo.storage, "big.tsv.c4gh", 400)
    before = files(modo.storage)
    flip(copy, "big.tsv.c4gh", 400)
    damage(copy, "big.tsv.c4gh")
    plan = modo.plan_repair(copy.url)
    plan.heal()
    assert plan.left and files(modo.storage) == before
