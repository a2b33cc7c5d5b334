"""A network that fails in every way gives the right records or the right error: never fewer records, never others."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import threading

import pytest

from modos.api import MODO
from modos.errors import (
    AccessError,
    IntegrityError,
    ModosError,
    ProtocolError,
    RemoteError,
    TransportError,
    TruncatedStream,
)
from modos.formats import FORMATS
from modos.genomics import GenomicFile
from modos.genomics.htsget import transport
from modos.genomics.htsget.client import HtsgetClient
from modos.genomics.htsget.streams import HtsgetSource
from modos.server import htsget as server_module
from modos.server.app import create_app
from modos.server.run import BackgroundServer
from modos.storage import open_storage
from tests.support import commands
from tests.support.proxy import Proxy

pytestmark = pytest.mark.sweep(20)

REGION = "chr1:5,000-35,000"
PATIENCE = 2.0  # seconds, with answers that stall


@pytest.fixture(scope="module")
def server(example, tmp_path_factory):
    """A server that sends nothing with its tickets, so that all is fetched."""
    root = tmp_path_factory.mktemp("served")
    shutil.copytree(example / "ex", root / "ex")
    before, server_module.INLINE = server_module.INLINE, 0
    with BackgroundServer(create_app(open_storage(root))) as server:
        yield server.url
    server_module.INLINE = before


@pytest.fixture
def proxy(server):
    with Proxy(server) as proxy:
        yield proxy


@pytest.fixture
def quick(monkeypatch):
    """Little waiting between attempts."""
    monkeypatch.setattr(transport, "_waits", lambda: iter([0.01] * (transport.ATTEMPTS - 1) + [None]))


@pytest.fixture
def expected(example):
    return names(MODO.open(example / "ex").stream_genomics("demo2.bam", REGION))


def names(records):
    return [(record.query_name, record.flag, record.reference_start) for record in records]


def served(proxy):
    return GenomicFile(HtsgetSource(HtsgetClient(f"{proxy.url}/htsget"), "ex/demo2", FORMATS["BAM"]))


def is_data(handler):
    return handler.path.startswith("/files/")


def on_data(change, times=None):
    """A fault of the first answers with data, or of all."""
    done = []

    def fault(proxy, handler, answer):
        if is_data(handler) and (times is None or len(done) < times):
            done.append(handler.path)
            change(answer)

    return fault


def set_status(status):
    def change(answer):
        answer.status, answer.body = status, b"no"
        answer.headers[:] = [("Content-Length", "2")]

    return change


def cut_short(answer):
    answer.cut = len(answer.body) // 2


def cut_by_one(answer):
    answer.cut = len(answer.body) - 1


def reset(answer):
    answer.cut, answer.reset = len(answer.body) // 3, True


def stall(answer):
    answer.cut, answer.stall = len(answer.body) // 2, 10 * PATIENCE


def replace_header(answer, name, value):
    answer.headers[:] = [(k, value if k.lower() == name else v) for k, v in answer.headers]


def lie_about_length(answer):
    answer.body = answer.body[:-1]
    replace_header(answer, "content-length", str(len(answer.body)))


def send_less(answer):
    """One byte less, and honest about it."""
    lie_about_length(answer)
    for key, value in list(answer.headers):
        if key.lower() == "content-range":
            start, end, size = re.match(r"bytes (\d+)-(\d+)/(\d+)", value).groups()
            replace_header(answer, "content-range", f"bytes {start}-{int(end) - 1}/{size}")


def send_twice(answer):
    answer.body *= 2
    replace_header(answer, "content-length", str(len(answer.body)))


def send_all(answer):
    answer.status = 200


def other_range(answer):
    for key, value in list(answer.headers):
        if key.lower() == "content-range":
            start, end, size = map(int, re.match(r"bytes (\d+)-(\d+)/(\d+)", value).groups())
            replace_header(answer, "content-range", f"bytes {start + 1}-{end + 1}/{size}")


def flip(answer):
    at = len(answer.body) // 2
    answer.body = answer.body[:at] + bytes([answer.body[at] ^ 0x55]) + answer.body[at + 1 :]


@pytest.mark.sweep(1)
@pytest.mark.parametrize("change", [cut_short, cut_by_one, reset, stall, set_status(500), set_status(503)])
@pytest.mark.parametrize("times", [1, 3])
def test_what_breaks_is_resumed(proxy, quick, expected, change, times, monkeypatch):
    if change is stall:
        monkeypatch.setattr(transport, "TIMEOUT", (30, PATIENCE))
    proxy.fault = on_data(change, times)
    assert names(served(proxy).fetch(REGION)) == expected
    assert sum(path.startswith("/files/") for _, path, _ in proxy.requests) > times


@pytest.mark.parametrize(
    ("change", "error"),
    [
        (set_status(500), RemoteError),
        (set_status(403), AccessError),
        (set_status(404), ModosError),
        (set_status(302), ModosError),
        (send_all, ProtocolError),
        (lie_about_length, ProtocolError),
        (send_less, ProtocolError),
        (send_twice, ProtocolError),
        (other_range, ProtocolError),
        (flip, IntegrityError),
        (lambda answer: setattr(answer, "cut", 0), (TransportError, TruncatedStream)),
    ],
)
def test_what_stays_wrong_is_the_right_error(proxy, quick, change, error):
    proxy.fault = on_data(change)
    with pytest.raises(error):
        list(served(proxy).fetch(REGION))
    assert not [thread for thread in threading.enumerate() if thread.name == "modos-feeder"]


@pytest.mark.sweep(1)
@pytest.mark.parametrize("change", [cut_short, reset, stall, set_status(500), send_all, send_less, send_twice, flip])
def test_from_s3_nothing_is_taken_for_something_else(stack, example, expected, change):
    def fault(proxy, handler, answer):
        if handler.path.partition("?")[0].endswith((".bam", ".bai")):
            change(answer)

    with Proxy(stack.s3) as proxy:
        modo = MODO.open("s3://modos-demo/ex", services={"s3": proxy.url})
        assert names(modo.stream_genomics("demo2.bam", REGION)) == expected
        patience = PATIENCE if change is stall else 60
        again = MODO.open(
            "s3://modos-demo/ex",
            services={"s3": proxy.url},
            s3_kwargs={"config_kwargs": {"read_timeout": patience, "retries": {"max_attempts": 2}}},
        )
        proxy.fault = fault
        try:
            got = names(again.stream_genomics("demo2.bam", REGION))
        except ModosError:
            return
        assert got == expected


# --- tickets ---


def change_ticket(change):
    def fault(proxy, handler, answer):
        if handler.path.startswith("/htsget/") and answer.status == 200:
            content = json.loads(answer.body)
            change(content["htsget"]["urls"])
            answer.body = json.dumps(content).encode()
            replace_header(answer, "content-length", str(len(answer.body)))

    return fault


def point_to(url):
    def change(urls):
        urls[-2:-1] = [{"url": url}]

    return change


def damage_base64(urls):
    data = next(entry for entry in urls if entry["url"].startswith("data:"))
    data["url"] = data["url"][:-3] + "@" + data["url"][-2:]


def drop_last(urls):
    urls.pop()


def swap(urls):
    urls.reverse()


@pytest.mark.parametrize(
    ("change", "error"),
    [
        (point_to("file:///etc/passwd"), ProtocolError),
        (point_to("ftp://127.0.0.1/x"), ProtocolError),
        (point_to("/files/ex/demo2.bam"), ProtocolError),
        (point_to("http://169.254.169.254/latest/meta-data/"), ProtocolError),
        (point_to("http://[fe80::1]/"), ProtocolError),
        (point_to("http:///x"), ProtocolError),
        (damage_base64, ProtocolError),
        (drop_last, TruncatedStream),
        (swap, ModosError),
        (list.clear, TruncatedStream),
    ],
)
def test_a_ticket_that_leads_astray(proxy, quick, change, error):
    proxy.fault = change_ticket(change)
    with pytest.raises(error):
        list(served(proxy).fetch(REGION))


def test_a_redirect_to_an_internal_address_is_not_followed(proxy, quick):
    def redirect(answer):
        answer.status, answer.body = 302, b""
        answer.headers[:] = [("Location", "http://169.254.169.254/latest/meta-data/"), ("Content-Length", "0")]

    proxy.fault = on_data(redirect)
    with pytest.raises(ProtocolError, match="internal"):
        list(served(proxy).fetch(REGION))


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b'{"htsget": 5}',
        b'{"htsget": {"urls": [{}]}}',
        b'{"htsget": {"urls": [{"url": 5}]}}',
        b"\xff" * 100,
        b"[" * 100_000,
    ],
)
def test_an_answer_that_is_no_ticket(proxy, quick, body):
    def fault(proxy, handler, answer):
        answer.body = body
        replace_header(answer, "content-length", str(len(body)))

    proxy.fault = fault
    with pytest.raises(ProtocolError):
        list(served(proxy).fetch(REGION))


ENDLESS = """
import re, sys
from modos.errors import ProtocolError
from modos.genomics.htsget.streams import htsget_source
try:
    htsget_source(sys.argv[1])
