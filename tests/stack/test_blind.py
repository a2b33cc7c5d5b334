"""Encrypted files in the stack: no service has a key to them but the key service, which runs apart."""

from __future__ import annotations

from pathlib import Path

import pytest
import requests

from modos.api import MODO
from modos.encryption.keys import generate, load_public_key
from modos.genomics.htsget.protocol import PUBLIC_KEY_HEADER
from modos.object.finding import open_served_file
from tests.stack.conftest import PORTS, Native, _native

pytestmark = pytest.mark.stack
TOKENS = {"alice": "alices-token-of-many-letters", "bob": "bobs-token-of-many-letters", "eve": "eves-token-of-many-letters"}
RULES = 'tokens = "tokens"\n[[rule]]\nwho = ["user:alice", "user:bob"]\nread = ["sealed"]\n'


@pytest.fixture(scope="module")
def keys(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("keys")
    for name in ("alice", "bob", "server", "keys"):
        generate(folder / f"{name}.sec", folder / f"{name}.pub", None)
    (folder / "people").mkdir()
    (folder / "people/bob.pub").write_bytes((folder / "bob.pub").read_bytes())
    (folder / "access.toml").write_text(RULES)
    (folder / "tokens").write_text("".join(f"{name} {token}\n" for name, token in TOKENS.items()))
    (folder / "tokens").chmod(0o600)
    return folder


@pytest.fixture(scope="module")
def stack(tmp_path_factory, worker, keys, example):
    """The stack with the profile `keys`, and an object that is encrypted for Alice and the key service."""
    port = PORTS + 10 * (4 + 5 * int(worker.removeprefix("gw") or 0))
    settings = {
        "COMPOSE_PROFILES": "keys",
        "MODOS_ACCESS": keys / "access.toml",
        "MODOS_INDEX_KEY": keys / "server.sec",
        "MODOS_REWRAP": f"http://127.0.0.1:{port + 5}",
        "KEYSERVER_ACCESS": keys / "access.toml",
        "KEYSERVER_KEY": keys / "keys.sec",
        "KEYSERVER_PEOPLE": keys / "people",
    }
    for native in _native(tmp_path_factory, worker, 4, **{name: str(value) for name, value in settings.items()}):
        place = "s3://modos-demo/sealed"
        credentials = native.credentials("server")
        MODO.open(example / "ex").upload(place, services={"s3": native.s3}, s3_kwargs=credentials)
        modo = MODO.open(place, services={"s3": native.s3}, s3_kwargs=credentials)
        modo.encrypt([keys / "alice.pub", keys / "keys.pub"], index_for=keys / "server.pub")
        yield native


@pytest.mark.parametrize("name", ["alice", "bob"])
def test_recipients_and_people_with_rights_read_regions(stack: Native, keys, monkeypatch, name):
    monkeypatch.setenv("MODOS_TOKEN", TOKENS[name])
    from modos.encryption.keys import load_secret_key

    secret = load_secret_key(keys / f"{name}.sec")
    file = open_served_file(f"{stack.url}/htsget/reads/sealed/demo2", stack.url, secret=secret)
    assert file.count("chr1:20,001-25,000") == 969


def test_nobody_else_does(stack: Native, keys):
    reader = {PUBLIC_KEY_HEADER: str(load_public_key(keys / "bob.pub"))}
    query = {"referenceName": "chr1", "encryptionScheme": "c4gh"}
    url = f"{stack.url}/htsget/reads/sealed/demo2"
    for more in ({}, {"Authorization": f"Bearer {TOKENS['eve']}"}, {"Authorization": f"Bearer {TOKENS['alice']}"}):
        assert requests.get(url, params=query, headers=reader | more, timeout=20).status_code == 403
    assert (
        requests.get(url, params=query, headers=reader | {"Authorization": "Bearer no-token-at-all-1234"}, timeout=20).status_code
        == 401
    )


def test_the_key_service_is_not_reached_from_outside(stack: Native):
    url = f"{stack.url}/rewrap/sealed/demo2.bam.c4gh"
    with requests.post(url, data=b"x", timeout=20, stream=True) as answer:  # Caddy may lose the body of one that comes so early
        assert answer.status_code in (403, 404, 405)


def test_it_is_one_of_the_services(stack: Native):
    assert "keyserver  ready" in stack.run("status")
