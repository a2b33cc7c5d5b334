"""Locate reference stores, and open assemblies from them."""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Iterable, Mapping
from functools import partial
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any

from modos.errors import (
    AccessError,
    ConflictError,
    NotFoundError,
    RemoteError,
    TruncatedStream,
)
from modos.reference.assembly import Assembly, StoredContig, assembly_key, sequence_key
from modos.reference.cache import (
    OFFLINE_VARIABLE,
    Wanted,
    bring,
    cache_folder,
    has_sequence,
    htslib_has,
    is_offline,
    search_in,
    sequence_path,
)
from modos.reference.cached_store import CachedStore, compare, keep
from modos.reference.reference import Reference
from modos.reference.store import ReferenceStore
from modos.remote import tokens
from modos.remote.access import open_remote
from modos.remote.services import (
    check_url,
    endpoint_from_environment,
    resolve_services,
    server_name,
    token_for,
)
from modos.storage import Storage, open_storage
from modos.storage.base import Progress
from modos.storage.http.reach import origin
from modos.storage.readonly import UnaskedStorage
from modos.storage.url import AnywhereStorage

if TYPE_CHECKING:
    from modos.reference.annotations.annotation import Annotation
    from modos.reference.soft_mask import Mask

logger = logging.getLogger(__name__)

STORE_VARIABLE = "MODOS_REFERENCE_STORE"
ENTRY_POINTS = "modos.reference_stores"


def own_folder() -> Path:
    """Return the folder of the user's references, the default place."""
    base = os.environ.get("XDG_DATA_HOME") or str(Path.home() / ".local" / "share")
    return Path(base) / "modos" / "references"


def has_store(endpoint: str | None = None) -> bool:
    """Return whether there may be references: a place in MODOS_REFERENCE_STORE, the user's folder, or an endpoint."""
    return bool(os.environ.get(STORE_VARIABLE) or endpoint or endpoint_from_environment()) or os.path.isdir(own_folder())


def provide(contigs: Iterable[StoredContig], endpoint: str | None = None, progress: Progress | None = None) -> None:
    """Put sequences where htslib looks for them, from the cache, the user's store or the endpoint's refget; others are left out.

    What htslib finds by itself (REF_CACHE, REF_PATH) is not fetched again.

    Raises
    ------
    IntegrityError
        The store has something else by that name.
    """
    cached = None
    for contig in contigs:
        path = sequence_path(contig.md5)
        if not has_sequence(contig):
            if htslib_has(contig.md5) or not has_store(endpoint):
                continue
            try:
                cached = cached or CachedStore(open_store(endpoint=endpoint))
                path = cached.locate(contig, progress)
            except (NotFoundError, RemoteError, AccessError) as error:
                logger.info("%s", error)
                if not _fetch_by_digest(contig, endpoint, progress):
                    continue
        search_in(path.parents[2])


def _fetch_by_digest(contig: StoredContig, endpoint: str | None, progress: Progress | None) -> bool:
    """Fetch a sequence into the cache from the refget service that the endpoint names, if it has it."""
    if is_offline() or not (endpoint or endpoint_from_environment()):
        return False
    try:
        services = resolve_services(endpoint, None)
        if not services.refget:
            return False
        storage = _open_http(f"{services.refget}/sequence", services.endpoint)
        bring(
            Wanted(
                sequence_path(contig.md5),
                contig.length,
                "md5",
                contig.md5,
                f"the sequence {contig.name} (MD5 {contig.md5}) of {services.refget}",
                contig.ga4gh,
            ),
            lambda start: storage.iter_range(contig.md5, start, contig.length),
            progress,
        )
    except (NotFoundError, RemoteError, AccessError) as error:
        logger.info("%s", error)
        return False
    return True


