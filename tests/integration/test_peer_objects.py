"""Objects of sdsc-ordes modos 0.3.4, as its program writes them: read, checked, upgraded, sealed and opened."""

from __future__ import annotations

import json
import os
import shutil
import tracemalloc

import numcodecs
import numpy as np
import pysam
import pytest
import requests
import zarr

from modos.catalog.catalog import list_remote
from modos.demo.stack import CREDENTIALS
from modos.encryption.keys import SecretKey
from modos.errors import ConflictError, IntegrityError, InvalidInputError, NotFoundError
from modos.object.modo import MODO
from modos.reference.cache import cache_folder
from modos.server.app import create_app
from modos.server.run import BackgroundServer
from modos.storage import open_storage
from tests.support import commands
from tests.support.peer_layout import checksum, consolidate, run_peer, write_array, write_object

pytestmark = pytest.mark.sweep(35)

NOW = {"assay/a": {"@type": "Assay", "name": "a", "omics_type": ["GENOMICS"]}}


def run(*command):
    return commands.run(
        command,
        capture_output=True,
        text=True,
        timeout=100,
    )


def alignment(path):
    return {"@type": "DataEntity", "name": "demo1", "data_path": path, "data_format": "CRAM", "has_reference": ["reference/ref"]}


@pytest.fixture
def plain(tmp_path, example):
    """An object with a CRAM, its index, and a reference without one."""
    path = tmp_path / "old"
    path.mkdir()
    for name in ("demo1.cram", "demo1.cram.crai", "reference.fa"):
        shutil.copy(example / "ex" / name, path / name)
    write_object(
        path,
        NOW
        | {
            "data/demo1": alignment("demo1.cram") | {"data_checksum": checksum(path / "demo1.cram")},
            "reference/ref": {"@type": "ReferenceGenome", "name": "ref", "data_path": "reference.fa"},
        },
    )
    return path


@pytest.fixture
def sealed(plain):
    """The same, encrypted as 0.3.4 does it: `.zattrs` say so, `.zmetadata` does not."""
    secret, folder = SecretKey.random(), plain.parent
    MODO.create(folder / "by").add_element(
        {"@type": "AlignmentSet", "id": "demo1", "data_path": "demo1.cram"}, source_file=plain / "demo1.cram"
    )
    MODO.open(folder / "by").encrypt(secret.public, delete=True)
    attributes = MODO.open(folder / "by").metadata["data/demo1"]
    for name in (attributes["data_path"], "demo1.cram.crai.c4gh"):
        shutil.copy(folder / "by" / name, plain / name)
    before = json.loads((plain / "data.zarr/data/demo1/.zattrs").read_text())
    for name in ("demo1.cram", "demo1.cram.crai"):
        (plain / name).unlink()
    (plain / "data.zarr/data/demo1/.zattrs").write_text(
        json.dumps(before | {"data_path": "demo1.cram.c4gh", "data_checksum": checksum(plain / "demo1.cram.c4gh")})
    )
    return plain, secret


def test_a_group_counts_and_not_what_lists_it(sealed):
    path, _ = sealed
    assert MODO.open(path).metadata["data/demo1"]["data_path"] == "demo1.cram.c4gh"
    assert [str(f).rpartition("/")[2] for f in MODO.open(path).list_files() if "c4gh" in str(f)] == [
        "demo1.cram.c4gh",
        "demo1.cram.crai.c4gh",
    ]
    assert [f for f in MODO.open(path).find_problems() if not f.harmless] == []
    done = run("c4gh", "recipients", path)
    assert done.returncode == 0 and done.stdout.startswith("data/demo1: 1 packet"), done.stderr


def test_an_upgrade_keeps_the_truth(sealed):
    path, secret = sealed
    files = sorted(p.name for p in path.glob("demo1*"))
    MODO.open(path).upgrade()
    modo = MODO.open(path)
    assert modo.metadata["data/demo1"]["data_path"] == "demo1.cram.c4gh"
    assert {p.name for p in path.glob("demo1*")} == {*files, "demo1.cram.c4gh.parts"}, "the list of its parts, and nothing else"
    assert modo.find_problems() == [] and not list(path.rglob(".z*"))
    MODO.open(path).download(path.parent / "copy")
    assert MODO.open(path.parent / "copy").find_problems() == []
    assert modo.decrypt(secret) == ["data/demo1"] and modo.find_problems() == []


