"""People log in and out in a real browser: at a provider by the authorization code flow, or with a token; and what is refused."""

from __future__ import annotations

import shutil
import threading
from urllib.parse import parse_qs, quote, urlsplit

import pytest
from playwright.sync_api import expect

from modos.server.app import create_app
from modos.server.auth import Access
from modos.server.drs import object_id
from modos.server.provider import LEEWAY
from modos.server.run import BackgroundServer
from modos.server.sessions import Sessions
from modos.storage import open_storage
from tests.support.browsing import NARROW, Served, tab_to, take_screenshots
from tests.support.provider import Provider

CONNECTIONS = 6  # of Chromium to a server at a time
TOKEN = "the-token-of-alice-is-long"
EX = f"/ga4gh/drs/v1/objects/{object_id('ex')}"  # which Alice alone may read
RULES = """
[[rule]]
who = ["anyone"]
read = ["open"]

[[rule]]
who = ["user:alice", "group:lab"]
read = ["ex"]
"""


@pytest.fixture
def provider():
    with Provider() as running:
        yield running


@pytest.fixture(scope="module")
def place(example, tmp_path_factory):
    """An object for everybody (`open`), and one for Alice (`ex`)."""
    root = tmp_path_factory.mktemp("guarded")
    for name in ("ex", "open"):
        shutil.copytree(example / "ex", root / name)
    return root


@pytest.fixture
def serve(place, tmp_path):
    """`serve(what the access file says)` starts a server over the objects."""
    servers = []

    def serve(text: str, others: tuple[str, ...] = (), **options) -> Served:
        path = tmp_path / "access.toml"
        path.write_text(text + RULES)
        servers.append(BackgroundServer(create_app(open_storage(place), access=Access.from_file(path), **options)))
        return Served(servers[-1].url, str(place), others)

    yield serve
    for server in servers:
        server.stop()


@pytest.fixture
def served_oidc(serve, provider):
    return serve(f'[oidc]\nissuer = "{provider.url}"\naudience = "modos"\nname_claim = "preferred_username"\n', (provider.url,))


@pytest.fixture
def served_tokens(serve, tmp_path):
    (tmp_path / "tokens").write_text(f"alice {TOKEN}\nbob the-token-of-bob-is-long-too\n")
    (tmp_path / "tokens").chmod(0o600)
    return serve('tokens = "tokens"\n')


def whoami(page, served):
    """Whom the server takes a request of the page for."""
    return page.evaluate("fetch('/whoami').then(answer => answer.json())")["name"]


def log_in(page, name="alice"):
    page.get_by_label("Name").fill(name)
    page.get_by_role("button", name="Continue").click()


def cookies_of(visitor):
    return {cookie["name"].split("-")[1]: cookie for cookie in visitor.context.cookies()}


def test_by_the_provider_and_back_to_the_page(served_oidc, provider, visit, screenshot):
    visitor = visit(served_oidc, EX).expects("answer 403", "console error.*403")
    page = visitor.page
    assert page.get_by_role("heading").inner_text() == "Please log in"
    screenshot(page, "right-missing-anonymous")
    page.get_by_role("main").get_by_role("link", name="Log in").click()
    page.wait_for_url(f"{provider.url}/authorize?**")
    asked = provider.asked_codes[-1]
    assert asked["redirect_uri"] == f"{served_oidc.url}/login/callback" and asked["code_challenge_method"] == "S256"
    assert asked["client_id"] == "modos" and set(asked["scope"].split()) == {"openid", "profile", "offline_access"}
    log_in(page)
    page.wait_for_url(f"{served_oidc.url}{EX}")
    assert '"name":"ex"' in page.inner_text("body").replace(" ", "")
    page.goto(served_oidc.url + "/")
    assert whoami(page, served_oidc) == "alice" and page.locator(".who .name").inner_text() == "alice"
    screenshot(page, "logged-in")
    cookie = cookies_of(visitor)["session"]
    assert (cookie["httpOnly"], cookie["sameSite"], cookie["path"], cookie["expires"]) == (True, "Lax", "/", -1)
    assert set(cookies_of(visitor)) == {"session"}, "what the log-in had to remember is gone"
    assert "alice" not in cookie["value"] and page.evaluate("document.cookie") == ""


