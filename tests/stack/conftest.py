"""The real services, run natively: MinIO, htsget-rs, the modos server and Caddy. What cannot start fails the tests."""

from __future__ import annotations

import configparser
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from modos.api import MODO
from tests.support.provider import Provider

ROOT = Path(__file__).resolve().parents[2]
PORTS = int(os.environ.get("MODOS_TEST_PORT", "18080"))  # the first of ten for each worker and stack


class Native:
    """A stack of its own, with its own data."""

    def __init__(self, state: Path, port: int, **settings: str):
        self.state = state
        self.url = f"http://localhost:{port}"
        self.s3 = f"http://127.0.0.1:{port + 1}"  # MinIO, without the gateway
        cache = os.environ.get("STACK_CACHE") or Path(os.environ["HOME"]) / ".cache/modos/stack"
        self.environment = (
            {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
            | settings
            | {"MODOS_STACK_CACHE": str(cache), "MODOS_STACK_STATE": str(state), "MODOS_STACK_PORT": str(port)}
        )

    def run(self, *words: str) -> str:
        """Call `deploy/native/stack`."""
        done = subprocess.run(
            [sys.executable, ROOT / "deploy/native/stack", *words],
            env=self.environment,
            text=True,
            capture_output=True,
            timeout=300,
        )
        assert done.returncode == 0, f"stack {' '.join(words)}: {done.stderr}"
        return done.stdout

    def credentials(self, name: str) -> dict[str, str]:
        """`server` reads and writes, `demo` reads; as arguments of s3fs."""
        file = configparser.ConfigParser(interpolation=None)
        file.read(self.state / f"secrets/{name}-credentials")
        return {"key": file["default"]["aws_access_key_id"], "secret": file["default"]["aws_secret_access_key"]}


def _native(tmp_path_factory: pytest.TempPathFactory, worker: str, number: int, **settings: str) -> Iterator[Native]:
    state = tmp_path_factory.mktemp("stack") / "state"
    stack = Native(state, PORTS + 10 * (number + 5 * int(worker.removeprefix("gw") or 0)), **settings)
    try:
        stack.run("up")
        yield stack
    finally:
        stack.run("down")
        shutil.rmtree(state / "s3-data", ignore_errors=True)


@pytest.fixture(scope="session")
def worker(request) -> str:
    """The number of this process among those of pytest-xdist."""
    return getattr(request.config, "workerinput", {"workerid": "gw0"})["workerid"]


@pytest.fixture(scope="session")
def native(tmp_path_factory, worker) -> Iterator[Native]:
    """The stack as it comes: anybody may read its bucket, and the demo object is in it."""
    yield from _native(tmp_path_factory, worker, 0)


ACCESS = """
tokens = "tokens"

[oidc]
issuer = "{issuer}"
audience = "modos"
name_claim = "preferred_username"

[[rule]]
who = ["user:alice"]
read = ["lab-a"]
write = ["lab-a"]

[[rule]]
who = ["user:bob"]
read = ["lab-b"]

[[rule]]
who = ["user:dora"]
read = ["lab-a"]
regions = ["chr1:20,001-25,000"]
metadata = true

[[rule]]
who = ["group:stewards"]
read = ["/"]
write = ["/"]

[[rule]]
who = ["anyone"]
read = ["open"]
"""
ALICE, BOB, DORA = "alices-token-of-many-letters", "bobs-token-of-many-letters", "doras-token-of-many-letters"


@pytest.fixture(scope="session")
def provider():
    """An OpenID provider."""
    with Provider() as provider:
        yield provider


@pytest.fixture(scope="session")
def private(tmp_path_factory, worker, provider, example) -> Iterator[Native]:
    """A stack with rules: the object is in lab-a, lab-b and open, and its bucket is nobody's."""
    folder = tmp_path_factory.mktemp("rules")
    (folder / "access.toml").write_text(ACCESS.format(issuer=provider.url))
    (folder / "tokens").write_text(f"alice {ALICE}\nbob {BOB}\ndora {DORA}\n")
    (folder / "tokens").chmod(0o600)
    started = _native(
        tmp_path_factory,
        worker,
        1,
        MODOS_ACCESS=str(folder / "access.toml"),
        MODOS_DEMO="0",
        MODOS_MAX_AGE="0",
        MODOS_REFERENCES="s3://modos-demo/refs",
    )
    for stack in started:
        for place in ("lab-a", "lab-b", "open"):
            MODO.open(example / "ex").upload(
                f"s3://modos-demo/{place}/ex", services={"s3": stack.s3}, s3_kwargs=stack.credentials("server")
            )
        yield stack
