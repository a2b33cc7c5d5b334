"""Show an element: what its metadata say, what it is linked to, and what its data look like."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import HTMLResponse

from modos.errors import NotFoundError
from modos.metadata.model.schema import link_slots, slots_of
from modos.reference.store import ReferenceStore
from modos.server.pages.commands_shown import Writing, write_for_element
from modos.server.pages.data_looked_at import look_at
from modos.server.pages.element_links import Link, iter_links
from modos.server.pages.files_shown import describe_file
from modos.server.pages.genes_shown import show_genes
from modos.server.pages.places import Places
from modos.server.pages.rendering import render
from modos.server.pages.served_objects import ServedObject, ServedObjects, text_of
from modos.server.pages.terms_shown import Labels, ShownTerm
from modos.server.parameters import check_parameters

_MOST_VALUES = 100  # of a slot
_MOST_TEXT = 10_000
_HIDDEN = frozenset(("@type", "id", "name", "description"))  # which stand at the head of the page
_DIGESTS = ("_checksum", "_digest", "_digests", "recipients", "sender", "sequence_md5")
_SIZES = ("data_size", "plain_size")
Text = Annotated[str | None, Query(max_length=2000)]


@dataclass(frozen=True)
class ShownSlot:
    """Slot as a page shows it.

    Parameters
    ----------
    kind
        `links`, `terms`, `size`, `time` or `digest`.
    values
        Links, terms, or texts.
    """

    name: str
    description: str
    kind: str
    values: list[Any]
    left_out: int = 0


def create_router(objects: ServedObjects, labels: Labels, public_url: str | None, references: ReferenceStore | None) -> APIRouter:
    """Create the page of an element."""
    router = APIRouter(dependencies=[Depends(check_parameters)])

    @router.get("/elements/{path:path}", response_class=HTMLResponse)
    def show_element(
        request: Request,
        path: str,
        array: Annotated[str | None, Query(max_length=2000, description="Path of the array of a Zarr tree to look at.")] = None,
        annotation: Annotated[str | None, Query(max_length=200, description="Annotation of a reference genome.")] = None,
        gene: Annotated[str, Query(max_length=200, description="Name or id of a gene of the annotation.")] = "",
    ) -> HTMLResponse:
        """Show an element of an object as a page; the path is the key of the object, and the id of the element."""
        key, element_id = _split(path)
        found = objects.open(request, key)
        if found is None:
            return render(request, "object_closed.html", key=key, places=Places(request))
        if element_id not in found.elements:
            raise NotFoundError(f"there is no element {element_id} in {key or 'the object'}")
        attributes = found.elements[element_id]
        writing = Writing(request, objects.catalog, key, public_url, objects.own_object)
        is_reference = text_of(attributes, "@type") == "ReferenceGenome"
        return render(
            request,
            "element.html",
            found=found,
            element_id=element_id,
            attributes=attributes,
            places=Places(request),
            slots=list(_describe_slots(found, element_id, labels)),
            incoming=_find_incoming(found, element_id),
            file=describe_file(found, element_id),
            is_browsable=found.is_browsable(element_id),
            is_track=element_id in found.tracks,
            looked=look_at(request, found, element_id, array),
            closed=found.opened.closed.get(element_id),
            annotations=show_genes(references, attributes, annotation, gene) if is_reference else None,
            snippets=write_for_element(writing, found, element_id),
            bounds=found.bounds(),
        )

    return router


def _split(path: str) -> tuple[str, str]:
    """Split a path into the key of an object and the id of an element: its last two parts."""
    parts = path.split("/")
    if len(parts) < 2:
        raise NotFoundError("there is no such element")
    return "/".join(parts[:-2]), "/".join(parts[-2:])


def _describe_slots(found: ServedObject, element_id: str, labels: Labels) -> Any:
    """Iterate over the slots of an element as they are shown; also those that the schema does not have."""
    attributes = found.elements[element_id]
    class_name = text_of(attributes, "@type")
    described, linking = slots_of(class_name), link_slots(class_name)
    for slot, value in attributes.items():
        if slot in _HIDDEN or value is None or value == []:
            continue
        values = value if isinstance(value, list) else [value]
        kind = _kind_of(slot, slot in linking or slot == "derived_from", described.get(slot))
        yield ShownSlot(
            slot,
            str(described[slot].get("description", "")) if slot in described else "not of the schema",
            kind,
            [_show(found, element_id, slot, kind, one, labels) for one in values[:_MOST_VALUES]],
            max(0, len(values) - _MOST_VALUES),
        )


def _kind_of(slot: str, is_link: bool, described: Any) -> str:
    if is_link:
        return "links"
    if slot in _SIZES:
        return "size"
    if slot.endswith(_DIGESTS):
        return "digest"
    return "time" if described and described["range"] == "datetime" else "terms"


def _show(found: ServedObject, element_id: str, slot: str, kind: str, value: Any, labels: Labels) -> Any:
    if kind == "links":
        target = str(value)
        return Link(element_id, slot, target, target in found.elements)
    if kind in ("size", "time"):
        return value
    text = value if isinstance(value, str) else str(value)
    if len(text) > _MOST_TEXT:
        text = f"{text[:_MOST_TEXT]}… ({len(text):,} characters)"
    return ShownTerm(text, text) if kind == "digest" else labels.show(slot, text)


def _find_incoming(found: ServedObject, element_id: str) -> list[Link]:
    """Find the links of others that lead to an element, as many as are shown."""
    links: list[Link] = []
    for other, attributes in found.elements.items():
        links += (link for link in iter_links(other, attributes, found.elements) if link.target == element_id)
        if len(links) >= _MOST_VALUES:
            break
    return links[:_MOST_VALUES]
