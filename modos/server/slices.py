"""Give out exact slices of reads and variants, within the bounds of who asks."""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Generator, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Annotated, NamedTuple
from urllib.parse import quote, urlencode

from fastapi import APIRouter, Depends, Request
from fastapi import Query as Parameter
from fastapi.responses import Response

from modos.catalog.catalog import Catalog
from modos.errors import ConflictError, InvalidInputError, ModosError, NotFoundError, listing
from modos.formats import STORED_KEY_HEADER, RecordKind, streamable_format
from modos.genomics.bounded_slices import Slice, cut_file
from modos.genomics.bounding import Bounds
from modos.genomics.file import FindReference
from modos.genomics.htsget.protocol import HtsgetError
from modos.genomics.htsget.query import Query
from modos.genomics.planning import Planner
from modos.genomics.region import UNMAPPED, Region, RegionLike, Regions, settle, unknown_contig_error
from modos.genomics.remaking import iter_as_cram, iter_as_vcf
from modos.server.auth import Access, caller_of
from modos.server.conditions import name_version
from modos.server.finding_files import find_file
from modos.server.noting import SENT, Reading, note
from modos.server.parameters import check_parameters
from modos.server.rules import Caller
from modos.server.sending import Pieces
from modos.storage import check_key
from modos.storage.base import Progress

PATH = "/slices"
EXACT_HEADER, PARTIAL_HEADER = "Modos-Exact", "Modos-Partial"
WAYS = {"exact", "partial"}  # parameters that say how to answer, and not what is asked for
_MOST_ADDRESS, _MOST_REGIONS = 48 << 10, 1 << 20  # bytes of regions, as they stand in an address and unpacked
_FORMATS = {"CRAM": "BAM"} | {name: name for name in ("BAM", "VCF", "BCF")}  # in which the records of a file are cut
_MADE_OF = {"BAM": "CRAM", "VCF": "BCF"}  # what is made of a file of another format
_MADE = {"CRAM": ("CRAM", "BAM"), "BCF": ("VCF",)}  # in which they are given besides
_MOST_NAMED = 1000  # regions of what is allowed that an address names
_SHOWN = 5  # regions that a message names


def wants_exact(headers: Mapping[str, str], params: Mapping[str, str]) -> bool:
    """Return whether a request asks for the records of its regions and no neighbours."""
    return _is_true(headers.get(EXACT_HEADER) or params.get("exact"), "exact")


def wants_partial(headers: Mapping[str, str], params: Mapping[str, str]) -> bool:
    """Return whether a request is content with what is allowed of its regions."""
    return _is_true(headers.get(PARTIAL_HEADER) or params.get("partial"), "partial")


def _is_true(text: str | None, name: str) -> bool:
    if text is None or text.lower() in ("false", "0"):
        return False
    if text.lower() in ("true", "1"):
        return True
    raise HtsgetError("InvalidInput", f"{name} is neither true nor false")


def check_id(file_id: str) -> None:
    """Raise NotFoundError for an id that is no key."""
    try:
        check_key(file_id)
    except InvalidInputError:
        raise NotFoundError(f"there are no files of the id {file_id}") from None


def admit_to_id(access: Access, caller: Caller, file_id: str) -> None:
    """Raise HtsgetError if somebody may read no file of an id, within whatever bounds; the file is still to be admitted."""
    if not access.may_have_file(caller, file_id):
        access.check(caller, "read", file_id, below=True)


def choose_bounds(bounds: Sequence[Bounds], wanted: Regions | None) -> Bounds:
    """Choose of bounds side by side the first that have all of some regions, else some of them, else the first."""
    if wanted is None:
        return bounds[0]
    return max(bounds, key=lambda one: (_has_all(one, wanted), bool(one.cut(wanted))))


