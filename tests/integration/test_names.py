"""A file keeps its name whatever becomes of it, and gets another one in one commit."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from contextlib import suppress
from pathlib import Path
from urllib.parse import quote

import pysam
import pytest
import requests

from modos.api import MODO
from modos.demo.stack import BUCKET, CREDENTIALS
from modos.encryption.keys import SecretKey, generate, load_secret_key
from modos.errors import (
    AlreadyExistsError,
    ConflictError,
    DecryptError,
    IntegrityError,
    InvalidInputError,
    ModosError,
    NotFoundError,
)
from modos.formats import STORED_KEY_HEADER, name_of
from modos.genomics.htsget.client import HtsgetClient
from modos.genomics.htsget.query import Query
from modos.object.finding import open_served_file
from modos.server import drs
from modos.server.app import create_app
from modos.server.run import BackgroundServer
from modos.storage import open_storage
from modos.storage.s3 import S3Storage
from tests.support import commands
from tests.support.proxy import Proxy

pytestmark = pytest.mark.sweep(6)

OTHER = SecretKey(bytes(range(1, 33)))


@pytest.fixture(scope="module")
def secret_file(tmp_path_factory) -> Path:
    """A secret key without a passphrase."""
    path = tmp_path_factory.mktemp("keys") / "me.sec"
    generate(path, path.with_suffix(".pub"), None)
    return path


@pytest.fixture(scope="module")
def own(secret_file) -> SecretKey:
    return load_secret_key(secret_file)


@pytest.fixture(scope="module")
def crams(example, tmp_path_factory) -> list[Path]:
    """Files of the same name with fewer and fewer of the demo's reads, that need no reference."""
    made = []
    for number in range(5):
        folder = tmp_path_factory.mktemp("crams")
        subprocess.run(
            [
                "samtools",
                "view",
                "-C",
                "--output-fmt-option",
                "no_ref=1",
                "-s",
                f"{number}.{9 - number}",
                "-o",
                folder / "demo1.cram",
                example / "source/demo2.bam",
            ],
            check=True,
        )
        subprocess.run(["samtools", "index", folder / "demo1.cram"], check=True)
        made.append(folder / "demo1.cram")
    assert len({wanted(path) for path in made}) == 5
    return made


def wanted(path, region="chr1:20,001-30,000") -> int:
    return int(subprocess.run(["samtools", "view", "-c", path, region], check=True, capture_output=True, text=True).stdout)


class Place:
    """A folder or a bucket with one object, and a modos server over it."""

    def __init__(self, path: str, prefix: str, url: str, **options):
        self.path, self.id, self.url, self.options = path, f"{prefix}ex", url, options

    def run(self, *words) -> subprocess.CompletedProcess:
        """Run `modos`; on S3 with the server as its endpoint."""
        told = {"AWS_ACCESS_KEY_ID": CREDENTIALS["key"], "AWS_SECRET_ACCESS_KEY": CREDENTIALS["secret"]}
        options = ["--endpoint", self.url] if self.options else []
        return commands.run([*options, *words], capture_output=True, text=True, env=os.environ | told)

    def open(self) -> MODO:
        return MODO.open(self.path, **self.options)


@pytest.fixture(params=["local", "s3"])
def place(request, tmp_path, crams):
    if request.param == "local":
        storage, path, prefix, options = open_storage(tmp_path / "root"), str(tmp_path / "root/ex"), "", {}
        (tmp_path / "root").mkdir()
    else:
        stack = request.getfixturevalue("stack")
        prefix, options = f"{tmp_path.name}/", {"services": {"s3": stack.s3}, "s3_kwargs": CREDENTIALS}
        storage, path = (
            S3Storage.from_url(f"s3://{BUCKET}", endpoint_url=stack.s3, s3_kwargs=CREDENTIALS),
            f"s3://{BUCKET}/{prefix}ex",
        )
    modo = MODO.create(path, **options)
    modo.add_element({"id": "r", "@type": "AlignmentSet"}, crams[0])
    with BackgroundServer(create_app(storage)) as server:
        yield Place(path, prefix, server.url, **options)


def key(place) -> str:
    return place.open().metadata["data/r"]["data_path"]