except ProtocolError as error:
    print(error, int(re.search("VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1]) // 1024)
"""


def test_a_ticket_of_a_gigabyte_takes_little_memory():
    listening = socket.create_server(("127.0.0.1", 0))

    def send():
        connection, _ = listening.accept()
        connection.recv(65536)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n" + b'{"htsget": {"urls": [{"url": "data:,')
        try:
            for _ in range(1000):
                connection.sendall(b"x" * 1_000_000)
        except OSError:
            connection.close()

    threading.Thread(target=send, daemon=True).start()
    url = f"http://127.0.0.1:{listening.getsockname()[1]}/reads/x"
    result = subprocess.run([sys.executable, "-c", ENDLESS, url], capture_output=True, text=True, timeout=120, check=True)
    listening.close()
    message, _, memory = result.stdout.strip().rpartition(" ")
    assert "MiB" in message and int(memory) < 150


# --- the command ---


def modos(*arguments, **environment):
    return commands.run(
        arguments,
        capture_output=True,
        env=os.environ | environment,
        timeout=120,
    )


def test_every_retry_is_seen_with_debug(proxy):
    proxy.fault = on_data(cut_short, 2)
    result = modos("--debug", "stream", "-c", "-r", "chr1", f"{proxy.url}/htsget/reads/ex/demo2")
    assert result.returncode == 0
    assert len(re.findall(rb"again in [\d.]+ s", result.stderr)) >= 2


def test_a_failed_stream_has_its_exit_code_and_no_end_marker(proxy, tmp_path):
    proxy.fault = on_data(set_status(403))
    out = tmp_path / "out.bam"
    for target, options in ((f"{proxy.url}/htsget/reads/ex/demo2", ()), (f"{proxy.url}/htsget/reads/ex/demo2", ("-r", "chr1"))):
        piped = modos("stream", *options, target)
        assert piped.returncode == 4 and not piped.stdout.endswith(FORMATS["BAM"].eof_markers[0])
        filed = modos("stream", *options, "-o", str(out), target)
        assert filed.returncode == 4 and list(tmp_path.iterdir()) == []
        assert filed.stderr.count(b"error:") == 1 and b"Traceback" not in filed.stderr


def test_a_server_that_goes_away_ends_the_command(server, tmp_path):
    with Proxy(server) as proxy:
        proxy.fault = on_data(reset)
        address = proxy.url
        result = modos("stream", "-r", "chr1", f"{address}/htsget/reads/ex/demo2")
    assert result.returncode in (5, 6)
    gone = modos("stream", "-r", "chr1", f"{address}/htsget/reads/ex/demo2")
    assert gone.returncode == 5 and b"refused" in gone.stderr
