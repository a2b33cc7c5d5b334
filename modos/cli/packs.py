"""The commands `modos pack` and `unpack`, for an object in one file."""

from __future__ import annotations

from typing import Annotated

import typer

from modos.cli.objects import ObjectPath, open_object
from modos.cli.output import count, options, progress, say, size
from modos.cli.remote import DryRun, Exclude, Include, Json, NoData, copy


def pack(
    path: ObjectPath, target: Annotated[str, typer.Argument(metavar="FILE.zip", help="A new file, or s3://bucket/ex.zip.")]
) -> None:
    """Pack an object into one zip file, every byte checked; all commands that read take that as an object.

    modos pack data/ex ex.zip

    modos pack s3://my-bucket/ex s3://my-bucket/ex.zip
    """
    modo = open_object(path)
    plan = modo.plan_packing()
    with progress("packing", plan.size) as advance:
        modo.pack(target, options.endpoint, None, options.s3_kwargs, advance, plan=plan)
    say(f"packed {modo.storage.url} into {target}: {count(plan.files, 'file')}, {size(plan.size)}")


def unpack(
    path: Annotated[str, typer.Argument(metavar="FILE.zip", help="An object in one file; also s3:// or https://.")],
    target: Annotated[str, typer.Argument(metavar="OBJECT", help="A new folder, or s3://bucket/object.")],
    include: Include = [],
    exclude: Exclude = [],
    no_data: NoData = False,
    dry_run: DryRun = False,
    json: Json = False,
) -> None:
    """Unpack an object from one file to a folder or to S3, every byte checked; resumes after an interruption.

    modos unpack ex.zip data/ex

    modos unpack https://example.org/ex.zip data/ex --include '*.cram'
    """
    plan = open_object(path).plan_unpacking(
        target, options.endpoint, None, options.s3_kwargs, include=include, exclude=exclude, data=not no_data
    )
    copy(plan, dry_run, "unpack", json)
