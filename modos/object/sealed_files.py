"""Open the encrypted files of an object with a key."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from modos.errors import make_locked_error
from modos.formats import Metadata, is_encrypted, name_of, plain_name
from modos.genomics.planning import Planner
from modos.object.part_lists import verified_files
from modos.storage import Storage
from modos.storage.verified import VerifiedFiles

if TYPE_CHECKING:
    from modos.encryption.keys import PublicKey, SecretKey
    from modos.encryption.view import DecryptedView
    from modos.reference.digests import Digests
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

    def open_fasta(self, fasta: str, digests: Mapping[str, Digests], seqcol: str | None) -> MemoryFasta:
        """Open a FASTA, by its key without the ending of an encrypted file, for programs that read it by a path.

        Parameters
        ----------
        digests, seqcol
            What is recorded of its sequences, and of all of them.
        """
        from modos.reference.memory_fasta import MemoryFasta

        now = fasta, self.view.stat(fasta).etag
        if now not in self._fastas:
            self._fastas = {known: one for known, one in self._fastas.items() if known[0] != fasta}
            self._fastas[now] = MemoryFasta(self.view, fasta, digests, seqcol)
        return self._fastas[now]


@runtime_checkable
class OpensSealed(Protocol):
    """Storage of an object that gives out plain what a key opens."""

    @property
    def sealed_files(self) -> SealedFiles | None:
        """Its encrypted files, as the key opens them; None without a key."""


def open_files_of(
    storage: Storage, attributes: Mapping[str, Any], secret: SecretKey | None
) -> tuple[VerifiedFiles | DecryptedView, str]:
    """Return what the file of an element is read from, compared with what is recorded and decrypted, and its key there.

    Raises
    ------
    AccessError
        It is encrypted, and there is no key.
    """
    metadata, path = {"": attributes}, attributes["data_path"]
    if not is_encrypted(path):
        return verified_files(storage, metadata), path
    if secret is None:
        raise make_locked_error(f"{storage.url}/{name_of(path)}")
    return SealedFiles(storage, lambda: metadata, secret).view, plain_name(path)
