"""The image of the server: how large it is, what is in it, and that two builds of it are one."""

from __future__ import annotations

import hashlib
import json
import os
import re
import stat
import subprocess
from pathlib import Path

import pytest

from tests.support.waiting import wait_until

from .conftest import ROOT, Containers

pytestmark = pytest.mark.containers
LARGEST = 500e6  # bytes on disk, of which polars is 142 MB and Python with its Debian 138
SMALL = 350e6
IMAGE = "localhost/modos:0.1.0"


@pytest.fixture(scope="module")
def engine(tmp_path_factory) -> Containers:
    return Containers(tmp_path_factory.mktemp("engine"))


def inside(engine: Containers, *words: str) -> str:
    """What a command prints in the image, without a network."""
    return engine.podman("run", "--rm", "--network", "none", "--read-only", IMAGE, *words)


def test_its_size(engine):
    size = int(engine.podman("image", "inspect", "--format", "{{.Size}}", IMAGE))
    assert size < LARGEST, f"{size / 1e6:.0f} MB"


def test_it_is_small_without_polars(engine):
    """As small as an image of a server was to be; what takes polars says so (tests/integration/test_without_extras.py)."""
    small = "localhost/modos-small"
    done = subprocess.run(
        [ROOT / "deploy/containers/build", "small"], env=engine.environment, capture_output=True, text=True, timeout=900
    )
    try:
        assert done.returncode == 0, done.stderr
        size = int(engine.podman("image", "inspect", "--format", "{{.Size}}", small))
        assert size < SMALL, f"{size / 1e6:.0f} MB"
        words = ("run", "--rm", "--network", "none", "--read-only", small)
        script = "import importlib.util as u, modos.server.app; print(u.find_spec('polars'), u.find_spec('_polars_runtime_32'))"
        assert engine.podman(*words, "python", "-c", script) == "None None"
        bill = json.loads(engine.podman(*words, "cat", "/opt/modos/sbom.cdx.json"))
        assert not [one["name"] for one in bill["components"] if "polars" in one["name"]]
    finally:
        engine.podman("rmi", "--force", small)


def test_there_are_no_compilers_no_installers_and_no_caches(engine):
    script = (
        "import shutil; print([one for one in ('gcc', 'cc', 'g++', 'ld', 'strip', 'make', 'pip', 'pip3') if shutil.which(one)])"
    )
    assert inside(engine, "python", "-c", script) == "[]"
    script = "import importlib.util as u; print([one for one in ('pip', 'setuptools', 'ensurepip', 'pytest', 'linkml_runtime', 'moto') if u.find_spec(one)])"
    assert inside(engine, "python", "-c", script) == "[]"
    assert inside(engine, "sh", "-c", "ls -A /root /home/modos /tmp /src 2>/dev/null | grep -v : ; id -u") == "10001"


def test_the_bill_of_materials_names_what_is_installed(engine):
    bill = json.loads(inside(engine, "cat", "/opt/modos/sbom.cdx.json"))
    assert bill["bomFormat"] == "CycloneDX"
    told = {(re.sub(r"[-_.]+", "-", one["name"]).lower(), one["version"]) for one in bill["components"]}
    script = "import importlib.metadata as m, json; print(json.dumps([(d.name, d.version) for d in m.distributions()]))"
    there = {
        (re.sub(r"[-_.]+", "-", name).lower(), version) for name, version in json.loads(inside(engine, "python", "-c", script))
    }
    assert told == there
    locked = dict(re.findall(r"(?m)^(\S+)==(\S+) ", (ROOT / "deploy/modos/requirements.txt").read_text()))
    assert dict(there - {("modos-store", dict(there)["modos-store"])}) == locked


def test_every_module_of_the_server_can_be_imported(engine):
    """What was taken out of packages is not missed."""
    script = (
        "import importlib, pkgutil, modos, modos.server, modos.catalog, modos.gateway, modos.demo, modos.cli\n"
        "for package in (modos.server, modos.catalog, modos.gateway, modos.demo, modos.cli, modos.metadata, modos.storage):\n"
        "    for one in pkgutil.walk_packages(package.__path__, package.__name__ + '.'):\n"
        "        if not one.name.endswith(('datamodel', '__main__')): importlib.import_module(one.name)\n"
        "import polars, rdflib, pysam, zarr, numpy.linalg, s3fs, minio, pybigtools, rapidfuzz, isal, blake3, crypt4gh, google_crc32c\n"
        "assert polars.DataFrame({'a': [1, 2]}).lazy().select(polars.col('a').sum()).collect().item() == 3\n"
        "assert len(rdflib.Graph().parse(data='<a:b> <a:c> <a:d> .', format='turtle').serialize(format='json-ld')) > 9\n"
        "import modos.server.genome.igv as igv; print('ready')"
    )
    assert inside(engine, "python", "-c", script).endswith("ready")


def tree(root: Path) -> dict[str, tuple]:
    """Each path with its mode, owner, time and what it holds."""
    found = {}
    for folder, folders, files in os.walk(root):
        for path in (Path(folder) / name for name in (*folders, *files)):
            info = path.lstat()
            held = (
                os.readlink(path)
                if path.is_symlink()
                else hashlib.sha256(path.read_bytes()).hexdigest()
                if stat.S_ISREG(info.st_mode)
                else ""
            )
            found[str(path.relative_to(root))] = (info.st_mode, info.st_uid, info.st_gid, held)
    return found


def test_two_builds_are_one(engine):
    """Without anything of the first but its base."""
    again = "localhost/modos-again"
    base = next(
        line.split("=")[1]
        for line in (ROOT / "deploy/modos/Containerfile").read_text().splitlines()
        if line.startswith("ARG PYTHON_IMAGE")
    )
    assert engine.podman("image", "exists", base) == ""
    try:
        done = subprocess.run(
            [ROOT / "deploy/containers/build", "again"], env=engine.environment, capture_output=True, text=True, timeout=900
        )
        assert done.returncode == 0, done.stderr
        first, second = (tree(Path(engine.podman("image", "mount", name))) for name in (IMAGE, again))
        assert len(first) > 5000
        assert {path for path in first.keys() | second.keys() if first.get(path) != second.get(path)} == set()
    finally:
        for name in (IMAGE, again):
            subprocess.run(["podman", "image", "unmount", name], env=engine.engine, capture_output=True)
        engine.podman("rmi", "--force", again)
        engine.podman("image", "prune", "--force")


def test_a_build_that_is_interrupted_leaves_nothing(engine):
    """The names have the images of before, and there is no half of one."""

    def half_made() -> str:
        words = ["buildah", "containers", "--quiet"]
        return subprocess.run(words, env=engine.engine, capture_output=True, text=True).stdout

    before = engine.podman("images", "--all", "--quiet", "--no-trunc")
    building = subprocess.Popen(
        [ROOT / "deploy/containers/build", "again"], env=engine.environment, stderr=subprocess.PIPE, text=True
    )
    wait_until(lambda: half_made() or building.poll() is not None)
    second = subprocess.run([ROOT / "deploy/containers/build", "modos"], env=engine.environment, capture_output=True, text=True)
    assert second.returncode == 1 and "another build is running" in second.stderr
    building.terminate()
    said = building.communicate(timeout=120)[1]
    assert building.returncode == 143 and "interrupted" in said
    assert engine.podman("images", "--all", "--quiet", "--no-trunc") == before
    assert half_made() == ""
