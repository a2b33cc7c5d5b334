"""What strangers and services that hang cannot take from the others: threads, memory, keys, connections."""

from __future__ import annotations

import errno
import itertools
import os
import re
import select
import shutil
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import pytest
import requests
from starlette.responses import PlainTextResponse

from modos.server import provider as provider_module
from modos.server.app import create_app
from modos.server.auth import Access
from modos.server.connections import LingeringTransport
from modos.server.drs import object_id
from modos.server.rules import Oidc, Rule, Rules
from modos.server.run import BackgroundServer
from modos.storage import open_storage
from tests.support.provider import Provider
from tests.support.waiting import wait_for_requests, wait_until

pytestmark = pytest.mark.sweep(6)

CADDYFILE = Path(__file__).resolve().parents[2] / "deploy/gateway/Caddyfile"


class Hanging:
    """A provider that can be made to take connections and answer nothing, and to answer again."""

    def __init__(self, provider: Provider):
        self._documents = provider.documents
        self.asked = 0
        self.answers = threading.Event()
        self.answers.set()

    def __call__(self):
        self.asked += 1
        self.answers.wait(120)
        return self._documents()

    def end_in_failure(self):
        """Answer who waits, and all others, that there is nothing."""
        self._documents = dict
        self.answers.set()


@pytest.fixture
def away():
    with Provider() as provider:
        provider.documents = hanging = Hanging(provider)
        provider.hanging = hanging
        yield provider
        hanging.answers.set()


@pytest.fixture
def server(away, tmp_path):
    access = Access(oidc=Oidc(away.url, "modos"))
    with BackgroundServer(create_app(open_storage(tmp_path), access=access)) as server:
        yield server


@pytest.fixture
def served(server):
    return server.url


def ask(url, token=None, path="/whoami", timeout=20):
    begin = time.monotonic()
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    answer = requests.get(url + path, headers=headers, timeout=timeout)
    return answer.status_code, time.monotonic() - begin


def test_a_provider_that_hangs_holds_up_no_one_whose_key_is_known(away, server, monkeypatch):
    """45 tokens of unknown keys wait, more than the pool has threads: all others are answered at once."""
    monkeypatch.setattr(provider_module, "AGAIN", 0.0)
    monkeypatch.setattr(provider_module, "DEADLINE", 60.0)
    monkeypatch.setattr(provider_module, "_SHORTEST_PAUSE", 60.0)
    assert ask(server.url, away.token("alice"))[0] == 200
    away.hanging.answers.clear()
    before = away.hanging.asked
    with ThreadPoolExecutor(45) as pool:
        forged = [pool.submit(ask, server.url, away.token("eve", kid=f"unknown-{n}"), timeout=90) for n in range(45)]
        wait_for_requests(server, 45)
        for token, path in ((None, "/healthz"), (away.token("bob"), "/whoami"), (None, "/")):
            status, seconds = ask(server.url, token, path)
            assert status == 200 and seconds < 15, (path, status, seconds)
        assert not any(answer.done() for answer in forged)
        away.hanging.end_in_failure()
        assert {answer.result()[0] for answer in forged} == {500}
    assert away.hanging.asked - before == 1, "one thread asks for all"
    assert ask(server.url, away.token("alice"))[0] == 200


def test_discovery_does_not_wait_for_a_provider_again_and_again(away, server, monkeypatch):
    """Without a token, too, nobody can occupy the server with a provider that hangs."""
    monkeypatch.setattr(provider_module, "DEADLINE", 60.0)
    monkeypatch.setattr(provider_module, "_SHORTEST_PAUSE", 60.0)
    away.hanging.answers.clear()
    with ThreadPoolExecutor(45) as pool:
        asking = [pool.submit(ask, server.url, None, "/", timeout=90) for _ in range(45)]
        wait_for_requests(server, 45)
        assert ask(server.url, None, "/whoami")[1] < 15
        assert not any(answer.done() for answer in asking)
        away.hanging.end_in_failure()
        assert {answer.result()[0] for answer in asking} == {200}
    assert away.hanging.asked == 1


