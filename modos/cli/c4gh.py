"""The commands of `modos c4gh`, which encrypt and decrypt the files of an object and make keys."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from modos.cli.completion import complete_element
from modos.cli.objects import ObjectPath, open_object
from modos.cli.output import count, progress, say, show_json, show_lines
from modos.cli.peer import accept_spellings
from modos.cli.secrets import PassphraseOption

if TYPE_CHECKING:
    from modos.object.modo import MODO
    from modos.object.recipients import Recipients

app = typer.Typer()

ElementsArgument = Annotated[
    list[str] | None,
    typer.Argument(metavar="ELEMENT", autocompletion=complete_element, help="Only these elements; by default all."),
]
_SECRET = typer.Option("--secret-key", "-s", metavar="FILE", help="Your secret key.")
_PUBLIC = typer.Option("--public-key", "-p", metavar="FILE", help="Public key of a recipient; can be given several times.")
SecretOption = Annotated[Path, _SECRET]
OptionalSecret = Annotated[Path | None, _SECRET]
PublicOption = Annotated[list[Path], _PUBLIC]
OptionalPublic = Annotated[list[Path] | None, _PUBLIC]
IndexForOption = Annotated[
    list[Path] | None,
    typer.Option(
        "--index-for",
        metavar="FILE",
        help="Public key of a server that finds regions of reads and variants (modos serve --index-key), and opens no data.",
    ),
]
SenderOption = Annotated[
    list[Path] | None,
    typer.Option(
        "--sender",
        metavar="FILE",
        help="Public key of the sender that must have encrypted them; with several, one of them must.",
    ),
]


@app.command()
def keygen(
    secret: Annotated[Path, typer.Argument(metavar="SECRET", help="The new file for the secret key, such as me.sec.")],
    public: Annotated[
        Path | None, typer.Argument(metavar="PUBLIC", help="The new file for the public key; by default SECRET with .pub.")
    ] = None,
    passphrase_file: PassphraseOption = None,
    no_passphrase: Annotated[
        bool, typer.Option("--no-passphrase", help="Do not protect the secret key with a passphrase.")
    ] = False,
    comment: Annotated[str, typer.Option(help="A note in the secret key.")] = "",
) -> None:
    """Make a key pair. The secret key is readable by you alone and never overwritten.

    modos c4gh keygen me.sec

    modos c4gh keygen --no-passphrase ci.sec ci.pub
    """
    from modos.cli.secrets import new_passphrase
    from modos.encryption.keys import generate

    public = public or secret.with_suffix(".pub")
    key = generate(secret, public, new_passphrase(passphrase_file, no_passphrase), comment)
    say(f"made {secret} and {public}: {key.fingerprint}")


@app.command(cls=accept_spellings("c4gh encrypt"))
def encrypt(
    place: ObjectPath,
    elements: ElementsArgument = None,
    public_key: OptionalPublic = None,
    secret_key: OptionalSecret = None,
    passphrase_file: PassphraseOption = None,
    also_me: Annotated[
        bool | None,
        typer.Option(
            "--also-me/--no-also-me",
            help="Encrypt for your own key, too: that of --secret-key, "
            "MODOS_SECRET_KEY or the key folder. With --secret-key this is so unless it is "
            "forbidden.",
            show_default=False,
        ),
    ] = None,
    index_for: IndexForOption = None,
    keep: Annotated[bool, typer.Option("--keep", help="Keep the plain files, too.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask, even if no key at hand decrypts the result.")] = False,
) -> None:
    """Encrypt all data of an object in one commit: files with their indexes, trees, tracks, references; lists what stays plain.

    modos c4gh encrypt -p recipient.pub data/ex

    modos c4gh encrypt -p her.pub -p his.pub -s me.sec s3://bucket/ex data/demo1

    modos c4gh encrypt -p her.pub --index-for server.pub data/ex
    """
    from modos.cli.secrets import load_optional_secret, opens_for_me, warn_of_lockout
    from modos.encryption.at_hand import find_own_key
    from modos.encryption.keys import as_public_keys
    from modos.errors import listing

    recipients = as_public_keys(public_key or [])
    sender = load_optional_secret(secret_key, passphrase_file)
    if also_me or (also_me is None and sender):
        recipients.append(sender.public if sender else find_own_key())
    recipients = list(dict.fromkeys(recipients))
    modo = open_object(place)
    mine = opens_for_me(recipients, sender, public_key or [])
    if not mine and not keep and modo.find_plain(recipients, elements):
        warn_of_lockout(place, ask=not yes)
    with progress("encrypting") as advance:
        changed = modo.encrypt(
            recipients,
            sender,
            delete=not keep,
            elements=elements,
            progress=advance,
            also_me=False,
            index_for=index_for or [],
        )
    among = "" if not mine else ", you" if len(recipients) == 1 else ", you among them"
    say(
        f"encrypted {count(len(changed), 'file')} of {place} for {count(len(recipients), 'recipient')}{among}"
        if changed
        else f"nothing to do: every file of {place} is encrypted already"
    )
    left = modo.find_open()
    for reason in dict.fromkeys(left.values()):
        say(f"not encrypted, {reason}: {listing(name for name, own in left.items() if own == reason)}")


@app.command(cls=accept_spellings("c4gh decrypt"))
def decrypt(
    place: ObjectPath,
    elements: ElementsArgument = None,
    *,
    secret_key: SecretOption,
    sender: SenderOption = None,
    passphrase_file: PassphraseOption = None,
) -> None:
    """Decrypt the data of an object in one commit: files with their indexes, Zarr trees, tracks and other arrays.

    modos c4gh decrypt -s recipient.sec data/ex

    modos c4gh decrypt -s recipient.sec --sender her.pub data/ex data/demo1
    """
    from modos.cli.secrets import load_secret

    secret = load_secret(secret_key, passphrase_file)
    modo = open_object(place)
    with progress("decrypting") as advance:
        changed = modo.decrypt(secret, sender or None, elements=elements, progress=advance)
    say(
        f"decrypted {count(len(changed), 'file')} of {place}"
        if changed
        else f"nothing to do: {_format_none_encrypted(place, elements)}"
    )


def _format_none_encrypted(place: str, elements: list[str] | None) -> str:
    from modos.errors import listing

    return f"no file of {place} is encrypted" if not elements else f"not encrypted in {place}: {listing(elements)}"


def _has_encrypted(modo: MODO, elements: list[str] | None) -> bool:
    """Return whether some file of an object, or of the elements that are named, is encrypted."""
    from modos.formats import is_encrypted

    chosen = [modo[element] for element in elements] if elements else modo.metadata.values()
    return any(is_encrypted(attributes.get("data_path") or "") for attributes in chosen)


@app.command()
def share(
    place: ObjectPath,
    elements: ElementsArgument = None,
    *,
    secret_key: SecretOption,
    public_key: OptionalPublic = None,
    index_for: IndexForOption = None,
    passphrase_file: PassphraseOption = None,
) -> None:
    """Add recipients to encrypted files. Only the headers are rewritten.

    With --index-for a server finds regions in them, and opens no data; they are gone through for that once.

    modos c4gh share -s me.sec -p her.pub data/ex

    modos c4gh share -s me.sec -p her.pub s3://bucket/ex data/demo1
    """
    from modos.cli.secrets import load_secret
    from modos.errors import InvalidInputError

    if not public_key and not index_for:
        raise InvalidInputError("no recipient is given", "give --public-key, or that of a server with --index-for")
    secret = load_secret(secret_key, passphrase_file)
    modo = open_object(place)
    changed = modo.share(secret, public_key or [], elements, index_for=index_for or [])
    say(
        f"shared {count(len(changed), 'file')} of {place}"
        if changed
        else "nothing to do: they are recorded as recipients of every file already"
        if _has_encrypted(modo, elements)
        else f"nothing to do: {_format_none_encrypted(place, elements)}"
    )


@app.command()
def revoke(
    place: ObjectPath,
    elements: ElementsArgument = None,
    *,
    secret_key: SecretOption,
    public_key: OptionalPublic = None,
    index_for: IndexForOption = None,
    passphrase_file: PassphraseOption = None,
    rotate: Annotated[
        bool,
        typer.Option(
            "--rotate", help="Encrypt the files anew, under new keys; without --public-key for all recorded recipients."
        ),
    ] = False,
) -> None:
    """Remove recipients from encrypted files. They can still read the copies that they have.

    The recipients in the metadata remain; packets of others are removed as well, as they do not say whose they are.

    modos c4gh revoke -s me.sec -p his.pub data/ex

    modos c4gh revoke --rotate -s me.sec -p his.pub data/ex
    """
    from modos.cli.secrets import load_secret
    from modos.errors import InvalidInputError

    if not public_key and not index_for and not rotate:
        raise InvalidInputError("no recipient to take off is given", "give a public key (-p), or --rotate to encrypt anew alone")
    secret = load_secret(secret_key, passphrase_file)
    modo = open_object(place)
    with progress("encrypting") as advance:
        changed = modo.revoke(secret, public_key or [], elements, rotate, advance, index_for=index_for or [])
    done = "revoked for" if public_key or index_for else "encrypted anew"
    say(
        f"{done} {count(len(changed), 'file')} of {place}"
        if changed
        else "nothing to do: no file is encrypted for them, as every packet is yours or of a recorded recipient who remains"
        if _has_encrypted(modo, elements)
        else f"nothing to do: {_format_none_encrypted(place, elements)}"
    )


@app.command()
def recipients(
    place: ObjectPath,
    secret_key: OptionalSecret = None,
    passphrase_file: PassphraseOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show the recipients of encrypted files, and whether a key decrypts them.

    modos c4gh recipients data/ex

    modos c4gh recipients -s me.sec --json data/ex
    """
    from modos.cli.secrets import load_optional_secret

    secret = load_optional_secret(secret_key, passphrase_file)
    modo = open_object(place)
    found = modo.recipients(secret)
    if as_json:
        show_json(
            {
                one.element_id: {
                    "packets": one.packets,
                    "recipients": list(one.fingerprints),
                    "opens": one.opens,
                    "opened_packets": one.own,
                    "unknown_packets": one.unknown,
                    "missing_packets": one.missing,
                    "sender": one.sender,
                    "written_by": list(one.writers),
                    "index_recipients": list(one.servers),
                }
                for one in found
            }
        )
        return
    for one in found:
        show_lines(_lines_of(one))
    if not found:
        say(f"no file of {place} is encrypted")


