"""A server that opens no file serves regions of encrypted ones, which any Crypt4GH program opens for a recipient.

samtools and bcftools say which records a region of the plain file has.
"""

from __future__ import annotations

import base64
import io
import os
import shutil
import subprocess
from pathlib import Path

import pytest
import requests

from modos.api import MODO
from modos.demo.stack import BUCKET, CREDENTIALS, run_stack
from modos.encryption.header import Header, encrypt_header, read_header
from modos.encryption.keys import PublicKey, SecretKey
from modos.errors import DecryptError, ModosError
from modos.formats.crypt4gh import SEALED, SEGMENT
from modos.genomics.htsget.protocol import PUBLIC_KEY_HEADER
from modos.genomics.planning import Planner
from modos.genomics.region import Region
from modos.object.finding import open_served_file
from modos.server.app import create_app
from modos.server.auth import Access
from modos.server.rules import Rule, Rules
from modos.server.run import BackgroundServer
from modos.storage import open_storage
from modos.storage.s3 import S3Storage
from tests.support import commands
from tests.support.hard_files import CASES, WITHOUT_CONTIGS, File, some_regions, text_of
from tests.support.proxy import Proxy

pytestmark = pytest.mark.sweep(40)

ALICE, BOB, SERVER, OTHER = (SecretKey.random() for _ in range(4))
REGION = {"referenceName": "chr1", "start": "1000", "end": "90000", "encryptionScheme": "c4gh"}
ALICE_PEM = (
    b"-----BEGIN CRYPT4GH PRIVATE KEY-----\n"
    + base64.b64encode(b"c4gh-v1" + b"\0\4none" * 2 + b"\0\x20" + ALICE.raw)
    + b"\n-----END CRYPT4GH PRIVATE KEY-----\n"
)


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
        url, params={"class": "header", "encryptionScheme": "c4gh"}, headers={PUBLIC_KEY_HEADER: str(ALICE.public)}, timeout=45
    ).json()["htsget"]
    assert ticket["format"] == "BCF" and ticket["encryptionScheme"] == "c4gh"
    assert {block["class"] for block in ticket["urls"]} == {"header"}


def test_exact_records_are_refused_and_not_left_out_in_silence(hard, server):
    """A region of an encrypted file comes with neighbours."""
    url = f"{server.url}/htsget/reads/ex/bam"
    refused = 400, "UnsupportedFormat"
    assert refusal(url, REGION | {"exact": "true"}, ALICE.public)[:2] == refused
    assert refusal(url, REGION, ALICE.public, **{"Modos-Exact": "true"})[:2] == refused
    body = {"encryptionScheme": "c4gh", "regions": [{"referenceName": "chr1"}]}
    headers = {PUBLIC_KEY_HEADER: str(ALICE.public)}
    assert requests.post(f"{url}?exact=true", json=body, headers=headers, timeout=45).status_code == 400
    assert fetch(url, REGION | {"exact": "false"}, ALICE.public)
    assert fetch(url, {"encryptionScheme": "c4gh", "exact": "true"}, ALICE.public) == (hard / "ex/bam.bam.c4gh").read_bytes()


def test_the_key_of_a_reader_is_taken_in_both_forms(hard, server):
    url, params = f"{server.url}/htsget/reads/ex/bam", REGION
    for text in (str(ALICE.public), base64.b64encode(ALICE.public.to_pem()).decode()):
        assert requests.get(url, params=params, headers={PUBLIC_KEY_HEADER: text}, timeout=45).status_code == 200
    pem = base64.b64encode(b"-----BEGIN CRYPT4GH PRIVATE KEY-----\nAAAA\n-----END CRYPT4GH PRIVATE KEY-----\n").decode()
    for text in ("", "x", "AAAA", "!" * 44, base64.b64encode(bytes(32)).decode(), "A" * 5000, pem):
        answer = requests.get(url, params=params, headers={PUBLIC_KEY_HEADER: text}, timeout=45)
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


@pytest.fixture
def own(hard, tmp_path) -> Path:
    """A copy of the object, to be damaged."""
    return shutil.copytree(hard / "ex", tmp_path / "own/ex").parent


def serving(folder: Path, **more) -> BackgroundServer:
    return BackgroundServer(create_app(open_storage(str(folder)), index_key=SERVER, **more))


def swap_segments(path: Path) -> None:
    """Let the first two segments of a file change places: each seal holds still."""
    data = bytearray(path.read_bytes())
    start = header_of(bytes(data)).size
    assert len(data) - start > 3 * SEALED
    one, other = slice(start, start + SEALED), slice(start + SEALED, start + 2 * SEALED)
    data[one], data[other] = data[other], data[one]
    path.write_bytes(data)


