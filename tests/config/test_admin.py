"""The section ``[admin]``."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from wanesync.config.admin import Admin
from wanesync.core.operating.operators import OperatorRole


def test_by_default_only_this_machine_reaches_it_and_no_header_signs_in() -> None:
    admin = Admin()
    assert (admin.host, admin.port, admin.in_up) == ("127.0.0.1", 8900, True)
    assert admin.single_sign_on_header is None
    assert admin.approval is False


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        ({"certificate": "a.pem"}, "both or neither"),
        ({"single_sign_on_header": "X-User"}, "needs trusted_proxies"),
        ({"single_sign_on_header": "X-User", "trusted_proxies": "127.0.0.1"}, "needs public_url"),
        ({"single_sign_on_role": "viewer"}, "needs single_sign_on_header"),
        ({"single_sign_on_header": "X User", "trusted_proxies": "10.0.0.1"}, "pattern"),
        ({"trusted_proxies": "0.0.0.0/0"}, "every address"),
        ({"idle_minutes": 0}, "greater than or equal"),
        ({"session_hours": 25}, "less than or equal"),
        ({"port": 70000}, "less than or equal"),
        ({"public_url": "http://admin.example.com"}, "https"),
        ({"nothing": 1}, "extra"),
    ],
)
def test_what_makes_no_sense_is_refused(values: dict[str, object], problem: str) -> None:
    with pytest.raises(ValidationError, match=problem):
        Admin.model_validate(values)


def test_single_sign_on_names_proxies_and_a_role() -> None:
    admin = Admin.model_validate(
        {
            "single_sign_on_header": "X-User",
            "trusted_proxies": "10.0.0.1",
            "public_url": "https://admin.example.com",
            "single_sign_on_role": "operator",
        }
    )
    assert admin.single_sign_on_role is OperatorRole.OPERATOR
    assert admin.trusted_proxies == ("10.0.0.1/32",)
