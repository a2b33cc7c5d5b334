"""GA4GH visas open places to those who hold them, and to nobody else: a broker and an issuer over HTTP, and a real server."""

import json
import logging
import random
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from types import SimpleNamespace

import jwt
import pytest
import requests
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from hypothesis import given
from hypothesis import strategies as st

from modos.api import MODO
from modos.errors import InvalidInputError, ProtocolError
from modos.server import passports as passports_module
from modos.server import provider as provider_module
from modos.server.app import create_app
from modos.server.auth import Access
from modos.server.drs import object_id
from modos.server.run import BackgroundServer
from modos.server.visa_conditions import find_end, matches
from modos.server.visas import parse_links, parse_visa
from modos.storage import open_storage
from tests.support.clock import Clock
from tests.support.visas import DAC, DATASET, Broker, Issuer
from tests.support.waiting import wait_for_requests, wait_until

OTHER = "https://ega-archive.org/datasets/EGAD00000000999"
ACCESS = """
[passport]
issuers = ["{issuer}", "{broker}"]
brokers = ["{broker}"]
{more}

[[rule]]
who = ["visa:https://ega-archive.org/datasets/EGAD00000000432"]
read = ["cohort-a"]

[[rule]]
who = ["user:{broker}#carol"]
read = ["cohort-c"]

[[rule]]
who = ["group:stewards"]
write = ["/"]
"""


@pytest.fixture
def broker():
    with Broker() as broker:
        yield broker


@pytest.fixture
def clock(monkeypatch):
    return Clock(monkeypatch)


@pytest.fixture
def issuer():
    with Issuer() as issuer:
        yield issuer


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    folder = tmp_path_factory.mktemp("served")
    for name in ("cohort-a", "cohort-b"):
        (folder / name).mkdir()
        MODO(folder / name / "ex", id="ex").add_element(
            {"@type": "DataEntity", "id": "notes", "data_format": "TSV"}, source_file=_notes(folder / f"{name}.tsv")
        )
    return folder


def _notes(path):
    path.write_text("a\tb\n1\t2\n")
    return path


@pytest.fixture
def serve(served, tmp_path, broker, issuer):
    """Starts a server with what the table `passport` has beside issuers and brokers; the log is on."""
    running = []

    def start(more="", text=ACCESS, **names):
        path = tmp_path / "access.toml"
        path.write_text(text.format(issuer=issuer.url, broker=broker.url, more=more, **names))
        server = BackgroundServer(create_app(open_storage(served), access=Access.from_file(path)))
        running.append(server)
        return server.__enter__().url

    start.servers = running
    yield start
    for server in running:
        server.__exit__(None, None, None)


def ask(url, token=None, path="/whoami", timeout=20, **options):
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    return requests.get(url + path, headers=headers, timeout=timeout, **options)


def reads(url, token):
    answer = ask(url, token)
    assert answer.status_code == 200, answer.text
    return answer.json()["read"]


def passport_reads(url, broker, *visas, subject="alice"):
    return reads(url, broker.passport(list(visas), subject))


# --- the three ways ---


def test_visas_of_userinfo_open_a_place_and_are_told(serve, broker, issuer):
    link = broker.links("alice", ("a-7", issuer.url))
    broker.held["alice"] = [issuer.visa("a-7"), link]
    url = serve()
    token = broker.access_token()
    found = ask(url, token).json()
    assert found["name"] == f"{broker.url}#alice" and found["groups"] == []
    assert found["read"] == ["cohort-a"] and found["write"] == []
    (visa,) = found["visas"]
    assert visa["value"] == DATASET and visa["ends"].endswith("Z")
    assert ask(url, token, "/files/cohort-a/ex/cohort-a.tsv").status_code == 200
    assert ask(url, token, "/files/cohort-b/ex/cohort-b.tsv").status_code == 403
    assert ask(url, None, "/files/cohort-a/ex/cohort-a.tsv").status_code == 403
    assert broker.asked.count("/userinfo") == 1, "it is asked once"


def test_a_passport_as_bearer(serve, broker):
    assert passport_reads(serve(), broker, broker.visa()) == ["cohort-a"]
    assert "/userinfo" not in broker.asked


def test_visas_in_the_access_token(serve, broker):
    url = serve()
    token = broker.access_token(scope="openid", ga4gh_passport_v1=[broker.visa()])
    assert reads(url, token) == ["cohort-a"] and "/userinfo" not in broker.asked
    old = broker.access_token(ga4gh_passport_v1=[broker.visa()], iat=int(time.time()) - 3700)
    assert reads(url, old) == [], "what nobody is asked about counts for an hour"


def test_a_user_without_visas_has_a_name_of_its_own(serve, broker):
    url = serve()
    assert reads(url, broker.access_token("carol")) == ["cohort-c"]
    assert reads(url, broker.access_token("dave")) == []
    stewards = broker.access_token("eve", ("stewards",))
    assert reads(url, stewards) == [], "a broker's groups are none here"
    url = serve('groups_claim = "groups"')
    assert reads(url, stewards) == [""]


def test_es256(serve, broker):
    visa = broker.visa(header={"alg": "ES256", "kid": "two"}, key=broker.curve)
    assert passport_reads(serve(), broker, visa) == ["cohort-a"]


