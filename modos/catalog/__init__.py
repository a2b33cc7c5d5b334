"""Many objects: found below a root, listed, searched."""

from modos.catalog.catalog import Catalog, list_remote

__all__ = ["Catalog", "list_remote"]
