"""Objects and stores that landed versions of modos wrote are read, upgraded and changed by this one.

What is read is compared with what samtools and bcftools gave of the plain files (`expected.json`), and with these files.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

import modos
from modos import codes
from modos.api import MODO
from modos.demo.stack import BUCKET, CREDENTIALS
from modos.encryption.keys import load_secret_key
from modos.errors import DecryptError, IntegrityError, ModosError
from modos.formats import format_of
from modos.genomics.index.cuts import find_cuts
from modos.genomics.index.file_header import read_header
from modos.object.cut_lists import open_cuts
from modos.readlog.log_verification import LogReader
from modos.reference.store import ReferenceStore
from modos.storage import open_storage
from tests.support.writing_versions import FOLDER, LONG, VERSIONS, unpack

EXPECTED = json.loads((FOLDER / "expected.json").read_text())
NAMES = sorted(VERSIONS)
OBJECTS = [(name, of) for name in NAMES for of in ("plain", "sealed", "plain.zip") if of in VERSIONS[name]["objects"]]
SLOTS_OF = {"reads.bam": "data/reads", "reads.cram": "data/packed", "calls.vcf.gz": "data/calls", "cohort.bcf": "data/cohort"}

since = {number: [name for name in NAMES if int(name[:2]) >= number] for number in range(1, 20)}
each_object = pytest.mark.parametrize(("name", "of"), OBJECTS, ids=lambda value: value)


@pytest.fixture(scope="session")
def plain(tmp_path_factory) -> Path:
    """The plain files, and keys of people who do not exist."""
    return unpack("plain", tmp_path_factory.mktemp("plain"))


@pytest.fixture(scope="session")
def fixtures(tmp_path_factory):
    """Gives the folder of a fixture, which nobody changes."""
    folder, known = tmp_path_factory.mktemp("versions"), {}

    def get(name: str) -> Path:
        if name not in known:
            known[name] = unpack(name, folder / name)
        return known[name]

    return get


@pytest.fixture
def taken(fixtures, tmp_path):
    """Gives an object of a fixture, copied to be changed."""

    def take(name: str, of: str) -> MODO:
        shutil.copytree(fixtures(name) / of, tmp_path / of)
        return MODO.open(tmp_path / of)

    return take


def number_of(name: str) -> int:
    return int(name[:2])


def files_of(name: str) -> dict[str, str]:
    """The genomic files of an object, and their elements."""
    return SLOTS_OF | ({"long.bam": "data/long"} if number_of(name) in LONG else {})


def digest(records) -> str:
    lines = (record.to_string() + "\n" if hasattr(record, "to_string") else str(record) for record in records)
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def compare_regions(modo: MODO, name: str, secret: Path | None = None) -> None:
    """Each region has the lines that samtools or bcftools gave of the plain file."""
    for file, element in files_of(name).items():
        path = modo.metadata[element]["data_path"]
        for region, expected in EXPECTED[file].items():
            assert digest(modo.stream_genomics(path, region, secret_key=secret)) == expected, (file, region)


def read_values(path: Path, contig: str, length: int) -> np.ndarray:
    """The values of a bedGraph, by its text."""
    values = np.full(length, np.nan, np.float32)
    for line in path.read_text().splitlines():
        name, start, end, value = line.split("\t")
        if name == contig:
            values[int(start) : int(end)] = float(value)
    return values


def compare_tracks(modo: MODO, name: str, plain: Path, secret: Path | None = None) -> None:
    """Values of tracks are those of the bedGraph, bases those of the FASTA."""
    bases = (plain / "genome.fa").read_text().split("\n")[1::2]
    first, second = (read_values(plain / "signal.bedGraph", "chr1", 20_000), np.full(6_000, np.nan, np.float32))
    if number_of(name) >= 8:
        second = read_values(plain / "more.bedGraph", "chr2", 6_000)
    with modo.open_genome("reference/genome", secret_key=secret) as genome:
        assert genome.tracknames_continuous[0] == "signal"
        assert [bytes(genome["chr1"].seq[:]).decode(), bytes(genome["chr2"].seq[5_000:]).decode()] == [bases[0], bases[1][5_000:]]
        np.testing.assert_array_equal(genome["chr1"][:, "signal"], first)
        np.testing.assert_array_equal(genome["chr2"][:, "signal"], second)
        assert genome.track("signal").mean("chr1:1-20,000") == pytest.approx(np.nanmean(first.astype("float64")))
        if "data/masked" in modo.metadata:
            first[2_000:2_100] = np.nan
            np.testing.assert_array_equal(genome["chr1"][:, "masked"], first)


def compare_tree(modo: MODO, secret: Path | None = None) -> None:
    group = modo["data/rna"].to_zarr(secret_key=secret)
    np.testing.assert_array_equal(group["X"][:], np.arange(600, dtype="int32").reshape(20, 30))


def compare_all(modo: MODO, name: str, plain: Path, secret: Path | None = None) -> None:
    compare_regions(modo, name, secret)
    if number_of(name) >= 3:
        compare_tracks(modo, name, plain, secret)
    if number_of(name) >= 8:
        compare_tree(modo, secret)


def check(modo: MODO, secret: Path | None = None) -> list[str]:
    """What a thorough check finds."""
    return [str(found) for found in modo.find_problems(thorough=True, secret_key=secret)]


def key_of(of: str, plain: Path) -> Path | None:
    return plain / "bob.sec" if of == "sealed" else None


@each_object
def test_metadata_are_what_was_written(fixtures, name, of):
    modo = MODO.open(fixtures(name) / of)
    told, own = modo.metadata, of.removesuffix(".zip")
    expected = {own, "assay/wgs", "sample/one", "sample/two", "reference/fasta", *files_of(name).values()}
    expected |= {"reference/genome", "data/signal"} if number_of(name) >= 3 else set()
    expected |= {"data/masked"} if number_of(name) >= 3 and own == "plain" else set()
    expected |= {"data/rna"} if number_of(name) >= 8 else set()
    assert set(told) == expected
    assert told[own]["name"] == "An object of its time" and told[own]["has_assay"] == ["assay/wgs"]
    assert {slot: told["sample/one"][slot] for slot in ("sex", "description", "taxon_id")} == {
        "sex": "Male",
        "description": "two\nlines, and ü",
        "taxon_id": ["NCBITaxon:9606"],
    }
    assert set(told["assay/wgs"]["has_data"]) >= set(files_of(name).values())
    assert told["data/packed"]["has_reference"] == ["reference/fasta"]
    assert told["data/calls"]["has_sample"] == ["sample/one", "sample/two"]
    assert modo.list_samples() == ["sample/one", "sample/two"]
    assert "Male" in str(modo.query("SELECT ?sex WHERE { ?s a modos:Sample ; modos:sex ?sex }").serialize(format="json"))


@each_object
def test_regions_tracks_and_trees_are_what_was_written(fixtures, plain, name, of):
    compare_all(MODO.open(fixtures(name) / of), name, plain, key_of(of, plain))


@each_object
def test_a_check_finds_nothing_that_is_wrong(fixtures, plain, name, of):
    """Mirrors for other Zarr tools are as the version wrote them, whose slots lie elsewhere today: harmless."""
    found = MODO.open(fixtures(name) / of).find_problems(thorough=True, secret_key=plain / "bob.sec")
    assert [str(one) for one in found if not (one.harmless and one.kind == "mirror")] == []


@pytest.mark.sweep(4)
@pytest.mark.parametrize("name", since[2])
def test_sealed_objects_are_decrypted_to_the_plain_files(taken, plain, name):
    modo = taken(name, "sealed")
    with pytest.raises(DecryptError):
        digest(modo.stream_genomics(modo.metadata["data/reads"]["data_path"], "chr1", secret_key=plain / "carol.sec"))
    with pytest.raises(ModosError):
        modo.decrypt(plain / "carol.sec")
    modo.decrypt(plain / "bob.sec")
    for file, element in files_of(name).items():
        assert (modo.path / modo.metadata[element]["data_path"]).read_bytes() == (plain / file).read_bytes()
    assert not [path for path in modo.path.rglob("*") if ".c4gh" in path.name]
    compare_all(modo, name, plain)
    assert check(modo) == []


@pytest.mark.sweep(6)
@pytest.mark.parametrize(("name", "of"), [case for case in OBJECTS if case[1] != "plain.zip"], ids=lambda value: value)
def test_an_upgrade_changes_nothing_but_what_is_missing(taken, plain, name, of):
    modo = taken(name, of)
    before = modo.metadata
    recording = modo.upgrade()
    assert recording.findings == []
    again = MODO.open(modo.path)
    apart = {"data_digest", "index_digests", "plain_digest", "last_update_date"}
    assert [
        {i: {k: v for k, v in slots.items() if k not in apart} for i, slots in one.items()} for one in (before, again.metadata)
    ]
    for file, element in files_of(name).items():
        assert again.metadata[element]["data_digest"], file
    compare_all(again, name, plain, key_of(of, plain))
    assert [found for found in check(again, plain / "bob.sec") if not found.startswith("mirror ")] == []
    revision = again._document.state["revision"]
    again.upgrade()
    assert MODO.open(modo.path)._document.state["revision"] == revision  # there is nothing more to do


@pytest.mark.sweep(4)
@pytest.mark.parametrize("name", NAMES)
def test_a_plain_object_is_changed_and_stays_whole(taken, plain, name):
    modo = taken(name, "plain")
    modo.add_element({"id": "four", "@type": "Sample"})
    told = {"id": "again", "@type": "AlignmentSet", "data_path": "again.bam", "data_format": "BAM"}
    modo.add_element(told, plain / "reads.bam")
    modo.update_element("data/cohort", {}, source_file=plain / "cohort.bcf")
    compare_all(modo, name, plain)
    assert check(modo) == []
    modo.encrypt([plain / "alice.pub", plain / "carol.pub"], also_me=False)
    modo.share(plain / "alice.sec", plain / "bob.pub")
    modo.revoke(plain / "bob.sec", plain / "carol.pub")
    again = MODO.open(modo.path)
    compare_all(again, name, plain, plain / "bob.sec")
    assert digest(again.stream_genomics("again.bam", "chr1", secret_key=plain / "bob.sec")) == EXPECTED["reads.bam"]["chr1"]
    with pytest.raises(DecryptError):
        digest(again.stream_genomics("again.bam", "chr1", secret_key=plain / "carol.sec"))
    assert check(again, plain / "alice.sec") == []


@pytest.mark.sweep(4)
@pytest.mark.parametrize("name", since[2])
def test_a_sealed_object_is_shared_and_stays_whole(taken, plain, name):
    modo = taken(name, "sealed")
    modo.share(plain / "bob.sec", plain / "carol.pub")
    modo.revoke(plain / "carol.sec", plain / "bob.pub")
    modo.add_element({"id": "four", "@type": "Sample"})
    again = MODO.open(modo.path)
    compare_all(again, name, plain, plain / "carol.sec")
    with pytest.raises(DecryptError):
        digest(again.stream_genomics(again.metadata["data/reads"]["data_path"], "chr1", secret_key=plain / "bob.sec"))
    assert check(again, plain / "alice.sec") == []
    again.revoke(plain / "alice.sec", plain / "carol.pub", rotate=True)
    compare_all(again, name, plain, plain / "alice.sec")
    assert check(again, plain / "alice.sec") == []


@pytest.mark.sweep(6)
@each_object
def test_copies_are_equal(fixtures, plain, tmp_path, name, of):
    copy = MODO.open(fixtures(name) / of).download(tmp_path / "copy")
    compare_all(copy, name, plain, key_of(of, plain))
    assert check(copy, plain / "bob.sec") == []
    packed = copy.pack(tmp_path / "copy.zip")
    assert check(packed, plain / "bob.sec") == []


@pytest.mark.sweep(4)
@each_object
def test_objects_go_to_s3_and_back(fixtures, plain, tmp_path, stack, name, of):
    where = {"services": {"s3": stack.s3}, "s3_kwargs": CREDENTIALS}
    there = MODO.open(fixtures(name) / of).upload(f"s3://{BUCKET}/versions/{name}-{of.replace('.', '-')}", **where)
    compare_all(MODO.open(f"s3://{BUCKET}/versions/{name}-{of.replace('.', '-')}", **where), name, plain, key_of(of, plain))
    compare_all(there.download(tmp_path / "back"), name, plain, key_of(of, plain))


@pytest.mark.parametrize("name", since[3])
def test_reference_stores_are_read(fixtures, plain, name):
    store = ReferenceStore(open_storage(fixtures(name) / "refs"))
    assert list(store.verify("toy")) == []
    reference = modos.open_reference("toy", place=fixtures(name) / "refs")
    bases = (plain / "genome.fa").read_text().split("\n")[1::2]
    assert [reference.dna(contig) for contig in ("chr1", "chr2")] == bases
    gene = reference.annotation("genes").gene("one")
    assert (gene.id, gene.contig, gene.start, gene.end, gene.strand) == ("g1", "chr1", 1_000, 2_000, "+")


@pytest.mark.parametrize("name", since[6])
def test_indexes_of_codes_are_searched(fixtures, name):
    found = codes.open(fixtures(name) / "codes.idx").search("cell_type", "t lymphocyte")
    assert found[0].label == "T cell"


def read_rows(place: Path):
    return modos.open_catalog(place).elements.collect().sort("object", "element")


@pytest.mark.parametrize("name", since[9])
def test_catalogues_are_read_with_what_was_announced_since(fixtures, tmp_path, name):
    shutil.copytree(fixtures(name), tmp_path / "place")
    if number_of(name) == 9:  # it lacks columns, which no row of it can tell
        with pytest.raises(IntegrityError, match="other columns"):
            modos.open_catalog(tmp_path / "place")
        modos.refresh_catalog(tmp_path / "place", full=True)
    rows = read_rows(tmp_path / "place")
    told = {(row["object"], row["element"]): row for row in rows.iter_rows(named=True)}
    assert told["plain", "sample/two"]["description"] == "announced"
    assert {key for key, _ in told} == {"plain", "sealed"}
    modos.refresh_catalog(tmp_path / "place")
    assert read_rows(tmp_path / "place").equals(rows)
    modos.refresh_catalog(tmp_path / "place", full=True)
    assert read_rows(tmp_path / "place").equals(rows)


@pytest.mark.parametrize("name", since[10])
def test_read_logs_are_verified_and_read(fixtures, plain, name):
    reader = LogReader(open_storage(fixtures(name) / "log"), load_secret_key(plain / "officer.sec"))
    assert [entry["file"] for _, _, entry in reader.entries()] == [f"files/{number}" for number in range(12)]
    assert reader.found.problems == [] and len(reader.found.chains) == 1


@pytest.mark.parametrize("name", since[10])
def test_servers_find_regions_by_the_lists_of_places(fixtures, plain, name):
    modo = MODO.open(fixtures(name) / "sealed")
    for file, element in files_of(name).items():
        opened = open_cuts(modo.storage, modo.metadata[element], load_secret_key(plain / "server.sec"))
        data, format = (plain / file).read_bytes(), format_of(file)
        index = next(path for path in plain.iterdir() if path.name.startswith(f"{file}.")).read_bytes()

        def read(start, end, data=data):
            return data[start:end]

        assert opened == find_cuts(format, read, len(data), read_header(format, read, len(data)), index)


def test_slots_that_an_older_version_left_when_it_decrypted_are_none(taken, plain):
    """Versions 07 to 09 know nothing of lists of places, and leave their slots among the attributes."""
    modo = taken("12-columns", "sealed")
    recorded = modo.metadata["data/reads"]
    modo.decrypt(plain / "bob.sec")
    path = modo.path / "data.zarr/zarr.json"
    root = json.loads(path.read_text())
    for slot in ("index_recipients", "cuts_checksum"):
        root["consolidated_metadata"]["metadata"]["data/reads"]["attributes"][slot] = recorded[slot]
    path.write_text(json.dumps(root))
    again = MODO.open(modo.path)
    assert not {"index_recipients", "cuts_checksum"} & again.metadata["data/reads"].keys()
    assert [found for found in check(again) if not found.startswith("mirror ")] == []
    again.add_element({"id": "four", "@type": "Sample"})
    assert "cuts_checksum" not in json.dumps(json.loads(path.read_text()))