def test_a_sealed_file_is_shared_and_stays_whole(sealed):
    path, secret = sealed
    other = SecretKey.random()
    MODO.open(path).upgrade()
    MODO.open(path).share(secret, other.public)
    assert MODO.open(path).find_problems() == []
    assert MODO.open(path).decrypt(other) == ["data/demo1"]


def test_a_sealed_file_that_was_changed_is_found(sealed):
    path, _ = sealed
    data = bytearray((path / "demo1.cram.c4gh").read_bytes())
    data[-100] ^= 1
    (path / "demo1.cram.c4gh").write_bytes(data)
    assert [f.kind for f in MODO.open(path).find_problems() if not f.harmless] == ["checksum"]


def test_an_open_object_sees_what_a_group_says_later(plain):
    modo = MODO.open(plain)
    assert modo.metadata["assay/a"]["name"] == "a"
    (plain / "data.zarr/assay/a/.zattrs").write_text(json.dumps(NOW["assay/a"] | {"name": "another"}))
    assert modo.metadata["assay/a"]["name"] == "another"


def test_a_group_that_is_damaged_is_told_of(plain):
    (plain / "data.zarr/assay/a/.zattrs").write_text("{")
    with pytest.raises(IntegrityError, match="assay/a/.zattrs"):
        MODO.open(plain)


ARRAYS = {
    "counts": (np.arange(1200).reshape(30, 40), {"chunks": (7, 11)}),
    "missing": (np.where(np.arange(40) < 10, 5, np.arange(40)).astype("<i4"), {"chunks": (10,), "fill": 5, "skip": ((0,),)}),
    "nan": (np.random.default_rng(1).random((10, 9)).astype("<f4"), {"chunks": (4, 4), "order": "F", "fill": "NaN"}),
    "big": (np.arange(10, dtype=">i4"), {"chunks": (4,), "compressor": None}),
    "delta": (
        np.arange(100, dtype="<i4"),
        {"chunks": (30,), "filters": [numcodecs.Delta("<i4")], "compressor": numcodecs.Zstd(3)},
    ),
    "nested": (np.arange(60).reshape(6, 10), {"chunks": (3, 4), "separator": "/", "compressor": numcodecs.Zlib(1)}),
    "scalar": (np.array(3.5), {"chunks": ()}),
    "bool": (np.arange(9) % 2 == 0, {"chunks": (4,), "compressor": numcodecs.LZ4(), "fill": False}),
    "bytes": (np.array([b"a", b"bcd"]), {"chunks": (2,), "fill": ""}),
    "fixed": (np.array(["a", "bcé"]), {"chunks": (1,), "fill": ""}),
    "genes": (
        np.array([f"g{i}é" for i in range(12)], dtype=object),
        {"chunks": (5,), "filters": [numcodecs.VLenUTF8()], "fill": ""},
    ),
    "texts": (
        np.array([[f"{i}{j}" for j in range(4)] for i in range(3)], dtype=object),
        {"chunks": (2, 3), "filters": [numcodecs.JSON()], "fill": None},
    ),
}


@pytest.fixture
def matrices(plain):
    """The same with count matrices below an element of class Array."""
    folder = plain / "data.zarr/data/rna1"
    folder.mkdir()
    (folder / ".zgroup").write_text('{"zarr_format": 2}')
    (folder / ".zattrs").write_text(
        json.dumps({"@type": "Array", "name": "rna", "data_path": "data/rna1", "data_format": "Zarr"})
    )
    for name, (values, options) in ARRAYS.items():
        options = dict(options, fill=float("nan")) if options.get("fill") == "NaN" else options
        write_array(folder / name, values, **options)
    text = (folder / "nan/.zarray").read_text()
    (folder / "nan/.zarray").write_text(text.replace(": NaN", ': "NaN"'))
    consolidate(plain)
    return plain


def test_arrays_are_listed_and_no_missing_files(matrices):
    assert [f for f in MODO.open(matrices).find_problems() if not f.harmless] == []
    done = run("show", matrices, "--zarr")
    assert done.returncode == 0 and "counts (30, 40) int64" in done.stdout and "genes (12,) StringDType()" in done.stdout


