"""Which file of an object is meant, where it is streamed from, and the reference that it needs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from modos import streaming
from modos.config import Services
from modos.errors import InvalidInputError, NotFoundError, did_you_mean, listing
from modos.formats import format_of, is_index, stem_of, streamable_format
from modos.reference import sequences
from modos.storage import Storage, check_key

Metadata = Mapping[str, Mapping[str, Any]]


def find_file(storage: Storage, metadata: Metadata, file_path: str) -> str:
    """The key of a data file, given as within the object or as listed.

    Raises
    ------
    NotFoundError
        No element has such a file.
    InvalidInputError
        It is an index.
    """
    known = [attributes["data_path"] for attributes in metadata.values() if attributes.get("data_path")]
    text = file_path.removeprefix("s3://")
    within = text.removeprefix(f"{storage.path.as_posix()}/")
    for candidate in (text, within):
        if candidate in known:
            return check_key(candidate)
    if is_index(text):
        raise InvalidInputError(f"{text} is an index", "stream the file it belongs to")
    near = did_you_mean(within, known)
    raise NotFoundError(f"no file {within} in {storage.url}",
                        f"did you mean {near}?" if near else f"it has {listing(known) or 'no files'}")


def source_of(storage: Storage, services: Services | None, metadata: Metadata, key: str) -> streaming.Source:
    """Where a data file is streamed from: htsget where the services have it, else the storage itself."""
    format = streamable_format(key)
    file_id = _htsget_id(storage, services, key)
    if file_id is None:
        return streaming.StorageSource(storage, key)
    size = next((a.get("data_size") for a in metadata.values() if a.get("data_path") == key), None)
    return streaming.HtsgetSource(services.htsget, file_id, format, size)


def _htsget_id(storage: Storage, services: Services | None, key: str) -> str | None:
    """The file's id at the htsget server, None where there is no server for it."""
    if services is None or services.htsget is None:
        return None
    url = f"{storage.url}/{stem_of(key)}"
    if services.root is None:
        return url.removeprefix("s3://").partition("/")[2]
    return url.removeprefix(services.root + "/") if url.startswith(services.root + "/") else None


def reference_of(storage: Storage, metadata: Metadata, key: str, reference_filename: str | Path | None) -> str | None:
    """The FASTA to decode a CRAM with, None where htslib finds what it takes itself.

    The sequences of a FASTA in a remote object are put where htslib looks
    for them.

    Raises
    ------
    NotFoundError
        The FASTA that was given does not exist.
    IntegrityError
        The object's FASTA is not the one the CRAM was made with.
    """
    if reference_filename is not None:
        if not Path(reference_filename).is_file():
            raise NotFoundError(f"no reference {reference_filename}", "check the path")
        return str(reference_filename)
    format = format_of(key)
    if format is None or format.name != "CRAM":
        return None
    links = [link for a in metadata.values() if a.get("data_path") == key for link in a.get("has_reference", ())]
    for fasta in (metadata[link].get("data_path") for link in links if link in metadata):
        if not fasta or not storage.exists(fasta):
            continue
        local = storage.local_path(fasta)
        if local is not None:
            return str(local)
        md5s = streaming.sequence_md5s(storage, key)
        sequences.search_in(sequences.cache_sequences(storage, fasta, md5s))
    return None
