"""The command `modos template`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from modos.cli.output import say, show


def template(
    class_name: Annotated[
        str,
        typer.Argument(
            metavar="CLASS", help="A class, such as Sample or AlignmentSet; or assay, data, reference, sample, sequence."
        ),
    ],
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            help="A .tsv, .csv or .xlsx file that does not exist yet; by default stdout, as TSV.",
        ),
    ] = None,
) -> None:
    """Write an empty sheet with the columns of a class, the required ones first, to fill in for `create -f` and `update -c`.

    modos template sample -o samples.tsv

    modos template AlignmentSet
    """
    from modos.errors import AlreadyExistsError, InvalidInputError
    from modos.metadata.description import template as make
    from modos.metadata.description import xlsx_template

    suffix = output.suffix.lower() if output is not None else ".tsv"
    if suffix not in (".tsv", ".tab", ".csv", ".xlsx"):
        raise InvalidInputError(f"{output} is neither TSV nor CSV nor XLSX", "let its name end with .tsv, .csv or .xlsx")
    data = xlsx_template(class_name) if suffix == ".xlsx" else make(class_name, "," if suffix == ".csv" else "\t").encode()
    if output is None:
        show(data.decode())
        return
    try:
        with open(output, "xb") as file:
            file.write(data)
    except FileExistsError:
        raise AlreadyExistsError(f"{output} exists already", "choose another name: somebody may have filled it in") from None
    except OSError as error:
        raise InvalidInputError(f"cannot write {output}: {error.strerror}", "choose another place with -o") from None
    say(f"wrote {output}")
