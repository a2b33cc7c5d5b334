"""Genomes and tracks in objects: asked for like arrays, changed in transactions, from afar, and next to other programs."""

import gzip
import json
import math
import os
import pickle
import signal
import subprocess
import sys
import time
import warnings

import numpy as np
import pytest
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st

from modos.api import MODO
from modos.demo.stack import BUCKET, CREDENTIALS
from modos.errors import (
    AlreadyExistsError,
    ConflictError,
    IntegrityError,
    InvalidInputError,
    ModosError,
    NotFoundError,
    RegionError,
)
from modos.genomics.region import Region
from modos.tracks.bigwig import open_bigwig
from modos.tracks.conditions import Condition
from modos.tracks.export import export
from modos.tracks.packing import are_same_values
from tests.support.sampling import most

pytestmark = pytest.mark.sweep(28)

LENGTHS = {"chr1": 70_000, "chr2": 40_000, "scaffold": 900}


def make_truth():
    random = np.random.default_rng(7)
    noise = {name: random.normal(size=n).round(3).astype(np.float32) for name, n in LENGTHS.items()}
    steps = {name: np.repeat(random.integers(0, 9, n // 50 + 1), 50)[:n].astype(np.float32) for name, n in LENGTHS.items()}
    points = {
        name: np.where(random.random(n) < 0.02, random.random(n).round(2), np.nan).astype(np.float32)
        for name, n in LENGTHS.items()
    }
    noise["chr1"][1000:3000] = np.nan
    return {"noise": noise, "steps": steps, "points": points}


TRUTH = make_truth()
BASES = {
    name: np.frombuffer(np.random.default_rng(n).choice(list(b"ACGTNacgtnRYM"), n).astype(np.uint8).tobytes(), np.uint8)
    for name, n in LENGTHS.items()
}


def write_fasta(path, bases=BASES, width=61, note=" with words behind"):
    with (gzip.open if path.suffix == ".gz" else open)(path, "wb") as file:
        for name, sequence in bases.items():
            text = sequence.tobytes()
            file.write(
                f">{name}{note}\n".encode() + b"\n".join(text[at : at + width] for at in range(0, len(text), width)) + b"\n"
            )
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """An object `ex` with a genome, its sequence, and three tracks."""
    folder = tmp_path_factory.mktemp("tracks")
    modo = MODO.create(folder / "ex")
    modo.add_genome(write_fasta(folder / "genome.fa"))
    with modo.track_changes() as tracks:
        for name, values in TRUTH.items():
            tracks.add(name, values)
    return folder


@pytest.fixture(scope="module")
def genome(folder):
    return MODO.open(folder / "ex").genome


@pytest.fixture
def modo(tmp_path):
    """An object of its own, with a genome and the track `steps`."""
    modo = MODO.create(tmp_path / "own")
    (tmp_path / "sizes").write_text("".join(f"{name}\t{n}\n" for name, n in LENGTHS.items()))
    modo.add_genome(sizes=tmp_path / "sizes")
    modo.add_track("steps", TRUTH["steps"])
    return modo


def whole(name):
    return np.stack([TRUTH[track][name] for track in TRUTH], axis=1)


BASE_KEYS = st.one_of(
    st.integers(-900, 899),
    st.integers(-900, 899).map(np.int32),
    st.integers(0, 899).map(np.uint64),
    st.builds(slice, *[st.none() | st.integers(-1500, 1500)] * 2, st.none() | st.sampled_from([1, 2, 7, -1, -3])),
    st.lists(st.integers(-900, 899), max_size=6),
    st.lists(st.integers(-900, 899), min_size=1, max_size=6).map(np.array),
    st.lists(st.booleans(), min_size=900, max_size=900).map(np.array),
    st.just(Ellipsis),
)
TRACK_KEYS = st.one_of(
    st.integers(-3, 2),
    st.integers(0, 2).map(np.int64),
    st.builds(slice, *[st.none() | st.integers(-4, 4)] * 2),
    st.lists(st.integers(-3, 2), min_size=1, max_size=3),
    st.lists(st.booleans(), min_size=3, max_size=3).map(np.array),
)


@settings(max_examples=most(400, 60), deadline=None)
@given(BASE_KEYS, TRACK_KEYS)
def test_indices_mean_what_they_mean_to_numpy(genome, bases, tracks):
    truth, contig = whole("scaffold"), genome["scaffold"]
    sequence = BASES["scaffold"]
    if (
        isinstance(bases, slice) and (bases.step or 1) > 0 and (bases.stop or 0) > 900
    ):  # past the end is nothing, as in Genomedata
        more = bases.stop - 900
        truth, sequence = (
            np.pad(truth, ((0, more), (0, 0)), constant_values=np.nan),
            np.pad(sequence, (0, more), constant_values=ord("N")),
        )
        bases = slice(bases.start if bases.start is None or bases.start >= 0 else bases.start - more, bases.stop, bases.step)
        given = slice(bases.start if bases.start is None or bases.start >= 0 else bases.start + more, bases.stop, bases.step)
    else:
        given = bases
    try:
        wanted = truth[bases, tracks]
    except IndexError:
        with pytest.raises(IndexError):
            contig[given, tracks]
        return
    got = contig[given, tracks]
    assert np.shape(got) == np.shape(wanted) and got.dtype == np.float32
    np.testing.assert_array_equal(got, wanted)
    if bases is not Ellipsis:
        np.testing.assert_array_equal(contig.seq[given], sequence[bases])
        np.testing.assert_array_equal(contig[given], truth[bases])


@pytest.mark.parametrize(
    "key",
    [
        999_999,
        -901,
        (0, 3),
        (0, -4),
        ([0, 900],),
        ([0, 1], [0, 1, 2]),
        (np.ones(5, bool),),
        "x",
        (0.5,),
        (slice("a"),),
        (0, np.ones(2, bool)),
        True,
    ],
)
def test_indices_that_are_none(genome, key):
    with pytest.raises((IndexError, NotFoundError)) as error:
        genome["scaffold"][key]
    assert isinstance(error.value, ModosError)


def test_names_and_text(genome):
    np.testing.assert_array_equal(genome["chr2"][5:25, "points"], TRUTH["points"]["chr2"][5:25])
    np.testing.assert_array_equal(
        genome["chr2"][5:25, ["points", "noise"]], np.stack([TRUTH["points"]["chr2"][5:25], TRUTH["noise"]["chr2"][5:25]], 1)
    )
    np.testing.assert_array_equal(genome["chr2:1,424-1,433", "steps"], TRUTH["steps"]["chr2"][1423:1433])
    np.testing.assert_array_equal(genome["chr2:39,991-"], whole("chr2")[39_990:])
    np.testing.assert_array_equal(genome[Region("chr1", 10, 12), 0], TRUTH["noise"]["chr1"][10:12])
    assert genome.index_continuous("points") == list(genome.tracks).index("points")
    assert genome.tracknames_continuous == list(TRUTH) and genome.num_tracks_continuous == 3
    assert list(genome) == list(LENGTHS) and len(genome) == 3 and "chr1" in genome and "chr9" not in genome
    with pytest.raises(NotFoundError) as error:
        genome["chr1"][0, "nois"]
    assert error.value.hint == "did you mean noise?"
    with pytest.raises(NotFoundError, match="no contig chrX"):
        genome["chrX"]
    with pytest.raises(RegionError, match="40,001 is past the end of chr2, which has 40,000 bases"):
        genome["chr2:39,000-40,001"]
    with pytest.raises(InvalidInputError):
        genome[5]


def test_large_keys_with_steps_lists_and_masks(genome):
    truth, contig = whole("chr1"), genome["chr1"]
    np.testing.assert_array_equal(contig[::1000], truth[::1000])
    np.testing.assert_array_equal(contig[::-7, 1], truth[::-7, 1])
    places = np.random.default_rng(0).integers(0, 70_000, (40, 3))
    np.testing.assert_array_equal(contig[places, "noise"], TRUTH["noise"]["chr1"][places])
    mask = TRUTH["steps"]["chr1"] > 6
    np.testing.assert_array_equal(contig[mask], truth[mask])


def test_statistics_are_those_of_the_values(genome):
    for prefix, values in (
        ("", [np.concatenate([TRUTH[t][c] for c in LENGTHS]) for t in TRUTH]),
        ("chr2", [TRUTH[t]["chr2"] for t in TRUTH]),
    ):
        found = genome[prefix] if prefix else genome
        wide = [v[~np.isnan(v)].astype(np.float64) for v in values]
        np.testing.assert_array_equal(found.num_datapoints, [len(v) for v in wide])
        np.testing.assert_array_equal(found.mins, [v.min() for v in wide])
        np.testing.assert_array_equal(found.maxs, [v.max() for v in wide])
        np.testing.assert_allclose(found.sums, [v.sum() for v in wide], rtol=1e-12)
        np.testing.assert_allclose(found.sums_squares, [(v**2).sum() for v in wide], rtol=1e-12)
        if not prefix:
            np.testing.assert_allclose(found.means, [v.mean() for v in wide], rtol=1e-12)
            np.testing.assert_allclose(found.vars, [v.var() for v in wide], rtol=1e-9)
    part = TRUTH["noise"]["chr1"][900:65_000].astype(np.float64)
    assert genome.track("noise").mean("chr1:901-65,000") == pytest.approx(np.nanmean(part), rel=1e-12)
    assert math.isnan(genome.track("noise").mean("chr1:1,501-1,600")) and genome.track("noise").mean() == pytest.approx(
        genome.means[0]
    )


def test_windows(genome):
    regions = ["chr1:1,001-1,100", Region("chr2", 39_900, 40_000), ("scaffold", 0, 100), ("chr1", 32_750, 32_850)]
    found = genome.windows(regions, ["steps", 0])
    assert found.shape == (4, 2, 100) and found.dtype == np.float32
    for row, (name, start) in zip(found, [("chr1", 1000), ("chr2", 39_900), ("scaffold", 0), ("chr1", 32_750)]):
        np.testing.assert_array_equal(row, np.stack([TRUTH["steps"][name], TRUTH["noise"][name]])[:, start : start + 100])
    assert genome.windows(regions).shape == (4, 3, 100) and genome.windows([]).shape == (0, 3, 0)
    assert genome.windows(regions, "noise").shape == (4, 1, 100)
    for wrong in (["chr1:1-5", "chr1:1-6"], [("chr1", 69_950, 70_050)], [("chr1", -5, 5)], [("chr1", 5, 5)]):
        with pytest.raises(InvalidInputError):
            genome.windows(wrong)
    with pytest.raises(NotFoundError):
        genome.windows([("chr7", 0, 5)])


def test_supercontigs_and_what_is_outside(tmp_path):
    """A stretch of 100,000 unknown bases divides a contig; one base less does not."""
    parts = {"a": [b"ACGT" * 500, b"N" * 100_000, b"acgt" * 300, b"R" * 99_999, b"T" * 77], "b": [b"N" * 120_000, b"ACGT" * 10]}
    bases = {name: np.frombuffer(b"".join(found), np.uint8) for name, found in parts.items()}
    modo = MODO.create(tmp_path / "ex")
    modo.add_genome(write_fasta(tmp_path / "g.fa.gz", bases))
    values = {name: np.arange(len(found)) % 50 for name, found in bases.items()}
    with pytest.raises(
        InvalidInputError, match="value 2,000 of a: position 2,001 of a is in a gap of the genome, a:2,001-102,000"
    ):
        modo.add_track("t", values)
    report = modo.add_track("t", values, clip=True)
    genome = modo.genome
    a, b = genome["a"], genome["b"]
    assert [(s.start, s.end) for s in a] == [(0, 2000), (102_000, 203_276)] and [(s.start, s.end) for s in b.supercontigs] == [
        (120_000, 120_040)
    ]
    assert report.outside == 220_000 and genome.num_datapoints.tolist() == [2000 + 101_276 + 40]
    assert np.isnan(a[2000:102_000]).all() and not np.isnan(a[:2000]).any() and np.isnan(b[:120_000]).all()
    (first, values), (second, more) = a.itercontinuous()
    assert values.shape == (2000, 1) and np.asarray(values)[:, 0].tolist() == (np.arange(2000) % 50).tolist()
    assert more[-1, "t"] == 203_275 % 50 and bytes(first.seq) == b"ACGT" * 500 and second.project(102_005) == 5
    assert (
        [s.start for s in a.supercontigs[1990:102_001]] == [0, 102_000]
        and a.supercontigs[50_000] == []
        and len(a.supercontigs) == 2
    )
    assert a.start == 0 and a.end == a.size == len(a) == 203_276 and a.num_tracks_continuous == 1


def test_writing_values(modo):
    genome = modo.genome
    genome["chr1"][32_760:32_780, "steps"] = np.arange(20) / 4
    with modo.track_changes() as tracks:  # many at once; of two for a place the later counts
        tracks.write("steps", "chr2", 100, np.full(60, np.nan))
        tracks.write("steps", "chr2", 140, np.arange(60))
        tracks.write("steps", "chr2", 140, np.full(60, np.nan))
        tracks.write("steps", "chr1", 0, TRUTH["steps"]["chr1"][:5])
    genome = modo.genome
    assert np.isnan(genome["chr2"][150, 0]) and genome["chr1"][32_761, 0] == 0.25
    stale = MODO.open(modo.path).genome
    modo.genome["scaffold"][880:, 0] = 1.25
    wanted = {name: values.copy() for name, values in TRUTH["steps"].items()}
    wanted["chr1"][32_760:32_780], wanted["chr2"][100:200], wanted["scaffold"][880:] = np.arange(20) / 4, np.nan, 1.25
    now = MODO.open(modo.path).genome
    for name, values in wanted.items():
        assert are_same_values(now[name][:, "steps"].copy(), values)
    assert now.num_datapoints == [sum(np.count_nonzero(~np.isnan(v)) for v in wanted.values())]
    assert now.sums[0] == pytest.approx(sum(np.nansum(v.astype(float)) for v in wanted.values()), rel=1e-12)
    assert modo.find_problems() == []
    with pytest.raises(ConflictError, match="changed or removed by somebody else"):
        stale["scaffold"][880:]
    with pytest.raises(RegionError):
        modo.genome["chr1"][10**9, "steps"] = 1
    with pytest.raises(InvalidInputError, match="infinite"):
        modo.genome["chr1"][0:2, "steps"] = np.inf
    with pytest.raises(InvalidInputError, match="stretch"):
        modo.genome["chr1"][[5, 3], "steps"] = 1
    with pytest.raises(ValueError):
        modo.genome["chr1"][0:2, "steps"] = np.zeros(3)


def test_several_changes_are_one_commit(modo):
    before = modo._document.state["revision"]
    with modo.track_changes() as tracks:
        tracks.add("a", {"chr1": np.ones(50)}, attributes={"description": "ones"})
        tracks.add("b/c d", {"chr2": np.ones(50)})
        tracks.rename("steps", "phases")
    assert modo._document.state["revision"] == before + 1
    assert modo.genome.tracknames_continuous == ["phases", "a", "b/c d"] and "data/b_c_d" in modo.metadata
    assert modo.metadata["data/steps"]["name"] == "phases" and modo.metadata["data/a"]["has_reference"] == ["reference/genome"]
    modo.add_track("steps", {"chr1": np.ones(3)})
    assert modo.metadata["data/steps-2"]["name"] == "steps"
    with pytest.raises(RuntimeError):
        with modo.track_changes() as tracks:
            tracks.remove("a")
            raise RuntimeError
    assert "a" in MODO.open(modo.path).genome.tracks
    with pytest.raises(InvalidInputError, match="changed twice"):
        with modo.track_changes() as tracks:
            tracks.replace("a", {"chr1": np.ones(5)})
            tracks.replace("a", {"chr1": np.ones(6)})
    modo.remove_track("a")
    assert modo.find_problems() == [] and not any("data/a/" in info.key for info in modo.storage.iter_files())
    for wrong, error in (
        (lambda: modo.add_track("steps", {}), AlreadyExistsError),
        (lambda: modo.rename_track("steps", "phases"), AlreadyExistsError),
        (lambda: modo.remove_track("none"), NotFoundError),
        (lambda: modo.add_track("", {}), InvalidInputError),
        (lambda: modo.replace_track("none", {}), NotFoundError),
        (lambda: modo.unmask_track("steps"), InvalidInputError),
    ):
        with pytest.raises(error):
            wrong()


def test_a_genome_with_tracks_stays(modo):
    with pytest.raises(InvalidInputError, match="data/steps refers to"):
        modo.remove_element("reference/genome")
    modo.update_element("data/steps", {"description": "phases of something"})
    assert modo.genome.tracknames_continuous == ["steps"]
    with modo.transaction() as transaction:
        transaction.remove_element("data/steps")
        transaction.remove_element("reference/genome")
    assert modo.find_problems() == [] and len(modo.metadata) == 1
    assert [info.key for info in modo.storage.iter_files("data.zarr/data")] == ["data.zarr/data/zarr.json"]


def test_attributes_of_a_track_are_the_users_but_for_what_it_is(modo):
    modo.add_track(
        "t",
        {"chr1": np.ones(5)},
        attributes={"description": "d", "data_path": "x", "@type": "VariantSet", "name": "y", "id": "z"},
    )
    element = modo.metadata["data/t"]
    assert (element["@type"], element["data_path"], element["name"], element["description"]) == (
        "Array",
        "data.zarr/data/t",
        "t",
        "d",
    )
    modo.update_element("data/t", {"name": "steps"})
    assert set(modo.genome.tracks) == {"steps", "data/t"}


def test_two_writers(modo):
    """Both tracks are there; of two who replace the same, one is told."""
    mine, theirs = MODO.open(modo.path), MODO.open(modo.path)
    with mine.track_changes() as tracks:
        tracks.add("mine", {"chr1": np.ones(9)})
        theirs.add_track("theirs", {"chr1": np.zeros(9)})
    assert set(MODO.open(modo.path).genome.tracks) == {"steps", "mine", "theirs"}
    with pytest.raises(ConflictError):
        with mine.track_changes() as tracks:
            tracks.replace("theirs", {"chr1": np.ones(3)})
            theirs.mask_track("theirs", Condition("lt", 5))
    now = MODO.open(modo.path)
    assert now.genome.track("theirs").is_masked and now.find_problems() == []


def test_a_reader_keeps_what_it_opened_until_it_is_removed(modo):
    genome = modo.genome
    assert not np.isnan(genome["chr1"][:10, "steps"]).any()
    modo.rename_track("steps", "other")
    assert genome["chr1"][5, "steps"] == TRUTH["steps"]["chr1"][5] and "other" in modo.genome.tracks


def test_masks_come_and_go(modo, tmp_path):
    plain = modo.metadata["data/steps"]["data_checksum"]
    (tmp_path / "m.bed").write_text("track name=x\nchr1\t100\t200\nchr1\t150\t300\nchr2\t0\t40000\nelsewhere\t0\t5\n")
    modo.mask_track("steps", str(tmp_path / "m.bed"))
    genome = modo.genome
    wanted = {name: values.copy() for name, values in TRUTH["steps"].items()}
    wanted["chr1"][100:300], wanted["chr2"][:] = np.nan, np.nan

    def check():
        genome = MODO.open(modo.path).genome
        track = genome.track("steps")
        for name, values in wanted.items():
            assert are_same_values(genome[name][:, "steps"].copy(), values)
            assert track.scan(name).n == track.statistics().get(name, track.scan(name)).n == np.count_nonzero(~np.isnan(values))
            assert np.nansum(track.zoom(name, 10)[0]) == np.count_nonzero(~np.isnan(values))
        windows = genome.windows([("chr1", 90, 190), ("chr2", 0, 100)])
        assert are_same_values(windows[:, 0].copy(), np.stack([wanted["chr1"][90:190], wanted["chr2"][:100]]))

    check()
    modo.mask_track("steps", Condition("ge", 7))
    for values in wanted.values():
        values[values >= 7] = np.nan
    check()
    with pytest.raises(InvalidInputError, match="mask"):
        modo.genome["chr1"][0:5, "steps"] = 1
    modo.unmask_track("steps")
    assert are_same_values(modo.genome["chr1"][:, 0].copy(), TRUTH["steps"]["chr1"]) and modo.find_problems() == []
    assert modo.metadata["data/steps"]["data_checksum"] == plain
    modo.mask_track("steps", str(tmp_path / "m.bed"))
    modo.mask_track("steps", Condition("ge", 7), hard=True)
    check()
    with pytest.raises(InvalidInputError, match="no mask"):
        modo.unmask_track("steps")
    assert modo.find_problems() == [] and genome is not None


@pytest.mark.core
@settings(max_examples=most(30, 5), deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["chr1", "chr2"]), st.integers(0, 999), st.integers(0, 40), st.sampled_from([np.nan, 1.0, 2.5])
        ),
        max_size=8,
    ),
    st.booleans(),
)
def test_any_writes_are_those_to_an_array(tmp_path_factory, patches, dense):
    folder = tmp_path_factory.mktemp("p")
    (folder / "sizes").write_text("chr1\t1500\nchr2\t1100\n")
    truth = {
        name: (np.random.default_rng(1).normal(size=n) if dense else np.repeat(np.arange(n // 100) % 3, 100)).astype(np.float32)
        for name, n in (("chr1", 1500), ("chr2", 1100))
    }
    truth["chr1"][400:700] = np.nan
    modo = MODO.create(folder / "ex")
    modo.add_genome(sizes=folder / "sizes")
    modo.add_track("t", truth)
    with modo.track_changes() as tracks:
        for name, start, length, value in patches:
            tracks.write("t", name, start, np.full(length, value))
            truth[name][start : start + length] = value
    for name, values in truth.items():
        assert are_same_values(modo.genome[name][:, "t"].copy(), values)
        assert modo.genome[name].num_datapoints == [np.count_nonzero(~np.isnan(values))]


@pytest.mark.parametrize(
    ("comparison", "function"),
    [
        ("lt", np.less),
        ("le", np.less_equal),
        ("gt", np.greater),
        ("ge", np.greater_equal),
        ("eq", np.equal),
        ("ne", np.not_equal),
    ],
)
def test_conditions(modo, comparison, function):
    modo.mask_track("steps", Condition(comparison, 4))
    wanted = np.where(function(TRUTH["steps"]["chr1"], 4), np.nan, TRUTH["steps"]["chr1"])
    np.testing.assert_array_equal(modo.genome["chr1"][:, 0], wanted)


def test_loading_through_masks(modo, tmp_path):
    (tmp_path / "m.bed").write_text("chr1\t10\t20\nchr2\t0\t5\n")
    text = tmp_path / "t.bedGraph"
    text.write_text("chr1\t0\t15\t1\nchr1\t15\t40\t2\nchr2\t3\t9\t3\nchrUn\t0\t5\t1\n")
    report = modo.add_track("masked", text, mask=str(tmp_path / "m.bed"))
    assert list(report.matched) == ["chr1", "chr2"] and list(report.skipped) == ["chrUn"]
    modo.add_track("kept", text, keep=str(tmp_path / "m.bed"))
    masked, kept = modo.genome["chr1"][:45, ["masked", "kept"]].T
    full = np.array([1] * 15 + [2] * 25 + [np.nan] * 5)
    inside = (np.arange(45) >= 10) & (np.arange(45) < 20)
    np.testing.assert_array_equal(masked, np.where(inside, np.nan, full))
    np.testing.assert_array_equal(kept, np.where(inside, full, np.nan))
    np.testing.assert_array_equal(modo.genome["chr2"][:10, "kept"], [np.nan] * 3 + [3] * 2 + [np.nan] * 5)


BAD = {
    "no contig of the genome": ("x 0 5 1\n", "none of the contigs"),
    "past the end": ("chr1 0 5 1\nchr1 69999 70001 2\n", r"line 2: position 70,001 is past the end of chr1"),
    "overlap": ("chr1 0 5 1\nchr1 4 9 1\n", "line 2"),
    "returns too late": ("chr1 50 55 1\nchr2 0 5 1\nchr1 0 9 1\n", "line 3: data of chr1 overlap"),
    "not a number": ("chr1 0 5 one\n", "line 1"),
    "infinite": ("chr1 0 5 -inf\n", "infinite"),
    "empty": ("# nothing\n", "there are no data"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_leaves_the_object_as_it_is(modo, tmp_path, case):
    text, words = BAD[case]
    (tmp_path / "bad.bedGraph").write_text(text)
    before = sorted((info.key, info.size) for info in modo.storage.iter_files())
    for change in (modo.add_track, modo.replace_track):
        with pytest.raises(InvalidInputError, match=words):
            change("new" if change == modo.add_track else "steps", tmp_path / "bad.bedGraph")
    assert sorted((info.key, info.size) for info in modo.storage.iter_files()) == before
    assert MODO.open(modo.path).find_problems() == []


def test_an_unknown_contig_is_an_error_where_that_is_asked(modo, tmp_path):
    (tmp_path / "t.bedGraph").write_text("chr1 0 5 1\nchrUn 0 5 1\n")
    with pytest.raises(InvalidInputError, match="line 2: the genome has no contig chrUn"):
        modo.add_track("new", tmp_path / "t.bedGraph", strict=True)


def test_a_load_that_is_killed_leaves_the_old_state(modo, tmp_path):
    text = tmp_path / "t.wig"
    text.write_text("fixedStep chrom=chr1 start=1\n" + "0.5\n" * 70_000)
    code = (
        "import sys; from modos.api import MODO; import os, signal\n"
        "from modos.tracks.wiggle import read_text\n"
        "def slow():\n"
        "    yield from read_text(sys.argv[2])\n"
        "    print('loaded', flush=True); import time; time.sleep(60)\n"
        "MODO.open(sys.argv[1]).replace_track('steps', slow())"
    )
    process = subprocess.Popen([sys.executable, "-c", code, str(modo.path), str(text)], stdout=subprocess.PIPE)
    assert process.stdout.readline() == b"loaded\n"
    time.sleep(0.2)
    process.send_signal(signal.SIGKILL)
    process.wait()
    now = MODO.open(modo.path)
    assert are_same_values(now.genome["chr1"][:, 0].copy(), TRUTH["steps"]["chr1"])
    now.replace_track("steps", text)
    assert (MODO.open(modo.path).genome["chr1"][:, 0] == 0.5).all() and now.find_problems() == []


def test_check_finds_damage(modo):
    track = modo.genome.track("steps").data.spec
    key = track.key(0)
    file = modo.storage.local_path(key)
    data = bytearray(file.read_bytes())
    data[len(data) // 3] ^= 1
    file.write_bytes(data)
    assert [f.kind for f in modo.find_problems()] == ["checksum"]
    with pytest.raises(IntegrityError):
        modo.genome["chr1"][:]
    file.write_bytes(data[:-1])
    assert [f.kind for f in modo.find_problems()] == ["size"]
    file.unlink()
    assert [f.kind for f in modo.find_problems()] == ["missing"]


def test_plain_zarr_reads_a_track(folder):
    root = zarr.open_group(folder / "ex/data.zarr", mode="r")
    (name,) = [name for name in root["data/noise"].array_keys() if name.startswith("values")]
    array = root[f"data/noise/{name}"]
    attributes, contigs = array.attrs, root["reference/genome/genome"].attrs
    offset, length = contigs["offsets"][1], contigs["lengths"][1]
    stored = array[offset : offset + length]
    values = np.where(stored == attributes["missing"], np.nan, stored.astype(np.float32) / np.float32(attributes["divisor"]))
    values[stored == attributes["negative_zero"]] = -0.0
    np.testing.assert_array_equal(values, TRUTH["noise"]["chr2"])
    (name,) = list(root["reference/genome"].array_keys())
    assert (root[f"reference/genome/{name}"][offset : offset + length] == BASES["chr2"]).all()


def test_a_copy_has_the_tracks_and_only_what_changed_is_sent(folder, stack, tmp_path):
    modo = MODO.open(folder / "ex")
    options = {"endpoint": stack.endpoint, "s3_kwargs": CREDENTIALS}
    target = f"s3://{BUCKET}/tracks-{tmp_path.name}"
    remote = modo.upload(target, **options)
    genome = remote.genome
    for name in LENGTHS:
        np.testing.assert_array_equal(genome[name][:], whole(name))
        assert (genome[name].seq[:] == BASES[name]).all()
    assert remote.find_problems() == [] and modo.plan_upload(target, **options).is_empty
    own = remote.download(tmp_path / "copy")
    own.add_track("more", {"chr1": np.arange(100)})
    plan = own.plan_upload(target, **options)
    assert plan.files and all("data/more/" in file.key for file in plan.files) and plan.present
    own.upload(target, **options)
    assert MODO.open(target, **options).genome["chr1"][99, "more"] == 99
    own.remove_track("noise")
    plan = own.plan_upload(target, **options)
    assert not plan.files and plan.superfluous and all("data/noise/" in key for key in plan.superfluous)
    own.upload(target, **options)
    again = MODO.open(target, **options)
    assert again.checksum() == own.checksum() and again.find_problems() == []
    again.add_track("from afar", TRUTH["points"])
    again.mask_track("from afar", Condition("lt", 0.5))
    assert MODO.open(target, **options).genome.track("from afar").total.min >= 0.5


def test_requests_from_afar(folder, stack, tmp_path, monkeypatch):
    """1 kb and 1 Mb of three tracks: an index and a piece of data each; once the list of digests of a shard with many parts."""
    options = {"endpoint": stack.endpoint, "s3_kwargs": CREDENTIALS}
    remote = MODO.open(folder / "ex").upload(f"s3://{BUCKET}/requests-{tmp_path.name}", **options)
    monkeypatch.setattr("modos.tracks.sharded._SMALL", 0)
    genome = remote.genome
    asked = []
    original = type(remote.storage).read_part
    monkeypatch.setattr(
        type(remote.storage),
        "read_part",
        lambda self, key, start, end, **k: asked.append(key) or original(self, key, start, end, **k),
    )
    np.testing.assert_array_equal(genome["chr1"][5000:6000], whole("chr1")[5000:6000])
    assert [key.endswith("/parts") for key in asked].count(True) == 1 and len(asked) == 7
    asked.clear()
    np.testing.assert_array_equal(genome["chr1"][:], whole("chr1"))
    assert len(asked) <= 3  # what was not there yet, in one piece for each track
    asked.clear()
    genome["chr1"][5000:6000]
    assert asked == []


def test_dask_computes_it_elsewhere(folder):
    modo = MODO.open(folder / "ex")
    dataset = modo.genome.to_xarray(["chr1", "chr2"])
    assert dataset["chr1"].shape == (70_000, 3) and list(dataset["track"].values) == list(TRUTH)
    np.testing.assert_array_equal(dataset["chr2"].sel(track="steps").values, TRUTH["steps"]["chr2"])
    assert float(dataset["chr1"].sel(track="steps").mean().compute()) == pytest.approx(TRUTH["steps"]["chr1"].mean(), rel=1e-5)
    found = dataset["chr1"].sel(track="noise").max().compute(scheduler="processes", num_workers=1)
    assert float(found) == np.nanmax(TRUTH["noise"]["chr1"])
    assert len(pickle.dumps(modo.genome._reopen)) < 2000


def test_a_genome_from_agp_sizes_and_reports(tmp_path):
    (tmp_path / "a.agp").write_text(
        "# AGP\nc1\t1\t500\t1\tW\tx\t1\t500\t+\nc1\t501\t900\t2\tF\ty\t1\t400\t+\nc1\t901\t1000\t3\tN\t100\tscaffold\tyes\tna\n"
        "c1\t1001\t1500\t4\tW\tz\t1\t500\t-\nc2\t1\t50\t1\tU\t50\tcontig\tno\tna\nc2\t51\t80\t2\tW\tq\t1\t30\t+\n"
    )
    modo = MODO.create(tmp_path / "ex")
    modo.add_genome(agp=tmp_path / "a.agp", id="agp")
    genome = modo.open_genome("agp")
    assert [(s.start, s.end) for s in genome["c1"]] == [(0, 900), (1000, 1500)] and [(s.start, s.end) for s in genome["c2"]] == [
        (50, 80)
    ]
    (tmp_path / "sizes").write_text("CM1.1\t300\nKI2.1\t20\nMT9.1\t10\n")
    (tmp_path / "report.txt").write_text(
        "# Assembly name: x\r\n# Sequence-Name\tSequence-Role\tAssigned-Molecule\tAssigned-Molecule-Location/Type\tGenBank-Accn\tRelationship\tRefSeq-Accn\t"
        "Assembly-Unit\tSequence-Length\tUCSC-style-name\r\n1\tassembled-molecule\t1\tChromosome\tCM1.1\t=\tNC_1.1\tPrimary\t300\tchr1\r\n"
        "HSCHR1_1\tunlocalized-scaffold\t1\tChromosome\tKI2.1\t=\tNT_2.1\tPrimary\t20\tchr1_KI2v1_random\r\nMT\tassembled-molecule\tMT\t"
        "Mitochondrion\tMT9.1\t=\tna\tnon-nuclear\t10\tna\r\n"
    )
    modo.add_genome(sizes=tmp_path / "sizes", assembly_report=tmp_path / "report.txt", id="ucsc")
    contigs = modo.open_genome("ucsc").contigs
    assert list(contigs) == ["chr1", "chr1_KI2v1_random", "MT"]
    assert {contigs[alias].name for alias in ("1", "CM1.1", "NC_1.1", "chr1")} == {"chr1"} and contigs["MT9.1"].name == "MT"
    modo.add_genome(sizes=tmp_path / "sizes", assembly_report=tmp_path / "report.txt", name_style="RefSeq-Accn", id="refseq")
    assert list(modo.open_genome("refseq").contigs) == ["NC_1.1", "NT_2.1", "MT"]
    (tmp_path / "map").write_text("CM1.1\tone\nKI2.1\ttwo\n")
    modo.add_genome(sizes=tmp_path / "sizes", chromosome_map=tmp_path / "map", id="mapped")
    assert list(modo.open_genome("mapped").contigs) == ["one", "two", "MT9.1"]
    modo.add_track("t", {"CM1.1": np.arange(300)}, "mapped")
    assert modo.open_genome("mapped")["one"][299, "t"] == 299
    with pytest.raises(InvalidInputError, match="several genomes"):
        modo.genome
    for options, error in (
        ({"sizes": tmp_path / "none"}, NotFoundError),
        ({}, InvalidInputError),
        ({"fasta": "*.nothing"}, NotFoundError),
        ({"sizes": tmp_path / "report.txt"}, InvalidInputError),
        ({"agp": tmp_path / "sizes"}, InvalidInputError),
        ({"sizes": tmp_path / "sizes", "chromosome_map": tmp_path / "a.agp"}, InvalidInputError),
        ({"sizes": tmp_path / "sizes", "assembly_report": tmp_path / "map"}, InvalidInputError),
        ({"sizes": tmp_path / "sizes", "assembly_report": tmp_path / "report.txt", "name_style": "x"}, InvalidInputError),
    ):
        with pytest.raises(error):
            modo.add_genome(**options, id="new")
    with pytest.raises(AlreadyExistsError):
        modo.add_genome(sizes=tmp_path / "sizes", id="agp")
    assert modo.find_problems() == []


def test_a_reference_of_the_object_becomes_a_genome(tmp_path, folder, stack):
    modo = MODO.create(tmp_path / "ex")
    modo.add_element({"id": "hg", "@type": "ReferenceGenome"}, folder / "genome.fa")
    before = modo.metadata["reference/hg"]
    assert modo.add_genome(reference="hg") == "reference/hg"
    assert modo.metadata["reference/hg"] == before and (modo.genome["chr2"].seq[:] == BASES["chr2"]).all()
    assert modo.find_problems() == []
    options = {"services": {"s3": stack.s3}, "s3_kwargs": CREDENTIALS}
    remote = MODO.create(f"s3://{BUCKET}/fasta-{tmp_path.name}", **options)
    remote.add_element({"id": "hg", "@type": "ReferenceGenome"}, folder / "genome.fa")
    remote.add_genome(reference="hg", id="own")
    assert (remote.genome["chr2"].seq[5:5000] == BASES["chr2"][5:5000]).all()
    with pytest.raises(NotFoundError, match="has no FASTA"):
        remote.add_genome(reference="own", id="again")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b"ACGT\n", "does not begin with >"),
        (b">\nAC\n", "no name"),
        (b">a\nAC1GT\n", "sequence a has"),
        (b">a\n>b\nAC\n", "sequence a is empty"),
        (b">a\nA\n>a\nC\n", "two sequences a"),
        (b"", "at least one contig"),
    ],
)
def test_what_is_no_fasta(tmp_path, text, words):
    (tmp_path / "x.fa").write_bytes(text)
    modo = MODO.create(tmp_path / "ex")
    with pytest.raises(ModosError, match=words):
        modo.add_genome(tmp_path / "x.fa")
    assert modo.find_problems() == [] and len(modo.metadata) == 1


pyBigWig = pytest.importorskip("pyBigWig")


@pytest.fixture(scope="module")
def bigwigs(tmp_path_factory):
    """The three tracks as bigWig files of pyBigWig."""
    folder = tmp_path_factory.mktemp("bw")
    for track, contigs in TRUTH.items():
        with pyBigWig.open(str(folder / f"{track}.bw"), "w") as file:
            file.addHeader(list(LENGTHS.items()))
            for name, values in contigs.items():
                at = np.flatnonzero(~np.isnan(values))
                file.addEntries([name] * len(at), at.tolist(), ends=(at + 1).tolist(), values=values[at].astype(float).tolist())
    return folder


def test_bigwig_in_and_out(modo, bigwigs, tmp_path):
    """Bit by bit what pyBigWig says, from it and to it."""
    for track in TRUTH:
        modo.add_track(f"from {track}", bigwigs / f"{track}.bw")
        genome = modo.genome
        for name, length in LENGTHS.items():
            with pyBigWig.open(str(bigwigs / f"{track}.bw")) as file:
                theirs = file.values(name, 0, length, numpy=True)
            assert are_same_values(genome[name][:, f"from {track}"].copy(), theirs.astype(np.float32))
        out = tmp_path / f"{track}.bw"
        export(genome.track(f"from {track}"), str(out))
        with pyBigWig.open(str(out)) as file:
            for name, length in LENGTHS.items():
                assert are_same_values(file.values(name, 0, length, numpy=True).astype(np.float32), TRUTH[track][name])


def test_a_bigwig_alone_is_a_genome(bigwigs):
    genome = open_bigwig(bigwigs / "noise.bw")
    assert genome.tracknames_continuous == ["noise"] and dict(genome.contigs.lengths) == LENGTHS
    np.testing.assert_array_equal(genome["chr1"][990:3010, 0], TRUTH["noise"]["chr1"][990:3010])
    np.testing.assert_array_equal(genome["chr2:1-10", "noise"], TRUTH["noise"]["chr2"][:10])
    assert genome["chr2"][5:8].shape == (3, 1) and [(s.start, s.end) for s in genome["chr1"]] == [(0, 70_000)]
    assert genome.num_datapoints.tolist() == [sum(np.count_nonzero(~np.isnan(v)) for v in TRUTH["noise"].values())]
    assert genome["chr1"].maxs[0] == np.nanmax(TRUTH["noise"]["chr1"]) and genome.track("noise").zoom("chr1", 7).shape == (4, 7)
    np.testing.assert_array_equal(
        genome.windows([("chr1", 5, 9), ("chr2", 5, 9)])[:, 0], [TRUTH["noise"]["chr1"][5:9], TRUTH["noise"]["chr2"][5:9]]
    )
    assert genome.to_xarray()["chr2"].sum().compute() == pytest.approx(np.nansum(TRUTH["noise"]["chr2"]), rel=1e-4)
    with pytest.raises(InvalidInputError, match="only be read"):
        genome["chr1"][0:2, 0] = 1
    with pytest.raises(NotFoundError):
        open_bigwig(bigwigs / "none.bw")


def test_bigwigs_that_cannot_be_taken(modo, bigwigs, tmp_path):
    whole_file = (bigwigs / "noise.bw").read_bytes()
    for number, data in enumerate((whole_file[:50], whole_file[: len(whole_file) // 2], whole_file[:4] + bytes(400))):
        (tmp_path / f"{number}.bw").write_bytes(data)
        with pytest.raises(ModosError):
            modo.add_track("new", tmp_path / f"{number}.bw")
    with pyBigWig.open(str(tmp_path / "other.bw"), "w") as file:
        file.addHeader([("chr1", 10**6)])
        file.addEntries("chr1", [500_000], values=[1.0], span=1)
    with pytest.raises(InvalidInputError, match="past the end of chr1"):
        modo.add_track("new", tmp_path / "other.bw")
    assert modo.find_problems() == [] and modo.genome.tracknames_continuous == ["steps"]


@pytest.mark.sweep(2)
@pytest.mark.parametrize("ending", ["bedGraph", "bedGraph.gz", "wig", "wig.gz"])
def test_text_out_and_in_again(folder, modo, tmp_path, ending):
    for track in TRUTH:
        path = tmp_path / f"{track}.{ending}"
        export(MODO.open(folder / "ex").genome.track(track), str(path))
        modo.add_track(f"again {track}", path)
        for name in LENGTHS:
            assert are_same_values(modo.genome[name][:, f"again {track}"].copy(), TRUTH[track][name])
        with pytest.raises(AlreadyExistsError):
            export(modo.genome.track("steps"), str(path))


def test_a_part_is_exported(folder, tmp_path):
    track = MODO.open(folder / "ex").genome.track("steps")
    export(track, str(tmp_path / "x.bedGraph"), regions=[Region("chr2", 20, 130), Region("chr1", 5, 7)])
    rows = [line.split("\t") for line in (tmp_path / "x.bedGraph").read_text().splitlines()]
    assert rows[0][:3] == ["chr2", "20", "50"] or rows[0][1] == "20"
    assert {row[0] for row in rows} == {"chr1", "chr2"} and min(int(r[1]) for r in rows if r[0] == "chr1") == 5
    for wrong in ("x.txt", str(tmp_path / "none" / "x.bw")):
        with pytest.raises(ModosError):
            export(track, wrong)
    with pytest.raises(InvalidInputError, match="no values there"):
        export(MODO.open(folder / "ex").genome.track("noise"), str(tmp_path / "e.bw"), regions=[Region("chr1", 1500, 1600)])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["x.bedGraph"]


# --- against Genomedata itself, where it is installed and works ---


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    pytest.importorskip("genomedata")
    folder = tmp_path_factory.mktemp("gd")
    rng = np.random.default_rng(2)
    bases = {
        "chr1": rng.choice(list(b"ACGT"), 30_000),
        "chr2": np.concatenate([rng.choice(list(b"ACGT"), 5000), np.full(110_000, 78), rng.choice(list(b"acgt"), 7000)]),
    }
    write_fasta(folder / "g.fa", {name: b.astype(np.uint8) for name, b in bases.items()}, note="")
    dense = [
        "fixedStep chrom=chr1 start=101",
        *(f"{v:.3f}" for v in rng.normal(size=20_000)),
        "fixedStep chrom=chr2 start=115001 step=1",
        *(f"{v:.3f}" for v in rng.normal(size=7000)),
    ]
    (folder / "dense.wigFix").write_text("\n".join(dense) + "\n")
    starts = np.unique(rng.integers(0, 4900, 400))
    (folder / "peaks.bedGraph").write_text(
        "".join(f"chr2\t{a}\t{b}\t{v}\n" for a, b, v in zip(starts, starts[1:], rng.random(len(starts))))
    )
    points = np.unique(rng.integers(1, 29_000, 500))
    (folder / "points.wigVar").write_text("variableStep chrom=chr1 span=1\n" + "".join(f"{p} {p / 7:.5f}\n" for p in points))
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONUNBUFFERED"}
    tools = os.path.dirname(sys.executable)
    shim = folder / "bin"
    shim.mkdir()
    (shim / "h5repack").write_text('#!/bin/sh\nfor last; do :; done\neval "from=\\${$(($#-1))}"\ncp "$from" "$last"\n')
    (shim / "h5repack").chmod(0o755)
    environment["PATH"] = f"{tools}:{environment['PATH']}:{shim}"
    load = subprocess.run(
        [
            f"{tools}/genomedata-load",
            "-s",
            "g.fa",
            "-t",
            "dense=dense.wigFix",
            "-t",
            "peaks=peaks.bedGraph",
            "-t",
            "points=points.wigVar",
            "a.genomedata",
        ],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert load.returncode == 0, load.stderr
    return folder


@pytest.fixture(scope="module")
def ours(archive):
    modo = MODO.create(archive / "ours")
    modo.add_genome(archive / "g.fa")
    with modo.track_changes() as tracks:
        for name, ending in (("dense", "wigFix"), ("peaks", "bedGraph"), ("points", "wigVar")):
            tracks.add(name, archive / f"{name}.{ending}")
    return modo


def opened_by_genomedata(archive):
    import genomedata

    warnings.simplefilter("ignore")
    return genomedata.Genome(str(archive / "a.genomedata"))


@pytest.mark.sweep(0)
def test_values_bases_and_stretches_are_the_same(archive, ours):
    genome = ours.genome
    with opened_by_genomedata(archive) as theirs:
        assert theirs.tracknames_continuous == genome.tracknames_continuous
        for name in ("chr1", "chr2"):
            assert [(s.start, s.end) for s in theirs[name]] == [(s.start, s.end) for s in genome[name]]
            length = genome[name].end
            got, wanted = genome[name][0:length], theirs[name][0:length]
            assert are_same_values(np.ascontiguousarray(got), np.ascontiguousarray(wanted))
            for supercontig, own in zip(theirs[name], genome[name]):
                assert bytes(np.asarray(supercontig.seq[:])).upper() == bytes(own.seq).upper()
            for key in ((slice(999, 1001), slice(0, 3)), (5000, 1), (slice(0, 5), "points")):
                np.testing.assert_array_equal(genome[name][key], theirs[name][key])
        np.testing.assert_array_equal(theirs.num_datapoints, genome.num_datapoints)
        np.testing.assert_allclose(theirs.sums, genome.sums, rtol=1e-4)
        np.testing.assert_allclose(theirs.mins, genome.mins, rtol=1e-6)
        np.testing.assert_allclose(theirs.maxs, genome.maxs, rtol=1e-6)


@pytest.mark.sweep(0)
def test_an_archive_is_brought_in(archive, ours, tmp_path):
    modo = MODO.create(tmp_path / "imported")
    assert modo.import_genomedata(archive / "a.genomedata") == ["dense", "peaks", "points"]
    for name in ("chr1", "chr2"):
        assert are_same_values(np.ascontiguousarray(modo.genome[name][:]), np.ascontiguousarray(ours.genome[name][:]))
        assert [(s.start, s.end) for s in modo.genome[name]] == [(s.start, s.end) for s in ours.genome[name]]
        known = ours.genome[name].seq[:]
        assert bytes(modo.genome[name].seq[:]).upper() == bytes(known).upper()
    assert modo.find_problems() == []
    with pytest.raises(ModosError):
        modo.import_genomedata(archive / "a.genomedata")
    for wrong in (archive / "g.fa", archive / "none", tmp_path):
        with pytest.raises(ModosError):
            MODO.create(tmp_path / f"x{wrong.name}").import_genomedata(wrong)


@pytest.mark.sweep(0)
def test_an_archive_of_a_folder(archive, tmp_path):
    """Format 0: a file for each chromosome, the tracks' names in each."""
    import h5py

    folder = tmp_path / "old.genomedata"
    folder.mkdir()
    with h5py.File(archive / "a.genomedata") as source:
        for name, group in source.items():
            with h5py.File(folder / f"{name}.genomedata", "w") as target:
                for key in group:
                    group.copy(key, target)
                for key, value in group.attrs.items():
                    if key in ("start", "end"):
                        target.attrs[key] = value
                target.attrs["tracknames"] = source.attrs["tracknames"]
    modo = MODO.create(tmp_path / "ex")
    modo.import_genomedata(folder)
    with opened_by_genomedata(archive) as theirs:
        np.testing.assert_array_equal(modo.genome["chr1"][:], theirs["chr1"][0:30_000])


def test_metadata_of_a_genome_is_readable_json(folder):
    root = json.loads((folder / "ex/data.zarr/zarr.json").read_text())
    node = root["consolidated_metadata"]["metadata"]["reference/genome/genome"]
    assert node["attributes"]["contigs"] == list(LENGTHS) and node["attributes"]["lengths"] == list(LENGTHS.values())
