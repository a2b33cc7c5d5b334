"""Open the encrypted files of an object with a key."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from modos.errors import AccessError
from modos.formats import Metadata, name_of
from modos.genomics.planning import Planner
from modos.storage import Storage

if TYPE_CHECKING:
    from modos.encryption.keys import PublicKey, SecretKey
    from modos.encryption.view import DecryptedView
    from modos.reference.memory_fasta import MemoryFasta


class SealedFiles:
    """Encrypted files of an object, as a key opens them, each compared with what is recorded of it.

    Parameters
    ----------
    get_metadata
        Gives the object's metadata as they are now.
    senders
        Allowed senders: one of them must have encrypted the files; None allows anybody.

    Attributes
    ----------
    view
        Decrypted view of the storage.
    planner
        Plans reading of that.
    """

    def __init__(
        self,
        storage: Storage,
        get_metadata: Callable[[], Metadata],
        secret: SecretKey,
        senders: tuple[PublicKey, ...] | None = None,
    ):
        from modos.encryption.recorded import find_record
        from modos.encryption.view import DecryptedView

        self.view: DecryptedView = DecryptedView(storage, secret, lambda name: find_record(get_metadata(), name), senders)
        self.planner = Planner(self.view)
        self._fastas: dict[tuple[str, str], MemoryFasta] = {}

    def open_fasta(self, fasta: str) -> MemoryFasta:
        """Open a FASTA, by its key without the ending of an encrypted file, for programs that read it by a path."""
        from modos.reference.memory_fasta import MemoryFasta

        now = fasta, self.view.stat(fasta).etag
        if now not in self._fastas:
            self._fastas = {known: one for known, one in self._fastas.items() if known[0] != fasta}
            self._fastas[now] = MemoryFasta(self.view, fasta)
        return self._fastas[now]


def make_locked_error(storage: Storage, key: str | Path) -> AccessError:
    """Make the error for an encrypted file that there is no key for."""
    return AccessError(
        f"{storage.url}/{name_of(str(key))} is encrypted", "give the secret key it is encrypted for (--secret-key, secret_key)"
    )
