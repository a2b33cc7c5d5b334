"""Load, generate and save keys, with or without a passphrase."""

from __future__ import annotations

import base64
import hashlib
import logging
import os
import shlex
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn

from modos.encryption.keyforms import (
    TAKEN,
    Passphrase,
    UnusableKey,
    is_public,
    is_secret,
    lines_of,
    public_bytes,
    secret_bytes,
)
from modos.errors import AccessError, AlreadyExistsError, InvalidInputError
from modos.storage.given import has_name, is_pipe, open_given, show_path
from modos.storage.system import sync_file

KEY_BYTES = 32
PASSPHRASE_VARIABLE = "C4GH_PASSPHRASE"
_MAX_KEY_FILE = 64 << 10  # bytes

logging.getLogger("crypt4gh").setLevel(logging.CRITICAL + 1)  # it logs keys


@dataclass(frozen=True)
class PublicKey:
    """An X25519 public key.

    Parameters
    ----------
    raw
        Its 32 bytes.
    """

    raw: bytes

    def __post_init__(self) -> None:
        if len(self.raw) != KEY_BYTES or not any(self.raw):
            raise InvalidInputError("not a public key: it has not 32 bytes, or they are all zero")

    @classmethod
    def parse(cls, text: str) -> PublicKey:
        """Parse a key in the form of `str`, as metadata record it; raise InvalidInputError if it is not one."""
        try:
            return cls(base64.b64decode(text, validate=True))
        except ValueError:
            raise InvalidInputError(f"not a public key: {text[:60]!r}") from None

    @property
    def fingerprint(self) -> str:
        """`SHA256:` and 43 letters, in the manner of OpenSSH."""
        return "SHA256:" + base64.b64encode(hashlib.sha256(self.raw).digest()).decode().rstrip("=")

    def __str__(self) -> str:
        return base64.b64encode(self.raw).decode()

    def to_pem(self) -> bytes:
        """Format the key as in its file."""
        return _pem("PUBLIC", self.raw)


@dataclass(frozen=True)
class SecretKey:
    """An X25519 secret key; it is not shown, but by its public key.

    Parameters
    ----------
    raw
        Its 32 bytes.
    """

    raw: bytes = field(repr=False)

    def __repr__(self) -> str:  # no two keys have the same, as fsspec takes what has the same for the same
        return f"<SecretKey of {self.public}>"

    def __post_init__(self) -> None:
        if len(self.raw) != KEY_BYTES or not any(self.raw):
            raise InvalidInputError("not a secret key: it has not 32 bytes, or they are all zero")

    def __reduce__(self) -> NoReturn:
        raise AccessError(
            "a secret key is not pickled",
            f"give the path of its file (its passphrase in {PASSPHRASE_VARIABLE}), or open what it opens in each process",
        )

    @property
    def public(self) -> PublicKey:
        """The public key that goes with it."""
        from crypt4gh import sodium

        return PublicKey(bytes(sodium.derive_pk(self.raw)))

    @classmethod
    def random(cls) -> SecretKey:
        """Generate an ephemeral key."""
        return cls(os.urandom(KEY_BYTES))


PublicKeys = PublicKey | str | Path | Iterable[PublicKey | str | Path]  # such, or their files


def load_public_key(path: str | Path) -> PublicKey:
    """Read a public key file of any of the forms in `modos.encryption.keyforms`.

    Raises
    ------
    NotFoundError
        No such file.
    InvalidInputError
        It is no public key, or a secret one.
    """
    data = _read(path)
    with _name_file(path):
        lines = lines_of(data)
        if is_secret(lines):
            raise UnusableKey("a secret key", "give the public key that goes with it (.pub)")
        try:
            return PublicKey(public_bytes(lines))
        except UnusableKey:
            raise
        except Exception:  # the libraries have one for each way that a key is damaged
            raise UnusableKey("not a public key", TAKEN) from None


def load_secret_key(path: str | Path, passphrase: Passphrase | None = None) -> SecretKey:
    """Read a secret key file of any of the forms in `modos.encryption.keyforms`.

    Parameters
    ----------
    passphrase
        Asked where the key has one; else `C4GH_PASSPHRASE` is taken.

    Raises
    ------
    NotFoundError
        No such file.
    InvalidInputError
        It is no secret key, or a public one.
    AccessError
        The passphrase is wrong, or there is none; or others can read the file.
    """
    from crypt4gh import exceptions

    exceptions.print = lambda *_, **__: None  # it would speak to stderr where a key is wrong
    data = _read(path)
    with _name_file(path):
        lines = lines_of(data)
        if not is_secret(lines):
            raise UnusableKey("a public key" if is_public(lines) else "not a key file", "give the secret key (.sec)")
        refuse_readable(path)
        asked = _Asked(passphrase or _from_environment)
        try:
            return SecretKey(secret_bytes(lines, asked))
        except UnusableKey:
            raise
        except (Exception, SystemExit):  # the package exits where a passphrase is wrong
            if asked.refusal:
                raise asked.refusal from None
            if asked.was:
                raise AccessError(f"the passphrase of {path} is wrong, or the key is damaged") from None
            raise UnusableKey("not a secret key", TAKEN) from None


