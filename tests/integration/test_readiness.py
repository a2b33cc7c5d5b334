"""Probes of a server whose storage hangs: they are answered, take no thread from other requests, and see when it is back."""

from __future__ import annotations

import asyncio
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests

from modos.errors import RemoteError
from modos.server import readiness
from modos.server.app import create_app
from modos.server.run import BackgroundServer
from modos.storage.local import LocalStorage
from tests.support.waiting import wait_until


class Hanging:
    """A storage that can be made to answer nothing, to fail, and to answer again."""

    def __init__(self, folder):
        self._storage = LocalStorage(folder)
        self.answers, self.fails, self.looks = threading.Event(), False, 0
        self.answers.set()

    def __getattr__(self, name):
        return getattr(self._storage, name)

    def confine(self, *names):
        return self

    def exists(self, key):
        answers = self.answers
        self.looks += 1
        answers.wait(120)
        if self.fails:
            raise RemoteError("the storage is away")
        return self._storage.exists(key)


@pytest.fixture
def storage(tmp_path):
    storage = Hanging(tmp_path)
    yield storage
    storage.answers.set()


@pytest.fixture
def looks(storage, monkeypatch):
    """What looks for the application: it waits for long, as long as a test does not say otherwise."""
    looks = readiness.Readiness(storage, patience=20)
    monkeypatch.setattr("modos.server.app.Readiness", lambda _: looks)
    return looks


def ask(url: str, path: str = "/readyz") -> tuple[int, float]:
    begin = time.monotonic()
    return requests.get(url + path, timeout=60).status_code, time.monotonic() - begin


def test_a_storage_that_hangs_is_looked_at_once_however_many_probes_come(storage, looks, monkeypatch):
    """An older server had a thread for each probe until the storage gave up, so that after 40 nothing was answered."""
    monkeypatch.setattr(readiness, "_OLD", 600.0)
    with BackgroundServer(create_app(storage)) as server:
        assert ask(server.url)[0] == 200
        storage.answers.clear()
        before, looks._patience = storage.looks, 0.5
        with ThreadPoolExecutor(60) as threads:
            answers = list(threads.map(lambda _: ask(server.url), range(60)))
        assert {status for status, _ in answers} == {503} and max(seconds for _, seconds in answers) < 20
        assert storage.looks == before + 1
        status, seconds = ask(server.url, "/whoami")
        assert status == 200 and seconds < 20, "which needs a thread"
        looks._patience = 20
        storage.answers.set()
        assert ask(server.url)[0] == 200, "as soon as it is back"


def test_a_look_that_is_lost_keeps_nobody_waiting(storage, looks, monkeypatch):
    """Its connection may hang for minutes where a new one is answered at once."""
    monkeypatch.setattr(readiness, "_OLD", 0.5)
    looks._patience = 0.2
    with BackgroundServer(create_app(storage)) as server:
        storage.answers.clear()
        assert ask(server.url)[0] == 503
        wait_until(lambda: storage.looks == 1)
        looks._patience = 20
        lost, storage.answers = storage.answers, threading.Event()
        storage.answers.set()
        time.sleep(0.6)
        assert ask(server.url)[0] == 200
        lost.set()


def test_each_probe_looks_anew(storage, looks):
    with BackgroundServer(create_app(storage)) as server:
        for fails in (False, True, False, True):
            storage.fails = fails
            assert ask(server.url)[0] == (503 if fails else 200)


def test_probes_have_an_answer_before_a_cluster_gives_them_up():
    assert readiness.PATIENCE <= 4, "seconds of docker-compose.yml's and the chart's probes"


def test_each_waits_for_the_look_that_it_began_with(storage):
    """Who is answered first may ask again, which begins another look, before the others go on."""

    async def ask_twice(looks: readiness.Readiness) -> list[bool]:
        return [await looks.is_ready(), await looks.is_ready()]

    async def ask_together() -> list[list[bool]]:
        looks = readiness.Readiness(storage, patience=20)
        storage.answers.clear()
        asking = [asyncio.create_task(ask_twice(looks)) for _ in range(5)]
        await asyncio.sleep(0.05)
        storage.answers.set()
        return await asyncio.gather(*asking)

    assert asyncio.run(ask_together()) == [[True, True]] * 5
