"""HubSpot's search of contacts: which changed since a time, and how many there are. A search lags by seconds."""

from __future__ import annotations

from collections.abc import Sequence

from wanesync.adapters.hubspot.client import HubSpotClient
from wanesync.adapters.hubspot.contacts import MODIFIED
from wanesync.adapters.json_values import epoch_ms, mapping, rows, text
from wanesync.core.ports import Survey

SEARCH_PAGE = 200
"""Most hits of one search request (developers.hubspot.com, CRM search)."""
ID = "hs_object_id"


def find_modified(client: HubSpotClient, since_ms: int, above_id: str) -> Sequence[tuple[str, int]]:
    """Return up to 200 (id, lastmodifieddate in ms) in id order, above ``above_id``."""
    filters = [{"propertyName": MODIFIED, "operator": "GTE", "value": str(since_ms)}]
    if above_id:
        filters.append({"propertyName": ID, "operator": "GT", "value": above_id})
    query = {
        "filterGroups": [{"filters": filters}],
        "sorts": [{"propertyName": ID, "direction": "ASCENDING"}],
        "properties": [MODIFIED],
        "limit": SEARCH_PAGE,
    }
    body = client.call(client.contact_search.do_search, query).body
    hits = [mapping(raw) for raw in rows(body.get("results"))]
    return [(text(hit.get("id")), epoch_ms(mapping(hit.get("properties")).get(MODIFIED))) for hit in hits]


def survey(client: HubSpotClient) -> Survey:
    """Return the total of a search, and its highest id."""
    query = {
        "filterGroups": [],
        "sorts": [{"propertyName": ID, "direction": "DESCENDING"}],
        "properties": [ID],
        "limit": 1,
    }
    body = client.call(client.contact_search.do_search, query).body
    total = body.get("total")
    ids = [text(mapping(raw).get("id")) for raw in rows(body.get("results"))]
    return Survey(total if isinstance(total, int) else 0, max((int(i) for i in ids if i.isdecimal()), default=0))
