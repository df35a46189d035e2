"""Files of a broker: whole or not at all, with the modes that they need and no more."""

from __future__ import annotations

import os
import pwd
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from wanesync.core.errors import ConfigError
from wanesync.ops.broker import folder
from wanesync.ops.broker.folder import BrokerFolder, Credential, Register, find_closed, may_pass, write_file
from wanesync.ops.broker.mosquitto import Identity, Release

REGISTER = Register(Release.V2_0, Identity.BOTH, ("localhost",), 8883, "mosquitto")


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_register_is_read_as_it_was_written(tmp_path: Path) -> None:
    folder = BrokerFolder(tmp_path)
    register = REGISTER.add(Credential("queue", 1, "ab", "2027-11-30")).add(Credential("admin", 1))
    folder.write_register(register)
    assert folder.read_register() == register
    assert mode_of(tmp_path / "register.json") == 0o600


def test_a_dropped_credential_is_revoked_and_its_number_is_not_used_again() -> None:
    first, second = Credential("queue", 1, "ab"), Credential("queue", 2, "cd")
    register = REGISTER.add(first).add(second).drop(second)
    assert register.of("queue") == (first,)
    assert register.revoked == ("cd",)
    assert register.last == {"queue": 2}


def test_a_folder_that_is_none_of_a_broker_says_so(tmp_path: Path) -> None:
    for text in (None, "nonsense", "{}", '{"release": "3.0"}'):
        if text is not None:
            (tmp_path / "register.json").write_text(text)
        with pytest.raises(ConfigError, match="is no folder of a broker"):
            BrokerFolder(tmp_path).read_register()
    with pytest.raises(ConfigError, match="cannot be read"):
        _ = BrokerFolder(tmp_path).authority


def test_files_have_the_modes_of_those_who_read_them(tmp_path: Path) -> None:
    folder = BrokerFolder(tmp_path / "broker", user="nonesuch")
    folder.prepare()
    assert mode_of(folder.root) == 0o711
    assert mode_of(folder.root / "authority") == mode_of(folder.state) == mode_of(folder.part("queue")) == 0o700
    folder.write_for_part("queue", "password", "secret\n")
    folder.write_for_broker(folder.server / "key.pem", "key")
    folder.write_public(folder.revoked, "list")
    assert mode_of(folder.part("queue") / "password") == 0o600
    assert mode_of(folder.server / "key.pem") == 0o640
    assert mode_of(folder.revoked) == 0o644


def test_a_folder_above_that_the_broker_cannot_pass_is_named(tmp_path: Path) -> None:
    me, other = pwd.getpwuid(os.geteuid()).pw_name, pwd.getpwnam("nobody").pw_name
    closed = tmp_path / "etc"
    closed.mkdir()
    # Folders above that of the test are its user's only.
    assert find_closed(closed / "broker", other) in tmp_path.parents
    assert find_closed(closed / "broker", "nonesuch") is None
    assert find_closed(closed / "broker", me) is None


@pytest.mark.parametrize(
    ("mode", "uid", "groups", "passes"),
    [
        (0o750, 1, [7], False),
        (0o751, 1, [7], True),
        (0o750, 1, [7, 5], True),
        (0o701, 1, [5], False),
        (0o700, 4, [7], True),
        (0o600, 0, [0], True),
    ],
)
def test_who_may_pass_a_folder_is_decided_as_by_the_system(
    mode: int, uid: int, groups: list[int], *, passes: bool
) -> None:
    found = os.stat_result((mode, 0, 0, 0, 4, 5, 0, 0, 0, 0))
    assert may_pass(found, uid, groups) is passes


def test_what_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="name another folder"):
        write_file(tmp_path / "file" / "below", "text", 0o600)
    with pytest.raises(ConfigError, match="name another folder"):
        BrokerFolder(tmp_path / "file").prepare()


def test_a_file_is_replaced_whole_and_what_an_attempt_left_is_removed(tmp_path: Path) -> None:
    (tmp_path / ".it.new").write_text("left")
    write_file(tmp_path / "it", "one", 0o600)
    write_file(tmp_path / "it", "two", 0o644)
    assert (tmp_path / "it").read_text() == "two"
    assert [path.name for path in tmp_path.iterdir()] == ["it"]


def test_a_part_that_puts_a_link_in_the_place_of_its_file_gets_no_other_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Root writes into the folders of parts, whose users could name any file of the machine meanwhile."""
    victim, sync = tmp_path / "victim", os.fsync
    victim.write_text("root's")
    victim.chmod(0o600)

    def swap(handle: int) -> None:
        sync(handle)
        (tmp_path / ".login.new").unlink()
        (tmp_path / ".login.new").symlink_to(victim)

    monkeypatch.setattr(os, "fsync", swap)
    given: list[Path | int] = []
    monkeypatch.setattr(folder, "give_to", lambda what, *_: given.append(what))
    write_file(tmp_path / "login", "text", 0o644, "wanesync-queue", "wanesync-queue")
    assert mode_of(victim) == 0o600
    assert isinstance(given[0], int)


def test_of_two_commands_at_once_neither_writes_back_the_register_of_before(tmp_path: Path) -> None:
    held = BrokerFolder(tmp_path)
    held.write_register(REGISTER)

    def rotate(number: int) -> None:
        with BrokerFolder(tmp_path).changing():
            held.write_register(held.read_register().add(Credential("queue", number)))

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(rotate, range(12)))
    assert {one.number for one in held.read_register().credentials} == set(range(12))
    with pytest.raises(ConfigError, match="cannot be opened"), BrokerFolder(tmp_path / "none").changing():
        pass
