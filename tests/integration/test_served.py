"""An S3 server without temporary credentials: people with a token read by signed addresses."""

from __future__ import annotations

import numpy as np
import pytest

from modos.api import MODO
from modos.demo.stack import BUCKET, CREDENTIALS
from modos.errors import AccessError, ConflictError, IntegrityError, NotFoundError, RemoteError, TruncatedStream
from modos.remote.served import ServedStorage
from modos.server.app import create_app
from modos.server.auth import Access
from modos.server.rules import Rule, Rules
from modos.server.run import BackgroundServer
from modos.storage import open_storage
from modos.storage.s3 import S3Storage
from tests.support.proxy import Answer, Proxy

pytestmark = pytest.mark.sweep(4)

TOKEN = "a-token-of-many-letters"


@pytest.fixture
def seen() -> list[tuple[str, str | None]]:
    """Requests that came to S3: methods, and the header that names somebody."""
    return []


@pytest.fixture
def endpoint(stack, monkeypatch, seen):
    def none(*_, **__):
        raise RemoteError("the S3 server gives no temporary credentials")

    def note(proxy, handler, answer: Answer) -> None:
        seen.append((handler.command, handler.headers.get("Authorization")))

    monkeypatch.setattr("modos.storage.sts.scoped_credentials", none)
    monkeypatch.setenv("MODOS_TOKEN", TOKEN)
    with Proxy(stack.s3, fault=note) as proxy:
        storage = S3Storage.from_url(f"s3://{BUCKET}", endpoint_url=stack.s3, s3_kwargs=CREDENTIALS, public_url=proxy.url)
        rules = Rules((Rule(frozenset({"user:alice"}), read=("ex", "tracks")),))
        with BackgroundServer(create_app(storage, access=Access({TOKEN: "alice"}, rules))) as server:
            yield server.url


def test_an_object_is_read_without_keys_of_s3(endpoint, example, seen):
    modo = MODO(path=f"s3://{BUCKET}/ex", endpoint=endpoint)
    assert isinstance(modo.storage, ServedStorage)
    local = MODO.open(example / "ex")
    assert modo.metadata == local.metadata
    for name in ("demo1.cram", "demo2.bam"):
        assert modo.file(name).count("chr1:20,001-25,000") == 969
    without = MODO(path=f"s3://{BUCKET}/ex", endpoint=endpoint, services={"htsget": None})
    assert b"".join(without.file("demo2.bam").iter_bytes()) == (example / "ex/demo2.bam").read_bytes()
    assert seen and {authorization for _, authorization in seen} == {None}  # the token is the server's alone


def test_tracks_are_read_by_signed_addresses(endpoint, stack, tmp_path):
    modo = MODO.create(tmp_path / "t")
    (tmp_path / "sizes").write_text("chr1\t90000\n")
    modo.add_genome(sizes=tmp_path / "sizes")
    values = np.random.default_rng(0).normal(size=90_000).round(2).astype(np.float32)
    modo.add_track("noise", {"chr1": values})
    modo.upload(f"s3://{BUCKET}/tracks", services={"s3": stack.s3}, s3_kwargs=CREDENTIALS)
    served = MODO(path=f"s3://{BUCKET}/tracks", endpoint=endpoint)
    assert isinstance(served.storage, ServedStorage)
    np.testing.assert_array_equal(served.genome["chr1"][40_000:80_000, "noise"], values[40_000:80_000])
    with pytest.raises(AccessError, match="its server gives no credentials of S3, only addresses to read from"):
        served.append_track("noise", {"chr1": values})
    copy = served.download(tmp_path / "copy")  # without a list of the files that there are
    lists = [info.key for info in copy.storage.iter_files("data.zarr") if info.key.endswith("/parts")]
    assert lists and copy.find_problems() == []
    np.testing.assert_array_equal(copy.genome["chr1"][:, "noise"], values)
    shard = lists[0].removesuffix("parts") + "c/0"
    content = bytearray(modo.storage.read(shard)[0])
    content[10] ^= 1
    remote = MODO.open(f"s3://{BUCKET}/tracks", services={"s3": stack.s3}, s3_kwargs=CREDENTIALS)
    remote.storage.write(shard, bytes(content))
    with pytest.raises(IntegrityError, match="bytes 0-65,535 are not those that are recorded"):
        MODO(path=f"s3://{BUCKET}/tracks", endpoint=endpoint).genome["chr1"][:1000, "noise"]


