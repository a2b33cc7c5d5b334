"""What a user holds goes to other processes and gives the same answers there; secrets do not, nor what is under way."""

from __future__ import annotations

import inspect
import multiprocessing
import os
import pickle
import shutil
from concurrent.futures import ProcessPoolExecutor

import numpy as np
import pysam
import pytest

import modos
import modos.errors
from modos.api import MODO, Region
from modos.catalog import Catalog
from modos.demo.stack import BUCKET, CREDENTIALS
from modos.encryption.keys import generate, load_secret_key
from modos.errors import AccessError, ConflictError, InvalidInputError, ModosError, NotFoundError, SchemaError
from modos.genomics.htsget.protocol import HtsgetError
from modos.object.address import ObjectAddress
from modos.object.copying import copy_planned, plan_copy
from modos.object.finding import open_served_file
from modos.reference.adding import add_files
from modos.reference.annotation_store import add_annotation
from modos.reference.locate import open_reference, open_store
from modos.remote.services import discover
from modos.server.app import create_app
from modos.server.auth import Access
from modos.server.rules import Rule, Rules
from modos.server.run import BackgroundServer
from modos.storage import open_storage
from modos.storage.given import open_given
from modos.storage.s3 import S3Storage
from modos.storage.sts import TemporaryCredentials
from modos.storage.url import AnywhereStorage

pytestmark = pytest.mark.sweep(40)

URL, REGION = f"s3://{BUCKET}/ex", "chr1:1-20,000"
TOKEN = "a-token-of-many-letters"
WAYS = {
    "folder": lambda example, stack: MODO.open(example / "ex"),
    "s3": lambda example, stack: MODO.open(URL, services={"s3": stack.s3}),
    "endpoint": lambda example, stack: MODO.open(URL, endpoint=stack.endpoint),
    "served": lambda example, stack: MODO.open(f"{stack.endpoint}/files/ex"),
}
GFF3 = "chr1\t.\tgene\t101\t300\t.\t+\t.\tID=g1;Name=ABC1\nchr1\t.\tmRNA\t101\t300\t.\t+\t.\tID=t1;Parent=g1\n" + (
    "chr1\t.\texon\t101\t150\t.\t+\t.\tParent=t1\nchr1\t.\texon\t201\t300\t.\t+\t.\tParent=t1\n"
)


