"""Webhooks of chat services and of one's own: the shape that each takes, and what their answers mean.

Shapes: Slack's ``text`` (docs.slack.dev, "Sending messages using incoming webhooks"), which Mattermost and Rocket.Chat
take as well; Discord's ``content`` (docs.discord.com, "Execute Webhook"); an adaptive card as Teams' workflows take it
(learn.microsoft.com, "Create incoming webhooks with Workflows"); the whole message as JSON for any other receiver.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from urllib.parse import urlsplit

import orjson
import urllib3
from urllib3.exceptions import ConnectTimeoutError, HTTPError, NewConnectionError, ReadTimeoutError, SSLError

from wanesync.adapters.http_answers import CONNECT_TIMEOUT_S
from wanesync.adapters.network import NetworkPolicy, open_manager
from wanesync.core.errors import ConfigError, DeliveryFailed
from wanesync.core.operating.alarms import Level
from wanesync.core.operating.alerts import Message, NoticeKind
from wanesync.core.operating.recipients import Recipient, RecipientKind

READ_TIMEOUT_S = 10.0
"""Our choice: a chat service answers within a second as a rule; what takes longer is tried again later."""
MAX_DISCORD_CHARS = 2_000
"""Longest ``content`` (docs.discord.com, "Execute Webhook")."""
MAX_CHARS = 4_000
"""Longest text that Slack shows whole (docs.slack.dev, chat.postMessage, "Truncating content")."""
OF_MESSAGE = frozenset({400, 413, 422})
"""Answers that refuse this message: the next one may be taken."""
SIGNS = {
    Level.OK: "\N{LARGE GREEN CIRCLE}",
    Level.WARN: "\N{LARGE YELLOW CIRCLE}",
    Level.CRITICAL: "\N{LARGE RED CIRCLE}",
}
"""What stands before a title in a chat; the word for the level stands beside it."""

Document = Mapping[str, object]


def post_notice(recipient: Recipient, message: Message, policy: NetworkPolicy) -> None:
    """Post a message in the shape its recipient takes. Raises ``DeliveryFailed``."""
    body = orjson.dumps(SHAPES[recipient.kind](message))
    _request("POST", recipient.target, policy, body)


def call_address(url: str, policy: NetworkPolicy) -> None:
    """GET an address; any 2xx answer will do. Raises ``DeliveryFailed``."""
    _request("GET", url, policy, None)


def _request(method: str, url: str, policy: NetworkPolicy, body: bytes | None) -> None:
    parts = urlsplit(url)
    headers = {"User-Agent": "wanesync"}
    if body is not None:
        headers["Content-Type"] = "application/json"
    timeout = urllib3.Timeout(connect=CONNECT_TIMEOUT_S, read=READ_TIMEOUT_S)
    try:
        with open_manager(f"{parts.scheme}://{parts.netloc}", policy, 1) as manager:
            answer = manager.request(
                method, url, body=body, headers=headers, timeout=timeout, redirect=False, retries=False
            )
    except ConfigError as error:
        raise DeliveryFailed("; ".join(error.problems)) from None
    except (HTTPError, OSError) as error:
        # Raised outside the chain: the texts of urllib3 hold the address.
        raise DeliveryFailed(_explain(error)) from None
    if not 200 <= answer.status < 300:
        retry_after_s = _read_seconds(answer.headers.get("Retry-After"))
        raise DeliveryFailed(
            f"it answered {answer.status}", retry_after_s=retry_after_s, of_message=answer.status in OF_MESSAGE
        )


def _explain(error: Exception) -> str:
    if isinstance(error, NewConnectionError):
        return "no connection"
    if isinstance(error, ConnectTimeoutError | ReadTimeoutError):
        return "no answer in time"
    if isinstance(error, SSLError):
        return "its certificate or its TLS was not accepted"
    return f"no answer ({type(error).__name__})"


def _read_seconds(text: str | None) -> float:
    """Return Retry-After in seconds; its other form, a date, counts as none."""
    return float(text) if text and text.isascii() and text.isdigit() else 0.0


def _write(message: Message) -> str:
    notice = message.notice
    level = Level.OK if notice.kind is NoticeKind.RECOVERED else notice.level
    return f"{SIGNS[level]} {notice.title}\n{notice.body}"


def shape_slack(message: Message) -> Document:
    """Return Slack's document; its three control characters are escaped, so that nothing in a text is a mention."""
    text = _write(message)[:MAX_CHARS]
    for character, escape in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;")):
        text = text.replace(character, escape)
    return {"text": text}


def shape_discord(message: Message) -> Document:
    """Return Discord's document; nothing in it mentions a user."""
    return {"content": _write(message)[:MAX_DISCORD_CHARS], "allowed_mentions": {"parse": []}}


def shape_teams(message: Message) -> Document:
    """Return an adaptive card of plain text blocks."""
    notice = message.notice
    blocks: list[Document] = [{"type": "TextBlock", "text": _plain(notice.title), "weight": "Bolder", "wrap": True}]
    blocks += [{"type": "TextBlock", "text": _plain(line), "wrap": True} for line in notice.body.splitlines()]
    card = {
        "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
        "type": "AdaptiveCard",
        "version": "1.4",
        "body": blocks,
    }
    attachment = {"contentType": "application/vnd.microsoft.card.adaptive", "content": card}
    return {"type": "message", "attachments": [attachment]}


def _plain(text: str) -> str:
    """Return a text whose characters are no marks of a link or of emphasis in the Markdown of a card."""
    for character in "\\[]*_":
        text = text.replace(character, f"\\{character}")
    return text


SHAPES: Mapping[RecipientKind, Callable[[Message], Document]] = {
    RecipientKind.SLACK: shape_slack,
    RecipientKind.DISCORD: shape_discord,
    RecipientKind.TEAMS: shape_teams,
    RecipientKind.JSON: Message.as_json,
}
"""Kind of webhook -> its document."""