def stored(place) -> set[str]:
    """The files of the elements and their indexes; there is a list of digests beside each that has several parts."""
    storage = place.open().storage
    sizes = {info.key: info.size for info in storage.iter_files() if not info.key.startswith((".modos", "data.zarr"))}
    files = {key for key in sizes if not key.endswith(".parts")}
    data = {attributes.get("data_path") for attributes in place.open().metadata.values()} & files
    large = {key for key in data if sizes[key] > (1 << 16) + 1000}
    assert large <= {key.removesuffix(".parts") for key in sizes.keys() - files} <= data
    return files


def check_named(place, path, tmp_path, secret=None, name="demo1.cram") -> None:
    """The records are the same by every way that goes by the name."""
    count, modo = wanted(path), place.open()
    assert modo.count(name, "chr1:20,001-30,000", secret_key=secret) == count
    assert modo.count(f"{place.path}/{name}", "chr1:20,001-30,000", secret_key=secret) == count
    assert modo.file_name("r") == name == modo["data/r"].file_name and not [
        f for f in modo.find_problems() if f.kind != "unknown"
    ]
    with pytest.raises(NotFoundError) as caught:
        modo.find_file(name.replace("1", "l"))
    assert f"did you mean {name}?" in caught.value.hint
    told = place.run(
        "stream", "-c", "-r", "chr1:20,001-30,000", *(["--secret-key", secret] if secret else []), f"{place.path}/{name}"
    )
    assert told.stdout == f"{count}\n", told.stderr
    if secret:
        return
    url = f"{place.url}/htsget/reads/{place.id}/{name.removesuffix('.cram')}"
    assert open_served_file(url, None).count("chr1:20,001-30,000") == count
    asked = requests.get(f"{place.url}/files/{place.id}/{name}", timeout=20)
    assert asked.status_code == 200 and asked.content == modo.storage.read(key(place))[0]
    index = requests.get(f"{place.url}/files/{place.id}/{name}.crai", timeout=20)
    assert index.content == modo.storage.read(key(place) + ".crai")[0]
    (tmp_path / "got.cram").write_bytes(asked.content)
    (tmp_path / "got.cram.crai").write_bytes(index.content)
    assert wanted(tmp_path / "got.cram") == count
    drs_id = drs.object_id(f"{place.id}/{name}")
    answer = requests.get(f"{place.url}/ga4gh/drs/v1/objects/{drs_id}", timeout=20).json()
    assert answer["name"] == name.rpartition("/")[2] and answer["size"] == len(asked.content)
    assert answer["id"] == drs.object_id(f"{place.id}/{key(place)}")
    access = requests.get(f"{place.url}/ga4gh/drs/v1/objects/{drs_id}/access/file", timeout=20).json()
    assert requests.get(access["url"], timeout=20).content == asked.content


@pytest.mark.sweep(1)
def test_a_file_keeps_its_name(place, crams, tmp_path, own, secret_file):
    check_named(place, crams[0], tmp_path)
    for number in (1, 2, 3):
        old = key(place)
        place.open().update_element("r", {}, crams[number])
        assert key(place) == f"demo1~{number + 1}.cram" and stored(place) == {key(place), key(place) + ".crai"}
        check_named(place, crams[number], tmp_path)
        with pytest.raises(ModosError):
            place.open().storage.read(old)
    steps = [
        (lambda modo: modo.encrypt([own.public]), "demo1~4.cram.c4gh"),
        (lambda modo: modo.share(own, OTHER.public), "demo1~5.cram.c4gh"),
        (lambda modo: modo.revoke(own, OTHER.public), "demo1~6.cram.c4gh"),
        (lambda modo: modo.revoke(own, [], rotate=True), "demo1~7.cram.c4gh"),
    ]
    for step, wanted_key in steps:
        step(place.open())
        assert key(place) == wanted_key
        check_named(place, crams[3], tmp_path, secret_file)
        assert place.open().find_file("demo1.cram.c4gh") == wanted_key
    place.open().decrypt(own)
    assert key(place) == "demo1~7.cram" and stored(place) == {"demo1~7.cram", "demo1~7.cram.crai"}
    check_named(place, crams[3], tmp_path)


