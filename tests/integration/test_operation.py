"""What those who run the server see and rely on: pages, search, health, numbers, logs, rules, an end without haste."""

from __future__ import annotations

import hashlib
import json
import os
import re
import signal
import subprocess
from types import SimpleNamespace

import pytest
import requests
from fastapi.routing import APIRoute

from modos.api import MODO
from modos.catalog.catalog import Catalog, list_remote
from modos.errors import InvalidInputError, NotFoundError
from modos.reference.locate import open_store
from modos.server.app import create_app
from modos.server.auth import Access
from modos.server.drs import object_id
from modos.server.rules import Caller, read_access
from modos.server.run import GRACE, BackgroundServer, Settings
from modos.storage import open_storage
from tests.support import commands
from tests.support.waiting import wait_until
from tests.support.walking import routes_of

pytestmark = pytest.mark.sweep(40)

COUNT = 25


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """Objects that differ by name and metadata, and one that is damaged."""
    folder = tmp_path_factory.mktemp("many")
    for number in range(COUNT):
        modo = MODO.create(folder / f"lab-{number % 3}/ex{number:02}", description=f"Cohort of study S{number}")
        modo.add_element({"id": "s", "@type": "Sample", "sex": "Male" if number % 2 else "Female", "collector": f"Dr. Ä{number}"})
    (folder / "broken/data.zarr").mkdir(parents=True)
    (folder / "broken/data.zarr/zarr.json").write_text("{")
    return folder


@pytest.fixture(scope="module")
def url(root):
    with BackgroundServer(create_app(open_storage(root))) as server:
        yield server.url


def get(url, **params):
    answer = requests.get(url, params=params, timeout=20)
    assert answer.status_code == 200, answer.text
    return answer.json()


@pytest.mark.parametrize("path", ["/list", "/meta", "/get"])
@pytest.mark.parametrize("limit", [1, 7, COUNT, 1000])
def test_the_pages_are_the_whole(url, path, limit):
    params = {"query": "ex", "fuzzy": "true"} if path == "/get" else {}
    whole, pages, after = get(url + path, **params)["data"], [], None
    while True:
        page = get(url + path, limit=limit, **params, **({"after": after} if after else {}))
        assert len(page["data"]) <= limit
        pages += page["data"]
        after = page["next"]
        if after is None:
            break
    assert pages == whole and len(whole) >= COUNT


@pytest.mark.parametrize(
    "params", [{"limit": 0}, {"limit": "x"}, {"limit": 10**9}, {"after": "x" * 2000}, {"search": "x" * 2000}]
)
def test_pages_that_cannot_be_are_refused(url, params):
    answer = requests.get(f"{url}/list", params=params, timeout=20)
    assert answer.status_code == 400 and answer.json()["error"] == "invalid_input"


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ("female", {n for n in range(COUNT) if not n % 2}),
        ("sex=Female", {n for n in range(COUNT) if not n % 2}),
        ("sex=male", {n for n in range(COUNT) if n % 2}),
        ("sex~male", set(range(COUNT))),
        ("sex=mal", set()),
        ('collector="dr. ä7"', {7}),
        ('collector="dr. ä"', set()),
        ("collector~ä11", {11}),
        ("@type=sample sex=MALE S13", {13}),
        ('"study s19"', {19}),
        ("id=sample/s collector~ä5", {5}),
        ("id=s", set()),
        ('"sex=male"', set()),
        ("S7", {7}),
        ("cohort s7", {7}),
        ("description=female", set()),
        ("dr. ä3", {3}),
        ("sample/s sex=female s2", {2, 20, 22, 24}),
        ("nothing-like-it", set()),
    ],
)
def test_search_in_the_metadata(url, words, found):
    expected = {n for n in range(COUNT) if n in found}
    listed = {int(key[-2:]) for key in get(f"{url}/list", search=words)["data"]}
    assert expected <= listed and (listed == expected or "s2" in words or "3" in words)
    assert {int(item["path"][-2:]) for item in get(f"{url}/meta", search=words)["data"]} == listed


@pytest.mark.parametrize("path", ["/list", "/meta"])
@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("gender=male", "no slot gender"),
        ("sexx~male", "did you mean sex?"),
        ("sex=", "SLOT=VALUE"),
        ("=male", "SLOT=VALUE"),
        ('collector="dr.', "not closed"),
    ],
)
def test_a_search_that_cannot_be_meant_is_refused(url, path, words, message):
    answer = requests.get(url + path, params={"search": words}, timeout=20)
    assert answer.status_code == 400
    with pytest.raises(InvalidInputError) as raised:
        list_remote(None, url, None, words)
    assert message in f"{raised.value} {raised.value.hint}" and answer.json()["message"] == raised.value.message


