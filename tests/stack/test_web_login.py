"""Log-in in a browser through the gateway: to both workers, htsget-rs and S3, and what a file of the bucket may do there."""

from __future__ import annotations

import re
import stat
import subprocess

import pytest
import requests

from modos.storage import open_storage
from tests.support.logging_in import SCRIPT, Person

from .conftest import ALICE, BOB, ROOT

pytestmark = pytest.mark.stack


def test_with_a_token(private):
    person = Person(private.url)
    assert person.log_in_with(ALICE).status_code == 303
    assert [person.name() for _ in range(20)] == ["alice"] * 20, "both workers know the session"
    assert person.get("/htsget/reads/lab-a/ex/demo2", SCRIPT).status_code == 200
    assert person.get("/htsget/reads/lab-b/ex/demo2", SCRIPT).status_code == 403
    assert requests.get(f"{private.url}/htsget/reads/lab-a/ex/demo2", timeout=20).status_code == 403
    answer = person._ask("POST", "/htsget/reads/lab-a/ex/demo2", SCRIPT, json={})
    assert answer.status_code == 403, "a cookie counts for reading by GET alone, also where the gateway asks"
    bearer = requests.post(
        f"{private.url}/htsget/reads/lab-a/ex/demo2", json={}, headers={"Authorization": f"Bearer {ALICE}"}, timeout=20
    )
    assert bearer.status_code == 200
    foreign = {"Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "cors", "Sec-Fetch-Dest": "empty"}
    assert person.get("/htsget/reads/lab-a/ex/demo2", foreign).status_code == 403


def test_at_the_provider(private, provider):
    person = Person(private.url)
    page = person.get("/login?by=provider")
    assert f"redirect_uri={private.url.replace(':', '%3A').replace('/', '%2F')}%2Flogin%2Fcallback" in page.headers["Location"]
    answer = person.log_in(provider, "bob", "/login?by=provider&next=/list")
    assert (answer.status_code, answer.headers["Location"]) == (303, "/list")
    assert person.name() == "bob" and [url.split("/")[-2] for url in person.get("/list", SCRIPT).json()["data"]] == [
        "lab-b",
        "open",
    ]
    other = Person(private.url)
    assert other.log_in_with(BOB).status_code == 303 and other.name() == "bob"


def test_the_secret_of_sessions_is_drawn(private):
    path = private.state / "secrets/session-key"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600 and re.fullmatch("[0-9a-f]{64}", path.read_text())


def test_a_page_in_the_bucket_runs_nothing(private):
    """It is of the same origin as the server's pages: what it may do there is nothing."""
    storage = open_storage("s3://modos-demo", s3_url=private.url, s3_kwargs=private.credentials("server"))
    storage.write("open/page.html", b"<script>fetch('/list')</script>")
    answer = requests.get(storage.presign("open/page.html", 60), timeout=20)
    assert answer.content.startswith(b"<script>")
    assert answer.headers["Content-Security-Policy"] == "sandbox; default-src 'none'"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    storage.delete("open/page.html")


def test_the_gateway_gives_the_cookie_to_the_modos_server_alone():
    found = subprocess.run(
        ["caddy", "adapt", "--adapter", "caddyfile", "--config", ROOT / "deploy/gateway/Caddyfile"],
        capture_output=True,
        text=True,
        timeout=60,
    )
    proxies = re.findall(r'"delete":\[([^]]*)\]', found.stdout)
    assert found.returncode == 0 and len(proxies) >= 5
    ends = re.findall(
        r'\{"flush_interval".*?"upstreams":\[\{"dial":"([^"]+)"\}\]|"upstreams":\[\{"dial":"([^"]+)"\}\]', found.stdout
    )
    assert ends and sum("Cookie" in one for one in proxies) == sum(
        "9000" in "".join(one) or "8081" in "".join(one) for one in ends
    )
