"""Keep the slots that only modos has apart from those that other readers build their classes from.

Readers of sdsc-ordes modos build a class of all attributes of the root, and of
those of each group below `data`, `assay` and so on; what they do not know is an
error to them. So the record of commits, and slots that their schema does not
have, or for which it has terms and we texts, lie in a group of their own that
has no children, by element. In memory they are among the attributes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from modos.formats import is_encrypted
from modos.object import shape

OWN_NODE = "_modos"
STATE = "_modos"  # root attribute, in memory and in older objects: format version, revision, the ids of recent commits
KEY = "key"  # in a group's part of the consolidated metadata: under which name its slots are kept
_OF_CUTS = "cuts_checksum"
_OF = "of"  # among an element's slots: of which file they are
_OF_FILES = frozenset(
    (
        "data_size",
        "data_digest",
        "index_digests",
        "plain_size",
        "plain_checksum",
        "plain_digest",
        "seal_digest",
        "header_digests",
        "index_recipients",
        "cuts_checksum",
        "recipients",
        "sender",
        "zarr_kind",
        "axes",
        "shape",
        "modalities",
        "derived_from",
    )
)
_OF_GENOMES = _OF_FILES | {"data_format", "data_checksum"}
_TERMS = "sample_processing"  # apart unless all of its values are URIs or CURIEs
_URI = r"(?:[A-Za-z0-9._~:/?@!$&'()*+,;=-]|%[0-9A-Fa-f]{2})"
_TERM = re.compile(f"[A-Za-z][A-Za-z0-9+._-]*:{_URI}+(?:#{_URI}*)?")
_APART: Mapping[str, frozenset[str]] = {
    "Assay": frozenset(("has_sample", _TERMS)),
    "ReferenceGenome": _OF_GENOMES | {"assembly", "seqcol_digest"},
    "ReferenceSequence": frozenset(("refget_digest",)),
    **dict.fromkeys(("DataEntity", "AlignmentSet", "VariantSet", "Array", "MassSpectrometryResults"), _OF_FILES),
}


def iter_formats(root: Mapping[str, Any]) -> Iterator[Any]:
    """Iterate over the versions of the format that a root document gives, whatever else is in it; nothing is relied on."""

    def get(value: Any, *names: str) -> Any:
        for name in names:
            value = value.get(name) if isinstance(value, dict) else None
        return value

    yield get(root, "consolidated_metadata", "metadata", OWN_NODE, "attributes", "state", "format_version")
    yield get(root, "attributes", STATE, "format_version")


def split(path: str, node: Mapping[str, Any]) -> tuple[Mapping[str, Any], dict[str, Any]]:
    """Split the attributes of a group or an array into those for other readers and the slots that only modos has."""
    attributes = node.get("attributes", {})
    apart = _APART.get(str(attributes.get("@type"))) if attributes else None
    names = apart.intersection(attributes) if apart and path.count("/") == 1 and node.get("node_type") == "group" else None
    if names and _TERMS in names and _are_terms(attributes[_TERMS]):
        names -= {_TERMS}
    if not names:
        return attributes, {}
    shown = dict(attributes)
    own = {name: shown.pop(name) for name in sorted(names)}
    if not _OF_GENOMES.isdisjoint(own):
        own[_OF] = _file_of(shown)
    return shown, own


def united(shown: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """Unite the attributes of an element from the two parts of `split`."""
    return {**shown, **{name: value for name, value in own.items() if name != _OF}}


def _are_terms(value: Any) -> bool:
    return all(isinstance(item, str) and _TERM.fullmatch(item) for item in (value if isinstance(value, list) else [value]))


def add_key(node: Mapping[str, Any], key: str) -> dict[str, Any]:
    """Return a group with the name under which its slots are kept."""
    return {**node, "consolidated_metadata": {**node.get("consolidated_metadata", {}), KEY: key}}


def join(attributes: dict[str, Any], nodes: dict[str, Any]) -> None:
    """Join what is kept apart with the attributes of an object and its elements; Malformed where its types are wrong.

    Older versions of modos leave the group as it is, give elements another
    name with their keys, and write what they record among the attributes.
    Consolidating anew (zarr-python) drops the keys: then ids count.
    """
    if OWN_NODE not in shape.check_dict(nodes, "its list of elements"):
        return
    node = shape.check_dict(nodes[OWN_NODE], OWN_NODE)
    told = shape.check_dict(node.get("attributes", {}), f"what it says of {OWN_NODE}")
    slots = shape.check_dict(told.get("slots", {}), f"the slots of {OWN_NODE}")
    nodes[OWN_NODE] = {**node, "attributes": {}}
    state = _unite(told.get("state"), attributes.get(STATE))
    if state:
        attributes[STATE] = state
    has_keys = KEY in shape.check_dict(node.get("consolidated_metadata") or {}, f"the consolidated metadata of {OWN_NODE}")
    for path, node in nodes.items():
        try:
            key: Any = (node.get("consolidated_metadata") or {}).pop(KEY, None) if has_keys else path
            own = slots.get(key)
            if own is not None:
                _put(node["attributes"], own)
            if _OF_CUTS in node.get("attributes", {}):
                _drop_left(node["attributes"])
        except (KeyError, TypeError, AttributeError):
            raise shape.Malformed(f"what is kept apart of {path}, or the rest, is not of its types") from None


def _put(attributes: dict[str, Any], own: dict[str, Any]) -> None:
    """Give an element its slots that were apart; its attributes are newer, and slots recorded for another file do not count."""
    if own.get(_OF) != _file_of(attributes):
        own = {name: value for name, value in own.items() if name not in _OF_GENOMES}
    samples, seen = own.get("has_sample"), attributes.get("has_sample")
    if samples and isinstance(samples, list) and isinstance(seen, list):
        attributes["has_sample"] = list(dict.fromkeys([*samples, *seen]))  # they could only add to what they did not see
    for name, value in own.items():
        if name not in attributes and name != _OF:
            attributes[name] = value


def _drop_left(attributes: dict[str, Any]) -> None:
    """Remove what an older modos, which does not know these slots, has left of them when it decrypted the file."""
    if not is_encrypted(str(attributes.get("data_path"))):
        for name in ("index_recipients", _OF_CUTS):
            attributes.pop(name, None)


def _file_of(attributes: Mapping[str, Any]) -> Any:
    """Return a text that differs for another file."""
    checksum = attributes.get("data_checksum")
    return (
        checksum[:16] if type(checksum) is str and attributes.get("@type") != "ReferenceGenome" else attributes.get("data_path")
    )


def _unite(told: Any, since: Any) -> dict[str, Any]:
    """Unite the record of commits with that of an older modos, which began its own."""
    ours, theirs = shape.check_state(told), shape.check_state(since)
    if not ours or not theirs:
        return ours or theirs
    return (
        theirs
        | ours
        | {
            "revision": ours.get("revision", 0) + theirs.get("revision", 0),
            "commits": [*ours.get("commits", ()), *theirs.get("commits", ())],
        }
    )
