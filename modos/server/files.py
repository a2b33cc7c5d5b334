"""The data files of a folder over HTTP, by range."""

from __future__ import annotations

from fastapi import APIRouter
from fastapi.responses import FileResponse

from modos.catalog import Catalog
from modos.errors import InvalidInputError, NotFoundError
from modos.formats import index_names


class LargeFileResponse(FileResponse):
    """A file in pieces that suit files of gigabytes."""

    chunk_size = 1 << 20


def create_router(catalog: Catalog) -> APIRouter:
    """GET and HEAD of the files that objects name as their data, and of their indexes."""
    router = APIRouter()

    @router.api_route("/files/{key:path}", methods=["GET", "HEAD"])
    def get_file(key: str) -> FileResponse:
        """A data file or its index; honours Range."""
        try:
            object_key, path = catalog.find_object(key)
            known = catalog.data_paths(object_key)
            if path in known or any(path in index_names(data_path) for data_path in known):
                catalog.storage.stat(key)
                return LargeFileResponse(catalog.storage.local_path(key), media_type="application/octet-stream")
        except (NotFoundError, InvalidInputError):
            pass
        raise NotFoundError(f"there is no file {key}")

    return router
