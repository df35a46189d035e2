"""``webhooks set-aside``: what it lists; the bodies only if they are asked for."""

from __future__ import annotations

from tests.support.installation import Installation
from wanesync.core.model import Side

BODY = b'[{"email": "jane@example.com"}]'


def test_without_one_it_says_so(installation: Installation) -> None:
    assert installation.run("webhooks", "set-aside").stdout == "No webhook was set aside.\n"
    assert installation.ask("webhooks", "set-aside") == {"total": 0, "set_aside": []}


def test_a_body_is_shown_only_if_it_is_asked_for(installation: Installation) -> None:
    installation.store.run(lambda tx: tx.rejected.put(Side.HUBSPOT, "no objectId", BODY))
    shown = installation.run("webhooks", "set-aside").stdout
    assert "no objectId" in shown
    assert "1 webhook set aside." in shown
    assert "jane" not in shown
    assert "jane@example.com" in installation.run("webhooks", "set-aside", "--show-values").stdout

    (row,) = installation.ask_rows("set_aside", "webhooks", "set-aside")
    assert tuple(row) == ("id", "at", "side", "reason", "bytes")
    assert (row["side"], row["bytes"]) == ("hubspot", len(BODY))
    (row,) = installation.ask_rows("set_aside", "webhooks", "set-aside", "--show-values")
    assert row["body"] == BODY.decode()


def test_they_are_limited_to_the_newest(installation: Installation) -> None:
    for number in range(3):
        installation.store.run(lambda tx, n=number: tx.rejected.put(Side.STRIPE, f"reason {n}", b"{}"))  # type: ignore[misc] # binds the loop's value
    found = installation.ask("webhooks", "set-aside", "--limit", "2")
    assert found["total"] == 3
    assert isinstance(found["set_aside"], list)
    assert len(found["set_aside"]) == 2
    assert "2 of 3 webhooks set aside." in installation.run("webhooks", "set-aside", "--limit", "2").stdout