@pytest.mark.parametrize("inline", [0, 1 << 20])
def test_each_segment_of_an_answer_is_compared_with_its_digest(own, monkeypatch, inline):
    """By the client those that are ranges, by the server those that come with the ticket."""
    monkeypatch.setattr("modos.server.sealed_tickets.INLINE", inline)
    monkeypatch.setattr("modos.genomics.htsget.transport.ATTEMPTS", 1)
    swap_segments(own / "ex/bam.bam.c4gh")
    with serving(own) as server, pytest.raises(ModosError, match="HTTP 500" if inline else "not those that are recorded"):
        open_served_file(f"{server.url}/htsget/reads/ex/bam", None, secret=ALICE).count("chr1:1-100,000")


def damage_header(path: Path) -> None:
    data = path.read_bytes()
    made = encrypt_header(os.urandom(32), [ALICE.public])
    path.write_bytes(made + data[header_of(data).size :])


def cut_short(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1000])


@pytest.mark.parametrize("damage", [damage_header, cut_short, Path.unlink])
def test_a_file_that_is_not_what_is_recorded_is_not_served(own, monkeypatch, damage):
    monkeypatch.setattr("modos.genomics.htsget.transport.ATTEMPTS", 1)
    with serving(own) as server:
        assert fetch(f"{server.url}/htsget/reads/ex/bam", REGION, ALICE.public)
        damage(own / "ex/bam.bam.c4gh")
        status, error, _ = refusal(f"{server.url}/htsget/reads/ex/bam", REGION, ALICE.public)
        assert (status, error) in ((500, "InternalError"), (404, "NotFound"))


@pytest.mark.parametrize("other", ["cram-3.0", "bam-csi", None])
def test_what_finds_regions_of_another_file_is_not_taken(own, other):
    path = own / "ex/bam.bam.cuts.c4gh"
    path.write_bytes(next((own / "ex").glob(f"{other}.*.cuts.c4gh")).read_bytes() if other else path.read_bytes()[:-1])
    with serving(own) as server:
        status, error, _ = refusal(f"{server.url}/htsget/reads/ex/bam", REGION, ALICE.public)
        assert (status, error) == (500, "InternalError")


def test_who_is_taken_off_is_refused_at_once_and_the_server_too(own):
    modo = MODO.open(own / "ex")
    modo.share(ALICE, [BOB.public], ["data/bam"])
    with serving(own) as server:
        url = f"{server.url}/htsget/reads/ex/bam"
        assert fetch(url, REGION, BOB.public)
        modo.revoke(ALICE, [BOB.public], ["data/bam"])
        assert refusal(url, REGION, BOB.public)[:2] == (403, "PermissionDenied")
        assert fetch(url, REGION, ALICE.public)
        modo.revoke(ALICE, [], ["data/bam"], index_for=SERVER.public)
        assert refusal(url, REGION, ALICE.public)[1] == "UnsupportedFormat"


