"""A server that opens no file serves regions of encrypted ones, which any Crypt4GH program opens for a recipient.

samtools and bcftools say which records a region of the plain file has.
"""

from __future__ import annotations

import base64
import io
import os
import shutil
from pathlib import Path

import pytest
import requests

from modos.api import MODO
from modos.encryption.header import Header, read_header
from modos.encryption.keys import PublicKey, SecretKey
from modos.errors import ModosError
from modos.formats.crypt4gh import SEALED, SEGMENT
from modos.genomics.htsget.protocol import PUBLIC_KEY_HEADER
from modos.genomics.planning import Planner
from modos.genomics.region import Region
from modos.object.finding import open_served_file
from modos.server.app import create_app
from modos.server.run import BackgroundServer
from modos.storage import open_storage
from tests.support.hard_files import CASES, WITHOUT_CONTIGS, some_regions, text_of

pytestmark = pytest.mark.sweep(40)

ALICE, BOB, SERVER, OTHER = (SecretKey.random() for _ in range(4))
REGION = {"referenceName": "chr1", "start": "1000", "end": "90000", "encryptionScheme": "c4gh"}
GO = shutil.which("crypt4gh-go") or shutil.which("crypt4gh", path=f"{os.environ.get('GOBIN', '')}:{Path.home() / 'go/bin'}")


@pytest.fixture(scope="module")
def hard(tmp_path_factory) -> Path:
    """An object with a hard file of each kind, encrypted for Alice, and what finds regions for the server."""
    folder = tmp_path_factory.mktemp("hard")
    modo = MODO.create(folder / "ex")
    for name in CASES.keys() - WITHOUT_CONTIGS:
        place = folder / "plain" / name
        place.mkdir(parents=True)
        file = CASES[name](place)
        ending = "".join(file.path.suffixes)
        renamed = file.path.rename(place / f"{name}{ending}")
        file.index_path.rename(place / file.index_path.name.replace(file.path.name, renamed.name))
        modo.add_element({"@type": "DataEntity", "id": f"data/{name}"}, source_file=renamed)
    shutil.copytree(folder / "ex", folder / "open")
    assert MODO.open(folder / "ex").encrypt(ALICE.public, index_for=SERVER.public, also_me=False)
    return folder


@pytest.fixture(scope="module")
def server(hard):
    with BackgroundServer(create_app(open_storage(str(hard)), index_key=SERVER)) as server:
        yield server


def fetch(url: str, query: dict[str, str], reader: PublicKey | None) -> bytes:
    """What the blocks of a ticket give, put together as any htsget client would."""
    headers = {PUBLIC_KEY_HEADER: str(reader)} if reader else {}
    answer = requests.get(url, params=query, headers=headers, timeout=20)
    if answer.status_code != 200:
        raise AssertionError(answer.text)
    parts = []
    for block in answer.json()["htsget"]["urls"]:
        if block["url"].startswith("data:"):
            parts.append(base64.b64decode(block["url"].partition(",")[2]))
        else:
            part = requests.get(block["url"], headers=block["headers"], timeout=20)
            assert part.status_code == 206
            parts.append(part.content)
    return b"".join(parts)


def open_with_package(data: bytes, secret: SecretKey) -> bytes:
    """What the package crypt4gh makes of a file."""
    from crypt4gh.lib import decrypt

    opened = io.BytesIO()
    decrypt([(0, secret.raw, None)], io.BytesIO(data), opened)
    return opened.getvalue()


def path_of(hard: Path, name: str) -> Path:
    return next(path for path in (hard / "open").glob(f"{name}.*") if path.suffix in (".bam", ".cram", ".bcf", ".gz"))


def kind_of(path: Path) -> str:
    return "reads" if path.suffix in (".bam", ".cram") else "variants"


@pytest.mark.parametrize("name", sorted(CASES.keys() - WITHOUT_CONTIGS))
def test_any_region_opens_with_the_package_and_has_its_records(hard, server, name, tmp_path):
    path = path_of(hard, name)
    file = Hard(path)
    url = f"{server.url}/htsget/{kind_of(path)}/ex/{name}"
    for region in some_regions(file, 6):
        query = {"referenceName": region.contig, "encryptionScheme": "c4gh"}
        query |= {} if region.contig == "*" else {"start": str(region.start)}
        query |= {} if region.end is None else {"end": str(region.end)}
        opened = tmp_path / path.name
        opened.write_bytes(open_with_package(fetch(url, query, ALICE.public), ALICE))
        assert file.filtered(opened, region) == file.filtered(path, region), region


