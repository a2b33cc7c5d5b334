"""`import modos` gives the names that are promised, each from where it is defined, and costs nothing until one is used."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import modos
from modos import errors

SOURCE = ast.parse(Path(modos.__file__).read_text(encoding="utf-8"))


def declared():
    """Names that type checkers see, and the modules that they see them in."""
    block = next(node for node in SOURCE.body if isinstance(node, ast.If))
    return {alias.name: node.module for node in block.body if isinstance(node, ast.ImportFrom) for alias in node.names}


@pytest.mark.parametrize("name", modos.__all__)
def test_a_name_is_there(name):
    assert getattr(modos, name) is not None


def test_what_is_promised_is_what_type_checkers_see():
    assert set(modos.__all__) == {*declared(), "__version__"}
    assert {name: f"modos.{home}" for name, home in modos._HOMES.items()} == declared()


def test_every_error_is_promised():
    every = {name for name, one in vars(errors).items() if isinstance(one, type) and issubclass(one, errors.ModosError)}
    assert every <= set(modos.__all__)


def test_a_name_is_the_same_as_in_its_module():
    from modos.api import MODO, Region

    assert modos.MODO is MODO and modos.Region is Region


def test_other_names_are_not_there():
    with pytest.raises(AttributeError, match="Modo"):
        modos.Modo


def test_importing_it_imports_nothing_else():
    code = "import sys, modos; print(*(name for name in sys.modules if name.startswith('modos.')))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split() == []


def test_it_says_that_it_is_typed():
    assert (Path(modos.__file__).parent / "py.typed").is_file()
