"""Objects on both storages, small files, and storages that fail or kill at a chosen operation."""

from __future__ import annotations

import contextlib
import json
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pysam
import pytest

from modos.api import MODO
from modos.errors import TransportError
from modos.object import checking, journal
from modos.storage import Storage
from modos.storage.local import LocalStorage
from modos.storage.s3 import S3Storage
from modos.tracks.shard_records import specs_of_nodes

DATES = ("creation_date", "last_update_date")
BY_CHANCE = ("data_checksum", "data_digest", "index_digests", "seal_digest", "header_digests", "cuts_checksum")


@pytest.fixture(scope="session")
def bams(tmp_path_factory) -> Path:
    """A folder with small sorted BAM files a.bam, b.bam, and c0.bam to c3.bam; a.bam has an index."""
    folder = tmp_path_factory.mktemp("bams")
    header = pysam.AlignmentHeader.from_dict({"HD": {"VN": "1.6", "SO": "coordinate"}, "SQ": [{"SN": "chr1", "LN": 5000}]})
    for number, name in enumerate(["a", "b", *(f"c{n}" for n in range(4))]):
        with pysam.AlignmentFile(str(folder / f"{name}.bam"), "wb", header=header) as file:
            for position in range(20):
                read = pysam.AlignedSegment(header)
                read.query_name, read.reference_id, read.reference_start = f"r{position}", 0, 100 * position + number
                read.query_sequence, read.cigarstring = "ACGT" * 5, "20M"
                file.write(read)
    pysam.samtools.index(str(folder / "a.bam"))
    return folder


class Place:
    """Where the objects of one test are."""

    def __init__(self, root: str, **options):
        self.root, self.options, self.is_remote, self._count = root, options, root.startswith("s3://"), 0

    def new(self) -> str:
        """A path where there is nothing yet."""
        self._count += 1
        return f"{self.root}/o{self._count}"

    def open(self, path: str) -> MODO:
        """Open an object."""
        return MODO.open(path, **self.options)


@pytest.fixture(params=["local", "s3"])
def place(request, tmp_path) -> Place:
    """A folder, and a bucket."""
    if request.param == "local":
        return Place(str(tmp_path / "objects"))
    from modos.demo.stack import BUCKET, CREDENTIALS

    stack = request.getfixturevalue("stack")
    return Place(f"s3://{BUCKET}/faults/{tmp_path.name}", services={"s3": stack.s3}, s3_kwargs=CREDENTIALS)


def state(modo: MODO) -> dict:
    """Metadata without dates, and without what chance gives to sealed files, by element."""
    return {
        i: {k: v for k, v in a.items() if k not in (DATES if "seal_digest" not in a else (*DATES, *BY_CHANCE))}
        for i, a in modo.metadata.items()
    }


class Stop(Exception):
    """The program ended here, as far as the test goes."""


@contextlib.contextmanager
def interrupted(at: int, action: Callable[[], None], *, for_good: bool = False) -> Iterator[list[str]]:
    """Have every storage do something before its `at`-th change (from 0), or before all from there on.

    A stream is also interrupted after its first piece. Gives the names of the changes that were begun.
    """
    begun: list[str] = []

    def count(name: str) -> None:
        begun.append(name)
        if len(begun) == at + 1 or (for_good and len(begun) > at):
            action()

    def counting(original, name):
        def method(self, key, *args, **kwargs):
            count(f"{name} {key}")
            if name == "put_all":
                (wrote,) = args
                args = [lambda written: (wrote(written), count(f"put {written}"))]
            if name == "delete_all":
                keys = list(key)
                original(self, keys[: len(keys) // 2])
                count(f"halfway {keys}")
                key = keys[len(keys) // 2 :]
            if name == "write_stream":
                pieces, *args = args
                args = [halfway(pieces, key), *args]
            if name == "write_placed":
                make, *args = args
                args = [lambda place: halfway(make(place), key), *args]
            if name == "patch":
                ranges, fetch, *args = args
                args = [ranges, between(fetch, key), *args]
            return original(self, key, *args, **kwargs)

        return method

    def halfway(pieces, key):
        for piece in pieces:
            yield piece[:100]
            count(f"halfway {key}")
            yield piece[100:]

    def between(fetch, key):
        def fetching(start, end):
            data = fetch(start, end)
            count(f"halfway {key}")
            return data

        return fetching

    originals = {
        (kind, name): getattr(kind, name)
        for kind in (LocalStorage, S3Storage)
        for name in ("write", "write_stream", "write_placed", "put_new", "put_all", "patch", "copy", "delete", "delete_all")
    }
    for (kind, name), original in originals.items():
        setattr(kind, name, counting(original, name))
    try:
        yield begun
    finally:
        for (kind, name), original in originals.items():
            setattr(kind, name, original)


def kill() -> None:
    """What no handler can stop."""
    os.kill(os.getpid(), signal.SIGKILL)


def fail() -> None:
    """The network is gone."""
    raise TransportError("the line broke")


def killed_at(at: int, operation: Callable[[], None]) -> bool:
    """Run an operation in a process that is killed before its `at`-th change; whether it was."""
    child = os.fork()
    if child == 0:
        signal.alarm(120)
        try:
            with interrupted(at, kill):
                operation()
            os._exit(0)
        except BaseException as error:
            os.write(2, f"{type(error).__name__}: {error}\n".encode())
            os._exit(1)
    _, status = os.waitpid(child, 0)
    assert status in (0, signal.SIGKILL), "it failed by itself, or hangs"
    return status == signal.SIGKILL


def check_whole(storage: Storage) -> list[checking.Finding]:
    """No file is missing or another than recorded; returns what was left."""
    findings = list(checking.find_problems(storage))
    assert [f for f in findings if not f.harmless or f.kind == "unknown"] == []
    return findings


def files(storage: Storage) -> set[str]:
    """Keys of all files."""
    return {info.key for info in storage.iter_files()}


def expected_files(modo: MODO) -> set[str]:
    """Keys of the files that an object has and nothing else."""
    nodes = {f"data.zarr/{path}/zarr.json" for path in modo._document.nodes} | {"data.zarr/zarr.json"}
    present, folders = files(modo.storage), tuple(f"{folder}/c/" for folder in modo._document.array_folders())
    nodes |= {spec.list_key for spec in specs_of_nodes(modo._document.nodes) if spec.list_key in spec.files()}
    return nodes | journal.files_of(modo._document) & present | {key for key in present if folders and key.startswith(folders)}


def write_description(folder: Path, bams: Path) -> Path:
    """A description of 20 elements, four with files."""
    entries = [{"element": {"id": f"s{n}", "@type": "Sample"}} for n in range(16)]
    entries += [
        {
            "element": {"id": f"d{n}", "@type": "AlignmentSet", "has_sample": f"s{n}"},
            "args": {"source_file": str(bams / f"c{n}.bam")},
        }
        for n in range(4)
    ]
    path = folder / "description.json"
    path.write_text(json.dumps(entries))
    return path
