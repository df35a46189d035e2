"""The HubSpot app as a project for ``hs project upload``: the scopes and subscriptions that a configuration needs.

HubSpot has no API for the webhooks of a project app: they stand in its files (developers.hubspot.com, configure
webhooks). An upload is refused where a subscription vanishes, so one that is not needed any more is kept inactive.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from wanesync.core.errors import ConfigError
from wanesync.core.ids import CUSTOMER_ID_PROPERTY
from wanesync.core.setup.permissions import Need, list_scopes
from wanesync.ops.checks.webhooks import HUBSPOT_PATH
from wanesync.reconcile.atomic_file import write_atomically

if TYPE_CHECKING:
    from wanesync.core.fields import FieldMap
    from wanesync.core.purchases import Sink

PLATFORM = "2026.09"
"""Version of HubSpot's developer platform that the files are made for."""
MAX_CONCURRENT = 10
"""Webhooks that HubSpot sends at a time (its default)."""
PROJECT, APP, WEBHOOKS = (
    Path("hsproject.json"),
    Path("src/app/app-hsmeta.json"),
    Path("src/app/webhooks/webhooks-hsmeta.json"),
)
EVENTS = ("object.creation", "object.deletion", "object.merge", "object.restore")
CHANGE = "object.propertyChange"
PRIVACY = "contact.privacyDeletion"
READ_PROPERTIES = (CUSTOMER_ID_PROPERTY, "hs_additional_emails", "hs_merged_object_ids")
"""Properties without a field whose changes are read all the same."""
API = "https://api.hubapi.com"

Subscription = dict[str, object]
Subscriptions = dict[str, list[Subscription]]


def list_properties(fields: FieldMap) -> list[str]:
    """Return the properties whose changes must send a webhook."""
    mapped = [name for spec in fields.specs for name in spec.hubspot]
    return [*mapped, *(name for name in READ_PROPERTIES if name not in mapped)]


def make_subscriptions(fields: FieldMap) -> Subscriptions:
    """Return the subscriptions that a field map needs."""
    contacts: list[Subscription] = [
        {"subscriptionType": kind, "objectType": "contact", "active": True} for kind in EVENTS
    ]
    contacts += [
        {"subscriptionType": CHANGE, "objectType": "contact", "propertyName": name, "active": True}
        for name in list_properties(fields)
    ]
    return {
        "crmObjects": contacts,
        "legacyCrmObjects": [],
        "hubEvents": [{"subscriptionType": PRIVACY, "active": True}],
    }


def make_project(fields: FieldMap, sink: Sink | None, public_url: str, before: Subscriptions) -> dict[Path, str]:
    """Return path -> content of the project's files. ``before``: the subscriptions that were uploaded earlier."""
    scopes = list_scopes(sink)
    project = {"name": "wanesync", "srcDir": "src", "platformVersion": PLATFORM}
    app = {
        "uid": "wanesync_app",
        "type": "app",
        "config": {
            "name": "wanesync",
            "description": "Keeps contacts and Stripe customers the same.",
            "distribution": "private",
            "auth": {
                "type": "static",
                "requiredScopes": [scope.name for scope in scopes if scope.need is not Need.OPTIONAL],
                "optionalScopes": [scope.name for scope in scopes if scope.need is Need.OPTIONAL],
                "conditionallyRequiredScopes": [],
            },
            "permittedUrls": {"fetch": [API], "iframe": [], "img": []},
        },
    }
    webhooks = {
        "uid": "wanesync_webhooks",
        "type": "webhooks",
        "config": {
            "settings": {
                "targetUrl": public_url.rstrip("/") + HUBSPOT_PATH,
                "maxConcurrentRequests": MAX_CONCURRENT,
            },
            "subscriptions": _keep_inactive(make_subscriptions(fields), before),
        },
    }
    contents: Mapping[Path, object] = {PROJECT: project, APP: app, WEBHOOKS: webhooks}
    return {path: json.dumps(content, indent=2) + "\n" for path, content in contents.items()}


def _keep_inactive(wanted: Subscriptions, before: Subscriptions) -> Subscriptions:
    known = {_identify(group, entry) for group, entries in wanted.items() for entry in entries}
    return {
        group: entries
        + [{**entry, "active": False} for entry in before.get(group, []) if _identify(group, entry) not in known]
        for group, entries in wanted.items()
    }


def _identify(group: str, entry: Subscription) -> tuple[str, object, object]:
    return group, entry.get("subscriptionType"), entry.get("propertyName")


def read_subscriptions(folder: Path) -> Subscriptions:
    """Return the subscriptions of a project that stands in a folder; none where there is no file.

    Raises ``ConfigError`` for a file that cannot be read.
    """
    path = folder / WEBHOOKS
    if not path.exists():
        return {}
    try:
        found = json.loads(path.read_text(encoding="utf-8"))["config"]["subscriptions"]
        return {group: [dict(entry) for entry in found[group]] for group in found}
    except (OSError, ValueError, KeyError, TypeError) as error:
        advice = "move it away, then run this again"
        raise ConfigError([f"{path} is no webhook configuration of HubSpot: {advice}"]) from error


def write_project(folder: Path, files: Mapping[Path, str]) -> list[tuple[Path, bool]]:
    """Write the files of a project; returns each path, and whether it changed. Raises ``ConfigError``."""
    written = []
    for name, content in files.items():
        path = folder / name
        try:
            changed = not path.exists() or path.read_text(encoding="utf-8") != content
            if changed:
                path.parent.mkdir(parents=True, exist_ok=True)
                with write_atomically(path) as file:
                    file.write(content.encode())
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "is not text"
            raise ConfigError([f"{path} cannot be written ({reason}): choose another folder"]) from error
        written.append((path, changed))
    return written


def list_clicks(folder: Path, portal: str, places: Mapping[str, str]) -> Sequence[str]:
    """Return what remains to be done by hand, in order.

    ``places``: key of ``[hubspot]`` -> the file that its secret is read from.
    """
    token, secret = (places.get(name, f"hubspot.{name}") for name in ("access_token", "webhook_secret"))
    account = f"account {portal}" if portal else "account"
    return (
        f"npm install -g @hubspot/cli, then hs account auth, and choose the {account}",
        f"cd {folder} && hs project upload (answer yes where it asks to create the project)",
        "HubSpot: Development, Projects, wanesync, the app: Distribution, Install (again after new scopes)",
        f"there, Auth: copy the access token into {token}, the client secret into {secret}",
        "there, Webhooks: see that the subscriptions are active",
        "wanesync doctor",
    )
