"""What takes the path of a file as text takes a Path, too, and does the same."""

from pathlib import Path

import numpy as np
import pytest

import modos.reference
from modos.api import MODO
from modos.errors import InvalidInputError, NotFoundError
from modos.reference.adding import add_files
from modos.reference.locate import open_store
from modos.tracks.conditions import Condition
from modos.tracks.export import export


@pytest.fixture
def modo(tmp_path):
    modo = MODO.create(tmp_path / "ex")
    (tmp_path / "a.sizes").write_text("chr1\t50\n")
    (tmp_path / "mask.bed").write_text("chr1\t10\t20\n")
    modo.add_genome(sizes=tmp_path / "a.sizes")
    modo.add_track("t", {"chr1": np.arange(50, dtype=np.float32)})
    return modo


@pytest.mark.parametrize("kind", [str, Path])
def test_names_of_references(tmp_path, kind):
    """A Path was a TypeError deep within."""
    (tmp_path / "a.fa").write_text(">chr1\nACGT\n")
    add_files(open_store(tmp_path / "store"), "a", [tmp_path / "a.fa"])
    assert modos.reference.open(kind("a"), kind(tmp_path / "store")).dna("chr1") == "ACGT"
    with pytest.raises(InvalidInputError, match="cannot be the name of an assembly"):
        modos.reference.open(kind(tmp_path / "a.fa"), tmp_path / "store")


@pytest.mark.parametrize("kind", [str, Path])
def test_files_of_tracks(tmp_path, modo, kind):
    modo.mask_track("t", kind(tmp_path / "mask.bed"))
    export(modo.genome.track("t"), kind(tmp_path / "out.bedGraph"))
    assert (
        "chr1\t9\t10\t9" in (tmp_path / "out.bedGraph").read_text()
        and "chr1\t10\t11" not in (tmp_path / "out.bedGraph").read_text()
    )


@pytest.mark.parametrize("kind", [str, Path])
@pytest.mark.parametrize(
    "mask",
    [
        lambda modo, *mask, **scores: modo.mask_track("t", *mask, **scores),
        lambda modo, *mask, **scores: modo.mask_tracks(*mask, **scores),
    ],
)
def test_scores_of_a_mask(tmp_path, modo, kind, mask):
    """Those of a file that was given as Path were left out for several tracks, and all of its places masked; for one it was refused."""
    (tmp_path / "scored.bed").write_text("chr1\t10\t20\ta\t5\nchr1\t30\t40\tb\t1\n")
    mask(modo, kind(tmp_path / "scored.bed"), scores=Condition("gt", 2))
    assert modo.genome.track("t").mask.tolist() == [[10], [20]]


@pytest.mark.parametrize("kind", [str, Path])
def test_where_a_file_is(tmp_path, modo, kind):
    (tmp_path / "x").write_text("x")
    modo.add_element(
        {"@type": "DataEntity", "id": "data/x", "data_path": "x.fastq", "data_format": "FASTQ"}, source_file=kind(tmp_path / "x")
    )
    assert MODO.locate(kind(tmp_path / "ex/x.fastq"))[1] == "x.fastq"
    with pytest.raises(NotFoundError):
        MODO.locate(kind(tmp_path / "ex/y.fastq"))
