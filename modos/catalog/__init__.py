"""Find, list and search the objects below one root.

In: a folder, an S3 prefix or a modos server, and words or values of slots to
search for. Out: the keys of objects and their metadata, a page at a time.
`Catalog` is the one class; `peer_calls` has the calls of sdsc-ordes modos.

It opens objects by `modos.object`, and imports that and what is below it;
neither the server, which lists catalogs, nor the command line.
"""

from modos.catalog.catalog import Catalog, list_remote
from modos.catalog.element_catalog import ElementCatalog, FoundElement, open_catalog, refresh_catalog

__all__ = ["Catalog", "ElementCatalog", "FoundElement", "list_remote", "open_catalog", "refresh_catalog"]