def test_a_provider_that_is_silent_meets_a_deadline(away, served, monkeypatch):
    """Whether it is asked for what it says of itself or for its keys."""
    monkeypatch.setattr(provider_module, "AGAIN", 0.0)
    monkeypatch.setattr(provider_module, "_SHORTEST_PAUSE", 0.0)
    monkeypatch.setattr(provider_module, "DEADLINE", 1.0)
    away.hanging.answers.clear()
    status, seconds = ask(served, path="/", timeout=60)
    assert status == 200 and seconds < 15
    monkeypatch.setattr(provider_module, "DEADLINE", 60.0)
    away.hanging.answers.set()
    assert ask(served, away.token("alice"))[0] == 200
    monkeypatch.setattr(provider_module, "DEADLINE", 1.0)
    away.hanging.answers.clear()
    status, seconds = ask(served, away.token("eve", kid="unknown"), timeout=60)
    assert status == 500 and seconds < 15


@contextmanager
def trickling(head, asked):
    """An address whose answer never ends: a byte of it comes every tenth of a second; `asked` grows by what is asked."""
    stop = threading.Event()

    def answer(connection):
        with connection, suppress(OSError):
            asked.append(connection.recv(65536))
            connection.sendall(head)
            while not stop.wait(0.1):
                connection.sendall(b" ")

    def accept():
        with suppress(OSError):
            while True:
                threading.Thread(target=answer, args=(listening.accept()[0],), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as listening:
        threading.Thread(target=accept, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            stop.set()


@pytest.mark.sweep(1)
@pytest.mark.parametrize(
    "head", [b"HTTP/1.1 200 OK\r\nX-Long: ", b"HTTP/1.1 200 OK\r\nContent-Length: 500000\r\n\r\n{", b"HTTP/1.1 200 OK\r\n\r\n"]
)
@pytest.mark.parametrize("which", ["what it says of itself", "its keys"])
def test_a_provider_that_trickles_meets_a_deadline(away, tmp_path, monkeypatch, head, which):
    """No socket waits long for a byte of it, and yet nobody waits longer for it than for one that is silent."""
    monkeypatch.setattr(provider_module, "DEADLINE", 1.5)
    monkeypatch.setattr(provider_module, "_SHORTEST_PAUSE", 60.0)
    asked = []
    with trickling(head, asked) as url:
        oidc = Oidc(url, "modos") if which == "what it says of itself" else Oidc(away.url, "modos", jwks_url=f"{url}/jwks")
        with BackgroundServer(create_app(open_storage(tmp_path), access=Access(oidc=oidc))) as server:
            status, seconds = ask(server.url, away.token("alice"), timeout=60)
            assert status == 500 and seconds < 30 and len(asked) == 1
            assert ask(server.url, away.token("alice"))[0] == 500 and len(asked) == 1, "the failure is remembered"


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
            running.result(60)
        now[0] += 1
    pauses = [after - before for before, after in itertools.pairwise(asked)]
    assert pauses[:8] == [2, 4, 8, 16, 32, 64, 128, 256] and set(pauses[8:]) == {300}


@pytest.mark.parametrize(
    "path", ["/metrics/", "/metrics//", "//metrics", "/metrics%2f", "/%6detrics", "/metrics%2F%2F", "/metrics/%2f"]
)
def test_what_is_for_peers_has_one_spelling(plain, path):
    """Here, where a gateway that knows one spelling lets all others through."""
    status, body = spelled(plain, path)
    assert status == 404 and b"modos_requests" not in body


@pytest.mark.parametrize(
    "path",
    [
        "/metrics",
        "/metrics/",
        "/metrics//",
        "//metrics",
        "/metrics%2f",
        "/%6detrics",
        "/METRICS",
        "/metrics/x",
        "/authorize",
        "/authorize/",
        "/authorize%2f",
        "/x/../metrics",
        "/x/%2e%2e/metrics/",
    ],
)
def test_the_gateway_passes_on_nothing_that_is_for_peers(gateway, path):
    """The server behind it answers each spelling, so that it is the gateway that is looked at."""
    assert spelled(gateway, "/list")[1] == b"seen"
    status, body = spelled(gateway, path)
    assert status in (308, 404) and body != b"seen"


def spelled(url, path, method="GET"):
    """An answer to a path as it is written, with nothing put right on the way."""
    import http.client

    connection = http.client.HTTPConnection(*address(url), timeout=20)
    connection.putrequest(method, "/", skip_accept_encoding=True)
    connection._buffer[0] = f"{method} {path} HTTP/1.1".encode()
    connection.endheaders()
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
    return answer.status, body


def address(url):
    host, _, port = url.removeprefix("http://").partition(":")
    return host, int(port)


@pytest.fixture(scope="module")
def plain(example, tmp_path_factory):
    root = tmp_path_factory.mktemp("plain")
    shutil.copytree(example / "ex", root / "ex")
    with BackgroundServer(create_app(open_storage(root))) as server:
        yield server.url


@contextmanager
def gateway_before(server, folder):
    """Caddy with the configuration that comes with modos."""
    if shutil.which("caddy") is None:
        pytest.skip("no caddy")
    for _ in range(5):  # another program may take a port that was free
        ports = free_ports(2)
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            "MODOS_NAME": "127.0.0.1",
            "MODOS_PORT": server.url.rpartition(":")[2],
            "SITE_ADDRESS": f":{ports[0]}",
            "GATEWAY_BIND": "127.0.0.1",
            "GATEWAY_HEALTH_PORT": str(ports[1]),
        }
        command = ["caddy", "run", "--config", str(CADDYFILE), "--adapter", "caddyfile"]
        with open(folder / "log", "w") as log, subprocess.Popen(command, env=environment, stderr=log) as caddy:
            try:
                wait_until(lambda: "serving initial configuration" in (folder / "log").read_text() or caddy.poll() is not None)
                if caddy.poll() is None:
                    yield f"http://127.0.0.1:{ports[0]}"
                    return
            finally:
                caddy.terminate()
    raise AssertionError((folder / "log").read_text())


@pytest.fixture(scope="module")
def gateway(tmp_path_factory):
    """A gateway before a server that answers everything."""

    async def echo(scope, receive, send):
        await PlainTextResponse("seen")(scope, receive, send)

    with BackgroundServer(echo) as behind, gateway_before(behind, tmp_path_factory.mktemp("caddy")) as url:
        yield url


def free_ports(count):
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


@pytest.mark.sweep(2)
@pytest.mark.parametrize(
    "authorization", ["", "Authorization: Bearer a-token-of-many-letters\r\n", "Authorization: Bearer x\r\n"]
)
def test_a_request_for_credentials_is_short(tmp_path, authorization):
    """200 MB are announced; the server answers, and ends the connection, after a small part of them."""
    with BackgroundServer(create_app(open_storage(tmp_path), tokens=["a-token-of-many-letters"])) as server:
        sent = 0
        with socket.create_connection(address(server.url), 20) as connection:
            connection.sendall(
                f"POST /credentials HTTP/1.1\r\nHost: localhost\r\n{authorization}Content-Type: application/json\r\n"
                "Content-Length: 200000000\r\n\r\n".encode()
            )
            try:
                while sent < 200_000_000:
                    sent += connection.send(b" " * 65536)
            except OSError:
                pass
        assert sent < 30_000_000  # what the buffers of two sockets hold, and some


@pytest.mark.parametrize(
    ("head", "status"), [("POST /credentials", b"403"), ("POST /htsget/reads/ex/demo2", b"403"), ("P\0ST /list", b"400")]
)
def test_an_answer_that_comes_before_the_end_of_a_request_is_not_lost(tmp_path, monkeypatch, head, status):
    """The rest of the request is taken, and what it is for is read after that: a connection that is reset would lose it."""
    monkeypatch.setattr("modos.server.connections.LINGERING", 60.0)
    with (
        BackgroundServer(create_app(open_storage(tmp_path), tokens=["a-token-of-many-letters"])) as server,
        socket.create_connection(address(server.url), 20) as connection,
    ):
        connection.sendall(f"{head} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 40\r\n\r\n".encode())
        answer = connection.recv(12)
        time.sleep(0.2)
        for _ in range(4):
            connection.sendall(b" " * 10)  # BrokenPipeError or ConnectionResetError where nobody takes it
            time.sleep(0.1)
        answer += b"".join(iter(lambda: connection.recv(65536), b""))
        assert answer.startswith(b"HTTP/1.1 " + status)


def test_a_body_that_cannot_be_read_ends_what_waits_for_it(tmp_path, monkeypatch):
    """The client stays; what would read the rest of its body is told that there is none, at once."""
    monkeypatch.setattr("modos.server.connections.LINGERING", 300.0)
    monkeypatch.setattr("modos.server.bodies.DEADLINE", 300.0)
    with (
        BackgroundServer(create_app(open_storage(tmp_path), tokens=["a-token-of-many-letters"])) as server,
        socket.create_connection(address(server.url), 20) as connection,
    ):
        connection.sendall(
            b"POST /credentials HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer a-token-of-many-letters\r\n"
            b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"
        )
        time.sleep(0.5)
        connection.sendall(b"no number\r\n")
        wait_until(lambda: not server._server.server_state.connections)
        assert connection.recv(12) == b"HTTP/1.1 400"


class Gone:
    """A transport whose client has reset the connection."""

    def __init__(self):
        self.calls = []

    def __getattr__(self, name):
        return lambda *_: self.calls.append(name)  # False, or 0 bytes

    def write_eof(self):
        raise OSError(errno.ENOTCONN, "not connected")


class HalfARequest:
    def is_request_under_way(self):
        return True


def test_a_client_that_is_gone_before_it_is_answered_is_no_defect():
    gone = Gone()
    transport = LingeringTransport(gone, HalfARequest())
    transport.close()
    assert gone.calls[-1] == "abort" and transport.is_closing()


def test_credentials_are_asked_for_with_a_document(tmp_path):
    with BackgroundServer(create_app(open_storage(tmp_path), tokens=["a-token-of-many-letters"])) as server:
        for body in (b"", b"{", b"[]", b'{"prefix": 5}', b'{"write": "maybe"}'):
            answer = requests.post(
                f"{server.url}/credentials", data=body, timeout=20, headers={"Authorization": "Bearer a-token-of-many-letters"}
            )
            assert answer.status_code == 400 and answer.json()["message"].startswith("the request"), answer.text


def test_a_place_is_no_beginning_of_a_file_beside_it(tmp_path):
    """The rule `ex` is about what is in ex: not about ex.cram, which an htsget server makes of the id ex."""
    rules = Rules((Rule(frozenset({"user:alice"}), read=("ex",)),))
    app = create_app(open_storage(tmp_path), access=Access({"a-token-of-many-letters": "alice"}, rules))
    with BackgroundServer(app) as server:

        def status(path, forwarded=None):
            headers = {"Authorization": "Bearer a-token-of-many-letters"} | ({"X-Forwarded-Uri": forwarded} if forwarded else {})
            return requests.get(server.url + path, headers=headers, timeout=20).status_code

        assert status("/authorize", "/htsget/reads/ex/demo2") == 200
        assert status("/authorize", "/htsget/reads/ex") == 403 and status("/authorize", "/htsget/variants/ex?format=VCF") == 403
        assert status("/htsget/reads/ex") == 403 and status("/htsget/reads/ex/demo2") == 404


def test_a_slow_body_has_an_end(plain, monkeypatch):
    monkeypatch.setattr("modos.server.bodies.DEADLINE", 1.0)
    with socket.create_connection(address(plain), 20) as connection:
        connection.sendall(b"POST /htsget/reads/ex/demo2 HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n{")
        begin = time.monotonic()
        answer = b"".join(iter(lambda: connection.recv(65536), b""))
        assert b" 400 " in answer.splitlines()[0] and b"within 1 seconds" in answer and time.monotonic() - begin < 15


@pytest.mark.sweep(1)
@pytest.mark.parametrize(
    "before",
    [
        b"",
        b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"POST /list HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n",
    ],
)
@pytest.mark.parametrize("half", [b"", b"GET /list HT", b"GET /list HTTP/1.1\r\nHost: localhost\r\nX-A: "])
def test_half_a_request_has_an_end(example, monkeypatch, before, half):
    """On a new connection and on a used one, also where another byte comes now and then."""
    monkeypatch.setattr("modos.server.connections.HEADERS", 1.0, raising=False)
    with BackgroundServer(create_app(open_storage(example))) as server:
        begin = time.monotonic()
        with (
            socket.create_connection(address(server.url), 20) as connection,
            suppress(OSError),  # it may be ended while this writes
        ):
            connection.sendall(before)
            if before:
                connection.recv(65536)
            connection.sendall(half)
            connection.settimeout(0.2)
            while time.monotonic() - begin < 40:
                try:
                    if not connection.recv(65536):
                        break
                except TimeoutError:
                    connection.sendall(half[-1:].strip() and b"a")
        assert 1 <= time.monotonic() - begin < 30


def test_an_answer_may_take_longer_than_the_head_of_a_request(monkeypatch):
    monkeypatch.setattr("modos.server.connections.HEADERS", 3.0, raising=False)

    async def slow(scope, receive, send):
        import asyncio

        await asyncio.sleep(3.5)
        await PlainTextResponse("done")(scope, receive, send)

    with BackgroundServer(slow) as server:
        assert requests.get(server.url, timeout=20).text == "done"


@pytest.fixture
def small(example):
    """A server that may open 256 files, and so has 78 connections and takes 39 requests, and its process; slow ones it bears for long."""
    program = (
        "import resource, sys; resource.setrlimit(resource.RLIMIT_NOFILE, (256, 256)); "
        "from modos.server import bodies, connections; bodies.DEADLINE = connections.HEADERS = 300; "
        "from modos.cli import main; sys.argv = ['modos', 'serve', sys.argv[1], '--port', '0']; main()"
    )
    with subprocess.Popen([sys.executable, "-c", program, example], stderr=subprocess.PIPE, text=True) as process:
        try:
            yield re.search(r"http://[0-9.:]+", process.stderr.readline())[0], process
        finally:
            process.terminate()
            errors = process.communicate(timeout=30)[1]
    assert "Too many" not in errors and "Traceback" not in errors, errors


def test_connections_are_fewer_than_descriptors_and_idle_ones_keep_nobody_out(small):
    """400 connections where 256 files may be open: the oldest go, and requests are answered meanwhile."""
    url, process = small
    with ExitStack() as stack:
        held = [stack.enter_context(socket.create_connection(address(url), 60)) for _ in range(400)]
        wait_until(lambda: len(select.select(held, [], [], 0)[0]) > 300)  # those that were ended
        assert 39 < count_files(process) < 200
        for path in ("/healthz", "/list"):
            status, seconds = ask(url, path=path)
            assert status == 200 and seconds < 15


def count_files(process):
    return len(os.listdir(f"/proc/{process.pid}/fd"))


def test_a_server_with_all_the_requests_that_it_takes_is_alive(small):
    """Bodies that do not come: other requests are refused with when to come again, /healthz is answered, and so are all afterwards."""
    url, process = small
    with ExitStack() as held:
        for _ in range(60):
            connection = held.enter_context(socket.create_connection(address(url), 60))
            connection.sendall(b"POST /htsget/reads/ex/demo2 HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n{")
        wait_until(lambda: ask(url, path="/list")[0] == 503)
        for _ in range(5):
            status, seconds = ask(url, path="/healthz")
            assert status == 200 and seconds < 15
        refused = requests.get(f"{url}/list", timeout=20)
        assert refused.status_code == 503 and refused.headers["Retry-After"] == "5" and refused.json()["error"] == "busy"
        assert 39 < count_files(process) < 200
    wait_until(lambda: ask(url, path="/list")[0] == 200)


def test_an_answer_that_nobody_takes_has_an_end(monkeypatch):
    """The connection is closed once the client takes nothing for a while; one that is slow, but takes some, gets all of it."""
    whole = bytes(30_000_000)
    gone = threading.Event()

    async def large(scope, receive, send):
        step = 1 << 18 if scope["path"] == "/stalled" else len(whole)  # all at once is sent as long as the client reads
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(whole))]})
        for at in range(0, len(whole), step):
            await send({"type": "http.response.body", "body": whole[at : at + step], "more_body": True})
        await send({"type": "http.response.body", "body": b""})
        if (await receive())["type"] == "http.disconnect" and scope["path"] == "/stalled":
            gone.set()

    with BackgroundServer(large, send_buffer=1 << 16) as server:
        monkeypatch.setattr("modos.server.connections.STALLED", 1.0)
        with socket.create_connection(address(server.url), 20) as connection:
            connection.sendall(b"GET /stalled HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert gone.wait(60)
        monkeypatch.setattr("modos.server.connections.STALLED", 4.0)
        with socket.create_connection(address(server.url), 20) as connection:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 16)
            connection.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            begin, size = time.monotonic(), 0
            while piece := connection.recv(1 << 16):
                size += len(piece)
                time.sleep(0.05 if time.monotonic() - begin < 5 else 0)
        assert size > len(whole) and time.monotonic() - begin > 5


