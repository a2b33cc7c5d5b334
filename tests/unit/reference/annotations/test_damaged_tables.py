"""Tables and archives of others are looked at before they are believed."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from modos.errors import IntegrityError
from modos.reference.soft_mask import Mask
from modos.tracks.genomedata import Archive


@pytest.mark.parametrize(
    ("starts", "ends"),
    [([5, 1], [9, 3]), ([1, 2], [5, 6]), ([-4, 5], [2, 9]), ([4, 6], [4, 9]), ([1.0, 5.0], [2.0, 9.0]), ([1, None], [3, 9])],
)
def test_stretches_of_a_mask_that_cannot_be(tmp_path, starts, ends):
    """They are looked for as if they were in order: bases came in upper case in silence."""
    path = tmp_path / "masked.parquet"
    pl.DataFrame({"contig": ["chr1", "chr1"], "start": [1, 6], "end": [5, 9]}).write_parquet(path)
    assert Mask(path).lower("chr1", 0, b"A" * 10) == b"AaaaaAaaaA"
    pl.DataFrame({"contig": ["chr1", "chr1"], "start": starts, "end": ends}).write_parquet(path)
    with pytest.raises(IntegrityError, match="masked.parquet is damaged"):
        Mask(path)


def archive(path, **changes):
    h5py = pytest.importorskip("h5py")
    with h5py.File(path, "w") as file:
        file.attrs["tracknames"] = np.array([b"one", b"two"])
        group = file.create_group("chr1")
        group.attrs["end"] = 30
        part = group.create_group("supercontig_0")
        part.attrs["start"], part.attrs["end"] = 0, 30
        part["seq"], part["continuous"] = np.full(30, 65, np.uint8), np.zeros((30, 2), np.float32)
        for name, change in changes.items():
            del part[name]
            change(h5py, part, name)
    return path


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        (
            "seq",
            lambda h5py, part, name: part.create_dataset(name, (30,), np.uint8, external=[("secret", 0, 30)]),
            "is in other files",
        ),
        ("seq", lambda h5py, part, name: part.__setitem__(name, h5py.ExternalLink("secret.h5", "/x")), "has a link"),
        ("seq", lambda h5py, part, name: part.__setitem__(name, h5py.SoftLink("/chr1")), "has a link"),
        ("continuous", lambda h5py, part, name: part.create_dataset(name, (20, 2), np.float32), "has not the form"),
        ("continuous", lambda h5py, part, name: part.create_dataset(name, (30, 2), np.complex64), "has not the form"),
        ("continuous", lambda h5py, part, name: part.create_dataset(name, (30, 2), "S8"), "has not the form"),
    ],
)
def test_archives_that_lead_elsewhere_or_hold_something_else(tmp_path, monkeypatch, name, change, message):
    """External data of HDF5 gave the bytes of any file of this machine as bases."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "secret").write_bytes(b"what nobody was to see, ever!!")
    with Archive(archive(tmp_path / "whole.genomedata")) as whole:
        assert len(list(whole.iter_sequence())) == 2 and list(whole.iter_track("two"))
    with pytest.raises(IntegrityError, match=message), Archive(archive(tmp_path / "a.genomedata", **{name: change})) as found:
        list(found.iter_sequence())
