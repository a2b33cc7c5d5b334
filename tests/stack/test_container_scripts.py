"""The scripts that run docker-compose.yml by podman, where they cannot: each says why in one line, and does nothing."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SCRIPTS = ROOT / "deploy/containers"
pytestmark = pytest.mark.stack


def run(*words: str | Path, **options) -> subprocess.CompletedProcess:
    return subprocess.run(words, capture_output=True, text=True, timeout=60, **options)


def test_without_podman_it_says_so(tmp_path):
    (tmp_path / "bash").symlink_to(shutil.which("bash"))
    done = run(sys.executable, SCRIPTS / "stack", "up", env={"PATH": str(tmp_path), "HOME": str(tmp_path)})
    assert done.returncode == 1 and "podman is not installed" in done.stderr and "Traceback" not in done.stderr


@pytest.mark.skipif(os.geteuid() != 0, reason="root alone can be somebody else")
def test_somebody_else_than_root_is_told(tmp_path):
    for words in (["build", "s3"], ["stack", "ps"]):
        source = f'. "{SCRIPTS}/environment"' if words[0] == "stack" else f'"{SCRIPTS}/build" s3'
        done = run("bash", "-c", source, user=65534, group=65534, env={"PATH": os.environ["PATH"], "HOME": str(tmp_path)})
        assert done.returncode == 1 and "run it as root" in done.stderr and "Permission" not in done.stderr, done.stderr


def source(folder: Path, **environment: str) -> subprocess.CompletedProcess:
    """The engine's files and variables, of a copy of the scripts in a folder."""
    folder.mkdir(parents=True)
    shutil.copy(SCRIPTS / "environment", folder)
    words = ["bash", "-c", 'set -eu; . "$1"; echo "$HOME"; echo "$containers"', "bash", folder / "environment"]
    return run(*words, env={"PATH": os.environ["PATH"], **environment})


@pytest.mark.skipif(os.geteuid() != 0, reason="root alone runs containers here")
def test_without_home_the_images_are_those_of_the_user(tmp_path):
    """Not those of a folder /.cache, with which a second engine began."""
    done = source(tmp_path / "a path, o'neil's", MODOS_CONTAINERS=str(tmp_path / "engine"))
    assert done.stdout.splitlines()[0] == os.path.expanduser("~root"), done.stderr
    assert {path.name for path in (tmp_path / "engine").iterdir()} == {"storage.conf", "containers.conf", "registries.conf"}


def test_an_image_that_there_is_not_is_no_command(tmp_path):
    """It ran whatever program had the name."""
    if os.geteuid() or not all(shutil.which(one) for one in ("podman", "buildah", "runc", "debootstrap")):
        pytest.skip("needs root and podman")
    done = run(SCRIPTS / "build", "ls", env=os.environ | {"MODOS_CONTAINERS": str(tmp_path)})
    assert done.returncode == 1 and "there is no image ls" in done.stderr and done.stdout == ""
