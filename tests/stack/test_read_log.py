"""The read log in a bucket of MinIO."""

from __future__ import annotations

import uuid

import pytest

from modos.storage import open_storage

from ..integration.test_read_log_s3 import (  # noqa: F401
    storage,
    test_a_log_that_was_copied_to_a_folder_is_the_same,
    test_an_end_that_is_cut_off_with_its_head_shows,
    test_an_object_that_is_cut_at_any_byte_shows,
    test_an_object_that_is_cut_replaced_or_removed_shows,
    test_the_last_object_is_missed,
    test_what_was_written_is_there_in_few_objects,
)

pytestmark = pytest.mark.stack


@pytest.fixture(scope="module")
def bucket(native):
    """How to open a new prefix of a bucket."""
    keys = native.credentials("server")
    return lambda: open_storage(f"s3://modos-demo/logs/{uuid.uuid4().hex}", s3_url=native.s3, s3_kwargs=keys)
