"""Local copies of inputs: whole and compared, or not there."""

from __future__ import annotations

import math
import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from modos.api import MODO
from modos.errors import ConflictError
from modos.filesystem import ModosFileSystem
from snakemake_storage_plugin_modos.queries import Query

if TYPE_CHECKING:
    from snakemake_storage_plugin_modos import StorageProvider

_PIECE = 4 << 20  # bytes that are copied at once
_MODE = 0o600  # of copies, which may be of what was sealed


def write_copy(provider: StorageProvider, asked: Query, target: Path) -> None:
    """Write a file, or exactly the records of some regions of it, to a local file that only its owner reads."""
    stored = provider.filesystem.info(asked.address).get("mtime")
    with _appearing(target, stored) as descriptor:
        if asked.regions:
            _write_regions(provider, asked, target, descriptor)
            return
        with provider.filesystem.open(asked.address, block_size=_PIECE) as source, os.fdopen(os.dup(descriptor), "wb") as file:
            shutil.copyfileobj(source, file, _PIECE)


def _write_regions(provider: StorageProvider, asked: Query, target: Path, descriptor: int) -> None:
    from modos.genomics.writer import OutputFormat

    place, path = provider.filesystem.split(asked.address)
    genomic = MODO.open(place, **provider.reach).file(path, **provider.key)
    genomic.write(descriptor, list(asked.regions), OutputFormat.from_path(target.name))


@contextmanager
def _appearing(target: Path, stored: float | None) -> Iterator[int]:
    """Give the descriptor of a new file, which gets its name at the end of the block; an exception removes it.

    The copy has the time at which the file was stored, since Snakemake takes a
    copy for current that is not older: of what was replaced meanwhile, or by
    another clock, it would not be seen.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(f".{target.name}.{uuid.uuid4().hex[:12]}")
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _MODE)
    try:
        try:
            yield descriptor
        finally:
            os.close(descriptor)
        _set_time(partial, stored)
        os.replace(partial, target)
    finally:
        partial.unlink(missing_ok=True)


def _set_time(path: Path, stored: float | None) -> None:
    if stored is not None:
        time = math.ceil(stored * 1e6) * 1000  # of microseconds, so that rounding makes it no older
        os.utime(path, ns=(time, time))


def copy_tree(filesystem: ModosFileSystem, address: str, target: Path) -> None:
    """Write a Zarr tree to a local folder: all of it, or nothing; ConflictError where it is replaced meanwhile."""
    before = filesystem.info(address)
    partial = target.with_name(f".{target.name}.{uuid.uuid4().hex[:12]}")
    top = filesystem._strip_protocol(address)
    try:
        for path in filesystem.find(address):
            place = partial / path.removeprefix(f"{top}/")
            place.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            filesystem.get_file(path, place)
        filesystem.invalidate_cache()
        if filesystem.info(address)["etag"] != before["etag"]:
            raise ConflictError(f"{address} was replaced while it was fetched", "run the workflow again")
        _set_time(partial, before.get("mtime"))
        shutil.rmtree(target, ignore_errors=True)
        os.replace(partial, target)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
