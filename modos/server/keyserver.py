"""The key service: encrypts the header of a file for somebody who may read it, and is no recipient.

It is a program of its own, apart from the server of the files, which has no key
to them. It holds a secret key that the files are encrypted for, and gives of
what that opens nothing but headers: to callers that it knows, whom the rules let
read all of the file, for their own public keys, of files that are recorded.
"""

from __future__ import annotations

import hashlib
import logging
import os
import re
import threading
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from fastapi import FastAPI, Request, Response
from starlette.concurrency import run_in_threadpool
from starlette.responses import JSONResponse

from modos import __version__
from modos.catalog.catalog import Catalog
from modos.encryption.header import Header, encrypt_header, read_header
from modos.encryption.keys import PublicKey, SecretKey, load_public_key
from modos.encryption.recorded import SealRecord, has_no_index
from modos.encryption.stored import read_stored_header
from modos.errors import DecryptError, InvalidInputError, ModosError, NotFoundError, RemoteError
from modos.formats import cuts_name, header_key, index_names, is_encrypted, is_file_path
from modos.genomics.htsget.protocol import MEDIA_TYPE, PUBLIC_KEY_HEADER, HtsgetError, error_to_json
from modos.object.document import ROOT_KEY
from modos.server.admitting import ALIVE, Admission, most_requests
from modos.server.auth import Access, Authentication, caller_of
from modos.server.bodies import read_body
from modos.server.rewrapping import LARGEST
from modos.server.rules import ANYONE, Caller
from modos.server.sealed_tickets import parse_reader
from modos.storage import Storage, check_key

_NAME = re.compile(r"[A-Za-z0-9_@+-][A-Za-z0-9._@+-]*")
_MAX_AGE = 5.0  # seconds for which a listing of the objects is good
_MAX_HEADERS = 1 << 18  # and elements, of whose data keys marks are remembered

logger = logging.getLogger(__name__)


class RegisteredKeys:
    """Public keys of callers, in files of a folder that are called after them: `alice.pub`.

    A server that passes on what callers are known by could name a key of its
    own in their place; it cannot put one into this folder.
    """

    def __init__(self, folder: Path):
        self._folder = folder

    def has(self, caller: Caller, reader: PublicKey) -> bool:
        """Return whether a key is that of a caller."""
        path = self._folder / f"{caller.name}.pub"
        try:
            return _NAME.fullmatch(caller.name) is not None and load_public_key(path) == reader
        except (NotFoundError, InvalidInputError):
            return False


class Rewrapping:
    """Decides who gets a header, and makes it.

    Parameters
    ----------
    keys
        Whose public key is whose; None if anybody may name any key.
    """

    def __init__(
        self, storage: Storage, secret: SecretKey, access: Access, keys: RegisteredKeys | None, max_age: float = _MAX_AGE
    ):
        self._storage = storage
        self._catalog = Catalog(storage, max_age=max_age)
        self._secret = secret
        self._access = access
        self._keys = keys
        self._salt = os.urandom(32)
        self._marks: OrderedDict[tuple[str, ...], frozenset[bytes]] = OrderedDict()
        self._lock = threading.Lock()

    def rewrap(self, caller: Caller, key: str, head: bytes, reader: PublicKey) -> bytes:
        """Make the header of a file for a reader, of the header that the file is said to have.

        Raises
        ------
        HtsgetError
            The caller may not read all of the file, or has another public key; or the header is not that of the file.
        """
        if caller == ANYONE:
            raise HtsgetError("InvalidAuthentication", "a bearer token is needed")
        self._access.check(caller, "read", key)
        if self._keys is not None and not self._keys.has(caller, reader):
            raise HtsgetError("PermissionDenied", f"the key {reader.fingerprint} is not registered for {caller.name}")
        header = self._check_recorded(key, head)
        try:
            opened = header.decrypt(self._secret)
        except DecryptError:
            raise HtsgetError("PermissionDenied", f"{key} is not encrypted for the key service") from None
        if opened.edits is not None or len(opened.keys) != 1:
            raise HtsgetError("PermissionDenied", f"{key} has an edit list or several data keys: it has to be encrypted anew")
        self._refuse_borrowed(caller, key, opened.keys[0])
        logger.info("%s: a header of %s for the key %s", caller.name, key, reader.fingerprint)
        return encrypt_header(opened.keys[0], [reader], self._secret)

    def _check_recorded(self, key: str, head: bytes) -> Header:
        """Read a header, which has to be the one that the object records of the file; it need not be read from there."""
        try:
            header = read_header(lambda start, end: head[start:end])
        except DecryptError as error:
            raise HtsgetError("InvalidInput", error.message) from None
        if header.size != len(head) or header.digest not in self._find_record(key).headers:
            raise HtsgetError("PermissionDenied", f"this is not the header that is recorded of {key}")
        return header

    def _find_record(self, key: str) -> SealRecord:
        try:
            object_key, _ = self._catalog.find_object(check_key(key))
            found = _list_encrypted(object_key, self._catalog.metadata(object_key))
            return next(
                (SealRecord.from_attributes(one.attributes) for one in found if one.is_file and one.key == key), SealRecord()
            )
        except (NotFoundError, InvalidInputError):
            return SealRecord()

    def _refuse_borrowed(self, caller: Caller, key: str, data_key: bytes) -> None:
        """Refuse a header with a data key that is in another one, too, of something that the caller may not read.

        Who can write a place where they may read could lay a header of anything
        there, as it is or as it was before it was made anew for others, and
        record it. So it is the data keys that are compared, and not the headers;
        and those of the objects themselves, as a kept catalogue is written by
        whoever writes an object, and may lack what others changed.
        """
        mark = self._mark(data_key)
        for object_key, metadata in self._catalog.iter_stored(lambda _: True, _raise_if_passing):
            for other in _list_encrypted(object_key, metadata):
                is_other = other.key != key and not self._access.allows(caller, "read", other.key)
                if is_other and mark in self._find_marks(other):
                    logger.warning("%s: the header of %s has the data key of %s, too", caller.name, key, other.key)
                    raise HtsgetError("PermissionDenied", f"{key} has the header of a file that {caller.name} may not read")

    def _mark(self, data_key: bytes) -> bytes:
        """Return what a data key is known by here, which is not the key."""
        return hashlib.blake2b(data_key, key=self._salt, digest_size=32).digest()

    def _find_marks(self, sealed: _Sealed) -> frozenset[bytes]:
        """Find what the data keys are known by that the service finds in the headers of an element's data."""
        if (known := self._recall(sealed.version)) is not None:
            return known
        found: list[frozenset[bytes]] = []
        is_certain = False
        for number, name in enumerate(sealed.headers):
            try:
                header, _, _ = read_stored_header(self._storage, name)
            except (NotFoundError, DecryptError):
                continue
            is_certain = is_certain or (number == 0 and header.digest in sealed.version[1:])
            found.append(self._open_marks(header))
        marks = frozenset().union(*found)
        if is_certain:  # what was replaced just now, or is not recorded, is read again
            self._remember(sealed.version, marks)
        return marks

    def _open_marks(self, header: Header) -> frozenset[bytes]:
        if (known := self._recall((header.digest,))) is not None:
            return known
        try:
            marks = frozenset(map(self._mark, header.decrypt(self._secret).keys))
        except DecryptError:
            marks = frozenset()
        self._remember((header.digest,), marks)
        return marks

    def _recall(self, version: tuple[str, ...]) -> frozenset[bytes] | None:
        with self._lock:
            return self._marks.get(version)

    def _remember(self, version: tuple[str, ...], marks: frozenset[bytes]) -> None:
        with self._lock:
            self._marks[version] = marks
            while len(self._marks) > _MAX_HEADERS:
                self._marks.popitem(last=False)


