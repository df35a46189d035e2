"""The admin service on a new SQLite store.

``admin`` is the whole of it; ``admin_app`` its application; ``sign_in("operator")`` returns a browser that is signed
in, whose ``get(path)`` and ``post(path, form)`` send what a page of ours sends, with the token of the session.
"""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from fastapi import FastAPI

from tests.support.admin import CHEAP, CONFIG, AdminSite, Browser, build_site
from tests.support.store_fixtures import Clock
from wanesync.admin.services import AdminServices
from wanesync.core.operating.operators import OperatorRole
from wanesync.ops.people.decisions import DecisionDesk
from wanesync.store import Store, make_key, open_store
from wanesync.store.clock import DatabaseClock
from wanesync.wiring import build_decision_runtime


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The file of a migrated database, to be copied, and its key."""
    path, key = tmp_path_factory.mktemp("admin") / "empty.db", make_key("k001")
    with closing(open_store(f"sqlite:{path}", [key], migrate=True)) as store:
        store.checkpoint()
    return path, key


@pytest.fixture
def admin_store(empty_database: tuple[Path, str], tmp_path: Path, clock: Clock) -> Iterator[Store]:
    """A new SQLite store; its time is ``clock``, which stands still until it is moved."""
    template, key = empty_database
    path = tmp_path / "admin.db"
    shutil.copy(template, path)
    with closing(open_store(f"sqlite:{path}", [key], clock=DatabaseClock(clock, clock), rng=random.Random(1))) as store:
        yield store


@pytest.fixture
def admin(admin_store: Store) -> AdminSite:
    """The application over the store, with cheap hashes of passwords."""
    desk = DecisionDesk(lambda: build_decision_runtime(CONFIG, admin_store))
    return build_site(AdminServices(admin_store, CONFIG, passwords=CHEAP, decisions=desk))


@pytest.fixture
def admin_app(admin: AdminSite) -> FastAPI:
    """The application."""
    return admin.app


@pytest.fixture
def sign_in(admin: AdminSite) -> Callable[[OperatorRole | str], Browser]:
    """Signs a new browser in: ``sign_in("viewer")``."""
    return admin.sign_in
