"""Choose where codes come from: a named index, a server, or the user's own index."""

from __future__ import annotations

import os
from pathlib import Path

from modos.codes.service import Service
from modos.codes.term_index import Index
from modos.reference.cache import cache_folder, is_offline
from modos.remote.services import Services, check_services, check_url, endpoint_from_environment, resolve_services

CODES_VARIABLE = "MODOS_CODES"


def default_path() -> Path:
    """Return the place of the index where no other is named: MODOS_CODES, or a file in the cache folder."""
    named = os.environ.get(CODES_VARIABLE)
    return Path(named) if named else cache_folder("codes") / "codes.index"


def open_codes(
    index: str | Path | None = None, endpoint: str | None = None, services: dict[str, str] | None = None
) -> Index | Service:
    """Open the codes to search in.

    The index that is named, also by MODOS_CODES; else the service `fuzon` that
    is named or that the endpoint tells of; else the user's index; else there
    are the schema's own values alone.

    Raises
    ------
    NotFoundError
        An index that is named and is not there.
    """
    if index or os.environ.get(CODES_VARIABLE):
        return Index(index or default_path())
    found = _services(endpoint, services)
    if found.fuzon:
        return Service(found.fuzon, found.endpoint)
    return Index(default_path() if default_path().is_file() else None)


def _services(endpoint: str | None, services: dict[str, str] | None) -> Services:
    check_services(services)
    fuzon = (services or {}).get("fuzon")
    if fuzon:
        return Services(fuzon=check_url(fuzon, "the fuzon service"), endpoint=endpoint or endpoint_from_environment())
    return Services() if is_offline() else resolve_services(endpoint, None)
