"""A key service makes headers for readers who are allowed and no recipients, and for nobody else."""

from __future__ import annotations

import json
import shutil
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import requests
import zarr

from modos.api import MODO
from modos.catalog.refreshing import rebuild
from modos.encryption.header import Header, encrypt_header, read_header
from modos.encryption.keys import PublicKey, SecretKey
from modos.errors import AccessError, InvalidInputError, RemoteError
from modos.formats import header_key
from modos.genomics.htsget.protocol import PUBLIC_KEY_HEADER
from modos.object.finding import open_served_file
from modos.server.app import create_app
from modos.server.auth import Access
from modos.server.keyserver import create_keyserver, open_registered
from modos.server.rewrapping import _MOST, KeyService
from modos.server.rules import Rule, Rules
from modos.server.run import BackgroundServer
from modos.storage import open_storage
from tests.support.waiting import wait_until

ALICE, BOB, EVE, SERVER, KEYS = (SecretKey.random() for _ in range(5))
TOKENS = {f"the-token-of-{name}-0123456789": name for name in ("alice", "bob", "eve", "mallory")}
TOKEN = {name: token for token, name in TOKENS.items()}
REGION = {"referenceName": "chr1", "start": "20000", "end": "25000", "encryptionScheme": "c4gh"}


@pytest.fixture
def served(example, tmp_path) -> Path:
    """A folder with an object that is encrypted for Alice and the key service, and one of Mallory, who may write there."""
    folder = tmp_path / "served"
    shutil.copytree(example / "ex", folder / "ex")
    modo = MODO.open(folder / "ex")
    modo.encrypt([ALICE.public, KEYS.public], index_for=SERVER.public)
    shutil.copytree(example / "ex", folder / "mallory")
    return folder


@pytest.fixture
def people(tmp_path) -> Path:
    folder = tmp_path / "people"
    folder.mkdir()
    for name, secret in (("alice", ALICE), ("bob", BOB), ("mallory", EVE)):
        (folder / f"{name}.pub").write_bytes(secret.public.to_pem())
    return folder


def access() -> Access:
    rules = Rules(
        (
            Rule(frozenset({"user:alice", "user:bob"}), read=("ex",)),
            Rule(frozenset({"user:mallory"}), write=("mallory",)),
            Rule(frozenset({"user:eve"}), read=("elsewhere",)),
        )
    )
    return Access(dict(TOKENS), rules)


@pytest.fixture
def keyserver(served, people):
    app = create_keyserver(open_storage(str(served)), KEYS, access(), open_registered(people))
    with BackgroundServer(app) as server:
        yield server


@pytest.fixture
def server(served, keyserver):
    """A storage server, without keys to the files, that asks the key service."""
    with BackgroundServer(
        create_app(open_storage(str(served)), access=access(), index_key=SERVER, rewrap=KeyService(keyserver.url))
    ) as server:
        yield server


def head_of(path: Path) -> bytes:
    data = path.read_bytes()
    return data[: read_header(lambda start, end: data[start:end]).size]


def ask(keyserver, key: str, head: bytes, reader: PublicKey | None, name: str | None = "bob") -> requests.Response:
    headers = {PUBLIC_KEY_HEADER: str(reader)} if reader else {}
    headers |= {"Authorization": f"Bearer {TOKEN[name]}"} if name else {}
    return requests.post(f"{keyserver.url}/rewrap/{key}", data=head, headers=headers, timeout=20)


BAM = "ex/demo2.bam.c4gh"


def test_who_is_allowed_and_no_recipient_reads_a_region_and_the_whole_file(server, example, monkeypatch):
    monkeypatch.setenv("MODOS_TOKEN", TOKEN["bob"])
    plain = MODO.open(example / "ex")
    file = open_served_file(f"{server.url}/htsget/reads/ex/demo2", server.url, secret=BOB)
    assert file.count("chr1:20,001-25,000") == plain.count("demo2.bam", "chr1:20,001-25,000") == 969
    assert b"".join(file.iter_bytes()) == (example / "ex/demo2.bam").read_bytes()


def test_the_header_is_for_the_reader_alone(keyserver, served):
    answer = ask(keyserver, BAM, head_of(served / BAM), BOB.public)
    assert answer.status_code == 200
    header = read_header(lambda start, end: answer.content[start:end])
    assert len(header.packets) == 1
    original = head_of(served / BAM)
    assert header.decrypt(BOB).keys == read_header(lambda start, end: original[start:end]).decrypt(ALICE).keys
    assert header.decrypt(BOB, KEYS.public), "the key service is its sender"
    assert not any(header.has_packets_for(secret) for secret in (ALICE, KEYS, SERVER))


