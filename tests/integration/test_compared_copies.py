"""What is uploaded and downloaded is compared by its parts: damage is fetched again, or nothing is committed."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from modos.api import MODO
from modos.demo.stack import BUCKET, CREDENTIALS
from modos.encryption.keys import SecretKey
from modos.errors import ChecksumMismatch, IntegrityError, NotFoundError, TransportError
from modos.storage.part_digests import PART
from tests.support.older import forget_digests
from tests.support.proxy import Proxy

SIZE = 11_000_007


@pytest.fixture(scope="module")
def table(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("table") / "table.tsv"
    path.write_bytes(random.Random(1).randbytes(SIZE))
    return path


@pytest.fixture
def ex(tmp_path, table) -> MODO:
    modo = MODO.create(tmp_path / "ex")
    modo.add_element({"id": "t", "@type": "DataEntity", "data_format": "TSV", "data_path": "table.tsv"}, table)
    return modo


def flip(path: Path, at: int) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)


def where(url: str) -> dict:
    return {"services": {"s3": url}, "s3_kwargs": CREDENTIALS}


@pytest.fixture
def target(tmp_path) -> str:
    return f"s3://{BUCKET}/compared/{tmp_path.name}"


def files_at(target: str, stack) -> list[str]:
    try:
        return [info.key for info in MODO.open(target, **where(stack.s3)).storage.iter_files()]
    except NotFoundError:
        return []


def test_what_a_damaged_source_has_is_not_committed(ex, stack, target):
    flip(ex.path / "table.tsv", 5 * PART)
    with pytest.raises(ChecksumMismatch, match=r"table\.tsv"):
        ex.upload(target, **where(stack.s3))
    assert files_at(target, stack) == []


def test_a_damaged_list_of_the_source_is_not_copied(ex, stack, target):
    flip(ex.path / "table.tsv.parts", 100)
    with pytest.raises(IntegrityError, match=r"table\.tsv\.parts"):
        ex.upload(target, **where(stack.s3))
    assert files_at(target, stack) == []


def test_a_list_that_is_missing_is_made_again_from_the_copy(ex, stack, target, table):
    (ex.path / "table.tsv.parts").unlink()
    copy = ex.upload(target, **where(stack.s3))
    assert copy.storage.read("table.tsv")[0] == table.read_bytes()
    assert [finding.kind for finding in copy.find_problems()] == ["list"]


def test_a_part_that_comes_damaged_is_fetched_again_alone(ex, stack, target, tmp_path, table):
    ex.upload(target, **where(stack.s3))
    spoilt = []

    def spoil(proxy, handler, answer):
        if handler.path.endswith("/table.tsv") and len(answer.body) > PART and len(spoilt) < 2:
            spoilt.append(len(answer.body))
            answer.body = answer.body[: 2 * PART + 7] + b"?!" + answer.body[2 * PART + 9 :]

    with Proxy(stack.s3, fault=spoil) as proxy:
        MODO.open(target, **where(proxy.url)).download(tmp_path / "copy")
        ranges = [asked for _, path, asked in proxy.requests if path.endswith("/table.tsv") and asked]
    assert spoilt and (tmp_path / "copy/table.tsv").read_bytes() == table.read_bytes()
    lengths = [int(end) - int(start) + 1 for start, end in (asked.removeprefix("bytes=").split("-") for asked in ranges)]
    assert lengths.count(PART) == 2 and sum(lengths) <= SIZE + 3 * PART


def test_a_part_that_stays_damaged_is_an_error(ex, stack, target, tmp_path):
    ex.upload(target, **where(stack.s3))
    storage = MODO.open(target, **where(stack.s3)).storage
    data = bytearray(storage.read("table.tsv")[0])
    data[3 * PART] ^= 1
    storage.delete("table.tsv")
    storage.write("table.tsv", bytes(data))
    with pytest.raises(IntegrityError, match=f"bytes {3 * PART:,}-{4 * PART - 1:,}"):
        MODO.open(target, **where(stack.s3)).download(tmp_path / "copy")
    assert not (tmp_path / "copy").exists()


def test_what_an_interrupted_download_left_is_compared_and_mended(ex, stack, target, tmp_path, table):
    ex.upload(target, **where(stack.s3))

    def cut(proxy, handler, answer):
        if handler.path.endswith("/table.tsv") and handler.headers.get("Range", "").startswith("bytes=8388608"):
            answer.cut, answer.reset = 10, True

    with Proxy(stack.s3, fault=cut) as proxy, pytest.raises((TransportError, OSError)):
        MODO.open(target, **where(proxy.url)).download(tmp_path / "copy")
    (kept,) = (tmp_path / "copy").glob(".table.tsv.*.part")
    size = kept.stat().st_size
    assert size >= 4 << 20
    for at in (0, 7 * PART + 1, size - 1):
        flip(kept, at)
    with Proxy(stack.s3) as proxy:
        modo = MODO.open(target, **where(proxy.url)).download(tmp_path / "copy")
        fetched = sum(
            int(end) - int(start) + 1
            for _, path, asked in proxy.requests
            if path.endswith("/table.tsv") and asked
            for start, end in [asked.removeprefix("bytes=").split("-")]
        )
    assert (modo.path / "table.tsv").read_bytes() == table.read_bytes()
    assert fetched <= SIZE - size + 6 * PART
    assert modo.find_problems() == []


def test_another_header_of_an_encrypted_file_is_not_copied(ex, stack, target):
    own, other = SecretKey.random(), SecretKey.random()
    ex.encrypt([own.public])
    path = ex.path / "table.tsv.c4gh"
    before = path.read_bytes()
    ex.share(own, [other.public])
    (shared,) = ex.path.glob("table*.c4gh")
    data = shared.read_bytes()
    shared.write_bytes(before[:124] + data[124:])
    with pytest.raises(IntegrityError):
        MODO.open(ex.path).upload(target, **where(stack.s3))
    assert files_at(target, stack) == []


def test_without_digests_the_checksum_is_compared(ex, stack, target):
    forget_digests(ex.path)
    MODO.open(ex.path).upload(target, **where(stack.s3))
    flip(ex.path / "table.tsv", 5)
    with pytest.raises(ChecksumMismatch):
        MODO.open(ex.path).upload(f"{target}-again", **where(stack.s3))


def test_what_is_there_is_told_by_the_metadata_alone(ex, stack, target):
    ex.upload(target, **where(stack.s3))
    with Proxy(stack.s3) as proxy:
        assert ex.plan_upload(target, **where(proxy.url)).is_empty
        assert not [path for method, path, _ in proxy.requests if method == "GET" and path.endswith("/table.tsv")]
