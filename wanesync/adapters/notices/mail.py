"""E-mail by SMTP, encrypted by STARTTLS or from the start; the server must prove who it is."""

from __future__ import annotations

import smtplib
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.message import EmailMessage
from email.utils import format_datetime
from typing import Literal

from wanesync.adapters.network import NetworkPolicy, make_context
from wanesync.core.errors import ConfigError, DeliveryFailed
from wanesync.core.operating.alerts import Message

TIMEOUT_S = 15.0
"""Our choice: for each step of the dialogue with the mail server."""
MISSING = "no mail server is configured: set alerts.smtp_host and alerts.mail_from"
TRANSIENT = range(400, 500)
"""Codes of a server that may take the message later (RFC 5321, 4.2.1)."""


@dataclass(frozen=True, slots=True)
class MailServer:
    """The mail server of a configuration. ``user`` "": it takes mail without a log-in."""

    host: str
    port: int
    security: Literal["starttls", "tls", "none"]
    sender: str
    user: str = ""
    password: str = field(default="", repr=False)


def send_mail(server: MailServer | None, policy: NetworkPolicy, mailbox: str, message: Message) -> None:
    """Send a message to one mailbox. Raises ``DeliveryFailed``."""
    if server is None:
        raise DeliveryFailed(MISSING)
    mail = write_mail(server.sender, mailbox, message)
    try:
        connection = _connect(server, policy)
        try:
            if server.user:
                connection.login(server.user, server.password)
            connection.send_message(mail)
        finally:
            with suppress(OSError, smtplib.SMTPException):
                connection.quit()
    except ConfigError as error:
        raise DeliveryFailed("; ".join(error.problems)) from None
    except (OSError, smtplib.SMTPException) as error:
        # Raised outside the chain: what a server answers may quote the mailbox or the log-in.
        raise _explain(error) from None


def write_mail(sender: str, mailbox: str, message: Message) -> EmailMessage:
    """Return the mail: one part of plain text, marked as automatic so that no holiday note answers it (RFC 3834)."""
    notice, mail = message.notice, EmailMessage()
    mail["From"], mail["To"] = sender, mailbox
    mail["Subject"] = " ".join(notice.title.split())
    mail["Date"] = format_datetime(datetime.fromtimestamp(message.at_ms / 1000, UTC))
    # The same at each attempt, so that a mail that was sent twice is shown once.
    mail["Message-ID"] = f"<{message.id}@{sender.rpartition('@')[2]}>"
    mail["Auto-Submitted"] = "auto-generated"
    mail.set_content(f"{notice.body}\n")
    return mail


def _connect(server: MailServer, policy: NetworkPolicy) -> smtplib.SMTP:
    if server.security == "tls":
        return smtplib.SMTP_SSL(server.host, server.port, timeout=TIMEOUT_S, context=make_context(policy))
    connection = smtplib.SMTP(server.host, server.port, timeout=TIMEOUT_S)
    if server.security == "starttls":
        try:
            connection.starttls(context=make_context(policy))
        except BaseException:
            connection.close()
            raise
    return connection


def _explain(error: Exception) -> DeliveryFailed:
    if isinstance(error, smtplib.SMTPResponseException):
        refused = isinstance(error, smtplib.SMTPAuthenticationError)
        text = "refuses the log-in" if refused else f"answered {error.smtp_code}"
        own = error.smtp_code not in TRANSIENT and isinstance(error, smtplib.SMTPDataError)
        return DeliveryFailed(f"the mail server {text}", of_message=own)
    if isinstance(error, smtplib.SMTPRecipientsRefused):
        codes = sorted({str(code) for code, _ in error.recipients.values()})
        return DeliveryFailed(f"the mail server refuses the recipient ({', '.join(codes)})")
    if isinstance(error, smtplib.SMTPNotSupportedError):
        return DeliveryFailed('the mail server offers no STARTTLS or log-in: see smtp_security ("tls" for port 465)')
    if isinstance(error, smtplib.SMTPException):
        return DeliveryFailed(f"the mail server broke off ({type(error).__name__})")
    late = isinstance(error, TimeoutError)
    return DeliveryFailed("no answer in time" if late else f"no connection ({type(error).__name__})")
