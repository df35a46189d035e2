"""What apprise can reach; it is an extra."""

from __future__ import annotations

import json
import sys

import pytest

from tests.support.canned_server import CannedServer, Told
from wanesync.adapters.notices.other_services import is_installed, send_by_apprise
from wanesync.core.errors import DeliveryFailed
from wanesync.core.operating.alarms import Level
from wanesync.core.operating.alerts import Message, Notice, NoticeKind

MESSAGE = Message("id-1", 0, Notice(NoticeKind.RAISED, Level.CRITICAL, "disk_full", "", "[critical] disk", "make room"))

pytestmark = pytest.mark.filterwarnings("ignore:.imghdr. is deprecated:DeprecationWarning")
"""Of apprise, on Python before 3.13."""


def test_it_is_sent_with_its_level() -> None:
    assert is_installed()
    with CannedServer(Told()) as server:
        send_by_apprise(server.url.replace("http://", "json://"), MESSAGE)
    found = json.loads(server.asked[0].body)
    assert (found["title"], found["message"], found["type"]) == ("[critical] disk", "make room", "failure")


def test_an_unknown_address_and_a_failure_are_named_without_the_address() -> None:
    with pytest.raises(DeliveryFailed, match="does not know this address") as caught:
        send_by_apprise("nonsense://secret", MESSAGE)
    assert "secret" not in str(caught.value)
    with CannedServer(Told(500)) as server, pytest.raises(DeliveryFailed, match="could not send it"):
        send_by_apprise(server.url.replace("http://", "json://"), MESSAGE)


def test_without_the_extra_it_says_which_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "apprise", None)
    with pytest.raises(DeliveryFailed, match=r"wanesync\[alerts\]"):
        send_by_apprise("json://127.0.0.1", MESSAGE)
