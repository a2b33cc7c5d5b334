"""A plan gives the same on a cluster of Dask as in threads, also where a worker is killed halfway and files are encrypted."""

import os
import signal
import threading
import time

import polars as pl
import pytest

from modos import open_catalog
from modos.api import MODO
from modos.encryption.keys import generate
from modos.errors import AccessError, InvalidInputError, PartitionError
from modos.plans import allele_counts, panel_completeness, track_matrix
from tests.support.cohort import make_cohort
from tests.support.waiting import wait_until

distributed = pytest.importorskip("distributed", reason="a cluster needs distributed, which the extra `cluster` installs")


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return make_cohort(tmp_path_factory.mktemp("cohort"), 6)


@pytest.fixture(scope="module")
def catalog(place):
    return open_catalog(place)


@pytest.fixture(scope="module")
def sealed(tmp_path_factory):
    """A cohort whose files are all encrypted, and the path of the key."""
    folder = tmp_path_factory.mktemp("sealed")
    place = make_cohort(folder, 3)
    public = generate(folder / "me.sec", folder / "me.pub", None)
    for path in sorted(place.iterdir()):
        MODO(path).encrypt([public])
    return open_catalog(place), str(folder / "me.sec")


@pytest.fixture(scope="module")
def client():
    with (
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None, silence_logs="CRITICAL"
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        yield client


def slowly(partition):
    time.sleep(0.02)
    return partition.to_arrow()


def where_it_runs(partition):
    return os.getpid()


def kill_one_soon(client, seconds=0.3):
    pid = next(iter(client.run(os.getpid).values()))
    threading.Timer(seconds, os.kill, (pid, signal.SIGKILL)).start()
    return pid


@pytest.mark.parametrize("kind", ["reads", "variants", "coverage", "tracks"])
def test_tables_are_the_same(catalog, client, kind):
    plan = catalog.scan(kind, ["chr1:1-3000", "chr1:4001-9000"])
    assert plan.to_arrow(client=client).equals(plan.to_arrow())
    pids = plan.map(where_it_runs, client, group=1)
    assert len(pids) == len(plan) and os.getpid() not in pids and len(set(pids)) == 2


def test_questions_are_the_same(catalog, client):
    regions = ["chr1:1-3000", "chr2:1-700"]
    for ask, given in (
        (panel_completeness, {"regions": regions}),
        (allele_counts, {"regions": "chr1", "group": "sex", "allele_number": "depth"}),
        (track_matrix, {"track": "signal", "regions": regions}),
    ):
        assert ask(catalog, client=client, **given).equals(ask(catalog, **given), null_equal=True)


def test_a_worker_killed_halfway_changes_nothing(catalog, client):
    plan = catalog.scan("coverage", [f"chr1:{at}-{at + 99}" for at in range(1, 3001, 100)])
    expected = plan.to_arrow()
    killed = kill_one_soon(client)
    tables = plan.map(slowly, client, group=200_000)
    assert [table.num_rows for table in tables] == [1] * 180
    import pyarrow as pa

    assert pa.concat_tables(tables).equals(expected)
    wait_until(lambda: killed not in client.run(os.getpid, on_error="ignore").values())
    total = plan.reduce(lambda a, b: a + b, 0, each=count_bases, client=client)
    assert total == sum(expected["bases"].to_pylist())


def count_bases(partition):
    return partition.to_arrow()["bases"][0].as_py()


@pytest.mark.parametrize("kind", ["reads", "variants", "coverage", "tracks"])
def test_encrypted_files_with_the_path_of_a_key(sealed, place, catalog, client, kind):
    plain = catalog.scan(kind, "chr1:1-3000", where="object < 's003'").to_arrow()
    locked, key = sealed
    plan = locked.scan(kind, "chr1:1-3000", secret_key=key)
    with_key = plan.to_arrow(client=client)
    assert with_key.equals(plain) and with_key.num_rows >= 3
    if kind == "coverage":
        kill_one_soon(client, 0.1)
        assert locked.scan(kind, [f"chr1:{at}-{at + 9}" for at in range(1, 500, 10)], secret_key=key).map(
            slowly, client, group=1
        )[-1]
    with pytest.raises(PartitionError, match=r"3 of 3 .*is encrypted") as raised:
        locked.scan(kind, "chr1:1-3000").to_arrow(client=client)
    assert raised.value.exit_code == AccessError.exit_code


def break_some(partition):
    if partition.name.startswith("s002"):
        raise ValueError(f"cannot do {partition.name}")
    return partition.name


def kill_itself(partition):
    if partition.name.startswith("s001"):
        os.kill(os.getpid(), signal.SIGKILL)
    return partition.name


def test_failures_on_a_cluster_are_named(catalog, client):
    plan = catalog.scan("coverage", ["chr1:1-100", "chr2:1-100"])
    with pytest.raises(PartitionError, match=r"2 of 12 .*s002 data/reads chr1:1-100: ValueError") as raised:
        plan.map(break_some, client)
    assert [result is None for result in raised.value.results] == [p.file.object == "s002" for p in plan]
    with pytest.raises(PartitionError, match="6 of 12 .*no contig none"):
        catalog.scan("coverage", ["chr1:1-100", "none:1-5"]).map(where_it_runs_not, client)


def where_it_runs_not(partition):
    return partition.to_arrow().num_rows


def test_what_kills_each_worker_is_named_in_the_end(catalog, client):
    plan = catalog.scan("coverage", "chr1:1-100")
    with pytest.raises(PartitionError, match="1 of 6 .*s001 data/reads chr1:1-100") as raised:
        plan.map(kill_itself, client, group=1)
    assert raised.value.results == [None if p.file.object == "s001" else p.name for p in plan]


def test_regions_that_are_left_out_are_told(catalog, client):
    plan = catalog.scan("coverage", ["chr1:1-100", "none:1-5"], missing="skip")
    assert plan.to_arrow(client=client).num_rows == 6 and len(plan.skipped) == 6


def test_dataframes_of_dask(catalog, client):
    plan = catalog.scan("coverage", ["chr1:1-100", "chr2:1-100", "none:1-5"], missing="skip")
    frame = plan.to_dask(group=100_000)
    assert len(plan.skipped) == 6 and frame.npartitions > 1
    expected = catalog.scan("coverage", ["chr1:1-100", "chr2:1-100"]).to_polars()
    computed = frame.compute()
    assert computed["mean_depth"].tolist() == expected["mean_depth"].to_list()
    means = frame.groupby("sample").mean_depth.mean().compute()
    for sample, mean in expected.group_by("sample").agg(pl.col("mean_depth").mean()).rows():
        assert means[sample] == pytest.approx(mean)
    variants = catalog.scan("variants", "chr1").to_dask().compute()
    assert len(variants) == catalog.scan("variants", "chr1").to_arrow().num_rows


def test_delayed_objects_of_dask(catalog, client):
    import dask

    plan = catalog.scan("reads", "chr1:1-500")
    tables = dask.compute(*plan.to_dask(delayed=True))
    assert [table.num_rows for table in tables] == [table.num_rows for table in plan.iter_arrow()]


def test_columns_of_reads_have_to_be_named_for_a_dataframe(catalog):
    with pytest.raises(InvalidInputError, match="say which columns"):
        catalog.scan("reads", "chr1:1-500").to_dask()
    frame = catalog.scan("reads", "chr1:1-500", columns=["qname", "pos", "RG"]).to_dask().compute()
    assert list(frame.columns) == ["object", "element", "sample", "qname", "pos", "RG"] and len(frame) > 100
