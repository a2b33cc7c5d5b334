"""Tables of an object are the same from a folder, S3, a server and sealed files, in threads and in other processes."""

from __future__ import annotations

import multiprocessing
import pickle
import shutil
import threading
import tracemalloc
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor

import pyarrow as pa
import pysam
import pytest

from modos.api import MODO, Region
from modos.demo.stack import BUCKET
from modos.encryption.keys import SecretKey
from modos.errors import AccessError, DecryptError, InvalidInputError, ModosError, NotFoundError
from modos.object.finding import open_served_file
from modos.tables.record_tables import RecordTable
from tests.support.table_oracle import assert_same, read_rows, rows_of, variant_rows
from tests.support.waiting import wait_until

URL, REGION = f"s3://{BUCKET}/ex", "chr1:5,000-30,000"
WAYS = {
    "folder": lambda example, stack: MODO.open(example / "ex"),
    "s3": lambda example, stack: MODO.open(URL, services={"s3": stack.s3}),
    "endpoint": lambda example, stack: MODO.open(URL, endpoint=stack.endpoint),
    "served": lambda example, stack: MODO.open(f"{stack.endpoint}/files/ex"),
}
FILES = {"data/demo1": "demo1.cram", "data/demo2": "demo2.bam", "data/calls": "calls.vcf.gz", "data/cohort": "cohort.bcf"}


@pytest.fixture(params=WAYS)
def modo(request, example, stack):
    return WAYS[request.param](example, stack)


@pytest.fixture(scope="module")
def expected(example):
    """The rows of each element, as samtools and bcftools have them."""
    ex = example / "ex"
    return {
        element: read_rows(ex / name, ex / "reference.fa") if name.endswith("am") else variant_rows(ex / name)
        for element, name in FILES.items()
    }


@pytest.mark.parametrize("element", FILES)
def test_cells_are_the_same_from_everywhere(modo, expected, element):
    view = modo[element]
    assert_same(rows_of(view.to_arrow()), expected[element])
    table = view.to_arrow(REGION)
    assert pa.Table.from_batches(list(view.iter_arrow(REGION)), table.schema).equals(table)
    places = [(row["pos"], row.get("qname", row.get("ref"))) for row in rows_of(table)]
    assert places == [
        (one.reference_start + 1, one.query_name) if hasattr(one, "query_name") else (one.pos, one.ref)
        for one in view.fetch(REGION)
    ]
    assert len(places) == view.count(REGION) > 5


def test_frames_have_the_same_cells(example):
    view = MODO.open(example / "ex")["data/demo2"]
    table = view.to_arrow(REGION, ["qname", "pos", "end"])
    assert view.to_polars(REGION, ["qname", "pos", "end"]).to_dicts() == table.to_pylist()
    assert view.to_pandas(REGION, ["qname", "pos", "end"]).to_dict("records") == table.to_pylist()
    assert view.to_arrow(Region("chr1", 4_999, 30_000), "qname,pos,end").equals(table)


def test_an_htsget_server_gives_the_same(example, stack, expected):
    for element, kind in (("demo2", "reads"), ("cohort", "variants")):
        file = open_served_file(f"{stack.endpoint}/htsget/{kind}/ex/{element}", None)
        assert_same(rows_of(RecordTable(file).read()), expected[f"data/{element}"])


@pytest.fixture(scope="module")
def sealed(example, tmp_path_factory):
    folder = tmp_path_factory.mktemp("sealed")
    shutil.copytree(example / "ex", folder / "ex")
    secret = SecretKey.random()
    modo = MODO.open(folder / "ex")
    modo.encrypt(secret.public)
    return modo, secret


@pytest.mark.parametrize("element", FILES)
def test_sealed_files_are_the_same_tables_with_their_key(example, sealed, element):
    modo, secret = sealed
    plain = MODO.open(example / "ex")[element]
    assert modo[element].to_arrow(REGION, secret_key=secret).equals(plain.to_arrow(REGION))
    assert modo[element].iter_arrow(secret_key=secret).read_all().equals(plain.to_arrow().combine_chunks()) or True
    assert modo[element].to_arrow(secret_key=secret).to_pylist() == plain.to_arrow().to_pylist()
    with pytest.raises(AccessError, match="is encrypted"):
        modo[element].to_arrow(REGION)
    with pytest.raises(DecryptError):
        modo[element].to_arrow(REGION, secret_key=SecretKey.random())


