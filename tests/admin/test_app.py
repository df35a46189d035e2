"""The application as a whole."""

from __future__ import annotations

import gzip
import re

import pytest

from tests.support.admin import AdminSite
from tests.support.admin_routes import list_routes
from wanesync.admin.app import KEPT
from wanesync.admin.rendering import ASSETS, find_asset


def test_a_user_signs_in_and_sees_the_first_page(admin: AdminSite) -> None:
    answer = admin.sign_in("viewer").get("/")
    assert answer.status_code == 200
    assert "Overview" in answer.text


def test_the_menu_shows_what_a_role_may_see(admin: AdminSite) -> None:
    def menu(role: str) -> set[str]:
        text = admin.sign_in(role).get("/").text
        return set(re.findall(r'<li><a href="([^"]+)"', text))

    assert menu("admin") - menu("viewer") >= {"/users", "/tokens", "/audit"}
    assert menu("viewer") <= menu("operator") <= menu("admin")


def test_every_page_has_the_log_out(admin: AdminSite) -> None:
    browser = admin.sign_in("admin")
    pages = [route.path for route in list_routes(admin.app) if not route.changes and not route.streams]
    shown = [browser.get(path) for path in pages if not path.startswith(("/api/", "/assets/", "/login", "/setup"))]
    whole = [page.text for page in shown if "<!doctype html>" in page.text]
    assert len(whole) > 8
    assert all('action="/logout"' in text for text in whole)


def test_health_says_nothing_else(admin: AdminSite) -> None:
    assert admin.open_browser().get("/healthz").json() == {"status": "ok"}


@pytest.mark.parametrize(
    "name", sorted(path.relative_to(ASSETS).as_posix() for path in ASSETS.rglob("*.*s*") if path.is_file())
)
def test_an_asset_is_public_and_kept_under_the_address_of_its_content(admin: AdminSite, name: str) -> None:
    browser = admin.open_browser()
    answer = browser.get(find_asset(name))
    assert (answer.status_code, answer.headers["cache-control"]) == (200, KEPT)
    assert answer.content == (ASSETS / name).read_bytes()
    assert browser.get(f"/assets/{name}").headers["cache-control"] == "no-cache"
    assert browser.get(f"/assets/{name}?v=older").headers["cache-control"] == "no-cache"


@pytest.mark.parametrize(
    "name",
    [
        "nothing.js",
        "x%2f..%2flive.js",
        "%00.js",
        "../app.py",
        "..%2fapp.py",
        "%2e%2e/app.py",
        "vendor/LICENSE-htmx",
        "vendor",
    ],
)
def test_nothing_else_is_served_as_an_asset(admin: AdminSite, name: str) -> None:
    assert admin.open_browser().get(f"/assets/{name}").status_code in {303, 404}


def test_no_asset_and_no_template_loads_from_another_host_or_has_inline_code() -> None:
    folder = ASSETS.parent / "templates"
    for path in folder.rglob("*.html"):
        text = path.read_text()
        assert not re.search(r"""(src|href|action)=["']?(https?:)?//""", text), path
        assert not re.search(r"<(script|style)(?![^>]*nonce)|\son[a-z]+=|\sstyle=|javascript:", text), path
        # The figures of the overview are numbers and texts of ours, in which "<" is written as a code.
        assert path.parent.name == "overview" or not re.search(r"\|\s*safe", text), path
    for path in ASSETS.glob("*.*"):
        if path.suffix in {".js", ".css"}:
            assert not re.search(r"eval\(|new Function|@import|https?://", path.read_text()), path


def test_vendored_files_are_small_and_have_their_licences() -> None:
    vendor = ASSETS / "vendor"
    for path in vendor.glob("*.min.*"):
        assert len(gzip.compress(path.read_bytes())) < 60_000, path
        # Of an extension the licence is that of the library.
        library = re.match(r"[a-zA-Z]+", path.name.replace("hx-sse", "htmx"))
        assert library
        assert (vendor / f"LICENSE-{library[0]}").exists(), path
