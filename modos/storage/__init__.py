"""Bytes at keys, whatever holds them.

A storage is a root (a folder, an S3 prefix) and the keys below it. A key is a
relative path with `/` between its parts. `open_storage` picks the backend from
the path: `s3://` means S3, all else is a local folder.
"""

from modos.storage.base import ByteRange, ObjectInfo, Storage, check_key, open_storage

__all__ = ["ByteRange", "ObjectInfo", "Storage", "check_key", "open_storage"]
