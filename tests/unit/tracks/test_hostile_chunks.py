"""Chunks, shards and arrays of strangers: no length is believed before it was compared with what there is."""

import itertools
import json
import resource
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from shutil import copytree

import numpy as np
import pytest
from numcodecs import Blosc, blosc

from modos.api import MODO
from modos.errors import ChecksumMismatch
from modos.storage import open_storage
from modos.storage.write_log import WriteLog
from modos.tracks import zarr_layout
from modos.tracks.arrays import ArrayWriter, choose_codec
from modos.tracks.conditions import Condition
from modos.tracks.frames import check_frame
from modos.tracks.sharded import Reader, ShardedArray
from modos.tracks.zarr_layout import ArraySpec

PROGRAM = Path(__file__).parents[2] / "support/hostile_chunks.py"
MEMORY = 3 << 30

READ = """
import sys
from modos.errors import ModosError
from modos.storage import open_storage
from modos.storage.write_log import WriteLog
from modos.storage.write_log import WriteLog
from modos.tracks.zarr_layout import ArraySpec
from modos.tracks.sharded import Reader, ShardedArray
import json
spec = ArraySpec.from_node("a/b", json.loads(sys.argv[2]))
try:
    print(ShardedArray(Reader(open_storage(sys.argv[1]), 1 << 20), spec).read().tobytes().hex()[:64])
except ModosError as error:
    print(type(error).__name__)
"""

OPEN = """
import sys
from modos.api import MODO
from modos.errors import ModosError
try:
    genome = MODO.open(sys.argv[1]).genome
    for name in ("values", "runs"):
        track = genome.track(name)
        track.zoom("chr1:101-60000", 5), track.summary("chr1:101-60000"), track.statistics()
    genome["chr1"][:]
    print("read")
except ModosError as error:
    print(type(error).__name__, error)
"""


def limited(*arguments):
    """What a program prints that may take 3 GiB."""
    done = subprocess.run(
        [sys.executable, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY)),
    )
    assert done.returncode == 0, (done.returncode, done.stderr[-600:])
    return done.stdout.strip()


def test_no_wrong_byte_of_a_chunk_ends_the_process_or_is_read_beyond():
    """The page behind each chunk is forbidden: what reads there ends the program."""
    refused, decoded = map(int, limited(PROGRAM, 1, 60).split())
    assert refused > 10_000 and decoded > 500


@pytest.mark.sweep(1)
@pytest.mark.parametrize("threads", [False, True])
def test_every_chunk_that_blosc_writes_is_accepted(threads):
    """All codecs, shuffles and levels; blocks that are split, copied, left over, and written by several threads."""
    random, before = np.random.default_rng(0), blosc.use_threads
    blosc.use_threads = threads
    try:
        kinds = itertools.product(
            ("blosclz", "lz4", "lz4hc", "zlib", "zstd"),
            (0, 1, 2),
            (0, 1, 5),
            (0, 512),
            ("u1", "i2", "f4", "f8"),
            (1, 7, 127, 4096, 40_001),
        )
        for cname, shuffle, level, block, dtype, size in kinds:
            for data in (random.integers(0, 256, size * int(dtype[1]), np.uint8).view(dtype), np.arange(size).astype(dtype)):
                packed = Blosc(cname, level, shuffle, block).encode(data)
                check_frame(packed, data.nbytes)
                with pytest.raises(ValueError):
                    check_frame(packed[:-1], data.nbytes)
                with pytest.raises(ValueError):
                    check_frame(packed, data.nbytes + 1)
    finally:
        blosc.use_threads = before


@pytest.fixture
def stored(tmp_path):
    """A shard of four chunks: its array, its file, its bytes."""
    data = np.random.default_rng(1).integers(0, 9, 4000).astype(np.int16)
    writer = ArrayWriter(
        WriteLog(open_storage(tmp_path)), ArraySpec("a/b", (4000,), 1000, "int16", 0, choose_codec([data[:1000]]))
    )
    for number in range(4):
        writer.put(number, data[number * 1000 : (number + 1) * 1000])
    spec = writer.finish()
    file = tmp_path / "data.zarr/a/b/c/0"
    return spec, file, zarr_layout.split_shard(file.read_bytes())


