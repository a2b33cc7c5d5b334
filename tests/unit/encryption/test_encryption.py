"""What we seal the crypt4gh package opens, and the other way round; and nothing that was changed passes for whole."""

from __future__ import annotations

import hashlib
import logging
import os
import shutil
import stat
import struct
import subprocess
import sys

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from modos.encryption.body import (
    OVERHEAD,
    SEALED,
    SEGMENT,
    BodyDigests,
    apply_edits,
    decrypt,
    encrypt,
    encrypted_size,
    kept_stretches,
    plain_size,
)
from modos.encryption.header import Header, encrypt_header, read_header
from modos.encryption.keys import (
    PublicKey,
    SecretKey,
    generate,
    load_public_key,
    load_secret_key,
    read_passphrase,
)
from modos.encryption.recorded import SealRecord
from modos.encryption.stream import plain_pieces
from modos.encryption.view import DecryptedView
from modos.errors import (
    AccessError,
    AlreadyExistsError,
    DecryptError,
    IntegrityError,
    InvalidInputError,
    ModosError,
    NotFoundError,
)
from modos.object.file_encryption import DecryptedFile
from modos.storage import open_storage
from modos.storage.part_digests import DigestList, Layout, digest_parts, root_of

pytestmark = pytest.mark.sweep(45)

SIZES = [0, 1, SEGMENT - 1, SEGMENT, SEGMENT + 1, 40 * SEGMENT + 7]
PASSPHRASE = "correct horse"


@pytest.fixture(scope="module")
def key_files(tmp_path_factory):
    """Secret and public key files by kind; those that have a passphrase end in `-locked`."""
    folder = tmp_path_factory.mktemp("keys")
    generate(folder / "c4gh.sec", folder / "c4gh.pub", None)
    generate(folder / "c4gh-locked.sec", folder / "c4gh-locked.pub", PASSPHRASE, "somebody")
    found = {name: (folder / f"{name}.sec", folder / f"{name}.pub") for name in ("c4gh", "c4gh-locked")}
    if shutil.which("ssh-keygen"):
        for name, passphrase in (("ssh", ""), ("ssh-locked", PASSPHRASE)):
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", passphrase, "-f", folder / name], check=True)
            found[name] = folder / name, folder / f"{name}.pub"
    return found


@pytest.fixture(params=["c4gh", "c4gh-locked", "ssh", "ssh-locked"])
def pair(request, key_files):
    if request.param not in key_files:
        pytest.skip("ssh-keygen is not installed")
    return key_files[request.param]


@pytest.fixture
def passphrase(monkeypatch):
    monkeypatch.setenv("C4GH_PASSPHRASE", PASSPHRASE)


