"""Metadata: requests counted at the S3 server, times of local changes, against plain zarr-python on the same machine."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import mean, median
from typing import Any
from wsgiref.types import StartResponse, WSGIEnvironment

import zarr
from moto.moto_server.werkzeug_app import DomainDispatcherApplication

from modos.api import MODO
from modos.catalog.catalog import Catalog
from modos.demo.stack import BUCKET, CREDENTIALS, run_stack
from modos.object.document import Document, group_node
from modos.storage import open_storage

SAMPLE = {"@type": "Sample", "name": "A sample", "sex": "Male", "description": "Blood, taken in the morning"}


class Counter:
    """Counts the requests that reach moto, and delays them."""

    def __init__(self) -> None:
        self.count, self.delay = 0, 0.0

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Count while this lasts."""
        original = DomainDispatcherApplication.__call__

        def call(app: Any, environ: WSGIEnvironment, start_response: StartResponse) -> Any:
            self.count += 1
            time.sleep(self.delay)
            return original(app, environ, start_response)

        DomainDispatcherApplication.__call__ = call
        try:
            yield
        finally:
            DomainDispatcherApplication.__call__ = original


def report(what: str, got: float, unit: str, limit: float, note: str = "") -> None:
    """Print a figure beside its limit."""
    verdict = "" if got <= limit else "  MISSED"
    print(f"{what:<52} {got:9.4g} {unit:<9} limit {limit:g}{verdict}   {note}")


def timed(work: Callable[[], Any]) -> float:
    """Seconds."""
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin


def add_batch(modo: MODO, number: int, prefix: str = "s") -> None:
    """Add samples in one commit."""
    with modo.transaction() as tx:
        for n in range(number):
            tx.add_element(SAMPLE | {"id": f"{prefix}{n}"})


def bench_requests() -> None:
    """Requests on S3."""
    counter = Counter()
    with run_stack() as services, counter.watching():
        where = {"services": {"s3": services.s3}, "s3_kwargs": CREDENTIALS}

        def requests(work: Callable[[], Any]) -> int:
            counter.count = 0
            work()
            return counter.count

        for size in (100, 1000):
            path = f"s3://{BUCKET}/of{size}"
            add_batch(MODO(path, **where), size)
            report(
                f"S3, open and all metadata, {size} elements",
                requests(lambda path=path: MODO.open(path, **where).metadata),
                "requests",
                2,
            )
        hundred = MODO.open(f"s3://{BUCKET}/of100", **where)
        report("S3, add one element to 100", requests(lambda: hundred.add_element(SAMPLE | {"id": "one"})), "requests", 6)
        report("S3, add 100 elements in a batch", requests(lambda: add_batch(hundred, 100, "b")), "requests", 110)
        counter.delay = 0.05
        report("S3 with 50 ms a request, add 100 in a batch", timed(lambda: add_batch(hundred, 100, "c")), "s", 3)
        counter.delay = 0.0
        for n in range(50):
            add_batch(MODO(f"s3://{BUCKET}/many/o{n}", **where), 3)
        catalog = Catalog(open_storage(f"s3://{BUCKET}/many", s3_url=services.s3, s3_kwargs=CREDENTIALS))
        cold, warm = (requests(lambda: list(catalog.iter_metadata())) for _ in range(2))
        report("S3, 50 objects with metadata, cold", cold / 50, "per object", 1.04, f"({cold} in all, listings among them)")
        report("S3, 50 objects with metadata, unchanged", warm, "requests", 1, "(the listing itself, 1 per 1,000 keys)")


def bench_local(folder: Path) -> None:
    """Times of local changes."""
    modo = MODO(folder / "one")
    times = [timed(lambda n=n: modo.add_element(SAMPLE | {"id": f"s{n}"})) for n in range(1000)]
    report("local, 1000 elements one by one", sum(times), "s", 10)
    report(
        "local, the last 20 against the first 20",
        median(times[-20:]) / median(times[:20]),
        "ratio",
        2,
        f"({median(times[:20]) * 1e3:.2f} and {median(times[-20:]) * 1e3:.2f} ms)",
    )
    ours = timed(lambda: add_batch(MODO(folder / "batch"), 1000))
    theirs = timed(lambda: add_with_zarr(folder / "plain.zarr"))
    report("local, 1000 elements in one batch", ours, "s", 1, f"plain zarr {theirs:.2f} s, ratio {theirs / ours:.1f}")
    ours = median(timed(lambda: MODO.open(folder / "one").metadata) for _ in range(10))
    theirs = median(timed(lambda: read_with_zarr(folder / "one/data.zarr")) for _ in range(5))
    report(
        "local, open 1000 elements and read all metadata",
        ours * 1e3,
        "ms",
        30,
        f"plain zarr {theirs * 1e3:.0f} ms, ratio {theirs / ours:.1f}",
    )
    small = MODO(folder / "small")
    add_batch(small, 5)
    command = [str(Path(sys.executable).with_name("modos")), "show", str(small.path)]
    seconds = mean(timed(lambda: subprocess.run(command, stdout=subprocess.DEVNULL, check=True)) for _ in range(10))
    report("modos show of a small object, as a process", seconds, "s", 0.45)


def bench_apart() -> None:
    """What it costs that slots of ours lie apart in the root document (docs/reference/format.md): against elements that have none of them."""
    content = {
        f"data/d{n}": {
            "@type": "AlignmentSet",
            "name": f"reads {n}",
            "data_path": f"reads{n}.cram",
            "data_format": "CRAM",
            "data_size": n,
            "has_sample": [f"sample/s{n}"],
            "data_checksum": f"{n:0128x}",
        }
        for n in range(10_000)
    }
    own = {"@type": "MODO", "id": "ex"}
    document, plain = (
        Document(own, {path: group_node(attributes | {"@type": kind}) for path, attributes in content.items()})
        for kind in ("AlignmentSet", "Another")
    )
    for what, work in (
        ("write", lambda one: Document(own, dict(one.nodes)).to_bytes()),
        ("read", lambda one, known={}: Document.from_bytes(known.setdefault(id(one), one.to_bytes()), "", "ex")),
    ):
        ours, theirs = (min(timed(lambda one=one: work(one)) for _ in range(9)) for one in (document, plain))
        report(
            f"{what} a root of 10,000 files",
            ours * 1e3,
            "ms",
            500,
            f"nothing apart {theirs * 1e3:.0f} ms, ratio {ours / theirs:.2f}",
        )


def add_with_zarr(path: Path) -> None:
    """What a user would write with zarr-python."""
    root = zarr.open_group(str(path), mode="w", zarr_format=3)
    for n in range(1000):
        root.create_group(f"sample/s{n}", attributes=SAMPLE)
    zarr.consolidate_metadata(root.store)


def read_with_zarr(path: Path) -> dict[str, Any]:
    """The same for reading."""
    root = zarr.open_group(str(path), mode="r", zarr_format=3, use_consolidated=True)
    return {name: dict(group.attrs) for name, group in root["sample"].groups()}


def main() -> None:
    """Run all."""
    folder = Path(tempfile.mkdtemp(prefix="modos-bench-"))
    try:
        bench_local(folder)
        bench_apart()
        bench_requests()
    finally:
        shutil.rmtree(folder)
