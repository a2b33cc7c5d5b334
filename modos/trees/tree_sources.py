"""The places that trees come from: a folder of this machine, a zip file, or an S3 prefix."""

from __future__ import annotations

import os
import stat
import zipfile
import zlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

from modos.errors import ConflictError, IntegrityError, InvalidInputError, NotFoundError, TruncatedStream
from modos.errors.escaping import escape_line
from modos.formats import format_of, tree_name
from modos.storage import Storage
from modos.storage.zip_format import HEAD, TAIL, find_directory
from modos.trees.kinds import MOST_METADATA, TreeMetadata
from modos.trees.manifest import MOST_FILES, check_names
from modos.trees.tree_roots import ROOTS, check_root

_PIECE = 4 << 20
_HINT, _UNIX = "unpack it, and give the folder", 3  # the number of a system in zip files
_LONGEST = 1000  # characters of the name of a file


@dataclass(frozen=True)
class SourceFile:
    """File of a tree that is brought: its name, its bytes, and a mark that changes with them."""

    name: str
    size: int
    mark: str


class TreeSource(ABC):
    """A tree that is to be brought into an object.

    Parameters
    ----------
    place
        As people named it.
    """

    def __init__(self, place: str):
        self.place = place

    @property
    def name(self) -> str:
        """Name of the tree, which ends with `.zarr`."""
        return tree_name(self.place)

    def list_files(self) -> list[SourceFile]:
        """List the files of the tree.

        Raises
        ------
        InvalidInputError
            It is no Zarr hierarchy, leads out of itself, or has too many files.
        """
        found: list[SourceFile] = []
        for file in self._iter_files():
            found.append(file)
            if len(found) > MOST_FILES:
                raise InvalidInputError(f"{self.place} has more than {MOST_FILES:,} files", "write its arrays in shards")
        check_names((file.name for file in found), self.place)
        names = {file.name for file in found}
        check_root(self.open_metadata(found).read, names, self.place)
        if taken := next((name for name in names if any(f in names for f in _folders_of(name))), None):
            raise InvalidInputError(f"{self.place} has a file and a folder of one name, at {taken}", "no folder can hold both")
        return found

    def check_unchanged(self, files: Iterable[SourceFile]) -> None:
        """Raise ConflictError where a file was added, removed or changed since the files were listed."""
        before = {file.name: file for file in files}
        for file in self._iter_files():
            if before.pop(file.name, None) != file:
                raise _changed_error(self.place, file.name)
        if before:
            raise _changed_error(self.place, next(iter(before)))

    @abstractmethod
    def _iter_files(self) -> Iterator[SourceFile]:
        """Iterate over the files."""

    @abstractmethod
    def iter_bytes(self, file: SourceFile) -> Iterator[bytes]:
        """Iterate over the bytes of a file in pieces; raise ConflictError where it is not as it was listed."""

    def open_metadata(self, files: Iterable[SourceFile]) -> TreeMetadata:
        """Return the metadata of its groups and arrays, read as they are asked for."""
        known = {file.name: file for file in files}

        def read(name: str) -> bytes | None:
            file = known.get(name)
            if file and file.size > MOST_METADATA:
                raise InvalidInputError(
                    f"{self.place}/{name} has {file.size:,} bytes, too many for metadata", "write the tree again"
                )
            return b"".join(self.iter_bytes(file)) if file else None

        return TreeMetadata(read, tuple(sorted(known)), self.place)