def crypt4gh(*arguments, data):
    result = subprocess.run(
        [sys.executable, "-m", "crypt4gh", *map(str, arguments)],
        input=data,
        capture_output=True,
        timeout=60,
        env=os.environ | {"C4GH_PASSPHRASE": PASSPHRASE},
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


def sealed(data, *recipients, key=None, sender=None, edits=None):
    key = key or os.urandom(32)
    return encrypt_header(key, recipients, sender, edits) + b"".join(encrypt(in_pieces(data), key))


def in_pieces(data, size=10_000):
    return (data[at : at + size] for at in range(0, len(data), size))


def header_of(file) -> Header:
    return read_header(lambda start, end: file[start:end])


def opened(file, secret, sender=None, size=10_000):
    header = header_of(file)
    inside = header.decrypt(secret, sender)
    return b"".join(apply_edits(decrypt(in_pieces(file[header.size :], size), inside.keys), inside.edits))


def content(size):
    return (os.urandom(997) * (size // 997 + 1))[:size]


@pytest.mark.sweep(5)
@pytest.mark.parametrize("size", SIZES)
def test_the_package_opens_what_we_seal(pair, passphrase, size):
    secret, public = pair
    data = content(size)
    assert crypt4gh("decrypt", "--sk", secret, data=sealed(data, load_public_key(public))) == data


@pytest.mark.sweep(6)
@pytest.mark.parametrize("size", SIZES)
def test_we_open_what_the_package_seals(pair, passphrase, size):
    secret, public = pair
    data = content(size)
    file = crypt4gh("encrypt", "--recipient_pk", public, data=data)
    assert opened(file, load_secret_key(secret)) == data


@pytest.mark.core
def test_several_recipients(key_files, passphrase):
    data = content(100_000)
    everybody = [load_public_key(public) for _, public in key_files.values()]
    ours = sealed(data, *everybody)
    theirs = crypt4gh("encrypt", *(part for _, public in key_files.values() for part in ("--recipient_pk", public)), data=data)
    for secret, _ in key_files.values():
        assert crypt4gh("decrypt", "--sk", secret, data=ours) == data
        assert opened(theirs, load_secret_key(secret)) == data
    with pytest.raises(DecryptError, match="not sealed for this key"):
        opened(ours, SecretKey.random())


def test_who_sealed_it_can_be_asked(key_files):
    me, other = load_secret_key(key_files["c4gh"][0]), SecretKey.random()
    file = sealed(b"data", me.public, sender=other)
    assert opened(file, me, sender=other.public) == b"data"
    with pytest.raises(DecryptError, match="by that sender"):
        opened(file, me, sender=SecretKey.random().public)


def test_a_header_is_made_anew_for_others_and_the_body_stays(key_files, passphrase):
    data, me, friend, third = content(70_000), *(SecretKey.random() for _ in range(3))
    file = sealed(data, me.public, third.public)
    header = header_of(file)
    shared = header.reencrypt(me, [friend.public], keep=True) + file[header.size :]
    assert [opened(shared, key) for key in (me, friend, third)] == [data] * 3
    alone = header.reencrypt(me, [friend.public], keep=False) + file[header.size :]
    assert (
        opened(alone, friend) == data and not header_of(alone).has_packets_for(me) and not header_of(alone).has_packets_for(third)
    )
    locked = load_public_key(key_files["c4gh-locked"][1])
    again = header.reencrypt(me, [locked], keep=False) + file[header.size :]
    assert crypt4gh("decrypt", "--sk", key_files["c4gh-locked"][0], data=again) == data
    with pytest.raises(DecryptError):
        header.reencrypt(friend, [friend.public], keep=True)


def edited(edits, data):
    """ApplyEditList of the specification (section 4.2), line by line."""
    edits, output, pos = list(edits), b"", 0
    if not edits:
        return data
    while edits:
        pos += edits.pop(0)
        if not edits:
            output += data[pos:]
        else:
            keep = edits.pop(0)
            output += data[pos : pos + keep]
            pos += keep
    return output


EDITS = st.lists(st.integers(0, 60) | st.integers(2**63, 2**64 - 1), max_size=7)


@given(EDITS, st.integers(0, 150), st.integers(1, 40))
@example([], 10, 3)
@example([0], 10, 3)
@example([5, 2**64 - 1, 2**64 - 1, 7], 10, 3)
def test_edit_lists_do_what_the_specification_says(edits, size, step):
    data, taken = bytes(range(256))[:size], []
    pieces = (taken.append(piece) or piece for piece in in_pieces(data, step))
    assert b"".join(apply_edits(pieces, edits)) == edited(edits, data)
    assert b"".join(taken) == data, "what is discarded is not looked at"
    assert b"".join(data[start:end] for start, end in kept_stretches(size, edits)) == edited(edits, data)


def with_edit_lists(data, *lists, padding=b""):
    """A file for FIXED whose header has packets of some edit lists; of bytes those that are in the packet."""
    from crypt4gh import header as package

    key = os.urandom(32)
    contents = [
        package.make_packet_data_enc(0, key),
        *(
            edits if isinstance(edits, bytes) else struct.pack(f"<II{len(edits)}Q", 1, len(edits), *edits) + padding
            for edits in lists
        ),
    ]
    packets = [
        struct.pack("<I", 0) + bytes(package.encrypt_X25519_Chacha20_Poly1305(content, FIXED.raw, FIXED.public.raw))
        for content in contents
    ]
    return (
        b"crypt4gh"
        + struct.pack("<II", 1, len(packets))
        + b"".join(struct.pack("<I", len(packet) + 4) + packet for packet in packets)
        + b"".join(encrypt(in_pieces(data), key))
    )


@settings(max_examples=60, deadline=None)
@given(EDITS, st.integers(0, 3), st.integers(0, SEGMENT), st.integers(0, 2 * SEGMENT))
@example([], 2, 0, SEGMENT)
def test_edit_lists_of_files_for_who_reads_all_a_region_or_a_stream(tmp_path_factory, edits, segments, start, width):
    folder, data = tmp_path_factory.mktemp("edits"), PLAIN[: segments * SEGMENT + 100]
    edits = [length * 2000 if length < 100 else length for length in edits]
    file, wanted = with_edit_lists(data, edits, padding=bytes(9)), edited(edits, data)
    assert opened(file, FIXED) == wanted == b"".join(plain_pieces(in_pieces(file), FIXED, "x"))
    (folder / "a.c4gh").write_bytes(file)
    view = DecryptedView(open_storage(folder), FIXED)
    assert view.stat("a").size == len(wanted)
    assert view.read_part("a", start, start + width)[0] == wanted[start : start + width]
    whole = DecryptedFile(open_storage(folder), "a.c4gh", FIXED)
    assert whole.size == len(wanted) and b"".join(whole.iter_plain({})) == wanted
    friend = SecretKey.random()
    header = header_of(file)
    again = header.reencrypt(FIXED, [friend.public], keep=False) + file[header.size :]
    assert opened(again, friend) == wanted


@pytest.mark.parametrize(
    ("lists", "words"),
    [
        (([0, 5], [0, 5]), "several edit lists"),
        (([], [0, 5]), "several edit lists"),
        ((struct.pack("<I", 1),), "cut"),
        ((struct.pack("<IIQ", 1, 2, 5),), "cut"),
        ((struct.pack("<II", 1, 2**32 - 1) + bytes(800),), "cut"),
    ],
)
def test_edit_lists_that_are_refused(lists, words):
    with pytest.raises(DecryptError, match=words):
        opened(with_edit_lists(b"some data", *lists), FIXED)


def test_a_header_for_who_has_one_already_gets_no_second_edit_list():
    file, friend = with_edit_lists(b"some data", [5, 4]), SecretKey.random()
    header = header_of(file)
    shared = header.reencrypt(FIXED, [FIXED.public, friend.public], keep=True) + file[header.size :]
    assert opened(shared, FIXED) == opened(shared, friend) == b"data"


def test_what_an_edit_list_discards_at_the_end_is_still_checked(tmp_path):
    """A file whose kept part is over early is whole, or it fails; and its digest is that of all segments."""
    file = with_edit_lists(PLAIN * 15, [0, 10])
    (tmp_path / "a.c4gh").write_bytes(file)
    segments = file[header_of(file).size :]
    root = DigestList(Layout((len(segments),), SEALED), digest_parts(segments, SEALED)).root
    for record in (SealRecord(seal=seal_of(segments)), SealRecord(roots=(root,))):
        whole = DecryptedFile(open_storage(tmp_path), "a.c4gh", FIXED, record=record)
        assert b"".join(whole.iter_plain({})) == PLAIN[:10] and whole.plain.root == root_of(PLAIN[:10])
    for record in (SealRecord(seal="0" * 128), SealRecord(roots=("0" * 64,))):
        with pytest.raises(IntegrityError, match="missing, repeated or moved"):
            list(DecryptedFile(open_storage(tmp_path), "a.c4gh", FIXED, record=record).iter_plain({}))
    with pytest.raises(DecryptError, match="segment 59"):
        list(plain_pieces(in_pieces(file[:-1]), FIXED, "x"))


def test_edit_lists_are_read_as_the_package_writes_them(key_files):
    secret, public = key_files["c4gh"]
    data = content(300_000)
    file = crypt4gh(
        "rearrange",
        "--sk",
        secret,
        "--range",
        "100-65400",
        data=crypt4gh("encrypt", "--sk", secret, "--recipient_pk", public, data=data),
    )
    assert opened(file, load_secret_key(secret)) == crypt4gh("decrypt", "--sk", secret, data=file)
    ours = sealed(data, load_public_key(public), edits=(100, 65_300))
    assert opened(ours, load_secret_key(secret)) == crypt4gh("decrypt", "--sk", secret, data=ours) == data[100:65_400]


@given(st.integers(0, 10 * SEGMENT))
def test_sizes(size):
    assert plain_size(encrypted_size(size)) == size


@pytest.mark.parametrize("rest", [1, OVERHEAD])
def test_a_size_that_no_body_has(rest):
    with pytest.raises(DecryptError):
        plain_size(3 * SEALED + rest)


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_a_flipped_bit_anywhere_is_noticed(data):
    secret = FIXED
    at, bit = data.draw(st.integers(0, len(FILE) - 1)), data.draw(st.integers(0, 7))
    changed = FILE[:at] + bytes([FILE[at] ^ 1 << bit]) + FILE[at + 1 :]
    with pytest.raises(DecryptError):
        opened(changed, secret)


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 3 * SEALED + 100), st.integers(1, 100_000))
def test_a_file_cut_within_a_segment_is_noticed(keep, size):
    body = FILE[124:][:keep]
    if len(body) % SEALED == 0 or len(body) == len(FILE) - 124:
        return
    with pytest.raises(DecryptError):
        opened(FILE[:124] + body, FIXED, size=size)


FIXED = SecretKey(bytes(range(1, 33)))
FILE = sealed(content(3 * SEGMENT + 100), FIXED.public)


@pytest.mark.parametrize(
    "change",
    [
        lambda s: s[:-1],
        lambda s: [*s, s[-1]],
        lambda s: [s[1], s[0], *s[2:]],
        lambda s: [s[0], s[0], *s[2:]],
        lambda s: s[1:],
        lambda s: [],
    ],
)
def test_the_digest_notices_segments_that_are_missing_or_moved(change):
    """Which the format itself does not."""
    body = FILE[124 : 124 + 3 * SEALED]
    segments = [body[at : at + SEALED] for at in range(0, len(body), SEALED)]
    inside = header_of(FILE).decrypt(FIXED)
    before, after = BodyDigests(), BodyDigests()
    list(decrypt(in_pieces(body), inside.keys, before))
    list(decrypt(iter(change(segments)), inside.keys, after))
    assert before.seal.hexdigest() != after.seal.hexdigest()
    assert before.sealed.finish().root != after.sealed.finish().root
    assert before.plain.finish().root != after.plain.finish().root


@pytest.mark.parametrize("size", [0, 1, 65_535, 65_536, 65_537, 16 * 65_536, 40 * 65_536 + 7])
@pytest.mark.parametrize("step", [1000, 1 << 16, 1 << 20, 3_000_001])
def test_the_digests_of_a_pass_are_those_of_the_files(size, step):
    """Of plain parts and of sealed segments, in either direction, however the bytes come."""
    data, key = os.urandom(size), os.urandom(32)
    sealing, opening = BodyDigests(), BodyDigests()
    pieces = (data[at : at + step] for at in range(0, size, step))
    sealed = b"".join(encrypt(pieces, key, digests=sealing))
    pieces = (sealed[at : at + step] for at in range(0, len(sealed), step))
    assert b"".join(decrypt(pieces, [key], opening)) == data
    segments = DigestList(Layout((len(sealed),), SEALED), digest_parts(sealed, SEALED))
    for told in (sealing, opening):
        assert told.plain.finish().root == root_of(data) and told.sealed.finish() == segments
        assert told.seal.hexdigest() == seal_of(sealed)


def seal_of(body):
    found = hashlib.blake2b()
    for at in range(0, len(body), SEALED):
        segment = body[at : at + SEALED]
        found.update(segment[:12] + segment[-16:])
    return found.hexdigest()


@settings(max_examples=200, deadline=None)
@given(
    st.binary(max_size=400)
    | st.tuples(st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1), st.binary(max_size=200)).map(
        lambda t: b"crypt4gh" + struct.pack("<II", 1, t[0]) + struct.pack("<I", t[1]) + t[2]
    )
)
def test_any_bytes_are_a_header_or_a_clear_error(data):
    try:
        header_of(data).decrypt(FIXED)
    except DecryptError as error:
        assert "\n" not in error.message


