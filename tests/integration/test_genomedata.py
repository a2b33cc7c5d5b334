"""Each line of docs/reference/genomedata.md, next to Genomedata itself, on the inputs of its own tests."""

from __future__ import annotations

import gzip
import os
import shutil
import subprocess
import sys
import warnings

import numpy as np
import pytest

from modos.api import MODO
from modos.errors import InvalidInputError, RegionError
from modos.tracks.bigwig import open_bigwig
from modos.tracks.conditions import Condition
from modos.tracks.packing import are_same_values
from tests.support import commands

pytestmark = pytest.mark.sweep(12)

genomedata = pytest.importorskip("genomedata")
pyBigWig = pytest.importorskip("pyBigWig")

TOOLS = os.path.dirname(sys.executable)
WIGGLE = "chr1.wgEncodeDukeDNaseSeqBaseOverlapSignalK562V2.wig"
TRACKS = {
    "placental": "chr1.phyloP44way.placental.short.wigFix",
    "primate": "chr1.phyloP44way.primate.short.wigFix",
    "dnase": WIGGLE,
    "unfiltered": "unfiltered.bed",
}

# What Genomedata calls and is not installed by pip: a copy does for h5repack, and `bedtools intersect -a stdin -b FILE`.
SHIMS = {
    "h5repack": '#!/bin/sh\nfor last; do :; done\neval "from=\\${$(($#-1))}"\ncp "$from" "$last"\n',
    "bedtools": f"""#!{sys.executable}
import sys
rows = [line.split() for line in open(sys.argv[5]) if line.strip()]
for line in sys.stdin:
    name, start, end, *rest = line.split()
    for other, low, high, *_ in rows:
        low, high = max(int(low), int(start)), min(int(high), int(end))
        if other == name and low < high:
            print(name, low, high, *rest, sep="\\t")
""",
}


@pytest.fixture(scope="module")
def data(shared_data):
    folder = shared_data / "genomedata"
    if not folder.is_dir():
        pytest.skip("Genomedata's own test inputs are not here")
    return folder


@pytest.fixture(scope="module")
def run(tmp_path_factory, data):
    """Runs a tool of Genomedata, or `modos`, in the folder of the inputs."""
    shims = tmp_path_factory.mktemp("bin")
    for name, text in SHIMS.items():
        (shims / name).write_text(text)
        (shims / name).chmod(0o755)
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONUNBUFFERED"}
    environment["PATH"] = f"{TOOLS}:{environment['PATH']}:{shims}"

    def call(tool, *arguments, code=0):
        options = {"cwd": data, "env": environment, "capture_output": True, "text": True, "timeout": 120}
        if tool == "modos":
            result = commands.run(arguments, **options)
        else:
            result = subprocess.run([f"{TOOLS}/genomedata-{tool}", *map(str, arguments)], **options)
        assert code is None or result.returncode == code, result.stderr
        return result

    return call


@pytest.fixture(scope="module")
def archive(run, tmp_path_factory):
    """An archive that Genomedata has loaded."""
    path = tmp_path_factory.mktemp("theirs") / "a.genomedata"
    tracks = [word for name, file in TRACKS.items() for word in ("-t", f"{name}={file}")]
    run("load", "-s", "chr1.short.fa", "-s", "chrY.short.fa.gz", *tracks, path)
    return path


@pytest.fixture(scope="module")
def loaded(data, tmp_path_factory):
    """The same in an object."""
    modo = MODO.create(tmp_path_factory.mktemp("ours") / "ex")
    modo.add_genome([data / "chr1.short.fa", data / "chrY.short.fa.gz"])
    with modo.track_changes() as tracks:
        for name, file in TRACKS.items():
            tracks.add(name, data / file)
    return modo


@pytest.fixture
def mine(loaded, tmp_path):
    """A copy of the object, to be changed."""
    shutil.copytree(loaded.path, tmp_path / "ex")
    return MODO.open(tmp_path / "ex")


@pytest.fixture
def theirs(archive, tmp_path):
    """A copy of the archive, to be changed."""
    return shutil.copy(archive, tmp_path / "a.genomedata")


def opened(path, **options):
    warnings.simplefilter("ignore")
    return genomedata.Genome(str(path), **options)


def load_seq(run, path, *arguments):
    run("load-seq", *arguments[:-1], path, arguments[-1])
    run("close-data", path)


def values_of(path, contig="chr1", end=24_950):
    with opened(path) as genome:
        return genome[contig][0:end, 0 : genome.num_tracks_continuous].copy()


def same(left, right):
    return are_same_values(np.ascontiguousarray(left), np.ascontiguousarray(right))


# --- commands ---


