"""Show an object: its elements, links and files, how to read them, and its metadata to download."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from itertools import chain, islice
from typing import Annotated, Any, Literal
from urllib.parse import quote

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import HTMLResponse, Response
from starlette.concurrency import run_in_threadpool

from modos.formats import is_encrypted, name_of
from modos.server.admitting import Turns
from modos.server.pages.commands_shown import Writing, write_for_object
from modos.server.pages.element_links import count_groups, draw_links, grow_tree, iter_links
from modos.server.pages.files_shown import describe_file
from modos.server.pages.places import Places
from modos.server.pages.rendering import render
from modos.server.pages.served_objects import ServedObject, ServedObjects, text_of
from modos.server.pages.terms_shown import Labels
from modos.server.parameters import check_parameters

_PAGE = 100  # elements or files
_MOST_LINKS = 200
_MOST_BROWSED = 6
_COMMITS = 20
_AT_ONCE = 1  # exports, which take long for large objects; others wait
_PATIENCE = 20.0  # seconds that they wait
Format = Literal["ro-crate", "turtle", "json-ld"]
After = Annotated[str | None, Query(max_length=1000)]


def create_router(objects: ServedObjects, labels: Labels, public_url: str | None) -> APIRouter:
    """Create the page of an object and its exports."""
    router, turns = APIRouter(dependencies=[Depends(check_parameters)]), Turns(_AT_ONCE, _PATIENCE)

    def answer(request: Request, key: str, format: Format | None, group: str, after: str | None, files: str | None) -> Response:
        found = objects.open(request, key)
        if found is None:
            if format:
                objects.access.check(objects.check_shown(request, key), "read", key)
            return render(request, "object_closed.html", key=key, places=Places(request))
        if format:
            return _export(
                found, format, objects.catalog.url(key), Writing(request, objects.catalog, key, public_url, objects.own_object)
            )
        writing = Writing(request, objects.catalog, key, public_url, objects.own_object)
        values = _describe(found, labels, group, after, files)
        return render(
            request,
            "object.html",
            found=found,
            places=Places(request),
            address=objects.catalog.url(key),
            snippets=write_for_object(writing, found),
            **values,
        )

    async def answer_in_turn(request: Request, key: str, format: Format | None, *shown: Any) -> Response:
        return await (turns.run if format else run_in_threadpool)(answer, request, key, format, *shown)

    @router.get("/objects", response_class=HTMLResponse, include_in_schema=False)
    async def show_root(
        request: Request,
        format: Format | None = None,
        group: str = "",
        after: After = None,
        files: After = None,
    ) -> Response:
        """Show what is served as one object."""
        return await answer_in_turn(request, "", format, group, after, files)

    @router.get("/objects/{key:path}", response_class=HTMLResponse)
    async def show_object(
        request: Request,
        key: str,
        format: Annotated[Format | None, Query(description="The metadata to download, in the place of the page.")] = None,
        group: Annotated[str, Query(max_length=100, description="Elements of this group alone.")] = "",
        after: After = None,
        files: After = None,
    ) -> Response:
        """Show an object as a page, or give its metadata as RO-Crate, Turtle or JSON-LD."""
        return await answer_in_turn(request, key, format, group, after, files)

    return router


def _describe(found: ServedObject, labels: Labels, group: str, after: str | None, files: str | None) -> dict[str, Any]:
    """Return what the page writes."""
    elements = found.elements
    tree, left_out = grow_tree(found.own, elements)
    chosen = [i for i in elements if not group or i.partition("/")[0] == group]
    listed, following = _page(chosen, after)
    with_files = [i for i in elements if text_of(elements[i], "data_path")]
    files_listed, files_following = _page(with_files, files)
    links = chain.from_iterable(iter_links(i, elements[i], elements) for i in elements)
    return {
        "tree": tree,
        "left_out": left_out,
        "drawing": draw_links(elements),
        "links": list(islice(links, _MOST_LINKS)),
        "links_left": sum(1 for _ in links),
        "groups": count_groups(elements),
        "group": group,
        "rows": [_describe_element(found, i, labels) for i in listed],
        "following": following,
        "after": after,
        "files": [describe_file(found, i) for i in files_listed],
        "files_count": len(with_files),
        "files_following": files_following,
        "files_after": files,
        "total_size": sum(_size_of(elements[i]) for i in with_files),
        "sealed": sum(1 for i in with_files if is_encrypted(text_of(elements[i], "data_path"))),
        "browsed": [found.stored_key(i) for i in islice(filter(found.is_browsable, elements), _MOST_BROWSED)],
        "commits": _commits_of(found),
        "revision": found.document.state.get("revision"),
        "bounds": found.bounds(),
    }


def _page(ids: Iterable[str], after: str | None) -> tuple[list[str], str | None]:
    """Return the ids of a page, and what the next one comes after."""
    page = sorted(i for i in ids if after is None or i > after)
    return page[:_PAGE], page[_PAGE - 1] if len(page) > _PAGE else None


def _describe_element(found: ServedObject, element_id: str, labels: Labels) -> dict[str, Any]:
    attributes = found.elements[element_id]
    return {
        "id": element_id,
        "class": text_of(attributes, "@type"),
        "name": text_of(attributes, "name"),
        "description": text_of(attributes, "description")[:300],
        "file": name_of(text_of(attributes, "data_path")),
        "is_browsable": found.is_browsable(element_id),
    }


def _size_of(attributes: Mapping[str, Any]) -> int:
    size = attributes.get("data_size")
    return size if isinstance(size, int) and not isinstance(size, bool) and size > 0 else 0


def _commits_of(found: ServedObject) -> list[str]:
    """List the ids of the last commits, the newest first."""
    commits = found.document.state.get("commits")
    return [one for one in reversed(commits) if isinstance(one, str)][:_COMMITS] if isinstance(commits, list) else []


def _export(found: ServedObject, format: Format, url: str, writing: Writing) -> Response:
    """Give the metadata to download."""
    if format == "ro-crate":
        from modos.metadata.ro_crate import FILE_NAME, build_crate

        content = json.dumps(build_crate(found.id, found.metadata), indent=2)
        return _download(content, "application/ld+json", FILE_NAME)
    from modos.metadata.graph import build_graph, serialize

    scheme, is_url, rest = url.partition("://")
    graph = build_graph(found.metadata, f"{scheme}://{quote(rest)}" if is_url else writing.place)
    text = serialize(graph, "turtle" if format == "turtle" else "json-ld")
    kind, ending = ("text/turtle; charset=utf-8", "ttl") if format == "turtle" else ("application/ld+json", "jsonld")
    return _download(text, kind, f"{name_of(found.key) or 'object'}.{ending}")


def _download(content: str, media_type: str, name: str) -> Response:
    disposition = f"attachment; filename*=UTF-8''{quote(name, safe='', errors='replace')}"
    return Response(
        content.encode("utf-8", "backslashreplace"), media_type=media_type, headers={"Content-Disposition": disposition}
    )
