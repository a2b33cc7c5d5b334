"""Parse and write key files: Crypt4GH, OpenSSH's ed25519, and X25519 in OpenSSL's PEM (PKCS #8)."""

from __future__ import annotations

import base64
import io
import warnings
from collections.abc import Callable
from typing import Any

_BOM = b"\xef\xbb\xbf"
_UTF16 = (b"\xff\xfe", b"\xfe\xff", b"-\0", b"\0-", b"s\0", b"\0s")
_SSH = b"ssh-ed25519"
_SSH_PUBLIC = (b"ssh-", b"sk-", b"ecdsa-")
_SSH_CIPHERS = (b"none", b"aes128-ctr", b"aes192-ctr", b"aes256-ctr", b"aes128-cbc", b"aes192-cbc", b"aes256-cbc", b"3des-cbc")
_SSH_GCM = b"aes256-gcm@openssh.com"
TAKEN = "usable are keys of Crypt4GH, ed25519 keys of OpenSSH and X25519 keys in PEM; `modos c4gh keygen` makes one"
_SEVERAL = "a file of several keys", "give each key in a file of its own"

Passphrase = Callable[[], str]


class UnusableKey(Exception):
    """A key, or another file, that cannot be used; as text it is what it is.

    Parameters
    ----------
    hint
        What to do; `{path}` in it stands for the file.
    """

    def __init__(self, what: str, hint: str = TAKEN):
        super().__init__(what)
        self.hint = hint


def lines_of(data: bytes) -> list[bytes]:
    """Return the lines of a key file, without blank lines, surrounding blanks and a byte order mark.

    Raises
    ------
    UnusableKey
        It is text in UTF-16.
    """
    if data.startswith(_UTF16):
        raise UnusableKey("text in UTF-16", "save it as UTF-8")
    return [line.strip() for line in data.removeprefix(_BOM).splitlines() if line.strip()]


def is_public(lines: list[bytes]) -> bool:
    """Return whether these are the lines of a public key."""
    return bool(lines) and (b"PUBLIC KEY" in lines[0] or lines[0].startswith(_SSH_PUBLIC))


def is_secret(lines: list[bytes]) -> bool:
    """Return whether there is a secret key in these lines."""
    return any(b"PRIVATE KEY" in line for line in lines)


def public_bytes(lines: list[bytes]) -> bytes:
    """Return the 32 bytes of the X25519 public key in the lines of a file.

    Raises
    ------
    UnusableKey
        It is of another kind, or there are several.
    ValueError
        It is damaged, or no key.
    """
    lines = [line for line in lines if not line.startswith(b"#")]
    if lines and lines[0].startswith(_SSH_PUBLIC):
        return _ssh_public(lines)
    data = _unwrap(lines)
    if b"CRYPT4GH" in lines[0]:
        return data
    if lines[0] != b"-----BEGIN PUBLIC KEY-----":
        raise UnusableKey(_label(lines[0]))
    return _pem_public(data)


def secret_bytes(lines: list[bytes], passphrase: Passphrase) -> bytes:
    """Return the 32 bytes of the X25519 secret key in the lines of a file.

    Raises
    ------
    UnusableKey
        It is of another kind, or locked in a way that is not known, or there are several.
    Exception
        It is damaged, or the passphrase is wrong: the libraries have one for each way.
    """
    from crypt4gh.keys import c4gh, ssh

    data = _unwrap(lines)
    if data.startswith(c4gh.MAGIC_WORD):
        return bytes(c4gh.parse_private_key(io.BytesIO(data[len(c4gh.MAGIC_WORD) :]), passphrase))
    if data.startswith(ssh.MAGIC_WORD):
        return _ssh_secret(data, passphrase)
    if lines[0] == b"-----BEGIN PRIVATE KEY-----":
        return _pem_secret(data, None)
    if lines[0] == b"-----BEGIN ENCRYPTED PRIVATE KEY-----":
        return _pem_secret(data, passphrase().encode())
    if b"CRYPT4GH" in lines[0] or b"OPENSSH" in lines[0]:
        raise ValueError("damaged")
    raise UnusableKey(_label(lines[0]))


