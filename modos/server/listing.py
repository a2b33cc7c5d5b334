"""List and search objects and their metadata, a page at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import islice
from typing import Annotated, Any, TypeVar

from fastapi import APIRouter, Depends, Query, Request

from modos.catalog.catalog import Catalog
from modos.errors import IntegrityError, ModosError
from modos.server.auth import Access, caller_of
from modos.server.parameters import check_parameters
from modos.server.rules import ANYONE, Caller

MOST = 10_000  # objects of a page
Limit = Annotated[int | None, Query(ge=1, le=MOST, description="At most so many; `next` says where the next page begins.")]
After = Annotated[str | None, Query(max_length=1000, description="Begin after this: the `next` of the page before.")]
Search = Annotated[
    str,
    Query(
        max_length=1000,
        description="Words that the metadata have, all of them; SLOT=VALUE looks "
        "for a whole value of one slot, SLOT~PART for a part of one.",
    ),
]
Item = TypeVar("Item")


def create_router(catalog: Catalog, access: Access, s3: str | None) -> APIRouter:
    """Create the endpoints over a catalogue."""
    router = APIRouter(dependencies=[Depends(check_parameters)])

    def selection(request: Request, after: str | None, shown: Callable[[Caller, str], bool]) -> Callable[[str], bool]:
        """Return a filter for the keys of objects of which something is shown, of those after one."""
        caller = caller_of(request)
        if caller == ANYONE:
            access.check_any(caller)
        return lambda key: (after is None or key > after) and shown(caller, key)

    @router.get("/list")
    def list_objects(request: Request, limit: Limit = None, after: After = None, search: Search = "") -> dict[str, Any]:
        """List the objects; with a search, those that match and can be read."""
        wanted, left = selection(request, after, access.shows_metadata if search else access.shows), _LeftOut()
        keys = (key for key, _ in catalog.find(search, wanted, left.note)) if search else filter(wanted, catalog.iter_objects())
        return left.add_to(_page(keys, limit, lambda key: key, catalog.url), catalog)

    @router.get("/meta")
    def list_metadata(request: Request, limit: Limit = None, after: After = None, search: Search = "") -> dict[str, Any]:
        """List the objects with their metadata; `left_out` names those that cannot be read."""
        left = _LeftOut()
        return left.add_to(
            _page(
                catalog.find(search, selection(request, after, access.shows_metadata), left.note),
                limit,
                lambda found: found[0],
                lambda found: {"path": catalog.url(found[0]), "meta": found[1]},
            ),
            catalog,
        )

    @router.get("/get")
    def find_object(
        request: Request,
        query: Annotated[str, Query(min_length=1, max_length=1000)],
        fuzzy: bool = False,
        limit: Limit = None,
        after: After = None,
    ) -> dict[str, Any]:
        """Find the objects of a name (`query`), or of a similar one (`fuzzy=true`)."""
        keys = filter(selection(request, after, access.shows), catalog.search(query, fuzzy))
        return _page(
            keys, limit, lambda key: key, lambda key: {key.rpartition("/")[2]: {"s3_endpoint": s3, "modo_path": catalog.url(key)}}
        )

    return router


class _LeftOut:
    """The objects that an answer lacks, as they cannot be read."""

    def __init__(self) -> None:
        self._found: list[tuple[str, ModosError]] = []

    def note(self, key: str, error: ModosError) -> None:
        """Note an object that is left out."""
        self._found.append((key, error))

    def add_to(self, answer: dict[str, Any], catalog: Catalog) -> dict[str, Any]:
        """Add them to an answer, as far as its page goes; return it unchanged if there are none."""
        last = answer.get("next")
        left = [
            {"path": catalog.url(key), "reason": "damaged" if isinstance(error, IntegrityError) else "unreadable"}
            for key, error in self._found
            if last is None or key <= last
        ]
        return answer | {"left_out": left} if left else answer


def _page(
    items: Iterable[Item], limit: int | None, key_of: Callable[[Item], str], shown: Callable[[Item], Any]
) -> dict[str, Any]:
    """Return the first items, and where the next page begins, if there is one."""
    if limit is None:
        return {"data": [shown(item) for item in items]}
    page = list(islice(items, limit + 1))
    following = key_of(page[limit - 1]) if len(page) > limit else None
    return {"data": [shown(item) for item in page[:limit]], "next": following}