class FolderTree(TreeSource):
    """A tree in a folder of this machine. Links to files in it are followed."""

    def _iter_files(self) -> Iterator[SourceFile]:
        return self._iter_folder(self.place, "")

    def _iter_folder(self, folder: str, prefix: str) -> Iterator[SourceFile]:
        if len(prefix) > _LONGEST:
            raise InvalidInputError(
                f"{self.place} has folders in folders, at {prefix[:40]}, whose path is too long", "rename them"
            )
        try:
            with os.scandir(folder) as entries:
                found = sorted(entries, key=lambda entry: entry.name)
        except OSError as error:
            raise InvalidInputError(f"the folder {folder} cannot be read: {error.strerror}", "have its owner permit it") from None
        for entry in found:
            name = prefix + entry.name
            if entry.is_symlink():
                self._refuse_link(entry.path, name)
            if entry.is_dir(follow_symlinks=False):
                yield from self._iter_folder(entry.path, f"{name}/")
            else:
                yield self._describe(entry.path, name)

    def _refuse_link(self, path: str, name: str) -> None:
        real, root = os.path.realpath(path), os.path.realpath(self.place)
        if not real.startswith(f"{root}/"):
            raise InvalidInputError(f"{self.place}/{name} is a link that leads out of the tree", "put the file itself there")
        if os.path.isdir(path):
            raise InvalidInputError(f"{self.place}/{name} is a link to a folder", "put the folder itself there")

    def _describe(self, path: str, name: str) -> SourceFile:
        try:
            status = os.stat(path)
        except OSError as error:
            raise InvalidInputError(f"{path} cannot be read: {error.strerror}", "mend or remove it") from None
        if not stat.S_ISREG(status.st_mode):
            raise InvalidInputError(f"{path} is no regular file", "a tree has only files and folders: remove it")
        return SourceFile(name, status.st_size, _mark_of(status))

    def iter_bytes(self, file: SourceFile) -> Iterator[bytes]:
        """Iterate over the bytes of a file; see `TreeSource.iter_bytes`."""
        path, length = f"{self.place}/{file.name}", 0
        try:
            with open(path, "rb", buffering=0, opener=_open_nonblocking) as opened:
                before = after = _mark_of(os.fstat(opened.fileno()))
                if before == file.mark:  # and no device, which has no end
                    while length <= file.size and (piece := opened.read(min(_PIECE, file.size + 1))):
                        length += len(piece)
                        yield piece
                    after = _mark_of(os.fstat(opened.fileno()))
        except FileNotFoundError:
            raise _changed_error(self.place, file.name) from None
        except PermissionError:
            raise InvalidInputError(f"no permission to read {path}", "have its owner permit it (chmod)") from None
        if before != file.mark or after != file.mark or length != file.size:
            raise _changed_error(self.place, file.name)


class StoredTree(TreeSource):
    """A tree under an S3 prefix."""

    def __init__(self, place: str, storage: Storage):
        super().__init__(place)
        self._storage = storage

    def list_files(self) -> list[SourceFile]:
        """List the files of the tree; see `TreeSource.list_files`."""
        if next(self._storage.iter_files(), None) is None:
            raise NotFoundError(
                f"there is no Zarr tree at {self.place}", "of what is at S3, trees are taken: download a file, and give the copy"
            )
        return super().list_files()

    def _iter_files(self) -> Iterator[SourceFile]:
        return (SourceFile(info.key, info.size, info.etag) for info in self._storage.iter_files())

    def iter_bytes(self, file: SourceFile) -> Iterator[bytes]:
        """Iterate over the bytes of a file; see `TreeSource.iter_bytes`."""
        try:
            for at in range(0, max(file.size, 1), _PIECE):
                data, info = self._storage.read_part(file.name, at, at + _PIECE, if_match=file.mark)
                if len(data) != min(_PIECE, file.size - at) or info.size != file.size:
                    raise TruncatedStream(f"{self.place}/{file.name} has another size")
                yield data
        except (ConflictError, NotFoundError, TruncatedStream):
            raise _changed_error(self.place, file.name) from None


