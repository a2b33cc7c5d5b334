"""The tests that every storage has to pass, on MinIO: it checks signatures, checksums and conditions."""

from __future__ import annotations

import os

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
    test_conditions_have_one_winner,
    test_keys_that_lead_out_are_refused,
    test_listing_keeps_to_its_root,
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
