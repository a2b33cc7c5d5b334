"""Readers of a catalogue: its head, conditions of strangers, and rows of whatever root documents say."""

from __future__ import annotations

import json
import shutil
from functools import cache
from pathlib import Path
from typing import Any

from .text_documents import _example
from .trying import Target

_ID = "0123456789abcdef0123456789abcdef"


def _read_head(path: Path) -> None:
    from modos.catalog.snapshots import read_head
    from modos.storage import open_storage

    (path.parent / ".modos-catalog").mkdir()
    shutil.move(path, path.parent / ".modos-catalog" / "head.json")
    read_head(open_storage(path.parent))


@cache
def _rows() -> Any:
    from modos.catalog.element_rows import Rows
    from modos.object.document import Document

    rows = Rows()
    document = Document.from_bytes(_example(), "", "x")
    rows.add("ex", document.object_id, document.metadata(), 1, "")
    return rows.to_frames()[0].lazy()


def _select(path: Path) -> None:
    """What `/find` does with a condition."""
    from modos.catalog.conditions_on_elements import select_elements

    select_elements(_rows(), "DataEntity", path.read_bytes().decode(errors="replace")).collect()


def _make_rows(path: Path) -> None:
    """Rows of a root document give back what it says."""
    from modos.catalog.element_rows import Rows, to_metadata
    from modos.object.document import Document

    document = Document.from_bytes(path.read_bytes(), "tag", str(path))
    rows, metadata = Rows(), document.metadata()
    rows.add("lab/ex", document.object_id, metadata, 1, "tag")
    elements, digests = rows.to_frames()
    found = to_metadata("lab/ex", elements.to_dicts(), digests.to_dicts())
    assert found == metadata or json.dumps(found, sort_keys=True) == json.dumps(metadata, sort_keys=True), (
        "rows lose what was said"
    )


def _head() -> bytes:
    tables = {name: {"size": 10, "digest": "0" * 64} for name in ("elements", "digests")}
    snapshot = {"id": _ID, **tables}
    return json.dumps({"format_version": 1, "base": snapshot, "delta": None, "previous": [_ID]}, indent=1).encode()


_CONDITIONS = [
    b"sex = 'Female' and taxon_id in ('9606', '10090')",
    b"not (sample.sex <> 'Male' or data_size >= 1e3) and lower(data_format) like 'c%'",
    b"\"sample.sex\" is not null and coalesce(assembly, 'x') between 'a' and 'z'",
]
_WORDS = tuple(
    b"sex sample. taxon_id ' \" ( ) and or not in like is null = <> <= 1e9 lower( case when then end -- /* */ ; , || :: $1 ? \\".split()
)

TARGETS = [
    Target("catalog-head", ".json", _read_head, lambda: [_head()], (b'"base"', b"null", b"1e999", _ID.encode(), b"../"), (2, 6)),
    Target("condition", ".sql", _select, lambda: list(_CONDITIONS), _WORDS, (2,)),
    Target(
        "catalog-rows",
        ".json",
        _make_rows,
        lambda: [_example()],
        (b'"@type"', b"null", b"[]", b"1e400", b'"\\ud800"', b"2025-01-02"),
        (6,),
    ),
]
