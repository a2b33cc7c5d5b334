"""Conditions on what is fetched (RFC 9110, section 13): files, references and sequences."""

from __future__ import annotations

import shutil
from contextlib import contextmanager

import pytest
import requests

from modos.reference.adding import push
from modos.reference.locate import open_store
from modos.server.app import create_app
from modos.server.run import BackgroundServer
from modos.storage import open_storage
from modos.storage.s3 import S3Storage

from .test_refget import refs  # noqa: F401

pytestmark = pytest.mark.sweep(16)

PATHS = ["files", "references", "sequence"]


@pytest.fixture(scope="module", params=["folder", "S3"])
def addresses(request, example, tmp_path_factory, refs):  # noqa: F811
    """A file, a file of the references and a sequence, of a server over a folder, and of one over S3, which leads to signed addresses."""
    with serving(request, example, tmp_path_factory.mktemp("served"), refs) as url:
        yield addresses_at(url, refs)


@contextmanager
def serving(request, example, folder, refs):  # noqa: F811
    if request.param == "folder":
        shutil.copytree(example / "ex", folder / "ex")
        app = create_app(open_storage(folder), references=refs)
    else:
        from modos.demo.stack import BUCKET, CREDENTIALS

        stack = request.getfixturevalue("stack")
        references = open_store(f"s3://{BUCKET}/conditions", stack.endpoint, CREDENTIALS)
        push(refs, references, "mini")
        app = create_app(
            S3Storage.from_url(f"s3://{BUCKET}", endpoint_url=stack.s3, s3_kwargs=CREDENTIALS), references=references
        )
    with BackgroundServer(app) as server:
        yield server.url


def addresses_at(url, refs):  # noqa: F811
    contig = refs.assembly("mini").contigs[0]
    return {
        "files": f"{url}/files/ex/demo2.bam",
        "references": f"{url}/references/index.json",
        "sequence": f"{url}/refget/sequence/{contig.md5}",
    }


def get(address, method="GET", **headers):
    return requests.request(
        method, address, headers={name.replace("_", "-"): value for name, value in headers.items()}, timeout=20
    )


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_what_is_known_is_not_sent_again(addresses, path, method):
    address = addresses[path]
    tag = get(address).headers["ETag"]
    assert tag.startswith('"') and get(address, "HEAD").headers["ETag"] == tag
    for known in (tag, f"W/{tag}", f'"other", {tag}', "*"):
        answer = get(address, method, If_None_Match=known)
        assert (answer.status_code, answer.content, answer.headers["ETag"]) == (304, b"", tag), known
    for known in ('"other"', '""', tag[:-2] + '"'):
        assert get(address, method, If_None_Match=known).status_code == 200, known
    answer = get(address, method, If_None_Match=tag.strip('"'))  # no tag; S3 servers take it for one
    assert answer.status_code == 200 or answer.history
    assert get(address, method, If_None_Match=tag, Range="bytes=0-4").status_code == 304


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_another_file_is_not_sent_for_the_one_that_is_meant(addresses, path, method):
    address = addresses[path]
    tag = get(address).headers["ETag"]
    for wanted in (tag, f'"other", {tag}', "*"):
        answers = get(address, method, If_Match=wanted), get(address, If_Match=wanted, Range="bytes=0-4")
        statuses = [answer.status_code for answer in answers]
        refusing = [200 if method == "HEAD" else 412, 412]  # S3 servers know no lists there, and that of the demo no *
        assert statuses == [200, 206] or (statuses == refusing and answers[1].history and wanted != tag), wanted
    for wanted in ('"other"', f"W/{tag}", tag.strip('"')):
        assert get(address, method, If_Match=wanted).status_code == 412, wanted
        assert get(address, If_Match=wanted, Range="bytes=0-4").status_code == 412


@pytest.mark.parametrize("path", PATHS)
def test_a_part_is_of_the_file_that_is_meant_or_the_whole_comes(addresses, path):
    address = addresses[path]
    whole = get(address)
    tag = whole.headers["ETag"]
    part = get(address, If_Range=tag, Range="bytes=2-5")
    assert (part.status_code, part.content, part.headers["ETag"]) == (206, whole.content[2:6], tag)
    for meant in ('"other"', f"W/{tag}", "Wed, 21 Oct 2015 07:28:00 GMT"):
        answer = get(address, If_Range=meant, Range="bytes=2-5")
        assert (answer.status_code, answer.content) == (200, whole.content), meant


def test_a_part_by_start_and_end_has_a_tag_of_its_own(addresses):
    address = addresses["sequence"]
    first, second = get(f"{address}?start=0&end=4"), get(f"{address}?start=1&end=4")
    assert len({first.headers["ETag"], second.headers["ETag"], get(address).headers["ETag"]}) == 3
    assert get(f"{address}?start=0&end=4", If_None_Match=first.headers["ETag"]).status_code == 304
    assert get(f"{address}?start=0&end=4", If_None_Match=second.headers["ETag"]).content == first.content


def test_a_file_that_was_replaced_has_another_tag(example, tmp_path):
    shutil.copytree(example / "ex", tmp_path / "ex")
    with BackgroundServer(create_app(open_storage(tmp_path))) as server:
        address = f"{server.url}/files/ex/demo2.bam"
        tag = get(address).headers["ETag"]
        shutil.copyfile(tmp_path / "ex/demo2.bam", tmp_path / "new")
        (tmp_path / "new").replace(tmp_path / "ex/demo2.bam")
        assert get(address, If_Match=tag).status_code == 412 and get(address, If_None_Match=tag).status_code == 200
