"""Write the commands and lines of Python that read what a page shows, to be copied."""

from __future__ import annotations

from dataclasses import dataclass

from fastapi import Request

from modos.catalog.catalog import Catalog
from modos.formats import is_encrypted, name_of
from modos.remote.urls import served_url
from modos.server.pages.page_filters import quote_shell
from modos.server.pages.rendering import base_path
from modos.server.pages.served_objects import ServedObject, text_of


@dataclass(frozen=True)
class Snippet:
    """Text to copy, and what it is for."""

    id: str
    title: str
    text: str


class Writing:
    """Spelling of this server and an object on a command line and in Python.

    Parameters
    ----------
    public_url
        This server as clients reach it; what a request says where it is None.
    """

    def __init__(self, request: Request, catalog: Catalog, key: str, public_url: str | None):
        base = public_url or str(request.base_url).rstrip("/").removesuffix(base_path(request.scope)) + base_path(request.scope)
        self.server = base.rstrip("/")
        self._is_remote = catalog.storage.is_remote
        self.place = catalog.url(key) if self._is_remote else served_url(self.server, catalog.url(key))

    @property
    def command(self) -> str:
        """`modos` with what it takes to reach the server."""
        return f"modos --endpoint {quote_shell(self.server)}" if self._is_remote else "modos"

    @property
    def opening(self) -> str:
        """Expression of Python that opens the object."""
        return f"MODO({self.place!r}, endpoint={self.server!r})" if self._is_remote else f"MODO({self.place!r})"


def write_for_object(writing: Writing, found: ServedObject) -> list[Snippet]:
    """Write what reads an object."""
    place, name = quote_shell(writing.place), quote_shell(name_of(found.key) or found.id or "copy")
    streamed = next(
        (i for i in found.elements if found.is_browsable(i) and not found.elements[i].get("axes") and i not in found.tracks), None
    )
    lines = [f"{writing.command} show {place}", f"{writing.command} remote download {place} {name}"]
    python = ["from modos.api import MODO", "", f"modo = {writing.opening}", "print(modo.list_samples())"]
    if streamed:
        lines.append(f"{writing.command} stream -r REGION {place}/{quote_shell(file_name(found, streamed))}")
        python += [f"for record in modo[{streamed!r}].fetch('REGION'):", "    print(record)"]
    return [Snippet("copy-shell", "Command line", "\n".join(lines)), Snippet("copy-python", "Python", "\n".join(python))]


def write_for_element(writing: Writing, found: ServedObject, element_id: str) -> list[Snippet]:
    """Write what reads an element."""
    place, attributes = quote_shell(writing.place), found.elements[element_id]
    path, kind = text_of(attributes, "data_path"), text_of(attributes, "zarr_kind")
    lines = [f"{writing.command} show {place} {quote_shell(element_id)}"]
    python = ["from modos.api import MODO", "", f"modo = {writing.opening}", f"element = modo[{element_id!r}]"]
    key = " --secret-key KEY" if is_encrypted(path) else ""
    if element_id in found.tracks:
        lines.append(f"{writing.command} track query {place} -r REGION{key}")
    elif found.is_browsable(element_id) or (key and text_of(attributes, "data_format") in ("BAM", "CRAM", "VCF", "BCF")):
        lines.append(f"{writing.command} stream -r REGION{key} {place}/{quote_shell(file_name(found, element_id))}")
        python += ["for record in element.fetch('REGION'):", "    print(record)"]
    elif kind == "AnnData":
        python.append("cells = element.to_anndata(lazy=True)")
    elif attributes.get("data_format") == "Zarr" and path:
        python.append("tree = element.to_zarr()")
    elif path:
        python.append("data = element.open_bytes()")
    return [Snippet("copy-shell", "Command line", "\n".join(lines)), Snippet("copy-python", "Python", "\n".join(python))]


def file_name(found: ServedObject, element_id: str) -> str:
    """Return the name of an element's file, plain also where it is encrypted."""
    return name_of(text_of(found.elements[element_id], "data_path"))
