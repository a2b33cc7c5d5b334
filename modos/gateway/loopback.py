"""Start and end the gateway of an object."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from modos.errors.missing import need
from modos.object.address import ObjectAddress
from modos.object.open_object import OpenObject
from modos.object.plain_files import PlainFile, PlainFiles

if TYPE_CHECKING:
    from modos.encryption.keys import SecretKey

SEND_BUFFER = 128 << 10  # bytes that the system holds for a client that does not read


class Gateway:
    """Files of an object at addresses of this machine, until `close`; a context manager.

    Other programs read them by range, by HTTP. An address holds a secret
    token: who has it can read the file. Encrypted files appear under their
    plain names, decrypted in this process as they are read; nothing plain is written to a disk.

    Attributes
    ----------
    url
        Address of the object; it ends with a slash, and the path of a file in the object follows.
    locked
        Names of the files that are encrypted and stay closed, as there is no key, or they are not encrypted for it.
    """

    def __init__(self, files: PlainFiles, port: int = 0, told: Callable[[str], object] = lambda problem: None):
        from modos.gateway.file_server import FileServer
        from modos.gateway.guarding import make_token
        from modos.server.hosts import KnownHosts
        from modos.server.run import BackgroundServer

        files.check_key()
        self._files = files
        self.files: list[PlainFile] = files.list_files()
        self.locked = list(files.locked)
        token = make_token()
        self._server = BackgroundServer(KnownHosts(FileServer(files, token, told)), port, send_buffer=SEND_BUFFER)
        self.url = f"{self._server.url}/{token}/"

    @property
    def addresses(self) -> Mapping[str, str]:
        """Addresses by the names of the files, as the object was when the gateway began; indexes among them."""
        return {file.name: self.address_of(file.name) for file in self.files}

    def address_of(self, name: str) -> str:
        """Return the address of a file, by its plain name or path in the object."""
        return self.url + quote(name)

    def close(self) -> None:
        """End it at once: connections that are open are cut."""
        self._server.stop(at_once=True)

    def __enter__(self) -> Gateway:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Gateway of {self._files.url}: {len(self.files)} files>"  # without the token


def open_gateway(
    path: str | Path,
    *,
    endpoint: str | None = None,
    secret_key: SecretKey | str | Path | None = None,
    passphrase: str | None = None,
    services: Mapping[str, str] | None = None,
    s3_kwargs: dict[str, Any] | None = None,
    port: int = 0,
    told: Callable[[str], object] = lambda problem: None,
) -> Gateway:
    """Give out the files of an object on the loopback address, for programs of this user to read by range.

    ::

        with open_gateway("s3://bucket/ex", secret_key="me.sec") as gateway:
            subprocess.run(["samtools", "view", "-c", gateway.addresses["demo1.cram"]])

    It is served by threads of this process. pysam lets no other thread run
    while it opens a BAM, or reads variants, so that it waits for ever for a
    gateway of its own process: read such an address in another process, or
    have `modos gateway` give it out, which is one, or take the records from
    `modo["data/calls"].fetch(...)`, which needs no gateway.

    Parameters
    ----------
    path, endpoint, services, s3_kwargs
        The object, and how it is reached: see `modos.api.MODO`.
    secret_key, passphrase
        The key, or its file, to open encrypted files with.
    port
        A free one where it is 0.
    told
        Called with what ended an answer before its end, in one line; from another thread.

    Raises
    ------
    NotFoundError
        There is no object.
    DecryptError
        The key opens none of the encrypted files.
    InvalidInputError
        The port is taken.
    """
    from modos.encryption.keys import as_secret_key

    need("starlette")
    secret = None if secret_key is None else as_secret_key(secret_key, passphrase)
    opened = OpenObject(ObjectAddress(path, endpoint, services, s3_kwargs))
    return Gateway(PlainFiles(opened, secret), port, told)
