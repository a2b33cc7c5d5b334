"""A newcomer who follows a command through the library meets few packages: each flow enters at most eight."""

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from modos.api import MODO
from modos.demo.dataset import generate

TRACER = Path(__file__).parent / "support" / "entering.py"
MOST = 8


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    generate(folder)
    (folder / "signal.bedGraph").write_text("chr1\t0\t10\t1.5\n")
    MODO.from_file(folder / "modo.yaml", folder / "ex")
    return folder


def run(data, *words):
    """The functions that a command enters by the package that they are in, as many as there are."""
    found = data / "entered.json"
    done = subprocess.run(
        [sys.executable, TRACER, *map(str, words)], cwd=data, env=os.environ | {"ENTERED": str(found)}, capture_output=True
    )
    assert done.returncode == 0, done.stderr.decode()
    return Counter(path.partition("/")[0].removesuffix(".py") for path, _ in json.loads(found.read_text()))


@pytest.mark.parametrize("name", ["demo1.cram", "demo2.bam", "calls.vcf.gz", "cohort.bcf"])
def test_stream(data, name):
    check(run(data, "stream", "-r", "chr1:1000-2000", f"ex/{name}"), f"stream {name}", "genomics")


def test_stream_raw(data):
    check(run(data, "stream", "--raw", "ex/demo2.bam"), "stream --raw", "genomics")


def test_add(data):
    for name in ("new.bam", "more.bam"):
        (data / name).write_bytes((data / "demo2.bam").read_bytes())
        (data / f"{name}.bai").write_bytes((data / "demo2.bam.bai").read_bytes())
    check(run(data, "add", "ex", "new.bam"), "add FILE", "object")
    check(run(data, "add", "ex", "data", "-e", '{"id": "more"}', "-s", "more.bam"), "add ELEMENT", "object")


def test_track_add(data):
    check(run(data, "genome", "init", "ex", "reference.fa"), "genome init", "tracks")
    check(run(data, "track", "add", "ex", "signal=signal.bedGraph"), "track add", "tracks")


def test_encrypt(data):
    from modos.encryption.keys import SecretKey

    MODO.from_file(data / "modo.yaml", data / "sealed")
    (data / "her.pub").write_bytes(SecretKey.random().public.to_pem())
    check(run(data, "c4gh", "encrypt", "-y", "-p", "her.pub", "sealed"), "c4gh encrypt", "encryption")


def check(entered, flow, heart):
    """See that a flow enters few packages, that of what it is about among them."""
    print(f"{flow}: {len(entered)} packages; {', '.join(f'{name} {count}' for name, count in entered.most_common())}")
    assert heart in entered and len(entered) <= MOST, f"{flow} enters {len(entered)} packages: {dict(entered)}"