# --- what is refused ---


def _other_key():
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def _public(key):
    return key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)


def _swapped(visa, **says):
    """A visa with something else in it under the old signature."""
    head, body, signature = visa.split(".")
    claims = json.loads(jwt.utils.base64url_decode(body))
    claims["ga4gh_visa_v1"] |= says
    return f"{head}.{jwt.utils.base64url_encode(json.dumps(claims).encode()).decode()}.{signature}"


BAD = {
    "forged": lambda b: b.visa(key=_other_key()),
    "changed": lambda b: _swapped(b.visa(value=OTHER), value=DATASET),
    "cut": lambda b: b.visa()[:-9],
    "expired": lambda b: b.visa(lifetime=-120),
    "alg none": lambda b: b.visa(header={"alg": "none"}),
    "HS256 with the public key": lambda b: b.visa(header={"alg": "HS256"}, key=_public(b.key)),
    "HS256 with another key": lambda b: b.visa(header={"alg": "HS256"}, key=b"x" * 32),
    "RS512": lambda b: b.visa(header={"alg": "RS512"}),
    "RS256 by the curve": lambda b: b.visa(header={"kid": "two"}),
    "ES256 by RSA": lambda b: b.visa(header={"alg": "ES256", "kid": "one"}, key=b.curve),
    "no kid": lambda b: b.visa(header={"kid": None}),
    "unknown kid": lambda b: b.visa(header={"kid": "three"}),
    "kid of another type": lambda b: b.visa(header={"kid": 1}),
    "jku elsewhere": lambda b: b.visa(header={"jku": f"{b.url}/other"}),
    "jku of nobody": lambda b: b.visa(header={"jku": "http://127.0.0.1:1/jwks"}),
    "no jku and no scope": lambda b: b.visa(header={"jku": None}),
    "jku and scope": lambda b: b.visa(claims={"scope": "openid"}),
    "critical header": lambda b: b.visa(header={"crit": ["exp"], "exp": 1}),
    "payload not encoded": lambda b: b.visa(header={"b64": False}),
    "typ of a passport": lambda b: b.visa(header={"typ": "vnd.ga4gh.passport+jwt"}),
    "typ that is a number": lambda b: b.visa(header={"typ": 4}),
    "foreign issuer": lambda b: b.visa(claims={"iss": "https://visas.example.org"}),
    "issuer with a slash": lambda b: b.visa(claims={"iss": f"{b.url}/"}),
    "somebody else's": lambda b: b.visa("bob"),
    "nobody's": lambda b: b.visa(claims={"sub": None}),
    "for another": lambda b: b.visa(claims={"aud": "others"}),
    "no exp": lambda b: b.visa(claims={"exp": None}),
    "no iat": lambda b: b.visa(claims={"iat": None}),
    "iat in the future": lambda b: b.visa(claims={"iat": int(time.time()) + 600}),
    "nbf in the future": lambda b: b.visa(claims={"nbf": int(time.time()) + 600}),
    "exp that is text": lambda b: b.visa(claims={"exp": "4000000000"}),
    "exp without end": lambda b: b.visa(claims={"exp": float("inf")}),
    "asserted in the future": lambda b: b.visa(asserted=int(time.time()) + 600),
    "asserted by text": lambda b: b.visa(asserted="1"),
    "no asserted": lambda b: b.visa(asserted=...),
    "no source": lambda b: b.visa(source=...),
    "source no URL": lambda b: b.visa(source="EGA"),
    "no by": lambda b: b.visa(by=...),
    "by oneself": lambda b: b.visa(by="self"),
    "by a peer": lambda b: b.visa(by="peer"),
    "by whoever": lambda b: b.visa(by="boss"),
    "unknown type": lambda b: b.visa(type="https://ras.nih.gov/visas/v1.1"),
    "another type": lambda b: b.visa(type="ResearcherStatus"),
    "another value": lambda b: b.visa(value=OTHER),
    "value in other case": lambda b: b.visa(value=DATASET.upper()),
    "value that is a list": lambda b: b.visa(value=[DATASET]),
    "no claim": lambda b: b.visa(claims={"ga4gh_visa_v1": None}),
    "a claim that is a list": lambda b: b.visa(claims={"ga4gh_visa_v1": []}),
    "conditions of null": lambda b: b.visa(conditions=None),
    "conditions of a text": lambda b: b.visa(conditions="none"),
    "an empty alternative": lambda b: b.visa(conditions=[[]]),
    "a clause of the type alone": lambda b: b.visa(conditions=[[{"type": "AffiliationAndRole"}]]),
    "unknown matching": lambda b: b.visa(conditions=[[{"type": "ControlledAccessGrants", "value": "regex:.*"}]]),
    "unknown claim": lambda b: b.visa(conditions=[[{"type": "ControlledAccessGrants", "country": "const:CH"}]]),
    "conditions on itself": lambda b: b.visa(conditions=[[{"type": "ControlledAccessGrants", "value": "pattern:*"}]]),
    "an old access token": lambda b: b.visa(
        header={"jku": None}, claims={"scope": "openid", "iat": int(time.time()) - 3700}, lifetime=9000
    ),
    "a number": lambda b: 3,
    "a list": lambda b: [b.visa()],
    "no text": lambda b: "a.b.c",
    "a long one": lambda b: b.visa(note="x" * 20_000),
    "a deep one": lambda b: "e30." + "W1tb" * 2000 + ".e30",
}


