"""A small OpenID provider over HTTP: its keys, tokens signed with them, the device flow, and a page where people log in."""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
import threading
import time
from html import escape
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa


class Provider:
    """A context manager; `confirm` lets the person who logs in with a device say yes.

    The page `/authorize` asks for a name, which anybody may give; `people` are the groups of those who have some. It keeps to what
    the standards say of codes: each is good once, for the client, address and verifier that it was given for. `client_secret` makes
    the client a confidential one; what `extra` has is added to the description, `answers` to the answers of the token endpoint.
    """

    def __init__(self) -> None:
        self.people: dict[str, tuple[str, ...]] = {}
        self.redirect_uris: list[str] = []  # all, where none is registered
        self.client_secret: str | None = None
        self.extra: dict[str, Any] = {}
        self.answers: dict[str, Any] = {}
        self.claims: dict[str, Any] = {}  # of access tokens, besides the usual ones
        self.id_claims: dict[str, Any] = {}
        self.has_iss = True
        self.revoked: list[str] = []
        self.ended: list[dict[str, str]] = []
        self.asked_codes: list[dict[str, str]] = []
        self.authorizations: list[str] = []
        self._codes: dict[str, dict[str, Any]] = {}
        self.key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        self.lifetime = 3600
        self.refreshed = 0
        self._pending: dict[str, dict[str, Any] | None] = {}
        self._refresh: dict[str, dict[str, Any]] = {}

    def __enter__(self) -> Provider:
        provider = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                page = provider.page(self.path)
                if page is not None:
                    self._show(*page)
                    return
                self._answer(*provider.got(self.path, self.headers.get("Authorization", "")))

            def do_POST(self) -> None:
                form = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
                given = {name: values[0] for name, values in form.items()}
                if self.path.startswith("/authorize"):
                    self._show(303, "", provider.decide(self.path, given))
                    return
                provider.authorizations.append(self.headers.get("Authorization", ""))
                self._answer(*provider.posted(self.path, given))

            def _show(self, status: int, html: str, location: str = "") -> None:
                self.send_response(status)
                self.send_header("Content-Type", "text/html; charset=utf-8")
                self.send_header("Content-Length", str(len(html.encode())))
                if location:
                    self.send_header("Location", location)
                self.end_headers()
                self.wfile.write(html.encode())

            def _answer(self, status: int, document: Any) -> None:
                body = json.dumps(document).encode()
                self.send_response(status if document is not None else 404)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: Any) -> None:
        self._server.shutdown()
        self._server.server_close()

    def got(self, path: str, authorization: str) -> tuple[int, Any]:
        """The status and document that a GET is answered with; None for nothing."""
        return 200, self.documents().get(path)

    def documents(self) -> dict[str, Any]:
        public = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(self.key.public_key()))
        return {
            "/jwks": {"keys": [public | {"kid": "one", "use": "sig", "alg": "RS256"}]},
            "/.well-known/openid-configuration": {
                "issuer": self.url,
                "jwks_uri": f"{self.url}/jwks",
                "token_endpoint": f"{self.url}/token",
                "device_authorization_endpoint": f"{self.url}/device",
                "authorization_endpoint": f"{self.url}/authorize",
                "end_session_endpoint": f"{self.url}/end",
                "revocation_endpoint": f"{self.url}/revoke",
                "authorization_response_iss_parameter_supported": self.has_iss,
                **self.extra,
            },
        }

    def token(
        self,
        name: str,
        groups: tuple[str, ...] = (),
        *,
        key: Any = None,
        algorithm: str = "RS256",
        kid: str = "one",
        **claims: Any,
    ) -> str:
        """A token for somebody; what is given by name is other than it should be."""
        now = int(time.time())
        content = {
            "iss": self.url,
            "aud": "modos",
            "sub": name,
            "preferred_username": name,
            "groups": list(groups),
            "iat": now,
            "exp": now + self.lifetime,
        } | claims
        content = {claim: value for claim, value in content.items() if value is not None}
        return jwt.encode(content, self.key if key is None else key, algorithm=algorithm, headers={"kid": kid})

    def confirm(self, name: str, groups: tuple[str, ...] = ()) -> None:
        """Somebody confirms all logins that wait."""
        for code in self._pending:
            self._pending[code] = {"name": name, "groups": groups}

    def page(self, path: str) -> tuple[int, str] | None:
        """The status and page that a GET of a browser is answered with; None for what is no page."""
        parts = urlsplit(path)
        given = {name: values[0] for name, values in parse_qs(parts.query).items()}
        if parts.path == "/end":
            self.ended.append(given)
            back = escape(given.get("post_logout_redirect_uri", ""))
            return 200, f"<!doctype html><title>provider</title><h1>Logged out of the provider</h1><a href='{back}'>back</a>"
        if parts.path != "/authorize":
            return None
        self.asked_codes.append(given)
        known = given.get("redirect_uri") in self.redirect_uris or not self.redirect_uris
        if not known or given.get("response_type") != "code" or given.get("code_challenge_method") != "S256":
            return 400, "<!doctype html><title>provider</title><h1>This client is not known</h1>"
        return 200, (
            "<!doctype html><html lang=en><meta name=viewport content='width=device-width'><link rel=icon href='data:,'>"
            f"<title>provider</title><h1>Log in</h1><form method=post action='{escape(path)}'><label>Name <input name=name autofocus></label>"
            "<button name=do value=yes>Continue</button><button name=do value=no>Cancel</button></form>"
        )

    def decide(self, path: str, form: dict[str, str]) -> str:
        """Where the browser goes once somebody has said who they are, or that they do not want to."""
        given = {name: values[0] for name, values in parse_qs(urlsplit(path).query).items()}
        answer = {"state": given["state"], **({"iss": self.url} if self.has_iss else {})}
        if form.get("do") == "no":
            answer |= {"error": "access_denied", "error_description": "<script>window.pwned=1</script> said no"}
        else:
            answer["code"] = self.make_code(form["name"], given)
        return f"{given['redirect_uri']}?{urlencode(answer)}"

    def make_code(self, name: str, asked: dict[str, str]) -> str:
        """A code for somebody, for the request of a client."""
        code = secrets.token_urlsafe(16)
        self._codes[code] = {"name": name, "groups": self.people.get(name, ()), "asked": asked}
        return code

    def _exchange(self, form: dict[str, str]) -> tuple[int, dict[str, Any]]:
        held = self._codes.pop(form.get("code", ""), None)
        digest = hashlib.sha256(form.get("code_verifier", "").encode()).digest()
        challenge = base64.urlsafe_b64encode(digest).decode().rstrip("=")
        if (
            not held
            or held["asked"]["code_challenge"] != challenge
            or held["asked"]["redirect_uri"] != form.get("redirect_uri")
            or held["asked"]["client_id"] != form.get("client_id")
        ):
            return 400, {"error": "invalid_grant"}
        status, answer = self._grant(held)
        nonce = held["asked"].get("nonce")
        answer["id_token"] = self.token(held["name"], **{"aud": held["asked"]["client_id"], "nonce": nonce} | self.id_claims)
        return status, answer | self.answers

    def posted(self, path: str, form: dict[str, str]) -> tuple[int, dict[str, Any]]:
        if path == "/revoke":
            self.revoked.append(form["token"])
            self._refresh.pop(form["token"], None)
            return 200, {}
        if self.client_secret and path == "/token":
            basic = base64.b64encode(f"modos:{self.client_secret}".encode()).decode()
            if self.authorizations[-1] != f"Basic {basic}" and form.get("client_secret") != self.client_secret:
                return 401, {"error": "invalid_client"}
        if form.get("grant_type") == "authorization_code":
            return self._exchange(form)
        if path == "/device":
            code = secrets.token_hex(8)
            self._pending[code] = None
            return 200, {
                "device_code": code,
                "user_code": "WDJB-MJHT",
                "verification_uri": f"{self.url}/confirm",
                "interval": 0.1,
                "expires_in": 20,
            }
        if form.get("grant_type") == "refresh_token":
            person = self._refresh.pop(form["refresh_token"], None)
            self.refreshed += 1
            return self._grant(person) if person else (400, {"error": "invalid_grant"})
        code = form.get("device_code", "")
        if code not in self._pending:
            return 400, {"error": "expired_token"}
        if self._pending[code] is None:
            return 400, {"error": "authorization_pending"}
        return self._grant(self._pending.pop(code))

    def _grant(self, person: Any) -> tuple[int, dict[str, Any]]:
        refresh = secrets.token_hex(8)
        self._refresh[refresh] = person
        return 200, {
            "access_token": self.token(person["name"], person["groups"], **self.claims),
            "token_type": "Bearer",
            "expires_in": self.lifetime,
            "refresh_token": refresh,
        }
