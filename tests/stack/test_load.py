"""The load of tests/faults/test_load.py on a server over MinIO, whose answers come from it."""

from __future__ import annotations

import random

import pytest

from modos.reference.adding import add_files, push
from modos.reference.locate import open_store
from modos.storage.connecting import POOL
from tests.support.load import Load, check_flat, serving

pytestmark = pytest.mark.stack
PLACE = "s3://modos-demo/load/refs"


def test_a_crowd_that_goes_away_leaves_nothing(native, tmp_path):
    keys, bases = native.credentials("server"), "".join(random.Random(3).choices("ACGT", k=8_000_000))
    (tmp_path / "x.fa").write_text(f">long\n{bases}\n")
    local = open_store(tmp_path / "refs")
    add_files(local, "x", [str(tmp_path / "x.fa")])
    push(local, open_store(PLACE, s3_kwargs=keys | {"client_kwargs": {"endpoint_url": native.s3}}), "x")
    contig = local.assembly("x").contigs[0]
    sequence = f"/refget/sequence/{contig.md5}"
    with serving(
        "s3://modos-demo",
        "--references",
        PLACE,
        AWS_ENDPOINT_URL=native.s3,
        AWS_ACCESS_KEY_ID=keys["key"],
        AWS_SECRET_ACCESS_KEY=keys["secret"],
    ) as (url, pid):
        good = dict.fromkeys(("/healthz", "/readyz", "/list", "/meta", "/htsget/reads/ex/demo2", f"{sequence}?start=5&end=70005"))
        large = [sequence, "/files/ex/demo2.bam", f"/references/sequences/{contig.md5[:2]}/{contig.md5[2:4]}/{contig.md5[4:]}"]
        check_flat(Load(url, good, large), pid, pooled=2 * POOL)
