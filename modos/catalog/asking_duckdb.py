"""Ask tables in the SQL of DuckDB."""

from __future__ import annotations

import json
from collections.abc import Container, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from modos.errors import InvalidInputError
from modos.errors.missing import load_late

if TYPE_CHECKING:
    import duckdb
    import polars as pl
else:
    pl = load_late("polars")

_WHOLE = ("STAR", "NATURAL", "PIVOT", "SHOW_REF")  # parts of a query that take columns which it does not name


def ask(query: str, tables: Mapping[str, pl.LazyFrame]) -> duckdb.DuckDBPyRelation:
    """Ask some tables; DuckDB can reach nothing else.

    Raises
    ------
    InvalidInputError
        The query cannot be read; or DuckDB is not installed.
    """
    try:
        import duckdb
    except ImportError:
        raise InvalidInputError("SQL takes DuckDB, which is not installed", "pip install 'modos-store[sql]'") from None
    connection = duckdb.connect(":memory:")
    columns = {name: table.collect_schema().names() for name, table in tables.items()}
    named = _find_named(connection, query, [one for own in columns.values() for one in own])
    for name, table in tables.items():
        first, *others = columns[name]
        chosen = table if named is None else table.select(first, *(one for one in others if one in named))
        connection.register(name, chosen.collect())
    connection.execute("SET enable_external_access = false; SET lock_configuration = true")
    try:
        found = connection.sql(query)
    except (duckdb.Error, UnicodeError) as error:
        raise InvalidInputError(f"the query cannot be answered: {str(error).splitlines()[0][:300]}") from None
    if found is None:
        raise InvalidInputError("the query asks for nothing", "begin it with select")
    return found


def _find_named(connection: duckdb.DuckDBPyConnection, query: str, columns: list[str]) -> set[str] | None:
    """Find the columns that a query may name; None where it may take others, too: as by `*`, or a table as a value."""
    import duckdb

    try:
        quoted = query.replace("'", "''")
        answer = connection.sql(f"select json_serialize_sql('{quoted}')").fetchall()[0][0]
        tree = json.loads(answer)
    except (duckdb.Error, UnicodeError, ValueError, RecursionError):
        return None
    nodes = list(_iter_nodes(tree))
    of_tables = {str(node.get(name)).lower() for node in nodes if "class" not in node for name in ("alias", "table_name")}
    known = {str(node.get("alias")).lower() for node in nodes if "class" in node} - of_tables | {name.lower() for name in columns}
    if tree.get("error") or any(_takes_all(node, known) for node in nodes):
        return None
    words = query.lower()
    return {name for name in columns if name.lower() in words}


def _iter_nodes(tree: Any) -> Iterator[dict[str, Any]]:
    left = [tree]
    while left:
        node = left.pop()
        if isinstance(node, dict):
            yield node
        left += node.values() if isinstance(node, dict) else node if isinstance(node, list) else ()


def _takes_all(node: Mapping[str, Any], known: Container[str]) -> bool:
    """Return whether a part of a query takes columns that it does not name."""
    if node.get("class") == "COLUMN_REF":
        return str(node["column_names"][-1]).lower() not in known
    return node.get("type") in _WHOLE or node.get("ref_type") in _WHOLE