def _without_blind(bounds: Sequence[Bounds], wanted: Regions | None) -> Sequence[Bounds]:
    """Return those that let somebody ask for some regions: whoever may not see where reads lie could find it out so."""
    able = [one for one in bounds if wanted is None or not one.hides_places or wanted == one.cut(None)]
    if not able:
        raise HtsgetError(
            "PermissionDenied",
            "you may not read where the reads lie, and so may not ask for regions",
            "ask for all that you may read of the file",
        )
    return able


def _has_all(bounds: Bounds, wanted: Regions) -> bool:
    return bounds.cut(wanted) == settle(wanted)


def allowed_part(bounds: Bounds, wanted: Regions | None, *, is_partial: bool) -> Regions | None:
    """Return the part of some regions, or of a whole file where they are None, that bounds allow; None for a whole file.

    Raises
    ------
    HtsgetError
        Not all of them are allowed, and a part is not what was asked for.
    """
    if not is_partial and wanted is not None and not _has_all(bounds, wanted):
        part = bounds.cut(wanted) or ()
        raise HtsgetError(
            "PermissionDenied",
            f"of {_list_regions(wanted)} you may read " + (f"only {_list_regions(part)}" if part else "nothing"),
            f"ask for that, or for what is allowed of it with partial=true or the header {PARTIAL_HEADER}: true",
        )
    return bounds.cut(wanted)


def _list_regions(regions: Regions) -> str:
    return listing(map(str, regions[:_SHOWN])) + (f" and {len(regions) - _SHOWN:,} more" if len(regions) > _SHOWN else "")


def address(base_url: str, kind: RecordKind, file_id: str, query: Query, regions: Regions | None) -> str:
    """Return where a slice is given out.

    Raises
    ------
    HtsgetError
        There are too many regions for an address.
    """
    params = replace(query, regions=(), encryption_scheme=None).to_params()
    if regions is not None and not query.header_only:
        params["regions"] = _pack(regions)
    text = urlencode(params)
    return f"{base_url}{PATH}/{kind}/{quote(file_id)}" + (f"?{text}" if text else "")


def _pack(regions: Regions) -> str:
    text = json.dumps([[region.contig, region.start, region.end] for region in regions], separators=(",", ":"))
    packed = base64.urlsafe_b64encode(zlib.compress(text.encode(), 9)).decode()
    if len(packed) > _MOST_ADDRESS or len(text) > _MOST_REGIONS:
        raise HtsgetError("PayloadTooLarge", f"{len(regions):,} regions are too many for an exact slice", "ask for fewer at once")
    return packed


def _unpack(packed: str) -> Regions:
    try:
        inflater = zlib.decompressobj()
        text = inflater.decompress(base64.b64decode(packed, altchars=b"-_", validate=True), _MOST_REGIONS)
        return tuple(_to_region(*entry) for entry in json.loads(text))
    except (ValueError, TypeError, AttributeError, OverflowError, RecursionError, zlib.error):
        raise HtsgetError("InvalidInput", "regions is not what a ticket says") from None


def _to_region(contig: str, start: int, end: int | None) -> Region:
    if not isinstance(contig, str) or type(start) is not int or not (end is None or type(end) is int):
        raise TypeError
    return Region(contig, start, end)


class Planned(NamedTuple):
    """Part of a file that somebody gets: the regions within the bounds; all of it where they are None.

    Parameters
    ----------
    is_whole
        Whether no regions were asked for.
    """

    key: str
    bounds: Bounds
    regions: Regions | None
    is_bounded: bool
    is_whole: bool = False

    @property
    def allowed(self) -> Regions | None:
        """The regions that a client is told; None where there are no bounds of regions."""
        return None if self.bounds.regions is None else self.regions

    @property
    def named_regions(self) -> Regions | None:
        """The regions that an address names, so that it opens these or nothing; None where it is for whatever is allowed then."""
        if not self.is_whole:
            return self.regions
        return None if self.bounds.hides_places or len(self.regions or ()) not in range(1, _MOST_NAMED) else self.regions

    def describe(self, kind: RecordKind) -> dict[str, tuple[str, ...]]:
        """Describe what of each record is given, where that is not all."""
        names = ("samples", "fields", "tags", "notags") if kind == "reads" else ("samples", "info", "formats")
        given = {name: getattr(self.bounds, name) for name in names}
        return {
            name: tuple(sorted(found) if isinstance(found, frozenset) else found)
            for name, found in given.items()
            if found is not None and (found or name not in ("fields", "notags"))
        }


