"""A transaction: changes to an object that are collected, checked and committed together.

Files go to their place first, on record; the root document is replaced once,
with changes that can be made again on what others committed meanwhile; then
what became superfluous is deleted.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from concurrent.futures import CancelledError, ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import count
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, NoReturn, Protocol

from modos.encryption.keys import SecretKey
from modos.encryption.structure import SLOTS_OF_SEALED, find_damage
from modos.errors import (
    AlreadyExistsError,
    ConflictError,
    IntegrityError,
    InvalidInputError,
    NotFoundError,
    SchemaError,
    StorageFullError,
    listing,
)
from modos.errors.escaping import escape_line, hide_secrets, is_plain
from modos.formats import (
    ENCRYPTED_SUFFIX,
    ZARR,
    companion_names,
    find_keys,
    find_mismatch,
    format_of,
    is_array_path,
    is_encrypted,
    is_file_path,
    is_tree_path,
    key_of,
    name_of,
    plain_name,
    version_of,
)
from modos.formats.crypt4gh import is_crypt4gh
from modos.metadata import model
from modos.metadata.ids import check_object_id, format_id
from modos.object import commits, incoming, journal, moving, transfer
from modos.object.changes import (
    Add,
    Change,
    Extend,
    Remove,
    Rename,
    SetArrays,
    Update,
    check_data_path,
    check_files,
    check_links,
    check_names,
    merge,
)
from modos.object.document import Document
from modos.object.incoming import may_be_tree
from modos.object.incoming_trees import SLOTS_OF_TREES, NewTree, check_tree_path, is_same_tree
from modos.object.record import entries
from modos.object.stored_trees import has_files, list_tree_keys
from modos.storage import Storage, open_storage
from modos.storage.base import Progress, expect
from modos.storage.write_log import WriteLog

if TYPE_CHECKING:
    from modos.trees.tree_sources import TreeSource

_WORKERS = 4  # files that are copied at once


def now() -> str:
    """Return the time as metadata have it: UTC, ISO 8601, to the second."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


class Staged(Protocol):
    """File that becomes an element's data, at a key that is free."""

    @property
    def change(self) -> Add | Update:
        """Change of what the element says."""

    @property
    def replaces(self) -> bool:
        """Return whether the file that the element had is removed."""

    def keys(self) -> list[str]:
        """List the keys that will be written."""

    def folders(self) -> list[str]:
        """List the folders of arrays that will be written."""

    def measure(self, storage: Storage) -> int | None:
        """Return the bytes of progress that `stage` makes; None if that is not known before."""

    def stage(self, log: WriteLog, progress: Progress | None) -> dict[str, Any]:
        """Write the files, and note the key of each once it is there; returns what the element says of them."""