def rewritten(stored, chunk):
    """The array's metadata after its chunk 2 was replaced, all checksums right."""
    spec, file, chunks = stored
    data = zarr_layout.shard_bytes(chunks | {2: chunk + zarr_layout.crc32c(chunk).to_bytes(4, "little")})
    file.write_bytes(data)
    return json.dumps(spec.to_node() | {"attributes": {"shard_sizes": [len(data)]}})


@pytest.mark.sweep(2)
@pytest.mark.parametrize("add", [-1, 1, 4, 100, 1 << 20, 1 << 30, -(1 << 31)])
def test_a_chunk_that_lies_about_its_length_is_damaged(stored, tmp_path, add):
    chunk = stored[2][2][:-4]
    recorded = int.from_bytes(chunk[12:16], "little", signed=True)
    lie = (recorded + add).to_bytes(4, "little", signed=True)
    node = rewritten(stored, chunk[:12] + lie + chunk[16:])
    assert limited("-c", READ, tmp_path, node) == "ChecksumMismatch"


def test_a_copied_chunk_that_is_cut_is_no_way_to_the_memory_behind_it(stored, tmp_path):
    """Its header says 2,000 numbers that were copied; 16 bytes are there."""
    chunk = bytes([2, 1, 2, 2]) + b"".join(number.to_bytes(4, "little") for number in (2000, 2000, 2016))
    assert limited("-c", READ, tmp_path, rewritten(stored, chunk + bytes(16))) == "ChecksumMismatch"


@pytest.mark.parametrize("change", ["overlap", "index", "long"])
def test_places_of_chunks_that_cannot_be_are_damage(stored, tmp_path, change):
    """Chunks that share bytes, that reach into the index, that are longer than any chunk can be."""
    spec, file, _ = stored
    whole = file.read_bytes()
    index = np.frombuffer(whole[-zarr_layout.INDEX_SIZE : -4], "<u8").reshape(-1, 2).copy()
    number, bytes_more = {"overlap": (2, 8), "index": (3, 8), "long": (0, 2_020)}[change]
    index[number, 1] += bytes_more
    table = index.tobytes()
    file.write_bytes(whole[: -zarr_layout.INDEX_SIZE] + table + zarr_layout.crc32c(table).to_bytes(4, "little"))
    array = ShardedArray(Reader(open_storage(tmp_path), 1 << 20), spec)
    with pytest.raises(ChecksumMismatch):
        array.chunk(1)


@pytest.fixture(scope="module")
def strange(tmp_path_factory):
    """An object with a track of values, and one of runs that has a mask."""
    folder = tmp_path_factory.mktemp("strange")
    modo = MODO.create(folder / "ex")
    (folder / "sizes").write_text("chr1\t70000\nchr2\t900\n")
    modo.add_genome(sizes=folder / "sizes")
    random = np.random.default_rng(0)
    modo.add_track("values", {"chr1": random.normal(size=70_000).round(1).astype(np.float32)})
    modo.add_track("runs", {"chr1": np.repeat(random.integers(0, 9, 1400), 50).astype(np.float32)})
    modo.mask_track("runs", Condition("lt", 3))
    return folder / "ex"


def change_array(nodes, prefix, shape=None, sizes=None, chunk=None, **attributes):
    """Change an array's metadata so that all of them agree."""
    (path,) = [path for path in nodes if path.startswith(prefix)]
    spec = ArraySpec.from_node(path, nodes[path])
    spec = replace(spec, shape=shape or spec.shape, chunk=chunk or spec.chunk, attributes={**spec.attributes, **attributes})
    number = spec.shards
    nodes[path].update(replace(spec, sizes=sizes or (0,) * number if shape else spec.sizes).to_node())


def change_node(nodes, prefix, **changes):
    (path,) = [path for path in nodes if path.startswith(prefix)]
    nodes[path].update(changes)


