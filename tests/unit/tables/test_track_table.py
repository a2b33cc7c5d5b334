"""Tables of tracks have each value once, as runs that are as long as they can be."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from modos.api import MODO
from modos.errors import InvalidInputError, NotFoundError
from modos.tables import track_table
from modos.tables.track_table import TrackTable

LENGTHS = {"chr1": 5_000, "chr2": 3_000, "chr3": 40}


@pytest.fixture(scope="module")
def arrays():
    chance = np.random.default_rng(1)
    found = {}
    for name in ("one", "two"):
        found[name] = {}
        for contig in ("chr1", "chr2"):
            values = np.repeat(chance.integers(0, 3, 400).astype(np.float32), chance.integers(1, 40, 400))[: LENGTHS[contig]]
            values = np.concatenate([values, np.full(LENGTHS[contig] - len(values), np.nan, np.float32)])
            values[chance.random(len(values)) < 0.01] = np.nan
            values[100:700] = 7
            found[name][contig] = values
    return found


@pytest.fixture(scope="module")
def modo(arrays, tmp_path_factory):
    folder = tmp_path_factory.mktemp("tracks")
    sizes = folder / "a.sizes"
    sizes.write_text("".join(f"{name}\t{length}\n" for name, length in LENGTHS.items()))
    modo = MODO.create(folder / "ex")
    modo.add_genome(sizes=sizes, id="small")
    for name, values in arrays.items():
        modo.add_track(name, values)
    return modo


def expand(table, names):
    """The values per base of each contig, and how often a row could have gone on."""
    values = {contig: np.full((len(names), length), np.nan, np.float32) for contig, length in LENGTHS.items()}
    before = None
    for row in table.to_pylist():
        for number, name in enumerate(names):
            part = values[row["contig"]][number, row["start"] : row["end"]]
            assert np.isnan(part).all(), "a base is there twice"
            part[:] = np.nan if row[name] is None else row[name]
        told = row["contig"], row["start"], [row[name] for name in names]
        assert told != before, "a run was cut"
        before = row["contig"], row["end"], [row[name] for name in names]
    return values


@pytest.mark.parametrize("bases", [37, 1 << 20])
@pytest.mark.parametrize("names", [["one"], ["one", "two"]])
def test_all_values_come_once(modo, arrays, names, bases, monkeypatch):
    monkeypatch.setattr(track_table, "_BASES", bases)
    found = expand(TrackTable(modo.genome, None, ["contig", "start", "end", *names]).read(), names)
    for contig in ("chr1", "chr2"):
        assert np.array_equal(found[contig], np.stack([arrays[name][contig] for name in names]), equal_nan=True)


@pytest.mark.parametrize("region", ["chr1:51-600", ["chr2:10-90", "chr1:1-20", "chr1:11-30"], "chr2"])
def test_a_region_has_its_bases_alone(modo, arrays, region):
    found = expand(modo["data/one"].to_arrow(region), ["one"])
    expected = {contig: np.full((1, length), np.nan, np.float32) for contig, length in LENGTHS.items()}
    for contig, start, end in map(modo.genome.contigs.place, [region] if isinstance(region, str) else region):
        expected[contig.name][0, start:end] = arrays["one"][contig.name][start:end]
    assert all(np.array_equal(found[contig], expected[contig], equal_nan=True) for contig in LENGTHS)


def test_a_genome_has_all_of_its_tracks(modo):
    found = modo["reference/small"].to_arrow("chr1:1-1,000")
    assert found.schema.names == ["contig", "start", "end", "one", "two"]
    assert [str(field.type) for field in found.schema] == ["string", "int64", "int64", "float", "float"]
    assert (
        pa.Table.from_batches(list(modo["reference/small"].iter_arrow("chr1:1-1,000"))).equals(found.combine_chunks())
        or found.num_rows
    )
    assert modo["data/two"].to_arrow("chr3").num_rows == 0


def test_runs_are_those_of_bedgraph(modo, tmp_path):
    from modos.tracks.export import export

    export(modo.genome.track("one"), tmp_path / "one.bedGraph")
    lines = [line.split("\t") for line in (tmp_path / "one.bedGraph").read_text().splitlines()]
    rows = [(one["contig"], one["start"], one["end"], one["one"]) for one in modo["data/one"].to_arrow().to_pylist()]
    assert rows == [(contig, int(start), int(end), float(value)) for contig, start, end, value in lines]


def test_what_there_is_not(modo):
    with pytest.raises(NotFoundError, match="chr9"):
        modo["data/one"].to_arrow("chr9")
    with pytest.raises(InvalidInputError, match="no column onne") as error:
        modo["data/one"].to_arrow("chr1", ["onne"])
    assert "did you mean one" in error.value.hint
    with pytest.raises(InvalidInputError, match="has no samples"):
        modo["data/one"].to_arrow("chr1", samples=["a"])
    with pytest.raises(InvalidInputError, match="has no sections"):
        modo["data/one"].to_arrow("chr1", section="PRT")
