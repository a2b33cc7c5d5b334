"""The ASGI application that gives out the files of an object under `/TOKEN/NAME`."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from urllib.parse import quote

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.types import Receive, Scope, Send

from modos.errors import ConflictError, IntegrityError, ModosError, NotFoundError
from modos.errors.escaping import escape_line
from modos.gateway.answering import FileAnswers
from modos.gateway.guarding import is_foreign, is_token, refuse
from modos.object.plain_files import PlainFile, PlainFiles

_METHODS = ("GET", "HEAD", "OPTIONS")
_SHARED = {  # the token is in the address: a page of any origin that has it was given it by its user
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Allow-Methods": "GET, HEAD, OPTIONS",
    "Access-Control-Allow-Headers": "Range, If-Range, If-Match, If-None-Match, Cache-Control",
    "Access-Control-Expose-Headers": "Accept-Ranges, Content-Length, Content-Range, ETag",
    "Access-Control-Allow-Private-Network": "true",
    "Cross-Origin-Resource-Policy": "cross-origin",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}

logger = logging.getLogger(__name__)


class FileServer:
    """Gives out files to who has the token.

    Parameters
    ----------
    told
        Told what ended an answer before its end, in one line.
    """

    def __init__(self, files: PlainFiles, token: str, told: Callable[[str], object]):
        self._files = files
        self._token = token
        self._answerer = FileAnswerer(files, told)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request (ASGI)."""
        if scope["type"] != "http":
            return
        given, _, name = scope["path"].removeprefix("/").partition("/")
        if not is_token(given, self._token) or await is_foreign(scope):
            await refuse(scope, receive, send)
            return
        answer = await self._answer(Request(scope, receive), name)
        for header, value in _SHARED.items():
            answer.headers.setdefault(header, value)
        await answer(scope, receive, send)

    async def _answer(self, request: Request, name: str) -> Response:
        if request.method not in _METHODS:
            return PlainTextResponse("files are only read here\n", 405, {"Allow": ", ".join(_METHODS)})
        if request.method == "OPTIONS":
            return Response(status_code=204)
        return await (self._answerer.answer(request, name) if name else self._answerer.list_files())


class FileAnswerer:
    """Answers for files by their names, and says why where it cannot.

    Parameters
    ----------
    told
        Told what ended an answer before its end, in one line.
    """

    def __init__(self, files: PlainFiles, told: Callable[[str], object]):
        self._files = files
        self._told = told
        self._answers = FileAnswers()

    async def list_files(self) -> Response:
        """List the names of the files, with their addresses relative to this one."""
        return await self._try("", self._list)

    async def answer(self, request: Request, name: str) -> Response:
        """Answer a GET or HEAD of a file."""
        return await self._try(name, lambda: self._answer_file(request, name))

    async def _try(self, name: str, answer: Callable[[], Awaitable[Response]]) -> Response:
        try:
            return await answer()
        except NotFoundError:
            return PlainTextResponse("there is no such file\n", 404)
        except ConflictError as error:
            return self._fail(name, error, 409)
        except IntegrityError as error:
            return self._fail(name, error, 500)
        except ModosError as error:
            return self._fail(name, error, 502)

    async def _list(self) -> Response:
        return JSONResponse({file.name: quote(file.name) for file in await run_in_threadpool(self._files.list_files)})

    async def _answer_file(self, request: Request, name: str) -> Response:
        for is_last in (False, True):
            file = await run_in_threadpool(self._files.find, name)
            try:
                return await self._answers.answer(request, file, self._indexes_of(file), lambda error: self._note(name, error))
            except (ConflictError, NotFoundError):  # it was replaced: what is there now is another answer
                self._files.forget()
                if is_last:
                    raise
        raise AssertionError

    def _indexes_of(self, file: PlainFile) -> list[PlainFile]:
        return [one for one in self._files.last_seen() if one.is_index and one.data_name == file.name]

    def _fail(self, name: str, error: ModosError, status: int) -> Response:
        self._note(name, error)
        return PlainTextResponse(escape_line(error.message) + "\n", status)

    def _note(self, name: str, error: ModosError) -> None:
        if isinstance(error, (ConflictError, NotFoundError)):
            self._files.forget()
        logger.info("%s: %s", name, error)
        self._told(f"{name}: {error.message}")
