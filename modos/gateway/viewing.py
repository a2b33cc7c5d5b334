"""Serve the pages and the genome browser over one object, plain as far as a key opens it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

from modos.errors import InvalidInputError
from modos.errors.missing import need
from modos.gateway.loopback import SEND_BUFFER
from modos.gateway.plain_view import OpenedObject, PlainView
from modos.object.address import ObjectAddress
from modos.object.finding import find_element
from modos.object.open_object import OpenObject
from modos.object.plain_files import PlainFiles

if TYPE_CHECKING:
    from modos.encryption.keys import SecretKey

_REPLACED = "object"  # what an object is called whose place has no name


class View:
    """Pages of one object on the loopback address, until `close`; a context manager.

    Attributes
    ----------
    url
        Address of the server, without the token.
    closed
        Names of what is encrypted and stays closed, and why.
    """

    def __init__(
        self,
        opened: OpenObject,
        secret: SecretKey | None,
        port: int = 0,
        told: Callable[[str], object] = lambda problem: None,
        *,
        framed: bool = False,
    ):
        from modos.gateway.frame_guard import FrameGuard
        from modos.gateway.guarding import make_token
        from modos.gateway.page_guard import PageGuard
        from modos.gateway.view_files import ViewFiles
        from modos.server.app import create_app
        from modos.server.hosts import KnownHosts
        from modos.server.pages.own_object import OpenedData, OwnObject
        from modos.server.run import BackgroundServer

        self._opened = OpenedObject(opened, secret)
        self._storage, self._document = opened.storage, opened.document
        self.closed = self._opened.current().name_closed()
        self.name = opened.storage.path.name or _REPLACED
        self._token = make_token()

        def find_opened() -> OpenedData:
            found = self._opened.current()
            return OpenedData(found.sealed, found.trees, found.closed)

        where = opened.address
        own = OwnObject(str(where.path), where.endpoint, opened.storage.is_remote, find_opened)
        pages = create_app(PlainView(self._opened, self.name), own_object=own)
        guard: Any = FrameGuard if framed else PageGuard
        guarded = guard(ViewFiles(pages, PlainFiles(opened, secret), self.name, told), self._token)
        self._server = BackgroundServer(KnownHosts(guarded), port, send_buffer=SEND_BUFFER)
        self.url = self._server.url

    def address(self, element: str | None = None, region: str | None = None) -> str:
        """Return the address of the page of the object, of an element, or of the genome browser, with the token.

        Parameters
        ----------
        element
            Id of an element, or an unambiguous name, or the name of its file.
        region
            `chr1:1,001-2,000`, 1-based inclusive, of the records of the element.

        Raises
        ------
        NotFoundError
            There is no such element.
        InvalidInputError
            A region of no element.
        """
        token = {"token": self._token}
        if element is None:
            if region is not None:
                raise InvalidInputError("a region of what?", "name an element: OBJECT/ELEMENT -r REGION")
            return f"{self.url}/objects/{quote(self.name)}?{urlencode(token)}"
        element_id = self._find(element)
        if region is None:
            return f"{self.url}/elements/{quote(f'{self.name}/{element_id}')}?{urlencode(token)}"
        return f"{self.url}/genome?{urlencode({'element': f'{self.name}/{element_id}', 'locus': region} | token)}"

    def address_in_frame(self, elements: Sequence[str], region: str) -> str:
        """Return the address of the genome browser with some elements, for a frame of a notebook."""
        chosen = [("element", f"{self.name}/{self._find(element)}") for element in elements]
        return f"{self.url}/{self._token}/genome?{urlencode([*chosen, ('locus', region)])}"

    def _find(self, element: str) -> str:
        """Find an element by its id, its name or that of its file."""
        return find_element(self._storage, self._document, element)

    def close(self) -> None:
        """End it at once: connections that are open are cut."""
        self._server.stop(at_once=True)

    def __enter__(self) -> View:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<View of {self.name} at {self.url}>"  # without the token


def open_view(
    path: str | Path,
    *,
    endpoint: str | None = None,
    secret_key: SecretKey | str | Path | None = None,
    passphrase: str | None = None,
    services: Mapping[str, str] | None = None,
    s3_kwargs: dict[str, Any] | None = None,
    port: int = 0,
    told: Callable[[str], object] = lambda problem: None,
    framed: bool = False,
) -> View:
    """Serve the pages and the genome browser over an object, for this user's browser.

    Parameters
    ----------
    path, endpoint, services, s3_kwargs
        The object, and how it is reached: see `modos.api.MODO`.
    secret_key, passphrase
        The key, or its file, to open encrypted files with.
    port
        A free one where it is 0.
    told
        Called with what ended an answer before its end, in one line; from another thread.
    framed
        For a frame of a notebook, whose addresses are those of `address_in_frame`.

    Raises
    ------
    NotFoundError
        There is no object.
    InvalidInputError
        The port is taken.
    """
    from modos.encryption.keys import as_secret_key

    need("starlette")
    secret = None if secret_key is None else as_secret_key(secret_key, passphrase)
    return View(OpenObject(ObjectAddress(path, endpoint, services, s3_kwargs)), secret, port, told, framed=framed)