def test_log_out(served_oidc, provider, visit, screenshot):
    visitor = visit(served_oidc, "/login")
    page = visitor.page
    log_in(page)
    page.wait_for_url(f"{served_oidc.url}/")
    held = cookies_of(visitor)["session"]
    page.get_by_role("button", name="Log out").click()
    page.wait_for_url(f"{provider.url}/end?**")
    assert provider.ended == [{"client_id": "modos", "post_logout_redirect_uri": f"{served_oidc.url}/"}]
    assert len(provider.revoked) == 1, "the refresh token has ended, too"
    page.get_by_role("link", name="back").click()
    page.wait_for_url(f"{served_oidc.url}/")
    assert cookies_of(visitor) == {} and whoami(page, served_oidc) is None
    assert held["value"]


def test_denied(served_oidc, provider, visit, screenshot):
    visitor = visit(served_oidc, f"/login?next={EX}")
    visitor.expects("answer 403", "console error.*403")
    page = visitor.page
    page.get_by_role("button", name="Cancel").click()
    note = page.get_by_role("alert")
    assert "The log-in was not granted: <script>window.pwned=1</script> said no." in note.inner_text()
    assert page.evaluate("window.pwned") is None and cookies_of(visitor).keys() <= {"login"}
    screenshot(page, "login-denied")
    page.get_by_role("link", name="Log in at 127.0.0.1").click()
    log_in(page)
    page.wait_for_url(f"{served_oidc.url}{EX}")


def test_a_forged_answer(served_oidc, provider, visit, screenshot):
    """Login CSRF: Eve has her own code brought to Alice's browser, with the state of her own log-in or none."""
    eve, alice = visit(served_oidc, "/login"), visit(served_oidc, "/login")
    asked = parse_qs(urlsplit(eve.page.url).query)
    eves = {name: values[0] for name, values in asked.items()}
    code = provider.make_code("eve", eves)
    alice.expects("answer 400", "console error.*400")
    for state in (eves["state"], "", "x" * 43):
        alice.page.goto(f"{served_oidc.url}/login/callback?code={code}&state={state}&iss={quote(provider.url)}")
        assert "not begun in this browser" in alice.page.get_by_role("alert").inner_text()
        assert "session" not in cookies_of(alice) and whoami(alice.page, served_oidc) is None
    screenshot(alice.page, "login-forged")
    eve.page.goto(f"{served_oidc.url}/login/callback?code={code}&state={eves['state']}&iss={quote(provider.url)}")
    assert whoami(eve.page, served_oidc) == "eve", "the same is good where it was begun"


def test_an_answer_is_good_once(served_oidc, provider, visit):
    visitor = visit(served_oidc, None)
    answers = []
    visitor.page.on("request", lambda request: answers.append(request.url) if "/login/callback" in request.url else None)
    visitor.page.goto(f"{served_oidc.url}/login")
    log_in(visitor.page)
    visitor.page.wait_for_url(f"{served_oidc.url}/")
    visitor.expects("answer 400", "console error.*400")
    visitor.page.goto(answers[0])
    assert "not begun in this browser" in visitor.page.get_by_role("alert").inner_text()


def test_a_code_that_was_used_is_not_taken(served_oidc, provider, visit):
    visitor = visit(served_oidc, "/login")
    asked = {name: values[0] for name, values in parse_qs(urlsplit(visitor.page.url).query).items()}
    code = provider.make_code("alice", asked)
    provider._codes.clear()
    visitor.expects("answer 403", "console error.*403")
    visitor.page.goto(f"{served_oidc.url}/login/callback?code={code}&state={asked['state']}&iss={quote(provider.url)}")
    assert "gives no token: invalid_grant" in visitor.page.get_by_role("alert").inner_text()


