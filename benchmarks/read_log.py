"""Measure the read log: how fast it is verified, and what it costs a ticket.

    python benchmarks/read_log.py verify [ENTRIES]
    python benchmarks/read_log.py answers [FOLDER ...]
    python benchmarks/read_log.py tickets [FOLDER ...]

The others compare tickets without a log and with one in each folder (by default on /dev/shm and on the disk of the
temporary folder), by turns, and print the ratios: `answers` within one process and one after the other, so that the
work shows; `tickets` at servers, over connections, at full speed and at 500 a second. They print one JSON object a line.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

from modos.encryption.keys import SecretKey, generate
from modos.readlog.chain_writer import ChainWriter
from modos.readlog.log_verification import verify
from modos.readlog.read_entries import entry_to_line
from modos.storage import open_storage

ENTRIES = 1_000_000
BLOCKS, BLOCK = 60, 100
ROUNDS, SECONDS, CLIENTS, RATE = 12, 1.2, 8, 500.0


def make_entry(number: int) -> bytes:
    """Make an entry as a ticket writes it."""
    return entry_to_line(
        {
            "event": "granted",
            "id": f"{number:016x}",
            "time": "2026-11-27T19:30:00.123456Z",
            "request": f"{number:032x}",
            "caller": "alice",
            "groups": ["panel"],
            "how": "token",
            "route": "/htsget/reads",
            "method": "GET",
            "object": "cohort/ex",
            "file": "cohort/ex/demo1.cram",
            "regions": [["chr1", number, number + 10_000]],
            "samples": ["sample/sample1"],
            "bytes": 123_456,
            "purpose": "diagnosis",
        }
    )


def measure_verification(count: int) -> None:
    """Verify logs of so many entries, with one and with some in a frame, without and with the key."""
    for each in (1, 4, 32):
        with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
            secret, storage = SecretKey.random(), open_storage(folder)
            chain, begin = ChainWriter(storage, secret.public), time.perf_counter()
            for first in range(0, count, each):
                chain.append([make_entry(number) for number in range(first, min(first + each, count))])
            chain.close()
            made = time.perf_counter() - begin
            size = sum(path.stat().st_size for path in Path(folder).rglob("*.log"))
            for key in (None, secret):
                begin = time.perf_counter()
                found = verify(storage, key)
                seconds = time.perf_counter() - begin
                assert not found.problems and (key is None or found.entries == count)
                show(entries=count, per_frame=each, mb=size >> 20, with_key=bool(key), seconds=seconds, written_in=made)


def measure_tickets(folders: list[str]) -> None:
    """Ask for tickets at full speed, and at a rate, without a log and with one in each folder, by turns."""
    from modos.api import MODO
    from modos.demo.dataset import generate as make_demo

    with tempfile.TemporaryDirectory(dir="/dev/shm") as data:
        made, served = Path(data) / "made", Path(data) / "served"
        made.mkdir()
        make_demo(made)
        MODO.from_file(made / "modo.yaml", served / "ex")
        generate(f"{data}/dpo.sec", f"{data}/dpo.pub", None)
        logs: dict[str, list[str]] = {"none": []}
        for folder in folders:
            logs[folder] = ["--read-log", tempfile.mkdtemp(dir=folder, prefix="read-log-"), "--read-log-required"]
            logs[folder] += ["--read-log-key", f"{data}/dpo.pub"]
        servers = {name: Served(str(served), words) for name, words in logs.items()}
        try:
            compare(servers)
        finally:
            for server in servers.values():
                server.stop()


def measure_answers(folders: list[str]) -> None:
    """Answer tickets within this process, one after the other, without a log and with one: what a ticket costs, and no waiting.

    Blocks of each are answered by turns, and the processor's time is compared of neighbours.
    """
    import asyncio

    from modos.api import MODO
    from modos.demo.dataset import generate as make_demo
    from modos.readlog.log_settings import LogSettings
    from modos.server.app import create_app

    with tempfile.TemporaryDirectory(dir="/dev/shm") as data:
        made, served = Path(data) / "made", Path(data) / "served"
        made.mkdir()
        make_demo(made)
        MODO.from_file(made / "modo.yaml", served / "ex")
        generate(f"{data}/dpo.sec", f"{data}/dpo.pub", None)
        logs = {folder: LogSettings(tempfile.mkdtemp(dir=folder), f"{data}/dpo.pub", True).open() for folder in folders}
        apps = {"none": create_app(open_storage(served))}
        apps |= {folder: create_app(open_storage(served), read_log=log) for folder, log in logs.items()}
        asyncio.run(answer_by_turns(apps))
        for log in logs.values():
            log.close()


async def answer_by_turns(apps: dict[str, Any]) -> None:
    """Answer blocks of tickets of each application by turns, and print the medians."""
    path = "/htsget/reads/ex/demo1"
    scope = {
        "type": "http",
        "method": "GET",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"referenceName=chr1&start=100&end=2000",
        "headers": [(b"host", b"127.0.0.1:80"), (b"user-agent", b"benchmark"), (b"accept", b"*/*")],
        "client": ("127.0.0.1", 4000),
        "server": ("127.0.0.1", 80),
        "scheme": "http",
        "http_version": "1.1",
    }

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: dict[str, Any]) -> None:
        assert message.get("status", 200) == 200

    found: dict[str, list[tuple[float, float]]] = {name: [] for name in apps}
    for _ in range(BLOCKS):
        for name, app in apps.items():
            begin, used = time.perf_counter(), time.process_time()
            for _ in range(BLOCK):
                await app(dict(scope), receive, send)
            found[name].append(((time.process_time() - used) / BLOCK, (time.perf_counter() - begin) / BLOCK))
    for name, blocks in found.items():
        ratios = [[one / plain for one, plain in zip(block, first)] for block, first in zip(blocks, found["none"])]
        cpu, seconds = (statistics.median(column) for column in zip(*blocks))
        cpu_ratio, time_ratio = (statistics.median(column) for column in zip(*ratios))
        show(answers=name, cpu_us=cpu * 1e6, us=seconds * 1e6, cpu_ratio=cpu_ratio, time_ratio=time_ratio)


class Served:
    """A server in a process of its own."""

    def __init__(self, place: str, words: list[str]):
        line = [sys.executable, "-m", "modos", "serve", place, "--port", "0", *words]
        self._process = subprocess.Popen(line, stderr=subprocess.PIPE, text=True)
        assert self._process.stderr
        self.url = self._process.stderr.readline().split(" at ")[1].split()[0]
        self.port = int(self.url.rsplit(":", 1)[1])
        urllib.request.urlopen(f"{self.url}/htsget/reads/ex/demo1").read()

    @property
    def cpu(self) -> float:
        """Seconds of processor that its threads have used."""
        tasks = Path(f"/proc/{self._process.pid}/task").glob("*/schedstat")
        return sum(int(task.read_text().split()[0]) for task in tasks) / 1e9

    def stop(self) -> None:
        """End it."""
        self._process.terminate()
        self._process.wait()


def compare(servers: dict[str, Served]) -> None:
    """Print, for each log, how its tickets compare with those of the server without one, as the median of many rounds.

    All is asked by turns, and each ratio is one of neighbours, since other programs may want the machine, too.
    """
    found: dict[str, list[tuple[float, ...]]] = {name: [] for name in servers}
    for _ in range(ROUNDS):
        for name, server in servers.items():
            row: list[float] = []
            for rate in (None, RATE):
                begin = server.cpu
                done, times = ask(server.port, rate)
                row += [done, (server.cpu - begin) / (done * SECONDS), statistics.median(times)]
            found[name].append(tuple(row))
    for name, rounds in found.items():
        ratios = [[one / plain for one, plain in zip(row, first)] for row, first in zip(rounds, found["none"])]
        most, used, _, rate, used_at_rate, median = (statistics.median(column) for column in zip(*rounds))
        ratio = [statistics.median(column) for column in zip(*ratios)]
        show(
            log=name,
            tickets_per_second=most,
            cpu_ms=used * 1000,
            at_rate=rate,
            cpu_ms_at_rate=used_at_rate * 1000,
            median_ms_at_rate=median * 1000,
            throughput_ratio=ratio[0],
            cpu_ratio=ratio[1],
            cpu_ratio_at_rate=ratio[4],
            latency_ratio_at_rate=ratio[5],
        )


def ask(port: int, rate: float | None) -> tuple[float, list[float]]:
    """Ask for tickets from some connections, at full speed or at a rate; return tickets a second and their times."""
    times: list[float] = []
    end = time.perf_counter() + SECONDS

    def client() -> None:
        connection, following = HTTPConnection("127.0.0.1", port), time.perf_counter()
        while (begin := time.perf_counter()) < end:
            if rate:
                if following > begin:
                    time.sleep(following - begin)
                begin, following = time.perf_counter(), following + CLIENTS / rate
            connection.request("GET", "/htsget/reads/ex/demo1?referenceName=chr1&start=100&end=2000")
            answer = connection.getresponse()
            answer.read()
            assert answer.status == 200
            times.append(time.perf_counter() - begin)

    threads = [threading.Thread(target=client) for _ in range(CLIENTS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return len(times) / SECONDS, times


def show(**values: object) -> None:
    """Print a result."""
    print(
        json.dumps({name: round(value, 4) if isinstance(value, float) else value for name, value in values.items()}), flush=True
    )


if __name__ == "__main__":
    if sys.argv[1:2] == ["verify"]:
        measure_verification(int(sys.argv[2]) if len(sys.argv) > 2 else ENTRIES)
    elif sys.argv[1:2] == ["answers"]:
        measure_answers(sys.argv[2:] or ["/dev/shm", tempfile.gettempdir()])
    else:
        measure_tickets(sys.argv[2:] or ["/dev/shm", tempfile.gettempdir()])
