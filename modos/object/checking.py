"""Check an object against its metadata, and find what interrupted changes left in it."""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator
from functools import partial

from modos.encryption.keys import SecretKey
from modos.errors import IntegrityError, SchemaError
from modos.formats import ZARR, is_encrypted, is_file_path, parts_name
from modos.metadata import model
from modos.object import commits, journal
from modos.object.array_checks import CompareArray, check_arrays, compare_all, mend_lists
from modos.object.document import Document
from modos.object.file_checks import Compare, FileChecks, check_indexes, compare_whole
from modos.object.findings import Finding
from modos.object.known_files import look_at_files
from modos.object.leftovers import check_mirrors, find_leftovers, mend_mirrors, remove_leftovers
from modos.object.old_layout import OLD_ROOT_KEY
from modos.object.part_lists import digest_stored, write_anew
from modos.object.record import entries
from modos.object.tree_checks import CompareTree, check_trees, compare_all_files, mend_trees
from modos.storage import Storage
from modos.storage.base import Progress, expect
from modos.storage.processes import ownership
from modos.storage.zipped import ZippedStorage


def find_problems(
    storage: Storage,
    *,
    checksums: bool = True,
    thorough: bool = False,
    limit: float = ownership.ABANDONED_AFTER,
    progress: Progress | None = None,
    endpoint: str | None = None,
    secret: SecretKey | None = None,
    compare: Compare | None = None,
    compare_array: CompareArray | None = None,
    compare_tree: CompareTree | None = None,
) -> Iterator[Finding]:
    """Compare an object with its metadata.

    Where a storage does not tell which files there are, as a server does not, nothing is said of files beside the object's.

    Parameters
    ----------
    checksums
        Read every file and compare it with its digests, or its checksum.
    thorough
        Go through the records of every file and check that its index leads to
        each; else check some places of it.
    limit
        Seconds after which a change under way on another machine counts as
        abandoned.
    endpoint
        The server whose reference store may be asked.
    secret
        A key to decrypt encrypted files with; without it their indexes are not
        checked.
    compare, compare_array, compare_tree
        Compare the bytes of files, of arrays and of trees in another way: see `modos.object.sampling`.

    Raises
    ------
    NotFoundError, IntegrityError
        There is no object, or its root is damaged.
    """
    document = commits.load(storage)
    yield from _check_elements(document)
    infos = list(storage.iter_files() if storage.can_list else look_at_files(storage, document))
    sizes = {info.key: info.size for info in infos}
    if checksums and not thorough:
        paths, arrays, trees = document.data_paths(), f"{ZARR}/", document.tree_folders()
        expect(
            progress,
            sum(
                size
                for key, size in sizes.items()
                if key in paths or journal.is_below(key, trees) or (key.startswith(arrays) and not key.endswith(".json"))
            ),
        )
    files = FileChecks(storage, document, sizes, compare or (compare_whole(storage, progress) if checksums else None))
    compare_array = compare_array or (compare_all(storage, progress) if checksums else None)
    compare_tree = compare_tree or (compare_all_files(storage, progress) if checksums else None)
    for findings in (
        files.run(),
        check_indexes(files, thorough, secret, progress),
        check_arrays(storage, document, sizes, compare_array),
        check_trees(storage, document, sizes, compare_tree),
        _check_entries(storage, document, progress) if checksums else (),
        _check_references(storage, document, endpoint),
    ):
        yield from _go_on_after_damage(storage, findings)
    if not storage.can_list:  # nor does it tell what else is there
        return
    yield from find_leftovers(storage, document, infos, limit)
    if document.zarr_format == 3:
        if OLD_ROOT_KEY in sizes:
            yield Finding(
                "unknown", OLD_ROOT_KEY, "was written by a program that reads Zarr v2 alone; `modos upgrade` removes it"
            )
        yield from _go_on_after_damage(storage, check_mirrors(storage, document, sizes))


