"""The demo of the Helm chart, with the real services: what is rendered starts as it is, and gives what the stack gives."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from modos.encryption.keys import generate
from tests.support.charts import CHART, render
from tests.support.commands import run
from tests.support.pods import Pods
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.stack, pytest.mark.skipif(os.getuid() != 0, reason="only root can shut programs in")]
ACCESS = 'tokens = "tokens"\n[[rule]]\nwho = ["user:alice"]\nread = ["ex"]\n[[rule]]\nwho = ["user:steward"]\nwrite = ["/"]\n'
ALICE = "alices-token-of-many-letters"
NAMES = ("server", "gateway")
URL = "http://modos.localhost"
ASKED = "asked-by-somebody"
SAID = ("-H", "X-Forwarded-For: 203.0.113.6, 198.51.100.7", "-H", "X-Forwarded-Proto: https", "-H", f"X-Request-ID: {ASKED}")
THROUGH = ("curl", "-s", "--resolve", "modos.localhost:80:127.0.0.1")


def start(folder: Path, settings: dict, secrets: dict | None = None) -> Iterator[Pods]:
    """The pods of the demo, in the order in which a cluster would come to it."""
    documents = render(folder, CHART.parent / "examples/demo.yaml", settings=settings)
    stack = Path(os.environ.get("STACK_CACHE") or Path(os.environ["HOME"]) / ".cache/modos/stack")
    with Pods(folder, documents, [stack / "bin"], secrets) as pods:
        pods.start("lab-modos-s3")
        assert pods.run("lab-modos-init-1") == ""
        for name in NAMES:
            pods.start(f"lab-modos-{name}")
        yield pods


@pytest.fixture(scope="module")
def demo(tmp_path_factory) -> Iterator[Pods]:
    """Everybody reads everything; the machine is a proxy that is trusted."""
    yield from start(tmp_path_factory.mktemp("demo"), {"gateway.trustedProxies": ["127.0.0.0/8"]})


def modos(pods: Pods, *words: str, **settings: str) -> subprocess.CompletedProcess[str]:
    return pods.ask("modos", "--endpoint", "http://localhost:8080", *words, **settings)


def test_it_gives_the_records_of_a_region(demo):
    """By tickets of htsget-rs, which reads the bucket at the address of the gateway beside it."""
    assert modos(demo, "remote", "list").stdout == "s3://modos-demo/ex\n"
    streamed = modos(demo, "stream", "-c", "-r", "chr1:20,001-25,000", "s3://modos-demo/ex/demo1.cram")
    assert streamed.stdout == "969\n", streamed.stderr
    ticket = demo.ask(
        "curl", "-s", "http://localhost:8080/htsget/reads/ex/demo1?format=CRAM&referenceName=chr1&start=20000&end=25000"
    )
    assert re.search(r'"url":\s*"http://localhost:8080/modos-demo/ex/demo1.cram\?[^"]*X-Amz-Signature', ticket.stdout), (
        ticket.stdout
    )


def test_the_log_has_whom_a_trusted_proxy_has_seen(demo):
    assert demo.ask("curl", "-sf", *SAID, "http://127.0.0.1:8080/list?limit=1").stdout
    assert logged(demo)["client"] == "198.51.100.7"


def test_the_pod_of_helm_test_is_content(demo):
    said = demo.run("lab-modos-test", GATEWAY="http://lab-modos-gateway:8080")
    assert said.split("\n")[:2] == ["/healthz 200", "/readyz 200"] and "/metrics 404" in said


def test_no_process_has_more_than_it_needs(demo):
    """As the kernel says: the user, no capabilities, none to be had, and nothing of the file system to be changed."""
    for name in ("lab-modos-s3.s3", "lab-modos-server.modos", "lab-modos-gateway.gateway", "lab-modos-gateway.htsget"):
        found = list(demo.processes(name))
        assert found
        for process in found:
            assert set(process["Uid"].split()) == set(process["Gid"].split()) == {"10001"}, name
            assert int(process["CapEff"], 16) == int(process["CapPrm"], 16) == 0 and process["NoNewPrivs"] == "1", name
            assert int(process["CapBnd"], 16) == (1 << 10) * name.endswith(".gateway"), name


def test_it_ends_in_order(tmp_path):
    for pods in start(tmp_path, {"demo.load": False}):
        for name in ("lab-modos-gateway.htsget", "lab-modos-gateway.gateway", "lab-modos-server.modos"):
            assert pods.stop(name) in (0, -15, 143), pods.tell(name)
        assert "Traceback" not in pods.tell("lab-modos-server.modos")


def test_with_rules_nobody_gets_past_them(tmp_path):
    """Tokens from a Secret, rules from a ConfigMap, in one folder; the address is one of its own at port 80.

    With all that a site may have besides: a key for indexes with a passphrase, a key service, a read log in a volume.
    """
    (tmp_path / "passphrase").write_text("of the index key\n")
    for name, passphrase in (("server", "of the index key"), ("keys", None), ("officer", None), ("alice", None)):
        generate(tmp_path / f"{name}.sec", tmp_path / f"{name}.pub", passphrase)
    public = {name: (tmp_path / f"{name}.pub").read_text() for name in ("officer", "alice")}
    settings = {
        "access": {"rules": ACCESS, "existingSecret": "modos-access", "keys": ["tokens"]},
        "publicUrl": URL,
        "indexKey": {"existingSecret": "modos-index-key", "passphraseKey": "passphrase"},
        "keyserver": {"enabled": True, "existingSecret": "modos-keys", "people": {"alice": public["alice"]}},
        "readLog": {"place": "/var/log/modos-reads", "key": public["officer"], "volume": {"enabled": True}},
    }
    secrets = {
        "modos-access": {"tokens": f"alice {ALICE}\n".encode(), "unused": b"x"},
        "modos-index-key": {name: (tmp_path / name).read_bytes() for name in ("server.sec", "passphrase")},
        "modos-keys": {"keys.sec": (tmp_path / "keys.sec").read_bytes()},
    }
    for pods in start(tmp_path, settings, secrets):
        pods.start("lab-modos-keyserver")
        assert "/metrics 404" in pods.run("lab-modos-test"), "whose address is that of the Service, at port 80 as here"
        assert status(pods, "/whoami", *SAID) == "200"
        assert logged(pods)["client"] not in ("198.51.100.7", "203.0.113.6"), "whom nobody trusts"
        token = ("-H", f"Authorization: Bearer {ALICE}")
        slices = "/htsget/reads/ex/demo1?format=CRAM&referenceName=chr1&start=20000&end=25000"
        assert status(pods, "/list") == status(pods, slices) == "403"
        assert status(pods, "/modos-demo/ex/zarr.json") == "403", "the bucket itself"
        assert status(pods, "/list", *token) == "200"
        ticket = pods.ask(*THROUGH, *token, URL + slices).stdout
        assert f"{URL}/modos-demo/ex/demo1.cram?" in ticket, ticket
        log = tmp_path / "volumes/lab-modos-read-log"
        assert run(["log", "verify", log], capture_output=True, text=True).returncode == 0
        shown = run(["log", "show", log, "--secret-key", tmp_path / "officer.sec"], capture_output=True, text=True)
        assert "alice" in shown.stdout and "demo1" in shown.stdout, shown.stderr


def logged(pods: Pods) -> dict[str, Any]:
    """The line of the server's log about the request that carried SAID, which it writes once the answer is on its way."""

    def found() -> re.Match[str] | None:
        return re.search(rf'^.*"request_id": "{ASKED}".*\n', pods.tell("lab-modos-server.modos"), re.M)

    return json.loads(wait_until(found, tell=lambda: pods.tell("lab-modos-server.modos")[-2000:])[0])


def status(pods: Pods, path: str, *words: str) -> str:
    return pods.ask(*THROUGH, "-o", "/dev/null", "-w", "%{http_code}", *words, URL + path).stdout