def test_load(archive, loaded):
    for contig in ("chr1", "chrY"):
        assert same(values_of(archive, contig), loaded.genome[contig][:])
        with opened(archive) as genome:
            assert bytes(genome[contig].seq[0:24_950]).upper() == bytes(loaded.genome[contig].seq).upper()


def test_contigs_that_are_appended_one_by_one(run, data, tmp_path):
    """What Genomedata has of one file, whose contigs came one after another here."""
    random, rows = np.random.default_rng(6), {}
    for name in ("chr1", "chrY"):
        places = np.unique(random.integers(0, 24_000, 9000))
        rows[name] = "".join(f"{name}\t{at}\t{at + 1}\t{value}\n" for at, value in zip(places, random.normal(size=9000).round(4)))
        (tmp_path / f"{name}.bedGraph").write_text(rows[name])
    (tmp_path / "all.bedGraph").write_text("".join(rows.values()))
    sequences = "-s", "chr1.short.fa", "-s", "chrY.short.fa.gz"
    run("load", *sequences, "-t", f"noise={tmp_path / 'all.bedGraph'}", tmp_path / "a.genomedata")
    modo = MODO.create(tmp_path / "ex")
    modo.add_genome([data / "chr1.short.fa", data / "chrY.short.fa.gz"])
    run("modos", "track", "add", tmp_path / "ex", f"noise={tmp_path / 'chrY.bedGraph'}")
    run("modos", "track", "add", tmp_path / "ex", f"noise={tmp_path / 'chr1.bedGraph'}", "--append")
    genome = MODO.open(tmp_path / "ex").genome
    for contig in ("chr1", "chrY"):
        assert same(values_of(tmp_path / "a.genomedata", contig), genome[contig][:])
    with opened(tmp_path / "a.genomedata") as theirs:
        assert genome.num_datapoints.tolist() == theirs.num_datapoints.tolist()
        np.testing.assert_allclose(genome.means, theirs.means, rtol=1e-5)


def test_load_seq_takes_the_whole_header_line_as_name(run, tmp_path):
    (tmp_path / "a.fa").write_text(">chr1 with words\nACGT\n\nAC\n")
    load_seq(run, tmp_path / "a.genomedata", tmp_path / "a.fa")
    modo = MODO.create(tmp_path / "ex")
    modo.add_genome(tmp_path / "a.fa")
    with opened(tmp_path / "a.genomedata") as genome:
        assert [c.name for c in genome] == ["chr1_with_words"] and list(modo.genome) == ["chr1"]
        assert genome["chr1_with_words"].end == modo.genome["chr1"].end == 6  # a blank line is nothing


@pytest.mark.sweep(1)
@pytest.mark.parametrize("file", ["test_chunks.agp", "adjacent.agp.gz", "chr1.agp.gz", "chrY.agp.gz"])
def test_assemblies(run, data, tmp_path, file):
    load_seq(run, tmp_path / "a.genomedata", "--assembly", file)
    modo = MODO.create(tmp_path / "ex")
    modo.add_genome(agp=data / file)
    assert run("info", "contigs", tmp_path / "a.genomedata").stdout == run("modos", "genome", "contigs", tmp_path / "ex").stdout
    with opened(tmp_path / "a.genomedata") as genome:  # a gap at the end does not count there
        for contig in modo.genome.values():
            assert genome[contig.name].end == contig.supercontigs[0 : contig.end][-1].end <= contig.end


def test_sizes_several_at_once_and_with_blank_lines(run, tmp_path):
    (tmp_path / "one.sizes").write_text("chr1\t100\n")
    (tmp_path / "two.sizes").write_text("\nchr2\t50\n  \nchr3\t7\n")
    load_seq(run, tmp_path / "a.genomedata", "--sizes", tmp_path / "one.sizes")
    for files in (["one.sizes", "two.sizes"], ["two.sizes"]):
        assert run("load-seq", "--sizes", tmp_path / "b.genomedata", *(tmp_path / f for f in files), code=None).returncode
    run("modos", "create", tmp_path / "ex")
    run("modos", "genome", "init", tmp_path / "ex", "--sizes", tmp_path / "one.sizes", "--sizes", tmp_path / "two.sizes")
    assert run("modos", "genome", "sizes", tmp_path / "ex").stdout == "chr1\t100\nchr2\t50\nchr3\t7\n"
    assert run("info", "sizes", tmp_path / "a.genomedata").stdout == "chr1\t100\n"
    modo = MODO.open(tmp_path / "ex")
    modo.add_genome(sizes=str(tmp_path / "*.sizes"), id="pattern")
    assert dict(modo.open_genome("pattern").contigs.lengths) == {"chr1": 100, "chr2": 50, "chr3": 7}
    with pytest.raises(InvalidInputError, match="one.sizes, line 1: contig chr1 is there twice"):
        modo.add_genome(sizes=[tmp_path / "one.sizes"] * 2, id="twice")


