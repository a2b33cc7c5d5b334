"""A small OpenID provider over HTTP: its keys, tokens signed with them, and the device flow."""

from __future__ import annotations

import json
import secrets
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa


class Provider:
    """A context manager; `confirm` lets the person who logs in say yes."""

    def __init__(self) -> None:
        self.key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        self.lifetime = 3600
        self.refreshed = 0
        self._pending: dict[str, dict[str, Any] | None] = {}
        self._refresh: dict[str, dict[str, Any]] = {}

    def __enter__(self) -> Provider:
        provider = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self._answer(*provider.got(self.path, self.headers.get("Authorization", "")))

            def do_POST(self) -> None:
                form = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
                status, answer = provider.posted(self.path, {name: values[0] for name, values in form.items()})
                self._answer(status, answer)

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

    def posted(self, path: str, form: dict[str, str]) -> tuple[int, dict[str, Any]]:
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
            "access_token": self.token(person["name"], person["groups"]),
            "token_type": "Bearer",
            "expires_in": self.lifetime,
            "refresh_token": refresh,
        }