@contextmanager
def _name_file(path: str | Path) -> Iterator[None]:
    """Say of which file it is that it cannot be used."""
    try:
        yield
    except UnusableKey as error:
        raise InvalidInputError(f"{show_path(path)} is {error}", error.hint.format(path=show_path(path))) from None


def refuse_readable(path: str | Path) -> None:
    """Refuse a file of secrets that others can read, as ssh does: a file of this user's, and no pipe.

    Raises
    ------
    AccessError
        It has permissions for its group or for everybody.
    """
    if os.name == "nt" or is_pipe(path) or not has_name(path):
        return
    status = os.stat(path)
    if status.st_uid == os.getuid() and status.st_mode & 0o077:
        raise AccessError(
            f"permissions {stat.S_IMODE(status.st_mode):04o} of {path} are too open: it is secret",
            f"chmod 600 {shlex.quote(str(path))}",
        )


class _Asked:
    """Asks for a passphrase, and remembers that it did."""

    def __init__(self, passphrase: Passphrase):
        self._passphrase = passphrase
        self.was = False
        self.refusal: Exception | None = None

    def __call__(self) -> str:
        self.was = True
        try:
            return _check_encodable(self._passphrase())
        except Exception as error:
            self.refusal = error
            raise


def as_secret_key(given: SecretKey | str | Path, passphrase: str | None = None) -> SecretKey:
    """Return a secret key, given as such or as its file."""
    if isinstance(given, SecretKey):
        return given
    return load_secret_key(given, None if passphrase is None else lambda: passphrase)


def as_public_keys(given: PublicKeys) -> list[PublicKey]:
    """Return public keys, given as such or as their files."""
    several = [given] if isinstance(given, (PublicKey, str, Path)) else list(given)
    return [one if isinstance(one, PublicKey) else load_public_key(one) for one in several]


def _from_environment() -> str:
    passphrase = os.environ.get(PASSPHRASE_VARIABLE)
    if not passphrase:
        raise AccessError(
            "the secret key has a passphrase" if passphrase is None else f"{PASSPHRASE_VARIABLE} is empty",
            f"set {PASSPHRASE_VARIABLE}, or give a passphrase file",
        )
    return passphrase


def _check_encodable(passphrase: str) -> str:
    try:
        passphrase.encode()
    except UnicodeEncodeError:
        raise InvalidInputError("the passphrase is not text in UTF-8") from None
    return passphrase


def read_passphrase(path: str | Path) -> str:
    """Read the passphrase in a file: its first line, without the line end and a byte order mark.

    Raises
    ------
    NotFoundError
        No such file.
    InvalidInputError
        There is none in its first line, or it is not in UTF-8.
    AccessError
        Others can read the file.
    """
    data = _read(path)
    refuse_readable(path)
    try:
        first = (data.splitlines() or [b""])[0].decode("utf-8-sig")
    except UnicodeDecodeError:
        raise InvalidInputError(f"{show_path(path)} is not text in UTF-8", "save it as UTF-8") from None
    if not first:
        raise InvalidInputError(
            f"{show_path(path)} has no passphrase in its first line",
            "write it there; a new key is open to who has its file with --no-passphrase alone",
        )
    return first


def generate(secret_path: str | Path, public_path: str | Path, passphrase: str | None, comment: str = "") -> PublicKey:
    """Make a key pair in files of the Crypt4GH form; the secret one is readable by its owner alone.

    Parameters
    ----------
    passphrase
        It locks the secret key, which stays open where it is None.

    Raises
    ------
    InvalidInputError
        The passphrase is empty.
    AlreadyExistsError
        One of the files is there; nothing is changed.
    AccessError
        They cannot be written.
    """
    from crypt4gh.keys.c4gh import MAGIC_WORD, encode_private_key, encode_string

    if passphrase == "":
        raise InvalidInputError("the passphrase is empty", "for a secret key that is open to who has its file, give None")
    secret = SecretKey.random()
    note = comment.encode() if comment else None
    if passphrase is not None:
        encoded = encode_private_key(secret.raw, _check_encodable(passphrase).encode(), note)
    else:
        encoded = (
            MAGIC_WORD
            + encode_string(None)
            + encode_string(None)
            + encode_string(secret.raw)
            + (encode_string(note) if note else b"")
        )
    _write_new(Path(secret_path), _pem("PRIVATE", encoded), 0o600)
    try:
        _write_new(Path(public_path), _pem("PUBLIC", secret.public.raw), 0o644)
    except BaseException:
        Path(secret_path).unlink()
        raise
    return secret.public


def _pem(kind: str, data: bytes) -> bytes:
    return (
        f"-----BEGIN CRYPT4GH {kind} KEY-----\n{base64.b64encode(data).decode()}\n-----END CRYPT4GH {kind} KEY-----\n"
    ).encode()


def _write_new(path: Path, data: bytes, mode: int) -> None:
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    except FileExistsError:
        raise AlreadyExistsError(f"{path} exists already", "a key is never overwritten: choose another name") from None
    except OSError as error:
        raise AccessError(f"cannot write {path}: {error.strerror}") from None
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        sync_file(descriptor)


def _read(path: str | Path) -> bytes:
    with open_given(path) as file:
        return file.read(_MAX_KEY_FILE)  # no key is longer
