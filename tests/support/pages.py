"""Read the pages of a server as a browser would, and tell what came from the data and not from the templates."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from html.parser import HTMLParser

BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8"
_VOID = {"meta", "link", "input", "br", "img", "hr"}
_HIDDEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")
_ADDRESSES = ("href", "src", "action", "formaction", "xlink:href")


@dataclass
class Element:
    """An element: its tag, its attributes, and the text in it."""

    tag: str
    attributes: dict[str, str | None]
    texts: list[str] = field(default_factory=list)

    @property
    def text(self) -> str:
        return " ".join("".join(self.texts).split())


class Page(HTMLParser):
    """A page, parsed: all its elements, in order."""

    def __init__(self, text: str):
        super().__init__(convert_charrefs=True)
        self.source = text
        self.elements: list[Element] = []
        self.comments: list[str] = []
        self._open: list[Element] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        element = Element(tag, dict(attrs))
        self.elements.append(element)
        if tag not in _VOID:
            self._open.append(element)

    def handle_endtag(self, tag):
        while self._open:
            if self._open.pop().tag == tag:
                break

    def handle_data(self, data):
        for element in self._open:
            element.texts.append(data)

    def handle_comment(self, data):
        self.comments.append(data)

    @property
    def text(self) -> str:
        """All text that is shown."""
        return self.elements[0].text if self.elements else ""

    @property
    def shape(self) -> set[tuple[str, str]]:
        """Pairs of tags and attributes that there are."""
        return {(one.tag, name) for one in self.elements for name in (*one.attributes, "")}

    def iter_addresses(self) -> Iterator[str]:
        for one in self.elements:
            for name in _ADDRESSES:
                if one.attributes.get(name) is not None:
                    yield one.attributes[name]

    def links(self, part: str = "") -> list[str]:
        return [address for address in self.iter_addresses() if part in address]


def find_faults(page: Page, known: set[tuple[str, str]]) -> list[str]:
    """What a page has that no template wrote: elements and attributes beyond the known ones, scripts, addresses, hidden signs."""
    faults = [f"<{tag} {name}>" for tag, name in page.shape - known]
    faults += [
        f"a script without a file: {one.texts}" for one in page.elements if one.tag == "script" and not one.attributes.get("src")
    ]
    faults += [
        f"{name} of {one.tag}" for one in page.elements for name in one.attributes if name.startswith("on") or name == "style"
    ]
    faults += [
        f"leads to {address!r}"
        for address in page.iter_addresses()
        if not re.match(r"/(?!/)|#|https?://[^/]", address) or re.search(r"[\s<>\"]", address)
    ]
    faults += [f"a hidden sign {sign!r}" for sign in _HIDDEN.findall(page.source)]
    return faults + [f"a comment {text!r}" for text in page.comments]
