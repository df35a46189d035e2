"""The operator of a command is the user of the operating system."""

from __future__ import annotations

import os
import pwd

import pytest

from wanesync.cli.operator import find_operator
from wanesync.core.operating.operators import Via


def test_the_operator_is_the_user_of_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SUDO_USER", raising=False)
    monkeypatch.setenv("LOGNAME", "another")
    found = find_operator()
    assert (found.name, found.via) == (pwd.getpwuid(os.getuid()).pw_name, Via.CLI), "not what a variable says"


def test_sudo_and_a_number_without_a_name_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SUDO_USER", "ada\x1b[31m")
    monkeypatch.setattr(os, "getuid", lambda: 0)
    assert find_operator().name == "root/ada??31m"
    monkeypatch.setattr(os, "getuid", lambda: 2_000_000_123)
    assert find_operator().name == "uid 2000000123"