@pytest.mark.parametrize("name", sorted(CASES.keys() - WITHOUT_CONTIGS))
def test_our_client_gives_exactly_the_records(hard, server, name):
    path = path_of(hard, name)
    file = Hard(path)
    served = open_served_file(f"{server.url}/htsget/{kind_of(path)}/ex/{name}", None, secret=ALICE)
    regions = some_regions(file, 4)
    for region in regions:
        assert [text_of(record) for record in served.fetch(region)] == file.filtered(path, region), region
    assert [text_of(record) for record in served.fetch()] == file.all(path)
    several = [region for region in regions if region.contig != "*"][:4]
    if len(several) > 1:
        assert [text_of(record) for record in served.fetch(several)] == file.filtered(path, *several)


class Hard:
    """A file that lies in a folder, to be read by pysam alone."""

    def __init__(self, path: Path):
        from tests.support.hard_files import File

        index = next(p for p in path.parent.iterdir() if p.name.startswith(path.name + ".") and not p.name.endswith(".parts"))
        file = File(path, index)
        self.header, self.index, self.format = file.header, file.index, file.format
        self.filtered, self.all, self.plan = file.filtered, file.all, file.plan


def header_of(data: bytes) -> Header:
    return read_header(lambda start, end: data[start:end])


def test_the_header_has_the_packets_of_the_file_and_an_edit_list_for_the_reader(hard, server):
    data = fetch(f"{server.url}/htsget/reads/ex/bam", REGION, ALICE.public)
    stored = header_of((hard / "ex/bam.bam.c4gh").read_bytes())
    found = header_of(data)
    assert found.packets[:-1] == stored.packets
    assert len(found.decrypt(ALICE).edits) % 2 == 0
    assert not found.has_packets_for(SERVER) and not found.has_packets_for(BOB)
    again = header_of(fetch(f"{server.url}/htsget/reads/ex/bam", REGION, ALICE.public))
    assert again.packets[-1][4:36] != found.packets[-1][4:36], "each edit list is sealed with a key for this one use"


def test_of_several_recipients_only_the_one_who_asks_gets_the_edit_list(hard, tmp_path):
    shutil.copytree(hard / "ex", tmp_path / "ex")
    assert MODO.open(tmp_path / "ex").share(ALICE, BOB.public, ["data/bam"]) == ["data/bam"]
    with BackgroundServer(create_app(open_storage(str(tmp_path)), index_key=SERVER)) as server:
        data = fetch(f"{server.url}/htsget/reads/ex/bam", REGION, BOB.public)
        assert header_of(data).decrypt(BOB).edits and header_of(data).decrypt(ALICE).edits is None
        plain = open_with_package(data, BOB)
        assert open_served_file(f"{server.url}/htsget/reads/ex/bam", None, secret=ALICE).count("chr1:1-100,000") > 0
    assert plain.endswith(bytes.fromhex("1f8b08040000000000ff0600424302001b0003000000000000000000"))


def test_the_whole_file_is_given_as_it_is(hard, server):
    query = {"encryptionScheme": "Crypt4GH"}
    for reader in (ALICE.public, None):
        data = fetch(f"{server.url}/htsget/reads/ex/bam", query, reader)
        assert data == (hard / "ex/bam.bam.c4gh").read_bytes()


def test_the_header_alone_is_a_class(hard, server):
    url = f"{server.url}/htsget/variants/ex/bcf"
    ticket = requests.get(
        url, params={"class": "header", "encryptionScheme": "c4gh"}, headers={PUBLIC_KEY_HEADER: str(ALICE.public)}, timeout=9
    ).json()["htsget"]
    assert ticket["format"] == "BCF" and ticket["encryptionScheme"] == "c4gh"
    assert {block["class"] for block in ticket["urls"]} == {"header"}


def test_the_key_of_a_reader_is_taken_in_both_forms(hard, server):
    url, params = f"{server.url}/htsget/reads/ex/bam", REGION
    for text in (str(ALICE.public), base64.b64encode(ALICE.public.to_pem()).decode()):
        assert requests.get(url, params=params, headers={PUBLIC_KEY_HEADER: text}, timeout=9).status_code == 200
    pem = base64.b64encode(b"-----BEGIN CRYPT4GH PRIVATE KEY-----\nAAAA\n-----END CRYPT4GH PRIVATE KEY-----\n").decode()
    for text in ("", "x", "AAAA", "!" * 44, base64.b64encode(bytes(32)).decode(), "A" * 5000, pem):
        answer = requests.get(url, params=params, headers={PUBLIC_KEY_HEADER: text}, timeout=9)
        assert (answer.status_code, answer.json()["htsget"]["error"]) == (400, "InvalidInput"), text


def refusal(url: str, query: dict[str, str], reader: PublicKey | None, **headers: str) -> tuple[int, str, str]:
    headers |= {PUBLIC_KEY_HEADER: str(reader)} if reader else {}
    answer = requests.get(url, params=query, headers=headers, timeout=20)
    told = answer.json()["htsget"]
    return answer.status_code, told.get("error"), told.get("message")


