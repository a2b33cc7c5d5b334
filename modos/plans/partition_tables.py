"""Read partitions as tables of Arrow."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from modos.errors import InvalidInputError, did_you_mean, listing
from modos.genomics.region import Region
from modos.plans.partition import Partition, Reading
from modos.tables.arrow import load_pyarrow

if TYPE_CHECKING:
    import numpy as np
    import pyarrow

    from modos.genomics import GenomicFile

OWN = ("object", "element", "sample")  # columns that say where rows are from
_PLACE = {"contig": "string", "start": "int64", "end": "int64"}
_STEP = 1 << 22  # bases whose depths are held at a time
Columns = Mapping[str, Any]


def list_columns(reading: Reading) -> dict[str, str] | None:
    """List the columns of coverage or of tracks, and their types of Arrow; None for records, whose files say what they have."""
    if reading.kind == "coverage":
        if reading.bins is None:
            return _PLACE | {"depth": "int64"}
        if reading.bins > 1:
            return _PLACE | {"mean_depth": "float64"}
        numbers = {"reads": "int64", "covered": "int64", "bases": "int64"}
        return _PLACE | numbers | dict.fromkeys(("mean_depth", "mean_base_quality", "mean_mapping_quality"), "float64")
    if reading.kind == "tracks":
        if reading.bins is None:
            return {"track": "string"} | _PLACE | {"value": "float32"}
        return {"track": "string"} | _PLACE | {"n": "int64"} | dict.fromkeys(("sum", "mean", "min", "max"), "float64")
    return None


def check_columns(reading: Reading) -> None:
    """Raise InvalidInputError where columns are asked for that coverage or tracks do not have."""
    known = list_columns(reading)
    if known is None:
        return
    for name in reading.columns or ():
        if name not in known:
            near = did_you_mean(name, known)
            raise InvalidInputError(
                f"{reading.kind} has no column {name}", f"did you mean {near}?" if near else f"it has {listing(known)}"
            )


def read_table(partition: Partition) -> pyarrow.Table:
    """Read a partition as a table; see `Partition.to_arrow`."""
    reading = partition.reading
    known = list_columns(reading)
    if known is None:
        table = _read_records(partition)
    else:
        parts = _iter_depths(partition) if reading.kind == "coverage" else _iter_values(partition)
        table = _to_table(parts, known, reading.columns)
    return _add_origin(table, (partition.file.object, partition.file.element, name_sample(partition)))


def make_empty_table(reading: Reading) -> pyarrow.Table:
    """Make the table of no partitions: the columns that say where rows are from, and those that are known without a file."""
    return _add_origin(_to_table(iter(()), list_columns(reading) or {}, reading.columns), (None,) * len(OWN))


def _add_origin(table: pyarrow.Table, origin: Sequence[str | None]) -> pyarrow.Table:
    """Put the columns in front that say where the rows are from."""
    pa = load_pyarrow()

    for place, (name, value) in enumerate(zip(OWN, origin)):
        column = pa.repeat(pa.scalar(value, pa.string()), table.num_rows)
        if name in table.column_names:  # the sample of each row
            column, table = table[name], table.drop_columns([name])
        table = table.add_column(place, name, column)
    return table


def name_sample(partition: Partition) -> str | None:
    """Name the sample of a partition: the linked one, else that of the header; None if there are none, or several."""
    names: Sequence[str] = partition.file.samples
    if not names and partition.reading.kind != "tracks":
        names = list_header_samples(partition.open_file())
    return names[0] if len(names) == 1 else None


def list_header_samples(file: GenomicFile) -> list[str]:
    """List the samples that the header of a file has: of the columns of variants, or of the read groups."""
    if file.format.kind == "variants":
        return list(file.header.samples)
    groups = file.header.to_dict().get("RG", ())
    return list(dict.fromkeys(group["SM"] for group in groups if group.get("SM")))


def _to_table(parts: Iterator[Columns], types: Mapping[str, str], columns: Sequence[str] | None) -> pyarrow.Table:
    """Make a table of its parts: for each column an array, or a value that all rows of the part have."""
    pa = load_pyarrow()

    chosen = list(types) if columns is None or not types else list(columns)
    schema = pa.schema({name: types[name] for name in chosen})
    tables = [
        pa.table([_to_array(part[name], types[name], len(part["start"])) for name in chosen], schema=schema) for part in parts
    ]
    return pa.concat_tables(tables) if tables else schema.empty_table()


def _to_array(values: Any, type: str, rows: int) -> pyarrow.Array:
    pa = load_pyarrow()

    return pa.repeat(pa.scalar(values, type), rows) if isinstance(values, str) else pa.array(values, type)


def _iter_depths(partition: Partition) -> Iterator[Columns]:
    """Yield the columns of the depth of each region of a partition."""
    import numpy as np

    file, bins = partition.open_file(), partition.reading.bins
    for region in partition.resolve() or file.whole_contigs():
        if bins is None:
            for part in _cut(region, {whole.contig: whole.limit for whole in file.whole_contigs()}):
                depth = file.coverage(part)
                starts, ends, depths = find_runs(depth, part.start)
                yield {"contig": part.contig, "start": starts, "end": ends, "depth": depths}
            continue
        measured = file.measure(region, bins)
        at, length, parts = measured.region.start, measured.length, len(measured.depth)
        edges = at - (-np.arange(parts + 1) * length // parts)
        yield {
            "contig": measured.region.contig,
            "start": edges[:-1],
            "end": edges[1:],
            "reads": [measured.reads],
            "covered": [measured.covered],
            "bases": [measured.bases],
            "mean_depth": measured.depth,
            "mean_base_quality": [measured.mean_base_quality],
            "mean_mapping_quality": [measured.mean_mapping_quality],
        }


def _iter_values(partition: Partition) -> Iterator[Columns]:
    """Yield the columns of the values of a track in each region of a partition; bases without a value are in no run."""
    import numpy as np

    track, bins = partition.open_track(), partition.reading.bins
    for region in partition.resolve() or [Region(name, 0, length) for name, length in track.contigs.lengths.items()]:
        own = {"track": track.name, "contig": region.contig}
        if bins is None:
            for part in track.iter_values(region.contig, region.start, region.limit):
                starts, ends, values = find_runs(part.values, part.start)
                present = ~np.isnan(values)
                yield own | {"start": starts[present], "end": ends[present], "value": values[present]}
            continue
        number = min(bins, region.limit - region.start)
        edges = region.start + np.arange(number + 1) * (region.limit - region.start) // number
        found = [track.summary(Region(region.contig, int(low), int(high))) for low, high in pairwise(edges)]
        columns = {name: [getattr(summary, name) for summary in found] for name in ("n", "sum", "mean", "min", "max")}
        yield own | {"start": edges[:-1], "end": edges[1:]} | columns


def find_runs(values: np.ndarray, start: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Find the runs of equal values: arrays of shape (runs,): starts and ends, int64, 0-based half-open, and values."""
    import numpy as np

    before, after = values[:-1], values[1:]
    changes = (before != after) & ~((before != before) & (after != after))  # NaN is not equal to itself
    firsts = np.concatenate(([0], np.flatnonzero(changes) + 1)) if len(values) else np.empty(0, np.int64)
    return firsts + start, np.append(firsts[1:], len(values)) + start if len(values) else firsts, values[firsts]