def find_rest(storage: Storage, limit: float = ownership.ABANDONED_AFTER) -> list[Finding]:
    """Find what interrupted changes left if there is no object: it was being made, copied or removed.

    Raises
    ------
    ConflictError
        A change is under way, or may be.
    """
    journal.refuse_busy(storage, entries(storage, limit))
    return [finding for finding in find_leftovers(storage, None, storage.iter_files(), limit) if finding.fixable]


def fix(
    storage: Storage, findings: Iterable[Finding], limit: float = ownership.ABANDONED_AFTER, progress: Progress | None = None
) -> list[Finding]:
    """Remove what interrupted changes left, and write mirrors and lists of digests anew; nothing else is touched.

    Returns
    -------
    list of Finding
        What could not be mended: lists of files and arrays that are not the recorded ones.
    """
    findings = list(findings)
    remove_leftovers(storage, limit)
    mirrors = [finding.where for finding in findings if finding.kind == "mirror"]
    if mirrors:
        mend_mirrors(storage, mirrors)
    lists = {finding.where for finding in findings if finding.kind == "list"}
    left = list(_mend_lists(storage, lists, progress)) if lists else []
    storage.tidy()
    return left


def _mend_lists(storage: Storage, lists: set[str], progress: Progress | None) -> Iterator[Finding]:
    document = commits.load(storage)
    yield from mend_lists(storage, document, lists, progress)
    yield from mend_trees(storage, document, lists, progress)
    for path, element_id in document.data_paths().items():
        root = document.element(element_id).get("data_digest")
        if parts_name(path) not in lists or not root or not is_file_path(path):
            continue
        found = digest_stored(storage, path, progress)
        if found.root == root:
            write_anew(storage, parts_name(path), found, like=path)
        else:
            yield Finding(
                "checksum", element_id, f"{path} does not have the recorded digest, and no list of digests to heal it by"
            )


def _check_elements(document: Document) -> Iterator[Finding]:
    for element_id in (document.object_id, *document.ids()):
        attributes = document.element(element_id)
        try:
            model.validate(attributes, element_id)
        except SchemaError as error:
            yield Finding("schema", element_id, error.message.removeprefix(f"{element_id}: "))
        for slot in model.link_slots(attributes.get("@type")):
            for link in attributes.get(slot, ()):
                if link not in document:
                    yield Finding("link", element_id, f"{slot} links to {link}, which is not there")


def _check_entries(storage: Storage, document: Document, progress: Progress | None) -> Iterator[Finding]:
    """Compare the entries of a zip file with its directory; the bytes of those that have digests were compared with these."""
    if not isinstance(storage, ZippedStorage):
        return
    trees, paths = document.tree_folders(), document.data_paths()
    compared = {path for path, id in paths.items() if not is_encrypted(path) and document.element(id).get("data_digest")}
    is_compared = partial(_is_among, compared - trees, trees & compared)
    for key, message in storage.find_damaged(is_compared, progress):
        yield Finding("checksum", key, message)


def _go_on_after_damage(storage: Storage, findings: Iterable[Finding]) -> Iterator[Finding]:
    """Pass findings on; an entry of a zip file that cannot be read is one, and ends them."""
    try:
        yield from findings
    except IntegrityError as error:
        if not isinstance(storage, ZippedStorage):
            raise
        yield Finding("checksum", storage.url, error.message)


def _is_among(files: Container[str], folders: Container[str], key: str) -> bool:
    return key in files or journal.is_below(key, folders)


def _check_references(storage: Storage, document: Document, endpoint: str | None) -> Iterator[Finding]:
    metadata = {id: document.element(id) for id in document.ids()}
    if not any(attributes.get("has_reference") for attributes in metadata.values()):
        return
    from modos.object.references import iter_mismatches

    for element_id, message, certain in iter_mismatches(storage, metadata, endpoint):
        yield Finding("sequence" if certain else "unknown", element_id, message)
