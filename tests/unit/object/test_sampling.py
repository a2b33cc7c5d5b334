"""Parts that are chosen at random: how many, that they are compared, and what is said of those that are not."""

from __future__ import annotations

import itertools
import math
import random

import pytest

from modos.api import MODO
from modos.object.changes import Update
from modos.object.sampling import Sampler, chance_missed

PART = 1 << 16


@pytest.fixture
def modo(tmp_path):
    """An object with a file of 400 parts, one of 3 and one of 1."""
    modo = MODO.create(tmp_path / "ex", id="ex")
    for name, size in (("big", 399 * PART + 5), ("small", 3 * PART), ("tiny", 9)):
        (tmp_path / f"{name}.tsv").write_bytes(random.Random(size).randbytes(size))
        modo.add_element({"id": name, "@type": "DataEntity", "data_format": "TSV"}, tmp_path / f"{name}.tsv")
    return modo


def flip(modo, key, places):
    path = modo.storage.local_path(key)
    data = bytearray(path.read_bytes())
    for place in places:
        data[place] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize(("parts", "read", "damaged"), [(12, 3, 2), (10, 5, 1), (9, 2, 4), (7, 7, 1), (8, 0, 3)])
def test_the_chance_is_no_less_than_that_of_all_samples(parts, read, damaged):
    """By counting: all samples of so many parts, of which the first ones are damaged."""
    samples = list(itertools.combinations(range(parts), read))
    missed = sum(not set(sample) & set(range(damaged)) for sample in samples) / len(samples)
    assert missed == pytest.approx(math.comb(parts - damaged, read) / math.comb(parts, read))
    assert missed <= chance_missed(damaged / parts, read) <= 1


def test_of_large_files_it_is_nearly_that():
    exact = math.comb(99_000, 200) / math.comb(100_000, 200)
    assert exact <= chance_missed(0.01, 200) < exact * 1.01
    assert chance_missed(0.01, 200) == pytest.approx(0.134, abs=0.0005)


def test_damage_is_missed_as_often_as_is_said(modo):
    """Of 400 parts, 20 damaged and 40 read: missed by 11.5 % of the samples, and no more than the 12.9 % that are said."""
    flip(modo, "big.tsv", [20 * PART * n for n in range(20)])
    missed, rounds = 0, 300
    for seed in range(rounds):
        sampler = Sampler(40, random.Random(seed))
        missed += "checksum" not in {finding.kind for finding in modo.find_problems(sampler=sampler)}
    assert sampler.chance_missed(0.05) == pytest.approx(0.1285, abs=0.0005)
    assert abs(missed / rounds - 0.115) < 4 * math.sqrt(0.115 * 0.885 / rounds)


def test_what_is_read_is_told(modo):
    sampler = Sampler(50)
    assert modo.find_problems(sampler=sampler) == []
    assert (sampler.files, sampler.read, sampler.is_whole) == (3, 54, False)
    assert abs(sampler.size - (53 * PART + 9)) < PART
    sampler = Sampler(400)
    assert modo.find_problems(sampler=sampler) == []
    assert sampler.size == 402 * PART + 5 + 9 and sampler.is_whole and sampler.chance_missed(0.01) == 0


def test_the_ranges_of_what_is_found_are_named(modo):
    flip(modo, "big.tsv", range(0, 399 * PART, PART // 2))
    (found,) = modo.find_problems(sampler=Sampler(4, random.Random(1)))
    chosen = sorted(random.Random(1).sample(range(400), 4))
    assert [bounds.start // PART for bounds in found.ranges] == chosen
    assert "of big.tsv are not those that are recorded" in found.message


def test_files_of_few_parts_are_read_as_a_whole(modo):
    for key, kind in (("small.tsv", "checksum"), ("tiny.tsv", "checksum"), ("small.tsv.parts", "list")):
        flip(modo, key, [8])
        assert [finding.kind for finding in modo.find_problems(sampler=Sampler(3))] == [kind]
        flip(modo, key, [8])


def test_without_its_list_nothing_can_be_said_of_a_file(modo):
    modo.storage.delete("big.tsv.parts")
    (found,) = modo.find_problems(sampler=Sampler(3))
    assert (found.kind, found.where) == ("list", "big.tsv.parts") and "nothing of big.tsv was compared" in found.message
    assert modo.mend([found]) == [] and modo.find_problems(sampler=Sampler(3)) == []


def test_elements_without_digests_are_named(modo):
    with modo.transaction() as transaction:
        slots = {"data_digest": None, "index_digests": None}
        transaction._make(Update("data/big", slots, transaction.view.element("data/big")))
    sampler = Sampler(3)
    modo.find_problems(sampler=sampler)
    assert sampler.skipped == ["data/big"] and sampler.files == 2