def _unwrap(lines: list[bytes]) -> bytes:
    """Return the text between the first and the last line."""
    if sum(line.startswith(b"-----BEGIN ") and line.endswith(b" KEY-----") for line in lines) > 1:
        raise UnusableKey(*_SEVERAL)
    first, *inner, last = lines
    if not first.startswith(b"-----BEGIN ") or not last.startswith(b"-----END "):
        raise ValueError("no key file")
    return base64.b64decode(b"".join(inner), validate=True)


def _label(line: bytes) -> str:
    """Return the label in the first line of a PEM file; nothing else of a file is ever shown."""
    words = line.removeprefix(b"-----BEGIN ").removesuffix(b"-----").decode("ascii", "replace")
    is_key = len(words) < 40 and words.endswith(" KEY") and words.isprintable()
    return f"a key of another kind ({words})" if is_key else "a file of another kind"


def _x25519(load: Callable[[], Any]) -> Any:
    """Return the loaded key if it is of this kind."""
    from cryptography.exceptions import UnsupportedAlgorithm

    try:
        key = load()
    except UnsupportedAlgorithm:
        raise UnusableKey("a key of a kind, or locked in a way, that is not supported") from None
    name = type(key).__name__.removesuffix("Key").removesuffix("Public").removesuffix("Private")
    if name != "X25519":
        raise UnusableKey(f"a key of another kind ({name})")
    return key


def _pem_public(data: bytes) -> bytes:
    from cryptography.hazmat.primitives.serialization import load_der_public_key

    return bytes(_x25519(lambda: load_der_public_key(data)).public_bytes_raw())


def _pem_secret(data: bytes, password: bytes | None) -> bytes:
    from cryptography.hazmat.primitives.serialization import load_der_private_key

    return bytes(_x25519(lambda: load_der_private_key(data, password)).private_bytes_raw())


def _ssh_public(lines: list[bytes]) -> bytes:
    from crypt4gh.keys import ssh

    if len(lines) > 1:
        raise UnusableKey(*_SEVERAL)
    kind, blob, *_ = lines[0].split()
    if kind != _SSH:
        raise UnusableKey(f"a key of another kind ({_ssh_kind(kind)})")
    return bytes(ssh.get_public_key(kind + b" " + blob))


def _ssh_kind(kind: bytes) -> str:
    """Return the name of a kind of OpenSSH keys."""
    return kind.decode() if kind.startswith(_SSH_PUBLIC) and len(kind) < 50 and kind.isascii() else "unknown"


def _ssh_secret(data: bytes, passphrase: Passphrase) -> bytes:
    from crypt4gh.keys import ssh

    stream = io.BytesIO(data[len(ssh.MAGIC_WORD) :])
    cipher, _, _ = (ssh.decode_string(stream) for _ in range(3))
    if int.from_bytes(stream.read(4), "big") != 1:
        raise UnusableKey(*_SEVERAL)
    kind = ssh.decode_string(io.BytesIO(ssh.decode_string(stream)))
    if kind != _SSH:
        raise UnusableKey(f"a key of another kind ({_ssh_kind(kind)})")
    if cipher == _SSH_GCM:
        return _ssh_gcm(data, passphrase)
    if cipher not in _SSH_CIPHERS:
        name = cipher.decode("ascii", "replace") if len(cipher) < 50 else "unknown"
        raise UnusableKey(
            f"locked with a cipher that is not supported ({name})", "lock it with another: ssh-keygen -p -Z aes256-ctr -f {path}"
        )
    with warnings.catch_warnings(action="ignore"):  # that 3des is old
        return bytes(ssh.parse_private_key(io.BytesIO(data[len(ssh.MAGIC_WORD) :]), passphrase)[0])


def _ssh_gcm(data: bytes, passphrase: Passphrase) -> bytes:
    from crypt4gh import sodium
    from cryptography.hazmat.primitives.serialization import load_ssh_private_key

    text = b"-----BEGIN OPENSSH PRIVATE KEY-----\n" + base64.encodebytes(data) + b"-----END OPENSSH PRIVATE KEY-----\n"
    key: Any = load_ssh_private_key(text, passphrase().encode())
    return bytes(sodium.sign_ed25519_sk_to_curve25519(key.private_bytes_raw() + key.public_key().public_bytes_raw()))
