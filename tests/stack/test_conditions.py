"""Conditions on what is fetched, over MinIO: what the modos server answers itself, and what MinIO does at the addresses it leads to."""

from __future__ import annotations

import pytest

from modos.api import MODO
from modos.reference.adding import push
from modos.reference.locate import open_store
from modos.server.app import create_app
from modos.server.run import BackgroundServer
from modos.storage.s3 import S3Storage

from ..integration.test_conditions import (  # noqa: F401
    addresses_at,
    get,
    test_a_part_by_start_and_end_has_a_tag_of_its_own,
    test_a_part_is_of_the_file_that_is_meant_or_the_whole_comes,
    test_another_file_is_not_sent_for_the_one_that_is_meant,
    test_what_is_known_is_not_sent_again,
)
from ..integration.test_refget import refs  # noqa: F401

pytestmark = pytest.mark.stack
PLACE = "s3://modos-demo/conditions"


@pytest.fixture(scope="module")
def server(native, refs):  # noqa: F811
    keys = native.credentials("server")
    references = open_store(f"{PLACE}/refs", s3_kwargs=keys | {"client_kwargs": {"endpoint_url": native.s3}})
    push(refs, references, "mini")
    app = create_app(S3Storage.from_url("s3://modos-demo", endpoint_url=native.s3, s3_kwargs=keys), references=references)
    with BackgroundServer(app) as server:
        yield server.url


@pytest.fixture(scope="module")
def addresses(server, refs):  # noqa: F811
    return addresses_at(server, refs)


def test_a_file_that_was_replaced_is_not_taken_for_the_one_before(native, server, tmp_path):
    """The same name, and other bytes: by its tag the new file is told from the old, and no part of the new comes for the old."""
    keys = native.credentials("server")
    for name in ("a", "b"):
        (tmp_path / name).write_text(f"{name}\tx\n" * 2000)
    modo = MODO.create(f"{PLACE}/ex", services={"s3": native.s3}, s3_kwargs=keys)
    modo.add_element({"id": "t", "@type": "DataEntity", "data_format": "TSV", "data_path": "t.tsv"}, tmp_path / "a")
    address = f"{server}/files/conditions/ex/t.tsv"
    tag = get(address).headers["ETag"]
    assert get(address, If_Range=tag, Range="bytes=0-3").text == "a\tx\n"
    modo.update_element("data/t", {}, tmp_path / "b")
    assert get(address, If_Match=tag).status_code == 412 and get(address, If_None_Match=tag).text.startswith("b")
    answer = get(address, If_Range=tag, Range="bytes=4-7")
    modo.remove_object()  # the stack is for all tests, and one compares what its bucket has with what is documented
    assert (answer.status_code, answer.text) == (200, "b\tx\n" * 2000)
