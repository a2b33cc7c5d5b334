"""Files written by others give what samtools and bcftools give, text for text, in every way; what cannot be read is said to be so."""

from __future__ import annotations

import json
import shutil

import pysam
import pytest

from .comparing import Comparer
from .files import Foreign, find_foreign, foreign_folders
from .known import KNOWN
from .oracle import consulted
from .sampling import ALL, some_files
from .ways import WAYS, serving

FILES = some_files(find_foreign(foreign_folders()))

if not FILES:
    pytest.skip("there are no foreign files here (MODOS_FOREIGN, MODOS_SHARED_DATA)", allow_module_level=True)
if not shutil.which("bgzip"):
    pytest.skip("bgzip is not installed", allow_module_level=True)


@pytest.fixture(scope="module")
def ways(tmp_path_factory, stack):
    with serving(tmp_path_factory.mktemp("foreign") / "objects", stack) as ways:
        yield ways


@pytest.fixture(autouse=True)
def quiet():
    verbosity = pysam.set_verbosity(0)
    yield
    pysam.set_verbosity(verbosity)


@pytest.fixture(scope="module")
def oracle():
    with consulted() as oracle:
        yield oracle


@pytest.mark.sweep(2)
@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_a_foreign_file_is_what_the_oracle_says(file: Foreign, ways, oracle, tmp_path, record_property):
    number = FILES.index(file)
    taken = WAYS if ALL else ("folder", WAYS[1 + number % 3])
    found = Comparer(file, oracle, 12 if ALL else 4, taken, WAYS if ALL else taken[number % 2 :][:1]).compare(
        ways, f"o{number}", tmp_path
    )
    record_property(
        "foreign",
        json.dumps(
            {
                "files": 1,
                "regions": found.regions,
                "comparisons": found.comparisons,
                "forms left out": len(found.left_out),
                "forms refused": len(found.refused),
            }
        ),
    )
    known = [entry for entry in KNOWN if entry.is_of(file.name)]
    anywhere = [entry for entry in KNOWN if not entry.files]
    unknown = [d for d in found.differences if not any(entry.explains(d) for entry in known + anywhere)]
    assert not unknown, "\n".join([f"{len(unknown)} differences", *map(str, unknown[:8])])
    gone = [entry.title for entry in known if not any(entry.explains(d) for d in found.differences)]
    assert not gone, f"does not differ any more: {gone}"
