"""Matrices of tracks are the means of numpy."""

import shutil

import numpy as np
import pytest

from modos import open_catalog
from modos.errors import NotFoundError, PartitionError
from modos.plans import track_matrix
from tests.unit.plans.test_partition_tables import read_graph

REGIONS = ["chr1:1-120", "chr1:1001-2300", "chr1:16001-17000"]


@pytest.mark.parametrize(("statistic", "reduce"), [("mean", np.mean), ("sum", np.sum), ("max", np.max), ("n", len)])
def test_means(catalog, files, statistic, reduce):
    found = track_matrix(catalog, "signal", REGIONS, statistic=statistic)
    assert found.columns == ["region", *(f"S{n}" for n in range(6))] and found["region"].to_list() == REGIONS
    for number in range(6):
        values = read_graph(files / f"S{number}.bedGraph").astype(float)
        for place, (start, end) in enumerate([(0, 120), (1000, 2300), (16000, 17000)]):
            part = values[start:end]
            present, value = part[~np.isnan(part)], found[f"S{number}"][place]
            if len(present):
                assert value == pytest.approx(reduce(present))
            else:
                assert value == 0 if statistic in ("n", "sum") else np.isnan(value)


def test_columns_are_told_apart(cohort, tmp_path):
    shutil.copytree(cohort / "s000", tmp_path / "c" / "a")
    shutil.copytree(cohort / "s000", tmp_path / "c" / "b")
    shutil.copytree(cohort / "s001", tmp_path / "c" / "d")
    found = track_matrix(open_catalog(tmp_path / "c"), "data/signal", REGIONS[:1])
    assert found.columns == ["region", "a", "b", "S1"]


def test_what_is_not_there(catalog):
    with pytest.raises(NotFoundError, match="no object has the track other"):
        track_matrix(catalog, "other", REGIONS)
    with pytest.raises(NotFoundError, match="no object"):
        track_matrix(catalog, "x' or 'a' = 'a", REGIONS)
    with pytest.raises(PartitionError, match="chr9"):
        track_matrix(catalog, "signal", ["chr9:1-10", *REGIONS])
    left = track_matrix(catalog, "signal", ["chr9:1-10", *REGIONS], missing="skip")
    assert left["S0"][0] is None and left["S0"][1] is not None
