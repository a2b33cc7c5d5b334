"""Read secret keys and passphrases from the terminal, the environment or a file, never from the command line."""

from __future__ import annotations

import getpass
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from modos.cli.input import is_terminal, read_answer
from modos.errors.escaping import escape_line

if TYPE_CHECKING:
    from modos.encryption.keys import PublicKey, SecretKey


SecretKeyOption = Annotated[
    Path | None, typer.Option("--secret-key", metavar="FILE", help="Secret key to decrypt what is encrypted with.")
]
PassphraseOption = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE", help="A file with the passphrase in its first line; by default C4GH_PASSPHRASE, else you are asked."
    ),
]


def load_secret(path: Path, passphrase_file: Path | None = None) -> SecretKey:
    """Load the secret key in a file; its passphrase comes from a file, `C4GH_PASSPHRASE`, or the terminal."""
    from modos.encryption.keys import PASSPHRASE_VARIABLE, load_secret_key, read_passphrase

    if passphrase_file is not None:
        return load_secret_key(path, lambda: read_passphrase(passphrase_file))
    if PASSPHRASE_VARIABLE not in os.environ and is_terminal():
        return load_secret_key(path, lambda: getpass.getpass(f"Passphrase of {escape_line(str(path))}: "))
    return load_secret_key(path)


def load_optional_secret(path: Path | None, passphrase_file: Path | None) -> SecretKey | None:
    """Load the secret key in a file, where one is given."""
    from modos.errors import InvalidInputError

    if path is not None:
        return load_secret(path, passphrase_file)
    if passphrase_file is not None:
        raise InvalidInputError("--passphrase-file goes with a secret key", "give --secret-key, too")
    return None


def new_passphrase(passphrase_file: Path | None, none: bool = False) -> str | None:
    """Ask for the passphrase of a new key; None if it is to have none."""
    from modos.encryption.keys import PASSPHRASE_VARIABLE, read_passphrase
    from modos.errors import InvalidInputError

    if none and passphrase_file is not None:
        raise InvalidInputError("--no-passphrase and --passphrase-file do not go together", "give one of them")
    if none:
        return None
    if passphrase_file is not None:
        return read_passphrase(passphrase_file)
    given = os.environ.get(PASSPHRASE_VARIABLE)
    if given is None and not is_terminal():
        raise InvalidInputError(
            "nobody is there to be asked for a passphrase",
            f"set {PASSPHRASE_VARIABLE}, give --passphrase-file, or --no-passphrase",
        )
    if given is None:
        given = getpass.getpass("Passphrase: ")
        if given != getpass.getpass("Again: "):
            raise InvalidInputError("the passphrases differ")
    if not given:
        raise InvalidInputError("the passphrase is empty", "for a key that is open to who has its file, say --no-passphrase")
    return given


def opens_for_me(recipients: Sequence[PublicKey], secret: SecretKey | None, public_files: Sequence[Path]) -> bool:
    """Return whether some key at hand is that of a recipient, as far as can be told without a passphrase.

    Parameters
    ----------
    secret
        One that was given.
    public_files
        Those of the recipients, beside which secret keys may be.
    """
    from modos.encryption.at_hand import find_secret_keys

    if secret and secret.public in recipients:
        return True
    return not set(find_secret_keys(public_files).values()).isdisjoint(recipients)


def warn_of_lockout(place: str, *, ask: bool) -> None:
    """Warn that no key at hand decrypts what is to be encrypted, and ask on a terminal; a no ends the program."""
    from modos.cli.output import say, warn
    from modos.errors import EXIT_INTERRUPTED

    warn(
        f"no key at hand opens the files of {place} once they are encrypted: you may not be able to read them again "
        "(-s me.sec or --also-me encrypts them for you, too)"
    )
    if ask and is_terminal() and read_answer("Encrypt all the same? [y/N]").lower() not in ("y", "yes"):
        say("nothing was encrypted")
        raise SystemExit(EXIT_INTERRUPTED)
