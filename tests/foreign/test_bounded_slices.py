"""Slices of files that others wrote have what samtools and bcftools find, and masked ones tell of no other place."""

from __future__ import annotations

import gzip
import re
import shutil

import pysam
import pytest

from modos.genomics.bounded_slices import cut_file
from modos.genomics.bounding import Bounds
from modos.genomics.planning import Planner
from modos.genomics.region import settle
from modos.storage import open_storage
from tests.support.masking_oracle import lies_in, spans_of

from .asking import Asked, attempt
from .files import Foreign, find_foreign, foreign_folders, make_forms
from .oracle import Refused, consulted, lines_of
from .regions import some_regions
from .sampling import ALL, some_files

FILES = some_files(find_foreign(foreign_folders()))

if not FILES:
    pytest.skip("there are no foreign files here (MODOS_FOREIGN, MODOS_SHARED_DATA)", allow_module_level=True)
if not shutil.which("bgzip"):
    pytest.skip("bgzip is not installed", allow_module_level=True)


@pytest.fixture(scope="module")
def oracle():
    with consulted() as oracle:
        yield oracle


@pytest.fixture(autouse=True)
def quiet():
    verbosity = pysam.set_verbosity(0)
    yield
    pysam.set_verbosity(verbosity)


@pytest.mark.sweep(2)
@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_slices_of_a_foreign_file(file: Foreign, oracle, tmp_path):
    compared = 0
    for form in make_forms(file, oracle, tmp_path).taken:
        if form.index is None:
            continue
        asked = Asked(oracle, form)
        try:
            form.lines = asked.view(())
        except Refused:
            continue
        if form.has_reads and not is_sorted(form.lines, list(asked.contigs())):
            continue  # samtools ends at the first read beyond a region
        regions = some_regions(form, asked.contigs(), 6 if ALL else 3, f"slices {file.name}")
        for region in regions:
            theirs = attempt(lambda: asked.view((region,)))
            if not isinstance(theirs, list):
                continue
            for bounds in (Bounds(), Bounds((region,), is_masking=False)):
                assert view(oracle, form, tmp_path, (region,), bounds) == theirs, (form.name, region, bounds)
            assert_nothing_outside(oracle, form, tmp_path, region)
            compared += 1
    if not compared:
        pytest.skip("the oracle finds no region in it")


def is_sorted(lines, contigs):
    places = [(contigs.index(line[2]), int(line[3])) for line in (line.split("\t") for line in lines) if line[2] != "*"]
    return places == sorted(places)


def slice_of(form, folder, regions, bounds):
    storage = open_storage(str(form.path.parent))
    made = cut_file(
        storage,
        Planner(storage),
        form.path.name,
        regions,
        bounds,
        reference=lambda *_: str(form.reference) if form.reference else None,
    )
    out = folder / f"slice.{'bam' if form.has_reads else form.name.partition('.')[2]}"
    out.write_bytes(b"".join(made.pieces))
    return out


def view(oracle, form, folder, regions, bounds):
    out = slice_of(form, folder, regions, bounds)
    if form.has_reads:
        found = oracle.lines("samtools", "view", "--no-PG", out)
        return [re.sub(r"^<fd:\d+>", form.name, line) for line in found]  # names that htslib makes up of that of the file
    try:
        return oracle.lines("bcftools", "view", "--no-version", "-H", out)
    except Refused:  # contigs with names that are none, which it takes from an index alone
        return [line for line in lines_of(gzip.decompress(out.read_bytes())) if not line.startswith("#")]


def assert_nothing_outside(oracle, form, folder, region):
    """Compare a masked slice with the exact one: the same records, and no mate, entry or breakend elsewhere."""
    bounds = Bounds((region,))
    masked = view(oracle, form, folder, None, bounds)
    exact = view(oracle, form, folder, None, Bounds((region,), is_masking=False))
    spans = spans_of(settle((region,)))
    if not form.has_reads:
        assert len(masked) <= len(exact)
        for line in masked:
            alleles = line.split("\t")[4]
            for contig, position in re.findall(r"[\[\]]([^\[\]]+):(\d+)[\[\]]", alleles):
                assert lies_in(spans, contig, int(position) - 1, int(position)), line
        return
    assert [line.split("\t")[:1] + line.split("\t")[2:6] for line in masked] == [
        line.split("\t")[:1] + line.split("\t")[2:6] for line in exact
    ]
    for line in masked:
        fields = line.split("\t")
        if fields[6] != "*":
            contig = fields[2] if fields[6] == "=" else fields[6]
            mate = next((f[5:] for f in fields[11:] if f.startswith("MC:Z:")), "*")
            bases = sum(int(n) for n, kind in re.findall(r"(\d+)([MDN=X])", mate)) or 1
            assert lies_in(spans, contig, int(fields[7]) - 1, int(fields[7]) - 1 + bases), line
        else:
            assert fields[7:9] == ["0", "0"], line
