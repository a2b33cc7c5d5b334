"""bigWig files as they are: index, extents, statistics; and statistics of a contig without a look at the others."""

import struct
import time
import zlib

import numpy as np
import pytest

from modos.api import MODO
from modos.errors import IntegrityError, InvalidInputError, ModosError
from modos.genomics.region import Region
from modos.tracks.bigwig import BigWigTrack, open_bigwig, read_bigwig
from modos.tracks.bigwig_blocks import BigWigBlocks
from modos.tracks.zooms import summarise
from tests.support import commands

pyBigWig = pytest.importorskip("pyBigWig")
MANY = 3000


def make(path, contigs, entries, zooms=10):
    """A bigWig of pyBigWig; entries are (contig, keyword arguments of addEntries)."""
    with pyBigWig.open(str(path), "w") as file:
        file.addHeader(list(contigs.items()), maxZooms=zooms)
        for contig, more in entries:
            at = more.pop("at")
            file.addEntries([contig] * len(at) if "ends" in more else contig, at, **more)
    return path


@pytest.fixture(scope="module")
def mixed(tmp_path_factory):
    """All three forms of blocks, several blocks of a contig, a contig without values."""
    random = np.random.default_rng(5)
    contigs = {"c1": 2_000_000, "c10": 900, "c2": 60_000, "c3": 77}
    starts = np.unique(random.integers(0, 190_000, 20_000)) * 10
    entries = [
        (
            "c1",
            {
                "at": starts.tolist(),
                "ends": (starts + random.integers(1, 10, len(starts))).tolist(),
                "values": random.normal(size=len(starts)).tolist(),
            },
        ),
        ("c2", {"at": [500, 510, 900], "values": [1.0, -2.5, 4.0], "span": 7}),
        ("c3", {"at": [3], "ends": [77], "values": [0.1]}),
    ]
    path = make(tmp_path_factory.mktemp("bw") / "m.bw", contigs, entries)
    fixed = tmp_path_factory.mktemp("bw") / "f.bw"
    with pyBigWig.open(str(fixed), "w") as file:
        file.addHeader([("c1", 2_000_000)])
        file.addEntries("c1", 1000, values=random.normal(size=50_000).tolist(), span=3, step=5)
    return path, fixed


def test_extents_and_statistics_are_those_of_the_values(mixed):
    for path in mixed:
        track, blocks = BigWigTrack(path), BigWigBlocks(path)
        with pyBigWig.open(str(path)) as file:
            truth = {name: np.array(file.values(name, 0, length), np.float32) for name, length in file.chroms().items()}
        for name, values in truth.items():
            there, wanted = np.flatnonzero(~np.isnan(values)), summarise(values)
            assert blocks.extent(name) == ((there[0], there[-1] + 1) if len(there) else None)
            found = track.of_contig(name)
            assert (found.n, found.sum, found.sum_squares) == pytest.approx((wanted.n, wanted.sum, wanted.sum_squares), rel=1e-12)
            np.testing.assert_array_equal([found.min, found.max], [wanted.min, wanted.max])
            scanned = track.scan(name)
            assert (scanned.n, scanned.min, scanned.max) == pytest.approx((found.n, found.min, found.max), nan_ok=True)
        assert track.statistics() == {name: track.of_contig(name) for name, values in truth.items() if not np.isnan(values).all()}
        everything = summarise(np.concatenate(list(truth.values())))
        np.testing.assert_allclose(track.total, everything, rtol=1e-6)
        assert not np.isnan(track.total.var)


def test_other_ways_to_write_one(mixed, tmp_path):
    """Of pybigtools; and one whose header says nothing of sums, as the oldest do."""
    import pybigtools

    from modos.tracks.export import write_bigwig

    track = BigWigTrack(mixed[0])
    write_bigwig(track, tmp_path / "p.bw")
    again = BigWigTrack(tmp_path / "p.bw")
    assert pybigtools.open(str(tmp_path / "p.bw")).is_bigwig
    assert {n: s.n for n, s in again.statistics().items()} == {n: s.n for n, s in track.statistics().items()}
    np.testing.assert_allclose(again.total, track.total, rtol=1e-6)
    data = bytearray(mixed[0].read_bytes())
    data[44:52] = bytes(8)
    (tmp_path / "old.bw").write_bytes(data)
    assert BigWigBlocks(tmp_path / "old.bw").total is None


