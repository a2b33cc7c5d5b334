"""A server over a folder: what `remote list` prints is shown, streamed and downloaded, as from S3."""

from __future__ import annotations

import shutil

import numpy as np
import pytest

from modos.api import MODO
from modos.catalog.catalog import list_remote
from modos.errors import AccessError, ConflictError, InvalidInputError, NotFoundError
from modos.server.app import create_app
from modos.server.auth import Access
from modos.server.run import BackgroundServer
from modos.storage import open_storage
from tests.support import commands

REGION, READS = "chr1:20,001-25,000", 969
TOKEN = "a-token-of-many-letters"


@pytest.fixture(scope="module")
def folder(tmp_path_factory, example):
    folder = tmp_path_factory.mktemp("served")
    for name in ("ex", "lab one/50% ä"):
        shutil.copytree(example / "ex", folder / name)
    return folder


@pytest.fixture(scope="module")
def url(folder):
    with BackgroundServer(create_app(open_storage(folder))) as server:
        yield server.url


def modos(*words, text=True):
    return commands.run(words, capture_output=True, text=text, timeout=120)


def test_what_is_listed_is_read_everywhere(url, folder, tmp_path):
    listed = modos("--endpoint", url, "remote", "list").stdout.split("\n")[:-1]
    assert listed == [f"{url}/files/ex", f"{url}/files/lab%20one/50%25%20%C3%A4"]
    for number, (place, key) in enumerate(zip(listed, ("ex", "lab one/50% ä"))):
        assert modos("--endpoint", url, "show", place, "--json").stdout == modos("show", folder / key, "--json").stdout
        for file in ("demo1.cram", "demo2.bam"):
            counted = modos("stream", "-c", "-r", REGION, f"{place}/{file}")
            assert counted.stdout.strip() == str(READS), counted.stderr
        whole = modos("--endpoint", url, "stream", f"{place}/demo2.bam", text=False)
        assert whole.stdout == (folder / key / "demo2.bam").read_bytes()
        target = tmp_path / str(number)
        assert modos("remote", "download", place, target).returncode == 0
        assert MODO.open(target).metadata == MODO.open(folder / key).metadata
        assert (target / "demo1.cram").read_bytes() == (folder / key / "demo1.cram").read_bytes()


def test_tracks_are_downloaded(folder, tmp_path):
    modo = MODO.create(tmp_path / "served/t")
    (tmp_path / "sizes").write_text("chr1\t90000\nchr2\t50\n")
    modo.add_genome(sizes=tmp_path / "sizes")
    values = np.random.default_rng(0).normal(size=90_000).round(2).astype(np.float32)
    modo.add_track("noise", {"chr1": values})
    with BackgroundServer(create_app(open_storage(tmp_path / "served"))) as server:
        MODO.open(f"{server.url}/files/t").download(tmp_path / "copy")
    files = [
        sorted(path.relative_to(top).as_posix() for path in top.rglob("*") if path.is_file() and "/c/" in str(path))
        for top in (tmp_path / "served/t", tmp_path / "copy")
    ]
    assert files[0] == files[1] and files[0]
    np.testing.assert_array_equal(MODO.open(tmp_path / "copy").genome["chr1"][0:90_000, "noise"], values)


def test_without_htsget_the_files_are_read_themselves(url, folder):
    modo = MODO.open(f"{url}/files/ex", services={"htsget": None})
    assert modo.file("demo1.cram").count(REGION) == READS
    data, info = modo.storage.read_part("demo2.bam", 5, 25)
    assert data == (folder / "ex/demo2.bam").read_bytes()[5:25] and info.size == (folder / "ex/demo2.bam").stat().st_size


def test_a_served_object_itself(folder):
    with BackgroundServer(create_app(open_storage(folder / "ex"))) as server:
        (place,) = list_remote(None, server.url, None)
        assert MODO.open(place).metadata == MODO.open(folder / "ex").metadata
        modo, key = MODO.locate(f"{place}/demo2.bam")
        assert modo.file(key).count(REGION) == READS


def test_what_is_not_there_is_said(url):
    for call in (
        lambda: MODO.open(f"{url}/files/none"),
        lambda: MODO.locate(f"{url}/files/none/x.bam"),
        lambda: MODO.locate(f"{url}/files/ex/x.bam"),
    ):
        with pytest.raises(NotFoundError):
            call()


def test_nothing_is_changed_there(url):
    with pytest.raises(AccessError, match="only read"):
        MODO.create(f"{url}/files/new")
    with pytest.raises(AccessError, match="only read"):
        MODO.open(f"{url}/files/ex").add_element({"id": "s", "@type": "Sample"})


def test_a_file_that_was_changed_is_not_mixed(tmp_path, folder):
    shutil.copytree(folder / "ex", tmp_path / "ex")
    with BackgroundServer(create_app(open_storage(tmp_path))) as server:
        storage = MODO.open(f"{server.url}/files/ex").storage
        tag = storage.stat("demo2.bam").etag
        assert storage.read_part("demo2.bam", 0, 4, if_match=tag)[1].etag == tag
        (tmp_path / "ex/demo2.bam").write_bytes(b"other bytes")
        with pytest.raises(ConflictError):
            storage.read_part("demo2.bam", 0, 4, if_match=tag)


def test_the_token_goes_to_its_server_alone(folder, url, monkeypatch):
    with BackgroundServer(create_app(open_storage(folder), access=Access({TOKEN: "alice"}))) as server:
        with pytest.raises(AccessError):
            MODO.open(f"{server.url}/files/ex")
        monkeypatch.setenv("MODOS_TOKEN", TOKEN)
        modo = MODO.open(f"{server.url}/files/ex")
        assert modo.file("demo2.bam").count(REGION) == READS
        with pytest.raises(InvalidInputError, match="not at the endpoint"):
            MODO.open(f"{server.url}/files/ex", endpoint=url)
