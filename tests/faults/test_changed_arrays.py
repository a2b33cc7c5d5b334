"""Bytes of tracks, sequences, references and genes that somebody changes: no wrong value is given, from near or afar."""

import json
import subprocess

import numpy as np
import pysam
import pytest

from modos.api import MODO
from modos.errors import IntegrityError, ModosError
from modos.tracks.conditions import Condition
from modos.tracks.zarr_layout import decoder, encoder, shard_bytes, split_shard
from tests.support import commands
from tests.support.older import forget_slots
from tests.support.sampling import some

pytestmark = pytest.mark.sweep(10)

LENGTHS = {"chr1": 70_000, "chr2": 40_000}
RANDOM = np.random.default_rng(3)
NOISE = {name: RANDOM.normal(size=n).round(3).astype(np.float32) for name, n in LENGTHS.items()}
STEPS = {name: np.repeat(RANDOM.integers(0, 9, n // 50), 50).astype(np.float32) for name, n in LENGTHS.items()}
BASES = {name: "".join(RANDOM.choice(list("ACGT"), n)) for name, n in LENGTHS.items()}


def write_fasta(path, bases=BASES, width=60):
    with open(path, "w") as file:
        for name, text in bases.items():
            file.write(f">{name}\n" + "\n".join(text[at : at + width] for at in range(0, len(text), width)) + "\n")
    return path


@pytest.fixture
def modo(place, tmp_path):
    """An object with a genome, its sequence and tracks of values and of runs, the first with a mask."""
    modo = MODO.create(place.new(), **place.options)
    modo.add_genome(write_fasta(tmp_path / "genome.fa"))
    with modo.track_changes() as tracks:
        tracks.add("noise", NOISE)
        tracks.add("steps", STEPS)
    modo.mask_track("noise", Condition("gt", 3.0))
    return modo


def look(modo):
    """Everything that a genome tells, one after the other."""
    genome = modo.genome
    for contig in LENGTHS:
        yield lambda contig=contig: genome[contig][:]
        yield lambda contig=contig: bytes(genome[contig].seq[:])
        for name in ("noise", "steps"):
            track = genome.track(name)
            yield lambda track=track, contig=contig: track.zoom(contig, 5)
            yield lambda track=track, contig=contig: np.array(track.of_contig(contig))
            yield lambda track=track, contig=contig: np.array(track.summary(f"{contig}:2,000-30,000"))
            yield lambda track=track, contig=contig: track.values(f"{contig}:100-1,100")


def told(modo):
    return [one() for one in look(modo)]


def check(modo, truth):
    """What is told is the truth or an error; returns the number of errors."""
    wrong = 0
    for number, one in enumerate(look(modo)):
        try:
            found = one()
        except IntegrityError as error:
            assert error.exit_code == 6
            wrong += 1
            continue
        assert found == truth[number] if isinstance(found, bytes) else np.array_equal(found, truth[number], equal_nan=True)
    return wrong


def nodes_of(modo):
    return json.loads(modo.storage.read("data.zarr/zarr.json")[0])["consolidated_metadata"]["metadata"]


def array_files(modo):
    return [info.key for info in modo.storage.iter_files("data.zarr") if not info.key.endswith("/zarr.json")]


def test_flipped_bytes_of_shards_and_lists(modo, place):
    truth = told(modo)
    keys = array_files(modo)
    roles = {key.split("/")[3].partition("-")[0] for key in keys}
    assert roles == {"values", "runs", "zoom", "statistics", "mask", "sequence"} and any(key.endswith("/parts") for key in keys)
    noticed = 0
    for key in keys:
        whole = modo.storage.read(key)[0]
        for at in some(range(0, len(whole), len(whole) // 8), 2):
            modo.storage.write(key, whole[:at] + bytes([whole[at] ^ 4]) + whole[at + 1 :])
            noticed += check(place.open(modo.storage.url), truth) > 0
        modo.storage.write(key, whole)
    assert noticed and check(place.open(modo.storage.url), truth) == 0


def test_values_with_right_checksums_of_their_chunks(modo, place):
    """A chunk is another one, with all checksums that Zarr has: nobody would notice without the list."""
    truth = told(modo)
    key = next(key for key in array_files(modo) if "/statistics-" in key and "/noise/" in key)
    node = next(node for path, node in nodes_of(modo).items() if path in key and node["node_type"] == "array")
    codec = node["codecs"][0]["configuration"]["codecs"][1]
    whole, table = modo.storage.read(key)[0], np.zeros((5, 4096))
    table[:, :2] = np.frombuffer(decoder(codec, table.nbytes)(split_shard(whole)[0][:-4])).reshape(5, 4096)[:, :2]
    bits = table.view(np.int64)
    before = bits[1, 0]
    for change in range(1, 10_000):  # until it takes as many bytes
        bits[1, 0] = before ^ (change << 30)
        forged = shard_bytes({0: encoder(codec)(table)})
        if len(forged) == len(whole):
            break
    assert len(forged) == len(whole) and forged != whole
    modo.storage.write(key, forged)
    assert check(place.open(modo.storage.url), truth) > 0


def test_an_older_track_in_the_place_of_the_new_one(modo, place, tmp_path):
    """All files of an array are those of an older state, list and all: the root of the commit tells."""
    truth = told(modo)
    files = {key: modo.storage.read(key)[0] for key in array_files(modo) if "/noise/values-" in key}
    other = MODO.create(place.new(), **place.options)
    other.add_genome(write_fasta(tmp_path / "again.fa"))
    other.add_track("noise", {name: values[::-1].copy() for name, values in NOISE.items()})
    older = {key.split("/", 4)[4]: other.storage.read(key)[0] for key in array_files(other) if "/noise/values-" in key}
    for key in files:
        modo.storage.write(key, older[key.split("/", 4)[4]])
    assert check(place.open(modo.storage.url), truth) > 0


def test_another_root_in_the_metadata(modo, place):
    truth = told(modo)
    root = modo.storage.read("data.zarr/zarr.json")[0]
    digests = [node["attributes"]["shard_digest"] for node in nodes_of(modo).values() if node["node_type"] == "array"]
    assert len(digests) == 8
    for digest in digests:
        for at in some(range(0, 64, 7), 1):
            other = digest[:at] + ("0" if digest[at] != "0" else "1") + digest[at + 1 :]
            modo.storage.write("data.zarr/zarr.json", root.replace(digest.encode(), other.encode()))
            assert check(place.open(modo.storage.url), truth) > 0
    document = json.loads(root)
    nodes = document["consolidated_metadata"]["metadata"]
    for node in (node for node in nodes.values() if node["node_type"] == "array"):
        node["attributes"]["shard_digest"] = 5
    modo.storage.write("data.zarr/zarr.json", json.dumps(document).encode())
    with pytest.raises(ModosError):
        told(place.open(modo.storage.url))


def test_objects_of_older_versions_are_read_as_before(modo, place):
    truth = told(modo)
    document = json.loads(modo.storage.read("data.zarr/zarr.json")[0])
    for node in document["consolidated_metadata"]["metadata"].values():
        node["attributes"].pop("shard_digest", None)
    modo.storage.write("data.zarr/zarr.json", json.dumps(document).encode())
    for key in [key for key in array_files(modo) if key.endswith("/parts")]:
        modo.storage.delete(key)
    assert check(place.open(modo.storage.url), truth) == 0


def test_a_base_of_the_fasta(place, tmp_path):
    modo = MODO.create(place.new(), **place.options)
    modo.add_element({"id": "hg", "@type": "ReferenceGenome"}, write_fasta(tmp_path / "genome.fa"))
    regions = [(name, at, at + 500) for name in LENGTHS for at in range(0, LENGTHS[name], 20_000)]
    path = modo.metadata["reference/hg"]["data_path"]
    whole, index = (modo.storage.read(key)[0] for key in (path, f"{path}.fai"))
    for at in (*some(range(10, len(whole), len(whole) // 20), 6), whole.index(b"\n") + 30):
        letter = b"A" if whole[at : at + 1] != b"A" else b"C"
        modo.storage.write(path, whole[:at] + letter + whole[at + 1 :])
        again, wrong = place.open(modo.storage.url), 0
        for contig, start, end in regions:
            try:
                assert str(again.reference("hg").dna(contig, start, end)) == BASES[contig][start:end]
            except IntegrityError as error:
                wrong += 1
                assert f"{path}: bytes" in error.message or error.exit_code == 6
        assert wrong
        with pytest.raises(IntegrityError):
            again.add_genome(reference="hg", id="own")
    modo.storage.write(path, whole)
    for at in some(range(len(index)), 6):
        modo.storage.write(
            f"{path}.fai",
            index[:at] + b"1" + index[at + 1 :] if index[at : at + 1] != b"1" else index[:at] + b"2" + index[at + 1 :],
        )
        again = place.open(modo.storage.url)
        with pytest.raises(IntegrityError):
            again.reference("hg").dna("chr1", 0, 100)


def test_an_index_of_a_fasta_that_is_not_on_record(place, tmp_path):
    """It came later, or from somebody else: a sequence that it places elsewhere is no sequence of the FASTA."""
    modo = MODO.create(place.new(), **place.options)
    modo.add_element({"id": "hg", "@type": "ReferenceGenome"}, write_fasta(tmp_path / "genome.fa"))
    path = modo.metadata["reference/hg"]["data_path"]
    forget_slots(modo.storage, ["index_digests"])
    modo.refresh()
    assert not modo.metadata["reference/hg"].get("index_digests")
    assert str(place.open(modo.storage.url).reference("hg").dna("chr2", 5, 90)) == BASES["chr2"][5:90]
    index = modo.storage.read(f"{path}.fai")[0].decode()
    rows = [line.split("\t") for line in index.splitlines()]
    rows[0][2] = str(int(rows[0][2]) + 3)
    modo.storage.write(f"{path}.fai", "".join("\t".join(row) + "\n" for row in rows).encode())
    again = place.open(modo.storage.url).reference("hg")
    assert str(again.dna("chr2", 5, 90)) == BASES["chr2"][5:90]
    with pytest.raises(IntegrityError, match="no sequence chr1 starts at byte"):
        again.dna("chr1", 5, 90)


CONTIGS = {f"c{number}": "".join(RANDOM.choice(list("ACGT"), 500)) for number in range(12)}


def write_cram(folder):
    """A CRAM with one slice for all of its contigs, of which no MD5 of the reference is kept."""
    fasta = write_fasta(folder / "small.fa", CONTIGS)
    lines = "".join(f"@SQ\tSN:{name}\tLN:500\n" for name in CONTIGS)
    reads = "".join(f"r{name}\t0\t{name}\t11\t60\t100M\t*\t0\t0\t{text[10:110]}\t{'I' * 100}\n" for name, text in CONTIGS.items())
    (folder / "a.sam").write_text(f"@HD\tVN:1.6\tSO:coordinate\n{lines}{reads}")
    option = "multi_seq_per_slice=1"
    pysam.samtools.view(
        "-C",
        "--output-fmt-option",
        option,
        "-T",
        str(fasta),
        "-o",
        str(folder / "a.cram"),
        str(folder / "a.sam"),
        catch_stdout=False,
    )
    pysam.samtools.index(str(folder / "a.cram"))
    return fasta, folder / "a.cram"


def test_a_base_under_a_cram_without_md5s(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    fasta, cram = write_cram(tmp_path)
    modo = MODO.create(tmp_path / "ex")
    modo.add_element({"id": "hg", "@type": "ReferenceGenome"}, fasta)
    modo.add_element({"id": "a", "@type": "AlignmentSet", "has_reference": ["reference/hg"]}, cram)
    run = ["stream", str(tmp_path / "ex"), "a.cram", "-O", "sam", "-r", "c3"]
    right = commands.run(run, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert right.returncode == 0 and CONTIGS["c3"][10:110].encode() in right.stdout
    path = tmp_path / "ex" / modo.metadata["reference/hg"]["data_path"]
    whole = path.read_bytes()
    at = whole.index(b">c3\n") + 4 + 30
    path.write_bytes(whole[:at] + (b"A" if whole[at : at + 1] != b"A" else b"C") + whole[at + 1 :])
    wrong = commands.run(run, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert wrong.returncode == 6 and b"are not those that are recorded" in wrong.stderr and b"rc3" not in wrong.stdout


def test_a_gene_that_was_moved(place, example, tmp_path):
    genes = tmp_path / "genes.gff3"
    genes.write_text("##gff-version 3\nchr1\tx\tgene\t101\t900\t.\t+\t.\tID=gene:G1;gene_id=G1;gene_name=BRCA1;Name=BRCA1\n")
    modo = MODO.create(place.new(), **place.options)
    modo.add_element({"id": "r", "@type": "ReferenceGenome"}, example / "ex/reference.fa")
    modo.add_element({"id": "g", "@type": "DataEntity", "data_format": "GFF3", "has_reference": ["reference/r"]}, genes)
    modo.add_element({"id": "b", "@type": "AlignmentSet", "has_reference": ["reference/r"]}, example / "ex/demo2.bam")
    name = modo.metadata["data/b"]["data_path"]
    count = modo.count(name, "BRCA1")
    assert count == modo.count(name, "chr1:101-900")
    key = modo.metadata["data/g"]["data_path"]
    modo.storage.write(key, modo.storage.read(key)[0].replace(b"\t101\t", b"\t501\t"))
    with pytest.raises(IntegrityError, match="are not those that are recorded"):
        place.open(modo.storage.url).count(name, "BRCA1")
