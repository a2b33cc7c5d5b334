"""Copy an object to another storage: only differences are sent, and an interrupted copy can be resumed.

A plan comes first: what is sent is known, with sizes and checksums, before the
first byte moves. Data files come first, the root document last, so that
the target is no object before it is whole, and stays the one that it was.
What an interruption leaves is on record: a repeated copy continues it, and any
other change of the target removes it.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from itertools import product

from modos.errors import (
    AlreadyExistsError,
    BucketNotFoundError,
    ConflictError,
    IntegrityError,
    InvalidInputError,
    NotFoundError,
    listing,
)
from modos.errors.escaping import escape_line, hide_secrets
from modos.formats import SHARDS_LIST, ZARR, companion_names, is_file_path, name_of, parts_name
from modos.object import commits, journal
from modos.object.address import refuse_file_name
from modos.object.announcing import announce
from modos.object.document import ROOT_KEY, Document
from modos.object.record import FOLDER, entries
from modos.object.sending import (
    Expected,
    FileToSend,
    expect_in_tree,
    expected_of_arrays,
    find_expected,
    is_whole,
    iter_checked,
)
from modos.object.stored_trees import TreeRecords, list_tree_keys
from modos.storage import ObjectInfo, Storage
from modos.storage.base import INTERRUPTIONS, Progress
from modos.storage.verified import VerifiedFiles

_SMALL = 4 << 20  # bytes up to which files are sent several at once
_WORKERS = 8


@dataclass(frozen=True)
class CopyPlan:
    """Plan of what makes the target a copy of the source.

    Attributes
    ----------
    files
        To be sent.
    present
        Keys of the files that are there already and stay.
    superfluous
        Keys of files that the target's elements have and the source's have not.
    trees
        Records of the Zarr trees of the source.
    left
        Keys of files to be sent of which something is there.
    """

    source: Storage
    target: Storage
    document: Document
    base: Document | None
    files: tuple[FileToSend, ...]
    present: tuple[str, ...]
    superfluous: tuple[str, ...]
    trees: TreeRecords
    left: frozenset[str]

    def __repr__(self) -> str:
        there = f"{len(self.present):,} there, {len(self.superfluous):,} to remove"
        counts = f"{len(self.files):,} files to send, {self.size:,} bytes; {there}"
        return escape_line(hide_secrets(f"<copy of {self.source.url} to {self.target.url}: {counts}>"))

    @property
    def size(self) -> int:
        """Bytes of the files to be sent."""
        return sum(file.size for file in self.files)

    @property
    def is_empty(self) -> bool:
        """Return whether the target is a copy of the source already."""
        return (
            not (self.files or self.superfluous)
            and self.base is not None
            and _find_last_commit(self.base) == _find_last_commit(self.document)
        )


def plan_copy(
    source: Storage, target: Storage, *, include: Sequence[str] = (), exclude: Sequence[str] = (), data: bool = True
) -> CopyPlan:
    """Compare two places, and plan what makes the second a copy of the first.

    Parameters
    ----------
    include, exclude
        Patterns of the names or keys of data files (`*.cram`); an index goes with its
        file. Without the first all are taken; the second wins.
    data
        Whether data files are sent at all.

    Raises
    ------
    ConflictError
        The target was changed since it was copied, or somebody copies to it.
    AlreadyExistsError
        It holds something else.
    InvalidInputError
        The source is in the layout of Zarr v2, and has arrays.
    IntegrityError
        The source is not whole.
    """
    document = commits.load(source).copy()
    document.keep_apart()  # as its root and its mirrors are written
    if document.zarr_format == 2 and document.array_folders():
        raise InvalidInputError(
            f"{source.url} is in the old layout (Zarr v2) and has arrays, which a copy would have in another one",
            "bring it up to date first, with `modos upgrade`",
        )
    base = _object_at(target)
    infos = list(target.iter_files())
    present, left = {info.key: info.size for info in infos}, _find_left_files(target, infos)
    if base is None:
        refuse_file_name(target)
        foreign = [key for key in present if key not in left and not key.startswith((f"{FOLDER}/", f"{ZARR}/"))]
        if foreign:
            raise AlreadyExistsError(f"{target.url} exists already and is not empty", "choose another target")
    else:
        _check_follows(document, base, source, target)
    trees = TreeRecords(source, document)
    wanted = list_wanted(source, document, trees, include, exclude) if data else []
    same = _find_unchanged(wanted, find_expected(base) if base else {}, present)
    if base is not None:
        same |= _find_unchanged_arrays(wanted, base, document, present)
        same |= _find_unchanged_trees(wanted, base, document, present)
    taken = [file.key for file in wanted if file.key in present and file.key not in same and file.key not in left]
    if taken:
        raise ConflictError(
            f"{target.url} has another file {listing(taken)} than {source.url}", "choose another target, or remove that one"
        )
    return CopyPlan(
        source,
        target,
        document,
        base,
        tuple(file for file in wanted if file.key not in same),
        tuple(sorted(same)),
        _find_superfluous(target, base, document, present) if base else (),
        trees,
        frozenset(file.key for file in wanted if file.key in present and file.key not in same),
    )


def copy_planned(plan: CopyPlan, progress: Progress | None = None) -> None:
    """Carry a plan out; every byte is compared with its checksum on the way.

    Raises
    ------
    ChecksumMismatch
        A file is not what its metadata say; nothing is left of it.
    ConflictError
        Somebody else changed the target at the same time.
    """
    target, keys = plan.target, [file.key for file in plan.files]
    replaced = _find_replaced(plan)
    if plan.base is None:
        keys += map(commits.mirror_key, filter(commits.has_mirror, plan.document.nodes))
    small = [file for file in plan.files if file.size <= _SMALL]
    large = [file for file in plan.files if file.size > _SMALL]
    try:
        with journal.keep_record(target, keys, plan.superfluous, keep=INTERRUPTIONS) as change:
            change.adopt()

            records = {file.key: file.expected.record for file in plan.files}
            shards = VerifiedFiles(plan.source, records.get, plan.trees.lists)

            def send(file: FileToSend) -> None:
                _send(plan, file, shards, replaced.get(file.key), change, progress)
                change.wrote(file.key)

            with ThreadPoolExecutor(_WORKERS) as pool:
                list(pool.map(send, small))
            for file in large:
                send(file)
            target.flush()
            _commit(plan, change)
        journal.recover(target)
    finally:
        target.tidy()


def _commit(plan: CopyPlan, change: journal.Journal) -> None:
    """Make the target the object that the source is, in one step: the root document."""
    target, document, base = plan.target, plan.document, plan.base
    if base is None:
        commits.write_mirrors(target, document, document.nodes, strict=True)
    change.check({file.key: file.size for file in plan.files})
    if base is None:
        target.write(ROOT_KEY, document.to_bytes(), if_absent=True)
        change.check_created()
    elif _find_last_commit(base) != _find_last_commit(document):
        target.write(ROOT_KEY, document.to_bytes(), if_match=base.tag)
        commits.update_mirrors(
            target,
            document,
            {path for path in document.nodes.keys() | base.nodes.keys() if document.nodes.get(path) != base.nodes.get(path)},
        )
    announce(target)


def _find_replaced(plan: CopyPlan) -> dict[str, str]:
    """Find the files at the target that are replaced, by the keys of the files to be sent."""
    found: dict[str, str] = {}
    if plan.base is None or plan.target.is_remote:
        return found
    before = {element_id: path for path, element_id in plan.base.data_paths().items()}
    sent = {file.key for file in plan.files}
    for path, element_id in plan.document.data_paths().items():
        if path in sent and (old := before.get(element_id)):
            indexes = dict.fromkeys(companion_names(path), old) | dict(zip(companion_names(path), companion_names(old)))
            found |= {path: old} | {index: name if plan.target.exists(name) else old for index, name in indexes.items()}
    return found


def _send(
    plan: CopyPlan,
    file: FileToSend,
    shards: VerifiedFiles,
    replaced: str | None,
    change: journal.Journal,
    progress: Progress | None,
) -> None:
    """Send one file, or find that it is there."""
    source, target = plan.source, plan.target
    if file.expected.record and file.size <= _SMALL and file.key not in plan.left:
        target.put_new(file.key, shards.read_part(file.key, 0, file.size)[0])
        if progress:
            progress(file.size)
        return
    if target.exists(file.key):  # left by an interrupted copy
        if is_whole(source, target, file):
            target.drop_kept(file.key)  # of a write that was killed after its last step
            if progress:
                progress(file.size)
            return
        if not change.has_adopted(file.key):
            raise ConflictError(
                f"somebody else has put another file {file.key} into {target.url}", "remove that one, and try again"
            )
        target.delete(file.key)
    kept = target.kept_size(file.key)
    try:
        target.write_stream(
            file.key, iter_checked(source, target, file, shards, progress), size=file.size, resume=True, like=replaced
        )
    except IntegrityError:
        target.drop_kept(file.key)
        if not kept:
            raise
        target.write_stream(
            file.key, iter_checked(source, target, file, shards, None), size=file.size, resume=True, like=replaced
        )


def _object_at(target: Storage) -> Document | None:
    try:
        return commits.load(target)
    except BucketNotFoundError:
        raise
    except NotFoundError:
        return None


def _find_left_files(target: Storage, infos: Iterable[ObjectInfo]) -> set[str]:
    """List the files that interrupted copies have on record; raise ConflictError if one is under way."""
    known = entries(target)
    journal.refuse_busy(target, known)
    return {info.key for info in infos if any(entry.may_delete(info) for entry in known)}


def _check_follows(document: Document, base: Document, source: Storage, target: Storage) -> None:
    """Refuse to undo what others have changed at the target."""
    if _find_last_commit(base) not in document.state.get("commits", ()):
        raise ConflictError(
            f"{target.url} has changes that {source.url} has not",
            f"see them with `modos diff {source.url} {target.url}`, and choose another target",
        )


def _find_last_commit(document: Document) -> str | None:
    commits = document.state.get("commits", ())
    return commits[-1] if commits else None


def list_wanted(
    source: Storage, document: Document, trees: TreeRecords, include: Sequence[str] = (), exclude: Sequence[str] = ()
) -> list[FileToSend]:
    """List the files of an object that a copy has, but for its metadata; IntegrityError where one of them is missing."""
    expected, mirrors = find_expected(document), {commits.mirror_key(path) for path in document.nodes}
    skipped = mirrors | {ROOT_KEY}
    is_chosen = _make_chooser(document, trees, include, exclude)
    infos = [
        info
        for info in _find_present(source, document, trees)
        if info.key not in skipped and not info.key.startswith(f"{FOLDER}/") and is_chosen(info.key)
    ]
    there, of_arrays = {info.key for info in infos}, expected_of_arrays(document)

    def describe(info: ObjectInfo) -> FileToSend:
        if info.key.startswith(f"{ZARR}/"):
            return FileToSend(info.key, info.size, of_arrays(info.key))
        if path := trees.find_tree(info.key):
            return FileToSend(info.key, info.size, expect_in_tree(trees, path, info.key))
        return _describe(info, expected, there)

    named = {path for path in document.data_paths() if is_file_path(path) and expected[path].is_known}
    chosen_trees = [path for path in trees if is_chosen(path)]
    missing = sorted(key for key in (named - there).union(*map(trees.list_keys, chosen_trees)) - there if is_chosen(key))
    if missing:
        raise IntegrityError(
            f"{source.url} is not whole: there is no file {listing(missing)}", "see what is wrong with `modos check`"
        )
    return [describe(info) for info in infos]


def _describe(info: ObjectInfo, expected: Mapping[str, Expected], there: Container[str]) -> FileToSend:
    of_file = expected.get(info.key, Expected())
    is_listed = bool(of_file.roots) and parts_name(info.key) in there
    return FileToSend(info.key, info.size, replace(of_file, is_listed=is_listed))


def _find_present(source: Storage, document: Document, trees: TreeRecords) -> Iterable[ObjectInfo]:
    """List the files of an object: all that are there, or, where they cannot be listed, those that its elements name."""
    if source.can_list:
        return source.iter_files()
    paths = sorted(document.data_paths())
    keys = dict.fromkeys([*paths, *(index for path in paths for index in companion_names(path)), *_chunk_keys(document)])
    keys |= dict.fromkeys(key for path in trees for key in trees.list_keys(path))

    def look(key: str) -> ObjectInfo | None:
        try:
            return source.stat(key)
        except NotFoundError:
            return None

    with ThreadPoolExecutor(_WORKERS) as pool:
        return [info for info in pool.map(look, keys) if info]


def _chunk_keys(document: Document) -> Iterator[str]:
    """List the keys of the chunks of arrays (Zarr v3, chunk key encoding `default`)."""
    for path, node in document.nodes.items():
        if node.get("node_type") != "array":
            continue
        if node.get("chunk_key_encoding", {}).get("name") != "default" or path.count("/") != 2 or not node["shape"]:
            raise InvalidInputError(
                f"the files of the array {path} cannot be told without a list of them",
                "copy the object where it is, or give --no-data",
            )
        lengths = node["chunk_grid"]["configuration"]["chunk_shape"]
        for place in product(*(range(-(-size // length)) for size, length in zip(node["shape"], lengths, strict=True))):
            yield "/".join((ZARR, path, "c", *map(str, place)))
        yield f"{ZARR}/{path}/{SHARDS_LIST}"  # which not all arrays have


def _make_chooser(
    document: Document, trees: TreeRecords, include: Sequence[str], exclude: Sequence[str]
) -> Callable[[str], bool]:
    """Return a test of whether a key is one of the files that are asked for; an index and a tree are chosen as a whole."""
    if not include and not exclude:
        return lambda key: True
    of_index = {index: path for path in document.data_paths() for index in companion_names(path)}

    def is_chosen(key: str) -> bool:
        file = of_index.get(key) or trees.find_tree(key) or key
        names = {file, name_of(file)}

        def matches(patterns: Sequence[str]) -> bool:
            return any(fnmatchcase(name, pattern) for pattern in patterns for name in names)

        return (not include or matches(include)) and not matches(exclude)

    return is_chosen


def _find_superfluous(target: Storage, base: Document, document: Document, present: dict[str, int]) -> tuple[str, ...]:
    """List the files of the target's elements that the source does not have."""
    folders = tuple(f"{folder}/" for folder in base.array_folders() - document.array_folders())
    gone = base.tree_folders() - document.tree_folders()
    of_trees = (list_tree_keys(target, base.element(base.data_paths()[path])) for path in gone)
    files = (journal.files_of(base) - journal.files_of(document)).union(*of_trees)
    return tuple(sorted(key for key in present if key in files or (key.startswith(folders) and not key.endswith("/zarr.json"))))


