"""The address of the database for each new connection."""

from __future__ import annotations

from dataclasses import dataclass

from wanesync.config.database_address import DatabaseAddress
from wanesync.config.secret_source import ASK_INTERVAL_S, SecretSource
from wanesync.core.errors import ConfigError

ADDRESS = "postgresql://sync@db.example.com/sync?sslmode=verify-full"


@dataclass
class Manager:
    value: str = "one"
    asked: int = 0
    now_s: float = 0.0

    def look_up(self, key: str, text: str) -> list[str]:
        if key == "database":
            return [text]
        self.asked += 1
        if not self.value:
            raise ConfigError(["x is empty"])
        return [self.value]


def build(manager: Manager) -> DatabaseAddress:
    written = {"database": (ADDRESS,), "database_password": ("aws-sm:rds#password",)}
    source = SecretSource(written, {"database": (ADDRESS,), "database_password": ("one",)}, manager.look_up)
    return DatabaseAddress(source, ADDRESS, lambda: manager.now_s)


def test_a_new_connection_has_the_password_of_the_moment() -> None:
    manager = Manager()
    address = build(manager)
    assert address.find() == "postgresql://sync:one@db.example.com/sync?sslmode=verify-full"
    manager.value, manager.now_s = "t/wo@", ASK_INTERVAL_S
    assert address.find() == "postgresql://sync:t%2Fwo%40@db.example.com/sync?sslmode=verify-full"
    assert address.find() == address.find()
    assert manager.asked == 1
    manager.value, manager.now_s = "", 2 * ASK_INTERVAL_S
    assert address.find().startswith("postgresql://sync:t%2Fwo%40@")
    assert "one" not in repr(address)


def test_an_address_without_a_password_and_one_that_is_not_known_stay() -> None:
    assert DatabaseAddress(SecretSource({}, {"database": (ADDRESS,)}), "x").find() == ADDRESS
    assert DatabaseAddress(SecretSource(), ADDRESS).find() == ADDRESS