def test_who_goes_by_a_key_is_given_no_other_file(place, crams, monkeypatch):
    """A client of the object's old state, a ticket of the old file, and an address by DRS."""
    monkeypatch.setattr("modos.server.htsget.INLINE", 0)
    old_id = f"{place.id}/demo1"
    by_key = HtsgetClient(f"{place.url}/htsget", stored=True)
    ticket = by_key.fetch_ticket("reads", old_id, Query("CRAM"))
    access = requests.get(f"{place.url}/ga4gh/drs/v1/objects/{drs.object_id(f'{old_id}.cram')}/access/file", timeout=20).json()
    place.open().update_element("r", {}, crams[1])
    with pytest.raises(NotFoundError):
        by_key.fetch_ticket("reads", old_id, Query("CRAM"))
    by_key.fetch_ticket("reads", f"{place.id}/demo1~2", Query("CRAM"))
    led = [
        requests.get(block.url, headers=block.headers, timeout=20).status_code
        for block in ticket.blocks
        if block.decode_inline() is None
    ]
    assert led and set(led) == {404}
    with pytest.raises(ModosError):
        b"".join(by_key.iter_bytes(ticket))
    headers = dict(line.split(": ", 1) for line in access.get("headers", ()))
    assert requests.get(access["url"], headers=headers, timeout=20).status_code == 404
    assert requests.get(f"{place.url}/files/{old_id}.cram", headers={STORED_KEY_HEADER: "1"}, timeout=20).status_code == 404
    assert requests.get(f"{place.url}/files/{old_id}.cram", timeout=20).status_code == 200


@pytest.mark.sweep(1)
def test_a_client_of_the_old_state_is_not_given_the_new_file(place, crams, monkeypatch):
    monkeypatch.setattr("modos.object.newest._FRESH", 3600)  # so that it does not look meanwhile, however slow the machine
    if not place.options:
        pytest.skip("a folder is read as it is")
    for services in ({"htsget": f"{place.url}/htsget"}, {"htsget": None}):
        modo = place.open()
        services = place.options["services"] | services
        old = MODO.open(place.path, services=services, s3_kwargs=CREDENTIALS)
        before = wanted(crams[0 if key(place) == "demo1.cram" else 1])
        assert old.count("demo1.cram", "chr1:20,001-30,000") == before
        stale = old.file("demo1.cram")
        assert stale.count("chr1:20,001-30,000") == before
        modo.update_element("r", {}, crams[1 if before == wanted(crams[0]) else 2])
        for read in (lambda: stale.count("chr1:20,001-30,000"), lambda: len(list(stale.fetch("chr1:20,001-30,000")))):
            with suppress(NotFoundError):
                assert read() == before  # what is kept in memory is of the old file
        with pytest.raises(NotFoundError):
            list(stale.fetch())
        assert MODO.open(place.path, services=services, s3_kwargs=CREDENTIALS).count("demo1.cram", "chr1:20,001-30,000") != before


@pytest.mark.sweep(1)
def test_an_address_is_of_the_kind_that_comes_first_and_may_be_escaped(place, example):
    """A name can have blanks, and a folder of variants can be called `reads`."""
    place.open().add_element(
        {"id": "v", "@type": "VariantSet", "data_path": "reads/v 100%25 é.vcf.gz"}, example / "source/calls.vcf.gz"
    )
    count = place.open().count("reads/v 100%25 é.vcf.gz")
    address = f"{place.url}/htsget/variants/{quote(f'{place.id}/reads/v 100%25 é')}"
    assert count > 0 and open_served_file(address, None).count() == count


def test_samtools_goes_by_the_name(place, crams):
    place.open().update_element("r", {}, crams[1])
    url = f"{place.url}/htsget/reads/{place.id}/demo1?format=CRAM&referenceName=chr1&start=20000&end=30000"
    got = subprocess.run(["samtools", "view", "-c", url], capture_output=True, text=True)
    assert got.returncode == 0, got.stderr
    assert int(got.stdout) >= wanted(crams[1])


@pytest.mark.core
@pytest.mark.sweep(1)
def test_a_file_is_renamed(place, crams, tmp_path, own, secret_file):
    modo = place.open()
    modo.update_element("r", {}, crams[1])
    before, data = place.open().metadata["data/r"], modo.storage.read("demo1~2.cram")[0]
    revision = modo._document.state["revision"]
    modo.update_element("r", {"data_path": "reads/patient 1.cram"})
    assert (
        stored(place) == {"reads/patient 1.cram", "reads/patient 1.cram.crai"}
        and place.open()._document.state["revision"] == revision + 1
    )
    assert place.open().metadata["data/r"] == before | {"data_path": "reads/patient 1.cram"}
    assert modo.storage.read("reads/patient 1.cram")[0] == data
    check_named(place, crams[1], tmp_path, name="reads/patient 1.cram")
    with pytest.raises(NotFoundError):
        place.open().find_file("demo1.cram")
    place.open().encrypt([own.public])
    place.open().share(own, OTHER.public)
    place.open().update_element("r", {"data_path": "reads/patient1.cram"})
    assert stored(place) == {"reads/patient1.cram.c4gh", "reads/patient1.cram.crai.c4gh"}
    assert place.open().verify_encryption(OTHER) == ["data/r"]
    check_named(place, crams[1], tmp_path, secret_file, name="reads/patient1.cram")


