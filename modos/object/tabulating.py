"""Open elements of an object as tables."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from modos.object.document import Document
from modos.storage import Storage

if TYPE_CHECKING:
    from modos.encryption.keys import SecretKey
    from modos.genomics import GenomicFile, RegionsLike
    from modos.tables.arrow import ArrowTable


@dataclass(frozen=True)
class TableOpener:
    """Opens an element as a table, as it was when that was asked for; it can be pickled.

    Parameters
    ----------
    open_file
        Opens a genomic file of the object.
    endpoint
        The server whose annotations count.
    """

    storage: Storage
    document: Document
    element_id: str
    open_file: Callable[..., GenomicFile]
    endpoint: str | None = None

    def __call__(
        self,
        region: RegionsLike = None,
        columns: Iterable[str] | str | None = None,
        *,
        samples: Iterable[str] | str | None = None,
        sample_rows: bool = False,
        section: str | None = None,
        reference_filename: str | Path | None = None,
        secret_key: SecretKey | str | Path | None = None,
        passphrase: str | None = None,
    ) -> ArrowTable:
        """Open the table; parameters and errors as of `ElementView.to_arrow`."""
        from modos.tables.record_tables import RecordTable

        path = self.document.element(self.element_id).get("data_path") or ""
        file = self.open_file(path, reference_filename, secret_key=secret_key, passphrase=passphrase)
        return RecordTable(file, region, columns, samples=samples, sample_rows=sample_rows)
