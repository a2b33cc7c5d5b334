"""Follow the links between elements of an object: by their slots, backwards, and through another element."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING

from modos.catalog.element_rows import ELEMENT, OBJECT
from modos.errors import InvalidInputError
from modos.errors.missing import load_late

if TYPE_CHECKING:
    import polars as pl
else:
    pl = load_late("polars")

MOST_ROWS = 50_000_000  # of a join: 2 GB
Step = tuple[str, bool]  # a slot, and whether it is followed backwards
_DATA, _DATA_SAMPLE, _ASSAY_SAMPLE = ("has_data", False), ("has_sample data/", False), ("has_sample assay/", False)
_REFERENCE, _SEQUENCE = ("has_reference", False), ("has_sequence", False)


def _back(step: Step) -> Step:
    return step[0], True


# by the groups that are linked: the ways, each of one step or two
_WAYS: Mapping[tuple[str, str], Sequence[Sequence[Step]]] = {
    ("data", "sample"): ((_DATA_SAMPLE,), (_back(_DATA), _ASSAY_SAMPLE)),
    ("assay", "sample"): ((_ASSAY_SAMPLE,), (_DATA, _DATA_SAMPLE)),
    ("data", "assay"): ((_back(_DATA),),),
    ("sample", "assay"): ((_back(_ASSAY_SAMPLE),), (_back(_DATA_SAMPLE), _back(_DATA))),
    ("data", "reference"): ((_REFERENCE,),),
    ("assay", "reference"): ((_DATA, _REFERENCE),),
    ("sample", "reference"): ((_back(_DATA_SAMPLE), _REFERENCE),),
    ("sequence", "reference"): ((_back(_SEQUENCE),),),
    ("assay", "data"): ((_DATA,),),
    ("sample", "data"): ((_back(_DATA_SAMPLE),), (_back(_ASSAY_SAMPLE), _DATA)),
    ("reference", "data"): ((_back(_REFERENCE),),),
    ("reference", "sequence"): ((_SEQUENCE,),),
    ("data", "sequence"): ((_REFERENCE, _SEQUENCE),),
}


def has_way(link: str, groups: Collection[str]) -> bool:
    """Return whether elements of some of the groups can be linked to a group, or to their object."""
    return link == "object" or any((group, link) in _WAYS for group in groups)


def find_edges(elements: pl.LazyFrame, link: str, groups: Collection[str]) -> pl.LazyFrame:
    """Return what elements of some groups are linked to in a group: columns object, element, to.

    Samples of an assay are those of its data that name none.

    Raises
    ------
    InvalidInputError
        There are too many.
    """
    if link == "object":
        return elements.select(OBJECT, ELEMENT, to=pl.lit(""))
    ways = [(group, way) for group in groups for way in _WAYS.get((group, link), ())]
    found = [_follow(elements, way, group == "data" and link == "sample") for group, way in ways]
    return pl.concat(found).unique() if len(found) > 1 else found[0]


def _follow(elements: pl.LazyFrame, way: Sequence[Step], of_data_without: bool) -> pl.LazyFrame:
    """Follow one step or two; through the assay only from data that name no sample."""
    first = _edges_of(elements, way[0])
    if len(way) == 1:
        return first
    second = _edges_of(elements, way[1]).rename({ELEMENT: "to", "to": "end"}).collect()
    if second.is_empty():
        return first.clear()
    if of_data_without:
        first = first.join(_edges_of(elements, _DATA_SAMPLE), on=[OBJECT, ELEMENT], how="anti")
    begin = first.collect()
    refuse_many(begin, second, (OBJECT, "to"))
    return begin.lazy().join(second.lazy(), on=[OBJECT, "to"]).select(OBJECT, ELEMENT, to=pl.col("end"))


def _edges_of(elements: pl.LazyFrame, step: Step) -> pl.LazyFrame:
    slot, _, group = step[0].partition(" ")
    of = elements.filter(pl.col(slot).is_not_null(), pl.col(ELEMENT).str.starts_with(group))
    edges = of.select(OBJECT, ELEMENT, to=pl.col(slot)).explode("to").drop_nulls()
    return edges.select(OBJECT, pl.col("to").alias(ELEMENT), pl.col(ELEMENT).alias("to")) if step[1] else edges


def refuse_many(left: pl.DataFrame, right: pl.DataFrame, on: Sequence[str]) -> None:
    """Refuse to join tables that give more rows than fit into memory: one object may have links of any number.

    Raises
    ------
    InvalidInputError
        There are more than MOST_ROWS.
    """
    found = right.group_by(on).len("right")
    if left.height * found.select(pl.col("right").max().fill_null(0)).item() <= MOST_ROWS:
        return
    rows = (
        found.join(left.group_by(on).len("left"), on=on).select((pl.col("left").cast(pl.Float64) * pl.col("right")).sum()).item()
    )
    if rows > MOST_ROWS:
        raise InvalidInputError(f"the condition follows {rows:,.0f} links", "ask for one kind of link at a time, or for a class")
