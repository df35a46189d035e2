"""The admin service as tests use it: in this process, through browsers that keep their cookies."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from html.parser import HTMLParser

from argon2 import PasswordHasher
from fastapi import FastAPI
from httpx2 import Response
from starlette.testclient import TestClient

from wanesync.admin.app import build_admin_app
from wanesync.admin.security.passwords import Passwords
from wanesync.admin.services import AdminServices
from wanesync.config.model import Config
from wanesync.config.sections import Create
from wanesync.core.operating.operators import SYSTEM, OperatorRole
from wanesync.ops.access.users import add_user
from wanesync.store import Store

CHEAP = Passwords(PasswordHasher(time_cost=1, memory_cost=8, parallelism=1))
"""The same algorithm with the least work, so that tests take no time with it."""
PASSWORD = "correct horse battery staple"
URL = "http://127.0.0.1:8900"
CONFIG = Config(create=Create(customers="none", contacts="none"))


class _CsrfFinder(HTMLParser):
    token = ""

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        found = dict(attributes)
        if tag == "meta" and found.get("name") == "csrf":
            self.token = found.get("content") or ""


class Browser:
    """A browser with its cookies. ``client`` follows no redirects."""

    def __init__(self, app: FastAPI, address: str = "127.0.0.1") -> None:
        self.client = TestClient(app, URL, follow_redirects=False, client=(address, 50_000))
        self.csrf = ""

    def get(self, path: str, **headers: str) -> Response:
        """GET a page; header names are written with underscores."""
        return self.client.get(path, headers=_named(headers))

    def post(self, path: str, form: Mapping[str, str | list[str]] | None = None, **headers: str) -> Response:
        """POST a form with the token of the session, as a page of ours does."""
        data = {"csrf": self.csrf, **(form or {})}
        return self.client.post(
            path, data=data, headers={"Origin": URL, "Sec-Fetch-Site": "same-origin"} | _named(headers)
        )

    def sign_in(self, name: str, password: str = PASSWORD, code: str = "") -> Response:
        """Log in by the page, and remember the token of the session."""
        answer = self.post("/login", {"name": name, "password": password, "code": code})
        if answer.status_code == 303:
            finder = _CsrfFinder()
            finder.feed(self.get("/account").text)
            self.csrf = finder.token
        return answer


@dataclass(frozen=True)
class AdminSite:
    """The application over a store, with the users that tests add."""

    app: FastAPI
    services: AdminServices

    @property
    def store(self) -> Store:
        """The database behind it."""
        return self.services.store

    def add_user(self, name: str, role: OperatorRole, password: str = PASSWORD) -> None:
        """Add a user with a password."""
        add_user(self.store, SYSTEM, name, role, CHEAP.hash(password))

    def open_browser(self, address: str = "127.0.0.1") -> Browser:
        """A browser that is not signed in."""
        return Browser(self.app, address)

    def sign_in(self, role: OperatorRole | str, name: str = "") -> Browser:
        """A browser that is signed in as a user of a role, who is added where there is none of this name."""
        name = name or f"{role}1"
        if self.store.read(lambda tx: tx.admin_users.get(name)) is None:
            self.add_user(name, OperatorRole(role))
        browser = self.open_browser()
        answer = browser.sign_in(name)
        assert answer.status_code == 303, answer.text
        return browser


def build_site(services: AdminServices) -> AdminSite:
    """The application over some services."""
    return AdminSite(build_admin_app(services), services)


def _named(headers: Mapping[str, str]) -> dict[str, str]:
    return {name.replace("_", "-"): value for name, value in headers.items()}
