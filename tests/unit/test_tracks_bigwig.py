"""bigWig files as they are: index, extents, statistics; and statistics of a contig without a look at the others."""

import struct
import time

import numpy as np
import pytest

from modos.api import MODO
from modos.errors import ModosError
from modos.region import Region
from modos.tracks.bigwig import BigWigTrack, open_bigwig
from modos.tracks.bigwig_blocks import BigWigBlocks
from modos.tracks.zooms import summarise

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
    entries = [("c1", {"at": starts.tolist(), "ends": (starts + random.integers(1, 10, len(starts))).tolist(),
                       "values": random.normal(size=len(starts)).tolist()}),
               ("c2", {"at": [500, 510, 900], "values": [1.0, -2.5, 4.0], "span": 7}),
               ("c3", {"at": [3], "ends": [77], "values": [0.1]})]
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
        data[at:at + 8] = random.bytes(8)
        (tmp_path / "d.bw").write_bytes(data)
        try:
            blocks = BigWigBlocks(tmp_path / "d.bw")
            blocks.statistics(), blocks.extent("c1")
        except ModosError as error:
            assert "d.bw" in error.message
    loop = bytearray(whole)
    root = index + 48
    loop[root:root + 4] = struct.pack("<BBH", 0, 0, 1)  # an inner node that points to itself
    loop[root + 4:root + 28] = struct.pack("<IIIIQ", 0, 0, 9, 9, root)
    (tmp_path / "d.bw").write_bytes(loop)
    with pytest.raises(ModosError, match="its index has no end"):
        BigWigBlocks(tmp_path / "d.bw").extent("c1")


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
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


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
    monkeypatch.setattr(BigWigBlocks, "_block", lambda self, *place: read.append(place) or original(self, *place))
    genome = open_bigwig(scaffolds / "s.bw")
    assert genome["s00100"].sums == [200] and set(read) == {read[0]}
    assert genome["s00100"].maxs == [50] and len(read) == 2 and genome.sums is not None  # its one block: where it ends, and its values
    stored = MODO.open(scaffolds / "ex").genome
    stored["s00001"].sums
    monkeypatch.setattr(type(stored.contigs), "__iter__", None)
    assert stored["s00100"].sums[0] == 200 and np.isnan(stored["s02999"].mins[1])
