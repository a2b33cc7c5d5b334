"""The table of what sdsc-ordes modos has and what does it here: each name of ours exists, and each spelling is in the table."""

from __future__ import annotations

import inspect
import json
import re
from importlib import import_module
from pathlib import Path

import pytest
import typer

from modos.cli.app import app
from modos.cli.peer import FLAGS, OPTIONS_FOR_ARGUMENTS
from tests.support.peer_layout import run_peer

PAGE = Path(__file__).resolve().parents[2] / "docs" / "reference" / "sdsc-modos.md"


def names():
    """What stands in the second column, in backticks."""
    rows = [re.split(r"(?<!\\) \| ", line.strip("| ")) for line in PAGE.read_text().splitlines() if line.startswith("| ")]
    return list(dict.fromkeys(name for row in rows for name in re.findall("`([^`]+)`", row[1])))


@pytest.fixture(scope="module")
def routes(tmp_path_factory):
    from modos.codes.term_index import Index
    from modos.server.app import create_app
    from modos.storage import open_storage

    described = create_app(open_storage(tmp_path_factory.mktemp("served")), index=Index()).openapi()
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
    written = {
        " ".join(word for word in name.split()[1:] if not word.startswith("-")).split(" ")[0]
        for name in names()
        if name.startswith("modos ")
    }
    assert {name for name, command in root.commands.items() if not command.hidden} <= written


# What sdsc-ordes modos has, by looking at it: its commands, and the names that its modules define. Its inner modules are in the table as a whole.
INNER = (
    "modos.cli",
    "modos.genomics.cram",
    "modos.genomics.formats",
    "modos.helpers",
    "modos.io",
    "modos.logging",
    "modos.metabolomics",
    "modos.prompt",
    "modos.rdf",
)
OPEN = ("modos.api.MODO", "modos.genomics.region.Region")  # of which every method is listed
LOOK = """
import importlib, inspect, json, pkgutil, sys, typer, modos
from modos.cli import cli

inner, open_, found = *map(tuple, json.loads(sys.argv[1])), []
def walk(command, words):
    flags = sorted(option for param in command.params for option in param.opts if option.startswith("-"))
    found.append(" ".join([*words, *flags]))
    for name, one in getattr(command, "commands", {}).items():
        walk(one, [*words, name])
walk(typer.main.get_command(cli), ["modos"])
for module in pkgutil.walk_packages(modos.__path__, "modos."):
    for name, value in vars(importlib.import_module(module.name)).items() if not module.name.startswith(inner) else ():
        place = f"{module.name}.{name}"
        if name.startswith("_") or getattr(value, "__module__", None) != module.name or not callable(value):
            continue
        for method, call in vars(value).items() if place in open_ else ():
            call = getattr(call, "__func__", call)
            words = [one for one in inspect.signature(call).parameters if one not in ("self", "cls")] if callable(call) else None
            if method == "__init__" or not method.startswith("_"):
                found.append(f"{place}.{method}" + ("" if words is None else f"({', '.join(words)})"))
        if place not in open_:
            found.append(place)
print(json.dumps(sorted(found)))
"""


def theirs():
    return Path(__file__).with_name("sdsc_modos_0_3_4.txt").read_text().splitlines()


def test_what_theirs_has_is_as_listed():
    assert json.loads(run_peer(LOOK, json.dumps([INNER, OPEN]))) == theirs()


@pytest.mark.parametrize("line", theirs())
def test_all_of_theirs_is_in_the_table(line):
    rows = [re.split(r"(?<!\\) \| ", one.strip("| "))[0] for one in PAGE.read_text().splitlines() if one.startswith("| ")]
    if line.startswith("modos "):
        words = line.split()[1:]
        command = " ".join(word for word in words if not word.startswith("-"))
        mine = " ".join(row for row in rows if row.startswith(f"`{command} " if command else "`-") or row == f"`{command}`")
        assert mine or not command or len(words) == 1
        assert set(words) - set(command.split()) <= set(re.findall(r"--?[a-z][a-z-]*", mine))
        return
    dotted, _, parameters = line.rstrip(")").partition("(")
    name = dotted.replace(".__init__", "").rpartition(".")[2]
    about = " ".join(row for row in rows if re.search(rf"\b{name}\b", row))
    assert about and set(filter(None, parameters.split(", "))) <= set(re.findall(r"\w+", about))


def test_inner_modules_are_in_the_table():
    assert all(f"`{module}`" in PAGE.read_text() for module in INNER if module != "modos.cli")
