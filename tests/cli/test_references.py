"""Reference assemblies, as people type it."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

MODOS = [sys.executable, "-c", "from modos.cli import main; main()"]


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Runs a command in a folder with `mini.fa`, its store `refs`; gives what it says."""
    monkeypatch.setenv("MODOS_REFERENCE_STORE", "refs")
    (tmp_path / "mini.fa").write_text(">chr1\nACGTN\n>chr2\nGATTACA\n")

    def command(*words, code=0, said=()):
        result = subprocess.run([*MODOS, "reference", *words], cwd=tmp_path, capture_output=True, text=True, timeout=60,
                                stdin=subprocess.DEVNULL)
        assert result.returncode == code and "Traceback" not in result.stderr, result.stderr
        assert code == 0 or (result.stderr.startswith("error: ") and len(result.stderr.splitlines()) <= 2)
        assert all(word in result.stderr for word in ([said] if isinstance(said, str) else said)), result.stderr
        return result.stdout

    command("add", "mini", "mini.fa")
    return command


def test_an_assembly_comes_and_goes(run, tmp_path):
    assert json.loads(run("list", "--json"))["assemblies"]["mini"]["bases"] == 12
    assert [line.split("\t")[:2] for line in run("show", "mini").splitlines()] == [["chr1", "5"], ["chr2", "7"]]
    assert json.loads(run("show", "mini", "--json"))["contigs"][1]["length"] == 7
    run("verify", "mini", said="is whole")
    run("push", "mini", "other", said="12 bytes sent")
    run("pull", "mini", said="nothing had to be fetched")
    file = next(path for path in (tmp_path / "refs/sequences").rglob("*") if path.is_file() and path.stat().st_size == 7)
    file.write_bytes(b"GATTACC")
    assert "does not have the MD5" in run("verify", "mini", code=6, said="1 file of mini")
    run("rm", "mini", code=2, said="--yes")
    run("rm", "mini", "--yes", said="removed mini and 2 sequences")
    run("list", said="no assemblies")
    run("list", "--store", "other")


@pytest.mark.parametrize(("words", "code", "said"), [
    ("show minni", 3, "did you mean mini"), ("add new none.fa", 3, "none.fa"), ("add a/b mini.fa", 2, "cannot be the name"),
    ("add new mini.fa --names mini.fa", 2, "names"), ("pull mini -c chr9", 3, "no contig chr9"), ("list --store http://127.0.0.1:9/refs", 5, "connection refused"), ("list --store quux://x", 2, "cannot be read"),
    ("push none other", 3, "no assembly none"), ("verify none", 3, "no assembly none"), ("rm none --yes", 3, "no assembly none"),
])
def test_what_cannot_be(run, words, code, said):
    run(*words.split(), code=code, said=said)
    run("verify", "mini", said="is whole")


def test_the_cache(run):
    assert "sequences  0" in run("cache")
    run("cache", "--clear", "--yes", said="removed 0 sequences and 0 tables")
    run("cache", "--forget", "mini", said="forgot mini")
    assert run("env").startswith("export REF_CACHE=")


def test_help_has_two_examples():
    for command in "list show add import pull push verify dna features rm env cache".split():
        text = subprocess.run([*MODOS, "reference", command, "--help"], capture_output=True, text=True, timeout=60).stdout
        assert text.count("modos reference ") >= 2, command
