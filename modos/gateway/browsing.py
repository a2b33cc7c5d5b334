"""Show elements in a genome browser within a notebook."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from modos.errors import InvalidInputError
from modos.errors.escaping import escape_line
from modos.gateway.viewing import View, open_view
from modos.genomics.region import Region

if TYPE_CHECKING:
    from modos.encryption.keys import SecretKey
    from modos.genomics.region import RegionLike
    from modos.object.notebook import ElementView

_OTHER_WAYS = (
    "draw the region instead (element.plot), run `modos view` on your own machine, "
    "or give addresses of a modos server to the widget of igv-notebook"
)
_ELSEWHERE = {  # variables of notebooks whose browser is at another machine than the kernel
    "JUPYTERHUB_SERVICE_PREFIX": "a JupyterHub",
    "COLAB_RELEASE_TAG": "Colab",
    "BINDER_SERVICE_HOST": "a Binder",
}


class Browser:
    """A genome browser in a notebook, served by this process until `close`, or until the kernel ends.

    Attributes
    ----------
    address
        Of its page; who has it can read what is shown.
    """

    def __init__(self, view: View, address: str, title: str, width: str, height: int):
        self.address = address
        self._view, self._title, self._width, self._height = view, title, width, height
        self._is_open = True

    def close(self) -> None:
        """End the server; the cell shows nothing from then on."""
        if self._is_open:
            self._is_open = False
            self._view.close()

    def __enter__(self) -> Browser:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return escape_line(f"<browser of {self._title}{'' if self._is_open else ', closed'}>")  # without the address

    def _repr_html_(self) -> str:
        if not self._is_open:
            return f"<p>{escape(repr(self))}</p>"
        frame = (
            f'<iframe src="{escape(self.address)}" title="{escape(escape_line(self._title))}" width="{escape(self._width)}" '
            f'height="{self._height}" frameborder="0" allowfullscreen></iframe>'
        )
        port = self._view.url.rpartition(":")[2]
        hint = f"If nothing is shown, the kernel is on another machine: forward its port {port} to yours, or {_OTHER_WAYS}."
        return frame + (f"<p><small>{escape(hint)}</small></p>" if "SSH_CONNECTION" in os.environ else "")


def browse(
    elements: ElementView | Sequence[ElementView],
    region: RegionLike,
    *,
    secret_key: SecretKey | str | Path | None = None,
    passphrase: str | None = None,
    width: str = "100%",
    height: int = 600,
    environment: Mapping[str, str] = os.environ,
) -> Browser:
    """Show elements of one object in a genome browser, in the cell of a notebook (extra `igv`).

    This process serves the page on a loopback address with a secret token in
    it, and decrypts what the key opens; nothing is sent elsewhere. It ends
    with the kernel, or by `close`::

        browser = modo["data/reads"].browse("chr1:1-10,000", secret_key="me.sec")
        browser

    Parameters
    ----------
    elements
        Reads, variants and tracks: one, or several.
    region
        `chr1:1,000-2,000`, 1-based inclusive, or a Region, 0-based half-open.
    secret_key, passphrase
        To decrypt what is encrypted with.
    width, height
        Of the frame: as HTML has it, and in pixels.
    environment
        Variables by which notebooks on other machines are known.

    Raises
    ------
    InvalidInputError
        The notebook's browser cannot reach this machine (JupyterHub, Colab);
        elements of several objects; igv.js is not installed.
    NotFoundError
        The object is gone.
    """
    given: Any = elements
    chosen: list[ElementView] = [given] if hasattr(given, "browse") else list(given)
    _refuse_elsewhere(environment)
    _check_igv()
    places = {str(element.address.path) for element in chosen}
    if len(places) != 1:
        raise InvalidInputError(
            f"a browser shows elements of one object, and these are of {len(places)}"
            if places
            else "there is no element to show",
            "give them to modos.plot together, or browse each",
        )
    where = chosen[0].address
    view = open_view(
        where.path,
        endpoint=where.endpoint,
        services=where.services,
        s3_kwargs=where.s3_kwargs,
        secret_key=secret_key,
        passphrase=passphrase,
        framed=True,
    )
    try:
        ids = [element.id for element in chosen]
        address = view.address_in_frame(ids, str(region) if isinstance(region, Region) else region)
    except BaseException:
        view.close()
        raise
    return Browser(view, address, f"{', '.join(ids)} at {region}", width, height)


def _refuse_elsewhere(environment: Mapping[str, Any]) -> None:
    known = next((name for variable, name in _ELSEWHERE.items() if environment.get(variable)), None)
    if known is None and "google.colab" in sys.modules:
        known = "Colab"
    if known is not None:
        raise InvalidInputError(
            f"this kernel runs at {known}, and a browser elsewhere does not reach its loopback address", _OTHER_WAYS
        )


def _check_igv() -> None:
    from importlib.metadata import PackageNotFoundError, version

    try:
        version("igv-notebook")
    except PackageNotFoundError:
        raise InvalidInputError("igv-notebook is not installed", "pip install 'modos-store[igv]'") from None
