"""The commands `modos gateway` and `modos view`, which serve one object on this machine until Ctrl-C."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import typer

from modos.cli.completion import complete_file, complete_region
from modos.cli.objects import ObjectPath
from modos.cli.output import count, options, say, show_json, show_lines, wait_for_interrupt, warn
from modos.cli.secrets import PassphraseOption, SecretKeyOption, load_optional_secret

PortOption = Annotated[int, typer.Option(min=0, max=65535, help="Port on the loopback address; 0 takes a free one.")]


def gateway(
    path: ObjectPath,
    secret_key: SecretKeyOption = None,
    passphrase_file: PassphraseOption = None,
    port: PortOption = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print the addresses as JSON.")] = False,
) -> None:
    """Give the files of an object addresses that samtools, bcftools, IGV and GATK read by range, decrypted on the way.

    Prints an address for each file, also for indexes, and serves until
    Ctrl-C. Encrypted files have their plain names. Each address holds a secret
    token, without which nothing is given out; other users of this machine are
    refused.

    modos gateway s3://my-bucket/ex --secret-key me.sec

    samtools view http://127.0.0.1:PORT/TOKEN/demo1.cram chr1:1-1,000
    """
    from modos.gateway import open_gateway

    secret = load_optional_secret(secret_key, passphrase_file)
    with open_gateway(path, **options.where, secret_key=secret, port=port, told=warn) as served:
        tell_locked(served.locked, has_key=secret is not None)
        if as_json:
            files = [
                {"name": file.name, "address": served.address_of(file.name)}
                | ({"index_of": file.data_name} if file.is_index else {})
                for file in served.files
            ]
            show_json({"url": served.url, "files": files, "locked": served.locked})
        else:
            show_lines(served.addresses.values())
        if any(file.is_index for file in served.files):
            say("run samtools and bcftools in an empty folder: they keep indexes there, and take them for files of the same name")
        wait_for_interrupt(f"serving {count(len(served.files), 'file')} of {path.rstrip('/')} until Ctrl-C")


def view(
    path: Annotated[
        str,
        typer.Argument(
            metavar="OBJECT[/ELEMENT]",
            autocompletion=complete_file,
            help="An object, or one of its elements, by its id or its file.",
        ),
    ],
    region: Annotated[
        str | None,
        typer.Option(
            "--region",
            "-r",
            autocompletion=complete_region,
            help="Open the genome browser here, 1-based inclusive: chr1:1,000-2,000.",
        ),
    ] = None,
    secret_key: SecretKeyOption = None,
    passphrase_file: PassphraseOption = None,
    browser: Annotated[bool, typer.Option("--browser/--no-browser", help="Open the browser.")] = True,
    port: PortOption = 0,
) -> None:
    """Look at an object in the browser, with what your key decrypts: a server for you alone, until Ctrl-C.

    modos view data/ex

    modos view s3://my-bucket/ex/demo1.cram -r chr1:20,001-25,000 --secret-key me.sec
    """
    from modos.gateway import open_view
    from modos.gateway.browser import PrivatePage

    secret = load_optional_secret(secret_key, passphrase_file)
    place, element = _split(path)
    with open_view(place, **options.where, secret_key=secret, port=port, told=warn) as served:
        address = served.address(element, region)
        if secret is None:
            tell_locked(list(served.closed))
        else:
            for name, reason in served.closed.items():
                warn(f"{name} stays closed: {reason}")
        with PrivatePage(address) as page:
            show_lines([address])
            if not browser or not page.open():
                say("open that address in a browser of this machine")
            wait_for_interrupt("serving until Ctrl-C")


def _split(path: str) -> tuple[str, str | None]:
    """Split what is given into an object and what is named in it; None where it is an object as a whole."""
    from modos.object.modo import MODO

    place, rest = path.rstrip("/") or path, ""
    while not MODO.exists(place, **options.where):
        above, slash, name = place.rpartition("/")
        if not slash or not above or above.endswith(":/"):
            MODO.open(path, **options.where)  # which says what is wrong
        place, rest = above, f"{name}/{rest}".rstrip("/")
    return place, rest or None


def tell_locked(locked: Sequence[str], *, has_key: bool = False) -> None:
    """Say which files stay closed."""
    from modos.errors import listing

    why = "not encrypted for this key" if has_key else "there is no secret key (--secret-key)"
    if locked:
        warn(f"{count(len(locked), 'encrypted file')} out of reach, {why}: {listing(locked)}")
