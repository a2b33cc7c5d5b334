"""Describe Zarr trees, the folders in them and their files as GA4GH DRS has them: bundles of bundles of blobs."""

from __future__ import annotations

import hashlib
from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from modos.catalog.catalog import Catalog
from modos.errors import InvalidInputError, NotFoundError
from modos.formats import files_name, header_key, is_encrypted, is_tree_path, name_of
from modos.storage.part_digests import DIGEST, DigestList, Layout
from modos.trees.manifest import Manifest

MOST_EXPANDED = 100_000  # files that are listed at once
PARTS = "modos-parts-blake3"  # root of the list of digests of the parts of a file

Describe = Callable[[str], dict[str, Any]]  # gives what a content says of the file or bundle at a key: its id and its URI


@dataclass(frozen=True)
class TreePart:
    """A Zarr tree of an object, a folder in it, or one of its files.

    Parameters
    ----------
    key
        As it is stored.
    folder
        Key of the tree.
    inner
        Path in the tree; empty for all of it.
    """

    key: str
    folder: str
    inner: str
    attributes: Mapping[str, Any]
    manifest: Manifest

    @property
    def name(self) -> str:
        """Its name, below what is served."""
        folder = name_of(self.folder)
        return f"{folder}/{self.inner}" if self.inner else folder

    @property
    def is_file(self) -> bool:
        """Return whether it is a file."""
        return self.inner in self.manifest.sizes

    @property
    def _names(self) -> list[str]:
        """Names of the files in it."""
        names, prefix = self.manifest.names, f"{self.inner}/" if self.inner else ""
        first = bisect_left(names, prefix)
        return list(names[first : bisect_left(names, prefix[:-1] + "0")] if prefix else names)  # 0 is next to /

    def describe(self, describe: Describe, *, expand: bool) -> dict[str, Any]:
        """Return its size and checksums, and of a bundle the contents.

        Parameters
        ----------
        expand
            Give the contents of what is in it, too.
        """
        if self.is_file:
            return {"size": self.manifest.sizes[self.inner], "checksums": [_checksum_of(self.manifest, self.inner)]}
        names = self._names
        if expand and len(names) > MOST_EXPANDED:
            raise InvalidInputError(
                f"{self.name} has {len(names):,} files, too many for one answer", "ask for it without `expand`"
            )
        digests = sorted(_checksum_of(self.manifest, name)["checksum"] for name in names)
        checksum = hashlib.blake2b("".join(digests).encode()).hexdigest()
        contents = list(self._list_contents(names, describe, expand))
        return {
            "size": sum(self.manifest.sizes[name] for name in names),
            "checksums": [{"type": "blake2b-512", "checksum": checksum}],
            "contents": [*contents, *self._list_beside(describe)],
        }

    def _list_contents(self, names: list[str], describe: Describe, expand: bool) -> Iterator[dict[str, Any]]:
        """List what is directly in a folder, given the names of all files in it, which are in order."""
        skip, at = len(self.inner) + 1 if self.inner else 0, 0
        while at < len(names):
            first, slash, _ = names[at][skip:].partition("/")
            path = names[at][: skip + len(first)]
            end = bisect_left(names, f"{path}0", at) if slash else at + 1
            content = {"name": first, **describe(f"{self.folder}/{path}")}
            if slash and expand:
                below = TreePart(f"{self.folder}/{path}", self.folder, path, self.attributes, self.manifest)
                content["contents"] = list(below._list_contents(names[at:end], describe, expand))
            yield content
            at = end

    def _list_beside(self, describe: Describe) -> Iterator[dict[str, Any]]:
        """List what it takes to open an encrypted tree, and lies beside its body."""
        if self.inner or not is_encrypted(self.folder):
            return
        above = self.folder.removesuffix(self.attributes["data_path"])
        for path in (header_key(self.attributes), files_name(self.attributes["data_path"])):
            yield {"name": path.rpartition("/")[2], **describe(above + path)}


@dataclass(frozen=True)
class BesidePart:
    """Header of an encrypted tree, or the list of its files, beside its body.

    Parameters
    ----------
    key
        As it is stored.
    size
        Its bytes.
    checksum
        As DRS has it.
    attributes
        Of the element.
    """

    key: str
    size: int
    checksum: dict[str, str]
    attributes: Mapping[str, Any]
    is_file = True

    @property
    def name(self) -> str:
        """Its name, below what is served."""
        return self.key

    def describe(self, describe: Describe, *, expand: bool) -> dict[str, Any]:
        """Return its size and checksum."""
        return {"size": self.size, "checksums": [self.checksum]}


def find_beside(catalog: Catalog, key: str) -> BesidePart:
    """Find what lies beside the body of an encrypted tree by its key; raise NotFoundError if there is none."""
    object_key, path = catalog.find_object(key)
    for attributes in catalog.metadata(object_key).values():
        tree = attributes.get("data_path") or ""
        if not is_encrypted(tree) or not is_tree_path(tree) or path not in (header_key(attributes), files_name(tree)):
            continue
        checksum = {"type": "blake2b-512", "checksum": attributes["header_digests"][0]}
        if path == files_name(tree):
            checksum = _checksum_of(catalog.load_tree(object_key, attributes), None)
        return BesidePart(key, catalog.storage.stat(key).size, checksum, attributes)
    raise NotFoundError(f"there is nothing at {key}")


def find_part(catalog: Catalog, key: str) -> TreePart:
    """Find a tree, a folder in one or a file of one by its key; raise NotFoundError if there is none."""
    object_key, attributes, inner = catalog.find_in_tree(key)
    folder = f"{object_key}/{attributes['data_path']}".lstrip("/")
    part = TreePart(
        f"{folder}/{inner}" if inner else folder, folder, inner, attributes, catalog.load_tree(object_key, attributes)
    )
    if not part.is_file and not part._names:
        raise NotFoundError(f"there is nothing at {key}")
    return part


def _checksum_of(manifest: Manifest, name: str | None) -> dict[str, str]:
    """Return the checksum of a file of a tree, or of the list of its files."""
    record = manifest.find_record(files_name(manifest.key) if name is None else f"{manifest.key}/{name}")
    assert record is not None and record.layout is not None
    layout, number = record.layout, record.file
    first, beyond = layout.first_parts[number], layout.first_parts[number + 1]
    digests = manifest.digests.digests[DIGEST * first : DIGEST * beyond]
    return {"type": PARTS, "checksum": DigestList(Layout((layout.sizes[number],), layout.part), digests).root}