@pytest.fixture(scope="module")
def pool():
    """A process that was started anew, in another folder, and has nothing of this one."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn"), os.chdir, ("/",)) as pool:
        yield pool


@pytest.fixture
def same(pool):
    """Compare what a question to something answers here, after pickling here, and in the other process."""

    def check(thing, ask):
        expected = ask(thing)
        np.testing.assert_equal(ask(pickle.loads(pickle.dumps(thing))), expected)
        np.testing.assert_equal(pool.submit(ask, thing).result(60), expected)
        return expected

    return check


# --- questions: functions of a module, so that they can be sent ---


def ask_modo(modo):
    return modo.metadata, modo.count("demo2.bam", REGION), modo.is_remote


def ask_file(file):
    return file.count(REGION), [record.reference_start for record in file.fetch("chr1:1-9,000")], str(file.header)


def ask_variants(file):
    return [str(record) for record in file.fetch("chr1:1-9,000")]


def ask_element(element):
    return dict(element), element.file_name, element.count(REGION)


def ask_storage(storage):
    return storage.read("data.zarr/zarr.json"), storage.read_part("demo2.bam", 100, 200), storage.stat("demo2.bam")


def ask_child(storage):
    return storage.child("data.zarr").read("zarr.json")


def ask_catalog(catalog):
    return list(catalog.iter_objects()), dict(catalog.iter_metadata())


def ask_genome(genome):
    return genome["chr1"][100:300], list(genome.tracks), dict(zip(genome.contigs, (len(genome[name]) for name in genome)))


def ask_track(track):
    return track.name, track.values("chr1:101-300"), track.summary("chr1"), track.zoom("chr1", 10)


def ask_contig(contig):
    return contig[100:300]


def ask_reference(reference):
    return reference.name, reference.dna("chr1", 90, 120), reference.dna("chr2:1-20"), reference.contigs


def ask_annotation(annotation):
    return [gene.name for gene in annotation.genes], annotation.gene("ABC1").region, len(annotation.exons)


def ask_gene(gene):
    return gene.name, gene.region, [exon.region for transcript in gene.transcripts for exon in transcript.exons]


def ask_features(features):
    return [feature.region for feature in features], features.to_polars().to_dicts()


def describe(thing):
    return repr(thing)


def carry_out(plan):
    copy_planned(plan)
    return [info.key for info in plan.target.iter_files()]


# --- objects, files and elements ---


@pytest.mark.parametrize("way", WAYS)
def test_an_object_and_what_it_gives(way, example, stack, same):
    modo = WAYS[way](example, stack)
    assert same(modo, ask_modo)[0] == MODO.open(example / "ex").metadata
    same(modo.file("demo1.cram"), ask_file)
    same(modo.file("calls.vcf.gz"), ask_variants)
    same(modo["data/demo2"], ask_element)
    same(modo.storage, ask_storage)
    same(modo.storage, ask_child)
    same(modo.services, describe)


def test_addresses_regions_and_services(stack, same):
    from modos.object.address import ObjectAddress

    same(ObjectAddress(URL, services={"s3": stack.s3}, s3_kwargs={"anon": True}), describe)
    same(Region.parse("chr1:1,000-2,000"), describe)
    same(discover(stack.endpoint), describe)


def test_a_folder_is_the_same_from_wherever_a_process_is_started(example, same, monkeypatch):
    monkeypatch.chdir(example)
    modo = MODO.open("ex")
    same(modo, ask_modo)
    same(modo.storage, ask_storage)
    same(modo.file("demo1.cram", "ex/reference.fa"), ask_file)


def test_a_file_of_an_htsget_server(stack, same):
    same(open_served_file(f"{stack.endpoint}/htsget/reads/ex/demo2", None), ask_file)


def test_an_encrypted_file_with_the_path_of_a_key(example, tmp_path, monkeypatch, same):
    generate(tmp_path / "me.sec", tmp_path / "me.pub", None)
    modo = MODO.open(shutil.copytree(example / "ex", tmp_path / "ex"))
    modo.encrypt(tmp_path / "me.pub")
    monkeypatch.chdir(tmp_path)
    same(modo.file("demo2.bam", secret_key="me.sec"), ask_file)
    with pytest.raises(AccessError, match="not pickled"):
        pickle.dumps(modo.file("demo2.bam", secret_key=load_secret_key(tmp_path / "me.sec", None)))


def test_a_file_that_was_replaced_meanwhile_is_refused(example, tmp_path):
    """It is not the file that was pickled: neither its records nor those of another are given."""
    modo = MODO.open(shutil.copytree(example / "ex", tmp_path / "ex"))
    pickled = [pickle.dumps(thing) for thing in (modo.file("demo2.bam"), modo["data/demo2"])]
    pysam.view("-b", "-o", str(tmp_path / "demo2.bam"), str(tmp_path / "ex/demo2.bam"), "chr2", catch_stdout=False)
    modo.update_element("data/demo2", {}, tmp_path / "demo2.bam")
    for data in pickled:
        with pytest.raises(ConflictError, match="changed or removed"):
            pickle.loads(data).count(REGION)


# --- catalogs, plans ---


@pytest.mark.parametrize("place", ["folder", "s3"])
def test_a_catalog(place, example, stack, same):
    storage = open_storage(example) if place == "folder" else open_storage(f"s3://{BUCKET}", s3_url=stack.s3)
    objects, metadata = same(Catalog(storage, max_age=5), ask_catalog)
    assert "ex" in objects and metadata["ex"] == MODO.open(example / "ex").metadata


def test_a_plan_is_carried_out_by_another_process(stack, example, tmp_path, pool):
    plan = plan_copy(MODO.open(URL, services={"s3": stack.s3}).storage, open_storage(tmp_path / "copy"))
    keys = pool.submit(carry_out, plan).result(60)
    assert "demo2.bam" in keys and MODO.open(tmp_path / "copy").find_problems(checksums=True) == []


# --- metadata ---


SELECT = "SELECT ?name WHERE { ?s <http://schema.org/name> ?name } ORDER BY ?name"
QUERIES = [SELECT, "ASK { ?s ?p ?o }", "CONSTRUCT { ?s <http://schema.org/name> ?n } WHERE { ?s <http://schema.org/name> ?n }"]


def ask_rows(rows):
    columns = [str(column) for column in rows.vars or ()]
    return list(map(tuple, rows)), columns, bool(rows), rows.type, rows.graph and len(rows.graph)


@pytest.mark.parametrize("query", QUERIES, ids=lambda query: query.split()[0])
def test_answers_of_queries(query, example, same):
    rows, *_ = same(MODO.open(example / "ex").query(query), ask_rows)
    assert rows


def ask_graph(graph):
    return len(graph), sorted(graph.predicates(), key=str)[:5]


def ask_zarr(group):
    return sorted(group.group_keys()), dict(group.attrs)


def test_a_graph_and_groups_of_zarr(example, stack, same):
    same(MODO.open(example / "ex").knowledge_graph(), ask_graph)
    for modo in (MODO.open(example / "ex"), MODO.open(URL, services={"s3": stack.s3})):
        same(modo.zarr, ask_zarr)
        same(modo.find_problems(), repr)


# --- tracks ---


@pytest.fixture(scope="module")
def tracks(tmp_path_factory, stack):
    """A genome with values, runs and a mask, in a folder and at S3."""
    folder = tmp_path_factory.mktemp("tracks")
    (folder / "sizes").write_text("chr1\t200000\nchr2\t9000\n")
    (folder / "steps.bedGraph").write_text("chr1\t90\t150\t2\nchr1\t5000\t5100\t-1\n")
    (folder / "mask.bed").write_text("chr1\t120\t130\n")
    made = MODO.create(folder / "ex")
    made.add_genome(sizes=folder / "sizes")
    made.add_track("steps", folder / "steps.bedGraph")
    made.add_track("noise", {"chr1": np.random.default_rng(0).normal(size=200_000).astype(np.float32)})
    made.mask_track("noise", folder / "mask.bed")
    made.upload(f"s3://{BUCKET}/pickled-tracks", services={"s3": stack.s3}, s3_kwargs=CREDENTIALS)
    return folder


@pytest.mark.parametrize("place", ["folder", "s3"])
def test_genomes_and_tracks(place, tracks, stack, same):
    at_s3 = f"s3://{BUCKET}/pickled-tracks", None, {"s3": stack.s3}
    genome = (MODO.open(tracks / "ex") if place == "folder" else MODO.open(*at_s3)).genome
    genome.tracks["noise"].values("chr1")  # what was read is not sent
    for track in genome.tracks.values():
        same(track, ask_track)
        assert len(pickle.dumps(track)) < 20_000
    same(genome, ask_genome)
    same(genome["chr1"], ask_contig)
    same(genome.tracks["noise"].without_mask(), ask_track)


def test_a_track_has_no_file_of_records(tracks):
    """Its arrays are no file, which is no matter of somebody who changed it."""
    view = MODO.open(tracks / "ex")["reference/genome"]
    for one in (view, pickle.loads(pickle.dumps(view))):
        with pytest.raises(NotFoundError):
            _ = one.file


def test_a_bigwig_file(tmp_path, same):
    import pybigtools

    from modos.tracks.bigwig import BigWigTrack, open_bigwig

    writer = pybigtools.open(str(tmp_path / "a.bw"), "w")
    writer.write({"chr1": 200_000}, [("chr1", 90, 150, 2.0), ("chr1", 5000, 5100, -1.0)])
    same(open_bigwig(tmp_path / "a.bw"), ask_genome)
    same(BigWigTrack(tmp_path / "a.bw"), ask_track)


def test_a_track_that_cannot_be_read(tracks):
    from modos.errors import IntegrityError
    from modos.tracks.damaged import DamagedTrack

    contigs = MODO.open(tracks / "ex").genome.contigs
    damaged = pickle.loads(pickle.dumps(DamagedTrack("t", "data/t", contigs, IntegrityError("it is damaged", "restore it"))))
    with pytest.raises(IntegrityError, match="it is damaged"):
        damaged.values("chr1:1-10")


# --- references ---


@pytest.fixture
def references(tmp_path, stack, monkeypatch):
    """A store with an assembly and an annotation: where it is, by kind of place."""
    store = open_store(tmp_path / "refs")
    (tmp_path / "mini.fa").write_text(">chr1\n" + "ACGTTGCA" * 100 + "\n>chr2\nacgtNNNN" + "TTGCA" * 20 + "\n")
    (tmp_path / "genes.gff3").write_text("##gff-version 3\n" + GFF3)
    add_files(store, "mini", [str(tmp_path / "mini.fa")])
    add_annotation(store, "genes", store.assembly("mini"), str(tmp_path / "genes.gff3"))
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", CREDENTIALS["key"])
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", CREDENTIALS["secret"])
    return tmp_path / "refs"


def test_references_annotations_and_genes(references, same):
    reference = open_reference("mini", references)
    same(reference, ask_reference)
    annotation = reference.annotation("genes")
    assert same(annotation, ask_annotation)[0] == ["ABC1"]
    gene = annotation.gene("ABC1")
    same(gene, ask_gene)
    same(gene.transcripts, ask_features)
    same(annotation.exons.overlap("chr1:1-1,000"), ask_features)
    assert pickle.loads(pickle.dumps(gene)).table.loaded == {}


def test_a_reference_at_a_server(references, same):
    server = BackgroundServer(create_app(open_storage(references.parent), references=open_store(references)))
    with server as running:
        url = f"{running.url}/references"
        same(open_reference("mini", url), ask_reference)
        same(open_reference("mini", url).annotation("genes"), ask_annotation)


def test_the_reference_of_an_object(example, same):
    reference = MODO.open(example / "ex").reference()
    assert same(reference, ask_bases)


def ask_bases(reference):
    return reference.name, reference.dna("chr1", 90, 120)


# --- errors ---


def kinds(base=ModosError):
    return [base, *(kind for child in base.__subclasses__() for kind in kinds(child))]


@pytest.mark.parametrize("kind", kinds(), ids=lambda kind: kind.__name__)
def test_errors(kind):
    error = kind("OutOfRange", "what is wrong", "what to do") if kind is HtsgetError else kind("what is wrong", "what to do")
    if kind is SchemaError:
        error = SchemaError("what is wrong", "what to do", path="data/a.b", expected="a number", got="a word")
    back = pickle.loads(pickle.dumps(error))
    assert type(back) is kind and vars(back) == vars(error) and back.args == error.args and str(back) == str(error)
    assert (back.message, back.hint, back.kind, back.exit_code) == ("what is wrong", "what to do", kind.kind, kind.exit_code)


def fail():
    raise modos.errors.RemoteError("the server is away", "try again")


def test_an_error_of_another_process(pool):
    with pytest.raises(modos.errors.RemoteError) as caught:
        pool.submit(fail).result(60)
    assert (caught.value.message, caught.value.hint, caught.value.exit_code) == ("the server is away", "try again", 5)


# --- secrets ---


def test_a_token_stays_where_it_is(example, monkeypatch, stack):
    """Also where it is used: what is unpickled asks for its own, and without one it is refused."""
    monkeypatch.setenv("MODOS_TOKEN", TOKEN)
    rules = Rules((Rule(frozenset({"user:alice"}), read=("ex",)),))
    app = create_app(open_storage(example), access=Access({TOKEN: "alice"}, rules))
    with BackgroundServer(app) as server:
        url = f"{server.url}/files/ex"
        modo = MODO.open(url)
        things = modo, modo.file("demo2.bam"), modo["data/demo2"], modo.storage
        pickled = [pickle.dumps(thing) for thing in things]
        assert all(TOKEN.encode() not in data for data in pickled)
        assert pickle.loads(pickled[0]).count("demo2.bam", REGION) == modo.count("demo2.bam", REGION)
        assert pickle.loads(pickled[3]).read("data.zarr/zarr.json") == modo.storage.read("data.zarr/zarr.json")
        monkeypatch.delenv("MODOS_TOKEN")
        with pytest.raises(AccessError):
            pickle.loads(pickled[3]).read("data.zarr/zarr.json")


def test_a_token_of_a_reference_store(monkeypatch):
    storage = AnywhereStorage("http://127.0.0.1:9/references", token=give_token)
    assert TOKEN.encode() not in pickle.dumps(storage) and pickle.loads(pickle.dumps(storage)).url == storage.url


def give_token():
    return TOKEN


def test_temporary_credentials_are_asked_for_anew(stack, monkeypatch, example):
    """Those that the server gave are not in the pickle; who has a token gets others."""
    given = []

    def give(*_, **__):
        given.append(f"temporary-secret-{len(given)}")
        return TemporaryCredentials("AK", given[-1], f"session-{given[-1]}", "2999-01-01T00:00:00Z")

    monkeypatch.setattr("modos.storage.sts.scoped_credentials", give)
    monkeypatch.setenv("MODOS_TOKEN", TOKEN)
    storage = S3Storage.from_url(f"s3://{BUCKET}", endpoint_url=stack.s3, s3_kwargs=CREDENTIALS)
    rules = Rules((Rule(frozenset({"user:alice"}), read=("ex",), write=("ex",)),))
    with BackgroundServer(create_app(storage, access=Access({TOKEN: "alice"}, rules))) as server:
        modo = MODO.open(URL, endpoint=server.url)
        assert isinstance(modo.storage, S3Storage) and len(given) == 1
        plan = plan_copy(modo.storage, open_storage(example / "none"))
        pickled = [pickle.dumps(thing) for thing in (modo, modo.storage, plan, modo.file("demo2.bam"))]
        assert not any(secret in data for data in pickled for secret in (b"temporary-secret", TOKEN.encode()))
        assert pickle.loads(pickled[1]).read("data.zarr/zarr.json") == modo.storage.read("data.zarr/zarr.json")
        assert len(given) == 2


@pytest.mark.parametrize("hold", ["modo", "storage", "catalog", "plan", "element", "genome", "track", "store"])
def test_keys_of_s3_are_refused(hold, stack, tracks, tmp_path):
    modo = MODO.open(f"s3://{BUCKET}/pickled-tracks", services={"s3": stack.s3}, s3_kwargs=CREDENTIALS)
    thing = {
        "modo": lambda: modo,
        "storage": lambda: modo.storage,
        "catalog": lambda: Catalog(modo.storage),
        "plan": lambda: plan_copy(modo.storage, open_storage(tmp_path / "copy")),
        "element": lambda: modo["reference/genome"],
        "genome": lambda: modo.genome,
        "track": lambda: modo.genome.tracks["noise"],
        "store": lambda: open_store(f"s3://{BUCKET}/refs", stack.endpoint, CREDENTIALS),
    }[hold]()
    with pytest.raises(AccessError, match="not pickled") as refused:
        pickle.dumps(thing)
    assert refused.value.hint and "\n" not in str(refused.value)


class _Vault:
    """Gives credentials that it holds itself."""

    secret = "a-secret-of-the-vault"

    def __call__(self):
        return {"access_key": "AK", "secret_key": self.secret, "token": "", "expiry_time": "2999-01-01T00:00:00Z"}


@pytest.mark.parametrize("given", [{"renew": _Vault()}, {"s3_additional_kwargs": {"SSECustomerKey": "a-key"}}])
def test_other_arguments_with_secrets_are_refused(given):
    with pytest.raises(AccessError, match="not pickled"):
        pickle.dumps(ObjectAddress(URL, s3_kwargs=given))


def test_a_password_in_a_url_is_refused():
    with pytest.raises(AccessError, match="not pickled") as refused:
        pickle.dumps(AnywhereStorage("https://alice:a-password@example.org/x"))
    assert "a-password" not in str(refused.value)


# --- what is under way ---


def test_what_is_under_way_is_refused_in_one_line(example, tmp_path):
    modo = MODO.open(shutil.copytree(example / "ex", tmp_path / "ex"))
    read, write = os.pipe()
    with modo.transaction() as transaction, modo.track_changes() as changes, open_given(f"/dev/fd/{read}") as given:
        for thing in (transaction, changes, given):
            with pytest.raises(InvalidInputError, match="cannot be pickled") as refused:
                pickle.dumps(thing)
            assert refused.value.hint and "\n" not in str(refused.value)
    os.close(read), os.close(write)
    for stream in (modo.file("demo2.bam").fetch(), modo.file("demo2.bam").iter_bytes(), modo.stream_genomics("demo2.bam")):
        next(stream)
        with pytest.raises(TypeError, match="cannot pickle"):  # of Python itself
            pickle.dumps(stream)
        stream.close() if inspect.isgenerator(stream) else None


# --- Dask ---


def count_in(pair):
    file, region = pair
    return file.count(region)


def test_regions_of_a_file_in_a_bag_of_dask(stack):
    bag = pytest.importorskip("dask.bag")
    file = MODO.open(URL, services={"s3": stack.s3}).file("demo2.bam")
    regions = [f"chr1:{start + 1}-{start + 5000}" for start in range(0, 20_000, 5000)]
    found = bag.from_sequence([(file, region) for region in regions], npartitions=2).map(count_in)
    expected = [file.count(region) for region in regions]
    assert found.compute(scheduler="processes", num_workers=1) == expected and sum(expected) > 0
