"""Whatever breaks while a table is read or written, there is an error, and never a shorter table that passes for a whole one."""

from __future__ import annotations

import io
import shutil

import pyarrow as pa
import pyarrow.parquet
import pytest

from modos.api import MODO
from modos.errors import IntegrityError, ModosError, RemoteError
from modos.formats import FORMATS
from modos.genomics import GenomicFile
from modos.genomics.htsget import transport
from modos.genomics.htsget.client import HtsgetClient
from modos.genomics.htsget.streams import HtsgetSource
from modos.genomics.sources import StorageSource
from modos.server import htsget as server_module
from modos.server.app import create_app
from modos.server.run import BackgroundServer
from modos.storage import open_storage
from modos.tables.arrow import ArrowTable
from modos.tables.record_tables import RecordTable
from modos.tables.table_writing import write_table
from tests.support.proxy import Proxy
from tests.support.waiting import list_open, wait_until

FILES = ("demo1.cram", "demo2.bam", "calls.vcf.gz", "cohort.bcf")


def table(folder, name, columns=None):
    reference = str(folder / "reference.fa")
    return RecordTable(GenomicFile(StorageSource(open_storage(folder), name), lambda regions, progress: reference), None, columns)


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("part", [0.999, 0.5, 0.1])
def test_a_truncated_file_is_an_error(example, tmp_path, name, part):
    shutil.copy(example / "ex/reference.fa", tmp_path)
    data = (example / "ex" / name).read_bytes()
    (tmp_path / name).write_bytes(data[: int(len(data) * part)])
    with pytest.raises(IntegrityError):
        table(tmp_path, name).read()
    with pytest.raises(IntegrityError):
        list(table(tmp_path, name, "pos").open()[1])


@pytest.mark.parametrize("name", FILES)
def test_a_flipped_byte_is_an_error_in_an_object(example, tmp_path, name):
    shutil.copytree(example / "ex", tmp_path / "ex")
    path = tmp_path / "ex" / name
    data = bytearray(path.read_bytes())
    data[len(data) * 2 // 3] ^= 0x10
    path.write_bytes(data)
    with pytest.raises(IntegrityError):
        MODO.open(tmp_path / "ex")[f"data/{name.partition('.')[0]}"].to_arrow()


class Breaking(ArrowTable):
    """A table whose batches end in an error."""

    def __init__(self, error):
        self.error = error

    def open(self):
        schema = pa.schema([("a", pa.int64())])

        def batches():
            for number in range(3):
                yield pa.RecordBatch.from_arrays([pa.array([number] * 1000)], schema=schema)
            raise self.error

        return schema, batches()


@pytest.mark.parametrize("format", ["arrow", "parquet"])
@pytest.mark.parametrize("is_stream", [True, False])
@pytest.mark.parametrize("error", [RemoteError("gone"), KeyboardInterrupt(), OSError(28, "full")])
def test_what_was_written_before_an_error_cannot_be_read_as_whole(format, is_stream, error):
    out = io.BytesIO()
    with pytest.raises(type(error)):
        write_table(Breaking(error), format, out, is_stream=is_stream)
    assert out.getvalue() and not out.closed
    with pytest.raises((OSError, pa.ArrowInvalid)):
        data = pa.BufferReader(out.getvalue())
        (
            pa.parquet.read_table(data)
            if format == "parquet"
            else pa.ipc.open_stream(data).read_all()
            if is_stream
            else pa.ipc.open_file(data).read_all()
        )


def test_an_error_is_the_same_through_a_reader_of_batches(example, tmp_path):
    """pyarrow's reader passes it on as it is raised."""
    shutil.copytree(example / "ex", tmp_path / "ex")
    path = tmp_path / "ex/demo2.bam"
    path.write_bytes(path.read_bytes()[:-2_000])
    with pytest.raises(IntegrityError):
        MODO.open(tmp_path / "ex")["data/demo2"].iter_arrow(columns=["pos"]).read_all()


@pytest.fixture
def proxy(example, monkeypatch):
    monkeypatch.setattr(server_module, "INLINE", 0)
    monkeypatch.setattr(transport, "_waits", lambda: iter([0.01] * (transport.ATTEMPTS - 1) + [None]))
    with BackgroundServer(create_app(open_storage(example))) as server, Proxy(server.url) as proxy:
        yield proxy


def served(proxy, kind="reads", name="demo2", format="BAM"):
    del kind
    return RecordTable(GenomicFile(HtsgetSource(HtsgetClient(f"{proxy.url}/htsget"), f"ex/{name}", FORMATS[format])), None, "pos")


def test_a_server_that_goes_away_is_an_error(example, proxy):
    assert served(proxy).read().num_rows == MODO.open(example / "ex").count("demo2.bam")

    def cut(_, handler, answer):
        if handler.path.startswith("/files/"):
            answer.cut = len(answer.body) // 2

    proxy.fault = cut
    with pytest.raises(RemoteError):
        served(proxy).read()
    with pytest.raises(RemoteError):
        list(served(proxy).open()[1])


def test_a_server_that_sends_less_is_an_error(proxy):
    def send_less(_, handler, answer):
        if handler.path.startswith("/files/"):
            answer.body = answer.body[:-1]
            answer.headers[:] = [
                (key, str(len(answer.body)) if key.lower() == "content-length" else value) for key, value in answer.headers
            ]

    proxy.fault = send_less
    with pytest.raises(ModosError):
        served(proxy).read()


def test_no_memory_file_and_no_descriptor_stays(example):
    before = list_open()
    for _ in range(3):
        table(example / "ex", "demo1.cram").read()
        _, batches = table(example / "ex", "demo1.cram", "pos").open()
        next(batches)
        batches.close()
    wait_until(lambda: list_open() <= before)
