"""The doctor finds what is wrong, and says what to do about it."""

from __future__ import annotations

import shutil
import time
from email.utils import formatdate
from urllib.parse import urlsplit

import pytest

from modos.api import MODO
from modos.cli.diagnosis import examine
from modos.demo.stack import CREDENTIALS
from modos.server.app import create_app
from modos.server.run import BackgroundServer
from modos.storage import open_storage
from modos.storage.s3 import S3Storage
from tests.support.proxy import Answer, Proxy


def found(*asked, **options):
    return {item.topic: item for item in examine(*asked, **options)}


def test_all_is_well(stack):
    items = found(stack.endpoint, None, CREDENTIALS, write=True)
    assert {item.state for item in items.values()} == {"ok"}
    assert {"versions", "endpoint", "clock", "login", "credentials", "S3", "reading", "writing", "htsget", "cache"} <= set(items)


def test_a_server_that_is_away(stack):
    items = found("http://127.0.0.1:9", "s3://modos-demo/ex", None)
    assert items["endpoint"].state == "failed" and "connection refused" in items["endpoint"].text and items["endpoint"].fix


def test_a_server_that_is_none(stack):
    assert "not a modos server" in found(stack.s3, None, None)["endpoint"].text


def test_a_bucket_that_is_not_there(stack):
    item = found(stack.endpoint, "s3://no-such-bucket/x", CREDENTIALS)["S3"]
    assert item.state == "failed" and "no-such-bucket" in item.text


@pytest.mark.sweep(1)
@pytest.mark.parametrize(("minutes", "state"), [(0, "ok"), (20, "failed"), (-20, "failed"), (3, "ok")])
def test_a_clock(stack, minutes, state):
    def other_date(proxy, handler, answer: Answer) -> None:
        answer.headers = [(name, value) for name, value in answer.headers if name.lower() != "date"]
        answer.headers.append(("Date", formatdate(time.time() + 60 * minutes, usegmt=True)))

    with Proxy(stack.endpoint, fault=other_date) as proxy:
        item = found(proxy.url, None, CREDENTIALS)["clock"]
    assert item.state == state
    if minutes == 20:
        assert "20 minutes behind" in item.text and "NTP" in item.fix


def test_a_server_that_keeps_no_conditions(stack, monkeypatch):
    def forget(proxy, handler, answer: Answer) -> None:
        if handler.command == "PUT" and answer.status == 412:
            answer.status, answer.body = 200, b""
            answer.headers = [("ETag", '"0123"'), ("Content-Length", "0")]

    with Proxy(stack.s3, fault=forget) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.url)
        item = found(None, "s3://modos-demo/probe", CREDENTIALS, write=True)["writing"]
    assert item.state == "failed" and "lose changes" in item.text


@pytest.mark.parametrize("place", ["s3://modos-demo/doctor", "s3://modos-demo/doctor/ex"])
@pytest.mark.parametrize("refused", ["metadata", "files"])
def test_a_place_that_is_listed_and_not_read(stack, example, monkeypatch, place, refused):
    MODO.open(example / "ex").upload("s3://modos-demo/doctor/ex", services={"s3": stack.s3}, s3_kwargs=CREDENTIALS)

    def refuse(proxy, handler, answer: Answer) -> None:
        parts = urlsplit(handler.path).path.strip("/").split("/")
        if handler.command == "GET" and len(parts) > 1 and (parts[-1] == "zarr.json") == (refused == "metadata"):
            answer.status, answer.body = 403, b"<Error><Code>AccessDenied</Code><Message>no</Message></Error>"
            answer.headers = [("Content-Type", "application/xml"), ("Content-Length", str(len(answer.body)))]

    with Proxy(stack.s3, fault=refuse) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.url)
        items = found(None, place, CREDENTIALS)
    assert items["reading"].state == "failed" and proxy.url in items["reading"].text and "AWS" not in items["reading"].text
    assert items["S3"].state == "ok" and proxy.url in items["S3"].text


