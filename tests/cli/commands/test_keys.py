"""``keys``: status, rotate, rewrap, remove."""

from __future__ import annotations

import re
from pathlib import Path

from typer.testing import CliRunner

from tests.support.installation import Installation
from tests.support.sealed_database import seed
from wanesync.bus.seal_keys import derive_part_key
from wanesync.cli.main import app
from wanesync.core.errors import ConfigError, GuardError
from wanesync.core.roles import Role
from wanesync.store import make_key


def test_a_key_is_rotated_rewrapped_and_removed(installation: Installation) -> None:
    seed(installation.store, 1)
    key_file = installation.file.with_name("wanesync.db.keys")
    old = key_file.read_text()[:4]
    assert re.search(rf"{old} +yes +yes +0 of 0 +14 ", installation.run("keys", "status").stdout)
    rotated = installation.run("keys", "rotate").stdout
    new = key_file.read_text()[:4]
    assert new != old
    assert f"Key {new} is first in" in rotated
    assert key_file.read_text().splitlines()[0].partition(":")[2] not in rotated, "the key itself is never printed"
    refused = CliRunner().invoke(app, ["keys", "remove", old, "--config", str(installation.file)])
    assert isinstance(refused.exception, GuardError)
    done = installation.ask("keys", "rewrap")
    assert (done["left"], done["damaged"], done["removable"]) == (0, [], [old])
    assert f"keys remove {old}" in installation.run("keys", "status").stdout
    assert "Encrypted again: none." in installation.run("keys", "rewrap").stdout
    assert installation.ask("keys", "remove", old) == {"removed": old, "file": str(key_file)}
    assert key_file.read_text().count(":") == 1
    assert key_file.stat().st_mode & 0o777 == 0o600


def test_listed_keys_are_not_changed_but_a_new_one_is_written_for_them(
    installation: Installation, tmp_path: Path
) -> None:
    listed = tmp_path / "listed.toml"
    listed.write_text(
        f'database = "sqlite:listed.db"\n[create]\ncustomers = "all"\ncontacts = "all"\n'
        f'[security]\nkeys = ["{make_key("k001")}"]\n'
    )
    listed.chmod(0o600)
    refused = CliRunner().invoke(app, ["keys", "rotate", "--config", str(listed)])
    assert isinstance(refused.exception, ConfigError)
    assert "--to FILE" in str(refused.exception)
    target = tmp_path / "new.keys"
    shown = installation.run("keys", "rotate", "--to", str(target)).stdout
    assert f"Key {target.read_text()[:4]} was written" in shown
    assert target.read_text()[5:].strip() not in shown
    assert target.stat().st_mode & 0o777 == 0o600


def test_a_process_that_has_not_read_the_key_is_waited_for(installation: Installation) -> None:
    installation.store.run(lambda tx: tx.processes.beat("worker", "stripe", tx.now_ms))
    done = CliRunner().invoke(app, ["keys", "rotate", "--wait", "0", "--config", str(installation.file)])
    assert done.exit_code == 1
    assert "0 of 1 running processes" in done.stdout
    refused = CliRunner().invoke(app, ["keys", "rewrap", "--wait", "0", "--config", str(installation.file)])
    assert isinstance(refused.exception, GuardError)
    again = CliRunner().invoke(app, ["keys", "rotate", "--wait", "0", "--config", str(installation.file)])
    assert "was put first" in again.stdout, "no further key is made"
    installation.store.refresh_keys()
    installation.store.run(lambda tx: tx.processes.beat("worker", "stripe", tx.now_ms))
    installation.store.refresh_keys()
    installation.store.run(lambda tx: tx.processes.beat("worker", "stripe", tx.now_ms))
    assert installation.ask("keys", "rewrap", "--wait", "0")["left"] == 0


def test_a_part_gets_its_own_key_of_the_bus(installation: Installation) -> None:
    key = installation_free("keys", "bus", "--new").strip()
    installation.file.write_text(f'{installation.file.read_text()}[bus]\nseal_key = "{key}"\n')
    installation.file.chmod(0o600)
    printed = installation.run("keys", "bus", "stripe-worker").stdout.strip()
    assert printed == derive_part_key(key, Role.STRIPE_WORKER)
    for arguments in (["keys", "bus"], ["keys", "bus", "queue", "--new"], ["keys", "bus", "migrate"]):
        refused = CliRunner().invoke(app, [*arguments, "--config", str(installation.file)])
        assert isinstance(refused.exception, ConfigError)


def installation_free(*arguments: str) -> str:
    """What a command prints that needs no installation."""
    return CliRunner().invoke(app, [*arguments], catch_exceptions=False).stdout
