"""The chart where the S3 and the OpenID provider have certificates of a private authority, with the real services."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from modos.demo.init import make_secrets
from modos.encryption.keys import generate
from tests.support.charts import CHART, environment, iter_containers, render
from tests.support.pods import Pods
from tests.support.provider import Provider
from tests.support.waiting import wait_until

pytestmark = pytest.mark.stack
SITE = CHART.parent / "examples/site.yaml"
ENCRYPTED = CHART.parent / "examples/encrypted.yaml"
READERS = ("SSL_CERT_FILE", "AWS_CA_BUNDLE", "REQUESTS_CA_BUNDLE")
ACCESS = """
[oidc]
issuer = "https://localhost:9444"
audience = "modos"

[[rule]]
who = ["group:cohort"]
read = ["ex"]
"""
OUTSIDE = """{{
	admin off
	auto_https off
}}
https://localhost:9443 {{
	tls {0}/site.crt {0}/site.key
	reverse_proxy 127.0.0.1:9000
}}
https://localhost:9444 {{
	tls {0}/site.crt {0}/site.key
	root * {0}/provider
	file_server
}}
"""


def test_it_is_mounted_where_the_s3_or_the_provider_is_asked_and_nowhere_else(tmp_path):
    for source, kind in ({"configMap": "ca", "key": "all.pem"}, "configMap"), ({"existingSecret": "ca"}, "secret"):
        asked = set()
        for name, spec, container in iter_containers(render(tmp_path, ENCRYPTED, settings={"trustedCAs": source})):
            variables = environment(container)
            mounts = [mount for mount in container["volumeMounts"] if mount["mountPath"] == "/etc/modos-cas"]
            if not mounts:
                assert not {*READERS, "SSL_CERT_DIR"} & variables.keys(), name
                continue
            asked.add(container["name"])
            assert mounts == [{"name": "authorities", "mountPath": "/etc/modos-cas", "readOnly": True}]
            (volume,) = [one for one in spec["volumes"] if one["name"] == "authorities"]
            assert volume[kind]["items"] == [{"key": source.get("key", "ca.crt"), "path": "ca.crt"}], (
                "and no secret key beside it"
            )
            assert {variables[one] for one in READERS} == {"/etc/modos-cas/ca.crt"}
            assert variables["SSL_CERT_DIR"] == "/etc/modos-cas", "or OpenSSL adds those of the image, which others do not"
        assert asked == {"modos", "keyserver", "htsget"}


def test_without_it_nothing_is_set(tmp_path):
    for _, spec, container in iter_containers(render(tmp_path, ENCRYPTED)):
        assert not {*READERS, "SSL_CERT_DIR"} & environment(container).keys()
        assert "authorities" not in {volume["name"] for volume in spec["volumes"]}


def write_certificates(folder: Path) -> bytes:
    """Write the certificate of localhost and its key; return that of the authority."""
    now = datetime.now(UTC)
    keys = [ec.generate_private_key(ec.SECP256R1()) for _ in range(2)]
    names = [x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]) for name in ("A Hospital's Authority", "localhost")]
    made = []
    for key, name, extension in zip(
        keys,
        names,
        (x509.BasicConstraints(True, None), x509.SubjectAlternativeName([x509.DNSName("localhost")])),
        strict=True,
    ):
        builder = x509.CertificateBuilder(names[0], name, key.public_key(), x509.random_serial_number())
        builder = builder.not_valid_before(now - timedelta(hours=1)).not_valid_after(now + timedelta(days=1))
        made.append(builder.add_extension(extension, True).sign(keys[0], SHA256()).public_bytes(Encoding.PEM))
    (folder / "site.crt").write_bytes(made[1])
    (folder / "site.key").write_bytes(keys[1].private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return made[0]


@pytest.fixture(scope="module")
def hospital(tmp_path_factory) -> Iterator[tuple[Pods, Provider]]:
    """MinIO and a provider behind TLS; a release `lab` that has their authority, and `bare`, `other` and `empty`, which do not."""
    if os.getuid() != 0:
        pytest.skip("only root can shut programs in")
    folder = tmp_path_factory.mktemp("hospital")
    authority = write_certificates(folder)
    (folder / "other").mkdir()
    (folder / "ca.crt").write_bytes(authority)
    make_secrets(folder / "secrets")
    generate(folder / "keys.sec", folder / "keys.pub", None)
    provider = Provider()
    provider.url = "https://localhost:9444"
    for path, document in provider.documents().items():
        file = folder / f"provider{path}"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(document))
    settings = {
        "publicUrl": "http://localhost:8080",
        "ingress.enabled": False,
        "s3.url": "https://localhost:9443",
        "s3.bucket": "modos-demo",
        "access": {"rules": ACCESS},
    }
    keyserver = {
        "enabled": True, "existingSecret": "modos-keys", "s3ExistingSecret": "modos-s3",
        "people": {"alice": (folder / "keys.pub").read_text()},
    }  # fmt: skip
    lab = settings | {"trustedCAs": {"configMap": "hospital-ca"}, "keyserver": keyserver}
    documents = render(folder, SITE, settings=lab)
    for release, source in ("bare", {}), ("other", {"existingSecret": "other-ca"}), ("empty", {"configMap": "no-ca"}):
        documents += render(folder, SITE, settings=settings | {"trustedCAs": source}, release=release)
    secrets = {
        "hospital-ca": {"ca.crt": authority},
        "other-ca": {"ca.crt": write_certificates(folder / "other")},
        "no-ca": {"ca.crt": b""},
        "modos-s3": {"credentials": (folder / "secrets/server-credentials").read_bytes()},
        "modos-access": {},
        "modos-sessions": {"session-key": (folder / "secrets/session-key").read_bytes()},
        "modos-keys": {"keys.sec": (folder / "keys.sec").read_bytes()},
    }
    (folder / "Caddyfile").write_text(OUTSIDE.format(folder))
    stack = Path(os.environ.get("STACK_CACHE") or Path(os.environ["HOME"]) / ".cache/modos/stack")
    root = {name: (folder / f"secrets/s3-root-{name}").read_text() for name in ("user", "password")}
    with Pods(folder, documents, [stack / "bin"], secrets) as pods:
        minio = ("minio", "server", "--address", "127.0.0.1:9000", str(folder / "data"))
        pods.begin("minio", *minio, MINIO_ROOT_USER=root["user"], MINIO_ROOT_PASSWORD=root["password"])
        pods.begin("outside", "caddy", "run", "--config", str(folder / "Caddyfile"), "--adapter", "caddyfile")
        told = {"S3_URL": "http://127.0.0.1:9000", "MODOS_BUCKET": "modos-demo", "MODOS_DEMO": "1", "MODOS_ACCESS": "access.toml"}
        done = pods.ask("python", "-m", "modos.demo.init", "s3", str(folder / "secrets"), **told, MODOS_PUBLIC_READ="")
        assert done.returncode == 0, done.stderr
        for port in (9443, 9444):
            wait_until(lambda: pods.ask("curl", "-sk", f"https://localhost:{port}").returncode == 0)
        yield pods, provider


def test_all_of_it_works_over_them(hospital, tmp_path):
    """The server reads the S3, asks its STS and the provider; htsget-rs reads the S3, and its tickets lead there."""
    pods, provider = hospital
    for name in ("server", "gateway", "keyserver"):
        pods.start(f"lab-modos-{name}")
    (tmp_path / "token").write_text("Authorization: Bearer " + provider.token("alice", ("cohort",)))
    token = ("-H", f"@{tmp_path}/token")
    assert get(pods, "/list")[0] == "403"
    assert get(pods, "/list", *token)[0] == "200", pods.tell("lab-modos-server.modos")
    status, body = get(pods, "/htsget/reads/ex/demo1?format=CRAM&referenceName=chr1&start=20000&end=25000", *token)
    assert status == "200", body + pods.tell("lab-modos-gateway.htsget")
    url = next(one["url"] for one in json.loads(body)["htsget"]["urls"] if one["url"].startswith("http"))
    assert url.startswith("https://localhost:9443/modos-demo/ex/demo1.cram?") and "X-Amz-Signature" in url
    trust = dict.fromkeys(READERS, str(pods.folder / "ca.crt")) | {"MODOS_TOKEN": provider.token("alice", ("cohort",))}
    client = ("modos", "--endpoint", "http://localhost:8080")
    streamed = pods.ask(*client, "stream", "-c", "-r", "chr1:20,001-25,000", "s3://modos-demo/ex/demo1.cram", **trust)
    assert streamed.stdout == "969\n", streamed.stderr
    shown = pods.ask(*client, "show", "s3://modos-demo/ex", **trust)
    assert shown.returncode == 0 and "demo1" in shown.stdout, f"by keys of the STS: {shown.stderr}"


@pytest.mark.parametrize(
    ("release", "reason", "hint"),
    [
        ("bare", "its certificate is not trusted (unable to get local issuer certificate)", "AWS_CA_BUNDLE names a file"),
        ("other", "its certificate is not trusted (", "AWS_CA_BUNDLE names a file"),
        ("empty", "NO_CERTIFICATE_OR_CRL_FOUND", "is AWS_CA_BUNDLE, which is /etc/modos-cas/ca.crt, a file with"),
    ],
)
def test_a_server_that_does_not_trust_them_ends_with_one_clear_line(hospital, release, reason, hint):
    pods, _ = hospital
    with pytest.raises(AssertionError) as ended:
        pods.run(f"{release}-modos-server")
    said = str(ended.value).removeprefix(f"{release}-modos-server: ").partition("\nassert ")[0].splitlines()
    assert [line.partition(":")[0] for line in said] == ["error", "hint"], said
    assert said[0].startswith("error: cannot reach the S3 server https://localhost:9443: ") and reason in said[0]
    assert hint in said[1]


def get(pods: Pods, path: str, *words: str) -> tuple[str, str]:
    """The status and the body of an answer of the gateway."""
    body, _, status = pods.ask("curl", "-s", "-w", "\n%{http_code}", *words, f"http://localhost:8080{path}").stdout.rpartition(
        "\n"
    )
    return status, body
