"""Diagnose what could keep modos from working here, with one finding per check."""

from __future__ import annotations

import contextlib
import os
import platform
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from importlib.metadata import PackageNotFoundError, distribution, version
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from modos import DISTRIBUTION, OTHER_DISTRIBUTION
from modos.errors import ConflictError, ModosError, NotFoundError, ProtocolError
from modos.formats import ROOT_KEYS, files_name, is_file_path, object_of
from modos.object import commits
from modos.reference.locate import STORE_VARIABLE, has_store, open_store
from modos.remote import tokens
from modos.remote.access import open_remote, s3_options
from modos.remote.served import ServedStorage
from modos.remote.services import Services, discover, fetch_caller, fetch_json, is_texts, server_name, token_for
from modos.remote.urls import served_url
from modos.storage import Storage
from modos.storage.s3 import S3Storage

_SKEW = 300  # seconds that a clock may be off; S3 takes 15 minutes
_SOON = 14  # days in which a certificate ends
_PACKAGES = ("pysam", "zarr", "s3fs", "crypt4gh", "linkml-runtime")
_PROBE = ".modos/doctor"


@dataclass(frozen=True)
class Diagnosis:
    """Result of one check.

    Parameters
    ----------
    state
        `ok`, `warning` or `failed`.
    fix
        What to do about it.
    """

    topic: str
    state: str
    text: str
    fix: str | None = None


def examine(
    endpoint: str | None, place: str | None, s3_kwargs: dict[str, Any] | None, write: bool = False
) -> Iterator[Diagnosis]:
    """Check everything between here and the data.

    Parameters
    ----------
    endpoint
        A modos server.
    place
        An `s3://` URL; where it is None, the one that the endpoint serves.
    write
        Whether a small file is written there, and removed.
    """
    yield _versions()
    yield from _other_modos()
    services = Services()
    if endpoint:
        yield from _guard("endpoint", lambda: _endpoint(endpoint))
        with contextlib.suppress(ModosError):
            services = discover(endpoint)
        readable: list[str] = []
        yield from _guard("login", lambda: _login(endpoint, readable))
        if place is None and services.root:
            place = f"{services.root}/{readable[0]}".rstrip("/") if readable else services.root
    else:
        yield Diagnosis(
            "endpoint", "warning", "none is set", "give --endpoint URL, or set MODOS_ENDPOINT; S3 and folders work without"
        )
    if place and place.startswith("s3://"):
        yield from _guard("S3", lambda: _s3(place, services, s3_kwargs, write))
    elif endpoint and services.endpoint:
        yield from _guard("reading", lambda: iter([_check_served_reading(endpoint, services)]))
    if services.htsget:
        yield from _guard("htsget", lambda: _htsget(services))
    yield _cache("cache", "MODOS_CACHE_DIR", Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "modos")
    yield _check_searched()
    yield from _guard("references", lambda: _store(endpoint))


def _guard(topic: str, look: Callable[[], Iterator[Diagnosis]]) -> Iterator[Diagnosis]:
    try:
        yield from look()
    except ModosError as error:
        yield Diagnosis(topic, "failed", error.message, error.hint)


def _versions() -> Diagnosis:
    from modos.version import describe_version

    packages = ", ".join(f"{name} {version(name)}" for name in _PACKAGES)
    return Diagnosis("versions", "ok", f"modos {describe_version()}, Python {platform.python_version()}, {packages}")


def _other_modos() -> Iterator[Diagnosis]:
    """Find a distribution that installs files in the same places: the later one has overwritten those of the other."""
    import modos

    try:
        other = distribution(OTHER_DISTRIBUTION)
    except PackageNotFoundError:
        return
    if any(Path(file.locate()).resolve() == Path(modos.__file__).resolve() for file in other.files or ()):
        yield Diagnosis(
            "installation",
            "failed",
            f"{OTHER_DISTRIBUTION} {other.version} of sdsc-ordes is installed into the same folder: it and "
            f"{DISTRIBUTION} have overwritten each other's files",
            f"keep them in environments of their own: pip uninstall {OTHER_DISTRIBUTION}, then install {DISTRIBUTION} again with "
            "--force-reinstall --no-deps",
        )


