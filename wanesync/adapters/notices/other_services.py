"""Notices to what apprise can reach (extra ``alerts``): it knows about 130 services by their addresses."""

from __future__ import annotations

from importlib.util import find_spec

from wanesync.core.errors import DeliveryFailed
from wanesync.core.operating.alarms import Level
from wanesync.core.operating.alerts import Message, NoticeKind

MISSING = "an address of apprise needs the extra alerts: pip install 'wanesync[alerts]'"


def is_installed() -> bool:
    """Return whether the extra is installed."""
    return find_spec("apprise") is not None


def send_by_apprise(url: str, message: Message) -> None:
    """Send a message by apprise. Raises ``DeliveryFailed``; apprise says only whether it was sent."""
    try:
        import apprise  # noqa: PLC0415 - of an extra, and slow to import
    except ImportError:
        raise DeliveryFailed(MISSING) from None
    # Secure logging: no address or token of a service in the log of apprise.
    service = apprise.Apprise(asset=apprise.AppriseAsset(secure_logging=True, async_mode=False))
    if not service.add(url):
        raise DeliveryFailed("apprise does not know this address, or it lacks a part")
    notice = message.notice
    if not service.notify(title=notice.title, body=notice.body, notify_type=_find_type(message)):
        raise DeliveryFailed("apprise could not send it")


def _find_type(message: Message) -> str:
    if message.notice.kind is NoticeKind.RECOVERED:
        return "success"
    return {Level.OK: "info", Level.WARN: "warning", Level.CRITICAL: "failure"}[message.notice.level]
