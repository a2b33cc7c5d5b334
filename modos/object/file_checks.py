"""Check the files of an object, their indexes and their lists of digests against its metadata."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from modos.encryption.keys import SecretKey
from modos.encryption.recorded import SealRecord, has_no_index
from modos.encryption.structure import find_damage
from modos.errors import DecryptError, IntegrityError, ModosError, NotFoundError
from modos.formats import format_of, index_names, is_compressed, is_encrypted, is_file_path, parts_name, plain_name, read_roots
from modos.object import damage
from modos.object.cut_lists import find_damaged_cuts
from modos.object.document import Document
from modos.object.findings import Finding, describe_ranges
from modos.object.part_lists import body_start, digest_stored
from modos.storage import Storage
from modos.storage.base import Progress, Readable
from modos.storage.part_digests import DigestList, find_differing

Attributes = Mapping[str, Any]
Compare = Callable[[str, Attributes], Iterator[Finding]]  # compares the bytes of an element's file


@dataclass
class FileChecks:
    """Checks of the files of elements.

    Parameters
    ----------
    sizes
        Of all files of the object, by their keys.
    compare
        Compares the bytes of a file with what is recorded; None if they are not read.

    Attributes
    ----------
    checked
        Elements of the files that are there, by these.
    sound
        Those files with which nothing is wrong.
    damaged_indexes
        Encrypted indexes that are not what their names or headers should say.
    """

    storage: Storage
    document: Document
    sizes: Mapping[str, int]
    compare: Compare | None
    checked: dict[str, str] = field(default_factory=dict)
    sound: set[str] = field(default_factory=set)
    damaged_indexes: set[str] = field(default_factory=set)

    def run(self) -> Iterator[Finding]:
        """Check all files."""
        seen: dict[str, str] = {}
        for element_id in self.document.ids():
            attributes = self.document.element(element_id)
            path = attributes.get("data_path")
            if path == "" and attributes.get("data_checksum"):
                yield Finding("path", element_id, "the checksum of a file is recorded, and no file")
            if not path or not is_file_path(path):
                continue
            if path in seen:
                yield Finding("path", element_id, f"its file {path} belongs to {seen[path]} too")
                continue
            seen[path] = element_id
            yield from self._check_file(element_id, path, attributes)

    def _check_file(self, element_id: str, path: str, attributes: Attributes) -> Iterator[Finding]:
        try:
            size = self.storage.stat(path).size
        except NotFoundError:
            yield Finding("missing", element_id, f"there is no file {path}")
            return
        except ModosError as error:
            yield Finding("path", element_id, error.message)
            return
        found = list(self._find_misfits(element_id, path, attributes, size))
        self.checked[path] = element_id
        if all(finding.fixable or finding.harmless for finding in found):
            self.sound.add(path)
        yield from found
        yield from self._check_beside(element_id, path, attributes)

    def _find_misfits(self, element_id: str, path: str, attributes: Attributes, size: int) -> Iterator[Finding]:
        if attributes.get("data_size", size) != size:
            yield Finding("size", element_id, f"{path} has {size:,} bytes, recorded are {attributes['data_size']:,}")
        elif wrong := find_damage(self.storage, path, SealRecord.from_attributes(attributes)):
            yield Finding("seal", element_id, wrong)
        elif self.compare:
            yield from self.compare(element_id, attributes)

    def _check_beside(self, element_id: str, path: str, attributes: Attributes) -> Iterator[Finding]:
        indexes, format = [name for name in index_names(path) if name in self.sizes], format_of(plain_name(path))
        for name in indexes:
            if wrong := find_damage(self.storage, name, SealRecord.from_index_attributes(attributes)):
                self.damaged_indexes.add(name)
                yield Finding("seal", element_id, wrong)
        if attributes.get("cuts_checksum") and (wrong := find_damaged_cuts(self.storage, attributes)):
            yield Finding("seal", element_id, wrong)
        if indexes and is_encrypted(path) and has_no_index(attributes):
            yield Finding(
                "unknown",
                element_id,
                f"no digest of the header of {indexes[0]} is recorded: it may be another index, "
                "which leaves out records (`modos check --secret-key` looks at it, `modos c4gh "
                "revoke --rotate` records one)",
            )
        if plain := _plain_index(path, self.sizes, attributes):
            yield Finding(
                "unknown",
                element_id,
                f"{path} is encrypted, and its index {plain} is not: `modos c4gh revoke --rotate` encrypts it",
            )
        elif format and format.streamable and not indexes:
            yield Finding("index", element_id, f"{path} has no index")


def _plain_index(path: str, sizes: Mapping[str, int], attributes: Attributes) -> str | None:
    """Find the plain index of an encrypted file that has no encrypted one and had none."""
    if (
        not is_encrypted(path)
        or SealRecord.from_index_attributes(attributes).has_bytes
        or any(name in sizes for name in index_names(path))
    ):
        return None
    return next((name for name in index_names(plain_name(path)) if name in sizes), None)


def compare_whole(storage: Storage, progress: Progress | None) -> Compare:
    """Return what reads a file as a whole, and compares it with its digests, or with its checksum where it has none."""

    def compare(element_id: str, attributes: Attributes) -> Iterator[Finding]:
        path = attributes["data_path"]
        try:
            if attributes.get("data_digest"):
                yield from _compare_digests(storage, element_id, attributes, progress)
            elif not _has_checksum(storage, attributes, progress):
                yield Finding("checksum", element_id, f"{path} does not have the recorded checksum")
        except NotFoundError:
            yield Finding("missing", element_id, f"there is no file {path}: it was removed meanwhile")

    return compare


def leave_out(compare: Compare, verified: Container[str]) -> Compare:
    """Return what compares files but for those of some elements."""
    return lambda element_id, attributes: iter(()) if element_id in verified else compare(element_id, attributes)


def _has_checksum(storage: Storage, attributes: Attributes, progress: Progress | None) -> bool:
    recorded = attributes.get("data_checksum")
    if recorded is None:
        return True
    from modos.object import transfer

    whole = transfer.counts_whole(attributes)
    return transfer.measure(storage, attributes["data_path"], progress, whole=whole)[1] == str(recorded)


def _compare_digests(storage: Storage, element_id: str, attributes: Attributes, progress: Progress | None) -> Iterator[Finding]:
    path, root = attributes["data_path"], attributes["data_digest"]
    try:
        found = digest_stored(storage, path, progress)
    except ModosError as error:
        if type(error) is not ModosError or storage.is_remote:
            raise
        yield _describe_unreadable(storage, element_id, attributes, error)
        return
    if found.root != root:
        yield _describe_damage(storage, element_id, attributes, found)
    else:
        yield from check_list(storage, path, found)


def _describe_unreadable(storage: Storage, element_id: str, attributes: Attributes, error: ModosError) -> Finding:
    """Describe a file that a disk does not give, as far as its list of digests tells where."""
    path = attributes["data_path"]
    start = body_start(storage, path)
    layout = damage.layout_of(attributes, start, storage.stat(path).size)
    try:
        expected = damage.load_list(storage, path, layout, attributes["data_digest"])
    except ModosError:
        return Finding("checksum", element_id, f"{path} cannot be read: {error.message}")
    ranges = damage.ranges_of(damage.find_damaged(storage, path, expected, start), layout, start)
    told = f"{describe_ranges(ranges)} of {path} cannot be read, or are not those that are recorded: {error.message}"
    return Finding("checksum", element_id, told, ranges)


def _describe_damage(storage: Storage, element_id: str, attributes: Attributes, found: DigestList) -> Finding:
    path, size = attributes["data_path"], storage.stat(attributes["data_path"]).size
    start = size - found.layout.sizes[0]
    layout = damage.layout_of(attributes, start, size)
    if layout.parts < 2:
        return Finding("checksum", element_id, f"{path} does not have the recorded digest")
    try:
        expected = damage.load_list(storage, path, layout, attributes["data_digest"])
    except IntegrityError as error:
        return Finding(
            "checksum", element_id, f"{path} does not have the recorded digest; where it differs cannot be told: {error.message}"
        )
    ranges = damage.ranges_of(find_differing(found.digests, expected.digests), layout, start)
    return Finding("checksum", element_id, f"{describe_ranges(ranges)} of {path} are not those that are recorded", ranges)


def check_list(storage: Storage, path: str, digests: DigestList) -> Iterator[Finding]:
    """Compare the list of digests beside a file with those of the file, which are the recorded ones."""
    name = parts_name(path)
    if digests.is_stored:
        try:
            damage.load_list(storage, path, digests.layout, digests.root)
        except IntegrityError as error:
            yield Finding("list", name, f"{error.message.removeprefix(name).strip()}, and {path} is what it was")


def check_indexes(files: FileChecks, thorough: bool, secret: SecretKey | None, progress: Progress | None) -> Iterator[Finding]:
    """Find indexes that do not belong to their files, as they are read, or are not those that are recorded."""
    for path, element_id in files.checked.items():
        misfits = find_misfits(files, path, thorough, secret, progress) if path in files.sound else {}
        yield from (Finding("unknown" if kind is DecryptError else "index", element_id, told) for kind, told in misfits.values())
        if files.compare is not None:
            yield from _compare_indexes(files, element_id, misfits.keys() | files.damaged_indexes)


def find_misfits(
    files: FileChecks, path: str, thorough: bool, secret: SecretKey | None, progress: Progress | None
) -> dict[str, tuple[type[IntegrityError], str]]:
    """Find indexes of a file that do not lead to its records: what is wrong, by their keys."""
    format, view = format_of(plain_name(path)), _open_plain(files.storage, path, secret)
    if view is None or not format or not (format.streamable or format.name == "FASTA"):
        return {}
    from modos.genomics import indexer

    found: dict[str, tuple[type[IntegrityError], str]] = {}
    for name in (name for name in index_names(path) if name in files.sizes):
        try:
            if format.streamable:
                indexer.check_index(view, plain_name(path), plain_name(name), thorough=thorough, progress=progress)
            elif plain_name(name).endswith(".fai") and not is_compressed(plain_name(path)):
                _check_fai(view, plain_name(path), plain_name(name), thorough)
        except DecryptError as error:
            found[name] = DecryptError, error.message
        except IntegrityError as error:
            found[name] = IntegrityError, error.message
    return found


def _compare_indexes(files: FileChecks, element_id: str, told: Container[str]) -> Iterator[Finding]:
    """Compare the indexes of a file with their digests, where such are recorded; those in `told` are known to be others."""
    attributes = files.document.element(element_id)
    path, recorded = attributes["data_path"], read_roots(attributes, "index_digests")
    if not recorded:
        return
    found = damage.digest_indexes(files.storage, path, files.sizes)
    others = [name for name, root in found.items() if root not in recorded]
    lacking = set(recorded) - set(found.values())
    is_read = bool(lacking) or next(iter(found), None) in others  # the first of several is the one that is read
    for name in (name for name in others if name not in told):
        yield Finding("index" if is_read else "unknown", element_id, f"{name} is not an index of {path} that is recorded")
    format = format_of(plain_name(path))
    is_told = not found and format is not None and format.streamable
    if len(lacking) > len(others) and not is_told:
        yield Finding("missing", element_id, f"{path} lacks an index that is recorded")


def _check_fai(files: Readable, key: str, index_key: str, thorough: bool) -> None:
    from modos.reference.fai import check_fai

    index, _ = files.read_part(index_key, 0, files.stat(index_key).size)
    try:
        check_fai(lambda start, end: files.read_part(key, start, end)[0], files.stat(key).size, index, thorough=thorough)
    except IntegrityError as error:
        raise IntegrityError(f"{index_key} does not fit {key}: {error.message}") from None


def _open_plain(storage: Storage, path: str, secret: SecretKey | None) -> Readable | None:
    """Return the storage that a file is read through; None for an encrypted one without a key."""
    if not is_encrypted(path):
        return storage
    if secret is None:
        return None
    from modos.encryption.view import DecryptedView

    return DecryptedView(storage, secret)
