"""TLS with certificates of Caddy's own authority: all ways go through it, also htsget-rs's to S3."""

from __future__ import annotations

import pytest
import requests

from .conftest import PROJECT

pytestmark = pytest.mark.containers
SETTINGS = {
    "COMPOSE_FILE": "docker-compose.yml:deploy/internal-ca.yml",
    "PUBLIC_URL": "https://localhost",
    "SITE_ADDRESS": "localhost",
}


@pytest.fixture(scope="module")
def authority(stack, tmp_path_factory) -> str:
    """The certificate that clients have to trust."""
    path = tmp_path_factory.mktemp("authority") / "root.crt"
    path.write_text(stack.podman("exec", f"{PROJECT}_gateway_1", "cat", "/data/caddy/pki/authorities/local/root.crt") + "\n")
    return str(path)


def test_regions_are_streamed(stack, authority):
    trusted = dict.fromkeys(("SSL_CERT_FILE", "AWS_CA_BUNDLE", "REQUESTS_CA_BUNDLE"), authority)
    found = stack.modos("stream", "-c", "-r", "chr1:20,001-25,000", "s3://modos-demo/ex/demo1.cram", **trusted)
    assert (found.returncode, found.stdout) == (0, "969\n"), found.stderr
    ticket = requests.get(f"{stack.url}/htsget/reads/ex/demo2", verify=authority, timeout=20).json()["htsget"]
    assert ticket["urls"][0]["url"].startswith("https://localhost/modos-demo/")


def test_who_does_not_trust_it_gets_nothing(stack):
    found = stack.modos(
        "show",
        "s3://modos-demo/ex",
        **dict.fromkeys(("SSL_CERT_FILE", "AWS_CA_BUNDLE", "REQUESTS_CA_BUNDLE"), "/etc/ssl/certs/ca-certificates.crt"),
    )
    assert found.returncode and found.stdout == "" and "certificate" in found.stderr.lower() and "Traceback" not in found.stderr


def test_plain_http_is_sent_on(stack, authority):
    answer = requests.get("http://localhost/list", allow_redirects=False, timeout=20)
    assert answer.status_code == 308 and answer.headers["Location"] == "https://localhost/list"
