"""Each recipient is reached by the way it names."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.canned_server import CannedServer, Told
from tests.support.mail_server import mail_server
from wanesync.adapters.network import NetworkPolicy
from wanesync.adapters.notices.mail import MailServer
from wanesync.adapters.notices.messenger import NoticeMessenger
from wanesync.core.errors import DeliveryFailed
from wanesync.core.operating.alarms import Level
from wanesync.core.operating.alerts import Message, Notice, NoticeKind
from wanesync.core.operating.recipients import parse_recipient

MESSAGE = Message("id-1", 0, Notice(NoticeKind.TEST, Level.OK, "", "", "[test]", "a test"))

pytestmark = pytest.mark.filterwarnings("ignore:.imghdr. is deprecated:DeprecationWarning")
"""Of apprise, on Python before 3.13."""


def test_every_kind_of_recipient_is_reached(tmp_path: Path) -> None:
    with CannedServer(Told()) as server, mail_server() as box:
        messenger = NoticeMessenger(NetworkPolicy(), MailServer("127.0.0.1", box.port, "none", "w@example.com"))
        apprise = server.url.replace("http://", "json://")
        for text in (server.url + "/x", f"discord+{server.url}", "mailto:ops@example.com", apprise):
            messenger.send(parse_recipient(text), MESSAGE)
        messenger.send(parse_recipient(f"run:touch {tmp_path}/ran"), MESSAGE)
        messenger.call(f"{server.url}/ping")
    assert [asked.method for asked in server.asked] == ["POST", "POST", "POST", "GET"]
    assert len(box.mails) == 1
    assert (tmp_path / "ran").exists()


def test_without_a_mail_server_a_mail_fails_with_what_is_missing() -> None:
    with pytest.raises(DeliveryFailed, match=r"alerts\.smtp_host"):
        NoticeMessenger(NetworkPolicy()).send(parse_recipient("mailto:ops@example.com"), MESSAGE)
