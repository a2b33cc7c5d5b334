"""What a newer modos wrote, in a format that this one does not know, is refused in one line, and is left as it is.

The newest fixture is given a version that does not exist yet, wherever a version is written.
"""

from __future__ import annotations

import json
import os
import re
import struct
import zipfile
from hashlib import blake2b
from pathlib import Path

import polars as pl
import pytest
from starlette.testclient import TestClient

import modos
from modos import codes
from modos.api import MODO
from modos.catalog.snapshots import to_parquet
from modos.codes.index_builder import build
from modos.encryption.keys import load_public_key, load_secret_key
from modos.errors import IntegrityError, NewerFormatError
from modos.genomics.index.cuts import CutList
from modos.object.cut_lists import read_cuts
from modos.readlog.chain_writer import ChainWriter, Limits
from modos.readlog.log_verification import LogReader
from modos.readlog.read_entries import entry_to_line
from modos.readlog.retention import find_expired
from modos.readlog.segment_reader import list_chains
from modos.reference.store import ReferenceStore
from modos.server.app import create_app
from modos.storage import open_storage
from tests.support.commands import run
from tests.support.writing_versions import VERSIONS, unpack

NEWEST = max(VERSIONS)


@pytest.fixture
def place(tmp_path) -> Path:
    """The newest fixture, to be changed, and the plain files beside it."""
    unpack("plain", tmp_path / "source")
    return unpack(NEWEST, tmp_path / "place")


