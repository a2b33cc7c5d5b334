"""Give out summaries of the values of tracks, in bins."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from fastapi import APIRouter, Depends, Query, Request, Response

from modos.errors import InvalidInputError
from modos.genomics.region import Region
from modos.server.answers import JsonAnswer
from modos.server.auth import Access, caller_of
from modos.server.conditions import name_version
from modos.server.genome.answering import KEPT, answer_unchanged, describe_place, make_tag, to_json_numbers
from modos.server.genome.objects import TYPES, Element, Objects
from modos.server.genome.open_tracks import OpenTracks
from modos.server.noting import SENT, note
from modos.server.parameters import check_parameters

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from modos.tracks.track import Track

MOST = 2000  # bins of an answer
BINARY = "application/octet-stream"
ROWS = ("mean", "min", "max")

RegionText = Annotated[str, Query(max_length=1000, description="1-based inclusive: chr1:1,001-2,000")]
Bins = Annotated[int | None, Query(ge=1, le=MOST, description="Equal parts of the region.")]
Size = Annotated[int | None, Query(ge=1, description="Bases of each part but the last, in the place of their number.")]


def create_router(objects: Objects, access: Access, opened: OpenTracks) -> APIRouter:
    """Create the endpoint of bins."""
    router = APIRouter(dependencies=[Depends(check_parameters)])

    @router.get("/bins/{path:path}", name="bins of a track")
    def get_bins(path: str, request: Request, region: RegionText, bins: Bins = None, size: Size = None) -> Response:
        """Return mean, least and largest value of a track in equal parts of a region, as JSON or as little-endian float32.

        The path is that of a track's element, or of a reference with the name of one of its tracks. Bytes, for who accepts
        `application/octet-stream`, are three rows: all means, all least values, all largest ones; NaN where there is none.
        """
        element, name = find_track_element(objects, request, path)
        element_id, track = opened.find(element, name)
        key = element.of.key_of(f"data.zarr/{element_id}")
        access.check(caller_of(request), "read", key)
        place = Region.parse(region, track.contigs.names)
        contig, start, end = track.contigs.place(place)
        edges = _check_bins(Region(contig.name, start, end), bins, size)
        is_binary = BINARY in request.headers.get("Accept", "")
        tag = make_tag("bins", element.of.document.tag, path, contig.name, start, end, edges, is_binary)
        if answer := answer_unchanged(request, tag):
            return answer
        found = read_bins(track, Region(contig.name, start, end), *edges)
        note(request, SENT, key, regions=[Region(contig.name, start, end)], bins=found.shape[1])
        headers = {"ETag": tag, "Vary": "Accept", **KEPT, **name_version(element.of.document.tag)}
        if is_binary:
            return Response(found[1:].astype("<f4").tobytes(), media_type=BINARY, headers=headers)
        rows = {row: to_json_numbers(values.tolist()) for row, values in zip(ROWS, found[1:])}
        counts = [int(count) for count in found[0]]
        return JsonAnswer(describe_place(contig.name, start, end) | {"size": edges[1], "n": counts} | rows, headers=headers)

    return router


def find_track_element(objects: Objects, request: Request, path: str) -> tuple[Element, str | None]:
    """Find the element at a path, or the reference at all but the last part of it, which then names a track."""
    parts = path.split("/")
    if len(parts) >= 3 and parts[-3] == "reference" and parts[-2] not in TYPES:
        return objects.find(request, "/".join(parts[:-1])), parts[-1]
    return objects.find(request, path), None


def _check_bins(region: Region, bins: int | None, size: int | None) -> tuple[int | None, int | None]:
    """Return number and size of the bins, of which one is None; InvalidInputError for what cannot be."""
    width = region.limit - region.start
    if (bins is None) == (size is None):
        raise InvalidInputError("say how many bins are wanted, or of what size", "bins=1000, or size=1024")
    if size is not None and -(-width // size) > MOST:
        raise InvalidInputError(f"{region} has {-(-width // size):,} bins of {size:,} bases, and at most {MOST:,} are given")
    if bins is not None and bins > width:
        raise InvalidInputError(f"{bins} bins of a region of {width:,} bases", "ask for 1 to as many as it has bases")
    return bins, size


def read_bins(track: Track, region: Region, bins: int | None, size: int | None) -> npt.NDArray[np.float64]:
    """Summarise parts of a region: float64, (4, bins), with n, mean, least and largest; NaN where n is 0.

    Parameters
    ----------
    bins
        Number of equal parts.
    size
        Bases of each part but the last, where `bins` is None.
    """
    import numpy as np

    if size is None:
        assert bins is not None
        return track.zoom(region, bins)
    whole, rest = divmod(region.limit - region.start, size)
    middle = region.start + whole * size
    parts = [track.zoom(Region(region.contig, region.start, middle), whole)] if whole else []
    if rest:
        parts.append(track.zoom(Region(region.contig, middle, region.limit), 1))
    return np.concatenate(parts, axis=1)
