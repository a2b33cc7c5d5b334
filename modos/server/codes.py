"""Serve terminology codes with the API of fuzon (github.com/sdsc-ordes/fuzon, fuzon-http)."""

from __future__ import annotations

import logging
import threading
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request

from modos.codes.collection import MAX_QUERY
from modos.codes.term_index import MAX_COUNT, Index
from modos.errors import InvalidInputError, ModosError
from modos.server.auth import Access, caller_of
from modos.server.parameters import check_parameters

logger = logging.getLogger(__name__)


class Newest:
    """An index that is opened again where another was put in its place; the one before is kept where that is no good."""

    def __init__(self, index: Index):
        self._index = index
        self._state = _state(index.path)
        self._lock = threading.Lock()

    def index(self) -> Index:
        """Return the index as it is now."""
        path = self._index.path
        with self._lock:
            state = _state(path)
            if path and state and state != self._state:
                self._state = state
                try:
                    self._index = Index(path, mapped=False).check()
                except ModosError as error:
                    logger.error("%s", error)
            return self._index


def _state(path: Path | None) -> tuple[int, int, int] | None:
    try:
        found = path.stat() if path else None
    except OSError:
        return None
    return (found.st_ino, found.st_mtime_ns, found.st_size) if found else None


def create_router(index: Index | None, access: Access) -> APIRouter:
    """Create the endpoints over an index; none if there is no index."""
    router = APIRouter(dependencies=[Depends(check_parameters)])
    if index is None:
        return router
    newest = Newest(index)

    @router.get("/codes/top")
    def find_codes(
        request: Request,
        collection: Annotated[str, Query(max_length=100, description="A slot, such as cell_type.")],
        query: Annotated[str, Query(min_length=1, max_length=MAX_QUERY, description="Words, or a code.")],
        num: Annotated[int | None, Query(ge=1, le=MAX_COUNT, description="How many, at most; 10 where it is not given.")] = None,
        top: Annotated[int | None, Query(ge=1, le=MAX_COUNT, description="As `num`.")] = None,
    ) -> dict[str, Any]:
        """Find the terms that are most like some words, the best first."""
        access.check_any(caller_of(request))
        if num and top and num != top:
            raise InvalidInputError("num and top are the same, and differ", "give one of them")
        found = newest.index().search(collection, query, num or top or 10)
        return {
            "codes": [
                {"label": code.label, "uri": f"<{code.uri}>", "score": code.score, "value": code.value, "synonym": code.synonym}
                for code in found
            ]
        }

    @router.get("/collections")
    def list_collections(request: Request) -> dict[str, list[str]]:
        """List the slots that have codes."""
        access.check_any(caller_of(request))
        return {"collections": newest.index().slots}

    return router