def _endpoint(endpoint: str) -> Iterator[Diagnosis]:
    import requests

    from modos.storage.http.redirects import mount

    begin = time.perf_counter()
    discover(endpoint)
    yield Diagnosis("endpoint", "ok", f"{endpoint} answers after {1000 * (time.perf_counter() - begin):.0f} ms")
    parts = urlsplit(endpoint)
    if parts.scheme == "https":
        yield _certificate(str(parts.hostname), parts.port or 443)
    elif parts.hostname not in ("localhost", "127.0.0.1", "::1"):
        yield Diagnosis("TLS", "warning", f"{endpoint} is not encrypted: tokens and data can be read on the way", "use https")
    with (
        mount(requests.Session(), endpoint) as session,
        session.get(endpoint, timeout=10, stream=True, allow_redirects=False) as response,
    ):
        date = response.headers.get("Date")
    try:
        ahead = parsedate_to_datetime(date or "").timestamp() - time.time()
    except (ValueError, TypeError, OverflowError, IndexError):  # none, or no date
        return
    yield _clock(ahead)


def _clock(ahead: float) -> Diagnosis:
    if abs(ahead) <= _SKEW:
        return Diagnosis("clock", "ok", f"{abs(ahead):.0f} s from the server's")
    return Diagnosis(
        "clock",
        "failed",
        f"it is {abs(ahead) / 60:.0f} minutes {'behind' if ahead > 0 else 'ahead of'} the "
        "server's: S3 refuses what is signed here",
        "set the clock, or start NTP",
    )


def _certificate(host: str, port: int) -> Diagnosis:
    with (
        socket.create_connection((host, port), timeout=10) as plain,
        ssl.create_default_context().wrap_socket(plain, server_hostname=host) as secure,
    ):
        found: Any = secure.getpeercert() or {}
    days = (ssl.cert_time_to_seconds(found["notAfter"]) - time.time()) / 86400
    if days < _SOON:
        return Diagnosis("TLS", "warning", f"the certificate of {host} ends in {days:.0f} days", "renew it")
    return Diagnosis("TLS", "ok", f"the certificate of {host} is good for {days:.0f} days")


def _login(endpoint: str, readable: list[str]) -> Iterator[Diagnosis]:
    """Check who asks; appends the places that may be read, where an empty first one means all of them."""
    token = token_for(endpoint, None)
    caller = fetch_caller(endpoint, token)
    readable += sorted(caller.get("read", ()))
    if token is None:
        yield Diagnosis("login", "ok", "none: what is open to everybody can be read")
        return
    kept = tokens.load(server_name(endpoint))
    where = "modos login" if kept and kept.token == token else "MODOS_TOKEN"
    reads, writes = (", ".join(place or "all" for place in caller.get(action, ())) or "nothing" for action in ("read", "write"))
    yield Diagnosis("login", "ok", f"{caller.get('name')} (from {where}); reads {reads}; writes {writes}")


def _s3(place: str, services: Services, s3_kwargs: dict[str, Any] | None, write: bool) -> Iterator[Diagnosis]:
    options = s3_options(place, services, s3_kwargs)
    storage = open_remote(place, services, options)
    if isinstance(storage, ServedStorage):
        yield Diagnosis(
            "credentials",
            "warning",
            "none: the S3 server gives none for a while, and this machine has none",
            "reading goes by addresses that the endpoint signs; to write get keys of S3",
        )
        yield from _guard("reading", lambda: iter([_check_served_reading(str(services.endpoint), services)]))
        return
    assert isinstance(storage, S3Storage)  # what else `open_remote` gives for an s3:// URL
    yield Diagnosis("credentials", "ok", _source(options))
    begin = time.perf_counter()
    storage.exists(_PROBE)
    yield Diagnosis("S3", "ok", f"{storage.endpoint_url} answers after {1000 * (time.perf_counter() - begin):.0f} ms")
    storage.list_folders()
    yield from _guard("reading", lambda: iter([_check_reading(storage, place)]))
    if write:
        yield from _guard("writing", lambda: iter([_check_writing(storage)]))


def _check_reading(storage: Storage, place: str) -> Diagnosis:
    """Check whether an object, its metadata and a file of it can be read: one may be allowed without the other."""
    root = next(iter(storage.find(*ROOT_KEYS)), None)
    if root is None:
        return Diagnosis(
            "reading",
            "warning",
            f"{place} can be listed; there is no object in it to read",
            "name one that there is: `modos remote list` shows them",
        )
    key = object_of(root.key)
    _read_some(storage.child(key) if key else storage)
    return Diagnosis("reading", "ok", f"{place} can be listed and read")


