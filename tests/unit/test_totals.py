"""What a progress is told to expect is what it is told in the end."""

from __future__ import annotations

import gzip
import random

import pytest

from modos.modo import MODO
from modos.reference.adding import read_sequences
from modos.tracks.loading import source_size

from .test_reference_store import write_twobit


class Counted:
    """A progress that remembers what it was told."""

    def __init__(self):
        self.done = self.total = 0

    def __call__(self, count):
        self.done += count

    def expect(self, total):
        self.total = total


@pytest.fixture
def fasta(tmp_path):
    bases = "".join(random.Random(1).choices("ACGT", k=300_000))
    (tmp_path / "a.fa").write_text(f">chr1\n{bases}\n>chr2\n{bases[:999]}\n")
    (tmp_path / "b.fa.gz").write_bytes(gzip.compress(f">chr3\n{bases[::-1]}\n".encode()))
    return [tmp_path / "a.fa", tmp_path / "b.fa.gz"]


def test_a_genome_is_read_twice(fasta, tmp_path):
    progress = Counted()
    MODO.create(tmp_path / "ex").add_genome(fasta, progress=progress)
    assert progress.done == progress.total == 2 * sum(path.stat().st_size for path in fasta)


@pytest.mark.parametrize("is_far", [False, True])
def test_a_reference_of_the_object_is_fetched_where_it_is_far(fasta, tmp_path, is_far, monkeypatch):
    modo, progress = MODO.create(tmp_path / "ex"), Counted()
    modo.add_element({"id": "ref", "@type": "ReferenceGenome"}, fasta[0])
    if is_far:
        monkeypatch.setattr(type(modo.storage), "local_path", lambda self, key: None)
    modo.add_genome(reference="reference/ref", id="made", progress=progress)
    assert progress.done == progress.total == (3 if is_far else 2) * fasta[0].stat().st_size


def test_an_archive_of_genomedata(fasta, tmp_path):
    h5py, np = pytest.importorskip("h5py"), pytest.importorskip("numpy")
    with h5py.File(tmp_path / "a.genomedata", "w") as archive:
        archive.attrs["tracknames"] = np.array([b"t", b"u"])
        for name in ("chr1", "chr2"):
            group = archive.create_group(name)
            group.attrs["start"], group.attrs["end"] = 0, 5000
            part = group.create_group("supercontig_0")
            part.attrs["start"], part.attrs["end"] = 0, 5000
            part["continuous"] = np.ones((5000, 2), np.float32)
    progress = Counted()
    MODO.create(tmp_path / "ex").import_genomedata(tmp_path / "a.genomedata", progress=progress)
    assert progress.done == progress.total == 2 * 2 * 5000 * 4


def test_sequences_for_a_store(fasta, tmp_path):
    twobit = tmp_path / "c.2bit"
    write_twobit(twobit, {"chr9": "ACGT" * 5000})
    progress = Counted()
    files = [*map(str, fasta), str(twobit)]
    list(read_sequences(files, progress))
    assert progress.done == source_size(files) == sum(path.stat().st_size for path in [*fasta, twobit])