class Slices:
    """Makes slices of the files of a catalogue, for its callers."""

    def __init__(self, catalog: Catalog, access: Access, planner: Planner):
        self._catalog = catalog
        self._access = access
        self._planner = planner

    def plan(self, request: Request, kind: RecordKind, file_id: str, query: Query, wanted: Regions | None) -> Planned:
        """Plan what the sender of a request may have of some regions of a file, or of all of it where they are None.

        The errors are those of `find_sliceable`, `Access.admit` and `allowed_part`.
        """
        key = find_sliceable(self._catalog, kind, file_id, query.format, exact=STORED_KEY_HEADER in request.headers)
        return self.plan_key(request, kind, key, wanted)

    def plan_key(self, request: Request, kind: RecordKind, key: str, wanted: Regions | None) -> Planned:
        """Plan as `plan` does, of a file whose key is known; its errors are those of `Access.admit` and `allowed_part`."""
        admitted = self._access.admit(caller_of(request), key)
        if wanted is not None:
            wanted = settle(wanted)  # of many that are alike, one is left to be looked at
        if not admitted:
            return Planned(key, Bounds(is_masking=False), wanted, False, wanted is None)
        contigs = self._planner.contigs(key)
        for region in wanted or ():
            if region.contig not in contigs and region.contig != UNMAPPED:
                raise unknown_contig_error(region.contig, contigs)
        bounds = choose_bounds(_without_blind(admitted, wanted) if kind == "reads" else admitted, wanted)
        is_partial = self._access.is_partial or wants_partial(request.headers, request.query_params)
        regions = allowed_part(bounds, wanted, is_partial=is_partial)
        if regions is not None:
            regions = tuple(region for region in regions if region.contig in contigs or region.contig == UNMAPPED)
        return Planned(key, bounds, regions, True, wanted is None)

    def check(self, planned: Planned, query: Query) -> str:
        """Check that a slice can be made, as far as small reads tell; returns the name of its format.

        Raises
        ------
        NotFoundError
            There is no index, or no such contig; see `Planner.measure`.
        HtsgetError
            The file is not to be had in the format asked for.
        """
        format_name = self._find_format(planned, query)
        if planned.regions and not query.header_only:
            self._planner.measure(planned.key, planned.regions[:1])
        return format_name

    @staticmethod
    def _find_format(planned: Planned, query: Query) -> str:
        """Find the name of the format that a slice is given in; the errors are those of `check`, nothing is read."""
        own = streamable_format(planned.key).name
        format_name = query.format if query.format and query.format in _MADE.get(own, ()) else _FORMATS[own]
        if query.format not in (None, format_name):
            raise HtsgetError("UnsupportedFormat", f"a part of a {own} is given as {format_name} only")
        if format_name == "CRAM" and (query.fields or planned.bounds.fields):
            raise HtsgetError(
                "UnsupportedFormat", "a CRAM has no room for reads without some of their fields", "ask for format=BAM"
            )
        return format_name

    def open(self, planned: Planned, query: Query) -> Slice:
        """Open a slice; the errors are those of `check` and `cut_file`."""
        format_name = self._find_format(planned, query)
        found = cut_file(
            self._catalog.files,
            self._planner,
            planned.key,
            planned.regions,
            planned.bounds,
            format=_FORMATS[streamable_format(planned.key).name],
            header_only=query.header_only and format_name != "CRAM",
            query=query,
            reference=self._reference_finder(planned.key),
        )
        if format_name == "CRAM":
            found.pieces = iter_as_cram(found.pieces, planned.key)
        elif format_name != found.format:
            found.pieces = iter_as_vcf(found.pieces, planned.key)
        return found

    def begin(self, planned: Planned, query: Query) -> tuple[Slice, bytes]:
        """Open a slice and make its first piece, once more where the file was replaced between two looks at it."""
        try:
            return self._begin(planned, query)
        except ConflictError:
            return self._begin(planned, query)

    def _begin(self, planned: Planned, query: Query) -> tuple[Slice, bytes]:
        with self._planner.looking_once():
            found = self.open(planned, query)
            return found, next(found.pieces, b"")

    def _reference_finder(self, key: str) -> FindReference:
        """Return what finds the FASTA that a CRAM of an object is decoded with."""

        def find(regions: Iterable[RegionLike] | None, progress: Progress | None) -> str | None:
            from modos.object.cram_references import find_reference

            object_key, path = self._catalog.find_object(key)
            storage, metadata = self._catalog.storage.child(object_key), self._catalog.metadata(object_key)
            return find_reference(storage, Planner(storage), metadata, path, None, regions, progress=progress)

        return find


