"""Setting up a second factor."""

from __future__ import annotations

import pyotp
import pytest

from tests.support.admin import AdminSite
from tests.support.store_fixtures import Clock
from wanesync.admin.security.second_factor import confirm, prepare
from wanesync.core.errors import ConfigError, NotFound
from wanesync.core.operating.operators import SYSTEM, OperatorRole


def test_a_factor_that_is_not_confirmed_locks_no_one_out(admin: AdminSite, clock: Clock) -> None:
    admin.add_user("anna", OperatorRole.VIEWER)
    first = prepare(admin.store, "anna")
    assert first.secret in first.address
    assert prepare(admin.store, "anna", renew=False) == first, "after a wrong code the picture is the same"
    with pytest.raises(ConfigError, match="code is wrong"):
        confirm(admin.store, SYSTEM, "anna", "000000")
    assert admin.open_browser().sign_in("anna").status_code == 303
    assert len(confirm(admin.store, SYSTEM, "anna", pyotp.TOTP(first.secret).at(clock.ms // 1000))) == 10
    assert admin.open_browser().sign_in("anna").status_code == 401
    with pytest.raises(ConfigError, match="on already"):
        prepare(admin.store, "anna")


def test_only_of_a_user(admin: AdminSite) -> None:
    with pytest.raises(NotFound):
        prepare(admin.store, "nobody")
