"""Serve reads with only some of their fields and tags, made for each request."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Generator, Iterable, Iterator, Sequence
from dataclasses import replace
from urllib.parse import quote, urlencode

from fastapi import APIRouter, Depends, Request
from fastapi.responses import JSONResponse, Response

from modos.catalog.catalog import Catalog
from modos.errors import ConflictError, InvalidInputError, NotFoundError
from modos.formats import BGZF_EOF, FORMATS, format_of
from modos.genomics import slicing
from modos.genomics.blanking import Blanking
from modos.genomics.htsget.protocol import MEDIA_TYPE, HtsgetError, error_to_json
from modos.genomics.htsget.query import Query
from modos.genomics.index import Chunk, Header, Opening
from modos.genomics.index.bgzf import compress
from modos.genomics.planning import Plan, Planner, iter_plan
from modos.server.auth import Access, caller_of
from modos.server.noting import SENT, Reading, note
from modos.server.parameters import check_parameters
from modos.server.sending import Pieces
from modos.storage import Readable, check_key

PATH = "/htsget/data"
_FORMAT = FORMATS["BAM"]
_MOST = 100  # chunks of an address
SPLIT = 256 << 20  # bytes of the file, about, that one address is for
_WORKERS = 2  # parts of the file that are read at once for a request
_CHUNK = re.compile("([0-9a-f]{1,16})-([0-9a-f]{1,16})")


def is_made(query: Query, format_name: str) -> bool:
    """Return whether what a query asks for has to be made: some fields or tags of a BAM."""
    return format_name == _FORMAT.name and query.is_partial and not query.header_only


def addresses(base_url: str, key: str, tag: str, chunks: Sequence[Chunk], query: Query) -> list[str]:
    """Return the addresses of the records between some virtual offsets of a file, in parts; the last has the end marker.

    Parameters
    ----------
    tag
        The file's, so that no other file is taken for it.
    """
    parts = list(_group(chunks))
    lists = {name: ",".join(names) for name, names in query.lists().items()}
    found = []
    for number, part in enumerate(parts, 1):
        params = {"tag": tag, "chunks": ",".join(f"{start:x}-{end:x}" for start, end in part)} | lists
        last = {"last": "1"} if number == len(parts) else {}
        found.append(f"{base_url}{PATH}/{quote(key)}?{urlencode(params | last)}")
    return found


def _group(chunks: Iterable[Chunk]) -> Iterator[list[Chunk]]:
    """Group chunks, of not too many bytes at a time."""
    part: list[Chunk] = []
    size = 0
    for chunk in chunks:
        cost = (chunk[1] >> 16) - (chunk[0] >> 16)
        if part and (len(part) == _MOST or size + cost > SPLIT):
            yield part
            part, size = [], 0
        part.append(chunk)
        size += cost
    if part:
        yield part


def create_router(catalog: Catalog, access: Access, planner: Planner) -> APIRouter:
    """Create the endpoint over a catalogue."""
    router = APIRouter(dependencies=[Depends(check_parameters)])

    @router.get(PATH + "/{key:path}", name="reads with some fields")
    def get_reads(
        key: str,
        request: Request,
        tag: str,
        chunks: str,
        last: bool = False,
        fields: str | None = None,
        tags: str | None = None,
        notags: str | None = None,
    ) -> Response:
        """Return the records between virtual offsets of a BAM with some `fields` and `tags`, as a ticket has it."""
        access.check(caller_of(request), "read", _check(key))
        key = _find_bam(catalog, key)
        access.check(caller_of(request), "read", key)
        lists = {"fields": fields, "tags": tags, "notags": notags}
        query = Query.from_params({name: value for name, value in lists.items() if value is not None}, "reads")
        try:
            plan, header = planner.plan_chunks(key, _parse(chunks), tag)
            reading = note(request, SENT, key, unknown=("regions",), chunks=chunks, only=query.lists() or None)
            pieces = _iter_made(catalog.files, plan, header, Blanking(query), reading, last)
            first = next(pieces, b"")
        except ConflictError:
            return JSONResponse(
                error_to_json("InvalidInput", f"{key} was changed: ask for a new ticket"), 412, media_type=MEDIA_TYPE
            )
        digest = hashlib.sha256(tag.encode()).hexdigest()
        return Pieces(pieces, headers={"ETag": f'"{digest[:32]}"'}, media_type="application/octet-stream", begun=first)

    return router


def _check(key: str) -> str:
    try:
        return check_key(key)
    except InvalidInputError:
        raise NotFoundError(f"there is no file {key}") from None


def _find_bam(catalog: Catalog, key: str) -> str:
    """Find the key of a BAM that an object names as its data; raise NotFoundError for any other file."""
    try:
        found = catalog.find_file(key)
        if format_of(found) == _FORMAT:
            return found
    except (NotFoundError, InvalidInputError):
        pass
    raise NotFoundError(f"there is no file {key}")


def _parse(text: str) -> list[Chunk]:
    matches = [_CHUNK.fullmatch(part) for part in text.split(",", _MOST)]
    if not all(matches):
        raise HtsgetError("InvalidInput", "chunks is not a list of virtual offsets")
    return [(int(match[1], 16), int(match[2], 16)) for match in matches if match]


def _iter_made(
    storage: Readable, plan: Plan, header: Header, blanking: Blanking, reading: Reading, is_last: bool
) -> Generator[bytes, None, None]:
    """Iterate over the selected records of a plan in BGZF blocks; the end marker comes if all went well."""
    opening = Opening(replace(header, end=0), b"", iter_plan(storage, plan, _WORKERS))
    runs = blanking.apply_to_runs(_count(slicing.select(opening, _FORMAT, None, threads=1), reading))
    yield from map(compress, slicing.fill_blocks(runs))
    if is_last:
        yield BGZF_EOF


def _count(runs: Iterable[slicing.Run], reading: Reading) -> Iterator[slicing.Run]:
    for run in runs:
        reading.count(run.records)
        yield run
