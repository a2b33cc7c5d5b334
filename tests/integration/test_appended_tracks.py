"""Tracks that get their contigs one by one, by many writers: equal to those that are made at once."""

import itertools
import multiprocessing
import subprocess
import sys

import numpy as np
import pytest

from modos.api import MODO
from modos.demo.stack import BUCKET, CREDENTIALS
from modos.encryption.keys import SecretKey
from modos.errors import AlreadyExistsError, ConflictError, InvalidInputError, NotFoundError
from modos.object import checking
from modos.tracks import joining
from modos.tracks.conditions import Condition
from modos.tracks.packing import are_same_values

pytestmark = pytest.mark.sweep(12)

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
    assert not is_same_form or (one.is_runs == other.is_runs and one.levels == other.levels)
    tolerance = 0 if one.is_runs == other.is_runs else 1e-14  # sums over values, or over runs of them
    assert np.allclose(one.table, other.table, rtol=tolerance, atol=0)
    for level, beside in itertools.product(one.levels, other.levels):
        if level.bin == beside.bin:
            rows = one.bins(level, 0, level.bins), other.bins(beside, 0, beside.bins)
            assert np.allclose(*rows, rtol=tolerance, atol=tolerance)
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
    barrier.wait(300)
    MODO.open(path, **options).append_track("parts", {name: TRUTH[kind][name]})


@pytest.mark.core
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
        job.join(300)
    assert [job.exitcode for job in jobs] == [0] * len(jobs)
    modo = MODO.open(tmp_path / "ex")
    check_equal(modo, "once", "parts", is_same_form=way == "anew")
    left = {info.key for info in modo.storage.iter_files(".modos")}
    assert not left


def test_by_several_processes_at_once_on_s3(stack, tmp_path, way):
    options = {"services": {"s3": stack.s3}, "s3_kwargs": CREDENTIALS}
    modo, truth = new_object(f"s3://{BUCKET}/appended/{tmp_path.name}", SHORT, tmp_path, **options), TRUTH["noise"]
    modo.add_track("once", truth)
    modo.add_track("parts", {"chr3": truth["chr3"]})
    names = ["chrM", "chr1", "chr4"]
    context = multiprocessing.get_context("spawn")
    barrier = context.Barrier(len(names))
    jobs = [context.Process(target=append_one, args=(modo.storage.url, options, name, "noise", barrier)) for name in names]
    for job in jobs:
        job.start()
    for job in jobs:
        job.join(300)
    assert [job.exitcode for job in jobs] == [0] * len(jobs)
    modo.append_track("parts", {name: truth[name] for name in ("chr2", "chrE")})
    check_equal(modo, "once", "parts", is_same_form=way == "anew")


def appended_meanwhile(modo, name, others):
    """Append a contig, and do something else right before the commit."""
    with modo.track_changes() as tracks:
        tracks.append("parts", {name: TRUTH["noise"][name]})
        others(MODO.open(modo.storage.path))


@pytest.fixture
def modo(tmp_path):
    modo = new_object(tmp_path / "ex", SHORT, tmp_path)
    modo.add_track("parts", {"chr1": TRUTH["noise"]["chr1"]})
    return modo


@pytest.mark.core
def test_what_others_do_meanwhile(modo, way):
    """Changes of others stay, and the contig is there, too."""
    truth = TRUTH["noise"]
    modo.add_track("once", {name: truth[name] for name in ("chr1", "chr2", "chr3", "chr4")})
    appended_meanwhile(modo, "chr2", lambda other: other.append_track("parts", {"chr3": truth["chr3"]}))
    appended_meanwhile(modo, "chr4", lambda other: other.rename_track("parts", "renamed"))
    check_equal(modo, "once", "renamed", is_same_form=way == "anew")
    modo.rename_track("renamed", "parts")
    other = {"chr2": truth["chr2"]}
    appended_meanwhile(modo, "chr1", lambda another: another.replace_track("parts", other))
    modo.replace_track("once", {name: truth[name] for name in ("chr1", "chr2")})
    check_equal(modo, "once", "parts", is_same_form=way == "anew")


def test_what_others_do_that_leaves_no_place(modo, way):
    before = modo.open_genome().tracks["parts"].table
    with pytest.raises(AlreadyExistsError, match="the track parts has chr2 already"):
        appended_meanwhile(modo, "chr2", lambda other: other.append_track("parts", {"chr2": TRUTH["steps"]["chr2"]}))
    found = modo.open_genome().tracks["parts"]
    assert are_same_values(found.values("chr2"), TRUTH["steps"]["chr2"]) and found.table[0, 0] == before[0, 0]
    assert list(checking.find_problems(modo.storage)) == []
    with pytest.raises(ConflictError, match="removed by somebody else"):
        appended_meanwhile(modo, "chr3", lambda other: other.remove_track("parts"))
    assert list(checking.find_problems(modo.storage)) == []
    assert not [info.key for info in modo.storage.iter_files() if "/parts/" in info.key or info.key.startswith(".modos")]