class ZippedTree(TreeSource):
    """A tree in a zip file, as zarr's ZipStore writes it, or in a folder in that."""

    def __init__(self, place: str):
        super().__init__(place)
        try:
            _check_directory(place)
            self._zip = zipfile.ZipFile(place)
        except (IntegrityError, InvalidInputError) as error:
            raise InvalidInputError(error.message, _HINT) from None
        except (zipfile.BadZipFile, OSError, NotImplementedError) as error:
            raise InvalidInputError(f"{place} is no zip file that can be read: {error}", _HINT) from None
        self._entries = self._list_entries()

    def _list_entries(self) -> Mapping[str, zipfile.ZipInfo]:
        infos = [info for info in self._zip.infolist() if not info.is_dir()]
        folders = {info.filename.partition("/")[0] for info in infos}
        inner = f"{next(iter(folders))}/" if len(folders) == 1 and not folders.intersection(ROOTS) else ""
        found: dict[str, zipfile.ZipInfo] = {}
        for info in infos:
            name = info.filename.removeprefix(inner)
            if name in found:
                raise InvalidInputError(
                    f"{self.place} has {name!r} twice", "zip it again: which one counts, a zip file does not say"
                )
            self._check_entry(info)
            found[name] = info
        self._refuse_overlap(infos)
        return found

    def _check_entry(self, info: zipfile.ZipInfo) -> None:
        where, kind = f"{self.place}: {escape_line(info.filename)}", stat.S_IFMT(info.external_attr >> 16)
        if info.flag_bits & 1:
            raise InvalidInputError(f"{where} is encrypted (a password of zip)", _HINT)
        if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise InvalidInputError(f"{where} is compressed in a way that is not read (method {info.compress_type})", _HINT)
        if info.create_system == _UNIX and kind not in (0, stat.S_IFREG):
            raise InvalidInputError(f"{where} is a link or a device, and no file", "zip the files themselves")
        if info.filename != info.orig_filename:
            raise InvalidInputError(f"{where} has another name than it says, {info.orig_filename!r}", "do not unpack it")

    def _refuse_overlap(self, infos: Iterable[zipfile.ZipInfo]) -> None:
        """Refuse entries that share bytes: a small file would become a large one, and a changed one several."""
        beyond, last = self._zip.start_dir, "the directory"
        for info in sorted(infos, key=lambda info: info.header_offset, reverse=True):
            if info.header_offset + HEAD + info.compress_size > beyond:
                raise InvalidInputError(f"{self.place}: {escape_line(info.filename)} lies over {last}", "zip the tree again")
            beyond, last = info.header_offset, escape_line(info.filename)

    def _iter_files(self) -> Iterator[SourceFile]:
        return (SourceFile(name, info.file_size, str(info.CRC)) for name, info in self._entries.items())

    def iter_bytes(self, file: SourceFile) -> Iterator[bytes]:
        """Iterate over the bytes of an entry, which are compared with its CRC-32; see `TreeSource.iter_bytes`."""
        length = 0
        try:
            with self._zip.open(self._entries[file.name]) as entry:
                while piece := entry.read(_PIECE):
                    length += len(piece)
                    if length > file.size:
                        break
                    yield piece
        except (zipfile.BadZipFile, zlib.error, EOFError, OSError, NotImplementedError) as error:
            raise InvalidInputError(f"{self.place}: {file.name} in it is damaged: {error}", "zip the tree again") from None
        if length != file.size:
            raise InvalidInputError(f"{self.place}: {file.name} in it does not have the size that it says", "zip the tree again")


def _check_directory(place: str) -> None:
    """Refuse a zip file whose directory is not where its end says, or too large to be held."""
    with open(place, "rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(size - TAIL, 0))
        find_directory(file.read(), size, place)


def is_tree_source(place: str | os.PathLike[str]) -> bool:
    """Return whether a place says that it is a tree: a folder with its root, a zip file, or an address at S3."""
    text = os.fspath(place)
    if os.path.isdir(text):
        return any(os.path.exists(os.path.join(text, name)) for name in ROOTS)
    return _is_tree_address(text) or (text.lower().endswith(".zip") and os.path.isfile(text))


def _is_tree_address(text: str) -> bool:
    """Return whether an address at S3 may be that of a tree: its name is not that of a file of another format."""
    format = format_of(text)
    return text.startswith("s3://") and (format is None or format.name == "Zarr")


def find_source(place: str | os.PathLike[str], open_remote: Callable[[str], Storage]) -> TreeSource | None:
    """Return the tree at a place, or None if what is there is no folder, no S3 address and no zip file.

    Parameters
    ----------
    open_remote
        Opens a place at S3.
    """
    text = os.fspath(place)
    if _is_tree_address(text):
        return StoredTree(text.rstrip("/"), open_remote(text))
    if os.path.isdir(text):
        return FolderTree(text.rstrip("/") or "/")
    if text.lower().endswith(".zip") and os.path.isfile(text) and zipfile.is_zipfile(text):
        return ZippedTree(text)
    return None


def _folders_of(name: str) -> Iterator[str]:
    at = name.find("/")
    while at >= 0:
        yield name[:at]
        at = name.find("/", at + 1)


def _mark_of(status: os.stat_result) -> str:
    return f"{status.st_dev}-{status.st_ino}-{status.st_size}-{status.st_mtime_ns}-{status.st_ctime_ns}"


def _open_nonblocking(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NONBLOCK)  # a FIFO that took the place of a file is not waited for


def _changed_error(place: str, name: str) -> ConflictError:
    return ConflictError(f"{place}/{name} was changed or removed while the tree was read", "try again when nobody writes to it")