def find_sliceable(catalog: Catalog, kind: RecordKind, file_id: str, format_name: str | None, *, exact: bool) -> str:
    """Find the key of the file that an id stands for, see `find_file`; a CRAM is there as BAM as well, a BCF as VCF."""
    try:
        return find_file(catalog, kind, file_id, format_name, exact=exact)
    except HtsgetError as error:
        if error.name != "UnsupportedFormat" or format_name not in _MADE_OF:
            raise
        return find_file(catalog, kind, file_id, _MADE_OF[format_name], exact=exact)


def iter_noted(found: Slice, reading: Reading) -> Generator[bytes, None, None]:
    """Iterate over the pieces of a slice; its records are noted however it ends."""
    try:
        yield from found.pieces
    finally:
        found.pieces.close()
        if found.records is not None:
            reading.count(found.records)


def create_router(catalog: Catalog, access: Access, planner: Planner) -> APIRouter:
    """Create the endpoint over a catalogue."""
    router = APIRouter(prefix=PATH, dependencies=[Depends(check_parameters)])
    slices = Slices(catalog, access, planner)

    @router.get("/{kind}/{file_id:path}", name="exact slice")
    def get_slice(
        kind: RecordKind,
        file_id: str,
        request: Request,
        regions: str | None = None,
        reference_name: Annotated[str | None, Parameter(alias="referenceName")] = None,
        start: str | None = None,
        end: str | None = None,
        format: str | None = None,
        class_name: Annotated[str | None, Parameter(alias="class")] = None,
        fields: str | None = None,
        tags: str | None = None,
        notags: str | None = None,
        partial: str | None = None,
    ) -> Response:
        """Return the records of some regions, each once, without neighbours, as a file: what the caller may have of them.

        The parameters are those of htsget; `regions` is as a ticket has it.
        """
        check_id(file_id)
        admit_to_id(access, caller_of(request), file_id)
        query = Query.from_params(request.query_params, kind)
        if regions is not None and (query.regions or query.header_only):
            raise HtsgetError("InvalidInput", "regions goes with no other region, and not with class=header")
        wanted = _unpack(regions) if regions is not None else query.regions or None
        planned = slices.plan(request, kind, file_id, query, wanted)
        found, first = slices.begin(planned, query)
        try:
            only = "header" if query.header_only else query.lists() or None
            reading = note(request, SENT, planned.key, regions=planned.regions, samples=found.samples, only=only)
        except ModosError:
            found.pieces.close()
            raise
        pieces = iter_noted(found, reading)
        headers = {"Cache-Control": "private, no-store", **name_version(found.tag)}
        return Pieces(pieces, headers=headers, media_type="application/octet-stream", begun=first)

    return router