def test_arrays_are_upgraded_chunk_by_chunk(matrices):
    with pytest.raises(InvalidInputError, match="old layout"):
        MODO.open(matrices).download(matrices.parent / "copy")
    MODO.open(matrices).upgrade()
    modo = MODO.open(matrices)
    assert modo.metadata["data/rna1"]["data_path"] == "data.zarr/data/rna1" and modo.find_problems() == []
    assert not [
        p
        for p in matrices.rglob("*")
        if p.name.startswith(".z") or ("rna1" in p.parts and p.name[0].isdigit() and "c" not in p.parts)
    ]
    for root in (
        zarr.open_group(matrices / "data.zarr", mode="r"),
        zarr.open_group(matrices / "data.zarr", mode="r", use_consolidated=False),
    ):
        for name, (values, _) in ARRAYS.items():
            found = root[f"data/rna1/{name}"]
            assert found.shape == values.shape and np.array_equal(np.asarray(found[...]).astype(values.dtype), values), name
    modo.download(matrices.parent / "copy")
    assert MODO.open(matrices.parent / "copy").find_problems() == []


def test_an_object_with_arrays_is_encrypted_and_decrypted(matrices):
    secret = SecretKey.random()
    MODO.open(matrices).upgrade()
    before = read_matrices(MODO.open(matrices))
    assert set(MODO.open(matrices).encrypt(secret.public)) >= {"data/demo1", "data/rna1"}
    modo = MODO.open(matrices)
    assert modo.find_problems() == [] and not list(matrices.glob("data.zarr/data/rna1/*/c"))
    assert read_matrices(modo, secret_key=secret) == before
    assert "data/rna1" in modo.decrypt(secret) and modo.find_problems() == []
    assert read_matrices(MODO.open(matrices)) == before


def read_matrices(modo, **options):
    """What each matrix holds, and its metadata."""
    group = modo["data/rna1"].to_zarr(**options)
    return {name: (str(array[...].tolist()), array.metadata.to_dict()) for name, array in group.arrays()}


def test_what_is_no_text_is_refused_and_nothing_is_lost(matrices):
    mixed = np.array(["a", 0, None], dtype=object)
    write_array(matrices / "data.zarr/data/rna1/mixed", mixed, (3,), filters=[numcodecs.JSON()], fill=None)
    before = {p: p.read_bytes() for p in matrices.rglob("*") if p.is_file()}
    with pytest.raises(IntegrityError, match="mixed/0 is of an array of texts and holds 0, of the type int"):
        MODO.open(matrices).upgrade()
    assert all(p.read_bytes() == data for p, data in before.items())
    shutil.rmtree(matrices / "data.zarr/data/rna1/mixed")
    MODO.open(matrices).upgrade()
    assert MODO.open(matrices).find_problems() == []


@pytest.mark.parametrize("codec", [numcodecs.Pickle(), numcodecs.MsgPack()], ids=["pickle", "msgpack"])
def test_objects_in_other_codecs_are_refused_unread(matrices, codec):
    write_array(matrices / "data.zarr/data/rna1/objects", np.array(["a"], dtype=object), (1,), filters=[codec], fill=None)
    with pytest.raises(InvalidInputError, match=f"rna1/objects of objects in the codec {codec.codec_id}"):
        MODO.open(matrices).upgrade()
    assert not list(matrices.rglob("zarr.json")) and not list(matrices.rglob("c/*"))
    assert run("show", matrices, "--zarr").returncode == 0


@pytest.mark.parametrize("harm", [lambda data: data[:-5], lambda data: data[:30] + bytes(len(data) - 30), lambda data: b""])
def test_a_damaged_chunk_stops_an_upgrade(matrices, harm):
    file = matrices / "data.zarr/data/rna1/counts/2.1"
    file.write_bytes(harm(file.read_bytes()))
    with pytest.raises(IntegrityError, match=r"counts/2\.1 is damaged"):
        MODO.open(matrices).upgrade()
    assert not (matrices / "data.zarr/zarr.json").exists()


