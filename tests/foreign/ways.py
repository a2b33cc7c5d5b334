"""The ways to a file of an object: from its folder, from S3, and through the modos server over each."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from modos.api import MODO
from modos.demo.stack import BUCKET, CREDENTIALS, Stack
from modos.genomics import GenomicFile
from modos.object.finding import open_served_file
from modos.server.app import create_app
from modos.server.run import BackgroundServer
from modos.storage import open_storage

from .files import Form

WAYS = ("folder", "server", "s3", "s3 with server")


@dataclass
class Ways:
    """A folder for objects, the server over it, and the services of the demo."""

    objects: Path
    server: str = ""
    stack: Stack | None = None

    def put(self, name: str, forms: list[Form]) -> tuple[Object, dict[str, Exception]]:
        """Make an object of some forms of a file; those that are refused are told with the reason."""
        modo, refused = MODO.create(self.objects / name), {}
        for form in forms:
            kind = "AlignmentSet" if form.has_reads else "VariantSet"
            try:
                modo.add_element({"id": form.path.name.partition(".")[0], "@type": kind}, form.path)
            except Exception as error:
                refused[form.name] = error
        if self.stack is None:
            return Object(name, self.server, {"folder": modo}), refused
        modo.upload(f"s3://{BUCKET}/{name}", endpoint=self.stack.endpoint, s3_kwargs=CREDENTIALS)
        remote = f"s3://{BUCKET}/{name}"
        return Object(
            name,
            self.server,
            {
                "folder": modo,
                "s3": MODO.open(remote, services={"s3": self.stack.s3}),
                "s3 with server": MODO.open(remote, endpoint=self.stack.endpoint),
            },
        ), refused


@dataclass
class Object:
    """An object, opened in each way."""

    name: str
    server: str
    opened: dict[str, MODO]

    def file(self, way: str, form: Form) -> GenomicFile:
        if way != "server":
            return self.opened[way].file(form.name, form.reference)
        kind = "reads" if form.has_reads else "variants"
        return open_served_file(f"{self.server}/htsget/{kind}/{self.name}/{form.name.partition('.')[0]}", None, form.reference)


@contextmanager
def serving(folder: Path, stack: Stack) -> Iterator[Ways]:
    """The ways, with a server over a new folder."""
    folder.mkdir()
    with BackgroundServer(create_app(open_storage(folder))) as server:
        yield Ways(folder, server.url, stack)
