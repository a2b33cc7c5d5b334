"""Read objects by addresses of fsspec: `fsspec.open("modos://bucket/ex/demo1.cram")`.

pandas, polars, anndata, dask, xarray, zarr and pyarrow take such addresses. An
object is a folder of what its newest root document records: its data files
with their indexes, under the names that users call them by, its Zarr trees,
and its own tree of groups and arrays. What a key opens is plain.

In: addresses, and a secret key. Out: entries of folders, and bytes, each
compared with what is recorded.

It imports objects, trees and encryption; `failures` makes every error one of
those of the operating system, as users of fsspec expect.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from modos.filesystem.modos_filesystem import ModosFileSystem

__all__ = ["ModosFileSystem"]


def __getattr__(name: str) -> Any:
    if name in __all__:
        from modos.filesystem import modos_filesystem

        return getattr(modos_filesystem, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
