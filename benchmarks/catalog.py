"""A catalogue of a hundred thousand objects in a real S3 server (MinIO): built, opened, filtered, told of a commit.

Needs what `deploy/native/install` installs. OBJECTS says how many there are (100,000 where it is not set).
"""

from __future__ import annotations

import json
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

import obstore
from obstore.store import S3Store

import modos
from modos.api import MODO
from modos.catalog.catalog import Catalog
from modos.storage import open_storage
from modos.storage.s3 import S3Storage

COUNT = int(os.environ.get("OBJECTS", "100000"))
BUCKET, KEYS = "many", {"key": "benchmark", "secret": "benchmark-secret"}
SAMPLE = 2000  # objects that are searched without a catalogue, too
MINIO = Path.home() / ".cache/modos/stack/bin/minio"


@contextmanager
def serve(folder: Path) -> Iterator[str]:
    """Run MinIO over a folder; gives its URL."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    (folder / BUCKET).mkdir(parents=True)
    environment = os.environ | {"MINIO_ROOT_USER": KEYS["key"], "MINIO_ROOT_PASSWORD": KEYS["secret"]}
    server = subprocess.Popen([MINIO, "server", folder, "--address", address], env=environment, stdout=subprocess.DEVNULL)
    try:
        for _ in range(200):
            time.sleep(0.1)
            try:
                socket.create_connection(tuple(address.split(":"))).close()
                break
            except OSError:
                continue
        time.sleep(2)
        yield f"http://{address}"
    finally:
        server.terminate()
        server.wait()


def make_roots(url: str, start: int, end: int, root: str) -> None:
    """Put root documents that differ by sex, species, sizes and digests."""
    store = S3Store(
        BUCKET,
        endpoint=url,
        access_key_id=KEYS["key"],
        secret_access_key=KEYS["secret"],
        client_options={"allow_http": True},
        virtual_hosted_style_request=False,
        region="us-east-1",
    )
    for number in range(start, end):
        chance = random.Random(number)
        document = json.loads(root)
        document["attributes"]["id"] = f"o{number:06}"
        nodes = document["consolidated_metadata"]["metadata"]
        for path, node in nodes.items():
            attributes = node["attributes"]
            if path.startswith("sample/"):
                attributes |= {
                    "sex": chance.choice(["Male", "Female"]),
                    "taxon_id": [f"NCBITaxon:{chance.choice([9606, 10090])}"],
                }
            if "data_checksum" in attributes:
                attributes["data_checksum"] = attributes["data_checksum"][:16] + f"{chance.getrandbits(448):0112x}"
        obstore.put(store, f"o{number:06}/data.zarr/zarr.json", json.dumps(document).encode())


def generate(url: str, folder: Path) -> None:
    """Put all objects, by several processes."""
    modos_command("demo", "--write", "source", "-q", folder=folder)
    modos_command("create", "ex", "-f", "source/modo.yaml", "-q", folder=folder)
    root = (folder / "ex/data.zarr/zarr.json").read_text()
    steps = range(0, COUNT, 2000)
    with ProcessPoolExecutor(2) as pool:
        list(pool.map(make_roots, [url] * len(steps), steps, [min(at + 2000, COUNT) for at in steps], [root] * len(steps)))


def modos_command(*words: str, folder: Path, check: bool = True, **environment: str) -> subprocess.CompletedProcess:
    """Call `modos`."""
    command = [sys.executable, "-m", "modos", *words]
    return subprocess.run(command, cwd=folder, env=os.environ | environment, check=check, capture_output=True, text=True)


def report(what: str, got: float, unit: str, limit: float, *, least: bool = False) -> None:
    """Print a figure beside its limit."""
    verdict = "" if (got >= limit if least else got <= limit) else "  MISSED"
    print(f"{what:<64} {got:9.4g} {unit:<10} {'at least' if least else 'limit'} {limit:g}{verdict}", flush=True)


@contextmanager
def counting() -> Iterator[list[str]]:
    """Give the requests that are sent to S3 while this lasts."""
    sent: list[str] = []
    originals = {name: getattr(S3Storage, name) for name in ("_call", "_get")}

    def note(name: str, original: Callable[..., Any]) -> Callable[..., Any]:
        def call(self: S3Storage, first: str, *given: Any, **named: Any) -> Any:
            sent.append(f"{name} {first} {given[:1]}")
            return original(self, first, *given, **named)

        return call

    for name, original in originals.items():
        setattr(S3Storage, name, note(name, original))
    try:
        yield sent
    finally:
        for name, original in originals.items():
            setattr(S3Storage, name, original)


def timed(work: Callable[[], Any], times: int = 5) -> float:
    """Median of seconds."""
    found = []
    for _ in range(times):
        begin = time.perf_counter()
        work()
        found.append(time.perf_counter() - begin)
    return median(found)


def bench_build(url: str, folder: Path) -> None:
    """From nothing, then once more killed halfway and gone on with."""
    environment = {"AWS_ENDPOINT_URL": url, "AWS_ACCESS_KEY_ID": KEYS["key"], "AWS_SECRET_ACCESS_KEY": KEYS["secret"]}
    command = [sys.executable, "-m", "modos", "catalog", "refresh", f"s3://{BUCKET}"]
    halfway = subprocess.Popen(command, cwd=folder, env=os.environ | environment, stderr=subprocess.DEVNULL)
    begin = time.perf_counter()
    while not list((folder / "data" / BUCKET / ".modos-catalog" / "building").glob("*-elements.parquet")):
        time.sleep(0.2)
        if halfway.poll() is not None:
            break
    killed = halfway.poll() is None
    halfway.send_signal(signal.SIGKILL)
    halfway.wait()
    first = time.perf_counter() - begin
    begin = time.perf_counter()
    modos_command("catalog", "refresh", f"s3://{BUCKET}", folder=folder, **environment)
    rest = time.perf_counter() - begin
    print(
        f"killed after its first part: {first:.1f} s, gone on with: {rest:.1f} s"
        if killed
        else "too few objects to be interrupted"
    )
    storage = open_storage(f"s3://{BUCKET}", s3_url=url, s3_kwargs=KEYS)
    storage.delete("/".join((".modos-catalog", "head.json")))
    begin = time.perf_counter()
    done = modos_command("catalog", "refresh", f"s3://{BUCKET}", folder=folder, **environment)
    seconds = time.perf_counter() - begin
    print(done.stderr.strip())
    report("build from nothing", COUNT / seconds, "objects/s", 1000, least=True)


def bench_reading(url: str) -> None:
    """Open, filter, and see a commit."""
    where = {"services": {"s3": url}, "s3_kwargs": KEYS}
    place = f"s3://{BUCKET}"
    modos.open_catalog(place, **where, refresh=False)  # which imports what it takes
    with counting() as sent:
        begin = time.perf_counter()
        catalog = modos.open_catalog(place, **where)
        rows = catalog.elements.select("object").collect().height
        seconds = time.perf_counter() - begin
    report(f"open {rows:,} rows cold", seconds, "s", 1)
    report("  its requests", len(sent), "", 3)
    stored = {info.key.rpartition("/")[2]: info.size for info in catalog._view.storage.iter_files(".modos-catalog/tables")}
    report("columns that repeat", stored["elements.parquet"] / rows, "bytes/row", 20)
    print(f"digests beside them: {stored['digests.parquet'] / rows:.1f} bytes/row")
    for name, class_name, condition in (
        ("data_size > 500,000, all columns", "AlignmentSet", "data_size > 500000"),
        ("one object", None, "object = 'o000777'"),
        ("sex of samples", "Sample", "sex = 'Female' and taxon_id = '9606'"),
        ("sex of the samples of some data", "AlignmentSet", "sex = 'Female' and taxon_id = '9606' and object < 'o002'"),
        ("sex of the samples of all data", "AlignmentSet", "sex = 'Female' and taxon_id = '9606'"),
    ):
        found = catalog.select(class_name, condition).height
        report(f"filter: {name} ({found:,} rows)", timed(lambda c=class_name, w=condition: catalog.select(c, w)), "s", 0.2)
    sql = "select count(*) from elements where class = 'AlignmentSet' and data_size > 500000"
    print(f"the first of them in SQL by DuckDB: {timed(lambda: catalog.sql(sql).fetchall()):.2f} s")
    MODO.open(f"{place}/o000005", **where).add_element({"id": "new", "@type": "Sample", "sex": "Female"})
    with counting() as sent:
        begin = time.perf_counter()
        newer = catalog.refresh()
        assert newer.select("Sample", "element = 'sample/new'").height == 1
        seconds = time.perf_counter() - begin
    report("one commit is seen", seconds, "s", 1)
    report("  its requests", len(sent), "", 3)
    begin = time.perf_counter()
    modos.refresh_catalog(place, **where)
    print(f"written into the catalogue in {time.perf_counter() - begin:.2f} s")


def bench_without(url: str) -> None:
    """The same search with a catalogue, and by reading what a listing of all keys names."""
    storage = open_storage(f"s3://{BUCKET}", s3_url=url, s3_kwargs=KEYS)
    with_catalog = timed(
        lambda: modos.open_catalog(f"s3://{BUCKET}", services={"s3": url}, s3_kwargs=KEYS).select("Sample", "sex = 'Female'"), 3
    )
    storage.delete("/".join((".modos-catalog", "head.json")))
    begin = time.perf_counter()
    sum(1 for _ in Catalog(storage).find("sex=Female", lambda key: key < f"o{SAMPLE:06}"))
    seconds = time.perf_counter() - begin
    print(
        f"all {COUNT:,} objects by the catalogue, opened anew: {with_catalog:.2f} s; "
        f"{SAMPLE:,} of them by a listing of all keys: {seconds:.1f} s"
    )


def main() -> None:
    """Run all of it."""
    if not MINIO.exists():
        print("no MinIO here: deploy/native/install")
        return
    place = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    with tempfile.TemporaryDirectory(dir=place) as made, serve(Path(made) / "data") as url:
        folder = Path(made)
        generate(url, folder)
        bench_build(url, folder)
        bench_reading(url)
        bench_without(url)


if __name__ == "__main__":
    main()
