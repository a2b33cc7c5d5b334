"""Without what only Linux has, as on macOS: everything is imported, and tests of what used it pass.

`tests/support/without_linux` takes it from Python, also in the processes that tests start.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys

import pytest

from tests.support.building import ROOT

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="this is no Linux, which lacks it anyhow")
IMPORT_ALL = """
import importlib, os, pkgutil, select, sys
assert not hasattr(os, "memfd_create") and not os.path.exists("/proc") and not hasattr(select, "epoll")
try:
    open("/proc/self/stat")
except FileNotFoundError:
    pass
else:
    raise AssertionError
import modos
names = [found.name for found in pkgutil.walk_packages(modos.__path__, "modos.") if found.name not in ("modos.__main__", "modos.demo.init")]
for name in names:
    importlib.import_module(name)
print(len(names))
"""
SUBSETS = {
    "storage": ("tests/unit/storage/test_system.py", "tests/unit/storage/processes", "tests/unit/storage/test_paths.py"),
    "folders": ("tests/integration/test_shared_folders.py", "tests/integration/test_pipes.py"),
    "objects": ("tests/integration/test_object.py", "tests/unit/tracks/test_bigwig.py"),
    "sealed": ("tests/integration/test_sealed_files.py",),
}


def run_without(*words, cwd=ROOT):
    """What a Python prints that lacks it."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "MODOS_"))}
    environment["PYTHONPATH"] = f"{ROOT / 'tests/support/without_linux'}{os.pathsep}{ROOT}"
    done = subprocess.run([sys.executable, *words], cwd=cwd, capture_output=True, text=True, env=environment, timeout=580)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    return done.stdout


def test_everything_is_imported():
    assert int(run_without("-c", IMPORT_ALL)) > 400


def test_commands_work(tmp_path):
    """An object is made, changed, checked, encrypted and streamed."""

    def modos(*words):
        return run_without("-m", "modos", *words, cwd=tmp_path)

    modos("demo", "--write", "source", "-q")
    modos("create", "ex", "-f", "source/modo.yaml", "-q")
    modos("c4gh", "keygen", "--no-passphrase", "me.sec", "-q")
    modos("c4gh", "encrypt", "-p", "me.pub", "-s", "me.sec", "ex", "-q")
    assert modos("stream", "-c", "-r", "chr1:20,001-25,000", "--secret-key", "me.sec", "ex/demo1.cram") == "969\n"
    modos("check", "ex")


@pytest.mark.sweep(1)
@pytest.mark.parametrize("subset", SUBSETS)
def test_what_used_it_does_without(subset):
    """A sample of the cases; what is about Linux alone is skipped, and says so. Commands are processes that lack it, too."""
    said = run_without("-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", *SUBSETS[subset])
    [passed] = re.findall(r"(\d+) passed", said)
    assert int(passed) > 10