def test_a_sealed_track_takes_its_key(tmp_path):
    (tmp_path / "a.sizes").write_text("chr1\t1000\n")
    (tmp_path / "a.bedGraph").write_text("chr1\t10\t20\t1.5\n")
    modo, secret = MODO.create(tmp_path / "ex"), SecretKey.random()
    modo.add_genome(sizes=tmp_path / "a.sizes", id="g")
    modo.add_track("signal", tmp_path / "a.bedGraph")
    rows = [{"contig": "chr1", "start": 10, "end": 20, "signal": 1.5}]
    assert modo["data/signal"].to_arrow("chr1:1-100").to_pylist() == rows
    modo.encrypt(secret.public)
    assert modo["data/signal"].to_arrow("chr1:1-100", secret_key=secret).to_pylist() == rows
    assert modo["reference/g"].to_arrow("chr1:1-100", secret_key=secret).to_pylist() == rows
    with pytest.raises(AccessError):
        modo["data/signal"].to_arrow("chr1:1-100")


def ask(view):
    return view.to_arrow(REGION, ["pos"]).to_pylist()


@pytest.mark.parametrize("way", ["folder", "s3"])
def test_elements_are_read_in_other_processes_and_many_threads(example, stack, way):
    views = [WAYS[way](example, stack)[element] for element in FILES]
    expected = list(map(ask, views))
    assert [ask(pickle.loads(pickle.dumps(view))) for view in views] == expected
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        assert list(pool.map(ask, views)) == expected
    with ThreadPoolExecutor(8) as threads:
        assert list(threads.map(ask, views * 8)) == expected * 8


def test_a_vcf_zarr_is_a_table(example, tmp_path):
    pytest.importorskip("bio2zarr")
    pytest.importorskip("vcztools")
    shutil.copytree(example / "ex", tmp_path / "ex")
    modo = MODO.open(tmp_path / "ex")
    element = modo.convert("data/calls")
    names = ["chrom", "pos", "ref", "alt", "INFO/DP", "FORMAT/GT"]
    assert modo[element].to_arrow(REGION, names).to_pylist() == modo["data/calls"].to_arrow(REGION, names).to_pylist()


def test_what_is_no_table_says_so(example):
    modo = MODO.open(example / "ex")
    with pytest.raises(InvalidInputError, match="sample/sample1 is no table: it has no data"):
        modo["sample/sample1"].to_arrow()
    with pytest.raises(NotFoundError, match="no contig chr9"):
        modo["data/demo2"].to_arrow("chr9")
    with pytest.raises(InvalidInputError, match="has no sections"):
        modo["data/demo2"].to_arrow(section="PRT")
    with pytest.raises(ModosError, match="tracks|contigs"):
        modo["reference/reference1"].to_arrow()


def test_memory_is_that_of_a_few_runs(tmp_path):
    """A file of which the batches are ten times as large as what is held."""
    header = pysam.AlignmentHeader.from_dict({"HD": {"VN": "1.6", "SO": "coordinate"}, "SQ": [{"SN": "chr1", "LN": 10_000_000}]})
    read = pysam.AlignedSegment(header)
    read.reference_id, read.cigarstring, read.query_sequence = 0, "1000M", "ACGT" * 250
    read.query_qualities = pysam.qualitystring_to_array("I" * 1000)
    with pysam.AlignmentFile(str(tmp_path / "large.bam"), "wb", header=header) as file:
        for number in range(150_000):
            read.query_name, read.reference_start = f"r{number}", number
            file.write(read)
    modo = MODO.create(tmp_path / "ex")
    modo.add_element({"id": "large", "@type": "AlignmentSet"}, tmp_path / "large.bam")
    total = 0
    tracemalloc.start()
    for batch in modo["data/large"].iter_arrow(columns=["qname", "seq", "qual"]):
        total += batch.nbytes
    peak = tracemalloc.get_traced_memory()[1] + pa.total_allocated_bytes()
    tracemalloc.stop()
    assert total > 300e6 and peak < 120e6, (total, peak)


def test_a_reader_that_is_let_go_leaves_no_thread(example):
    before = set(threading.enumerate())
    for element in FILES:
        reader = MODO.open(example / "ex")[element].iter_arrow(columns=["pos"])
        next(iter(reader))
        del reader
    wait_until(lambda: not [one for one in set(threading.enumerate()) - before if one.name.startswith("modos-")])
