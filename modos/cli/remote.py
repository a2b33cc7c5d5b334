"""`modos remote`: list, upload and download objects."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from modos.cli.objects import ObjectPath, open_object
from modos.cli.output import options, progress, say, show, show_json

app = typer.Typer(no_args_is_help=True, help="Objects on a server: list, upload, download.")


@app.command("list")
def list_objects(
    place: Annotated[str, typer.Argument(metavar="[s3://BUCKET]", help="Where to look, instead of the endpoint.")] = None,
    json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
) -> None:
    """List the objects of a server or a bucket.

    modos --endpoint http://localhost remote list

    modos remote list s3://modos-demo
    """
    from modos.catalog import list_remote

    urls = list_remote(place, options.endpoint, options.s3_kwargs)
    if json:
        show_json(urls)
    elif urls:
        show("\n".join(urls))


@app.command()
def upload(path: ObjectPath, target: Annotated[str, typer.Argument(metavar="s3://BUCKET/OBJECT")]) -> None:
    """Copy an object to S3, every byte checked.

    modos --endpoint http://localhost remote upload data/ex s3://modos-demo/ex

    modos remote upload data/ex s3://my-bucket/cohort/ex
    """
    from modos.modo import MODO

    modo = MODO.open(path)
    with progress("uploading") as advance:
        copy = modo.upload(target, endpoint=options.endpoint, s3_kwargs=options.s3_kwargs, progress=advance)
    say(f"uploaded {path} to {copy.storage.url}")


@app.command()
def download(path: ObjectPath, target: Annotated[Path, typer.Argument(metavar="FOLDER")]) -> None:
    """Copy an object to a new folder, every byte checked.

    modos --endpoint http://localhost remote download s3://modos-demo/ex data/ex

    modos --anon remote download s3://public-bucket/ex data/ex
    """
    modo = open_object(path)
    with progress("downloading") as advance:
        copy = modo.download(target, progress=advance)
    say(f"downloaded {modo.storage.url} to {copy.storage.url}")
