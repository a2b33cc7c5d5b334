"""Give out the depth of reads: counted, or of wide regions as a track or the index tells."""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

from fastapi import APIRouter, Depends, Query, Request, Response
from starlette.concurrency import run_in_threadpool

from modos.catalog.catalog import Catalog
from modos.errors import InvalidInputError, NotFoundError
from modos.formats import FORMATS, streamable_format
from modos.genomics.htsget.protocol import HtsgetError
from modos.genomics.htsget.query import Query as Asked
from modos.genomics.planning import Planner
from modos.genomics.region import Region
from modos.object import tracks
from modos.server.admitting import Turns
from modos.server.answers import JsonAnswer
from modos.server.auth import Access, caller_of
from modos.server.conditions import name_version
from modos.server.genome.answering import KEPT, describe_place, to_json_numbers
from modos.server.genome.bases import place_on
from modos.server.genome.bins import BINARY, MOST, RegionText, read_bins
from modos.server.genome.frames import Frames, has_records
from modos.server.genome.objects import Element, Objects
from modos.server.genome.open_tracks import OpenTracks
from modos.server.noting import SENT, note
from modos.server.parameters import check_parameters
from modos.server.slices import Planned, Slices

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

EXACT_BASES = 1 << 19  # of a region whose reads are counted
EXACT_BYTES = 64 << 20  # of the file, that its index names for such a region
_AT_ONCE = 2  # requests whose reads are counted; others wait
_PATIENCE = 20.0  # seconds that they wait
EXACT, TRACK, ESTIMATE = "exact", "track", "estimate"
EXPLAINED = {
    EXACT: "the mean depth of the bases, as samtools depth counts it",
    TRACK: "the mean of a track of the object that was made of these reads",
    ESTIMATE: "an estimate from the index alone: 1 is the mean of the contig",
}

Bins = Annotated[int, Query(ge=1, le=MOST, description="Equal parts of the region.")]


class Depth(NamedTuple):
    """Depth of the parts of a region, float64, (bins,); NaN where it is not known, or not allowed to be."""

    how: str
    values: npt.NDArray[np.float64]
    source: str | None = None


class Depths:
    """Measures the depth of reads, of not too many at once."""

    def __init__(self, catalog: Catalog, access: Access, planner: Planner, frames: Frames, opened: OpenTracks):
        self._catalog, self._access, self._planner, self._frames = catalog, access, planner, frames
        self._slices, self._opened = Slices(catalog, access, planner), opened
        self._turns = Turns(_AT_ONCE, _PATIENCE)

    def measure(self, request: Request, element: Element, region: Region, bins: int) -> Depth | Planned:
        """Measure the depth of parts of a region, with its end, within what the caller may read; or plan to `count` it."""
        key = element.file_key
        assert key is not None
        planned = self._slices.plan_key(request, "reads", key, (region,))
        if planned.is_bounded and planned.bounds.hides_places:
            raise HtsgetError("PermissionDenied", "you may not read where the reads lie, and so not how deep they are")
        width = region.limit - region.start
        if width <= EXACT_BASES and self._planner.measure(key, planned.regions or ()) <= EXACT_BYTES:
            return planned
        if planned.is_bounded:
            raise HtsgetError(
                "PermissionDenied", f"of this region, which is too wide to count its reads (above {EXACT_BASES:,} bases), nothing"
            )
        return self._read_track(request, element, region, bins) or Depth(
            ESTIMATE, self._estimate(request, key, element, region, bins)
        )

    async def count(self, planned: Planned, region: Region, bins: int) -> Depth:
        """Count what was planned, in its turn; the error is that of `Turns.run`."""
        return Depth(EXACT, await self._turns.run(self._count, planned, region, bins))

    def _count(self, planned: Planned, region: Region, bins: int) -> npt.NDArray[np.float64]:
        import numpy as np

        from modos.genomics.coverage import count_depth
        from modos.genomics.reader import RecordReader

        depth = np.zeros(region.limit - region.start)
        if planned.regions != ():
            found, first = self._slices.begin(planned, Asked(format="BAM"))
            try:
                with RecordReader(chain((first,), found.pieces), FORMATS["BAM"], name=planned.key) as records:
                    depth = count_depth(iter(records), region).astype(np.float64)
            finally:
                found.pieces.close()
        if planned.is_bounded and planned.bounds.regions is not None:
            allowed = np.zeros(len(depth), bool)
            for part in planned.regions or ():
                allowed[max(part.start - region.start, 0) : part.limit - region.start] = True
            depth[~allowed] = np.nan
        return _average(depth, bins)

    def _read_track(self, request: Request, element: Element, region: Region, bins: int) -> Depth | None:
        """Read the depth from a track that says that it was made of these reads and is of their depth; None if there is none."""
        for name, element_id in tracks.tracks_of(element.of.document).items():
            attributes = element.of.metadata[element_id]
            is_depth = any(word in f"{name} {element_id}".lower() for word in ("coverage", "depth"))
            if not is_depth or list(attributes.get("derived_from") or ()) != [element.id]:
                continue
            if not self._access.allows(caller_of(request), "read", element.of.key_of(f"data.zarr/{element_id}")):
                continue
            try:
                _, track = self._opened.find(Element(element.of, element_id, attributes))
            except NotFoundError:
                continue
            own = track.contigs.resolve(region.contig)
            if own is not None and track.contigs.lengths[own] >= region.limit:
                return Depth(TRACK, read_bins(track, Region(own, region.start, region.limit), bins, None)[1], name)
        return None

    def _estimate(self, request: Request, key: str, element: Element, region: Region, bins: int) -> npt.NDArray[np.float64]:
        import numpy as np

        from modos.genomics.index.density import estimate_density

        header, index = self._planner.find_index(key)
        length = self._frames.read_facts(request, element)[region.contig][0] or region.limit
        width = region.limit - region.start
        edges = region.start + np.arange(bins + 1, dtype=np.int64) * width // bins
        return estimate_density(index, header.target_ids[region.contig], length, edges)


