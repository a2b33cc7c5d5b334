"""What the gateway tells the services of a client, and whose word for it it takes: that of trusted proxies, and no client's."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import requests

from tests.support.caddy import HERE, caddy

pytestmark = pytest.mark.stack
PATHS = {"/list": 1, "/modos-demo/x": 1, "/s3/x": 1, "/htsget/reads/a": 2}  # and how many requests the services get for it
MADE_UP = ["6.6.6.6", "6.6.6.6, 7.7.7.7", "6.6.6.6,7.7.7.7", "6.6.6.6, ", ",,", "6.6.6.6, 7.7.7.7, "]


@contextmanager
def gateway(trusted: str, folder) -> Iterator[tuple[str, list[dict[str, list[str]]]]]:
    """The gateway in front of one server that stands for all; its address, and what that server is told."""
    told: list[dict[str, list[str]]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            told.append({name: self.headers.get_all(f"X-Forwarded-{name}", []) for name in ("For", "Proto")})
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *words: object) -> None:
            pass

    server = ThreadingHTTPServer((HERE, 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    behind = server.server_address[1]
    variables = {
        "S3_ADDRESS": f"{HERE}:{behind}", "MODOS_NAME": HERE, "MODOS_PORT": str(behind), "HTSGET_ADDRESS": f"{HERE}:{behind}",
        "TRUSTED_PROXIES": trusted,
    }  # fmt: skip
    try:
        with caddy(folder, variables) as url:
            yield url, told
    finally:
        server.shutdown()
        server.server_close()


def ask(url: str, told: list[dict[str, list[str]]], path: str, said: str | None) -> set[str]:
    """What the services are told, in each request of one."""
    told.clear()
    headers = {"X-Forwarded-Proto": "https"} | ({} if said is None else {"X-Forwarded-For": said})
    assert requests.get(url + path, headers=headers, timeout=20).status_code == 200
    assert len(told) == PATHS[path]
    return {json.dumps([one["For"], one["Proto"]]) for one in told}


@pytest.mark.parametrize("trusted", ["", "10.0.0.0/8 fd00::/8"])
def test_what_a_client_says_of_itself_is_not_believed(trusted, tmp_path):
    with gateway(trusted, tmp_path) as (url, told):
        for path in PATHS:
            for said in (None, *MADE_UP):
                assert ask(url, told, path, said) == {json.dumps([[HERE], ["http"]])}, (path, said)


def test_a_trusted_proxy_says_whom_it_has_seen_and_nobody_before_it_does(tmp_path):
    """One address gets there: the server takes the first of several, which a client may have made up."""
    seen = {None: HERE, "6.6.6.6": "6.6.6.6", "2001:db8::7": "2001:db8::7", "6.6.6.6, 2001:db8::7": "2001:db8::7"}
    with gateway("10.0.0.0/8 127.0.0.0/8", tmp_path) as (url, told):
        for path in PATHS:
            for said, address in (seen | {"6.6.6.6, 7.7.7.7": "7.7.7.7", "6.6.6.6,7.7.7.7": "7.7.7.7"}).items():
                assert ask(url, told, path, said) == {json.dumps([[address], ["https"]])}, (path, said)
            for said in ("6.6.6.6, ", ",,", "6.6.6.6, 7.7.7.7, "):
                assert ask(url, told, path, said) == {json.dumps([[""], ["https"]])}, (path, said)