@pytest.fixture(scope="module")
def one(served, tmp_path_factory):
    """A broker, and a server that keeps; for what changes neither."""
    with Broker() as broker:
        path = tmp_path_factory.mktemp("one") / "access.toml"
        path.write_text(ACCESS.format(issuer="https://127.0.0.1:1", broker=broker.url, more=""))
        with BackgroundServer(create_app(open_storage(served), access=Access.from_file(path))) as server:
            yield server.url, broker


@pytest.mark.parametrize("name", BAD)
def test_a_visa_that_is_not_good_opens_nothing(one, name, caplog):
    """By a passport in the body of DRS, which has no limit that a header has; the log says why, and has not the visa."""
    url, broker = one
    bad = BAD[name](broker)
    with caplog.at_level(logging.INFO, "modos.server"):
        answer = requests.post(
            f"{url}/ga4gh/drs/v1/objects/{object_id('cohort-a/ex')}", json={"passports": [broker.passport([bad])]}, timeout=20
        )
    assert answer.status_code == 403, answer.text
    if name not in ("another type", "another value", "value in other case"):
        assert "does not count" in caplog.text
    if isinstance(bad, str) and len(bad) > 30:
        assert (bad not in caplog.text and bad.rpartition(".")[2][:40] not in caplog.text) or name in (
            "no text",
            "alg none",
            "a deep one",
        )


def test_a_bad_visa_does_not_spoil_a_good_one(serve, broker):
    assert passport_reads(serve(), broker, *(BAD[name](broker) for name in ("forged", "expired", "a number")), broker.visa()) == [
        "cohort-a"
    ]


def test_access_token_visas_count_for_an_hour(serve, broker):
    visa = broker.visa(header={"jku": None, "typ": "at+jwt"}, claims={"scope": "openid x"}, lifetime=9000)
    assert passport_reads(serve(), broker, visa) == ["cohort-a"]


def test_nothing_is_fetched_from_where_a_visa_says(serve, broker, issuer):
    """An address that nobody trusts is not asked, be it named as issuer or for keys."""
    with Issuer() as foreign:
        url = serve()
        for visa in (
            foreign.visa(),
            foreign.visa(claims={"iss": issuer.url}),
            foreign.visa(claims={"iss": broker.url}),
            issuer.visa(header={"jku": f"{foreign.url}/jwks"}),
        ):
            assert passport_reads(url, broker, visa) == []
        assert foreign.asked == []


@pytest.mark.parametrize("count, status", [(200, 200), (201, 401)])
def test_too_many_visas(serve, broker, count, status):
    broker.held["alice"] = [broker.visa(value=f"{OTHER}{n}") for n in range(count - 1)] + [broker.visa()]
    url = serve()
    answer = ask(url, broker.access_token())
    assert answer.status_code == status
    if status == 401:
        assert "at most 200 visas" in answer.text
    else:
        assert len(answer.json()["visas"]) == 200


def test_a_claim_that_is_no_list(serve, broker):
    broker.held["alice"] = {"a": 1}
    assert ask(serve(), broker.access_token()).status_code == 401


# --- tokens and passports themselves ---

BAD_TOKENS = {
    "a visa": lambda b: b.visa(),
    "a visa as a token": lambda b: b.visa(header={"typ": "JWT", "jku": None}, claims={"scope": "openid ga4gh_passport_v1"}),
    "forged": lambda b: b.access_token(key=_other_key()),
    "HS256": lambda b: b.access_token(key="x" * 32, algorithm="HS256"),
    "without a scope": lambda b: b.access_token(scope=None),
    "scope of others": lambda b: b.access_token(scope="openid ga4gh_passport_v11"),
    "expired": lambda b: b.access_token(exp=int(time.time()) - 120),
    "without an end": lambda b: b.access_token(exp=None),
    "without iat": lambda b: b.access_token(iat=None),
    "of nobody": lambda b: b.access_token(sub=None),
    "of an empty name": lambda b: b.access_token(sub=""),
    "another issuer": lambda b: b.access_token(iss="https://login.example.org"),
    "an old passport": lambda b: b.passport([b.visa()], iat=int(time.time()) - 3700),
    "an ended passport": lambda b: b.passport([b.visa()], exp=int(time.time()) - 120),
    "a passport without visas": lambda b: b.passport(None),
    "a passport of alg none": lambda b: b.passport([b.visa()], header={"alg": "none"}),
    "a passport by RS384": lambda b: b.passport([b.visa()], header={"alg": "RS384"}),
    "another kind": lambda b: b.passport([b.visa()], header={"typ": "logout+jwt"}),
    "critical": lambda b: b.passport([b.visa()], header={"crit": ["x"], "x": 1}),
}


@pytest.mark.parametrize("name", BAD_TOKENS)
def test_a_token_that_is_not_good_is_refused(one, name):
    url, broker = one
    assert ask(url, BAD_TOKENS[name](broker)).status_code == 401


