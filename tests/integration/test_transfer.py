"""Copies of objects are whole and verified, or they are not there."""

from __future__ import annotations

import shutil

import pytest

from modos.api import MODO
from modos.demo.stack import BUCKET, CREDENTIALS
from modos.errors import (
    AlreadyExistsError,
    BucketNotFoundError,
    ChecksumMismatch,
    ConflictError,
    ModosError,
    TransportError,
)
from modos.reference.locate import open_store
from modos.storage import open_storage
from modos.storage.local import LocalStorage
from modos.storage.s3 import S3Storage

pytestmark = pytest.mark.sweep(6)


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
    return {
        path.relative_to(modo.path).as_posix(): path.read_bytes()
        for path in modo.path.rglob("*")
        if path.is_file() and not path.name.endswith(".lock")
    }


def test_there_and_back_is_the_same(ex, stack, target, tmp_path):
    remote = ex.upload(target, endpoint=stack.endpoint, s3_kwargs=CREDENTIALS)
    assert remote.metadata == ex.metadata
    assert [str(p).removeprefix(target[5:]) for p in remote.list_files()] == [
        str(p).removeprefix(str(ex.path)) for p in ex.list_files()
    ]
    back = remote.download(tmp_path / "back")
    assert files(back) == files(ex)


def test_the_count_of_bytes_is_that_of_the_files(ex, stack, target):
    seen = []
    plan = ex.plan_upload(target, endpoint=stack.endpoint, s3_kwargs=CREDENTIALS)
    ex.upload(target, endpoint=stack.endpoint, s3_kwargs=CREDENTIALS, progress=seen.append)
    data = {name: content for name, content in files(ex).items() if not name.startswith("data.zarr/")}
    assert {file.key: file.size for file in plan.files} == {name: len(content) for name, content in data.items()}
    assert sum(seen) == plan.size == sum(map(len, data.values()))


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


@pytest.mark.sweep(1)
@pytest.mark.parametrize("fault", range(0, 30, 4))
def test_an_upload_that_breaks_is_no_object_and_can_go_on(ex, stack, target, monkeypatch, fault):
    calls = []
    with monkeypatch.context() as broken:
        for name in ("write_stream", "write"):
            original = getattr(S3Storage, name)

            def faulty(self, *args, original=original, **kwargs):
                calls.append(args)
                if len(calls) == fault + 1:
                    raise TransportError("the line broke")
                return original(self, *args, **kwargs)

            broken.setattr(S3Storage, name, faulty)
        try:
            ex.upload(target, endpoint=stack.endpoint, s3_kwargs=CREDENTIALS)
        except TransportError:
            assert not MODO.exists(target, endpoint=stack.endpoint, s3_kwargs=CREDENTIALS)
    remote = ex.upload(target, endpoint=stack.endpoint, s3_kwargs=CREDENTIALS)
    assert remote.find_problems() == [] and remote.checksum() == ex.checksum()
    assert remote_files(stack, target) == set(files(ex))


def test_what_broke_is_cleaned_up_where_somebody_asks_for_it(ex, stack, target, monkeypatch):
    with monkeypatch.context() as broken:
        broken.setattr(
            S3Storage,
            "write",
            lambda self, key, *args, original=S3Storage.write, **kwargs: (
                original(self, key, *args, **kwargs)
                if key.startswith(".modos")
                else (_ for _ in ()).throw(TransportError("broke"))
            ),
        )
        with pytest.raises(TransportError):
            ex.upload(target, endpoint=stack.endpoint, s3_kwargs=CREDENTIALS)
    assert "demo1.cram" in remote_files(stack, target)
    MODO.remove(target, endpoint=stack.endpoint, s3_kwargs=CREDENTIALS)
    assert remote_files(stack, target) == set()


def test_a_download_that_breaks_is_no_object_and_can_go_on(ex, stack, target, tmp_path, monkeypatch):
    remote = ex.upload(target, endpoint=stack.endpoint, s3_kwargs=CREDENTIALS)
    whole = S3Storage.iter_range

    def faulty(self, key, start, end, unit=1):
        yield next(whole(self, key, start, end))[:1000]
        raise TransportError("the line broke")

    with monkeypatch.context() as broken:
        broken.setattr(S3Storage, "iter_range", faulty)
        with pytest.raises(TransportError):
            remote.download(tmp_path / "back")
    assert not MODO.exists(tmp_path / "back")
    begun = []
    monkeypatch.setattr(
        S3Storage, "iter_range", lambda self, key, start, *rest: begun.append(start) or whole(self, key, start, *rest)
    )
    assert files(remote.download(tmp_path / "back")) == files(ex)
    assert 1000 in begun  # what was there did not come again


def test_what_is_kept_of_a_download_is_not_believed(ex, stack, target, tmp_path, monkeypatch):
    remote = ex.upload(target, endpoint=stack.endpoint, s3_kwargs=CREDENTIALS)
    with monkeypatch.context() as broken:

        def faulty(self, key, start, end, unit=1):
            yield b"other bytes"
            raise TransportError("the line broke")

        broken.setattr(S3Storage, "iter_range", faulty)
        with pytest.raises(TransportError):
            remote.download(tmp_path / "back")
    remote.download(tmp_path / "back")
    assert (tmp_path / "back/demo1.cram").read_bytes() == (ex.path / "demo1.cram").read_bytes()
    assert (tmp_path / "back/demo2.bam").read_bytes() == (ex.path / "demo2.bam").read_bytes()


