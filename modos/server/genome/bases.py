"""Give out bases of references, and lists of their contigs."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.responses import PlainTextResponse

from modos.errors import NotFoundError, RegionError
from modos.genomics.region import Region, unknown_contig_error
from modos.server.answers import JsonAnswer
from modos.server.conditions import name_version
from modos.server.genome.answering import KEPT, answer_unchanged, check_width, make_tag
from modos.server.genome.bins import RegionText
from modos.server.genome.frames import Frame, Frames
from modos.server.genome.objects import Objects
from modos.server.noting import SENT, note
from modos.server.parameters import check_parameters

MOST = 1_000_000  # bases of an answer

Form = Annotated[Literal["json", "fai"], Query(description="JSON, or a table as samtools faidx writes it.")]


def create_router(objects: Objects, frames: Frames) -> APIRouter:
    """Create the endpoints of sequences."""
    router = APIRouter(dependencies=[Depends(check_parameters)])

    @router.get("/sequence/{path:path}", name="bases of a reference")
    def get_sequence(path: str, request: Request, region: RegionText) -> Response:
        """Return the bases of a region as text, in upper case; of a reference, or of that which an element is linked to."""
        element = objects.find(request, path)
        frame = frames.find(request, element)
        place = resolve_place(frame, region)
        check_width(place, MOST, "bases")
        if frame.read is None:
            raise NotFoundError(f"{frame.path} has no sequence")
        tag = make_tag("sequence", element.of.document.tag, frame.assembly.seqcol, frame.path, place)
        if answer := answer_unchanged(request, tag):
            return answer
        bases = frame.read(place.contig, place.start, place.limit)
        if frame.file_key is not None:
            note(request, SENT, frame.file_key, regions=[place])
        version = name_version(element.of.document.tag, frame.assembly.seqcol)
        return PlainTextResponse(bases, headers={"ETag": tag, **KEPT, **version})

    @router.get("/contigs/{path:path}", name="contigs of a reference")
    def get_contigs(path: str, request: Request, format: Form = "json") -> Response:
        """Return the contigs of a reference, or of that which an element is linked to, with their lengths."""
        element = objects.find(request, path)
        frame = frames.find(request, element)
        tag = make_tag("contigs", element.of.document.tag, frame.assembly.seqcol, frame.path, len(frame.contigs), format)
        if answer := answer_unchanged(request, tag):
            return answer
        headers = {"ETag": tag, **KEPT}
        if format == "json":
            contigs = [{"name": name, "length": length} for name, length in frame.contigs.items()]
            return JsonAnswer({"name": frame.name, "path": frame.path, "contigs": contigs}, headers=headers)
        rows = (f"{name}\t{length}\t0\t{length}\t{length + 1}\n" for name, length in frame.contigs.items())
        return PlainTextResponse("".join(rows), headers=headers)

    return router


def resolve_place(frame: Frame, text: str) -> Region:
    """Resolve a region, as text, to a contig of a frame by its own name, with its end.

    Raises
    ------
    NotFoundError
        There is no such contig.
    RegionError
        It goes past the end of the contig.
    """
    region = Region.parse(text, frame.names.keys())
    contig = frame.resolve(region.contig)
    if contig is None:
        raise unknown_contig_error(region.contig, frame.contigs)
    return place_on(contig, frame.contigs[contig], region, text)


def place_on(contig: str, length: int, region: Region, text: str) -> Region:
    """Return a region on a contig of a length, with its end; raise RegionError where it goes past that."""
    end = length if region.end is None else region.end
    if end > length or region.start >= length:
        raise RegionError(f"the region {text[:200]} goes past the {length:,} bases of {contig}")
    return Region(contig, region.start, end)