def test_the_audience(serve, broker):
    url = serve('audience = "modos"')
    assert reads(url, broker.access_token("carol", aud=["a", "modos"])) == ["cohort-c"]
    assert ask(url, broker.access_token("carol", aud="others")).status_code == 401
    assert ask(url, broker.access_token("carol")).status_code == 401


def test_userinfo_of_somebody_else_is_not_taken(serve, broker, monkeypatch):
    broker.held["alice"] = [broker.visa()]
    got = broker.got
    monkeypatch.setattr(
        broker,
        "got",
        lambda path, head: (
            (200, {"sub": "bob", "ga4gh_passport_v1": [broker.visa()]}) if path == "/userinfo" else got(path, head)
        ),
    )
    assert ask(serve(), broker.access_token()).status_code == 500


# --- links, conditions, sources ---


def test_links(serve, broker, issuer):
    url = serve()
    far = issuer.visa("x")
    other = ("b", "https://elsewhere.example.org")
    assert passport_reads(url, broker, far) == [], "the same sub elsewhere is somebody else"
    assert passport_reads(url, broker, issuer.visa("alice")) == []
    assert passport_reads(url, broker, far, broker.links("alice", ("x", issuer.url))) == ["cohort-a"]
    assert passport_reads(url, broker, far, issuer.links("x", ("alice", broker.url))) == ["cohort-a"]
    chain = [broker.links("alice", other), issuer.links("x", other)]
    assert passport_reads(url, broker, *chain, far) == ["cohort-a"]
    assert passport_reads(url, broker, chain[0], far) == []
    assert passport_reads(url, broker, far, broker.links("alice", ("x", issuer.url), lifetime=-120)) == []
    assert (
        passport_reads(url, broker, far, broker.links("alice", ("x", issuer.url), conditions=[[{"type": "a", "by": "const:b"}]]))
        == []
    )
    assert passport_reads(url, broker, far, broker.links("bob", ("x", issuer.url))) == []
    forged = broker.links("alice", ("x", issuer.url), key=_other_key())
    assert passport_reads(url, broker, far, forged) == []
    with Issuer() as foreign:
        assert passport_reads(url, broker, far, foreign.links("alice", ("x", issuer.url), ("alice", broker.url))) == []


def test_a_link_that_ends_ends_the_visa(serve, broker, issuer):
    link = broker.links("alice", ("x", issuer.url), lifetime=1000)
    assert end_of(ask(serve(), broker.passport([issuer.visa("x"), link]))) == expiry_of(link)


def end_of(answer):
    """When the first visa that the server tells of ends, in seconds since 1970."""
    return datetime.fromisoformat(answer.json()["visas"][0]["ends"]).timestamp()


def expiry_of(visa):
    return jwt.decode(visa, options={"verify_signature": False})["exp"]


def test_an_issuer_that_uses_the_brokers_names(serve, broker, issuer):
    text = ACCESS.replace('["{issuer}", "{broker}"]', '[{{issuer = "{issuer}", subjects_of = "{broker}"}}]')
    url = serve(text=text)
    assert passport_reads(url, broker, issuer.visa("alice")) == ["cohort-a"]
    assert passport_reads(url, broker, issuer.visa("bob")) == []


FACULTY = {"type": "AffiliationAndRole", "value": "const:faculty@med.stanford.edu", "by": "const:so"}


def test_conditions(serve, broker):
    url = serve()
    status = broker.visa(value="https://doi.org/10.1038/s41431-018-0219-y", type="ResearcherStatus", by="so")
    faculty = broker.visa(value="faculty@med.stanford.edu", type="AffiliationAndRole", by="so", lifetime=500)

    def opens(conditions, *others):
        return passport_reads(url, broker, broker.visa(conditions=conditions), *others) == ["cohort-a"]

    researcher = {"type": "ResearcherStatus", "value": "pattern:https://doi.org/*/s?1431-*"}
    assert opens([])
    assert opens([[FACULTY]], faculty) and not opens([[FACULTY]]) and not opens([[FACULTY]], status)
    assert opens([[FACULTY, researcher]], faculty, status) and not opens([[FACULTY, researcher]], faculty)
    assert opens([[FACULTY, researcher], [researcher]], status)
    assert not opens([[FACULTY | {"source": "const:https://elsewhere.example.org"}]], faculty)
    assert not opens([[FACULTY]], broker.visa("bob", "faculty@med.stanford.edu", "AffiliationAndRole", by="so"))
    conditional = broker.visa(value="faculty@med.stanford.edu", type="AffiliationAndRole", by="so", conditions=[[researcher]])
    assert not opens([[FACULTY]], conditional, status), "no condition on a condition"
    assert end_of(ask(url, broker.passport([broker.visa(conditions=[[FACULTY]]), faculty]))) == expiry_of(faculty)


