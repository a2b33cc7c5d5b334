"""The Typer application: global options and the commands."""

from __future__ import annotations

from importlib import import_module
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from modos.cli import account, demo, doctor, metadata, objects, serve, stream, template
from modos.cli.output import options, show_log
from modos.cli.peer import taking

app = typer.Typer(
    name="modos", no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False,
    rich_markup_mode="rich", context_settings={"help_option_names": ["-h", "--help"]},
)


def _show_version(wanted: bool) -> None:
    if wanted:
        from modos import __version__

        typer.echo(f"modos {__version__}")
        raise typer.Exit


@app.callback()
def configure(
    endpoint: Annotated[str, typer.Option(envvar="MODOS_ENDPOINT", metavar="URL",
                                          help="A modos server, which tells where S3 and htsget are.")] = None,
    anon: Annotated[bool, typer.Option("--anon", envvar="MODOS_ANON", show_envvar=False, help="Access S3 without credentials.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Say nothing but errors.")] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show what is tried again, and where an error comes from.")] = False,
    progress: Annotated[bool, typer.Option(help="Show progress on a terminal.")] = True,
    version: Annotated[bool, typer.Option("--version", callback=_show_version, is_eager=True,
                                          help="Show the version.")] = False,
) -> None:
    """Multi-omics digital objects: genomic files and their metadata, streamed by region."""
    options.endpoint, options.anon, options.quiet = endpoint, anon, quiet
    options.debug, options.progress = debug, progress
    if debug:
        show_log()


app.command("create", cls=taking("create"))(objects.create)
app.command("add", cls=taking("add"))(objects.add)
app.command("template")(template.template)
app.command("update", cls=taking("update"))(objects.update)
app.command("remove", cls=taking("remove"))(objects.remove)
app.command("enrich")(objects.enrich)
app.command("show", cls=taking("show"))(objects.show)
app.command("query")(metadata.query)
app.command("publish", cls=taking("publish"))(metadata.publish)
app.command("check")(metadata.check)
app.command("diff")(metadata.diff)
app.command("upgrade")(metadata.upgrade)
app.command("stream", cls=taking("stream"))(stream.stream)
app.command("coverage")(stream.coverage)
app.command("serve")(serve.serve)
app.command("demo")(demo.demo)
app.command("doctor")(doctor.doctor)
app.command("login")(account.login)
app.command("whoami")(account.whoami)
app.command("logout")(account.logout)


def _add_group(name: str, module: str, help: str) -> None:
    """Add the commands of a module's app, which is imported when one of them is asked for."""

    class Later(TyperGroup):
        @property
        def commands(self) -> dict[str, Any]:
            """By name."""
            if "made" not in vars(self):
                self.made = typer.main.get_group(import_module(module).app).commands
            return self.made

        @commands.setter
        def commands(self, none: dict[str, Any]) -> None:
            """What typer gives at first: there are none yet."""

    app.add_typer(typer.Typer(cls=Later, no_args_is_help=True, help=help), name=name)


_add_group("config", "modos.cli.doctor", "Settings, and where they come from.")
_add_group("remote", "modos.cli.remote", "Objects on a server: list, upload, download.")
_add_group("c4gh", "modos.cli.c4gh", "Encrypt files for their recipients (Crypt4GH), and decrypt them.")
_add_group("genome", "modos.cli.genome", "The genome of an object: contigs, names, sequence.")
_add_group("track", "modos.cli.track", "Numeric tracks along the genome of an object.")
_add_group("codes", "modos.cli.codes", "Codes of terminologies for cell types, materials, taxa and processing: search, build.")
_add_group("reference", "modos.cli.reference", "Reference assemblies and annotations: kept in a store, fetched when needed, verified.")