@pytest.mark.parametrize(
    ("name", "reader", "status", "error"),
    [
        (None, BOB, 401, "InvalidAuthentication"),
        ("eve", EVE, 403, "PermissionDenied"),
        ("mallory", EVE, 403, "PermissionDenied"),
        ("bob", EVE, 403, "PermissionDenied"),
        ("bob", SERVER, 403, "PermissionDenied"),
        ("bob", None, 400, "InvalidInput"),
    ],
)
def test_nobody_else_gets_one(keyserver, served, name, reader, status, error):
    """Nor does a server that has the token of somebody who is allowed, and names a key of its own."""
    answer = ask(keyserver, BAM, head_of(served / BAM), reader and reader.public, name)
    assert (answer.status_code, answer.json()["htsget"]["error"]) == (status, error)


def test_a_token_that_is_none_is_refused(keyserver, served):
    headers = {PUBLIC_KEY_HEADER: str(BOB.public), "Authorization": "Bearer something-else-altogether"}
    answer = requests.post(f"{keyserver.url}/rewrap/{BAM}", data=head_of(served / BAM), headers=headers, timeout=20)
    assert answer.status_code == 401


def test_a_header_of_another_file_is_refused(keyserver, served):
    other = head_of(served / "ex/demo1.cram.c4gh")
    assert ask(keyserver, BAM, other, BOB.public).status_code == 403
    made = encrypt_header(bytes(range(32)), [KEYS.public])
    assert ask(keyserver, BAM, made, BOB.public).status_code == 403
    for key in (
        "ex/nothing.bam.c4gh",
        "ex/demo2.bam.bai.c4gh",
        "ex/demo2.bam",
        "ex",
        "nowhere/a.bam.c4gh",
        "ex/../mallory/x.c4gh",
    ):
        assert ask(keyserver, key, head_of(served / BAM), BOB.public).status_code in (403, 404), key
    whole = head_of(served / BAM)
    for broken in (b"", whole[:-1], whole + b"x", b"x" * 200, whole[:50]):
        assert ask(keyserver, BAM, broken, BOB.public).status_code in (400, 403)
    assert ask(keyserver, BAM, b"x" * (2 << 20), BOB.public).status_code == 413


def test_a_header_is_not_taken_under_the_name_of_an_object_of_ones_own(keyserver, served):
    """Mallory lays somebody's file below a place of hers, and records its header: the key service knows it for another's."""
    own = MODO.open(served / "mallory")
    own.remove_element("data/demo2")
    shutil.copy(served / BAM, served / "mallory/mine.bam.c4gh")
    own.add_element({"@type": "AlignmentSet", "id": "data/mine", "data_format": "BAM"}, source_file=served / BAM)
    path = MODO.open(served / "mallory").metadata["data/mine"]["data_path"]
    head = head_of(served / "mallory" / path)
    assert head == head_of(served / BAM)
    answer = ask(keyserver, f"mallory/{path}", head, EVE.public, "mallory")
    assert answer.status_code == 403 and "may not read" in answer.json()["htsget"]["message"]


def lay(served: Path, head: bytes) -> str:
    """Lay a file with somebody's header at Mallory's place, and record it; returns its key."""
    laid = served.parent / "laid.bam.c4gh"
    laid.write_bytes(head + bytes(100_000))
    own = MODO.open(served / "mallory")
    own.add_element({"@type": "AlignmentSet", "id": "data/laid", "data_format": "BAM"}, source_file=laid)
    key = f"mallory/{MODO.open(served / 'mallory').metadata['data/laid']['data_path']}"
    assert head_of(served / key) == head
    return key


def refuses_laid(keyserver, served: Path, head: bytes) -> bool:
    answer = ask(keyserver, lay(served, head), head, EVE.public, "mallory")
    return answer.status_code == 403 and "may not read" in answer.json()["htsget"]["message"]


def test_a_header_from_before_others_were_revoked_is_known_for_that_of_the_file(keyserver, served):
    """The packets for all but who revokes are made anew then, with the same data key."""
    before = head_of(served / BAM)
    modo = MODO.open(served / "ex")
    modo.share(ALICE, [BOB.public])
    modo.revoke(ALICE, [BOB.public])
    after = head_of(served / "ex" / modo.metadata["data/demo2"]["data_path"])
    for secret in (ALICE, KEYS):
        old, new = (read_header(lambda start, end, head=head: head[start:end]) for head in (before, after))
        assert old.decrypt(secret).keys == new.decrypt(secret).keys
    assert refuses_laid(keyserver, served, before)


@pytest.mark.parametrize("name", ["demo2.bam.bai.c4gh", "demo2.bam.cuts.c4gh"])
def test_headers_of_indexes_and_cuts_are_not_lent_either(keyserver, served, name):
    assert refuses_laid(keyserver, served, head_of(served / "ex" / name))


