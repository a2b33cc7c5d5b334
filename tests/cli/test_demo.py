"""`modos demo --keep` leaves services behind that answer, and ends cleanly on Ctrl-C."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.sweep(1)


@pytest.mark.skipif(not shutil.which("samtools") or not shutil.which("bcftools"), reason="needs samtools and bcftools")
def test_the_printed_commands_work_while_it_runs(tmp_path):
    modos = Path(sys.executable).with_name("modos")
    environment = os.environ | {"PATH": f"{modos.parent}:{os.environ['PATH']}", "TMPDIR": str(tmp_path)}
    with subprocess.Popen(
        [modos, "demo", "--keep"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment, cwd=tmp_path
    ) as demo:
        lines = []
        while not lines or not lines[-1].startswith("  samtools view"):
            lines.append(demo.stdout.readline())
            assert lines[-1], demo.stderr.read()
        commands = [line.strip() for line in lines if re.match("  (modos|samtools) ", line)]
        assert len(commands) == 5 and sum(line.endswith("same\n") for line in lines) == 4
        for command in commands:
            if command.startswith("samtools") and b"libcurl=yes" not in _samtools_version():
                continue
            result = subprocess.run(
                ["bash", "-o", "pipefail", "-c", command.removesuffix(" | head")],
                env=environment,
                cwd=tmp_path,
                capture_output=True,
                timeout=180,
            )
            assert result.returncode == 0 and result.stdout, (shlex.quote(command), result.stderr)
        demo.send_signal(signal.SIGINT)
        assert demo.wait(60) == 0
        assert demo.stderr.read().strip().splitlines() == ["Running until Ctrl-C.", "stopped"]
    assert [path.name for path in tmp_path.iterdir() if path.name != "cache"] == []


def _samtools_version():
    return subprocess.run(["samtools", "version"], capture_output=True).stdout


def test_a_terminated_demo_leaves_nothing(tmp_path):
    modos = Path(sys.executable).with_name("modos")
    with subprocess.Popen(
        [modos, "demo", "--keep"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env=os.environ | {"TMPDIR": str(tmp_path)},
    ) as demo:
        while "chr1" not in demo.stdout.readline():
            pass
        assert any(path.name.startswith("modos-demo-") for path in tmp_path.iterdir())
        demo.terminate()
        demo.stdout.read()
        assert demo.wait(60) == 143
    assert not any(path.name.startswith("modos-demo-") for path in tmp_path.iterdir())
