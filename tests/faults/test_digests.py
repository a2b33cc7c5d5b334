"""Whatever is changed of a file, its index, its list of digests or the root: a region gives its records, or an error."""

from __future__ import annotations

import random
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from modos.api import MODO
from modos.demo.stack import BUCKET, CREDENTIALS
from modos.errors import IntegrityError, ModosError, RemoteError
from modos.genomics.htsget import transport
from modos.object.finding import open_served_file
from modos.server.app import create_app
from modos.server.run import BackgroundServer
from modos.storage import Storage, open_storage
from modos.storage.local import LocalStorage
from modos.storage.part_digests import PART
from tests.support import commands
from tests.support.proxy import Proxy
from tests.support.sampling import ALL, some

pytestmark = pytest.mark.sweep(10)

REGIONS = ("chr1:1-3,000", "chr1:40,000-43,000", "chr1:97,001-99,900")
NAME = "reads.bam"
FAILED = (RemoteError,)  # as a client is told by a server that has found other bytes


@pytest.fixture(scope="module")
def reads(tmp_path_factory) -> Path:
    """A folder with an indexed BAM of some parts, an older version of it with as many bytes, and an object of it."""
    folder = tmp_path_factory.mktemp("reads")
    for name, seed in (("reads", 1), ("older", 2)):
        chance = random.Random(seed)
        starts = sorted(chance.randrange(1, 99_900) for _ in range(9_000))
        lines = ["@HD\tVN:1.6\tSO:coordinate", "@SQ\tSN:chr1\tLN:100000"]
        for number, start in enumerate(starts):
            bases = "".join(chance.choices("ACGT", k=90))
            qualities = "".join(chance.choices("#,:FIK", k=90))
            lines.append(f"{name}{number}\t0\tchr1\t{start}\t60\t90M\t*\t0\t0\t{bases}\t{qualities}")
        path = folder / f"{name}.bam"
        subprocess.run(["samtools", "view", "-b", "-o", path], input="\n".join(lines) + "\n", text=True, check=True)
        subprocess.run(["samtools", "index", path], check=True)
    MODO.create(folder / "ex").add_element({"id": "reads", "@type": "AlignmentSet", "data_path": NAME}, folder / NAME)
    assert (folder / NAME).stat().st_size > 6 * PART
    return folder


@pytest.fixture(scope="module")
def expected(reads) -> dict[str, list[str]]:
    """The records of each region, by samtools."""
    told = {
        r: subprocess.run(["samtools", "view", reads / NAME, r.replace(",", "")], capture_output=True, text=True) for r in REGIONS
    }
    return {region: result.stdout.splitlines() for region, result in told.items()}


@pytest.fixture(autouse=True)
def _do_not_wait(monkeypatch):
    monkeypatch.setattr(transport, "_waits", lambda: iter([0.01, None]))


@dataclass
class Way:
    """A way to the file: the storage to change, what reads a region, and errors beside IntegrityError."""

    storage: Storage
    read: Callable[[str], list[str]]
    errors: tuple[type[ModosError], ...] = ()


def records(modo: MODO, region: str) -> list[str]:
    return [read.to_string() for read in modo.stream_genomics(NAME, region)]


@pytest.fixture(params=["folder", "s3", "signed", "files", "htsget"])
def way(request, reads, tmp_path):
    """Each way on which records come: a folder, S3, addresses that a server signs, a server's files, and its htsget."""
    if request.param in ("folder", "files", "htsget"):
        shutil.copytree(reads / "ex", tmp_path / "ex")
        storage = open_storage(tmp_path / "ex")
        if request.param == "folder":
            yield Way(storage, lambda region: records(MODO.open(tmp_path / "ex"), region))
            return
        with BackgroundServer(create_app(open_storage(tmp_path))) as server:
            if request.param == "files":
                yield Way(storage, lambda region: records(MODO.open(f"{server.url}/files/ex"), region))
            else:
                url = f"{server.url}/htsget/reads/ex/reads"
                yield Way(
                    storage, lambda region: [read.to_string() for read in open_served_file(url, None).fetch(region)], FAILED
                )
        return
    stack = request.getfixturevalue("stack")
    place = f"s3://{BUCKET}/digests/{tmp_path.name}"
    where = {"services": {"s3": stack.s3}, "s3_kwargs": CREDENTIALS}
    MODO.open(reads / "ex").upload(f"{place}/ex", **where)
    storage = MODO.open(f"{place}/ex", **where).storage
    if request.param == "s3":
        yield Way(storage, lambda region: records(MODO.open(f"{place}/ex", **where), region))
        return
    with BackgroundServer(create_app(open_storage(place, s3_url=stack.s3, s3_kwargs=CREDENTIALS))) as server:
        yield Way(storage, lambda region: records(MODO.open(f"{server.url}/files/ex"), region))


def flipped(data: bytes, at: int) -> bytes:
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


def put(storage: Storage, key: str, data: bytes) -> None:
    storage.delete(key)
    storage.write(key, data)


