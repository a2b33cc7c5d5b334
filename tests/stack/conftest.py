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

ROOT = Path(__file__).resolve().parents[2]
PORTS = int(os.environ.get("MODOS_TEST_PORT", "18080"))  # the first of ten for each worker and stack


class Native:
    """A stack of its own, with its own data."""

    def __init__(self, state: Path, port: int, **settings: str):
        self.state = state
        self.url = f"http://localhost:{port}"
        self.s3 = f"http://127.0.0.1:{port + 1}"  # MinIO, without the gateway
        cache = os.environ.get("STACK_CACHE") or Path(os.environ["HOME"]) / ".cache/modos/stack"
        self._environment = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ} | settings | {
            "MODOS_STACK_CACHE": str(cache), "MODOS_STACK_STATE": str(state), "MODOS_STACK_PORT": str(port)}

    def run(self, *words: str) -> str:
        """Call `deploy/native/stack`."""
        done = subprocess.run([sys.executable, ROOT / "deploy/native/stack", *words], env=self._environment, text=True,
                              capture_output=True, timeout=120)
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