@pytest.mark.sweep(2)
@pytest.mark.parametrize("style", ["UCSC-style-name", "Sequence-Name", "GenBank-Accn", "RefSeq-Accn"])
def test_assembly_reports(run, data, tmp_path, style):
    (tmp_path / "a.sizes").write_text("NC_000001.11\t100\nNC_000024.10\t50\n")
    load_seq(run, tmp_path / "a.genomedata", "--sizes", "-r", "assembly_report.txt", "-n", style, tmp_path / "a.sizes")
    modo = MODO.create(tmp_path / "ex")
    modo.add_genome(sizes=tmp_path / "a.sizes", assembly_report=data / "assembly_report.txt", name_style=style)
    with opened(tmp_path / "a.genomedata") as genome:
        assert {c.name: c.end for c in genome} == dict(modo.genome.contigs.lengths)
    assert modo.genome["NC_000001.11"].end == 100  # the other names stay


def test_erasing_keeps_the_track_there_and_removes_it_here(run, theirs, mine):
    assert run("erase-data", theirs, "--trackname", "dnase", code=None).returncode  # the command fails in any case
    with opened(theirs, mode="r+") as genome:
        genome.erase_data("dnase")
    run("close-data", theirs)
    mine.remove_track("dnase")
    assert np.isnan(values_of(theirs)[:, 2]).all() and "dnase" not in mine.genome.tracks
    assert same(values_of(theirs)[:, [0, 1, 3]], mine.genome["chr1"][:])


def test_info_query_report(run, archive, loaded):
    assert run("info", "tracknames", archive).stdout.split("'")[1::2] == loaded.genome.tracknames_continuous
    assert run("info", "contigs", archive).stdout == run("modos", "genome", "contigs", loaded.path).stdout
    assert run("info", "sizes", archive, code=None).returncode  # two of one length
    assert run("modos", "genome", "sizes", loaded.path).stdout == "chr1\t24950\nchrY\t24950\n"
    numbers = run("query", archive, "placental", "chr1", 278, 300).stdout.split()
    rows = run("modos", "track", "query", loaded.path, "placental", "-r", "chr1:279-300").stdout.splitlines()[1:]
    assert np.allclose([float(row.split("\t")[2]) for row in rows], list(map(float, numbers)), equal_nan=True, rtol=1e-7)
    means, variances = (list(map(float, line.split("\t")[1:])) for line in run("report", archive).stdout.splitlines()[1:])
    np.testing.assert_allclose(loaded.genome.means, means, rtol=1e-4)
    np.testing.assert_allclose(loaded.genome.vars, variances, rtol=1e-4)


def test_histogram(run, archive, loaded):
    theirs = run("histogram", "-b", 5, archive, "unfiltered", code=None)
    assert theirs.returncode  # it fails whatever is asked
    assert [n for *_, n in loaded.genome.track("unfiltered").histogram(5)] == np.histogram(
        loaded.genome["chr1"][0:210, "unfiltered"], 5
    )[0].tolist()


# --- masks ---

OPERATORS = ["lt0.4", "le0.4", "gt 0.4", "ge0.4", "eq0.4", "ne 0.4"]


@pytest.mark.sweep(1)
@pytest.mark.parametrize("condition", [None, *OPERATORS])
def test_hardmask_tests_the_scores_of_the_mask_file(run, theirs, mine, condition):
    """Of BED column 5 decides; not the values of the track, which --values tests."""
    run("hardmask", "filter.bed", theirs, "-t", "unfiltered", *(["--hardmask", condition] if condition else []))
    scores = ["--scores", condition] if condition else []
    run("modos", "track", "mask", mine.path, "unfiltered", "filter.bed", *scores, "--hard", "--yes")
    assert same(values_of(theirs), MODO.open(mine.path).genome["chr1"][:])


