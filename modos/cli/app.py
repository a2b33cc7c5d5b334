"""The Typer application: global options and the commands."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

import typer

from modos.cli import account, asked, demo, doctor, metadata, objects, serve, stream, template
from modos.cli.groups import Group, load_later
from modos.cli.output import options, show_log
from modos.cli.peer import accept_spellings

app = typer.Typer(
    name="modos",
    cls=Group,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _show_version(wanted: bool) -> None:
    if wanted:
        from modos import __version__

        typer.echo(f"modos {__version__}")
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


_OBJECTS, _DATA, _HERE = "Objects", "Data", "Servers and settings"
_COMMANDS: dict[str, dict[str, Callable[..., None]]] = {
    _OBJECTS: {
        "create": objects.create,
        "add": objects.add,
        "template": template.template,
        "update": objects.update,
        "remove": objects.remove,
        "enrich": objects.enrich,
        "show": objects.show,
        "query": metadata.query,
        "publish": metadata.publish,
        "check": metadata.check,
        "diff": metadata.diff,
        "upgrade": metadata.upgrade,
    },
    _DATA: {"stream": stream.stream, "coverage": stream.coverage},
    _HERE: {
        "serve": serve.serve,
        "demo": demo.demo,
        "doctor": doctor.doctor,
        "login": account.login,
        "whoami": account.whoami,
        "logout": account.logout,
        "help": asked.help,
    },
}
_GROUPS = (
    (_OBJECTS, "remote", "Objects on a server: list, upload, download."),
    (_DATA, "c4gh", "Encrypt files for their recipients (Crypt4GH), and decrypt them."),
    (_DATA, "genome", "The genome of an object: contigs, names, sequence."),
    (_DATA, "track", "Numeric tracks along the genome of an object."),
    (_DATA, "reference", "Reference assemblies and annotations: kept in a store, fetched when needed, verified."),
    (_HERE, "codes", "Codes of terminologies for cell types, materials, taxa and processing: search, build."),
    (_HERE, "config", "Settings, and where they come from."),
)

for _panel, _functions in _COMMANDS.items():
    for _name, _function in _functions.items():
        app.command(_name, cls=accept_spellings(_name), rich_help_panel=_panel)(_function)
for _panel, _name, _text in _GROUPS:
    _module = f"modos.cli.{'doctor' if _name == 'config' else _name}"
    app.add_typer(typer.Typer(cls=load_later(_module), no_args_is_help=True, help=_text), name=_name, rich_help_panel=_panel)
app.command("rm", hidden=True)(objects.remove)
app.command("ls", hidden=True)(asked.ls)
