"""Find the file of reads or variants that an id of htsget stands for."""

from __future__ import annotations

from modos.catalog.catalog import Catalog
from modos.errors import InvalidInputError, NotFoundError
from modos.formats import ENCRYPTED_SUFFIX, FORMATS, RecordKind, find_keys, is_encrypted, plain_name, stem_of, streamable_format
from modos.genomics.htsget.protocol import HtsgetError

PREFERENCE: dict[RecordKind, tuple[str, str]] = {
    "reads": ("BAM", "CRAM"),
    "variants": ("VCF", "BCF"),
}  # htsget.md: the default is the first


def find_file(
    catalog: Catalog, kind: RecordKind, file_id: str, format_name: str | None, *, exact: bool = False, encrypted: bool = False
) -> str:
    """Find the key of the data file that an id stands for, by its key or its name, without its ending.

    Only files that an object names as its data are found.

    Parameters
    ----------
    exact
        Whether the id is of a key, and not of a name.
    encrypted
        Whether an encrypted file is meant.

    Raises
    ------
    NotFoundError
        There is none.
    HtsgetError
        There is one, but not in the format asked for; or several are called so.
    """
    try:
        object_key, stem = catalog.find_object(file_id)
    except (NotFoundError, InvalidInputError):
        raise NotFoundError(f"there are no {kind} of the id {file_id}") from None
    paths = catalog.data_paths(object_key)
    known = {plain_name(path) for path in paths if is_encrypted(path) == encrypted}
    prefix = f"{object_key}/" if object_key else ""
    found: dict[str, str] = {}
    for name in reversed(PREFERENCE[kind]):
        for suffix in FORMATS[name].suffixes:
            keys = [stem + suffix] if exact else find_keys(known, stem + suffix)
            if len(keys) > 1:
                raise HtsgetError("InvalidInput", f"{file_id} could be {' or '.join(keys)}")
            if keys and keys[0] in known:
                found[name] = prefix + keys[0] + (ENCRYPTED_SUFFIX if encrypted else "")
    if not found:
        is_sealed = not encrypted and any(stem_of(plain_name(path)) == stem for path in paths if is_encrypted(path))
        raise NotFoundError(
            f"there are no {kind} of the id {file_id}" + (", but encrypted: ask with encryptionScheme=c4gh" if is_sealed else "")
        )
    if format_name is None:
        return found[next(name for name in PREFERENCE[kind] if name in found)]
    if format_name not in found:
        raise HtsgetError("UnsupportedFormat", f"{file_id} is there as {' and '.join(found)} only")
    return found[format_name]


def check_format(key: str, format_name: str | None) -> None:
    """Raise HtsgetError if a file is not in the format asked for."""
    found = streamable_format(key).name
    if format_name not in (None, found):
        raise HtsgetError("UnsupportedFormat", f"{key.rpartition('/')[2]} is there as {found} only")
