"""The deploy guide does what it says, on the native stack."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from tests.support.console import console_blocks, run

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.stack


def test_the_deploy_guide(native):
    page = ROOT / "deploy/README.md"
    environment = os.environ | native.environment | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    for block in console_blocks(page.read_text()):
        for command in block:
            run(command, ROOT, environment, {"http://localhost:8080": native.url}, file="deploy/README.md")
