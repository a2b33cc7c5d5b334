"""A plan is made of the catalogue alone, and has each region of each file once."""

import pickle
from pathlib import Path

import pytest

from modos import Region, open_catalog
from modos.encryption.keys import SecretKey
from modos.errors import AccessError, InvalidInputError, NotFoundError, RegionError
from modos.plans.scanning import settle_regions
from modos.storage.local import LocalStorage


def test_a_partition_for_each_file_and_region(catalog):
    plan = catalog.scan("coverage", ["chr1:1-1000", Region("chr2", 0, 50)])
    assert len(plan) == 12 and plan.describe().drop("cost").rows() == [
        (f"s00{number}", "data/reads", region) for number in range(6) for region in ("chr1:1-1000", "chr2:1-50")
    ]
    assert [partition.regions for partition in plan[:2]] == [("chr1:1-1000",), (Region("chr2", 0, 50),)]
    assert plan.cost == 2 * sum(partition.file.version.data_size for partition in plan[::2])  # no more than the files have
    assert {partition.file.samples for partition in plan} == {(f"S{number}",) for number in range(6)}


def test_records_have_one_partition_for_all_regions_of_a_file(catalog):
    for kind in ("reads", "variants"):
        plan = catalog.scan(kind, ["chr1:1-1000", "chr1:1-2000"])
        assert [(p.file.object, p.regions) for p in plan] == [(f"s00{n}", ("chr1:1-1000", "chr1:1-2000")) for n in range(6)]
    assert len(catalog.scan("reads", ["chr1:1-1000", "chr1:1-2000"], together=False)) == 12
    assert len(catalog.scan("coverage", ["chr1:1-1000", "chr1:1-2000"], together=True)) == 6


def test_the_catalogue_chooses(catalog):
    assert [p.file.object for p in catalog.scan("reads", where="sample.sex = 'Male'")] == ["s001", "s003", "s005"]
    assert [p.file.element for p in catalog.scan("variants", where="object = 's002'")] == ["data/calls"]
    assert [p.file.element for p in catalog.scan("tracks", where="object = 's002'")] == ["data/signal"]
    assert len(catalog.scan("reads", where="sample.name = 'nobody'")) == 0


def test_no_file_is_opened(catalog, monkeypatch):
    def refuse(*_, **__):
        raise AssertionError("the storage is read")

    for name in ("read", "read_part", "stat"):
        monkeypatch.setattr(LocalStorage, name, refuse)
    for kind in ("reads", "coverage", "variants", "tracks"):
        assert len(catalog.scan(kind, ["chr1:1-1000"])) == 6


def test_a_slice_of_a_plan_is_a_plan(catalog):
    plan = catalog.scan("coverage", ["chr1:1-1000", "chr2"])
    assert [p.name for p in plan[3:7]] == [p.name for p in plan][3:7] and plan[-1].name == "s005 data/reads chr2"
    assert plan.choose([5, 1]).objects == ["s002", "s000"]
    with pytest.raises(IndexError):
        plan[12]


def test_a_plan_of_nothing(catalog):
    plan = catalog.scan("coverage", "chr1", where="object = 'none'")
    assert plan.to_polars().columns[:4] == ["object", "element", "sample", "contig"] and plan.map(len) == []
    assert plan.reduce(lambda a, b: a + b) is None and "0 partitions" in repr(plan)


def test_regions_of_files_and_genes(tmp_path, catalog):
    bed = tmp_path / "panel.bed"
    bed.write_text("chr1\t0\t100\tA\nchr2\t5\t10\tB\n")
    expected = (Region("chr1", 0, 100), Region("chr2", 5, 10))
    assert settle_regions(bed, None) == settle_regions(str(bed), None) == expected
    assert settle_regions("chr1:1-100", None) == ("chr1:1-100",) and settle_regions(None, None) is None
    with pytest.raises(RegionError):
        catalog.scan("reads", [])
    with pytest.raises(NotFoundError):
        catalog.scan("reads", Path("none.bed"))


@pytest.mark.parametrize(
    ("kind", "given", "told"),
    [
        ("read", {}, "did you mean reads"),
        ("coverage", {"columns": ["mean"]}, "it has contig, start"),
        ("tracks", {"columns": ["x"]}, "it has track, contig"),
        ("coverage", {"columns": "mean_depth"}, "give a list"),
        ("coverage", {"bins": 0}, "0 bins"),
        ("coverage", {"missing": "ignore"}, "'error' or 'skip'"),
        ("coverage", {"where": "nonsense = 1"}, "nonsense"),
    ],
)
def test_refusals(catalog, kind, given, told):
    with pytest.raises(InvalidInputError, match=told):
        catalog.scan(kind, "chr1", **given)


def test_a_key_is_not_part_of_a_plan(catalog, tmp_path, monkeypatch):
    with pytest.raises(AccessError, match="would be in its pickle"):
        catalog.scan("reads", "chr1", secret_key=SecretKey.random())
    monkeypatch.chdir(tmp_path)
    partition = catalog.scan("reads", "chr1", secret_key="me.sec")[0]
    assert partition.reading.secret_key == str(tmp_path / "me.sec")


def test_credentials_travel_as_references(cohort):
    catalog = open_catalog(cohort)
    for secret in ({"key": "k", "secret": "s3cr3t"}, {"client_kwargs": {"aws_session_token": "t"}}):
        plan = catalog.scan("coverage", "chr1:1-10")
        plan._find_address = lambda key, secret=secret: type(catalog.address)(f"s3://bucket/{key}", s3_kwargs=secret)
        for what in (plan, plan[0]):
            with pytest.raises(AccessError, match="in the pickle"):
                pickle.dumps(what)
    plan = catalog.scan("coverage", "chr1:1-10")
    plan._find_address = lambda key: type(catalog.address)(f"s3://bucket/{key}", s3_kwargs={"profile": "lab"})
    assert pickle.loads(pickle.dumps(plan[0])).file.address.s3_kwargs == {"profile": "lab"}
    assert pickle.loads(pickle.dumps(plan))[0] == plan[0]


def test_objects_that_the_catalogue_could_not_read_are_told(tmp_path, cohort, caplog):
    import shutil

    shutil.copytree(cohort, tmp_path / "c")
    (tmp_path / "c" / "s001" / "data.zarr" / "zarr.json").write_text("{")
    plan = open_catalog(tmp_path / "c").scan("coverage", "chr1:1-10")
    assert [problem.name for problem in plan.problems] == ["s001"] and len(plan) == 5
    assert "could not read s001" in caplog.text
