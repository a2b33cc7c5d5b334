"""`modos stream`: a file, or a region of it, to a pipe or a file."""

from __future__ import annotations

import os
import secrets
import stat
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from modos.cli.output import options, progress, write_bytes
from modos.pipes import widen

if TYPE_CHECKING:
    from modos.streaming import Source


def stream(
    file: Annotated[str, typer.Argument(metavar="OBJECT/FILE", help="A file of an object, or the address of one on an "
                                        "htsget server (http://server/htsget/reads/ID).")],
    region: Annotated[str, typer.Option("--region", "-r", help="Only the records that overlap it, 1-based "
                                        "inclusive: chr1:1,000-2,000.")] = None,
    output: Annotated[str, typer.Option("--output", "-o", metavar="FILE", help="Write here instead of stdout.")] = "-",
    reference: Annotated[Path, typer.Option("--reference", "-T", help="FASTA to decode a CRAM with.")] = None,
    raw: Annotated[bool, typer.Option("--raw", help="The server's bytes untouched: all records of the region, and "
                                      "neighbours.")] = False,
) -> None:
    """Stream a file, or exactly the records of a region, ready for samtools and bcftools.

    modos stream data/ex/demo1.cram > copy.cram

    modos --endpoint http://localhost stream -r chr1:1-1000 s3://modos-demo/ex/demo1.cram | samtools view
    """
    source, find_reference = _open(file, reference)
    if region is None or raw:
        from modos.records import check_end

        opened = source.open(region)
        _write(output, lambda descriptor: _copy(check_end(opened.pieces, opened.format, source.name), descriptor))
    else:
        _write(output, lambda descriptor: _select(source, region, find_reference(), descriptor))


def _open(file: str, reference: Path | None) -> tuple[Source, Callable[[], str | None]]:
    from modos.errors import NotFoundError

    if file.startswith(("http://", "https://")):
        from modos.streaming import htsget_source

        if reference is not None and not reference.is_file():
            raise NotFoundError(f"no reference {reference}", "check the path")
        return htsget_source(file), lambda: str(reference) if reference else None
    from modos.modo import MODO

    modo, key = MODO.locate(file, endpoint=options.endpoint, s3_kwargs=options.s3_kwargs)
    return modo.source(key), lambda: modo.reference_for(key, reference)


def _copy(pieces: Iterable[bytes], descriptor: int) -> None:
    widen(descriptor)
    with progress("streaming") as advance:
        for piece in pieces:
            write_bytes(descriptor, piece)
            if advance:
                advance(len(piece))


def _select(source: Source, region: str, reference: str | None, descriptor: int) -> None:
    from modos.records import quiet_htslib, write_records
    from modos.streaming import open_reader

    quiet_htslib()
    reader, meant = open_reader(source, region, reference)
    is_pipe = stat.S_ISFIFO(os.fstat(descriptor).st_mode)
    with reader:
        write_records(reader, meant, descriptor, compress=not is_pipe)


def _write(output: str, write: Callable[[int], None]) -> None:
    """Hand out stdout, or a file that appears only when it is complete."""
    from modos.errors import AccessError, InvalidInputError

    if output == "-":
        if sys.stdout.isatty():
            raise InvalidInputError("these are binary data, not for a terminal", "pipe them into samtools or bcftools, "
                                    "or write a file with -o")
        write(sys.stdout.fileno())
        return
    target = Path(output)
    part = target.with_name(f".{target.name}.{secrets.token_hex(4)}.part")
    try:
        descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
    except OSError as error:
        raise AccessError(f"cannot write {target}: {error.strerror}", "choose another place with -o") from None
    try:
        write(descriptor)
        os.fsync(descriptor)
        os.replace(part, target)
    finally:
        os.close(descriptor)
        part.unlink(missing_ok=True)