def _cut(region: Region, lengths: Mapping[str, int]) -> Iterator[Region]:
    """Cut a region, up to the end of its contig, into parts of some million bases; one that is not on it stays as it is."""
    end = min(region.limit, lengths.get(region.contig, 0))
    if region.start >= end:
        yield region
    for at in range(region.start, end, _STEP):
        yield Region(region.contig, at, min(at + _STEP, end))


def _read_records(partition: Partition) -> pyarrow.Table:
    """Read the records of a partition, without those that another one has; of variants a row for each sample of each record."""
    from modos.tables.record_tables import RecordTable

    file, after, columns = partition.open_file(), partition.after, partition.reading.columns
    place = ("chrom", "pos") if file.format.kind == "variants" else ("rname", "pos")
    added = [name for name in place if after is not None and columns is not None and name not in columns]
    rows = file.format.kind == "variants" and bool(list_header_samples(file))
    asked = None if columns is None else [*columns, *added]
    table = RecordTable(file, partition.regions, asked, sample_rows=rows).read()
    if after is not None:
        table = _drop_given(table, place, after)
    return table.drop_columns(added) if added else table


def _drop_given(table: pyarrow.Table, place: tuple[str, str], after: Region) -> pyarrow.Table:
    """Drop the records that start before the end of a region, which another partition has given."""
    import pyarrow.compute as pc

    contig, position = (table[name] for name in place)
    given = pc.and_(pc.equal(contig, after.contig), pc.less_equal(position, after.limit))  # positions are 1-based here
    return table.filter(pc.invert(pc.fill_null(given, False)))
