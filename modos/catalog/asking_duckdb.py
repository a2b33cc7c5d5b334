"""Ask tables in the SQL of DuckDB."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from modos.errors import InvalidInputError

if TYPE_CHECKING:
    import duckdb
    import polars as pl


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
    for name, table in tables.items():
        connection.register(name, table.collect())
    connection.execute("SET enable_external_access = false; SET lock_configuration = true")
    try:
        found = connection.sql(query)
    except duckdb.Error as error:
        raise InvalidInputError(f"the query cannot be answered: {str(error).splitlines()[0][:300]}") from None
    if found is None:
        raise InvalidInputError("the query asks for nothing", "begin it with select")
    return found
