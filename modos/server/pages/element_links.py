"""Follow the links between the elements of an object: as a tree, and drawn as a graph."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from modos.metadata.model.schema import GROUPS, link_slots
from modos.server.pages.served_objects import text_of, texts_of

_MOST_NODES = 150  # of a tree
_MOST_IN_COLUMN = 14  # of a graph
_COLUMNS = ("assay", "sample", "data", "reference", "sequence")
_WIDTH, _HEIGHT, _GAP_X, _GAP_Y, _TOP = 176, 40, 56, 12, 30  # of a box of the graph, in units of SVG
_LETTERS = 23  # that fit into a box

Elements = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True)
class Link:
    """Link between two elements; `is_there` says whether its target is."""

    source: str
    slot: str
    target: str
    is_there: bool = True


@dataclass
class Branch:
    """Element in a tree, with those that it links to; one that stands elsewhere in the tree has none here."""

    id: str
    attributes: Mapping[str, Any]
    branches: list[Branch] = field(default_factory=list)
    is_repeated: bool = False
    is_missing: bool = False


def iter_links(source: str, attributes: Mapping[str, Any], elements: Elements) -> Iterator[Link]:
    """Iterate over the links of an element, also those to elements that are gone."""
    for slot in link_slots(text_of(attributes, "@type")):
        for target in texts_of(attributes, slot):
            yield Link(source, slot, target, target in elements)


def grow_tree(own: Mapping[str, Any], elements: Elements) -> tuple[list[Branch], int]:
    """Grow the tree of the elements that an object links to; what nothing links to comes after it.

    Each element has its branches in one place, so that links in a circle end.

    Returns
    -------
    tuple
        The branches, and how many elements have none, as there are too many.
    """
    linked = {link.target for i, a in elements.items() for link in iter_links(i, a, elements)}
    starts = [link.target for link in iter_links("", own, elements)]
    starts += [i for i in elements if i not in linked]
    starts += list(elements)  # those in circles that nothing leads to
    seen: set[str] = set()
    branches: list[Branch] = []
    waiting: list[tuple[list[Branch], str]] = []
    room = _MOST_NODES
    for start in dict.fromkeys(starts):
        if start in seen:
            continue
        waiting.append((branches, start))
        while waiting and room:
            beside, element_id = waiting.pop()
            room -= 1
            attributes = elements.get(element_id, {})
            branch = Branch(element_id, attributes, is_repeated=element_id in seen, is_missing=element_id not in elements)
            beside.append(branch)
            if branch.is_repeated or branch.is_missing:
                continue
            seen.add(element_id)
            targets = dict.fromkeys(link.target for link in iter_links(element_id, attributes, elements))
            waiting += [(branch.branches, target) for target in reversed(list(targets)[:_MOST_NODES])]
        if not room:
            break
    return branches, len(elements) - len(seen)


@dataclass(frozen=True)
class Box:
    """Element in a graph, at a place in units of SVG; one without an id stands for those that are left out."""

    id: str
    title: str
    label: str
    kind: str
    x: int
    y: int


@dataclass(frozen=True)
class Drawing:
    """Graph of elements and links, to be drawn: columns of boxes, and paths between them."""

    width: int
    height: int
    columns: Sequence[tuple[int, str]]
    boxes: Sequence[Box]
    paths: Sequence[str]
    left_out: int

    @property
    def box(self) -> tuple[int, int]:
        """Width and height of a box."""
        return _WIDTH, _HEIGHT


def draw_links(elements: Elements) -> Drawing:
    """Draw the elements in columns by their groups, and the links between those that are drawn."""
    of_group: dict[str, list[str]] = defaultdict(list)
    for element_id in elements:
        of_group[element_id.partition("/")[0]].append(element_id)
    groups = [group for group in _COLUMNS if of_group[group]]
    boxes: dict[str, Box] = {}
    others: list[Box] = []
    columns = []
    for number, group in enumerate(groups):
        x = number * (_WIDTH + _GAP_X) + 1
        columns.append((x, group))
        ids = of_group[group]
        shown = ids if len(ids) <= _MOST_IN_COLUMN else ids[: _MOST_IN_COLUMN - 1]
        for row, element_id in enumerate(shown):
            boxes[element_id] = _make_box(element_id, elements[element_id], x, _TOP + row * (_HEIGHT + _GAP_Y))
        if len(shown) < len(ids):
            y = _TOP + len(shown) * (_HEIGHT + _GAP_Y)
            others.append(Box("", "", f"and {len(ids) - len(shown):,} more", "", x, y))
    links = {
        (link.source, link.target): link
        for element_id in boxes
        for link in iter_links(element_id, elements[element_id], elements)
        if link.target in boxes
    }
    height = max((box.y for box in [*boxes.values(), *others]), default=0) + _HEIGHT + 2
    return Drawing(
        max(1, len(groups) * (_WIDTH + _GAP_X) - _GAP_X + 2),
        height,
        columns,
        [*boxes.values(), *others],
        [_draw_path(boxes[source], boxes[target]) for source, target in links],
        len(elements) - len(boxes),
    )


def _make_box(element_id: str, attributes: Mapping[str, Any], x: int, y: int) -> Box:
    title = text_of(attributes, "name") or element_id.partition("/")[2]
    label = title if len(title) <= _LETTERS else title[: _LETTERS - 1] + "…"
    return Box(element_id, f"{element_id}: {title}"[:300], label, text_of(attributes, "@type"), x, y)


def _draw_path(source: Box, target: Box) -> str:
    """Draw a curve from the side of a box to the facing side of another."""
    forward = source.x < target.x
    if source.x == target.x:
        x = source.x + _WIDTH
        return f"M{x} {source.y + _HEIGHT // 2}C{x + 40} {source.y} {x + 40} {target.y} {x} {target.y + _HEIGHT // 2}"
    start, end = (source.x + _WIDTH, target.x) if forward else (source.x, target.x + _WIDTH)
    bend = (end - start) // 2
    y, to = source.y + _HEIGHT // 2, target.y + _HEIGHT // 2
    return f"M{start} {y}C{start + bend} {y} {end - bend} {to} {end} {to}"


def count_groups(elements: Elements) -> dict[str, int]:
    """Count the elements of each group that has any, in the order of the groups."""
    counts = dict.fromkeys(GROUPS, 0)
    for element_id in elements:
        group = element_id.partition("/")[0]
        counts[group] = counts.get(group, 0) + 1
    return {group: count for group, count in counts.items() if count}
