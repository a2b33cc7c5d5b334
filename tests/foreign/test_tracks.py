"""Tracks written by others have the same value at each base as in Genomedata, or are refused with a reason."""

from __future__ import annotations

import json
import shutil

import pytest

from .files import foreign_folders
from .sampling import some
from .tracks import differing, find_tracks, load_with_genomedata, load_with_modos

pytest.importorskip("genomedata", reason="genomedata is not installed")

TRACKS = some(find_tracks(foreign_folders()), 4)

if not TRACKS:
    pytest.skip("there are no foreign tracks here (MODOS_FOREIGN, MODOS_SHARED_DATA)", allow_module_level=True)


@pytest.mark.sweep(2)
@pytest.mark.skipif(not shutil.which("genomedata-load"), reason="Genomedata's programs are not on the path")
@pytest.mark.parametrize("name, path", TRACKS, ids=[name for name, _ in TRACKS])
def test_a_foreign_track_has_the_values_of_genomedata(name, path, tmp_path, record_property):
    ours, theirs = load_with_modos(path, tmp_path), load_with_genomedata(path, tmp_path)
    both = not isinstance(ours, str) and not isinstance(theirs, str)
    record_property(
        "foreign",
        json.dumps({"files": 1, "comparisons": len(theirs) if both else 0, "tracks not taken by both": 0 if both else 1}),
    )
    if both:
        assert differing(ours, theirs) == []
    elif isinstance(ours, str):
        assert isinstance(theirs, str), f"modos does not take {name}, Genomedata does: {ours}"