@pytest.mark.sweep(1)
def test_a_version_is_left_behind(place, crams, tmp_path):
    modo = place.open()
    modo.update_element("r", {}, crams[1])
    modo.update_element("r", {"data_path": "demo1.cram"})
    assert stored(place) == {"demo1.cram", "demo1.cram.crai"}
    check_named(place, crams[1], tmp_path)
    modo.update_element("r", {"data_path": "Demo1.cram"})
    assert stored(place) == {"Demo1.cram", "Demo1.cram.crai"}


@pytest.mark.sweep(1)
def test_a_name_and_a_file_at_once(place, crams, tmp_path):
    modo = place.open()
    modo.update_element("r", {}, crams[1])
    modo.update_element("r", {"data_path": "demo1.cram"}, crams[2])
    assert key(place) == "demo1~3.cram"
    modo.update_element("r", {"data_path": "other1.cram"}, crams[3])
    assert stored(place) == {"other1.cram", "other1.cram.crai"}
    check_named(place, crams[3], tmp_path, name="other1.cram")
    for path in ("x.bam", "x.cram.c4gh", "x~2.cram"):
        with pytest.raises((InvalidInputError, DecryptError)):
            modo.update_element("r", {"data_path": path}, crams[2])


@pytest.fixture
def modo(tmp_path, crams, example) -> MODO:
    modo = MODO.create(tmp_path / "ex")
    modo.add_element({"id": "r", "@type": "AlignmentSet"}, crams[0])
    modo.add_element({"id": "b", "@type": "AlignmentSet"}, example / "source/demo2.bam")
    return modo


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("x.bam", "is CRAM, and x.bam says BAM"),
        ("x", "of no format that is known"),
        ("demo1.cram.c4gh", "not encrypted"),
        ("x~2.cram", "call it x.cram"),
        ("demo1~2.cram", "call it demo1.cram"),
        ("demo2.bam", "belongs to data/b"),
        ("../x.cram", "not a path inside"),
        ("data.zarr/x.cram", "in the metadata"),
        ("demo1.cram.crai", "no format that is known"),
        ("demo2.bam/x.cram", "a folder of the name of demo2.bam, a file of data/b"),
        ("demo2.bam.csi/x.cram", "a folder of the name of demo2.bam.csi, a file of data/b"),
        (5, "data_path 5 does not fit"),
        (["x.cram"], "does not fit"),
    ],
)
def test_names_that_a_file_cannot_get(modo, path, words):
    before = modo.metadata, set(os.listdir(modo.path))
    with pytest.raises((InvalidInputError, AlreadyExistsError)) as caught:
        modo.update_element("r", {"data_path": path})
    assert words in f"{caught.value.message}, {caught.value.hint}"
    assert (MODO.open(modo.path).metadata, set(os.listdir(modo.path))) == before


def test_a_marked_name_is_refused_of_a_new_file(modo, crams, tmp_path):
    (tmp_path / "x~2.cram").write_bytes(crams[0].read_bytes())
    for given in ({}, {"data_path": "y~3.cram"}):
        with pytest.raises(InvalidInputError, match="the mark of a file that replaced another"):
            modo.add_element({"id": "n", "@type": "AlignmentSet"} | given, tmp_path / "x~2.cram")
    modo.add_element({"id": "n", "@type": "AlignmentSet", "data_path": "x.cram"}, tmp_path / "x~2.cram")


def test_two_files_do_not_get_one_name(modo, crams):
    modo.update_element("r", {}, crams[1])
    for given in ({"data_path": "demo1.cram"}, {}):
        with pytest.raises(AlreadyExistsError, match="data/r has a file that is called demo1.cram already"):
            modo.add_element({"id": "n", "@type": "AlignmentSet"} | given, crams[2])
    with pytest.raises(AlreadyExistsError):
        modo.update_element("b", {"data_path": "demo1.cram"}, crams[2])
    assert modo.find_problems() == []