def test_a_provider_that_is_down(served_oidc, provider, visit, screenshot):
    provider._server.shutdown()
    provider._server.server_close()
    visitor = visit(served_oidc, None).expects("answer 502", "console error.*502")
    visitor.page.goto(f"{served_oidc.url}/login")
    assert "cannot be reached at the moment" in visitor.page.get_by_role("alert").inner_text()
    screenshot(visitor.page, "login-provider-down")
    provider.__enter__()  # on another port; the old one is not there when the fixture ends


def test_a_right_that_is_missing(served_oidc, provider, visit, screenshot):
    visitor = visit(served_oidc, f"/login?next={EX}")
    visitor.expects("answer 403", "console error.*403")
    log_in(visitor.page, "bob")
    main = visitor.page.get_by_role("main")
    assert "bob may not read ex" in main.inner_text()
    screenshot(visitor.page, "right-missing")
    main.get_by_role("link", name="Log in as somebody else").click()
    visitor.page.wait_for_url(f"{provider.url}/authorize?**")
    assert provider.asked_codes[-1]["prompt"] == "login"
    log_in(visitor.page, "alice")
    visitor.page.wait_for_url(f"{served_oidc.url}{EX}")
    assert whoami(visitor.page, served_oidc) == "alice"


def test_a_session_ends_with_its_token(served_oidc, provider, visit, screenshot, monkeypatch):
    provider.lifetime = -1800  # which the server bears while it takes clocks to differ by an hour
    monkeypatch.setattr("modos.server.provider.LEEWAY", 3600)
    provider.answers = {"refresh_token": ""}
    visitor = visit(served_oidc, "/login")
    log_in(visitor.page)
    visitor.page.wait_for_url(f"{served_oidc.url}/")
    assert whoami(visitor.page, served_oidc) == "alice"
    monkeypatch.setattr("modos.server.provider.LEEWAY", LEEWAY)
    assert whoami(visitor.page, served_oidc) is None
    assert "session" in cookies_of(visitor), "what a script asks for removes no cookie"
    visitor.page.goto(f"{served_oidc.url}/")
    assert "Your session has ended" in visitor.page.inner_text("main")
    screenshot(visitor.page, "session-ended")
    assert cookies_of(visitor) == {}
    visitor.page.get_by_role("link", name="Log in").click()
    visitor.page.wait_for_url(f"{provider.url}/authorize?**")


def test_a_session_goes_on_while_it_is_used(served_oidc, provider, visit, monkeypatch):
    provider.lifetime = 2
    visitor = visit(served_oidc, "/login")
    log_in(visitor.page)
    visitor.page.wait_for_url(f"{served_oidc.url}/")
    assert provider.refreshed >= 1, "the page had the token renewed"
    value = cookies_of(visitor)["session"]["value"]
    before, provider.lifetime = provider.refreshed, 3600  # a token that is renewed now is not due again
    due, together, renew, posted = [], threading.Event(), Sessions.renew, provider.posted

    async def note(*given):
        due.append(given)
        if len(due) == CONNECTIONS:
            together.set()
        return await renew(*given)

    def answer_late(*given):
        together.wait(60)
        return posted(*given)

    monkeypatch.setattr(Sessions, "renew", note)
    monkeypatch.setattr(provider, "posted", answer_late)
    names = visitor.page.evaluate(
        "Promise.all([...Array(20)].map(() => fetch('/whoami', {cache: 'no-store'})"  # else one waits for the other
        ".then(answer => answer.json()).then(caller => caller.name)))"
    )
    assert names == ["alice"] * 20 and together.is_set()
    assert provider.refreshed - before == 1, "twenty requests at once do not each ask for a token"
    assert cookies_of(visitor)["session"]["value"] != value