def test_who_is_no_recipient_is_refused(server):
    status, error, message = refusal(f"{server.url}/htsget/reads/ex/bam", REGION, BOB.public)
    assert (status, error) == (403, "PermissionDenied") and BOB.public.fingerprint in message
    assert refusal(f"{server.url}/htsget/reads/ex/bam", {"encryptionScheme": "c4gh"}, BOB.public)[:2] == (403, "PermissionDenied")


def test_who_does_not_say_who_they_are_or_that_they_can_open_it_is_told_how_to_ask(server):
    status, error, message = refusal(f"{server.url}/htsget/reads/ex/bam", REGION, None)
    assert (status, error) == (400, "InvalidInput") and PUBLIC_KEY_HEADER in message
    without = {name: value for name, value in REGION.items() if name != "encryptionScheme"}
    status, error, message = refusal(f"{server.url}/htsget/reads/ex/bam", without, ALICE.public)
    assert (status, error) == (404, "NotFound") and "encryptionScheme=c4gh" in message
    assert (
        refusal(f"{server.url}/htsget/reads/ex/bam", REGION | {"encryptionScheme": "rot13"}, ALICE.public)[1]
        == "UnsupportedFormat"
    )


def test_a_contig_or_range_that_is_none_is_refused_as_for_a_plain_file(server):
    url = f"{server.url}/htsget/reads/ex/bam"
    assert refusal(url, REGION | {"referenceName": "nowhere"}, ALICE.public)[:2] == (404, "NotFound")
    assert refusal(url, REGION | {"start": "9", "end": "9"}, ALICE.public)[:2] == (400, "InvalidRange")
    assert refusal(url, REGION | {"format": "CRAM"}, ALICE.public)[:2] == (400, "UnsupportedFormat")


@pytest.mark.parametrize("key", [None, OTHER])
def test_a_server_without_the_key_says_how_to_read_regions_all_the_same(hard, key):
    with BackgroundServer(create_app(open_storage(str(hard)), index_key=key)) as server:
        status, error, message = refusal(f"{server.url}/htsget/reads/ex/bam", REGION, ALICE.public)
        assert (status, error) == (400, "UnsupportedFormat") and "/files/ex/bam.bam.c4gh" in message
        assert fetch(f"{server.url}/htsget/reads/ex/bam", {"encryptionScheme": "c4gh"}, ALICE.public)
        served = MODO(f"{server.url}/files/ex")
        plain = MODO.open(hard / "open").count("bam.bam", "chr1:1-100,000")
        assert served.count("bam.bam", "chr1:1-100,000", secret_key=ALICE) == plain > 0


def test_each_segment_of_an_answer_is_compared_with_its_digest(hard, tmp_path):
    """A segment of another place of the file, whose seal holds, is found out by the client."""
    shutil.copytree(hard / "ex", tmp_path / "ex")
    path = tmp_path / "ex/bam.bam.c4gh"
    data = bytearray(path.read_bytes())
    start = header_of(bytes(data)).size
    assert len(data) - start > 3 * SEALED
    one, other = slice(start, start + SEALED), slice(start + SEALED, start + 2 * SEALED)
    data[one], data[other] = data[other], data[one]
    path.write_bytes(data)
    with BackgroundServer(create_app(open_storage(str(tmp_path)), index_key=SERVER)) as server:
        with pytest.raises(ModosError, match="not (those|what)|digest|recorded"):
            open_served_file(f"{server.url}/htsget/reads/ex/bam", None, secret=ALICE).count("chr1:1-100,000")


def test_regions_cost_hardly_more_bytes_than_the_segments_of_the_plain_plan(hard, server):
    planner = Planner(open_storage(str(hard / "open")))
    info, header = planner.storage.stat("bam.bam"), planner.plan_header("bam.bam").header
    for region in (Region("chr1", 1000, 2000), Region("chr10", 0, 400_000), Region("chr2", 150_000, None)):
        spans = [(start >> 16, (end >> 16) + 1) for start, end in planner.find_chunks("bam.bam", [region], 1 << 40)[1]]
        spans += [(0, sum(len(s) if isinstance(s, bytes) else s.size for s in header)), (info.size - 28, info.size)]
        segments = {number for start, end in spans for number in range(start // SEGMENT, -(-end // SEGMENT))}
        query = {"referenceName": region.contig, "start": str(region.start), "encryptionScheme": "c4gh"}
        query |= {"end": str(region.end)} if region.end else {}
        got = len(fetch(f"{server.url}/htsget/reads/ex/bam", query, ALICE.public))
        assert got <= 1.1 * len(segments) * SEALED + (64 << 10)
