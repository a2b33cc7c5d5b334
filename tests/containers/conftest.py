"""docker-compose.yml itself in containers, by podman, with the images that `deploy/containers/build` made.

Each stack is a copy of docker-compose.yml and deploy/ in a folder of its own, so that no setting of a developer is in it. What
the kernel or the machine does not allow fails the run.
"""

from __future__ import annotations

import configparser
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PROJECT = "modos-test"
SERVER = 10001  # whom the services run as
MODOS = [sys.executable, "-c", "from modos.cli import main; main()"]
SERVICES = ("s3", "modos", "gateway", "htsget")


class Containers:
    """A stack with volumes and settings of its own; `http://localhost` where nothing else is said."""

    def __init__(self, folder: Path, **settings: str):
        self.root = folder
        shutil.copy(ROOT / "docker-compose.yml", folder)
        shutil.copytree(ROOT / "deploy", folder / "deploy", ignore=lambda _, names: {"__pycache__", "keys"} & set(names))
        for mine in (folder / "deploy/access").iterdir():
            if mine.name != "access.example.toml":
                mine.unlink()
        kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "MODOS_CONTAINERS") if name in os.environ}
        kept["PATH"] = f"{Path(sys.executable).parent}:{kept['PATH']}"
        self.settings = {"COMPOSE_PROJECT_NAME": PROJECT, **settings}
        self.environment = kept
        self.engine = self._engine()
        self.besides: list[str] = []  # containers that a module started itself

    def _engine(self) -> dict[str, str]:
        words = ["bash", "-c", f". {self.root}/deploy/containers/environment && env -0"]
        found = subprocess.run(words, env=self.environment, check=True, capture_output=True, text=True).stdout
        return dict(pair.split("=", 1) for pair in found.split("\0") if pair)

    @property
    def url(self) -> str:
        return self.settings.get("PUBLIC_URL", "http://localhost")

    def run(self, *words: str, fails: bool = False) -> str:
        """Call `deploy/containers/stack`."""
        done = subprocess.run(
            [sys.executable, self.root / "deploy/containers/stack", *words],
            env=self.environment | self.settings,
            text=True,
            capture_output=True,
            timeout=900,
        )
        assert bool(done.returncode) == fails, f"stack {' '.join(words)}: {done.stderr}"
        return done.stderr if fails else done.stdout

    def podman(self, *words: str) -> str:
        """What podman prints."""
        done = subprocess.run(["podman", *words], env=self.engine, text=True, capture_output=True, timeout=300)
        assert done.returncode == 0, f"podman {' '.join(words)}: {done.stderr}"
        return done.stdout.strip()

    def inspect(self, service: str, number: int = 1) -> dict:
        """What podman knows of a container."""
        return json.loads(self.podman("inspect", f"{PROJECT}_{service}_{number}"))[0]

    def address(self, service: str) -> str:
        """Where the service is reached from this machine, past the gateway."""
        (network,) = self.inspect(service)["NetworkSettings"]["Networks"].values()
        return network["IPAddress"]

    def read(self, secret: str) -> str:
        """A file of the volume `secrets`."""
        return self.podman("exec", f"{PROJECT}_s3_1", "cat", f"/secrets/{secret}")

    def credentials(self, name: str) -> dict[str, str]:
        """`server` reads and writes, `demo` reads; as variables of the AWS tools."""
        file = configparser.ConfigParser(interpolation=None)
        file.read_string(self.read(f"{name}-credentials"))
        return {key.upper(): value for key, value in file["default"].items()}

    def give(self, name: str, text: str) -> None:
        """Write a file into deploy/access, as its server's user."""
        path = self.root / "deploy/access" / name
        path.write_text(text)
        path.chmod(0o600)
        os.chown(path, SERVER, SERVER)

    def modos(self, *words: str, timeout: float = 120, **environment: str) -> subprocess.CompletedProcess:
        """Call `modos --endpoint URL`."""
        return subprocess.run(
            [*MODOS, "--endpoint", self.url, *words],
            env=os.environ | {"PYTHONPATH": str(ROOT)} | environment,
            capture_output=True,
            text=True,
            timeout=timeout,
        )

    def leave_nothing(self) -> None:
        """Take down what there is of the project."""
        for name in self.besides:
            self.podman("rm", "--force", "--volumes", name)
        self.run("down", "--volumes")
        mine = ["--filter", f"label=io.podman.compose.project={PROJECT}"]
        for kind, words in {"ps": ["--all"], "volume": ["ls"], "network": ["ls"]}.items():
            assert not self.podman(kind, *words, "--quiet", *mine), f"{kind} of the project are left"


@pytest.fixture(scope="module")
def stack(tmp_path_factory, request) -> Iterator[Containers]:
    """A stack as it comes, or with the module's SETTINGS."""
    found = Containers(tmp_path_factory.mktemp("stack"), **getattr(request.module, "SETTINGS", {}))
    getattr(request.module, "prepare", lambda stack: None)(found)
    found.run("down", "--volumes")  # of a run that was killed
    try:
        found.started = found.run("up")
        yield found
    finally:
        found.leave_nothing()
