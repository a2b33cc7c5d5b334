"""Show the interface for programs as a page, made from its description in OpenAPI."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from fastapi import APIRouter, Depends, Request
from fastapi.responses import HTMLResponse

from modos.server.pages.page_filters import quote_shell
from modos.server.pages.rendering import render
from modos.server.parameters import check_parameters

_GROUPS = {
    "The server": ("/", "/whoami", "/credentials", "/authorize", "/healthz", "/readyz", "/metrics"),
    "Catalogue": ("/list", "/meta", "/get", "/find", "/tables"),
    "Pages": ("/objects", "/elements", "/genome", "/login", "/logout"),
    "Reads and variants: htsget": ("/htsget",),
    "Slices": ("/slices",),
    "Files": ("/files",),
    "DRS": ("/ga4gh",),
    "References: refget": ("/refget", "/references"),
    "Codes of terms": ("/codes", "/collections"),
}
_OTHER = "More"
_METHODS = ("get", "head", "post", "put", "patch", "delete")


@dataclass(frozen=True)
class Parameter:
    """Parameter of an operation."""

    name: str
    place: str
    type: str
    description: str
    is_required: bool


@dataclass(frozen=True)
class Operation:
    """Method and path, and what they do."""

    method: str
    path: str
    summary: str
    description: str
    parameters: list[Parameter]
    has_body: bool
    example: str

    @property
    def id(self) -> str:
        """Name to link to it."""
        return f"{self.method}{self.path}".replace("/", "-").replace("{", "").replace("}", "").replace(":", "-")


def create_router(public_url: str | None) -> APIRouter:
    """Create the page."""
    router = APIRouter(dependencies=[Depends(check_parameters)])

    @router.get("/docs", include_in_schema=False, response_class=HTMLResponse)
    def show_api(request: Request) -> HTMLResponse:
        """Show all operations."""
        described = request.app.openapi()
        server = (public_url or str(request.base_url)).rstrip("/")
        groups: dict[str, list[Operation]] = {name: [] for name in (*_GROUPS, _OTHER)}
        for operation in _iter_operations(described, server):
            groups[_group_of(operation.path)].append(operation)
        return render(
            request,
            "api.html",
            groups={name: found for name, found in groups.items() if found},
            description=described["info"].get("description", ""),
            server=server,
        )

    return router


def _group_of(path: str) -> str:
    for name, starts in _GROUPS.items():
        if any(path == start or (path.startswith(f"{start}/") and start != "/") for start in starts):
            return name
    return _OTHER


def _iter_operations(described: Mapping[str, Any], server: str) -> Iterator[Operation]:
    for path, operations in described["paths"].items():
        for method in _METHODS:
            if method in operations:
                yield _describe(method, path, operations[method], server)


def _describe(method: str, path: str, told: Mapping[str, Any], server: str) -> Operation:
    text = str(told.get("description") or told.get("summary") or "")
    summary, _, rest = text.strip().partition("\n\n")
    given = [_describe_parameter(one) for one in told.get("parameters", ())]
    url = (
        server
        + path
        + "".join(
            f"{'?' if at == 0 else '&'}{one.name}=..."
            for at, one in enumerate(p for p in given if p.place == "query" and p.is_required)
        )
    )
    words = ["curl"] + (["-X", method.upper()] if method not in ("get", "head") else ["-I"] if method == "head" else [])
    return Operation(
        method, path, summary.replace("\n", " "), rest.strip(), given, "requestBody" in told, " ".join([*words, quote_shell(url)])
    )


def _describe_parameter(told: Mapping[str, Any]) -> Parameter:
    schema = told.get("schema", {})
    return Parameter(
        str(told["name"]),
        str(told.get("in", "")),
        _name_type(schema),
        str(told.get("description") or schema.get("description") or ""),
        bool(told.get("required")),
    )


def _name_type(schema: Mapping[str, Any]) -> str:
    """Name the type of a value in a few words."""
    kinds = [one for one in schema.get("anyOf", [schema]) if one.get("type") != "null"]
    if not kinds:
        return ""
    first = kinds[0]
    if "enum" in first:
        return " or ".join(map(str, first["enum"]))
    if "const" in first:
        return str(first["const"])
    name = str(first.get("type", ""))
    low, high = first.get("minimum"), first.get("maximum")
    return f"{name}, {low} to {high}" if low is not None and high is not None else name
