"""Key files of every form that people have: the key is the one that is in them, or it is said what they are."""

from __future__ import annotations

import os
import shutil
import subprocess

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa, x448, x25519
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from modos.encryption.keys import SecretKey, generate, load_public_key, load_secret_key, read_passphrase
from modos.errors import AccessError, InvalidInputError

PASSPHRASE = "correct horse"
BOM = b"\xef\xbb\xbf"
SUPPORTED = [*(f"aes{bits}-{mode}" for bits in (128, 192, 256) for mode in ("ctr", "cbc")), "3des-cbc", "aes256-gcm@openssh.com"]
NOT_SUPPORTED = ["aes128-gcm@openssh.com", "chacha20-poly1305@openssh.com"]
needs_ssh = pytest.mark.skipif(not shutil.which("ssh-keygen"), reason="ssh-keygen is not installed")


@pytest.fixture
def write(tmp_path):
    def write(data, name="key", mode=0o600):
        path = tmp_path / name
        path.write_bytes(data)
        path.chmod(mode)
        return path

    return write


def pkcs8(key, passphrase=None):
    lock = BestAvailableEncryption(passphrase.encode()) if passphrase else NoEncryption()
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, lock)


def spki(key):
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def no_passphrase():
    raise AssertionError("nobody should be asked")


# --- X25519 in PEM ---


@pytest.mark.parametrize("passphrase", [None, PASSPHRASE])
def test_x25519_keys_in_pem(write, passphrase):
    key = x25519.X25519PrivateKey.generate()
    secret = load_secret_key(write(pkcs8(key, passphrase)), (lambda: PASSPHRASE) if passphrase else no_passphrase)
    assert secret.raw == key.private_bytes_raw()
    assert load_public_key(write(spki(key), "pub", 0o644)) == secret.public


@pytest.mark.skipif(not shutil.which("openssl"), reason="openssl is not installed")
@pytest.mark.parametrize("cipher", [None, "-aes-256-cbc", "-aes-128-cbc"])
def test_keys_that_openssl_makes(tmp_path, cipher):
    secret, public = tmp_path / "k.pem", tmp_path / "k.pub"
    lock = [cipher, "-pass", f"pass:{PASSPHRASE}"] if cipher else []
    subprocess.run(["openssl", "genpkey", "-algorithm", "X25519", *lock, "-out", secret], check=True)
    subprocess.run(["openssl", "pkey", "-in", secret, "-passin", f"pass:{PASSPHRASE}", "-pubout", "-out", public], check=True)
    secret.chmod(0o600)
    assert load_secret_key(secret, lambda: PASSPHRASE).public == load_public_key(public)


def test_a_wrong_passphrase_of_a_pem(write, monkeypatch):
    monkeypatch.delenv("C4GH_PASSPHRASE", raising=False)
    path = write(pkcs8(x25519.X25519PrivateKey.generate(), PASSPHRASE))
    with pytest.raises(AccessError, match="passphrase of .* is wrong"):
        load_secret_key(path, lambda: "wrong")
    with pytest.raises(AccessError, match="has a passphrase"):
        load_secret_key(path)


@pytest.mark.parametrize(
    ("make", "name"),
    [
        (lambda: rsa.generate_private_key(65537, 2048), "RSA"),
        (ed25519.Ed25519PrivateKey.generate, "Ed25519"),
        (lambda: ec.generate_private_key(ec.SECP256R1()), "EllipticCurve|EC"),
        (x448.X448PrivateKey.generate, "X448"),
    ],
)
def test_other_keys_in_pem_are_named_and_refused(write, make, name):
    key = make()
    for data in (pkcs8(key), pkcs8(key, PASSPHRASE)):
        with pytest.raises(InvalidInputError, match=f"another kind .({name})") as caught:
            load_secret_key(write(data), lambda: PASSPHRASE)
        assert "modos c4gh keygen" in caught.value.hint
    with pytest.raises(InvalidInputError, match=f"another kind .({name})"):
        load_public_key(write(spki(key)))


def test_the_old_form_of_openssl_is_named(write):
    key = rsa.generate_private_key(65537, 2048).private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())
    with pytest.raises(InvalidInputError, match="RSA PRIVATE KEY"):
        load_secret_key(write(key))


# --- OpenSSH ---


def ssh_keygen(folder, *options, kind="ed25519", passphrase=PASSPHRASE, name="k"):
    subprocess.run(
        ["ssh-keygen", "-q", "-t", kind, "-N", passphrase, "-C", "somebody with  blanks", *options, "-f", folder / name],
        check=True,
    )
    return folder / name


@pytest.mark.sweep(2)
@needs_ssh
@pytest.mark.parametrize("cipher", SUPPORTED)
def test_every_cipher_of_openssh(tmp_path, cipher, recwarn):
    path = ssh_keygen(tmp_path, "-Z", cipher)
    secret = load_secret_key(path, lambda: PASSPHRASE)
    assert secret.public == load_public_key(f"{path}.pub")
    with pytest.raises(AccessError, match="passphrase of .* is wrong"):
        load_secret_key(path, lambda: "wrong")
    subprocess.run(["ssh-keygen", "-q", "-p", "-P", PASSPHRASE, "-N", "", "-f", path], check=True)
    assert load_secret_key(path, no_passphrase) == secret and not recwarn.list


