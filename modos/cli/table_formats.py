"""Name the formats that tables are written in."""

from __future__ import annotations

FORMATS = {"arrow": (".arrow", ".feather", ".arrows"), "parquet": (".parquet",), "tsv": (".tsv",)}
_STREAM = ".arrows"


def format_of_table(name: str | None, path: str) -> str | None:
    """Return the format of a name, or else the one that a file's name says; None if it is none of tables."""
    if name is not None:
        return name.lower() if name.lower() in FORMATS else None
    return next((format for format, endings in FORMATS.items() if path.lower().endswith(endings)), None)


def is_stream(path: str) -> bool:
    """Return whether Arrow is written as a stream to a path: to stdout, and to what is called so."""
    return path == "-" or path.lower().endswith(_STREAM)
