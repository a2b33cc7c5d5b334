"""Tracks that get their contigs one by one, by many writers: equal to those that are made at once."""

import itertools
import multiprocessing
import subprocess
import sys

import numpy as np
import pytest

from modos.api import MODO
from modos.demo.stack import BUCKET, CREDENTIALS
from modos.errors import AlreadyExistsError, ConflictError, InvalidInputError, NotFoundError
from modos.object import checking
from modos.storage.base import Storage
from modos.tracks import joining
from modos.tracks.conditions import Condition
from modos.tracks.packing import are_same_values

LENGTHS = {"chr1": 9_000_000, "chr2": 8_500_000, "chr3": 70_000, "chr4": 40_000, "chrM": 900, "chrE": 5_000}
SHORT = {name: min(n, 90_000) for name, n in LENGTHS.items()}


def make_values(lengths, kind):
    random = np.random.default_rng(len(kind))
    made = {}
    for name, n in lengths.items():
        if kind == "noise":
            values = (random.integers(-30_000, 30_000, n) / 1000).astype(np.float32)
            values[n // 3 : n // 2] = np.nan
        elif kind == "floats":
            values = random.normal(size=n).astype(np.float32)
        else:
            values = np.repeat(random.integers(0, 9, n // 50 + 1), 50)[:n].astype(np.float32)
            values[random.random(n) < 0.3] = np.nan
        made[name] = np.full(n, np.nan, np.float32) if name == "chrE" else values
    return made


KINDS = ("noise", "floats", "steps")
TRUTH = {kind: make_values(SHORT, kind) for kind in KINDS}
LARGE = make_values(LENGTHS, "noise")


def new_object(path, lengths, folder, **options):
    modo = MODO.create(path, **options)
    (folder / "sizes").write_text("".join(f"{name}\t{n}\n" for name, n in lengths.items()))
    modo.add_genome(sizes=folder / "sizes")
    return modo


@pytest.fixture(params=["linked", "anew"])
def way(request, monkeypatch):
    """Whether shards get one more name, or small tracks are written anew."""
    monkeypatch.setattr(joining, "SMALL", -1 if request.param == "linked" else 1 << 40)
    return request.param


def check_equal(modo, one, other, is_same_form=True):
    """Compare two tracks: values, statistics and zoom levels, bit by bit; and the object with its digests."""
    genome = modo.open_genome()
    one, other = genome.tracks[one], genome.tracks[other]
    for name in genome.contigs:
        assert are_same_values(one.values(name), other.values(name)), name
    assert np.array_equal(one.table, other.table)
    if is_same_form:
        assert one.is_runs == other.is_runs
        assert one.levels == other.levels
    for level, beside in itertools.product(one.levels, other.levels):
        if level.bin == beside.bin:
            assert np.array_equal(one.bins(level, 0, level.bins), other.bins(beside, 0, beside.bins))
    assert list(checking.find_problems(modo.storage)) == []


def check_truth(track, truth):
    """Compare statistics and zooms with numpy."""
    for name, values in truth.items():
        found, present = track.of_contig(name), values[~np.isnan(values)].astype(np.float64)
        assert found.n == len(present)
        if len(present):
            assert found.sum == pytest.approx(present.sum(), rel=1e-12, abs=1e-6)
            assert found.sum_squares == pytest.approx((present**2).sum(), rel=1e-12)
            assert (found.min, found.max) == (present.min(), present.max())
    for level in track.levels:
        rows = track.bins(level, 0, level.bins)
        axis = np.full(level.bins * level.bin, np.nan, np.float32)
        for name, values in truth.items():
            offset = track.contigs[name].offset
            axis[offset : offset + len(values)] = values
        n = (~np.isnan(axis)).reshape(level.bins, -1).sum(1)
        assert np.array_equal(rows[0], n)
        assert np.allclose(rows[1], np.nansum(axis.reshape(level.bins, -1), 1, dtype=np.float64), rtol=1e-9, atol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("order", [[0, 1, 2, 3, 4, 5], [5, 4, 3, 2, 1, 0], [3, 0, 5, 2, 4, 1]], ids=str)
def test_in_any_order(tmp_path, way, kind, order):
    modo, truth = new_object(tmp_path / "ex", SHORT, tmp_path), TRUTH[kind]
    modo.add_track("once", truth)
    names = [list(SHORT)[number] for number in order]
    modo.add_track("parts", {names[0]: truth[names[0]]})
    for name in names[1:]:
        modo.append_track("parts", {name: truth[name]})
        assert list(checking.find_problems(modo.storage)) == []
    check_equal(modo, "once", "parts", is_same_form=way == "anew")
    check_truth(modo.genome.tracks["parts"], truth)


def test_old_shards_are_not_read_or_written(tmp_path, monkeypatch):
    modo = new_object(tmp_path / "ex", LENGTHS, tmp_path)
    modo.add_track("once", LARGE)
    modo.add_track("parts", {"chr1": LARGE["chr1"]})
    track = modo.genome.tracks["parts"]
    inodes = {n: (tmp_path / "ex" / track.data.spec.key(n)).stat().st_ino for n in (0,)}
    modo.append_track("parts", {"chr2": LARGE["chr2"]})
    track = modo.open_genome().tracks["parts"]
    assert {n: (tmp_path / "ex" / track.data.spec.key(n)).stat().st_ino for n in (0,)} == inodes
    for name in ("chrM", "chr4", "chr3", "chrE"):
        modo.append_track("parts", {name: LARGE[name]})
    check_equal(modo, "once", "parts")
    assert modo.genome.tracks["parts"].data.spec.attributes["shard_digest"]


def append_one(path, options, name, kind, barrier):
    barrier.wait(60)
    MODO.open(path, **options).append_track("parts", {name: TRUTH[kind][name]})


@pytest.mark.parametrize("kind", ["noise", "steps"])
def test_by_several_processes_at_once(tmp_path, way, kind):
    modo, truth = new_object(tmp_path / "ex", SHORT, tmp_path), TRUTH[kind]
    modo.add_track("once", truth)
    first, *names = SHORT
    modo.add_track("parts", {first: truth[first]})
    context = multiprocessing.get_context("fork")
    barrier = context.Barrier(len(names))
    jobs = [context.Process(target=append_one, args=(tmp_path / "ex", {}, name, kind, barrier)) for name in names]
    for job in jobs:
        job.start()
    for job in jobs:
        job.join(120)
    assert [job.exitcode for job in jobs] == [0] * len(jobs)
    modo = MODO.open(tmp_path / "ex")
    check_equal(modo, "once", "parts", is_same_form=way == "anew")
    left = {info.key for info in modo.storage.iter_files(".modos")}
    assert not left
