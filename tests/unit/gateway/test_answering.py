"""What the answers to requests for files take from the indexes that were read before."""

from __future__ import annotations

import requests

from modos.api import MODO
from modos.gateway.answering import FileAnswers
from modos.gateway.file_server import FileServer
from modos.object.address import ObjectAddress
from modos.object.open_object import OpenObject
from modos.object.plain_files import PlainFiles
from modos.server.hosts import KnownHosts
from modos.server.run import BackgroundServer
from tests.support.hard_files import CASES


def test_a_part_of_an_index_tells_nothing_and_all_of_it_does(tmp_path, monkeypatch):
    """Who reads the first bytes of an index keeps nobody from reading by it afterwards."""
    file = CASES["bam"](tmp_path)
    MODO.create(tmp_path / "ex", id="ex").add_element(
        {"@type": "AlignmentSet", "id": "reads", "data_format": "BAM"}, source_file=file.path
    )
    found = []
    find_stops = FileAnswers._find_stops
    monkeypatch.setattr(FileAnswers, "_find_stops", lambda *given: found.append(find_stops(*given)) or found[-1])
    files = PlainFiles(OpenObject(ObjectAddress(tmp_path / "ex")))
    with BackgroundServer(KnownHosts(FileServer(files, "token", print))) as server:
        data, index = (f"{server.url}/token/{name}" for name in sorted((one.name for one in files.list_files()), key=len))
        for headers in ({"Range": "bytes=0-99"}, {}):
            requests.get(index, headers=headers, timeout=60).raise_for_status()
            requests.get(data, headers={"Range": "bytes=1000-"}, timeout=60).raise_for_status()
    assert [bool(stops.ends) for stops in found] == [False, True]