@pytest.mark.parametrize(
    ("start", "words"),
    [
        (b"", "not a Crypt4GH"),
        (b"crypt", "within its header"),
        (b"BAM\1" + bytes(50), "not a Crypt4GH"),
        (b"crypt4gh" + struct.pack("<II", 2, 1), "version 2"),
        (b"crypt4gh" + struct.pack("<II", 1, 0), "0 packets"),
        (b"crypt4gh" + struct.pack("<II", 1, 1 << 20), "packets"),
        (b"crypt4gh" + struct.pack("<III", 1, 1, 2**31) + bytes(100), "absurd"),
        (b"crypt4gh" + struct.pack("<III", 1, 1, 108) + bytes(50), "within its header"),
    ],
)
def test_headers_that_cannot_be(start, words):
    with pytest.raises(DecryptError, match=words):
        header_of(start)


def test_methods_that_are_not_known_are_refused():
    from crypt4gh import header as package

    packet = b"\0\0\0\0" + bytes(
        package.encrypt_X25519_Chacha20_Poly1305(package.make_packet_data_enc(7, bytes(32)), FIXED.raw, FIXED.public.raw)
    )
    with pytest.raises(DecryptError, match="method 7"):
        Header((packet,), 0).decrypt(FIXED)


# --- keys ---


