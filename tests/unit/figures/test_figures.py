"""What a figure draws is what samtools, bcftools and numpy find: the numbers are taken from its axes."""

import shutil
import subprocess
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import modos
from modos.api import MODO, Region
from modos.demo.dataset import generate
from modos.errors import InvalidInputError, ModosError, NotFoundError, RegionError
from modos.figures import parse_size, plot, save
from modos.figures.gene_models import pack_rows
from modos.figures.lollipops import classify

pytestmark = pytest.mark.sweep(70)

pytest.importorskip("matplotlib", reason="figures are drawn with matplotlib, which the extra `plot` installs")
samtools = pytest.mark.skipif(not shutil.which("samtools"), reason="samtools says what the depth is")
bcftools = pytest.mark.skipif(not shutil.which("bcftools"), reason="bcftools says what the variants are")

GENES = """##gff-version 3
chr1\t.\tgene\t1001\t5000\t.\t+\t.\tID=G1;Name=ALPHA
chr1\t.\tmRNA\t1001\t5000\t.\t+\t.\tID=T1;Parent=G1
chr1\t.\texon\t1001\t1500\t.\t+\t.\tParent=T1
chr1\t.\texon\t3001\t5000\t.\t+\t.\tParent=T1
chr1\t.\tCDS\t1201\t1500\t.\t+\t0\tID=C1;Parent=T1
chr1\t.\tmRNA\t1001\t1400\t.\t+\t.\tID=T2;Parent=G1
chr1\t.\texon\t1001\t1400\t.\t+\t.\tParent=T2
chr1\t.\tgene\t4000\t9000\t.\t-\t.\tID=G2;Name=BETA
chr1\t.\tmRNA\t4000\t9000\t.\t-\t.\tID=T3;Parent=G2
chr1\t.\texon\t4000\t9000\t.\t-\t.\tParent=T3
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("figures")
    generate(folder)
    modo = MODO.from_file(folder / "modo.yaml", folder / "ex")
    modo.add_genome(reference="reference1")
    rng = np.random.default_rng(5)
    walk = np.cumsum(rng.normal(size=60_000)).astype(np.float32)
    walk[20_000:23_000] = np.nan
    odd = np.full(40_000, np.nan, np.float32)
    odd[100:110] = [1, 7, -8, 2, 0, -1, 5, np.nan, 3, 4]
    modo.add_track("walk", {"chr1": walk, "chr2": odd})
    modo.add_track("steps", {"chr1": np.repeat(np.arange(600, dtype=np.float32), 100)})
    (folder / "genes.gff3").write_text(GENES)
    described = {"id": "genes", "@type": "DataEntity", "data_format": "GFF3", "data_path": "genes.gff3"}
    modo.add_element(described | {"has_reference": ["reference/reference1"]}, folder / "genes.gff3")
    np.save(folder / "walk.npy", walk)
    return folder


@pytest.fixture(scope="module")
def modo(folder):
    return MODO.open(folder / "ex")


def stairs(axes, number=-1):
    """Values and edges (0-based) of a line that is drawn."""
    values, edges, _ = axes.patches[number].get_data()
    return values, edges - 0.5


def in_memory(values):
    """A track of values that an object takes from nobody, such as infinities, which a bigWig may have."""
    from modos.tracks.contigs import Contigs
    from modos.tracks.track import Track

    class Memory(Track):
        name, contigs = "memory", Contigs({"chr1": len(values)})
        statistics = of_contig = summary = None

        def fill(self, out, contig, start):
            out[:] = values[start : start + len(out)]

        def zoom(self, region, bins=1000):
            _, start, end = self.contigs.place(region)
            parts = np.array_split(values[start:end], bins)
            with np.errstate(all="ignore"):
                return np.array(
                    [
                        [len(p) for p in parts],
                        [np.nanmean(p) for p in parts],
                        [np.nanmin(p) for p in parts],
                        [np.nanmax(p) for p in parts],
                    ]
                )

    Memory.__abstractmethods__ = frozenset()
    return Memory()


def depth_by_samtools(folder, region):
    text = subprocess.run(
        ["samtools", "depth", "-a", "-r", region, folder / "demo2.bam"], check=True, capture_output=True, text=True
    ).stdout
    return np.array([int(line.split("\t")[2]) for line in text.splitlines()])


@samtools
@pytest.mark.parametrize("name", ["demo1", "demo2"])
@pytest.mark.parametrize("region", ["chr1:5,001-5,800", "chr1:20,100-20,100", "chr2:1-1,000", "chr2:39,500-40,000"])
def test_the_depth_of_each_base_is_that_of_samtools(modo, folder, name, region):
    values, edges = stairs(modo[f"data/{name}"].plot(region, genes=False).axes[0])
    expected = depth_by_samtools(folder, region)
    start = Region.parse(region).start
    assert values.tolist() == expected.tolist()
    assert edges.tolist() == list(range(start, start + len(expected) + 1))


@samtools
@pytest.mark.parametrize(("region", "bins"), [("chr1", 1000), ("chr1:1-12,345", 7), ("chr2:17-20,016", 999)])
def test_parts_have_the_mean_least_and_largest_depth_of_their_bases(modo, folder, region, bins):
    figure = modo["data/demo2"].plot(region, genes=False, bins=bins)
    depth, signal = depth_by_samtools(folder, region.replace(",", "")), figure.signals[0]
    start = figure.region.start
    parts = [depth[int(a) - start : int(b) - start] for a, b in zip(signal.edges, signal.edges[1:])]
    assert sum(map(len, parts)) == len(depth)
    assert np.allclose(stairs(figure.axes[0])[0], [part.mean() for part in parts])
    band, _, least = figure.axes[0].patches[0].get_data()
    assert band.tolist() == [part.max() for part in parts] and least.tolist() == [part.min() for part in parts]
    assert np.isclose((signal.mean * np.diff(signal.edges)).sum(), depth.sum())  # nothing is lost or counted twice


def test_a_narrow_region_of_a_track_has_its_values(modo, folder):
    walk = np.load(folder / "walk.npy")
    values, edges = stairs(modo["data/walk"].plot("chr1:19,801-20,200", genes=False).axes[0])
    assert np.array_equal(values, walk[19_800:20_200], equal_nan=True) and edges[0] == 19_800


def test_a_wide_region_of_a_track_has_means_within_least_and_largest(modo, folder):
    walk = np.load(folder / "walk.npy").astype(float)
    signal = modo["data/walk"].plot("chr1", bins=60, genes=False).signals[0]
    expected = walk.reshape(60, 1000)
    with np.errstate(all="ignore"):
        assert np.allclose(signal.mean, [np.nan if np.isnan(row).all() else np.nanmean(row) for row in expected], equal_nan=True)
        assert np.allclose(signal.high, [np.nan if np.isnan(row).all() else np.nanmax(row) for row in expected], equal_nan=True)
        assert np.allclose(signal.low, [np.nan if np.isnan(row).all() else np.nanmin(row) for row in expected], equal_nan=True)


def test_parts_of_a_track_begin_where_their_values_do(modo, folder):
    """Parts that are not of whole lengths have their borders between bases, those that the values are of."""
    walk = np.load(folder / "walk.npy").astype(float)
    signal = modo["data/walk"].plot("chr1:101-1,600", bins=1000, genes=False).signals[0]
    borders = signal.edges.astype(int)
    assert np.array_equal(borders, signal.edges) and (borders[0], borders[-1]) == (100, 1600)
    parts = [walk[start:end] for start, end in pairwise(borders)]
    with np.errstate(all="ignore"):
        assert np.allclose(signal.mean, [np.nan if np.isnan(part).all() else np.nanmean(part) for part in parts], equal_nan=True)


@bcftools
@pytest.mark.parametrize("name", ["calls", "cohort"])
@pytest.mark.parametrize("heights", ["AF", "QUAL", "auto"])
def test_lollipops_are_the_variants_of_bcftools(modo, folder, name, heights):
    file = folder / ("calls.vcf.gz" if name == "calls" else "cohort.bcf")
    key = "QUAL" if heights == "QUAL" else "INFO/AF"
    text = subprocess.run(
        ["bcftools", "query", "-r", "chr1:10000-30000", "-f", f"%POS\t%TYPE\t%{key}\n", file], check=True, capture_output=True
    ).stdout.decode()
    expected = sorted((int(pos), kind, float(value)) for pos, kind, value in (line.split("\t") for line in text.splitlines()))
    figure = modo[f"data/{name}"].plot("chr1:10,000-30,000", heights=heights, genes=False)
    drawn = sorted((x, y) for scatter in figure.axes[0].collections[1::2] for x, y in scatter.get_offsets().tolist())
    assert drawn == [(max(pos, 10_000), value) for pos, _, value in expected]
    kinds = {"SNV": "SNP", "insertion": "INDEL", "deletion": "INDEL", "substitution": "MNP"}
    assert [kinds[one.type] for one in figure.panels[0].drawn] == [kind for _, kind, _ in expected]


@pytest.mark.parametrize(
    ("reference", "alternate", "kind"),
    [
        ("A", "C", "SNV"),
        ("AC", "AG", "SNV"),
        ("a", "C", "SNV"),
        ("A", "ACC", "insertion"),
        ("GAC", "G", "deletion"),
        ("CAC", "C", "deletion"),
        ("AC", "GT", "substitution"),
        ("ACGT", "TT", "substitution"),
        ("A", "<DEL>", "structural"),
        ("A", "A]chr2:5]", "structural"),
        ("A", ".A", "structural"),
        ("A", "*", "other"),
        ("A", "A", "other"),
    ],
)
def test_types_of_alleles(reference, alternate, kind):
    assert classify(reference, alternate) == kind


def write_variants(path, rows, length=1_000_000, samples=(), header=()):
    lines = ["##fileformat=VCFv4.3", f"##contig=<ID=chr1,length={length}>", *header]
    columns = ["#CHROM", "POS", "ID", "REF", "ALT", "QUAL", "FILTER", "INFO", *(["FORMAT", *samples] if samples else [])]
    path.write_text("\n".join([*lines, "\t".join(columns), *("\t".join(map(str, row)) for row in rows)]) + "\n")
    import pysam

    pysam.tabix_compress(str(path), f"{path}.gz", force=True)
    pysam.tabix_index(f"{path}.gz", preset="vcf", force=True)
    modo = MODO.create(path.parent / f"{path.stem}-object")
    modo.add_element({"id": "v", "@type": "VariantSet", "data_format": "VCF", "data_path": "v.vcf.gz"}, f"{path}.gz")
    return modo["data/v"]


def test_variants_without_samples_have_heights_by_quality_and_none_at_all(tmp_path):
    element = write_variants(
        tmp_path / "a.vcf", [("chr1", 10, ".", "A", "C", 30, ".", "."), ("chr1", 20, "rs7", "A", "G,T", ".", ".", ".")]
    )
    figure = element.plot("chr1:1-100")
    assert figure.panels[0].measure == "QUAL" and figure.panels[0].total == 3
    assert "2 without QUAL, at 0" in figure.notes[0]
    assert [text.get_text() for text in figure.axes[0].texts if text.get_rotation() == 90] == ["A>C", "rs7"]
    bare = write_variants(tmp_path / "b.vcf", [("chr1", 10, ".", "A", "C", ".", ".", ".")]).plot("chr1:1-100")
    assert bare.panels[0].measure is None and len(bare.axes[0].collections[1].get_offsets()) == 1


def test_frequencies_are_counted_from_genotypes_where_info_has_none(tmp_path):
    header = ['##FORMAT=<ID=GT,Number=1,Type=String,Description="G">']
    rows = [("chr1", 10, ".", "A", "C,G", ".", ".", ".", "GT", "0/1", "1/2", "./.")]
    drawn = write_variants(tmp_path / "g.vcf", rows, samples="abc", header=header).plot("chr1:1-100").panels[0].drawn
    assert [(one.frequency, one.called) for one in drawn] == [(0.5, 2), (0.25, 1)]


def test_variants_that_are_too_many_are_thinned_with_a_word(tmp_path):
    header = ['##INFO=<ID=AF,Number=A,Type=Float,Description="F">']
    rng = np.random.default_rng(2)
    places = np.sort(rng.choice(np.arange(1, 1_000_001), 5_000, replace=False))
    rows = [
        ("chr1", at, ".", "A", "C" if n % 3 else "AT", ".", ".", f"AF={(n * 37 % 1000) / 1000}") for n, at in enumerate(places)
    ]
    figure = write_variants(tmp_path / "m.vcf", rows, header=header).plot("chr1")
    panel = figure.panels[0]
    best = {}
    for n, at in enumerate(places):
        key = (int(at - 1) * 400 // 1_000_000, "SNV" if n % 3 else "insertion")
        best[key] = max(best.get(key, 0), np.float32((n * 37 % 1000) / 1000))
    assert sorted(one.frequency for one in panel.drawn) == pytest.approx(sorted(best.values()))
    assert panel.total == 5_000 and figure.notes == [
        f"{len(best):,} of 5,000 alleles: the highest of each type in each of 400 parts"
    ]


def test_genes_of_the_object_are_drawn_below(modo):
    panel = modo["data/demo2"].plot("chr1:1-10,000").panels[1]
    assert [(one.name, one.start, one.end, one.strand) for one in panel.models] == [
        ("ALPHA", 1000, 5000, "+"),
        ("BETA", 3999, 9000, "-"),
    ]
    assert panel.models[0].exons == ((1000, 1500), (3000, 5000)) and panel.models[0].coding == ((1200, 1500),)
    every = modo["data/demo2"].plot("chr1:1-10,000", every_transcript=True).panels[1]
    assert len(every.models) == 3 and every.total == 2


def test_only_the_genes_that_are_named_are_drawn_and_a_gene_is_a_region(modo):
    figure = modo["data/demo2"].plot("BETA", genes=["BETA"])
    assert (figure.region, [one.name for one in figure.panels[1].models]) == (Region("chr1", 3999, 9000), ["BETA"])
    with pytest.raises(NotFoundError, match=r"no gene BETTA"):
        modo["data/demo2"].plot("chr1", genes=["BETTA"])
    with pytest.raises(NotFoundError, match="no annotation nothing"):
        modo["data/demo2"].plot("chr1:1-100", annotation="nothing")
    assert len(modo["data/demo2"].plot("chr1:1-100", genes=False).panels) == 1


extents = st.lists(st.tuples(st.integers(0, 1000), st.integers(1, 300)), max_size=60).map(
    lambda found: sorted((start, start + length) for start, length in found)
)


@settings(max_examples=200, deadline=None)
@given(extents, st.integers(1, 6))
def test_nothing_overlaps_in_a_row_and_what_fits_is_shown(spans, most):
    rows = pack_rows(spans, most)
    for row in set(rows) - {None}:
        own = [span for span, place in zip(spans, rows) if place == row]
        assert all(first[1] < second[0] for first, second in pairwise(own))
    assert all(row is None or 0 <= row < most for row in rows)
    for number, row in enumerate(rows):
        if row is None:  # each row has something that is in its way
            start = spans[number][0]
            assert {rows[at] for at in range(number) if spans[at][1] >= start} >= set(range(most))


def test_several_objects_share_an_axis_and_are_told_apart(modo, folder):
    other = MODO.open(shutil.copytree(folder / "ex", folder / "other", dirs_exist_ok=True))
    figure = plot([modo["data/demo2"], other["data/demo2"], modo["data/calls"]], "chr1:1-3,000", overlay=True, genes=False)
    assert len(figure.axes) == 2 and figure.axes[0].get_legend() is not None
    assert figure.axes[0].get_xlim() == figure.axes[1].get_xlim() == (0.5, 3000.5)
    shared = plot([modo["data/walk"], modo["data/steps"]], "chr1", limits="shared", genes=False)
    assert shared.axes[0].get_ylim() == shared.axes[1].get_ylim()


def test_names_of_two_objects_are_told_apart(folder, tmp_path):
    generate(tmp_path)
    for name in ("anna", "ben"):
        MODO.from_file(tmp_path / "modo.yaml", tmp_path / name).update_element("ex", {"id": "ex"})
    figure = plot([MODO.open(tmp_path / name)["data/demo2"] for name in ("anna", "ben")], "chr1:1-100", overlay=True)
    assert [text.get_text() for text in figure.axes[0].get_legend().get_texts()] == ["anna demo2", "ben demo2"]


def test_units_that_differ_are_not_put_on_one_axis(modo):
    with pytest.raises(InvalidInputError, match="no unit and reads do not go on one axis"):
        plot([modo["data/demo2"], modo["data/walk"]], "chr1:1-100", overlay=True)
    figure = plot([modo["data/demo2"], modo["data/walk"]], "chr1:1-100", overlay=True, units="arbitrary")
    assert figure.axes[0].get_ylabel() == "arbitrary"


@pytest.mark.parametrize("region", ["chr1:1-1", "chr1:60,000-60,000", "chr1", "chr2:1-50", "chr2:90-120", "chr1:20,001-23,000"])
@pytest.mark.parametrize("scale", ["linear", "log", "symlog"])
def test_all_that_there_can_be_is_drawn(modo, tmp_path, region, scale):
    things = [modo["data/demo1"], modo["data/calls"], modo["data/walk"]]
    figure = plot(things, region, scale=scale)
    for suffix in ("svg", "png", "pdf"):
        save(figure, tmp_path / f"x.{suffix}")
        assert (tmp_path / f"x.{suffix}").stat().st_size > 1000


def test_infinite_values_and_zeros_are_told(modo):
    values = np.array([1, np.inf, -np.inf, 2, np.nan], np.float32)
    figure = plot(in_memory(values), "chr1")
    assert figure.notes == ["memory: 2 bases with infinite values"]
    assert np.array_equal(stairs(figure.axes[0])[0], [1, np.nan, np.nan, 2, np.nan], equal_nan=True)
    assert plot(in_memory(values), "chr1", bins=2).notes == ["memory: 1 part with infinite values"]
    assert (
        "at 0 or below are not on a logarithmic axis" in modo["data/walk"].plot("chr2:90-120", scale="log", genes=False).notes[0]
    )
    assert [text.get_text() for text in modo["data/walk"].plot("chr2:1-50", genes=False).axes[0].texts] == ["no values"]
    assert [text.get_text() for text in modo["data/calls"].plot("chr1:1-2", genes=False).axes[0].texts] == ["no variants"]


@pytest.mark.parametrize("suffix", ["svg", "png", "pdf"])
def test_the_same_figure_is_the_same_file(modo, tmp_path, suffix):
    for name in "ab":
        save(plot([modo["data/demo1"], modo["data/calls"]], "chr1:1-5,000", title="Twice"), tmp_path / f"{name}.{suffix}")
    assert (tmp_path / f"a.{suffix}").read_bytes() == (tmp_path / f"b.{suffix}").read_bytes()


def test_no_state_of_pyplot_knows_a_figure(modo):
    import matplotlib
    import matplotlib.pyplot as plt

    before = dict(matplotlib.rcParams)
    modo["data/demo1"].plot("chr1:1-5,000")._repr_png_()
    assert plt.get_fignums() == [] and dict(matplotlib.rcParams) == before


def test_contigs_are_known_by_the_names_that_others_have_for_them(modo, tmp_path):
    rows = [("1", 10, ".", "A", "C", 30, ".", ".")]
    path = tmp_path / "v.vcf"
    path.write_text(
        "##fileformat=VCFv4.3\n##contig=<ID=1,length=60000>\n#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n"
        + "\t".join(map(str, rows[0]))
        + "\n"
    )
    import pysam

    pysam.tabix_index(str(path), preset="vcf", force=True)
    other = MODO.create(tmp_path / "o")
    other.add_element({"id": "v", "@type": "VariantSet", "data_format": "VCF", "data_path": "v.vcf.gz"}, f"{path}.gz")
    from modos.tracks.contigs import Contigs

    track = modo.genome.track("walk")
    known = type(track)(
        track.name,
        track.element_id,
        Contigs(track.contigs.lengths, aliases={"1": "chr1"}, offsets=track.contigs.offsets),
        track.data,
        track.zoom_array,
        track._statistics,
        track._mask,
    )
    for things in ([known, other["data/v"]], [other["data/v"], known]):
        figure = plot(things, "chr1:1-100")
        assert sum(panel.total for panel in figure.panels if hasattr(panel, "total")) == 1
    with pytest.raises(NotFoundError, match=r"^v: "):
        plot([modo["data/demo2"], other["data/v"]], "chr1:1-100")


def test_what_is_of_different_assemblies_is_not_plotted_together(modo, tmp_path):
    other = write_variants(tmp_path / "l.vcf", [("chr1", 10, ".", "A", "C", 30, ".", ".")], length=61_000)
    with pytest.raises(InvalidInputError, match=r"chr1 has 60,000 bases in demo2 and 61,000 bases in v"):
        plot([modo["data/demo2"], other], "chr1:1-100")


@pytest.mark.parametrize(
    ("region", "error"),
    [("chr9", NotFoundError), ("chr1:70,000-80,000", RegionError), ("*", ModosError), ("chr1:5-2", RegionError)],
)
@pytest.mark.parametrize("name", ["demo2", "walk", "calls"])
def test_regions_that_are_not_there(modo, region, error, name):
    if (region, name) == ("chr1:70,000-80,000", "calls"):
        error = RegionError
    with pytest.raises(error):
        modo[f"data/{name}"].plot(region, genes=False)


@pytest.mark.parametrize(
    "options",
    [
        {"scale": "cubic"},
        {"size": "large"},
        {"size": "9000x9000in"},
        {"size": (200, 200), "dpi": 9999},
        {"dpi": 0},
        {"limits": (2, 1)},
        {"limits": (0, 5), "scale": "log"},
        {"limits": "wide"},
        {"limits": (float("nan"), 1)},
        {"colours": ["nope"]},
        {"colours": []},
        {"heights": "depth"},
        {"bins": 0},
        {"font_size": float("nan")},
        {"nonsense": 1},
        {"inches": (1, 1)},
        {"names": ["a", "b", "c"]},
    ],
    ids=str,
)
def test_options_that_cannot_be(modo, options):
    with pytest.raises(InvalidInputError):
        modo["data/demo2"].plot("chr1:1-100", **options)


@pytest.mark.parametrize("things", [[], "data/demo1", [3], None, ["ex"]], ids=str)
def test_what_cannot_be_plotted(things):
    with pytest.raises(InvalidInputError):
        plot(things, "chr1")


def test_elements_that_cannot_be_plotted(modo):
    for name in ("sample/sample1", "assay/assay1", "data/genes"):
        with pytest.raises(InvalidInputError, match="cannot be plotted"):
            modo[name].plot("chr1:1-100")


def test_sizes():
    assert parse_size("180x60mm") == pytest.approx((180 / 25.4, 60 / 25.4))
    assert parse_size("18 X 6 cm") == pytest.approx((18 / 2.54, 6 / 2.54))
    assert parse_size("7x2.5in") == parse_size("7x2.5") == (7, 2.5)


def test_a_figure_has_the_size_and_resolution_that_were_asked_for(modo, tmp_path):
    figure = modo["data/demo2"].plot("chr1:1-100", size="180x60mm", dpi=100)
    save(figure, tmp_path / "x.png")
    import struct

    width, height = struct.unpack(">II", (tmp_path / "x.png").read_bytes()[16:24])
    assert (width, height) == pytest.approx((180 / 25.4 * 100, 60 / 25.4 * 100), abs=1)


HOSTILE = ["$\\frac{", "_hidden", "a\x1b[31mred", "\u202egnp.exe", "<script>&", "名前", "x" * 500, "two\nlines", "$x$"]


@pytest.mark.parametrize("text", HOSTILE, ids=ascii)
@pytest.mark.filterwarnings("ignore:Glyph")
def test_names_are_drawn_as_they_are_and_nothing_obeys_them(modo, tmp_path, text):
    figure = plot(
        [modo["data/demo2"], modo["data/walk"]],
        "chr1:1-100",
        names=[text, text],
        title=text,
        units=text,
        y_label=text,
        genes=False,
        overlay=True,
    )
    save(figure, tmp_path / "x.svg")
    import xml.etree.ElementTree as ElementTree

    ElementTree.parse(tmp_path / "x.svg")
    drawn = [one.get_text() for one in figure.axes[0].get_legend().get_texts()]
    assert len(drawn) == 2 and not any(ord(c) < 32 or c in "\u202e" for one in drawn for c in one)


def test_a_genome_an_annotation_and_tracks_are_plotted(modo):
    assert [panel.name for panel in modos.plot(modo.genome, "chr1").panels] == ["walk", "steps"]
    assert [panel.name for panel in modo["reference/reference1"].plot("chr1", genes=False).panels] == ["walk", "steps"]
    assert modos.plot(modo.genome.track("walk"), "chr1:1-5").panels[0].name == "walk"


def test_encrypted_elements_are_plotted_with_the_key(folder, tmp_path):
    from modos.encryption.keys import SecretKey
    from modos.errors import AccessError

    sealed = MODO.open(shutil.copytree(folder / "ex", tmp_path / "sealed"))
    plain = [sealed[f"data/{name}"].plot("chr1:1-3,000") for name in ("demo2", "calls", "walk")]
    secret = SecretKey.random()
    sealed.encrypt([secret.public])
    for name, before in zip(("demo2", "calls", "walk"), plain):
        with pytest.raises(AccessError):
            sealed[f"data/{name}"].plot("chr1:1-3,000")
        after = sealed[f"data/{name}"].plot("chr1:1-3,000", secret_key=secret)
        assert len(after.panels) == len(before.panels) == 2
        if name == "calls":
            assert after.panels[0] == before.panels[0]
        else:
            assert np.array_equal(after.panels[0].mean, before.panels[0].mean, equal_nan=True)


def test_genes_that_cannot_be_read_are_told_where_nobody_asked_for_them(folder, tmp_path):
    modo = MODO.open(shutil.copytree(folder / "ex", tmp_path / "ex"))
    (tmp_path / "ex" / "genes.gff3").write_text(GENES.replace("mRNA", "mRNB"))
    figure = modo["data/demo2"].plot("chr1:1-100")
    assert len(figure.panels) == 1 and figure.notes[0].startswith("without genes: ")
    with pytest.raises(ModosError):
        modo["data/demo2"].plot("chr1:1-100", genes=True)


def test_many_tracks_are_low_and_too_many_are_refused(modo):
    track = modo.genome.track("steps")
    assert plot([track] * 60, "chr1:1-100", genes=False).get_figheight() < 40
    with pytest.raises(InvalidInputError, match="101 panels are too many"):
        plot([track] * 101, "chr1:1-100")


def test_a_changed_file_of_genes_is_read_anew(folder, tmp_path):
    modo = MODO.open(shutil.copytree(folder / "ex", tmp_path / "ex"))
    assert [one.name for one in modo["data/demo2"].plot("chr1:1-3,000").panels[1].models] == ["ALPHA"]
    (tmp_path / "new.gff3").write_text(GENES.replace("ALPHA", "GAMMA"))
    modo.update_element("data/genes", {}, source_file=tmp_path / "new.gff3")
    assert [one.name for one in modo["data/demo2"].plot("chr1:1-3,000").panels[1].models] == ["GAMMA"]


def test_a_name_that_only_another_object_has_is_found_there(folder, tmp_path, modo):
    """The first object has no annotation of the name; and each finder is asked once, though all tracks have it."""
    shutil.copytree(folder / "ex", tmp_path / "other")
    other = MODO.open(tmp_path / "other")
    name = next(one for one in modo.metadata if one.startswith("data/") and modo.metadata[one].get("data_format") == "GFF3")
    other.remove_element(name)
    figure = modos.plot([other["data/demo2"], modo["data/demo2"]], "chr1:1-9,000", annotation=name.partition("/")[2])
    alone = modo["data/demo2"].plot("chr1:1-9,000", annotation=name.partition("/")[2])
    assert figure.panels[-1].models == alone.panels[-1].models and alone.panels[-1].models
    with pytest.raises(NotFoundError, match="no annotation nothing"):
        modos.plot([other["data/demo2"], modo["data/demo2"]], "chr1:1-9,000", annotation="nothing")
