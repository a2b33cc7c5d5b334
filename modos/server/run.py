"""Run the application in the foreground or in the background."""

from __future__ import annotations

import gc
import json
import os
import secrets
import socket
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from fastapi import FastAPI

from modos.codes.term_index import Index
from modos.encryption.keys import SecretKey, load_secret_key, read_passphrase
from modos.encryption.text_seal import TextSeal
from modos.errors import InvalidInputError, ModosError, NotFoundError
from modos.genomics.region import Region, Regions
from modos.readlog.log_settings import LogSettings
from modos.readlog.read_log import ReadLog
from modos.reference.store import ReferenceStore
from modos.remote.services import check_url
from modos.server.access_file import read_tokens
from modos.server.app import create_app
from modos.server.auth import Access
from modos.server.metrics import set_up_logging
from modos.server.panels import FindGenes, no_genes
from modos.server.rewrapping import KeyService
from modos.server.rules import is_public
from modos.storage import Storage, open_storage
from modos.storage.given import refuse_pipe
from modos.storage.processes.memory import give_back_freed, share_freed

TIDIED = 2.0  # seconds after which memory that is free is given back
GRACE = 20  # seconds that requests have to end, once the server is to end
_START_TIMEOUT = 30.0  # seconds
_SETTINGS = "MODOS_SERVER_SETTINGS"


def open_served(place: str, s3_url: str | None, s3_kwargs: dict[str, Any] | None) -> Storage:
    """Open the storage that a server is to serve; fail now if it is not there."""
    if place.startswith("s3://"):
        from modos.storage.s3 import S3Storage

        storage: Storage = S3Storage.from_url(place, s3_kwargs=s3_kwargs, public_url=s3_url)
    else:
        if not os.path.isdir(place):
            raise NotFoundError(f"no folder {place}", "serve a folder, or s3://bucket")
        storage = open_storage(place)
    storage.list_folders()
    return storage


def _open_references(place: str | None, s3_kwargs: dict[str, Any] | None) -> ReferenceStore | None:
    """Open the reference store to serve; fail now if it cannot be read."""
    if place is None:
        return None
    if not place.startswith("s3://") and not os.path.isdir(place):
        raise NotFoundError(f"no folder {place}", "give a reference store: a folder, or s3://bucket/prefix")
    store = ReferenceStore(open_storage(place, s3_kwargs=s3_kwargs))
    store.index()
    return store


def _gene_finder(place: str | None, s3_kwargs: dict[str, Any] | None) -> FindGenes:
    """Return what finds the places of genes by the annotations of a reference store, under all names of their contigs."""
    if place is None:
        return no_genes

    def find(name: str, genes: Sequence[str]) -> Regions:
        from modos.reference.locate import open_reference

        reference = open_reference(name, place, s3_kwargs=s3_kwargs)
        annotation = reference.annotation(name)
        names = {contig.name: (contig.name, *contig.aliases) for contig in reference.assembly.contigs}
        found = [annotation.gene(gene).region for gene in genes]
        return tuple(Region(name, gene.start, gene.end) for gene in found for name in names.get(gene.contig, (gene.contig,)))

    return find