@pytest.mark.parametrize("codec", [numcodecs.Zstd(1), numcodecs.LZ4(), numcodecs.Zlib(1)], ids=["zstd", "lz4", "zlib"])
@pytest.mark.parametrize("filters", [[], [numcodecs.Delta("<i4")]], ids=["plain", "filtered"])
def test_a_chunk_that_holds_more_than_its_values_is_refused_before_memory_is_taken(matrices, codec, filters):
    folder = matrices / "data.zarr/data/rna1/bomb"
    write_array(folder, np.arange(4, dtype="<i4"), (4,), compressor=codec, filters=filters)
    (folder / "0").write_bytes(codec.encode(np.zeros(200_000_000, dtype="u1")))
    tracemalloc.start()
    with pytest.raises(IntegrityError, match="bomb/0 is damaged: it holds more than"):
        MODO.open(matrices).upgrade()
    assert tracemalloc.get_traced_memory()[1] < 50_000_000
    tracemalloc.stop()


def test_a_chunk_of_a_second_zstd_frame_is_refused(matrices):
    file = matrices / "data.zarr/data/rna1/delta/0"
    file.write_bytes(file.read_bytes() + bytes(numcodecs.Zstd(1).encode(np.zeros(1000, dtype="u1"))))
    with pytest.raises(IntegrityError, match="delta/0 is damaged"):
        MODO.open(matrices).upgrade()


def test_a_chunk_of_more_texts_than_are_held_is_refused_in_a_line(matrices, monkeypatch):
    from modos.object import old_chunks

    monkeypatch.setattr(old_chunks, "_MAX_TEXTS", 20)
    with pytest.raises(InvalidInputError, match="is a chunk of texts, and it holds more than 20 bytes"):
        MODO.open(matrices).upgrade()
    assert not (matrices / "data.zarr/zarr.json").exists()


@pytest.mark.parametrize("elsewhere", [False, True], ids=["removed", "linked"])
def test_an_array_that_is_listed_and_not_there_is_not_dropped_in_silence(matrices, tmp_path, elsewhere):
    folder = matrices / "data.zarr/data/rna1"
    shutil.move(folder, tmp_path / "rna1")
    if elsewhere:
        folder.symlink_to(tmp_path / "rna1")
    with pytest.raises(InvalidInputError, match="lists arrays that are not there, or lie outside of it: data/rna1/big"):
        MODO.open(matrices).upgrade()
    assert not list(matrices.rglob("zarr.json")) and not list(tmp_path.rglob("zarr.json"))
    folder.unlink(missing_ok=True)
    shutil.move(tmp_path / "rna1", folder)
    MODO.open(matrices).upgrade()
    assert MODO.open(matrices).find_problems() == []


def test_groups_without_their_list_are_told_of(plain):
    (plain / "data.zarr/.zmetadata").unlink()
    with pytest.raises(NotFoundError, match=r"has groups of Zarr v2, and not the list of them \(data.zarr/.zmetadata\)"):
        MODO.open(plain)


def test_a_region_is_read_and_no_index_is_written_into_the_object(plain):
    before = set(plain.rglob("*"))
    with pysam.AlignmentFile(str(plain / "demo1.cram")) as file:
        contig = file.references[0]
    assert sum(1 for _ in MODO.open(plain).stream_genomics("demo1.cram", f"{contig}:100-5000")) > 0
    assert set(plain.rglob("*")) == before


def test_who_is_changed_meanwhile_is_not_upgraded(matrices, monkeypatch):
    from modos.object import old_chunks

    convert = old_chunks.convert_chunk

    def changing(*args):
        (matrices / "data.zarr/assay/a/.zattrs").write_text(json.dumps(NOW["assay/a"] | {"name": "another"}))
        return convert(*args)

    monkeypatch.setattr(old_chunks, "convert_chunk", changing)
    with pytest.raises(ConflictError):
        MODO.open(matrices).upgrade()
    monkeypatch.undo()
    MODO.open(matrices).upgrade()
    assert MODO.open(matrices).metadata["assay/a"]["name"] == "another"


def test_what_an_interrupted_upgrade_left_goes(matrices, monkeypatch):
    left = {p.relative_to(matrices): p.read_bytes() for p in matrices.rglob("*") if p.is_file()}
    MODO.open(matrices).upgrade()
    now = {p for p in matrices.rglob("*") if p.is_file()}
    for key, data in left.items():
        if "data.zarr" in key.parts:
            (matrices / key).parent.mkdir(parents=True, exist_ok=True)
            (matrices / key).write_bytes(data)
    MODO.open(matrices).upgrade()
    assert {p for p in matrices.rglob("*") if p.is_file()} == now and MODO.open(matrices).find_problems() == []


