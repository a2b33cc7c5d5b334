"""Who may do what, through the gateway, by every way there is: S3, htsget-rs, the modos server and its tickets."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from urllib.parse import quote, urlsplit

import jwt
import pytest
import requests
from botocore.exceptions import ClientError
from botocore.session import Session
from cryptography.hazmat.primitives import serialization

from modos.api import MODO
from modos.errors import AccessError, ModosError
from modos.server.drs import object_id
from modos.storage import open_storage

from .conftest import ALICE, BOB

pytestmark = pytest.mark.stack
REGION, READS = "chr1:20,001-25,000", 969


@pytest.fixture
def alice(monkeypatch):
    monkeypatch.setenv("MODOS_TOKEN", ALICE)


@pytest.fixture
def bob(monkeypatch):
    monkeypatch.setenv("MODOS_TOKEN", BOB)


def get(private, path, token=None, **options):
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    return requests.get(private.url + path, headers=headers, timeout=20, **options)


def modos(private, *words, env=None, **options):
    return subprocess.run(
        [sys.executable, "-c", "from modos.cli import main; main()", "--endpoint", private.url, *words],
        env=os.environ | (env or {}),
        capture_output=True,
        text=True,
        timeout=60,
        **options,
    )


def temporary(private, token, prefix, write=False):
    """Credentials of S3 for somebody."""
    answer = requests.post(
        f"{private.url}/credentials",
        json={"prefix": prefix, "write": write},
        timeout=20,
        headers={"Authorization": f"Bearer {token}"},
    )
    answer.raise_for_status()
    found = answer.json()
    return {"key": found["access_key"], "secret": found["secret_key"], "token": found["session_token"]}


# --- what is allowed ---


def test_a_reader_streams_and_reads_metadata(private, alice):
    modo = MODO(path="s3://modos-demo/lab-a/ex", endpoint=private.url)
    assert sum(1 for _ in modo.stream_genomics("demo1.cram", REGION)) == READS
    assert modo.find_problems() == []
    result = modos(private, "stream", "-c", "-r", REGION, "s3://modos-demo/lab-a/ex/demo2.bam")
    assert (result.stdout, result.stderr) == (f"{READS}\n", "")


def test_a_writer_brings_objects_and_changes_them(private, alice, example):
    url = f"s3://modos-demo/lab-a/new-{os.urandom(4).hex()}"
    modo = MODO.open(example / "ex").upload(url, endpoint=private.url)
    modo.update_element("data/demo1", {"description": "changed"})
    again = MODO.open(url, endpoint=private.url)
    assert again.metadata["data/demo1"]["description"] == "changed" and again.find_problems() == []
    assert url in get(private, "/list", ALICE).json()["data"]
    assert url not in get(private, "/list", BOB).json()["data"]


def test_anybody_reads_what_is_open_and_nothing_else(private):
    assert get(private, "/list").json() == {"data": ["s3://modos-demo/open/ex"]}
    assert get(private, "/htsget/reads/open/ex/demo2").status_code == 200
    data = get(private, "/files/open/ex/demo2.bam.bai")
    assert data.status_code == 200 and data.content[:4] == b"BAI\1"
    assert get(private, "/htsget/reads/lab-a/ex/demo2").status_code == 403
    assert requests.get(f"{private.url}/modos-demo/open/ex/demo2.bam", timeout=20).status_code == 403  # the bucket is private


def test_whoami(private, provider):
    found = get(private, "/whoami", ALICE).json()
    assert found == {"name": "alice", "groups": [], "visas": [], "read": ["lab-a", "open"], "write": ["lab-a"]}
    found = get(private, "/whoami", provider.token("carol", ("stewards",))).json()
    assert found == {"name": "carol", "groups": ["stewards"], "visas": [], "read": ["", "open"], "write": [""]}


# --- what is not ---


PATHS = [
    "/htsget/reads/lab-b/ex/demo2",
    "/htsget/reads/lab-b/ex/demo2?class=header",
    "/files/lab-b/ex/demo2.bam",
    f"/ga4gh/drs/v1/objects/{object_id('lab-b/ex/demo2.bam')}",
    f"/ga4gh/drs/v1/objects/{object_id('lab-b/ex/demo2.bam')}/access/file",
    "/modos-demo/lab-b/ex/demo2.bam",
    "/s3/modos-demo/lab-b/ex/demo2.bam",
    "/s3/modos-demo/?list-type=2",
    "/modos-demo?list-type=2&prefix=lab-b",
]
TRICKS = [
    "/htsget/reads/lab-a/../lab-b/ex/demo2",
    "/htsget/reads/lab-a/%2e%2e/lab-b/ex/demo2",
    "/htsget/reads/lab-a%2f..%2flab-b%2fex%2fdemo2",
    "/htsget/reads/lab%2Db/ex/demo2",
    "/htsget/reads//lab-b/ex/demo2",
    "/htsget//reads/lab-b/ex/demo2",
    "/htsget/reads/lab-b%2fex/demo2",
    "/htsget/reads/%6cab-b/ex/demo2",
    "/htsget/reads/lab-a%252f..%252flab-b/ex/demo2",
    "/htsget/reads/lab\u2010b/ex/demo2",
    "/htsget/reads/l\uff41b-b/ex/demo2",
    "/htsget/reads/lab-a\\..\\lab-b\\ex\\demo2",
    "/htsget/reads/./lab-b/ex/demo2",
    "/htsget/reads/lab-a/ex/../../lab-b/ex/demo2",
    "/HTSGET/reads/lab-b/ex/demo2",
    "/htsget/reads/lab-b/ex/demo2/",
    "/htsget/reads/lab-b/ex/demo2%00",
    "/htsget/reads/lab-b/ex/demo2;x=1",
    "/htsget/reads/LAB-B/ex/demo2",
    "/htsget/../htsget/reads/lab-b/ex/demo2",
    "/files/lab-a/../lab-b/ex/demo2.bam",
    "/files/lab-a/..%2flab-b/ex/demo2.bam",
    "/files//lab-b/ex/demo2.bam",
    "/files/%6cab-b/ex/demo2.bam",
    "/s3/../files/lab-b/ex/demo2.bam",
    "/authorize",
    "/metrics",
    "/metrics/",
    "/metrics//",
    "/metrics%2f",
    "/authorize/",
    "/htsget/reads/lab-b",
    "/minio/health/live",
    "/s3/minio/health/live",
    "/s3//minio/health/live",
    "/s3/%6dinio/health/live",
    "/s3/x/../minio/health/live",
    "/minio/v2/metrics/cluster",
    "/s3/minio/v2/metrics/cluster",
]


@pytest.mark.parametrize("path", PATHS + TRICKS)
def test_nobody_gets_at_what_is_not_theirs(private, path):
    """As it is written, with nothing put right on the way."""
    import http.client

    parts = urlsplit(private.url)
    for token in (ALICE, None):
        connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=20)
        connection.putrequest("GET", "/", skip_accept_encoding=True)
        connection._buffer[0] = b"GET " + path.encode() + b" HTTP/1.1"
        if token:
            connection.putheader("Authorization", f"Bearer {token}")
        connection.endheaders()
        answer = connection.getresponse()
        body = answer.read()
        assert answer.status in (400, 401, 403, 404, 405, 308), (token, answer.status, body[:300])
        assert b"X-Amz-Signature" not in body and not answer.headers.get("Location", "").count("Signature")
        connection.close()


def test_the_administration_of_minio_is_not_passed_on(private):
    """Not even to those who have the password."""
    from minio import MinioAdmin
    from minio.credentials import StaticProvider

    secrets = private.state / "secrets"
    who = StaticProvider((secrets / "s3-root-user").read_text(), (secrets / "s3-root-password").read_text())
    direct, passed = (
        MinioAdmin(endpoint=url.removeprefix("http://"), credentials=who, secure=False) for url in (private.s3, private.url)
    )
    assert "modos-server" in direct.user_list()
    with pytest.raises(Exception, match="404"):
        passed.user_list()


def test_nothing_is_listed_of_what_is_not_theirs(private):
    for path in ("/list", "/meta", "/get?query=ex", "/meta?search=demo1", "/list?search=demo1"):
        assert "lab-b" not in get(private, path, ALICE).text and "lab-a" in get(private, path, ALICE).text


def test_credentials_are_good_for_their_prefix_alone(private):
    mine = temporary(private, ALICE, "s3://modos-demo/lab-a", write=True)
    bucket = open_storage("s3://modos-demo", s3_url=private.url, s3_kwargs=mine)
    assert bucket.exists("lab-a/ex/demo2.bam")
    bucket.write("lab-a/probe", b"x")
    for refused in (
        lambda: bucket.read("lab-b/ex/data.zarr/zarr.json"),
        lambda: bucket.write("lab-b/probe", b"x"),
        lambda: bucket.write("lab-ab/probe", b"x"),
        lambda: list(bucket.iter_files("lab-b")),
        lambda: list(bucket.iter_files()),
        lambda: bucket.delete("lab-b/ex/demo2.bam"),
        lambda: bucket.list_folders(),
        lambda: bucket.splice("lab-a/stolen", b"", "lab-b/ex/demo2.bam", 0),
        lambda: bucket.create_bucket(),
    ):
        with pytest.raises(ModosError):
            refused()
    readers = open_storage("s3://modos-demo/lab-a", s3_url=private.url, s3_kwargs=temporary(private, ALICE, "lab-a"))
    assert readers.read("probe")[0] == b"x"
    with pytest.raises(AccessError):
        readers.write("probe", b"y")
    owner = open_storage("s3://modos-demo", s3_url=private.s3, s3_kwargs=private.credentials("server"))
    assert owner.exists("lab-b/ex/demo2.bam") and not owner.exists("lab-a/stolen") and not owner.exists("lab-b/probe")


def test_credentials_do_not_list_the_names_beside_their_place(private):
    """Neither by the place without a slash, nor by the beginning of its name."""
    for write in (False, True):
        mine = temporary(private, ALICE, "s3://modos-demo/lab-a", write=write)
        client = Session().create_client(
            "s3",
            region_name="us-east-1",
            endpoint_url=private.url,
            aws_access_key_id=mine["key"],
            aws_secret_access_key=mine["secret"],
            aws_session_token=mine["token"],
        )
        assert client.list_objects_v2(Bucket="modos-demo", Prefix="lab-a/")["KeyCount"]
        for prefix in ("lab-a", "lab-", "", "lab-ab/"):
            with pytest.raises(ClientError, match="AccessDenied"):
                client.list_objects_v2(Bucket="modos-demo", Prefix=prefix)


@pytest.mark.parametrize(
    ("prefix", "write"),
    [
        ("lab-b", False),
        ("lab-b", True),
        ("", False),
        ("lab", False),
        ("s3://modos-demo/lab-b/ex", False),
        ("lab-a/../lab-b", False),
        ("lab-a*", True),
        ("open", True),
        ("s3://other/lab-a", False),
    ],
)
def test_credentials_for_others_places_are_refused(private, prefix, write):
    answer = requests.post(
        f"{private.url}/credentials",
        json={"prefix": prefix, "write": write},
        timeout=20,
        headers={"Authorization": f"Bearer {ALICE}"},
    )
    assert answer.status_code in (400, 403) and "secret" not in answer.text
    # Caddy may lose the body of an answer that comes before all of the request has.
    with requests.post(f"{private.url}/credentials", json={"prefix": "open"}, timeout=20, stream=True) as answer:
        assert answer.status_code == 403


def test_a_signed_address_is_good_for_its_file_alone(private):
    ticket = get(private, "/htsget/reads/lab-a/ex/demo2", ALICE).json()["htsget"]["urls"][0]
    url, headers = ticket["url"], ticket["headers"]
    assert requests.get(url, headers=headers, timeout=20).status_code == 206
    for other in (
        url.replace("lab-a", "lab-b"),
        url.replace("/lab-a/", "/lab-a/../lab-b/"),
        url.replace("demo2.bam", "demo1.cram"),
        url.replace("/modos-demo/", "/s3/modos-demo/").replace("lab-a", "lab-b"),
    ):
        request = requests.Request("GET", other, headers=headers).prepare()
        request.url = other
        with requests.Session() as session:
            assert session.send(request, timeout=20).status_code in (400, 403, 404)
    for method in ("PUT", "DELETE", "POST", "HEAD"):
        assert requests.request(method, url, headers=headers, timeout=20).status_code in (400, 403, 405)


def test_the_command_line_says_what_to_do(private, bob):
    for words in (
        ("stream", "-r", REGION, "s3://modos-demo/lab-a/ex/demo1.cram"),
        ("show", "s3://modos-demo/lab-a/ex"),
        ("update", "s3://modos-demo/lab-b/ex", "data/demo1", "-e", '{"description": "mine"}'),
    ):
        result = modos(private, *words)
        assert (result.returncode, result.stdout) == (4, ""), result
        assert result.stderr.startswith("error: ") and "hint: " in result.stderr and "Traceback" not in result.stderr


# --- tokens of a provider ---


def test_a_token_of_the_provider(private, provider, monkeypatch):
    monkeypatch.setenv("MODOS_TOKEN", provider.token("alice"))
    assert MODO(path="s3://modos-demo/lab-a/ex", endpoint=private.url).file("demo2.bam").count(REGION) == READS
    monkeypatch.setenv("MODOS_TOKEN", provider.token("somebody", ("stewards",)))
    assert MODO(path="s3://modos-demo/lab-b/ex", endpoint=private.url).file("demo2.bam").count(REGION) == READS


def test_a_token_that_is_not_good_is_refused(private, provider):
    public = provider.key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    other = jwt.utils.base64url_encode(b"x" * 256).decode()
    good = provider.token("alice")
    head, body, signature = good.split(".")
    forged = jwt.utils.base64url_encode(
        json.dumps({**jwt.decode(good, options={"verify_signature": False}), "preferred_username": "bob"}).encode()
    ).decode()
    none = jwt.encode({"iss": provider.url, "aud": "modos", "preferred_username": "alice", "exp": time.time() + 60}, None, "none")
    hmac = f"{jwt.utils.base64url_encode(json.dumps({'alg': 'HS256', 'kid': 'one'}).encode()).decode()}.{body}"
    import hashlib
    import hmac as mac

    with_public = f"{hmac}.{jwt.utils.base64url_encode(mac.new(public, hmac.encode(), hashlib.sha256).digest()).decode()}"
    for token in (
        provider.token("alice", exp=int(time.time()) - 120),
        provider.token("alice", aud="others"),
        provider.token("alice", iss="http://127.0.0.1:1"),
        provider.token("alice", exp=None),
        provider.token("alice", kid="two"),
        provider.token("", preferred_username=None),
        f"{head}.{forged}.{signature}",
        f"{head}.{body}.{other}",
        f"{head}.{body}.",
        none,
        with_public,
        "a.b.c",
    ):
        assert get(private, "/whoami", token).status_code == 401, token
        assert get(private, "/htsget/reads/open/ex/demo2", token).status_code == 401


def test_log_in_look_and_log_out(private, provider, tmp_path):
    config = {"MODOS_CONFIG_DIR": str(tmp_path / "config")}
    process = subprocess.Popen(
        [sys.executable, "-c", "from modos.cli import main; main()", "--endpoint", private.url, "login"],
        env=os.environ | config,
        stderr=subprocess.PIPE,
        text=True,
    )
    line = process.stderr.readline()
    assert f"{provider.url}/confirm" in line and "WDJB-MJHT" in line
    provider.confirm("alice")
    assert process.wait(60) == 0
    assert process.stderr.read() == f"logged in at {private.url} as alice\n"
    file = tmp_path / "config/tokens.json"
    assert file.stat().st_mode & 0o777 == 0o600
    assert modos(private, "whoami", env=config).stdout == "alice\nreads: lab-a, open\nwrites: lab-a\n"
    streamed = modos(private, "stream", "-c", "-r", REGION, "s3://modos-demo/lab-a/ex/demo1.cram", env=config)
    assert streamed.stdout == f"{READS}\n", streamed.stderr

    kept = json.loads(file.read_text())
    (server,) = kept
    kept[server]["expires"] = time.time() - 5
    file.write_text(json.dumps(kept))
    before = provider.refreshed
    assert modos(private, "whoami", env=config).stdout.startswith("alice")
    assert provider.refreshed == before + 1 and file.stat().st_mode & 0o777 == 0o600

    assert modos(private, "logout", env=config).stderr == f"logged out of {private.url}\n"
    refused = modos(private, "show", "s3://modos-demo/lab-a/ex", env=config)
    assert refused.returncode == 4 and "modos login" in refused.stderr


def test_log_in_with_a_given_token(private, tmp_path):
    config = {"MODOS_CONFIG_DIR": str(tmp_path / "config")}
    result = modos(private, "login", "--token-stdin", env=config, input=f"{BOB}\n")
    assert result.stderr == f"logged in at {private.url} as bob\n" and BOB not in result.stdout + result.stderr
    refused = modos(private, "login", "--token-stdin", env=config, input="a-token-that-nobody-has\n")
    assert refused.returncode == 4 and "a-token-that-nobody-has" not in refused.stderr
    assert modos(private, "whoami", env=config).stdout.startswith("bob")


def test_drs(private):
    answer = get(private, f"/ga4gh/drs/v1/objects/{object_id('lab-a/ex/demo2.bam')}", ALICE).json()
    assert answer["name"] == "demo2.bam" and answer["checksums"][0]["type"] == "blake2b-512"
    access = get(private, f"/ga4gh/drs/v1/objects/{answer['id']}/access/{answer['access_methods'][0]['access_id']}", ALICE).json()
    data = requests.get(access["url"], timeout=20).content
    assert len(data) == answer["size"] and data[:2] == b"\x1f\x8b"
    import hashlib

    assert hashlib.blake2b(data).hexdigest() == answer["checksums"][0]["checksum"]
    assert get(private, f"/ga4gh/drs/v1/objects/{quote('no such')}", ALICE).status_code == 404
    whole = get(private, f"/ga4gh/drs/v1/objects/{object_id('lab-a/ex')}", ALICE).json()
    assert answer["id"] in {part["id"] for part in whole["contents"]} and whole["size"] > answer["size"]
    assert get(private, f"/ga4gh/drs/v1/objects/{object_id('lab-b/ex')}", ALICE).status_code == 403


def test_the_doctor_looks_where_somebody_may_read(private, alice):
    result = modos(private, "doctor")
    assert result.returncode == 0, result.stdout
    assert "alice (from MODOS_TOKEN); reads lab-a, open; writes lab-a" in result.stdout
    assert "for an hour, from the endpoint" in result.stdout and "s3://modos-demo/lab-a can be listed" in result.stdout
    refused = modos(private, "remote", "list", "s3://modos-demo")
    assert refused.returncode == 4 and "modos whoami" in refused.stderr
