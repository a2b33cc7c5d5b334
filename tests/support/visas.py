"""A small GA4GH broker over HTTP, which is asked for visas (UserInfo), and issuers of visas."""

from __future__ import annotations

import json
import time
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec

from tests.support.provider import Provider

DATASET = "https://ega-archive.org/datasets/EGAD00000000432"
DAC = "https://ega-archive.org/dacs/EGAC00001000205"


def signed(header: dict[str, Any], claims: dict[str, Any], key: Any) -> str:
    """A token; what is None is left out. The algorithm is the one of the header."""
    header = {name: value for name, value in header.items() if value is not None}
    claims = {name: value for name, value in claims.items() if value is not None}
    algorithm = header["alg"]
    parts = b".".join(jwt.utils.base64url_encode(json.dumps(part).encode()) for part in (header, claims))
    if algorithm == "none":
        return f"{parts.decode()}."
    signer = jwt.get_algorithm_by_name(algorithm)
    return f"{parts.decode()}.{jwt.utils.base64url_encode(signer.sign(parts, key)).decode()}"


class Issuer(Provider):
    """Signs visas, with RSA under the number `one` and with an elliptic curve under `two`."""

    def __init__(self) -> None:
        super().__init__()
        self.curve = ec.generate_private_key(ec.SECP256R1())
        self.asked: list[str] = []

    def got(self, path: str, authorization: str) -> tuple[int, Any]:
        self.asked.append(path)
        return super().got(path, authorization)

    def documents(self) -> dict[str, Any]:
        found = super().documents()
        public = json.loads(jwt.algorithms.ECAlgorithm.to_jwk(self.curve.public_key()))
        found["/jwks"]["keys"].append(public | {"kid": "two", "use": "sig"})
        found["/.well-known/openid-configuration"]["userinfo_endpoint"] = f"{self.url}/userinfo"
        return found

    def visa(
        self,
        subject: str = "alice",
        value: str = DATASET,
        type: str = "ControlledAccessGrants",
        *,
        key: Any = None,
        header: dict[str, Any] | None = None,
        claims: dict[str, Any] | None = None,
        lifetime: float = 3600,
        **says: Any,
    ) -> str:
        """A visa for somebody; `says` changes what is in `ga4gh_visa_v1`."""
        now = int(time.time())
        asserted = {"type": type, "asserted": now - 1000, "value": value, "source": DAC, "by": "dac"} | says
        asserted = {name: text for name, text in asserted.items() if text is not ...}
        return signed(
            {"typ": "vnd.ga4gh.visa+jwt", "alg": "RS256", "kid": "one", "jku": f"{self.url}/jwks"} | (header or {}),
            {"iss": self.url, "sub": subject, "iat": now, "exp": int(now + lifetime), "jti": "1", "ga4gh_visa_v1": asserted}
            | (claims or {}),
            self.key if key is None else key,
        )

    def links(self, subject: str, *others: tuple[str, str], **options: Any) -> str:
        """A visa that says who somebody is elsewhere: `sub` and `iss` of each."""
        from urllib.parse import quote

        value = ";".join(f"{quote(sub, safe='')},{quote(iss, safe='')}" for sub, iss in others)
        return self.visa(subject, value, "LinkedIdentities", by="system", **options)


class Broker(Issuer):
    """Also gives access tokens and passports; `held` are the visas of each person, `status` is what UserInfo answers."""

    def __init__(self) -> None:
        super().__init__()
        self.held: dict[str, Any] = {}
        self.status = 200

    def got(self, path: str, authorization: str) -> tuple[int, Any]:
        if path != "/userinfo":
            return super().got(path, authorization)
        self.asked.append(path)
        if self.status != 200:
            return self.status, {"error": "invalid_token"}
        subject = jwt.decode(authorization.removeprefix("Bearer "), options={"verify_signature": False})["sub"]
        return 200, {"sub": subject, "ga4gh_passport_v1": self.held.get(subject, [])}

    def access_token(self, subject: str = "alice", groups: tuple[str, ...] = (), **claims: Any) -> str:
        """A passport-scoped access token."""
        return self.token(subject, groups, **{"aud": None, "scope": "openid ga4gh_passport_v1"} | claims)

    def passport(self, visas: Any, subject: str = "alice", header: dict[str, Any] | None = None, **claims: Any) -> str:
        """A passport (a signed container of visas)."""
        now = int(time.time())
        return signed(
            {"typ": "vnd.ga4gh.passport+jwt", "alg": "RS256", "kid": "one"} | (header or {}),
            {"iss": self.url, "sub": subject, "iat": now, "exp": now + 3600, "ga4gh_passport_v1": visas} | claims,
            self.key,
        )