def test_a_secret_key_is_its_owners_alone(key_files):
    secret, public = key_files["c4gh"]
    assert stat.S_IMODE(os.stat(secret).st_mode) == 0o600
    assert load_secret_key(secret).public == load_public_key(public)
    assert str(load_secret_key(secret).raw) not in repr(load_secret_key(secret)) and "raw" not in repr(load_secret_key(secret))


def test_keys_are_never_overwritten(tmp_path):
    generate(tmp_path / "a.sec", tmp_path / "a.pub", None)
    before = (tmp_path / "a.sec").read_bytes(), (tmp_path / "a.pub").read_bytes()
    for secret, public in (("a.sec", "b.pub"), ("b.sec", "a.pub")):
        with pytest.raises(AlreadyExistsError):
            generate(tmp_path / secret, tmp_path / public, None)
    assert before == ((tmp_path / "a.sec").read_bytes(), (tmp_path / "a.pub").read_bytes())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.pub", "a.sec"]
    with pytest.raises(AccessError):
        generate(tmp_path / "none/a.sec", tmp_path / "c.pub", None)


def test_our_keys_are_those_of_the_package(tmp_path):
    generate(tmp_path / "a.sec", tmp_path / "a.pub", PASSPHRASE)
    file = crypt4gh("encrypt", "--sk", tmp_path / "a.sec", "--recipient_pk", tmp_path / "a.pub", data=b"data")
    assert crypt4gh("decrypt", "--sk", tmp_path / "a.sec", data=file) == b"data"


