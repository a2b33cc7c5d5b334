"""A foreign file that was damaged after it was added gives an error, or no record fewer than samtools and bcftools give."""

from __future__ import annotations

import json
import random
import shutil

import pysam
import pytest

from modos.formats import BGZF_EOF, CRAM3_EOF
from modos.genomics.index import bgzf
from tests.support.hard_files import reblock

from .asking import Asked, attempt, texts
from .files import Foreign, Form, find_foreign, foreign_folders, make_forms
from .oracle import Oracle, consulted
from .regions import several, some_regions
from .sampling import some
from .ways import Object, Ways

BLOCK = 700  # bytes of a block, so that even small files have some
KINDS = ("VCF", "CRAM", "SAM")
SUITABLE = [
    file
    for file in find_foreign(foreign_folders())
    if file.kind in KINDS and 3_000 < file.path.stat().st_size < 100_000 and "failed" not in file.name
]

if not SUITABLE:
    pytest.skip("there are no foreign files here (MODOS_FOREIGN, MODOS_SHARED_DATA)", allow_module_level=True)
if not shutil.which("bgzip"):
    pytest.skip("bgzip is not installed", allow_module_level=True)

MOST = 20  # files of a kind
OF_A_KIND = [[file for file in SUITABLE if file.kind == kind] for kind in KINDS]
FILES = [file for files in OF_A_KIND for file in some(files[:: -(-len(files) // MOST) or 1], 1)]
DAMAGES = {
    "cut": lambda data, rng: data[: rng.randrange(len(data) // 3, len(data) - 30)],
    "cut between blocks, with an end marker": lambda data, rng: cut_between_blocks(data, rng),
    "a byte changed": lambda data, rng: changed(data, rng.randrange(len(data) // 3, len(data) - 40)),
    "zeros": lambda data, rng: data[: len(data) // 2] + bytes(len(data) - len(data) // 2),
    "without the end marker": lambda data, rng: data[: -len(CRAM3_EOF if data.startswith(b"CRAM") else BGZF_EOF)],
}


def cut_between_blocks(data: bytes, rng: random.Random) -> bytes:
    """The first half of a file, cut where nobody sees it; of a CRAM any half."""
    if data.startswith(b"CRAM"):
        return data[: len(data) // 2] + data[-len(CRAM3_EOF) :]
    at, places = 0, []
    while at < len(data):
        places.append(at)
        at += bgzf.block_size(data, at, at)
    return data[: rng.choice(places[len(places) // 3 :])] + BGZF_EOF


def changed(data: bytes, at: int) -> bytes:
    return data[:at] + bytes([data[at] ^ 0x55]) + data[at + 1 :]


@pytest.fixture(autouse=True)
def quiet():
    verbosity = pysam.set_verbosity(0)
    yield
    pysam.set_verbosity(verbosity)


@pytest.fixture(scope="module")
def oracle():
    with consulted() as oracle:
        yield oracle


@pytest.mark.sweep(6)
@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_no_record_is_missed_in_silence(file: Foreign, damage, oracle, tmp_path, record_property):
    rng = random.Random(f"{file.name} {damage}")
    (tmp_path / "objects").mkdir()
    forms = [form for form in make_forms(file, oracle, tmp_path).taken if form.index is not None]
    for form in forms:
        blocks_of(form, oracle)
    thing, refused = Ways(tmp_path / "objects").put("ex", forms)
    wrong, comparisons = [], 0
    for form in forms:
        if form.name in refused:
            continue
        whole = Asked(oracle, form)
        form.lines = whole.view(())
        regions = some_regions(form, whole.contigs(), 6, damage)
        truth = {
            few: attempt(lambda: whole.view(few))
            for few in [(), *((one,) for one in regions), *map(tuple, several(regions, damage))]
        }
        data = DAMAGES[damage](form.path.read_bytes(), rng)
        for path in (form.path, tmp_path / "objects/ex" / form.name):
            path.unlink()
            path.write_bytes(data)
        comparisons += len(truth)
        wrong += missed(thing, form, Asked(oracle, form), truth)
    record_property("foreign", json.dumps({"files": 0, "comparisons": comparisons}))
    assert not wrong, "\n".join(wrong[:6])


def missed(thing: Object, form: Form, said: Asked, truth: dict) -> list[str]:
    """Where modos gives fewer records than the oracle, or than there were where that refuses, and no error of its own."""
    found = []
    for few, all_of_them in truth.items():
        ours, theirs = attempt(lambda: texts(thing.file("folder", form).fetch(few or None))), attempt(lambda: said.ask(few))
        if isinstance(ours, str) and not ours.startswith("!"):
            continue
        least = theirs if isinstance(theirs, list) else all_of_them
        if isinstance(ours, str) or len(ours) < len(least) or set(least) - set(ours):
            found.append(f"{form.name} {','.join(map(str, few))}: ours {str(ours)[:200]}, at least {str(least)[:200]}")
    return found


def blocks_of(form: Form, oracle: Oracle) -> None:
    """Put a file into small blocks, and index it anew."""
    if form.path.suffix == ".cram":
        return
    program = "samtools" if form.has_reads else "bcftools"
    reblock(form.path, BLOCK)
    option = {".tbi": ["-t"], ".csi": ["-c"], ".bai": []}[form.index.suffix]
    form.index.unlink()
    oracle.run(program, "index", *option, "-o", form.index, form.path)
