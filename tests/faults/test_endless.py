"""Servers that do not stop: what is parsed has a limit, and the memory too."""

import json
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count

import pysam
import pytest

from modos.api import MODO
from modos.errors import InvalidInputError, RemoteError
from modos.formats import FORMATS
from modos.genomics.index import open_stream
from modos.genomics.index.bgzf import PAYLOAD, compress
from tests.support.proxy import Proxy

MEMORY = 1500 << 20  # bytes that a client may address
MOST_SENT = 700 << 20
LINES = b"".join(b"##note=%060d\n" % number for number in range(900))[:PAYLOAD]


def zeros():
    yield from (bytes(1 << 16) for _ in count())


def no_block_ends():
    """A BGZF block is followed by zeros."""
    yield compress(b"BAM\1" + (1 << 31).to_bytes(4, "little"))
    yield from zeros()


def endless_text(start):
    def pieces():
        yield compress(start)
        block = compress(LINES)
        yield from (block * 64 for _ in count())

    return pieces


def endless_stored():
    """Header text that does not compress: the bytes that are held count as well."""
    import zlib

    from modos.genomics.index.bgzf import frame_stored

    yield compress(b"##fileformat=VCFv4.3\n")
    block = b"".join(frame_stored(LINES, zlib.crc32(LINES)))
    yield from (block * 16 for _ in count())


def endless_json():
    yield b'{"status": "ok", "htsget": {"format": "BAM", "urls": ['
    yield from (b'{"url": "http://127.0.0.1/x"},' * 2000 for _ in count())


def deep_json():
    yield b'{"status":' + b"[" * 900_000


BODIES = {
    "zeros": zeros,
    "no end": no_block_ends,
    "vcf": endless_text(b"##fileformat=VCFv4.3\n"),
    "vcf stored": endless_stored,
    "bam": endless_text(b"BAM\1" + (1 << 31).to_bytes(4, "little")),
    "bcf": endless_text(b"BCF\2\2" + (1 << 31).to_bytes(4, "little")),
    "bam contigs": endless_text(b"BAM\1" + bytes(4) + (1 << 30).to_bytes(4, "little") + (1 << 30).to_bytes(4, "little")),
    "json": endless_json,
    "deep": deep_json,
    "redirect": zeros,
}


@pytest.fixture(scope="module")
def server():
    """Tickets at /htsget/KIND/BODY that lead to a body; bodies at /BODY."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self):
            path = self.path.partition("?")[0].strip("/")
            kind, _, name = path.rpartition("/")
            name = name.replace("%20", " ")
            if kind and BODIES[name] not in (endless_json, deep_json) and name != "redirect":
                url = f"http://127.0.0.1:{self.server.server_port}/{name.replace(' ', '%20')}"
                format = "BAM" if kind.endswith("reads") else "BCF" if name == "bcf" else "VCF"
                body = json.dumps({"htsget": {"format": format, "urls": [{"url": url}]}}).encode()
                self.answer(200, [("Content-Length", str(len(body)))])
                self.wfile.write(body)
                return
            self.answer(
                302 if name == "redirect" else 200,
                [("Transfer-Encoding", "chunked")] + [("Location", "/redirect")] * (name == "redirect"),
            )
            self.server.sent = 0
            try:
                for piece in BODIES[name]():
                    self.wfile.write(b"%x\r\n%b\r\n" % (len(piece), piece))
                    self.server.sent += len(piece)
                self.wfile.write(b"0\r\n\r\n")
            except OSError:
                pass
            self.close_connection = True

        def answer(self, status, headers):
            self.send_response(status)
            for name, value in headers:
                self.send_header(name, value)
            self.end_headers()

        def log_message(self, *_):
            pass

    httpd = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    httpd.daemon_threads = True
    threading.Thread(target=httpd.serve_forever, daemon=True).start()
    yield httpd
    httpd.shutdown()


CLIENT = """
import resource, sys
resource.setrlimit(resource.RLIMIT_AS, (int(sys.argv[1]),) * 2)
from modos.cli import main
sys.argv[1:] = sys.argv[2:]
main()
"""


def run(*arguments):
    return subprocess.run([sys.executable, "-c", CLIENT, str(MEMORY), *arguments], capture_output=True, timeout=120)


@pytest.mark.sweep(2)
@pytest.mark.parametrize("what", [["-r", "chr1:1-100"], ["-O", "sam"], ["--count"], ["-H"]])
@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("reads", "zeros"),
        ("reads", "no end"),
        ("reads", "bam"),
        ("reads", "bam contigs"),
        ("variants", "vcf"),
        ("variants", "vcf stored"),
        ("variants", "bcf"),
    ],
)
def test_a_body_without_an_end(server, kind, body, what):
    what = [word if kind == "reads" else word.replace("sam", "vcf") for word in what]
    result = run("stream", *what, f"http://127.0.0.1:{server.server_port}/htsget/{kind}/{body}")
    error = result.stderr.decode()
    assert result.returncode in (2, 6), error
    assert error.startswith("error: ") and len(error.splitlines()) <= 2
    assert server.sent < MOST_SENT


@pytest.mark.sweep(3)
@pytest.mark.parametrize("body", ["json", "deep", "redirect"])
@pytest.mark.parametrize("command", ["ticket", "discovery"])
def test_an_answer_without_an_end(server, body, command):
    url = f"http://127.0.0.1:{server.server_port}/{body}"
    if command == "ticket":
        result = run("stream", url.replace(f"/{body}", f"/htsget/reads/{body}"))
    else:
        result = run("--endpoint", url, "remote", "list")
    error = result.stderr.decode()
    assert result.returncode == 5, error
    assert error.startswith("error: ") and len(error.splitlines()) <= 2
    assert server.sent < MOST_SENT


def test_an_s3_server_that_gives_all_of_a_large_file_for_each_range(stack):
    def fault(proxy, handler, answer):
        if handler.path.endswith("demo2.bam") and answer.status == 206:
            answer.status, answer.body = 200, bytes(65 << 20)
            answer.headers[:] = [("ETag", '"x"'), ("Content-Length", str(65 << 20))]

    with Proxy(stack.s3, fault=fault) as proxy:
        with pytest.raises(RemoteError, match="too many to read at once"):
            MODO.open("s3://modos-demo/ex", services={"s3": proxy.url}).count("demo2.bam", "chr1")
        assert proxy.answered < 20 << 20


@pytest.mark.parametrize("format", ["BAM", "VCF", "BCF", "CRAM"])
def test_what_is_no_header_is_said_with_the_first_bytes(format):
    taken = []
    with pytest.raises(InvalidInputError):
        open_stream(FORMATS[format], (taken.append(0) or bytes(100) for _ in count()))
    assert len(taken) * 100 <= 1 << 17


@pytest.mark.parametrize("step", [1, 7, 1000, 1 << 17])
@pytest.mark.parametrize("file", ["demo1.cram", "demo2.bam", "calls.vcf.gz", "calls.bcf"])
def test_a_header_that_comes_in_small_pieces(example, tmp_path, file, step):
    path = example / "ex" / file
    if file == "calls.bcf":
        path = tmp_path / file
        pysam.bcftools.view("-Ob", "-o", str(path), str(example / "ex/calls.vcf.gz"), catch_stdout=False)
    data = path.read_bytes()[:150_000]
    format = next(format for format in FORMATS.values() if format.streamable and file.endswith(format.suffixes))
    opening = open_stream(format, (data[at : at + step] for at in range(0, len(data), step)))
    whole = open_stream(format, iter([data]))
    assert opening.header == whole.header
    assert b"".join(opening.pieces) == data
