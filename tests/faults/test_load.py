"""200 clients, most of whom go away in the middle: the others are answered, and the server holds no more afterwards."""

from __future__ import annotations

import hashlib
import random
import shutil

import pytest

from modos.api import MODO
from modos.reference.adding import add_files, push
from modos.reference.locate import open_store
from tests.support.load import Load, check_flat, serving

pytestmark = pytest.mark.sweep(0)

BASES = 8_000_000


@pytest.fixture(scope="module")
def sources(example, tmp_path_factory):
    """A folder with the example and a file of 20 MB, and a reference store with a long sequence beside it."""
    folder, chance = tmp_path_factory.mktemp("load"), random.Random(3)
    shutil.copytree(example / "ex", folder / "objects/ex")
    (folder / "big").write_bytes(chance.randbytes(20_000_000))
    MODO.open(folder / "objects/ex").add_element(
        {"id": "big", "@type": "DataEntity", "data_format": "TSV", "data_path": "big.tsv"}, folder / "big"
    )
    (folder / "x.fa").write_text(">long\n" + "".join(chance.choices("ACGT", k=BASES)) + "\n")
    add_files(open_store(folder / "refs"), "x", [str(folder / "x.fa")])
    return folder


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def addresses(sources):
    """What is asked for in whole, of which nothing leads elsewhere, and what is long."""
    contig = open_store(sources / "refs").assembly("x").contigs[0]
    sequence = f"/refget/sequence/{contig.md5}"
    text = (sources / "x.fa").read_text().split("\n")[1].encode()
    good = {
        "/healthz": digest(b'{"status":"ok"}'),
        "/readyz": None,
        "/list": None,
        "/meta": None,
        "/htsget/reads/ex/demo2": None,
        f"{sequence}?start=5&end=70005": digest(text[5:70005]),
    }
    return good, [sequence, f"/references/sequences/{contig.md5[:2]}/{contig.md5[2:4]}/{contig.md5[4:]}"]


def test_over_a_folder(sources):
    good, large = addresses(sources)
    good |= {"/files/ex/demo2.bam": digest((sources / "objects/ex/demo2.bam").read_bytes())}
    with serving(sources / "objects", "--references", sources / "refs") as (url, pid):
        check_flat(Load(url, good, [*large, "/files/ex/big.tsv"]), pid)


def test_over_s3(sources, stack):
    from modos.demo.stack import BUCKET, CREDENTIALS

    place = f"s3://{BUCKET}/load"
    MODO.open(sources / "objects/ex").upload(f"{place}/objects/ex", endpoint=stack.endpoint, s3_kwargs=CREDENTIALS)
    push(open_store(sources / "refs"), open_store(f"{place}/refs", stack.endpoint, CREDENTIALS), "x")
    good, large = addresses(sources)
    with serving(
        f"{place}/objects",
        "--references",
        f"{place}/refs",
        AWS_ENDPOINT_URL=stack.s3,
        AWS_ACCESS_KEY_ID=CREDENTIALS["key"],
        AWS_SECRET_ACCESS_KEY=CREDENTIALS["secret"],
    ) as (url, pid):
        check_flat(Load(url, good, [*large, "/files/ex/demo2.bam"]), pid)
