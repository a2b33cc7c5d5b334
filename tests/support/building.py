"""Build the distribution of this tree, and install it where nothing else is."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
_BUILT = ("pyproject.toml", "setup.py", "MANIFEST.in", "README.md", "LICENSE", ".gitattributes")


def run(*words, **options):
    """Run a program, without what this environment tells Python and git; its output, and an error where it fails."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "GIT_", "MODOS_"))}
    environment |= {"GIT_CONFIG_GLOBAL": os.devnull, "PIP_DISABLE_PIP_VERSION_CHECK": "1"} | options.pop("env", {})
    done = subprocess.run([*map(str, words)], capture_output=True, text=True, timeout=590, env=environment, **options)
    assert done.returncode == 0, f"{words}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def pip(*words, **options):
    """Run it; skips where there is nothing to build with, as pip fetches that."""
    try:
        return run(sys.executable, "-m", "pip", *words, **options)
    except AssertionError as error:
        if "No matching distribution found for setuptools" in str(error):
            pytest.skip("no setuptools can be fetched")
        raise


def make_project(folder):
    """A git repository with what makes the distribution, and a test that is no part of it; returns its commit."""
    shutil.copytree(ROOT / "modos", folder / "modos", ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "modos/commit.txt").write_text("$Format:%H$\n")
    for name in _BUILT:
        shutil.copy(ROOT / name, folder)
    (folder / "tests").mkdir()
    shutil.copy(ROOT / "tests/test_layers.py", folder / "tests")
    me = ("-c", "user.name=me", "-c", "user.email=me@example.org")
    for words in (["init", "-q", "-b", "main"], ["add", "."], [*me, "commit", "-qm", "All"]):
        run("git", "-C", folder, *words)
    return run("git", "-C", folder, "rev-parse", "HEAD").strip()


def build_sdist(project, folder):
    """Build the sdist as a frontend does, with the setuptools that the project asks for."""
    [wanted] = re.findall(r'requires = \["(setuptools[^"]*)"\]', (project / "pyproject.toml").read_text())
    pip("install", "-q", "--target", folder / "tools", wanted)
    folder.joinpath("sdist").mkdir()
    code = "import sys, setuptools.build_meta as backend; print(backend.build_sdist(sys.argv[1]))"
    run(sys.executable, "-c", code, folder / "sdist", cwd=project, env={"PYTHONPATH": str(folder / "tools")})
    [made] = folder.joinpath("sdist").iterdir()
    return made


def find_pythons(oldest=(3, 11)):
    """One Python of each version that is there, from some version on: of the path, and of pyenv."""
    places = [sys.executable, *(shutil.which(f"python3.{minor}") for minor in range(oldest[1], 30))]
    places += sorted(Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv").glob("versions/3.*/bin/python3"))
    found = {}
    for place in filter(None, places):
        code = "import sys, ensurepip, venv; print(*sys.version_info[:2], sys.version_info[3] == 'final')"
        done = subprocess.run([place, "-c", code], capture_output=True, text=True)
        if done.returncode == 0 and done.stdout.split()[2] == "True":
            version = tuple(map(int, done.stdout.split()[:2]))
            if version >= oldest:
                found.setdefault(version, str(place))
    return {f"{major}.{minor}": place for (major, minor), place in sorted(found.items())}