@pytest.mark.parametrize("name", ["filter_fixed.wig", "filter_variable.wig.gz"])
@pytest.mark.parametrize("condition", [None, *OPERATORS[:3], "lt0.5"])
def test_hardmask_with_wiggle(data, run, theirs, mine, tmp_path, name, condition):
    """Genomedata counts the positions of a wiggle mask from 0; they count from 1, and a position 0 is an error here."""
    from genomedata._hardmask import hardmask_data, parse_hardmask_option

    hardmask_data(str(theirs), str(data / name), ["unfiltered"], parse_hardmask_option(condition) if condition else None)
    scores = Condition.parse(condition) if condition else None
    with pytest.raises(InvalidInputError, match="line"):
        mine.mask_track("unfiltered", str(data / name), scores=scores)
    text = (gzip.open if name.endswith(".gz") else open)(data / name, "rt").read()
    if "fixed" in name:
        text = text.replace("start=0", "start=1")
    else:
        rows = [line.split() for line in text.splitlines()]
        text = "".join(f"{int(row[0]) + 1} {row[1]}\n" if row[0].isdigit() else " ".join(row) + "\n" for row in rows)
    (tmp_path / "shifted.wig").write_text(text)
    mine.mask_track("unfiltered", str(tmp_path / "shifted.wig"), hard=True, scores=scores)
    assert same(values_of(theirs), mine.genome["chr1"][:])


def test_hardmask_of_all_and_of_several_tracks(run, data, theirs, mine):
    run("hardmask", "filter.bed", theirs)
    copy = shutil.copytree(mine.path, f"{mine.path}-2")
    run("modos", "track", "mask", mine.path, "--all", "filter.bed", "--hard", "--yes")
    assert same(values_of(theirs), MODO.open(mine.path).genome["chr1"][:])
    assert same(values_of(theirs, "chrY"), MODO.open(mine.path).genome["chrY"][:])
    before = MODO.open(copy)
    revision = before._document.state["revision"]
    result = run("modos", "track", "mask", copy, "dnase", "unfiltered", "filter.bed", "--scores", "lt 0.5")
    assert result.stderr == "170 values of dnase masked\n170 values of unfiltered masked\n"
    after = MODO.open(copy)
    assert after._document.state["revision"] == revision + 1 and [t.is_masked for t in after.genome.tracks.values()] == [
        False,
        False,
        True,
        True,
    ]
    assert before.mask_tracks(str(data / "filter.bed"), scores=Condition("ge", 0.4)) == [
        "data/placental",
        "data/primate",
        "data/dnase",
        "data/unfiltered",
    ]


def test_masks_by_the_tracks_own_values_are_ours(run, mine):
    """Genomedata has none."""
    copy = shutil.copytree(mine.path, f"{mine.path}-2")
    run("modos", "track", "mask", mine.path, "unfiltered", "--values", "lt 0.5")
    run("modos", "track", "mask", copy, "unfiltered", "lt", "0.5")
    wanted = mine.genome["chr1"][:, "unfiltered"].copy()
    wanted[wanted < 0.5] = np.nan
    for path in (mine.path, copy):
        assert same(MODO.open(path).genome["chr1"][:, "unfiltered"], wanted)


def test_masks_that_genomedata_takes_wrongly_or_not_at_all(run, theirs, mine, tmp_path):
    (tmp_path / "nested.bed").write_text("chr1\t0\t100\nchr1\t10\t20\n")  # it forgets 20 to 100
    run("hardmask", tmp_path / "nested.bed", theirs, "-t", "unfiltered")
    mine.mask_track("unfiltered", str(tmp_path / "nested.bed"), hard=True)
    assert np.isnan(values_of(theirs)[:210, 3]).sum() == 20 and np.isnan(mine.genome["chr1"][:210, 3]).sum() == 100
    cases = {"past.bed": "chr1\t24900\t24960\n", "unknown.bed": "chr9\t0\t5\n", "named.bed": "chr1\t0\t5\tx\n"}
    for name, text in cases.items():
        (tmp_path / name).write_text(text)
        score = ["--hardmask", "lt0.5"] if name == "named.bed" else []
        assert run("hardmask", tmp_path / name, theirs, *score, code=None).returncode
        ours = run(
            "modos", "track", "mask", mine.path, "dnase", tmp_path / name, *(["--scores", "lt0.5"] if score else []), code=2
        )
        assert ours.stderr.startswith("error: ")
    (tmp_path / "bare.bed").write_text("chr1\t0\t5\n")  # no score: Genomedata takes it, whatever is asked for
    run("hardmask", tmp_path / "bare.bed", theirs, "-t", "dnase", "--hardmask", "lt0.5")
    assert np.isnan(values_of(theirs)[:5, 2]).all()
    assert (
        "line 1: no score in column 5"
        in run("modos", "track", "mask", mine.path, "dnase", tmp_path / "bare.bed", "--scores", "lt0.5", code=2).stderr
    )
    (tmp_path / "some.bed").write_text("\nchr1\t0\t5\n\nchr9\t0\t5\n")
    assert (
        run("modos", "track", "mask", mine.path, "dnase", tmp_path / "some.bed").stderr
        == "5 values of dnase masked; not in the genome: chr9\n"
    )