def _lines_of(one: Recipients) -> Iterator[str]:
    """Write for whom a file is encrypted, as far as that is known."""
    opens = {None: "", True: "  (the key opens it)", False: "  (the key does not open it)"}[one.opens]
    recorded = f", {count(len(one.fingerprints), 'recorded recipient')}"
    if one.unknown:
        those = "one of them is" if one.unknown == 1 else f"{one.unknown:,} of them are"
        recorded += f"; it cannot be said whose {those}"
    elif one.missing:
        recorded += "; that is too few for all of them"
    else:
        recorded = ""
    yield f"{one.element_id}: {count(one.packets, 'packet')}{recorded}{opens}"
    yield from (f"  {fingerprint}" for fingerprint in one.fingerprints)
    yield from (f"  {fingerprint}  (a server: finds regions, opens no data)" for fingerprint in one.servers)
    if one.sender:
        yield f"  encrypted by {one.sender}, as is recorded"
    if one.writers:
        yield f"  your packet was written by {', '.join(one.writers)}"


@app.command()
def verify(
    place: ObjectPath,
    elements: ElementsArgument = None,
    *,
    secret_key: SecretOption,
    sender: SenderOption = None,
    passphrase_file: PassphraseOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="The elements whose files are whole, as JSON.")] = False,
) -> None:
    """Decrypt every segment of the encrypted files, and verify that none was changed, removed or moved.

    modos c4gh verify -s me.sec data/ex

    modos c4gh verify -s me.sec --sender her.pub data/ex data/demo1
    """
    from modos.cli.secrets import load_secret

    secret = load_secret(secret_key, passphrase_file)
    modo = open_object(place)
    with progress("verifying") as advance:
        verified = modo.verify_encryption(secret, elements, progress=advance, sender_pubkey=sender or None)
    if as_json:
        show_json(verified)
    say(f"{count(len(verified), 'encrypted file')} of {place}: whole" if verified else _format_none_encrypted(place, elements))
