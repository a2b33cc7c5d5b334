"""Key files: those of Crypt4GH and the ed25519 keys of OpenSSH, with or without a passphrase."""

from __future__ import annotations

import base64
import hashlib
import io
import logging
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn

from modos.errors import AccessError, AlreadyExistsError, InvalidInputError
from modos.given import open_given

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

    @property
    def fingerprint(self) -> str:
        """`SHA256:` and 43 letters, in the manner of OpenSSH."""
        return "SHA256:" + base64.b64encode(hashlib.sha256(self.raw).digest()).decode().rstrip("=")

    def __str__(self) -> str:
        return base64.b64encode(self.raw).decode()

    def to_pem(self) -> bytes:
        """It, as its file has it."""
        return _pem("PUBLIC", self.raw)


@dataclass(frozen=True)
class SecretKey:
    """An X25519 secret key; it is not shown.

    Parameters
    ----------
    raw
        Its 32 bytes.
    """

    raw: bytes = field(repr=False)

    def __post_init__(self) -> None:
        if len(self.raw) != KEY_BYTES or not any(self.raw):
            raise InvalidInputError("not a secret key: it has not 32 bytes, or they are all zero")

    def __reduce__(self) -> NoReturn:
        raise AccessError("a secret key is not pickled", "give the path of its file, or open what it opens in each process")

    @property
    def public(self) -> PublicKey:
        """The public key that goes with it."""
        from crypt4gh import sodium

        return PublicKey(bytes(sodium.derive_pk(self.raw)))

    @classmethod
    def random(cls) -> SecretKey:
        """A key for one use."""
        return cls(os.urandom(KEY_BYTES))


PublicKeys = PublicKey | str | Path | Iterable[PublicKey | str | Path]  # such, or their files
Passphrase = Callable[[], str]


def load_public_key(path: str | Path) -> PublicKey:
    """Read a public key file: Crypt4GH, or OpenSSH ed25519.

    Raises
    ------
    NotFoundError
        No such file.
    InvalidInputError
        It is no public key, or a secret one.
    """
    text = _read(path)
    if b"PRIVATE KEY" in text:
        raise InvalidInputError(f"{path} is a secret key", "give the public key that goes with it (.pub)")
    try:
        return PublicKey(_public_bytes(text))
    except (ValueError, NotImplementedError, AssertionError, IndexError) as error:
        raise InvalidInputError(f"{path} is not a public key of Crypt4GH or an ed25519 key of OpenSSH",
                                getattr(error, "hint", None)) from None


def load_secret_key(path: str | Path, passphrase: Passphrase | None = None) -> SecretKey:
    """Read a secret key file: Crypt4GH, or OpenSSH ed25519.

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
        The passphrase is wrong, or there is none.
    """
    from crypt4gh import exceptions

    exceptions.print = lambda *_, **__: None  # it would speak to stderr where a key is wrong
    text = _read(path)
    if b"PRIVATE KEY" not in text:
        what = "a public key" if b"PUBLIC KEY" in text or text.startswith(b"ssh-") else "not a key file"
        raise InvalidInputError(f"{path} is {what}", "give the secret key (.sec)")
    asked = _Asked(passphrase or _from_environment)
    try:
        return SecretKey(_secret_bytes(text, asked))
    except InvalidInputError:
        raise
    except (Exception, SystemExit):  # the package exits where a passphrase is wrong
        if asked.refusal:
            raise asked.refusal from None
        if asked.was:
            raise AccessError(f"the passphrase of {path} is wrong, or the key is damaged") from None
        raise InvalidInputError(f"{path} is not a secret key of Crypt4GH or an ed25519 key of OpenSSH") from None


def _public_bytes(text: bytes) -> bytes:
    from crypt4gh.keys import ssh

    first = text.strip().partition(b"\n")[0].strip()
    if first.startswith(b"ssh-"):
        return bytes(ssh.get_public_key(first))
    if b"CRYPT4GH" not in first:
        raise ValueError("no key of Crypt4GH or OpenSSH")
    return _unwrap(text)


