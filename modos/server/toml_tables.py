"""Check what stands in the tables of a TOML file."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from modos.errors import InvalidInputError


def check_keys(table: Any, known: Collection[str], where: str) -> None:
    """Raise InvalidInputError if a table has a key that is not known, or is none."""
    if not isinstance(table, Mapping):
        raise InvalidInputError(f"{where}: this is not a table")
    if unknown := sorted(table.keys() - set(known)):
        raise InvalidInputError(f"{where}: {unknown[0]} is not known", f"there are {', '.join(sorted(known))}")


def read_texts(value: Any, where: str) -> list[str]:
    """Return a list of texts; InvalidInputError for anything else."""
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise InvalidInputError(f"{where} is not a list of texts")
    return value


def read_text(value: Any, where: str) -> str:
    """Return a text that is not empty; InvalidInputError for anything else."""
    if not isinstance(value, str) or not value:
        raise InvalidInputError(f"{where} is not a text")
    return value


def read_flag(value: Any, where: str) -> bool:
    """Return true or false; InvalidInputError for anything else."""
    if not isinstance(value, bool):
        raise InvalidInputError(f"{where} is not true or false")
    return value
