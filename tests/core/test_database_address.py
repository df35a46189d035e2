"""What an address of a database says of its password."""

from __future__ import annotations

import pytest

from wanesync.core.database_address import find_unencoded, has_password


@pytest.mark.parametrize(
    ("address", "unencoded", "password"),
    [
        ("postgresql://host/name", False, False),
        ("postgresql://ann@host/name", False, False),
        ("postgresql://ann:secret@host/name", False, True),
        ("postgresql://ann:se%40cret@one:5432,two:5433/name", False, True),
        ("postgresql:///name?host=/run/one", False, False),
        ("postgresql://host/name?password=secret", False, True),
        ("postgresql://ann:se@cret@host/name", True, True),
        ("postgresql://ann:se/cret@host/name", True, True),
        ("postgresql://ann:100%@host/name", True, True),
        ("postgresql://ann:se\ncret@host/name", True, True),
        ("postgres://ann:se#cret@host/name", True, True),
        ("sqlite:a@b:c.db", False, False),
    ],
)
def test_what_an_address_holds(address: str, unencoded: bool, password: bool) -> None:
    assert bool(find_unencoded(address)) is unencoded
    assert has_password(address) is password
    assert "cret" not in find_unencoded(address)
