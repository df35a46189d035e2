"""What an address of a database says of its password."""

from __future__ import annotations

import pytest

from wanesync.core.setup.database_address import NO_LOGIN, find_unencoded, find_unproven_host, has_password


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


@pytest.mark.parametrize(
    ("address", "refused"),
    [
        ("postgresql://ann:secret", True),
        ("postgresql://ann:secret/name", True),
        ("postgresql://ann:5432secret/name", True),
        ("postgresql://one:5432,two:secret/name", True),
        ("postgresql://ann:pw@host:54x2/name", True),
        ("postgresql://ann:pw@[::1]:99999/name", True),
        ("postgresql://ann:pw@[::1]:5432/name?a=b:c", False),
        ("postgresql://[::1]/name", False),
        ("postgresql://host:/name", False),
        ("postgresql://one:5432,two:5433", False),
        ("postgresql:///name?host=/run/a:b", False),
    ],
)
def test_a_password_in_the_place_of_the_port_is_refused_and_not_shown(address: str, refused: bool) -> None:
    found = find_unencoded(address)
    assert bool(found) is refused
    assert "secret" not in found
    assert found == NO_LOGIN or "@" in address or not refused


@pytest.mark.parametrize(
    ("address", "host"),
    [
        ("postgresql://ann@db.example/d", "db.example"),
        ("postgresql://ann:pw@db.example:5432/d?sslmode=verify-ca", "db.example"),
        ("postgresql://ann@db.example/d?sslmode=verify-full", ""),
        ("postgresql://ann@localhost:5432,db.example:5433/d", "db.example"),
        ("postgresql://ann@[2001:db8::1]:5432/d", "2001:db8::1"),
        ("postgresql://ann@[::1]:5432/d", ""),
        ("postgresql://ann@127.8.0.1/d", ""),
        ("postgresql://ann@%2Frun%2Fpostgresql/d", ""),
        ("postgresql://ann@/d?host=/run/postgresql", ""),
        ("postgresql://ann@localhost/d?hostaddr=192.0.2.1", "192.0.2.1"),
        ("postgresql://ann@db.example/d?hostaddr=127.0.0.1", ""),
        ("postgresql://ann@172.16.3.4/d", ""),
        ("postgresql://ann@172.32.3.4/d", "172.32.3.4"),
        ("postgresql://ann@pg/d", ""),
        ("postgresql:///d?service=live", "the service live"),
        ("sqlite:a.db", ""),
    ],
)
def test_a_host_beyond_this_machine_and_its_private_networks_must_prove_who_it_is(address: str, host: str) -> None:
    assert find_unproven_host(address, ["172.16.0.0/12", "pg"], {}) == host


def test_what_an_address_lacks_comes_from_the_environment() -> None:
    assert find_unproven_host("postgresql:///d", [], {"PGHOST": "db.example"}) == "db.example"
    assert find_unproven_host("postgresql:///d", [], {"PGHOST": "db.example", "PGSSLMODE": "verify-full"}) == ""
    assert find_unproven_host("postgresql:///d", [], {"PGSERVICE": "live"}) == "the service live"
