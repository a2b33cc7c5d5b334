"""Encrypt the data of an object, share them and decrypt them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from modos.encryption.keys import (
    PublicKey,
    PublicKeys,
    SecretKey,
    as_public_keys,
    as_secret_key,
)
from modos.errors import DecryptError, listing
from modos.formats import is_encrypted
from modos.object.open_object import OpenObject
from modos.object.transaction import Transaction
from modos.storage.base import ProgressLike

if TYPE_CHECKING:
    from modos.object.recipients import Recipients


class EncryptedFiles:
    """Data files of an object, to be encrypted, shared and decrypted."""

    def __init__(self, open_object: OpenObject):
        self._object = open_object

    def encrypt(
        self,
        recipient_pubkeys: str | Path | PublicKey | Sequence[str | Path | PublicKey],
        seckey_path: str | Path | SecretKey | None = None,
        passphrase: str | None = None,
        delete: bool = True,
        elements: Sequence[str] | None = None,
        progress: ProgressLike | None = None,
        *,
        also_me: bool = True,
        index_for: PublicKeys = (),
    ) -> list[str]:
        """Encrypt data (Crypt4GH) in one commit: files with their indexes, Zarr trees, arrays; returns the changed elements.

        Parameters
        ----------
        recipient_pubkeys
            Public keys, or their files, of those who can decrypt.
        seckey_path
            Your secret key, as the sender's; it can decrypt them, too. None
            makes a key for this one use.
        passphrase
            Of the secret key; `C4GH_PASSPHRASE` where it is None.
        delete
            Remove the plain files when the object has the encrypted ones; arrays cannot be kept.
        elements
            Ids; None for all that have a file, references included.
        also_me
            Whether `seckey_path` is a recipient's key as well.
        index_for
            Public keys, or their files, of servers that can find regions of
            reads and variants (`modos serve --index-key`), and open no data.

        Raises
        ------
        ChecksumMismatch
            A file is not what the metadata say; nothing is changed.
        InvalidInputError
            Some file is encrypted already, and not for all of the recipients
            (see `share`); nothing is changed.
        """
        from modos.object import encryption_changes

        sender = None if seckey_path is None else as_secret_key(seckey_path, passphrase)
        recipients = as_public_keys(recipient_pubkeys) + ([sender.public] if sender and also_me else [])
        with self._object.transaction(progress) as transaction:
            return encryption_changes.encrypt_elements(
                transaction, recipients, sender, elements, delete=delete, servers=as_public_keys(index_for)
            )

    def find_plain(
        self, recipient_pubkeys: str | Path | PublicKey | Sequence[str | Path | PublicKey], elements: Sequence[str] | None = None
    ) -> list[str]:
        """Find the elements that `encrypt` would change; raises what it would, as far as that shows without reading the files."""
        from modos.object import encryption_changes

        return encryption_changes.find_plain(
            Transaction(self._object.storage, self._object.document), as_public_keys(recipient_pubkeys), elements
        )

    def find_open(self) -> dict[str, str]:
        """Find what is not encrypted: elements with data, and files of no element; each with the reason, in words."""
        from modos.object import encryption_changes

        return encryption_changes.find_open(self._object.storage, self._object.document)

    def decrypt(
        self,
        seckey_path: str | Path | SecretKey,
        sender_pubkey: PublicKeys | None = None,
        passphrase: str | None = None,
        elements: Sequence[str] | None = None,
        progress: ProgressLike | None = None,
    ) -> list[str]:
        """Decrypt data in one commit: files with their indexes, Zarr trees, arrays; returns the elements that were changed.

        Parameters
        ----------
        seckey_path
            The secret key of a recipient, or its file.
        sender_pubkey
            Allowed senders, of whom one must have encrypted them; None allows
            anybody.
        passphrase
            Of the secret key; `C4GH_PASSPHRASE` where it is None.
        elements
            Ids; None for all.

        Raises
        ------
        IntegrityError
            The file was changed (ChecksumMismatch), or the key does not
            decrypt it (DecryptError); nothing is changed in the object.
        """
        from modos.object import encryption_changes

        secret = as_secret_key(seckey_path, passphrase)
        senders = None if sender_pubkey is None else as_public_keys(sender_pubkey)
        with self._object.transaction(progress) as transaction:
            return encryption_changes.decrypt_elements(transaction, secret, senders, elements)

    def share(
        self,
        seckey_path: str | Path | SecretKey,
        recipient_pubkeys: str | Path | PublicKey | Sequence[str | Path | PublicKey],
        elements: Sequence[str] | None = None,
        passphrase: str | None = None,
        *,
        index_for: PublicKeys = (),
    ) -> list[str]:
        """Let more recipients decrypt encrypted files, by new headers alone; returns the elements that were changed.

        The packets of others stay; those that are added are encrypted with the
        key that is given, not with that of the file's sender.

        Parameters
        ----------
        seckey_path
            A secret key that decrypts them.
        passphrase
            Of the secret key; `C4GH_PASSPHRASE` where it is None.
        index_for
            Servers that can find regions, and open no data; see `encrypt`.
        """
        from modos.object import encryption_changes

        with self._object.transaction() as transaction:
            return encryption_changes.share_elements(
                transaction,
                as_secret_key(seckey_path, passphrase),
                as_public_keys(recipient_pubkeys),
                elements,
                servers=as_public_keys(index_for),
            )

    def revoke(
        self,
        seckey_path: str | Path | SecretKey,
        recipient_pubkeys: str | Path | PublicKey | Sequence[str | Path | PublicKey],
        elements: Sequence[str] | None = None,
        rotate: bool = False,
        progress: ProgressLike | None = None,
        passphrase: str | None = None,
        *,
        index_for: PublicKeys = (),
    ) -> list[str]:
        """Write the headers of encrypted files anew without some recipients; returns the elements that were changed.

        The header is made anew for the recipients in the metadata and for
        the key that is given; packets of others are removed. Anybody
        who has a copy, or has kept the key of the body, can still read that;
        with `rotate` the bodies are encrypted under new keys.

        Parameters
        ----------
        seckey_path
            The secret key of a recipient who remains.
        passphrase
            Of the secret key; `C4GH_PASSPHRASE` where it is None.
        index_for
            Servers that are to find no regions any more.
        """
        from modos.object import encryption_changes

        with self._object.transaction(progress) as transaction:
            return encryption_changes.revoke_elements(
                transaction,
                as_secret_key(seckey_path, passphrase),
                as_public_keys(recipient_pubkeys),
                elements,
                rotate=rotate,
                servers=as_public_keys(index_for),
            )

    def recipients(self, secret_key: str | Path | SecretKey | None = None, passphrase: str | None = None) -> list[Recipients]:
        """List the recipients of each encrypted file, and whether a key opens it."""
        from modos.object import recipients

        secret = None if secret_key is None else as_secret_key(secret_key, passphrase)
        return recipients.find_recipients(self._object.storage, self._object.metadata, secret)

    def verify_encryption(
        self,
        secret_key: str | Path | SecretKey,
        elements: Sequence[str] | None = None,
        *,
        progress: ProgressLike | None = None,
        passphrase: str | None = None,
        sender_pubkey: PublicKeys | None = None,
    ) -> list[str]:
        """Decrypt all of the encrypted files, to see that they are whole; returns their elements.

        Parameters
        ----------
        secret_key
            The secret key of a recipient, or its file.
        passphrase
            Of the secret key; `C4GH_PASSPHRASE` where it is None.
        sender_pubkey
            Allowed senders, of whom one must have encrypted them; None allows
            anybody.

        Raises
        ------
        IntegrityError
            A segment was changed, or segments are missing, repeated or
            moved (ChecksumMismatch); or the key does not decrypt a file
            (DecryptError). With `sender_pubkey` also where an element that is
            named, or every file, is not encrypted.
        """
        from modos.object import encryption_changes

        document = self._object.document
        metadata = document.metadata()
        chosen = [document.find(element) for element in elements] if elements else metadata
        senders = None if sender_pubkey is None else as_public_keys(sender_pubkey)
        plain = [i for i in chosen if not is_encrypted(metadata[i].get("data_path") or "")]
        if senders is not None and plain and (elements or len(plain) == len(metadata)):
            raise DecryptError(
                f"not encrypted in {self._object.storage.url}: {listing(plain) if elements else 'any file'}: nothing "
                "says who sent it",
                "leave the sender out, or name the encrypted elements alone",
            )
        return encryption_changes.verify(
            self._object.storage, {i: metadata[i] for i in chosen}, as_secret_key(secret_key, passphrase), progress, senders
        )
