"""Note in the read log each answer that gives data: before its first byte, and once more when it has ended.

A route calls `note` when it knows what it will give, and before it gives it:

    reading = note(request, SENT, key, regions=query.regions)
    reading.count(records)  # if it knows how many, and as often as it likes

All else comes by itself: who asks, on whose behalf and for what, the samples of the file, and, when the answer has
ended, its bytes. `note` raises UnloggedError, which is answered by 503, where the log is required and cannot be written.
It waits for the disk: call it in a thread.
"""

from __future__ import annotations

import itertools
import logging
import os
from collections.abc import Iterable
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from fastapi import FastAPI, Request
from starlette.types import Scope

from modos.catalog.catalog import Catalog
from modos.errors import InvalidInputError, ModosError
from modos.genomics.htsget.query import Query
from modos.genomics.region import Region
from modos.readlog.read_entries import ENDED, GRANTED, REFUSED, SENT, now_in_text
from modos.readlog.read_log import ReadLog, UnloggedError
from modos.server.auth import caller_of
from modos.server.concerned import Concerned, Concerns
from modos.server.rules import ANYONE, Caller

__all__ = ["GRANTED", "SENT", "Reading", "UnloggedError", "finish_readings", "keep_log", "note", "note_gateway", "note_refusal"]

REQUEST_ID = "modos.request_id"
_READINGS = "modos.readings"
_BEHALF, _PURPOSE = b"modos-on-behalf-of", b"modos-purpose"
_LONGEST = 1000  # characters of these headers

logger = logging.getLogger(__name__)


class Reading:
    """Answer that gives data; it is finished with the request, if not before."""

    def __init__(self, log: ReadLog | None = None, number: str = ""):
        self._log, self._number = log, number
        self._records: int | None = None

    def count(self, records: int) -> None:
        """Add to the number of records that were given."""
        self._records = (self._records or 0) + records

    def finish(self, records: int | None = None, bytes: int | None = None, *, is_whole: bool = True) -> None:
        """Log how many records and bytes were given, and whether the answer came to its end; only the first time counts."""
        log, self._log = self._log, None
        if log is not None:
            counted = self._records if records is None else records
            entry = {"event": ENDED, "id": self._number, "time": now_in_text(), "records": counted, "bytes": bytes}
            log.write_later(entry | ({} if is_whole else {"broken": True}))


class _Kept:
    """Read log of an application, and what it takes to write into it."""

    def __init__(self, log: ReadLog, catalog: Catalog):
        self.log, self.concerns = log, Concerns(catalog)
        self._prefix, self._numbers = os.urandom(8).hex(), itertools.count()

    def number(self) -> str:
        """Make the id of an answer."""
        return f"{self._prefix}-{next(self._numbers)}"


def keep_log(app: FastAPI, log: ReadLog, catalog: Catalog) -> None:
    """Make an application log what its routes note."""
    app.state.read_log = _Kept(log, catalog)


def note(
    request: Request,
    kind: str,
    key: str,
    *,
    regions: Iterable[Region] | None = None,
    samples: Iterable[str] | None = None,
    unknown: Iterable[str] = (),
    **more: Any,
) -> Reading:
    """Log that data are given now.

    Parameters
    ----------
    kind
        SENT where the bytes pass through this server, or GRANTED where the caller gets what opens the way to them: signed
        addresses, credentials. Of what is sent the end is logged, too.
    key
        The file, as it is stored; or the object, or the place whose data are granted.
    regions
        That are asked for (0-based half-open); None for all of the file.
    samples
        Those of them whose data are given; None for all that the file has.
    unknown
        Names of fields that cannot be told, such as `regions`.
    more
        Further fields of the entry, such as `bytes` and `records`, which are known already.

    Raises
    ------
    UnloggedError
        It cannot be logged, and the log is required.
    InvalidInputError
        What the caller says of themselves is too long.
    """
    kept: _Kept | None = getattr(request.app.state, "read_log", None)
    if kept is None:
        return Reading()
    number = kept.number()
    about = kept.concerns.find(key)
    entry = _describe_caller(request) | {
        "event": kind,
        "id": number,
        "file": key,
        "regions": None if regions is None else [region.to_tuple() for region in regions],
        **_describe_samples(about, samples, list(unknown)),
        **more,
    }
    reading = Reading(kept.log if kind == SENT else None, number)
    _write(kept.log, entry)
    request.scope.setdefault(_READINGS, []).append(reading)
    return reading


