"""Recipients of notices: what one text of the configuration means.

A text is an address of a webhook (Slack and what takes the same shape, Discord, Teams, plain JSON), ``mailto:ADDRESS``,
``run:COMMAND``, or an address of apprise. The address of a webhook is a secret: ``label`` shows its host only.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from urllib.parse import urlsplit


class RecipientKind(StrEnum):
    """How a notice is sent. ``JSON``: a webhook of one's own, which gets the notice as one document."""

    SLACK = "slack"
    DISCORD = "discord"
    TEAMS = "teams"
    JSON = "json"
    EMAIL = "email"
    COMMAND = "command"
    APPRISE = "apprise"


MAIL = "mailto:"
RUN = "run:"
SHAPES = (RecipientKind.SLACK, RecipientKind.DISCORD, RecipientKind.TEAMS, RecipientKind.JSON)
"""Kinds that are webhooks: each may stand before an address, as in ``discord+https://…``."""
HOSTS = {
    "discord.com": RecipientKind.DISCORD,
    "discordapp.com": RecipientKind.DISCORD,
    "webhook.office.com": RecipientKind.TEAMS,
    "logic.azure.com": RecipientKind.TEAMS,
    "powerplatform.com": RecipientKind.TEAMS,
    "powerautomate.com": RecipientKind.TEAMS,
    "flow.microsoft.com": RecipientKind.TEAMS,
}
"""Ends of hosts whose webhooks take another shape than Slack's."""
_ADDRESS = re.compile(r"[^@\s<>,;\"]+@[^@\s<>,;\"]+\.[^@\s<>,;\"]+")
_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*", re.IGNORECASE)
ADVICE = (
    "must be the address of a webhook (https://…; slack+, discord+, teams+ or json+ before it choose its shape), "
    "mailto:ADDRESS, run:COMMAND, or an address of apprise (with the extra alerts)"
)


@dataclass(frozen=True, slots=True)
class Recipient:
    """Where notices go. ``target``: an address, a mailbox or a command line: never shown. ``label``: what is shown."""

    kind: RecipientKind
    target: str = field(repr=False)
    label: str


@dataclass(frozen=True, slots=True)
class Addressee:
    """A recipient and its place in the configuration, such as ``critical 1``: deliveries name it by that."""

    place: str
    recipient: Recipient


@dataclass(frozen=True, slots=True)
class RecipientBook:
    """All recipients. ``warn``: get every notice; ``critical``: only those of critical alerts; ``digest``: the digest.

    Without recipients of its own the digest goes where warnings go, else where critical notices go.
    """

    warn: tuple[Addressee, ...] = ()
    critical: tuple[Addressee, ...] = ()
    digest: tuple[Addressee, ...] = ()

    def find(self, *, critical: bool) -> list[Addressee]:
        """Return who gets a notice; an address that stands in both lists gets it once."""
        return _unique((*self.warn, *self.critical) if critical else self.warn)

    @property
    def digest_readers(self) -> list[Addressee]:
        """Who gets the digest."""
        return _unique(self.digest or self.warn or self.critical)

    @property
    def all(self) -> list[Addressee]:
        """Every place, also those of one address."""
        return [*self.warn, *self.critical, *self.digest]

    @property
    def distinct(self) -> list[Addressee]:
        """Every address once."""
        return _unique(self.all)


def make_book(warn: Iterable[str], critical: Iterable[str], digest: Iterable[str]) -> RecipientBook:
    """Return the book of the texts of the configuration. Raises ``ValueError``."""
    return RecipientBook(*(_place(name, texts) for name, texts in zip(LISTS, (warn, critical, digest), strict=True)))


LISTS = ("warn", "critical", "digest")
"""The lists of recipients, by their keys in the configuration."""


def _place(name: str, texts: Iterable[str]) -> tuple[Addressee, ...]:
    return tuple(Addressee(f"{name} {number}", parse_recipient(text)) for number, text in enumerate(texts, 1))


def _unique(addressees: Iterable[Addressee]) -> list[Addressee]:
    found: dict[str, Addressee] = {}
    for one in addressees:
        found.setdefault(one.recipient.target, one)
    return list(found.values())


def parse_recipient(text: str) -> Recipient:
    """Return the recipient that a text names. Raises ``ValueError`` with advice, without the text."""
    text = text.strip()
    if text.startswith(MAIL):
        return _parse_mailbox(text.removeprefix(MAIL))
    if text.startswith(RUN):
        return _parse_command(text.removeprefix(RUN))
    scheme, separator, rest = text.partition("://")
    shape, plus, inner = scheme.rpartition("+")
    if not separator or not rest or not _SCHEME.fullmatch(scheme):
        raise ValueError(ADVICE)
    if inner in {"http", "https"} and (not plus or shape in set(SHAPES)):
        return _parse_webhook(shape, f"{inner}://{rest}")
    return Recipient(RecipientKind.APPRISE, text, f"apprise {scheme}")


def split_command(target: str) -> list[str]:
    """Return program and arguments of a command, as a POSIX shell quotes them; no shell runs it."""
    return shlex.split(target)


def _parse_mailbox(address: str) -> Recipient:
    if not _ADDRESS.fullmatch(address):
        raise ValueError("must be mailto: and one e-mail address, such as mailto:ops@example.com")
    name, _, host = address.rpartition("@")
    return Recipient(RecipientKind.EMAIL, address, f"email {name[:1]}…@{host}")


def _parse_command(written: str) -> Recipient:
    try:
        arguments = shlex.split(written)
    except ValueError:
        arguments = []
    if not arguments or not written.isprintable():
        raise ValueError("must be run: and a command, such as run:/usr/local/bin/page-me --team ops")
    return Recipient(RecipientKind.COMMAND, written, f"command {arguments[0].rpartition('/')[2]}")


def _parse_webhook(shape: str, url: str) -> Recipient:
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
        port = parts.port
    except ValueError:
        raise ValueError(ADVICE) from None
    if not host or not url.isascii() or not url.isprintable() or " " in url:
        raise ValueError(ADVICE)
    if parts.scheme == "http" and host not in {"127.0.0.1", "localhost", "::1"}:
        raise ValueError("must begin with https:// (http:// only for this machine): its address is a secret")
    by_host = next(
        (kind for end, kind in HOSTS.items() if host == end or host.endswith(f".{end}")), RecipientKind.SLACK
    )
    kind = RecipientKind(shape) if shape else by_host
    return Recipient(kind, url, f"{kind} {host}{f':{port}' if port else ''}")