def test_arrays_in_zarr_3_with_a_path_in_the_tree_are_no_missing_files(tmp_path):
    path, secret = tmp_path / "ex", SecretKey.random()
    (tmp_path / "a.txt").write_text("text")
    MODO.create(path).add_element({"@type": "DataEntity", "id": "text", "data_format": "TSV"}, source_file=tmp_path / "a.txt")
    root = zarr.open_group(path / "data.zarr", mode="r+", use_consolidated=False)
    group = root.create_group(
        "data/rna1", attributes={"@type": "Array", "name": "rna", "data_path": "data/rna1", "data_format": "Zarr"}
    )
    group.create_array("counts", data=np.arange(12).reshape(3, 4))
    whole = root.create_array("data/rna2", data=np.arange(5))
    whole.attrs.update({"@type": "Array", "name": "two", "data_path": "rna2", "data_format": "Zarr"})
    zarr.consolidate_metadata(root.store)
    assert MODO.open(path).find_problems() == []
    assert MODO.open(path).encrypt(secret.public) == ["data/rna1", "data/text"]
    assert MODO.open(path).find_open() == {"data/rna2": "as its arrays are not below it"}
    assert MODO.open(path).metadata["data/rna2"]["data_path"] == "data.zarr/data/rna2"


@pytest.mark.parametrize(
    "text",
    [
        b">a x\nACGT\nAC\n>b\nACGTA\nACGTA\n",
        b">a\r\nACGT\r\nAC\r\n>b\r\nA\r\n",
        b">a\nACGTACGT\n>b\nA",
        b">a\n\n>b\nACG\nACG\n\n",
        b">a\nACGT\nACGT",
    ],
)
@pytest.mark.parametrize("size", [1, 3, 1 << 20])
def test_an_index_made_in_memory_is_that_of_samtools(tmp_path, text, size):
    from modos.reference.fai import format_fai
    from modos.reference.unindexed import index_fasta

    (tmp_path / "a.fa").write_bytes(text)
    pysam.faidx(str(tmp_path / "a.fa"))
    made = format_fai(index_fasta((text[i : i + size] for i in range(0, len(text), size)), "a.fa")).decode().splitlines()
    wanted = (tmp_path / "a.fa.fai").read_text().splitlines()
    assert [line for line in made if line.split("\t")[1] != "0"] == [line for line in wanted if line.split("\t")[1] != "0"]


@pytest.mark.parametrize("text", [b"", b"ACGT\n", b">a\nACG\nACGT\n", b">a\nACGT\nA\nACGT\n", b">\nA\n", b">a\nA\n>a\nC\n"])
def test_what_cannot_have_an_index_is_told(text):
    from modos.reference.unindexed import index_fasta

    with pytest.raises(IntegrityError, match="has no .fai index, and none can be made"):
        index_fasta([text], "a.fa")


def test_an_object_in_zarr_2_is_listed_and_streamed_through_a_server(plain, stack):
    """It was no object for `remote list`, for the server's /list, and for htsget."""
    storage, url = open_storage("s3://modos-demo/peer-old", s3_url=stack.s3), "s3://modos-demo/peer-old"
    for file in filter(os.path.isfile, plain.rglob("*")):
        storage.write(str(file.relative_to(plain)), file.read_bytes())
    try:
        for place, endpoint, search in (
            (None, stack.endpoint, ""),
            (None, stack.endpoint, "name=demo1"),
            ("s3://modos-demo", None, ""),
        ):
            assert url in list_remote(place, endpoint, CREDENTIALS | {"endpoint_url": stack.s3} if place else None, search)
        ticket = requests.get(
            f"{stack.endpoint}/htsget/reads/peer-old/demo1?referenceName=chr1&start=20000&end=25000", timeout=60
        )
        assert ticket.status_code == 200 and ticket.json()["htsget"]["format"] == "CRAM"
        modo = MODO.open(url, endpoint=stack.endpoint, s3_kwargs=CREDENTIALS)
        assert modo.count("demo1.cram", "chr1:20,001-25,000") == 969
        changed = json.loads(storage.read("data.zarr/data/demo1/.zattrs")[0]) | {"name": "other"}
        storage.write("data.zarr/data/demo1/.zattrs", json.dumps(changed).encode())
        assert url in list_remote(None, stack.endpoint, None, "name=other"), "what a group says now"
    finally:
        for info in list(storage.iter_files()):
            storage.delete(info.key)