def test_maskfile_keeps_what_is_in_it(run, data, tmp_path):
    """Genomedata's --maskfile is our --keep; our --mask is what its name says."""
    (tmp_path / "a.sizes").write_text("chr1\t300\n")
    (tmp_path / "m.bed").write_text("chr1\t50\t105\nchr1\t195\t300\n")
    run(
        "load",
        "--sizes",
        "-s",
        tmp_path / "a.sizes",
        "-t",
        "t=unfiltered.bed",
        "-m",
        tmp_path / "m.bed",
        tmp_path / "a.genomedata",
    )
    modo = MODO.create(tmp_path / "ex")
    modo.add_genome(sizes=tmp_path / "a.sizes")
    modo.add_track("kept", data / "unfiltered.bed", keep=str(tmp_path / "m.bed"))
    modo.add_track("masked", data / "unfiltered.bed", mask=str(tmp_path / "m.bed"))
    kept = values_of(tmp_path / "a.genomedata", end=300)[:, 0]
    assert same(kept, modo.genome["chr1"][:, "kept"])
    assert (np.isnan(kept) != np.isnan(modo.genome["chr1"][:, "masked"]))[:210].all()
    (tmp_path / "m.wig").write_text("variableStep chrom=chr1 span=55\n51 1\nvariableStep chrom=chr1 span=105\n196 1\n")
    modo.add_track("by wiggle", data / "unfiltered.bed", keep=str(tmp_path / "m.wig"))
    assert same(kept, modo.genome["chr1"][:, "by wiggle"])


# --- in Python ---


def test_keys(archive, loaded):
    ours = loaded.genome["chr1"]
    with opened(archive) as genome:
        chromosome = genome["chr1"]
        for key in (
            (slice(279, 285), slice(0, 3)),
            (300, 1),
            (slice(0, 5), "dnase"),
            (slice(0, 5), ["dnase", "primate"]),
            300,
            slice(5, 9),
            (slice(279, 282), np.array([2, 0])),
            (281, ["dnase", "placental"]),
        ):
            assert same(np.asarray(chromosome[key]), np.asarray(ours[key])) and np.shape(chromosome[key]) == np.shape(ours[key])
        for key in (slice(None, 10), slice(-5, None), slice(0, 10, 2), np.int64(5), [1, 2]):
            with pytest.raises(NotImplementedError):
                chromosome[key]
            assert ours[key].dtype == np.float32


@pytest.mark.parametrize("key", [slice(24_940, 24_960), slice(30_000, 30_010), slice(24_950, 24_951), slice(0, 25_000)])
def test_reading_past_the_end_of_a_contig(archive, loaded, key):
    """NaN and N, and nothing of the contig that lies behind on the axis."""
    ours = loaded.genome["chr1"]
    with opened(archive) as genome:
        for tracks in (slice(None), "dnase", 1, ["dnase", "primate"]):
            assert same(genome["chr1"][key, tracks], ours[key, tracks])
        np.testing.assert_array_equal(np.char.upper(genome["chr1"].seq[key].tobytes()), np.char.upper(ours.seq[key].tobytes()))
    assert ours[key.start : key.stop : 3].shape == (len(range(key.start, key.stop, 3)), 4)


def test_one_base_past_the_end_is_an_error_here(archive, loaded):
    with opened(archive) as genome:
        assert np.isnan(genome["chr1"][30_000]).all() and genome["chr1"].seq[30_000] == ord("N")
    for array in (loaded.genome["chr1"], loaded.genome["chr1"].seq):
        with pytest.raises(IndexError):
            array[30_000]
    with pytest.raises(RegionError, match="past all that a contig can have"):
        loaded.genome["chr1"][0 : 2**33]
    with opened(archive) as genome:  # the array of a supercontig ends where it ends, in both
        theirs, ours = genome["chr1"].supercontigs[5][0], loaded.genome["chr1"].supercontigs[5][0]
        assert theirs.continuous[24_940:24_960].shape == ours.continuous[24_940:24_960].shape == (10, 4)
        assert theirs.seq[24_940:24_960].shape == ours.seq[24_940:24_960].shape


