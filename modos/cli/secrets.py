"""Secret keys and their passphrases: asked on the terminal, from the environment or a file, never from the command line."""

from __future__ import annotations

import getpass
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from modos.cli.input import is_terminal

if TYPE_CHECKING:
    from modos.encryption.keys import SecretKey


PassphraseOption = Annotated[Path, typer.Option(metavar="FILE", help="A file with the passphrase in its first line; else "
                                                "C4GH_PASSPHRASE, else it is asked for.")]


def load_secret(path: Path, passphrase_file: Path | None = None) -> SecretKey:
    """The secret key in a file; its passphrase comes from a file, `C4GH_PASSPHRASE`, or whoever sits there."""
    from modos.encryption.keys import PASSPHRASE_VARIABLE, load_secret_key, read_passphrase

    if passphrase_file is not None:
        return load_secret_key(path, lambda: read_passphrase(passphrase_file))
    if PASSPHRASE_VARIABLE not in os.environ and is_terminal():
        return load_secret_key(path, lambda: getpass.getpass(f"Passphrase of {path}: "))
    return load_secret_key(path)


def load_optional_secret(path: Path | None, passphrase_file: Path | None) -> SecretKey | None:
    """The secret key in a file, where one is given."""
    from modos.errors import InvalidInputError

    if path is not None:
        return load_secret(path, passphrase_file)
    if passphrase_file is not None:
        raise InvalidInputError("--passphrase-file goes with a secret key", "give --secret-key, too")
    return None


def new_passphrase(passphrase_file: Path | None) -> str | None:
    """The passphrase for a new key; None for none."""
    from modos.encryption.keys import PASSPHRASE_VARIABLE, read_passphrase
    from modos.errors import InvalidInputError

    if passphrase_file is not None:
        return read_passphrase(passphrase_file)
    if os.environ.get(PASSPHRASE_VARIABLE):
        return os.environ[PASSPHRASE_VARIABLE]
    if not is_terminal():
        raise InvalidInputError("nobody is there to be asked for a passphrase",
                                f"set {PASSPHRASE_VARIABLE}, give --passphrase-file, or --no-passphrase")
    first = getpass.getpass("Passphrase: ")
    if first != getpass.getpass("Again: "):
        raise InvalidInputError("the passphrases differ")
    return first or None
