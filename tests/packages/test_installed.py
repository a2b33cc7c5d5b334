"""The wheel and the sdist, installed with their dependencies alone, in an empty environment of each Python that is there.

`make test-packages` runs them: they fetch packages from the registry that pip knows.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess

import pysam
import pytest

from tests.support.building import ROOT, build_sdist, find_pythons, make_project, pip, run

pytestmark = pytest.mark.packages
PYTHONS = find_pythons()


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """Commit, wheel and sdist; the wheel is of the tree."""
    folder = tmp_path_factory.mktemp("built")
    project = folder / "project"
    project.mkdir()
    commit = make_project(project)
    pip("wheel", "-q", "--no-deps", "--wheel-dir", folder, project)
    [wheel] = folder.glob("*.whl")
    return commit, wheel, build_sdist(project, folder)


def test_the_pythons_that_are_there_are_found():
    """At least the one that runs this; none is older than what pyproject.toml asks for."""
    [oldest] = re.findall(r'requires-python = ">=3\.(\d+)"', (ROOT / "pyproject.toml").read_text())
    assert PYTHONS and all(int(name.split(".")[1]) >= int(oldest) for name in PYTHONS)


@pytest.mark.parametrize("python", PYTHONS)
def test_an_empty_environment_works(built, python, tmp_path):
    """From the wheel, then from the sdist, which installs the same files: version with commit, and what a user does first."""
    commit, wheel, sdist = built
    environment = tmp_path / "environment"
    run(PYTHONS[python], "-m", "venv", environment)
    install = (environment / "bin/python", "-m", "pip", "install", "-q", "--no-compile", "--constraint", ROOT / "constraints.txt")
    run(*install, wheel)
    run(environment / "bin/python", "-m", "pip", "check")
    use(environment, commit, tmp_path / "wheel")
    files = installed(environment)
    run(*install, "--no-deps", "--force-reinstall", sdist)
    assert installed(environment) == files
    use(environment, commit, tmp_path / "sdist")


def installed(environment):
    """What was installed of the package, but what Python compiled of it."""
    [site] = environment.glob("lib/python*/site-packages")
    return {
        str(path.relative_to(site)): path.read_bytes() for path in (site / "modos").rglob("*") if path.suffix not in ("", ".pyc")
    }


def use(environment, commit, folder):
    folder.mkdir()
    modos = environment / "bin/modos"
    home = {"HOME": str(folder), "PATH": os.environ["PATH"]}

    def call(*words):
        return run(modos, *words, cwd=folder, env=home)

    assert call("--version") == f"modos 0.1.0 (commit {commit[:12]})\n"
    assert "Servers and settings" in call("--help")
    call("demo", "--write", "source", "-q")
    call("create", "ex", "-f", "source/modo.yaml", "-q")
    call("add", "ex", "sample", "-e", '{"id": "sample9", "sex": "Female"}', "-q")
    region = "chr1:20,001-25,000"
    with pysam.AlignmentFile(folder / "source/demo2.bam") as reads:
        expected = sum(1 for _ in reads.fetch("chr1", 20_000, 25_000))
    for name in ("demo1.cram", "demo2.bam"):
        assert int(call("stream", "-c", "-r", region, f"ex/{name}")) == (969 if name == "demo1.cram" else expected)
    call("genome", "init", "ex", "source/reference.fa", "-q")
    call("c4gh", "keygen", "--no-passphrase", "me.sec", "-q")
    call("c4gh", "encrypt", "-p", "me.pub", "-s", "me.sec", "ex", "-q")
    assert int(call("stream", "-c", "-r", region, "--secret-key", "me.sec", "ex/demo1.cram")) == 969
    call("c4gh", "decrypt", "-s", "me.sec", "ex", "-q")
    call("check", "ex")  # which ends with an error where anything is not whole
    assert "NCIT" in call("publish", "ex")
    assert call("query", "ex", 'SELECT ?s WHERE { ?s modos:sex "Female" }').count("sample9") == 1
    assert "meandepth" in call("coverage", "ex/demo1.cram", "-r", region)
    (folder / "signal.bedGraph").write_text("chr1\t10\t20\t0.5\n")
    (folder / "masked.fa").write_text(">chr1\nACGTacgt\n")
    (folder / "genes.gff3").write_text("##gff-version 3\nchr1\tx\tgene\t2\t9\t.\t+\t.\tID=g1;Name=ONE\n")
    call("create", "annotated", "source/demo2.bam", "genes.gff3", "-r", "source/reference.fa", "-q")
    for words, extra in (
        (("find", "."), "polars"),
        (("track", "add", "ex", "signal=signal.bedGraph"), "polars"),
        (("serve", "."), "server"),
        (("view", "ex"), "server"),
        (("gateway", "ex"), "server"),
        (("demo",), "demo"),
        (("stream", "-O", "tsv", "ex/demo2.bam"), "tables"),
        (("codes", "search", "sex", "male"), "codes"),
        (("reference", "add", "toy", "source/reference.fa", "--gff3", "genes.gff3", "--store", "refs"), "polars"),
        (("reference", "add", "toy", "masked.fa", "--store", "refs"), "polars"),
        (("stream", "-c", "-r", "ONE", "annotated/demo2.bam"), "polars"),
        (("query", ".", "SELECT ?s WHERE { ?s a modos:Sample }"), "polars"),
        (("template", "sample", "-o", "sheet.xlsx"), "xlsx"),
    ):
        environ = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "MODOS_"))} | home
        done = subprocess.run([modos, *words], capture_output=True, text=True, cwd=folder, env=environ, timeout=300)
        assert (done.returncode, done.stderr.count("\n")) == (2 if extra != "demo" else 1, 2), (words, done.stderr)
        assert f"hint: pip install 'modos-store[{extra}]'" in done.stderr.splitlines()[1], (words, done.stderr)
    assert not (folder / "refs").exists() and not (folder / "sheet.xlsx").exists()
    call("check", "ex")


@pytest.fixture(scope="module")
def server_python(built, tmp_path_factory):
    """The Python of an environment with the wheel and its extra `server`."""
    environment = tmp_path_factory.mktemp("server") / "environment"
    run(next(iter(PYTHONS.values())), "-m", "venv", environment)
    python = environment / "bin/python"
    run(python, "-m", "pip", "install", "-q", "--no-compile", "--constraint", ROOT / "constraints.txt", f"{built[1]}[server]")
    return python


def test_the_server_answers(built, server_python, tmp_path):
    """The extra `server` has what `modos serve` needs, and service-info says the commit."""
    commit = built[0]
    code = """