def test_the_same_from_the_storage_as_from_s3(endpoint, stack, example):
    served = ServedStorage(f"s3://{BUCKET}/ex", f"{endpoint}/files/ex", lambda: TOKEN)
    s3 = S3Storage.from_url(f"s3://{BUCKET}/ex", endpoint_url=stack.s3, s3_kwargs=CREDENTIALS)
    data = (example / "ex/demo2.bam").read_bytes()
    assert served.stat("demo2.bam") == s3.stat("demo2.bam") and served.read("demo2.bam") == s3.read("demo2.bam")
    for start, end in ((0, 10), (5, 5), (1000, 70_000), (len(data) - 3, len(data) + 9), (len(data), len(data) + 1)):
        assert served.read_part("demo2.bam", start, end) == s3.read_part("demo2.bam", start, end)
    assert b"".join(served.iter_range("demo2.bam", 7, len(data))) == data[7:]
    assert served.child("data.zarr").read("zarr.json") == s3.read("data.zarr/zarr.json")
    with pytest.raises(TruncatedStream):
        list(served.iter_range("demo2.bam", 0, len(data) + 9))
    with pytest.raises(ConflictError):
        served.read_part("demo2.bam", 0, 10, if_match='"0123456789abcdef0123456789abcdef"')
    with pytest.raises(NotFoundError):
        served.read("none.bam")


def test_nothing_is_listed_written_or_read_elsewhere(endpoint):
    modo = MODO(path=f"s3://{BUCKET}/ex", endpoint=endpoint)
    for refused in (
        lambda: modo.add_element({"id": "s", "@type": "Sample"}),
        modo.list_files,
        lambda: MODO.open(f"s3://{BUCKET}/other", endpoint=endpoint),
    ):
        with pytest.raises(AccessError) as error:
            refused()
        assert error.value.hint


def test_an_address_that_has_ended_is_asked_for_anew(endpoint):
    served = ServedStorage(f"s3://{BUCKET}/ex", f"{endpoint}/files/ex", lambda: TOKEN)
    first = served.read_part("demo2.bam", 0, 100)
    served._signed["demo2.bam"] = f"{endpoint}/files/lab-b/none", served._signed["demo2.bam"][1]
    assert served.read_part("demo2.bam", 0, 100) == first


def test_a_proxy_of_the_environment_is_used_and_netrc_is_not(example, tmp_path, monkeypatch):
    """As by all other requests: without it a server outside cannot be reached."""
    heard = []

    def note(proxy, handler, answer: Answer) -> None:
        heard.append((handler.path.removeprefix("http://far.example"), handler.headers.get("Authorization")))

    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "netrc").write_text("machine far.example login me password secret\n")
    (tmp_path / "netrc").chmod(0o600)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    with (
        BackgroundServer(create_app(open_storage(example), public_url="http://far.example")) as server,
        Proxy(server.url, fault=note) as proxy,
    ):
        monkeypatch.setenv("http_proxy", proxy.url)
        modo = MODO(path="http://far.example/files/ex", endpoint="http://far.example")
        assert isinstance(modo.storage, ServedStorage) and modo.metadata == MODO.open(example / "ex").metadata
        assert modo.file("demo2.bam").count("chr1:20,001-25,000") == 969
    assert ("/files/ex/data.zarr/zarr.json", None) in heard and {authorization for _, authorization in heard} == {None}
