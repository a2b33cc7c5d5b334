"""Copies of objects are whole and verified, or they are not there."""

from __future__ import annotations

import shutil

import pytest

from modos.api import MODO
from modos.demo.stack import BUCKET, CREDENTIALS
from modos.errors import AlreadyExistsError, ChecksumMismatch, ModosError, NotFoundError, TransportError
from modos.storage import open_storage
from modos.storage.local import LocalStorage
from modos.storage.s3 import S3Storage


@pytest.fixture
def ex(example, tmp_path) -> MODO:
    shutil.copytree(example / "ex", tmp_path / "ex")
    return MODO.open(tmp_path / "ex")


@pytest.fixture
def target(stack, request) -> str:
    return f"s3://{BUCKET}/{request.node.name}"


def remote_files(stack, url):
    storage = open_storage(url, s3_url=stack.s3, s3_kwargs=CREDENTIALS)
    return {info.key for info in storage.iter_files()}


def files(modo):
    return {path.relative_to(modo.path).as_posix(): path.read_bytes() for path in modo.path.rglob("*") if path.is_file()}


def test_there_and_back_is_the_same(ex, stack, target, tmp_path):
    remote = ex.upload(target, endpoint=stack.endpoint, s3_kwargs=CREDENTIALS)
    assert remote.metadata == ex.metadata
    assert [str(p).removeprefix(target[5:]) for p in remote.list_files()] == [
        str(p).removeprefix(str(ex.path)) for p in ex.list_files()]
    back = remote.download(tmp_path / "back")
    assert files(back) == files(ex)


def test_the_count_of_bytes_is_that_of_the_files(ex, stack, target):
    seen = []
    ex.upload(target, endpoint=stack.endpoint, s3_kwargs=CREDENTIALS, progress=seen.append)
    root = len((ex.path / "data.zarr/zarr.json").read_bytes())
    assert sum(seen) == sum(map(len, files(ex).values())) - root


def test_a_damaged_file_is_not_uploaded(ex, stack, target):
    path = ex.path / "demo2.bam"
    data = bytearray(path.read_bytes())
    data[5000] ^= 1
    path.write_bytes(data)
    with pytest.raises(ChecksumMismatch, match="demo2.bam"):
        ex.upload(target, endpoint=stack.endpoint, s3_kwargs=CREDENTIALS)
    assert remote_files(stack, target) == set()


def test_a_file_damaged_in_the_store_is_not_downloaded(ex, stack, target, tmp_path):
    remote = ex.upload(target, endpoint=stack.endpoint, s3_kwargs=CREDENTIALS)
    data, _ = remote.storage.read("demo2.bam")
    remote.storage.write("demo2.bam", data[:5000] + b"\x00" + data[5001:])
    with pytest.raises(ChecksumMismatch, match="demo2.bam"):
        remote.download(tmp_path / "back")
    assert not (tmp_path / "back").exists()


@pytest.mark.parametrize("fault", range(0, 30, 4))
def test_an_upload_that_breaks_leaves_nothing(ex, stack, target, monkeypatch, fault):
    calls = []
    for name in ("write_stream", "write"):
        original = getattr(S3Storage, name)

        def faulty(self, *args, original=original, **kwargs):
            calls.append(args)
            if len(calls) == fault + 1:
                raise TransportError("the line broke")
            return original(self, *args, **kwargs)

        monkeypatch.setattr(S3Storage, name, faulty)
    try:
        ex.upload(target, endpoint=stack.endpoint, s3_kwargs=CREDENTIALS)
    except TransportError:
        assert remote_files(stack, target) == set()
    else:
        assert len(calls) <= fault


def test_a_download_that_breaks_leaves_nothing(ex, stack, target, tmp_path, monkeypatch):
    remote = ex.upload(target, endpoint=stack.endpoint, s3_kwargs=CREDENTIALS)

    def faulty(self, key, start, end, chunk=None):
        yield b"x" * 10
        raise TransportError("the line broke")

    monkeypatch.setattr(S3Storage, "iter_range", faulty)
    with pytest.raises(TransportError):
        remote.download(tmp_path / "back")
    assert not (tmp_path / "back").exists()


def test_a_full_disk_leaves_nothing(ex, tmp_path, monkeypatch):
    original = LocalStorage.write_stream

    def dying(pieces):
        yield next(iter(pieces))
        raise OSError(28, "No space left on device")

    def full(self, key, pieces, *, size):
        if key == "demo2.bam":
            pieces = dying(pieces)
        return original(self, key, pieces, size=size)

    monkeypatch.setattr(LocalStorage, "write_stream", full)
    with pytest.raises(ModosError, match="No space left"):
        ex.download(tmp_path / "copy")
    assert not (tmp_path / "copy").exists()


def test_a_target_that_is_taken_stays_as_it_is(ex, stack, target, tmp_path):
    remote = ex.upload(target, endpoint=stack.endpoint, s3_kwargs=CREDENTIALS)
    before = remote_files(stack, target)
    with pytest.raises(AlreadyExistsError):
        ex.upload(target, endpoint=stack.endpoint, s3_kwargs=CREDENTIALS)
    assert remote_files(stack, target) == before
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/notes.txt").write_text("mine")
    with pytest.raises(AlreadyExistsError):
        remote.download(tmp_path / "mine")
    assert [p.name for p in (tmp_path / "mine").iterdir()] == ["notes.txt"]


def test_neighbours_that_share_a_prefix_are_left_alone(ex, stack, target):
    other = ex.upload(target + "2", endpoint=stack.endpoint, s3_kwargs=CREDENTIALS)
    remote = ex.upload(target, endpoint=stack.endpoint, s3_kwargs=CREDENTIALS)
    assert len(remote.list_files()) == len(other.list_files()) == len(ex.list_files())


def test_a_missing_bucket_is_named(ex, stack):
    with pytest.raises(NotFoundError, match="no-such-bucket"):
        ex.upload("s3://no-such-bucket/ex", endpoint=stack.endpoint, s3_kwargs=CREDENTIALS)


def test_elements_are_added_in_s3(example, stack, target):
    modo = MODO.create(target, endpoint=stack.endpoint, s3_kwargs=CREDENTIALS)
    modo.add_element({"id": "reads", "@type": "AlignmentSet"}, example / "source/demo2.bam")
    again = MODO.open(target, endpoint=stack.endpoint, s3_kwargs=CREDENTIALS)
    assert again.metadata == modo.metadata
    assert sum(1 for _ in again.stream_genomics("demo2.bam", "chr1:20,001-25,000")) == 969
