"""The log-in of browsers, step by step over HTTP: what is taken, what is refused, and what a cookie stands for."""

from __future__ import annotations

import base64
import os
import re
import secrets
import shutil
import signal
import subprocess
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import requests

from modos.encryption.text_seal import TextSeal
from modos.errors import AccessError, InvalidInputError, NotFoundError
from modos.server import provider as provider_module
from modos.server import sessions
from modos.server.app import create_app
from modos.server.auth import Access
from modos.server.drs import object_id
from modos.server.origins import clean_path
from modos.server.rules import read_access
from modos.server.run import BackgroundServer
from modos.storage import open_storage
from tests.support import commands
from tests.support.clock import Clock
from tests.support.logging_in import BACK, FORM, PAGE, SCRIPT, Person, alert_of
from tests.support.provider import Provider
from tests.support.visas import DATASET, Broker
from tests.support.waiting import wait_for_requests, wait_until

TOKEN, OTHER = "the-token-of-alice-is-long", "the-token-of-bob-is-long-too"
RULES = """
[[rule]]
who = ["anyone"]
read = ["open"]

[[rule]]
who = ["user:alice"]
write = ["ex"]
"""
ONE = f"/ga4gh/drs/v1/objects/{object_id('ex')}"  # which Alice alone may read


@pytest.fixture(scope="module")
def place(example, tmp_path_factory):
    root = tmp_path_factory.mktemp("guarded")
    for name in ("ex", "open"):
        shutil.copytree(example / "ex", root / name)
    return root


@pytest.fixture
def provider():
    with Provider() as running:
        yield running


@pytest.fixture
def clock(monkeypatch):
    return Clock(monkeypatch)


@pytest.fixture
def serve(place, tmp_path):
    """`serve(what the access file says)` starts a server, and returns its URL."""
    servers = []

    def serve(text, **options):
        (tmp_path / "access.toml").write_text(text + RULES)
        access = Access.from_file(tmp_path / "access.toml")
        servers.append(BackgroundServer(create_app(open_storage(place), access=access, **options)))
        return servers[-1].url

    serve.servers = servers
    yield serve
    for server in servers:
        server.stop()


def oidc(provider, **settings):
    lines = {"issuer": provider.url, "audience": "modos", "name_claim": "preferred_username"} | settings
    return "[oidc]\n" + "".join(f'{name} = "{value}"\n' for name, value in lines.items())


@pytest.fixture
def url(serve, provider):
    return serve(oidc(provider))


@pytest.fixture
def tokens(tmp_path):
    path = tmp_path / "tokens"
    path.write_text(f"alice {TOKEN}\nbob {OTHER}\n")
    path.chmod(0o600)
    return 'tokens = "tokens"\n'


# --- what a cookie stands for ---


def test_a_cookie_stands_for_reading_alone(serve, tokens):
    url = serve(tokens)
    person = Person(url)
    assert person.log_in_with(TOKEN).status_code == 303 and person.name() == "alice"
    bearer = {"Authorization": f"Bearer {TOKEN}"}
    assert person.get(ONE, SCRIPT).json()["name"] == "ex"
    assert requests.head(url + "/files/ex/data.zarr/zarr.json", headers=bearer, timeout=20).status_code == 200
    for method, path, body in (
        ("POST", "/credentials", b'{"prefix": "ex", "write": true}'),
        ("POST", "/htsget/reads/ex/demo1", b"{}"),
        ("POST", ONE, b'{"passports": []}'),
    ):
        own = requests.request(method, url + path, data=body, headers=bearer, timeout=20)
        asked = person._ask(method, path, SCRIPT | {"Origin": url}, data=body)
        nobody = requests.request(method, url + path, data=body, timeout=20)
        assert (asked.status_code, asked.content) == (nobody.status_code, nobody.content), path
        assert asked.status_code == 403 or path == ONE, path
        assert own.status_code != 403, path


