"""A genome browser in the cell of a notebook: whom it lets in, what it opens, where it cannot be, and how it ends."""

import shutil
import threading
import urllib.error
import urllib.request

import pytest

import modos
from modos.api import MODO, Region
from modos.demo.dataset import generate
from modos.errors import InvalidInputError, NotFoundError
from tests.support.waiting import wait_until

pytest.importorskip("igv_notebook", reason="igv.js comes with igv-notebook, which the extra `igv` installs")


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("browsed")
    generate(folder)
    MODO.from_file(folder / "modo.yaml", folder / "ex")
    return folder / "ex"


@pytest.fixture
def browser(place):
    with MODO.open(place)["data/demo2"].browse("chr1:1,000-2,000") as browser:
        yield browser


def get(url, **headers):
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=60) as answer:
            return answer.status, answer.headers, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.headers, error.read()


def test_the_page_of_the_region_may_be_in_a_frame_of_this_machine_and_nowhere_else(browser):
    status, headers, page = get(browser.address)
    assert status == 200 and b"demo2" in page and "chr1:1,000-2,000" in page.decode()
    policy = dict(part.strip().partition(" ")[::2] for part in headers["Content-Security-Policy"].split(";"))
    assert policy["frame-ancestors"].split() == ["http://localhost:*", "http://127.0.0.1:*", "vscode-webview:"]
    assert policy["default-src"] == "'none'" and policy["connect-src"] == "'self'" and "X-Frame-Options" not in headers
    assert "Set-Cookie" not in headers
    bins = browser.address.partition("/genome")[0] + "/coverage/ex/data/demo2?region=chr1:1-1000&bins=10"
    assert headers["Cache-Control"] == "no-store" and get(bins)[:2][0] == 200, "it may be decrypted, and browsers keep files"
    assert get(bins)[1]["Cache-Control"] == "no-store"


@pytest.mark.parametrize(
    "path", ["/", "/genome", "/objects/ex", "/assets/pages.css", "/files/ex/demo2.bam", "/htsget/reads/ex/demo2"]
)
def test_without_the_token_there_is_nothing(browser, path):
    server = browser.address.split("/", 3)
    root, token = "/".join(server[:3]), server[3].split("/")[0]
    for before in ("", "/wrong", f"/{token[:-1]}", f"/{token}x", f"/{token.lower()}"):
        assert get(root + before + path)[0] == 403
    assert get(f"{root}{path}?token={token}")[0] == 403
    assert get(f"{root}{path}", Cookie=f"modos-view-{root.rpartition(':')[2]}={token}")[0] == 403
    assert get(f"{root}/{token}{path}")[0] in (200, 404)


def test_other_names_of_this_machine_are_refused(browser):
    assert get(browser.address, Host="attacker.example")[0] in (400, 403, 421)


def test_addresses_of_a_ticket_hold_the_token(browser):
    import json

    base = browser.address.split("/genome")[0]
    status, _, ticket = get(f"{base}/htsget/reads/ex/demo2")
    urls = [one["url"] for one in json.loads(ticket)["htsget"]["urls"]]
    assert (
        status == 200 and all(url.startswith((base, "data:")) for url in urls) and any(url.startswith(f"{base}/") for url in urls)
    )


def test_it_shows_neither_its_address_nor_a_key(browser):
    assert "http" not in repr(browser) and browser.address not in repr(vars(browser)["_view"])
    assert repr(browser) == "<browser of data/demo2 at chr1:1,000-2,000>"


def test_the_frame_is_escaped_and_gone_once_it_is_closed(place):
    browser = MODO.open(place)["data/demo2"].browse("chr1:1-100", width='"><script>', height=300)
    assert "<script>" not in browser._repr_html_() and 'height="300"' in browser._repr_html_()
    address = browser.address
    browser.close()
    browser.close()
    assert "iframe" not in browser._repr_html_() and "closed" in repr(browser)
    with pytest.raises(OSError):
        get(address)


def test_several_elements_of_one_object_and_none_of_another(place, tmp_path):
    modo, other = MODO.open(place), MODO.open(shutil.copytree(place, tmp_path / "other"))
    with modo["data/demo2"].browse(Region("chr1", 0, 100), with_=modo["data/calls"]) as browser:
        assert "demo2" in browser.address and "calls" in browser.address and "chr1%3A1-100" in browser.address
    with pytest.raises(InvalidInputError, match="elements of one object, and these are of 2"):
        modos.browse([modo["data/demo2"], other["data/demo2"]], "chr1")
    with pytest.raises(InvalidInputError, match="no element"):
        modos.browse([], "chr1")


@pytest.mark.parametrize("variable", ["JUPYTERHUB_SERVICE_PREFIX", "COLAB_RELEASE_TAG", "BINDER_SERVICE_HOST"])
def test_where_a_browser_does_not_reach_the_kernel_it_is_said(place, monkeypatch, variable):
    monkeypatch.setenv(variable, "/user/me/")
    before = set(threading.enumerate())
    with pytest.raises(InvalidInputError, match="does not reach its loopback address"):
        MODO.open(place)["data/demo2"].browse("chr1:1-100")
    wait_until(lambda: set(threading.enumerate()) <= before)


def test_over_ssh_the_cell_says_what_to_forward(place, monkeypatch):
    monkeypatch.setenv("SSH_CONNECTION", "10.0.0.1 1 10.0.0.2 22")
    with MODO.open(place)["data/demo2"].browse("chr1:1-100") as browser:
        assert f"forward its port {browser.address.split(':')[2].split('/')[0]}" in browser._repr_html_()


def test_an_object_that_is_gone_is_said(place, tmp_path):
    element = MODO.open(shutil.copytree(place, tmp_path / "gone"))["data/demo2"]
    shutil.rmtree(tmp_path / "gone")
    with pytest.raises(NotFoundError):
        element.browse("chr1:1-100")


def test_sealed_reads_are_served_with_the_key_alone(place, tmp_path):
    from modos.encryption.keys import SecretKey

    modo, secret = MODO.open(shutil.copytree(place, tmp_path / "sealed")), SecretKey.random()
    modo.encrypt([secret.public])
    with modo["data/demo2"].browse("chr1:1-100", secret_key=secret) as browser:
        base = browser.address.split("/genome")[0]
        assert get(f"{base}/htsget/reads/sealed/demo2?referenceName=chr1&start=0&end=1000")[0] == 200
    with modo["data/demo2"].browse("chr1:1-100") as browser:
        base = browser.address.split("/genome")[0]
        assert get(f"{base}/htsget/reads/sealed/demo2?referenceName=chr1&start=0&end=1000")[0] != 200


def test_without_igv_it_is_said_what_to_install(place, monkeypatch):
    from importlib.metadata import PackageNotFoundError

    def refuse(name):
        raise PackageNotFoundError(name)

    monkeypatch.setattr("importlib.metadata.version", refuse)
    with pytest.raises(InvalidInputError, match="igv-notebook is not installed"):
        MODO.open(place)["data/demo2"].browse("chr1:1-100")