def open_store(
    place: str | Path | None = None, endpoint: str | None = None, s3_kwargs: dict[str, Any] | None = None
) -> ReferenceStore:
    """Open a store: the one that is named, or that MODOS_REFERENCE_STORE names; else the user's folder; else the endpoint's.

    Parameters
    ----------
    place
        A folder, `s3://bucket/prefix`, `https://host/path`, or a URL that
        fsspec reads or an installed package opens: an entry point of the
        group `modos.reference_stores`, named like the scheme, that takes the
        URL and gives a `modos.storage.Storage`.

    Raises
    ------
    InvalidInputError
        Nothing reads such a URL.
    """
    where = str(place or os.environ.get(STORE_VARIABLE) or "")
    if not where and not os.path.isdir(own_folder()):
        found = open_served_store(endpoint)
        if found is not None:
            return found
    return ReferenceStore(open_folder(where or str(own_folder()), endpoint, s3_kwargs))


def open_folder(place: str, endpoint: str | None = None, s3_kwargs: dict[str, Any] | None = None) -> Storage:
    """Open a folder, or a place that has a URL."""
    return _open_url(place, endpoint, s3_kwargs) if "://" in place else open_storage(Path(place))


def open_served_store(endpoint: str | None) -> ReferenceStore | None:
    """Open the store that the endpoint's server gives out, if it has one; offline, what the cache has of it."""
    named = endpoint or endpoint_from_environment()
    if not named:
        return None
    kept = cache_folder("endpoints") / hashlib.sha256(named.encode()).hexdigest()[:16]
    if is_offline():
        return ReferenceStore(_open_url(kept.read_text(), named, None)) if kept.is_file() else None
    services = resolve_services(named, None)
    if not services.references:
        return None
    if not kept.is_file() or kept.read_text() != services.references:
        keep(kept, services.references.encode())
    return ReferenceStore(_open_http(services.references, services.endpoint))


def _open_url(url: str, endpoint: str | None, s3_kwargs: dict[str, Any] | None) -> Storage:
    if is_offline():
        return UnaskedStorage(url, f"{OFFLINE_VARIABLE} is set")
    scheme = url.partition("://")[0]
    for found in entry_points(group=ENTRY_POINTS, name=scheme):
        storage: Storage = found.load()(url)
        return storage
    if scheme == "s3":
        return open_remote(url, resolve_services(endpoint, None), s3_kwargs)
    return _open_http(url, endpoint) if scheme in ("http", "https") else AnywhereStorage(url)


def _open_http(url: str, endpoint: str | None) -> Storage:
    named, url = endpoint or endpoint_from_environment(), check_url(url, "a reference store")
    at_endpoint = named is not None and origin(url) == origin(check_url(named, "a modos server"))
    # MODOS_TOKEN is for the endpoint alone
    return AnywhereStorage(url, partial(token_for, url, named) if at_endpoint else partial(tokens.token_of, server_name(url)))


def read_assembly(element: Mapping[str, Any], endpoint: str | None = None) -> Assembly:
    """Read the assembly that a ReferenceGenome names.

    Raises
    ------
    NotFoundError
        The store has none of that name.
    ConflictError
        It has another one.
    """
    return _check_digest(CachedStore(open_store(endpoint=endpoint)).assembly(element["assembly"]), element.get("seqcol_digest"))


def read_contigs(element: Mapping[str, Any], endpoint: str | None = None) -> tuple[StoredContig, ...]:
    """Read the contigs of a ReferenceGenome's assembly, compared with their sequences if those are on this machine.

    Raises
    ------
    NotFoundError, IntegrityError
        The store lacks a sequence; it has another one.
    """
    cached = CachedStore(open_store(endpoint=endpoint))
    assembly = _check_digest(cached.assembly(element["assembly"]), element.get("seqcol_digest"))
    if not compare(cached, assembly.contigs):
        logger.warning(
            "the digests of %s are what %s says; they are compared when its sequences are read", assembly.name, cached.store.url
        )
    return assembly.contigs


