"""What the run with every part apart must notice: people who differ or are missing, purchases without an event."""

from __future__ import annotations

import os
import pwd
import stat
from pathlib import Path

import pytest

from tests.robustness.split_deployment.burst import WANTED, is_right, judge
from tests.robustness.split_deployment.flows import Traffic
from tests.robustness.split_deployment.users import User, find_free_users, runs_as_root
from wanesync.core.model import Side
from wanesync.sandbox.server import Sandbox


def test_users_are_numbers_that_no_account_has() -> None:
    found = find_free_users(7)
    assert len(found) == 7
    if runs_as_root():
        assert len(set(found)) == 7
        assert not {entry.pw_uid for entry in pwd.getpwall()} & set(found)
    else:
        assert set(found) == {os.geteuid()}


def test_what_a_part_is_given_belongs_to_it_alone(tmp_path: Path) -> None:
    (uid,) = find_free_users(1)
    user = User(uid, tmp_path / "part")
    user.prepare()
    given = user.give("secret", "whsec_x")
    assert given.read_text() == "whsec_x"
    assert [stat.S_IMODE(path.stat().st_mode) for path in (given, user.folder)] == [0o400, 0o700]
    assert {path.stat().st_uid for path in (given, user.folder)} == {uid}


@pytest.mark.parametrize("wrong", ["", "missing", "differing", "events missing"])
def test_what_did_not_arrive_is_counted(wrong: str) -> None:
    traffic = Traffic(Sandbox())
    email = traffic.create_contact()
    if wrong != "missing":
        city = "Oslo" if wrong == "differing" else "Lyon"
        traffic.sandbox.edit(Side.STRIPE, "create", None, {"email": email, "address.city": city})
        if wrong == "events missing":
            traffic.buy(email)
    found = {name for name, count in traffic.judge().items() if count and name not in ("people", "purchases")}
    assert found == {wrong} - {""}


def test_a_bar_that_is_missed_is_named_and_a_loss_is_no_matter_of_speed() -> None:
    figures: dict[str, object] = {name: bar for name, (bar, _) in WANTED.items()}
    assert not any("NOT" in line for line in judge(figures))
    slow = judge(figures | {"drained_s": 108, "share_within_30_s": 0.84})
    assert [line.partition(":")[0] for line in slow if "NOT" in line] == ["drained_s", "share_within_30_s"]
    assert is_right(figures | {"drained_s": 108})
    assert not is_right(figures | {"doubled": 1})
