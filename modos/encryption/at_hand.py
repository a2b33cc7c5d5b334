"""Find keys of this machine's user without asking for a passphrase."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from modos.encryption.keys import PublicKey, load_public_key, load_secret_key
from modos.errors import AccessError, InvalidInputError, ModosError, NotFoundError, listing
from modos.storage.given import is_pipe
from modos.storage.user_folders import config_folder

SECRET_KEY_VARIABLE = "MODOS_SECRET_KEY"


def folders() -> list[Path]:
    """List the folders where people keep their keys: that of Crypt4GH's tools, and that of modos."""
    return [Path.home() / ".c4gh", config_folder() / "keys"]


def find_secret_keys(beside: Iterable[Path] = ()) -> dict[Path, PublicKey]:
    """Find the secret keys that are here, by their files, each with its public half.

    They are that of `MODOS_SECRET_KEY`, the `.sec` files of `folders`, and
    those beside public keys. A key with a passphrase is known by the `.pub`
    beside it alone.

    Parameters
    ----------
    beside
        Files of public keys: `me.pub` may have `me.sec` beside it.
    """
    named = os.environ.get(SECRET_KEY_VARIABLE)
    candidates = [
        *([Path(named)] if named else []),
        *_list_secret_files(),
        *(path for public in beside for path in _secret_paths(public)),
    ]
    found = {path: _public_half(path) for path in dict.fromkeys(candidates)}
    return {path: public for path, public in found.items() if public}


def find_own_key() -> PublicKey:
    """Find the public half of the user's own key: that of `MODOS_SECRET_KEY`, or the only one of `folders`.

    Raises
    ------
    NotFoundError
        There is none, or it cannot be told.
    InvalidInputError
        There are several.
    """
    hint = f"give it with --secret-key, or name its file in {SECRET_KEY_VARIABLE}"
    if named := os.environ.get(SECRET_KEY_VARIABLE):
        if public := _public_half(Path(named)):
            return public
        raise NotFoundError(
            f"{named} ({SECRET_KEY_VARIABLE}) is no secret key whose public half can be told",
            "give it with --secret-key, or put its public key beside it (.pub)",
        )
    found = {path: public for path in _list_secret_files() if (public := _public_half(path))}
    if len(set(found.values())) > 1:
        raise InvalidInputError(f"there are several keys: {listing(str(path) for path in found)}", hint)
    if not found:
        raise NotFoundError(
            f"no key is at hand: {SECRET_KEY_VARIABLE} is not set, and none is in "
            f"{' or '.join(str(folder) for folder in folders())}",
            hint,
        )
    return next(iter(found.values()))


def _list_secret_files() -> list[Path]:
    return [path for folder in folders() if os.path.isdir(folder) for path in sorted(folder.glob("*.sec"))]


def _secret_paths(public: Path) -> Iterator[Path]:
    """List where the secret key may be that goes with a public one: `me.sec` or `me` beside `me.pub`."""
    if public.suffix == ".pub":
        yield from (public.with_suffix(".sec"), public.with_suffix(""))


def _public_half(secret: Path) -> PublicKey | None:
    """Return the public key: from the key itself if it is open, else from the public key beside it; None if neither tells."""
    if is_pipe(secret) or not os.path.isfile(secret):
        return None
    try:
        return load_secret_key(secret, _refuse_passphrase).public
    except AccessError:
        pass
    except ModosError:
        return None
    beside = (secret.with_suffix(".pub"), Path(f"{secret}.pub"))
    for path in (path for path in beside if os.path.isfile(path)):
        try:
            return load_public_key(path)
        except ModosError:
            continue
    return None


def _refuse_passphrase() -> str:
    raise AccessError("the secret key has a passphrase", "it is not asked for here")