def _secret_bytes(text: bytes, passphrase: Passphrase) -> bytes:
    from crypt4gh.keys import c4gh, ssh

    data = _unwrap(text)
    if data.startswith(c4gh.MAGIC_WORD):
        return bytes(c4gh.parse_private_key(io.BytesIO(data[len(c4gh.MAGIC_WORD):]), passphrase))
    if data.startswith(ssh.MAGIC_WORD):
        return bytes(ssh.parse_private_key(io.BytesIO(data[len(ssh.MAGIC_WORD):]), passphrase)[0])
    raise ValueError("neither form of key")


def _unwrap(text: bytes) -> bytes:
    """What stands between the first and the last line of a key file."""
    first, *lines, last = [line.strip() for line in text.splitlines() if line.strip()]
    if not first.startswith(b"-----BEGIN ") or not last.startswith(b"-----END "):
        raise ValueError("no key file")
    return base64.b64decode(b"".join(lines))


class _Asked:
    """Asks for a passphrase, and remembers that it did."""

    def __init__(self, passphrase: Passphrase):
        self._passphrase = passphrase
        self.was = False
        self.refusal: Exception | None = None

    def __call__(self) -> str:
        self.was = True
        try:
            return self._passphrase()
        except Exception as error:
            self.refusal = error
            raise


def as_secret_key(given: SecretKey | str | Path, passphrase: str | None = None) -> SecretKey:
    """A secret key, given as such or as its file."""
    if isinstance(given, SecretKey):
        return given
    return load_secret_key(given, None if passphrase is None else lambda: passphrase)


def as_public_keys(given: PublicKeys) -> list[PublicKey]:
    """Public keys, given as such or as their files."""
    several = [given] if isinstance(given, (PublicKey, str, Path)) else list(given)
    return [one if isinstance(one, PublicKey) else load_public_key(one) for one in several]


def _from_environment() -> str:
    passphrase = os.environ.get(PASSPHRASE_VARIABLE)
    if passphrase is None:
        raise AccessError("the secret key has a passphrase", f"set {PASSPHRASE_VARIABLE}, or give a passphrase file")
    return passphrase


def read_passphrase(path: str | Path) -> str:
    """The passphrase in a file: its first line, without the end of the line."""
    lines = _read(path).decode("utf-8", "surrogateescape").splitlines()
    if not lines or not lines[0]:
        raise InvalidInputError(f"{path} has no passphrase in its first line")
    return lines[0]


def generate(secret_path: str | Path, public_path: str | Path, passphrase: str | None, comment: str = "") -> PublicKey:
    """Make a key pair in files of the Crypt4GH form; the secret one is readable by its owner alone.

    Raises
    ------
    AlreadyExistsError
        One of the files is there; nothing is changed.
    AccessError
        They cannot be written.
    """
    from crypt4gh.keys.c4gh import MAGIC_WORD, encode_private_key, encode_string

    secret = SecretKey.random()
    note = comment.encode() if comment else None
    if passphrase:
        encoded = encode_private_key(secret.raw, passphrase.encode(), note)
    else:
        encoded = (MAGIC_WORD + encode_string(None) + encode_string(None) + encode_string(secret.raw)
                   + (encode_string(note) if note else b""))
    _write_new(Path(secret_path), _pem("PRIVATE", encoded), 0o600)
    try:
        _write_new(Path(public_path), _pem("PUBLIC", secret.public.raw), 0o644)
    except BaseException:
        Path(secret_path).unlink()
        raise
    return secret.public


def _pem(kind: str, data: bytes) -> bytes:
    return (f"-----BEGIN CRYPT4GH {kind} KEY-----\n{base64.b64encode(data).decode()}\n"
            f"-----END CRYPT4GH {kind} KEY-----\n").encode()


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
        os.fsync(descriptor)


def _read(path: str | Path) -> bytes:
    with open_given(path) as file:
        return file.read(_MAX_KEY_FILE)  # no key is longer