def test_with_a_token(served_tokens, visit, screenshot):
    visitor = visit(served_tokens, EX).expects("answer 403", "console error.*403")
    page = visitor.page
    page.get_by_role("main").get_by_role("link", name="Log in").click()
    screenshot(page, "login-token")
    page.get_by_label("Your token").fill("somebody-elses-token")
    page.get_by_role("button", name="Log in with the token").click()
    assert page.get_by_role("alert").inner_text().strip() == "The token is not valid."
    page.get_by_label("Your token").fill(TOKEN)
    page.keyboard.press("Enter")
    page.wait_for_url(f"{served_tokens.url}{EX}")
    page.goto(f"{served_tokens.url}/")
    assert whoami(page, served_tokens) == "alice"
    assert all(TOKEN not in url for _, url in visitor.requests)
    page.get_by_role("button", name="Log out").click()
    expect(page.get_by_role("heading", name="You are logged out")).to_be_visible()
    screenshot(page, "logged-out")
    assert whoami(page, served_tokens) is None and cookies_of(visitor).keys() <= {"login"}


def test_by_the_keyboard_alone_on_a_narrow_screen(served_tokens, visit):
    visitor = visit(served_tokens, "/", viewport=NARROW, java_script_enabled=True)
    page = visitor.page
    tab_to(page, "Log in")
    page.keyboard.press("Enter")
    page.wait_for_url("**/login?**")
    tab_to(page, "Your token")
    page.keyboard.type(TOKEN)
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.wait_for_url(f"{served_tokens.url}/")
    assert whoami(page, served_tokens) == "alice"
    tab_to(page, "Log out")
    page.keyboard.press("Enter")
    page.wait_for_url("**/logout")
    assert whoami(page, served_tokens) is None


def test_without_scripts(served_tokens, visit):
    visitor = visit(served_tokens, "/login", java_script_enabled=False)
    visitor.page.get_by_label("Your token").fill(TOKEN)
    visitor.page.get_by_role("button", name="Log in with the token").click()
    visitor.page.wait_for_url(f"{served_tokens.url}/")
    assert visitor.page.locator(".who .name").inner_text() == "alice"


def test_another_origin_reads_nothing_by_the_cookie(served_tokens, visit):
    """Neither a page of another port of this host, which shares its cookies, nor one of another site."""
    visitor = visit(served_tokens, "/login")
    visitor.page.get_by_label("Your token").fill(TOKEN)
    visitor.page.keyboard.press("Enter")
    visitor.page.wait_for_url(f"{served_tokens.url}/")
    files = f"{served_tokens.url}/files/ex/data.zarr/zarr.json"  # which pages of all origins may ask for
    own = "url => fetch(url, {credentials: 'include'}).then(async answer => [answer.status, (await answer.text()).length], error => 'refused')"
    assert visitor.page.evaluate(own, files)[0] == 200
    with Provider() as same_host:
        for origin in (same_host.url, same_host.url.replace("127.0.0.1", "localhost")):
            visitor.allows(origin)
            page = visitor.context.new_page()
            page.goto(f"{origin}/end")
            visitor.expects("blocked by CORS|ERR_FAILED", "answer 403|console error")
            for target in (files, f"{served_tokens.url}/whoami", f"{served_tokens.url}/meta"):
                found = page.evaluate(own, target)
                assert found == "refused" or found[0] == 403, (origin, target, found)
            # what it may read without credentials is what anybody may
            bare = page.evaluate("url => fetch(url).then(answer => answer.status, () => 0)", files)
            assert bare == 403
            # nor does it log anybody out, or in
            page.set_content(f"<form method=post action='{served_tokens.url}/logout'><button>go</button></form>")
            page.get_by_role("button").click()
            page.wait_for_url("**/logout")
            assert "you are still logged in" in page.get_by_role("main").inner_text()
            page.goto(f"{origin}/end")
            page.set_content(
                f"<form method=post action='{served_tokens.url}/login'><input name=token value={TOKEN}><input name=state value=x><button>go</button></form>"
            )
            page.get_by_role("button").click()
            page.wait_for_url("**/login")
            assert "was not sent by a page of this server" in page.get_by_role("alert").inner_text()
            page.close()
    visitor.expects("answer 400")
    assert whoami(visitor.page, served_tokens) == "alice"


def test_the_pages_fit(served_tokens, visit):
    page = visit(served_tokens, "/login").page
    assert len(take_screenshots(page, "login-token")) == 4
