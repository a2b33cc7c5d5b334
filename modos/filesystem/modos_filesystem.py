"""The filesystem of fsspec for `modos://` addresses."""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

from fsspec.spec import AbstractFileSystem
from fsspec.utils import tokenize

from modos.errors import AccessError, ConflictError, IntegrityError, InvalidInputError, NotFoundError, did_you_mean
from modos.filesystem.block_files import BlockFile
from modos.filesystem.failures import BadAddressError, FolderMeantError, ReadOnlyError, translate
from modos.filesystem.object_folders import Entry, ObjectFolder
from modos.filesystem.object_places import PROTOCOL, Places, Reach, strip_protocol
from modos.filesystem.read_trees import is_chunk, make_gone_error
from modos.storage.prefetch import fetch_ahead
from modos.storage.s3_arguments import check_no_secrets

if TYPE_CHECKING:
    from modos.encryption.keys import SecretKey

Result = TypeVar("Result")

_READERS = 8  # files or ranges that are read at once
_BLOCK = 1 << 20  # bytes that an open file reads ahead
_GENERAL = ("asynchronous", "loop", "batch_size", "use_listings_cache", "listings_expiry_time", "max_paths")
_OWN = ("endpoint", "services", "s3_kwargs", "secret_key", "passphrase", "allow_pickle", "block_size", "anon")


class _OfSurroundings(type(AbstractFileSystem)):  # type: ignore[misc]
    """Makes filesystems, of which fsspec keeps one for each set of options: here, where the environment is the same, too."""

    @property
    def _surroundings(cls) -> tuple[str, int]:
        names = sorted(name for name in os.environ if name.startswith("AWS_") or name == "MODOS_ENDPOINT")
        try:
            folder = os.getcwd()  # in which the file of a key may be
        except FileNotFoundError:
            folder = ""
        return folder, hash(tuple((name, os.environ.get(name)) for name in names))


