"""Which code the stack runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from .conftest import ROOT

pytestmark = pytest.mark.stack


def test_the_server_runs_the_code_of_its_own_tree(native):
    """Not that of another one, from which the package was installed."""
    process = (native.state / "modos.pid").read_text().split()[0]
    environment = Path(f"/proc/{process}/environ").read_bytes().split(b"\0")
    assert f"PYTHONPATH={ROOT}".encode() in environment
