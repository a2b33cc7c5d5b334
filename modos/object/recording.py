"""Record digests of files and arrays that have none, where the bytes are those that the object says they are."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from modos.encryption.recorded import SealRecord
from modos.encryption.structure import find_damage
from modos.errors import ConflictError, ModosError, NotFoundError, SchemaError
from modos.formats import index_names, is_encrypted, is_file_path, parts_name, read_roots
from modos.formats.crypt4gh import part_size
from modos.metadata import model
from modos.object import commits, damage, journal, transfer
from modos.object.changes import Update, merge
from modos.object.document import Document
from modos.object.file_checks import FileChecks, find_misfits
from modos.object.findings import Finding
from modos.object.part_lists import body_start, digest_stored, put_list
from modos.object.transaction import now
from modos.storage import Storage
from modos.storage.base import Progress, expect, report
from modos.storage.hashing import ThreadedHash
from modos.storage.part_digests import DigestList, PartHasher
from modos.storage.write_log import WriteLog

if TYPE_CHECKING:
    from modos.object.array_recording import ArrayUpdate
    from modos.tracks.zarr_layout import ArraySpec

Attributes = Mapping[str, Any]
_WORKERS = 2  # files that are read at once, each by several threads


@dataclass
class Recording:
    """Result of recording digests.

    Attributes
    ----------
    recorded
        Elements and arrays that have digests now.
    unproven
        Those of them, and what of them is recorded as it is now: nothing said before what it should be.
    findings
        Files and arrays that are not what the object says, of which nothing is recorded.
    """

    recorded: list[str] = field(default_factory=list)
    unproven: list[tuple[str, str]] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON has it."""
        return {
            "recorded": self.recorded,
            "unproven": [{"where": element_id, "message": message} for element_id, message in self.unproven],
            "findings": [finding.to_dict() for finding in self.findings],
        }


def record_digests(
    storage: Storage, start: Document, progress: Progress | None = None, indexes: Mapping[str, str] | None = None
) -> tuple[Document, Recording]:
    """Record digests of files, indexes and arrays that have none, in one commit; returns the object as it is then.

    A file is read once, and compared with its recorded size, checksum and
    seal; of one that differs nothing is recorded.

    Parameters
    ----------
    indexes
        Roots of indexes that have just been written, by their elements.

    Raises
    ------
    InvalidInputError
        The object is in the old layout (Zarr v2).
    ConflictError
        Somebody changed it meanwhile.
    """
    commits.refuse_old_layout(storage, start)
    wanted = [element_id for element_id in start.data_paths().values() if _lacks_digests(start.element(element_id))]
    arrays, found = _find_arrays(start), Recording()
    added = _add_roots(start, {element_id: root for element_id, root in (indexes or {}).items() if element_id not in wanted})
    if not (wanted or arrays or added):
        return start, found
    sizes = {info.key: info.size for info in storage.iter_files()}
    paths = [start.element(element_id)["data_path"] for element_id in wanted]
    expect(progress, sum(sizes.get(path, 0) for path in paths) + sum(sum(spec.sizes) for spec in arrays))
    files = FileChecks(storage, start, sizes, None)
    journal.recover(storage)
    lists = [*map(parts_name, paths), *(spec.list_key for spec in arrays)]
    with journal.keep_record(storage, lists, ()) as change, ThreadPoolExecutor(_WORKERS) as pool:
        examined = pool.map(lambda element_id: _examine(files, element_id, change, progress, found), wanted)
        updates = [update for update in examined if update is not None]
        of_arrays = _record_arrays(change, arrays, sizes, progress, found)

        def apply(document: Document) -> None:
            for update in [*updates, *added]:
                update.apply(document)
            for array in of_arrays:
                array.apply(document)
            document.attributes["last_update_date"] = now()

        def check(document: Document) -> None:
            known = {document.element(u.element_id)["data_path"]: document.element(u.element_id)["data_size"] for u in updates}
            change.check(known | dict.fromkeys(change.keys) | {k: n for u in of_arrays for k, n in u.spec.files().items()})

        if not (updates or added or of_arrays):
            return start, found
        found.unproven.sort()
        found.recorded = [update.element_id for update in updates] + [update.spec.path for update in of_arrays]
        return commits.commit(storage, apply, start, check), found


def _add_roots(start: Document, indexes: Mapping[str, str]) -> list[Update]:
    """Return what records one more index of some elements."""
    known = {element_id: start.element(element_id) for element_id in indexes}
    return [
        Update(element_id, {"index_digests": [*read_roots(known[element_id], "index_digests"), root]}, known[element_id])
        for element_id, root in indexes.items()
    ]


def _find_arrays(document: Document) -> list[ArraySpec]:
    if not any(node.get("node_type") == "array" for node in document.nodes.values()):
        return []
    from modos.object.array_recording import find_arrays

    return find_arrays(document)


