"""Wiring of the admin service: what is reached from where."""

from __future__ import annotations

import sys

import pytest

from tests.support.store_fixtures import Clock
from wanesync.admin_wiring import build_access, build_admin_services, find_address, find_setup_link
from wanesync.config.admin import Admin
from wanesync.config.model import Config
from wanesync.config.sections import Create
from wanesync.core.errors import ConfigError
from wanesync.core.operating.operators import SYSTEM, OperatorRole
from wanesync.ops.access.users import add_user
from wanesync.store import Store


def configure(**values: object) -> Config:
    return Config(create=Create(customers="none", contacts="none"), admin=Admin.model_validate(values))


@pytest.mark.parametrize("host", ["0.0.0.0", "192.168.1.5", "admin.example.com", "::"])
def test_beyond_this_machine_only_tls_is_served(host: str) -> None:
    with pytest.raises(ConfigError, match=r"admin\.host: other machines reach .* certificate and key in \[admin\]"):
        build_access(configure(host=host))
    assert build_access(configure(host=host, behind_proxy=True)).secure
    assert build_access(configure(host=host, certificate="a.pem", key="b.pem")).secure


def test_on_this_machine_it_is_plain_and_takes_its_names_alone() -> None:
    access = build_access(configure())
    assert not access.secure
    assert access.hosts == {"127.0.0.1", "localhost", "[::1]"}
    named = build_access(configure(behind_proxy=True, public_url="https://admin.example.com"))
    assert named.hosts == {"admin.example.com"}
    assert build_access(configure(behind_proxy=True)).hosts == frozenset()


def test_its_address_is_the_public_one_or_where_it_listens() -> None:
    assert find_address(configure()) == "http://127.0.0.1:8900"
    assert find_address(configure(host="::1", port=1, certificate="a", key="b")) == "https://[::1]:1"
    assert find_address(configure(public_url="https://admin.example.com")) == "https://admin.example.com"


def test_a_set_up_link_is_made_until_there_is_a_user(store: Store, clock: Clock) -> None:
    link = find_setup_link(configure(), store, "http://127.0.0.1:1")
    assert link.startswith("http://127.0.0.1:1/setup?token=")
    add_user(store, SYSTEM, "anna", OperatorRole.ADMIN, "hash")
    assert find_setup_link(configure(), store, "http://127.0.0.1:1") == ""


def test_without_the_extra_it_says_which_one_is_missing(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith("wanesync.admin.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "fastapi", None)
    with pytest.raises(ConfigError, match=r"needs the extra admin: pip install 'wanesync\[admin\]'"):
        build_admin_services(configure(), store)