def test_the_header_of_a_tree_is_not_lent_either(keyserver, served, tmp_path):
    zarr.create_array(str(tmp_path / "counts.zarr"), data=np.arange(10))
    modo = MODO.open(served / "ex")
    modo.add_element({"@type": "DataEntity", "id": "data/m", "data_format": "Zarr"}, source_file=tmp_path / "counts.zarr")
    modo.encrypt([ALICE.public, KEYS.public])
    head = modo.storage.read(header_key(modo.metadata["data/m"]))[0]
    assert refuses_laid(keyserver, served, bytes(head))


def test_a_kept_catalogue_hides_no_header(keyserver, served):
    """The catalogue is written by many, and says nothing of what other programs changed since."""
    rebuild(open_storage(str(served)))
    head = head_of(served / BAM)
    (served / "ex").rename(served / "moved")
    answer = ask(keyserver, lay(served, head), head, EVE.public, "mallory")
    assert answer.status_code == 403 and "may not read" in answer.json()["htsget"]["message"]


def test_a_header_that_is_not_recorded_is_read_each_time_and_opened_once(keyserver, served, monkeypatch):
    """Opening many packets takes long, and what somebody wrote by hand would delay all others."""
    place = "mallory/demo2.bam.c4gh"
    (served / place).write_bytes(encrypt_header(bytes(32), [PublicKey(SecretKey.random().public.raw) for _ in range(50)]))
    own = MODO.open(served / "mallory")
    own.remove_element("data/demo1")
    record = own.storage.read("data.zarr/zarr.json")[0].replace(b'"demo2.bam"', b'"demo2.bam.c4gh"')
    (served / "mallory/data.zarr/zarr.json").write_bytes(record)
    assert MODO.open(served / "mallory").metadata["data/demo2"]["data_path"] == "demo2.bam.c4gh"
    opened: list[int] = []
    decrypt = Header.decrypt
    monkeypatch.setattr(Header, "decrypt", lambda self, *keys: opened.append(len(self.packets)) or decrypt(self, *keys))
    for _ in range(3):
        assert ask(keyserver, BAM, head_of(served / BAM), BOB.public).status_code == 200
    assert opened.count(50) == 1
    (served / place).write_bytes(head_of(served / BAM))
    assert ask(keyserver, BAM, head_of(served / BAM), BOB.public).status_code == 403


def test_a_file_that_is_not_encrypted_for_the_service_is_refused(keyserver, served):
    modo = MODO.open(served / "ex")
    modo.revoke(ALICE, [KEYS.public])
    path = modo.metadata["data/demo2"]["data_path"]
    answer = ask(keyserver, f"ex/{path}", head_of(served / "ex" / path), BOB.public)
    assert answer.status_code == 403 and "not encrypted for the key service" in answer.json()["htsget"]["message"]


def test_who_is_refused_there_is_refused_here(server, monkeypatch):
    url = f"{server.url}/htsget/reads/ex/demo2"
    for name, reader, status in (("bob", EVE, 403), ("eve", EVE, 403), (None, BOB, 403)):
        headers = {PUBLIC_KEY_HEADER: str(reader.public)} | ({"Authorization": f"Bearer {TOKEN[name]}"} if name else {})
        answer = requests.get(url, params=REGION, headers=headers, timeout=20)
        assert answer.status_code in (status, 401), answer.text
    monkeypatch.setenv("MODOS_TOKEN", TOKEN["bob"])
    with pytest.raises(AccessError, match="not registered for bob"):
        open_served_file(url, server.url, secret=EVE).count("chr1:1-2")


def test_recipients_need_no_key_service(served, monkeypatch, example):
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        down = KeyService(f"http://127.0.0.1:{nobody.getsockname()[1]}")
        app = create_app(open_storage(str(served)), access=access(), index_key=SERVER, rewrap=down)
        with BackgroundServer(app) as server:
            monkeypatch.setenv("MODOS_TOKEN", TOKEN["alice"])
            url = f"{server.url}/htsget/reads/ex/demo2"
            assert open_served_file(url, server.url, secret=ALICE).count("chr1:20,001-25,000") == 969
            headers = {PUBLIC_KEY_HEADER: str(BOB.public), "Authorization": f"Bearer {TOKEN['bob']}"}
            answer = requests.get(url, params=REGION, headers=headers, timeout=30)
            assert answer.status_code == 502 and TOKEN["bob"] not in answer.text