def test_methods_that_strangers_make_up_are_one_number(plain):
    for number in range(20):
        spelled(plain, "/list", method=f"MADEUP{number}")
    text = requests.get(f"{plain}/metrics", timeout=20).text
    assert "MADEUP" not in text and 'method="other"' in text


@pytest.mark.parametrize(
    "path",
    [
        "/files/" + "a/" * 480 + "a",
        "/htsget/reads/" + "a/" * 480 + "a",
        "/files/ex/" + "a/" * 480 + "a",
        "/ga4gh/drs/v1/objects/" + object_id("a/" * 250 + "a"),
        "/files/ex/data.zarr/data/" + "a/" * 400 + "a",
    ],
)
def test_a_deep_path_makes_few_requests_to_the_storage(example, monkeypatch, path):
    storage = open_storage(example)
    asked = []
    for name in ("stat", "exists", "read", "iter_files", "list_folders"):
        original = getattr(type(storage), name)
        monkeypatch.setattr(
            type(storage),
            name,
            lambda self, *words, _original=original, **options: asked.append(words) or _original(self, *words, **options),
        )
    with BackgroundServer(create_app(storage)) as server:
        assert ask(server.url, path=path)[0] == 404
    assert len(asked) <= 8, asked[:12]


def test_deep_objects_and_files_are_found(example, tmp_path):
    shutil.copytree(example / "ex", tmp_path / "a/b/c/d/e/f/g/h/i/ex")
    with BackgroundServer(create_app(open_storage(tmp_path))) as server:
        assert ask(server.url, path="/files/a/b/c/d/e/f/g/h/i/ex/demo2.bam")[0] == 200
        assert ask(server.url, path="/files/a/b/c/d/e/f/g/h/i/ex/data.zarr/zarr.json")[0] == 200
        assert ask(server.url, path="/htsget/reads/a/b/c/d/e/f/g/h/i/ex/demo2")[0] == 200