def test_sources(serve, broker):
    more = f'[[passport.grants]]\nvalue = "{DATASET}"\nsources = ["{DAC}"]\nby = ["dac"]\n'
    url = serve(more)
    assert passport_reads(url, broker, broker.visa()) == ["cohort-a"]
    assert passport_reads(url, broker, broker.visa(source="https://elsewhere.example.org")) == []
    assert passport_reads(url, broker, broker.visa(by="system")) == []
    answer = ask(url, broker.passport([broker.visa(source="https://elsewhere.example.org", value=OTHER)])).json()
    assert [visa["value"] for visa in answer["visas"]] == [OTHER], "what the file does not name may come from any source"


# --- time, and what is away ---


def test_a_visa_that_ends_while_it_is_known(serve, broker, clock, monkeypatch):
    monkeypatch.setattr(passports_module, "LEEWAY", 0)
    monkeypatch.setattr(passports_module, "_SOONEST", 600.0)
    broker.held["alice"] = [broker.visa(lifetime=120)]
    url, token = serve(), broker.access_token()
    assert reads(url, token) == ["cohort-a"]
    clock.ahead = 120
    assert reads(url, token) == [] and broker.asked.count("/userinfo") == 1, "it has ended, whether it is asked for or not"


def test_a_visa_that_was_taken_back_ends_when_the_broker_is_asked_again(serve, broker, clock):
    broker.lifetime = 24 * 3600
    broker.held["alice"] = [broker.visa(lifetime=24 * 3600)]
    url, token = serve(), broker.access_token()
    assert reads(url, token) == ["cohort-a"]
    broker.held["alice"] = []
    clock.ahead = passports_module.HOUR - 300
    assert reads(url, token) == ["cohort-a"] and broker.asked.count("/userinfo") == 1
    clock.ahead = passports_module.HOUR
    assert reads(url, token) == [] and broker.asked.count("/userinfo") == 2
    broker.status = 401
    clock.ahead *= 2
    assert ask(url, token).status_code == 401, "the broker has taken the token back"


def test_a_broker_that_is_down(serve, broker, monkeypatch):
    monkeypatch.setattr(provider_module, "_SHORTEST_PAUSE", 60.0)
    broker.held["alice"] = [broker.visa()]
    url, token = serve(), broker.access_token()
    broker.status = 503
    for _ in range(5):
        answer = ask(url, token)
        assert answer.status_code == 500 and "cannot check visas" in answer.text
    assert broker.asked.count("/userinfo") == 1, "it is not asked again and again"
    assert reads(url, broker.passport([broker.visa()])) == ["cohort-a"], "a passport needs no answer of it"
    broker.status = 200
    monkeypatch.setattr(provider_module, "_SHORTEST_PAUSE", 0.0)
    assert reads(url, token) == ["cohort-a"]


def test_a_crowd_asks_once(serve, broker):
    broker.held["alice"] = [broker.visa()]
    url, token = serve(), broker.access_token()
    with ThreadPoolExecutor(20) as pool:
        assert {tuple(found) for found in pool.map(lambda _: reads(url, token), range(60))} == {("cohort-a",)}
    assert broker.asked.count("/userinfo") == 1


def test_a_broker_that_hangs_holds_up_nobody_else(serve, broker, monkeypatch):
    monkeypatch.setattr(provider_module, "DEADLINE", 60.0)
    url = serve()
    assert reads(url, broker.passport([])) == []
    hanging = hang_at_userinfo(broker, monkeypatch)
    with ThreadPoolExecutor(45) as pool:
        waiting = [pool.submit(ask, url, broker.access_token(f"user{n}"), timeout=90) for n in range(45)]
        wait_for_requests(serve.servers[-1], 45)
        wait_until(lambda: len(hanging.asked) == passports_module._AT_ONCE)
        begin = time.monotonic()
        assert ask(url, None, "/healthz").status_code == 200 and reads(url, broker.passport([broker.visa()])) == ["cohort-a"]
        assert time.monotonic() - begin < 15
        assert not any(answer.done() for answer in waiting)
        broker.status = 503
        hanging.release.set()
        assert {answer.result().status_code for answer in waiting} == {500}


def test_a_broker_that_is_silent_meets_a_deadline(serve, broker, monkeypatch):
    """Who waits behind those who waited is told at once that it could not be reached."""
    monkeypatch.setattr(provider_module, "DEADLINE", 1.0)
    monkeypatch.setattr(passports_module, "_DOWN", 60.0)
    url = serve()
    hanging = hang_at_userinfo(broker, monkeypatch)
    try:
        with ThreadPoolExecutor(45) as pool:
            begin = time.monotonic()
            answers = pool.map(lambda n: ask(url, broker.access_token(f"user{n}"), timeout=60), range(45))
            assert {answer.status_code for answer in answers} == {500}
            assert time.monotonic() - begin < 20
        assert 0 < len(hanging.asked) <= passports_module._AT_ONCE
    finally:
        hanging.release.set()


def hang_at_userinfo(broker, monkeypatch):
    """Let a broker tell nothing of anybody until `release` is set; `asked` is with which tokens it was."""
    hanging, got = SimpleNamespace(asked=[], release=threading.Event()), broker.got

    def hang(path, authorization):
        if path == "/userinfo":
            hanging.asked.append(authorization)
            hanging.release.wait(120)
        return got(path, authorization)

    monkeypatch.setattr(broker, "got", hang)
    return hanging


