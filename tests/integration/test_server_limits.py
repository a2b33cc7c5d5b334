"""What strangers and services that hang cannot take from the others: threads, memory, keys, connections."""

from __future__ import annotations

import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests

from modos.server import provider as provider_module
from modos.server.access import Access
from modos.server.app import create_app
from modos.server.rules import Oidc
from modos.server.run import BackgroundServer
from modos.storage import open_storage

from ..provider import Provider


class Hanging:
    """A provider that can be made to take connections and answer nothing, and to answer again."""

    def __init__(self, provider: Provider):
        self._documents = provider.documents
        self.asked = 0
        self.answers = threading.Event()
        self.answers.set()

    def __call__(self):
        self.asked += 1
        self.answers.wait(60)
        return self._documents()


@pytest.fixture
def away():
    with Provider() as provider:
        provider.documents = hanging = Hanging(provider)
        provider.hanging = hanging
        yield provider
        hanging.answers.set()


@pytest.fixture
def served(away, tmp_path):
    access = Access(oidc=Oidc(away.url, "modos"))
    with BackgroundServer(create_app(open_storage(tmp_path), access=access)) as server:
        yield server.url


def ask(url, token=None, path="/whoami", timeout=20):
    begin = time.monotonic()
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    answer = requests.get(url + path, headers=headers, timeout=timeout)
    return answer.status_code, time.monotonic() - begin


def test_a_provider_that_hangs_holds_up_no_one_whose_key_is_known(away, served, monkeypatch):
    """45 tokens of unknown keys wait, more than the pool has threads: all others are answered at once."""
    monkeypatch.setattr(provider_module, "AGAIN", 0.0)
    monkeypatch.setattr(provider_module, "DEADLINE", 4.0)
    assert ask(served, away.token("alice"))[0] == 200
    away.hanging.answers.clear()
    before = away.hanging.asked
    with ThreadPoolExecutor(45) as pool:
        forged = [pool.submit(ask, served, away.token("eve", kid=f"unknown-{n}")) for n in range(45)]
        time.sleep(1.5)
        for token, path in ((None, "/healthz"), (away.token("bob"), "/whoami"), (None, "/")):
            status, seconds = ask(served, token, path, timeout=3)
            assert status == 200 and seconds < 1, (path, status, seconds)
        assert {answer.result()[0] for answer in forged} == {500}
    assert away.hanging.asked - before == 1, "one thread asks for all"
    assert ask(served, away.token("alice"))[0] == 200


def test_discovery_does_not_wait_for_a_provider_again_and_again(away, served, monkeypatch):
    """Without a token, too, nobody can occupy the server with a provider that hangs."""
    monkeypatch.setattr(provider_module, "DEADLINE", 2.0)
    away.hanging.answers.clear()
    with ThreadPoolExecutor(45) as pool:
        asking = [pool.submit(ask, served, None, "/") for _ in range(45)]
        time.sleep(0.8)
        assert ask(served, None, "/whoami", timeout=3)[1] < 1
        assert {answer.result()[0] for answer in asking} == {200}
    assert away.hanging.asked == 1


def test_old_keys_do_while_the_provider_is_away_and_no_longer_than_a_day(away, served, monkeypatch):
    token = away.token("alice")
    assert ask(served, token)[0] == 200
    monkeypatch.setattr(provider_module, "KEPT", 0.0)
    monkeypatch.setattr(provider_module, "AGAIN", 0.0)
    away.documents = dict
    assert [ask(served, token)[0] for _ in range(5)] == [200] * 5
    monkeypatch.setattr(provider_module, "OLDEST", 0.0)
    assert ask(served, token)[0] == 500


def test_a_key_that_was_replaced_is_found_and_one_that_was_removed_refused(away, served, monkeypatch):
    monkeypatch.setattr(provider_module, "AGAIN", 0.0)
    monkeypatch.setattr(provider_module, "KEPT", 0.0)
    old = away.token("alice")
    assert ask(served, old)[0] == 200
    first = away.documents()["/jwks"]["keys"][0]
    documents = away.documents() | {"/jwks": {"keys": [first | {"kid": "two"}]}}
    away.documents = lambda: documents
    assert ask(served, away.token("alice", kid="two"))[0] == 200
    assert ask(served, old)[0] == 401


def test_failures_are_remembered_with_growing_pauses(monkeypatch):
    now, asked = [1000.0], []

    def fail():
        asked.append(now[0])
        raise OSError("there is no provider")

    monkeypatch.setattr(provider_module.time, "monotonic", lambda: now[0])
    remembered = provider_module.Remembered("the keys", fail)
    for _ in range(2000):
        running = remembered.begin()
        if running:
            running.result(5)
        now[0] += 1
    pauses = [after - before for before, after in zip(asked, asked[1:])]
    assert pauses[:8] == [2, 4, 8, 16, 32, 64, 128, 256] and set(pauses[8:]) == {300}