def change_codec(nodes, **changes):
    (path,) = [path for path in nodes if path.startswith("data/values/values-")]
    nodes[path]["codecs"][0]["configuration"]["codecs"][-2].update(changes)


def change_contigs(nodes, **changes):
    nodes["reference/genome/genome"]["attributes"].update(changes)


HUGE = 1 << 35
LIES = {
    "a mask of 512 GiB": lambda nodes: change_array(nodes, "data/runs/mask-", (2, HUGE)),
    "a mask without chunks": lambda nodes: change_array(nodes, "data/runs/mask-", (2, 30_000)),
    "a mask of chunks of 16 MiB": lambda nodes: change_array(nodes, "data/runs/mask-", chunk=1 << 20),
    "runs of 384 GiB": lambda nodes: change_array(nodes, "data/runs/runs-", (3, HUGE), origins=[0] * (HUGE >> 15 >> 12)),
    "origins that go back": lambda nodes: change_array(nodes, "data/runs/runs-", (3, 60_000), (9_000,), origins=[500, 0]),
    "origins that are texts": lambda nodes: change_array(nodes, "data/runs/runs-", origins=["0"]),
    "statistics of eight rows": lambda nodes: change_array(nodes, "data/runs/statistics-", (8, 2)),
    "statistics of one row": lambda nodes: change_array(nodes, "data/runs/statistics-", (2,)),
    "bins of no base": lambda nodes: change_array(nodes, "data/runs/zoom-", levels=[[0, 0, 70]]),
    "bins of one base": lambda nodes: change_array(nodes, "data/runs/zoom-", levels=[[1, 0, 70]]),
    "bins of any size": lambda nodes: change_array(nodes, "data/runs/zoom-", levels=[[1024, 0, 70], [2048, 0, 35]]),
    "no levels": lambda nodes: change_array(nodes, "data/runs/zoom-", levels=7),
    "a divisor that is a word": lambda nodes: change_array(nodes, "data/values/values-", divisor="ten"),
    "a divisor that is 3": lambda nodes: change_array(nodes, "data/values/values-", divisor=3),
    "values in other chunks": lambda nodes: change_array(nodes, "data/values/values-", chunk=1 << 16),
    "half a base": lambda nodes: change_node(nodes, "data/values/values-", shape=[71_556.0]),
    "fill that is a word": lambda nodes: change_node(nodes, "data/values/values-", fill_value="x"),
    "a fill of NaN for integers": lambda nodes: change_node(nodes, "data/values/values-", fill_value="NaN"),
    "fill that does not fit": lambda nodes: change_node(nodes, "data/values/values-", fill_value=10**400),
    "a shard of an exabyte": lambda nodes: change_array(nodes, "data/values/values-", (71_556,), (1 << 60,)),
    "a codec without a name": lambda nodes: change_codec(nodes, name=None),
    "a codec without settings": lambda nodes: change_codec(nodes, configuration=[]),
    "gzip": lambda nodes: change_codec(nodes, name="gzip"),
    "a contig before the axis": lambda nodes: change_contigs(nodes, offsets=[-1024, 70_656]),
    "a contig far away": lambda nodes: change_contigs(nodes, offsets=[0, 1 << 50]),
    "a contig of half a base": lambda nodes: change_contigs(nodes, lengths=[70_000.5, 900]),
}


@pytest.mark.sweep(1)
@pytest.mark.parametrize("lie", LIES)
def test_arrays_that_no_genome_can_have_are_refused_before_memory_is_taken(strange, tmp_path, lie):
    """In a process that may take 3 GiB; the object as it was is read by it."""
    copytree(strange, tmp_path / "ex")
    assert lie != next(iter(LIES)) or limited("-c", OPEN, tmp_path / "ex") == "read"
    root = tmp_path / "ex/data.zarr/zarr.json"
    document = json.loads(root.read_text())
    LIES[lie](document["consolidated_metadata"]["metadata"])
    root.write_text(json.dumps(document))
    found = limited("-c", OPEN, tmp_path / "ex")
    assert found.startswith(("IntegrityError", "InvalidInputError")) and "\n" not in found
