"""S3 by the calls that sdsc-ordes modos has for it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from modos.errors import InvalidInputError
from modos.formats import ZARR


def connect_s3(*given: Any, endpoint: Any = None, s3_kwargs: Mapping[str, Any] | None = None) -> Any:
    """S3 at an endpoint, as a filesystem of s3fs; or, with `s3://bucket` before it, that as a storage.

    `connect_s3(endpoint, s3_kwargs)` is the call of version 0.3.4, and
    `connect_s3(url, endpoint, s3_kwargs)` that of the versions after it.
    """
    from modos.storage import open_storage
    from modos.storage.connecting import open_filesystem

    places = [str(one) for one in (*given, endpoint) if one is not None and not isinstance(one, Mapping)]
    options = [one for one in given if isinstance(one, Mapping)] + ([] if s3_kwargs is None else [s3_kwargs])
    url = places.pop(0) if places and places[0].startswith("s3://") else None
    if len(places) != 1 or len(options) > 1 or not places[0].startswith(("http://", "https://")):
        raise InvalidInputError("connect_s3 takes the URL of an S3 server, and arguments for it",
                                "connect_s3('http://localhost:9000', {'anon': True})")
    arguments = dict(options[0]) if options else None
    if url is None:
        return open_filesystem(places[0], arguments).get()
    return open_storage(url, s3_url=places[0], s3_kwargs=arguments)


def list_remote_modos(storage: Any) -> list[str]:
    """Keys of the objects below a storage that `connect_s3` gave.

    Raises
    ------
    InvalidInputError
        It is something else, such as the filesystem that `connect_s3` gives without a bucket.
    """
    from modos.storage.base import Storage

    if not isinstance(storage, Storage):
        raise InvalidInputError("list_remote_modos takes a storage", "list_remote_modos(connect_s3('s3://bucket', 'http://localhost:9000'))")
    roots = f"{ZARR}/zarr.json", f"{ZARR}/.zmetadata"
    return sorted({info.key.rpartition(f"{ZARR}/")[0].rstrip("/") for info in storage.find(*roots)})
