"""The database, files and processes of this machine."""

from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path

import pytest

from tests.support.certificates import Authority
from tests.support.lanes import start_processes
from wanesync.config.model import Config
from wanesync.config.sections import Create, Server
from wanesync.core.fields import DEFAULT_FIELDS, FieldMap, FieldSpec
from wanesync.ops.checks.findings import State
from wanesync.ops.checks.local import (
    check_alarms,
    check_certificates,
    check_database,
    check_disk,
    check_files,
    check_values,
    find_exposed_files,
    has_web_process,
)
from wanesync.ops.field_map import MapClaim, claim_field_map
from wanesync.store import Store
from wanesync.store.tables.settings import PORTAL

FIELDS = FieldMap(DEFAULT_FIELDS)


def test_a_database_says_what_is_paused_and_what_runs(store: Store) -> None:
    accounts, database, processes = check_database(store, FIELDS)
    assert accounts.fix == "run wanesync init"
    store.run(lambda tx: tx.settings.put(PORTAL, "17"))
    assert "no first listing yet, writes are off" in database.text
    assert processes.state is State.WARN
    assert not has_web_process(store)
    start_processes(store)
    store.run(lambda tx: tx.pauses.set("operator:hubspot", "by hand", away=False, probe_at_ms=0))
    assert has_web_process(store)
    _, pause, processes = check_database(store, FIELDS)
    assert (pause.text, processes.state) == ("operator:hubspot is paused (by hand)", State.OK)
    assert check_disk(store).state is State.OK


def test_a_database_that_this_user_cannot_write_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "x.db"
    path.touch(mode=0o600)
    assert [finding.state for finding in check_files(None, f"sqlite:{path}")] == [State.OK]
    monkeypatch.setattr(os, "access", lambda *_: False)
    file, folder = check_files(None, f"sqlite:{path}")
    assert file.text == f"{path} cannot be written by this user"
    assert folder.text.startswith(f"the folder {tmp_path} cannot be written by this user")


def test_other_databases_have_no_file_here(tmp_path: Path) -> None:
    for database in ("postgresql://a@b/c", "sqlite::memory:", f"sqlite:{tmp_path}/none.db"):
        assert [finding.state for finding in check_files(tmp_path / "none.toml", database)] == [State.OK]


def test_a_field_map_that_is_not_the_running_one_is_named(store: Store) -> None:
    claim_field_map(store, FIELDS, MapClaim.TAKE_OVER)
    assert "field map" not in [finding.check for finding in check_database(store, FIELDS)]
    other = FieldMap((*DEFAULT_FIELDS, FieldSpec("job", ("jobtitle",), ("metadata.job",))))
    assert "field map" in [finding.check for finding in check_database(store, other)]


def test_values_that_the_vendors_do_not_fit_are_named() -> None:
    assert list(check_values(40 << 20, None, "test")) == []
    assert list(check_values(40 << 20, 100, "live")) == []
    body, rate = check_values(1_024, 100, "test")
    assert "server.max_body_bytes is 1,024" in body.text
    assert "Stripe allows a test key 25" in rate.text


def test_alarms_are_listed(store: Store) -> None:
    start_processes(store)
    assert [finding.state for finding in check_alarms(store)] == [State.OK]
    store.run(lambda tx: tx.pauses.set("operator:hubspot", "by hand", away=False, probe_at_ms=0))
    (alarm,) = check_alarms(store)
    assert (alarm.state, bool(alarm.fix)) == (State.WARN, True)


def test_files_of_a_database_that_others_can_read_are_named(tmp_path: Path) -> None:
    path = tmp_path / "wanesync.db"
    assert find_exposed_files(f"sqlite:{path}") == []
    for suffix, mode in (("", 0o640), ("-wal", 0o644), (".snapshot", 0o604), ("-shm", 0o600)):
        file = path.with_name(path.name + suffix)
        file.touch()
        file.chmod(mode)
    tmp_path.chmod(0o703)
    found = find_exposed_files(f"sqlite:{path}")
    assert [finding.text for finding in found] == [
        f"the file {path}-wal can be read by others (mode 0644)",
        f"the file {path}.snapshot can be read by others (mode 0604)",
        f"the folder of the database {tmp_path} can be changed by others (mode 0703)",
    ]
    assert [finding.fix for finding in found] == [
        f"chmod 640 {path}-wal", f"chmod 600 {path}.snapshot", f"chmod 701 {tmp_path}"
    ]  # fmt: skip
    path.chmod(0o604)
    assert any("the database" in finding.text for finding in check_files(None, f"sqlite:{path}"))


def test_a_certificate_that_ends_soon_is_named_with_its_way_out(tmp_path: Path) -> None:
    create = Create(customers="all", contacts="all")
    assert list(check_certificates(Config(create=create))) == []
    for days, state in ((13, State.WARN), (20, State.OK)):
        pair = Authority(tmp_path).issue("localhost", valid_for=timedelta(days=days))
        server = Server(certificate=str(pair.certificate), key=str(pair.key))
        (finding,) = check_certificates(Config(create=create, server=server))
        assert (finding.check, finding.state) == ("certificates", state)
        assert ("put the renewed one there" in finding.fix) is (state is State.WARN)
