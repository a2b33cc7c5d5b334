"""A track is what was put in: values, windows, zoom levels and statistics against plain arrays, however it is kept."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modos.errors import InvalidInputError, RegionError
from modos.genomics.region import Region
from modos.storage import open_storage
from modos.storage.write_log import WriteLog
from modos.tracks import build as building
from modos.tracks.arrays import Names
from modos.tracks.build import TrackBuilder
from modos.tracks.contigs import CHUNK, GRAIN, SHARD, Contigs
from modos.tracks.data import Block, Runs, Values
from modos.tracks.dense import iter_windows
from modos.tracks.packing import are_same_values
from modos.tracks.runs import blank, complement, expand, expand_windows, intersection, join_runs, restrict, to_runs, union
from modos.tracks.sharded import Reader, ShardedArray
from modos.tracks.stored_track import StoredTrack
from modos.tracks.zooms import cover, read_levels
from tests.support.sampling import most

LENGTHS = {"big": 150_000, "c2": 40_000, "s1": 700, "s2": 1500, "s3": 30}


def block(data):
    return Block(data, lambda number: f"value {number}")


def build(folder, contigs, blocks):
    storage = open_storage(folder)
    builder = TrackBuilder(WriteLog(storage), contigs, Names("data/t"))
    for one in blocks:
        builder.check(block(one))
        builder.add(block(one))
    specs = builder.finish()
    found = {spec.path.rpartition("/")[2].partition("-")[0]: ShardedArray(Reader(storage, 1 << 24), spec) for spec in specs}
    return StoredTrack("t", "data/t", contigs, found.get("values") or found["runs"], found["zoom"], found["statistics"], None)


def check(track, truth):
    """Everything that a track says is what the arrays say."""
    for name, wanted in truth.items():
        assert are_same_values(track.values(Region(name)), wanted), name
        present = wanted[~np.isnan(wanted)].astype(np.float64)
        found = track.statistics().get(name)
        if not len(present):
            assert found is None
            continue
        for summary in (found, track.scan(name)):
            assert summary.n == len(present) and (summary.min, summary.max) == (present.min(), present.max())
            np.testing.assert_allclose(
                [summary.sum, summary.sum_squares], [present.sum(), present @ present], rtol=1e-12, atol=1e-9
            )


def check_parts(track, truth, random):
    for name, wanted in truth.items():
        for _ in range(12):
            start, end = sorted(random.integers(0, len(wanted) + 1, 2).tolist())
            if start == end:
                continue
            part, region = wanted[start:end], Region(name, start, end)
            assert are_same_values(track.values(region), part)
            present = part[~np.isnan(part)].astype(np.float64)
            summary = track.summary(region)
            assert summary.n == len(present)
            np.testing.assert_allclose(summary.sum, present.sum(), rtol=1e-12, atol=1e-9)
            assert not len(present) or (summary.min, summary.max) == (present.min(), present.max())
            bins = int(random.integers(1, 40))
            borders = start + np.arange(bins + 1) * (end - start) // bins
            n, mean, low, high = track.zoom(region, bins)
            if (end - start) / bins <= 4 * GRAIN:  # exact there
                for number, (a, b) in enumerate(itertools.pairwise(borders)):
                    piece = wanted[a:b][~np.isnan(wanted[a:b])].astype(np.float64)
                    assert n[number] == len(piece)
                    if len(piece):
                        np.testing.assert_allclose(
                            [mean[number], low[number], high[number]],
                            [piece.mean(), piece.min(), piece.max()],
                            rtol=1e-12,
                            atol=1e-12,
                        )
                    else:
                        assert np.isnan([mean[number], low[number], high[number]]).all()


def as_blocks(name, values, random, form):
    """An array as blocks of values or runs, cut at random."""
    cuts = sorted({0, len(values), *random.integers(0, len(values) + 1, 4).tolist()})
    for start, end in itertools.pairwise(cuts):
        piece = Values(name, start, values[start:end])
        if form == "values":
            yield piece
        else:
            runs = to_runs(piece)
            if len(runs.starts):
                yield runs


KINDS = {
    "noise": lambda random, n: random.normal(size=n).round(3),
    "floats": lambda random, n: random.normal(size=n),
    "steps": lambda random, n: np.repeat(random.integers(0, 50, n // 40 + 1), 40)[:n],
    "points": lambda random, n: np.where(random.random(n) < 0.01, random.random(n).round(2), np.nan),
    "gaps": lambda random, n: np.where(
        np.repeat(random.random(n // 500 + 1), 500)[:n] < 0.5, random.normal(size=n).round(1), np.nan
    ),
    "negative zeros": lambda random, n: np.where(random.random(n) < 0.5, -0.0, random.integers(0, 2, n)),
    "nothing": lambda random, n: np.full(n, np.nan),
    "almost nothing": lambda random, n: np.where(np.arange(n) == n // 2, 7.0, np.nan),
}


@pytest.mark.sweep(4)
@pytest.mark.parametrize("form", ["values", "runs"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_track_is_what_was_put_in(tmp_path, kind, form):
    random = np.random.default_rng(len(kind))
    truth = {name: KINDS[kind](random, length).astype(np.float32) for name, length in LENGTHS.items()}
    order = ["c2", "s3", "big", "s1", "s2"]  # not that of the genome
    track = build(tmp_path, Contigs(LENGTHS), [b for name in order for b in as_blocks(name, truth[name], random, form)])
    check(track, truth)
    check_parts(track, truth, random)
    if kind in ("noise", "floats", "nothing"):
        assert track.is_runs == (kind == "nothing")
    assert are_same_values(np.concatenate([part.values for part in track.iter_values("big")]), truth["big"])
    again = build(tmp_path / "again", Contigs(LENGTHS), track.iter_data())
    check(again, truth)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32), st.sampled_from(["values", "runs"]), st.sampled_from(sorted(KINDS)), st.sampled_from(sorted(KINDS)))
def test_windows_are_slices(tmp_path_factory, seed, form, kind, other):
    random = np.random.default_rng(seed)
    truth = {"big": KINDS[kind](random, 100_000).astype(np.float32), "c2": KINDS[other](random, 35_000).astype(np.float32)}
    contigs = Contigs({name: len(values) for name, values in truth.items()})
    track = build(
        tmp_path_factory.mktemp("w"), contigs, [b for name in truth for b in as_blocks(name, truth[name], random, form)]
    )
    check(track, truth)
    width = int(random.integers(1, 34_000))
    names = random.choice(["big", "c2"], 9).tolist()
    starts = np.array([random.integers(0, len(truth[name]) - width + 1) for name in names])
    out = np.empty((len(names), width), np.float32)
    track.fill_windows(out, names, starts)
    for row, name, start in zip(out, names, starts):
        assert are_same_values(row.copy(), truth[name][start : start + width])


def test_a_packing_that_does_not_fit_any_more_is_changed(tmp_path, monkeypatch):
    """Small integers, then decimals, then what needs a float: all that was written before is written again."""
    monkeypatch.setattr(building, "_TRIAL_BYTES", 1 << 16)
    random = np.random.default_rng(3)
    contigs = Contigs({"c": 40 * CHUNK})
    parts = [
        random.integers(0, 9, 9 * CHUNK),
        random.integers(0, 3000, 8 * CHUNK),
        random.integers(0, 99, 5 * CHUNK) / 8,
        random.normal(size=6 * CHUNK).round(4),
        random.normal(size=3 * CHUNK),
    ]
    values = np.concatenate(parts).astype(np.float32)
    at, blocks = 0, []
    while at < len(values):
        blocks.append(Values("c", at, values[at : at + 70_000]))
        at += 70_000
    for count in (8, 17, len(blocks)):
        track = build(tmp_path / str(count), contigs, blocks[:count])
        wanted = np.full(40 * CHUNK, np.nan, np.float32)
        kept = np.concatenate([one.values for one in blocks[:count]])
        wanted[: len(kept)] = kept
        check(track, {"c": wanted})
        files = list(open_storage(tmp_path / str(count)).iter_files())
        files = [file for file in files if not file.key.endswith("/parts")]
        assert len(files) == 3  # data, zoom, statistics: nothing is left of what was tried


def test_too_many_runs_become_values(tmp_path, monkeypatch):
    monkeypatch.setattr(building, "_TRIAL_BYTES", 1 << 12)
    monkeypatch.setattr(building, "_MAX_RUNS", 2000)
    values = np.full(120_000, np.nan, np.float32)
    values[::30] = np.arange(4000)
    runs = to_runs(Values("c", 0, values))
    parts = [
        runs._replace(starts=runs.starts[a : a + 100], ends=runs.ends[a : a + 100], values=runs.values[a : a + 100])
        for a in range(0, 4000, 100)
    ]
    track = build(tmp_path, Contigs({"c": 120_000}), parts)
    assert not track.is_runs
    check(track, {"c": values})


def test_runs_over_a_genome_whose_gaps_need_more_than_32_bits(tmp_path):
    contigs = Contigs({"a": 4_000_000_000, "b": 4_000_000_000, "c": 5000})
    runs = [
        Runs("a", np.array([5]), np.array([9]), np.array([1.5], np.float32)),
        Runs("c", np.array([7]), np.array([4000]), np.array([2.5], np.float32)),
    ]
    track = build(tmp_path, contigs, runs)
    assert np.isnan(track.values(Region("b", 3_999_999_000))).all()
    assert track.values(Region("a", 4, 10)).tolist()[1:-1] == [1.5] * 4
    assert np.nansum(track.values("c")) == 2.5 * 3993
    assert sum(info.size for info in open_storage(tmp_path).iter_files()) < 60_000


@pytest.mark.parametrize(
    ("first", "second", "error"),
    [
        (Values("c", 0, np.ones(10, np.float32)), Values("c", 9, np.ones(2, np.float32)), "overlap"),
        (Values("c", 50, np.ones(10, np.float32)), Values("c", 0, np.ones(2, np.float32)), "order"),
    ],
)
def test_what_cannot_be(tmp_path, first, second, error):
    builder = TrackBuilder(WriteLog(open_storage(tmp_path)), Contigs({"c": 100}), Names("data/t"))
    builder.check(block(first))
    with pytest.raises(InvalidInputError, match=error):
        builder.check(block(second))


def test_contigs_are_laid_out_and_come_back():
    contigs = Contigs(
        {"long": SHARD + 5, "long2": SHARD, "mid": CHUNK, "s1": 10, "s2": 2000, "s3": 1},
        {"long": [(0, 9), (20, SHARD)]},
        {"1": "long", "alias": "s1"},
    )
    assert contigs.offsets == [
        0,
        2 * SHARD,
        3 * SHARD,
        3 * SHARD + CHUNK,
        3 * SHARD + CHUNK + GRAIN,
        3 * SHARD + CHUNK + 3 * GRAIN,
    ]
    again = Contigs.from_attributes(contigs.to_attributes())
    assert again.to_attributes() == contigs.to_attributes() and again["1"] == contigs["long"]
    assert contigs.place("1:5-10") == (contigs["long"], 4, 10) and contigs.place("s3") == (contigs["s3"], 0, 1)
    with pytest.raises(RegionError, match="past the end"):
        contigs.place("s3:1-2")
    renamed = contigs.with_names({"long": "chrL"})
    assert renamed["long"].name == renamed["1"].name == "chrL" and renamed["chrL"].supercontigs == ((0, 9), (20, SHARD))
    for wrong in ({}, {"": 5}, {"a": 0}, {"a b": 3}, {"a": 2**32}):
        with pytest.raises(InvalidInputError):
            Contigs(wrong)


SPANS = (
    st.lists(st.integers(0, 60), unique=True, max_size=12)
    .map(sorted)
    .map(lambda b: np.array(list(zip(b[::2], b[1::2])), np.int64).reshape(-1, 2).T)
)


def mask_of(spans, length=60):
    mask = np.zeros(length, bool)
    for start, end in spans.T:
        mask[start:end] = True
    return mask


@settings(max_examples=most(150, 40), deadline=None)
@given(SPANS, SPANS, st.lists(st.sampled_from([1.0, 2.0, float("nan")]), min_size=60, max_size=60), st.data())
def test_spans_and_runs_are_what_they_are_base_by_base(left, right, numbers, data):
    assert (mask_of(union(left, right)) == (mask_of(left) | mask_of(right))).all()
    assert (mask_of(complement(left, 60)) == ~mask_of(left)).all()
    assert (mask_of(intersection(left, right)) == (mask_of(left) & mask_of(right))).all()
    values = np.array(numbers, np.float32)
    runs = to_runs(Values("c", 0, values))
    assert join_runs(runs) is not None and len(join_runs(runs).starts) == len(runs.starts)
    out = np.empty(60, np.float32)
    kept = restrict(runs, left)
    expand(kept.starts, kept.ends, kept.values, 0, 60, out)
    assert are_same_values(out, np.where(mask_of(left), values, np.nan).astype(np.float32))
    blanked = values.copy()
    blank(blanked, 0, left)
    assert are_same_values(blanked, np.where(mask_of(left), np.nan, values).astype(np.float32))
    width = data.draw(st.integers(1, 20))
    places = np.array(sorted(data.draw(st.lists(st.integers(0, 60 - width), min_size=1, max_size=6))))
    rows = expand_windows(runs.starts, runs.ends, runs.values, places, width)
    for row, place in zip(rows, places):
        assert are_same_values(row.copy(), values[place : place + width])


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32))
def test_runs_are_expanded_window_by_window(seed):
    random = np.random.default_rng(seed)
    borders = np.unique(random.integers(0, 9_000_000, 60))
    runs = Runs(
        "c",
        borders[:-1][::2],
        borders[1:][::2][: len(borders[:-1][::2])],
        random.random(len(borders[:-1][::2])).astype(np.float32),
    )
    wanted, got = np.full(9_000_000, np.nan, np.float32), np.full(9_000_000, np.nan, np.float32)
    for start, end, value in zip(*runs[1:]):
        wanted[start:end] = value
    for start, end, values in iter_windows(runs, offset=int(random.integers(0, 5)) * GRAIN):
        got[start:end] = values[: end - start]
    assert are_same_values(got, wanted)


@settings(max_examples=most(100, 30), deadline=None)
@given(st.integers(0, 300_000), st.integers(0, 300_000))
def test_a_region_is_covered_once(start, length):
    levels = read_levels({"levels": [[1024, 0, 600], [8192, 600, 75], [65536, 675, 10]]})
    covered = []
    for level, first, last in cover(start, start + length, levels):
        covered.append((first, last) if level is None else (first * level.bin, last * level.bin))
    assert [s for s, _ in covered[1:]] == [e for _, e in covered[:-1]]
    assert (not covered and not length) or (covered[0][0], covered[-1][1]) == (start, start + length)
