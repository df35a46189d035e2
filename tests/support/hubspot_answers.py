"""A HubSpot adapter against answers that a test sets, and the recorded answers of HubSpot."""

from __future__ import annotations

import json
from pathlib import Path

from tests.support.canned_server import CannedServer
from tests.support.network import ANY_ADDRESS
from wanesync.adapters.hubspot.adapter import HubSpotAdapter, HubSpotOptions
from wanesync.adapters.hubspot.contacts import properties_to_read
from wanesync.core.fields import DEFAULT_FIELDS, FieldMap

FIELDS = FieldMap(DEFAULT_FIELDS)


def open_side(server: CannedServer | str, extra: list[str] | None = None) -> HubSpotAdapter:
    url = server if isinstance(server, str) else server.url
    calls = extra if extra is not None else []
    options = HubSpotOptions("pat-secret", url, network=ANY_ADDRESS, portal="42", own_source_ids=frozenset({"77"}))
    return HubSpotAdapter(options, FIELDS, before_extra=lambda: calls.append("request"))


RATE = {"status": "error", "errorType": "RATE_LIMIT", "message": "You have reached your limit."}


def raw(contact_id: str, **properties: str | None) -> dict[str, object]:
    """A contact as HubSpot answers it: every property that was asked for, null where it is blank."""
    blank = dict.fromkeys(properties_to_read(FIELDS))
    return {"id": contact_id, "properties": {**blank, "lastmodifieddate": "2025-11-04T12:10:35.352Z", **properties}}


def load_sample(shared: Path, name: str) -> dict[str, object]:
    """A recorded answer of the real HubSpot."""
    loaded: dict[str, object] = json.loads((shared / "samples" / "hubspot" / name).read_text())
    return loaded
