"""`modos serve`: the modos server over a folder or an S3 prefix."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from modos.cli.output import options, say


def serve(
    place: Annotated[str, typer.Argument(metavar="DIR|s3://BUCKET[/PREFIX]", help="What holds the objects.")],
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on; 0 takes a free one.")] = 8080,
    s3_url: Annotated[str, typer.Option(metavar="URL", help="The S3 server as clients reach it.")] = None,
    token_file: Annotated[Path, typer.Option(metavar="FILE", help="Serve only those who send one of the bearer tokens "
                                             "in this file, one a line.")] = None,
) -> None:
    """Serve the catalogue and htsget of a folder or an S3 prefix.

    modos serve data

    AWS_ENDPOINT_URL=http://localhost:9000 modos serve s3://modos-demo --port 8080
    """
    from modos.server.run import open_served, run

    storage = open_served(place, s3_url, options.s3_kwargs)
    run(storage, host, port, s3_url, token_file, lambda url: say(f"serving {storage.url} at {url} (Ctrl-C ends)"))
