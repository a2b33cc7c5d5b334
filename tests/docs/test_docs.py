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


@pytest.mark.skipif(not shutil.which("samtools") or not shutil.which("bcftools"), reason="needs samtools and bcftools")
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_page(page, tmp_path, stack):
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    text = page.read_text()
    steps = [(block[0].line, block) for block in console_blocks(text)] + python_blocks(text)
    for line, step in sorted(steps, key=lambda numbered: numbered[0]):
        if isinstance(step, list):
            for command in step:
                run(command, tmp_path, environment, {ENDPOINT: stack.endpoint}, file=page.name)
        else:
            result = subprocess.run([sys.executable, "-c", step.replace(ENDPOINT, stack.endpoint)], cwd=tmp_path,
                                    env=environment, capture_output=True, text=True, timeout=60)
            assert result.returncode == 0, f"{page.name}:{line}: {result.stderr}"