def test_a_server_that_is_gone_halfway_is_an_error(hard, monkeypatch):
    monkeypatch.setattr("modos.genomics.htsget.transport.ATTEMPTS", 2)
    monkeypatch.setattr("modos.genomics.htsget.transport.TIMEOUT", (20, 4))
    monkeypatch.setattr("modos.server.sealed_tickets.INLINE", 0)
    gone = []

    def fault(proxy, handler, answer):
        if "/files/" in handler.path:
            gone.append(handler.path)
            answer.body = answer.body[: len(answer.body) // 2]

    with serving(hard) as server, Proxy(server.url, fault=fault) as proxy:
        ticket = requests.get(
            f"{server.url}/htsget/reads/ex/bam", params=REGION, headers={PUBLIC_KEY_HEADER: str(ALICE.public)}, timeout=20
        )
        assert any("/files/" in block["url"] for block in ticket.json()["htsget"]["urls"])
        with serving(hard, public_url=proxy.url) as behind, pytest.raises(ModosError):
            open_served_file(f"{behind.url}/htsget/reads/ex/bam", None, secret=ALICE).count("chr1:1-100,000")
    assert gone


def test_the_wrong_key_opens_nothing(server):
    """Of somebody who says that they are Alice, whose public key is no secret."""
    data = fetch(f"{server.url}/htsget/reads/ex/bam", REGION, ALICE.public)
    with pytest.raises(ValueError, match="No supported encryption method"):
        open_with_package(data, BOB)
    with pytest.raises(ModosError, match="not encrypted for the key"):
        open_served_file(f"{server.url}/htsget/reads/ex/bam", None, secret=BOB)


def test_the_sender_is_asked_of_the_data_key_alone(hard, tmp_path):
    """The edit list is the server's."""
    modo = MODO.open(shutil.copytree(hard / "open", tmp_path / "ex"))
    modo.encrypt(ALICE.public, BOB, also_me=False, elements=["data/bam"], index_for=SERVER.public)
    with serving(tmp_path) as server:
        url = f"{server.url}/htsget/reads/ex/bam"
        plain = MODO.open(hard / "open").count("bam.bam", "chr1:1-100,000")
        assert open_served_file(url, None, secret=ALICE, senders=[BOB.public]).count("chr1:1-100,000") == plain
        with pytest.raises(DecryptError, match="sender"):
            open_served_file(url, None, secret=ALICE, senders=[OTHER.public]).count("chr1:1-100,000")


def test_who_may_not_read_the_object_gets_nothing(hard):
    rules = Rules((Rule(frozenset({"user:alice"}), read=("ex",)), Rule(frozenset({"user:bob"}), read=("other",))))
    tokens = {"a-token-for-alice-0123": "alice", "a-token-for-bob-012345": "bob"}
    with serving(hard, access=Access(tokens, rules)) as server:
        url = f"{server.url}/htsget/reads/ex/bam"
        assert refusal(url, REGION, ALICE.public)[1] == "PermissionDenied"
        assert refusal(url, REGION, ALICE.public, Authorization="Bearer a-token-for-bob-012345")[1] == "PermissionDenied"
        headers = {PUBLIC_KEY_HEADER: str(ALICE.public), "Authorization": "Bearer a-token-for-alice-0123"}
        assert requests.get(url, params=REGION, headers=headers, timeout=45).status_code == 200


@pytest.mark.parametrize("program", ["rust", "go"])
@pytest.mark.parametrize("name", ["bam", "cram-3.0", "vcf-tbi", "bcf"])
def test_other_programs_open_it(hard, server, tmp_path, program, name):
    """crypt4gh of Rust (`cargo install crypt4gh`) and of Go, where they are: C4GH_RUST and C4GH_GO name them."""
    tool = os.environ.get(f"C4GH_{program.upper()}")
    if not tool:
        pytest.skip(f"C4GH_{program.upper()} names no crypt4gh program")
    path = path_of(hard, name)
    query = REGION | {"format": Hard(path).format.name}
    sealed = fetch(f"{server.url}/htsget/{kind_of(path)}/ex/{name}", query, ALICE.public)
    (tmp_path / "alice.sec").write_bytes(ALICE_PEM)
    if program == "rust":
        command = [tool, "decrypt", "--sk", tmp_path / "alice.sec"]
        opened = subprocess.run(command, input=sealed, capture_output=True, check=True, timeout=60).stdout
    else:
        (tmp_path / "a.c4gh").write_bytes(sealed)
        command = [tool, "decrypt", "-f", tmp_path / "a.c4gh", "-s", tmp_path / "alice.sec"]
        subprocess.run(command, capture_output=True, check=True, timeout=60)
        opened = (tmp_path / "a").read_bytes()
    assert opened == open_with_package(sealed, ALICE)


def run(*words, stdin: bytes | None = None) -> bytes:
    done = subprocess.run([str(word) for word in words], input=stdin, capture_output=True, check=True, timeout=120)
    return done.stdout


def test_commands_stream_what_samtools_and_bcftools_find(hard, server, tmp_path):
    """With a server that has the key for indexes by htsget, and by the files of one without, without credentials of S3."""
    key = tmp_path / "alice.sec"
    key.write_bytes(ALICE_PEM)
    key.chmod(0o600)
    cases = {"bam": "reads", "cram-3.0": "reads", "vcf-tbi": "variants", "bcf": "variants"}
    with BackgroundServer(create_app(open_storage(str(hard)))) as plain_server:
        for name, kind in cases.items():
            path = path_of(hard, name)
            program = ["samtools", "view"] if kind == "reads" else ["bcftools", "view", "-H"]
            wanted = run(*program, path, "chr1:100001-200000")
            assert wanted
            urls = (f"{server.url}/htsget/{kind}/ex/{name}", f"{plain_server.url}/files/ex/{path.name}")
            for url in urls:
                words = ["stream", "-r", "chr1:100001-200000", "--secret-key", key, url]
                done = commands.run(words, capture_output=True, timeout=120)
                assert done.returncode == 0, done.stderr.decode()
                assert run(*program, "-", stdin=done.stdout) == wanted, url


def test_a_bucket_that_is_not_to_be_read_is_read_through_the_server(hard, monkeypatch):
    """The segments come by addresses that are signed for S3; tickets lead there, too."""
    monkeypatch.setattr("modos.server.sealed_tickets.INLINE", 0)
    with run_stack() as services:
        MODO.open(hard / "ex").upload(f"s3://{BUCKET}/blind/ex", services={"s3": services.s3}, s3_kwargs=CREDENTIALS)
        storage = S3Storage.from_url(f"s3://{BUCKET}/blind", endpoint_url=services.s3, s3_kwargs=CREDENTIALS)
        wanted = MODO.open(hard / "open").count("bam.bam", "chr1:1-300,000")
        with BackgroundServer(create_app(storage, index_key=SERVER)) as server:
            url = f"{server.url}/htsget/reads/ex/bam"
            answer = requests.get(
                url, params=REGION | {"end": "900000"}, headers={PUBLIC_KEY_HEADER: str(ALICE.public)}, timeout=20
            ).json()
            assert any("X-Amz-Signature" in block["url"] for block in answer["htsget"]["urls"])
            assert open_served_file(url, None, secret=ALICE).count("chr1:1-300,000") == wanted > 0
            served = MODO(f"{server.url}/files/ex")
            records = list(served.stream_genomics("bam.bam", "chr1:1-300,000", secret_key=ALICE))
            assert len(records) == wanted


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
