"""What the image of the server installs is what pyproject.toml and constraints.txt say, and every file has its hash."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import re
import tomllib
from importlib.machinery import SourceFileLoader
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]
IMAGES = ROOT / "deploy/modos"
HERE = {
    "python_version": "3.12",
    "python_full_version": "3.12.0",
    "sys_platform": "linux",
    "platform_machine": "x86_64",
    "extra": "",
}


@pytest.fixture(scope="module")
def lock():
    """The script that writes the files."""
    loader = SourceFileLoader("image_lock", str(IMAGES / "lock"))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader("image_lock", loader))
    loader.exec_module(module)
    return module


def pins(name: str) -> dict[str, str]:
    """The packages of a file of requirements, and their versions."""
    return dict(re.findall(r"(?m)^(\S+)==(\S+) \\$", (IMAGES / name).read_text()))


def dependencies(wanted: list[str], left_out: tuple[str, ...]) -> set[str]:
    """What that needs, of itself and on and on, as the packages that are installed here say."""
    found, waiting = set(), [Requirement(one) for one in wanted]
    while waiting:
        one = waiting.pop()
        name = canonicalize_name(one.name)
        if name in left_out or (one.marker and not one.marker.evaluate(HERE)):
            continue
        key = (name, frozenset(one.extras))
        if key in found:
            continue
        found.add(key)
        for text in importlib.metadata.requires(name) or ():
            other = Requirement(text)
            if other.marker is None or any(other.marker.evaluate(HERE | {"extra": extra}) for extra in ("", *one.extras)):
                other.marker = None
                waiting.append(other)
    return {name for name, _ in found}


def test_they_are_what_the_server_needs(lock):
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = lock.list_wanted(project)
    for one in map(Requirement, wanted):
        assert pins("requirements.txt")[canonicalize_name(one.name)] in one.specifier, "run deploy/modos/lock"
    needed = dependencies(wanted, lock.LEFT_OUT) | {canonicalize_name(one) for one in lock.ALONE}
    assert set(pins("requirements.txt")) == needed, "run deploy/modos/lock"


def test_their_versions_are_those_of_the_constraints():
    constraints = {
        canonicalize_name(name): version
        for name, version in re.findall(r"(?m)^([^=\s]+)==(\S+)$", (ROOT / "constraints.txt").read_text())
    }
    for file in ("requirements.txt", "build.txt"):
        found = pins(file)
        assert {name: constraints.get(name, version) for name, version in found.items()} == found, (
            f"run deploy/modos/lock ({file})"
        )
    assert set(pins("requirements.txt")) <= set(constraints)


@pytest.mark.parametrize("file", ["requirements.txt", "build.txt"])
def test_each_file_has_its_hash_and_none_an_address(file):
    entries = (IMAGES / file).read_text().replace(" \\\n", " ").splitlines()[1:]
    assert len(entries) > 20
    for entry in entries:
        assert re.fullmatch(r"\S+==\S+( +--hash=sha256:[0-9a-f]{64})+", entry), entry
    assert "://" not in (IMAGES / file).read_text()
