"""The command `modos convert`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from modos.cli.completion import complete_file
from modos.cli.output import options, progress, say
from modos.cli.secrets import PassphraseOption, load_optional_secret


def convert(
    file: Annotated[
        str,
        typer.Argument(
            metavar="OBJECT/FILE", autocompletion=complete_file, help="A file of an object, by its name or its element's id."
        ),
    ],
    to: Annotated[str, typer.Option(metavar="FORM", help="vcf-zarr: a VCF Zarr of a VCF or BCF.")],
    id: Annotated[
        str | None, typer.Option(metavar="NAME", help="The id of the new element; by default that of the source with _zarr.")
    ] = None,
    allow_loss: Annotated[
        bool, typer.Option("--allow-loss", help="Add it also where some records do not come back as they were.")
    ] = False,
    plain: Annotated[bool, typer.Option("--plain", help="Store the new element plain, even if the file is encrypted.")] = False,
    processes: Annotated[
        int, typer.Option("--threads", "-@", min=1, max=64, metavar="N", help="How many processes convert.")
    ] = 1,
    secret_key: Annotated[
        Path | None,
        typer.Option("--secret-key", metavar="FILE", help="Secret key to decrypt an encrypted file with."),
    ] = None,
    passphrase_file: PassphraseOption = None,
) -> None:
    """Convert a file of an object into another form, a new element that is linked to its source.

    modos convert data/ex/cohort.vcf.gz --to vcf-zarr

    modos convert s3://my-bucket/ex/data/cohort --to vcf-zarr --id cohort_matrix
    """
    from modos.object.modo import MODO

    modo, key = MODO.locate(file, **options.where)
    secret = load_optional_secret(secret_key, passphrase_file)
    with progress("converting") as advance:
        added = modo.convert(key, to, id, secret, progress=advance, workers=processes, allow_loss=allow_loss, plain=plain)
    say(f"added {added} to {modo.storage.url}")
