"""Who can reach a file that holds a secret."""

from __future__ import annotations

import os

import pytest

from wanesync.core.setup.private_files import find_exposure

US, OURS = 1_000, frozenset({1_000, 2_000})


@pytest.mark.parametrize(
    ("mode", "owner", "group", "expected"),
    [
        (0o600, US, 1_000, ""),
        (0o400, 0, 0, ""),
        (0o440, 0, 2_000, ""),
        (0o640, US, 2_000, ""),
        (0o640, US, 3_000, "can be read by others (mode 0640): chmod 600 key"),
        (0o660, US, 2_000, "can be read by others (mode 0660): chmod 600 key"),
        (0o604, US, 1_000, "can be read by others (mode 0604): chmod 600 key"),
        (0o602, US, 1_000, "can be read by others (mode 0602): chmod 600 key"),
        (0o600, 3_000, 1_000, "belongs to user 3000, not to this process's user (1000) or root: chown 1000 key"),
    ],
)
def test_owner_group_and_mode(mode: int, owner: int, group: int, expected: str) -> None:
    found = os.stat_result((0o100000 | mode, 0, 0, 1, owner, group, 1, 0, 0, 0))
    said = find_exposure("key", found, US, OURS)
    assert said.startswith(expected)
    assert bool(said) is bool(expected)
