"""A partition goes to other processes, and reads what was planned for or says what is another now."""

import multiprocessing
import pickle
import shutil
from concurrent.futures import ProcessPoolExecutor

import pysam
import pytest

from modos import Region, open_catalog
from modos.api import MODO
from modos.errors import ConflictError, InvalidInputError, NotFoundError, PartitionError
from modos.plans.partition import Version
from tests.support.cohort import brute_depth, write_reads


@pytest.fixture
def own(cohort, tmp_path):
    """A copy of two objects, to be changed."""
    for name in ("s000", "s001"):
        shutil.copytree(cohort / name, tmp_path / "own" / name)
    return tmp_path / "own"


def read(partition):
    return partition.to_arrow()


@pytest.mark.parametrize("kind", ["coverage", "tracks"])
def test_it_reads_the_same_in_another_process(catalog, kind):
    plan = catalog.scan(kind, ["chr1:1-1000", "chr1:2001-4000"], bins=None)
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        tables = list(pool.map(read, plan[:4]))
        whole = pool.submit(len, plan).result()
    assert [table.equals(partition.to_arrow()) for table, partition in zip(tables, plan)] == [True] * 4 and whole == 12


def test_a_pickle_is_small_and_the_same_again(catalog):
    plan = catalog.scan("coverage", [f"chr1:{at}-{at + 9}" for at in range(1, 1000, 10)])
    partition = plan[150]
    assert pickle.loads(pickle.dumps(partition)) == partition and len(pickle.dumps(partition)) < 1000
    again = pickle.loads(pickle.dumps(plan))
    assert list(again) == list(plan) and len(pickle.dumps(plan)) < 20_000
    assert list(pickle.loads(pickle.dumps(plan[100:103]))) == list(plan)[100:103]


def test_a_changed_file_is_an_error_that_names_it(own, tmp_path):
    plan = open_catalog(own).scan("coverage", "chr1:1-500")
    assert plan.to_arrow().num_rows == 2
    import random

    write_reads(tmp_path / "other.bam", "S1", random.Random(99))
    MODO(own / "s001").update_element("data/reads", {}, tmp_path / "other.bam")
    with pytest.raises(
        PartitionError, match=r"1 of 2 .*s001 data/reads chr1:1-500: data/reads of .*s001 was changed.*data_"
    ) as raised:
        plan.to_arrow()
    ((name, error),) = raised.value.failures
    assert name == "s001 data/reads chr1:1-500" and isinstance(error, ConflictError)
    assert [table and table.num_rows for table in raised.value.results] == [1, None]
    assert open_catalog(own).scan("coverage", "chr1:1-500").to_arrow().num_rows == 2


def test_a_removed_element_and_a_removed_object(own):
    plan = open_catalog(own).scan("coverage", "chr1:1-500")
    MODO(own / "s000").remove_element("data/reads")
    shutil.rmtree(own / "s001")
    with pytest.raises(PartitionError, match="2 of 2") as raised:
        plan.map(read)
    assert [type(error) for _, error in raised.value.failures] == [ConflictError, NotFoundError]


def test_other_changes_of_an_object_do_not_matter(own):
    plan = open_catalog(own).scan("coverage", "chr1:1-500")
    before = plan.to_arrow()
    MODO(own / "s000").add_element({"id": "more", "@type": "Sample"})
    MODO(own / "s000").update_element("sample/one", {"sex": "Male"})
    assert plan.to_arrow().equals(before)


def test_without_digests_the_revision_counts(own):
    modo = MODO(own / "s000")
    document = modo._document
    row = {"data_path": "a", "data_size": 1, "data_digest": None, "data_checksum": None, "revision": 3, "tag": "t"}
    version = Version.from_row(row)
    assert (version.revision, version.tag) == (3, None)
    attributes = document.element("data/reads")
    bare = Version(attributes["data_path"], attributes["data_size"], attributes["data_digest"], attributes["data_checksum"])
    known = Version(*(getattr(bare, s) for s in ("data_path", "data_size", "data_digest", "data_checksum")), revision=1)
    assert bare.find_changes(document, "data/reads") == [] and known.find_changes(document, "data/reads") == ["revision"]
    assert Version.from_row(row | {"revision": 0}).tag == "t"
    assert Version.from_row(row | {"data_digest": "d"}).revision is None


def test_a_damaged_track_or_another_array_is_an_error(catalog):
    partition = catalog.scan("tracks", "chr1:1-10")[0]
    with pytest.raises(InvalidInputError, match="is a track"):
        partition.open_file()
    reads = catalog.scan("reads", "chr1:1-10")[0]
    assert reads.open_file().format.name == "BAM"


def test_records_are_those_of_the_regions_each_once(catalog, files):
    plan = catalog.scan("reads", ["chr1:1-150", "chr1:200-300", Region("chr1", 299, 400)])
    for number, partition in enumerate(plan):
        names = [record.query_name for record in partition.iter_records()]
        with pysam.AlignmentFile(files / f"S{number}.bam") as bam:
            stretches = [(0, 150), (199, 400)]
            expected = {r.query_name for start, end in stretches for r in bam.fetch("chr1", start, end)}
        assert sorted(names) == sorted(expected) and len(names) > 10


def test_a_missing_contig_is_told_never_empty(catalog, caplog):
    for kind in ("coverage", "tracks"):
        with pytest.raises(PartitionError, match="6 of 12 .*no contig 1") as raised:
            catalog.scan(kind, ["chr1:1-100", "1:1-100"]).to_arrow()
        assert raised.value.exit_code == 3
        plan = catalog.scan(kind, ["chr1:1-100", "1:1-100"], missing="skip")
        assert plan.to_arrow().num_rows == 6
        assert [skipped.name for skipped in plan.skipped] == [
            f"s00{n} data/{'reads' if kind == 'coverage' else 'signal'} 1:1-100" for n in range(6)
        ]
        assert "left out" in caplog.text
    plan = catalog.scan("coverage", ["chr1:1-100", "1:1-100"], missing="skip", together=True)
    assert plan.to_arrow().num_rows == 6 and len(plan.skipped) == 6


def test_what_is_missing_besides_contigs_stays_an_error(own):
    plan = open_catalog(own).scan("coverage", ["1:1-100"], missing="skip", where="object = 's000'")
    (own / "s000" / "S0.bam").unlink()
    with pytest.raises(PartitionError, match="1 of 1"):
        plan.to_arrow()


def test_settling_finds_out_before(catalog, files):
    plan = catalog.scan("coverage", ["chr1:1-100", "nochr:1-100"], missing="skip").settle()
    assert len(plan) == 6 and len(plan.skipped) == 6
    assert plan.to_polars()["bases"].to_list() == [int(brute_depth(files / f"S{n}.bam", "chr1", 0, 100).sum()) for n in range(6)]


def test_what_was_settled_is_an_error_where_it_is_missing_later(catalog):
    plan = catalog.scan("coverage", ["chr1:1-100", "nochr:1-100"], missing="skip").settle()
    assert not plan[0].reading.skips_missing
