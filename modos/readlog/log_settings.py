"""Settings of a read log, as the access file and the command line have them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from modos.encryption.keys import load_public_key
from modos.errors import InvalidInputError
from modos.readlog.chain_writer import DAY, Limits
from modos.readlog.log_places import check_place, open_log_place
from modos.readlog.read_log import ReadLog

_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": DAY, "w": 7 * DAY, "y": 365 * DAY}
_SIZES = {"kB": 10**3, "MB": 10**6, "GB": 10**9}
_AGE = re.compile(r"([0-9]{1,6})([smhdwy])")
_SIZE = re.compile(r"([0-9]{1,6})(kB|MB|GB)")
_SHORTEST_KEEP, _SHORTEST_AGE, _SMALLEST = DAY, 60.0, 10_000


@dataclass(frozen=True)
class LogSettings:
    """Settings of a read log.

    Parameters
    ----------
    place
        A folder, or `s3://bucket/prefix`.
    key
        File of the public key of who may open it.
    required
        Whether what cannot be logged is refused.
    refused
        Whether callers who may not read something are logged, too.
    segment_size, segment_age
        Bytes and seconds after which a segment is ended and another begun.
    keep
        Seconds after which a segment is deleted; None for never.
    """

    place: str
    key: str
    required: bool = False
    refused: bool = False
    segment_size: int | None = None
    segment_age: float = DAY
    keep: float | None = None

    @classmethod
    def from_table(cls, table: Any, folder: Path, where: str) -> LogSettings:
        """Read the table `log` of an access file.

        Parameters
        ----------
        folder
            Where paths in it begin.
        where
            How errors name the file.

        Raises
        ------
        InvalidInputError
            Something in it is not known, or missing, or not of its kind.
        """
        where = f"{where}: log"
        if not isinstance(table, Mapping):
            raise InvalidInputError(f"{where} is not a table", "begin it with [log]")
        known = cls.__dataclass_fields__
        if unknown := sorted(table.keys() - known):
            raise InvalidInputError(f"{where}: {unknown[0]} is not known", f"there are {', '.join(sorted(known))}")
        values: dict[str, Any] = {}
        for name, value in table.items():
            values[name] = _READERS[name](value, f"{where}.{name}")
        if missing := {"place", "key"} - values.keys():
            raise InvalidInputError(f"{where} has no {' and no '.join(sorted(missing))}")
        if not values["place"].startswith("s3://"):
            values["place"] = str(folder / values["place"])
        return cls(**values | {"key": str(folder / values["key"])})

    def open(self, s3_kwargs: dict[str, Any] | None = None) -> ReadLog:
        """Open the log; nothing is written yet.

        Raises
        ------
        ModosError
            The key is none, or the place cannot be written.
        """
        officer = load_public_key(self.key)
        storage = open_log_place(self.place, s3_kwargs)
        check_place(storage)
        limits = Limits(self.segment_size, self.segment_age, self.keep)
        return ReadLog(storage, officer, limits, is_required=self.required, logs_refusals=self.refused)


def read_age(value: Any, where: str, least: float = 0) -> float:
    """Read an age such as `90d` or `2y` in seconds; raise InvalidInputError for what is none, or shorter than `least`."""
    match = _AGE.fullmatch(value) if isinstance(value, str) else None
    if not match:
        raise InvalidInputError(f"{where}: {value!r} is no age", "write a number with s, m, h, d, w or y, such as 365d")
    age = int(match[1]) * _UNITS[match[2]]
    if age < least:
        raise InvalidInputError(f"{where}: {value} is too short", f"it is at least {least:,.0f} seconds")
    return age


def _read_size(value: Any, where: str) -> int:
    match = _SIZE.fullmatch(value) if isinstance(value, str) else None
    size = int(match[1]) * _SIZES[match[2]] if match else 0
    if not _SMALLEST <= size <= 10**9:
        raise InvalidInputError(
            f"{where}: {value!r} is no size from 10kB to 1GB", "write a number with kB, MB or GB, such as 64MB"
        )
    return size


def _read_flag(value: Any, where: str) -> bool:
    if not isinstance(value, bool):
        raise InvalidInputError(f"{where} is neither true nor false")
    return value


def _read_text(value: Any, where: str) -> str:
    if not isinstance(value, str) or not value:
        raise InvalidInputError(f"{where} is not a text")
    return value


_READERS: dict[str, Any] = {
    "place": _read_text,
    "key": _read_text,
    "required": _read_flag,
    "refused": _read_flag,
    "segment_size": _read_size,
    "segment_age": lambda value, where: read_age(value, where, _SHORTEST_AGE),
    "keep": lambda value, where: read_age(value, where, _SHORTEST_KEEP),
}