@dataclass(frozen=True)
class Settings:
    """All that a server is told.

    Parameters
    ----------
    place
        A folder, or `s3://bucket/prefix`.
    s3_url, public_url, htsget_url
        The S3 server, this one and the htsget server as clients reach them.
    s3_kwargs
        Arguments of s3fs.S3FileSystem.
    token_file, access_file
        Who may ask; at most one of them.
    max_age
        Seconds for which a listing of the objects is good.
    references
        A reference store, in a folder or at `s3://bucket/prefix`, to be given out.
    log
        `json`, `text` or `quiet`.
    codes
        An index of codes that are searched.
    fuzon_url
        Another server of codes, as clients reach it.
    index_key, passphrase_file
        Files of the secret key that regions of encrypted files are found with, and of its passphrase, where it has one
        that `C4GH_PASSPHRASE` does not tell.
    rewrap
        URL of a key service.
    read_log, read_log_key, read_log_required
        The place of the read log, the officer's public key, and whether what cannot be logged is refused; in the place of
        what the access file says.
    session_key
        A file with the secrets of the sessions of browsers; drawn anew at each start where it is None.
    """

    place: str
    s3_url: str | None = None
    public_url: str | None = None
    htsget_url: str | None = None
    s3_kwargs: dict[str, Any] | None = None
    token_file: str | None = None
    access_file: str | None = None
    max_age: float = 0
    log: str = "quiet"
    references: str | None = None
    codes: str | None = None
    fuzon_url: str | None = None
    index_key: str | None = None
    passphrase_file: str | None = None
    rewrap: str | None = None
    read_log: str | None = None
    read_log_key: str | None = None
    read_log_required: bool = False
    session_key: str | None = None

    def app(self) -> FastAPI:
        """Create the application; fail now if the place, or a file with rules, is not good."""
        if self.token_file and self.access_file:
            raise InvalidInputError(
                "a token file and an access file exclude each other", 'name the token file in the access file: tokens = "tokens"'
            )
        is_public({"MODOS_ACCESS": self.access_file or "", "MODOS_PUBLIC_READ": os.environ.get("MODOS_PUBLIC_READ", "")})
        s3_url, public_url, htsget_url, fuzon_url = (
            check_url(url, option) if url else None
            for url, option in (
                (self.s3_url, "--s3-url"),
                (self.public_url, "--public-url"),
                (self.htsget_url, "--htsget-url"),
                (self.fuzon_url, "--fuzon-url"),
            )
        )
        access = (
            Access.from_file(self.access_file, _gene_finder(self.references, self.s3_kwargs))
            if self.access_file
            else Access(read_tokens(self.token_file))
            if self.token_file
            else None
        )
        return create_app(
            open_served(self.place, self.s3_url, self.s3_kwargs),
            access=access,
            max_age=self.max_age,
            references=_open_references(self.references, self.s3_kwargs),
            index=Index(self.codes, mapped=False).check() if self.codes else None,
            s3_url=s3_url,
            public_url=public_url,
            htsget_url=htsget_url,
            fuzon_url=fuzon_url,
            index_key=load_served_key(self.index_key, self.passphrase_file) if self.index_key else None,
            rewrap=KeyService(self.rewrap) if self.rewrap else None,
            read_log=self._open_log(access),
            session_seal=TextSeal.from_file(self.session_key) if self.session_key else None,
        )

    def _open_log(self, access: Access | None) -> ReadLog | None:
        """Open the read log, if there is to be one."""
        settings = access.log if access else None
        if self.read_log:
            if not self.read_log_key:
                raise InvalidInputError("for whom is the read log?", "give the officer's public key: --read-log-key FILE")
            settings = LogSettings(self.read_log, self.read_log_key, self.read_log_required)
        elif self.read_log_key or self.read_log_required:
            raise InvalidInputError("where is the read log to be?", "give --read-log PLACE, too")
        return settings.open(self.s3_kwargs) if settings else None


def load_served_key(path: str, passphrase_file: str | None) -> SecretKey:
    """Load the secret key of a server, which asks nobody for a passphrase."""
    return load_secret_key(path, (lambda: read_passphrase(passphrase_file)) if passphrase_file else None)


