"""A modos server as clients see it: discovery, tokens, login, and credentials for S3.

In: the address of a server, or the environment. Out: the addresses of its services
(`services`), the user's tokens (`tokens`, `login`), and storages for what it gives
out: objects on S3 with its credentials, or through the server (`access`, `served`).

It imports storages and formats; it knows no object and no metadata. The server
itself is `modos.server`, and requests of htsget are in `modos.genomics.htsget`.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

_PEER_CALLS = ("get_metadata_from_remote", "get_s3_path", "list_remote_items")  # of sdsc-ordes modos, which has them here


def __getattr__(name: str) -> Any:
    if name in _PEER_CALLS:
        return getattr(import_module("modos.catalog.peer_calls"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
