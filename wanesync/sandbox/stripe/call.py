"""One API call as an operation sees it, and what lists have in common."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice

from wanesync.sandbox.stripe.account import Account, Cause
from wanesync.sandbox.stripe.form import Kind, Moments, Text, Whole
from wanesync.sandbox.stripe.refusals import Refusal, refuse_absent
from wanesync.sandbox.stripe.search import parse_query, whole_window, write_token
from wanesync.sandbox.stripe.shapes import Record, show_list
from wanesync.sandbox.stripe.shelf import FOREVER, Place, Shelf, Window

PAGES: dict[str, Kind] = {
    "limit": Whole(1, 100),
    "starting_after": Text(clears=False),
    "ending_before": Text(clears=False),
}
LISTS: dict[str, Kind] = {**PAGES, "created": Moments()}
SEARCHES: dict[str, Kind] = {"query": Text(clears=False), "limit": Whole(1, 100), "page": Text()}


@dataclass(frozen=True, slots=True)
class Call:
    """The ids in the path, the typed parameters, the key used and what the change is caused by."""

    account: Account
    path: str
    ids: tuple[str, ...]
    params: Record
    cause: Cause
    key: str


Handler = Callable[[Call], Record]


# A list is what it is: which shelf, which part, which rows.
def show_page(
    call: Call, shelf: Shelf, lists: list[list[Place]], wanted: Callable[[Record], bool] | None = None
) -> Record:
    """One page of a shelf, newest first. Raises Refusal for a cursor that never existed."""
    rows, has_more = shelf.page(read_window(call, shelf), lists, wanted)
    return show_list(call.path, rows, has_more)


def read_window(call: Call, shelf: Shelf) -> Window:
    """limit, starting_after, ending_before and created. Raises Refusal."""
    params = call.params
    if "starting_after" in params and "ending_before" in params:
        text = "You cannot parameterize both starting_after and ending_before at the same time."
        raise Refusal(400, text, param="ending_before")
    oldest, newest = params.get("created", (0, FOREVER))
    after, before = (_read_cursor(call, shelf, name) for name in ("starting_after", "ending_before"))
    return Window(params.get("limit", 10), after, before, oldest, newest)


def _read_cursor(call: Call, shelf: Shelf, name: str) -> Place | None:
    if name not in call.params:
        return None
    place = shelf.place(call.params[name])
    if place is None:
        raise refuse_absent(shelf.noun, call.params[name], name, 400)
    return place


def list_by(call: Call, shelf: Shelf, *filters: str) -> Record:
    """A list filtered on indexed fields: the rarest is walked, the others are compared."""
    given = {name: call.params[name] for name in filters if call.params.get(name) is not None}
    if not given:
        return show_page(call, shelf, shelf.listed())
    rarest = min(given, key=lambda name: shelf.count(name, given[name]))
    return show_page(
        call,
        shelf,
        shelf.listed(rarest, (given[rarest],)),
        lambda row: all(row[name] == value for name, value in given.items()),
    )


def search(call: Call, shelf: Shelf) -> Record:
    """One page of search results; what changed within the lag is not seen."""
    query = parse_query(call.params["query"], shelf.kind)
    limit = call.params.get("limit", 10)
    index = call.account.searches[shelf.kind]
    found = list(islice(index.find(query, whole_window(call.params.get("page")), call.cause.now_ms), limit + 1))
    page, has_more = found[:limit], len(found) > limit
    last = shelf.place(page[-1]["id"]) if has_more else None
    shown = {
        "object": "search_result",
        "data": page,
        "has_more": has_more,
        "next_page": write_token(last) if last else None,
        "url": call.path,
    }
    if "total_count" in (call.params.get("expand") or ()):
        total = sum(1 for _ in islice(index.find(query, whole_window(None), call.cause.now_ms), 10_000))
        shown["total_count"] = total
    return shown


def merge_metadata(old: dict[str, str], given: dict[str, str] | None) -> dict[str, str]:
    """Key by key; the empty string deletes a key, None all of them. Raises Refusal above 50 keys."""
    if given is None:
        return {}
    merged = {key: value for key, value in {**old, **given}.items() if value != ""}
    if len(merged) > 50:
        text = f"Metadata can have up to 50 keys, and you have passed {len(merged)} keys."
        raise Refusal(400, text, param="metadata")
    return merged
