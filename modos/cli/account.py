"""The commands `modos login`, `whoami` and `logout`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from modos.cli.output import options, say, show_json, show_lines

TokenStdin = Annotated[bool, typer.Option("--token-stdin", help="Read a token from standard input.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def _endpoint() -> str:
    from modos.errors import InvalidInputError
    from modos.remote.services import endpoint_from_environment

    endpoint = options.endpoint or endpoint_from_environment()
    if not endpoint:
        raise InvalidInputError("at which server?", "use --endpoint URL, or set MODOS_ENDPOINT")
    return endpoint.rstrip("/")


def login(token_stdin: TokenStdin = False) -> None:
    """Log in at a server; your token is kept private, and renewed.

    modos --endpoint https://modos.example.org login

    modos --endpoint https://modos.example.org login --token-stdin < token
    """
    import getpass
    import sys

    from modos.cli.input import is_terminal
    from modos.errors import InvalidInputError
    from modos.remote import login as flow
    from modos.remote.tokens import Login

    endpoint = _endpoint()
    auth = flow.discover_login(endpoint)
    if token_stdin:
        found = Login(sys.stdin.readline().strip())
    elif auth.get("type") == "oidc":
        found = flow.log_in_by_device(endpoint, auth, lambda url, code: say(f"open {url} and confirm the code {code}"))
    elif is_terminal():
        found = Login(getpass.getpass("Token: ").strip())
    else:
        raise InvalidInputError("nobody is there to be asked for a token", "give it with --token-stdin")
    caller = flow.save_login(endpoint, found)
    say(f"logged in at {endpoint} as {caller.get('name')}")


def whoami(json: Json = False) -> None:
    """Show who you are on a server, and what you may read and write there.

    modos --endpoint https://modos.example.org whoami
    """
    from modos.remote.services import fetch_caller, token_for

    endpoint = _endpoint()
    caller = fetch_caller(endpoint, token_for(endpoint, None))
    if json:
        show_json(caller)
        return
    groups = f" ({', '.join(caller['groups'])})" if caller.get("groups") else ""
    visas = [f"visa: {visa['value']} (until {visa['ends']})" for visa in caller.get("visas", ())]
    places = {action: ", ".join(place or "all" for place in caller.get(action, ())) or "nothing" for action in ("read", "write")}
    bounded = (f"reads a part of {', '.join(one['read']) or 'all'}: {_list_bounds(one)}" for one in caller.get("bounded", ()))
    name = caller.get("name") or "nobody in particular"
    show_lines((f"{name}{groups}", *visas, f"reads: {places['read']}", *bounded, f"writes: {places['write']}"))


def _list_bounds(rule: Mapping[str, Any]) -> str:
    """List the bounds of a right in one line."""
    from modos.errors import listing

    given = {name: value for name, value in rule.items() if name not in ("read", "metadata") and isinstance(value, list)}
    return "; ".join(f"{name} {listing(map(str, value)) or 'none'}" for name, value in given.items()) or "see --json"


def logout() -> None:
    """Forget the token of a server.

    modos --endpoint https://modos.example.org logout
    """
    from modos.remote import services, tokens

    endpoint = _endpoint()
    known = tokens.remove(services.server_name(endpoint))
    say(f"logged out of {endpoint}" if known else f"you were not logged in at {endpoint}")
