"""The Typer application with its global options and commands."""

from __future__ import annotations

from typing import Annotated

import typer

from modos.cli.groups import Listed, list_commands
from modos.cli.output import options, show_log

_OBJECTS, _DATA, _HERE = "Objects", "Data", "Servers and settings"
_COMMANDS = {
    "create": Listed("objects.create", _OBJECTS),
    "add": Listed("objects.add", _OBJECTS),
    "template": Listed("template.template", _OBJECTS),
    "update": Listed("objects.update", _OBJECTS),
    "remove": Listed("objects.remove", _OBJECTS),
    "enrich": Listed("objects.enrich", _OBJECTS),
    "show": Listed("objects.show", _OBJECTS),
    "query": Listed("metadata.query", _OBJECTS),
    "publish": Listed("metadata.publish", _OBJECTS),
    "check": Listed("checks.check", _OBJECTS),
    "diff": Listed("metadata.diff", _OBJECTS),
    "upgrade": Listed("checks.upgrade", _OBJECTS),
    "pack": Listed("packs.pack", _OBJECTS),
    "unpack": Listed("packs.unpack", _OBJECTS),
    "find": Listed("find.find", _OBJECTS),
    "catalog": Listed("find.app", _OBJECTS, "The catalogue of many objects, kept beside them: refresh."),
    "remote": Listed("remote.app", _OBJECTS, "Objects on a server: list, upload, download."),
    "stream": Listed("stream.stream", _DATA),
    "coverage": Listed("stream.coverage", _DATA),
    "convert": Listed("convert.convert", _DATA),
    "c4gh": Listed("c4gh.app", _DATA, "Encrypt files for their recipients (Crypt4GH), and decrypt them."),
    "genome": Listed("genome.app", _DATA, "The genome of an object: contigs, names, sequence."),
    "track": Listed("track.app", _DATA, "Numeric tracks along the genome of an object."),
    "reference": Listed(
        "reference.app", _DATA, "Reference assemblies and annotations: kept in a store, fetched when needed, verified."
    ),
    "view": Listed("gateway.view", _DATA),
    "gateway": Listed("gateway.gateway", _DATA),
    "serve": Listed("serve.serve", _HERE),
    "keyserver": Listed("keyserver.keyserver", _HERE),
    "log": Listed("log.app", _HERE, "The log of who read what on a server: verify, show, export."),
    "demo": Listed("demo.demo", _HERE),
    "doctor": Listed("doctor.doctor", _HERE),
    "login": Listed("account.login", _HERE),
    "whoami": Listed("account.whoami", _HERE),
    "logout": Listed("account.logout", _HERE),
    "help": Listed("asked.help", _HERE),
    "codes": Listed("codes.app", _HERE, "Codes of terminologies for cell types, materials, taxa and processing: search, build."),
    "config": Listed("doctor.app", _HERE, "Settings, and where they come from."),
    "rm": Listed("objects.remove", hidden=True),
    "ls": Listed("asked.ls", hidden=True),
}

app = typer.Typer(
    name="modos",
    cls=list_commands(_COMMANDS),
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120},
)


def _show_version(wanted: bool) -> None:
    if wanted:
        from modos.version import describe_version

        typer.echo(f"modos {describe_version()}")
        raise typer.Exit


@app.callback()
def configure(
    endpoint: Annotated[
        str | None,
        typer.Option(
            envvar="MODOS_ENDPOINT", metavar="URL", help="The URL of a modos server, which tells where S3 and htsget are."
        ),
    ] = None,
    anon: Annotated[
        bool, typer.Option("--anon", envvar="MODOS_ANON", show_envvar=False, help="Access S3 without credentials.")
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print only errors.")] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show retries, and where an error comes from.")] = False,
    progress: Annotated[bool, typer.Option(help="Show progress on a terminal.")] = True,
    version: Annotated[bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version.")] = False,
) -> None:
    """Multi-omics digital objects: genomic files and their metadata, streamed by region.

    You can give these options anywhere in the line.
    """
    options.endpoint, options.anon, options.quiet = endpoint, anon, quiet
    options.debug, options.progress = debug, progress
    if debug:
        show_log()
