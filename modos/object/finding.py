"""Resolve a file of an object: the file that a name means, its source, and its reference."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from modos.errors import InvalidInputError, NotFoundError, did_you_mean, listing, make_locked_error
from modos.formats import (
    FileFormat,
    Metadata,
    find_keys,
    is_array_path,
    is_encrypted,
    is_file_path,
    is_index,
    is_tree_path,
    name_of,
    plain_name,
    stem_of,
    streamable_format,
)
from modos.genomics import GenomicFile
from modos.genomics.htsget.query import Query
from modos.genomics.planning import WORKERS, Planner
from modos.genomics.region import Region
from modos.genomics.sources import ConfirmedSource, FallbackSource, Source, StorageSource
from modos.genomics.verification import Recorded
from modos.object.cram_references import find_reference, list_references
from modos.object.document import Document
from modos.object.part_lists import verified_files
from modos.object.sealed_files import SealedFiles
from modos.storage import Storage, check_key
from modos.storage.given import refuse_pipe
from modos.storage.verified import VerifiedFiles
from modos.storage.zipped import ZippedStorage

if TYPE_CHECKING:
    from modos.encryption.keys import PublicKey, SecretKey
    from modos.encryption.view import DecryptedView
    from modos.genomics.file import FindGene
    from modos.reference.sequences import Files
    from modos.remote.services import Services


HOW_TO_OPEN = 'open it in Python: MODO(...)["{0}"].to_zarr(), to_anndata() and others; `modos show --zarr` shows what is in it'


def find_element(storage: Storage, document: Document, text: str) -> str:
    """Find the id of an element by its id or name, or by its file as `find_file` does, with the errors of that."""
    try:
        return document.find(text)
    except NotFoundError:
        metadata = document.metadata()
        key = find_file(storage, metadata, text)
        return next(element_id for element_id, attributes in metadata.items() if attributes.get("data_path") == key)


def find_file(storage: Storage, metadata: Metadata, file_path: str) -> str:
    """Find the key of a data file, or of a Zarr tree, by its name or key, within the object or as listed; or by its element's id.

    Raises
    ------
    NotFoundError
        No element has such a file.
    InvalidInputError
        Several have; or it is an index.
    """
    known = [
        attributes["data_path"]
        for attributes in metadata.values()
        if attributes.get("data_path") and not is_array_path(attributes["data_path"])
    ]
    text = file_path.removeprefix("s3://")
    within = text.removeprefix(f"{storage.path.as_posix()}/")
    for candidate in (text, within):
        found = find_keys(known, candidate)
        if len(found) > 1:
            raise InvalidInputError(f"{candidate} could be {' or '.join(found)} in {storage.url}", "write it as it is stored")
        if found:
            return check_key(found[0])
    if is_index(text):
        raise InvalidInputError(f"{text} is an index", "stream the file it belongs to")
    elements = _find_elements(metadata, within)
    with_file = [element_id for element_id in elements if metadata[element_id].get("data_path") in known]
    if len(with_file) == 1:
        return check_key(metadata[with_file[0]]["data_path"])
    if with_file:
        raise InvalidInputError(f"{within} could be {' or '.join(with_file)} in {storage.url}", "write the whole id")
    if elements:
        paths = [metadata[element_id].get("data_path") or "" for element_id in elements]
        raise InvalidInputError(
            f"{listing(elements)} of {storage.url} has no file",
            "`modos track` is for what is kept as arrays" if any(map(is_array_path, paths)) else "`modos show` shows what it has",
        )
    trees = {a["data_path"]: element_id for element_id, a in metadata.items() if is_tree_path(a.get("data_path") or "")}
    if inside := [path for path in trees if within.startswith(f"{path}/")]:
        raise InvalidInputError(
            f"{name_of(inside[0])} in {storage.url} is a Zarr tree, and no file", HOW_TO_OPEN.format(trees[inside[0]])
        )
    names = sorted({name_of(key) for key in known})
    near = did_you_mean(within, names)
    raise NotFoundError(
        f"no file {within} in {storage.url}", f"did you mean {near}?" if near else f"it has {listing(names) or 'no files'}"
    )


def refuse_ambiguous(storage: Storage, metadata: Metadata, path: str, key: str) -> None:
    """Refuse a name that is the name of one file and the id of an element that has another.

    Raises
    ------
    InvalidInputError
        Either could be meant.
    """
    others = [
        element_id for element_id in _find_elements(metadata, path) if metadata[element_id].get("data_path") not in (None, key)
    ]
    if others:
        other = metadata[others[0]]["data_path"]
        owner = next((element_id for element_id, attributes in metadata.items() if attributes.get("data_path") == key), key)
        raise InvalidInputError(
            f"{path} could be the file {name_of(key)} of {owner} or the element {others[0]} "
            f"with the file {name_of(other)} in {storage.url}",
            f"write {owner} or {others[0] if others[0] != path else name_of(other)}",
        )


def _find_elements(metadata: Metadata, name: str) -> list[str]:
    return [element_id for element_id in metadata if name in (element_id, element_id.rpartition("/")[2]) and "/" in element_id]


def open_genomic_file(
    storage: Storage,
    planner: Planner,
    services: Services | None,
    metadata: Metadata,
    key: str,
    reference_filename: str | Path | None = None,
    *,
    hints: Query = Query(),
    workers: int = WORKERS,
    endpoint: str | None = None,
    confirm: Callable[[], object] | None = None,
    opened: SealedFiles | None = None,
) -> GenomicFile:
    """Open a data file of an object, ready to be streamed.

    Straight from the storage where digests of its parts are recorded, with
    which each range is compared. Else, or if the storage is not to be read, over
    htsget where the services have it, or for a part of the fields or tags.

    Parameters
    ----------
    planner
        Plans reading of the object's storage; for an encrypted file, of a view of it.
    reference_filename
        FASTA for a CRAM; the object's own, where it is None.
    hints
        The fields and tags of reads that are wanted.
    workers
        How many parts are fetched at once.
    endpoint
        The server whose annotations count if there are no services.
    confirm
        Called before anything is read; raises ConflictError where the file is
        no longer what the metadata say.
    opened
        The encrypted files of the object, where there is a key: the file, its FASTA and its genes may be among them.

    Raises
    ------
    InvalidInputError
        The file has no records that can be streamed.
    AccessError
        It is encrypted, and there is no key.
    NotFoundError
        The FASTA that was given does not exist.
    """
    name, format = plain_name(key), streamable_format(plain_name(key))
    check_reference(reference_filename)
    if name != key and opened is None:
        raise make_locked_error(f"{storage.url}/{name_of(key)}")
    view = opened.view if opened and name != key else None
    find_gene = make_gene_finder(storage, metadata, key, services.endpoint if services else endpoint, opened)
    endpoint = services.endpoint if services else None
    attributes = next((a for a in metadata.values() if a.get("data_path") == key), {})
    recorded = Recorded.from_attributes(attributes, sealed=name != key)
    planner.expect(name, (recorded, attributes.get("data_digest")))
    stored = _open_stored(planner, view, name, workers, recorded)
    source: Source = stored
    if name == key and (at := _htsget_place(storage, services, key)):
        served = _open_served(at, workers, format, recorded, hints)
        source = FallbackSource(stored, served) if stored.is_verified and not hints.is_partial else FallbackSource(served, stored)
    if confirm:
        source = ConfirmedSource(source, confirm)
    file = GenomicFile(
        source,
        lambda regions, progress: find_reference(
            storage, planner, metadata, key, reference_filename, regions, endpoint, progress, opened
        ),
        _find_aliases(metadata, key, endpoint),
        hints,
        find_gene,
    )
    file.size = recorded.size
    return file


def open_variants(
    source: Source, storage: Storage, metadata: Metadata, key: str, endpoint: str | None, opened: SealedFiles | None
) -> GenomicFile:
    """Open variants that are not in one file, where contigs and genes have the names that they have for a file."""
    find_gene = make_gene_finder(storage, metadata, key, endpoint, opened)
    return GenomicFile(source, find_aliases=_find_aliases(metadata, key, endpoint), find_gene=find_gene)


def _open_stored(planner: Planner, view: DecryptedView | None, name: str, workers: int, recorded: Recorded) -> StorageSource:
    if view is None:
        files = planner.storage
        is_verified = isinstance(files, VerifiedFiles) and files.verifies(name)
        return StorageSource(files, name, planner, workers, recorded, is_verified=is_verified)
    from modos.genomics.decryption import DecryptedSource

    return DecryptedSource(view, name, planner, workers, recorded)


def _open_served(at: _HtsgetPlace, workers: int, format: FileFormat, recorded: Recorded, hints: Query) -> Source:
    from modos.genomics.htsget.client import HtsgetClient
    from modos.genomics.htsget.streams import HtsgetSource
    from modos.remote.services import token_for

    client = HtsgetClient(at.server, workers, token_for(at.server, at.endpoint), stored=True)
    return HtsgetSource(client, at.file_id, format, recorded, hints)


def open_served_file(
    url: str,
    endpoint: str | None,
    reference_filename: str | Path | None = None,
    *,
    hints: Query = Query(),
    secret: SecretKey | None = None,
    workers: int = WORKERS,
    senders: Sequence[PublicKey] | None = None,
) -> GenomicFile:
    """Open the file behind `http://server/reads/ID` or `.../variants/ID`; see `open_genomic_file`.

    Parameters
    ----------
    endpoint
        The server that the token in the environment is for; the one of the
        URL where it is None.
    secret
        The key to decrypt the answers with, where the server encrypts them.
    senders
        Allowed senders: one of them must have encrypted the answers; None allows anybody.
    """
    from modos.genomics.htsget.streams import htsget_source
    from modos.remote.services import check_url, token_for

    check_reference(reference_filename)
    check_url(url, "an htsget server")
    source = htsget_source(url, hints=hints, token=token_for(url, endpoint), secret=secret, workers=workers, senders=senders)
    file = GenomicFile(
        source,
        lambda regions, progress: str(reference_filename) if reference_filename else None,
        hints=hints,
        find_gene=_find_later(endpoint),
    )
    fasta = locate_from_anywhere(reference_filename)
    file.reopen = partial(open_served_file, url, endpoint, fasta, hints=hints, secret=secret, workers=workers, senders=senders)
    return file


def locate_from_anywhere(given: Any) -> Any:
    """Return the path of a file as a process in another folder has to have it; what is no path stays."""
    return os.path.abspath(given) if isinstance(given, (str, os.PathLike)) else given


def check_reference(reference_filename: str | Path | None) -> None:
    """Raise NotFoundError where a FASTA is given and does not exist, raise InvalidInputError if it is a pipe."""
    if reference_filename is not None:
        refuse_pipe(reference_filename, "a FASTA to decode with is read at random", "write it to a file first, and give that")
    if reference_filename is not None and not os.path.isfile(reference_filename):
        raise NotFoundError(f"no reference {reference_filename}", "check the path")


class _HtsgetPlace(NamedTuple):
    """An htsget server, the endpoint that it is of, and the id of a file there."""

    server: str
    endpoint: str | None
    file_id: str


def _htsget_place(storage: Storage, services: Services | None, key: str) -> _HtsgetPlace | None:
    """Return where htsget gives out a file; None if there is no server for it."""
    if services is None or services.htsget is None or isinstance(storage, ZippedStorage):
        return None  # no server of htsget looks into zip files
    url = f"{storage.url}/{stem_of(key)}"
    if services.root is None:
        return _HtsgetPlace(services.htsget, services.endpoint, url.removeprefix("s3://").partition("/")[2])
    if not url.startswith(services.root + "/"):
        return None
    return _HtsgetPlace(services.htsget, services.endpoint, url.removeprefix(services.root + "/"))


def _find_aliases(metadata: Metadata, key: str, endpoint: str | None) -> Callable[[], Mapping[str, tuple[str, ...]]] | None:
    """Return a function that finds all names of a file's contigs, where its reference is one of a store."""
    stored = next((reference for reference in list_references(metadata, key) if reference.get("assembly")), None)
    if stored is None:
        return None

    def find() -> Mapping[str, tuple[str, ...]]:
        from modos.reference.locate import read_assembly

        contigs = read_assembly(stored, endpoint=endpoint).contigs
        return {name: (contig.name, *contig.aliases) for contig in contigs for name in (contig.name, *contig.aliases)}

    return find


