"""The site and the README leave nothing out: each page is in the navigation, each promised name and package is described."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import yaml

import modos

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
SETTINGS = yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))
FROM_OUTSIDE = {"index.md", "changelog.md", "contributing.md", "how-to/deploy.md"}  # see docs/site/outside.py


def pages(navigation: list | dict | str) -> Iterator[str]:
    if isinstance(navigation, str):
        yield navigation
        return
    for part in navigation.values() if isinstance(navigation, dict) else navigation:
        yield from pages(part)


def test_the_navigation_has_every_page_once():
    assert sorted(pages(SETTINGS["nav"])) == sorted(
        [*FROM_OUTSIDE, *(str(path.relative_to(DOCS)) for path in DOCS.rglob("*.md"))]
    )


def test_every_promised_name_is_on_a_page_of_the_python_interface():
    written = "\n".join(path.read_text(encoding="utf-8") for path in (DOCS / "api").glob("*.md"))
    described = set(re.findall(r"^::: modos\.(\w+)$", written, re.MULTILINE)) | set(
        re.findall(r"^ +- (\w+)$", written, re.MULTILINE)
    )
    assert {*modos.__all__} - {"__version__"} == described - {"api", "codes", "errors", "reference"}


def test_the_map_of_the_tree_has_every_package():
    tree = (ROOT / "README.md").read_text(encoding="utf-8").split("\n## The tree\n")[1].split("\n## ")[0]
    named = {name for row in re.findall(r"^\| (`.*?) \|", tree, re.MULTILINE) for name in re.findall("`([^`]+)`", row)}
    there = {path.name for path in (ROOT / "modos").iterdir() if path.suffix == ".py" or (path / "__init__.py").is_file()}
    assert named - {"modos/"} == there - {"__init__.py"}


def test_nothing_is_loaded_from_elsewhere():
    assert SETTINGS["theme"]["font"] is False and "extra_javascript" not in SETTINGS and "extra_css" not in SETTINGS
