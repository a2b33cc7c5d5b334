"""Arrays and chunks of a stranger that do not fit: `check` tells which, and nothing else of the object is blocked; in a folder and on S3."""

from __future__ import annotations

import json
from dataclasses import replace
from shutil import copytree

import numpy as np
import pytest

from modos.api import MODO
from modos.errors import IntegrityError, InvalidInputError
from modos.storage import open_storage
from modos.storage.s3 import S3Storage
from modos.storage.write_log import WriteLog
from modos.tracks.arrays import shard_checksum
from modos.tracks.shard_digests import record_digests
from modos.tracks.zarr_layout import ArraySpec, crc32c, shard_bytes, split_shard
from tests.support import commands
from tests.unit.tracks.test_hostile_chunks import LIES, strange  # noqa: F401

VALUES = ("values in other chunks", "a divisor that is 3", "half a base", "a codec without a name", "a shard of an exabyte")
RUNS = ("a mask of 512 GiB", "origins that go back", "no levels", "statistics of one row", "runs of 384 GiB")


@pytest.fixture(params=["folder", "S3"])
def place(request, strange, tmp_path):  # noqa: F811
    """Makes an object of a folder, at its place, and gives the arguments that open it."""
    copytree(strange, tmp_path / "ex")

    def put():
        if request.param == "folder":
            return str(tmp_path / "ex"), {}
        from modos.demo.stack import BUCKET, CREDENTIALS

        stack = request.getfixturevalue("stack")
        url = f"s3://{BUCKET}/misfits/{tmp_path.name}"
        storage = S3Storage.from_url(url, endpoint_url=stack.s3, s3_kwargs=CREDENTIALS)
        for path in sorted((tmp_path / "ex").rglob("*")):
            if path.is_file():
                storage.write(path.relative_to(tmp_path / "ex").as_posix(), path.read_bytes())
        return url, {"services": {"s3": stack.s3}, "s3_kwargs": CREDENTIALS}

    return tmp_path / "ex", put


def lie(folder, *names):
    root = folder / "data.zarr/zarr.json"
    document = json.loads(root.read_text())
    for name in names:
        LIES[name](document["consolidated_metadata"]["metadata"])
    root.write_text(json.dumps(document))


def findings(modo):
    return [finding for finding in modo.find_problems() if not finding.harmless]


def test_nothing_is_wrong_with_what_is_right(place):
    url, options = place[1]()
    assert findings(MODO.open(url, **options)) == []


@pytest.mark.sweep(1)
@pytest.mark.parametrize("name", [*VALUES, *RUNS])
def test_one_track_that_does_not_fit_is_told_of_and_blocks_nothing_else(place, name, caplog):
    folder, put = place
    bad, good = ("values", "runs") if name in VALUES else ("runs", "values")
    expected = MODO.open(folder).genome.track(good).values("chr1:1-60000")
    lie(folder, name)
    url, options = put()
    modo = MODO.open(url, **options)
    with caplog.at_level("WARNING"):
        genome = modo.genome
    assert len(caplog.records) == 1 and f"the track {bad} cannot be read" in caplog.text
    assert list(genome.tracks) == ["values", "runs"] and genome.contigs.lengths == {"chr1": 70_000, "chr2": 900}
    assert np.array_equal(genome.track(good).values("chr1:1-60000"), expected, equal_nan=True)
    assert np.array_equal(genome["chr1"][:60_000, good], expected, equal_nan=True)
    track = genome.track(bad)
    for read in (
        lambda: track.values("chr1:1-9"),
        lambda: track.mean(),
        lambda: genome["chr1"][:9],
        lambda: genome["chr1"][:9, bad],
        lambda: genome.means,
        lambda: track.describe(),
        lambda: track.is_masked,
        lambda: genome.windows(["chr1:1-9"]),
        lambda: track.zoom("chr1", 5),
        lambda: list(track.iter_data()),
    ):
        with pytest.raises((IntegrityError, InvalidInputError)):
            read()
    found = [finding for finding in findings(modo) if finding.kind == "array"]
    assert any(finding.where.startswith(f"data/{bad}") for finding in found)
    assert not any(finding.where.startswith(f"data/{good}") for finding in findings(modo))


def test_contigs_that_cannot_be_are_a_finding(place):
    folder, put = place
    lie(folder, "a contig far away")
    url, options = put()
    assert ("array", "reference/genome") in [(finding.kind, finding.where) for finding in findings(MODO.open(url, **options))]