def test_stretches_and_numbers(archive, loaded):
    with opened(archive) as genome:
        assert genome.num_tracks_continuous == loaded.genome.num_tracks_continuous
        assert genome.index_continuous("dnase") == loaded.genome.index_continuous("dnase")
        for chromosome in genome:  # theirs gives chromosomes, ours names
            ours = loaded.genome[chromosome.name]
            assert (chromosome.start, chromosome.end) == (ours.start, ours.end)
            assert [(s.start, s.end, s.project(7)) for s in chromosome] == [(s.start, s.end, s.project(7)) for s in ours]
            assert len(chromosome.supercontigs[5:10]) == len(ours.supercontigs[5:10])
            for (theirs, values), (own, found) in zip(chromosome.itercontinuous(), ours.itercontinuous()):
                assert same(values[:], np.asarray(found)) and theirs.start == own.start
            for name in ("num_datapoints", "mins", "maxs", "sums", "sums_squares"):
                wanted = np.where(chromosome.num_datapoints > 0, getattr(chromosome, name), getattr(ours, name))
                np.testing.assert_allclose(getattr(ours, name), wanted, rtol=1e-4, err_msg=name)
        for name in ("num_datapoints", "mins", "maxs", "sums", "sums_squares", "means", "vars"):
            np.testing.assert_allclose(getattr(loaded.genome, name), getattr(genome, name), rtol=1e-4, err_msg=name)
        assert genome.format_version == loaded.genome.format_version == 1


def test_closing(archive, loaded):
    """A closed chromosome cannot be read there; here it can, as there is nothing to close."""
    with opened(archive) as genome, MODO.open(loaded.path).genome as ours:
        for one in (genome, ours):
            chromosome = one["chr1"]
            assert chromosome.isopen
            chromosome.close()
            assert not chromosome.isopen and one["chr1"].isopen and one["chr1"][280, 0] == np.float32(0.371)
        with pytest.raises(AssertionError):
            x = genome["chr1"]
            x.close()
            x[0:5]
    assert not genome.isopen and not ours.isopen and not ours["chr1"].isopen


def test_writing(theirs, mine):
    with opened(theirs, mode="r+") as genome, pytest.raises(ValueError, match="invalid literal"):
        genome["chr1"][0:3, "dnase"] = 1  # a name does not do there
    for key, new in (((slice(0, 2), slice(0, 2)), 7), ((slice(0, 3), ["dnase", "primate"]), 8), (slice(9, 10), [[1, 2, 3, 4]])):
        with opened(theirs, mode="r+") as genome:
            genome["chr1"][key] = np.array(new, np.float32)
            mine.genome["chr1"][key] = new
            assert same(genome["chr1"][0:24_950], mine.genome["chr1"][:])
    revision = mine._document.state["revision"]
    mine.genome["chr1"][0:3] = 5  # all tracks, one commit
    assert mine._document.state["revision"] == revision + 1


@pytest.mark.parametrize(
    ("start", "end", "place"),
    [
        (24_900, 30_000, "chr1: position 30,000 is not within 24,950 bases"),
        (30_000, 30_010, "chr1: position 30,000 is not within"),
        (24_950, 24_951, "chr1: position 24,951 is not within"),
    ],
)
def test_writing_past_the_end_is_an_error_in_both(theirs, mine, start, end, place):
    with opened(theirs, mode="r+") as genome, pytest.raises(ValueError):
        genome["chr1"][start:end, 0:2] = 1
    with pytest.raises(IndexError, match=place):
        mine.genome["chr1"][start:end, 0:2] = 1


@pytest.fixture(scope="module")
def gapped(run, data, tmp_path_factory):
    """An archive and an object of test_chunks.agp: [0, 100) and [100000, 100200) and more have data, between them is nothing."""
    folder = tmp_path_factory.mktemp("gapped")
    run("load", "--assembly", "-s", "test_chunks.agp", "-t", "a=chunk_test_track1.bed", folder / "a.genomedata")
    modo = MODO.create(folder / "ex")
    modo.add_genome(agp=data / "test_chunks.agp")
    modo.add_track("a", data / "chunk_test_track1.bed")
    return folder


@pytest.mark.parametrize(
    ("start", "end"), [(100, 200), (50, 150), (0, 100_050), (99_990, 100_010), (100_199, 100_201), (200_790, 200_801)]
)
def test_writing_in_a_gap_is_an_error_in_both(gapped, start, end):
    with opened(gapped / "a.genomedata", mode="r+") as genome, pytest.raises(ValueError):
        genome["chr1"][start:end, 0:1] = 1
    modo = MODO.open(gapped / "ex")
    before = modo.genome["chr1"][:]
    with pytest.raises(RegionError, match="chr1"):
        modo.genome["chr1"][start:end, 0] = 1
    assert same(MODO.open(gapped / "ex").genome["chr1"][:], before)
    with opened(gapped / "a.genomedata", mode="r+") as genome, pytest.raises(ValueError):
        genome["chr1"][100:200, 0:1] = np.nan
    if end <= 200_800:
        shutil.copytree(gapped / "ex", gapped / f"copy-{start}")
        mine = MODO.open(gapped / f"copy-{start}")
        mine.genome["chr1"][start:end, 0] = np.nan  # nothing is lost
        assert np.isnan(mine.genome["chr1"][start:end]).all()


