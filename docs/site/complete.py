"""A site that leaves out what a promised class can do is not built; a hook of MkDocs."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig

import modos

logger = logging.getLogger("mkdocs.hooks.complete")


def on_post_build(config: MkDocsConfig) -> None:
    """Warn of methods and properties that no page of the Python interface has; with --strict that is an error."""
    pages = "".join(path.read_text(encoding="utf-8") for path in (Path(config.site_dir) / "api").glob("*.html"))
    for name in modos.__all__:
        for member in ("", *documented(getattr(modos, name))):
            path = f"modos.{name}{member and '.'}{member}"
            if (
                f'id="{path}"' not in pages
                and f'id="{path.replace("modos.", "modos.errors.", 1)}"' not in pages
                and name != "__version__"
            ):
                logger.warning("%s is on no page of the Python interface", path)


def documented(value: object) -> Iterator[str]:
    """Public methods and properties of a class of ours that say what they do."""
    if not isinstance(value, type) or issubclass(value, Exception):
        return
    for owner in value.__mro__:
        if owner.__module__.split(".")[0] == "modos":
            yield from (name for name, member in vars(owner).items() if name[0] != "_" and is_code(member) and member.__doc__)


def is_code(member: object) -> bool:
    return inspect.isroutine(member) or isinstance(member, (classmethod, staticmethod, property, cached_property))
