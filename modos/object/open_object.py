"""An open object, with its newest root document, on which the parts of MODO stand."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from modos.errors import AlreadyExistsError, NotFoundError
from modos.metadata import model
from modos.metadata.ids import check_object_id
from modos.object import commits
from modos.object.address import Connection, ObjectAddress, refuse_file_name
from modos.object.document import Document
from modos.object.newest import Newest

if TYPE_CHECKING:
    from modos.object.transaction import Transaction
    from modos.storage import Storage
    from modos.storage.base import Progress


class OpenObject(Connection):
    """Object at an address, which may be yet to be made."""

    def __init__(self, address: ObjectAddress):
        super().__init__(address)
        self.newest = Newest(self.storage)

    @property
    def document(self) -> Document:
        """Root document as it is now; a method that looks at it several times takes it once."""
        return self.newest.get()

    @property
    def metadata(self) -> dict[str, dict[str, Any]]:
        """Attributes by element id (`data/demo1`), and those of the object by its own id."""
        return self.document.metadata()

    @contextmanager
    def transaction(self, progress: Progress | None = None) -> Iterator[Transaction]:
        """Collect changes, and commit them together at the end of the block; an exception discards them."""
        from modos.object.transaction import Transaction

        transaction = Transaction(self.storage, self.newest.look()[0], open_remote=self.open_beside)
        yield transaction
        self.commit(transaction, progress)

    def open_beside(self, url: str) -> Storage:
        """Open another place at S3, reached like the object's own."""
        address = self.address
        return ObjectAddress(url, address.endpoint, address.services, address.s3_kwargs).connect().storage

    def commit(self, transaction: Transaction, progress: Progress | None = None) -> None:
        """Commit what a transaction has collected."""
        self.newest.put(transaction.commit(progress))

    def create(self, **attributes: Any) -> None:
        """Create the object, with some metadata; by default the id is the path's last part, and the dates are now.

        Raises
        ------
        AlreadyExistsError
            There is something.
        SchemaError
            The metadata do not fit.
        """
        self.refuse_taken()
        self.newest.put(commits.create(self.storage, Document(self.own_attributes(**attributes))))

    def refuse_taken(self) -> None:
        """Raise AlreadyExistsError where there is something at the address."""
        from modos.object import journal
        from modos.object.record import entries

        refuse_file_name(self.storage)
        journal.recover(self.storage)
        journal.refuse_busy(self.storage, entries(self.storage))
        if next(self.storage.iter_files(), None) is not None:
            raise AlreadyExistsError(f"{self.storage.url} exists already and is not empty", "choose another path")

    def is_new(self) -> bool:
        """Return whether there is nothing at the address yet.

        Raises
        ------
        NotFoundError
            It is taken by something that is no object.
        """
        try:
            self.newest.look()
        except NotFoundError:
            from modos.object import journal

            journal.recover(self.storage)
            if next(self.storage.iter_files(), None) is not None:
                raise NotFoundError(
                    f"{self.storage.url} is not empty and not a MODO", "choose an empty or new path to create one"
                ) from None
            return True
        return False

    def own_attributes(self, **given: Any) -> dict[str, Any]:
        """Return the object's own metadata, complete and valid; values that are None are left out."""
        from modos.object.transaction import now

        date = now()
        given = {key: value for key, value in given.items() if value is not None}
        given.setdefault("id", self.storage.path.name or self.storage.path.resolve().name)
        given.setdefault("creation_date", date)
        given.setdefault("last_update_date", given["creation_date"] if "last_update_date" not in given else date)
        attributes = model.normalise(model.to_attributes({"@type": "MODO"} | given))
        check_object_id(attributes.get("id"))
        model.validate(attributes, attributes["id"])
        return attributes