GAP_ROWS = "chr1\t50\t75\t1\nchr1\t90\t120\t2\nchr1\t150\t160\t3\nchr1\t100125\t100150\t4\nchr1\t200790\t200900\t5\n"


def test_files_with_values_that_have_no_place(run, data, tmp_path):
    """Genomedata drops them and says nothing; here that is asked for."""
    (tmp_path / "gaps.bedGraph").write_text(GAP_ROWS)
    told = run("load", "--assembly", "-s", "test_chunks.agp", "-t", f"a={tmp_path}/gaps.bedGraph", tmp_path / "a.genomedata")
    assert "ignor" not in told.stderr and "gap" not in told.stderr
    modo = MODO.create(tmp_path / "ex")
    modo.add_genome(agp=data / "test_chunks.agp")
    refused = run("modos", "track", "add", modo.path, f"a={tmp_path}/gaps.bedGraph", code=2).stderr
    assert (
        "gaps.bedGraph, line 2: position 101 of chr1 is in a gap of the genome, chr1:101-100,000" in refused
        and "--clip" in refused
    )
    clipped = run("modos", "track", "add", modo.path, f"a={tmp_path}/gaps.bedGraph", "--clip").stderr
    assert "130 values past the end of a contig or in a gap left out" in clipped  # 20 + 10 + 100
    assert same(values_of(tmp_path / "a.genomedata", end=200_800), MODO.open(modo.path).genome["chr1"][:])


# --- input ---


@pytest.mark.sweep(1)
@pytest.mark.parametrize(
    "file",
    [
        "wgEncodeDukeDNaseSeqBaseOverlapSignalK562V2." + ending
        for ending in ("bed", "dos.bed", "bedGraph", "dos.bedGraph", "dos.wigVar")
    ]
    + ["phyloP44way.placental.short.wigFix"],
)
def test_files_of_all_kinds(run, data, tmp_path, file):
    (tmp_path / "a.sizes").write_text("chr1\t24950\nchr2\t5000\nchr10\t300\n")
    whole = (data / file).read_bytes()
    ended = whole if whole.endswith(b"\n") else whole + (b"\r\n" if ".dos." in file else b"\n")
    (tmp_path / file).write_bytes(ended)
    run("load", "--sizes", "-s", tmp_path / "a.sizes", "-t", f"t={tmp_path / file}", tmp_path / "a.genomedata")
    if whole != ended:  # it needs the last line to end
        run("load", "--sizes", "-s", tmp_path / "a.sizes", "-t", f"t={file}", tmp_path / "b.genomedata", code=1)
    modo = MODO.create(tmp_path / "ex")
    modo.add_genome(sizes=tmp_path / "a.sizes")
    modo.add_track("t", data / file)
    for contig in modo.genome:
        with opened(tmp_path / "a.genomedata") as genome:
            end = modo.genome[contig].end
            assert same(genome[contig][0:end], modo.genome[contig][:]), contig


def test_blank_lines(run, tmp_path):
    """Nothing, as in UCSC's tools; Genomedata takes one for a value of 0 in fixedStep, and stops in variableStep."""
    texts = {
        "bedGraph": "chr1\t0\t2\t1\n\nchr1\t5\t6\t2\n\n",
        "wigFix": "fixedStep chrom=chr1 start=1 step=1\n1\n\n2\n3\n",
        "wigVar": "variableStep chrom=chr1\n1 5\n\n4 7\n",
    }
    (tmp_path / "a.sizes").write_text("chr1\t8\n")
    modo, found = MODO.create(tmp_path / "ex"), {}
    modo.add_genome(sizes=tmp_path / "a.sizes")
    for name, text in texts.items():
        (tmp_path / f"x.{name}").write_text(text)
        modo.add_track(name, tmp_path / f"x.{name}")
        done = run(
            "load",
            "--sizes",
            "-s",
            tmp_path / "a.sizes",
            "-t",
            f"t={tmp_path}/x.{name}",
            tmp_path / f"{name}.genomedata",
            code=None,
        )
        found[name] = values_of(tmp_path / f"{name}.genomedata", end=8)[:, 0] if done.returncode == 0 else None
    ours = {name: np.nan_to_num(modo.genome["chr1"][:, name], nan=-1).tolist() for name in texts}
    assert ours == {
        "bedGraph": [1, 1, -1, -1, -1, 2, -1, -1],
        "wigFix": [1, 2, 3, -1, -1, -1, -1, -1],
        "wigVar": [5, -1, -1, 7, -1, -1, -1, -1],
    }
    assert np.nan_to_num(found["bedGraph"], nan=-1).tolist() == ours["bedGraph"]
    assert found["wigFix"][:4].tolist() == [1, 0, 2, 3] and found["wigVar"] is None


