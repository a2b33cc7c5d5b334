"""Check the Zarr trees of an object against their manifests."""

from __future__ import annotations

import threading
from collections.abc import Callable, Container, Iterator, Mapping
from itertools import chain
from typing import Any

from modos.errors import IntegrityError, InvalidInputError, ModosError, NotFoundError, listing
from modos.formats import files_name, header_key, is_encrypted, parts_name
from modos.formats.crypt4gh import part_size
from modos.object.document import Document
from modos.object.findings import Finding, describe_ranges, join_ranges
from modos.object.stored_trees import load_manifest, read_tree_header
from modos.object.tree_lists import digest_file, find_manifest
from modos.storage import Storage
from modos.storage.base import ByteRange, Progress, count_readers
from modos.storage.prefetch import fetch_ahead
from modos.trees.batches import gather_batches
from modos.trees.manifest import Manifest

CompareTree = Callable[[str, Manifest, Container[str]], Iterator[Finding]]  # compares the bytes of the files of an element's tree

_SHOWN = 3  # names in a message


def check_trees(storage: Storage, document: Document, sizes: Mapping[str, int], compare: CompareTree | None) -> Iterator[Finding]:
    """Compare the trees of an object with their manifests.

    Parameters
    ----------
    sizes
        Of all files of the object, by their keys.
    compare
        Compares the bytes of the files that are there; None if they are not read.
    """
    for path in sorted(document.tree_folders()):
        element_id = document.data_paths()[path]
        try:
            manifest = load_manifest(storage, document.element(element_id))
        except IntegrityError as error:
            yield Finding("list", parts_name(path), error.message)
            continue
        yield from _check_tree(storage, document, element_id, manifest, sizes, compare)


def _check_tree(
    storage: Storage,
    document: Document,
    element_id: str,
    manifest: Manifest,
    sizes: Mapping[str, int],
    compare: CompareTree | None,
) -> Iterator[Finding]:
    path, attributes = manifest.key, document.element(element_id)
    if is_encrypted(path):
        yield from _check_header(storage, element_id, attributes)
    there = {key[len(path) + 1 :]: size for key, size in sizes.items() if key.startswith(f"{path}/")}
    if missing := [name for name in manifest.names if name not in there]:
        yield Finding("missing", element_id, f"{_count(missing)} of {path} {_is(missing)} not there: {listing(missing, _SHOWN)}")
    if changed := [name for name, size in manifest.sizes.items() if there.get(name, size) != size]:
        told = f"{_count(changed)} of {path} {_has(changed)} another size than recorded: {listing(changed, _SHOWN)}"
        yield Finding("size", element_id, told)
    if more := sorted(there.keys() - manifest.sizes.keys()):
        yield Finding("unknown", element_id, f"{_count(more)} in {path} {_is(more)} not of the tree: {listing(more, _SHOWN)}")
    if compare:
        yield from compare(element_id, manifest, {*missing, *changed})


def _check_header(storage: Storage, element_id: str, attributes: Mapping[str, Any]) -> Iterator[Finding]:
    key = header_key(attributes)
    try:
        read_tree_header(storage, attributes)
    except NotFoundError:
        yield Finding("missing", element_id, f"there is no file {key}, the header of {attributes['data_path']}")
    except IntegrityError as error:
        yield Finding("seal", element_id, error.message)


def compare_all_files(storage: Storage, progress: Progress | None) -> CompareTree:
    """Return what reads all files of a tree on all cores, and compares them with their digests."""

    def compare(element_id: str, manifest: Manifest, known: Container[str]) -> Iterator[Finding]:
        def look_at_all(batch: list[str], _: threading.Event) -> list[tuple[str, list[int] | str]]:
            if len(batch) > 1 and _are_sound(storage, manifest, batch):
                if progress:
                    progress(sum(manifest.sizes[name] for name in batch))
                return []
            return [look(name) for name in batch]

        def look(name: str) -> tuple[str, list[int] | str]:
            try:
                found = digest_file(storage, f"{manifest.key}/{name}", manifest.sizes[name], progress, part_size(manifest.key))
            except (NotFoundError, IntegrityError, InvalidInputError) as error:
                return name, error.message
            except ModosError as error:  # a disk does not give it
                if storage.is_remote:
                    raise
                return name, error.message
            return name, manifest.find_differing(name, found.digests)

        names = (name for name in manifest.names if name not in known)
        workers = count_readers(storage)
        batches = gather_batches(names, manifest.sizes.__getitem__, one_by_one=storage.is_remote)
        for name, wrong in chain.from_iterable(fetch_ahead(look_at_all, batches, workers, 4 * workers)):
            if isinstance(wrong, str):
                yield Finding("checksum", element_id, f"{manifest.key}/{name} cannot be read: {wrong}")
            elif wrong:
                yield describe_damaged(element_id, manifest, name, wrong)

    return compare


def _are_sound(storage: Storage, manifest: Manifest, names: list[str]) -> bool:
    """Return whether small files of a tree are all what is recorded."""
    try:
        found = storage.read_small((f"{manifest.key}/{name}", manifest.sizes[name] + 1) for name in names)
    except ModosError:
        return False
    return all(map(manifest.fits, names, found))


def describe_damaged(element_id: str, manifest: Manifest, name: str, parts: list[int]) -> Finding:
    """Describe parts of a file of a tree that are not the recorded ones."""
    size, part = manifest.sizes[name], manifest.digests.layout.part
    ranges = tuple(join_ranges(ByteRange(number * part, min((number + 1) * part, size)) for number in parts))
    told = f"{describe_ranges(ranges)} of {manifest.key}/{name} are not those that are recorded"
    return Finding("checksum", element_id, told, ranges)


def mend_trees(storage: Storage, document: Document, lists: Container[str], progress: Progress | None) -> Iterator[Finding]:
    """Write lost or damaged lists of trees anew, where the files are the recorded ones; yields what cannot be mended."""
    for path in sorted(document.tree_folders()):
        if parts_name(path) in lists:
            yield from _mend_tree(storage, path, document.data_paths()[path], document, progress)


def _mend_tree(storage: Storage, path: str, element_id: str, document: Document, progress: Progress | None) -> Iterator[Finding]:
    told = f"{path} does not have the recorded digest, and no list of its files to heal it by"
    try:
        found = find_manifest(path, str(document.element(element_id).get("data_digest")), [(storage, path)], progress)
    except IntegrityError as error:
        found, told = None, error.message
    if found is None:
        yield Finding("checksum", element_id, told)
        return
    storage.write(files_name(path), found.listed)
    storage.write(parts_name(path), found.digests.to_bytes())


def _count(names: list[str]) -> str:
    return f"{len(names):,} file{'' if len(names) == 1 else 's'}"


def _is(names: list[Any]) -> str:
    return "is" if len(names) == 1 else "are"


def _has(names: list[Any]) -> str:
    return "has" if len(names) == 1 else "have"
