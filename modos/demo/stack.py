"""Run the demo stack: a local S3 server and a modos server with a small object."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from modos.demo.dataset import generate
from modos.errors import ModosError
from modos.object.modo import MODO
from modos.storage.s3 import S3Storage

BUCKET = "modos-demo"
CREDENTIALS = {"key": "modos-demo", "secret": "modos-demo"}
REGIONS = {
    "demo1.cram": "chr1:20,001-25,000",
    "demo2.bam": "chr1:20,001-25,000",
    "calls.vcf.gz": "chr2:1-20,000",
    "cohort.bcf": "chr2:1-20,000",
}


@dataclass(frozen=True)
class Stack:
    """Running services: the modos server's URL and the S3 server's."""

    endpoint: str
    s3: str


@contextmanager
def run_stack(port: int = 0) -> Iterator[Stack]:
    """Start the services on the loopback address; stop them at the end.

    Parameters
    ----------
    port
        The modos server's; a free one where it is 0, as the S3 server's always is.

    Raises
    ------
    ModosError
        The optional group `demo` is not installed.
    """
    try:
        from moto.server import ThreadedMotoServer
    except ImportError:
        raise ModosError("the demo's S3 server is not installed", "pip install 'modos-store[demo]'") from None
    import logging

    from modos.server.app import create_app
    from modos.server.run import BackgroundServer

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    s3 = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    s3.start()
    try:
        s3_host, s3_port = s3.get_host_and_port()
        url = f"http://{s3_host}:{s3_port}"
        storage = S3Storage.from_url(f"s3://{BUCKET}", endpoint_url=url, s3_kwargs=CREDENTIALS)
        storage.create_bucket(acl="public-read")
        with BackgroundServer(create_app(storage), port) as server:
            yield Stack(server.url, url)
    finally:
        s3.stop()


def load_example(stack: Stack, folder: Path) -> MODO:
    """Generate the data set, make an object of it in `folder`/ex and upload it; returns the copy on S3."""
    description = generate(folder / "source")
    local = MODO.from_file(description, folder / "ex")
    return local.upload(f"s3://{BUCKET}/ex", endpoint=stack.endpoint, s3_kwargs=CREDENTIALS)


@dataclass(frozen=True)
class Comparison:
    """Records of one region: streamed over htsget, and read from the local file by its index."""

    file: str
    region: str
    streamed: int
    local: int


def compare(remote: MODO, folder: Path) -> Iterator[Comparison]:
    """Stream a region of each file and count the same with pysam on the local files."""
    import pysam

    for file, region in REGIONS.items():
        streamed = sum(1 for _ in remote.stream_genomics(file, region))
        text, path = region.replace(",", ""), str(folder / "ex" / file)
        if file.endswith((".cram", ".bam")):
            with pysam.AlignmentFile(path, reference_filename=str(folder / "ex" / "reference.fa")) as reads:
                local = sum(1 for _ in reads.fetch(region=text))
        else:
            with pysam.VariantFile(path) as variants:
                local = sum(1 for _ in variants.fetch(region=text))
        yield Comparison(file, region, streamed, local)