def test_an_object_in_zarr_2_of_a_folder_that_is_served_is_read(plain):
    with BackgroundServer(create_app(open_storage(plain.parent))) as server:
        [url] = list_remote(None, server.url, None)
        modo = MODO.open(url)
        assert modo.metadata["data/demo1"]["name"] == "demo1" and modo.count("demo1.cram", "chr1:20,001-25,000") == 969


def test_regions_of_a_cram_on_s3_whose_reference_has_no_index(plain, stack):
    storage = open_storage("s3://modos-demo/peer", s3_url=stack.s3)
    for file in filter(os.path.isfile, plain.rglob("*")):
        storage.write(str(file.relative_to(plain)), file.read_bytes())
    modo = MODO.open("s3://modos-demo/peer", services={"s3": stack.s3}, s3_kwargs=CREDENTIALS)
    local = pysam.AlignmentFile(str(plain / "demo1.cram"), reference_filename=str(plain / "reference.fa"))
    region = f"{local.references[0]}:100-5000"
    wanted = [(r.query_name, r.query_sequence) for r in local.fetch(region=region)]
    assert [(r.query_name, r.query_sequence) for r in modo.stream_genomics("demo1.cram", region)] == wanted != []
    assert list((cache_folder("sequences")).rglob("*"))
    modo.upgrade()
    pysam.faidx(str(plain / "reference.fa"))
    assert storage.read("reference.fa.fai")[0] == (plain / "reference.fa.fai").read_bytes()


MAKE = """
import sys, numpy as np, numcodecs, zarr
from modos.api import MODO
import modos_schema.datamodel as model
path, cram, fasta, public = sys.argv[1:]
modo = MODO(path)
modo.add_element(model.Assay(id="a", name="a", omics_type="GENOMICS"))
modo.add_element(model.ReferenceGenome(id="ref", name="r", data_path="reference.fa"), source_file=fasta)
modo.add_element(model.DataEntity(id="demo1", name="demo1", data_format="CRAM", data_path="demo1.cram", has_reference=["ref"]),
                 source_file=cram, part_of="assay/a")
if public:
    modo.encrypt(public)
else:
    modo.add_element(model.Array(id="rna1", name="counts", data_format="Zarr", data_path="data/rna1"), part_of="assay/a")
    group = modo.zarr["data/rna1"]
    group.create_dataset("counts", data=np.arange(1200).reshape(30, 40), chunks=(7, 11))
    group.create_dataset("genes", data=np.array(["g%d" % i for i in range(40)], dtype=object), object_codec=numcodecs.VLenUTF8())
    group.create_dataset("json", data=np.array(["t%d" % i for i in range(40)], dtype=object), object_codec=numcodecs.JSON(), chunks=7)
    zarr.consolidate_metadata(modo.zarr.store)
"""


@pytest.mark.sweep(1)
@pytest.mark.parametrize("encrypted", [False, True])
def test_an_object_that_its_own_program_made(tmp_path, example, encrypted):
    secret = SecretKey.random()

    (tmp_path / "k.pub").write_bytes(secret.public.to_pem())
    path = tmp_path / "ex"
    run_peer(MAKE, path, example / "ex/demo1.cram", example / "ex/reference.fa", tmp_path / "k.pub" if encrypted else "")
    assert [f for f in MODO.open(path).find_problems() if not f.harmless] == []
    MODO.open(path).upgrade()
    modo = MODO.open(path)
    assert modo.find_problems() == []
    if encrypted:
        assert modo.decrypt(secret) == ["data/demo1"]
    else:
        rna = zarr.open_group(path / "data.zarr", mode="r")["data/rna1"]
        assert np.array_equal(rna["counts"][...], np.arange(1200).reshape(30, 40))
        assert list(rna["genes"][...]) == [f"g{i}" for i in range(40)] and list(rna["json"][...]) == [f"t{i}" for i in range(40)]
        assert modo.encrypt(secret.public) == ["data/demo1", "data/rna1", "reference/ref"]
    assert MODO.open(path).find_problems() == []


