"""Objects made of files of this machine, as their headers tell."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Self

from modos.comparison import Difference, compare
from modos.config import Services
from modos.description import Entry, Matcher
from modos.editing import Transaction
from modos.elements import Document
from modos.encryption.keys import SecretKey, as_secret_key
from modos.errors import AlreadyExistsError
from modos.storage import Storage
from modos.storage.base import Progress

Paths = Sequence[str | Path]


class FromFiles:
    """What makes an object, or more of one, of files."""

    storage: Storage
    services: Services
    _prepared: Transaction
    _document: Document
    _prepare: Callable[..., Self]
    _commit: Callable[[Transaction, Progress | None], None]
    transaction: Callable[..., AbstractContextManager[Transaction]]

    @classmethod
    def create_from_files(
        cls, object_path: str | Path, files: Paths, reference: str | Path | Paths = (), endpoint: str | None = None,
        services: Mapping[str, str] | None = None, s3_kwargs: dict | None = None, *, descriptions: Sequence[str | Path | Entry] = (),
        type: str | None = None, matcher: Matcher | None = None, progress: Progress | None = None,
        secret_key: SecretKey | str | Path | None = None, passphrase: str | None = None, **attributes: Any,
    ) -> Self:
        """Create an object of files, with what their headers say; in one commit, whole or not at all.

        Each file becomes an element of the class of its format, named after
        it; the samples of its read groups or columns are linked, and the
        reference that has its contigs. Indexes beside files come along.

        Parameters
        ----------
        reference
            A FASTA that comes along, or an assembly of the reference store;
            or several.
        descriptions, type
            Files that describe further elements, such as a sheet of the
            samples; as for `from_file`.
        matcher
            Whom to ask where it is not clear what is meant, which is an error
            else, and whom to tell what was found. Its mapping says what is
            meant by headers and values of sheets, and by files:
            `@type:FILE`, `id:FILE`, `has_reference:FILE`, `has_sample:NAME`.
        secret_key, passphrase
            As for `add_element`; headers of encrypted files are read with it.
        attributes
            Of the object: name, description.

        Raises
        ------
        AlreadyExistsError
            There is something already.
        InvalidInputError, NotFoundError, IntegrityError
            All that is wrong with the files, or not clear.
        """
        modo = cls._survey_new(object_path, files, reference, endpoint, services, s3_kwargs, descriptions, type, matcher or Matcher(),
                               secret_key, passphrase, attributes)
        modo._commit(modo._prepared, progress)
        return modo

    @classmethod
    def compare_with_files(
        cls, object_path: str | Path, files: Paths, reference: str | Path | Paths = (), endpoint: str | None = None,
        services: Mapping[str, str] | None = None, s3_kwargs: dict | None = None, *, descriptions: Sequence[str | Path | Entry] = (),
        type: str | None = None, matcher: Matcher | None = None, secret_key: SecretKey | str | Path | None = None,
        passphrase: str | None = None, **attributes: Any,
    ) -> list[Difference]:
        """What `create_from_files` would make; nothing is made."""
        modo = cls._survey_new(object_path, files, reference, endpoint, services, s3_kwargs, descriptions, type, matcher or Matcher(),
                               secret_key, passphrase, attributes)
        return compare({}, modo._prepared.preview().metadata())

    @classmethod
    def _survey_new(
        cls, object_path: str | Path, files: Paths, reference: str | Path | Paths, endpoint: str | None,
        services: Mapping[str, str] | None, s3_kwargs: dict | None, descriptions: Sequence[str | Path | Entry], type: str | None,
        matcher: Matcher, secret_key: SecretKey | str | Path | None, passphrase: str | None, attributes: Mapping[str, Any],
    ) -> Self:
        from modos.surveying import survey

        own = [Entry({"@type": "MODO"} | dict(attributes), None, None)] if attributes else []
        modo = cls._prepare([*own, *descriptions], object_path, endpoint, services, s3_kwargs, True, type, secret_key, passphrase,
                            matcher)
        if modo._prepared.start.tag:
            raise AlreadyExistsError(f"{object_path} exists already", f"add files to it with add_files, or `modos add {object_path} FILE...`")
        survey(modo._prepared, _listed(files), _listed(reference), matcher=matcher, endpoint=endpoint)
        matcher.tell_unused()
        return modo

    def add_files(self, files: str | Path | Paths, reference: str | Path | Paths = (), part_of: str | None = None,
                  progress: Progress | None = None, *, matcher: Matcher | None = None, secret_key: SecretKey | str | Path | None = None,
                  passphrase: str | None = None) -> list[str]:
        """Add files with what their headers say, in one commit; returns the ids of all elements that came.

        Parameters
        ----------
        reference
            As for `create_from_files`, or the id of one of the object. Where
            none is given, files are compared with those of the object.
        part_of
            Id of the element that links to the data.
        matcher, secret_key, passphrase
            As for `create_from_files`.

        Raises
        ------
        AlreadyExistsError, InvalidInputError, NotFoundError, IntegrityError
            All that is wrong with the files, or not clear.
        """
        with self.transaction(progress) as transaction:
            before = set(transaction.view.ids())
            self._survey(transaction, files, reference, part_of, matcher or Matcher(), secret_key, passphrase)
            added = [element_id for element_id in transaction.view.ids() if element_id not in before]
        return added

    def compare_with_added(self, files: str | Path | Paths, reference: str | Path | Paths = (), part_of: str | None = None, *,
                           matcher: Matcher | None = None, secret_key: SecretKey | str | Path | None = None,
                           passphrase: str | None = None) -> list[Difference]:
        """What `add_files` would change; nothing is changed."""
        transaction = Transaction(self.storage, self._document)
        self._survey(transaction, files, reference, part_of, matcher or Matcher(), secret_key, passphrase)
        return _changes(transaction)

    def compare_with_element(self, element: Any, source_file: str | Path | None = None, part_of: str | None = None, *,
                             secret_key: SecretKey | str | Path | None = None, passphrase: str | None = None) -> list[Difference]:
        """What `add_element` would change; nothing is changed."""
        transaction = Transaction(self.storage, self._document)
        transaction.secret = None if secret_key is None else as_secret_key(secret_key, passphrase)
        transaction.add_element(element, source_file, part_of)
        return _changes(transaction)

    def _survey(self, transaction: Transaction, files: str | Path | Paths, reference: str | Path | Paths, part_of: str | None,
                matcher: Matcher, secret_key: SecretKey | str | Path | None, passphrase: str | None) -> None:
        from modos.surveying import survey

        transaction.secret = None if secret_key is None else as_secret_key(secret_key, passphrase)
        survey(transaction, _listed(files), _listed(reference), part_of=part_of, matcher=matcher, endpoint=self.services.endpoint)
        matcher.tell_unused()


def _listed(given: str | Path | Paths) -> Paths:
    return [given] if isinstance(given, (str, Path)) else list(given)


def _changes(transaction: Transaction) -> list[Difference]:
    return compare(transaction.start.metadata(), transaction.preview().metadata(), ignore=frozenset({"last_update_date"}))
