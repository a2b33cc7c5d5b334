"""Typed elements in the Zarr group tree, and commits.

The root document `data.zarr/zarr.json` holds, inline, the metadata of every
group. It is all a reader needs and the one thing a commit replaces, with a
compare-and-swap. Each element's own `zarr.json` is a mirror for plain Zarr
tools, written afterwards.
"""

from modos.elements.document import FORMAT_VERSION, ROOT_KEY, STATE, ZARR, Document, check_object_id, format_id, group_node
from modos.elements.marks import OWN_NODE
from modos.elements.newest import Newest
from modos.elements.old_layout import OLD_ROOT_KEY
from modos.elements.store import commit, create, drop_mirrors, has_mirror, load, mirror_key, update_mirrors, upgrade, write_mirrors

__all__ = ["FORMAT_VERSION", "OLD_ROOT_KEY", "OWN_NODE", "ROOT_KEY", "STATE", "ZARR", "Document", "Newest", "check_object_id", "commit", "create", "drop_mirrors",
           "format_id", "group_node", "has_mirror", "load", "mirror_key", "update_mirrors", "upgrade", "write_mirrors"]