def test_recipients_do_not_wait_for_a_key_service_that_hangs(served, monkeypatch):
    """It takes connections and never answers: those who need it must not take all threads of the server."""
    monkeypatch.setattr("modos.server.rewrapping.TIMEOUT", (20, 150))
    monkeypatch.setattr("modos.server.rewrapping.DEADLINE", 150.0)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen(200)
        hanging = KeyService(f"http://127.0.0.1:{silent.getsockname()[1]}")
        app = create_app(open_storage(str(served)), access=access(), index_key=SERVER, rewrap=hanging)

        def get(secret: SecretKey, name: str) -> int:
            headers = {PUBLIC_KEY_HEADER: str(secret.public), "Authorization": f"Bearer {TOKEN[name]}"}
            return requests.get(f"{server.url}/htsget/reads/ex/demo2", params=REGION, headers=headers, timeout=180).status_code

        with BackgroundServer(app) as server, ThreadPoolExecutor(80) as pool:
            assert get(ALICE, "alice") == 200
            others = [pool.submit(get, BOB, "bob") for _ in range(80)]
            try:
                wait_until(lambda: sum(other.done() for other in others) == 80 - _MOST)
                begin = time.monotonic()
                assert get(ALICE, "alice") == 200
                assert time.monotonic() - begin < 15 and sum(other.done() for other in others) == 80 - _MOST
            finally:
                silent.close()
            assert {other.result() for other in others} == {502}


@pytest.mark.parametrize("variable", ["HTTP_PROXY", "http_proxy", "ALL_PROXY"])
def test_no_proxy_sees_the_token_of_a_caller(keyserver, served, monkeypatch, variable):
    """A near service is asked over http: a proxy of the network would read it."""
    with socket.socket() as proxy:
        proxy.bind(("127.0.0.1", 0))
        proxy.listen()
        proxy.settimeout(0.1)
        for name in ("no_proxy", "NO_PROXY"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv(variable, f"http://127.0.0.1:{proxy.getsockname()[1]}")
        head = head_of(served / BAM)
        header = read_header(lambda start, end: head[start:end])
        made = KeyService(keyserver.url).fetch_header(BAM, header, BOB.public, f"Bearer {TOKEN['bob']}")
        assert made.decrypt(BOB)
        with pytest.raises(TimeoutError):
            proxy.accept()


@pytest.mark.parametrize("answer", [b"", b"crypt4gh", b"x" * 500, "more", "other"])
def test_what_a_service_answers_is_looked_at(served, answer):
    """Another's header does no harm: the reader cannot open what is sealed under another key."""
    from starlette.responses import Response

    whole = head_of(served / BAM)
    made = encrypt_header(bytes(range(32)), [BOB.public])
    content = {"more": whole + b"x", "other": made}.get(answer, answer)

    async def app(scope, receive, send):
        if scope["type"] == "http":
            await Response(content)(scope, receive, send)

    with BackgroundServer(app) as service:
        header = read_header(lambda start, end: whole[start:end])
        if answer == "other":
            assert KeyService(service.url).fetch_header(BAM, header, BOB.public, None).decrypt(BOB)
            return
        with pytest.raises(RemoteError):
            KeyService(service.url).fetch_header(BAM, header, BOB.public, None)


@pytest.mark.parametrize("url", ["http://keys.example.org", "http://10.1.2.3:80", "ftp://keys", "keys"])
def test_tokens_are_not_sent_over_the_net_in_the_clear(url):
    with pytest.raises(InvalidInputError):
        KeyService(url)


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:1", "http://[::1]:1", "http://localhost:1", "http://keyserver:8090", "https://a.org"]
)
def test_near_services_and_safe_ones_are_asked(url):
    assert KeyService(url).url == url


def test_names_of_callers_are_no_paths(people):
    from modos.server.rules import Caller

    (people.parent / "up.pub").write_bytes(EVE.public.to_pem())
    registered = open_registered(people)
    assert registered.has(Caller("bob"), BOB.public) and not registered.has(Caller("bob"), EVE.public)
    for name in ("../up", "", ".", "bob/../bob", "nobody", "\0", "x" * 5000):
        assert not registered.has(Caller(name), EVE.public) and not registered.has(Caller(name), BOB.public)


def test_nothing_secret_is_logged_or_answered(keyserver, served, caplog):
    with caplog.at_level("DEBUG", logger="modos"):
        answer = ask(keyserver, BAM, head_of(served / BAM), BOB.public)
        ask(keyserver, BAM, head_of(served / BAM), EVE.public)
    key = read_header(lambda start, end: answer.content[start:end]).decrypt(BOB).keys[0]
    assert "bob: a header of ex/demo2.bam.c4gh" in caplog.text
    for secret in (key.hex(), TOKEN["bob"], KEYS.raw.hex(), json.dumps(str(KEYS))):
        assert secret not in caplog.text
