"""The command `modos serve`, which runs a server over a folder or an S3 prefix."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from modos.cli.output import options, say
from modos.cli.secrets import PassphraseOption


def _setting(name: str, **described: Any) -> Any:
    return typer.Option(envvar=f"MODOS_SERVE_{name}", show_envvar=True, **described)


def serve(
    place: Annotated[
        str, typer.Argument(metavar="DIR|s3://BUCKET[/PREFIX]", help="The folder, bucket or prefix that holds the objects.")
    ],
    host: Annotated[str, _setting("HOST", help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, _setting("PORT", min=0, max=65535, help="Port to listen on; 0 takes a free one.")] = 8080,
    workers: Annotated[int, _setting("WORKERS", min=1, max=64, help="The number of processes.")] = 1,
    s3_url: Annotated[str | None, _setting("S3_URL", metavar="URL", help="The URL at which clients reach the S3 server.")] = None,
    public_url: Annotated[
        str | None, _setting("PUBLIC_URL", metavar="URL", help="The URL at which clients reach this server.")
    ] = None,
    htsget_url: Annotated[
        str | None, _setting("HTSGET_URL", metavar="URL", help="An htsget server that clients use instead of this one.")
    ] = None,
    token_file: Annotated[
        Path | None,
        _setting("TOKENS", metavar="FILE", help="Serve only clients with one of the bearer tokens in this file, one per line."),
    ] = None,
    access: Annotated[Path | None, _setting("ACCESS", metavar="FILE", help="Who may read and write what, in TOML.")] = None,
    references: Annotated[
        str | None,
        _setting("REFERENCES", metavar="DIR|s3://BUCKET/PREFIX", help="A reference store to serve, by refget and as files."),
    ] = None,
    codes: Annotated[
        Path | None, _setting("CODES", metavar="INDEX", help="An index of `modos codes build`, in which clients look up codes.")
    ] = None,
    fuzon_url: Annotated[
        str | None, _setting("FUZON_URL", metavar="URL", help="A fuzon server that clients use instead of this one.")
    ] = None,
    index_key: Annotated[
        Path | None,
        _setting(
            "INDEX_KEY",
            metavar="FILE",
            help="A secret key that indexes were encrypted for (modos c4gh encrypt --index-for): regions of encrypted files are "
            "served with it, of which it opens none.",
        ),
    ] = None,
    passphrase_file: PassphraseOption = None,
    rewrap: Annotated[
        str | None,
        _setting("REWRAP", metavar="URL", help="A key service (modos keyserver), for readers who are no recipients."),
    ] = None,
    max_age: Annotated[
        float, _setting("MAX_AGE", min=0, max=3600, metavar="SECONDS", help="How many seconds a listing of the objects is valid.")
    ] = 30,
    read_log: Annotated[
        str | None,
        _setting("READ_LOG", metavar="DIR|s3://BUCKET/PREFIX", help="Log who reads what, sealed for a data protection officer."),
    ] = None,
    read_log_key: Annotated[
        Path | None, _setting("READ_LOG_KEY", metavar="FILE", help="The officer's public key, for which the log is sealed.")
    ] = None,
    read_log_required: Annotated[bool, _setting("READ_LOG_REQUIRED", help="Refuse what cannot be logged.")] = False,
    session_key: Annotated[
        Path | None,
        _setting(
            "SESSION_KEY",
            metavar="FILE",
            help="The secret that sessions of browsers are sealed with: the same for all servers behind one address. Without it "
            "one is drawn, and sessions end with the server.",
        ),
    ] = None,
    log: Annotated[str, _setting("LOG", metavar="json|text|quiet", help="A line for each request, on stderr.")] = "quiet",
) -> None:
    """Serve the catalogue, htsget and DRS of a folder or an S3 prefix, and refget of a reference store.

    modos serve data

    AWS_ENDPOINT_URL=http://localhost:9000 modos serve s3://modos-demo --port 8080
    """
    from modos.errors import InvalidInputError
    from modos.server.run import Settings, run

    if log not in ("json", "text", "quiet"):
        raise InvalidInputError(f"there is no log {log!r}", "write json, text or quiet")
    files = {name: str(file) if file else None for name, file in (("token_file", token_file), ("access_file", access))}
    settings = Settings(
        place,
        s3_url or None,
        public_url or None,
        htsget_url or None,
        options.s3_kwargs,
        **files,
        max_age=max_age,
        log=log,
        references=references or None,
        codes=str(codes) if codes else None,
        fuzon_url=fuzon_url or None,
        index_key=str(index_key) if index_key else None,
        passphrase_file=str(passphrase_file) if passphrase_file else None,
        rewrap=rewrap or None,
        read_log=read_log or None,
        read_log_key=str(read_log_key) if read_log_key else None,
        read_log_required=read_log_required,
        session_key=str(session_key) if session_key else None,
    )
    run(settings, host, port, workers, lambda url: say(f"serving {place.rstrip('/')} at {url} (Ctrl-C ends)"))
