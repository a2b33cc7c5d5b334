"""The tables of a catalogue as a modos server gives them to a caller."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from modos.catalog.element_rows import digest_schema, schema
from modos.catalog.snapshots import read_columns
from modos.errors import ProtocolError
from modos.errors.missing import load_late
from modos.remote.services import check_url, fetch_bytes, token_for
from modos.remote.urls import SERVED
from modos.storage.processes.forking import cached_property

if TYPE_CHECKING:
    import polars as pl
else:
    pl = load_late("polars")

_MAX_TABLE = 1 << 30  # bytes


def is_server(place: str | Path) -> bool:
    """Return whether a place is the URL of a modos server, and not of an object that it serves."""
    text = str(place)
    return text.lower().startswith(("http://", "https://")) and not SERVED.fullmatch(text)


class ServedTables:
    """Rows of what the caller may read at a server; those of digests are fetched when they are first asked for.

    Attributes
    ----------
    elements
        Rows of all elements, lazily.

    Raises
    ------
    AccessError
        The server asks for a token, or refuses it.
    ProtocolError
        It is no modos server.
    """

    is_made = True

    def __init__(self, url: str):
        self._url = check_url(url, "a modos server")
        self.elements = self._fetch("elements")

    @cached_property
    def digests(self) -> pl.LazyFrame:
        """Rows of all digests, lazily."""
        return self._fetch("digests")

    def renewed(self) -> ServedTables:
        """Return the tables as they are now."""
        return ServedTables(self._url)

    def _fetch(self, table: str) -> pl.LazyFrame:
        url = f"{self._url}/tables/{table}"
        content = fetch_bytes(url, token=token_for(url, None), limit=_MAX_TABLE)
        found, expected = read_columns(content), schema() if table == "elements" else digest_schema()
        if any(found.get(name) != type for name, type in expected.items()):
            raise ProtocolError(
                f"{self._url} is not a modos server of this version: it gives no table of {table} with the columns of one"
            )
        try:
            return pl.read_parquet(content, columns=list(expected)).lazy()
        except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError):
            raise ProtocolError(f"{self._url} is not a modos server: its table of {table} cannot be read") from None
