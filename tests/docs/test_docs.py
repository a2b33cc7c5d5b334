"""Every console and Python block of the documentation does what it says."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.console import console_blocks, python_blocks, run

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
ENDPOINT = "http://localhost:8080"


@contextmanager
def demo_running() -> Iterator[str]:
    """`modos demo --keep`, as the pages ask for it; gives the endpoint."""
    modos = Path(sys.executable).with_name("modos")
    with subprocess.Popen([modos, "demo", "--keep"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as demo:
        try:
            output = b""
            while b"another terminal" not in output:
                line = demo.stdout.readline()
                assert line, output
                output += line
            yield re.search(rb"modos server +(\S+)", output)[1].decode()
        finally:
            demo.send_signal(signal.SIGINT)


@pytest.mark.sweep(2)
@pytest.mark.skipif(not shutil.which("samtools") or not shutil.which("bcftools"), reason="needs samtools and bcftools")
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_page(page, tmp_path):
    text = page.read_text()
    for package in re.findall(r"<!-- needs (\w+) -->", text):
        pytest.importorskip(package, reason=f"the page {page.name} needs {package}, which `make test` installs")
    if ENDPOINT not in text:
        run_page(page.name, text, tmp_path, {})
        return
    with demo_running() as endpoint:
        run_page(page.name, text, tmp_path, {ENDPOINT: endpoint})


def run_page(name: str, text: str, folder: Path, replace: dict[str, str]) -> None:
    """Run the blocks of a page in their order."""
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    plugin = str(ROOT / "deploy" / "snakemake")  # a package of its own, which `make test` does not install
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, [os.environ.get("PYTHONPATH"), plugin]))
    steps = [(block[0].line, block) for block in console_blocks(text)] + python_blocks(text)
    for line, step in sorted(steps, key=lambda numbered: numbered[0]):
        if isinstance(step, list):
            for command in step:
                run(command, folder, environment, replace, file=name)
            continue
        for documented, real in replace.items():
            step = step.replace(documented, real)
        result = subprocess.run(
            [sys.executable, "-c", step], cwd=folder, env=environment, capture_output=True, text=True, timeout=180
        )
        assert result.returncode == 0, f"{name}:{line}: {result.stderr}"