def test_a_file_is_not_called_as_an_index_of_another_or_as_its_folder(place, tmp_path):
    """On S3 a file and a folder could have one name, and the object could not be copied to a folder."""
    modo = place.open()
    modo.update_element("r", {"data_path": "reads/a.cram"})
    (tmp_path / "notes.txt").write_text("notes")
    for name, words in (
        ("reads/a.cram.crai", "an index of reads/a.cram, the file of data/r"),
        ("reads/a.crai", "an index of reads/a.cram"),
        ("reads", "reads/a.cram lies in a folder of the name of reads, a file of data/n"),
        ("reads/a.cram/notes.txt", "a folder of the name of reads/a.cram, a file of data/r"),
    ):
        with pytest.raises(AlreadyExistsError, match=words):
            modo.add_element({"id": "n", "@type": "DataEntity", "data_format": "TSV", "data_path": name}, tmp_path / "notes.txt")
    modo.add_element(
        {"id": "n", "@type": "DataEntity", "data_format": "TSV", "data_path": "reads/notes.txt"}, tmp_path / "notes.txt"
    )
    assert place.open().find_problems() == []


@pytest.mark.sweep(1)
@pytest.mark.parametrize("name", ["x.cram.crai", "x.crai"])
def test_a_file_that_is_there_does_not_become_the_index_of_one_that_is_renamed(place, name):
    modo = place.open()
    modo.storage.write(name, b"somebody's")
    with pytest.raises(AlreadyExistsError, match=f"there is another file {name} in "):
        modo.update_element("r", {"data_path": "x.cram"})
    assert stored(place) == {"demo1.cram", "demo1.cram.crai", name} and modo.storage.read(name)[0] == b"somebody's"


def test_a_path_that_is_given_counts_though_it_is_that_of_before(modo, example):
    """A file of another format is not put at another place than was said."""
    with pytest.raises(InvalidInputError, match="is VCF, and its data_path demo2.bam says BAM"):
        modo.update_element("b", {"data_path": "demo2.bam"}, example / "source/calls.vcf.gz")
    described = [
        {
            "element": {"id": "b", "@type": "AlignmentSet", "data_path": "demo2.bam"},
            "args": {"source_file": str(example / "source/calls.vcf.gz")},
        }
    ]
    (modo.path.parent / "described.json").write_text(json.dumps(described))
    with pytest.raises(InvalidInputError, match="is VCF, and its data_path demo2.bam says BAM"):
        MODO.from_file(modo.path.parent / "described.json", modo.path)
    assert modo.file_name("b") == "demo2.bam"


def test_a_version_alone_is_no_difference(modo, crams, tmp_path):
    shutil.copytree(modo.path, tmp_path / "other")
    for number in (1, 0):
        modo.update_element("r", {}, crams[number])
    assert modo.metadata["data/r"]["data_path"] == "demo1~3.cram"
    assert commands.run(["diff", modo.path, tmp_path / "other"], capture_output=True).stdout == b""
    modo.update_element("r", {}, crams[1])
    modo.update_element("b", {"data_path": "x.bam"})
    told = commands.run(["diff", modo.path, tmp_path / "other"], capture_output=True, text=True)
    assert told.returncode == 1 and "data_path: x.bam -> demo2.bam" in told.stdout and "demo1" not in told.stdout
    assert "data_checksum" in told.stdout


def test_who_renames_what_was_replaced_meanwhile_is_told_so(place, crams):
    other = place.open()
    with pytest.raises(ConflictError), other.transaction() as tx:
        tx.update_element("r", {"data_path": "x.cram"})
        place.open().update_element("r", {}, crams[1])
    assert stored(place) == {"demo1~2.cram", "demo1~2.cram.crai"}


