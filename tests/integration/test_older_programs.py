"""Landed versions of modos meet objects of this one, and of a version to come: what they read is right, or they refuse.

Each is run by its own command line, from the history of this repository.
"""

from __future__ import annotations

import hashlib
import io
import json
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from tests.support.writing_versions import FOLDER, ROOT, VERSIONS, environment, unpack

pytestmark = pytest.mark.sweep(2)

EXPECTED = json.loads((FOLDER / "expected.json").read_text())
NEWEST = max(VERSIONS)
FILES = {"reads.bam": "reads.bam", "reads.cram": "reads.cram", "calls.vcf.gz": "calls~2.vcf.gz", "cohort.bcf": "cohort.bcf"}
REGION = "chr2:100-2,500"


@pytest.fixture(scope="session")
def checkout(tmp_path_factory):
    """Gives the code of a version, from the history; skips where that is not here."""
    folder = tmp_path_factory.mktemp("checkouts")

    def get(name: str) -> Path:
        if not (folder / name).exists():
            commit = VERSIONS[name]["commit"]
            done = subprocess.run(["git", "archive", commit, "modos"], cwd=ROOT, capture_output=True)
            if done.returncode:
                pytest.skip(f"the history is not here: {commit}")
            with tarfile.open(fileobj=io.BytesIO(done.stdout)) as archive:
                archive.extractall(folder / name, filter="data")
        return folder / name

    return get


@pytest.fixture
def older(checkout, tmp_path):
    """Runs a command of a version in the folder of the newest fixture; the plain files are beside it."""
    unpack("plain", tmp_path / "source")
    place = unpack(NEWEST, tmp_path / "place")

    def run(name: str, *words: str) -> subprocess.CompletedProcess:
        there = environment(checkout(name), tmp_path / "home")
        return subprocess.run([sys.executable, "-m", "modos", *words], cwd=place, env=there, capture_output=True, timeout=120)

    run.place = place
    return run


def lines_of(done: subprocess.CompletedProcess, file: str) -> str:
    """SHA-256 of the records that a stream gave, by samtools and bcftools."""
    program = ["bcftools", "view", "-H"] if "am" not in file else ["samtools", "view", "-T", "source/genome.fa"]
    return hashlib.sha256(subprocess.run(program, input=done.stdout, capture_output=True, check=True).stdout).hexdigest()


def is_refused(done: subprocess.CompletedProcess) -> bool:
    """Whether it ended with one line that says why, and gave nothing."""
    lines = done.stderr.decode().splitlines()
    return done.returncode in (1, 2, 3, 4, 5, 6) and any("error" in line for line in lines) and b"Traceback" not in done.stderr


@pytest.mark.parametrize("of", ["plain", "sealed"])
@pytest.mark.parametrize("name", sorted(VERSIONS)[:-1])
def test_an_older_version_reads_what_is_right_or_refuses(older, tmp_path, monkeypatch, name, of):
    monkeypatch.chdir(tmp_path)
    key = ["--secret-key", str(tmp_path / "source/bob.sec")] if of == "sealed" and int(name[:2]) >= 2 else []
    for file, path in FILES.items():
        stored = path if of == "plain" else _find_stored(older.place / of, file)
        done = older(name, "stream", "-r", REGION, *key, f"{of}/{stored}")
        assert is_refused(done) or lines_of(done, file) == EXPECTED[file][REGION], (file, done.stderr)
    done = older(name, "show", of, "sample/one")
    assert is_refused(done) or (b"two" in done.stdout and "ü".encode() in done.stdout and b"Male" in done.stdout)
    if int(name[:2]) >= 3:
        done = older(name, "track", "query", of, "-r", "chr1:1,001-1,002", *(key if int(name[:2]) >= 8 else ()))
        first = (tmp_path / "source/signal.bedGraph").read_text().split()[3]
        assert is_refused(done) or done.stdout.decode().split("\n")[1].split("\t")[2:3] == [f"{float(first):g}"]


def _find_stored(folder: Path, file: str) -> str:
    stem, _, ending = file.partition(".")
    return next(path.name for path in folder.iterdir() if path.name.startswith(stem) and path.name.endswith(f"{ending}.c4gh"))


@pytest.mark.parametrize("name", sorted(VERSIONS)[:-1])
def test_an_older_version_refuses_a_version_to_come(older, name):
    """As format.md asks of it: besides its number, it names another class at its root."""
    path = older.place / "plain/data.zarr/zarr.json"
    root = json.loads(path.read_text())
    root["attributes"]["@type"] = "MODO 2"
    root["consolidated_metadata"]["metadata"]["_modos"]["attributes"]["state"]["format_version"] = 2
    path.write_text(json.dumps(root))
    before = path.read_bytes()
    calls = [
        ("show", "plain"),
        ("stream", "-r", REGION, "plain/reads.bam"),
        ("check", "plain"),
        ("add", "plain", "sample", "-e", '{"id": "n"}'),
        ("remove", "plain", "sample/two", "--yes"),
        ("remote", "download", "plain", "copy"),
    ]
    if int(name[:2]) >= 3:
        calls.append(("track", "query", "plain", "-r", "chr1:1-2"))
    for words in calls:
        done = older(name, *words)
        assert is_refused(done) and not done.stdout, (words, done)
    assert path.read_bytes() == before and not (older.place / "copy").exists()
