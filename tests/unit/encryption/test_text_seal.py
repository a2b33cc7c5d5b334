"""Sealed texts: opened as they were by who has the secret, and by nobody else; nothing that was changed is opened."""

from __future__ import annotations

import re

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from modos.encryption.text_seal import TextSeal
from modos.errors import AccessError, InvalidInputError, NotFoundError
from tests.support.sampling import most

SEAL = TextSeal([b"a" * 64])


@given(st.binary(max_size=2000), st.text(max_size=20))
@settings(max_examples=most(200, 50))
def test_there_and_back(content, purpose):
    text = SEAL.seal(content, purpose)
    assert re.fullmatch(r"[A-Za-z0-9_-]+", text)
    assert SEAL.open(text, purpose) == content == TextSeal([b"a" * 64]).open(text, purpose)
    assert SEAL.open(text, purpose + "x") is None and TextSeal([b"b" * 64]).open(text, purpose) is None


@given(st.data())
@settings(max_examples=most(300, 60))
def test_what_was_changed_is_not_opened(data):
    text = SEAL.seal(b"who is it?" * 5, "session")
    at, sign = data.draw(st.integers(0, len(text) - 1)), data.draw(st.sampled_from("AZaz09-_="))
    assume(sign != text[at])
    changed = text[:at] + sign + text[at + 1 :]
    found = SEAL.open(changed, "session")
    assert found is None or (found == b"who is it?" * 5 and at == len(text) - 1), "the last sign has bits that stand for nothing"
    assert SEAL.open(text[:at], "session") is None


@given(st.text(max_size=200))
@settings(max_examples=most(300, 60))
def test_texts_of_strangers_are_not_opened(text):
    assert SEAL.open(text, "session") is None


def test_it_is_what_the_standards_say():
    """AES-256-GCM under a key of HKDF, as another program makes and opens it."""
    import base64
    import zlib

    key = HKDF(SHA256(), 32, None, b"modos sealed texts").derive(b"a" * 64)
    text = SEAL.seal(b"content", "purpose")
    raw = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    assert zlib.decompress(AESGCM(key).decrypt(raw[:12], raw[12:], b"purpose")) == b"content"
    assert len({SEAL.seal(b"content", "purpose") for _ in range(100)}) == 100


def test_without_a_secret_one_is_drawn():
    one, two = TextSeal(), TextSeal()
    assert one.open(one.seal(b"x", "y"), "y") == b"x" and two.open(one.seal(b"x", "y"), "y") is None


def test_files_of_secrets(tmp_path):
    path = tmp_path / "key"
    with pytest.raises(NotFoundError):
        TextSeal.from_file(path)
    path.write_text("# new\n  # an indented comment, of more than 32 characters\n" + "b" * 32 + "\n\n" + "a" * 64 + "\n")
    path.chmod(0o600)
    seal = TextSeal.from_file(path)
    assert seal.open(SEAL.seal(b"old", "x"), "x") == b"old" and SEAL.open(seal.seal(b"new", "x"), "x") is None
    assert "bbbb" not in repr(seal) and "aaaa" not in repr(seal)
    for text in ("", "# only a comment\n", "a" * 31, "a" * 64 + "\nshort"):
        path.write_text(text)
        with pytest.raises(InvalidInputError, match="no secret of 32 characters"):
            TextSeal.from_file(path)
    path.write_text("a" * 64)
    path.chmod(0o640)
    with pytest.raises(AccessError, match="too open"):
        TextSeal.from_file(path)