def test_keys_that_change(serve, broker, issuer, monkeypatch):
    monkeypatch.setattr(provider_module, "AGAIN", 0.0)
    monkeypatch.setattr(provider_module, "KEPT", 0.0)
    monkeypatch.setattr(passports_module, "_AT_LEAST", 0.3)
    url = serve(text=ACCESS.replace('["{issuer}", "{broker}"]', '[{{issuer = "{issuer}", subjects_of = "{broker}"}}]'))
    old = issuer.visa()
    assert passport_reads(url, broker, old) == ["cohort-a"]
    issuer.key = _other_key()
    documents = issuer.documents()
    documents["/jwks"]["keys"][0]["kid"] = "next"
    issuer.documents = lambda: documents
    assert passport_reads(url, broker, issuer.visa(header={"kid": "next"})) == ["cohort-a"]
    time.sleep(0.5)
    assert passport_reads(url, broker, old) == []


def test_a_token_of_a_key_that_its_broker_has_removed_is_refused(serve, broker, clock, monkeypatch):
    """Also where it was taken before; and one that has ended."""
    url, token, short = serve(), broker.access_token("carol"), broker.access_token("carol", exp=int(time.time()) + 60)
    assert reads(url, token) == reads(url, short) == ["cohort-c"]
    clock.ahead = 60 + provider_module.LEEWAY
    assert ask(url, short).status_code == 401 and reads(url, token) == ["cohort-c"]
    monkeypatch.setattr(provider_module, "AGAIN", 0.0)
    monkeypatch.setattr(provider_module, "KEPT", 0.0)
    documents = broker.documents()
    documents["/jwks"]["keys"] = documents["/jwks"]["keys"][1:]
    broker.documents = lambda: documents
    assert [ask(url, token).status_code for _ in range(3)][-1] == 401


def test_unknown_keys_are_not_fetched_again_and_again(serve, broker, monkeypatch):
    monkeypatch.setattr(provider_module, "AGAIN", 600.0)
    url = serve()
    for n in range(5):
        assert passport_reads(url, broker, broker.visa(header={"kid": f"unknown-{n}"})) == []
    assert broker.asked.count("/jwks") <= 2


def test_an_issuer_that_is_away_is_asked_again(serve, broker, issuer, monkeypatch):
    monkeypatch.setattr(passports_module, "_SOONEST", 0.5)
    monkeypatch.setattr(passports_module, "_INCOMPLETE", 1.0)
    monkeypatch.setattr(provider_module, "_SHORTEST_PAUSE", 0.5)
    documents = issuer.documents
    issuer.documents = dict
    broker.held["alice"] = [issuer.visa("x"), broker.links("alice", ("x", issuer.url)), broker.visa(value=OTHER)]
    url, token = serve(), broker.access_token()
    assert [visa["value"] for visa in ask(url, token).json()["visas"]] == [OTHER], "the others count"
    issuer.documents = documents
    time.sleep(1.5)
    assert reads(url, token) == ["cohort-a"]


def test_keys_that_are_no_keys_for_this(serve, broker, issuer):
    """A secret that is published, a key for encryption, and a short one sign nothing."""
    short = rsa.generate_private_key(public_exponent=65537, key_size=1024)
    secret = b"s" * 32
    documents = issuer.documents()
    rsa_key = documents["/jwks"]["keys"][0]
    documents["/jwks"]["keys"] = [
        {"kty": "oct", "k": jwt.utils.base64url_encode(secret).decode(), "kid": "secret", "alg": "HS256"},
        {"kty": "oct", "k": jwt.utils.base64url_encode(secret).decode(), "kid": "sly", "alg": "RS256"},
        rsa_key | {"kid": "enc", "use": "enc"},
        json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(short.public_key())) | {"kid": "short"},
        rsa_key,
    ]
    issuer.documents = lambda: documents
    url = serve(text=ACCESS.replace('["{issuer}", "{broker}"]', '[{{issuer = "{issuer}", subjects_of = "{broker}"}}]'))
    forged = issuer.visa(header={"alg": "HS256", "kid": "secret"}, key=secret)
    sly = _relabelled(forged, "RS256", "secret", secret)
    for visa in (forged, sly, issuer.visa(header={"kid": "enc"}), issuer.visa(header={"kid": "short"}, key=short)):
        assert passport_reads(url, broker, visa) == []
    assert passport_reads(url, broker, issuer.visa()) == ["cohort-a"]


def _relabelled(visa, algorithm, kid, secret):
    """A visa whose header says RS256, with an HMAC in the place of the signature."""
    head, body, _ = visa.split(".")
    header = json.loads(jwt.utils.base64url_decode(head)) | {"alg": algorithm, "kid": kid}
    parts = jwt.utils.base64url_encode(json.dumps(header).encode()) + b"." + body.encode()
    signature = jwt.get_algorithm_by_name("HS256").sign(parts, secret)
    return f"{parts.decode()}.{jwt.utils.base64url_encode(signature).decode()}"


# --- beside other ways to know a caller ---


OIDC = """
[oidc]
issuer = "{oidc}"
audience = "modos"
name_claim = "preferred_username"
"""