@pytest.mark.parametrize(
    "lie",
    [
        {"filters": 3},
        {"filters": ["delta"]},
        {"compressor": "blosc"},
        {"dtype": ["<i8"]},
        {"dtype": "<i9"},
        {"dtype": "|S0"},
        {"dtype": "<M8[s]"},
        {"fill_value": {"a": 1}},
        {"order": "X"},
        {"dimension_separator": ""},
        {"chunks": [1 << 40, 1 << 40]},
        {"compressor": {"id": "pickle"}},
        {"filters": [{"id": "pickle"}]},
        {"dtype": [["a", "<i4"]]},
        {"dtype": "|O"},
        {"fill_value": "x"},
        {"fill_value": 3.5},
        {"fill_value": 1 << 63},
        {"dtype": "|u1", "fill_value": -1},
        {"dtype": "|b1", "fill_value": 2},
        {"dtype": "<f4", "fill_value": "x"},
        {"dtype": "|S3", "fill_value": "a!"},
        {"dtype": "|O", "filters": [{"id": "vlen-utf8"}], "fill_value": 7},
        {"dtype": "<c8", "fill_value": [1, "x"]},
    ],
    ids=str,
)
def test_an_array_that_says_what_none_can_be_is_refused_in_a_line(matrices, lie):
    file = matrices / "data.zarr/data/rna1/counts/.zarray"
    file.write_text(json.dumps(json.loads(file.read_text()) | lie))
    assert MODO.open(matrices).metadata["data/rna1"]["name"] == "rna"
    with pytest.raises((InvalidInputError, IntegrityError), match="rna1/counts"):
        MODO.open(matrices).upgrade()
    assert not list(matrices.rglob("zarr.json"))


@pytest.mark.parametrize(
    "lie", [{"shape": "x"}, {"shape": [30]}, {"chunks": [0, 1]}, {"shape": [-1, 2]}, {"chunks": None}], ids=str
)
def test_an_array_without_a_shape_is_damage(matrices, lie):
    file = matrices / "data.zarr/data/rna1/counts/.zarray"
    file.write_text(json.dumps(json.loads(file.read_text()) | lie))
    with pytest.raises(IntegrityError, match="is damaged"):
        MODO.open(matrices)


def test_what_a_reader_of_zarr_2_leaves_in_an_object_is_told_and_removed(tmp_path):
    """0.3.4 takes an object in Zarr v3 for a new one, and writes an empty root beside it."""
    modo = MODO.create(tmp_path / "ex")
    modo.add_element({"@type": "Sample", "id": "s"})
    for name, text in (
        (".zgroup", {"zarr_format": 2}),
        (".zattrs", {"id": "ex"}),
        (".zmetadata", {"metadata": {}, "zarr_consolidated_format": 1}),
    ):
        (tmp_path / "ex/data.zarr" / name).write_text(json.dumps(text))
    [found] = modo.find_problems()
    assert found.harmless and found.where == "data.zarr/.zmetadata" and "upgrade" in found.message
    modo.upgrade()
    assert (
        modo.find_problems() == [] and modo.list_samples() == ["sample/s"] and not list((tmp_path / "ex/data.zarr").glob(".z*"))
    )


def test_matrices_that_are_not_upgraded_are_read_as_they_are(matrices):
    """Chunks of the old layout lie elsewhere: they are not taken for absent ones, which would be fill values."""
    modo = MODO.open(matrices)
    for name, (values, options) in ARRAYS.items():
        if isinstance(next(iter(options.get("filters") or ()), None), numcodecs.JSON):
            with pytest.raises(ValueError, match="json2"):  # zarr-python has no type for these
                modo.zarr[f"data/rna1/{name}"]
            continue
        for found in (modo.zarr[f"data/rna1/{name}"], modo["data/rna1"].to_zarr()[name]):
            assert np.array_equal(np.asarray(found[...]).astype(values.dtype), values), name
    write_array(
        matrices / "data.zarr/data/rna1/objects", np.array(["a"], dtype=object), (1,), filters=[numcodecs.Pickle()], fill=None
    )
    consolidate(matrices)
    with pytest.raises(InvalidInputError, match="runs code"):
        MODO.open(matrices).zarr["data/rna1/objects"]
