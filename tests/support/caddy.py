"""The gateway's Caddy as a program of this machine, at ports that are nobody else's."""

from __future__ import annotations

import os
import socket
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO

from tests.support.waiting import wait_until

CADDYFILE = Path(__file__).resolve().parents[2] / "deploy/gateway/Caddyfile"
HERE = "127.0.0.1"


@contextmanager
def caddy(folder: Path, variables: dict[str, str], log: int | IO[bytes] = subprocess.DEVNULL) -> Iterator[str]:
    """Run the gateway with some variables of its Caddyfile, and end it; its URL, once it listens."""
    with reserved_ports(2) as (port, health):
        process = subprocess.Popen(
            ["caddy", "run", "--adapter", "caddyfile", "--config", CADDYFILE],
            env={"PATH": os.environ["PATH"], "HOME": str(folder)}
            | {"SITE_ADDRESS": f":{port}", "GATEWAY_BIND": HERE, "GATEWAY_HEALTH_PORT": str(health)}
            | variables,
            stdout=subprocess.DEVNULL,
            stderr=log,
        )
        try:
            wait_until(lambda: _listens(process, port))
            yield f"http://{HERE}:{port}"
        finally:
            process.terminate()
            process.wait(60)


def _listens(process: subprocess.Popen[bytes], port: int) -> bool:
    assert process.poll() is None, "Caddy has ended"
    try:
        socket.create_connection((HERE, port), 20).close()
    except OSError:
        return False
    return True


@contextmanager
def reserved_ports(count: int) -> Iterator[list[int]]:
    """Ports that nobody is given meanwhile; a program that sets SO_REUSEPORT, as Caddy does, listens at them beside us."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            one.bind((HERE, 0))
        yield [one.getsockname()[1] for one in sockets]
