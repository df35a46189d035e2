"""A mail server on this machine that keeps what it takes (aiosmtpd): plain, with STARTTLS, or with TLS at once."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

from tests.support.ports import free_port

USER, PASSWORD = "wanesync", "p8.Vn2sQ"


@dataclass
class MailBox:
    """What arrived. ``answer``: what the server says to the next mail; ``encrypted``: whether the last came so."""

    port: int
    mails: list[EmailMessage] = field(default_factory=list)
    answer: str = "250 taken"
    encrypted: bool = False
    logged_in: bool = False

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802 - aiosmtpd's name
        self.encrypted = server.transport is not None and server.transport.get_extra_info("sslcontext") is not None
        self.logged_in = bool(session.authenticated)
        if self.answer.startswith("250"):
            content = envelope.content
            assert isinstance(content, bytes)
            mail = message_from_bytes(content, policy=policy.default)
            assert isinstance(mail, EmailMessage)
            self.mails.append(mail)
        return self.answer


def check_login(
    _server: SMTP, _session: Session, _envelope: Envelope, _mechanism: str, login: LoginPassword
) -> AuthResult:
    """Take one user with one password."""
    return AuthResult(success=login == LoginPassword(USER.encode(), PASSWORD.encode()), handled=False)


@contextmanager
def mail_server(
    answer: str = "250 taken", *, context: ssl.SSLContext | None = None, at_once: bool = False
) -> Iterator[MailBox]:
    """A server while the block lasts. ``context``: of STARTTLS, or from the first byte where ``at_once``."""
    box = MailBox(free_port(), answer=answer)
    controller = Controller(
        box,
        hostname="127.0.0.1",
        port=box.port,
        ssl_context=context if at_once else None,
        tls_context=None if at_once else context,
        authenticator=check_login,
        auth_require_tls=context is not None and not at_once,
    )
    controller.start()
    try:
        yield box
    finally:
        controller.stop()