def note_gateway(request: Request, key: str) -> None:
    """Log that a gateway is told to pass a request for a ticket on, to a server that signs addresses.

    The regions of a POST request are in its body, which a gateway does not show.
    """
    asked = dict(parse_qsl(urlsplit(request.headers.get("X-Forwarded-Uri", "")).query))
    regions, unknown = list[Region](), list[str]()
    if request.headers.get("X-Forwarded-Method", "GET") == "POST":
        unknown = ["regions"]
    elif {"referenceName", "start", "end"} & asked.keys():
        try:
            regions = list(Query.from_params(asked, "reads").regions)
        except ModosError:  # which the other server refuses, too, or reads in its own way
            unknown = ["regions"]
    note(request, GRANTED, key, regions=regions or None, unknown=unknown, via="gateway")


def note_refusal(request: Request) -> None:
    """Log that a caller was refused, where that is wanted; nothing happens where it cannot be logged."""
    kept: _Kept | None = getattr(request.app.state, "read_log", None)
    if kept is not None and kept.log.logs_refusals:
        entry = {"event": REFUSED, "id": kept.number(), "path": request.scope["path"][:_LONGEST]}
        try:
            kept.log.write_later(_describe_caller(request) | entry)
        except InvalidInputError as error:
            logger.error("a refusal is not logged: %s", error)


def finish_readings(scope: Scope, sent: int, *, is_whole: bool) -> None:
    """Log the end of what a request was given, that is not finished yet."""
    for reading in scope.get(_READINGS, ()):
        reading.finish(bytes=sent, is_whole=is_whole)


def _write(log: ReadLog, entry: dict[str, Any]) -> None:
    try:
        log.write(entry)
    except UnloggedError as error:
        if log.is_required:
            raise
        logger.error("request %s is answered and not logged: %s", entry.get("request"), error)


def _describe_samples(about: Concerned, chosen: Iterable[str] | None, unknown: list[str]) -> dict[str, Any]:
    """Describe the object, the samples, and what of them is not sure."""
    if chosen is not None:
        about = about.choose(chosen)
    names = [name for name in about.names if name]
    unsure = unknown if about.is_sure else sorted({*unknown, "samples"})
    samples = None if about.samples is None else list(about.samples)
    return {"object": about.object, "samples": samples, "names": names or None, "unknown": unsure or None}


def _describe_caller(request: Request) -> dict[str, Any]:
    """Describe who asks, how that is known, and what they or their token say of why."""
    caller, scope = caller_of(request), request.scope
    behalf, purpose = _read_reasons(request)
    if behalf is purpose is caller.behalf is caller.purpose is None:
        return _describe_plainly(caller, scope)
    proven = [name for name, value in (("behalf", caller.behalf), ("purpose", caller.purpose)) if value]
    return _describe_plainly(caller, scope) | {
        "behalf": caller.behalf or behalf,
        "purpose": caller.purpose or purpose,
        "proven": proven or None,
        "said": {"behalf": behalf, "purpose": purpose} if proven and (behalf or purpose) else None,
    }


def _describe_plainly(caller: Caller, scope: Scope) -> dict[str, Any]:
    return {
        "time": now_in_text(),
        "request": scope.get(REQUEST_ID),
        "caller": caller.name or None,
        "groups": sorted(caller.groups) if caller.groups else None,
        "how": caller.how or ("nobody" if caller == ANYONE else "unknown"),
        "client": (scope.get("client") or [None])[0],
        "method": scope["method"],
        "route": getattr(scope.get("route"), "path", None),
    }


def _read_reasons(request: Request) -> tuple[str | None, str | None]:
    """Read what the headers say: on whose behalf, and for what."""
    given = {name: value for name, value in request.scope["headers"] if name in (_BEHALF, _PURPOSE) and value}
    if any(len(value) > _LONGEST for value in given.values()):
        raise InvalidInputError(f"the headers {_BEHALF.decode()} and {_PURPOSE.decode()} have at most {_LONGEST:,} characters")
    behalf, purpose = (given.get(name) for name in (_BEHALF, _PURPOSE))
    return behalf and behalf.decode("latin-1"), purpose and purpose.decode("latin-1")
