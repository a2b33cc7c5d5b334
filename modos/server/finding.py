"""Find elements in the catalogue: rows of those that a caller may read, and of no others."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import Response

from modos.catalog.catalog import Catalog
from modos.catalog.row_pages import find_page, list_left_out, write_allowed
from modos.server.auth import Access, caller_of
from modos.server.listing import MOST
from modos.server.parameters import check_parameters
from modos.server.rules import ANYONE, Caller

PARQUET = "application/vnd.apache.parquet"
_PAGE = 1000
Where = Annotated[
    str | None, Query(max_length=4000, description="A condition in SQL on slots of the elements, and of what they are linked to.")
]
Class = Annotated[
    str | None, Query(alias="class", max_length=100, description="The class of the elements; DataEntity is any kind of data.")
]
After = Annotated[str | None, Query(max_length=4000, description="Begin after this: the `next` of the page before.")]
Limit = Annotated[int, Query(ge=1, le=MOST, description="At most so many rows; `next` says where the next page begins.")]


def create_router(catalog: Catalog, access: Access) -> APIRouter:
    """Create the endpoints over a catalogue."""
    router = APIRouter(dependencies=[Depends(check_parameters)])

    def identify(request: Request) -> Caller:
        """Return a caller who may read something, or where nobody need say who they are."""
        caller = caller_of(request)
        if caller == ANYONE:
            access.check_any(caller)
        return caller

    @router.get("/find")
    def find_elements(
        request: Request, class_name: Class = None, where: Where = None, limit: Limit = _PAGE, after: After = None
    ) -> dict[str, Any]:
        """Find elements by their class and a condition, each with the slots that it has; `left_out` names unreadable objects."""
        caller = identify(request)
        view = catalog.rows()
        rows, following = find_page(view, lambda key: access.shows_metadata(caller, key), class_name, where, after, limit)
        answer = {"data": [{"path": catalog.url(row["object"]), **row} for row in rows], "next": following}
        left = [
            {"path": catalog.url(key), "reason": problem.partition(":")[0]}
            for key, problem in list_left_out(view, lambda key: access.shows_metadata(caller, key), after, following)
        ]
        return answer | {"left_out": left} if left else answer

    @router.get("/tables/{table}", response_class=Response)
    def give_table(request: Request, table: Literal["elements", "digests"]) -> Response:
        """Return all rows of a table of the catalogue, as Parquet."""
        caller = identify(request)
        content = write_allowed(catalog.rows(), table, lambda key: access.shows_metadata(caller, key))
        return Response(content, media_type=PARQUET, headers={"Cache-Control": "private, no-store"})

    return router
