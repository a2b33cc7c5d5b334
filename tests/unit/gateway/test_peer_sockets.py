"""The system tells what the other end of a connection has read, and whose it is."""

from __future__ import annotations

import os
import socket
import subprocess
import sys

import pytest

from modos.gateway.peer_sockets import count_unread, is_of_other_user, look_at
from tests.support.waiting import wait_until

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells it")


def test_bytes_are_unread_until_they_are_read():
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as client:
        own, _ = server.accept()
        with own:
            names = own.getpeername(), own.getsockname()
            own.sendall(bytes(1000))
            wait_until(lambda: count_unread(*names) == 1000)
            client.recv(600)
            wait_until(lambda: count_unread(*names) == 400)
            client.close()
            wait_until(lambda: count_unread(*names) is None)


def test_whose_it_is():
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as client:
        assert look_at(client.getsockname(), client.getpeername()).user == os.getuid()
        assert not is_of_other_user(client.getsockname(), client.getpeername())


@pytest.mark.skipif(os.getuid() != 0, reason="only root can be another user")
def test_another_user_is_found_out():
    code = "import os, socket, sys\nos.setuid(65534)\nc = socket.socket()\nc.connect(('127.0.0.1', int(sys.argv[1])))\nsys.stdin.read()"
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(60)
        other = subprocess.Popen([sys.executable, "-c", code, str(server.getsockname()[1])], stdin=subprocess.PIPE)
        own, _ = server.accept()
        with own:
            assert look_at(own.getpeername(), own.getsockname()).user == 65534
        other.communicate()


@pytest.mark.parametrize(
    "names", [(("127.0.0.1", 1), ("127.0.0.1", 2)), (("::1", 1), ("::1", 2)), (("testclient", 50000), ("testserver", 80))]
)
def test_nothing_is_known_of_what_is_not_there(names):
    assert look_at(*names) is None and count_unread(*names) is None and not is_of_other_user(*names)