def _find_unchanged_arrays(wanted: Sequence[FileToSend], base: Document, document: Document, present: dict[str, int]) -> set[str]:
    """List keys of files of arrays that both have alike: an array that changes gets a new name."""
    folders = tuple(
        f"{ZARR}/{path}/"
        for path, node in document.nodes.items()
        if node.get("node_type") == "array" and base.nodes.get(path) == node
    )
    return {file.key for file in wanted if folders and file.key.startswith(folders) and present.get(file.key) == file.size}


def _find_unchanged_trees(wanted: Sequence[FileToSend], base: Document, document: Document, present: dict[str, int]) -> set[str]:
    """List keys of files of trees that both have alike."""
    before = base.data_paths()
    alike = {
        path
        for path in document.tree_folders() & base.tree_folders()
        if document.element(document.data_paths()[path]).get("data_digest") == base.element(before[path]).get("data_digest")
    }
    lists = {name for path in alike for name in companion_names(path)}
    return {
        file.key
        for file in wanted
        if (file.key in lists or journal.is_below(file.key, alike)) and present.get(file.key) == file.size
    }


def _find_unchanged(wanted: Sequence[FileToSend], base: Mapping[str, Expected], present: Mapping[str, int]) -> set[str]:
    """List keys of files that the target has already, as its metadata say; what lies beside a file goes with it."""
    same = {file.key for file in wanted if file.key in base and file.expected.is_same(base[file.key])}
    same |= {companion for key in same for companion in companion_names(key)}
    return {file.key for file in wanted if file.key in same and present.get(file.key) == file.size}
