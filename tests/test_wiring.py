"""What the wiring names by itself."""

from __future__ import annotations

from wanesync.config.model import Config
from wanesync.wiring import snapshot_path

ADDRESSES = (
    "postgresql://u:p@one/a",
    "postgresql://u:p@one/b",
    "postgresql://u:p@one:5432,two:5433/a",
    "postgresql:///a?host=/run/one",
    "postgresql:///a?host=/run/two",
)


def named(database: str) -> str:
    return snapshot_path(Config.model_construct(database=database))


def test_each_postgres_database_has_a_snapshot_of_its_own() -> None:
    assert len({named(address) for address in ADDRESSES}) == len(ADDRESSES)


def test_another_password_is_no_other_database() -> None:
    assert named("postgresql://u:new@one/a") == named("postgresql://u:p@one/a")
