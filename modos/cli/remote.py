"""The commands of `modos remote`, which list, upload and download objects."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from modos.cli.input import check_dry_run
from modos.cli.objects import ObjectPath, open_object
from modos.cli.output import count, options, progress, say, show_json, show_lines, size
from modos.cli.peer import accept_spellings
from modos.cli.stream import stream

if TYPE_CHECKING:
    from modos.object.copying import CopyPlan

app = typer.Typer()


@app.command("list")
def list_objects(
    place: Annotated[str | None, typer.Argument(metavar="s3://BUCKET", help="Where to look, instead of the endpoint.")] = None,
    search: Annotated[
        str,
        typer.Option(
            "--search",
            metavar="WORDS",
            help="Only objects whose metadata has these words; SLOT=VALUE is a whole value, SLOT~PART a part of one.",
        ),
    ] = "",
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List the objects of a server or a bucket.

    modos --endpoint http://localhost remote list

    modos remote list s3://modos-demo --search 'sex=female collector~foo'
    """
    from modos.catalog.catalog import list_remote

    urls = list_remote(place, options.endpoint, options.s3_kwargs, search)
    if json:
        show_json(urls)
    else:
        show_lines(urls)


Include = Annotated[
    list[str],
    typer.Option("--include", metavar="PATTERN", help="Only data files like this (*.cram), with their indexes; may be repeated."),
]
Exclude = Annotated[
    list[str], typer.Option("--exclude", metavar="PATTERN", help="Leave out data files like this; may be repeated.")
]
NoData = Annotated[bool, typer.Option("--no-data", help="Only the metadata.")]
Json = Annotated[bool, typer.Option("--json", help="Print the result of --dry-run as JSON.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Show what would be copied, and copy nothing.")]


@app.command(cls=accept_spellings("remote upload"))
def upload(
    path: ObjectPath,
    target: Annotated[str, typer.Argument(metavar="s3://BUCKET/OBJECT")],
    include: Include = [],
    exclude: Exclude = [],
    no_data: NoData = False,
    dry_run: DryRun = False,
    json: Json = False,
) -> None:
    """Upload an object to S3: only what differs, every byte checked; resumes after an interruption. Also: push.

    modos --endpoint http://localhost remote upload data/ex s3://modos-demo/ex

    modos remote upload data/ex s3://my-bucket/cohort/ex --exclude '*.bam' --dry-run
    """
    from modos.object.modo import MODO

    plan = MODO.open(path).plan_upload(
        target, options.endpoint, None, options.s3_kwargs, include=include, exclude=exclude, data=not no_data
    )
    copy(plan, dry_run, "upload", json)


@app.command(cls=accept_spellings("remote download"))
def download(
    path: ObjectPath,
    target: Annotated[Path, typer.Argument(metavar="FOLDER")],
    include: Include = [],
    exclude: Exclude = [],
    no_data: NoData = False,
    dry_run: DryRun = False,
    json: Json = False,
) -> None:
    """Download an object to a folder: only what differs, every byte checked; resumes after an interruption. Also: pull.

    modos --endpoint http://localhost remote download s3://modos-demo/ex data/ex

    modos --anon remote download s3://public-bucket/ex data/ex --no-data
    """
    copy(open_object(path).plan_download(target, include=include, exclude=exclude, data=not no_data), dry_run, "download", json)


def copy(plan: CopyPlan, dry_run: bool, verb: str, json: bool) -> None:
    """Carry a plan of a copy out, or show it."""
    from modos.errors import RemoteError
    from modos.formats import is_list
    from modos.object.copying import copy_planned

    check_dry_run(json, dry_run)
    sent, present = ([key for key in keys if not is_list(key)] for keys in ((file.key for file in plan.files), plan.present))
    files = f"{count(len(sent), 'file')}, {size(plan.size)}"
    if dry_run:
        if json:
            show_json(
                {
                    "copied": [{"file": file.key, "bytes": file.size} for file in plan.files],
                    "removed": list(plan.superfluous),
                    "present": len(plan.present),
                    "bytes": plan.size,
                }
            )
            return
        show_lines(
            [
                *(f"+ {file.key} ({size(file.size)})" for file in plan.files if not is_list(file.key)),
                *(f"- {key}" for key in plan.superfluous if not is_list(key)),
            ]
        )
        say(f"would {verb} {files}" + (f"; {count(len(present), 'file')} there already" if present else ""))
        return
    if plan.is_empty:
        say(f"{plan.target.url} is up to date")
        return
    try:
        with progress(f"{verb}ing", plan.size) as advance:
            copy_planned(plan, advance)
    except RemoteError as error:
        error.hint = (f"{error.hint}; " if error.hint else "") + "the same command goes on from where it stopped"
        raise
    say(f"{verb}ed {plan.source.url} to {plan.target.url}: {files}")


app.command("push", hidden=True)(upload)
app.command("pull", hidden=True)(download)
app.command("stream", hidden=True, cls=accept_spellings("stream"))(stream)
