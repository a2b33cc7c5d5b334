"""The list of digests of an array's shards: others can compute it, and what is read is what it says or an error."""

import json
import os
import struct
from dataclasses import replace
from pathlib import Path

import blake3
import numpy as np
import pytest
import zarr

from modos.errors import ChecksumMismatch, ConflictError, IntegrityError, NotFoundError
from modos.storage import open_storage
from modos.storage.local import LocalStorage
from modos.storage.verified import VerifiedFiles
from modos.storage.write_log import WriteLog
from modos.tracks.arrays import ArrayWriter, choose_codec
from modos.tracks.shard_digests import digest_shards, find_damaged_parts, record_digests
from modos.tracks.shard_records import records_of_nodes
from modos.tracks.sharded import Reader, ShardedArray
from modos.tracks.zarr_layout import CHUNKS_IN_SHARD, INDEX_SIZE, ArraySpec
from tests.support.sampling import some

PART = 1 << 16


class Far(LocalStorage):
    """A storage that is read as one far away, and counts that."""

    is_remote = True

    def __init__(self, root):
        super().__init__(root)
        self.asked = []

    def read_part(self, key, start, end, *, if_match=None):
        self.asked.append((key, start, end))
        return super().read_part(key, start, end, if_match=if_match)


def write(folder, data, chunk, path="data/t/values-1"):
    spec = ArraySpec(path, data.shape, chunk, data.dtype.name, 0, choose_codec([data[:chunk]]))
    writer = ArrayWriter(WriteLog(open_storage(folder)), spec)
    for number in range(-(-len(data) // chunk)):
        piece = data[number * chunk : (number + 1) * chunk]
        writer.put(number, np.pad(piece, (0, chunk - len(piece))))
        writer.flush(keep=(number // CHUNKS_IN_SHARD,))
    return writer.finish()


def noise(count, seed=0):
    return np.random.default_rng(seed).integers(1, 250, count).astype(np.uint8)


CHUNK = 1000
LARGE = np.concatenate([noise(200_000), np.zeros(112_000, np.uint8), noise(200_000, 1), noise(150_000, 2)])
LARGE[256_000:512_000] = 0  # the second shard is left out


@pytest.fixture
def large(tmp_path):
    """An array of three shards, the second left out, each of some parts."""
    spec = write(tmp_path, LARGE, CHUNK)
    assert [-(-size // PART) for size in spec.sizes] == [4, 0, 3]
    return spec


@pytest.fixture(params=["near", "far"])
def open_here(request, tmp_path):
    return (lambda: open_storage(tmp_path)) if request.param == "near" else (lambda: Far(tmp_path))


def opened(storage, spec, cache=1 << 24):
    return ShardedArray(Reader(storage, cache), spec)


def root_by_hand(folder: Path) -> str:
    """The root of the list of an array, from its shards alone, as the specification says."""
    shards = [path.read_bytes() for path in sorted(folder.glob("c/**/*"), key=lambda path: int(path.name))]
    table = struct.pack("<8sII", b"modospd1", 65536, len(shards)) + b"".join(struct.pack("<Q", len(shard)) for shard in shards)
    for shard in shards:
        digests = [blake3.blake3(shard[at : at + 65536]).digest() for at in range(0, len(shard), 65536)]
        table += b"".join(blake3.blake3(b"".join(digests[at : at + 1024])).digest() for at in range(0, len(digests), 1024))
    return blake3.blake3(table).hexdigest()


def test_others_compute_the_same_root(large, tmp_path):
    folder = tmp_path / "data.zarr" / large.path
    assert root_by_hand(folder) == large.attributes["shard_digest"]
    content = (folder / "parts").read_bytes()
    table = content[: len(content) - 7 * 32]
    assert blake3.blake3(table).hexdigest() == large.attributes["shard_digest"]
    assert content[len(table) :][32:64] == blake3.blake3((folder / "c/0").read_bytes()[PART : 2 * PART]).digest()


@pytest.mark.parametrize("count", [0, 10, 300_000])
def test_a_single_part_has_no_list(tmp_path, count):
    data = np.zeros(300_000, np.uint8)
    data[:count][:50] = 7
    spec = write(tmp_path, data, CHUNK)
    folder = tmp_path / "data.zarr" / spec.path
    assert not (folder / "parts").exists()
    assert root_by_hand(folder) == spec.attributes["shard_digest"]
    assert (opened(open_storage(tmp_path), spec).read() == data).all()


def test_zarr_does_not_take_the_list_for_a_chunk(large, tmp_path):
    folder = tmp_path / "data.zarr" / large.path
    (folder / "zarr.json").write_text(json.dumps(large.to_node()))
    group = {"zarr_format": 3, "node_type": "group", "attributes": {}}
    for path in (tmp_path / "data.zarr", tmp_path / "data.zarr/data", tmp_path / "data.zarr/data/t"):
        (path / "zarr.json").write_text(json.dumps(group))
    array = zarr.open_array(folder, mode="r")
    assert (array[...] == LARGE).all() and array.nchunks_initialized == 2 * CHUNKS_IN_SHARD
    members = dict(zarr.open_group(tmp_path / "data.zarr", mode="r").members(max_depth=None))
    assert set(members) == {"data", "data/t", "data/t/values-1"}


def assert_never_wrong(storage, spec, data=LARGE):
    """What can be read is right; returns the number of chunks that can."""
    right = 0
    for number in range(-(-len(data) // spec.chunk)):
        array = opened(storage, spec)
        try:
            found = array.chunk(number)
        except IntegrityError as error:
            assert error.exit_code == 6 and spec.path in error.message
            continue
        wanted = data[number * spec.chunk : (number + 1) * spec.chunk]
        assert (found[: len(wanted)] == wanted).all() if found is not None else not wanted.any()
        right += 1
    return right


def test_no_flipped_byte_gives_another_value(tmp_path, open_here):
    """Every byte of the list and of the shard's index, and every seventh of its chunks; all of two parts."""
    data = noise(71 * CHUNK)
    spec = write(tmp_path, data, CHUNK)
    assert spec.layout.parts == 2
    for key, size in spec.files().items():
        path, index = tmp_path / key, size - INDEX_SIZE
        whole = bytearray(path.read_bytes())
        places = range(size) if key == spec.list_key else [*range(0, index, 7), *range(index, size)]
        for at in some(places, 20):
            with open(path, "r+b") as file:
                file.seek(at)
                file.write(bytes([whole[at] ^ 1 << at % 8]))
            wrong, array = 0, opened(open_here(), spec)
            for number in (0, min(at // CHUNK, 70), 70):
                try:
                    assert (array.chunk(number) == data[number * CHUNK : (number + 1) * CHUNK]).all()
                except ChecksumMismatch:
                    wrong += 1
            assert wrong
            with open(path, "r+b") as file:
                file.seek(at)
                file.write(whole[at : at + 1])
    assert (opened(open_here(), spec).read() == data).all()


@pytest.mark.parametrize("part", [0, 1, 3])
def test_a_damaged_part_is_named_and_the_others_are_read(large, tmp_path, open_here, part):
    path = tmp_path / "data.zarr" / large.path / "c/0"
    whole = bytearray(path.read_bytes())
    at = min(part * PART + 100, len(whole) - 6000)
    whole[at] ^= 1
    path.write_bytes(whole)
    assert [(one.shard, one.start) for one in find_damaged_parts(open_here(), large)] == [(0, part * PART)]
    right = assert_never_wrong(open_here(), large)
    if part == 3:  # its index is in this part, too
        assert right == 662 - 256
    else:
        assert 662 - 256 + 120 < right < 662
    with pytest.raises(ChecksumMismatch, match=rf"c/0: bytes {part * PART:,}-.* are not those that are recorded"):
        opened(open_here(), large).read()


def rewritten(folder, spec, change):
    """Change a shard and its index, with right checksums of chunks and index: what nobody but the list notices."""
    from modos.tracks.zarr_layout import shard_bytes, split_shard

    path = folder / "data.zarr" / spec.key(0).removeprefix("data.zarr/")
    chunks = split_shard(path.read_bytes())
    change(chunks)
    path.write_bytes(shard_bytes(chunks))


def test_swapped_chunks_are_noticed(tmp_path, open_here):
    """Chunks of the same size in each other's place, with all checksums of Zarr as they should be."""
    data = np.repeat(np.arange(1, 201, dtype=np.uint8), CHUNK)
    spec = write(tmp_path, data, CHUNK)

    def swap(chunks):
        chunks[3], chunks[4] = chunks[4], chunks[3]

    rewritten(tmp_path, spec, swap)
    bare = replace(spec, attributes={})
    assert opened(open_here(), bare).chunk(3)[0] == 5  # without the list nothing is noticed
    assert assert_never_wrong(open_here(), spec, data) == 0


def test_swapped_shards_are_noticed(tmp_path, open_here):
    data = np.concatenate([np.repeat(np.arange(1, 251, dtype=np.uint8), CHUNK), np.full(6 * CHUNK, 9, np.uint8)])
    data = np.concatenate([data, data[::-1]])
    spec = write(tmp_path, data, CHUNK)
    first, second = (tmp_path / spec.key(number) for number in (0, 1))
    assert spec.sizes[0] == spec.sizes[1]
    content = first.read_bytes()
    first.write_bytes(second.read_bytes())
    second.write_bytes(content)
    assert assert_never_wrong(open_here(), spec, data) == 0


def test_an_older_shard_with_its_list_is_noticed(tmp_path, open_here):
    """Shards and list are whole and fit each other, and are not those of the root."""
    older = np.repeat(np.arange(1, 251, dtype=np.uint8), CHUNK)
    write(tmp_path / "older", older, CHUNK)
    spec = write(tmp_path, older[::-1].copy(), CHUNK)
    for file in (tmp_path / "older/data.zarr" / spec.path).rglob("*"):
        if file.is_file():
            (tmp_path / "data.zarr" / spec.path / file.relative_to(tmp_path / "older/data.zarr" / spec.path)).write_bytes(
                file.read_bytes()
            )
    assert assert_never_wrong(open_here(), spec, older[::-1]) == 0


def test_a_file_that_is_written_to_is_compared_anew(large, tmp_path):
    """Parts are compared once, as long as nobody writes to the file that is open."""
    path = tmp_path / large.key(0)
    os.utime(path, ns=(1, 1))
    array = opened(open_storage(tmp_path), large, cache=0)
    first = array.chunk(0).copy()
    assert (array.chunk(0) == first).all()
    with open(path, "r+b") as file:
        file.seek(500)
        file.write(b"\1\2\3")
    with pytest.raises(ChecksumMismatch, match=r"bytes 0-65,535"):
        array.chunk(0)


def test_a_list_that_is_gone_or_damaged_is_said(large, tmp_path, open_here):
    path = tmp_path / large.list_key
    whole = path.read_bytes()
    path.write_bytes(whole[:-1])
    with pytest.raises(IntegrityError, match="the list of digests"):
        opened(open_here(), large).read()
    path.unlink()
    with pytest.raises(IntegrityError, match="is gone, the list of digests"):
        opened(open_here(), large).read()
    with pytest.raises(IntegrityError, match="is gone, the list of digests"):
        list(find_damaged_parts(open_here(), large))
    (tmp_path / large.key(0)).unlink()
    with pytest.raises(ConflictError, match="was changed or removed"):
        opened(open_here(), large).read()


def test_the_list_comes_in_the_round_trip_of_the_index(large, tmp_path):
    storage = Far(tmp_path)
    array = opened(storage, replace(large, attributes={}))
    array.chunk(3)
    before = storage.asked
    storage = Far(tmp_path)
    opened(storage, large).chunk(3)
    assert [key for key, *_ in storage.asked].count(large.list_key) == 1
    assert len(storage.asked) == len(before) + 1
    sizes = (sum(end - start for _, start, end in asked) for asked in (storage.asked, before))
    assert next(sizes) - next(sizes) <= 192 << 10


def test_the_list_is_computed_anew(large, tmp_path):
    storage = open_storage(tmp_path)
    assert digest_shards(storage, large).root == large.attributes["shard_digest"]
    old = replace(large, attributes={"shard_checksum": large.attributes["shard_checksum"]})
    assert list(find_damaged_parts(storage, old)) == []
    content = (tmp_path / large.list_key).read_bytes()
    (tmp_path / large.list_key).unlink()
    log = WriteLog(storage)
    assert record_digests(log, old) == large and log.keys == {large.list_key}
    assert (tmp_path / large.list_key).read_bytes() == content
    damaged = bytearray((tmp_path / large.key(2)).read_bytes())
    damaged[9] ^= 1
    (tmp_path / large.key(2)).write_bytes(damaged)
    (tmp_path / large.list_key).unlink()
    for spec in (old, large):
        with pytest.raises(ChecksumMismatch, match="other shards than recorded"):
            record_digests(WriteLog(storage), spec)
    assert not (tmp_path / large.list_key).exists()


def test_what_is_missing_is_damaged(large, tmp_path):
    storage, path = open_storage(tmp_path), tmp_path / large.key(0)
    path.write_bytes(path.read_bytes()[: 2 * PART + 5])
    (tmp_path / large.key(2)).unlink()
    found = [(one.shard, one.start, one.end) for one in find_damaged_parts(storage, large)]
    assert found[:2] == [(0, 2 * PART, 3 * PART), (0, 3 * PART, large.sizes[0])]
    assert found[2:] == [(2, at, min(at + PART, large.sizes[2])) for at in range(0, large.sizes[2], PART)]
    with pytest.raises((NotFoundError, IntegrityError)):
        digest_shards(storage, large)


def test_shards_are_found_by_their_keys(large, tmp_path):
    find = records_of_nodes({large.path: large.to_node(), "data/t": {"node_type": "group", "attributes": {}}}).find
    files = VerifiedFiles(open_storage(tmp_path), find)
    for number, size in enumerate(large.sizes):
        if size:
            assert files.read_part(large.key(number), 0, size)[0] == (tmp_path / large.key(number)).read_bytes()
    strangers = [large.key(1), f"{large.key(0)}0", f"{large.key(0)}/0", large.list_key, "data.zarr/data/t/c/0", "a.bam"]
    assert [find(key) for key in strangers] == [None] * len(strangers)
    assert set(large.files()) == {info.key for info in open_storage(tmp_path).iter_files("data.zarr")}
    assert all(info.size == large.files()[info.key] for info in open_storage(tmp_path).iter_files("data.zarr"))


def test_an_array_of_older_versions_is_read_as_before(large, tmp_path, open_here, caplog):
    old = replace(large, attributes={})
    (tmp_path / large.list_key).unlink()
    with caplog.at_level("INFO", "modos"):
        assert (opened(open_here(), old).read() == LARGE).all()
    assert sum("what is read of it is not verified" in record.getMessage() for record in caplog.records) == 2
    assert INDEX_SIZE == 4100