def answers(way: Way, expected: dict[str, list[str]]) -> set[str]:
    """The regions that are read; each has its records, all others end in an error of the right kind."""
    read = set()
    for region in REGIONS:
        try:
            found = way.read(region)
        except IntegrityError:
            continue
        except ModosError as error:
            if way.errors and isinstance(error, way.errors):
                continue
            raise
        assert found == expected[region], f"other records of {region}"
        read.add(region)
    return read


def test_each_region_is_read(way, expected):
    assert answers(way, expected) == set(REGIONS)


@pytest.mark.parametrize("name", [NAME, f"{NAME}.bai", f"{NAME}.parts"])
def test_a_flipped_byte_gives_no_other_record(way, expected, name):
    whole = way.storage.read(name)[0]
    places = range(0, len(whole), 97 if len(whole) > 10_000 else 1)
    for at in some(places, 8) if not ALL or not isinstance(way.storage, LocalStorage) else places:
        put(way.storage, name, flipped(whole, at))
        answers(way, expected)
    put(way.storage, name, whole)
    assert answers(way, expected) == set(REGIONS)


def test_the_healthy_regions_of_a_damaged_file_are_read(way, expected):
    whole = way.storage.read(NAME)[0]
    put(way.storage, NAME, flipped(whole, len(whole) // 2))
    assert {REGIONS[0], REGIONS[2]} <= answers(way, expected) <= set(REGIONS)
    put(way.storage, NAME, flipped(whole, 10))
    assert answers(way, expected) == set()


def test_other_bytes_of_the_same_length_are_no_records(way, reads, expected):
    whole, older = way.storage.read(NAME)[0], (reads / "older.bam").read_bytes()
    part = whole[PART : 2 * PART]
    for changed in (
        whole[2 * PART : 3 * PART] + whole[PART : 2 * PART] + whole[:PART] + whole[3 * PART :],
        whole[:PART] + whole[2 * PART : 3 * PART] + part + whole[3 * PART :],
        whole[:PART] + part + part + whole[3 * PART :],
        whole[:-1],
        whole[: 2 * PART],
        whole + b"\0",
        whole[: len(whole) - 28] + whole[:28],
        older,
        b"",
    ):
        put(way.storage, NAME, changed)
        assert answers(way, expected) != set(REGIONS) or way.errors  # a server keeps parts that it has compared
    put(way.storage, NAME, whole)


def test_an_older_version_with_its_index_and_list_is_not_the_one_of_the_commit(way, reads, expected, tmp_path):
    older = MODO.create(tmp_path / "older")
    older.add_element({"id": "reads", "@type": "AlignmentSet", "data_path": NAME}, reads / "older.bam")
    for name in (NAME, f"{NAME}.bai", f"{NAME}.parts"):
        put(way.storage, name, older.storage.read(name)[0])
    assert answers(way, expected) == set()


def test_a_list_that_is_gone_is_said(way, expected):
    way.storage.delete(f"{NAME}.parts")
    assert answers(way, expected) == set()


def test_a_changed_root_gives_no_other_record(reads, expected, tmp_path):
    """What the root says may be another text; what comes of the file is the same, or an error."""
    shutil.copytree(reads / "ex", tmp_path / "ex")
    root = tmp_path / "ex/data.zarr/zarr.json"
    whole = root.read_bytes()
    way = Way(open_storage(tmp_path / "ex"), lambda region: records(MODO.open(tmp_path / "ex"), region), (ModosError,))
    for at in some(range(len(whole)), 120):
        root.write_bytes(flipped(whole, at))
        answers(way, expected)


def test_a_part_that_comes_damaged_once_is_fetched_again(reads, expected, stack, tmp_path):
    place, spoilt = f"s3://{BUCKET}/digests/{tmp_path.name}", []
    MODO.open(reads / "ex").upload(place, services={"s3": stack.s3}, s3_kwargs=CREDENTIALS)

    def spoil(proxy, handler, answer):
        if handler.path.endswith(NAME) and len(answer.body) > 1000 and not spoilt:
            spoilt.append(len(answer.body))
            answer.body = flipped(answer.body, len(answer.body) // 2)

    with Proxy(stack.s3, fault=spoil) as proxy:
        modo = MODO.open(place, services={"s3": proxy.url}, s3_kwargs=CREDENTIALS)
        assert records(modo, REGIONS[1]) == expected[REGIONS[1]]
    assert spoilt


def test_the_command_says_which_bytes_and_exits_with_6(reads, tmp_path):
    shutil.copytree(reads / "ex", tmp_path / "ex")
    path = tmp_path / "ex" / NAME
    path.write_bytes(flipped(path.read_bytes(), PART + 5))
    result = commands.run(["stream", "--region", "chr1:30,000-60,000", str(path)], capture_output=True, text=True, timeout=60)
    assert result.returncode == 6
    assert f"bytes {PART:,}-{2 * PART - 1:,} are not those that are recorded" in result.stderr
    assert len(result.stderr.splitlines()) <= 2 and "Traceback" not in result.stderr