@pytest.mark.sweep(1)
@pytest.mark.parametrize(
    ("text", "words"), [("chr1\t0\t5\t1\nchrUn\t0\t5\t1\n", "chrUn"), ("chr1\t0\t5\t1\nchr1\t3\t8\t2\n", "line 2")]
)
def test_what_genomedata_takes_without_a_word(run, tmp_path, text, words):
    (tmp_path / "x.bedGraph").write_text(text)
    (tmp_path / "a.sizes").write_text("chr1\t50\n")
    done = run("load", "--sizes", "-s", tmp_path / "a.sizes", "-t", f"t={tmp_path}/x.bedGraph", tmp_path / "a.genomedata")
    assert words not in done.stderr + done.stdout
    run("modos", "create", tmp_path / "ex")
    run("modos", "genome", "init", tmp_path / "ex", "--sizes", tmp_path / "a.sizes")
    assert words in run("modos", "track", "add", tmp_path / "ex", f"t={tmp_path}/x.bedGraph", code=None).stderr


# --- bigWig files alone ---


@pytest.fixture(scope="module")
def bigwig(tmp_path_factory):
    path = tmp_path_factory.mktemp("bw") / "x.bw"
    with pyBigWig.open(str(path), "w") as file:
        file.addHeader([("chr1", 2000), ("chr10", 500), ("chr2", 1000)])
        file.addEntries(["chr1"] * 3, [10, 20, 1900], ends=[15, 25, 1950], values=[0.5, 1.25, -3.75])
        file.addEntries("chr2", [100, 101], values=[2.5, 3.5], span=1)
    return path


def test_a_bigwig_alone(bigwig):
    ours = open_bigwig(bigwig)
    with opened(bigwig) as genome:
        for contig in ("chr1", "chr2"):
            theirs = genome[contig]
            assert (theirs.start, theirs.end) == (ours[contig].start, ours[contig].end)
            assert [(s.start, s.end) for s in theirs] == [(s.start, s.end) for s in ours[contig]]
            assert same(theirs[theirs.start : theirs.end, 0], ours[contig][theirs.start : theirs.end, 0])
        assert (ours["chr1"].start, ours["chr1"].end, ours["chr2"].start) == (10, 1950, 100)
        assert genome["chr1"][8:12].shape == (4,) and ours["chr1"][8:12].shape == (4, 1)  # a track's axis is an axis here
        assert [str(name) for name in genome.tracknames_continuous] == [str(bigwig)] and ours.tracknames_continuous == ["x"]
        assert genome.format_version is None and ours.format_version is None
        with pytest.raises(TypeError):
            genome["chr10"]  # it has no values
        assert (ours["chr10"].start, ours["chr10"].end, len(ours["chr10"].supercontigs)) == (0, 500, 0)
        with pytest.raises(RuntimeError):
            genome["chr1"][1990:2010]
        assert np.isnan(ours["chr1"][1990:2010]).all() and ours["chr1"][1990:2010].shape == (20, 1)


def test_statistics_of_a_bigwig(bigwig):
    """Genomedata's are cut to whole numbers; ours are those of the values, for each contig too."""
    values = {"chr1": [0.5] * 5 + [1.25] * 5 + [-3.75] * 50, "chr2": [2.5, 3.5], "chr10": []}
    everything = np.concatenate(list(values.values()))
    ours = open_bigwig(bigwig)
    np.testing.assert_allclose(ours.sums_squares, [(everything**2).sum()], rtol=1e-12)
    np.testing.assert_allclose(ours.vars, [everything.var()], rtol=1e-12)
    np.testing.assert_allclose(
        [*ours.sums, *ours.mins, *ours.maxs, *ours.means], [everything.sum(), -3.75, 3.5, everything.mean()]
    )
    for name, numbers in values.items():
        assert ours[name].num_datapoints == [len(numbers)]
        np.testing.assert_allclose(
            [*ours[name].sums, *ours[name].sums_squares], [np.sum(numbers), np.sum(np.square(numbers))], rtol=1e-12
        )
    with opened(bigwig) as genome:
        for name in ("num_datapoints", "mins", "maxs", "sums", "sums_squares"):
            assert getattr(genome, name).tolist() == np.trunc(getattr(ours, name)).tolist(), name
        with pytest.raises(AttributeError):
            genome["chr1"].sums
