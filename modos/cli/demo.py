"""The command `modos demo`, which shows everything once on this machine."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from modos.cli.output import say, show, show_lines, wait_for_interrupt

if TYPE_CHECKING:
    from modos.demo.stack import Stack
    from modos.object.modo import MODO


def demo(
    keep: Annotated[bool, typer.Option("--keep", help="Leave the services running until Ctrl-C.")] = False,
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port of the modos server; 0 takes a free one.")] = 0,
    write: Annotated[Path | None, typer.Option(metavar="FOLDER", help="Only write the demo's files into a new folder.")] = None,
) -> None:
    """Start a local S3 and a modos server, load a small object, and stream from it.

    modos demo

    modos demo --keep --port 8080
    """
    if write:
        _write_files(write)
        return
    from modos.demo import stack

    with tempfile.TemporaryDirectory(prefix="modos-demo-") as folder, stack.run_stack(port) as services:
        show(f"S3 server     {services.s3}\nmodos server  {services.endpoint}  (catalogue and htsget)")
        remote = stack.load_example(services, Path(folder))
        show(f"\nMade an object of a reference, reads and variants, and uploaded it to {remote.storage.url}:")
        show_lines(f"  {file.name}" for file in remote.list_files())
        show("\nStreamed a region of each file through htsget, and counted the same in the local files:")
        _compare(remote, Path(folder))
        _show_commands(services, keep)
        if keep:
            wait_for_interrupt("Running until Ctrl-C.")


def _write_files(folder: Path) -> None:
    from modos.demo.dataset import generate
    from modos.errors import AlreadyExistsError

    if os.path.lexists(folder):
        raise AlreadyExistsError(f"{folder} exists already", "choose another folder")
    say(f"wrote the demo's files and their description, {generate(folder)}")


def _compare(remote: MODO, folder: Path) -> None:
    from modos.demo.stack import compare
    from modos.errors import IntegrityError

    for row in compare(remote, folder):
        verdict = "same" if row.streamed == row.local else f"DIFFERENT: {row.local:,} in the local file"
        show(f"  {row.file:<13} {row.region:<19} {row.streamed:>6,} records  {verdict}")
        if row.streamed != row.local:
            raise IntegrityError(f"{row.file}: streamed records differ from those of the local file")


def _show_commands(services: Stack, keep: bool) -> None:
    modos = "modos" if shutil.which("modos") else os.path.relpath(sys.argv[0])
    call = f"{modos} --endpoint {services.endpoint}"
    show(
        "\nTry it from another terminal:"
        if keep
        else "\nWith `modos demo --keep` the servers stay up, and these work "
        "from another terminal\n(with the addresses that it prints):"
    )
    show(f"""  {services.endpoint}/  in a browser: the catalogue, the object, its reads and variants along the genome
  {call} remote list
  {call} show s3://modos-demo/ex
  {call} stream -r chr1:20,001-25,000 s3://modos-demo/ex/demo2.bam | samtools view | head
  {call} stream -r chr2:1-20,000 s3://modos-demo/ex/cohort.bcf | bcftools view -H | head
  samtools view '{services.endpoint}/htsget/reads/ex/demo2?referenceName=chr1&start=20000&end=25000' | head""")
