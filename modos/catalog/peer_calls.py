"""What a modos server lists, by the calls that sdsc-ordes modos has for it."""

from __future__ import annotations

import logging
from typing import Any

from modos.catalog.catalog import list_remote
from modos.remote.services import get_json
from modos.errors import InvalidInputError, NotFoundError, ProtocolError, did_you_mean, listing

logger = logging.getLogger(__name__)


def list_remote_items(url: str) -> list[str]:
    """URLs of the objects that a server has."""
    return list_remote(None, str(url), None)


def get_metadata_from_remote(url: str, modo_id: str | None = None) -> dict[str, Any]:
    """The metadata of a server's objects by their paths (`bucket/object`), or those of one.

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
    if not isinstance(entries, list) or not all(isinstance(one, dict) and isinstance(one.get("path"), str)
                                                and isinstance(one.get("meta"), dict) for one in entries):
        raise ProtocolError(f"{url} is not a modos server: it does not tell the metadata of objects")
    found = {one["path"].removeprefix("s3://"): one["meta"] for one in entries}
    if left := [str(one.get("path") if isinstance(one, dict) else one)[:200] for one in answer.get("left_out") or ()]:
        logger.warning("left out, as the server cannot read them: %s", listing(left))
    return found if modo_id is None else found[_path_of(url, modo_id.removeprefix("s3://").strip("/"), found)]


def get_s3_path(url: str, query: str, exact_match: bool = False) -> list[dict[str, Any]]:
    """Where the objects are that are called so, or whose name has or resembles it; by their names."""
    answer = _ask(url, "get", {"query": query, "fuzzy": str(not exact_match).lower()})
    if not isinstance(answer, dict) or not isinstance(answer.get("data"), list):
        raise ProtocolError(f"{url} is not a modos server: it does not find objects")
    return answer["data"]


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
