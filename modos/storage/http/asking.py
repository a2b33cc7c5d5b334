"""Make a request and get one answer in bounded time, from the host that was asked and no other."""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import urljoin, urlsplit

from modos.errors import ProtocolError, TransportError

_MAX_REDIRECTS = 5
_PIECE = 1 << 16


def ask(method: str, url: str, *, limit: int, timeout: tuple[float, float], deadline: float, **options: Any) -> tuple[int, bytes]:
    """Ask for an answer; return its status and its first `limit + 1` bytes.

    Parameters
    ----------
    timeout
        Seconds to connect, and without a byte.
    deadline
        Seconds for all of it, however steadily the bytes come.
    options
        Of requests' `request`.

    Raises
    ------
    TransportError
        It takes longer.
    ProtocolError
        The server points to another host.
    requests.RequestException, urllib3.exceptions.HTTPError, OSError
        The server cannot be reached.
    """
    end = time.monotonic() + deadline
    return _run_within(deadline, url, lambda: _follow(method, url, limit, end, {"timeout": timeout, **options}))


def read_json(body: bytes) -> Any:
    """Read the JSON of a stranger.

    ValueError where it is none, lies in itself too deeply, or has half of a surrogate pair, which is no text.
    """
    try:
        content = json.loads(body)
        if b"\\u" in body:
            json.dumps(content, ensure_ascii=False).encode()
    except RecursionError:
        raise ValueError("it has lists in lists, too deeply") from None
    return content


def transport_reason(error: BaseException) -> str:
    """Describe in a few words what went wrong on a connection."""
    text = str(error)
    if fault := certificate_fault(text):
        return fault
    for words in (
        "Connection refused",
        "Name or service not known",
        "timed out",
        "No route to host",
        "Connection reset by peer",
        "Temporary failure in name resolution",
        "Remote end closed connection",
    ):
        if words.lower() in text.lower():
            return words.lower()
    return text.splitlines()[0][:200] if text else type(error).__name__


def certificate_fault(text: str) -> str:
    """Describe why a certificate was refused, from the text of an error; empty where that is of something else."""
    found = re.search(r"certificate verify failed: ([^()\[\]]+)", text)
    return f"its certificate is not trusted ({found[1].strip(' .')})" if found else ""


def _follow(method: str, url: str, limit: int, end: float, options: dict[str, Any]) -> tuple[int, bytes]:
    import requests

    from modos.storage.http.redirects import mount

    with mount(requests.Session(), url) as session:
        for _ in range(_MAX_REDIRECTS + 1):
            try:
                response = session.request(method, url, stream=True, allow_redirects=False, **options)
            except requests.RequestException:
                raise
            except ValueError:  # requests looks at where a redirect leads
                raise ProtocolError(f"{url} redirects to what is no address") from None
            with response:
                if not response.is_redirect:
                    return response.status_code, _read(response.raw, limit, end)
                url = _find_target(method, url, response.headers["Location"])
    raise ProtocolError(f"{url} redirects again and again")


def _read(raw: Any, limit: int, end: float) -> bytes:
    parts, size = [], 0
    while size <= limit and (part := raw.read1(min(_PIECE, limit + 1 - size), decode_content=True)):
        if time.monotonic() > end:
            raise _Abandoned
        parts.append(part)
        size += len(part)
    return b"".join(parts)


def _find_target(method: str, url: str, location: str) -> str:
    """Return where a redirect leads: on the same host, and not to a less safe connection."""
    try:
        target = urljoin(url, location)
    except ValueError:
        raise ProtocolError(f"{url} redirects to what is no address") from None
    try:
        before, after = urlsplit(url), urlsplit(target)
        same = (after.scheme, after.hostname, after.port) == (before.scheme, before.hostname, before.port)
        safer = (before.scheme, after.scheme) == ("http", "https") and after.hostname == before.hostname
    except ValueError:
        same = safer = False
    if method != "GET" or not (same or safer):
        raise ProtocolError(f"{url} redirects to {target[:200]}, which was not asked", "if that is the server, name it so")
    return target


class _Abandoned(Exception):
    """Nobody waits for the answer any more."""


def _run_within(seconds: float, url: str, work: Callable[[], tuple[int, bytes]]) -> tuple[int, bytes]:
    """Run some work; it is abandoned where it takes longer, as a header that trickles has no deadline of its own."""
    results: list[tuple[int, bytes]] = []
    errors: list[BaseException] = []

    def run() -> None:
        try:
            results.append(work())
        except _Abandoned:
            pass  # its caller is told, also where this ends a little earlier
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=run, name="modos-asking", daemon=True)
    thread.start()
    thread.join(seconds)
    if errors and not thread.is_alive():
        raise errors[0]
    if not results:
        raise TransportError(f"{url} did not answer in {seconds:.0f} s", "is the network good, and is it the right address?")
    return results[0]
