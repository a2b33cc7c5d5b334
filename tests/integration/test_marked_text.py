"""Text with a mark of its byte order loses no row; places that are none, or elsewhere, are not passed over in silence."""

from __future__ import annotations

import gzip

import numpy as np
import pytest

from modos.api import MODO
from modos.errors import InvalidInputError
from modos.genomics.region import Region, read_regions

BOM = b"\xef\xbb\xbf"


@pytest.fixture
def modo(tmp_path):
    (tmp_path / "a.sizes").write_bytes(BOM + b"chr1\t3000\r\nchr2\t500\r\n")
    modo = MODO(tmp_path / "ex")
    modo.add_genome(sizes=tmp_path / "a.sizes")
    return modo


@pytest.mark.parametrize("packed", [bytes, gzip.compress])
def test_the_first_row_counts(modo, tmp_path, packed):
    assert list(modo.genome.contigs) == ["chr1", "chr2"]
    (tmp_path / "a.bedGraph").write_bytes(packed(BOM + b"chr1\t0\t2\t1\nchr1\t2\t4\t3\n"))
    (tmp_path / "mask.bed").write_bytes(packed(BOM + b"chr1\t1\t2\nchr1\t3\t4\n"))
    modo.add_track("plain", tmp_path / "a.bedGraph")
    modo.add_track("masked", tmp_path / "a.bedGraph", mask=str(tmp_path / "mask.bed"))
    nan = np.nan
    np.testing.assert_array_equal(modo.genome["chr1"][0:5, "plain"], [1, 1, 3, 3, nan])
    np.testing.assert_array_equal(modo.genome["chr1"][0:5, "masked"], [1, nan, 3, nan, nan])
    (tmp_path / "regions.txt").write_bytes(packed(BOM + b"chr1\t1\t2\n"))
    assert read_regions(str(tmp_path / "regions.txt")) == (Region("chr1", 0, 2),)


@pytest.mark.parametrize("kind", ["mask", "keep"])
def test_places_that_are_none_are_an_error(modo, tmp_path, kind):
    (tmp_path / "a.bedGraph").write_text("chr1\t0\t2\t1\n")
    (tmp_path / "empty.bed").write_text("# nothing\n")
    with pytest.raises(InvalidInputError, match="no rows"):
        modo.add_track("a", tmp_path / "a.bedGraph", **{kind: str(tmp_path / "empty.bed")})


def test_places_on_other_contigs_are_told(modo, tmp_path):
    (tmp_path / "a.bedGraph").write_text("chr1\t0\t2\t1\n")
    (tmp_path / "mask.bed").write_text("chr1\t0\t1\nchr7\t0\t9\n")
    with modo.track_changes() as tracks:
        tracks.add("a", tmp_path / "a.bedGraph", mask=str(tmp_path / "mask.bed"))
    assert list(tracks.reports["a"].unmasked) == ["chr7"]
    with pytest.raises(InvalidInputError, match="chr7"):
        modo.add_track("b", tmp_path / "a.bedGraph", mask=str(tmp_path / "mask.bed"), strict=True)
