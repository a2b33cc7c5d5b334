"""Find the addresses of services: given, from the environment, or discovered.

An endpoint is the URL of a modos server. Its `GET /` tells where S3, htsget
and the other services are, so that one URL is all a user needs to know.
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any

from modos.errors import AccessError, InvalidInputError, ModosError, ProtocolError, TransportError, did_you_mean, listing
from modos.remote import tokens
from modos.storage.http.asking import ask, read_json, transport_reason
from modos.storage.http.reach import check_reach, origin
from modos.storage.s3_arguments import is_s3_argument

ENDPOINT_VARIABLE = "MODOS_ENDPOINT"
TOKEN_VARIABLE = "MODOS_TOKEN"
DISCOVERY_TIMEOUT = (10, 30)  # seconds to connect, to answer
DISCOVERY_DEADLINE = 60.0  # seconds for all of an answer
_LISTING_DEADLINE = 600.0
_SERVICES = ("s3", "htsget", "credentials", "refget", "references", "fuzon")
_MAX_ANSWER = 1 << 20  # bytes
_MAX_LISTING = 64 << 20  # bytes; a listing of 10,000 objects has about 20 MB


SERVICES = ("s3", "htsget", "refget", "fuzon", "kms")
_TOLD = (
    *SERVICES,
    "status",
    "auth",
    "root",
    "endpoint",
    "credentials",
    "references",
)  # what a server says of itself may be given as it is


@dataclass(frozen=True)
class Services:
    """URLs of the services around the objects; None for what is absent.

    Parameters
    ----------
    s3
        The S3 server.
    htsget
        The htsget server, to which `/reads/ID` and `/variants/ID` are added.
    root
        The `s3://` URL that htsget ids and catalogue names are relative to,
        where the server says it; else ids are relative to the bucket.
    endpoint
        The modos server that told them.
    credentials
        Where it gives credentials of S3 to those who have a token.
    refget
        Where sequences are found by their digests (GA4GH refget).
    references
        The reference store that the server shows, to be read.
    fuzon
        Where codes of terminologies are found, to which `/codes/top` is added.
    """

    s3: str | None = None
    htsget: str | None = None
    root: str | None = None
    endpoint: str | None = None
    credentials: str | None = None
    refget: str | None = None
    references: str | None = None
    fuzon: str | None = None

    @classmethod
    def from_mapping(cls, answer: Mapping[str, Any]) -> Services:
        """Take the known services of a mapping; each a URL or None.

        Raises
        ------
        InvalidInputError
            A URL that is not http or https.
        """
        urls = {name: answer.get(name) or None for name in _SERVICES}
        for name, url in urls.items():
            if url is not None:
                urls[name] = check_url(url, f"the {name} service")
        root = answer.get("root")
        return cls(**urls, root=root.rstrip("/") if isinstance(root, str) and root.startswith("s3://") else None)


def check_url(url: Any, what: str) -> str:
    """Return an http(s) URL without the slash at its end.

    Raises
    ------
    InvalidInputError
        Anything else; or a URL with a password, which would end up in logs.
    """
    hint = "write it like http://localhost:8080"
    if not isinstance(url, str) or not url.lower().startswith(("http://", "https://")):
        raise InvalidInputError(f"{repr(url)[:200]} is not the URL of {what}", hint)
    if "@" in url.partition("://")[2].partition("/")[0]:
        raise InvalidInputError(
            f"the URL of {what} has a user name or password in it", f"leave it out; a token goes into {TOKEN_VARIABLE}"
        )
    try:
        origin(url)
    except ValueError:
        raise InvalidInputError(f"{repr(url)[:200]} is not the URL of {what}", hint) from None
    return url.rstrip("/")


def _parse_origin(url: str) -> tuple[str, str, int]:
    """Return scheme, host and port of a URL that somebody has named."""
    try:
        return origin(url)
    except ValueError:
        raise InvalidInputError(
            f"{repr(url)[:200]} is not an http or https address", "write it like http://localhost:8080"
        ) from None


def endpoint_from_environment() -> str | None:
    """Return the endpoint that MODOS_ENDPOINT names, if any."""
    return os.environ.get(ENDPOINT_VARIABLE) or None


def server_name(url: str) -> str:
    """Return scheme, host and port of an http(s) URL, as text."""
    scheme, host, port = _parse_origin(url)
    return f"{scheme}://{host}:{port}"


def token_for(url: str, endpoint: str | None) -> str | None:
    """Return the user's bearer token, if a URL is at the endpoint that it is meant for.

    MODOS_TOKEN holds it, or else `modos login` has left one for the server.
    Without an endpoint it is meant for the server that was named.
    """
    if endpoint is not None and _parse_origin(url) != _parse_origin(endpoint):
        return None
    token = os.environ.get(TOKEN_VARIABLE, "").strip()
    if not re.fullmatch(r"[A-Za-z0-9._~+/-]*=*", token):
        raise InvalidInputError(
            f"what {TOKEN_VARIABLE} holds is not a bearer token", "it has letters, digits and ._~+/-= only (RFC 6750)"
        )
    return token or tokens.token_of(server_name(url))


def discover(endpoint: str, named: Collection[str] = ()) -> Services:
    """Ask a modos server where the services are.

    Parameters
    ----------
    named
        The services that the user has named, whatever the server says.

    Raises
    ------
    TransportError
        The server cannot be reached.
    AccessError
        It wants credentials.
    ProtocolError
        What answers is not a modos server; or it names internal addresses
        and is not internal itself.
    """
    url = check_url(endpoint, "a modos server") + "/"
    answer = fetch_json(url, token=token_for(url, None))
    if not isinstance(answer, dict) or "status" not in answer:
        raise ProtocolError(f"{endpoint} is not a modos server", "give the URL of one with --endpoint")
    try:
        found = replace(Services.from_mapping(answer), endpoint=endpoint)
    except InvalidInputError as error:
        raise ProtocolError(f"{endpoint} answers nonsense: {error.message}", error.hint) from None
    for name in _SERVICES:
        if name not in named and (place := getattr(found, name)):
            check_reach(place, endpoint, "the modos server")
    return found


def get_json(url: str, params: Mapping[str, str] | None = None) -> Any:
    """GET a JSON document from a modos server, with the user's token; the same errors as `discover`."""
    return fetch_json(url, params, token_for(url, None), limit=_MAX_LISTING, deadline=_LISTING_DEADLINE)


