"""The key service: encrypts the header of a file for somebody who may read it, and is no recipient.

It is a program of its own, apart from the server of the files, which has no key
to them. It holds a secret key that the files are encrypted for, and gives of
what that opens nothing but headers: to callers that it knows, whom the rules let
read all of the file, for their own public keys, of files that are recorded.
"""

from __future__ import annotations

import logging
import re
import threading
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request, Response
from starlette.concurrency import run_in_threadpool
from starlette.responses import JSONResponse

from modos import __version__
from modos.catalog.catalog import Catalog
from modos.encryption.header import Header, encrypt_header, read_header
from modos.encryption.keys import PublicKey, SecretKey, load_public_key
from modos.encryption.recorded import SealRecord
from modos.encryption.stored import read_stored_header
from modos.errors import DecryptError, InvalidInputError, ModosError, NotFoundError
from modos.formats import is_encrypted, is_file_path
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
_MAX_HEADERS = 1 << 17  # of files, whose packets are remembered

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
        self._packets: OrderedDict[tuple[str, str], frozenset[bytes]] = OrderedDict()
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
            opened, own = header.decrypt(self._secret), frozenset(header.packets_for(self._secret))
        except DecryptError:
            raise HtsgetError("PermissionDenied", f"{key} is not encrypted for the key service") from None
        if opened.edits is not None or len(opened.keys) != 1:
            raise HtsgetError("PermissionDenied", f"{key} has an edit list or several data keys: it has to be encrypted anew")
        self._refuse_borrowed(caller, key, own)
        logger.info("%s: a header of %s for the key %s", caller.name, key, reader.fingerprint)
        return encrypt_header(opened.keys[0], [reader], self._secret)

    def _check_recorded(self, key: str, head: bytes) -> Header:
        """Read a header, which has to be the one that the object records of the file; it need not be read from there."""
        try:
            header = read_header(lambda start, end: head[start:end])
        except DecryptError as error:
            raise HtsgetError("InvalidInput", error.message) from None
        record = next((record for known, record in self._list_files(key) if known == key), SealRecord())
        if header.size != len(head) or header.digest not in record.headers:
            raise HtsgetError("PermissionDenied", f"this is not the header that is recorded of {key}")
        return header

    def _list_files(self, key: str) -> Iterator[tuple[str, SealRecord]]:
        try:
            object_key, _ = self._catalog.find_object(check_key(key))
            yield from _list_encrypted(object_key, self._catalog.metadata(object_key))
        except (NotFoundError, InvalidInputError):
            return

    def _refuse_borrowed(self, caller: Caller, key: str, own: frozenset[bytes]) -> None:
        """Refuse the header of a file that is another's, too, which the caller may not read.

        Who can write a place where they may read could lay the header of any
        file there, and record it.
        """
        for object_key, metadata in self._catalog.iter_metadata():
            for other, record in _list_encrypted(object_key, metadata):
                is_other = other != key and not self._access.allows(caller, "read", other)
                if is_other and not own.isdisjoint(self._find_packets(other, record)):
                    logger.warning("%s: the header of %s is that of %s, too", caller.name, key, other)
                    raise HtsgetError("PermissionDenied", f"{key} has the header of a file that {caller.name} may not read")

    def _find_packets(self, key: str, record: SealRecord) -> frozenset[bytes]:
        """Find the packets of a file's header that the service opens."""
        known = key, "".join(record.headers)
        with self._lock:
            if known in self._packets:
                return self._packets[known]
        try:
            header, _, _ = read_stored_header(self._storage, key)
            found = frozenset(header.packets_for(self._secret))
        except (NotFoundError, DecryptError):
            found = frozenset()
        with self._lock:
            self._packets[known] = found
            while len(self._packets) > _MAX_HEADERS:
                self._packets.popitem(last=False)
        return found


def _list_encrypted(object_key: str, metadata: Mapping[str, Mapping[str, Any]]) -> Iterator[tuple[str, SealRecord]]:
    """List the encrypted files of an object, with what is recorded of them."""
    for attributes in metadata.values():
        path = attributes.get("data_path")
        if isinstance(path, str) and is_encrypted(path) and is_file_path(path):
            yield f"{object_key}/{path}".lstrip("/"), SealRecord.from_attributes(attributes)


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
