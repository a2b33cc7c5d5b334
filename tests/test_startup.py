"""A command imports what it uses, and nothing heavy besides: what it takes to start is most of what a short command takes."""

import os
import re
import subprocess
import sys

import pytest

from modos.api import MODO
from modos.demo.dataset import generate

MODOS = [sys.executable, "-X", "importtime", "-c", "from modos.cli import main; main()"]
HELP = {"rich", "numpy", "zarr", "requests", "pysam", "asyncio", "yaml", "modos.object", "modos.storage.base"}
OF_SERVERS = {
    "asyncio",
    "requests",
    "urllib3",
    "http.client",
    "ssl",
    "s3fs",
    "botocore",
    "aiobotocore",
    "aiohttp",
    "modos.remote.access",
}
OF_WRITING = {
    "linkml_runtime",
    "jsonschema",
    "rdflib",
    "modos.object.transaction",
    "modos.object.checking",
    "modos.object.copying",
}
OF_ARRAYS = {"numpy", "zarr", "numcodecs", "polars", "modos.tracks"}
OF_TERMINALS = {"rich", "typer.rich_utils"}
OF_KEYS = {"crypt4gh", "cryptography", "modos.encryption.keys"}
LOCAL = OF_SERVERS | OF_WRITING | OF_ARRAYS | OF_TERMINALS | OF_KEYS | {"modos.reference"}


@pytest.fixture(scope="module")
def ex(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    generate(folder)
    MODO.from_file(folder / "modo.yaml", folder / "ex")
    return folder / "ex"


def imported(*words, code=0):
    """The modules that a command imports, by the name of each package above them, too."""
    done = subprocess.run(
        [*MODOS, *map(str, words)], capture_output=True, env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    )
    assert done.returncode == code, done.stderr.decode()
    names = re.findall(r"^import time:.*\| *([\w.]+)$", done.stderr.decode(), re.MULTILINE)
    assert "modos.cli.app" in names
    return {name[: end.start()] for name in names for end in re.finditer(r"\.|$", name)}


@pytest.mark.parametrize("words", [["--help"], ["-h"], ["--version"]])
def test_help(words):
    assert imported(*words) & (HELP | OF_TERMINALS) == set()


@pytest.mark.parametrize("command", ["show", "stream", "track", "track add", "remote upload"])
def test_help_of_a_command(command):
    assert imported(*command.split(), "--help") & (HELP | OF_TERMINALS) == set()


@pytest.mark.parametrize("words", [["nonsense"], ["show", "--nonsense"], ["show"], []])
def test_errors_of_usage(words):
    assert imported(*words, code=2) & (HELP | OF_TERMINALS) == set()


@pytest.mark.parametrize("more", [[], ["--json"], ["data/demo1"]])
def test_show(ex, more):
    assert imported("show", ex, *more) & (LOCAL | {"pysam"}) == set()


def test_show_files(ex):
    assert imported("show", ex, "--files") & (OF_SERVERS | OF_ARRAYS | OF_TERMINALS | {"pysam", "linkml_runtime"}) == set()


@pytest.mark.parametrize("name", ["demo2.bam", "calls.vcf.gz", "cohort.bcf"])
def test_stream_what_is_cut_by_its_bytes(ex, name):
    assert imported("stream", "-r", "chr1:1000-1000", f"{ex}/{name}") & (LOCAL | {"pysam"}) == set()


def test_stream_what_is_decoded(ex):
    of_the_fasta = {"modos.reference"}  # which is compared with its digests
    assert imported("stream", "-r", "chr1:1000-1000", f"{ex}/demo1.cram") & (LOCAL - of_the_fasta) == set()


def test_stream_raw(ex):
    assert imported("stream", "--raw", f"{ex}/demo1.cram") & (LOCAL | {"pysam"}) == set()


def test_importing_modos():
    done = subprocess.run([sys.executable, "-X", "importtime", "-c", "import modos"], capture_output=True, text=True, check=True)
    assert [name for name in re.findall(r"\| *([\w.]+)$", done.stderr, re.MULTILINE) if name.startswith("modos.")] == []
