"""List a modos server and S3 with the functions of sdsc-ordes modos (`modos.remote`, `modos.storage`)."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from modos.catalog.catalog import list_remote
from modos.errors import (
    InvalidInputError,
    NotFoundError,
    ProtocolError,
    did_you_mean,
    listing,
)
from modos.formats import ROOT_KEYS, object_of
from modos.remote.services import get_json
from modos.storage import Storage, open_storage

logger = logging.getLogger(__name__)


def list_remote_items(url: str) -> list[str]:
    """List the URLs of a server's objects."""
    return list_remote(None, str(url), None)


def get_metadata_from_remote(url: str, modo_id: str | None = None) -> dict[str, Any]:
    """Return the metadata of a server's objects by their paths (`bucket/object`), or those of one.

    Parameters
    ----------
    modo_id
        Its path, as a key of what is given for all, or with `s3://` before it; or its name.

    Raises
    ------
    NotFoundError
        There is none, or the server cannot read it.
    InvalidInputError
        Several are called so.
    """
    answer = _ask(url, "meta")
    entries = answer.get("data") if isinstance(answer, dict) else None
    if not isinstance(entries, list) or not all(
        isinstance(one, dict) and isinstance(one.get("path"), str) and isinstance(one.get("meta"), dict) for one in entries
    ):
        raise ProtocolError(f"{url} is not a modos server: it does not tell the metadata of objects")
    found = {one["path"].removeprefix("s3://"): one["meta"] for one in entries}
    if left := [str(one.get("path") if isinstance(one, dict) else one)[:200] for one in answer.get("left_out") or ()]:
        logger.warning("left out, as the server cannot read them: %s", listing(left))
    return found if modo_id is None else found[_path_of(url, modo_id.removeprefix("s3://").strip("/"), found)]


def get_s3_path(url: str, query: str, exact_match: bool = False) -> list[dict[str, Any]]:
    """Find the objects of a name, or whose name has or resembles it; their addresses by their names."""
    answer = _ask(url, "get", {"query": query, "fuzzy": str(not exact_match).lower()})
    if not isinstance(answer, dict) or not isinstance(answer.get("data"), list):
        raise ProtocolError(f"{url} is not a modos server: it does not find objects")
    found: list[dict[str, Any]] = answer["data"]
    return found


def connect_s3(*given: Any, endpoint: Any = None, s3_kwargs: Mapping[str, Any] | None = None) -> Any:
    """Open S3 at an endpoint, as a filesystem of s3fs; or, with `s3://bucket` before it, that as a storage.

    `connect_s3(endpoint, s3_kwargs)` is the call of version 0.3.4, and
    `connect_s3(url, endpoint, s3_kwargs)` that of the versions after it.
    """
    from modos.storage.connecting import open_filesystem

    places = [str(one) for one in (*given, endpoint) if one is not None and not isinstance(one, Mapping)]
    options = [one for one in given if isinstance(one, Mapping)] + ([] if s3_kwargs is None else [s3_kwargs])
    url = places.pop(0) if places and places[0].startswith("s3://") else None
    if len(places) != 1 or len(options) > 1 or not places[0].startswith(("http://", "https://")):
        raise InvalidInputError(
            "connect_s3 takes the URL of an S3 server, and arguments for it",
            "connect_s3('http://localhost:9000', {'anon': True})",
        )
    arguments = dict(options[0]) if options else None
    if url is None:
        return open_filesystem(places[0], arguments).get()
    return open_storage(url, s3_url=places[0], s3_kwargs=arguments)


def list_remote_modos(storage: Any) -> list[str]:
    """List the keys of the objects below a storage from `connect_s3`.

    Raises
    ------
    InvalidInputError
        It is something else, such as the filesystem that `connect_s3` gives without a bucket.
    """
    if not isinstance(storage, Storage):
        raise InvalidInputError(
            "list_remote_modos takes a storage", "list_remote_modos(connect_s3('s3://bucket', 'http://localhost:9000'))"
        )
    return sorted({object_of(info.key) for info in storage.find(*ROOT_KEYS)})


def _ask(url: str, route: str, params: dict[str, str] | None = None) -> Any:
    return get_json(f"{str(url).rstrip('/')}/{route}", params)


def _path_of(url: str, name: str, paths: dict[str, Any]) -> str:
    if name in paths:
        return name
    named = [path for path in paths if path.rpartition("/")[2] == name]
    if len(named) > 1:
        raise InvalidInputError(f"{name} could be {' or '.join(named)}", "write its path")
    if not named:
        near = did_you_mean(name, list(paths))
        raise NotFoundError(f"{url} has no object {name}", f"did you mean {near}?" if near else None)
    return named[0]