def test_a_mask_covers_what_comes_later(tmp_path, way):
    """Equal to a track that is made at once and masked, also where somebody masks it meanwhile, and after the mask is off."""
    modo, truth = new_object(tmp_path / "ex", SHORT, tmp_path), TRUTH["noise"]
    mask = tmp_path / "mask.bed"
    mask.write_text("chr1\t100\t50000\nchr2\t7\t40000\nchr3\t0\t70000\nchrM\t5\t50\n")
    modo.add_track("once", truth)
    modo.mask_track("once", mask)
    modo.add_track("parts", {"chr1": truth["chr1"]})
    appended_meanwhile(modo, "chr3", lambda other: other.mask_track("parts", mask))
    with pytest.raises(AlreadyExistsError, match="has chr3 already"):  # though all of it is masked
        modo.append_track("parts", {"chr3": truth["chr3"]})
    for name in ("chr4", "chr2", "chrE", "chrM"):
        modo.append_track("parts", {name: truth[name]})
    check_equal(modo, "once", "parts", is_same_form=way == "anew")
    modo.unmask_track("once")
    modo.unmask_track("parts")
    check_equal(modo, "once", "parts", is_same_form=way == "anew")


@pytest.mark.parametrize("kind", KINDS)
def test_values_that_need_another_type(tmp_path, way, kind):
    """First integers of 8 bits, then of 16, then floats: none changes."""
    modo = new_object(tmp_path / "ex", SHORT, tmp_path)
    random = np.random.default_rng(3)
    parts = {
        "chr2": random.integers(0, 100, 90_000).astype(np.float32),
        "chr1": (random.integers(-30_000, 30_000, 90_000) / 100).astype(np.float32),
        "chr3": TRUTH[kind]["chr3"],
        "chr4": (random.integers(-30_000, 30_000, 40_000) / 1000).astype(np.float32),
    }
    first, *others = parts
    modo.add_track("parts", {first: parts[first]})
    for name in others:
        modo.append_track("parts", {name: parts[name]})
    modo.add_track("once", parts)
    check_equal(modo, "once", "parts", is_same_form=False)


def test_what_a_track_has(modo, way):
    """A contig counts from when a source had it, with values or none; not if its values were removed for good."""
    modo.append_track("parts", {"chrE": TRUTH["noise"]["chrE"]})
    for name in ("chr1", "chrE"):
        with pytest.raises(AlreadyExistsError, match=f"the track parts has {name} already"):
            modo.append_track("parts", {"chr2": TRUTH["noise"]["chr2"], name: np.ones(5)})
    modo.add_track("none", {"chrE": TRUTH["noise"]["chrE"], "chrM": np.ones(9)})
    with pytest.raises(AlreadyExistsError, match="the track none has chrE already"):
        modo.append_track("none", {"chrE": np.ones(5)})
    modo.open_genome()["chrM"][3:5, "none"] = 2
    modo.append_track("none", {"chr4": np.ones(5)})
    with pytest.raises(AlreadyExistsError, match="the track none has chrE already"):
        modo.append_track("none", {"chrE": np.ones(5)})
    modo.mask_track("none", Condition("gt", 0), hard=True)
    modo.append_track("none", {"chrM": np.ones(5)})
    with pytest.raises(AlreadyExistsError, match="the track none has chrE already"):
        modo.append_track("none", {"chrE": np.ones(5)})
    assert {name: n.n for name, n in modo.open_genome().tracks["none"].statistics().items()} == {"chrM": 5}


def test_a_track_that_is_not_there_or_is_sealed(modo):
    with pytest.raises(NotFoundError, match="no track part in"):
        modo.append_track("part", {"chr2": np.ones(5)})
    with pytest.raises(InvalidInputError, match="none of the contigs"):
        modo.append_track("parts", {"chrZ": np.ones(5)})
    with pytest.raises(InvalidInputError, match="changed twice"), modo.track_changes() as tracks:
        tracks.append("parts", {"chr2": np.ones(5)})
        tracks.append("parts", {"chr3": np.ones(5)})
    modo.encrypt(SecretKey.random().public, elements=["data/parts"])
    with pytest.raises(InvalidInputError, match="the track parts is encrypted"):
        modo.append_track("parts", {"chr2": np.ones(5)})


