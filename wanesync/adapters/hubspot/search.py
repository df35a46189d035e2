"""HubSpot's search of contacts: which changed since a time, and how many there are. A search lags by seconds."""

from __future__ import annotations

from collections.abc import Sequence

from wanesync.adapters.checked_values import MAX_ID_CHARS
from wanesync.adapters.hubspot.client import HubSpotClient
from wanesync.adapters.hubspot.contacts import MODIFIED
from wanesync.adapters.hubspot.errors import read_unreadable
from wanesync.adapters.json_values import epoch_ms, mapping, rows, text, whole
from wanesync.core.ports import Survey

SEARCH_PAGE = 200
"""Most hits of one search request (developers.hubspot.com, CRM search)."""
ID = "hs_object_id"


def find_modified(client: HubSpotClient, since_ms: int, above_id: str) -> Sequence[tuple[str, int]]:
    """Return (id, lastmodifieddate in ms, 0 if unusable) in id order, above ``above_id``: 200, or fewer at the end.

    A hit without a usable id is left out; then another request fills the page. Raises ``CallError``.
    """
    found: list[tuple[str, int]] = []
    while True:
        hits = _search_above(client, since_ms, above_id)
        usable = [(hit_id, at_ms) for hit_id, at_ms in hits if hit_id.isdecimal() and len(hit_id) <= MAX_ID_CHARS]
        if usable and above_id and int(usable[-1][0]) <= int(above_id):
            raise read_unreadable(200, "a search that does not go on")
        found += usable
        if len(found) >= SEARCH_PAGE or len(hits) < SEARCH_PAGE or not usable:
            return found
        above_id = usable[-1][0]


def _search_above(client: HubSpotClient, since_ms: int, above_id: str) -> list[tuple[str, int]]:
    filters = [{"propertyName": MODIFIED, "operator": "GTE", "value": str(since_ms)}]
    if above_id:
        filters.append({"propertyName": ID, "operator": "GT", "value": above_id})
    query = {
        "filterGroups": [{"filters": filters}],
        "sorts": [{"propertyName": ID, "direction": "ASCENDING"}],
        "properties": [MODIFIED],
        "limit": SEARCH_PAGE,
    }
    reply = client.call(client.contact_search.do_search, query)
    if not isinstance(reply.body.get("results"), list):
        raise read_unreadable(reply.status, "a search without results")
    hits = [mapping(raw) for raw in rows(reply.body["results"])]
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
    return Survey(whole(total) or 0, max((int(i) for i in ids if i.isdecimal()), default=0))