@pytest.mark.parametrize("name", ["c4gh-locked", "ssh-locked"])
def test_a_passphrase_that_is_wrong_or_missing(key_files, name, monkeypatch, capfd):
    if name not in key_files:
        pytest.skip("ssh-keygen is not installed")
    monkeypatch.delenv("C4GH_PASSPHRASE", raising=False)
    secret, _ = key_files[name]
    with pytest.raises(AccessError, match="passphrase of"):
        load_secret_key(secret, lambda: "wrong")
    with pytest.raises(AccessError, match="has a passphrase"):
        load_secret_key(secret)
    assert load_secret_key(secret, lambda: PASSPHRASE).public == load_public_key(key_files[name][1])
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"nothing",
        b"-----BEGIN X-----\nAA==\n-----END X-----\n",
        b"\xff" * 100,
        b"-----BEGIN CRYPT4GH PUBLIC KEY-----\nAAAA\n-----END CRYPT4GH PUBLIC KEY-----\n",
        b"-----BEGIN CRYPT4GH PUBLIC KEY-----\n" + b"A" * 43 + b"=\n-----END CRYPT4GH PUBLIC KEY-----\n",
        b"-----BEGIN CRYPT4GH PRIVATE KEY-----\nYzRnaC12MQ==\n-----END CRYPT4GH PRIVATE KEY-----\n",
        b"ssh-rsa AAAA me",
        b"ssh-ed25519 AAAA me",
        b"ssh-ed25519",
    ],
)
def test_what_is_no_key(tmp_path, text):
    path = tmp_path / "key"
    path.write_bytes(text)
    for load in (load_public_key, load_secret_key):
        with pytest.raises(ModosError):
            load(path)


def test_keys_taken_for_each_other(key_files):
    for secret, public in key_files.values():
        with pytest.raises(InvalidInputError, match="secret key"):
            load_public_key(secret)
        with pytest.raises(InvalidInputError, match="public key"):
            load_secret_key(public, lambda: PASSPHRASE)
    with pytest.raises(NotFoundError):
        load_public_key("/nonexistent")


def test_a_passphrase_file_has_it_in_its_first_line(tmp_path):
    path = tmp_path / "passphrase"
    path.touch(0o600)
    path.write_text(" with blanks \nrest\n")
    assert read_passphrase(path) == " with blanks "
    path.write_text("\n")
    with pytest.raises(InvalidInputError):
        read_passphrase(path)


def test_keys_are_not_logged(key_files, caplog):
    caplog.set_level(logging.DEBUG)
    secret = load_secret_key(key_files["c4gh"][0])
    assert opened(sealed(b"data", secret.public, sender=secret), secret) == b"data"
    assert secret.raw.hex() not in caplog.text.lower()
    assert caplog.records == []


@given(st.binary(min_size=32, max_size=32).filter(any))
def test_a_fingerprint_is_that_of_the_bytes(raw):
    assert PublicKey(raw).fingerprint.startswith("SHA256:") and len(PublicKey(raw).fingerprint) == 50