def _average(depth: npt.NDArray[np.float64], bins: int) -> npt.NDArray[np.float64]:
    """Average the known values of equal parts, float64, (bins,); NaN for a part without any."""
    import numpy as np

    edges = np.arange(bins + 1) * len(depth) // bins
    known = ~np.isnan(depth)
    sums = np.add.reduceat(np.where(known, depth, 0), edges[:-1])
    counts = np.add.reduceat(known.astype(np.int64), edges[:-1])
    return np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)


def create_router(objects: Objects, depths: Depths, frames: Frames) -> APIRouter:
    """Create the endpoint of depths."""
    router = APIRouter(dependencies=[Depends(check_parameters)])

    def measure(request: Request, path: str, text: str, bins: int) -> tuple[Element, Region, Depth | Planned]:
        element = objects.find(request, path)
        if not has_records(element) or streamable_format(str(element.file_key)).kind != "reads":
            raise NotFoundError(f"{element.path} has no reads that could be counted")
        place = _resolve(request, frames, element, text)
        if bins > place.limit - place.start:
            raise InvalidInputError(f"{bins} bins of a region of {place.limit - place.start:,} bases")
        return element, place, depths.measure(request, element, place, bins)

    @router.get("/coverage/{path:path}", name="depth of reads")
    async def get_coverage(path: str, request: Request, region: RegionText, bins: Bins, partial: str | None = None) -> Response:
        """Return the mean depth of equal parts of a region, as JSON or as little-endian float32; `how` says how it is known.

        Reads of up to 524,288 bases are counted: duplicates, secondary ones and those that failed a check do not count. Of
        more, a track of the object that was made of these reads tells, or, as an estimate, their index. Where somebody may
        read parts of a file and asks with `partial=true`, the rest is null.
        """
        element, place, found = await run_in_threadpool(measure, request, path, region, bins)
        if isinstance(found, Planned):
            found = await depths.count(found, place, bins)
        await run_in_threadpool(note, request, SENT, str(element.file_key), regions=[place], only=f"depth ({found.how})")
        headers = {"Vary": "Accept", "Modos-How": found.how, **KEPT, **name_version(element.of.document.tag)}
        if BINARY in request.headers.get("Accept", ""):
            return Response(found.values.astype("<f4").tobytes(), media_type=BINARY, headers=headers)
        about: dict[str, Any] = {"how": found.how, "meaning": EXPLAINED[found.how], "track": found.source}
        depth = to_json_numbers(found.values.tolist())
        return JsonAnswer(describe_place(place.contig, place.start, place.limit) | about | {"depth": depth}, headers=headers)

    return router


def _resolve(request: Request, frames: Frames, element: Element, text: str) -> Region:
    """Resolve a region to a contig as the file of an element names it, with its end; see `frames.Frames.read_facts`."""
    facts = frames.read_facts(request, element)
    region = Region.parse(text, facts.keys())
    length = facts[region.contig][0] if region.contig in facts else None
    if length is None:
        raise InvalidInputError(f"the region {text[:200]} has no depth", "it is for reads without a position")
    return place_on(region.contig, length, region, text)
