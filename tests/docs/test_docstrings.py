"""Modules and public names have docstrings, packages say what goes in and out, and arrays come with shape and dtype."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

import modos

PACKAGE = Path(modos.__file__).parent
GENERATED = {"datamodel.py"}
FIRST_WORDS = re.compile(r"(Who|Whoever|What|Whether|Have|That|How)\b")  # a summary starts with a verb or a noun
NO_VERBS = re.compile(r"(A|An|The|It|Its|As|In|By|With|Where|For|All|Each|Every|Nothing|\w*[A-Z]\w*Error)\b")
LONGEST = 110  # characters of the first line of a module
ARRAY = re.compile(r"\b(ndarray|NDArray)\b")  # in annotations
ALIASES = re.compile(r"\b(Floats|Places|Spans|Numbers|Arrays|Pairs|Rows|Runs)\b")  # of arrays, in some packages
SHAPE = re.compile(r"\bshape\b|\((?:[\w-]+,|[\w-]+(?:, [\w-]+)+)\)")  # or as (n,), (2, n), (regions, tracks, width)
DTYPE = re.compile(r"\b(bool|dtypes?|u?int(?:8|16|32|64)|float(?:16|32|64))\b")


class Definition(NamedTuple):
    name: str  # below the package, with its file
    node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef

    @property
    def docstring(self) -> str:
        return ast.get_docstring(self.node) or ""

    @property
    def is_property(self) -> bool:
        return any("property" in ast.unparse(decorator) for decorator in self.node.decorator_list)

    @property
    def returns_array(self) -> bool:
        returns = None if isinstance(self.node, ast.ClassDef) else self.node.returns
        if returns is None:
            return False
        text, has_aliases = ast.unparse(returns), self.name.startswith(("tracks/", "reference/", "codes/"))
        return ARRAY.search(text) is not None or (has_aliases and ALIASES.search(text) is not None)


def sources() -> list[Path]:
    return [path for path in sorted(PACKAGE.rglob("*.py")) if path.name not in GENERATED]


def public(nodes: list[ast.stmt], name: str) -> Iterator[Definition]:
    """Yield what a module or a class defines under a public name, in branches of an `if`, too."""
    for node in nodes:
        if isinstance(node, ast.If):
            yield from public([*node.body, *node.orelse], name)
        elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)) and not node.name.startswith("_"):
            yield Definition(f"{name}{node.name}", node)
            if isinstance(node, ast.ClassDef):
                yield from public(node.body, f"{name}{node.name}.")


def definitions(path: Path) -> list[Definition]:
    return list(public(ast.parse(path.read_text(encoding="utf-8")).body, f"{path.relative_to(PACKAGE)}: "))


PUBLIC = [definition for path in sources() for definition in definitions(path)]


MODULES = {
    path.relative_to(PACKAGE).as_posix(): ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    for path in sorted(PACKAGE.rglob("*.py"))
}
PACKAGES = {name: text for name, text in MODULES.items() if name.endswith("/__init__.py")}


def is_one_sentence(docstring: str) -> bool:
    """Whether the first line is a short sentence, and stands alone."""
    first, *others = docstring.splitlines() or [""]
    return (
        first.endswith(".")
        and len(first) <= LONGEST
        and not re.search(r"(?<! al)[.!?;] ", first)
        and not FIRST_WORDS.match(first)
        and not any(others[:1])
    )


def test_modules_start_with_one_plain_sentence():
    assert [name for name, docstring in MODULES.items() if not is_one_sentence(docstring)] == []


@pytest.mark.parametrize("part", [r"^In: ", r"\bOut:\s", r"\b[Ii]mports?\b"], ids=["in", "out", "imports"])
def test_packages_say_what_goes_in_and_out_and_what_they_import(part):
    assert [name for name, docstring in PACKAGES.items() if not re.search(part, docstring, re.MULTILINE)] == []


@pytest.mark.parametrize(
    ("docstring", "is_plain"),
    [
        ("Read 2bit files (UCSC).", True),
        ("A store of references.\n\nMore words.", True),
        ("", False),
        ("Read files", False),
        ("Read files. Write them.", False),
        ("Read files\nand write them.", False),
        ("What a file is.", False),
        (f"Read {'very ' * 30}long files.", False),
    ],
)
def test_what_one_sentence_is(docstring, is_plain):
    assert is_one_sentence(docstring) is is_plain


def test_there_is_something_to_check():
    assert len(PUBLIC) > 500 and sum(definition.returns_array for definition in PUBLIC) > 50


def test_public_names_have_docstrings():
    assert [definition.name for definition in PUBLIC if not definition.docstring] == []


def test_docstrings_start_with_a_verb_or_a_noun():
    assert [definition.name for definition in PUBLIC if FIRST_WORDS.match(definition.docstring)] == []


def test_docstrings_of_functions_start_with_a_verb():
    functions = [one for one in PUBLIC if not isinstance(one.node, ast.ClassDef) and not one.is_property]
    assert len(functions) > 500 and [one.name for one in functions if NO_VERBS.match(one.docstring)] == []


@pytest.mark.parametrize("pattern", [SHAPE, DTYPE], ids=["shape", "dtype"])
def test_functions_that_return_arrays_state(pattern):
    arrays = [definition for definition in PUBLIC if definition.returns_array]
    assert [definition.name for definition in arrays if not pattern.search(definition.docstring)] == []


@pytest.mark.parametrize(
    ("docstring", "has_shape", "has_dtype"),
    [
        ("The values of a region: shape (bases,), float32.", True, True),
        ("Read windows.\n\nReturns\n-------\nndarray\n    float32, (regions, tracks, width).", True, True),
        ("Spans on the axis, (2, n).", True, False),
        ("Row numbers; int64.", False, True),
        ("The values (of a region) in [start, end).", False, False),
    ],
)
def test_what_states_shape_and_dtype(docstring, has_shape, has_dtype):
    assert (bool(SHAPE.search(docstring)), bool(DTYPE.search(docstring))) == (has_shape, has_dtype)