def test_damaged_files_are_told(mixed, tmp_path):
    """Whatever is overwritten, an answer or an error of ours; nothing hangs."""
    whole, random = mixed[0].read_bytes(), np.random.default_rng(3)
    index = struct.unpack_from("<Q", whole, 24)[0]
    for number in range(60):
        data = bytearray(whole)
        at = int(random.integers(64, len(data) - 8)) if number % 2 else index + int(random.integers(0, 200))
        data[at : at + 8] = random.bytes(8)
        (tmp_path / "d.bw").write_bytes(data)
        try:
            blocks = BigWigBlocks(tmp_path / "d.bw")
            blocks.statistics(), blocks.extent("c1")
        except ModosError as error:
            assert "d.bw" in error.message
    loop = bytearray(whole)
    root = index + 48
    loop[root : root + 4] = struct.pack("<BBH", 0, 0, 1)  # an inner node that points to itself
    loop[root + 4 : root + 28] = struct.pack("<IIIIQ", 0, 0, 9, 9, root)
    (tmp_path / "d.bw").write_bytes(loop)
    with pytest.raises(ModosError, match="its index has no end"):
        BigWigBlocks(tmp_path / "d.bw").extent("c1")


def forge(path, length, *blocks, covered=None):
    """A bigWig with rows (start, end, value) as no program writes them, block by block, on a contig `a`."""
    contigs = struct.pack("<IIIIQQ", 0x78CA8C91, 1, 1, 8, 1, 0) + struct.pack("<BBH1sII", 1, 0, 1, b"a", 0, length)
    data, leaves = struct.pack("<I", len(blocks)), b""
    for rows in blocks:
        start, end = min(row[0] for row in rows), max(row[1] for row in rows)
        packed = zlib.compress(
            struct.pack("<IIIIIBBH", 0, start, end, 0, 0, 1, 0, len(rows)) + b"".join(struct.pack("<IIf", *row) for row in rows)
        )
        leaves += struct.pack("<IIIIQQ", 0, start, 0, end, 104 + len(contigs) + len(data), len(packed))
        data += packed
    index = 104 + len(contigs) + len(data)
    n = sum(max(end - start, 0) for rows in blocks for start, end, _ in rows) if covered is None else covered
    path.write_bytes(
        struct.pack("<IHHQQQHHQQIQ", 0x888FFC26, 4, 0, 104, 104 + len(contigs), index, 0, 0, 0, 64, 1 << 15, 0)
        + struct.pack("<Qdddd", n, 1, 2, n, n)
        + contigs
        + data
        + struct.pack("<IIQIIIIQII", 0x2468ACE0, 256, len(blocks), 0, 0, 0, length, index, 1024, 0)
        + struct.pack("<BBH", 1, 0, len(blocks))
        + leaves
        + struct.pack("<I", 0x888FFC26)
    )
    return path


def empty_object(folder):
    (folder / "sizes").write_text("a\t100\n")
    modo = MODO.create(folder / "ex")
    modo.add_genome(sizes=folder / "sizes")
    return modo


OVERLAPS = "it overlaps what is before it, or is not in order"
WRONG = {
    "overlap": ([(0, 40, 1), (20, 60, 2)],),
    "overlap of blocks": ([(0, 40, 1)], [(20, 60, 2)]),
    "not in order": ([(50, 60, 1), (20, 30, 2)],),
    "end before start": ([(0, 40, 1), (60, 50, 2)],),
    "past the end": ([(0, 5, 1), (98, 140, 2)],),
}
SAID = {
    "overlap": f"a:21: {OVERLAPS}",
    "overlap of blocks": f"a:21: {OVERLAPS}",
    "not in order": f"a:21: {OVERLAPS}",
    "end before start": "a:61: the end is not after the start",
    "past the end": "a:99: position 140 is past the end of a, which has 100 bases",
}


