"""Add, update and remove elements of an object, each in one commit."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from modos.encryption.keys import SecretKey, as_secret_key
from modos.errors import InvalidInputError
from modos.object.enrichment import enrich
from modos.object.open_object import OpenObject
from modos.object.transaction import now
from modos.storage.base import ProgressLike


class Elements:
    """Elements of an object, to be changed."""

    def __init__(self, open_object: OpenObject):
        self._object = open_object

    def add_element(
        self,
        element: Any,
        source_file: str | Path | None = None,
        part_of: str | None = None,
        progress: ProgressLike | None = None,
        secret_key: SecretKey | str | Path | None = None,
        passphrase: str | None = None,
        data_checksum: bool = True,
        *,
        as_zarr: bool = False,
    ) -> str:
        """Add an element, with its file, in one commit; returns its id.

        Parameters
        ----------
        element
            A mapping with `id` and `@type`, or an instance of a schema class.
        source_file
            A file of this machine that becomes the element's data. Its
            index comes along, or is built. Or a Zarr tree: a folder, a zip file
            or an address at S3 (`s3://bucket/counts.zarr`).
        part_of
            Id of the element that links to it. Assays belong to the object.
        secret_key
            The key, or its file, of a recipient of a source that is
            encrypted: an index beside it that is not is encrypted for the
            same recipients.
        passphrase
            Of the secret key; `C4GH_PASSPHRASE` where it is None.
        data_checksum
            Compute BLAKE2b-512 of the file, beside the digests of its parts.
        as_zarr
            Write a `.h5ad`, `.h5mu` or `.loom` file as a Zarr tree, and add
            that (extra `singlecell`); see `modos.trees.hdf5_to_zarr`.

        Raises
        ------
        SchemaError, AlreadyExistsError, NotFoundError, IntegrityError
            The element does not fit; its id or file is taken; its source or
            what it links to is missing; its source is damaged, or the index
            beside it is of another file. Nothing is left behind.
        """
        with _written_as_zarr(source_file, as_zarr) as source, self._object.transaction(progress) as transaction:
            transaction.secret = None if secret_key is None else as_secret_key(secret_key, passphrase)
            transaction.data_checksum = data_checksum
            return transaction.add_element(element, source, part_of)

    def update_element(
        self,
        element_id: str,
        new: Any,
        source_file: str | Path | None = None,
        part_of: str | None = None,
        progress: ProgressLike | None = None,
        *,
        plain: bool = False,
        secret_key: SecretKey | str | Path | None = None,
        passphrase: str | None = None,
        data_checksum: bool = True,
    ) -> str:
        """Change slots of an element in one commit; returns its id.

        Parameters
        ----------
        element_id
            The element, or the object by its own id.
        new
            Slots and their new values, as a mapping or an instance of a
            schema class. Others stay; None or [] unsets a slot. Another
            data_path renames the element's file, or names one that is in the
            object and belongs to no element.
        source_file
            A file or Zarr tree that replaces the element's, under the same name; it is
            stored at a new key, as somebody may be reading the old one. A plain one that
            replaces an encrypted one is encrypted for the recorded
            recipients.
        part_of
            Id of an element that is to link to it.
        plain
            Leave a plain source file plain, also where it replaces an
            encrypted one.
        secret_key, passphrase, data_checksum
            As for `add_element`.

        Raises
        ------
        SchemaError, NotFoundError, ConflictError, IntegrityError
            As for `add_element`; somebody else changed the element meanwhile.
        InvalidInputError
            It is encrypted, and for whom is not recorded.
        """
        with self._object.transaction(progress) as transaction:
            transaction.secret = None if secret_key is None else as_secret_key(secret_key, passphrase)
            transaction.data_checksum = data_checksum
            return transaction.update_element(element_id, new, source_file, part_of, plain)

    def remove_element(self, element_id: str) -> str:
        """Remove an element, its file and index, and every link to it; returns its id."""
        with self._object.transaction() as transaction:
            return transaction.remove_element(element_id)

    def enrich_metadata(self, secret_key: SecretKey | str | Path | None = None, passphrase: str | None = None) -> list[str]:
        """Add what the headers of the data files say, in one commit; returns ids of files that could not be read.

        Reference sequences and samples are taken from CRAM and BAM, contigs
        and samples from VCF and BCF, samples and an assay from mzTab.
        Running it again changes nothing. What is written is metadata, and
        not encrypted, also of encrypted files.

        Parameters
        ----------
        secret_key
            The key, or its file, to read encrypted files with.
        passphrase
            Of the secret key; `C4GH_PASSPHRASE` where it is None.
        """
        with self._object.transaction() as transaction:
            transaction.secret = None if secret_key is None else as_secret_key(secret_key, passphrase)
            return enrich(transaction, self._object.endpoint)

    def update_date(self, date: Any = None) -> None:
        """Set the date of the last update, to now if none is given."""
        with self._object.transaction() as transaction:
            transaction.update_element(transaction.view.object_id, {"last_update_date": date or now()})


@contextmanager
def _written_as_zarr(source: str | Path | None, wanted: bool) -> Iterator[str | Path | None]:
    """Give the Zarr tree of a file, in a folder that is removed afterwards; the file itself if no tree is wanted."""
    if not wanted:
        yield source
        return
    if source is None:
        raise InvalidInputError("there is no file to be written as Zarr", "give it with --source (source_file)")
    from modos.trees.hdf5_to_zarr import write_as_zarr

    with tempfile.TemporaryDirectory(prefix="modos-") as folder:
        yield write_as_zarr(Path(source), Path(folder))
