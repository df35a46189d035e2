"""E-mail by SMTP against a server on this machine: plain, with STARTTLS, with TLS, and refused."""

from __future__ import annotations

import socket
import ssl
from pathlib import Path

import pytest

from tests.support.certificates import Authority
from tests.support.mail_server import PASSWORD, USER, mail_server
from tests.support.ports import free_port
from wanesync.adapters.network import NetworkPolicy
from wanesync.adapters.notices import mail
from wanesync.adapters.notices.mail import MailServer, send_mail, write_mail
from wanesync.core.errors import DeliveryFailed
from wanesync.core.operating.alarms import Level
from wanesync.core.operating.alerts import Message, Notice, NoticeKind

TITLE = "[warn] Dead letters: stripe"
NOTICE = Notice(NoticeKind.RAISED, Level.WARN, "dead_letters", "stripe", TITLE, "2 letters\nlook")
MESSAGE = Message("id-1", 1_800_000_000_000, NOTICE)
SENDER, MAILBOX = "wanesync@example.com", "ops@example.com"


def server(port: int, security: str = "none", user: str = "", password: str = PASSWORD) -> MailServer:
    return MailServer("127.0.0.1", port, security, SENDER, user, password)  # type: ignore[arg-type] # one of three


def authority(folder: Path) -> tuple[NetworkPolicy, ssl.SSLContext]:
    made = Authority(folder)
    return NetworkPolicy(ca_bundle=str(made.file)), made.issue("127.0.0.1").serve()


def test_a_mail_arrives_with_its_subject_and_is_marked_as_automatic() -> None:
    with mail_server() as box:
        send_mail(server(box.port), NetworkPolicy(), MAILBOX, MESSAGE)
    (found,) = box.mails
    assert (found["Subject"], found["From"], found["To"]) == (NOTICE.title, SENDER, MAILBOX)
    assert (found["Auto-Submitted"], found["Message-ID"]) == ("auto-generated", "<id-1@example.com>")
    assert found.get_content().splitlines() == ["2 letters", "look"]


@pytest.mark.parametrize(("security", "at_once"), [("starttls", False), ("tls", True)])
def test_it_is_encrypted_and_logged_in(tmp_path: Path, security: str, at_once: bool) -> None:
    policy, context = authority(tmp_path)
    with mail_server(context=context, at_once=at_once) as box:
        send_mail(server(box.port, security, USER), policy, MAILBOX, MESSAGE)
        assert (len(box.mails), box.encrypted, box.logged_in) == (1, True, True)


@pytest.mark.parametrize(("security", "at_once"), [("starttls", False), ("tls", True)])
def test_a_server_that_does_not_prove_who_it_is_gets_nothing(tmp_path: Path, security: str, at_once: bool) -> None:
    _, context = authority(tmp_path)
    with (
        mail_server(context=context, at_once=at_once) as box,
        pytest.raises(DeliveryFailed, match="SSLCertVerificationError"),
    ):
        send_mail(server(box.port, security, USER), NetworkPolicy(), MAILBOX, MESSAGE)
    assert box.mails == []


def test_without_starttls_nothing_is_sent_in_the_clear() -> None:
    with mail_server() as box, pytest.raises(DeliveryFailed, match="offers no STARTTLS"):
        send_mail(server(box.port, "starttls"), NetworkPolicy(), MAILBOX, MESSAGE)
    assert box.mails == []


def test_a_refused_log_in_is_named_without_the_password(tmp_path: Path) -> None:
    policy, context = authority(tmp_path)
    with mail_server(context=context) as box, pytest.raises(DeliveryFailed, match="refuses the log-in") as caught:
        send_mail(server(box.port, "starttls", USER, "wrong-secret"), policy, MAILBOX, MESSAGE)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(("answer", "of_message"), [("451 later", False), ("554 spam ops@example.com", True)])
def test_what_the_server_answers_is_not_quoted(answer: str, of_message: bool) -> None:
    with mail_server(answer) as box, pytest.raises(DeliveryFailed, match=f"answered {answer[:3]}") as caught:
        send_mail(server(box.port), NetworkPolicy(), MAILBOX, MESSAGE)
    assert caught.value.of_message is of_message
    assert "ops@" not in str(caught.value)


def test_no_server_and_a_silent_one_are_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DeliveryFailed, match="no connection"):
        send_mail(server(free_port()), NetworkPolicy(), MAILBOX, MESSAGE)
    with pytest.raises(DeliveryFailed, match="no mail server is configured"):
        send_mail(None, NetworkPolicy(), MAILBOX, MESSAGE)
    monkeypatch.setattr(mail, "TIMEOUT_S", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as silent, pytest.raises(DeliveryFailed, match="broke off"):
        send_mail(server(silent.getsockname()[1]), NetworkPolicy(), MAILBOX, MESSAGE)


def test_a_title_cannot_add_a_header() -> None:
    title = "[warn] x\r\nBcc: all@example.com"
    notice = Notice(NoticeKind.RAISED, Level.WARN, "x", "", title, "b")
    written = write_mail(SENDER, MAILBOX, Message("i", 0, notice))
    assert written["Subject"] == "[warn] x Bcc: all@example.com"
    assert written["Bcc"] is None