def test_a_name_of_two_files_is_an_error_that_lists_them(modo, crams):
    """Somebody else wrote the metadata."""
    for number in (2, 3):
        shutil.copy(modo.path / "demo1.cram", modo.path / f"z~{number}.cram")
    root = modo.path / "data.zarr/zarr.json"
    root.write_text(root.read_text().replace('"demo1.cram"', '"z~2.cram"').replace('"demo2.bam"', '"z~3.cram"'))
    again = MODO.open(modo.path)
    with pytest.raises(InvalidInputError, match="z.cram could be z~2.cram or z~3.cram"):
        again.find_file("z.cram")
    assert again.find_file("z~3.cram") == "z~3.cram"
    with BackgroundServer(create_app(open_storage(modo.path.parent))) as server:
        for path in ("htsget/reads/ex/z", "files/ex/z.cram"):
            answer = requests.get(f"{server.url}/{path}", timeout=20)
            assert answer.status_code == 400 and "z~2.cram or z~3.cram" in answer.text


def test_a_file_that_is_there_is_not_mistaken_for_a_version(modo, crams, own):
    """The kept plain file, and the one that another program put where the name leads."""
    modo.update_element("r", {}, crams[1])
    (modo.path / "demo1.cram").write_bytes(b"mine")
    with pytest.raises(AlreadyExistsError, match="another file demo1.cram"):
        modo.update_element("r", {"data_path": "demo1.cram"})
    assert (modo.path / "demo1.cram").read_bytes() == b"mine" and modo.metadata["data/r"]["data_path"] == "demo1~2.cram"
    assert modo.count("demo1.cram") == int(pysam.view("-c", str(crams[1])))
    (modo.path / "demo1~2.cram.c4gh").write_bytes(b"mine as well")
    modo.encrypt([own.public])
    assert modo.metadata["data/r"]["data_path"] == "demo1~3.cram.c4gh" and modo.verify_encryption(own) == ["data/r", "data/b"]
    assert (modo.path / "demo1~2.cram.c4gh").read_bytes() == b"mine as well"


def test_a_file_of_another_size_is_not_renamed(modo):
    with open(modo.path / "demo1.cram", "ab") as file:
        file.write(b"more")
    with pytest.raises(IntegrityError, match="recorded are"):
        modo.update_element("r", {"data_path": "x.cram"})
    assert not (modo.path / "x.cram").exists() and modo.metadata["data/r"]["data_path"] == "demo1.cram"


def test_a_folder_without_hard_links_is_copied_in(modo, monkeypatch):
    def link(*args, **kwargs):
        raise OSError(95, "Operation not supported")

    data = (modo.path / "demo1.cram").read_bytes()
    monkeypatch.setattr("os.link", link)
    modo.update_element("r", {"data_path": "a/b/x.cram"})
    assert (modo.path / "a/b/x.cram").read_bytes() == data and modo.find_problems() == []
    modo.update_element("r", {"data_path": "x.cram"})
    assert not (modo.path / "a").exists() and modo.find_problems() == []


def test_a_link_keeps_the_bytes_where_they_are(modo):
    inode = (modo.path / "demo1.cram").stat().st_ino
    modo.update_element("r", {"data_path": "x.cram"})
    assert (modo.path / "x.cram").stat().st_ino == inode and (modo.path / "x.cram").stat().st_nlink == 1


def test_a_large_file_is_renamed_by_the_s3_server(stack, tmp_path):
    (tmp_path / "large.tsv").write_bytes(os.urandom(25_000_000))
    with Proxy(stack.s3) as proxy:
        modo = MODO.create(f"s3://{BUCKET}/{tmp_path.name}/ex", services={"s3": proxy.url}, s3_kwargs=CREDENTIALS)
        modo.add_element({"id": "large", "@type": "DataEntity", "data_format": "TSV"}, tmp_path / "large.tsv")
        proxy.answered = proxy.received = 0
        modo.update_element("large", {"data_path": "tables/l.tsv"})
        assert proxy.answered + proxy.received < 12_000_000
        assert modo.find_problems() == [] and modo.storage.read("tables/l.tsv")[0] == (tmp_path / "large.tsv").read_bytes()


@pytest.mark.sweep(1)
def test_two_that_rename_to_one_name(place, crams):
    """The second fails, and the first keeps its bytes."""
    modo = place.open()
    modo.add_element({"id": "s", "@type": "AlignmentSet", "data_path": "s.cram"}, crams[1])
    data, other = modo.storage.read("demo1.cram")[0], place.open()
    with pytest.raises(ModosError), other.transaction() as tx:
        tx.update_element("s", {"data_path": "x.cram"})
        place.open().update_element("r", {"data_path": "x.cram"})
    assert place.open().storage.read("x.cram")[0] == data and place.open().find_problems() == []
    assert place.open().metadata["data/s"]["data_path"] == "s.cram"


