"""Groups of commands that are imported on demand and take the global options anywhere in the line."""

from __future__ import annotations

import copy
from collections.abc import Callable, MutableMapping
from importlib import import_module
from typing import Any

import typer
from typer.core import TyperGroup

from modos.cli.output import options, show_log
from modos.errors import InvalidInputError

GLOBAL = ("endpoint", "anon", "quiet", "debug", "progress")
_AGAIN = "global_"


class Group(TyperGroup):
    """Group whose commands, and theirs, take the global options, too."""

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Return a command with the global options, which its help does not repeat."""
        command = super().get_command(ctx, cmd_name)
        if command is not None:
            _take_globals(command, ctx.find_root().command)
            _take_once(command)
        return command


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


def load_later(module: str) -> type[Group]:
    """Return a group of the commands of a module's app, which is imported when one of them is asked for."""

    class Later(Group):
        @property
        def commands(self) -> MutableMapping[str, Any]:
            """Commands by name."""
            if "made" not in vars(self):
                self.made = typer.main.get_group(import_module(module).app).commands
            return self.made

        @commands.setter
        def commands(self, none: MutableMapping[str, Any]) -> None:
            """Ignore what typer sets at first: there are none yet."""

    return Later