def test_a_place_without_objects_is_not_said_to_be_readable(stack):
    item = found(stack.endpoint, "s3://modos-demo/nothing-here", CREDENTIALS)["reading"]
    assert item.state == "warning" and "no object" in item.text


def test_the_server_that_was_asked_is_the_one_that_is_named(monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    item = found(None, "s3://modos-demo/ex", CREDENTIALS)["S3"]
    assert item.state == "failed" and "http://127.0.0.1:9" in item.text and "AWS" not in item.text


def test_a_cache_that_cannot_be_written(monkeypatch, tmp_path):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("MODOS_CACHE_DIR", str(tmp_path / "file/cache"))
    item = found(None, None, None)["cache"]
    assert item.state == "failed" and "MODOS_CACHE_DIR" in item.fix


def test_the_reference_store_is_looked_at(tmp_path, monkeypatch):
    from modos.reference.adding import add_files
    from modos.reference.locate import open_store

    def found():
        return [(one.state, one.text) for one in examine(None, None, None) if one.topic == "references"][1:]

    assert found() == []
    monkeypatch.setenv("MODOS_REFERENCE_STORE", str(tmp_path / "refs"))
    assert [state for state, _ in found()] == ["warning"]
    (tmp_path / "x.fa").write_text(">chr1\nACGT\n")
    add_files(open_store(), "mini", [str(tmp_path / "x.fa")])
    assert found() == [("ok", f"assemblies in {tmp_path / 'refs'}: 1, annotations: 0")]
    monkeypatch.setenv("MODOS_REFERENCE_STORE", "http://127.0.0.1:9/refs")
    assert [state for state, _ in found()] == ["failed"]


def test_a_server_over_a_folder_is_read_from(example, tmp_path):
    """It says ok only where the bytes of a file come, and names the server that was asked."""
    shutil.copytree(example / "ex", tmp_path / "ex")
    with BackgroundServer(create_app(open_storage(tmp_path))) as server:
        item = found(server.url, None, None)["reading"]
        assert item.state == "ok" and f"{server.url}/files/ex" in item.text
        for name in ("demo1.cram", "demo2.bam", "calls.vcf.gz", "cohort.bcf", "reference.fa"):
            (tmp_path / "ex" / name).unlink()
        item = found(server.url, None, None)["reading"]
        assert item.state == "failed" and server.url in item.text, item
        shutil.rmtree(tmp_path / "ex")
        assert found(server.url, None, None)["reading"].state == "warning"


def test_addresses_that_a_server_signs_are_read_from(stack, monkeypatch):
    """Listing goes by the server, reading by S3: an S3 server that refuses is found out, and named."""
    monkeypatch.setenv("MODOS_TOKEN", "a-token-of-many-letters")
    monkeypatch.setattr("modos.cli.diagnosis.s3_options", lambda *_: None)
    monkeypatch.setattr("modos.remote.access.s3_options", lambda *_: None)  # as where the S3 server has no STS

    def refuse(proxy, handler, answer: Answer) -> None:
        if refusing and "X-Amz-Signature" in handler.path:
            answer.status, answer.body = 403, b"<Error><Code>AccessDenied</Code></Error>"
            answer.headers = [("Content-Type", "application/xml"), ("Content-Length", str(len(answer.body)))]

    refusing = []
    with Proxy(stack.s3, fault=refuse) as proxy:
        storage = S3Storage.from_url("s3://modos-demo", endpoint_url=proxy.url, s3_kwargs=CREDENTIALS)
        with BackgroundServer(create_app(storage, tokens=["a-token-of-many-letters"])) as server:
            item = found(server.url, "s3://modos-demo/ex", None)["reading"]
            assert item.state == "ok" and "s3://modos-demo" in item.text, item
            refusing.append(1)
            item = found(server.url, "s3://modos-demo/ex", None)["reading"]
            assert item.state == "failed" and item.text.startswith(f"{proxy.url} refuses access to s3://modos-demo/"), item
