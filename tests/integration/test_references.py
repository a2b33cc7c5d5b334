"""A CRAM whose reference lives only in the store, streamed to pysam and samtools with no flag given."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from modos.api import MODO
from modos.demo.stack import BUCKET, CREDENTIALS
from modos.errors import ModosError
from modos.reference.cache import cached_files
from modos.reference.opening import add_files, open_store, push

MODOS = [sys.executable, "-c", "from modos.cli import main; main()"]


@pytest.fixture
def place(tmp_path, example, monkeypatch):
    """A folder with the demo's CRAM in the object `own` without a reference, and a store `refs` that has it."""
    monkeypatch.setenv("REF_PATH", "/nowhere")
    add_files(open_store(tmp_path / "refs"), "demo", [str(example / "source/reference.fa")])
    modo = MODO.create(tmp_path / "own")
    modo.add_element({"id": "reads", "@type": "AlignmentSet", "data_path": "reads.cram"}, example / "source/demo1.cram")
    return tmp_path


def test_without_a_reference_what_is_missing_is_named(place):
    with pytest.raises(ModosError, match="the reference of chr1 .*MD5|chr1"):
        list(MODO.open(place / "own").stream_genomics("reads.cram", "chr1:20,001-25,000"))


def test_a_store_on_this_machine(place, monkeypatch):
    monkeypatch.setenv("MODOS_REFERENCE_STORE", str(place / "refs"))
    assert sum(1 for _ in MODO.open(place / "own").stream_genomics("reads.cram", "chr1:20,001-25,000")) == 969
    assert list(cached_files()) == []  # it is read where it is
    result = subprocess.run(f"{sys.executable} -c 'from modos.cli import main; main()' stream -r chr1:20,001-25,000 own/reads.cram | samtools view -c",
                            shell=True, cwd=place, capture_output=True, text=True)
    assert result.stdout == "969\n", result.stderr


def test_a_store_far_away_gives_the_contig_of_the_region_alone(place, stack, monkeypatch):
    keys = {"AWS_ACCESS_KEY_ID": CREDENTIALS["key"], "AWS_SECRET_ACCESS_KEY": CREDENTIALS["secret"], "MODOS_ENDPOINT": stack.endpoint}
    for name, value in keys.items():
        monkeypatch.setenv(name, value)
    target = f"s3://{BUCKET}/refs-{place.name}"
    push(open_store(place / "refs"), open_store(target), "demo")
    monkeypatch.setenv("MODOS_REFERENCE_STORE", target)
    result = subprocess.run([*MODOS, "stream", "-c", "-r", "chr1:20,001-25,000", "own/reads.cram"], cwd=place, capture_output=True, text=True,
                            env=dict(os.environ))
    assert result.stdout == "969\n", result.stderr
    assert len(list(cached_files())) == 1
    modo = MODO.open(place / "own")
    assert sum(1 for _ in modo.stream_genomics("reads.cram")) > 969 and len(list(cached_files())) == 2
    monkeypatch.setenv("MODOS_OFFLINE", "1")
    assert sum(1 for _ in modo.stream_genomics("reads.cram", "chr1:20,001-25,000")) == 969


def test_a_cram_of_an_htsget_server_takes_the_fasta_that_is_given(stack, example):
    """The address of a file on a server, as `modos stream` takes it."""
    from modos.sources import served_file

    url = f"{stack.endpoint}/htsget/reads/ex/demo1"
    assert served_file(url, None, example / "source/reference.fa").count("chr1:20,001-25,000") == 969
    assert sum(1 for _ in served_file(url, None, example / "source/reference.fa").fetch("chr1:20,001-25,000")) == 969
