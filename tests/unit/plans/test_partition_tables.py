"""Tables of coverage and tracks are those of samtools, of brute force and of numpy."""

import random
import shutil
import subprocess

import numpy as np
import pytest

from modos import Region
from modos.plans.partition_tables import find_runs
from tests.support.cohort import CONTIGS, brute_depth

needs_samtools = pytest.mark.skipif(not shutil.which("samtools"), reason="needs samtools")


def samtools_depth(path, region):
    text = subprocess.run(["samtools", "depth", "-a", "-r", str(region), path], capture_output=True, text=True, check=True).stdout
    return np.array([int(line.split("\t")[2]) for line in text.splitlines()])


def regions(number, seed=5):
    rng = random.Random(seed)
    for _ in range(number):
        contig = rng.choice(list(CONTIGS))
        start = rng.randrange(CONTIGS[contig] - 1)
        yield Region(contig, start, rng.randrange(start + 1, min(CONTIGS[contig], start + 3000) + 1))


def expand(table, column):
    parts = [np.full(row["end"] - row["start"], row[column]) for row in table.iter_rows(named=True)]
    return np.concatenate(parts)


@needs_samtools
def test_coverage_is_that_of_samtools(catalog, files):
    chosen = list(regions(12))
    table = catalog.scan("coverage", chosen).to_polars()
    assert table.height == 72
    for row in table.iter_rows(named=True):
        region = Region(row["contig"], row["start"], row["end"])
        path = files / f"{row['sample']}.bam"
        depth = samtools_depth(path, region)
        assert (row["bases"], row["covered"]) == (depth.sum(), np.count_nonzero(depth))
        assert row["mean_depth"] == pytest.approx(depth.mean(), rel=1e-12)
        assert (depth == brute_depth(path, *region.to_tuple())).all()


def test_runs_of_depth_are_the_depth_of_each_base(catalog, files):
    chosen = list(regions(6, seed=6))
    table = catalog.scan("coverage", chosen, bins=None, where="object < 's002'").to_polars()
    for number in range(2):
        own = table.filter(object=f"s00{number}")
        expected = [brute_depth(files / f"S{number}.bam", *region.to_tuple()) for region in chosen]
        assert (expand(own, "depth") == np.concatenate(expected)).all()


def test_bins_are_equal_parts(catalog, files):
    table = catalog.scan("coverage", "chr1:101-1107", bins=10, where="object = 's003'").to_polars()
    depth = brute_depth(files / "S3.bam", "chr1", 100, 1107)
    assert table["start"].to_list() == [100 + -(-k * 1007 // 10) for k in range(10)]
    for row in table.iter_rows(named=True):
        assert row["mean_depth"] == pytest.approx(depth[row["start"] - 100 : row["end"] - 100].mean(), rel=1e-12)


@needs_samtools
def test_whole_files_split_or_not(catalog, files):
    whole = catalog.scan("coverage", where="object = 's004'").to_polars()
    assert whole.select("contig", "start", "end").rows() == [(name, 0, length) for name, length in CONTIGS.items()]
    plan = catalog.scan("coverage", bins=None, where="object = 's004'", split=2000)
    assert len(plan) > 1
    depth = np.concatenate([samtools_depth(files / "S4.bam", name) for name in CONTIGS])
    assert (expand(plan.to_polars(), "depth") == depth).all()


def read_graph(path):
    values = np.full(CONTIGS["chr1"], np.nan, np.float32)
    for line in path.read_text().splitlines():
        _, start, end, value = line.split("\t")
        values[int(start) : int(end)] = float(value)
    return values


def test_tracks_are_those_of_numpy(catalog, files):
    chosen = [region for region in regions(20, seed=7) if region.contig == "chr1"]
    table = catalog.scan("tracks", chosen).to_polars()
    for row in table.iter_rows(named=True):
        part = read_graph(files / f"{row['sample']}.bedGraph")[row["start"] : row["end"]]
        present = part[~np.isnan(part)].astype(float)
        assert row["n"] == len(present)
        if len(present):
            assert (row["mean"], row["min"], row["max"]) == (
                pytest.approx(present.mean(), rel=1e-12),
                present.min(),
                present.max(),
            )
        else:
            assert np.isnan(row["mean"])


@pytest.mark.parametrize("split", [None, 1000])
def test_runs_of_tracks_are_its_values(catalog, files, split):
    plan = catalog.scan("tracks", bins=None, where="object = 's001'", split=split)
    assert len(plan) > 1 or split is None
    values = np.full(CONTIGS["chr1"], np.nan, np.float32)
    for row in plan.to_polars().iter_rows(named=True):
        assert row["contig"] == "chr1" and row["track"] == "signal"
        values[row["start"] : row["end"]] = row["value"]
    np.testing.assert_array_equal(values, read_graph(files / "S1.bedGraph"))


def test_bins_of_tracks(catalog, files):
    values = read_graph(files / "S1.bedGraph")
    table = catalog.scan("tracks", "chr1:51-1057", bins=7, columns=["start", "end", "sum"], where="object = 's001'").to_polars()
    assert table.columns == ["object", "element", "sample", "start", "end", "sum"] and table.height == 7
    assert (table["start"][0], table["end"][-1]) == (50, 1057)
    for start, end, total in table.select("start", "end", "sum").rows():
        assert total == pytest.approx(np.nansum(values[start:end], dtype=float))


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([], []),
        ([3], [(10, 11, 3)]),
        ([1, 1, 2, 2, 1], [(10, 12, 1), (12, 14, 2), (14, 15, 1)]),
        ([np.nan, np.nan, 1, np.nan], [(10, 12, np.nan), (12, 13, 1), (13, 14, np.nan)]),
    ],
)
def test_runs(values, expected):
    found = find_runs(np.array(values, float), 10)
    np.testing.assert_array_equal(list(zip(*found)), expected)
