"""What the pages are given."""

from __future__ import annotations

from wanesync.admin.services import AccessSettings
from wanesync.web.proxies import NO_PROXIES


def test_by_default_nothing_of_a_proxy_counts_and_sessions_are_short() -> None:
    access = AccessSettings()
    assert access.proxies is NO_PROXIES
    assert (access.sign_on_header, access.sign_on_role, access.secure) == ("", None, False)
    assert access.limits.idle_ms == 30 * 60_000
    assert access.limits.absolute_ms == 12 * 3_600_000