def test_slow_bodies_hold_neither_the_gateway_nor_what_is_behind_it(example, tmp_path, monkeypatch):
    """200 bodies that trickle: others are answered at once, and the server is soon free of them."""
    app = create_app(open_storage(example), tokens=["a-token-of-many-letters"])
    came, running = [], []

    async def counted(scope, receive, send):
        if scope.get("method") != "POST":
            return await app(scope, receive, send)
        came.append(1)
        running.append(1)
        try:
            await app(scope, receive, send)
        finally:
            running.pop()

    def begin(held, url):
        for _ in range(200):
            held.enter_context(socket.create_connection(address(url), 60)).sendall(
                b"POST /credentials HTTP/1.1\r\nHost: localhost\r\nContent-Length: 50000\r\n"
                b"Authorization: Bearer a-token-of-many-letters\r\n\r\n{"
            )

    with BackgroundServer(counted) as server, gateway_before(server, tmp_path) as url:
        monkeypatch.setattr("modos.server.bodies.DEADLINE", 300.0)
        with ExitStack() as held:
            begin(held, url)
            wait_until(lambda: len(running) > 100)
            for path in ("/healthz", "/list", "/whoami"):
                status, seconds = ask(url, "a-token-of-many-letters", path)
                assert status == 200 and seconds < 15
        wait_until(lambda: not running)
        monkeypatch.setattr("modos.server.bodies.DEADLINE", 1.0)
        with ExitStack() as held:
            before = len(came)
            begin(held, url)
            wait_until(lambda: len(came) - before > 100 and not running)
            assert ask(url, "a-token-of-many-letters", "/list")[0] == 200


def test_half_a_request_does_not_hold_the_gateway(gateway):
    """It has ten seconds there."""
    with socket.create_connection(address(gateway), 20) as connection:
        connection.sendall(b"GET /list HT")
        connection.settimeout(60)
        begin = time.monotonic()
        while connection.recv(65536):
            pass
        assert 5 < time.monotonic() - begin < 45
