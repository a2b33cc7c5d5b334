"""htsget servers that seal their answers: they learn for whom, and nothing that came back is taken for what it is not."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys

import pytest
from starlette.responses import RedirectResponse, Response

from modos.api import MODO
from modos.encryption.body import encrypt
from modos.encryption.header import encrypt_header
from modos.encryption.keys import SecretKey, load_public_key
from modos.errors import DecryptError, ProtocolError
from modos.genomics import GenomicFile
from modos.genomics.htsget.client import HtsgetClient
from modos.genomics.htsget.query import Query
from modos.genomics.htsget.streams import htsget_source
from modos.object.finding import open_served_file
from modos.server.run import BackgroundServer

ME, SERVER = SecretKey.random(), SecretKey.random()


class Sealing:
    """An htsget server that seals its answers for the key in the request's header, as htsget-rs does, one block by address."""

    def __init__(self, data, folder):
        self.data, self.folder, self.ticket, self.headers, self.moved = data, folder, {"format": "BAM"}, {}, None

    async def __call__(self, scope, receive, send):
        if scope["type"] == "lifespan":
            return
        headers = {name.decode().lower(): value.decode() for name, value in scope["headers"]}
        self.headers.setdefault(scope["path"].partition("/")[2].partition("/")[0], []).append(headers)
        if scope["path"].startswith("/block"):
            await Response(self.sealed[400:])(scope, receive, send)
        elif self.moved:
            await RedirectResponse(self.moved)(scope, receive, send)
        else:
            await Response(self.answer(headers))(scope, receive, send)

    def answer(self, headers):
        (self.folder / "their.pub").write_bytes(base64.b64decode(headers["htsget-context-public-key"]))
        key = os.urandom(32)
        recipient = load_public_key(self.folder / "their.pub")
        self.sealed = encrypt_header(key, [recipient], SERVER) + b"".join(encrypt(iter([self.data]), key))
        first = "data:;base64," + base64.b64encode(self.sealed[:400]).decode()
        return json.dumps({"htsget": self.ticket | {"urls": [{"url": first}, {"url": f"{self.url}/block"}]}})


@pytest.fixture
def app(example, tmp_path):
    app = Sealing((example / "ex/demo2.bam").read_bytes(), tmp_path)
    with BackgroundServer(app) as server:
        app.url = server.url
        yield app


def test_the_server_learns_for_whom_to_seal(app, example):
    """The key goes to the server alone, as its file is."""
    wanted = MODO.open(example / "ex").count("demo2.bam", "chr1:1-9000")
    assert open_served_file(f"{app.url}/reads/ex/demo2", None, secret=ME).count("chr1:1-9000") == wanted > 0
    assert load_public_key(app.folder / "their.pub") == ME.public
    assert app.headers["block"] and not any("htsget-context-public-key" in headers for headers in app.headers["block"])
    assert all("htsget-context-public-key" in headers for headers in app.headers["reads"])


def test_the_package_reads_the_key_as_it_is_sent(app):
    """It is a key file, as `crypt4gh` has them."""
    HtsgetClient(app.url, public_key=ME.public.to_pem()).fetch_ticket("reads", "a", Query())
    code = "import sys; from crypt4gh.keys import get_public_key; sys.stdout.write(get_public_key(sys.argv[1]).hex())"
    told = subprocess.run(
        [sys.executable, "-c", code, app.folder / "their.pub"], check=True, capture_output=True, text=True
    ).stdout
    assert bytes.fromhex(told) == ME.public.raw


def test_the_key_is_not_told_to_another_host(app, example, tmp_path):
    other = Sealing(app.data, tmp_path)
    with BackgroundServer(other) as server:
        other.url = server.url
        app.moved = f"{other.url}/reads/moved"
        with pytest.raises(Exception):  # noqa: B017 - of whatever kind
            HtsgetClient(app.url, public_key=ME.public.to_pem()).fetch_ticket("reads", "a", Query())
        assert "htsget-context-public-key" in app.headers["reads"][0]
        assert "htsget-context-public-key" not in other.headers["reads"][0]


@pytest.mark.parametrize(
    "said",
    [
        {"encryptionScheme": "c4gh"},
        {"encryptionScheme": "C4GH"},
        {"encryptionScheme": "crypt4gh"},
        {"encryptionScheme": "Crypt4GH"},
        {"format": "C4GH"},
        {"format": "crypt4gh"},
        {"format": "BAM", "encryptionScheme": None},
    ],
)
def test_the_scheme_has_two_names(app, example, said):
    app.ticket |= said
    wanted = MODO.open(example / "ex").count("demo2.bam", "chr1:1-9000")
    assert GenomicFile(htsget_source(f"{app.url}/reads/ex/demo2", secret=ME)).count("chr1:1-9000") == wanted


@pytest.mark.parametrize("said", ["aes256", "", 7])
def test_another_scheme_is_one_clear_error(app, said):
    app.ticket["encryptionScheme"] = said
    with pytest.raises(ProtocolError, match="encrypts its answers in a way that is not known"):
        GenomicFile(htsget_source(f"{app.url}/reads/ex/demo2", secret=ME)).count("chr1")


def test_a_sender_can_be_asked_for(app, example, stack):
    count = lambda url, sender: open_served_file(url, None, secret=ME, senders=[sender]).count("chr1:1-9000")  # noqa: E731
    assert count(f"{app.url}/reads/ex/demo2", SERVER.public) > 0
    with pytest.raises(DecryptError, match="by that sender"):
        count(f"{app.url}/reads/ex/demo2", ME.public)
    with pytest.raises(DecryptError, match="nothing says who"):
        count(f"{stack.endpoint}/htsget/reads/ex/demo2", SERVER.public)
