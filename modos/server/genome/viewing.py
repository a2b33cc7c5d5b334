"""Show elements of several objects along a genome: `GET /genome?element=KEY/data/NAME&locus=chr1:1,001-2,000`."""

from __future__ import annotations

from typing import Annotated, Any
from urllib.parse import quote, urlencode

from fastapi import APIRouter, Query, Request
from fastapi.responses import HTMLResponse

from modos.errors import InvalidInputError, ModosError, did_you_mean
from modos.errors.escaping import escape_line
from modos.server.auth import Access, caller_of
from modos.server.genome.frames import UNKNOWN, Frame
from modos.server.genome.igv import HOW_TO_GET, NAME, find_igv
from modos.server.genome.lanes import Asked, Lane, Lanes, describe_refusal
from modos.server.genome.objects import Element
from modos.server.pages.rendering import render

PATH = "/genome"
MOST = 20  # elements of a view
_MOST_CONTIGS = 500  # that come with the page; more are asked for
_LONGEST = 2000  # characters of the path of one
_PARAMETERS = ("element", "locus", "add")
# What igv.js 3.0.8 asks for: the two style sheets that it puts into the document, of its colour picker and its circular
# view, by their digests; and to compile its decoders of CRAM. Its own styles are constructed, and nothing else is inline,
# a worker, or evaluated.
_PICKER, _CIRCLE = "ITHmamcImsZ/Je1xrdtDLZVvRSpj1Zokb6uHXORB824=", "NTwDUA6nIvRRpI2lIBtHJqkV0TlTj4HVmI6vI81fIfM="
WIDEN = {"style-src": f"'sha256-{_PICKER}' 'sha256-{_CIRCLE}'", "script-src": "'wasm-unsafe-eval'"}

Elements = Annotated[list[str] | None, Query(description="Elements to show: the key of the object, its type and its name.")]
Locus = Annotated[str | None, Query(max_length=1000, description="1-based inclusive: chr1:1,001-2,000; or a gene.")]
Added = Annotated[str | None, Query(max_length=_LONGEST, description="One more element.")]


def create_router(access: Access, lanes: Lanes) -> APIRouter:
    """Create the page."""
    router = APIRouter()

    @router.get(PATH, response_class=HTMLResponse, name="genome browser")
    def show_genome(request: Request, element: Elements = None, locus: Locus = None, add: Added = None) -> HTMLResponse:
        """Show reads, variants, tracks and genes of elements along a genome, as a page."""
        _check(request, element or [])
        wanted = list(
            dict.fromkeys(path.strip("/ ") for path in (*(element or ()), *((add,) if add else ())) if path.strip("/ "))
        )
        if not wanted:
            access.check_any(caller_of(request))
        return render(request, "genome.html", widen=WIDEN, **_describe(request, lanes, wanted, locus or ""))

    return router


def _check(request: Request, elements: list[str]) -> None:
    """Refuse parameters that are not known, and more elements than a view has room for."""
    given = [name for name, _ in request.query_params.multi_items()]
    if unknown := [name for name in given if name not in _PARAMETERS]:
        near = did_you_mean(unknown[0], _PARAMETERS)
        raise InvalidInputError(
            f"there is no parameter {unknown[0][:100]}", f"did you mean {near}?" if near else "there are element and locus"
        )
    if given.count("locus") > 1:
        raise InvalidInputError("the parameter locus is given more than once", "give it once")
    if len(elements) > MOST or any(len(path) > _LONGEST for path in elements):
        raise InvalidInputError(f"a view has {MOST} elements at most", "show some of them in another view")


def _describe(request: Request, lanes: Lanes, wanted: list[str], locus: str) -> dict[str, Any]:
    """Describe the page: what its template writes."""
    asked = [lanes.find(request, path) for path in wanted]
    lanes.warm(request, asked)
    found = lanes.find_frame(request, asked)
    shown = [_show(request, lanes, one, found[0] if found else None, wanted, locus) for one in asked]
    data = [lane.data for one in shown for lane in one.pop("lanes")]
    if found and data and not any(lane["kind"] == "genes" for lane in data):
        data = [lane.data for lane in _find_genes(request, lanes, found)] + data
    igv = find_igv()
    is_drawn = found is not None and igv is not None and any(not one["problem"] for one in shown)
    view = {"frame": _describe_frame(*found), "locus": locus, "lanes": data} if found else None
    return {
        "shown": shown,
        "frame": found[0] if found else None,
        "frame_name": found[0].name if found else "",
        "is_drawn": is_drawn,
        "view": view,
        "locus": locus,
        "igv": f"/assets/{NAME}?v={igv.digest}" if igv else None,
        "how_to_get": HOW_TO_GET,
        "notes": _find_notes(found[0]) if found else [],
    }


def _find_notes(frame: Frame) -> list[str]:
    """Find what is to be said of the contigs that a view is drawn along."""
    notes = []
    if not frame.is_reference:
        notes.append(
            "There is no reference that this server can read: the contigs are those of the header of the file, without bases."
        )
    elif frame.read is None:
        notes.append("The reference has no bases here: mismatches of reads are not marked.")
    if any(length == UNKNOWN for length in frame.contigs.values()):
        notes.append(f"The header does not tell how long its contigs are: {UNKNOWN:,} bases are shown.")
    return notes


def _show(request: Request, lanes: Lanes, one: Asked, frame: Frame | None, wanted: list[str], locus: str) -> dict[str, Any]:
    """Describe an element of a view for people, with its lanes."""
    problem, made = one.problem, list[Lane]()
    if one.element is not None and not problem:
        try:
            if frame is None:
                raise InvalidInputError(f"there is nothing known of the contigs that {one.path} lies on")
            made = lanes.make(request, one, frame)
        except ModosError as error:
            problem = describe_refusal(request, error)
    return {
        "path": one.path,
        "name": one.element.name if one.element else one.path,
        "link": f"/elements/{quote(one.path)}" if one.element else None,
        "object": one.element.of.key if one.element else "",
        "problem": problem,
        "notes": [note for lane in made for note in lane.notes],
        "without": PATH + "?" + address([path for path in wanted if path != one.path], locus),
        "lanes": made,
    }


def _find_genes(request: Request, lanes: Lanes, found: tuple[Frame, Element]) -> list[Lane]:
    try:
        return lanes.make_genes(request, found[1], found[0])
    except ModosError:
        return []


def _describe_frame(frame: Frame, element: Element) -> dict[str, Any]:
    return {
        "path": frame.path,
        "name": escape_line(frame.name),
        "has_bases": frame.read is not None,
        "is_reference": frame.is_reference,
        "contigs": list(frame.contigs.items()) if len(frame.contigs) <= _MOST_CONTIGS else None,
    }


def address(elements: list[str], locus: str = "") -> str:
    """Return the parameters of the address of a view."""
    pairs = [*(("element", path) for path in elements), *((("locus", locus),) if locus else ())]
    return urlencode(pairs, safe="/:,", quote_via=quote)
