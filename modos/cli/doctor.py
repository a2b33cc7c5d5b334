"""The commands `modos doctor` and `modos config show`."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from modos.cli.output import options, show_json, show_lines

app = typer.Typer()
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
_SECRET = ("AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "C4GH_PASSPHRASE")
_VARIABLES = (
    "AWS_ENDPOINT_URL",
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_PROFILE",
    "AWS_SHARED_CREDENTIALS_FILE",
    "MODOS_CACHE_DIR",
    "MODOS_CONFIG_DIR",
    "MODOS_ALLOW_INTERNAL",
    "REF_PATH",
    "REF_CACHE",
    "MODOS_REFERENCE_STORE",
    "MODOS_CODES",
    "MODOS_OFFLINE",
    "MODOS_CACHE_LIMIT",
    "MODOS_SECRET_KEY",
    "C4GH_PASSPHRASE",
    "NO_COLOR",
)


def doctor(
    place: Annotated[
        str | None,
        typer.Argument(metavar="s3://BUCKET[/OBJECT]", help="The place to check; by default what the endpoint serves."),
    ] = None,
    write: Annotated[bool, typer.Option("--write", help="Try to write there, too: a small file that is removed again.")] = False,
    json: Json = False,
) -> None:
    """Check everything between you and the data, and say how to fix what is wrong.

    modos --endpoint https://modos.example.org doctor

    modos doctor s3://my-bucket/ex --write
    """
    from modos.cli.diagnosis import examine
    from modos.remote.services import endpoint_from_environment

    found = []
    for item in examine(options.endpoint or endpoint_from_environment(), place, options.s3_kwargs, write):
        found.append(item)
        if not json:
            show_lines((f"{item.state:<8} {item.topic:<12} {item.text}", *([f"{'':<21} {item.fix}"] if item.fix else ())))
    if json:
        show_json([vars(item) for item in found])
    if any(item.state == "failed" for item in found):
        raise typer.Exit(1)


@app.command("show")
def show_config(json: Json = False) -> None:
    """Show each setting with its value and where it comes from; secrets are not shown.

    modos config show
    """
    from modos.remote import services, tokens

    endpoint = options.endpoint or services.endpoint_from_environment()
    from_environment = os.environ.get(services.ENDPOINT_VARIABLE) == endpoint
    origin = "default" if not endpoint else services.ENDPOINT_VARIABLE if from_environment else "--endpoint"
    rows: list[tuple[str, str | None, str]] = [("endpoint", endpoint or None, origin)]
    kept = tokens.load(services.server_name(endpoint)) if endpoint else None
    if os.environ.get(services.TOKEN_VARIABLE):
        rows.append(("token", "(set)", services.TOKEN_VARIABLE))
    else:
        rows.append(("token", "(set)", f"modos login, {tokens.token_file()}") if kept else ("token", None, "default"))
    rows.append(("anonymous", "yes" if options.anon else "no", "--anon" if options.anon else "default"))
    for name in _VARIABLES:
        value = os.environ.get(name)
        rows.append((name, "(set)" if value and name in _SECRET else value, "environment" if value else "default"))
    if json:
        show_json([{"setting": name, "value": value, "origin": origin} for name, value, origin in rows])
        return
    width = max(len(name) for name, _, _ in rows)
    show_lines(f"{name:<{width}}  {value or '-'}  ({origin})" for name, value, origin in rows)
