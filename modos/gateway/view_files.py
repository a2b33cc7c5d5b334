"""Give out the files of an object by range in the pages of `modos view`, with no more fetched than is read."""

from __future__ import annotations

from collections.abc import Callable

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from modos.errors import ModosError, NotFoundError
from modos.gateway.file_server import FileAnswerer
from modos.object.plain_files import PlainFiles

_FILES = "/files/"


class ViewFiles:
    """Answers `GET /files/OBJECT/FILE` for data files and indexes, and passes on all else.

    Parameters
    ----------
    name
        What the object is called.
    told
        Told what ended an answer before its end, in one line.
    """

    def __init__(self, app: ASGIApp, files: PlainFiles, name: str, told: Callable[[str], object]):
        self._app = app
        self._files = files
        self._prefix = f"{_FILES}{name}/"
        self._answerer = FileAnswerer(files, told)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or pass it on (ASGI)."""
        is_asked = scope["type"] == "http" and scope["method"] in ("GET", "HEAD") and scope["path"].startswith(self._prefix)
        if is_asked and await run_in_threadpool(self._has, name := scope["path"].removeprefix(self._prefix)):
            answer = await self._answerer.answer(Request(scope, receive), name)
            answer.headers.setdefault("X-Content-Type-Options", "nosniff")
            await answer(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    def _has(self, name: str) -> bool:
        try:
            self._files.find(name)
        except NotFoundError:
            return False
        except ModosError:
            return True  # which the answer says
        return True