@pytest.mark.parametrize("query", ["serach=sex=male", "query=ex&fuzy=true", "search=S7&search=S8", "limit=1&limit=2", "x"])
@pytest.mark.parametrize("path", ["/list", "/meta", "/get"])
def test_parameters_that_are_not_known_or_given_twice_are_refused(url, path, query):
    answer = requests.get(f"{url}{path}?{query}", timeout=20)
    assert answer.status_code == 400 and "parameter" in answer.json()["message"]


def test_a_list_of_what_was_searched_for(url, root):
    females = list_remote(None, url, None, "sex=female")
    assert len(females) == (COUNT + 1) // 2 and len(list_remote(None, url, None, "sex=male")) == COUNT // 2
    listed = commands.run(
        ["--endpoint", url, "remote", "list", "--search", "sex=female"],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert listed.stdout.split() == females


def test_a_listing_is_good_for_a_while_and_an_object_at_once(tmp_path, monkeypatch):
    """By a clock that the test moves."""
    now = 100.0
    monkeypatch.setattr("modos.catalog.catalog.time", SimpleNamespace(monotonic=lambda: now))
    MODO.create(tmp_path / "a")
    listed = []
    storage = open_storage(tmp_path)
    find = storage.find
    storage.find = lambda *names: listed.append(1) or find(*names)
    catalog = Catalog(storage, max_age=1.0)
    assert list(catalog.iter_objects()) == ["a"]
    modo = MODO.create(tmp_path / "b")
    assert list(catalog.iter_objects()) == ["a"] and len(listed) == 1
    assert catalog.metadata("b")
    modo.add_element({"id": "s", "@type": "Sample"})
    assert "sample/s" in catalog.metadata("b")
    now += 1.05
    assert list(catalog.iter_objects()) == ["a", "b"] and len(listed) == 2
    now += 0.6
    MODO.create(tmp_path / "c")
    assert list(catalog.iter_objects()) == ["a", "b"]  # answered at once, and listed anew beside it
    wait_until(lambda: list(catalog.iter_objects()) == ["a", "b", "c"])
    assert len(listed) == 3


def test_health(url, root, tmp_path, monkeypatch):
    assert get(f"{url}/healthz") == get(f"{url}/readyz") == {"status": "ok"}
    gone = tmp_path / "gone"
    MODO.create(gone / "ex")
    storage = open_storage(gone)
    with BackgroundServer(create_app(storage)) as server:
        monkeypatch.setattr(type(storage), "exists", lambda self, key: (_ for _ in ()).throw(NotFoundError("away")))
        assert get(f"{server.url}/healthz") == {"status": "ok"}
        assert requests.get(f"{server.url}/readyz", timeout=20).status_code == 503


def test_metrics(url):
    def count() -> float:
        text = requests.get(f"{url}/metrics", timeout=20).text
        found = re.search(r'modos_requests_total\{method="GET",route="/healthz",status="200"\} (\S+)', text)
        assert "modos_request_seconds_bucket" in text and "modos_sent_bytes_total" in text
        return float(found[1]) if found else 0.0

    get(f"{url}/healthz")
    before = count()
    for _ in range(3):
        get(f"{url}/healthz")
    assert count() == before + 3


def test_each_request_has_an_id(url):
    assert requests.get(f"{url}/healthz", headers={"X-Request-ID": "mine-1"}, timeout=20).headers["X-Request-ID"] == "mine-1"
    for bad in ("a b", "x" * 100, "a\tb"):
        given = requests.get(f"{url}/healthz", headers={"X-Request-ID": bad}, timeout=20).headers["X-Request-ID"]
        assert re.fullmatch("[0-9a-f]{32}", given)


# --- the process ---


def serve(folder, *words, **environment):
    process = commands.start(
        ["serve", folder, "--port", "0", *words],
        env=os.environ | environment,
        stderr=subprocess.PIPE,
        text=True,
    )
    line = process.stderr.readline()
    assert line.startswith("serving "), line + process.stderr.read()
    return process, re.search(r"http://\S+", line)[0]


def answers(url, timeout=20):
    """Whether a server does; while its processes start, connections to it wait."""
    try:
        assert requests.get(f"{url}/healthz", timeout=timeout).status_code == 200
    except (requests.ConnectionError, requests.Timeout):
        return False
    return True


def test_the_log_has_a_line_for_each_request_and_no_secret(root, tmp_path):
    (tmp_path / "tokens").write_text("alice a-token-of-many-letters\n")
    (tmp_path / "tokens").chmod(0o600)
    process, url = serve(root, "--log", "json", "--token-file", tmp_path / "tokens")
    headers = {"Authorization": "Bearer a-token-of-many-letters", "X-Request-ID": "seen"}
    assert requests.get(f"{url}/list?search=BRCA1", headers=headers, timeout=20).status_code == 200
    process.send_signal(signal.SIGTERM)
    text = process.stderr.read()
    assert process.wait(20) in (0, 143, -15)
    line = next(json.loads(line) for line in text.splitlines() if "request_id" in line)
    assert (line["request_id"], line["method"], line["path"], line["status"], line["caller"]) == (
        "seen",
        "GET",
        "/list",
        200,
        "alice",
    )
    assert line["seconds"] >= 0 and line["bytes"] > 0
    assert "a-token-of-many-letters" not in text and "BRCA1" not in text


def test_settings_come_from_the_environment(root):
    process, url = serve(
        root,
        MODOS_SERVE_LOG="text",
        MODOS_SERVE_PUBLIC_URL="https://modos.example.org",
        MODOS_SERVE_HTSGET_URL="https://htsget.example.org",
    )
    found = get(url)
    assert found["htsget"] == "https://htsget.example.org"
    process.terminate()
    assert "path=/ status=200" in process.stderr.read() and process.wait(20) is not None


@pytest.mark.sweep(1)
@pytest.mark.parametrize("workers", ["1", "3"])
def test_a_request_under_way_is_answered_before_the_end(tmp_path, workers):
    """A file of 60 MB is being read slowly when the server is told to end."""
    modo = MODO.create(tmp_path / "ex")
    (tmp_path / "big").write_bytes(os.urandom(60_000_000))
    modo.add_element({"id": "big", "@type": "DataEntity", "data_format": "TSV", "data_path": "big.tsv"}, tmp_path / "big")
    process, url = serve(tmp_path, "--workers", workers)
    wait_until(lambda: answers(url), 90)
    with requests.get(f"{url}/files/ex/big.tsv", stream=True, timeout=20) as answer:
        data = answer.raw.read(1_000_000)
        process.send_signal(signal.SIGTERM)
        wait_until(lambda: not answers(url, timeout=2), GRACE)
        data += answer.raw.read()
    assert data == (tmp_path / "big").read_bytes()
    assert process.wait(60) is not None


def test_several_workers_count_together(root):
    process, url = serve(root, "--workers", "3")
    wait_until(lambda: answers(url), 90)
    for _ in range(30):
        get(f"{url}/healthz")

    def count() -> float:
        text = requests.get(f"{url}/metrics", timeout=20).text
        found = re.search(r'route="/healthz",status="200"\} (\S+)', text)
        return float(found[1]) if found else 0.0

    wait_until(lambda: count() >= 30)  # each counts a request once it has answered it
    process.terminate()
    assert process.wait(60) is not None


@pytest.mark.sweep(2)
@pytest.mark.parametrize(
    "words",
    [
        ["--log", "loud"],
        ["--workers", "0"],
        ["--access", "none.toml"],
        ["--max-age", "-1"],
        ["--public-url", "modos.example.org"],
        ["--s3-url", "http://user:secret@s3"],
    ],
)
def test_settings_that_are_not_good_are_named(root, words):
    result = commands.run(
        ["serve", root, "--port", "0", *words],
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert result.returncode in (2, 3) and "Traceback" not in result.stderr and "secret@" not in result.stderr


# --- rules ---


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("x = 1", "x is not known"),
        ("[[rule]]\nwho = []\nreads = []", "reads is not known"),
        ("[[rule]]\nread = ['a']", "who"),
        ("[[rule]]\nwho = ['bob']", "'bob' is nobody"),
        ("[[rule]]\nwho = ['anyone']\nwrite = ['a']", "anyone may write"),
        ("[[rule]]\nwho = ['user:a']\nread = ['../b']", "../b"),
        ("[[rule]]\nwho = ['user:a']\nread = 'b'", "not a list"),
        ("[oidc]\nissuer = 'x'", "audience"),
        ("[oidc]\nissuer = 1\naudience = 'x'", "not a text"),
        ("rule = 3", "rule"),
        ("[[rule", "not TOML"),
    ],
)
def test_rules_that_are_not_clear_are_refused(tmp_path, text, word):
    (tmp_path / "access.toml").write_text(text)
    with pytest.raises(InvalidInputError, match=re.escape(word)):
        read_access(tmp_path / "access.toml")


