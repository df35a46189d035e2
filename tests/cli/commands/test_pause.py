"""``pause`` and ``resume``: what they print, and what they refuse."""

from __future__ import annotations

import pytest

from tests.support.installation import Installation
from wanesync.core.errors import ConfigError


def test_sides_are_paused_and_resumed(installation: Installation) -> None:
    assert installation.run("pause").stdout == "Paused: hubspot and stripe. wanesync resume ends it.\n"
    assert installation.ask("resume", "stripe") == {"resumed": ["stripe"]}
    assert installation.run("resume", "stripe").stdout == "Nothing was paused by an operator.\n"
    assert installation.run("resume").stdout == "Resumed: hubspot.\n"


def test_a_field_is_paused_and_resumed(installation: Installation) -> None:
    assert installation.run("pause", "--field", "city").stdout == "Changes of city are held back.\n"
    assert installation.run("pause", "--field", "city").stdout == "Changes of city are held back already.\n"
    assert installation.ask("resume", "--field", "city") == {"field": "city", "people": 0}
    assert installation.run("resume", "--field", "city").stdout == "city was not paused.\n"


@pytest.mark.parametrize("command", ["pause", "resume"])
def test_a_side_and_a_field_exclude_one_another(installation: Installation, command: str) -> None:
    with pytest.raises(ConfigError, match="name a side or --field city, not both"):
        installation.run(command, "stripe", "--field", "city")
