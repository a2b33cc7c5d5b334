"""Dotted names and paths of the library that the documentation writes are there."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import reduce
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGES = [*ROOT.glob("*.md"), *sorted((ROOT / "docs").rglob("*.md")), *sorted((ROOT / "deploy").rglob("*.md"))]
DOTTED = re.compile(r"(?<![\w./@-])modos((?:\.[A-Za-z_]\w*)+)")
PATHS = re.compile(r"(?<![\w./~-])((?:modos|tests|docs|schema)/(?:[a-z_][\w.-]*/)*[a-z_][\w-]*\.\w+)")
NO_MODULES = {
    "example",
    "git",
    "md",
    "toml",
    "yaml",
    "yml",  # of files and hosts called modos
    "reference_stores",
}  # a group of entry points
PEER = "sdsc-modos.md"  # the first column of its tables is what another program of the same name has
FIRST_COLUMN = re.compile(r"^\| (?:[^|\\]|\\.)* \|")


def own_text(page: Path) -> str:
    """A page without the names that are another program's."""
    text = page.read_text(encoding="utf-8")
    return "\n".join(FIRST_COLUMN.sub("|", line) for line in text.splitlines()) if page.name == PEER else text


def dotted_names(text: str) -> set[str]:
    """Names of modules, and of what is in them: `modos.x.y`."""
    found = (match[1] for match in DOTTED.finditer(text))
    return {f"modos{name}" for name in found if name.split(".")[1] not in NO_MODULES}


def exists(name: str) -> bool:
    """Whether a module can be imported, or what it holds can be had of it."""
    module, _, rest = name, "", []
    while not is_module(module):
        module, _, last = module.rpartition(".")
        rest.insert(0, last)
    try:
        reduce(getattr, rest, import_module(module))
    except AttributeError:
        return False
    return True


def is_module(name: str) -> bool:
    try:
        return find_spec(name) is not None
    except ModuleNotFoundError:
        return False


def cases() -> Iterator[tuple[str, str]]:
    for page in PAGES:
        for name in sorted(dotted_names(own_text(page))):
            yield str(page.relative_to(ROOT)), name


@pytest.mark.parametrize(("page", "name"), list(cases()))
def test_a_name_in_the_documentation_exists(page, name):
    assert exists(name), f"{page} names {name}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_a_path_in_the_documentation_exists(page):
    missing = {path for path in PATHS.findall(own_text(page)) if not any((base / path).exists() for base in (ROOT, page.parent))}
    assert missing == set()


def test_names_that_are_not_there_would_be_found():
    assert dotted_names("`modos.object.nothing.x`, modos.yaml, a/modos.cli and https://modos.example.org") == {
        "modos.object.nothing.x"
    }
    assert exists("modos.genomics.region.Region.parse") and not exists("modos.genomics.region.Region.nothing")
    assert not exists("modos.nothing") and not exists("modos.object.nothing.x")
