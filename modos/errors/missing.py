"""Say which extra brings a package that is missing.

In: the name of a package that only some installations have. Out: the package, when it
is first used (`load_late`), or a MissingPackageError that says what to install.
"""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from types import ModuleType
from typing import Any

from modos.errors import MissingPackageError

EXTRAS = {
    "fastapi": "server",
    "jinja2": "server",
    "jwt": "server",
    "markupsafe": "server",
    "polars": "polars",
    "prometheus_client": "server",
    "rapidfuzz": "codes",
    "starlette": "server",
    "uvicorn": "server",
}


def need(package: str) -> None:
    """Raise MissingPackageError, with what to install, unless a package of `EXTRAS` is installed; does not import it."""
    if find_spec(package) is None:
        raise _missing_error(package)


def load_late(package: str) -> Any:
    """Return a stand-in for a package of `EXTRAS` that is imported when something of it is used first.

    Then it raises MissingPackageError, with what to install, if the package is missing.
    """
    return _Late(package)


def explain(error: ModuleNotFoundError) -> MissingPackageError | None:
    """Return what to install where a package of `EXTRAS` is missing; None where an import failed otherwise."""
    package = (error.name or "").partition(".")[0]
    return _missing_error(package) if package in EXTRAS and find_spec(package) is None else None


def _missing_error(package: str) -> MissingPackageError:
    return MissingPackageError(f"this takes {package}, which is not installed", f"pip install 'modos-store[{EXTRAS[package]}]'")


class _Late(ModuleType):
    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # of the module itself, which whoever looks at modules asks for
            raise AttributeError(name)
        need(self.__name__)
        value = getattr(import_module(self.__name__), name)
        setattr(self, name, value)
        return value