def test_a_broker_that_is_the_sites_provider(serve, broker):
    broker.held["carol"] = [broker.visa("carol")]
    url = serve(text=OIDC + ACCESS, oidc=broker.url)
    found = ask(url, broker.access_token("carol", ("stewards",), aud="modos")).json()
    assert (found["name"], found["groups"], found["read"]) == ("carol", ["stewards"], ["", "cohort-a"])
    assert ask(url, broker.access_token("carol")).status_code == 401, "the provider's rules hold"
    plain = ask(url, broker.access_token("carol", aud="modos", scope="openid")).json()
    assert plain["name"] == "carol" and plain["visas"] == []
    auth = ask(url, None, "/").json()["auth"]
    assert auth["scope"] == "openid ga4gh_passport_v1 offline_access" and auth["audience"] == "modos"


def test_nobody_takes_a_brokers_name(serve, broker, issuer):
    url = serve(text=OIDC + ACCESS, oidc=issuer.url)
    name = f"{broker.url}#carol"
    assert ask(url, issuer.token(name)).status_code == 401
    assert reads(url, issuer.token("carol")) == []
    assert ask(url, None, "/").json()["auth"]["scope"] is None


def test_discovery_tells_where_to_log_in(serve, broker):
    auth = ask(serve('client_id = "lab"'), None, "/").json()["auth"]
    assert auth["type"] == "oidc" and auth["issuer"] == broker.url and auth["client_id"] == "lab"
    assert auth["device_authorization_endpoint"] == f"{broker.url}/device"
    assert auth["scope"] == "openid ga4gh_passport_v1 offline_access"


def test_modos_login(serve, broker, tmp_path, monkeypatch):
    """The client's own login: it asks for the scopes that the server tells."""
    from modos.remote import login as flow

    asked = []
    posted = broker.posted
    broker.posted = lambda path, form: (asked.append((path, form)), posted(path, form))[1]
    monkeypatch.setattr(
        broker, "_grant", lambda person: (200, {"access_token": broker.access_token(person["name"]), "expires_in": 60})
    )
    monkeypatch.setenv("MODOS_CONFIG_DIR", str(tmp_path))
    broker.held["alice"] = [broker.visa()]
    url = serve()
    found = flow.log_in_by_device(url, flow.discover_login(url), lambda *_: broker.confirm("alice"))
    caller = flow.save_login(url, found)
    assert caller["name"] == f"{broker.url}#alice" and caller["read"] == ["cohort-a"]
    assert asked[0][1]["scope"] == "openid ga4gh_passport_v1 offline_access"


# --- DRS ---


def post(url, path, **body):
    return requests.post(f"{url}/ga4gh/drs/v1/objects/{path}", json=body, timeout=20)


def test_drs_by_passport(serve, broker):
    url = serve()
    item, other = object_id("cohort-a/ex/cohort-a.tsv"), object_id("cohort-b/ex/cohort-b.tsv")
    passport = broker.passport([broker.visa()])
    found = post(url, item, passports=[passport])
    assert found.status_code == 200 and found.json()["size"] == 8
    access = post(url, f"{item}/access/file", passports=[passport]).json()
    headers = dict(line.split(": ", 1) for line in access["headers"])
    assert requests.get(access["url"], headers=headers, timeout=20).text == "a\tb\n1\t2\n"
    assert post(url, other, passports=[passport]).status_code == 403
    assert post(url, item, passports=[]).status_code == 403
    assert post(url, item, passports=[broker.visa()]).status_code == 401
    assert post(url, item, passports=[broker.access_token()]).status_code == 401
    assert post(url, item, passports=[passport, broker.passport([], header={"alg": "none"})]).status_code == 401
    assert post(url, item, passports=[passport] * 11).status_code == 400
    assert post(url, item, passports="x").status_code == 400
    assert post(url, item, passports=[broker.passport([]), passport]).status_code == 200
    large = broker.passport([broker.visa(value=f"{OTHER}{n}") for n in range(199)] + [broker.visa()])
    assert len(large) > 100_000 and post(url, item, passports=[large]).status_code == 200
    assert requests.post(f"{url}/ga4gh/drs/v1/objects/{item}", data=b"x" * (5 << 20), timeout=20).status_code == 413


def test_drs_where_no_passports_are_taken(served):
    with BackgroundServer(create_app(open_storage(served))) as server:
        item = object_id("cohort-a/ex/cohort-a.tsv")
        assert post(server.url, item, passports=["a.b.c"]).status_code == 401
        assert post(server.url, item).status_code == 200


# --- the access file ---