def _record_arrays(
    log: WriteLog, arrays: Sequence[ArraySpec], sizes: Mapping[str, int], progress: Progress | None, found: Recording
) -> list[ArrayUpdate]:
    """Read arrays one after the other, each on all cores; returns what is to be recorded."""
    if not arrays:
        return []
    from modos.object.array_recording import ArrayUpdate, record_array

    updates = []
    for spec in arrays:
        result = record_array(log, spec, sizes, progress)
        if not isinstance(result, ArrayUpdate):
            found.findings += result
            continue
        updates.append(result)
        if not result.is_proven:
            found.unproven.append((spec.path, "is recorded as it is now: nothing said before which shards it has"))
    return updates


def _lacks_digests(attributes: Attributes) -> bool:
    path = attributes.get("data_path")
    return path is not None and is_file_path(path) and not attributes.get("data_digest")


def _examine(files: FileChecks, element_id: str, log: WriteLog, progress: Progress | None, found: Recording) -> Update | None:
    """Read an element's file and its indexes; returns what is to be recorded, or None."""
    storage, attributes = files.storage, files.document.element(element_id)
    path = attributes["data_path"]
    wrong = list(_find_wrong(storage, element_id, attributes))
    if wrong:
        found.findings += wrong
        return None
    info = storage.stat(path)
    read = _read(storage, path, attributes, progress)
    if storage.stat(path).etag != info.etag:
        raise ConflictError(f"{storage.url}/{path} was changed by somebody else meanwhile", "nothing was changed: try again")
    if read.wrong:
        found.findings.append(Finding("checksum", element_id, f"{path} does not have the recorded {read.wrong}"))
        return None
    changes = {"data_digest": read.digests.root, "data_size": info.size, "index_digests": None} | read.changes
    changes["index_digests"] = _examine_indexes(files, element_id, path, attributes, found) or None
    try:
        model.validate(merge(attributes, changes), element_id)
    except SchemaError as error:
        found.findings.append(Finding("schema", element_id, error.message.removeprefix(f"{element_id}: ")))
        return None
    if not read.is_proven:
        found.unproven.append((element_id, f"{path} is recorded as it is now: nothing said before which bytes it has"))
    put_list(storage, path, read.digests)
    if read.digests.is_stored:
        log.wrote(parts_name(path))
    return Update(element_id, changes, attributes)


def _find_wrong(storage: Storage, element_id: str, attributes: Attributes) -> Iterator[Finding]:
    path = attributes["data_path"]
    try:
        size = storage.stat(path).size
    except NotFoundError:
        yield Finding("missing", element_id, f"there is no file {path}")
        return
    except ModosError as error:
        yield Finding("path", element_id, error.message)
        return
    if attributes.get("data_size", size) != size:
        yield Finding("size", element_id, f"{path} has {size:,} bytes, recorded are {attributes['data_size']:,}")
    elif wrong := find_damage(storage, path, SealRecord.from_attributes(attributes)):
        yield Finding("seal", element_id, wrong)


@dataclass(frozen=True)
class _Read:
    """Result of reading a file: its digests, what of it differs from its record, and whether anything could be compared."""

    digests: DigestList
    wrong: str = ""
    is_proven: bool = False
    changes: dict[str, Any] = field(default_factory=dict)


def _read(storage: Storage, path: str, attributes: Attributes, progress: Progress | None) -> _Read:
    """Read a file once, and compare it with the checksum and the seal that are recorded."""
    checksum, seal = attributes.get("data_checksum"), SealRecord.from_attributes(attributes).seal
    if checksum is None and (seal is None or not is_encrypted(path)):
        return _Read(digest_stored(storage, path, progress))
    from modos.encryption import body

    size, start = storage.stat(path).size, body_start(storage, path)
    part = part_size(path)
    parts, of_body, of_whole, of_seal = PartHasher(part), ThreadedHash(), ThreadedHash(), body.Digest()
    whole = bool(start) and checksum is not None and transfer.counts_whole(attributes)
    if whole:
        of_whole.update(storage.read_part(path, 0, start)[0])
    for piece in report(storage.iter_range(path, start, size, part), progress):
        if checksum is not None:
            of_body.update(piece)
        if whole:
            of_whole.update(piece)
        if seal is not None and start:
            of_seal.add(piece)
        parts.update(piece)
    digests, found = parts.finish(), of_body.hexdigest()
    if checksum is not None and (of_whole.hexdigest() if whole else found) != str(checksum):
        return _Read(digests, "checksum")
    if seal is not None and start and of_seal.hexdigest() != seal:
        return _Read(digests, "seal digest")
    return _Read(digests, is_proven=True, changes={"data_checksum": found} if whole else {})


def _examine_indexes(files: FileChecks, element_id: str, path: str, attributes: Attributes, found: Recording) -> list[str]:
    """Look which indexes belong to a file, and return their roots."""
    record = SealRecord.from_index_attributes(attributes)
    misfits = {name: told for name, (_, told) in find_misfits(files, path, False, None, None).items()}
    for name in (name for name in index_names(path) if name in files.sizes):
        if wrong := find_damage(files.storage, name, record):
            misfits[name] = wrong
        elif is_encrypted(name) and not record.headers:
            found.unproven.append((element_id, f"{name} is recorded as it is now: no digest of its header was recorded"))
    found.findings += [Finding("index", element_id, told) for told in misfits.values()]
    return [root for name, root in damage.digest_indexes(files.storage, path, files.sizes).items() if name not in misfits]
