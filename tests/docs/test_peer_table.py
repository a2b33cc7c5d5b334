"""The table of what sdsc-ordes modos has and what does it here: each name of ours exists, and each spelling is in the table."""

from __future__ import annotations

import inspect
import re
from importlib import import_module
from pathlib import Path

import pytest
import typer

from modos.cli.app import app
from modos.cli.peer import FLAGS, OPTIONS_FOR_ARGUMENTS

PAGE = Path(__file__).resolve().parents[2] / "docs" / "reference" / "sdsc-modos.md"


def names():
    """What stands in the second column, in backticks."""
    rows = [re.split(r"(?<!\\) \| ", line.strip("| ")) for line in PAGE.read_text().splitlines() if line.startswith("| ")]
    return list(dict.fromkeys(name for row in rows for name in re.findall("`([^`]+)`", row[1])))


@pytest.fixture(scope="module")
def routes(tmp_path_factory):
    from modos.server.app import create_app
    from modos.storage import open_storage

    described = create_app(open_storage(tmp_path_factory.mktemp("served"))).openapi()
    return {f"{method.upper()} {path}" for path, methods in described["paths"].items() for method in methods}


def find_command(words):
    command = typer.main.get_command(app)
    for word in words:
        command = command.commands[word]
    return command


def has_command(text):
    words = [word for word in text.split()[1:] if not word.startswith("-")]
    command = find_command(words)
    parser = command.make_parser(typer.Context(command))
    known = {*parser._long_opt, *parser._short_opt}
    return set(text.split()[1:]) - set(words) <= known


def has_call(text):
    dotted, _, parameter = text.rstrip(")").partition("(")
    parts = (dotted if dotted.startswith("modos.") else f"modos.api.{dotted}").split(".")
    found = import_module("modos")
    for depth, part in enumerate(parts[1:], 2):
        if not hasattr(found, part):
            import_module(".".join(parts[:depth]))
        found = getattr(found, part)
    wanted = parameter.rstrip("=")
    return not wanted or wanted in {*inspect.signature(found).parameters, *getattr(found, "other_names", ())}


def test_the_table_has_names():
    assert len(names()) > 100


@pytest.mark.parametrize("name", names())
def test_what_the_table_names_exists(name, request):
    if name.startswith(("GET ", "POST ")):
        assert name in request.getfixturevalue("routes")
    elif name.startswith("modos "):
        assert has_command(name)
    else:
        assert has_call(name)


def test_what_does_not_exist_would_be_found():
    assert not has_command("modos show --nothing") and not has_call("MODO.upload(nothing=)")
    with pytest.raises(KeyError):
        has_command("modos nothing")
    with pytest.raises((AttributeError, ImportError)):
        has_call("modos.remote.nothing")


def test_every_spelling_is_in_the_table():
    spellings = {f"modos {command} {flag}" for command, flags in FLAGS.items() for flag in flags}
    spellings |= {f"modos {command} {flag}" for command, (flags, _) in OPTIONS_FOR_ARGUMENTS.items() for flag in flags}
    assert spellings <= set(names())


def test_every_command_is_in_the_table():
    root = typer.main.get_command(app)
    written = {" ".join(word for word in name.split()[1:] if not word.startswith("-")).split(" ")[0] for name in names() if name.startswith("modos ")}
    assert {name for name, command in root.commands.items() if not command.hidden} <= written