# --- any range of a sealed file ---


@pytest.fixture
def storage(tmp_path):
    return open_storage(tmp_path)


@settings(max_examples=60, deadline=None)
@given(
    edits=st.none() | st.lists(st.integers(0, 2 * SEGMENT), min_size=1, max_size=5),
    ranges=st.lists(st.tuples(st.integers(0, 5 * SEGMENT), st.integers(0, 3 * SEGMENT)), max_size=5),
    size=st.integers(0, 4 * SEGMENT),
)
def test_any_range_of_a_view_is_that_of_the_plain_file(tmp_path_factory, edits, ranges, size):
    folder = tmp_path_factory.mktemp("view")
    data = PLAIN[:size]
    (folder / "a.c4gh").write_bytes(sealed(data, FIXED.public, edits=tuple(edits) if edits else None))
    plain = b"".join(apply_edits([data], edits or None))
    view = DecryptedView(open_storage(folder), FIXED)
    assert view.stat("a").size == len(plain)
    for start, width in ranges:
        assert view.read_part("a", start, start + width)[0] == plain[start : start + width]


PLAIN = content(4 * SEGMENT)


def test_a_view_opens_only_what_it_needs(storage, tmp_path, monkeypatch):
    (tmp_path / "a.c4gh").write_bytes(sealed(PLAIN * 10, FIXED.public))
    reads = []
    real = storage.read_part
    monkeypatch.setattr(
        storage, "read_part", lambda key, start, end, **k: reads.append((start, end)) or real(key, start, end, **k)
    )
    view = DecryptedView(storage, FIXED)
    view.read_part("a", 20 * SEGMENT + 5, 20 * SEGMENT + 9)
    view.read_part("a", 10, 20)
    assert len(reads) == 2 and reads[1] == (124 + 20 * SEALED, 124 + 21 * SEALED)
    assert view.read_part("a", 20 * SEGMENT, 23 * SEGMENT)[0] == (PLAIN * 10)[20 * SEGMENT : 23 * SEGMENT]
    assert reads[2:] == [(124 + 21 * SEALED, 124 + 23 * SEALED)]
    assert view.read_part("a", 18 * SEGMENT + 1, 21 * SEGMENT)[0] == (PLAIN * 10)[18 * SEGMENT + 1 : 21 * SEGMENT]
    assert reads[3:] == [(124 + 18 * SEALED, 124 + 20 * SEALED)]


def test_a_view_says_which_file_it_cannot_open(storage, tmp_path):
    (tmp_path / "a.c4gh").write_bytes(sealed(PLAIN, FIXED.public))
    with pytest.raises(DecryptError, match=r"a\.c4gh: the file is not sealed for this key"):
        DecryptedView(storage, SecretKey.random()).stat("a")
    changed = bytearray(sealed(PLAIN, FIXED.public))
    changed[-1] ^= 1
    (tmp_path / "a.c4gh").write_bytes(changed)
    view = DecryptedView(storage, FIXED)
    assert view.read_part("a", 0, 10)[0] == PLAIN[:10]
    with pytest.raises(DecryptError, match=r"a\.c4gh: segment 3"):
        view.read_part("a", 0, len(PLAIN))
    (tmp_path / "a.c4gh").write_bytes(bytes(changed[: -SEALED + 5]))
    with pytest.raises(DecryptError, match="truncated"):
        DecryptedView(storage, FIXED).stat("a")
    with pytest.raises(NotFoundError):
        view.stat("b")


def test_a_header_of_many_packets_takes_few_reads(tmp_path, monkeypatch):
    """20,000 packets of strangers are read in pieces that grow, not two by two: on S3 each read is a request."""
    from modos.encryption.stored import read_stored_header
    from modos.storage.local import LocalStorage

    packet = struct.pack("<II", 108, 0) + bytes(100)
    path = tmp_path / "a.txt.c4gh"
    path.write_bytes(b"crypt4gh" + struct.pack("<II", 1, 20_000) + packet * 20_000 + bytes(100))
    reads, read_part = [], LocalStorage.read_part

    def counted(self, key, start, end, **more):
        reads.append(end - start)
        return read_part(self, key, start, end, **more)

    monkeypatch.setattr(LocalStorage, "read_part", counted)
    header, _, _ = read_stored_header(LocalStorage(tmp_path), path.name)
    assert header.packets == (packet[4:],) * 20_000 and header.size == 16 + len(packet) * 20_000
    assert len(reads) < 20 and sum(reads) < 3 * header.size