def replace(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def listing(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def make_newer(place: Path) -> MODO:
    """The object of format 2, and otherwise of any shape; as it was opened before."""
    opened, path = MODO.open(place / "plain"), place / "plain/data.zarr/zarr.json"
    root = json.loads(path.read_text())
    told = root["consolidated_metadata"]["metadata"]["_modos"]["attributes"]
    told["state"] = {"format_version": 2, "revision": [7], "commits": {}}
    told["slots"] = ["of another shape"]
    path.write_text(json.dumps(root))
    return opened


USES = {
    "open": lambda modo, to: MODO.open(modo.path),
    "refresh": lambda modo, to: modo.refresh(),
    "add": lambda modo, to: modo.add_element({"id": "n", "@type": "Sample"}),
    "check": lambda modo, to: modo.find_problems(),
    "encrypt": lambda modo, to: modo.encrypt(to.parent / "source/alice.pub", also_me=False),
    "genome": lambda modo, to: MODO.open(modo.path).genome,
    "download": lambda modo, to: modo.download(to),
    "pack": lambda modo, to: modo.pack(f"{to}.zip"),
    "upgrade": lambda modo, to: modo.upgrade(),
    "remove": lambda modo, to: modo.remove_object(),
}


@pytest.mark.parametrize("use", USES)
def test_an_object_is_refused_whatever_is_done_with_it(place, tmp_path, use):
    modo = make_newer(place)
    before = listing(place / "plain")
    with pytest.raises(NewerFormatError, match="is of format 2, and this modos reads 1"):
        USES[use](modo, tmp_path / "to")
    assert listing(place / "plain") == before
    assert not (tmp_path / "to").exists() and not (tmp_path / "to.zip").exists()


def test_an_object_that_an_older_modos_has_changed_since_is_refused(place):
    """That leaves the group `_modos` as it is, and begins a record of its own."""
    path = place / "plain/data.zarr/zarr.json"
    for newer, since in ((2, 1), (1, 3)):
        root = json.loads(path.read_text())
        root["consolidated_metadata"]["metadata"]["_modos"]["attributes"]["state"]["format_version"] = newer
        root["attributes"]["_modos"] = {"format_version": since, "revision": 1, "commits": []}
        path.write_text(json.dumps(root))
        with pytest.raises(NewerFormatError, match=f"format {max(newer, since)}"):
            MODO.open(place / "plain")


NO_VERSIONS = ['"1"', '"2"', "true", "1.5", "2.0", "0", "-1", "null", "[]", "NaN", "1e400", "[" * 2000 + "]" * 2000]
each_none = pytest.mark.parametrize("version", NO_VERSIONS, ids=lambda version: version[:6])


@each_none
def test_a_version_that_is_none_is_damage(place, version):
    replace(place / "plain/data.zarr/zarr.json", '"format_version":1', f'"format_version":{version}')
    with pytest.raises(IntegrityError, match="is damaged"):
        MODO.open(place / "plain")


def test_a_version_that_is_huge_is_told_in_one_short_line(place):
    replace(place / "plain/data.zarr/zarr.json", '"format_version":1', f'"format_version":{"9" * 4000}')
    with pytest.raises(NewerFormatError, match=r"is of format 9{10,40}\.\.\., and this modos reads 1") as error:
        MODO.open(place / "plain")
    assert len(error.value.message) < 300


def test_an_object_whose_root_names_no_groups_is_refused(place):
    """Other Zarr tools leave the groups' own files; what these say of the version counts, too."""
    path, own = place / "plain/data.zarr/zarr.json", place / "plain/data.zarr/_modos/zarr.json"
    root = json.loads(path.read_text())
    del root["consolidated_metadata"]
    path.write_text(json.dumps(root))
    assert "data/reads" in MODO.open(place / "plain").metadata
    told = json.loads(own.read_text())
    for state in ({"format_version": 2}, {"format_version": 2, "commits": "of another shape"}):
        own.write_text(json.dumps(told | {"attributes": told["attributes"] | {"state": state}}))
        with pytest.raises(NewerFormatError, match="is of format 2, and this modos reads 1"):
            MODO.open(place / "plain")


def test_an_object_in_the_layout_of_zarr_2_that_says_so_is_refused(tmp_path):
    attributes = {"@type": "MODO", "id": "old", "_modos": {"format_version": 2}}
    (tmp_path / "old/data.zarr").mkdir(parents=True)
    for name, told in ((".zgroup", {"zarr_format": 2}), (".zattrs", attributes)):
        (tmp_path / "old/data.zarr" / name).write_text(json.dumps(told))
    listed = {"metadata": {".zgroup": {"zarr_format": 2}, ".zattrs": attributes}, "zarr_consolidated_format": 1}
    (tmp_path / "old/data.zarr/.zmetadata").write_text(json.dumps(listed))
    with pytest.raises(NewerFormatError, match="is of format 2, and this modos reads 1"):
        MODO.open(tmp_path / "old")


def test_an_object_in_one_file_is_refused(place):
    with zipfile.ZipFile(place / "plain.zip") as old, zipfile.ZipFile(place / "new.zip", "w") as new:
        for name in old.namelist():
            new.writestr(name, old.read(name).replace(b'"format_version":1', b'"format_version":2'))
    with pytest.raises(NewerFormatError, match=r"new\.zip is of format 2"):
        MODO.open(place / "new.zip")


@pytest.mark.parametrize(
    "words",
    [
        ("show", "plain"),
        ("check", "plain", "--fix"),
        ("stream", "-r", "chr1:1-2,000", "plain/reads.bam"),
        ("track", "query", "plain", "-r", "chr1:1-10"),
        ("add", "plain", "sample", "-e", '{"id": "n"}'),
        ("remote", "upload", "plain", "copy"),
        ("remove", "plain", "--yes"),
    ],
    ids=lambda words: words[0],
)
def test_commands_say_in_one_line_which_version_it_is(place, words):
    make_newer(place)
    before = listing(place)
    done = run(words, cwd=place, capture_output=True, text=True)
    lines = done.stderr.splitlines()
    assert (done.returncode, done.stdout) == (2, "")
    assert re.fullmatch(r"error: (\S*/)?plain is of format 2, and this modos reads 1", lines[0]) and len(lines) == 2
    assert lines[1] == "hint: install a newer modos"
    assert listing(place) == before


def test_a_server_leaves_it_out_and_says_why(place):
    make_newer(place)
    for kept in (place / ".modos-catalog").rglob("*"):
        if kept.is_file():
            kept.unlink()
    with TestClient(create_app(open_storage(place))) as client:
        listed = client.get("/meta").json()
        assert "plain" not in {one["path"] for one in listed["data"]}
        assert {"path": "plain", "reason": "unreadable"} in listed["left_out"]
        answer = client.get("/htsget/reads/plain/reads?referenceName=chr1")
        assert answer.status_code == 500 and "a newer modos wrote it" in answer.text


def test_a_catalogue_forgets_what_it_knew_of_an_object(place):
    """Rows of an object that is damaged stay as they were; of one that was changed by a newer modos they are wrong by now."""
    make_newer(place)
    announced = place / f".modos-catalog/changed/plain/{'ab' * 16}"
    announced.parent.mkdir(parents=True, exist_ok=True)
    announced.write_bytes(b"")
    problem = "unreadable: plain is of format 2, and this modos reads 1"  # and not where that lies
    for use in (
        modos.open_catalog,
        lambda place: modos.refresh_catalog(place) and modos.open_catalog(place),
        lambda place: modos.refresh_catalog(place, full=True) and modos.open_catalog(place),
    ):
        catalog = use(place)
        assert catalog.problems() == {"plain": problem}
        for table in (catalog.elements, catalog.digests):
            rows = table.filter(pl.col("object") == "plain").collect()
            assert rows["element"].to_list() == ([""] if table is catalog.elements else [])
        assert set(catalog.select("Sample")["object"]) == {"sealed"}
    with TestClient(create_app(open_storage(place))) as client:
        for asked in ("/find", "/find?class=Sample", "/meta", "/meta?search=Male"):
            answer = client.get(asked)
            assert answer.json()["left_out"] == [{"path": "plain", "reason": "unreadable"}], asked
            assert {one["path"] for one in answer.json()["data"]} == {"sealed"} and str(place) not in answer.text
        pages = [client.get("/find", params={"limit": 1}).json()]
        while after := pages[-1]["next"]:
            pages.append(client.get("/find", params={"limit": 1, "after": after}).json())
        assert [one for page in pages for one in page.get("left_out", [])] == [{"path": "plain", "reason": "unreadable"}]


@each_none
def test_a_version_of_a_catalogue_that_is_none_is_damage(place, version):
    replace(place / ".modos-catalog/head.json", '"format_version": 1', f'"format_version": {version}')
    with pytest.raises(IntegrityError, match="is damaged"):
        modos.open_catalog(place)


def test_a_catalogue_is_refused(place):
    head = place / ".modos-catalog/head.json"
    replace(head, '"format_version": 1', '"format_version": 2')
    before = listing(place)
    for use in (modos.open_catalog, modos.refresh_catalog, lambda place: modos.refresh_catalog(place, full=True)):
        with pytest.raises(NewerFormatError, match=r"head\.json is of format 2, and this modos reads 1"):
            use(place)
    MODO.open(place / "plain").add_element({"id": "n", "@type": "Sample"})  # announces itself there, and does no more
    now = listing(place)
    assert {name for name in before if name.startswith(".modos-catalog/tables")} <= now.keys()
    assert head.read_bytes() == before[".modos-catalog/head.json"]


@pytest.mark.parametrize("table", ["elements", "digests"])
def test_a_catalogue_with_columns_that_are_not_known_is_refused(place, table):
    """Of a newer modos, whose schema has more slots."""
    head = place / ".modos-catalog/head.json"
    told = json.loads(head.read_text())
    path = place / f".modos-catalog/tables/{told['base']['id']}/{table}.parquet"
    data = to_parquet(pl.read_parquet(path).with_columns(colour=pl.lit("red")).lazy())
    path.write_bytes(data)
    told["base"][table] = {"size": len(data), "digest": blake2b(data, digest_size=32).hexdigest()}
    head.write_text(json.dumps(told | {"columns": "of a newer one"}))
    with pytest.raises(NewerFormatError, match="columns that this modos does not know: colour"):
        modos.open_catalog(place)
    with pytest.raises(NewerFormatError):
        modos.refresh_catalog(place, full=True)
    assert path.read_bytes() == data


def test_a_reference_store_is_refused(place):
    index, assembly = place / "refs/index.json", place / "refs/assemblies/toy/assembly.json"
    manifest = place / "refs/annotations/genes/v1/manifest.json"
    store = ReferenceStore(open_storage(place / "refs"))
    replace(assembly, '"format": 1', '"format": 2')
    replace(assembly, '"md5"', '"sha512"')
    with pytest.raises(NewerFormatError, match=r"assembly\.json is of format 2, and this modos reads 1"):
        store.assembly("toy")
    with pytest.raises(NewerFormatError):
        modos.open_reference("toy", place=place / "refs")
    replace(assembly, '"sha512"', '"md5"')
    replace(assembly, '"format": 2', '"format": 1')
    replace(manifest, '"format": 1', '"format": 2')
    with pytest.raises(NewerFormatError, match=r"manifest\.json is of format 2, and this modos reads 1"):
        modos.open_reference("toy", place=place / "refs").annotation("genes")
    replace(index, '"format": 1', '"format": 2')
    with pytest.raises(NewerFormatError, match="is of format 2, and this modos reads 1"):
        store.index()
    done = run(["reference", "list", "--store", "refs"], cwd=place, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (2, "")
    assert "is of format 2, and this modos reads 1" in done.stderr


@each_none
def test_versions_in_a_reference_store_that_are_none_are_damage(place, version):
    store = ReferenceStore(open_storage(place / "refs"))
    for name, use in (
        ("annotations/genes/v1/manifest.json", lambda: modos.open_reference("toy", place=place / "refs").annotation("genes")),
        ("assemblies/toy/assembly.json", lambda: store.assembly("toy")),
        ("index.json", store.index),
    ):
        use()
        before = (place / "refs" / name).read_text()
        replace(place / "refs" / name, '"format": 1', f'"format": {version}')
        with pytest.raises(IntegrityError, match="is damaged"):
            use()
        (place / "refs" / name).write_text(before)


def test_an_index_of_codes_is_refused(place):
    path = place / "codes.idx"
    path.write_bytes(path.read_bytes().replace(b"modos codes 1\n", b"modos codes 2\n"))
    before = path.read_bytes()
    for use in (lambda: codes.open(path), lambda: build([place.parent / "source/toy.obo"], path)):
        with pytest.raises(NewerFormatError, match=r"the index of codes \S+codes\.idx is of format 2, and this modos reads 1"):
            use()
    assert path.read_bytes() == before


def test_a_list_of_places_to_cut_at_is_refused(place):
    modo, secret = MODO.open(place / "sealed"), load_secret_key(place.parent / "source/server.sec")
    data = read_cuts(modo.storage, modo.metadata["data/reads"], secret)
    CutList.from_bytes(data)
    with pytest.raises(NewerFormatError, match="is of format 2, and this modos reads 1"):
        CutList.from_bytes(data[:8] + struct.pack("<I", 2) + b"whatever it is by then, and longer than a start")


def test_a_list_of_digests_of_another_version_is_not_that_of_the_object(place):
    """The version of an object says which lists it has; another one is damage, and is made anew."""
    modo = MODO.open(place / "plain")
    path = place / "plain/counts.zarr.parts"
    before = path.read_bytes()
    path.write_bytes(before.replace(b"modospd1", b"modospd2"))
    assert "list" in {found.kind for found in modo.find_problems()}
    with pytest.raises(IntegrityError):
        modo["data/rna"].to_zarr()["X"][:]
    modo.mend(modo.find_problems())
    assert path.read_bytes() == before


@pytest.fixture
def newer_log(tmp_path, place, monkeypatch) -> Path:
    """A log with a chain as this modos writes it, and one of a later format."""
    officer = load_public_key(tmp_path / "source/officer.pub")
    monkeypatch.setattr("modos.readlog.chain_writer.FORMAT", 2)
    chain = ChainWriter(open_storage(place / "log"), officer, Limits(800))
    chain.begin()
    for number in range(8):
        chain.append([entry_to_line({"event": "granted", "id": f"new {number}", "time": "2027-01-01T00:00:00Z"})])
    chain.close()
    monkeypatch.undo()
    return place / "log"


def test_a_chain_of_a_read_log_is_told_and_the_others_are_read(newer_log, tmp_path, monkeypatch):
    reader = LogReader(open_storage(newer_log), load_secret_key(tmp_path / "source/officer.sec"))
    found = [entry for _, _, entry in reader.entries()]
    assert len(found) == 12 and not [entry for entry in found if entry["id"].startswith("new")]
    assert len(reader.found.problems) == 1
    assert "it is of format 2, and this modos reads 1: install a newer modos" in reader.found.problems[0]
    done = run(
        ["log", "verify", "log", "-s", tmp_path / "source/officer.sec"], cwd=newer_log.parent, capture_output=True, text=True
    )
    assert done.returncode == 6 and "it is of format 2, and this modos reads 1" in done.stderr
    assert "cut off" not in done.stderr and "missing" not in done.stderr


@pytest.mark.parametrize("version", ["1", 2.0, 1.0, True, 0, None, [1]], ids=repr)
def test_a_chain_of_a_format_that_is_none_is_damage(tmp_path, place, monkeypatch, version):
    monkeypatch.setattr("modos.readlog.chain_writer.FORMAT", version)
    chain = ChainWriter(open_storage(tmp_path / "log"), load_public_key(tmp_path / "source/officer.pub"), Limits(800))
    chain.begin()
    chain.append([entry_to_line({"event": "granted", "id": "x", "time": "2027-01-01T00:00:00Z"})])
    chain.close()
    reader = LogReader(open_storage(tmp_path / "log"), load_secret_key(tmp_path / "source/officer.sec"))
    assert list(reader.entries()) == []
    assert any("it tells no format of the log" in problem for problem in reader.found.problems)


def test_a_chain_of_a_later_format_is_not_deleted_for_its_age(newer_log):
    storage = open_storage(newer_log)
    chains = list_chains(storage)
    newer = next(name for name, chain in chains.items() if len(chain.segments) > 2)
    for path in newer_log.rglob("*.log"):
        os.utime(path, (0, 0))
    expired = {one.tombstone["chain"] for one in find_expired(storage, chains, 0.0, 0.0)}
    assert expired == chains.keys() - {newer}
