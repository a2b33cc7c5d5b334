"""Read the secret that a provider gave to this server as its client."""

from __future__ import annotations

from pathlib import Path

from modos.encryption.keys import refuse_readable
from modos.errors import InvalidInputError
from modos.storage.given import read_given, refuse_pipe

_LONGEST = 1 << 12  # bytes of a file


def read_client_secret(path: Path) -> str:
    """Read the secret of a client in a file that only its owner can read: its first line.

    Raises
    ------
    NotFoundError
        There is no such file.
    AccessError
        Others can read it.
    InvalidInputError
        It is empty, not of ASCII, or a pipe.
    """
    refuse_pipe(path, "it is read whenever somebody logs in", "write it to a file of mode 600")
    content = read_given(path, _LONGEST)
    refuse_readable(path)
    try:
        secret = content.decode("ascii").partition("\n")[0].strip()
    except UnicodeDecodeError:
        secret = ""
    if not secret:
        raise InvalidInputError(f"{path} has no client secret in its first line", "write the one that the provider gave")
    return secret