def test_a_header_counts_more_than_a_cookie(serve, tokens):
    person = Person(serve(tokens))
    person.log_in_with(TOKEN)
    assert person.name(SCRIPT | {"Authorization": f"Bearer {OTHER}"}) == "bob"
    answer = person.get("/whoami", SCRIPT | {"Authorization": "Bearer nobodys-token-at-all"})
    assert answer.status_code == 401 and not person.set_cookies
    assert person.get("/whoami", SCRIPT | {"Authorization": "Basic YTpi"}).status_code == 401


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        (SCRIPT, "alice"),
        ({}, "alice"),  # an old browser, or one that was told an address
        (PAGE, "alice"),
        (BACK, "alice"),  # who follows a link of a mail
        ({"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "cors", "Sec-Fetch-Dest": "empty"}, None),
        ({"Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "cors", "Sec-Fetch-Dest": "empty"}, None),
        ({"Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "script"}, None),
        ({"Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "iframe"}, None),
        ({"Origin": "https://evil.example.org"}, None),
        ({"Origin": "null"}, None),
    ],
)
def test_a_cookie_stands_for_nothing_that_pages_of_others_load(serve, tokens, headers, expected):
    person = Person(serve(tokens))
    person.log_in_with(TOKEN)
    assert person.name(headers) == expected


def test_no_answer_lets_another_origin_read_with_cookies(serve, tokens):
    person = Person(serve(tokens))
    person.log_in_with(TOKEN)
    for path in ("/files/ex/data.zarr/zarr.json", "/whoami", "/htsget/reads/ex/demo1", "/login", "/"):
        for headers in ({"Origin": "https://evil.example.org"}, {"Origin": person.url} | SCRIPT):
            answer = person.get(path, headers)
            assert "Access-Control-Allow-Credentials" not in answer.headers
            if "Sec-Fetch-Site" in headers:
                assert answer.headers["Cross-Origin-Resource-Policy"] == "same-origin"
                assert "private" in answer.headers["Cache-Control"]


def test_a_gateway_that_asks_about_a_post_gets_no_answer_for_a_cookie(serve, tokens):
    person = Person(serve(tokens))
    person.log_in_with(TOKEN)
    asked = SCRIPT | {"X-Forwarded-Uri": "/htsget/reads/ex/demo1"}
    assert person.get("/authorize", asked | {"X-Forwarded-Method": "GET"}).status_code == 200
    assert person.get("/authorize", asked).status_code == 200
    assert person.get("/authorize", asked | {"X-Forwarded-Method": "POST"}).status_code == 403


def test_a_ticket_for_a_cookie_names_no_token(serve, tokens, example):
    person = Person(serve(tokens))
    person.log_in_with(TOKEN)
    answer = person.get("/htsget/reads/ex/demo2", SCRIPT)
    assert answer.status_code == 200 and TOKEN not in answer.text and "Authorization" not in answer.text
    data = b""
    for block in answer.json()["htsget"]["urls"]:
        if block["url"].startswith("data:"):
            data += base64.b64decode(block["url"].partition(",")[2])
        else:
            data += person.get(block["url"].removeprefix(person.url), SCRIPT | block.get("headers", {})).content
    assert data == (example / "ex/demo2.bam").read_bytes()


# --- cookies that are not good ---


def test_what_is_no_session_makes_nobody_and_is_removed(serve, tokens):
    person, other = Person(serve(tokens)), Person(serve(tokens))
    person.log_in_with(TOKEN), other.log_in_with(TOKEN)
    [(name, good)], [foreign] = person.session().items(), other.session().values()
    state = person.get("/login")
    pending = next(value for one, value in person.cookies.items() if "-login-" in one)
    flipped = good[:-3] + ("A" if good[-3] != "A" else "B") + good[-2:]
    for bad in (
        "",
        "1.",
        "x",
        good[:-1],
        flipped,
        foreign,
        f"2.{good[2:]}",
        "9.x",
        "1.é",
        pending,
        good + "A" * 4,
        "1." + "A" * 3000,
    ):
        cookie = {"Cookie": f"{name}={bad}".encode().decode("latin-1")}
        answer = person.get("/whoami", PAGE | cookie)
        assert (answer.status_code, answer.json()["name"]) == (200, None), bad
        assert any(text.startswith(f"{name}=;") and "Max-Age=0" in text for text in person.set_cookies), bad
        assert person.get("/whoami", SCRIPT | cookie).json()["name"] is None and not person.set_cookies
    twice = {"Cookie": f"{name}={good}; {name}={good}"}
    assert person.get("/whoami", SCRIPT | twice).json()["name"] is None, "somebody else has set one of them"
    assert person.get("/whoami", SCRIPT | {"Cookie": f"{name}={good}"}).json()["name"] == "alice"
    assert state.status_code == 200


def test_a_session_ends_after_twelve_hours(serve, tokens, clock):
    person = Person(serve(tokens))
    person.log_in_with(TOKEN)
    clock.ahead = sessions.LONGEST - 300
    assert person.name() == "alice"
    clock.ahead = sessions.LONGEST
    assert person.name() is None
    clock.ahead = -3600
    assert person.name() is None, "of the future"


def test_a_right_that_is_withdrawn_ends_at_once(serve, tokens, tmp_path):
    person = Person(serve(tokens))
    person.log_in_with(TOKEN)
    assert person.get(ONE).status_code == 200
    (tmp_path / "tokens").write_text(f"bob {OTHER}\n")
    wait_until(lambda: person.name() is None)
    answer = person.get(ONE)
    assert answer.status_code == 403 and "Your session has ended" in answer.text


def test_servers_with_the_same_secret_share_sessions(serve, tokens, tmp_path):
    key = tmp_path / "session-key"
    key.write_text("a" * 64 + "\n")
    key.chmod(0o600)
    one = serve(tokens, session_seal=TextSeal.from_file(key))
    key.write_text("# since today\n" + "b" * 64 + "\n" + "a" * 64 + "\n")
    two = serve(tokens, session_seal=TextSeal.from_file(key))
    key.write_text("b" * 64 + "\n")
    three = serve(tokens, session_seal=TextSeal.from_file(key))

    def move(person, url):
        other = Person(url)  # cookies of http have the port in their name
        other.cookies = {re.sub(r"\d+$", url.rpartition(":")[2], name): value for name, value in person.session().items()}
        return other

    first, second = Person(one), Person(two)
    first.log_in_with(TOKEN), second.log_in_with(TOKEN)
    assert move(first, two).name() == "alice", "the old secret opens"
    assert move(first, three).name() is None, "and no more once it is taken out"
    assert move(second, three).name() == "alice" and move(second, one).name() is None


# --- the attributes of cookies, and where nobody logs in ---


def test_attributes_over_https(serve, provider):
    url = serve(oidc(provider), public_url="https://modos.example.org")
    person = Person(url, host="modos.example.org")
    back = person.ask_provider(provider)
    assert provider.asked_codes[-1]["redirect_uri"] == "https://modos.example.org/login/callback"
    [pending] = person.set_cookies
    assert pending.startswith("__Host-modos-login=") and pending.endswith("; Path=/; HttpOnly; SameSite=Lax; Max-Age=600; Secure")
    answer = person.get(back, BACK)
    assert answer.status_code == 303 and answer.headers["Cache-Control"] == "private, no-store"
    session, gone = person.set_cookies
    assert session.startswith("__Host-modos-session=1.") and session.endswith("; Path=/; HttpOnly; SameSite=Lax; Secure")
    assert gone.startswith("__Host-modos-login=;") and "Max-Age=0" in gone and "Secure" in gone
    assert person.name() == "alice"
    planted = dict(person.cookies)
    person.cookies = {f"modos-session-{url.rpartition(':')[2]}": planted["__Host-modos-session"]}
    assert person.name() is None, "a cookie without the prefix may be of a sibling host"


def test_pages_of_the_public_address_are_its_own_behind_a_proxy(serve, tokens):
    """Which ends TLS, and says nothing of it: a browser without `Sec-Fetch-Site` names the origin that it sees."""
    person = Person(serve(tokens, public_url="https://modos.example.org"), host="modos.example.org")
    state = re.search(r'name="state" value="([^"]+)"', person.get("/login").text)[1]
    own = {"Origin": "https://modos.example.org"}
    assert person.post("/login", {"token": TOKEN, "state": state, "next": "/"}, FORM | own).status_code == 303
    assert person.name(own) == "alice"
    for other in ("https://modos.example.org:8443", "https://example.org", "https://modos.example.org.evil.org", "null"):
        assert person.name({"Origin": other}) is None, other


def test_nobody_logs_in_where_all_can_listen(serve, tokens):
    url = serve(tokens, public_url="http://modos.example.org")
    answer = Person(url, host="modos.example.org").get("/login")
    assert answer.status_code == 400 and "not encrypted" in alert_of(answer) and "password" not in answer.text


def test_where_all_is_open_nobody_has_to(place):
    with BackgroundServer(create_app(open_storage(place))) as server:
        answer = Person(server.url).get("/login?next=/list")
        assert (answer.status_code, answer.headers["Location"]) == (303, "/list")


@pytest.mark.parametrize(
    "path",
    [
        "//evil.example.org",
        "///evil.example.org",
        "/\\evil.example.org",
        "\\\\evil.example.org",
        "/%2fevil.example.org",
        "/%5cevil.example.org",
        "/%255cevil.example.org",
        "%2f%2fevil.example.org",
        "https://evil.example.org",
        "https:evil.example.org",
        "javascript:alert(1)",
        "evil.example.org",
        "",
        " //evil.example.org",
        "/\t/evil.example.org",
        "/\n/evil.example.org",
        "/%09/evil.example.org",
        "/%0a/evil.example.org",
        "/%0d%0aSet-Cookie:x=y",
        "/.//evil.example.org",
        "/..//evil.example.org",
        "/%2e%2e//evil.example.org",
        "/\x00",
        "/%ff%fe",
        "/\u2028",
        "/login?next=//evil.example.org",
        "/logout",
        "/" + "a" * 3000,
    ],
)
def test_next_leads_nowhere_else(path):
    assert clean_path(path) == "/"


@pytest.mark.parametrize(
    "path", ["/", "/list", "/objects/a%20b/c", "/genome?element=ex/data/x&locus=chr1:1,001-2,000", "/x?q=%25&r=a//b"]
)
def test_next_leads_to_pages(path):
    assert clean_path(path) == path


def test_next_is_checked_in_the_end(url, provider):
    person = Person(url)
    assert person.log_in(provider, path="/login?next=%2F%2Fevil.example.org").headers["Location"] == "/"
    assert person.log_in(provider, path="/login?next=%2Fobjects%2Fex%3Fa%3Db").headers["Location"] == "/objects/ex?a=b"
    assert Person(url).get("/login?next=/a&next=//b").status_code == 400


# --- the authorization code flow ---


def test_the_request_has_what_the_standards_say(url, provider):
    person = Person(url)
    person.ask_provider(provider), person.ask_provider(provider)
    one, two = provider.asked_codes
    assert one["response_type"] == "code" and one["code_challenge_method"] == "S256" and one["audience"] == "modos"
    assert all(len(one[name]) >= 43 and one[name] != two[name] for name in ("state", "nonce", "code_challenge"))
    assert "prompt" not in one
    person.log_in(provider)
    person.ask_provider(provider)
    assert provider.asked_codes[-1]["prompt"] == "login", "who is known and logs in again wants to be somebody else"


def test_several_pages_may_wait_for_a_log_in(url, provider):
    person = Person(url)
    answers = [person.ask_provider(provider, path=f"/login?next=/{n}") for n in range(4)]
    first = person.get(answers[0], BACK)
    assert first.status_code == 400 and "not begun in this browser" in alert_of(first), "the oldest of four is forgotten"
    for n in (2, 1, 3):
        assert person.get(answers[n], BACK).headers["Location"] == f"/{n}"
    assert not any("-login-" in name for name in person.cookies)
    long = person.ask_provider(provider, path="/login?next=/" + "a" * 1990)
    assert max(map(len, person.set_cookies)) < 4096
    assert person.get(long, BACK).headers["Location"] == "/" + "a" * 1990


def test_an_answer_that_comes_too_late(url, provider, clock):
    person = Person(url)
    back = person.ask_provider(provider)
    clock.ahead = 601
    assert person.get(back, BACK).status_code == 400


@pytest.mark.parametrize(
    ("changed", "status", "message"),
    [
        ({"iss": None}, 400, "may not be of the provider"),  # announced, and not there (RFC 9207)
        ({"iss": "https://other.example.org"}, 400, "may not be of the provider"),
        ({"iss": "{url}/"}, 400, "may not be of the provider"),
        ({"code": None}, 400, "has no code"),
        ({"code": "forged"}, 403, "invalid_grant"),
        ({"code": None, "error": "access_denied"}, 403, "not granted: access_denied"),
        ({"code": None, "error": "x", "error_description": "<b>\u202e" + "y" * 999}, 403, "&lt;b&gt;\\u202e"),
    ],
)
def test_answers_that_are_not_taken(url, provider, changed, status, message):
    person = Person(url)
    changed = {name: value.format(url=provider.url) if value else value for name, value in changed.items()}
    answer = person.get(person.ask_provider(provider, **changed), BACK)
    assert answer.status_code == status and message in alert_of(answer) and len(alert_of(answer)) < 500
    assert not person.session() and person.name() is None


def test_what_a_provider_adds_is_ignored(url, provider):
    person = Person(url)
    back = person.ask_provider(provider) + "&session_state=1&scope=openid&authuser=0"
    assert person.get(back, BACK).status_code == 303 and person.name() == "alice"
    back = person.ask_provider(provider)
    assert person.get(back + "&code=other", BACK).status_code == 400, "two codes are none"


def test_a_state_of_somebody_else_s_browser(url, provider):
    eve, alice = Person(url), Person(url)
    back = eve.ask_provider(provider, "eve")
    assert alice.get(back, BACK).status_code == 400 and not alice.session()
    alice.ask_provider(provider)
    assert alice.get(back, BACK).status_code == 400 and not alice.session()


def test_a_code_is_bound_to_the_browser_that_asked(url, provider):
    """PKCE: a code that was taken from somebody's address bar is not good with another log-in."""
    alice, eve = Person(url), Person(url)
    stolen = re.search(r"code=([^&]+)", alice.ask_provider(provider))[1]
    answer = eve.get(re.sub(r"code=[^&]+", f"code={stolen}", eve.ask_provider(provider, "eve")), BACK)
    assert answer.status_code == 403 and "invalid_grant" in alert_of(answer) and not eve.session()


@pytest.mark.parametrize(
    "claims",
    [
        {"nonce": "another"},
        {"nonce": None},
        {"aud": "another"},
        {"aud": ["modos", "another"]},
        {"azp": "another"},
        {"iss": "https://other.example.org"},
        {"exp": 1},
        {"iat": None},
    ],
)
def test_an_id_token_that_is_not_for_this_log_in(url, provider, claims):
    provider.id_claims = claims
    person = Person(url)
    answer = person.log_in(provider)
    assert answer.status_code == 403 and "token" in alert_of(answer) and not person.session()


def test_an_id_token_of_another_key(url, provider):
    provider.answers = {"id_token": ""}
    person = Person(url)
    assert person.log_in(provider).status_code == 303, "there need not be one"
    with Provider() as other:
        provider.answers = {"id_token": other.token("alice", iss=provider.url)}
        assert Person(url).log_in(provider).status_code == 403


def test_the_id_token_is_taken_where_the_access_token_is_not(url, provider):
    """As of providers whose access tokens are for themselves alone."""
    provider.answers = {"access_token": "opaque"}
    person = Person(url)
    assert person.log_in(provider).status_code == 303 and person.name() == "alice"
    provider.id_claims = {"aud": ["modos"]}
    assert Person(url).log_in(provider).status_code == 303


def test_a_token_for_somebody_else_is_not_taken(url, provider):
    provider.claims, provider.answers = {"aud": "another"}, {"id_token": None}
    person = Person(url)
    answer = person.log_in(provider)
    assert (
        answer.status_code == 403 and "gives a token that this server does not take" in alert_of(answer) and not person.session()
    )


@pytest.mark.parametrize(
    "answers",
    [
        {"access_token": ""},
        {"access_token": None},
        {"token_type": "mac"},
        {"token_type": None},
        {"access_token": 7, "id_token": None},
    ],
)
def test_answers_of_the_token_endpoint_that_are_none(url, provider, answers):
    provider.answers = answers
    answer = Person(url).log_in(provider)
    assert answer.status_code == 502 and "gives no token" in alert_of(answer)


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        ({"issuer": "https://other.example.org"}, "calls itself otherwise"),
        ({"authorization_endpoint": None}, "has no page to log in"),
        ({"authorization_endpoint": "http://evil.example.org/"}, "no safe authorization_endpoint"),
        ({"authorization_endpoint": "javascript:alert(1)"}, "no safe authorization_endpoint"),
    ],
)
def test_descriptions_that_are_not_taken(serve, provider, extra, message):
    provider.extra = extra
    answer = Person(serve(oidc(provider))).get("/login")
    assert answer.status_code == 502 and message in alert_of(answer)


@pytest.mark.parametrize(
    "endpoint", ["http://evil.example.org/token", "http://169.254.169.254/token", "file:///etc/passwd", None]
)
def test_codes_go_to_no_unsafe_address(serve, provider, endpoint):
    provider.extra = {"token_endpoint": endpoint}
    answer = Person(serve(oidc(provider))).log_in(provider)
    assert answer.status_code == 502 and "no safe token_endpoint" in alert_of(answer)


@pytest.mark.parametrize("ways", [None, ["client_secret_basic", "client_secret_post"], ["client_secret_post"]])
def test_a_client_with_a_secret(serve, provider, tmp_path, ways, caplog):
    provider.client_secret = "s3cr%t+of the client"
    provider.extra = {"token_endpoint_auth_methods_supported": ways} if ways else {}
    (tmp_path / "client").write_text(provider.client_secret + "\n")
    (tmp_path / "client").chmod(0o600)
    if ways != ["client_secret_post"]:
        provider.client_secret = "s3cr%25t%2Bof+the+client"  # RFC 6749, section 2.3.1: encoded before
    url = serve(oidc(provider, client_secret_file="client"))
    person = Person(url)
    answer = person.log_in(provider)
    assert answer.status_code == 303 and person.name() == "alice"
    (tmp_path / "client").write_text("wrong-one\n")
    assert "invalid_client" in alert_of(Person(url).log_in(provider)), "the file is read each time"
    (tmp_path / "client").unlink()
    answer = Person(url).log_in(provider)
    assert answer.status_code == 502 and "is not set up" in alert_of(answer) and str(tmp_path) not in answer.text
    assert "s3cr" not in caplog.text and "wrong-one" not in caplog.text


def test_a_client_secret_that_others_can_read(tmp_path, provider, monkeypatch):
    path = tmp_path / "access.toml"
    path.write_text(oidc(provider, client_secret_file="client") + RULES)
    with pytest.raises(NotFoundError):
        read_access(path)
    (tmp_path / "client").write_text("secret\n")
    (tmp_path / "client").chmod(0o644)
    with pytest.raises(AccessError, match="too open"):
        read_access(path)
    (tmp_path / "client").chmod(0o600)
    found = read_access(path)
    assert found.oidc.client_secret_file == tmp_path / "client" and "secret\n" not in repr(found)
    monkeypatch.chdir(tmp_path.parent)
    place = Path(tmp_path.name) / "broker.toml"
    place.write_text(f'[passport]\nissuers = ["{provider.url}"]\nbrokers = ["{provider.url}"]\nclient_secret_file = "client"\n')
    assert read_access(place).passport.client_secret_file == Path(tmp_path.name) / "client", "by a path from where the server is"
    (tmp_path / "client").write_text("\n")
    with pytest.raises(InvalidInputError, match="no client secret"):
        read_access(path)


def test_scopes_are_those_of_the_access_file(serve, provider):
    person = Person(serve(oidc(provider, scopes="openid email")))
    person.ask_provider(provider)
    assert provider.asked_codes[-1]["scope"] == "openid email"
    assert requests.get(person.url + "/", timeout=20).json()["auth"]["scope"] == "openid email"
    provider.extra = {"scopes_supported": ["openid", "profile"]}
    other = Person(serve(oidc(provider)))
    other.ask_provider(provider)
    assert provider.asked_codes[-1]["scope"] == "openid profile", "where there is no offline_access"
    assert requests.get(other.url + "/", timeout=20).json()["auth"]["scope"] is None


def test_passports(serve, tmp_path):
    """Who logs in at a broker has the visas that it tells of."""
    with Broker() as broker:
        text = f'[passport]\nissuers = ["{broker.url}"]\nbrokers = ["{broker.url}"]\n'
        text += f'\n[[rule]]\nwho = ["visa:{DATASET}"]\nread = ["ex"]\n'
        broker.held["alice"] = [broker.visa()]
        broker.claims = {"scope": "openid ga4gh_passport_v1", "aud": None}
        for name, allowed in (("alice", ["ex", "open"]), ("bob", ["open"])):
            person = Person(serve(text))
            assert person.log_in(broker, name).status_code == 303
            assert set(broker.asked_codes[-1]["scope"].split()) == {"openid", "ga4gh_passport_v1", "offline_access"}
            caller = person.get("/whoami", SCRIPT).json()
            assert (caller["name"], caller["read"]) == (f"{broker.url}#{name}", allowed)


# --- the size of tokens ---


@pytest.mark.parametrize("size", [500, 3_000, 6_000, 12_000])
def test_long_tokens_are_cut_into_several_cookies(url, provider, size):
    provider.claims = {"x": base64.b64encode(os.urandom(size * 3 // 5)).decode()}
    person = Person(url)
    assert person.log_in(provider).status_code == 303
    pieces = person.session()
    assert len(pieces) == -(-sum(map(len, pieces.values())) // 3_802) and all(len(f"{n}={v}") <= 4096 for n, v in pieces.items())
    assert person.name() == "alice"
    for name in pieces:
        left = {one: value for one, value in person.cookies.items() if one != name}
        cookie = "; ".join(f"{one}={value}" for one, value in left.items())
        assert person.get("/whoami", SCRIPT | {"Cookie": cookie}).json()["name"] is None
    provider.claims = {}
    assert person.log_in(provider).status_code == 303 and len(person.session()) == 1, "no piece of before is left"
    assert person.name() == "alice"


def test_a_token_that_is_too_long(url, provider):
    provider.claims, provider.answers = {"x": base64.b64encode(os.urandom(20_000)).decode()}, {"id_token": None}
    person = Person(url)
    answer = person.log_in(provider)
    assert answer.status_code == 403 and "characters, of 16,384 at most" in alert_of(answer) and not person.session()


# --- renewing ---


def test_a_token_is_renewed_while_the_session_is_used(url, provider):
    provider.lifetime = 2
    person = Person(url)
    person.log_in(provider)
    before = person.session()
    assert person.name(PAGE) == "alice" and provider.refreshed == 1 and person.session() != before
    assert provider.asked_codes and all("refresh" not in text for text in person.set_cookies)
    old = Person(url)
    old.cookies = before
    assert old.name(PAGE) == "alice" and provider.refreshed == 1, "what was asked at once gets the same token"


def test_a_crowd_renews_once(url, provider):
    provider.lifetime = 2
    person = Person(url)
    person.log_in(provider)

    def ask(_):
        one = Person(url)
        one.cookies = dict(person.cookies)
        return one.name()

    with ThreadPoolExecutor(16) as pool:
        assert set(pool.map(ask, range(32))) == {"alice"}
    assert provider.refreshed == 1


def test_a_renewal_that_is_refused_ends_the_session(url, provider, clock):
    provider.lifetime = 2
    person = Person(url)
    person.log_in(provider)
    provider._refresh.clear()
    assert person.name() == "alice", "until the token itself has ended"
    clock.ahead = 2 + provider_module.LEEWAY
    assert person.name(PAGE) is None and not person.session()


def test_a_renewal_for_somebody_else_is_not_taken(url, provider):
    provider.lifetime = 2
    person = Person(url)
    person.log_in(provider)
    provider._refresh = {token: {"name": "bob", "groups": ()} for token in provider._refresh}
    assert person.name(PAGE) == "alice" and person.name(PAGE) == "alice"


def test_a_session_outlives_a_provider_that_is_away(url, provider, clock, monkeypatch):
    monkeypatch.setattr(sessions, "_AGAIN", 0.0)
    provider.lifetime = 2
    person = Person(url)
    person.log_in(provider)
    posted, gone = provider.posted, threading.Event()
    gone.set()
    monkeypatch.setattr(provider, "posted", lambda *words: (503, None) if gone.is_set() else posted(*words))
    clock.ahead = 2 + provider_module.LEEWAY
    answer = person.get(ONE)
    assert answer.status_code == 403 and "cannot check your log-in at the moment" in answer.text and person.session()
    gone.clear()
    assert person.name() == "alice"


def test_a_provider_that_hangs_holds_up_nobody(serve, url, provider, monkeypatch):
    monkeypatch.setattr(provider_module, "DEADLINE", 60.0)
    people = [Person(url) for _ in range(45)]
    answers = [person.ask_provider(provider) for person in people]
    release, posted = threading.Event(), provider.posted
    monkeypatch.setattr(provider, "posted", lambda *words: (release.wait(120), posted(*words))[1])
    with ThreadPoolExecutor(45) as pool:
        waiting = [pool.submit(person.get, back, BACK) for person, back in zip(people, answers)]
        wait_for_requests(serve.servers[-1], 45)
        begin = time.monotonic()
        for path in ("/healthz", "/list", "/login", "/whoami"):
            assert requests.get(url + path, timeout=20, allow_redirects=False).status_code in (200, 303)
        assert time.monotonic() - begin < 12 and not any(answer.done() for answer in waiting)
        release.set()
        assert {answer.result().status_code for answer in waiting} <= {303, 502}


# --- logging out ---


def form_token(person):
    return re.search(r'name="token" value="([0-9a-f]+)"', person.get(ONE).text + person.get("/login/none").text)[1]


def test_log_out(url, provider):
    person = Person(url)
    person.log_in(provider)
    token = form_token(person)
    for form, headers in (
        ({}, FORM),
        ({"token": "0" * 64}, FORM),
        ({"token": "é\udcff".encode("utf-8", "surrogateescape")}, FORM),
        ({"token": token}, FORM | {"Sec-Fetch-Site": "cross-site"}),
        ({"token": token}, FORM | {"Sec-Fetch-Site": "same-site"}),
        ({"token": token}, {"Origin": "https://evil.example.org"}),
        ({"token": token}, {"Origin": "null"}),
    ):
        assert person.post("/logout", form, headers).status_code == 400 and person.name() == "alice"
    assert person.get("/logout").status_code == 405
    answer = person.post("/logout", {"token": token})
    assert answer.status_code == 200 and not person.session() and answer.headers["Clear-Site-Data"] == '"cache"'
    assert answer.headers["Refresh"].startswith(f"0; url={provider.url}/end?client_id=modos&post_logout_redirect_uri=http")
    assert len(provider.revoked) == 1
    assert Person(url).post("/logout").status_code == 200, "nobody is logged out already"


def test_log_out_without_the_provider(serve, provider):
    person = Person(serve(oidc(provider)))
    person.log_in(provider)
    token = form_token(person)
    provider._server.shutdown(), provider._server.server_close()
    assert person.post("/logout", {"token": token}).status_code == 200 and not person.session()
    provider.__enter__()


def test_a_pasted_token_is_of_this_server(serve, provider, tokens):
    """A page of another host cannot log somebody in as Eve."""
    url = serve(tokens + oidc(provider))
    person, eve = Person(url), Person(url)
    page = person.get("/login")
    assert "by=provider" in page.text and 'type="password"' in page.text and TOKEN not in page.text
    state = re.search(r'name="state" value="([^"]+)"', page.text)[1]
    eves = re.search(r'name="state" value="([^"]+)"', eve.get("/login").text)[1]
    for form, headers, status in (
        ({"token": OTHER, "state": eves}, FORM, 400),
        ({"token": OTHER}, FORM, 400),
        ({"token": OTHER, "state": state}, FORM | {"Sec-Fetch-Site": "cross-site"}, 400),
        ({"token": OTHER, "state": state}, {"Origin": "https://evil.example.org"}, 400),
        (f"token={OTHER}&token={TOKEN}&state={state}", FORM, 403),
        ({"token": "no", "state": state}, FORM, 403),
        ({"token": "x" * 20_000, "state": state}, FORM, 403),
        ({"token": "a token\r\nof lines", "state": state}, FORM, 403),
    ):
        if isinstance(form, dict) and form.get("state") == state:
            form = form | {"state": re.search(r'name="state" value="([^"]+)"', person.get("/login").text)[1]}
        elif isinstance(form, str):
            form = form.replace(state, re.search(r'name="state" value="([^"]+)"', person.get("/login").text)[1])
        answer = person.post("/login", form, headers)
        assert answer.status_code == status and not person.session(), (form, answer.text)
        assert OTHER not in answer.text
    assert person.post("/login", "x" * 40_000).status_code == 413
    person.cookies = {}
    assert person.log_in_with(OTHER).status_code == 303 and person.name() == "bob"
    assert person.log_in_with(TOKEN, "/login").status_code == 303 and person.name() == "alice"
    assert person.get("/login?by=provider").headers["Location"].startswith(f"{provider.url}/authorize")


# --- several processes ---


def start(root, *words, **variables):
    process = commands.start(
        ["serve", root, "--port", "0", *words], stderr=subprocess.PIPE, text=True, env=os.environ | variables
    )
    return process, re.search(r"http://\S+", process.stderr.readline())[0]


def is_answered(url):
    try:
        return requests.get(url, timeout=5).ok
    except (requests.ConnectionError, requests.Timeout):
        return False


def test_all_processes_of_a_server_know_a_session(place, tokens, tmp_path):
    (tmp_path / "access.toml").write_text(tokens + RULES)
    process, url = start(place, "--access", str(tmp_path / "access.toml"), "--workers", "3", "--log", "json")
    try:
        wait_until(lambda: is_answered(f"{url}/healthz"))  # while the processes start
        person = Person(url)
        assert person.log_in_with(TOKEN).status_code == 303
        with ThreadPoolExecutor(12) as pool:
            assert set(pool.map(lambda _: person.name(), range(60))) == {"alice"}
        held = next(iter(person.session().values()))
        for folder in os.listdir("/proc"):
            try:
                for file in ("cmdline", "environ"):
                    content = open(f"/proc/{folder}/{file}", "rb").read()
                    if b"MODOS_SERVER_SETTINGS" in content:
                        assert not re.search(rb"[0-9a-f]{64}", content), (
                            "the secret is neither in arguments nor in the environment"
                        )
            except OSError:
                continue
    finally:
        process.send_signal(signal.SIGTERM)
        log = process.communicate(timeout=60)[1]
    assert '"caller": "alice"' in log and TOKEN not in log and held not in log and held[2:60] not in log


def test_settings_of_sessions(place, tmp_path):
    key = tmp_path / "key"
    key.write_text("short\n")
    key.chmod(0o600)
    for words, message in (
        ([str(key)], "has no secret of 32 characters"),
        ([str(tmp_path / "none")], "none"),
    ):
        done = commands.run(["serve", place, "--port", "0", "--session-key", *words], capture_output=True, text=True, timeout=60)
        assert done.returncode in (2, 3, 4) and message in done.stderr and "Traceback" not in done.stderr, done.stderr
    key.write_text(secrets.token_hex(32))
    key.chmod(0o644)
    done = commands.run(["serve", place, "--port", "0", "--session-key", str(key)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 4 and "too open" in done.stderr and key.read_text() not in done.stderr
