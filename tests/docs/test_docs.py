"""Every console and Python block of the documentation does what it says."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from .console import console_blocks, python_blocks, run

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
ENDPOINT = "http://localhost:8080"


@pytest.fixture
def place(example, stack, tmp_path):
    """A folder with the demo's source files, as the pages assume."""
    shutil.copytree(example / "source", tmp_path / "source")
    return tmp_path


@pytest.mark.skipif(not shutil.which("samtools") or not shutil.which("bcftools"), reason="needs samtools and bcftools")
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_page(page, place, stack):
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    text = page.read_text()
    for block in console_blocks(text):
        for command in block:
            run(command, place, environment, {ENDPOINT: stack.endpoint}, file=page.name)
    for line, code in python_blocks(text):
        result = subprocess.run([sys.executable, "-c", code.replace(ENDPOINT, stack.endpoint)], cwd=place,
                                env=environment, capture_output=True, text=True, timeout=60)
        assert result.returncode == 0, f"{page.name}:{line}: {result.stderr}"