class ModosFileSystem(AbstractFileSystem, metaclass=_OfSurroundings):  # type: ignore[misc]
    """The files, Zarr trees and arrays of objects, by addresses, read-only.

    `modos://bucket/ex/demo1.cram` is a file of the object `s3://bucket/ex`,
    `modos:///data/ex/demo1.cram` one of the folder /data/ex. Encrypted files
    have their plain names, and are decrypted in memory. Safe to use from
    several threads; a process that is forked or started has its own.

    Parameters
    ----------
    endpoint, services, s3_kwargs
        How objects at S3 are reached: see `modos.api.MODO`.
    secret_key
        The key, or its file, to open encrypted data with. What is pickled has
        the path of the file, and never the key.
    passphrase
        Of the secret key; `C4GH_PASSPHRASE` where it is None.
    allow_pickle
        Give out arrays of Zarr trees whose codecs run code that is in their chunks.
    block_size
        Bytes that an open file reads at once, at least.
    anon
        Ask S3 without keys, where there are no `s3_kwargs`; pandas tries so what was refused.

    Raises
    ------
    FileNotFoundError
        There is no such object, or its newest root document records no such file.
    PermissionError
        S3 refuses; or it is encrypted, and there is no key.
    OSError
        All else: EIO where bytes are not those that are recorded or the key
        does not open them, ESTALE where a file was replaced since it was
        opened, EROFS for what writes, EINVAL for an address that cannot be.
        Each is a ModosError, too.
    """

    protocol = PROTOCOL
    root_marker = ""
    _extra_tokenize_attributes = ("_surroundings",)

    def __init__(
        self,
        *,
        endpoint: str | None = None,
        services: Mapping[str, str] | None = None,
        s3_kwargs: dict[str, Any] | None = None,
        secret_key: SecretKey | str | Path | None = None,
        passphrase: str | None = None,
        allow_pickle: bool = False,
        block_size: int | None = None,
        anon: bool = False,
        **general: Any,
    ):
        with translate():
            _check_options(general)
            self._secret = _load_key(secret_key, passphrase)
        super().__init__(**general)
        self._key_path = os.path.abspath(secret_key) if isinstance(secret_key, (str, Path)) else None
        self._block_size = block_size or _BLOCK
        make_folder = partial(ObjectFolder, secret=self._secret, allow_pickle=allow_pickle)
        self._places = Places(Reach(endpoint, services, s3_kwargs or ({"anon": True} if anon else None)), make_folder)

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle the options, a key by the path of its file; AccessError where a secret would be in the pickle."""
        return _make_filesystem, (self._public_options(),)

    def __dask_tokenize__(self) -> Any:
        """Return what tells this filesystem from others, without secrets."""
        public = None if self._secret is None else str(self._secret.public)
        options = {name: value for name, value in self.storage_options.items() if name not in ("passphrase", "secret_key")}
        s3_kwargs = {name: value for name, value in (options.pop("s3_kwargs", None) or {}).items() if name == "anon"}
        return tokenize(type(self), public, options, s3_kwargs)

    def to_dict(self, *, include_password: bool = True) -> dict[str, Any]:
        """Write the options down, as pickles have them; AccessError where a secret would be among them."""
        return {
            "cls": f"{type(self).__module__}:{type(self).__name__}",
            "protocol": PROTOCOL,
            "args": (),
            **self._public_options(),
        }

    def _public_options(self) -> dict[str, Any]:
        options = dict(self.storage_options)
        check_no_secrets(options.get("s3_kwargs"))
        if options.get("passphrase") is not None:
            raise AccessError(
                "a filesystem with a passphrase is not pickled: it would be in the pickle",
                "set C4GH_PASSPHRASE, which the processes inherit that are started",
            )
        if self._secret is not None and self._key_path is None:
            raise AccessError("a secret key is not pickled", "give the path of its file as secret_key, which each process reads")
        return options if self._key_path is None else options | {"secret_key": self._key_path}

    @classmethod
    def _strip_protocol(cls, path: Any) -> Any:
        """Return addresses without `modos://`, of one or of several."""
        if isinstance(path, list):
            return [cls._strip_protocol(one) for one in path]
        return strip_protocol(os.fspath(path))

    def unstrip_protocol(self, name: str) -> str:
        """Return a whole address."""
        return f"{PROTOCOL}://{self._strip_protocol(name)}"

    @classmethod
    def _parent(cls, path: str) -> str:
        """Return the address of the folder that something is in."""
        place: str = cls._strip_protocol(path)
        return place.rpartition("/")[0] or place[:1].strip("/") or ("/" if place.startswith("/") else "")

    def split(self, path: str) -> tuple[str, str]:
        """Return the address of the object that something lies in, as `MODO` takes it, and the path of the rest within it."""
        with translate():
            place: str = self._strip_protocol(path)
            _, top, within = self._locate(place)
            return (top if place.startswith(("/", "http://", "https://")) else f"s3://{top}"), within

    def _locate(self, path: str) -> tuple[ObjectFolder, str, str]:
        """Find the object that something lies in, its own place, and the path within it."""
        place = self._strip_protocol(path)
        found = self._places.find(place)
        if not found[0].is_there():
            self._places.forget(found[0])
            found = self._places.find(place)
        return found

    def _find(self, path: str) -> Entry:
        folder, _, within = self._locate(path)
        return folder.find(within)

    def _find_file(self, path: str) -> tuple[Entry, int, Callable[[int, int], bytes]]:
        """Find a file; returns it, its plain size, and what reads it."""
        entry = self._find(path)
        if entry.read is None or entry.size is None:
            raise FolderMeantError(f"{self.unstrip_protocol(path)} is a folder", "name a file in it")
        return entry, entry.size, entry.read

    def invalidate_cache(self, path: str | None = None) -> None:
        """Look at once for what others have committed, which at S3 is done once a second."""
        with translate():
            for folder in self._places.list_known():
                folder.refresh()

    def info(self, path: str, **kwargs: Any) -> dict[str, Any]:
        """Return `name`, `type` (file or directory), plain `size` in bytes, `etag`, and `mtime` in seconds where it is told."""
        with translate():
            folder, top, within = self._locate(path)
            return _describe(top, self._look_again(path, partial(folder.find, within)))

    def ls(self, path: str, detail: bool = True, **kwargs: Any) -> list[Any]:
        """List a folder by name, with the `info` of each; or the addresses alone. What a key does not open has no size."""
        with translate():
            folder, top, within = self._locate(path)
            found = [_describe(top, entry) for entry in folder.list(within)]
        return found if detail else [one["name"] for one in found]

    def exists(self, path: str, **kwargs: Any) -> bool:
        """Return whether there is a file or a folder; what cannot be known is an error, other than in most filesystems."""
        try:
            self.info(path)
        except FileNotFoundError:
            return False
        return True

    def isdir(self, path: str) -> bool:
        """Return whether there is a folder; see `exists`."""
        return self._has_type(path, "directory")

    def isfile(self, path: str) -> bool:
        """Return whether there is a file; see `exists`."""
        return self._has_type(path, "file")

    def _has_type(self, path: str, kind: str) -> bool:
        try:
            return bool(self.info(path)["type"] == kind)
        except FileNotFoundError:
            return False

    def walk(
        self,
        path: str,
        maxdepth: int | None = None,
        topdown: bool = True,
        on_error: Any = None,
        **kwargs: Any,
    ) -> Any:
        """Iterate over folders; what cannot be listed is an error, where most filesystems leave it out of `find` and `glob`."""
        return super().walk(path, maxdepth, topdown, on_error or _raise_unless_missing, **kwargs)

    def modified(self, path: str) -> datetime:
        """Return when a file was stored, in UTC; NotImplementedError where that is not told, as within trees."""
        mtime = self.info(path).get("mtime")
        if mtime is None:
            raise NotImplementedError(f"{self.unstrip_protocol(path)}: it is not told when it was stored")
        return datetime.fromtimestamp(mtime, UTC)

    def cat_file(self, path: str, start: int | None = None, end: int | None = None, **kwargs: Any) -> bytes:
        """Read bytes [start, end) of a file, as a slice of all its plain bytes has them; each part is compared.

        Of a chunk whose tree is not there, or was replaced since its metadata
        were read, StaleFileError is raised, and no FileNotFoundError, which
        zarr takes for a chunk of fill values.
        """
        with translate():
            try:
                return self._look_again(path, partial(self._read_slice, path, start, end))
            except NotFoundError as error:
                if is_chunk(self._strip_protocol(path)) and not self._has_tree(path):
                    raise make_gone_error(self.unstrip_protocol(path)) from error
                raise

    def _look_again(self, path: str, use: Callable[[], Result]) -> Result:
        """Do something once more where the file was replaced since it was last looked at, or others have committed meanwhile."""
        before = self._locate(path)[0].document
        try:
            return use()
        except (ConflictError, IntegrityError) as error:
            folder = self._locate(path)[0]
            folder.refresh()
            if isinstance(error, IntegrityError) and folder.document is before:  # which another thread may have seen first
                raise
            return use()

    def _read_slice(self, path: str, start: int | None, end: int | None) -> bytes:
        _, size, read = self._find_file(path)
        at, stop, _ = slice(start, end).indices(size)
        return read(at, stop) if stop > at else b""

    def _has_tree(self, path: str) -> bool:
        try:
            folder, _, within = self._locate(path)
            return folder.has_tree(within)
        except NotFoundError:
            return False

    def cat_ranges(
        self,
        paths: list[str],
        starts: Any,
        ends: Any,
        max_gap: int | None = None,
        on_error: str = "return",
        **kwargs: Any,
    ) -> list[Any]:
        """Read ranges of files, several at once; see `cat_file`.

        Parameters
        ----------
        on_error
            `return` gives an error in the place of its bytes; else the first is raised.
        """
        firsts, ends_ = (list(one) if isinstance(one, Iterable) else [one] * len(paths) for one in (starts, ends))
        if not len(paths) == len(firsts) == len(ends_):
            raise BadAddressError("there are not as many starts and ends as paths", "give one of each for each path")

        def read(wanted: tuple[str, int | None, int | None], _: object) -> Any:
            try:
                return self.cat_file(*wanted)
            except OSError as error:
                if on_error == "return":
                    return error
                raise

        return list(fetch_ahead(read, list(zip(paths, firsts, ends_)), _READERS))

    def get_file(self, rpath: str, lpath: Any = None, callback: Any = None, outfile: Any = None, **kwargs: Any) -> None:
        """Fetch a file into one of this machine: whole, or not at all."""
        from fsspec.callbacks import DEFAULT_CALLBACK

        told = callback or DEFAULT_CALLBACK
        if outfile is not None or hasattr(lpath, "write") or self.isdir(rpath):
            super().get_file(rpath, lpath, told, outfile, **kwargs)
            return
        target = os.fspath(lpath)
        partial = f"{target}.{uuid.uuid4().hex[:12]}.part"
        try:
            super().get_file(rpath, partial, told, **kwargs)
            os.replace(partial, target)
        finally:
            if os.path.exists(partial):
                os.remove(partial)

    def ukey(self, path: str) -> str:
        """Return what changes when a file does."""
        info = self.info(path)
        return str(tokenize(info["name"], info["size"], info["etag"]))

    def checksum(self, path: str) -> int:
        """Return `ukey` as a number."""
        return int(self.ukey(path), 16)

    def _open(self, path: str, mode: str = "rb", block_size: int | None = None, **kwargs: Any) -> BlockFile:
        if mode != "rb":
            self._refuse_writing(path)
        with translate():
            entry, size, read = self._look_again(path, partial(self._find_file, path))
        kwargs.pop("autocommit", None)
        kwargs.pop("size", None)
        return BlockFile(self, path, read, entry.tag, block_size or self._block_size, size, **kwargs)

    def _refuse_writing(self, path: Any = "", *_: Any, **__: Any) -> NoReturn:
        raise ReadOnlyError(
            f"{PROTOCOL}:// addresses are only read: a file of an object belongs to an element",
            "write the file elsewhere, and add it: `modos add OBJECT FILE`, MODO(...).add_files, or `modos update`",
        )

    mkdir = makedirs = rmdir = rm = rm_file = _rm = mv = cp_file = copy = put_file = put = pipe_file = pipe = touch = (
        _refuse_writing
    )
    write_text = write_bytes = rename = move = delete = cp = upload = _refuse_writing


def _raise_unless_missing(error: Exception) -> None:
    if not isinstance(error, FileNotFoundError):
        raise error


def _describe(top: str, entry: Entry) -> dict[str, Any]:
    name = f"{top}/{entry.path}" if entry.path else top
    kind = "directory" if entry.is_folder else "file"
    time = {} if entry.modified is None else {"mtime": entry.modified}
    return {"name": name, "size": entry.size, "type": kind, "etag": entry.tag, **time}


def _check_options(general: Mapping[str, Any]) -> None:
    """Refuse an option that is none; what fsspec itself gives any filesystem passes."""
    for name in general:
        if name not in _GENERAL:
            near = did_you_mean(name, _OWN)
            raise InvalidInputError(
                f"there is no storage option {name} for {PROTOCOL}://",
                f"did you mean {near}?" if near else f"there are {', '.join(_OWN)}; keys of S3 go into s3_kwargs",
            )


def _load_key(secret_key: SecretKey | str | Path | None, passphrase: str | None) -> SecretKey | None:
    if secret_key is None:
        return None
    from modos.encryption.keys import as_secret_key

    return as_secret_key(secret_key, passphrase)


def _make_filesystem(options: dict[str, Any]) -> ModosFileSystem:
    return ModosFileSystem(**options)
