"""``limits``: what is listed, set and reset."""

from __future__ import annotations

import re

import pytest

from tests.support.installation import Installation
from wanesync.core.errors import ConfigError


def scopes(installation: Installation) -> dict[str, dict[str, object]]:
    return {str(row["scope"]): row for row in installation.ask_rows("limits", "limits")}


def test_a_limit_is_set_and_reset_before_any_process_has_run(installation: Installation) -> None:
    assert scopes(installation) == {}, "no process has stored the limits of the file yet"
    assert (
        installation.run("limits", "set", "hubspot", "12/s").stdout
        == "hubspot is 12/s from now on, in every process.\n"
    )
    found = scopes(installation)
    assert tuple(found["hubspot"]) == (
        "scope", "unit", "configured", "effective", "filed", "platform_allows", "used", "of", "reason", "lowered_for_s",
    )  # fmt: skip
    assert found["hubspot"]["configured"] == 12
    assert "set by hand, in the file 15/s" in " ".join(installation.run("limits").stdout.split())
    assert installation.run("limits", "reset", "hubspot").stdout == "hubspot is 15/s from now on, in every process.\n"
    assert installation.ask("limits", "--json", "set", "hubspot", "12/s") == {
        "scope": "hubspot",
        "configured": 12.0,
        "effective": 12.0,
        "reason": "",
    }


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (("set", "nothing", "3/s"), "nothing is no limit"),
        (("set", "hubspot", "often"), "is no value for it"),
        (("reset", "nothing"), "nothing is no limit"),
    ],
)
def test_a_mistake_is_named_before_the_database_is_opened(
    installation: Installation, arguments: tuple[str, ...], problem: str
) -> None:
    text = installation.file.read_text()
    installation.file.write_text(re.sub(r"(?m)^database = .*$", 'database = "sqlite:/nowhere/state.db"', text))
    with pytest.raises(ConfigError, match=problem):
        installation.run("limits", *arguments)
