"""Create an object from files of this machine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from modos.encryption.keys import SecretKey, as_secret_key
from modos.errors import AlreadyExistsError, NotFoundError
from modos.metadata.description import Entry, Matcher, read_descriptions
from modos.metadata.diff import Difference, compare
from modos.object import commits
from modos.object.describing import bring_up_to_date
from modos.object.document import Document
from modos.object.open_object import OpenObject
from modos.object.transaction import Transaction
from modos.storage.base import ProgressLike

Paths = Sequence[str | Path]
Key = SecretKey | str | Path | None


@dataclass(frozen=True)
class Described:
    """Descriptions of elements in files, and how these are read.

    Parameters
    ----------
    descriptions
        YAML and JSON files, sheets, or entries that were read of them.
    type
        The class or group of a sheet's rows that have no `@type`.
    matcher
        Finds the slots and values that sheets mean.
    worksheet
        The one of an XLSX file that is meant.
    """

    descriptions: str | Path | Sequence[str | Path | Entry]
    type: str | None = None
    matcher: Matcher | None = None
    worksheet: str | None = None

    def read(self) -> list[Entry]:
        """Read the elements of all files."""
        given = [self.descriptions] if isinstance(self.descriptions, (str, Path)) else list(self.descriptions)
        entries = [one for one in given if isinstance(one, Entry)]
        paths = [Path(one) for one in given if not isinstance(one, Entry)]
        return entries + read_descriptions(paths, self.type, matcher=self.matcher, worksheet=self.worksheet)


def prepare(
    open_object: OpenObject, described: Described, *, prune: bool = False, secret_key: Key = None, passphrase: str | None = None
) -> Transaction:
    """Prepare the changes that bring an object, also one that does not exist yet, up to date with what files describe.

    Parameters
    ----------
    prune
        Remove elements that no file describes.
    """
    entries = described.read()
    try:
        document = commits.load(open_object.storage)
    except NotFoundError:
        open_object.refuse_taken()
        own = [entry.attributes for entry in entries if entry.attributes["@type"] == "MODO"]
        document = Document(open_object.own_attributes(**(own[0] if own else {})))
    secret = None if secret_key is None else as_secret_key(secret_key, passphrase)
    transaction = Transaction(open_object.storage, document, secret, open_remote=open_object.open_beside)
    bring_up_to_date(transaction, entries, prune=prune)
    return transaction


def prepare_new(
    open_object: OpenObject,
    files: str | Path | Paths,
    reference: str | Path | Paths,
    described: Described,
    attributes: Mapping[str, Any],
    *,
    secret_key: Key = None,
    passphrase: str | None = None,
) -> Transaction:
    """Prepare the changes that make a new object from files, with what their headers say."""
    from modos.object.surveying import survey

    matcher = described.matcher or Matcher()
    own = [Entry({"@type": "MODO"} | dict(attributes), None, None)] if attributes else []
    more = [described.descriptions] if isinstance(described.descriptions, (str, Path)) else described.descriptions
    transaction = prepare(
        open_object,
        Described([*own, *more], described.type, matcher, described.worksheet),
        secret_key=secret_key,
        passphrase=passphrase,
    )
    if transaction.start.tag:
        path = open_object.address.path
        raise AlreadyExistsError(f"{path} exists already", f"add files to it with add_files, or `modos add {path} FILE...`")
    survey(transaction, _as_paths(files), _as_paths(reference), matcher=matcher, endpoint=open_object.address.endpoint)
    matcher.tell_unused()
    return transaction


def find_changes(transaction: Transaction) -> list[Difference]:
    """List what a transaction would change, by meaning; nothing is changed."""
    before = transaction.start.metadata() if transaction.start.tag else {}
    return compare(before, transaction.preview().metadata(), ignore=frozenset({"last_update_date"}))


class Gathering:
    """Addition of further files to an object."""

    def __init__(self, open_object: OpenObject):
        self._object = open_object

    def add_files(
        self,
        files: str | Path | Paths,
        reference: str | Path | Paths = (),
        part_of: str | None = None,
        progress: ProgressLike | None = None,
        *,
        matcher: Matcher | None = None,
        secret_key: Key = None,
        passphrase: str | None = None,
        data_checksum: bool = True,
        attributes: Mapping[str, Any] | None = None,
    ) -> list[str]:
        """Add files with what their headers say, in one commit; returns the ids of all elements that were added.

        A Zarr tree (a folder, a zip file or an address at S3) is taken like a
        file, with what its metadata say.

        Parameters
        ----------
        reference
            As for `create_from_files`, or the id of one of the object. Where
            none is given, files are compared with those of the object.
        part_of
            Id of the element that links to the data.
        matcher, secret_key, passphrase
            As for `create_from_files`.
        data_checksum
            Compute BLAKE2b-512 of each file, beside the digests of its parts.
        attributes
            Further slots of each data element that is added, such as
            `{"derived_from": ["data/reads"]}`.

        Raises
        ------
        AlreadyExistsError, InvalidInputError, NotFoundError, IntegrityError
            All that is wrong with the files, or not clear.
        """
        with self._object.transaction(progress) as transaction:
            transaction.data_checksum = data_checksum
            before = set(transaction.view.ids())
            self._survey(transaction, files, reference, part_of, matcher or Matcher(), secret_key, passphrase, attributes)
            return [element_id for element_id in transaction.view.ids() if element_id not in before]

    def compare_with_added(
        self,
        files: str | Path | Paths,
        reference: str | Path | Paths = (),
        part_of: str | None = None,
        *,
        matcher: Matcher | None = None,
        secret_key: Key = None,
        passphrase: str | None = None,
    ) -> list[Difference]:
        """List what `add_files` would change; nothing is changed."""
        transaction = Transaction(self._object.storage, self._object.document, open_remote=self._object.open_beside)
        self._survey(transaction, files, reference, part_of, matcher or Matcher(), secret_key, passphrase)
        return find_changes(transaction)

    def compare_with_element(
        self,
        element: Any,
        source_file: str | Path | None = None,
        part_of: str | None = None,
        *,
        secret_key: Key = None,
        passphrase: str | None = None,
    ) -> list[Difference]:
        """List what `add_element` would change; nothing is changed."""
        transaction = Transaction(self._object.storage, self._object.document, open_remote=self._object.open_beside)
        transaction.secret = None if secret_key is None else as_secret_key(secret_key, passphrase)
        transaction.add_element(element, source_file, part_of)
        return find_changes(transaction)

    def _survey(
        self,
        transaction: Transaction,
        files: str | Path | Paths,
        reference: str | Path | Paths,
        part_of: str | None,
        matcher: Matcher,
        secret_key: Key,
        passphrase: str | None,
        attributes: Mapping[str, Any] | None = None,
    ) -> None:
        from modos.object.surveying import survey

        transaction.secret = None if secret_key is None else as_secret_key(secret_key, passphrase)
        survey(
            transaction,
            _as_paths(files),
            _as_paths(reference),
            part_of=part_of,
            matcher=matcher,
            endpoint=self._object.endpoint,
            attributes=attributes,
        )
        matcher.tell_unused()


def _as_paths(given: str | Path | Paths) -> Paths:
    return [given] if isinstance(given, (str, Path)) else list(given)