@pytest.mark.parametrize(
    "table, message",
    [
        ("issuers = []\nbrokers = ['https://b']", "issuers"),
        ("issuers = ['https://a']", "brokers"),
        ("issuers = ['https://a']\nbrokers = ['http://b.example.org']", "https"),
        ("issuers = ['https://me:secret@a']\nbrokers = ['https://b']", "https"),
        ("issuers = ['https://a#x']\nbrokers = ['https://b']", "https"),
        ("issuers = ['https://a', {issuer = 'https://a'}]\nbrokers = ['https://b']", "twice"),
        ("issuers = [{issuer = 'https://a', jku = 'https://a'}]\nbrokers = ['https://b']", "jku"),
        ("issuers = ['https://a']\nbrokers = ['https://b']\nscope = 'x'", "scope"),
        ("issuers = ['https://a']\nbrokers = ['https://b']\n[[passport.grants]]\nsources = []", "value"),
        ("issuers = 3\nbrokers = ['https://b']", "issuers"),
    ],
)
def test_a_table_that_says_what_is_not_known(tmp_path, table, message):
    path = tmp_path / "access.toml"
    path.write_text(f"[passport]\n{table}\n")
    with pytest.raises(InvalidInputError, match=message) as caught:
        Access.from_file(path)
    assert "access.toml: passport" in caught.value.message


def test_a_visa_of_a_rule_is_a_url(tmp_path):
    path = tmp_path / "access.toml"
    path.write_text('[[rule]]\nwho = ["visa:EGAD1"]\nread = ["a"]\n')
    with pytest.raises(InvalidInputError, match="is nobody"):
        Access.from_file(path)


# --- properties ---

ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=20,
)
NAMES = st.sampled_from(["type", "value", "source", "by", "asserted", "conditions", "else"])
VALUES = ANYTHING | st.sampled_from(["ControlledAccessGrants", "LinkedIdentities", DATASET, "dac", 1, 1.5])


@given(ANYTHING | st.dictionaries(NAMES, VALUES))
def test_any_claim_is_parsed_or_refused(claim):
    try:
        found = parse_visa(claim)
    except InvalidInputError:
        return
    assert all(isinstance(text, str) for text in found.values()) and found["value"] == claim["value"]
    assert claim["asserted"] <= time.time() + 61


@given(ANYTHING | st.lists(st.lists(st.dictionaries(NAMES, VALUES | st.just("const:dac"), max_size=3), max_size=3), max_size=3))
def test_any_conditions_are_refused_where_nothing_is_known(conditions):
    with pytest.raises(InvalidInputError):
        find_end(conditions, [])


@given(st.text("a?*;.[", max_size=12), st.text("ab;.[", max_size=12))
def test_patterns_are_those_of_a_plain_matcher(pattern, text):
    def plain(pattern, text):
        if not pattern:
            return not text
        if pattern[0] == "*":
            return any(plain(pattern[1:], text[n:]) for n in range(len(text) + 1))
        return bool(text) and pattern[0] in ("?", text[0]) and plain(pattern[1:], text[1:])

    assert matches(text, f"pattern:{pattern}") == plain(pattern, text)
    assert matches(text, f"split_pattern:{pattern}") == any(plain(pattern, part) for part in text.split(";"))
    assert matches(text, f"const:{pattern}") == (pattern == text)


def test_a_pattern_takes_no_time():
    begin = time.process_time()
    assert not matches("a" * 16_000, "pattern:" + "*a" * 100 + "b")
    assert time.process_time() - begin < 1


@given(st.lists(st.tuples(st.text(min_size=1, max_size=9), st.text(min_size=1, max_size=9)), min_size=1, max_size=5))
def test_links_are_read_as_they_are_written(pairs):
    from urllib.parse import quote

    try:
        value = ";".join(f"{quote(sub, safe='')},{quote(iss, safe='')}" for sub, iss in pairs)
    except UnicodeEncodeError:
        return
    assert parse_links(value) == pairs


def test_random_tokens_are_nobodys(one):
    url, broker = one
    good, rng = broker.passport([broker.visa()]), random.Random(4)
    for _ in range(60):
        where = rng.randrange(len(good))
        bad = good[:where] + rng.choice("AZaz09-_.") + good[where + 1 :]
        if (
            jwt.utils.base64url_decode(bad.rpartition(".")[2] + "==")
            != jwt.utils.base64url_decode(good.rpartition(".")[2] + "==")
            or bad[: bad.rfind(".")] != good[: good.rfind(".")]
        ):
            assert ask(url, bad).status_code in (401, 403), bad


# --- addresses ---


@pytest.mark.parametrize(
    "name, address",
    [
        ("jwks_uri", "http://169.254.169.254/keys"),
        ("userinfo_endpoint", "https://127.0.0.1/userinfo"),
        ("userinfo_endpoint", "https://10.0.0.7/userinfo"),
    ],
)
def test_a_description_leads_to_nothing_more_internal(monkeypatch, name, address):
    described = {"jwks_uri": "https://login.example.org/jwks", name: address}
    monkeypatch.setattr(provider_module, "fetch_json", lambda *_, **__: described)
    with pytest.raises(ProtocolError, match="internal address"):
        provider_module.Issuer("https://login.example.org").find_address(name)


def test_a_token_is_sent_over_https_alone(serve, broker, monkeypatch):
    """A broker that names a plain address for UserInfo gets no token there."""
    documents = broker.documents()
    documents["/.well-known/openid-configuration"]["userinfo_endpoint"] = f"http://{socket.gethostname()}:1/userinfo"
    broker.documents = lambda: documents
    monkeypatch.setenv("MODOS_ALLOW_INTERNAL", "1")
    assert ask(serve(), broker.access_token()).status_code == 500 and "/userinfo" not in broker.asked
