"""The command `modos keyserver`, which runs a key service apart from the server of the files."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from modos.cli.output import options, say
from modos.cli.secrets import PassphraseOption


def _setting(name: str, **described: Any) -> Any:
    return typer.Option(envvar=f"MODOS_KEYSERVER_{name}", show_envvar=True, **described)


def keyserver(
    place: Annotated[
        str, typer.Argument(metavar="DIR|s3://BUCKET[/PREFIX]", help="The folder, bucket or prefix that holds the objects.")
    ],
    secret_key: Annotated[Path, _setting("KEY_FILE", metavar="FILE", help="The secret key of a recipient of the files.")],
    access: Annotated[Path, _setting("ACCESS", metavar="FILE", help="Who may read what, in TOML, as for `modos serve`.")],
    keys: Annotated[
        Path | None,
        _setting("KEYS", metavar="DIR", help="Public keys of callers, in files that are called after them: alice.pub."),
    ] = None,
    any_key: Annotated[
        bool, typer.Option("--any-key", help="Let a caller, and whoever has a caller's token, name any public key.")
    ] = False,
    passphrase_file: PassphraseOption = None,
    host: Annotated[str, _setting("HOST", help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, _setting("PORT", min=0, max=65535, help="Port to listen on; 0 takes a free one.")] = 8090,
) -> None:
    """Give headers of encrypted files to callers who may read them and are no recipients, for their own public keys.

    It is asked by `modos serve --rewrap`, and best runs on another machine: it has a key to the files, and the server has none.

    modos keyserver data --secret-key keys.sec --access access.toml --keys people

    modos keyserver s3://modos-demo --secret-key keys.sec --access access.toml --keys people --port 8090
    """
    from modos.cli.secrets import load_secret
    from modos.errors import InvalidInputError
    from modos.server.auth import Access
    from modos.server.keyserver import create_keyserver, open_registered
    from modos.server.panels import any_place
    from modos.server.run import open_served, run_app

    if any_key == (keys is not None):
        raise InvalidInputError(
            "whose public key is whose has to be known" if not any_key else "--keys and --any-key exclude each other",
            "give the folder with the public keys of callers (--keys); --any-key trusts every server with its callers' tokens",
        )
    registered = open_registered(keys)
    secret, storage = load_secret(secret_key, passphrase_file), open_served(place, None, options.s3_kwargs)
    app = create_keyserver(storage, secret, Access.from_file(access, any_place), registered)
    run_app(app, host, port, "text", lambda url: say(f"key service for {place.rstrip('/')} at {url} (Ctrl-C ends)"))