@pytest.mark.sweep(1)
@pytest.mark.parametrize("change", ["a chunk", "an index"])
@pytest.mark.parametrize("with_digests", [True, False])
def test_a_chunk_that_lies_is_a_finding_though_all_checksums_are_right(place, change, with_digests):
    """The forger computes the CRC of the chunk, and what the metadata record, anew."""
    folder, put = place
    root = folder / "data.zarr/zarr.json"
    document = json.loads(root.read_text())
    nodes = document["consolidated_metadata"]["metadata"]
    (path,) = [path for path in nodes if path.startswith("data/values/values-")]
    spec = ArraySpec.from_node(path, nodes[path])
    shard = folder / spec.key(0)
    data = bytearray(shard.read_bytes())
    if change == "a chunk":
        chunks = split_shard(bytes(data))
        frame = bytearray(chunks[0][:-4])
        frame[12:16] = (len(frame) + 4096).to_bytes(4, "little")
        data = bytearray(shard_bytes(chunks | {0: bytes(frame) + crc32c(bytes(frame)).to_bytes(4, "little")}))
    else:
        from modos.tracks.zarr_layout import INDEX_SIZE

        index = np.frombuffer(bytes(data[-INDEX_SIZE:-4]), "<u8").copy()
        index[1] += 8
        data[-INDEX_SIZE:] = index.tobytes() + crc32c(index.tobytes()).to_bytes(4, "little")
    shard.write_bytes(data)
    nodes[path]["attributes"]["shard_checksum"] = shard_checksum(open_storage(folder), spec)
    del nodes[path]["attributes"]["shard_digest"]
    (folder / spec.list_key).unlink(missing_ok=True)
    if with_digests:
        forged = replace(spec, attributes={"shard_checksum": nodes[path]["attributes"]["shard_checksum"]})
        recorded = record_digests(WriteLog(open_storage(folder)), forged)
        nodes[path]["attributes"]["shard_digest"] = recorded.attributes["shard_digest"]
    root.write_text(json.dumps(document))
    url, options = put()
    found = findings(MODO.open(url, **options))
    assert [(finding.kind, finding.where) for finding in found] == [("array", path)] and "has a chunk that is damaged" in found[
        0
    ].message


def run(*words):
    return commands.run(words, capture_output=True, text=True, timeout=60)


def test_commands_tell_of_it_in_a_line(strange, tmp_path):  # noqa: F811
    copytree(strange, tmp_path / "ex")
    lie(tmp_path / "ex", "no levels")
    listed = run("track", "list", str(tmp_path / "ex"))
    assert listed.returncode == 0 and "values" in listed.stdout and "runs" not in listed.stdout
    assert len(listed.stderr.splitlines()) == 1 and "the track runs cannot be read" in listed.stderr
    rows = json.loads(run("track", "list", str(tmp_path / "ex"), "--json").stdout)
    assert [row["name"] for row in rows] == ["values", "runs"] and "do not fit" in rows[1]["error"]
    assert run("track", "query", str(tmp_path / "ex"), "values", "-r", "chr1:1-3").returncode == 0
    for words in (["query"], ["info", "runs"]):
        done = run("track", words[0], str(tmp_path / "ex"), *words[1:], *(["-r", "chr1:1-3"] if words[0] == "query" else []))
        assert done.returncode == 6 and "chr1" not in done.stdout and "do not fit" in done.stderr
    checked = run("check", str(tmp_path / "ex"))
    assert checked.returncode == 6 and "array    data/runs: the arrays of data/runs do not fit its genome" in checked.stdout


@pytest.fixture
def whole(tmp_path):
    """An object with a file, a genome and a track; what changes its root."""
    modo = MODO.create(tmp_path / "ex")
    (tmp_path / "c.sizes").write_text("c1\t5000\n")
    modo.add_genome(sizes=tmp_path / "c.sizes")
    modo.add_track("t", {"c1": np.arange(5000, dtype=np.float32)})
    (tmp_path / "notes.tsv").write_text("a\tb\n")
    modo.add_element({"id": "notes", "@type": "DataEntity", "data_format": "TSV"}, tmp_path / "notes.tsv")

    def change(element_id, **slots):
        root = tmp_path / "ex/data.zarr/zarr.json"
        document = json.loads(root.read_text())
        nodes = document["consolidated_metadata"]["metadata"]
        nodes.setdefault(element_id, json.loads(json.dumps(nodes["data/t"])))["attributes"].update(slots)
        root.write_text(json.dumps(document))
        return [(finding.kind, finding.where) for finding in findings(MODO(tmp_path / "ex"))]

    return change


@pytest.mark.parametrize(
    "element, slots, kind",
    [
        ("data/t", {"data_checksum": "0" * 128}, "checksum"),
        ("data/t", {"data_size": 1}, "size"),
        ("data/t", {"data_path": "data.zarr/data/u"}, "missing"),
        ("data/t", {"data_path": "data.zarr/data/notes"}, "path"),
        ("data/copy", {}, "path"),
        ("data/copy", {"data_path": "data.zarr/data/copy"}, "missing"),
        ("data/notes", {"data_path": "data.zarr/zarr.json"}, "missing"),
        ("data/notes", {"data_path": "data.zarr/data/t"}, "path"),
        ("data/notes", {"data_path": ""}, "path"),
        ("data/notes", {"data_path": "notes.bam/"}, "path"),
        ("data/notes", {"data_path": "notes.bam/."}, "path"),
    ],
)
def test_an_element_that_does_not_have_what_it_records_is_a_finding(whole, element, slots, kind):
    """Arrays of another element or of none, other arrays than were recorded, no file where one was: in one finding, not in silence."""
    assert whole("data/t") == []
    assert whole(element, **slots) == [(kind, element)]