@pytest.mark.parametrize("covered", [1, 90], ids=["sparse", "dense"])
@pytest.mark.parametrize("kind", WRONG)
def test_rows_that_cannot_be_are_refused_everywhere(tmp_path, kind, covered):
    """In loading, statistics and reading, whether a value per base is asked for or intervals are; never summed up, cut or left out."""
    path = forge(tmp_path / "x.bw", 100, *WRONG[kind], covered=covered)
    modo = empty_object(tmp_path)
    works = [
        lambda: modo.add_track("x", path),
        lambda: BigWigBlocks(path).statistics(),
        lambda: open_bigwig(path)["a"].num_datapoints,
        lambda: open_bigwig(path)["a"][0:100],
        lambda: open_bigwig(path).track("x").mean("a:20-100"),
    ]
    for work in works:
        with pytest.raises(InvalidInputError) as error:
            work()
        assert error.value.message == f"{path}, {SAID[kind]}"
    if kind != "past the end":
        return
    assert modo.add_track("x", path, clip=True).outside == 40
    np.testing.assert_array_equal(modo.genome["a"][96:100, "x"], [np.nan, np.nan, 2, 2])


def test_an_index_that_does_not_fit_its_blocks(tmp_path):
    """What a search of the index would miss is no gap."""
    path = forge(tmp_path / "x.bw", 100, [(0, 40, 1), (50, 60, 2)])
    data = bytearray(path.read_bytes())
    data[-24:-20] = struct.pack("<I", 45)  # where its block ends
    path.write_bytes(data)
    for work in (lambda: open_bigwig(path)["a"][0:10], BigWigBlocks(path).statistics):
        with pytest.raises(IntegrityError, match="x.bw is damaged: a block is not what its index says"):
            work()


def test_a_block_that_its_index_has_on_another_contig(tmp_path):
    """It is not left out in silence."""
    path = forge(tmp_path / "x.bw", 100, [(0, 40, 1)], [(50, 60, 2)])
    data = bytearray(path.read_bytes())
    data[-36:-32] = data[-28:-24] = struct.pack("<I", 7)
    path.write_bytes(data)
    with pytest.raises(IntegrityError, match="x.bw is damaged: it has data of a contig that it does not name"):
        empty_object(tmp_path).add_track("x", path)