def _raise_if_passing(object_key: str, error: ModosError) -> None:
    """Raise what an object cannot be read for just now, so that it is not passed over."""
    if isinstance(error, RemoteError):
        raise error


class _Sealed(NamedTuple):
    """Encrypted data of an element.

    Parameters
    ----------
    key
        Of the file, or of the folder of a tree.
    headers
        Keys of the files that begin with its headers: its own first, then those of indexes and of cuts.
    version
        The key, and what is recorded of the headers.
    """

    key: str
    headers: tuple[str, ...]
    version: tuple[str, ...]
    attributes: Mapping[str, Any]
    is_file: bool


def _list_encrypted(object_key: str, metadata: Mapping[str, Mapping[str, Any]]) -> Iterator[_Sealed]:
    """List the encrypted data of an object."""
    for attributes in metadata.values():
        path = attributes.get("data_path")
        if not isinstance(path, str) or not is_encrypted(path):
            continue
        cuts = attributes.get("cuts_checksum")
        names = [
            header_key(attributes),
            *([] if has_no_index(attributes) else index_names(path)),
            *([cuts_name(path)] if cuts else []),
        ]
        key, *headers = (f"{object_key}/{name}".lstrip("/") for name in (path, *names))
        record, index = SealRecord.from_attributes(attributes), SealRecord.from_index_attributes(attributes)
        version = (key, *record.headers, *index.headers, str(cuts))
        yield _Sealed(key, tuple(headers), version, attributes, is_file_path(path))


def create_keyserver(storage: Storage, secret: SecretKey, access: Access, keys: RegisteredKeys | None) -> FastAPI:
    """Create the application.

    Parameters
    ----------
    storage
        Holds the objects, whose metadata and headers are read.
    secret
        A recipient's key.
    access
        Who may read what.
    keys
        Whose public key is whose; None if anybody may name any key.
    """
    app = FastAPI(title="modos key service", version=__version__, redirect_slashes=False, docs_url=None, redoc_url=None)
    app.add_middleware(Authentication, access=access)
    app.add_middleware(Admission, most=most_requests())
    app.exception_handler(ModosError)(_answer_error)
    service = Rewrapping(storage.confine(ROOT_KEY), secret, access, keys)

    @app.get(ALIVE)
    async def is_alive() -> dict[str, str]:
        """Return whether the service runs."""
        return {"status": "ok"}

    @app.post("/rewrap/{key:path}")
    async def rewrap(key: str, request: Request) -> Response:
        """Return the header of a file for the public key of the caller, who may read all of the file."""
        caller, reader = caller_of(request), parse_reader(request.headers.get(PUBLIC_KEY_HEADER))
        if reader is None:
            raise HtsgetError("InvalidInput", f"there is no public key in {PUBLIC_KEY_HEADER}")
        head = await read_body(request, LARGEST)
        answer = await run_in_threadpool(service.rewrap, caller, key, head, reader)
        return Response(answer, media_type="application/octet-stream", headers={"Cache-Control": "no-store"})

    return app


def _answer_error(request: Request, error: ModosError) -> JSONResponse:
    if isinstance(error, HtsgetError):
        return JSONResponse(error_to_json(error.name, error.message), error.status, media_type=MEDIA_TYPE)
    logger.error("%s: %s", request.scope["path"], error)
    return JSONResponse(error_to_json("InternalError", "the key service cannot answer this"), 500, media_type=MEDIA_TYPE)


def open_registered(folder: Path | None) -> RegisteredKeys | None:
    """Open the folder of public keys; raise NotFoundError if there is none."""
    if folder is None:
        return None
    if not folder.is_dir():
        raise NotFoundError(f"no folder {folder}", "give the folder with the public keys of callers: alice.pub")
    return RegisteredKeys(folder)
