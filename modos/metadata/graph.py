"""Build an RDF graph (RDF 1.1) of metadata, and query it."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Iterator, Mapping
from io import BytesIO
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from modos.errors import InvalidInputError
from modos.formats import Metadata
from modos.metadata.model.schema import Slot, meaning_of, tables

if TYPE_CHECKING:
    from rdflib import Graph
    from rdflib.query import Result

FORMATS = {"turtle": "turtle", "xml": "pretty-xml", "json-ld": "json-ld", "nt": "nt"}
_ABSOLUTE = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")


def element_uri(base: str, path: str) -> str:
    """Return the URI of an element or file: `http://x` and `assay/a b` -> `http://x/assay/a%20b`."""
    return f"{base.rstrip('/')}/{quote(path.lstrip('/'))}"


def check_base(base: str) -> str:
    """Refuse a prefix that is no absolute URI."""
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9+.-]*:[^\s<>\"{}|\\^`]+", base):
        raise InvalidInputError(f"{base!r} is not the beginning of a URI", "write it like https://example.org/ex")
    return base


def build_graph(metadata: Metadata, base: str) -> Graph:
    """Build the graph of an object's metadata.

    Elements are named by their ids below `base`, and so are the files they
    have; links become triples, enum values the terms they mean (EDAM, NCIT),
    CURIEs full URIs.
    """
    from rdflib import RDF, Graph, URIRef

    check_base(base)
    logging.getLogger("rdflib.term").setLevel(logging.ERROR)  # it logs a traceback for each date that is not one
    graph = Graph(bind_namespaces="core")
    known = tables()
    for prefix, uri in known["prefixes"].items():
        graph.bind(prefix, uri, replace=True)
    for element_id, attributes in metadata.items():
        subject = URIRef(element_uri(base, element_id))
        description = known["classes"].get(attributes.get("@type", ""))
        if description is None:
            continue
        graph.add((subject, RDF.type, URIRef(description["uri"])))
        for slot, value in attributes.items():
            if slot == "@type" or slot not in description["slots"]:
                continue
            entry = description["slots"][slot]
            for item in value if isinstance(value, list) else [value]:
                graph.add((subject, URIRef(entry["uri"]), _node(item, slot, entry, base)))
    return graph


def _node(value: Any, slot: str, entry: Slot, base: str) -> Any:
    from rdflib import XSD, Literal, URIRef

    if entry["links_to"] or slot == "data_path":
        return URIRef(element_uri(base, str(value)))
    meaning = meaning_of(entry["range"], value)
    if meaning:
        return URIRef(meaning)
    if entry["range"] == "uriorcurie" and (uri := expand(str(value))):
        return URIRef(uri)
    if entry["range"] == "datetime":
        return Literal(str(value), datatype=XSD.dateTime if "T" in str(value) else XSD.date)
    return Literal(value)


def expand(text: str) -> str | None:
    """Expand a URI or CURIE to a URI; None for what is neither."""
    if not _ABSOLUTE.match(text) or re.search(r'[\s<>"{}|\\^`]', text):
        return None
    prefix, _, rest = text.partition(":")
    known = tables()["prefixes"].get(prefix)
    return known + rest if known and not rest.startswith("//") else text


def serialize(graph: Graph, format: str) -> str:
    """Write a graph as text, in one of `FORMATS`."""
    return graph.serialize(format=FORMATS[format])


class Row(dict[str, "str | None"]):
    """Row by the names of its columns, `row["s"]`; and as rdflib has it: `row.s`, `row[0]`, `s, name = row`.

    Iteration therefore gives its values, not its keys.
    """

    def __getitem__(self, key: str | int | slice) -> Any:
        return tuple(self.values())[key] if isinstance(key, (int, slice)) else super().__getitem__(key)

    def __getattr__(self, name: str) -> str | None:
        if name not in self:
            raise AttributeError(f"the query has no variable {name}")
        value: str | None = self[name]
        return value

    def __iter__(self) -> Iterator[Any]:
        return iter(self.values())


class Rows(list[Row]):
    """Rows by the names of their columns, with the attributes of the rdflib result that they come from.

    These are `serialize(format=...)` for `json`, `csv` or `xml`, `vars`,
    `askAnswer` and others. The truth value of an ASK is its answer.
    """

    def __init__(self, rows: Iterable[Mapping[str, str | None]], result: Result):
        super().__init__(map(Row, rows))
        self._result = result

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        return getattr(self._result, name)

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle the result as a document: rdflib's own rows cannot be unpickled."""
        format = "turtle" if self._result.type in ("CONSTRUCT", "DESCRIBE") else "json"
        return _restore_rows, ([dict(row.items()) for row in self], self._result.serialize(format=format), format)

    def __bool__(self) -> bool:
        return bool(self.askAnswer) if self.type == "ASK" else len(self) > 0


def _restore_rows(rows: list[dict[str, str | None]], document: bytes, format: str) -> Rows:
    from rdflib.query import Result

    return Rows(rows, Result.parse(BytesIO(document), format=format))


def merge_graphs(graphs: Iterable[Graph]) -> Graph:
    """Return one graph of several."""
    from rdflib import Graph

    merged: Graph | None = None
    for graph in graphs:
        if merged is None:
            merged = graph
        else:
            for triple in graph:
                merged.add(triple)
    return Graph() if merged is None else merged


def select(graph: Graph, query: str) -> tuple[list[str], Rows]:
    """Run a SPARQL query; returns the names of the columns, and a dict for each row.

    ASK gives one row with the column `answer`; CONSTRUCT and DESCRIBE rows of
    `subject`, `predicate` and `object`.

    Raises
    ------
    InvalidInputError
        The query is malformed, or wants to read from elsewhere.
    """
    from rdflib.query import ResultRow

    if re.search(r"\bSERVICE\b|\bFROM\b|\bLOAD\b", re.sub(r'"[^"]*"|<[^>]*>', "", query), re.IGNORECASE):
        raise InvalidInputError("a query is answered from the object alone: SERVICE, FROM and LOAD are not accepted")
    try:
        result = graph.query(query, initNs=tables()["prefixes"])
        if result.type == "ASK":
            return ["answer"], Rows([{"answer": str(result.askAnswer).lower()}], result)
        if result.type in ("CONSTRUCT", "DESCRIBE"):
            columns = ["subject", "predicate", "object"]
            return columns, Rows((dict(zip(columns, map(str, triple))) for triple in sorted(result.graph or ())), result)
        columns = [str(variable) for variable in result.vars or ()]
        return columns, Rows(
            (
                {column: None if value is None else str(value) for column, value in zip(columns, row)}
                for row in result
                if isinstance(row, ResultRow)
            ),
            result,
        )
    except Exception as error:  # rdflib's parser and functions raise many kinds
        reason = " ".join(str(error).split())[:300]
        raise InvalidInputError(f"the query cannot be run: {reason}", "it is SPARQL 1.1") from None
