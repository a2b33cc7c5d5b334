"""Log in over HTTP as a browser does, without one: every step can be held, changed and repeated."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import requests

from tests.support.provider import Provider

PAGE = {"Accept": "text/html", "Sec-Fetch-Site": "none", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}
BACK = PAGE | {"Sec-Fetch-Site": "cross-site"}
SCRIPT = {"Sec-Fetch-Site": "same-origin", "Sec-Fetch-Mode": "cors", "Sec-Fetch-Dest": "empty"}
FORM = PAGE | {"Sec-Fetch-Site": "same-origin"}


class Person:
    """Somebody with cookies of their own, who goes to a server."""

    def __init__(self, url: str, *, host: str | None = None, scheme: str | None = None):
        self.url = url
        self.cookies: dict[str, str] = {}
        self.set_cookies: list[str] = []
        self._headers = {"Host": host} if host else {}

    def get(self, path: str, headers: dict[str, str] = PAGE, **options: Any) -> requests.Response:
        return self._ask("GET", path, headers, **options)

    def post(
        self, path: str, form: dict[str, str] | str = "", headers: dict[str, str] = FORM, **options: Any
    ) -> requests.Response:
        body = form if isinstance(form, str) else urlencode(form)
        head = {"Content-Type": "application/x-www-form-urlencoded", "Origin": self.url, **headers}
        return self._ask("POST", path, head, data=body, **options)

    def _ask(self, method: str, path: str, headers: dict[str, str], **options: Any) -> requests.Response:
        cookie = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        head = {**self._headers, **({"Cookie": cookie} if cookie else {}), **headers}
        answer = requests.request(method, self.url + path, headers=head, allow_redirects=False, timeout=60, **options)
        self.set_cookies = list(answer.raw.headers.getlist("Set-Cookie"))
        for text in self.set_cookies:
            name, _, rest = text.partition("=")
            value = rest.partition(";")[0]
            if "Max-Age=0" in rest:
                self.cookies.pop(name, None)
            else:
                self.cookies[name] = value
        return answer

    def ask_provider(self, provider: Provider, name: str = "alice", path: str = "/login", **changed: str) -> str:
        """Begin a log-in; return the path with which the provider sends the browser back."""
        answer = self.get(path)
        assert answer.status_code == 303, answer.text
        asked = {one: values[0] for one, values in parse_qs(urlsplit(answer.headers["Location"]).query).items()}
        provider.asked_codes.append(asked)
        given = {"code": provider.make_code(name, asked), "state": asked["state"], "iss": provider.url} | changed
        return "/login/callback?" + urlencode({one: value for one, value in given.items() if value is not None})

    def log_in(self, provider: Provider, name: str = "alice", path: str = "/login") -> requests.Response:
        """Log in at a provider; returns the last answer."""
        return self.get(self.ask_provider(provider, name, path), BACK)

    def log_in_with(self, token: str, path: str = "/login") -> requests.Response:
        """Log in with a token that is pasted."""
        state = re.search(r'name="state" value="([^"]+)"', self.get(path).text)[1]
        return self.post("/login", {"token": token, "state": state, "next": "/"})

    def name(self, headers: dict[str, str] = SCRIPT) -> str | None:
        """Whom the server takes the person for."""
        answer = self.get("/whoami", headers)
        assert answer.status_code == 200, answer.text
        return answer.json()["name"]

    def session(self) -> dict[str, str]:
        """The cookies of the session alone."""
        return {name: value for name, value in self.cookies.items() if "-session" in name}


def alert_of(answer: requests.Response) -> str:
    """What a page says that went wrong, as HTML."""
    found = re.search(r'<p class="message">(.*?)</p>', answer.text, re.S)
    assert found, answer.text
    return found[1]