def _check_digest(assembly: Assembly, seqcol: str | None) -> Assembly:
    if seqcol and assembly.seqcol != seqcol:
        raise ConflictError(
            f"the assembly {assembly.name} of the reference store ({assembly.seqcol}) is another one than the object was made "
            f"with ({seqcol})",
            "name the store that has it (MODOS_REFERENCE_STORE), or another assembly",
        )
    return assembly


def open_reference(
    name: str | os.PathLike[str],
    place: str | Path | None = None,
    endpoint: str | None = None,
    s3_kwargs: dict[str, Any] | None = None,
    seqcol: str | None = None,
) -> Reference:
    """Open an assembly of a store, to ask for its bases; the name of an annotation opens its assembly.

    What is on this machine, in the store or the cache, is read from there.
    Else the parts that are asked for are fetched; `modos reference pull`
    fetches all. Where a digest is asked for, whole contigs are fetched, as
    those alone can be compared with it.

    Raises
    ------
    NotFoundError
        The store has neither an assembly nor an annotation of that name.
    ConflictError
        It has another digest than `seqcol`, or than the annotation's.
    """
    cached = CachedStore(open_store(place, endpoint, s3_kwargs))
    assembly, annotation = _find_assembly(cached, os.fspath(name))
    _check_digest(assembly, seqcol)
    return open_assembly(cached, assembly, annotation, whole=seqcol is not None)


def open_assembly(cached: CachedStore, assembly: Assembly, annotation: str | None = None, *, whole: bool = False) -> Reference:
    """Open an assembly that a store has, to ask for its bases; see `open_reference`.

    Parameters
    ----------
    annotation
        The name of the annotation that it is opened by.
    whole
        Whether contigs that are elsewhere are fetched whole, and compared with their digests.
    """
    return Reference(
        assembly,
        partial(_file_of, cached, whole),
        partial(_read_range, cached.store),
        partial(_find_annotation, cached, assembly),
        partial(_read_mask, cached, assembly),
        annotation,
    )


def _find_assembly(cached: CachedStore, name: str) -> tuple[Assembly, str | None]:
    """Find the assembly of a name, or the annotation of the name and its assembly."""
    try:
        return cached.assembly(name), None
    except NotFoundError:
        from modos.reference.annotation_store import (
            find_manifest,
            is_annotation_name,
        )

        if not is_annotation_name(cached, name):
            raise
    manifest = find_manifest(cached, name)
    assembly = cached.assembly(manifest.assembly)
    if assembly.seqcol != manifest.seqcol:
        raise ConflictError(
            f"the annotation {name} is of another {manifest.assembly} ({manifest.seqcol}) than the store has ({assembly.seqcol})",
            "add the annotation again, for that assembly",
        )
    return assembly, name


def _read_mask(cached: CachedStore, assembly: Assembly) -> Mask | None:
    from modos.reference.soft_mask import Mask

    return (
        Mask(cached.locate_file(assembly_key(assembly.name, assembly.masked[0]), *assembly.masked[1:]))
        if assembly.masked
        else None
    )


def _find_annotation(cached: CachedStore, assembly: Assembly, name: str) -> Annotation:
    from modos.reference.annotation_store import open_annotation

    return open_annotation(cached, name, assembly)


def _file_of(cached: CachedStore, whole: bool, contig: StoredContig) -> Path | None:
    """Find the file of a contig, if it is on this machine or all of it has to be compared with its digests."""
    has_it = whole or cached.is_here or has_sequence(contig)
    return cached.locate(contig) if has_it or is_offline() else None


def _read_range(store: ReferenceStore, contig: StoredContig, start: int, end: int) -> bytes:
    data, info = store.storage.read_part(sequence_key(contig.md5), start, end)
    if info.size != contig.length or len(data) != end - start:
        raise TruncatedStream(
            f"{store.url}/{sequence_key(contig.md5)} has {info.size:,} bytes, and {contig.name} has {contig.length:,} bases",
            "tell those who keep the store",
        )
    return data
