"""Pages of a server over many objects: the catalogue of 10,000 in a folder and of 100,000 in a kept catalogue, by a browser's request.

The kept catalogue lies in a folder, and in MinIO where `deploy/native/install` has put it: what differs is how its one table
is fetched. OBJECTS says how many of the larger catalogue there are (100,000 where it is not set).
"""

from __future__ import annotations

import json
import os
import random
import tempfile
import time
from pathlib import Path
from statistics import median

import requests
from catalog import BUCKET, KEYS, MINIO, modos_command, report, serve

from modos.catalog.element_rows import Rows
from modos.catalog.snapshots import Head, replace_head, write_snapshot
from modos.object import commits
from modos.object.document import Document
from modos.server.app import create_app
from modos.server.run import BackgroundServer
from modos.storage import Storage, open_storage

FOLDER, KEPT = 10_000, int(os.environ.get("OBJECTS", "100000"))
MAX_AGE = 30  # seconds, as `modos serve` has it
BROWSER = {"Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}
MOST_BYTES = 200_000
QUERIES = {
    "first page": "",
    "a page in the middle": "after=o000500",
    "filtered": "sex=Female&organism=NCBITaxon:9606",
    "a word that a quarter has": "search=kidney",
    "a word that one has": "search=o000777",
    "a value of a slot": "search=description~kidney&sex=Male",
}


def vary(metadata: dict, key: str, number: int) -> dict:
    """Metadata of one object more: its texts, sexes and species differ."""
    chance, found = random.Random(number), {}
    for element_id, attributes in metadata.items():
        attributes = dict(attributes)
        if element_id == key:
            element_id = attributes["id"] = f"o{number:06}"
            attributes["description"] = f"Object {number} of {chance.choice(['liver', 'kidney', 'heart', 'lung'])} tissue"
        if element_id.startswith("sample/"):
            attributes |= {"sex": chance.choice(["Male", "Female"]), "taxon_id": [f"NCBITaxon:{chance.choice([9606, 10090])}"]}
        found[element_id] = attributes
    return found


def write_folder(document: Document, place: Path, count: int) -> None:
    """Write objects with nothing but their root documents."""
    text = document.to_bytes().decode()
    for number in range(count):
        chance = random.Random(number)
        root = json.loads(text)
        root["attributes"] |= {
            "id": f"o{number:06}",
            "description": f"Object {number} of {chance.choice(['liver', 'kidney'])} tissue",
        }
        folder = place / f"o{number:06}" / "data.zarr"
        folder.mkdir(parents=True)
        (folder / "zarr.json").write_text(json.dumps(root))


def write_kept(document: Document, storage: Storage, count: int) -> None:
    """Write a catalogue of objects, which need not be there for it to be shown."""
    rows, metadata = Rows(), document.metadata()
    for number in range(count):
        rows.add(f"o{number:06}", f"o{number:06}", vary(metadata, document.object_id, number), 1, f"tag{number}")
    replace_head(storage, None, Head(base=write_snapshot(storage, *(table.lazy() for table in rows.to_frames()))))


def ask(url: str, query: str) -> tuple[float, int]:
    """Seconds and bytes of a page."""
    begin = time.perf_counter()
    answer = requests.get(f"{url}/?{query}", headers=BROWSER, timeout=600)
    answer.raise_for_status()
    return time.perf_counter() - begin, len(answer.content)


def bench_catalogue(name: str, storage: Storage, limit: float) -> None:
    """The first request, when nothing is known, then each query."""
    with BackgroundServer(create_app(storage, max_age=MAX_AGE)) as server:
        begin, (seconds, size) = time.perf_counter(), ask(server.url, "")
        report(f"{name}: the very first answer", 1000 * seconds, "ms", 1500)
        while "being read" in requests.get(f"{server.url}/", headers=BROWSER, timeout=600).text:
            time.sleep(0.05)
        print(f"{name}: until all is read, and listed: {time.perf_counter() - begin:.2f} s")
        for what, query in QUERIES.items():
            found = [ask(server.url, query) for _ in range(7)]
            report(f"{name}: {what}", 1000 * median(seconds for seconds, _ in found), "ms", limit)
            size = max(size, *(size for _, size in found))
        report(f"{name}: the largest of these pages", size / 1000, "kB", MOST_BYTES / 1000)


def bench_object(document: Document, place: Path) -> None:
    """The page of an object, and of one of its elements."""
    write_folder(document, place / "one", 1)
    with BackgroundServer(create_app(open_storage(place / "one"), max_age=MAX_AGE)) as server:
        for what, path in (("object", "/objects/o000000"), ("element", "/elements/o000000/data/demo1"), ("API", "/docs")):
            found: list[float] = []
            for _ in range(7):
                begin = time.perf_counter()
                answer = requests.get(server.url + path, headers=BROWSER, timeout=60)
                answer.raise_for_status()
                found.append(time.perf_counter() - begin)
            print(f"page of an {what}: {1000 * median(found):.1f} ms, {len(answer.content) / 1000:.0f} kB")


def main() -> None:
    """Run all of it."""
    place = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    with tempfile.TemporaryDirectory(dir=place) as made:
        folder = Path(made)
        modos_command("demo", "--write", "source", "-q", folder=folder)
        modos_command("create", "ex", "-f", "source/modo.yaml", "-q", folder=folder)
        document = commits.load(open_storage(folder / "ex"))
        bench_object(document, folder)
        write_folder(document, folder / "many", FOLDER)
        bench_catalogue(f"{FOLDER:,} objects in a folder", open_storage(folder / "many"), 300)
        for count, limit in ((FOLDER, 300), (KEPT, 1000)):
            (folder / f"kept{count}").mkdir(exist_ok=True)
            storage = open_storage(folder / f"kept{count}")
            write_kept(document, storage, count)
            bench_catalogue(f"{count:,} objects, kept in a folder", storage, limit)
        if not MINIO.exists():
            print("no MinIO here: deploy/native/install")
            return
        with serve(folder / "data") as url:
            storage = open_storage(f"s3://{BUCKET}", s3_url=url, s3_kwargs=KEYS)
            write_kept(document, storage, KEPT)
            bench_catalogue(f"{KEPT:,} objects, kept on S3", storage, 1000)


if __name__ == "__main__":
    main()
