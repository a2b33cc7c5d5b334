"""Files made to be hard give what samtools and bcftools give, as foreign ones do."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings

from tests.support import hard_text
from tests.support.hard_files import reblock

from .comparing import Comparer
from .files import Foreign
from .known import KNOWN
from .oracle import consulted
from .sampling import ALL
from .ways import Ways

if not shutil.which("bgzip"):
    pytest.skip("bgzip is not installed", allow_module_level=True)

bounded = settings(
    max_examples=150 if ALL else 3,
    deadline=None,
    derandomize=not ALL,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
)


@pytest.fixture(scope="module")
def oracle():
    with consulted() as oracle:
        yield oracle


def check(text: hard_text.Text, kind: str, oracle) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "objects").mkdir()
        path = folder / f"hard.{kind.lower()}"
        path.write_bytes(bytes(text))
        if kind == "VCF" and text.block != 0xFF00:
            path = reblock(_gzipped(path), text.block)
        found = Comparer(Foreign(path, f"generated.{kind.lower()}", kind), oracle, count=8, ways=("folder",)).compare(
            Ways(folder / "objects"), "ex", folder
        )
    known = [entry for entry in KNOWN if entry.is_of(f"generated.{kind.lower()}")]
    unknown = [difference for difference in found.differences if not any(entry.explains(difference) for entry in known)]
    assert not unknown, "\n".join([f"{len(unknown)} differences", *map(str, unknown[:6]), *text.lines])


def _gzipped(path: Path) -> Path:
    import gzip

    target = path.with_name(f"{path.name}.gz")
    target.write_bytes(gzip.compress(path.read_bytes()))
    return target


@bounded
@given(text=hard_text.variants(newlines=("\n", "\n", "\r\n")))
def test_any_variants_are_what_the_oracle_says(text, oracle):
    check(text, "VCF", oracle)


@bounded
@given(text=hard_text.reads())
def test_any_reads_are_what_the_oracle_says(text, oracle):
    check(text, "SAM", oracle)


@pytest.mark.parametrize("count", [0, 3])
def test_reads_that_were_never_aligned(count, oracle):
    check(hard_text.reads_without_contigs(count), "SAM", oracle)