def test_a_damaged_shard_stays_damaged(tmp_path, monkeypatch):
    """Its digest is that of the sound bytes: what was changed before is found afterwards."""
    modo = new_object(tmp_path / "ex", LENGTHS, tmp_path)
    modo.add_track("parts", {"chr1": LARGE["chr1"]})
    path = tmp_path / "ex" / modo.genome.tracks["parts"].data.spec.key(0)
    data = bytearray(path.read_bytes())
    data[1000] ^= 1
    path.write_bytes(data)
    modo.append_track("parts", {"chr2": LARGE["chr2"]})
    assert [finding.kind for finding in checking.find_problems(modo.storage)] == ["checksum"]


def test_a_track_of_an_older_version(tmp_path, way):
    """Without digests of its shards: these are computed, and compared with the checksum that there is."""
    modo = new_object(tmp_path / "ex", SHORT, tmp_path)
    modo.add_track("once", TRUTH["noise"])
    modo.add_track("parts", {"chr1": TRUTH["noise"]["chr1"]})

    def forget(document):
        for path, node in document.nodes.items():
            if path.startswith("data/parts/"):
                node["attributes"].pop("shard_digest")

    from modos.object import commits

    commits.commit(modo.storage, forget)
    MODO.open(tmp_path / "ex").append_track("parts", {n: v for n, v in TRUTH["noise"].items() if n != "chr1"})
    check_equal(MODO.open(tmp_path / "ex"), "once", "parts", is_same_form=way == "anew")


def modos(*arguments, code=0, **options):
    command = [sys.executable, "-m", "modos", *map(str, arguments)]
    result = subprocess.run(command, capture_output=True, text=True, timeout=120, **options)
    assert result.returncode == code, result.stderr
    return result


def write_file(folder, name, values, format):
    """One contig as a file."""
    path = folder / f"{name}.{format}"
    places = np.flatnonzero(~np.isnan(values)).tolist()
    if format == "wig":
        rows = [f"fixedStep chrom={name} start=1\n", *(f"{value}\n" for value in np.nan_to_num(values).tolist())]
        path.write_text("".join(rows))
    elif format == "bedGraph":
        path.write_text("".join(f"{name}\t{at}\t{at + 1}\t{values[at]}\n" for at in places))
    else:
        bigwig = pytest.importorskip("pyBigWig").open(str(path), "w")
        bigwig.addHeader([(name, len(values))])
        bigwig.addEntries(name, places, values=values[places].astype(float).tolist(), span=1)
        bigwig.close()
    return path


@pytest.mark.parametrize("format", ["wig", "bedGraph", "bw"])
def test_the_command_line(tmp_path, format):
    """Files and pipes, names and aliases; equal to a track of all files at once, whatever the order."""
    lengths, truth = {"chr1": 40_000, "chr2": 3000, "chr3": 2000}, {}
    names = tmp_path / "names"
    names.write_text("chr1\t1\nchr2\t2\nchr3\t3\n")
    for name, n in lengths.items():
        truth[name] = np.round(np.random.default_rng(n).normal(size=n), 2).astype(np.float32)
    (tmp_path / "sizes").write_text("".join(f"{name}\t{n}\n" for name, n in lengths.items()))
    modos("create", "ex", cwd=tmp_path)
    modos("genome", "init", "ex", "--sizes", "sizes", "--chromosome-map", "names", cwd=tmp_path)
    files = {name: write_file(tmp_path, name, values, format) for name, values in truth.items()}
    modos("track", "add", "ex", *(f"once={path}" for path in files.values()), cwd=tmp_path)
    modos("track", "add", "ex", f"parts={files['chr2']}", cwd=tmp_path)
    told = modos("track", "add", "ex", f"parts={files['chr3']}", "--append", cwd=tmp_path)
    assert told.stderr == "parts extended in ex: 1 contig\n"
    with open(files["chr1"]) as file:
        modos("track", "add", "ex", "parts=-", "--append", cwd=tmp_path, stdin=file)
    told = modos("track", "add", "ex", f"parts={files['chr1']}", "--append", cwd=tmp_path, code=1)
    assert told.stderr.startswith("error: the track parts has 1 already\nhint: nothing was changed")
    told = modos("track", "add", "ex", f"other={files['chr1']}", "--append", cwd=tmp_path, code=3)
    assert "no track other" in told.stderr
    told = modos("track", "add", "ex", f"parts={files['chr1']}", "--append", "-p", "assay/a", cwd=tmp_path, code=2)
    assert "--parent" in told.stderr
    assert modos("check", "ex", cwd=tmp_path)
    modo = MODO.open(tmp_path / "ex")
    for name in truth:
        assert are_same_values(
            modo.genome.tracks["parts"].values(name), np.nan_to_num(truth[name]) if format == "wig" else truth[name]
        )
    check_equal(modo, "once", "parts")
