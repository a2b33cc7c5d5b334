"""References that the modos server gives out of MinIO, through the gateway."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys

import pytest
import requests

from modos.api import MODO
from modos.errors import AccessError
from modos.reference.adding import add_files, push
from modos.reference.annotation_store import add_annotation, push_annotation
from modos.reference.cache import cached_files
from modos.reference.locate import open_reference, open_store

from .conftest import ALICE

pytestmark = pytest.mark.stack

GFF3 = (
    "chr1\tT\tgene\t11\t90\t.\t+\t.\tID=g1;gene_name=ABC\nchr1\tT\tmRNA\t11\t90\t.\t+\t.\tID=t1;Parent=g1\n"
    "chr1\tT\texon\t11\t90\t.\t+\t.\tParent=t1\n"
)


@pytest.fixture(scope="module")
def refs(private, example, tmp_path_factory):
    """The demo's reference with an annotation, pushed into the bucket."""
    folder = tmp_path_factory.mktemp("refs")
    store = open_store(folder / "store")
    add_files(store, "demo", [str(example / "source/reference.fa")])
    (folder / "x.gff3").write_text(GFF3)
    add_annotation(store, "genes", store.assembly("demo"), str(folder / "x.gff3"))
    keys = private.credentials("server") | {"client_kwargs": {"endpoint_url": private.s3}}
    target = open_store("s3://modos-demo/refs", s3_kwargs=keys)
    push(store, target, "demo")
    push_annotation(store, target, "genes")
    return store


def test_refget_is_for_those_who_may_read(private, refs):
    contig = refs.assembly("demo").contigs[0]
    url = f"{private.url}/refget/sequence/{contig.md5}"
    assert requests.get(private.url, timeout=20).json()["refget"] == f"{private.url}/refget"
    answer = requests.get(url, headers={"Authorization": f"Bearer {ALICE}"}, timeout=20)
    assert answer.status_code == 200 and hashlib.md5(answer.content).hexdigest() == contig.md5
    part = requests.get(url, headers={"Authorization": f"Bearer {ALICE}", "Range": "bytes=5-9"}, timeout=20)
    assert part.status_code == 206 and part.content == answer.content[5:10]


def test_a_client_with_the_endpoint_alone(private, refs, example, tmp_path, monkeypatch):
    """Bases, genes, and a CRAM without a reference, with nothing set but the endpoint and a token."""
    monkeypatch.setenv("MODOS_ENDPOINT", private.url)
    monkeypatch.setenv("MODOS_TOKEN", "nobodys-token-of-many-letters")
    with pytest.raises(AccessError):
        open_reference("demo").dna("chr1", 0, 5)
    monkeypatch.setenv("MODOS_TOKEN", ALICE)
    reference = open_reference("demo")
    assert reference.dna("chr1", 100, 200) == open_reference("demo", refs.url).dna("chr1", 100, 200)
    assert reference.annotation("genes").genes.overlap("chr1:50-60")[0].name == "ABC"
    modo = MODO.create(tmp_path / "own")
    modo.add_element({"id": "reads", "@type": "AlignmentSet", "data_path": "reads.cram"}, example / "source/demo1.cram")
    result = subprocess.run(
        f"{sys.executable} -c 'from modos.cli import main; main()' stream -r chr1:20,001-25,000 own/reads.cram | samtools view -c",
        shell=True,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        env={**os.environ, "REF_PATH": "/nowhere"},
    )
    assert result.stdout == "969\n", result.stderr
    assert len(list(cached_files("sequences"))) == 1
