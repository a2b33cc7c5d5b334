"""Limit how large request bodies may be and how long they may take."""

from __future__ import annotations

import asyncio

from fastapi import Request
from starlette.requests import ClientDisconnect

from modos.genomics.htsget.protocol import HtsgetError

DEADLINE = 60.0  # seconds that a body may take, all in all


async def read_body(request: Request, limit: int) -> bytes:
    """Read the body of a request.

    Raises
    ------
    HtsgetError
        It has more bytes than the limit, of which the rest is not read; or it
        has not come in time.
    """
    body = bytearray()
    try:
        async with asyncio.timeout(DEADLINE):
            async for piece in request.stream():
                body += piece
                if len(body) > limit:
                    raise HtsgetError("PayloadTooLarge", f"a request has at most {_format_size(limit)}")
    except TimeoutError:
        raise HtsgetError("InvalidInput", f"the request did not come within {DEADLINE:g} seconds") from None
    except ClientDisconnect:
        raise HtsgetError("InvalidInput", "the request is not complete") from None
    return bytes(body)


def _format_size(size: int) -> str:
    return f"{size >> 20} MiB" if size >= 1 << 20 else f"{size >> 10} KiB"
