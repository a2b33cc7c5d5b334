"""Small files of S3 that obstore reads are those that s3fs reads, and so are the errors."""

from __future__ import annotations

import builtins
from concurrent.futures import ThreadPoolExecutor

import pytest

from modos.demo.stack import BUCKET, CREDENTIALS
from modos.errors import BucketNotFoundError, NotFoundError, TransportError
from modos.storage import open_storage
from modos.storage.quick_s3 import QuickS3Storage
from modos.storage.s3 import S3Storage

KEYS = ("a", "b/c.json", "with blank", "ä/ö", "a+b=c~d", "per%2Fcent", "q?x", "hash#1", "star*", "(1)")


@pytest.fixture
def storage(stack, tmp_path):
    return open_storage(f"s3://{BUCKET}/quick/{tmp_path.name}", s3_url=stack.s3, s3_kwargs=CREDENTIALS)


def test_what_is_read_is_the_same(storage):
    for number, key in enumerate(KEYS):
        storage.write(key, bytes([number]) * number)
    quick = storage.for_many()
    assert isinstance(quick, QuickS3Storage) and isinstance(quick.child("b"), QuickS3Storage)
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(quick.read, KEYS)) == [storage.read(key) for key in KEYS]
    assert quick.child("b").read("c.json") == storage.read("b/c.json")
    for key in KEYS:
        data, tag = storage.read(key)
        assert quick.read_changed(key, tag) is None and quick.read_changed(key, '"other"') == (data, tag)


def test_what_is_not_there_is_told_as_ever(storage, stack):
    quick = storage.for_many()
    with pytest.raises(NotFoundError) as told:
        quick.read("nothing")
    with pytest.raises(NotFoundError) as expected:
        storage.read("nothing")
    assert str(told.value) == str(expected.value)
    with pytest.raises(NotFoundError):
        quick.read_changed("nothing", '"tag"')
    other = open_storage("s3://no-such-bucket", s3_url=stack.s3, s3_kwargs=CREDENTIALS).for_many()
    with pytest.raises(BucketNotFoundError):
        other.read("a")


def test_a_server_that_is_gone_is_told():
    quick = open_storage(f"s3://{BUCKET}", s3_url="http://127.0.0.1:9", s3_kwargs=CREDENTIALS).for_many()
    with pytest.raises(TransportError):
        quick.read("ex/data.zarr/zarr.json")


def test_without_obstore_it_is_s3fs(storage, monkeypatch):
    original = builtins.__import__

    def refuse(name, *given, **named):
        if name.split(".")[0] == "obstore":
            raise ImportError(name)
        return original(name, *given, **named)

    monkeypatch.setattr(builtins, "__import__", refuse)
    assert type(storage.for_many()) is S3Storage