def fetch_caller(endpoint: str, token: str | None) -> dict[str, Any]:
    """Ask a server who the caller is: a name, groups, and places to read and write, also in part; errors as of `discover`."""
    caller: dict[str, Any] = fetch_json(f"{endpoint.rstrip('/')}/whoami", token=token)
    places = caller if isinstance(caller, dict) else {"read": None}
    if not (
        all(is_texts(places.get(name, [])) for name in ("read", "write", "groups"))
        and _are_tables(visas := places.get("visas", []))
        and all(is_texts([visa.get("value"), visa.get("ends")]) for visa in visas)
        and _are_tables(bounded := places.get("bounded", []))
        and all(is_texts(one.get("read")) for one in bounded)
    ):
        raise ProtocolError(f"{endpoint} is not a modos server: it does not say who asks")
    return caller


def _are_tables(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(one, dict) for one in value)


def is_texts(value: Any) -> bool:
    """Return whether the JSON of a stranger is a list of texts."""
    return isinstance(value, list) and all(isinstance(text, str) for text in value)


def fetch_json(
    url: str,
    params: Mapping[str, str] | None = None,
    token: str | None = None,
    *,
    post: Any = None,
    limit: int = _MAX_ANSWER,
    deadline: float = DISCOVERY_DEADLINE,
    what: str = "a modos server",
) -> Any:
    """GET a JSON document of at most `limit` bytes, or POST one and get the answer; the same errors as `discover`, for `what`."""
    body = fetch_bytes(url, params, token, post=post, limit=limit, deadline=deadline, what=what)
    try:
        return read_json(body)
    except ValueError:
        raise ProtocolError(f"{url} is not {what}: its answer is not JSON") from None


def fetch_bytes(
    url: str,
    params: Mapping[str, str] | None = None,
    token: str | None = None,
    *,
    post: Any = None,
    limit: int = _MAX_LISTING,
    deadline: float = _LISTING_DEADLINE,
    what: str = "a modos server",
) -> bytes:
    """GET at most `limit` bytes, or POST JSON and get the answer; the same errors as `discover`, for `what`."""
    import requests
    from urllib3.exceptions import HTTPError

    try:
        status, body = ask(
            "GET" if post is None else "POST",
            url,
            limit=limit,
            timeout=DISCOVERY_TIMEOUT,
            deadline=deadline,
            params=params,
            json=post,
            auth=lambda request: _with_token(request, token),
        )
    except ModosError:
        raise
    except (requests.RequestException, HTTPError, OSError) as error:
        raise TransportError(
            f"cannot reach {url}: {transport_reason(error)}", "is the server running, and is the address right?"
        ) from None
    if status in (401, 403):
        raise AccessError(f"{url} refuses access (HTTP {status})", f"log in with `modos login`, or set {TOKEN_VARIABLE}")
    if len(body) > limit:
        raise ProtocolError(f"{url} answers with more than {limit >> 20} MiB, which is too much for it")
    if status != 200:
        raise ProtocolError(f"{url} is not {what}: it answers HTTP {status}")
    return body


def _with_token(request: Any, token: str | None) -> Any:
    if token:
        request.headers["Authorization"] = f"Bearer {token}"
    return request


def resolve_services(endpoint: str | None, services: Mapping[str, Any] | None) -> Services:
    """Complete the given services by what the endpoint tells.

    `services` wins; the endpoint is asked only for what it does not name.
    """
    given = Services.from_mapping(services or {})
    endpoint = endpoint or endpoint_from_environment()
    if endpoint is None or (given.s3 and given.htsget):
        return given
    found = discover(endpoint, [name for name, url in vars(given).items() if url])
    return replace(found, **{name: url for name, url in vars(given).items() if url})


def check_services(services: Any) -> None:
    """Refuse what is no mapping of URLs by the names of services; InvalidInputError also for a name that no service has."""
    if services is not None and (not isinstance(services, Mapping) or any(map(is_s3_argument, services))):
        raise InvalidInputError(
            "services are URLs by the names of services: {'s3': URL, 'htsget': URL}",
            "arguments of S3 go by name: s3_kwargs={...}; the URL of S3 is services={'s3': URL}",
        )
    if unknown := [str(name)[:60] for name in services or () if name not in _TOLD]:
        near = did_you_mean(unknown[0], SERVICES)
        raise InvalidInputError(
            f"there is no service {unknown[0]}", f"did you mean {near}?" if near else f"there are {listing(SERVICES)}"
        )
