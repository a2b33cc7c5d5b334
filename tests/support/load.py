"""Many clients of a server at once, most of whom go away too early, and what the server holds meanwhile."""

from __future__ import annotations

import asyncio
import hashlib
import math
import os
import random
import re
import socket
import struct
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from urllib.parse import urlsplit

from modos.server.run import TIDIED
from tests.support.commands import MODOS
from tests.support.sampling import ALL

CLIENTS = 200
SECONDS, WARM_UP = (60.0, 15.0) if ALL else (3.0, 2.0)
MEMORY = 24 << 20  # bytes by which a server may have grown after the warm-up, which has filled its caches
SLOWEST = 60.0  # seconds that a request may take on a machine with other work
LEAST = {"good": 3 * SECONDS} | dict.fromkeys(("half_head", "half_body", "half_answer", "slow_reader"), 2 * SECONDS)
_LONGEST = 300.0  # seconds more, in which a busy machine does as many


@contextmanager
def serving(place: str | Path, *words: str | Path, **environment: str) -> Iterator[tuple[str, int]]:
    """`modos serve` as a process of its own: its URL and its number."""
    process = subprocess.Popen(
        [*MODOS, "serve", place, "--port", "0", *words],
        env=os.environ | environment,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        line = process.stderr.readline()
        assert line.startswith("serving "), line + process.stderr.read()
        yield re.search(r"http://\S+", line)[0], process.pid
    finally:
        process.terminate()
        errors = process.communicate(timeout=60)[1]
    assert "Traceback" not in errors and "Too many open files" not in errors, errors[-3000:]


@dataclass(frozen=True)
class Held:
    """What a process holds."""

    memory: int  # resident bytes
    files: int
    threads: int

    @classmethod
    def by(cls, pid: int) -> Held:
        """What a process holds now."""
        status = Path(f"/proc/{pid}/status").read_text()
        return cls(
            int(re.search(r"VmRSS:\s+(\d+) kB", status)[1]) << 10,
            len(os.listdir(f"/proc/{pid}/fd")),
            int(re.search(r"Threads:\s+(\d+)", status)[1]),
        )

    @classmethod
    def at_rest(cls, pid: int, files: int, memory: float = math.inf, seconds: float = 60.0) -> Held:
        """What a process holds once it has noticed that its clients are gone, and has tidied up: no more than this, or what is left."""
        deadline = time.monotonic() + seconds
        time.sleep(2 * TIDIED)
        while ((held := cls.by(pid)).files > files or held.memory > memory) and time.monotonic() < deadline:
            time.sleep(0.1)
        return held

    def __str__(self) -> str:
        return f"{self.memory / (1 << 20):.0f} MiB, {self.files} files, {self.threads} threads"


@dataclass
class Load:
    """Clients of a server.

    Parameters
    ----------
    good
        Addresses that are asked for in whole, with the SHA-256 of what is there, or None where that may vary.
    large
        Addresses whose answers are begun, and not read to their end.
    """

    url: str
    good: Mapping[str, str | None]
    large: list[str]
    done: Counter[str] = field(default_factory=Counter)
    slowest: float = 0.0
    wrong: list[str] = field(default_factory=list)

    def run(self, seconds: float, least: Mapping[str, float] = MappingProxyType({}), clients: int = CLIENTS) -> None:
        """Ask, for some seconds, and until more than so many of each kind are done."""
        end = time.monotonic() + seconds

        def goes_on() -> bool:
            lacks = any(self.done[kind] <= count for kind, count in least.items())
            return time.monotonic() < end + (_LONGEST if lacks else 0)

        asyncio.run(self._all(goes_on, clients))

    async def _all(self, goes_on: Callable[[], bool], clients: int) -> None:
        await asyncio.gather(*(self._one(random.Random(number), number, goes_on) for number in range(clients)))

    async def _one(self, chance: random.Random, number: int, goes_on: Callable[[], bool]) -> None:
        kinds = [self._half_head, self._half_body, self._half_answer, self._slow_reader]
        while goes_on():
            kind = self._good if number % 10 == 0 else chance.choice(kinds)
            try:
                async with asyncio.timeout(SLOWEST):
                    await kind(chance)
                self.done[kind.__name__.strip("_")] += 1
            except OSError as error:  # the server may end what is not whole
                if kind == self._good:
                    self.wrong.append(repr(error))
            await asyncio.sleep(chance.random() * 0.1)

    async def _good(self, chance: random.Random) -> None:
        url, digest = chance.choice(list(self.good.items()))
        begin = time.monotonic()
        async with _connected(self._whole(url)) as (reader, writer):
            writer.write(_request("GET", self._whole(url)))
            head = await reader.readuntil(b"\r\n\r\n")
            body = await reader.read()
        self.slowest = max(self.slowest, time.monotonic() - begin)
        length = re.search(rb"(?i)\r\ncontent-length: (\d+)", head)
        if b" 200 " not in head.split(b"\r\n")[0] or (length and int(length[1]) != len(body)):
            self.wrong.append(f"{url}: {head[:60]!r} and {len(body)} bytes")
        elif digest and hashlib.sha256(body).hexdigest() != digest:
            self.wrong.append(f"{url}: other bytes")

    async def _half_head(self, chance: random.Random) -> None:
        request = _request("GET", self._whole("/list"))
        async with _connected(self.url, rude=chance.random() < 0.5) as (_, writer):
            writer.write(request[: chance.randrange(len(request))])
            await asyncio.sleep(chance.random() * 0.5)

    async def _half_body(self, chance: random.Random) -> None:
        path = chance.choice(["/credentials", "/htsget/reads/ex/demo2", "/list"])
        async with _connected(self.url, rude=chance.random() < 0.5) as (_, writer):
            writer.write(_request("POST", self._whole(path), b"Content-Length: 100000\r\n") + b" " * chance.randrange(90_000))
            await asyncio.sleep(chance.random() * 0.5)

    async def _half_answer(self, chance: random.Random) -> None:
        url = chance.choice(self.large)
        async with _connected(self.url, rude=chance.random() < 0.5) as (reader, writer):
            writer.write(_request("GET", self._whole(url)))
            await reader.read(chance.choice([1, 4096, 1 << 18]))

    async def _slow_reader(self, chance: random.Random) -> None:
        url = chance.choice(self.large)
        async with _connected(self.url, rude=chance.random() < 0.5) as (reader, writer):
            writer.write(_request("GET", self._whole(url)))
            for _ in range(20):
                await reader.read(4096)
                await asyncio.sleep(0.1)

    def _whole(self, url: str) -> str:
        return self.url + url if url.startswith("/") else url


class _connected:
    """A connection with small buffers, which is closed rudely, by a reset, or politely."""

    def __init__(self, url: str, rude: bool = False):
        self._address = urlsplit(url)
        self._rude = rude

    async def __aenter__(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        reader, self._writer = await asyncio.open_connection(self._address.hostname, self._address.port, limit=1 << 16)
        return reader, self._writer

    async def __aexit__(self, *_: object) -> None:
        if self._rude:
            self._writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self._writer.transport.abort()
        else:
            self._writer.close()


def _request(method: str, url: str, headers: bytes = b"") -> bytes:
    parts = urlsplit(url)
    target = parts.path + (f"?{parts.query}" if parts.query else "")
    return f"{method} {target} HTTP/1.1\r\nHost: {parts.netloc}\r\nConnection: close\r\n".encode() + headers + b"\r\n"


def check_flat(load: Load, pid: int, pooled: int = 0) -> None:
    """Good requests are answered under a load, and the server holds no more after it than after a warm-up.

    Connections to S3 that are kept for later requests do not count, up to `pooled` of them.
    """
    before = Held.by(pid)
    load.run(WARM_UP)
    warm = Held.at_rest(pid, before.files, seconds=10)
    load.run(SECONDS, LEAST)
    files, memory = max(warm.files + 4, before.files + pooled), warm.memory + MEMORY
    after = Held.at_rest(pid, files, memory)
    print(
        f"before: {before}; after {WARM_UP:g} s: {warm}; after {SECONDS:g} s more: {after}; slowest good request "
        f"{load.slowest:.1f} s; {dict(load.done)}"
    )
    assert not load.wrong, (len(load.wrong), load.wrong[:5])
    assert all(load.done[kind] > least for kind, least in LEAST.items())
    assert after.files <= files and after.memory <= memory
