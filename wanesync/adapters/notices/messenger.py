"""Sends a message by the way that its recipient names. No error text holds an address or what a server answered."""

from __future__ import annotations

from dataclasses import dataclass

from wanesync.adapters.network import NetworkPolicy
from wanesync.adapters.notices.commands import run_command
from wanesync.adapters.notices.mail import MailServer, send_mail
from wanesync.adapters.notices.other_services import send_by_apprise
from wanesync.adapters.notices.webhooks import call_address, post_notice
from wanesync.core.operating.alerts import Message
from wanesync.core.operating.recipients import Recipient, RecipientKind


@dataclass(frozen=True, slots=True)
class NoticeMessenger:
    """The ways of one configuration. ``mail``: None where no mail server is configured."""

    network: NetworkPolicy
    mail: MailServer | None = None

    def send(self, recipient: Recipient, message: Message) -> None:
        """Send a message to a recipient. Raises ``DeliveryFailed``."""
        if recipient.kind is RecipientKind.EMAIL:
            send_mail(self.mail, self.network, recipient.target, message)
        elif recipient.kind is RecipientKind.COMMAND:
            run_command(recipient.target, message)
        elif recipient.kind is RecipientKind.APPRISE:
            send_by_apprise(recipient.target, message)
        else:
            post_notice(recipient, message, self.network)

    def call(self, url: str) -> None:
        """Call an address that only wants to be called (``heartbeat_url``). Raises ``DeliveryFailed``."""
        call_address(url, self.network)
