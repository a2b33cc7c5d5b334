"""Read the metadata of an object: elements, files, arrays and samples, as YAML, RDF or RO-Crate."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from modos.errors import IntegrityError, InvalidInputError, NotFoundError
from modos.errors.escaping import escape_line
from modos.formats import is_array_path, is_file_path, is_list, is_tree_path, name_of
from modos.metadata import model
from modos.object import marks
from modos.object.document import Document
from modos.object.open_object import OpenObject

if TYPE_CHECKING:
    from rdflib import Graph

    from modos.encryption.keys import SecretKey
    from modos.metadata.graph import Rows
    from modos.trees.tree_listing import ListedNode


class Contents:
    """Metadata of an object, to be read."""

    def __init__(self, open_object: OpenObject):
        self._object = open_object

    def open_zarr(self) -> Any:
        """Open the object as a zarr.Group, read-only; the methods of a MODO change it."""
        from modos.object.tree import open_arrays

        return open_arrays(self._object.storage, self._object.document)

    def list_files(self) -> list[Path]:
        """List every file of the object with its indexes, below the object's own path."""
        from modos.object import transfer

        self._object.newest.get()  # an object that was removed has not merely no files
        return [self._object.storage.path / key for key, _ in transfer.object_files(self._object.storage)]

    def files_of(self, element: str) -> list[str]:
        """List the paths within the object of an element's file and its indexes."""
        from modos.object import journal

        document = self._object.document
        attributes = document.element(document.find(element))
        path = attributes.get("data_path")
        if path and is_tree_path(path):
            from modos.object.stored_trees import load_manifest

            return list(load_manifest(self._object.storage, attributes).keys())
        return (
            sorted(key for key in journal.files_of_element(attributes) if not is_list(key) and self._object.storage.exists(key))
            if path
            else []
        )

    def measure(self, element: str | None = None) -> tuple[int, int, int]:
        """Count the elements, files and bytes of the object, or of one element: what a removal takes away."""
        from modos.object import transfer

        document = self._object.document
        if element is None:
            files, held = transfer.measure_object(self._object.storage, document)
            return sum(1 for _ in document.ids()), files, held
        attributes = document.element(document.find(element))
        path = attributes.get("data_path") or ""
        if path and not is_file_path(path):
            return 1, int(is_tree_path(path)), attributes.get("data_size") or 0
        sizes = [self._object.storage.stat(key).size for key in self.files_of(element)]
        return 1, len(sizes), sum(sizes)

    def list_samples(self) -> list[str]:
        """List the ids of the samples."""
        return [element_id for element_id in self._object.metadata if element_id.startswith("sample/")]

    def list_nodes(self) -> list[str]:
        """List the paths of the object's Zarr groups and arrays."""
        return sorted(path for path in self._object.document.nodes if path != marks.OWN_NODE)

    def list_arrays(
        self,
        element: str | None = None,
        *,
        secret_key: SecretKey | str | Path | None = None,
        passphrase: str | None = None,
    ) -> Any:
        """Return the tree of the object's Zarr groups and arrays, or of those of a group or an element, to print.

        Parameters
        ----------
        secret_key, passphrase
            For an encrypted Zarr tree.
        """
        tree = element and self.list_tree(element, secret_key=secret_key, passphrase=passphrase)
        if tree:
            from modos.trees.tree_listing import draw_tree

            return draw_tree(tree)
        return self._list_own_arrays(element)

    def list_tree(
        self, element: str, *, secret_key: SecretKey | str | Path | None = None, passphrase: str | None = None
    ) -> list[ListedNode] | None:
        """List the groups and arrays of an element's Zarr tree, each before what is in it; None if it has no such tree.

        Parameters
        ----------
        secret_key, passphrase
            For an encrypted tree.
        """
        document = self._object.document
        try:
            attributes = document.element(document.find(element.strip("/")))
        except NotFoundError:
            return None
        if not is_tree_path(attributes.get("data_path") or ""):
            return None
        from modos.encryption.keys import as_secret_key
        from modos.object.tree_encryption import open_tree_files
        from modos.trees.tree_listing import list_nodes
        from modos.trees.tree_store import TreeStore

        secret = None if secret_key is None else as_secret_key(secret_key, passphrase)
        return list_nodes(TreeStore(open_tree_files(self._object.storage, attributes, secret)).metadata)

    def _list_own_arrays(self, element: str | None) -> Any:
        import zarr
        from zarr.core.buffer.cpu import Buffer

        nodes = {path: self._object.document.nodes[path] | {"attributes": {}} for path in self.list_nodes()}
        document = Document(
            {}, {escape_line(path).replace("\\", "%"): node for path, node in nodes.items()}
        )  # Zarr takes \ for /
        root = zarr.storage.MemoryStore({"zarr.json": Buffer.from_bytes(document.to_bytes())})
        wanted = (element or "").strip("/")
        place = escape_line(self._node_of(wanted)).replace("\\", "%") if wanted else None
        try:
            group = zarr.open_group(root, mode="r", zarr_format=3, use_consolidated=True)
            found = group if place is None else group[place]
            if isinstance(found, zarr.Group):
                return found.tree()
        except Exception as error:  # zarr has many kinds for what it does not take
            raise IntegrityError(
                f"{self._object.storage.url} has arrays or groups that zarr does not take: {error}",
                "restore the object from a copy",
            ) from None
        raise InvalidInputError(f"{wanted} is an array, and nothing is below it", "name the element that it is of")

    def _node_of(self, element: str) -> str:
        """Return the path of a group, or of the node of an element."""
        document = self._object.document
        return element if element in document.nodes else document.find(element)

    def file_name(self, element: str) -> str | None:
        """Return the name of an element's file, whatever its key (`data_path`) is; None if it has no file."""
        path = self._object.document.element(self._object.document.find(element)).get("data_path")
        return path and (path if is_array_path(path) else name_of(path))

    def show_contents(self, element: str | None = None) -> str:
        """Write the metadata of the object, of one element, or of a group such as `data`, as YAML; files by their names."""
        from modos.object.written_metadata import to_yaml

        return to_yaml(self._object.metadata if element is None else self.metadata_of(element))

    def metadata_of(self, element: str) -> dict[str, dict[str, Any]]:
        """Return the attributes of one element by its id, or of all elements of a group (`data`).

        Raises
        ------
        NotFoundError, InvalidInputError
            There is none; or both an element and a group have that name.
        """
        document = self._object.document
        metadata, group = document.metadata(), element.rstrip("/")
        if group not in model.GROUPS:
            element_id = document.find(element)
            return {element_id: metadata[element_id]}
        if group == document.object_id or any(f"{one}/{group}" in document for one in model.GROUPS):
            raise InvalidInputError(f"{group} is a group and the name of an element", "write the element's full id")
        return {element_id: attributes for element_id, attributes in metadata.items() if element_id.startswith(f"{group}/")}

    def find_element(self, element: str) -> str:
        """Find the full id of an element, given that or an unambiguous name; raise NotFoundError if there is none."""
        return self._object.document.find(element)

    def checksum(self) -> str:
        """Compute the BLAKE2b-512 of the object's content, in hexadecimal digits: the same for every copy of it.

        It covers all metadata but the dates, and so, by their checksums, the
        data.
        """
        content = {
            i: {k: v for k, v in a.items() if k not in ("creation_date", "last_update_date")}
            for i, a in self._object.metadata.items()
        }
        return hashlib.blake2b(json.dumps(content, sort_keys=True, ensure_ascii=False).encode()).hexdigest()

    def knowledge_graph(self, uri_prefix: str | None = None) -> Graph:
        """Build the RDF graph of the metadata.

        Parameters
        ----------
        uri_prefix
            Prefix of the names of elements and files; the object's own
            place (`file:///...`, `s3://...`) where it is None.
        """
        from modos.metadata.graph import build_graph

        place = self._object.storage.url if self._object.storage.is_remote else self._object.storage.path.resolve().as_uri()
        return build_graph(self._object.metadata, uri_prefix if uri_prefix is not None else place)

    def query(self, query: str, uri_prefix: str | None = None) -> Rows:
        """Run a SPARQL query over the metadata; rows by the names of its variables."""
        from modos.metadata.graph import select

        return select(self.knowledge_graph(uri_prefix), query)[1]

    def ro_crate(self) -> dict[str, Any]:
        """Build the content of an `ro-crate-metadata.json` for the object."""
        from modos.metadata.ro_crate import build_crate

        document = self._object.document
        return build_crate(document.object_id, document.metadata())
