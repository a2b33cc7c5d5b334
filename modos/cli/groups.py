"""Groups of commands that are imported on demand and take the global options anywhere in the line."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from dataclasses import dataclass
from importlib import import_module
from inspect import cleandoc
from typing import Any

import typer
from typer.core import TyperGroup

from modos.cli.output import options, show_log
from modos.cli.peer import accept_spellings
from modos.errors import InvalidInputError

GLOBAL = ("endpoint", "anon", "quiet", "debug", "progress")
_AGAIN = "global_"
_PANEL = "Commands"
_EXAMPLE = re.compile(r"\n\n(?=modos )")  # a paragraph after a backspace keeps its lines: examples can be copied


class Group(TyperGroup):
    """Group whose commands, and theirs, take the global options, too."""

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Return a command with the global options, which its help does not repeat."""
        command = super().get_command(ctx, cmd_name)
        if command is not None:
            _take_globals(command, ctx.find_root().command)
            _take_once(command)
            command.help = _EXAMPLE.sub("\n\n\b\n", command.help or "") or None
        return command

    def list_commands(self, ctx: Any) -> list[str]:
        """Return the names of the commands, in their order; none is made for it."""
        return list(self.commands)

    def summarize(self) -> Iterator[tuple[str, str, str]]:
        """Iterate over the commands that are not hidden: panel, name and summary."""
        for name, one in self.commands.items():
            if not one.hidden:
                yield getattr(one, "rich_help_panel", None) or _PANEL, name, _first_paragraph(one.help)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write the commands by panel, with a column of names that is as wide in each."""
        panels: dict[str, list[tuple[str, str]]] = {}
        for panel, name, text in self.summarize():
            panels.setdefault(panel, []).append((name, text))
        width = max((len(name) for rows in panels.values() for name, _ in rows), default=0)
        for panel, rows in panels.items():
            with formatter.section(panel):
                formatter.write_dl([(name.ljust(width), text) for name, text in rows])


def _first_paragraph(text: str | None) -> str:
    return " ".join(cleandoc(text or "").partition("\n\n")[0].split())


def _take_globals(command: Any, root: Any) -> None:
    taken = {option for param in command.params for option in param.opts}
    for param in root.params:
        if param.name in GLOBAL and taken.isdisjoint(param.opts):
            again = copy.copy(param)
            again.name, again.default, again.envvar = _AGAIN + param.name, None, None
            again.expose_value, again.hidden, again.callback = False, True, _set
            command.params.append(again)


def _take_once(command: Any) -> None:
    """Refuse options that are given twice with two values: one of them would be ignored."""
    if "make_parser" in vars(command):
        return  # it does already
    make_parser = command.make_parser

    def make(ctx: Any) -> Any:
        parser = make_parser(ctx)
        for option in {id(one): one for one in (*parser._short_opt.values(), *parser._long_opt.values())}.values():
            if getattr(option, "action", "") in ("store", "store_const") and not ctx.resilient_parsing:
                option.process = _refuse_repetition(option, option.process)
        return parser

    command.make_parser = make


def _refuse_repetition(option: Any, process: Callable[[Any, Any], None]) -> Callable[[Any, Any], None]:
    def take(value: Any, state: Any) -> None:
        before = state.opts.get(option.dest, value if option.takes_value else option.const)
        process(value, state)
        if state.opts[option.dest] != before and option.takes_value:
            name = option.dest if option.dest.startswith("-") else option.obj.opts[0]
            raise InvalidInputError(f"{name} is given twice: {str(before)[:60]}, and {str(value)[:60]}", "give it once")
        if state.opts[option.dest] != before:
            raise InvalidInputError(f"{option.obj.opts[0]} and {option.obj.secondary_opts[0]} are both given", "give one of them")

    return take


def _set(ctx: Any, param: Any, value: Any) -> None:
    if value is None or ctx.resilient_parsing:
        return
    name = param.name.removeprefix(_AGAIN)
    if name == "debug" and value and not options.debug:
        show_log()
    setattr(options, name, value)


@dataclass(frozen=True)
class Listed:
    """Command that is imported and made when it is asked for, and what the list of commands says of it before.

    Parameters
    ----------
    place
        The function of a command, or the Typer app of a group of them, as `module.name` below `modos.cli`.
    panel
        Heading that it is listed under.
    text
        Summary of a group; that of a function is the first paragraph of its docstring.
    hidden
        Whether it is not listed.
    """

    place: str
    panel: str = _PANEL
    text: str | None = None
    hidden: bool = False

    def summarize(self) -> str:
        """Return what it does, in a paragraph."""
        return _first_paragraph(self.text or self._load().__doc__)

    def make(self, name: str) -> Any:
        """Make the command, or the group."""
        found, maker = self._load(), typer.Typer(rich_markup_mode=None)
        if isinstance(found, typer.Typer):
            maker.add_typer(found, name=name, cls=Group, no_args_is_help=True, help=self.text)
        else:
            maker.command(name, cls=accept_spellings(name), hidden=self.hidden)(found)
        return typer.main.get_group(maker).commands[name]

    def _load(self) -> Any:
        module, _, name = self.place.partition(".")
        return getattr(import_module(f"modos.cli.{module}"), name)


class _Commands(MutableMapping[str, Any]):
    """Commands by name, each made when it is asked for first."""

    def __init__(self, listed: Mapping[str, Listed]):
        self.listed = listed
        self._made: dict[str, Any] = {}

    def __getitem__(self, name: str) -> Any:
        if name not in self._made:
            self._made[name] = self.listed[name].make(name)
        return self._made[name]

    def __setitem__(self, name: str, command: Any) -> None:
        self._made[name] = command

    def __delitem__(self, name: str) -> None:
        raise TypeError("commands stay")

    def __iter__(self) -> Iterator[str]:
        return iter(self.listed)

    def __len__(self) -> int:
        return len(self.listed)


def list_commands(listed: Mapping[str, Listed]) -> type[Group]:
    """Return the class of a group of commands that are made when they are asked for."""
    made = _Commands(listed)

    class Later(Group):
        @property
        def commands(self) -> MutableMapping[str, Any]:
            """Commands by name."""
            return made

        @commands.setter
        def commands(self, none: MutableMapping[str, Any]) -> None:
            """Ignore what typer sets at first: there are none yet."""

        def summarize(self) -> Iterator[tuple[str, str, str]]:
            """Iterate over the commands that are not hidden: panel, name and summary."""
            return ((one.panel, name, one.summarize()) for name, one in listed.items() if not one.hidden)

    return Later
