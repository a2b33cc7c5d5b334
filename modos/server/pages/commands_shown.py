"""Write the commands and lines of Python that read what a page shows, to be copied."""

from __future__ import annotations

from dataclasses import dataclass

from fastapi import Request

from modos.catalog.catalog import Catalog
from modos.errors.escaping import hide_secrets
from modos.formats import name_of
from modos.remote.urls import served_url
from modos.server.pages.own_object import OwnObject
from modos.server.pages.page_filters import quote_shell
from modos.server.pages.rendering import base_path
from modos.server.pages.served_objects import BROWSED, ServedObject, text_of

_KEY, _KEY_IN_PYTHON = " --secret-key KEY", "secret_key='KEY'"


@dataclass(frozen=True)
class Snippet:
    """Text to copy, and what it is for."""

    id: str
    title: str
    text: str


class Writing:
    """Spelling of a server and an object on a command line and in Python.

    Parameters
    ----------
    public_url
        This server as clients reach it; what a request says where it is None.
    own_object
        Where it is somebody's own, this server is not spoken of, and the object as its user gave it.

    Attributes
    ----------
    server
        The server that is told; None where there is none.
    place
        Path or URL of the object.
    is_remote
        Whether it can be downloaded.
    """

    def __init__(self, request: Request, catalog: Catalog, key: str, public_url: str | None, own_object: OwnObject | None = None):
        self.server: str | None
        if own_object:
            self.place, self.is_remote = hide_secrets(own_object.place), own_object.is_remote
            self.server = hide_secrets(own_object.endpoint) if own_object.endpoint else None
            return
        base = public_url or str(request.base_url).rstrip("/").removesuffix(base_path(request.scope)) + base_path(request.scope)
        server, url = base.rstrip("/"), catalog.url(key)
        self.is_remote = True
        self.place = url if catalog.storage.is_remote else served_url(server, url)
        self.server = server if catalog.storage.is_remote else None

    @property
    def command(self) -> str:
        """`modos` with what it takes to reach the server."""
        return f"modos --endpoint {quote_shell(self.server)}" if self.server else "modos"

    @property
    def opening(self) -> str:
        """Expression of Python that opens the object."""
        return f"MODO({self.place!r}, endpoint={self.server!r})" if self.server else f"MODO({self.place!r})"


def write_for_object(writing: Writing, found: ServedObject) -> list[Snippet]:
    """Write what reads an object."""
    place, name = quote_shell(writing.place), quote_shell(name_of(found.key) or found.id or "copy")
    streamed = next(
        (i for i in found.elements if found.is_browsable(i) and not found.elements[i].get("axes") and i not in found.tracks), None
    )
    lines = [f"{writing.command} show {place}"]
    lines += [f"{writing.command} remote download {place} {name}"] if writing.is_remote else []
    python = ["from modos.api import MODO", "", f"modo = {writing.opening}", "print(modo.list_samples())"]
    if streamed:
        lines.append(_write_stream(writing, found, streamed))
        python += _write_records(found, streamed, f"modo[{streamed!r}]")
    return [Snippet("copy-shell", "Command line", "\n".join(lines)), Snippet("copy-python", "Python", "\n".join(python))]


def write_for_element(writing: Writing, found: ServedObject, element_id: str) -> list[Snippet]:
    """Write what reads an element."""
    place, attributes = quote_shell(writing.place), found.elements[element_id]
    path, kind, is_sealed = text_of(attributes, "data_path"), text_of(attributes, "zarr_kind"), found.is_sealed(element_id)
    lines = [f"{writing.command} show {place} {quote_shell(element_id)}"]
    python = ["from modos.api import MODO", "", f"modo = {writing.opening}", f"element = modo[{element_id!r}]"]
    key, given = _KEY if is_sealed else "", _KEY_IN_PYTHON if is_sealed else ""
    if element_id in found.tracks:
        lines.append(f"{writing.command} track query {place} -r REGION{key}")
    elif found.is_browsable(element_id) or (is_sealed and text_of(attributes, "data_format") in BROWSED):
        lines.append(_write_stream(writing, found, element_id))
        python += _write_records(found, element_id, "element")
    elif kind == "AnnData":
        python.append(f"cells = element.to_anndata(lazy=True{', ' if given else ''}{given})")
    elif attributes.get("data_format") == "Zarr" and path:
        python.append(f"tree = element.to_zarr({given})")
    elif path:
        python.append(f"data = element.open_bytes({given})")
    return [Snippet("copy-shell", "Command line", "\n".join(lines)), Snippet("copy-python", "Python", "\n".join(python))]


def _write_stream(writing: Writing, found: ServedObject, element_id: str) -> str:
    key, name = _KEY if found.is_sealed(element_id) else "", quote_shell(file_name(found, element_id))
    return f"{writing.command} stream -r REGION{key} {quote_shell(writing.place)}/{name}"


def _write_records(found: ServedObject, element_id: str, element: str) -> list[str]:
    """Write a loop over the records of an element; `element` is an expression of it."""
    if found.is_sealed(element_id):
        records = f"modo.stream_genomics({file_name(found, element_id)!r}, 'REGION', {_KEY_IN_PYTHON})"
    else:
        records = f"{element}.fetch('REGION')"
    return [f"for record in {records}:", "    print(record)"]


def file_name(found: ServedObject, element_id: str) -> str:
    """Return the name of an element's file, plain also where it is encrypted."""
    return name_of(text_of(found.elements[element_id], "data_path"))