def run(settings: Settings, host: str, port: int, workers: int, started: Callable[[str], Any]) -> None:
    """Serve until interrupted; `started` is told the URL.

    A request that is under way is answered before the server ends, for some
    time; see `GRACE`.
    """
    from uvicorn import Config, Server
    from uvicorn.supervisors import Multiprocess

    read_by_each = (
        settings.token_file,
        settings.access_file,
        settings.index_key,
        settings.passphrase_file,
        settings.read_log_key,
        settings.session_key,
    )
    for file in read_by_each if workers > 1 else ():
        if file:
            refuse_pipe(file, "every process of the server reads it", "write it to a file first, or serve with --workers 1")
    app = settings.app()
    listening = _listen(host, port)
    started(_url(listening))
    if workers == 1:
        set_up_logging(settings.log)
        _tidy_up()
        Server(_config(app)).run(sockets=[listening])
        return
    with tempfile.TemporaryDirectory(prefix="modos-metrics-") as folder:
        settings = replace(settings, session_key=settings.session_key or _draw_secret(folder))
        os.environ |= {"PROMETHEUS_MULTIPROC_DIR": folder, _SETTINGS: json.dumps(vars(settings))}
        config: Config = _config("modos.server.run:app_of_worker", factory=True, workers=workers)
        Multiprocess(config, sockets=[listening]).run()


def _draw_secret(folder: str) -> str:
    """Draw a secret that all processes of this server have, into a file that this user alone can read; returns its path."""
    path = os.path.join(folder, "session-key")
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(secrets.token_hex(32))
    return path


def run_app(app: FastAPI, host: str, port: int, log: str, started: Callable[[str], Any]) -> None:
    """Serve an application in this process until interrupted; `started` is told the URL."""
    from uvicorn import Server

    listening = _listen(host, port)
    started(_url(listening))
    set_up_logging(log)
    Server(_config(app)).run(sockets=[listening])


def app_of_worker() -> FastAPI:
    """Create the application in one of several processes."""
    settings = Settings(**json.loads(os.environ[_SETTINGS]))
    set_up_logging(settings.log)
    _tidy_up()
    return settings.app()


def _tidy_up() -> None:
    """Give memory back now and then: what a crowd needed would be kept, by answers that broke off, and between what is used."""
    share_freed()
    gc.freeze()  # what is there now stays

    def tidy() -> None:
        while True:
            time.sleep(TIDIED)
            gc.collect()
            give_back_freed()

    threading.Thread(target=tidy, name="modos-tidying", daemon=True).start()


class BackgroundServer:
    """The application in a thread of this process, on the loopback address; on a free port where it is 0.

    Use it as a context manager, or call `stop`.

    Parameters
    ----------
    send_buffer
        Bytes that the system holds for a client that does not read; its own choice where it is None.
    """

    def __init__(self, app: Any, port: int = 0, *, send_buffer: int | None = None):
        listening = _listen("127.0.0.1", port)
        if send_buffer is not None:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, send_buffer)
        self.url = _url(listening)
        from modos.server.connections import CutApp, CutServer

        served = CutApp(app)
        self._server = CutServer(_config(served), served)
        self._thread = threading.Thread(target=self._server.run, kwargs={"sockets": [listening]}, daemon=True)
        self._thread.start()
        deadline = time.monotonic() + _START_TIMEOUT
        while not self._server.started:
            if time.monotonic() > deadline or not self._thread.is_alive():
                raise ModosError("the modos server did not start")
            time.sleep(0.01)

    def stop(self, *, at_once: bool = False) -> None:
        """End the server and wait for it, and before that, but for `at_once`, for the answers that are under way."""
        if at_once:
            self._server.cut()
        else:
            self._server.should_exit = True
        self._thread.join(timeout=10)

    def __enter__(self) -> BackgroundServer:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)  # asyncio takes TCP_NODELAY from it
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host, port))
    except OSError as error:
        listening.close()
        raise InvalidInputError(
            f"cannot listen on {host}:{port}: {error.strerror}", "choose another --port; 0 takes a free one"
        ) from None
    listening.listen(128)
    return listening


def _url(listening: socket.socket) -> str:
    host, port = listening.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _config(app: Any, **options: Any) -> Any:
    import uvicorn

    from modos.server.admitting import most_requests
    from modos.server.connections import BACKLOG, BoundedProtocol

    most = most_requests()
    return uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        timeout_graceful_shutdown=GRACE,
        server_header=False,
        http=BoundedProtocol,
        backlog=min(BACKLOG, most),
        ws="none",
        limit_concurrency=most,
        **options,
    )