@dataclass
class Transaction:
    """Changes to an object that are committed together, or not at all.

    Get one from `MODO.transaction()`.

    Parameters
    ----------
    storage
        Holds the object.
    start
        Its document as it is now; one without a tag makes a new object.
    secret
        Decrypts encrypted files that are added, to encrypt their plain indexes for the same recipients.
    data_checksum
        Compute the BLAKE2b-512 of files that are added.
    open_remote
        Opens the places at S3 that trees come from.
    """

    storage: Storage
    start: Document
    secret: SecretKey | None = None
    data_checksum: bool = True
    open_remote: Callable[[str], Storage] = open_storage
    view: Document = field(init=False)
    _changes: list[Change] = field(default_factory=list)
    _links: list[tuple[str, str]] = field(default_factory=list)
    _files: list[Staged] = field(default_factory=list)
    _named: set[str] = field(default_factory=set)  # ids of elements whose files get a name
    _taken: set[str] | None = None  # keys that files have, or are to have

    def __post_init__(self) -> None:
        self.view = self.start.copy()

    def __repr__(self) -> str:
        return escape_line(hide_secrets(f"<transaction of {self.storage.url}>"))

    def __reduce__(self) -> NoReturn:
        raise InvalidInputError("changes that are being collected cannot be pickled", "make them in one process")

    def add_element(self, element: Any, source_file: str | Path | None = None, part_of: str | None = None) -> str:
        """Add an element; returns its id. See `MODO.add_element`."""
        attributes = model.to_attributes(element)
        class_name = attributes["@type"]
        group = model.group_of(class_name)
        if group is None:
            raise InvalidInputError("an object is no element of an object", "add its assays and data")
        if not attributes.get("id"):
            raise InvalidInputError(f"an element of class {class_name} has no id")
        element_id = format_id(group, attributes["id"])
        source = self._open_source(source_file)
        if source is not None:
            attributes.setdefault("data_path", source.name)
            format = format_of(plain_name(attributes["data_path"]))
            if format and "data_format" in model.describe(class_name)["slots"]:
                attributes.setdefault("data_format", format.name)
        computed = ("id", *incoming.SLOTS_OF_DIGESTS)  # what a description of another object says of its file
        prepared = {"@type": class_name} | {k: v for k, v in model.normalise(attributes).items() if k not in computed}
        model.validate(prepared, element_id)
        incoming.refuse_by_hand(element_id, prepared, {})
        if "data_path" in prepared:
            check_data_path(element_id, prepared["data_path"])
            self._named.add(element_id)
            if source is None and is_file_path(prepared["data_path"]) and self.storage.exists(prepared["data_path"]):
                self._refuse_damaged(element_id, prepared["data_path"])
        change = Add(element_id, prepared)
        self._make(change)
        if part_of or group == "assay":
            self._links.append((part_of or self.view.object_id, element_id))
        if source is not None:
            self._bring(source, prepared["data_path"], change)
        return element_id

    def update_element(
        self, element_id: str, new: Any, source_file: str | Path | None = None, part_of: str | None = None, plain: bool = False
    ) -> str:
        """Change slots of an element, or of the object by its own id; returns the id. See `MODO.update_element`."""
        given = dict(new) if isinstance(new, Mapping) else model.to_attributes(new)
        element_id = self._mend_id(self.view.find(element_id), given)
        base = self.view.element(element_id)
        changes = incoming.refuse_by_hand(element_id, self._settle(element_id, given, base), base)
        source = self._open_source(source_file)
        target = changes.get("data_path")
        if element_id in self.view.sealed_arrays():
            target = self._settle_sealed_arrays(element_id, base, changes, source)
        if target and target != base.get("data_path"):
            check_data_path(element_id, target)
        if source is not None and not isinstance(source, Path):
            return self._update_tree(element_id, source, changes, base, part_of, plain=plain)
        sealing = source is not None and not plain and incoming.needs_encryption(source, base)
        move = None
        if source is not None:
            source = self._settle_source(source, base, changes, sealing)
        elif "data_path" in changes and target != base.get("data_path"):
            move = self._settle_path(element_id, base, changes)
        if changes.get("data_path") and name_of(changes["data_path"]) != name_of(base.get("data_path", "")):
            self._named.add(element_id)
        has_another_file = move is None and changes.get("data_path", base.get("data_path")) != base.get("data_path")
        if has_another_file:
            of_the_file_before = ("sender",) if sealing and source else SLOTS_OF_SEALED  # the others are recorded anew
            changes |= {slot: None for slot in of_the_file_before if slot in base}
        if has_another_file and is_tree_path(base.get("data_path", "")):
            changes |= {slot: None for slot in SLOTS_OF_TREES if slot in base and slot not in changes}
        if has_another_file and "seqcol_digest" in base:
            changes.setdefault("seqcol_digest", None)  # it is of the sequences in the file
        change = Update(element_id, changes, base)
        model.validate(merge(base, changes), element_id)
        if merge(base, changes) != base:
            self._make(change)
        if part_of:
            self._links.append((part_of, element_id))
        if source is not None:
            (self._bring_encrypted if sealing else self._bring)(source, changes["data_path"], change)
        elif move is not None:
            self._files.append(moving.MovedFile(change, move))
        elif has_another_file and changes.get("data_path"):
            self._files.append(incoming.PresentFile(change, changes["data_path"]))
        return element_id

    def remove_element(self, element_id: str) -> str:
        """Remove an element, its files and every link to it; returns its id."""
        element_id = self.view.find(element_id)
        if element_id == self.view.object_id:
            raise InvalidInputError(f"{element_id} is the object itself", "remove it with remove_object, or `modos remove`")
        if tracks := self.view.arrays_on(element_id):
            raise InvalidInputError(
                f"{element_id} is what {listing(tracks)} refer{'s' if len(tracks) == 1 else ''} to, and arrays are lost without",
                "remove those first",
            )
        self._make(Remove(element_id, self.view.element(element_id)))
        self._files = [file for file in self._files if file.change.element_id != element_id]
        self._links = [link for link in self._links if element_id not in link]
        return element_id

    def convert_file(self, element_id: str, changes: dict[str, Any], convert: Callable[[Update], Staged]) -> None:
        """Replace an element's file by one that is made from it.

        Parameters
        ----------
        changes
            What is known of the element now: its new data_path at least.
        convert
            Gives what writes the file, for the change of the element.
        """
        change = Update(element_id, changes, self.view.element(element_id))
        self._make(change)
        self._files.append(convert(change))

    def set_arrays(self, change: Add | Update, arrays: SetArrays, staged: Staged) -> None:
        """Write arrays of an element, with a change of what the element says.

        Raises
        ------
        InvalidInputError
            The same element's arrays are changed in this transaction already.
        """
        self._refuse_twice(change.element_id)
        self._make(change)
        self._make(arrays)
        self._files.append(staged)

    def extend_arrays(self, change: Extend, staged: Staged) -> None:
        """Add to arrays of an element, on whatever others have made of them until the commit.

        Raises
        ------
        InvalidInputError
            The same element's arrays are changed in this transaction already.
        """
        self._refuse_twice(change.element_id)
        self._make(change)
        self._files.append(staged)

    def _refuse_twice(self, element_id: str) -> None:
        if any(file.change.element_id == element_id for file in self._files):
            raise InvalidInputError(f"{element_id} is changed twice in one transaction", "make the changes one after another")

    @property
    def staged(self) -> list[Staged]:
        """Files and arrays that are to be written."""
        return list(self._files)

    def link(self, parent: str, child: str) -> None:
        """Link an element from its parent."""
        self._links.append((parent, child))

    def preview(self) -> Document:
        """Return the object as it will be; raises what `commit` would for what can be known now."""
        document = self.start.copy()
        self._apply(document)
        return document

    def commit(self, progress: Progress | None = None) -> Document:
        """Make the changes; returns the document as committed."""
        result = self.preview()
        if self.start.tag and not self._files and result == self.start:
            return self.start
        if not self.start.tag:
            with self.storage.make_root():
                return self._commit(result, progress)
        try:
            return self._commit(result, progress)
        except StorageFullError:
            if self._files:
                raise
        return self._commit_in_no_space(result, progress)

    def _commit_in_no_space(self, result: Document, progress: Progress | None) -> Document:
        """Make a change that brings no files on a full disk: the mirrors make room for the new root beside the old one."""
        document = self.start
        try:
            commits.drop_mirrors(self.storage, self.start)
            journal.recover(self.storage)
            document = self._commit(result, progress)
        finally:
            commits.write_mirrors(self.storage, document, document.nodes)
        return document

    def _commit(self, result: Document, progress: Progress | None) -> Document:
        superfluous = self._find_superfluous(result)
        new = [key for file in self._files for key in file.keys()]  # noqa: SIM118 - it is no mapping
        new_folders = [folder for file in self._files for folder in file.folders()]
        old_folders = self.start.array_folders() - result.array_folders()
        if new or superfluous or new_folders or old_folders:
            journal.recover(self.storage)
        with journal.keep_record(self.storage, new, superfluous, new_folders=new_folders, old_folders=old_folders) as change:
            self._stage(change, progress)

            def check(document: Document) -> None:
                change.check(_sizes(document, change.keys))

            if self.start.tag:
                patient = any(isinstance(change, Extend) for change in self._changes)
                attempts = {"attempts": commits.MANY_ATTEMPTS} if patient else {}
                return commits.commit(self.storage, self._apply_now, self.start, check, **attempts)
            self._apply(document := self.start.copy())
            document = commits.create(self.storage, document, check)
            change.check_created()
            return document

    def _find_superfluous(self, result: Document) -> set[str]:
        kept = {
            file.change.base.get("data_path") for file in self._files if isinstance(file.change, Update) and not file.replaces
        }
        trees = self.start.tree_folders() - result.tree_folders() - kept
        of_trees = (list_tree_keys(self.storage, self.start.element(self.start.data_paths()[path])) for path in sorted(trees))
        return self._find_superfluous_files(result).union(*of_trees)

    def _find_superfluous_files(self, result: Document) -> set[str]:
        """Find files of elements that are removed or get another file, unless another element has them."""
        replaced = {file.change.element_id for file in self._files if file.replaces}
        dropped = {source for file in self._files if isinstance(file, moving.MovedFile) for source, _ in file.pairs}
        for change in self._changes:
            if isinstance(change, Remove) and "data_path" in change.base:
                dropped |= journal.files_of_element(change.base)
            elif isinstance(change, Update) and "data_path" in change.base and change.element_id in replaced:
                dropped |= journal.own_files(change.base)
        return dropped & journal.files_of(self.start) - journal.files_of(result) if dropped else set()

    def _make(self, change: Change) -> None:
        change.apply(self.view)
        self._changes.append(change)

    def _apply(self, document: Document) -> None:
        for change in self._changes:
            change.apply(document)
        for parent, child in self._links:
            document.link(document.find(parent), child)
        touched = {change.element_id for change in self._changes}
        check_files(document, touched)
        check_names(document, self._named)
        check_links(document, touched)

    def _apply_now(self, document: Document) -> None:
        self._apply(document)
        own = [change for change in self._changes if change.element_id == document.object_id]
        if not any("last_update_date" in change.attributes for change in own if isinstance(change, Update)):
            document.attributes["last_update_date"] = now()

    def _open_source(self, source_file: str | Path | None) -> Path | TreeSource | None:
        if source_file is None or not may_be_tree(source_file):
            return None if source_file is None else Path(source_file)
        from modos.trees.tree_sources import find_source

        return find_source(source_file, self.open_remote) or Path(source_file)

    def _update_tree(
        self,
        element_id: str,
        source: TreeSource,
        changes: dict[str, Any],
        base: dict[str, Any],
        part_of: str | None,
        *,
        plain: bool,
    ) -> str:
        """Replace an element's data by a tree, whatever it had; what was encrypted is encrypted for the same recipients."""
        files, before = tuple(source.list_files()), base.get("data_path")
        wanted = plain_name(changes.get("data_path") or before or source.name)
        name = wanted if is_tree_path(wanted) else source.name
        sealing = bool(before) and is_encrypted(str(before)) and not plain
        changes = {slot: value for slot, value in changes.items() if slot != "data_path"}
        if before and name_of(before) == name_of(name) and is_same_tree(source, files, base, is_sealed=sealing):
            return self._change_alone(element_id, changes, base, part_of)
        replaced = before is not None and name_of(name) == name_of(before)
        key = name + (ENCRYPTED_SUFFIX if sealing else "")
        changes |= {"data_path": self.free_key(key, version_of(before or name) + 1 if replaced else 1), "data_format": "Zarr"}
        changes |= {slot: None for slot in SLOTS_OF_SEALED if slot in base}
        changes |= {slot: None for slot in SLOTS_OF_TREES if slot in base and slot not in changes}
        recipients = incoming.read_recipients(element_id, base) if sealing else ()
        if recipients:
            changes["recipients"] = [str(recipient) for recipient in recipients]
        if not replaced:
            self._named.add(element_id)
        change = Update(element_id, changes, base)
        model.validate(merge(base, changes), element_id)
        self._make(change)
        if part_of:
            self._links.append((part_of, element_id))
        if not sealing:
            self._replace(NewTree(source, files, changes["data_path"], change))
            return element_id
        from modos.object.tree_encryption import seal_tree
        from modos.trees.tree_files import SourceFiles

        brought = SourceFiles(source, files)
        self._replace(seal_tree(change, brought, changes["data_path"], recipients, SecretKey.random(), is_new=True))
        return element_id

    def _change_alone(self, element_id: str, changes: dict[str, Any], base: dict[str, Any], part_of: str | None) -> str:
        """Change slots of an element, and not its data."""
        model.validate(merge(base, changes), element_id)
        if merge(base, changes) != base:
            self._make(Update(element_id, changes, base))
        if part_of:
            self._links.append((part_of, element_id))
        return element_id

    def _bring(self, source: Path | TreeSource, key: str, change: Add | Update) -> None:
        if not isinstance(source, Path):
            check_tree_path(change.element_id, source, key)
            if has_files(self.storage, key):
                journal.recover(self.storage)
            if has_files(self.storage, key):
                raise AlreadyExistsError(
                    f"{change.element_id}: there are files in {key} in {self.storage.url} already",
                    "choose another data_path, or look at those files and remove them",
                )
            self._replace(NewTree(source, tuple(source.list_files()), key, change))
            return
        _check_endings(source, key)
        transfer.check_source(source, key)
        indexes = transfer.plan_indexes(source, key, self.secret)
        self._replace(incoming.NewFile(source, key, indexes, change, secret=self.secret, checksum=self.data_checksum))

    def _bring_encrypted(self, source: Path, key: str, change: Update) -> None:
        _check_endings(source, key)
        transfer.check_source(source, plain_name(key))
        self._replace(incoming.plan_encrypted(source, key, change, checksum=self.data_checksum))

    def _replace(self, staged: Staged) -> None:
        """Stage a file for an element, and none but this."""
        self._files = [file for file in self._files if file.change.element_id != staged.change.element_id]
        self._files.append(staged)

    def _stage(self, log: WriteLog, progress: Progress | None) -> None:
        def stage(file: Staged, progress: Progress | None) -> None:
            file.change.attributes |= file.stage(log, progress)

        amounts = [file.measure(self.storage) for file in self._files] if progress else []
        known = [amount for amount in amounts if amount is not None]
        if len(known) == len(amounts):
            expect(progress, sum(known))
        arrays = [file for file in self._files if file.folders()]
        files = [file for file in self._files if not file.folders()]
        for file in arrays if len(files) > 1 else self._files:
            stage(file, progress)
        if len(files) < 2:
            return
        failed = threading.Event()

        def tell(size: int) -> None:
            if failed.is_set():
                raise CancelledError
            if progress:
                progress(size)

        with ThreadPoolExecutor(_WORKERS) as pool:
            try:
                for future in [pool.submit(stage, file, tell) for file in files]:
                    future.result()
            except BaseException:
                failed.set()
                pool.shutdown(cancel_futures=True)
                raise

    def _mend_id(self, element_id: str, given: Mapping[str, Any]) -> str:
        """Change an id of an older object that could not be given today to the one given; returns the element's id."""
        new_id = given.get("id")
        if new_id is None or is_plain(element_id) or str(new_id) in (element_id, element_id.partition("/")[2]):
            return element_id
        is_object = element_id == self.view.object_id
        sound = check_object_id(str(new_id)) if is_object else format_id(element_id.partition("/")[0], str(new_id))
        self._make(Rename(sound, element_id, self.view.element(element_id)))
        return sound

    def _settle(self, element_id: str, given: dict[str, Any], base: Mapping[str, Any]) -> dict[str, Any]:
        """Return the changed slots in full form; those to be unset as None."""
        class_name = str(given.get("@type") or base["@type"])
        if model.group_of(class_name) != model.group_of(base["@type"]):
            raise SchemaError(
                f"{element_id}: cannot become a {class_name}", path=f"{element_id}.@type", expected=base["@type"], got=class_name
            )
        own_id = given.pop("id", None)
        if own_id is not None and str(own_id) not in (element_id, element_id.partition("/")[2]):
            raise InvalidInputError(
                f"{element_id}: an id cannot be changed (to {own_id})", "add an element of that id and remove this one"
            )
        unset = {str(slot): None for slot, value in given.items() if value is None or value in ("", [])}
        if unknown := unset.keys() - model.describe(class_name)["slots"].keys() - base.keys():
            raise SchemaError(f"{element_id}: {', '.join(sorted(unknown))} is not a slot of the class {class_name}")
        values = model.normalise(model.to_attributes({"@type": class_name} | given))
        return values | unset

    def _settle_source(self, source: Path, base: Mapping[str, Any], changes: dict[str, Any], sealing: bool) -> Path | None:
        """Settle where a file goes that replaces the element's; None if it is the one that the element has."""
        before, wanted = base.get("data_path"), changes.get("data_path")
        if before and wanted and find_keys([before], wanted):
            _check_endings(source, wanted)
            del changes["data_path"]
        if incoming.is_same_file(self.storage, source, base, changes, sealing):
            changes.pop("data_path", None)
            return None
        changes |= self._place(source, base, changes, sealing)
        return source

    def _settle_path(
        self, element_id: str, base: Mapping[str, Any], changes: dict[str, Any]
    ) -> tuple[tuple[str, str], ...] | None:
        """Settle what another data_path without a file means: the files to move, or None.

        A file of that path that is there and belongs to no element becomes
        the element's; else the element's own gets the name.
        """
        wanted, before = changes["data_path"], base.get("data_path")
        if before and is_array_path(before):
            raise InvalidInputError(
                f"{element_id} is kept as arrays, which have no file to be renamed", "leave data_path as it is"
            )
        self._refuse_owned(element_id, wanted)
        if wanted is None or not before or self._is_for_adoption(wanted, before):
            changes |= self._measure_present(element_id, wanted)
            return None
        target = moving.target_of(element_id, base, wanted)
        self._refuse_owned(element_id, target)
        beside = set() if target == before else set(companion_names(target)) - set(companion_names(before))
        for key in sorted(({wanted, target} | beside) - {before}):
            if self.storage.exists(key):
                raise AlreadyExistsError(
                    f"{element_id}: there is another file {key} in {self.storage.url}",
                    "choose another name, or look at that file and remove it",
                )
        if target == before:
            del changes["data_path"]
            return None
        if any(file.change.element_id == element_id for file in self._files):
            raise InvalidInputError(f"{element_id} is changed twice in one transaction", "make the changes one after another")
        changes["data_path"] = target
        return moving.find_pairs_to_move(self.storage, base, target)

    def _settle_sealed_arrays(
        self, element_id: str, base: Mapping[str, Any], changes: dict[str, Any], source: object
    ) -> str | None:
        """Refuse other data for an element whose arrays are encrypted; the place of its arrays means what it has."""
        if changes.get("data_path") in (base["data_path"], f"{ZARR}/{element_id}"):
            del changes["data_path"]
        is_other = "data_path" in changes and name_of(changes["data_path"] or "") != name_of(base["data_path"])
        if source is not None or is_other:
            raise InvalidInputError(
                f"{element_id} is kept as arrays, which are encrypted, and no file takes their place",
                "decrypt it first (`modos c4gh decrypt`); the data of tracks are changed with `modos track`",
            )
        return changes.get("data_path")

    def _refuse_owned(self, element_id: str, path: str | None) -> None:
        owner = element_id if path is None else self.view.data_paths().get(path, element_id)
        if owner != element_id:
            raise AlreadyExistsError(f"{element_id}: the file {path} belongs to {owner} already", "choose another name")

    def _is_for_adoption(self, wanted: str, before: str) -> bool:
        """Return whether a path has a file that is not the element's own in another version."""
        journal.recover(self.storage)
        if name_of(before) == name_of(wanted) or wanted in companion_names(before) or not self.storage.exists(wanted):
            return False
        if any(entry.covers(wanted) for entry in entries(self.storage)):
            raise ConflictError(
                f"somebody is changing {self.storage.url}, with the file {wanted}", "try again when that has ended"
            )
        return True

    def _measure_present(self, element_id: str, data_path: str | None) -> dict[str, Any]:
        """Measure the size and checksum of a file that is in the object already."""
        if data_path is None:
            return {"data_size": None, "data_checksum": None, "data_digest": None, "index_digests": None}
        try:
            size, checksum = transfer.measure(self.storage, data_path)
        except NotFoundError:
            raise InvalidInputError(
                f"{element_id}: there is no file {data_path} in the object", "give the file with source_file (-s)"
            ) from None
        self._refuse_damaged(element_id, data_path)
        return {"data_size": size, "data_checksum": checksum}

    def _refuse_damaged(self, element_id: str, data_path: str) -> None:
        if damage := find_damage(self.storage, data_path):
            raise IntegrityError(f"{element_id}: {damage}", "give the file with source_file (-s)")

    def _place(self, source: Path, base: Mapping[str, Any], changes: Mapping[str, Any], sealing: bool) -> dict[str, str]:
        """Choose where a file goes that replaces another: a free key of its format, and that format."""
        before, wanted = base.get("data_path") or source.name, changes.get("data_path")
        format = format_of(plain_name(source))
        sealed = sealing or is_encrypted(source) or (is_crypt4gh(source) and is_encrypted(before))
        if wanted:
            key = plain_name(wanted) + (ENCRYPTED_SUFFIX if sealed or is_encrypted(wanted) else "")
        else:
            name = name_of(before)
            if format is not None and format != format_of(name):
                name = (PurePosixPath(before).parent / name_of(source.name)).as_posix()
            replaced = name == name_of(before) and "data_path" in base
            key = self.free_key(name + (ENCRYPTED_SUFFIX if sealed else ""), version_of(before) + 1 if replaced else 1)
        if format is None or "data_format" not in base or "data_format" in changes:
            return {"data_path": key}
        return {"data_path": key, "data_format": format.name}

    def free_key(self, key: str, version: int | None = None) -> str:
        """Find a key that no file has or had, for a file of the name of another: that one, or a later version.

        A file that is replaced may still be read at its old key.
        """
        if self._taken is None:
            journal.recover(self.storage)
            self._taken = journal.files_of(self.start)
        name = name_of(key) + (ENCRYPTED_SUFFIX if is_encrypted(key) else "")
        candidates = (key_of(name, number) for number in count(version or version_of(key)))
        taken = has_files if is_tree_path(name) else Storage.exists
        free = next(key for key in candidates if key not in self._taken and not taken(self.storage, key))
        self._taken.add(free)
        return free


def _check_endings(source: Path, key: str) -> None:
    if formats := find_mismatch(source, key):
        raise InvalidInputError(
            f"{source} is {formats[0].name}, and its data_path {key} says {formats[1].name}",
            "give a data_path with the right ending",
        )


def _sizes(document: Document, keys: frozenset[str]) -> dict[str, int | None]:
    """Return the sizes, as a root records them, of those files that it names; those of indexes are not recorded."""
    element_of = document.data_paths()
    sizes: dict[str, int | None] = {key: None for key in keys if not key.startswith(f"{ZARR}/")}
    sizes |= {key: document.element(element_of[key]).get("data_size") for key in keys & element_of.keys()}
    folders = {key.rpartition("/c/")[0].removeprefix(f"{ZARR}/") for key in keys - sizes.keys()}
    for path in folders & document.nodes.keys():
        from modos.tracks.zarr_layout import ArraySpec

        if "shard_sizes" not in document.nodes[path].get("attributes", {}):  # of others: nothing says which chunks it has
            sizes |= {key: None for key in keys if key.startswith(f"{ZARR}/{path}/c/")}
            continue
        spec = ArraySpec.from_node(path, document.nodes[path])
        sizes |= spec.files()
    return sizes
