"""Serve the data files of objects by range."""

from __future__ import annotations

import re

from fastapi import APIRouter, Depends, Request
from fastapi.responses import FileResponse, RedirectResponse, Response

from modos.catalog.catalog import Catalog
from modos.errors import InvalidInputError, NotFoundError
from modos.formats import ROOT_KEYS, SHARDS_LIST, STORED_KEY_HEADER, ZARR
from modos.server.auth import Access, caller_of
from modos.server.conditions import check_conditions, entity_tag, wants_part
from modos.server.noting import GRANTED, SENT, note
from modos.server.packed_objects import PackedObjects
from modos.server.parameters import check_parameters
from modos.server.sending import PIECE, Pieces, iter_file
from modos.storage import check_key

_CHUNK = re.compile(rf"{re.escape(ZARR)}/(data|reference)/[^/]+/[^/]+/(c(/\d+)+|{SHARDS_LIST})")  # of an array of an element
_ROOT = re.compile(rf"(?:(?P<object>.+)/)?(?:{'|'.join(map(re.escape, ROOT_KEYS))})")
EXPIRES = 3600  # seconds that an address is good for


class LargeFileResponse(FileResponse):
    """A file in pieces that suit files of gigabytes, and many answers at once."""

    chunk_size = PIECE


def create_router(catalog: Catalog, access: Access) -> APIRouter:
    """GET and HEAD of the files that objects name as their data, of their indexes, of their arrays, and of the metadata."""
    router, packed = APIRouter(dependencies=[Depends(check_parameters)]), PackedObjects(catalog.storage)

    def find_stored(key: str, *, exact: bool) -> str:
        """Find the key of what is given out at a path; NotFoundError if nothing is."""
        if packed.has(key):
            return key
        path = catalog.find_object(key)[1]
        if path in ROOT_KEYS or _CHUNK.fullmatch(path):
            return key
        return catalog.find_file(key, exact=exact, indexes=True)

    def is_data(stored: str) -> bool:
        """Return whether a file is more than the metadata of an object."""
        return packed.has(stored) or catalog.find_object(stored)[1] not in ROOT_KEYS

    def note_sent(request: Request, stored: str) -> None:
        if request.method != "HEAD" and is_data(stored):
            note(request, SENT, stored, range=request.headers.get("range"))

    @router.head("/files/{key:path}", include_in_schema=False)
    @router.get("/files/{key:path}")
    def get_file(key: str, request: Request) -> Response:
        """Send a data file or its index, by its name or as it is stored, the metadata, or an object in one file.

        Range, If-Match, If-None-Match and If-Range are honoured.

        Over S3 it leads to a signed address. With the header Modos-Stored-Key
        a path is that of what is stored, and never a name.
        """
        try:
            check_key(key)
        except InvalidInputError:
            raise NotFoundError(f"there is no file {key}") from None
        caller = caller_of(request)
        root = _ROOT.fullmatch(key)
        is_shown = root is not None and access.shows_metadata(caller, root["object"] or "")
        if not is_shown:
            access.check(caller, "read", key)
        try:
            stored = find_stored(key, exact=STORED_KEY_HEADER in request.headers)
            if not is_shown:
                access.check(caller, "read", stored)
            info, local = catalog.storage.stat(stored), catalog.storage.local_path(stored)
        except NotFoundError:
            raise NotFoundError(f"there is no file {key}") from None
        tag = entity_tag(info.etag)
        if answer := check_conditions(request, tag):
            return answer
        if local:
            note_sent(request, stored)
            return LargeFileResponse(local, media_type="application/octet-stream", headers={"ETag": tag})
        if request.method == "HEAD":  # a signature is good for GET alone
            return Response(headers={"Content-Length": str(info.size), "Accept-Ranges": "bytes", "ETag": tag})
        takes_no_part = "range" in request.headers and not wants_part(request, tag)  # S3 servers take no notice of If-Range
        address = None if takes_no_part else catalog.storage.presign(stored, EXPIRES)
        if address is None:
            headers = {"Content-Length": str(info.size), "Accept-Ranges": "bytes", "ETag": tag}
            note_sent(request, stored)
            return Pieces(iter_file(catalog.storage, stored, 0, info.size, info.etag), 200, headers, "application/octet-stream")
        if is_data(stored):
            note(request, GRANTED, stored, range=request.headers.get("range"), bytes=info.size, via="s3", seconds=EXPIRES)
        return RedirectResponse(address, 307)

    return router