@needs_ssh
@pytest.mark.parametrize("cipher", NOT_SUPPORTED)
def test_a_cipher_that_is_not_supported_and_what_to_do(tmp_path, cipher):
    path = ssh_keygen(tmp_path, "-Z", cipher)
    with pytest.raises(InvalidInputError, match=cipher) as caught:
        load_secret_key(path, lambda: PASSPHRASE)
    command = caught.value.hint.partition(": ")[2].split()
    assert command[0] == "ssh-keygen"
    subprocess.run([command[0], "-q", "-P", PASSPHRASE, "-N", PASSPHRASE, *command[1:]], check=True)
    assert load_secret_key(path, lambda: PASSPHRASE).public == load_public_key(f"{path}.pub")


@needs_ssh
@pytest.mark.parametrize(("kind", "name"), [("rsa", "ssh-rsa"), ("ecdsa", "ecdsa-sha2-nistp256")])
def test_other_keys_of_openssh_are_named_and_refused(tmp_path, kind, name):
    path = ssh_keygen(tmp_path, kind=kind)
    for load in (lambda: load_secret_key(path, lambda: PASSPHRASE), lambda: load_public_key(f"{path}.pub")):
        with pytest.raises(InvalidInputError, match=f"another kind .{name}"):
            load()


def test_several_keys_are_no_key(tmp_path, write):
    """To take the first of them would leave a recipient out in silence."""
    for name in "ab":
        generate(tmp_path / f"{name}.sec", tmp_path / f"{name}.pub", None)
    files = {end: b"".join((tmp_path / f"{name}.{end}").read_bytes() for name in "ab") for end in ("sec", "pub")}
    public = [ed25519.Ed25519PrivateKey.generate().public_key() for _ in range(2)]
    ssh = b"".join(key.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH) + b" me\n" for key in public)
    for load, data in ((load_secret_key, files["sec"]), (load_public_key, files["pub"]), (load_public_key, ssh)):
        with pytest.raises(InvalidInputError, match="several keys"):
            load(write(data))
    assert load_public_key(write(b"# mine\n" + ssh.splitlines()[0])) == load_public_key(write(ssh.splitlines()[0]))


# --- how the text is written ---


FORMS = {
    "a byte order mark": lambda text: BOM + text,
    "CRLF": lambda text: text.replace(b"\n", b"\r\n"),
    "both": lambda text: BOM + text.replace(b"\n", b"\r\n"),
    "blanks": lambda text: b"\n \n" + b"".join(line + b"  \t\n\n" for line in text.splitlines()) + b"\n\n",
    "no last line end": lambda text: text.rstrip(b"\n"),
}


def keys_of_all_kinds(folder):
    """Texts of a secret and a public key, and the public key that they have."""
    generate(folder / "a.sec", folder / "a.pub", None)
    yield (folder / "a.sec").read_bytes(), (folder / "a.pub").read_bytes()
    key = x25519.X25519PrivateKey.generate()
    yield pkcs8(key), spki(key)
    key = ed25519.Ed25519PrivateKey.generate()
    yield (
        key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()),
        key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH) + b" a comment  with blanks\n",
    )


@pytest.mark.parametrize("form", FORMS)
def test_how_a_key_is_written_does_not_matter(tmp_path, write, form):
    for secret, public in keys_of_all_kinds(tmp_path):
        wanted = load_secret_key(write(secret))
        assert load_secret_key(write(FORMS[form](secret))) == wanted
        assert load_public_key(write(FORMS[form](public))) == wanted.public
        (tmp_path / "a.sec").unlink(missing_ok=True), (tmp_path / "a.pub").unlink(missing_ok=True)


@pytest.mark.parametrize("coding", ["utf-16", "utf-16-le", "utf-16-be"])
def test_utf_16_is_said_to_be_that(tmp_path, write, coding):
    for secret, public in keys_of_all_kinds(tmp_path):
        for load, text in ((load_secret_key, secret), (load_public_key, public)):
            with pytest.raises(InvalidInputError, match="UTF-16"):
                load(write(text.decode().encode(coding)))


def test_a_key_with_a_stray_letter_is_damaged(tmp_path, write):
    generate(tmp_path / "a.sec", tmp_path / "a.pub", None)
    first, key, last = (tmp_path / "a.pub").read_bytes().splitlines()
    with pytest.raises(InvalidInputError, match="not a public key"):
        load_public_key(write(b"\n".join((first, key[:5] + b"!" + key[5:], last))))


