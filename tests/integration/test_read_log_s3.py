"""The read log in a bucket: segments are objects that are replaced by longer ones, each with its head."""

from __future__ import annotations

import time
import uuid

import pytest

from modos.encryption.keys import SecretKey
from modos.readlog.chain_writer import ChainWriter, Limits
from modos.readlog.heads import SIZE
from modos.readlog.log_verification import LogReader, verify
from modos.readlog.read_log import ReadLog, UnloggedError
from modos.storage import open_storage
from tests.support.read_logs import entry

SECRET = SecretKey.random()


@pytest.fixture(scope="module")
def bucket(stack):
    """How to open a new prefix of a bucket."""
    from modos.demo.stack import BUCKET, CREDENTIALS

    return lambda: open_storage(f"s3://{BUCKET}/logs/{uuid.uuid4().hex}", s3_url=stack.s3, s3_kwargs=CREDENTIALS)


@pytest.fixture
def storage(bucket):
    storage = bucket()
    yield storage
    storage.delete_all([info.key for info in storage.iter_files()])


def write(storage, count=30, size=2500, close=True):
    chain = ChainWriter(storage, SECRET.public, Limits(size=size))
    for number in range(count):
        chain.append([b'{"event": "sent", "id": "%d"}' % number])
    name = chain.chain
    chain.close() if close else chain.abandon()
    return name


def ids(storage):
    return [found["id"] for _, _, found in LogReader(storage, SECRET).entries()]


@pytest.mark.parametrize("close", [True, False])
def test_what_was_written_is_there_in_few_objects(storage, close):
    write(storage, close=close)
    found = verify(storage, SECRET)
    assert found.problems == [] and found.entries == 30 and ids(storage) == [str(number) for number in range(30)]
    assert found.chains[0].state == ("closed" if close else "open")
    assert len(list(storage.iter_files())) < 8


def test_an_object_that_is_cut_replaced_or_removed_shows(storage):
    write(storage, 20)
    for info in list(storage.iter_files()):
        data, _ = storage.read(info.key)
        for changed in (data[:-1], data[: len(data) // 2], data[:-SIZE], data[:50] + b"x" + data[51:], b"", None):
            storage.delete(info.key) if changed is None else storage.write(info.key, changed)
            assert verify(storage, SECRET).problems, (info.key, changed and len(changed))
            storage.write(info.key, data)
    assert verify(storage, SECRET).problems == []


def test_an_end_that_is_cut_off_with_its_head_shows(storage):
    """The head of a shorter segment would have to be sealed by a key that is gone."""
    write(storage, 5, size=None, close=False)
    segment = next(info.key for info in storage.iter_files() if info.key.endswith(".log"))
    data, _ = storage.read(segment)
    storage.write(segment, data[: -SIZE - 130] + data[-SIZE:])
    assert verify(storage, SECRET).problems and verify(storage).problems


def test_the_last_object_is_missed(storage):
    write(storage)
    last = max(info.key for info in storage.iter_files() if info.key.endswith(".log"))
    storage.delete(last)
    assert "was cut off" in verify(storage).problems[0] and verify(storage, SECRET).problems
    storage.delete(f"{last.partition('/')[0]}/head")
    assert "has no head" in verify(storage).problems[0]


def test_a_log_that_was_copied_to_a_folder_is_the_same(storage, tmp_path):
    write(storage)
    for info in storage.iter_files():
        path = tmp_path / info.key
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(storage.read(info.key)[0])
    found = verify(open_storage(tmp_path), SECRET)
    assert found.problems == [] and found.entries == 30


def test_old_objects_are_deleted_and_word_stays(storage, monkeypatch):
    from modos.readlog import retention

    old = write(storage)
    real = retention.find_expired

    def later(storage, chains, keep, age):
        monkeypatch.setattr(type(storage), "now", lambda self: time.time() + 40 * 86400, raising=False)
        return real(storage, chains, keep, age)

    monkeypatch.setattr("modos.readlog.chain_writer.find_expired", later)
    chain = ChainWriter(storage, SECRET.public, Limits(keep=30 * 86400.0))
    chain.append([b"{}"])
    chain.close()
    found = verify(storage, SECRET)
    assert found.problems == [] and old in found.gone and len(found.chains) == 1


def test_a_bucket_that_is_gone_refuses_in_time(tmp_path):
    storage = open_storage("s3://nothing-here/logs", s3_url="http://127.0.0.1:9", s3_kwargs={"key": "a", "secret": "b"})
    log = ReadLog(storage, SECRET.public)
    begin = time.monotonic()
    with pytest.raises(UnloggedError):
        log.write(entry(1))
    assert time.monotonic() - begin < 30


def test_a_bucket_that_comes_back_is_used_again(storage, monkeypatch):
    from modos.errors import TransportError
    from modos.storage.s3 import S3Storage

    log = ReadLog(storage, SECRET.public)
    log.write(entry(1))
    real = S3Storage.write

    def fail(*words, **options):
        raise TransportError("gone")

    def lose(*words, **options):
        real(*words, **options)
        raise TransportError("the answer is lost")

    for broken in (fail, lose):
        monkeypatch.setattr(S3Storage, "write", broken)
        with pytest.raises(UnloggedError):
            log.write(entry(2))
    monkeypatch.setattr(S3Storage, "write", real)
    log.write(entry(3))
    log.close()
    assert verify(storage, SECRET).problems == [] and ids(storage) == ["1", "3"]


def test_an_object_that_is_cut_at_any_byte_shows(storage):
    write(storage, 3, size=None)
    segment = next(info.key for info in storage.iter_files() if info.key.endswith(".log"))
    data, _ = storage.read(segment)
    for size in range(0, len(data), 7):
        storage.write(segment, data[:size])
        assert verify(storage, SECRET).problems and verify(storage).problems, size
