"""The example workflow for Nextflow streams regions, counts their reads and adds the counts to the object, as Nextflow itself runs it."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from modos.api import MODO
from modos.demo.stack import BUCKET, CREDENTIALS
from modos.encryption.keys import generate

ROOT = Path(__file__).resolve().parents[2]
WORKFLOW = ROOT / "deploy" / "nextflow" / "main.nf"
CLASSPATH = ROOT / "build" / "nextflow.classpath"
OPENED = ("java.lang", "java.io", "java.nio", "java.net", "java.util", "java.util.concurrent.locks", "java.util.concurrent.atomic",
          "java.util.regex", "sun.nio.ch", "sun.nio.fs", "jdk.internal.misc", "jdk.internal.vm")  # fmt: skip
REGIONS = ("chr1:20,001-25,000", "chr2:1-9000")


def find_nextflow():
    if found := shutil.which("nextflow"):
        return [found]
    if not shutil.which("java") or not CLASSPATH.is_file():
        pytest.skip("Nextflow is not here, which `make test` takes from Maven where there are Java and Maven")
    opens = [f"--add-opens=java.base/{name}=ALL-UNNAMED" for name in OPENED]
    return ["java", *opens, "-cp", CLASSPATH.read_text().strip(), "nextflow.cli.Launcher"]


@pytest.fixture(scope="module")
def keys(tmp_path_factory):
    folder = tmp_path_factory.mktemp("keys")
    generate(folder / "me.sec", folder / "me.pub", "open sesame")
    generate(folder / "her.sec", folder / "her.pub", None)
    return folder


def nextflow(folder, top, *words, variables=None):
    """Run the example on an object."""
    (folder / "regions.txt").write_text("".join(f"{region}\n" for region in REGIONS))
    quiet = {"NXF_OFFLINE": "true", "NXF_HOME": str(folder / "home"), "NXF_ANSI_LOG": "false", "PYTHONPATH": str(ROOT)}
    return subprocess.run(
        [*find_nextflow(), "run", WORKFLOW, "--object", str(top), "--element", "data/demo1", "--regions", "regions.txt", *words],
        cwd=folder, env=os.environ | quiet | (variables or {}), capture_output=True, text=True, timeout=300,
    )  # fmt: skip


@pytest.mark.sweep(1)
@pytest.mark.skipif(not shutil.which("samtools"), reason="the workflow uses samtools")
@pytest.mark.parametrize("where", ["folder", "sealed s3"])
def test_regions_are_streamed_and_counts_added(example, keys, tmp_path, request, where):
    shutil.copytree(example / "ex", tmp_path / "ex")
    counts = [MODO.open(tmp_path / "ex").count("demo1.cram", region) for region in REGIONS]
    top, words, variables, options = tmp_path / "ex", [], {}, {}
    if where == "sealed s3":
        MODO.open(top).encrypt(keys / "me.pub")
        stack, address = request.getfixturevalue("stack"), f"s3://{BUCKET}/nextflow/ex"
        options = {"endpoint": stack.endpoint, "s3_kwargs": CREDENTIALS}
        MODO.open(top).upload(address, **options)
        top, words = address, ["--secret_key", str(keys / "me.sec")]
        variables = {
            "MODOS_ENDPOINT": stack.endpoint, "C4GH_PASSPHRASE": "open sesame",
            "AWS_ACCESS_KEY_ID": CREDENTIALS["key"], "AWS_SECRET_ACCESS_KEY": CREDENTIALS["secret"],
        }  # fmt: skip
    done = nextflow(tmp_path, top, *words, variables=variables)
    assert done.returncode == 0, done.stdout + done.stderr
    modo = MODO.open(top, **options)
    added = modo["data/counts"]
    assert added["derived_from"] == ["data/demo1"] and modo.find_problems() == []
    assert added.open_bytes().read().decode() == "".join(f"{region}\t{count}\n" for region, count in zip(REGIONS, counts))
    told = done.stdout + done.stderr + (tmp_path / ".nextflow.log").read_text()
    assert "PRIVATE" not in told and "sesame" not in told


def test_a_wrong_key_ends_the_workflow_with_the_reason_and_nothing_is_added(example, keys, tmp_path):
    shutil.copytree(example / "ex", tmp_path / "ex")
    MODO.open(tmp_path / "ex").encrypt(keys / "me.pub")
    done = nextflow(tmp_path, tmp_path / "ex", "--secret_key", str(keys / "her.sec"))
    assert done.returncode and "not sealed for this key" in done.stdout + done.stderr
    assert "data/counts" not in MODO.open(tmp_path / "ex").metadata


def test_what_is_no_region_never_gets_into_a_command(example, tmp_path):
    (tmp_path / "regions.txt").write_text("chr1:1-9'; touch broken; '\n")
    command = [
        *find_nextflow(),
        "run",
        WORKFLOW,
        "--object",
        str(example / "ex"),
        "--element",
        "data/demo1",
        "--regions",
        "regions.txt",
    ]
    quiet = {"NXF_OFFLINE": "true", "NXF_HOME": str(tmp_path / "home"), "NXF_ANSI_LOG": "false"}
    done = subprocess.run(command, cwd=tmp_path, env=os.environ | quiet, capture_output=True, text=True, timeout=300)
    assert done.returncode and "not a region" in done.stdout + done.stderr and not list(tmp_path.rglob("broken"))