def test_damaged_blocks_are_told_in_one_line(tmp_path):
    """Without words of the library that other programs read bigWig with."""
    path = forge(tmp_path / "x.bw", 100, [(0, 40, 1), (50, 60, 2)])
    data = bytearray(path.read_bytes())
    at = data.index(zlib.compress(b"")[:2], 104)
    data[at + 8] ^= 0xFF
    path.write_bytes(data)
    empty_object(tmp_path)
    done = commands.run(
        ["track", "add", tmp_path / "ex", f"x={path}"],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (
        done.returncode == 6
        and done.stderr.splitlines()[0].startswith(f"error: {path} is damaged: ")
        and "panicked" not in done.stderr
    )


@pytest.fixture(scope="module")
def scaffolds(tmp_path_factory):
    """A genome of many contigs: an object with a track of each kind, and a bigWig."""
    folder = tmp_path_factory.mktemp("many")
    contigs = {f"s{number:05}": 1200 for number in range(MANY)}
    entries = [(name, {"at": [number % 900], "values": [number / 2], "span": 4}) for number, name in enumerate(contigs)]
    make(folder / "s.bw", contigs, entries, zooms=0)
    (folder / "sizes").write_text("".join(f"{name}\t{length}\n" for name, length in contigs.items()))
    modo = MODO.create(folder / "ex")
    modo.add_genome(sizes=folder / "sizes")
    modo.add_track("runs", folder / "s.bw")
    random = np.random.default_rng(1)
    modo.add_track("dense", {name: random.normal(size=1200) for name in list(contigs)[:200]})
    return folder


def seconds(work):
    """What some work takes of a processor, whoever else is at work."""
    start = time.process_time()
    work()
    return time.process_time() - start


@pytest.mark.parametrize("kind", ["object", "bigWig"])
def test_statistics_of_a_contig_do_not_cost_those_of_all(scaffolds, kind):
    """Asked for contig by contig they cost about what they cost at once, not once for each contig."""

    def fresh():
        return MODO.open(scaffolds / "ex").genome if kind == "object" else open_bigwig(scaffolds / "s.bw")

    genome = fresh()
    at_once = min(seconds(lambda: [track.statistics() for track in fresh().tracks.values()]) for _ in range(3))
    asked = list(genome)[::10]
    genome[asked[0]].sums
    one_by_one = seconds(lambda: [(genome[name].sums, genome[name].maxs) for name in asked])
    assert one_by_one < 40 * max(at_once, 0.005)  # 300 contigs, two numbers of each: it was 600 times
    track = next(iter(genome.tracks.values()))
    wholes = seconds(lambda: [track.summary(Region(name)) for name in asked] + [track.mean(f"{name}:1-1200") for name in asked])
    assert wholes < 40 * max(at_once, 0.005)
    for number in range(0, MANY, 500):
        found = genome[f"s{number:05}"]
        assert found.num_datapoints[0] == 4 and found.sums[0] == number * 2 and found.maxs[0] == number / 2


def test_what_one_contig_reads(scaffolds, monkeypatch):
    """Of a bigWig its own blocks; of an object nothing once one was asked for."""
    read = []
    original = BigWigBlocks._block
    monkeypatch.setattr(BigWigBlocks, "_block", lambda self, place: read.append(place) or original(self, place))
    genome = open_bigwig(scaffolds / "s.bw")
    assert genome["s00100"].sums == [200] and set(read) == {read[0]}
    assert (
        genome["s00100"].maxs == [50] and len(read) == 2 and genome.sums is not None
    )  # its one block: where it ends, and its values
    stored = MODO.open(scaffolds / "ex").genome
    stored["s00001"].sums
    monkeypatch.setattr(type(stored.contigs), "__iter__", None)
    assert stored["s00100"].sums[0] == 200 and np.isnan(stored["s02999"].mins[1])


def hand_made(path, levels, blocks, values):
    """A bigWig of one contig without data whose zoom levels all have one index, of as many blocks, each with the same values."""

    def index(places):
        return (
            struct.pack("<IIQIIIIQII", 0x2468ACE0, 9, len(places), 0, 0, 0, 100_000, 0, 1, 0)
            + struct.pack("<BBH", 1, 0, len(places))
            + b"".join(places)
        )

    contigs = struct.pack("<IIIIQQBBH4sII", 0x78CA8C91, 1, 4, 8, 1, 0, 1, 0, 1, b"c1", 0, 100_000)
    contigs_at = 64 + 24 * levels
    none_at = contigs_at + len(contigs)
    index_at = none_at + len(index([]))
    values_at = index_at + len(index([])) + 32 * blocks
    header = struct.pack("<IHHQQQHHQQIQ", 0x888FFC26, 4, levels, contigs_at, none_at, none_at, 0, 0, 0, 0, 0, 0)
    zooms = b"".join(struct.pack("<IIQQ", 10 + number, 0, values_at, index_at) for number in range(levels))
    path.write_bytes(
        header
        + zooms
        + contigs
        + index([])
        + index([struct.pack("<IIIIQQ", 0, 0, 0, 100_000, values_at, len(values))] * blocks)
        + values
    )
    return path


def test_many_zoom_levels_of_one_index(tmp_path, monkeypatch):
    """Only the one that is asked for is read: 65,535 of them would be gigabytes."""
    reads, read = [], BigWigBlocks._read
    monkeypatch.setattr(BigWigBlocks, "_read", lambda self, at, size: reads.append(size) or read(self, at, size))
    track = BigWigTrack(hand_made(tmp_path / "a.bw", 2000, 3, struct.pack("<IIIIffff", 0, 5, 15, 10, 1, 3, 20, 44)))
    assert track.zoom("c1", 2)[:, 0].tolist() == [30, 2, 1, 3] and len(reads) < 20


def test_values_of_a_zoom_level_that_lie_on_each_other(tmp_path):
    """2,000 that are each as long as the contig would be as many for each of 1,000 bins."""
    track = BigWigTrack(hand_made(tmp_path / "a.bw", 1, 1, struct.pack("<IIIIffff", 0, 0, 100_000, 10, 1, 3, 20, 44) * 2000))
    with pytest.raises(IntegrityError, match="a.bw is damaged: values of a zoom level overlap"):
        track.zoom("c1", 1000)
    with pytest.raises(IntegrityError, match="b.bw is damaged: a block of a zoom level is not one of whole rows"):
        BigWigTrack(hand_made(tmp_path / "b.bw", 1, 1, b"12345")).zoom("c1", 100)


@pytest.mark.parametrize("levels", [0, 1, 6])
def test_bins_are_those_of_pybigtools(tmp_path, levels):
    """Of zoom levels and of values, for bins of many bases, of some and of less than one, whose borders are those of bases."""
    import pybigtools

    random = np.random.default_rng(levels)
    borders = np.sort(random.choice(200_000, 4000, replace=False)).tolist()
    make(
        tmp_path / "a.bw",
        {"c0": 90, "c1": 200_000},
        [("c1", {"at": borders[::2], "ends": borders[1::2], "values": random.normal(size=2000).tolist()})],
        levels,
    )
    track, theirs = BigWigTrack(tmp_path / "a.bw"), pybigtools.open(str(tmp_path / "a.bw"))
    for start, end, bins in [
        (0, 200_000, 1),
        (0, 200_000, 1000),
        (1000, 199_000, 10),
        (5, 105, 100),
        (77, 87, 40),
        (0, 131_072, 128),
        (150_000, 200_000, 50),
    ]:
        found = track.zoom(f"c1:{start + 1}-{end}", bins)
        for row, kind, missing in zip(found, ("bases_covered", "mean", "min", "max"), (0.0, *[np.nan] * 3)):
            assert np.allclose(
                row, theirs.values("c1", start, end, bins=bins, summary=kind, fillna=missing), rtol=1e-6, equal_nan=True
            ), (kind, start, bins)
    assert track.zoom("c0", 3)[0].tolist() == [0, 0, 0] and np.isnan(track.zoom("c0", 3)[1:]).all()
    with pytest.raises(InvalidInputError, match="0 bins: at least one is needed"):
        track.zoom("c1", 0)


def changed(path, folder, change):
    """A copy of a file with its bytes changed."""
    data = bytearray(path.read_bytes())
    change(data, *struct.unpack_from("<QQQ", data, 8))
    copy = folder / "changed.bw"
    copy.write_bytes(data)
    return copy


def put(form, value, offset, of):
    """What writes a number some bytes after the contigs (0) or the index (2) of a bigWig begin."""
    return lambda data, *places: struct.pack_into(form, data, places[of] + offset, value)


@pytest.mark.parametrize(
    "change, reason",
    [
        (put("<I", 0, 32 + 4 + 12 + 4, 0), "its list of contigs has one twice"),
        (put("<4s", b"chrA", 32 + 4 + 12, 0), "its list of contigs has one twice"),
        (put("<Q", 3, 16, 0), "its list of contigs has one twice, or lacks one"),
        (put("<Q", 3, 8, 2), "its index has 3 blocks, and leads to 2"),
        (put("<H", 1, 48 + 2, 2), "its index has 2 blocks, and leads to 1"),
        (put("<I", 7, 48 + 4 + 32, 2), "it has data of a contig that it does not name"),
    ],
    ids=[
        "one number twice",
        "one name twice",
        "a contig lacks",
        "a block lacks",
        "a block is left out",
        "a contig without a name",
    ],
)
def test_data_are_neither_lost_nor_another_contigs(tmp_path, change, reason):
    """The data of a contig whose name or number another has, too, or that the file does not name, and blocks that no leaf leads to."""
    path = make(
        tmp_path / "a.bw",
        {"chrA": 900, "chrB": 900},
        [("chrA", {"at": [5], "ends": [9], "values": [1.0]}), ("chrB", {"at": [20], "ends": [30], "values": [2.0]})],
        zooms=0,
    )
    assert [block.data.contig for block in read_bigwig(path)] == ["chrA", "chrB"]
    damaged = changed(path, tmp_path, change)
    with pytest.raises(IntegrityError, match=reason):
        list(read_bigwig(damaged))
    with pytest.raises(IntegrityError, match=reason):
        BigWigTrack(damaged).statistics()
