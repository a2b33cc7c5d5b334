"""A catalogue of the objects of a folder with just what plans ask of it."""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from modos.catalog import Catalog
from modos.object.commits import load
from modos.object.address import ObjectAddress
from modos.storage import open_storage

LISTS = ("has_sample", "has_reference")
TEXTS = ("name", "data_path", "data_format", "zarr_kind", "sex")


@dataclass
class FakeCatalog:
    place: str
    elements: pl.LazyFrame
    digests: pl.LazyFrame

    @classmethod
    def of(cls, place):
        catalog = Catalog(open_storage(place))
        rows = []
        for key, metadata in catalog.iter_metadata():
            document = load(open_storage(place).child(key) if key else open_storage(place))
            revision, tag = document.state.get("revision", 0), document.tag
            for element, slots in metadata.items():
                row = {name: slots.get(name) for name in TEXTS + LISTS + ("data_size", "data_digest", "data_checksum")}
                own = "" if "/" not in element else element
                rows.append({"object": key, "element": own, "class": slots.get("@type"), "tag": tag, "revision": revision} | row)
        types = dict.fromkeys(("object", "element", "class", "tag", *TEXTS, "data_digest", "data_checksum"), pl.String)
        table = pl.DataFrame(rows, schema=types | {"data_size": pl.Int64, "revision": pl.UInt32} | dict.fromkeys(LISTS, pl.List(pl.String)))
        return cls(
            str(place),
            table.drop("data_digest", "data_checksum").lazy(),
            table.select("object", "element", "data_digest", "data_checksum").lazy(),
        )

    def select(self, class_=None, where=None):
        rows = self.elements.filter(pl.col("class") == class_) if class_ else self.elements
        return (rows.filter(pl.sql_expr(where)) if where else rows).collect()

    def address(self, key):
        return ObjectAddress(f"{self.place}/{key}" if key else self.place)
