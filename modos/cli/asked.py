"""The commands `modos help` and `ls`, which people try before they know the others."""

from __future__ import annotations

from typing import Annotated

import typer

from modos.cli.objects import show


def help(
    ctx: typer.Context,
    words: Annotated[list[str] | None, typer.Argument(metavar="COMMAND", help="The command to explain; by default all.")] = None,
) -> None:
    """Show what a command does, and its options.

    modos help stream

    modos help track add
    """
    ctx.find_root().command.main([*(words or ()), "--help"], prog_name="modos", standalone_mode=False)


def ls(
    place: Annotated[
        str | None,
        typer.Argument(metavar="OBJECT|s3://BUCKET", help="An object, to list its files; or where to look for objects."),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List the files of an object, or the objects of a server or a bucket.

    modos ls data/ex

    modos ls s3://modos-demo
    """
    from modos.cli.remote import list_objects
    from modos.errors import NotFoundError

    if place is not None:
        try:
            show(place, files=True, json=json)
            return
        except NotFoundError:
            if not place.startswith("s3://"):
                raise
    list_objects(place, json=json)