def test_a_place_is_a_folder_and_no_beginning_of_a_name(tmp_path):
    (tmp_path / "access.toml").write_text("[[rule]]\nwho = ['user:a', 'group:g']\nread = ['lab/']\nwrite = ['lab/mine']\n")
    access = Access(rules=read_access(tmp_path / "access.toml").rules)
    for caller in (Caller("a"), Caller("b", frozenset({"g"}))):
        assert access.allows(caller, "read", "lab") and access.allows(caller, "read", "lab/x")
        assert access.allows(caller, "write", "lab/mine/x") and not access.allows(caller, "write", "lab/x")
        assert not access.allows(caller, "read", "laboratory") and not access.allows(caller, "read", "")
    assert not access.allows(Caller(), "read", "lab") and not access.allows(Caller("g"), "read", "lab")
    assert not access.allows(Caller("b", frozenset({"a"})), "read", "lab")


def test_an_access_file_and_a_token_file_exclude_each_other(root, tmp_path):
    with pytest.raises(InvalidInputError, match="exclude"):
        Settings(str(root), token_file="a", access_file="b").app()


# --- DRS ---


def test_an_object_is_a_bundle_of_files_that_can_be_fetched(example):
    with BackgroundServer(create_app(open_storage(example))) as server:
        url = f"{server.url}/ga4gh/drs/v1"
        assert get(f"{url}/service-info")["type"] == {"group": "org.ga4gh", "artifact": "drs", "version": "1.4.0"}
        bundle = get(f"{url}/objects/{object_id('ex')}")
        assert {part["name"] for part in bundle["contents"]} == {
            "demo1.cram",
            "demo2.bam",
            "calls.vcf.gz",
            "cohort.bcf",
            "reference.fa",
        }
        for part in bundle["contents"]:
            found = get(f"{url}/objects/{part['id']}")
            data = requests.get(get(f"{url}/objects/{part['id']}/access/file")["url"], timeout=20).content
            assert (found["name"], found["size"]) == (part["name"], len(data))
            assert hashlib.blake2b(data).hexdigest() == found["checksums"][0]["checksum"]
        for bad in ("x" * 500, "!!", object_id("../etc/passwd"), object_id("none"), object_id("ex/data.zarr/zarr.json")):
            assert requests.get(f"{url}/objects/{bad}", timeout=20).status_code == 404


