"""Show the catalogue: objects that match a search and filters, a page at a time, and how many have what."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Annotated, Any, Literal
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import HTMLResponse
from starlette.concurrency import run_in_threadpool

from modos.catalog.catalog import Catalog
from modos.catalog.overview import FACETS, ObjectSummary, Overviews
from modos.errors import InvalidInputError
from modos.server.admitting import Turns
from modos.server.auth import Access, caller_of
from modos.server.pages.negotiating import PageRoute
from modos.server.pages.places import Places
from modos.server.pages.rendering import render
from modos.server.pages.terms_shown import Labels
from modos.server.parameters import check_parameters
from modos.server.rules import ANYONE
from modos.server.shown_keys import mark_readable, mark_shown

_PAGE = 50
_MOST_VALUES = 60  # of a facet that are listed
_FIRST_VALUES = 8
_MOST_TEXT = 300
_TITLES = {"class": "Kind of data", "organism": "Organism", "sex": "Sex", "assembly": "Assembly", "format": "File format"}
_MOST_TAGS = 6
_AT_ONCE = 2  # searches, each of which goes through all objects; others wait
_PATIENCE = 20.0  # seconds that they wait
Word = Annotated[str, Query(max_length=1000)]
Search = Annotated[str, Query(max_length=1000)]


def create_router(catalog: Catalog, access: Access, labels: Labels) -> APIRouter:
    """Create the page of the catalogue, for browsers; programs get JSON at the same address."""
    router = APIRouter(route_class=PageRoute, dependencies=[Depends(check_parameters)])
    turns = Turns(_AT_ONCE, _PATIENCE)
    overviews = Overviews(catalog.rows, waits=catalog.max_age == 0)

    def answer(request: Request, search: str, chosen: dict[str, str], after: str | None, part: str | None) -> HTMLResponse:
        caller = caller_of(request)
        if caller == ANYONE:
            access.check_any(caller)
        overview, is_newest = overviews.get()
        values: dict[str, Any] = {"search": search, "chosen": chosen, "after": after, "problem": None, "found": None}
        values |= {"is_newest": is_newest, "is_read": overview is not None}
        if overview is None:
            return render(request, "catalogue_found.html" if part else "catalogue.html", places=Places(request), **values)
        try:
            found = overview.find(
                search,
                chosen,
                partial(mark_shown, access, caller),
                partial(mark_readable, access, caller),
                after,
                _PAGE,
            )
        except InvalidInputError as error:  # of what somebody is still typing
            values["problem"] = error
        else:
            asked = {"search": search, **chosen}
            values |= {
                "found": found,
                "rows": [_describe(one, labels) for one in found.objects],
                "facets": [_describe_facet(name, found.counts[name], asked, labels) for name in FACETS],
                "following": found.following and _address(asked | {"after": found.following}),
                "first": _address(asked) if after is not None else None,
            }
        return render(request, "catalogue_found.html" if part else "catalogue.html", places=Places(request), **values)

    @router.get("/", include_in_schema=False, response_class=HTMLResponse)
    async def show_catalogue(
        request: Request,
        search: Search = "",
        of_class: Annotated[str, Query(alias="class", max_length=1000)] = "",
        organism: Word = "",
        sex: Word = "",
        assembly: Word = "",
        format: Word = "",
        after: Annotated[str | None, Query(max_length=1000)] = None,
        part: Annotated[Literal["found"] | None, Query()] = None,
    ) -> HTMLResponse:
        """Show the objects of which the caller may know; with `part=found`, the list alone."""
        given = {"class": of_class, "organism": organism, "sex": sex, "assembly": assembly, "format": format}
        run = turns.run if search else run_in_threadpool
        return await run(answer, request, search, {facet: value for facet, value in given.items() if value}, after, part)

    return router


def _address(parameters: Mapping[str, str]) -> str:
    """Return the address of the catalogue with those parameters that say something."""
    given = {name: value for name, value in parameters.items() if value}
    return f"/?{urlencode(given, errors='replace')}" if given else "/"


def _describe_facet(name: str, counts: Any, asked: Mapping[str, str], labels: Labels) -> dict[str, Any]:
    """Return what the page shows of a facet: each value with its count, and where it leads."""
    chosen = asked.get(name)
    others = {key: value for key, value in asked.items() if key != name}
    values = [
        {
            "shown": labels.show(FACETS[name], value),
            "count": count,
            "is_chosen": value == chosen,
            "address": _address(others if value == chosen else others | {name: value}),
        }
        for value, count in counts[:_MOST_VALUES]
    ]
    if chosen and not any(value["is_chosen"] for value in values):
        count = next((count for value, count in counts if value == chosen), 0)
        values.insert(
            0, {"shown": labels.show(FACETS[name], chosen), "count": count, "is_chosen": True, "address": _address(others)}
        )
    return {
        "name": name,
        "title": _TITLES[name],
        "first": values[:_FIRST_VALUES],
        "rest": values[_FIRST_VALUES:],
        "left_out": max(0, len(counts) - _MOST_VALUES),
    }


def _describe(one: ObjectSummary, labels: Labels) -> dict[str, Any]:
    """Return what the list shows of an object."""
    tags = [
        (labels.show(FACETS[facet], value).label, facet)
        for facet in ("organism", "assembly", "format")
        for value in list(one.values.get(facet, ()))
    ]
    return {
        "key": one.key,
        "name": _shorten(one.name),
        "description": _shorten(one.description),
        "one": one,
        "tags": tags[:_MOST_TAGS],
        "classes": sorted(one.values.get("class", {}).items(), key=lambda pair: (-pair[1], pair[0]))[:_MOST_TAGS],
    }


def _shorten(text: str) -> str:
    return text if len(text) <= _MOST_TEXT else text[:_MOST_TEXT] + "…"