def _check_served_reading(endpoint: str, services: Services) -> Diagnosis:
    """Check reading from what a server gives out itself, or from the addresses that it signs."""
    answer = fetch_json(f"{endpoint.rstrip('/')}/list", {"limit": "1"}, token_for(endpoint, None))
    listed = answer.get("data") if isinstance(answer, dict) else None
    if not is_texts(listed):
        raise ProtocolError(f"{endpoint} is not a modos server: it does not list objects")
    if not listed:
        return Diagnosis("reading", "warning", f"{endpoint} lists no object that could be read", "look with `modos remote list`")
    url = listed[0] if listed[0].startswith("s3://") else served_url(endpoint, listed[0])
    _read_some(open_remote(url, services, None))
    return Diagnosis("reading", "ok", f"{url} can be read")


def _read_some(storage: Storage) -> None:
    """Read the metadata of an object and the first byte of a file, or of the list of a tree, where it has one."""
    for data_path in sorted(commits.load(storage).data_paths())[:1]:
        path = data_path if is_file_path(data_path) else files_name(data_path)
        if not storage.read_part(path, 0, 1)[0] and storage.stat(path).size:
            raise ProtocolError(f"{storage.url}/{path}: a byte was asked for, and none came")


def _source(options: dict[str, Any] | None) -> str:
    if options and "renew" in options:
        return "for an hour, from the endpoint"
    if options and options.get("anon"):
        return "none: anonymous, as asked"
    for name in ("AWS_ACCESS_KEY_ID", "AWS_PROFILE", "AWS_SHARED_CREDENTIALS_FILE"):
        if os.environ.get(name):
            return f"from {name}"
    return "of the AWS files, or none: anonymous"


def _check_writing(storage: Storage) -> Diagnosis:
    """Check whether a file can be written, and whether the server keeps the conditions that commits rest on."""
    key = f"{_PROBE}-{os.urandom(6).hex()}"
    tag = storage.write(key, b"modos doctor", if_absent=True)
    try:
        for condition in ({"if_absent": True}, {"if_match": '"0123456789abcdef0123456789abcdef"'}):
            try:
                storage.write(key, b"modos doctor", **condition)
            except (ConflictError, NotFoundError):
                continue
            return Diagnosis(
                "writing",
                "failed",
                "the S3 server takes no notice of If-Match and If-None-Match: two people who "
                "change an object at once would lose changes",
                "use a server that does (AWS, MinIO, Ceph from Squid on), and write from one place until then",
            )
        storage.write(key, b"modos doctor", if_match=tag)
    finally:
        storage.delete(key)
    return Diagnosis("writing", "ok", "files can be written; the server keeps conditions")


def _htsget(services: Services) -> Iterator[Diagnosis]:
    assert services.htsget
    fetch_json(f"{services.htsget}/reads/service-info", token=token_for(services.htsget, services.endpoint))
    yield Diagnosis("htsget", "ok", f"{services.htsget} answers")


def _cache(topic: str, variable: str, default: Path) -> Diagnosis:
    folder = Path(os.environ.get(variable) or default)
    near = next(path for path in (folder, *folder.parents) if os.path.exists(path))
    if near.is_dir() and os.access(near, os.W_OK):
        return Diagnosis(topic, "ok", f"{folder} can be written")
    return Diagnosis(topic, "failed", f"{folder} cannot be written", f"set {variable} to a folder of yours")


def _store(endpoint: str | None) -> Iterator[Diagnosis]:
    if not has_store(endpoint):
        return
    store = open_store(endpoint=endpoint)
    assemblies, annotations = len(store.index()), len(store.annotations())
    if assemblies:
        yield Diagnosis("references", "ok", f"assemblies in {store.url}: {assemblies:,}, annotations: {annotations:,}")
    elif os.environ.get(STORE_VARIABLE):
        yield Diagnosis(
            "references",
            "warning",
            f"{store.url} has no assemblies",
            f"add one with `modos reference add`, or change {STORE_VARIABLE}",
        )


def _check_searched() -> Diagnosis:
    path, cache = os.environ.get("REF_PATH"), os.environ.get("REF_CACHE")
    if not path and not cache:
        return Diagnosis(
            "references",
            "ok",
            "neither REF_PATH nor REF_CACHE is set: a CRAM is read with the FASTA of its object, or out of the reference store",
        )
    return Diagnosis("references", "ok", f"REF_PATH {path or 'is not set'}, REF_CACHE {cache or 'is not set'}")