def test_the_fasta_of_a_reference_is_renamed(tmp_path, example):
    modo = MODO.create(tmp_path / "ex")
    modo.add_element({"id": "g", "@type": "ReferenceGenome", "version": "1"}, example / "source/reference.fa")
    modo.enrich_metadata()
    before = modo.metadata
    modo.update_element("reference/g", {"data_path": "genomes/g1.fasta"})
    assert modo.metadata["reference/g"] == before["reference/g"] | {"data_path": "genomes/g1.fasta"}
    assert (
        sorted(path.name for path in (modo.path / "genomes").iterdir()) == ["g1.fasta", "g1.fasta.fai", "g1.fasta.parts"]
        and modo.find_problems() == []
    )
    with pytest.raises(InvalidInputError, match="not compressed alike"):
        modo.update_element("reference/g", {"data_path": "g1.fa.gz"})


def test_arrays_have_no_name_to_change(tmp_path):
    modo = MODO.create(tmp_path / "ex")
    (tmp_path / "sizes").write_text("chr1\t5000\n")
    modo.add_genome(sizes=tmp_path / "sizes")
    modo.add_track("steps", {"chr1": [1.0, 2.0]})
    with pytest.raises(InvalidInputError, match="kept as arrays"):
        modo.update_element("data/steps", {"data_path": "steps.bed"})


def test_a_description_goes_by_names(modo, crams, tmp_path):
    """What was written down of a replaced file changes nothing, and makes a new object with the plain name."""
    modo.update_element("r", {}, crams[1])
    modo.update_element("r", {}, crams[2])
    before = modo.metadata
    for path in ("demo1.cram", "demo1~3.cram", "demo1~2.cram"):
        for arguments in ("", f", args: {{source_file: {crams[2]}}}"):
            (tmp_path / "d.yaml").write_text(f"- {{element: {{id: r, '@type': AlignmentSet, data_path: {path}}}{arguments}}}\n")
            assert MODO.compare_with_file(tmp_path / "d.yaml", modo.path) == []
            assert MODO.from_file(tmp_path / "d.yaml", modo.path).metadata == before
    (tmp_path / "d.yaml").write_text(
        f"- {{element: {{id: r, '@type': AlignmentSet, data_path: reads/demo1~3.cram.c4gh}}, args: {{source_file: {crams[2]}}}}}\n"
    )
    made = MODO.from_file(tmp_path / "d.yaml", tmp_path / "new")
    assert made.metadata["data/r"]["data_path"] == "reads/demo1.cram" and made.find_problems() == []


def test_people_are_shown_names(modo, crams, tmp_path):
    modo.update_element("r", {}, crams[1])
    assert "data_path: demo1.cram  # stored as demo1~2.cram\n" in modo.show_contents("r")
    assert "demo1.cram (stored as demo1~2.cram)" in modo["r"]._repr_html_()
    assert "<td>demo1.cram</td>" in modo._repr_html_() and "~2" not in modo._repr_html_()
    entity = {entity["@id"]: entity for entity in modo.ro_crate()["@graph"]}["demo1~2.cram"]
    assert entity["name"] == "demo1.cram"
    shown = commands.run(["show", "--files", str(modo.path)], capture_output=True, text=True, check=True).stdout.splitlines()
    assert f"{modo.path}/demo1.cram  (stored as demo1~2.cram)" in shown and f"{modo.path}/demo2.bam" in shown
    copy = modo.download(tmp_path / "copy", include=["demo1.cram"])
    assert (tmp_path / "copy/demo1~2.cram").exists() and not (tmp_path / "copy/demo2.bam").exists(), copy


def test_what_stays_is_told(modo, tmp_path):
    (modo.path / "there.cram").write_bytes((modo.path / "demo1.cram").read_bytes())
    told = commands.run(
        ["update", str(modo.path), "r", "-e", '{"data_path": "there.cram"}'], capture_output=True, text=True, check=True
    )
    assert "demo1.cram stays, and belongs to no element: data/r has there.cram now" in told.stderr
    assert (modo.path / "demo1.cram").exists() and {
        name_of(a["data_path"]) for a in MODO.open(modo.path).metadata.values() if "data_path" in a
    } == {"there.cram", "demo2.bam"}