def make_gene_finder(
    storage: Storage, metadata: Metadata, key: str, endpoint: str | None, opened: SealedFiles | None = None
) -> FindGene:
    """Make what finds genes of the references of a file or track: in its GFF3 files, if they can be read, and in a store."""
    return _find_later(*_gene_places(storage, metadata, key, endpoint, opened))


def make_annotation_finder(
    storage: Storage, metadata: Metadata, key: str, endpoint: str | None, opened: SealedFiles | None = None
) -> Callable[[Mapping[str, tuple[int | None, str | None]], str | None], Any]:
    """Make what finds an annotation of the references of a file or track; see `GeneFinder.find_annotation`."""

    def find(contigs: Mapping[str, tuple[int | None, str | None]], name: str | None) -> Any:
        from modos.reference.genes import GeneFinder

        return GeneFinder(*_gene_places(storage, metadata, key, endpoint, opened)).find_annotation(contigs, name)

    return find


def _gene_places(
    storage: Storage, metadata: Metadata, key: str, endpoint: str | None, opened: SealedFiles | None
) -> tuple[Any, ...]:
    """Return where the genes of the references of a file or track are, as a `GeneFinder` takes it."""
    links = {link for a in metadata.values() if a.get("data_path") == key for link in a.get("has_reference", ())}
    references = list_references(metadata, key)
    paths = [
        a["data_path"]
        for a in metadata.values()
        if a.get("data_format") == "GFF3"
        and a.get("data_path")
        and is_file_path(a["data_path"])
        and links & set(a.get("has_reference", ()))
    ]
    sealed = [path for path in paths if is_encrypted(path)]
    files: list[tuple[Files, str]] = [(verified_files(storage, metadata), path) for path in paths if path not in sealed]
    if opened:
        files += [(opened.view, plain_name(path)) for path in sealed]

    def digests() -> set[str]:
        from modos.reference.locate import read_assembly

        return {read_assembly(reference, endpoint=endpoint).seqcol for reference in references if reference.get("assembly")}

    locked = [] if opened else [name_of(path) for path in sealed]
    return endpoint, digests, files, _find_aliases(metadata, key, endpoint), locked


def _find_later(*given: Any) -> FindGene:
    """Return what finds genes as a `GeneFinder` of these arguments does, which is imported when a gene is asked for."""

    def find(name: str, contigs: Mapping[str, tuple[int | None, str | None]]) -> Region | None:
        from modos.reference.genes import GeneFinder

        return GeneFinder(*given).find(name, contigs)

    return find
