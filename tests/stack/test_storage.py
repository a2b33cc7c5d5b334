"""The tests that every storage has to pass, on MinIO: it checks signatures, checksums and conditions."""

from __future__ import annotations

import base64
import os
import zlib

import pytest

from modos.errors import AccessError
from modos.storage import open_storage
from tests.unit.storage.test_patching import (  # noqa: F401
    test_another_file_is_not_patched,
    test_bytes_that_cannot_be_fetched_leave_the_old_file,
    test_ranges_are_replaced,
)
from tests.unit.storage.test_storage import (  # noqa: F401
    test_a_stream_of_the_wrong_length_leaves_nothing,
    test_a_stream_that_breaks_leaves_nothing,
    test_absent,
    test_another_file_does_not_match,
    test_conditions_have_one_winner,
    test_keys_that_lead_out_are_refused,
    test_listing_keeps_to_its_root,
    test_placed_pieces_are_whole,
    test_placed_pieces_that_end_early_leave_nothing,
    test_reading_beyond_the_end_is_an_error,
    test_streams_are_whole,
    test_write_and_read,
)

pytestmark = pytest.mark.stack


@pytest.fixture(params=["directly", "through the gateway"])
def storage(request, native, tmp_path):
    url = native.s3 if request.param == "directly" else native.url
    return open_storage(
        f"s3://modos-demo/tests/{tmp_path.name}-{os.urandom(4).hex()}", s3_url=url, s3_kwargs=native.credentials("server")
    )


def test_a_header_is_put_before_a_body_on_the_server(storage):
    body = os.urandom(20 << 20)
    storage.write_stream("old", [b"old head", body], size=8 + len(body))
    storage.splice("new", b"a longer head", "old", 8)
    assert b"".join(storage.iter_range("new", 0, 13 + len(body))) == b"a longer head" + body


@pytest.mark.parametrize("size", [0, 10, 20 << 20, (32 << 20) + 1])
def test_a_file_is_compared_without_its_bytes(storage, size):
    data = os.urandom(size)
    storage.write_stream("a", [data], size=size)
    assert storage.matches("a", [data[: size // 3], data[size // 3 :]]) or not size


def test_a_file_in_parts_of_another_size_is_compared(storage):
    """Whoever else put it there, and earlier versions, chose other parts."""
    data = os.urandom(13 << 20)
    upload = storage._call("create_multipart_upload", "a", ChecksumAlgorithm="CRC32")["UploadId"]
    parts = []
    for number, at in enumerate(range(0, len(data), 6 << 20), 1):
        body = data[at : at + (6 << 20)]
        crc = base64.b64encode(zlib.crc32(body).to_bytes(4, "big")).decode()
        answer = storage._call("upload_part", "a", UploadId=upload, PartNumber=number, Body=body, ChecksumCRC32=crc)
        parts.append({"PartNumber": number, "ETag": answer["ETag"], "ChecksumCRC32": crc})
    storage._call("complete_multipart_upload", "a", UploadId=upload, MultipartUpload={"Parts": parts})
    assert storage.matches("a", [data[:100], data[100:]])
    assert not storage.matches("a", [data[:-1] + bytes([data[-1] ^ 1])])


@pytest.mark.parametrize("wrong", [{"secret": "not-the-secret-at-all"}, {"key": "nobody"}])
def test_a_wrong_signature_is_refused(native, wrong):
    storage = open_storage("s3://modos-demo/ex", s3_url=native.url, s3_kwargs=native.credentials("server") | wrong)
    with pytest.raises(AccessError):
        storage.read("data.zarr/zarr.json")


def test_a_reader_cannot_write(native):
    storage = open_storage("s3://modos-demo/ex", s3_url=native.url, s3_kwargs=native.credentials("demo"))
    assert storage.exists("data.zarr/zarr.json")
    with pytest.raises(AccessError):
        storage.write("more", b"x")
    with pytest.raises(AccessError):
        storage.write_stream("more", [bytes(20 << 20)], size=20 << 20)
    with pytest.raises(AccessError):
        storage.delete("data.zarr/zarr.json")
    assert storage.exists("data.zarr/zarr.json")
