"""Select the files to encrypt: those that are plain, if the others have the same recipients."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from modos.encryption.keys import PublicKey
from modos.encryption.structure import find_damage
from modos.errors import IntegrityError, InvalidInputError, listing
from modos.formats import is_encrypted, is_file_path
from modos.storage import Storage

Found = tuple[str, Mapping[str, Any]]  # an element and its attributes


def select_plain(storage: Storage, found: Iterable[Found], recipients: Sequence[PublicKey]) -> list[Found]:
    """Select from elements with files those whose file is plain.

    Raises
    ------
    InvalidInputError
        No recipient; or some file is encrypted already, and not for all of
        them.
    IntegrityError
        A file is Crypt4GH and its name does not say so, or the reverse.
    """
    if not recipients:
        raise InvalidInputError("no recipient is given", "give at least one public key")
    found = list(found)
    wanted = {str(recipient) for recipient in recipients}
    sealed = [(i, attributes) for i, attributes in found if is_encrypted(attributes["data_path"])]
    if others := [i for i, attributes in sealed if not wanted <= set(attributes.get("recipients", ()))]:
        raise InvalidInputError(
            f"encrypted already, and not for all of these recipients as far as is recorded: {listing(others)}",
            "nothing was encrypted: `modos c4gh share` lets more people open what is encrypted; name the "
            "other elements to encrypt those alone",
        )
    for element_id, attributes in found:
        if not is_file_path(attributes["data_path"]):
            continue
        if damage := find_damage(storage, attributes["data_path"]):
            raise IntegrityError(f"{element_id}: {damage}", "nothing was encrypted: see `modos check`")
    return [one for one in found if one not in sealed]
