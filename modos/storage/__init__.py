"""Storages of bytes at keys: in a folder, on S3, or at a URL.

A storage is a root (a folder, an S3 prefix) and the keys below it. A key is a
relative path with `/` between its parts. `open_storage` picks the backend from
the path: `s3://` means S3, all else is a local folder.

In: keys, bytes, conditions on what is there. Out: bytes whole or by range, tags
for compare-and-swap, and errors that are the same for every backend (`base`).
`http` asks other machines, `processes` marks work under way; `prefetch` and
`hashing` do work in threads.

It imports errors alone, and knows nothing of what the bytes are.
s3fs, botocore and aiohttp are used nowhere else.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from modos.storage.base import ByteRange, ObjectInfo, Partial, Readable, Storage, check_key

__all__ = ["ByteRange", "ObjectInfo", "Partial", "Readable", "Storage", "check_key", "open_storage"]

_PEER_CALLS = ("connect_s3", "list_remote_modos")  # of sdsc-ordes modos, which has them here


def open_storage(url: str | Path, *, s3_url: str | None = None, s3_kwargs: dict[str, Any] | None = None) -> Storage:
    """Open the storage at a folder or at `s3://bucket/prefix`.

    Parameters
    ----------
    url
        Where; only the `s3://` at its start makes it remote.
    s3_url
        The S3 server, where it is not AWS.
    s3_kwargs
        Further arguments of s3fs.S3FileSystem, such as `anon`, `key`, `secret`.
    """
    from modos.errors import InvalidInputError
    from modos.storage.local import LocalStorage

    text = str(url)
    if text.startswith("s3://"):
        from modos.storage.s3 import S3Storage

        return S3Storage.from_url(text, endpoint_url=s3_url, s3_kwargs=s3_kwargs)
    if "://" in text:
        raise InvalidInputError(f"{text} is neither a folder nor an s3:// URL")
    return LocalStorage(Path(text))


def __getattr__(name: str) -> Any:  # so that who starts a process, and stores nothing, does not wait for this
    if name in __all__:
        value = globals()[name] = getattr(import_module("modos.storage.base"), name)
        return value
    if name in _PEER_CALLS:
        return getattr(import_module("modos.catalog.peer_calls"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