import json, sys, urllib.request
from modos.server.app import create_app
from modos.server.run import BackgroundServer
from modos.storage import open_storage
with BackgroundServer(create_app(open_storage(sys.argv[1]))) as server:
    for path in ("/", "/htsget/reads/service-info", "/find?where=true"):
        print(json.dumps([path, urllib.request.urlopen(server.url + path).read().decode()[:4000]]))
"""
    answers = dict(map(json.loads, run(server_python, "-c", code, tmp_path, cwd=tmp_path).splitlines()))
    assert json.loads(answers["/htsget/reads/service-info"])["version"] == f"0.1.0+{commit[:12]}"


def test_the_plug_in_of_snakemake_installs_beside_it(server_python, tmp_path):
    """As its README says, though from a copy, since a build leaves files; the interface of plug-ins takes it for one.

    Snakemake itself, which is not installed here, runs it in tests/integration.
    """
    source = tmp_path / "source"
    shutil.copytree(ROOT / "deploy/snakemake", source, ignore=shutil.ignore_patterns("__pycache__", "build", "*.egg-info"))
    run(server_python, "-m", "pip", "install", "-q", "--constraint", ROOT / "constraints.txt", source)
    run(server_python, "-m", "pip", "check")
    code = """
import logging, sys, types
sys.modules["snakemake"], sys.modules["snakemake.logging"] = types.ModuleType("snakemake"), types.SimpleNamespace(logger=logging)
from snakemake_interface_storage_plugins.registry import StoragePluginRegistry
plugin = StoragePluginRegistry().get_plugin("modos")
print(plugin.storage_provider.is_valid_query("modos://bucket/ex/demo1.cram?region=chr1:1-10000&format=bam").valid)
"""
    assert run(server_python, "-c", code, cwd=tmp_path) == "True\n"
