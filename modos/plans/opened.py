"""Keep objects open, and secret keys loaded, between the partitions that a process reads."""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import TYPE_CHECKING, Generic, NamedTuple, TypeVar

from modos.object.address import ObjectAddress
from modos.storage.processes import forking

if TYPE_CHECKING:
    from modos.encryption.keys import SecretKey
    from modos.genomics import GenomicFile
    from modos.object.modo import MODO
    from modos.object.open_object import OpenObject

Value = TypeVar("Value")
_WORKERS = 4  # parts of a file that are fetched at once
_MOST = 16  # objects that are kept open, each with the indexes that were read


class Recent(Generic[Value]):
    """Values that are made when they are first asked for; the latest are kept.

    Parameters
    ----------
    most
        How many are kept.
    """

    def __init__(self, most: int):
        self._most = most
        forking.begin(self, Recent._start)

    def _start(self) -> None:
        self._lock = threading.Lock()
        self._kept: OrderedDict[Hashable, Value] = OrderedDict()

    def get(self, key: Hashable, make: Callable[[], Value]) -> Value:
        """Return the value of a key, and make it where it is not kept."""
        with self._lock:
            known = self._kept.get(key)
        if known is None:
            known = make()
        with self._lock:
            self._kept[key] = known
            self._kept.move_to_end(key)
            while len(self._kept) > self._most:
                self._kept.popitem(last=False)
        return known


class Opened(NamedTuple):
    """An object that is kept open, and the parts of it that the methods of a MODO offer."""

    object: OpenObject
    modo: MODO


_objects: Recent[Opened] = Recent(_MOST)
_files: Recent[GenomicFile] = Recent(_MOST)
_keys: Recent[SecretKey] = Recent(_MOST)


def open_object(address: ObjectAddress) -> Opened:
    """Open an object, or return it as it was opened for another partition; it looks for what others commit."""
    return _objects.get(_identify(address), lambda: _open(address))


def open_file(address: ObjectAddress, version: Hashable, path: str, secret_key: str | None) -> GenomicFile:
    """Open a file of an object, or return it as it was opened for another partition of the same version.

    Parameters
    ----------
    secret_key
        Path of the key to decrypt it with.
    """
    secret = find_secret(secret_key)
    modo = open_object(address).modo
    return _files.get((_identify(address), version, secret), lambda: modo.file(path, secret_key=secret, workers=_WORKERS))


def _identify(address: ObjectAddress) -> Hashable:
    return str(address.path), address.endpoint, repr(address.services), repr(address.s3_kwargs)


def _open(address: ObjectAddress) -> Opened:
    from modos.object.modo import MODO
    from modos.object.open_object import OpenObject

    opened = OpenObject(address)
    return Opened(opened, MODO(opened))


def find_secret(path: str | None) -> SecretKey | None:
    """Load the secret key of a file, with the passphrase of the environment; None where there is no file.

    Raises
    ------
    NotFoundError, InvalidInputError, AccessError
        As of `modos.encryption.keys.load_secret_key`.
    """
    if path is None:
        return None
    from modos.encryption.keys import load_secret_key

    try:
        status = os.stat(path)
        key: Hashable = path, status.st_mtime_ns, status.st_ino
    except OSError:
        return load_secret_key(path)
    return _keys.get(key, lambda: load_secret_key(path))
