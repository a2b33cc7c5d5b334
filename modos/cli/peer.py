"""Hidden spellings of options that sdsc-ordes modos has."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from typer.core import TyperCommand

FLAGS: dict[str, dict[str, tuple[str, ...]]] = {
    "create": {"--from-file": ("--file",)},
    "add": {"--from-file": ("--file",), "--source-file": ("--source",)},
    "update": {"--force": ("--prune", "--yes")},
    "codes search": {"-t": ("--top",)},
    "remove": {"--force": ("--yes",), "-f": ("--yes",)},
    "show": {"-z": ("--zarr",), "-f": ("--files",)},
    "publish": {"--output-format": ("--format",)},
    "c4gh encrypt": {"--passphrase": ("--passphrase-file",), "-pw": ("--passphrase-file",)},
    "c4gh decrypt": {"--passphrase": ("--passphrase-file",), "-pw": ("--passphrase-file",)},
}
OPTIONS_FOR_ARGUMENTS = {
    "remote upload": (("--target", "-t"), "target"),
    "remote download": (("--target", "-t"), "target"),
}


def accept_spellings(command: str) -> type[TyperCommand]:
    """Return the class of a command that takes its other spellings as well."""

    class Taking(TyperCommand):
        def make_parser(self, ctx: Any) -> Any:
            """Make a parser that knows the other spellings."""
            parser: Any = super().make_parser(ctx)
            for flag, meant in FLAGS.get(command, {}).items():
                known = [parser._long_opt[name] for name in meant]
                parser._opt_prefixes.add(flag[: len(flag) - len(flag.lstrip("-"))])
                (parser._short_opt if len(flag) == 2 else parser._long_opt)[flag] = (
                    known[0] if len(known) == 1 else _Several(known)
                )
            if command in OPTIONS_FOR_ARGUMENTS:
                _take_option(parser, next(p for p in self.params if p.name == OPTIONS_FOR_ARGUMENTS[command][1]), ctx, command)
            if command == "stream":
                _after_parsing(parser, _join_file)
            return parser

    return Taking


class _Several:
    """Flag that sets several others."""

    takes_value = False

    def __init__(self, options: list[Any]):
        self._options = options

    def process(self, value: Any, state: Any) -> None:
        """Set the flags."""
        for option in self._options:
            option.process(value, state)


def _take_option(parser: Any, argument: Any, ctx: Any, command: str) -> None:
    """Take an argument by an option as well; not both."""
    options, name = OPTIONS_FOR_ARGUMENTS[command]
    parser.add_option(argument, options, dest=options[0])

    def settle(values: dict[str, Any], left: list[str]) -> list[str]:
        given = values.pop(options[0], None)
        if given is None:
            return left
        if values.get(name) is not None:
            ctx.fail(f"{argument.metavar} is given twice: {values[name]}, and {options[0]} {given}")
        values[name] = given
        return left

    _after_parsing(parser, settle)


def _join_file(values: dict[str, Any], left: list[str]) -> list[str]:
    """Join `OBJECT FILE` to `OBJECT/FILE`."""
    place = values.get("file") or ""
    if not place or len(left) != 1 or place.startswith(("http://", "https://")):
        return left
    values["file"] = f"{place.rstrip('/')}/{left[0]}"
    return []


def _after_parsing(parser: Any, settle: Callable[[dict[str, Any], list[str]], list[str]]) -> None:
    """Settle what was parsed: values by name, and arguments that are left over."""
    parse = parser.parse_args

    def parse_args(args: list[str]) -> tuple[Any, ...]:
        values, left, order = parse(args=args)
        return values, settle(values, left), order

    parser.parse_args = parse_args