def test_a_full_disk_leaves_nothing(ex, tmp_path, monkeypatch):
    original = LocalStorage.write_stream

    def dying(pieces):
        yield next(iter(pieces))
        raise OSError(28, "No space left on device")

    def full(self, key, pieces, *, size, resume=False, like=None):
        if key == "demo2.bam":
            pieces = dying(pieces)
        return original(self, key, pieces, size=size, resume=resume)

    monkeypatch.setattr(LocalStorage, "write_stream", full)
    with pytest.raises(ModosError, match="No space left"):
        ex.download(tmp_path / "copy")
    assert not (tmp_path / "copy").exists()


@pytest.mark.core
def test_only_what_differs_is_copied(ex, stack, target, tmp_path, example):
    where = {"endpoint": stack.endpoint, "s3_kwargs": CREDENTIALS}
    remote = ex.upload(target, **where)
    assert ex.plan_upload(target, **where).is_empty and remote.plan_download(ex.path).is_empty
    ex.add_element({"id": "more", "@type": "AlignmentSet", "data_path": "more.bam"}, example / "ex/demo2.bam")
    ex.remove_element("data/calls")
    plan = ex.plan_upload(target, **where)
    assert [file.key for file in plan.files] == ["more.bam", "more.bam.bai", "more.bam.parts"]
    assert plan.superfluous == ("calls.vcf.gz", "calls.vcf.gz.tbi")
    again = ex.upload(target, **where)
    assert again.find_problems() == [] and again.checksum() == ex.checksum()
    assert remote_files(stack, target) == set(files(ex))
    back = again.download(tmp_path / "back")
    again.update_element("data/more", {"description": "seen"})
    assert back.storage.url == again.download(back.path).storage.url
    assert MODO.open(back.path).metadata["data/more"]["description"] == "seen"


def test_what_others_changed_at_the_target_is_not_undone(ex, stack, target):
    where = {"endpoint": stack.endpoint, "s3_kwargs": CREDENTIALS}
    remote = ex.upload(target, **where)
    remote.update_element("data/demo1", {"description": "theirs"})
    ex.update_element("data/demo1", {"description": "ours"})
    with pytest.raises(ConflictError, match="has changes that"):
        ex.upload(target, **where)
    assert MODO.open(target, **where).metadata["data/demo1"]["description"] == "theirs"


def test_some_files_and_none(ex, stack, target, tmp_path):
    remote = ex.upload(target, endpoint=stack.endpoint, s3_kwargs=CREDENTIALS)
    data = {
        "demo1.cram",
        "demo1.cram.crai",
        "demo2.bam",
        "demo2.bam.bai",
        "calls.vcf.gz",
        "calls.vcf.gz.tbi",
        "cohort.bcf",
        "cohort.bcf.csi",
        "reference.fa",
        "reference.fa.fai",
    }
    for chosen, expected in (
        ({"data": False}, set()),
        ({"include": ["*.bam"]}, {"demo2.bam", "demo2.bam.bai"}),
        ({"include": ["demo*"], "exclude": ["*.bam"]}, {"demo2.bam", "demo2.bam.bai", "demo1.cram", "demo1.cram.crai"}),
        ({}, data),
    ):
        copy = remote.download(tmp_path / "back", **chosen)  # each brings what is missing, and takes nothing away
        assert set(files(copy)) & data == expected
        assert copy.metadata == ex.metadata
    assert MODO.open(tmp_path / "back").find_problems() == []


def test_a_target_that_is_taken_stays_as_it_is(ex, stack, target, tmp_path):
    remote = ex.upload(target, endpoint=stack.endpoint, s3_kwargs=CREDENTIALS)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/notes.txt").write_text("mine")
    with pytest.raises(AlreadyExistsError):
        remote.download(tmp_path / "mine")
    assert [p.name for p in (tmp_path / "mine").iterdir()] == ["notes.txt"]
    other = MODO.create(tmp_path / "other", id="ex")
    with pytest.raises(ConflictError):
        remote.download(other.path)
    assert MODO.open(other.path).list_files() == []


def test_neighbours_that_share_a_prefix_are_left_alone(ex, stack, target):
    other = ex.upload(target + "2", endpoint=stack.endpoint, s3_kwargs=CREDENTIALS)
    remote = ex.upload(target, endpoint=stack.endpoint, s3_kwargs=CREDENTIALS)
    assert len(remote.list_files()) == len(other.list_files()) == len(ex.list_files())


def test_a_missing_bucket_is_named(ex, stack):
    at = "s3://no-such-bucket/ex", stack.endpoint, None, CREDENTIALS
    for use in (
        lambda: ex.upload("s3://no-such-bucket/ex", endpoint=stack.endpoint, s3_kwargs=CREDENTIALS),
        lambda: MODO.open(*at),
        lambda: MODO.locate("s3://no-such-bucket/ex/demo1.cram", *at[1:]),
        lambda: MODO.create(*at),
        lambda: open_store("s3://no-such-bucket/refs", stack.endpoint, CREDENTIALS).index(),
    ):
        with pytest.raises(BucketNotFoundError, match="no-such-bucket") as caught:
            use()
        assert (caught.value.kind, caught.value.exit_code) == ("not_found", 3) and "create it first" in caught.value.hint
    assert not MODO.exists(*at)


def test_elements_are_added_in_s3(example, stack, target):
    modo = MODO.create(target, endpoint=stack.endpoint, s3_kwargs=CREDENTIALS)
    modo.add_element({"id": "reads", "@type": "AlignmentSet"}, example / "source/demo2.bam")
    again = MODO.open(target, endpoint=stack.endpoint, s3_kwargs=CREDENTIALS)
    assert again.metadata == modo.metadata
    assert sum(1 for _ in again.stream_genomics("demo2.bam", "chr1:20,001-25,000")) == 969