# --- parameters ---

OF_OTHERS = (
    "/htsget/reads",
    "/htsget/variants",
    "/refget",
    "/ga4gh",
    "/authorize",
    "/login",
    "/logout",
    "/assets",
)  # their specifications say what unknown parameters are; a gateway describes a request of them; forms and files have none


def test_a_parameter_that_is_not_known_is_an_error_on_every_route_of_ours(example, tmp_path):
    app = create_app(open_storage(example), references=open_store(tmp_path))
    routes = [
        (method, re.sub(r"\{[^}]*\}", "x", path))
        for path, route in routes_of(app)
        if isinstance(route, APIRoute) and not path.startswith(OF_OTHERS)
        for method in route.methods
    ]
    assert {path for _, path in routes} >= {
        "/",
        "/list",
        "/meta",
        "/get",
        "/whoami",
        "/credentials",
        "/files/x",
        "/references/x",
        "/healthz",
        "/readyz",
        "/metrics",
        "/htsget/data/x",
    }
    with BackgroundServer(app) as server:
        for method, path in routes:
            answer = requests.request(method, f"{server.url}{path}", params={"unknown": "1"}, timeout=20)
            assert answer.status_code == 400, (method, path, answer.text)
            assert method == "HEAD" or "there is no parameter unknown" in answer.text, (method, path)


def test_a_gateway_asks_with_the_parameters_of_the_request(example):
    """As Caddy's forward_auth does."""
    with BackgroundServer(create_app(open_storage(example))) as server:
        answer = requests.get(
            f"{server.url}/authorize",
            params={"referenceName": "chr1", "start": "1"},
            timeout=20,
            headers={"X-Forwarded-Uri": "/htsget/reads/ex/demo2?referenceName=chr1&start=1"},
        )
        assert answer.status_code == 200, answer.text