def test_messages_show_nothing_of_a_key(tmp_path, write):
    """Whatever is damaged about it."""
    for secret, _ in keys_of_all_kinds(tmp_path):
        for at in range(0, len(secret), 3):
            damaged = secret[:at] + b"\n" + secret[at + 1 :]
            try:
                load_secret_key(write(damaged), lambda: PASSPHRASE)
            except (InvalidInputError, AccessError) as error:
                told = f"{error} {error.hint}".replace(str(tmp_path), "")
                assert not any(
                    line[start : start + 12].decode() in told
                    for line in secret.splitlines()[1:-1]
                    for start in range(len(line) - 12)
                )
        (tmp_path / "a.sec").unlink(missing_ok=True), (tmp_path / "a.pub").unlink(missing_ok=True)


# --- passphrases ---


@pytest.mark.parametrize(
    ("data", "wanted"),
    [
        (BOM + b"correct horse\r\n", "correct horse"),
        (b"correct horse\r\nmore", "correct horse"),
        ("grün\n".encode(), "grün"),
        (" a\x0bb\u2028c\x85 \n".encode(), " a\x0bb\u2028c\x85 "),
    ],
)
def test_a_passphrase_is_the_first_line_of_its_file(write, data, wanted):
    assert read_passphrase(write(data)) == wanted


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "no passphrase"),
        (BOM, "no passphrase"),
        (b"\nmore\n", "no passphrase"),
        (BOM + b"\r\n", "no passphrase"),
        (b"gr\xfcn\n", "UTF-8"),
        ("x".encode("utf-16"), "UTF-8"),
    ],
)
def test_files_without_a_passphrase(write, data, words):
    with pytest.raises(InvalidInputError, match=words):
        read_passphrase(write(data))


def test_an_empty_passphrase_makes_no_key(tmp_path):
    for passphrase, words in (("", "empty"), ("gr\udcfcn", "UTF-8")):
        with pytest.raises(InvalidInputError, match=words):
            generate(tmp_path / "a.sec", tmp_path / "a.pub", passphrase)
    assert not list(tmp_path.iterdir())


def test_an_empty_passphrase_in_the_environment(tmp_path, monkeypatch):
    generate(tmp_path / "a.sec", tmp_path / "a.pub", PASSPHRASE)
    monkeypatch.setenv("C4GH_PASSPHRASE", "")
    with pytest.raises(AccessError, match="C4GH_PASSPHRASE is empty"):
        load_secret_key(tmp_path / "a.sec")


# --- who else can read them ---


@pytest.fixture
def secret(tmp_path):
    generate(tmp_path / "a.sec", tmp_path / "a.pub", None)
    return tmp_path / "a.sec"


@pytest.mark.parametrize("mode", [0o604, 0o640, 0o644, 0o660, 0o777, 0o610, 0o602])
def test_a_secret_that_others_can_read_is_refused(secret, write, mode):
    secret.chmod(mode)
    phrase = write(b"correct horse\n", mode=mode)
    for load, path in ((load_secret_key, secret), (read_passphrase, phrase)):
        with pytest.raises(AccessError, match=f"{mode:04o}.*too open") as caught:
            load(path)
        assert caught.value.hint == f"chmod 600 {path}"


@pytest.mark.parametrize("mode", [0o600, 0o400, 0o700])
def test_a_secret_that_is_ones_own_is_taken(secret, mode):
    secret.chmod(mode)
    assert load_secret_key(secret).public == load_public_key(secret.with_suffix(".pub"))


def test_a_locked_key_is_refused_too_before_anybody_is_asked(tmp_path):
    generate(tmp_path / "a.sec", tmp_path / "a.pub", PASSPHRASE)
    (tmp_path / "a.sec").chmod(0o644)
    with pytest.raises(AccessError, match="too open"):
        load_secret_key(tmp_path / "a.sec", no_passphrase)


def test_a_link_is_as_open_as_its_file(secret, tmp_path):
    (tmp_path / "link").symlink_to(secret)
    assert isinstance(load_secret_key(tmp_path / "link"), SecretKey)
    secret.chmod(0o644)
    with pytest.raises(AccessError, match="too open"):
        load_secret_key(tmp_path / "link")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_a_file_of_somebody_else_is_taken_as_ssh_takes_it(secret):
    """Such as a secret that is mounted into a container, whose owner is root."""
    secret.chmod(0o444)
    os.chown(secret, 4711, 4711)
    assert load_secret_key(secret).public == load_public_key(secret.with_suffix(".pub"))


def test_a_file_that_the_shell_has_opened_is_taken(secret):
    secret.chmod(0o644)
    descriptor = os.open(secret, os.O_RDONLY)
    try:
        assert load_secret_key(f"/dev/fd/{descriptor}").public == load_public_key(secret.with_suffix(".pub"))
    finally:
        os.close(descriptor)


@needs_ssh
def test_ssh_has_the_same_opinion(tmp_path):
    path = ssh_keygen(tmp_path, passphrase="")
    for mode in (0o600, 0o400, 0o640, 0o604, 0o610, 0o700, 0o777):
        path.chmod(mode)
        taken = subprocess.run(["ssh-keygen", "-y", "-f", path], capture_output=True, timeout=60).returncode == 0
        try:
            load_secret_key(path)
        except AccessError:
            assert not taken
        else:
            assert taken
