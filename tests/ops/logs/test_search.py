"""Search in the log, the journal and the audit log as one list."""

from __future__ import annotations

import base64
import json

import pytest

from tests.support.store_fixtures import Clock
from tests.support.store_rows import a_link, a_stored
from wanesync.core.errors import ConfigError
from wanesync.core.model import Side
from wanesync.core.operating.operators import Operator, Via
from wanesync.ops.logs import search as log_search
from wanesync.ops.logs.search import Follower, LogFilter, Source, mask_entry, read_all, read_page
from wanesync.store import Store
from wanesync.store.tables.operating.log_lines import LogLine

H, S = Side.HUBSPOT, Side.STRIPE
ADA = Operator("ada", Via.PAGE)


def log_line(store: Store, event: str, level: str = "info", **marks: str) -> None:
    facts = {"logger": "wanesync.worker", "process": "worker 7", "side": "", "record_id": "", "correlation_id": ""}
    line = LogLine(store.now_ms(), 1, level, event, **facts | marks, data={})
    store.run(lambda tx: tx.log_lines.add([line]))


@pytest.fixture
def filled(store: Store, clock: Clock) -> int:
    """Entries of all three, a second apart; the time of the first."""
    begun_ms = store.now_ms()
    store.run(lambda tx: tx.links.put(a_link("l1", "7", "cus_7")))
    store.run(lambda tx: tx.records.put_many([a_stored(H, "7", store.hmac("ada@example.com"))]))
    store.run(lambda tx: tx.journal.add("updated", S, "cus_7", "l1", {"write": "w1", "fields": {"city": ["", "Ulm"]}}))
    clock.advance(1_000)
    log_line(store, "side unreachable", "warning", side="stripe", correlation_id="req_1")
    clock.advance(1_000)
    store.run(lambda tx: tx.journal.add("limit set", S, "", "", {"scope": "stripe"}, operator=ADA))
    store.run(lambda tx: tx.audit.add(ADA, "limit.change", "stripe", {"rate": 1}, {"rate": 2}))
    clock.advance(1_000)
    log_line(store, "job failed", "error", record_id="cus_7")
    clock.advance(1_000)
    store.run(lambda tx: tx.journal.add("linked", H, "9", "", {}))
    return begun_ms


def kinds(store: Store, **wanted: object) -> list[str]:
    return [entry.kind for entry in read_page(store, LogFilter(**wanted)).entries]  # type: ignore[arg-type] # a test names the fields it needs


@pytest.mark.usefixtures("filled")
def test_all_of_it_is_one_list_the_newest_first(store: Store) -> None:
    page = read_page(store, LogFilter())
    assert [entry.kind for entry in page.entries] == [
        "linked", "job failed", "limit.change", "limit set", "side unreachable", "updated",
    ] or [entry.kind for entry in page.entries] == [
        "linked", "job failed", "limit set", "limit.change", "side unreachable", "updated",
    ]  # fmt: skip
    assert (page.cursor, page.searched_to_ms) == ("", None)


def test_each_filter_narrows_it(store: Store, filled: int) -> None:
    assert kinds(store, sources=frozenset({Source.LOG})) == ["job failed", "side unreachable"]
    assert kinds(store, since_ms=filled + 3_000) == ["linked", "job failed"]
    assert kinds(store, until_ms=filled + 1_000) == ["side unreachable", "updated"]
    assert kinds(store, kinds=("linked", "updated")) == ["linked", "updated"]
    assert kinds(store, kinds=("job failed", "limit.change")) == ["job failed", "limit.change"]
    assert set(kinds(store, operator="ada")) == {"limit set", "limit.change"}
    assert kinds(store, level="warning") == ["job failed", "side unreachable"]
    assert kinds(store, level="critical") == []
    assert kinds(store, operator="ada", level="error") == []
    assert kinds(store, person="7") == ["job failed", "updated"], "the linked customer counts"
    assert kinds(store, person="ADA@example.com") == ["job failed", "updated"]
    assert kinds(store, person="unknown@example.com") == []
    assert kinds(store, correlation_id="req_1") == ["side unreachable"]
    assert kinds(store, correlation_id="w1") == ["updated"], "also where it stands within the data"
    assert kinds(store, person="7", kinds=("updated",), operator="ada") == []


@pytest.mark.usefixtures("filled")
@pytest.mark.parametrize("limit", [1, 2, 3, 5])
def test_pages_follow_one_another_without_a_gap_or_a_double(store: Store, limit: int) -> None:
    whole = [entry.name for entry in read_page(store, LogFilter()).entries]
    seen: list[str] = []
    cursor = ""
    while True:
        page = read_page(store, LogFilter(), cursor, limit)
        assert len(page.entries) <= limit
        seen += [entry.name for entry in page.entries]
        if not (cursor := page.cursor):
            break
    assert seen == whole
    assert [entry.name for entry in read_all(store, LogFilter())] == whole
    assert len([*read_all(store, LogFilter(), 4)]) == 4


def test_a_search_without_an_index_is_bounded_and_says_how_far_it_came(
    store: Store, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_search, "MAX_SCANNED", 10)
    store.run(lambda tx: tx.journal.add("updated", S, "cus_1", "", {"write": "sought"}))
    clock.advance(1_000)
    log_line(store, "old", correlation_id="sought")
    for _ in range(25):
        clock.advance(1_000)
        store.run(lambda tx: tx.journal.add("updated", S, "cus_2", "", {"write": "other"}))
    log_line(store, "new", correlation_id="sought")
    wanted = LogFilter(correlation_id="sought")
    page = read_page(store, wanted)
    assert [entry.kind for entry in page.entries] == ["new"]
    assert page.searched_to_ms == store.now_ms() - 9_000
    found = []
    for _ in range(5):
        if not page.cursor:
            break
        page = read_page(store, wanted, page.cursor)
        found += [entry.kind for entry in page.entries]
    assert (found, page.cursor) == (["old", "updated"], "")


@pytest.mark.parametrize(
    "cursor", ["x", "e30", "eyJsb2ciOjF9", "eyJuZXciOlsxLDEsIiJdfQ", "eyJsb2ciOlsiMSIsMSwiIl19", "é"]
)
def test_a_cursor_of_another_list_is_refused(store: Store, cursor: str) -> None:
    if cursor == "e30":
        assert read_page(store, LogFilter(), cursor).entries == [], "nothing is left of any source"
        return
    with pytest.raises(ConfigError, match="cursor"):
        read_page(store, LogFilter(), cursor)


def test_a_level_that_does_not_exist_is_refused() -> None:
    with pytest.raises(ConfigError, match="level loud: must be one of debug"):
        LogFilter(level="loud")


@pytest.mark.usefixtures("filled")
def test_a_follower_shows_what_is_new_once_also_when_it_was_committed_late(store: Store, clock: Clock) -> None:
    follower = Follower(store, LogFilter())
    assert follower.look() == []
    began_ms = store.now_ms()
    clock.advance(2_000)
    log_line(store, "first")
    clock.advance(1_000)
    store.run(lambda tx: tx.journal.add("second", H, "9", "", {}))
    assert [entry.kind for entry in follower.look()] == ["first", "second"]
    clock.advance(2_000)
    facts = {"logger": "", "process": "worker 8", "side": "", "record_id": "", "correlation_id": ""}
    store.run(lambda tx: tx.log_lines.add([LogLine(began_ms + 1_500, 1, "info", "late", **facts, data={})]))
    assert [entry.kind for entry in follower.look()] == ["late"]
    assert follower.look() == []
    clock.advance(60_000)
    assert follower.look() == []
    again = Follower(store, LogFilter(), from_ms=began_ms)
    assert [entry.kind for entry in again.look()] == ["linked", "late", "first", "second"], "after a reconnection"


@pytest.mark.usefixtures("filled")
def test_values_of_people_are_masked_in_the_journal_alone(store: Store) -> None:
    entries = {entry.kind: mask_entry(entry, lambda _: "***") for entry in read_page(store, LogFilter()).entries}
    assert entries["updated"].data == {"write": "w1", "fields": {"city": ["***", "***"]}}
    assert entries["limit.change"].data == {"before": {"rate": 1}, "after": {"rate": 2}}


@pytest.mark.usefixtures("filled")
def test_a_cursor_adds_no_source_to_those_of_the_filter(store: Store) -> None:
    text = json.dumps({str(source): [2**53, 0, ""] for source in Source})
    cursor = base64.urlsafe_b64encode(text.encode()).decode()
    found = read_page(store, LogFilter(sources=frozenset({Source.LOG, Source.JOURNAL})), cursor)
    assert {entry.source for entry in found.entries} == {Source.LOG, Source.JOURNAL}
    assert {entry.source for entry in read_page(store, LogFilter(), cursor).entries} == set(Source)


@pytest.mark.parametrize("content", [b"[" * 60_000, b'{"log":[1,1,"\\ud800"]}', b'{"log":[1,1,"\\u0000"]}'])
def test_a_cursor_that_was_made_up_is_refused(store: Store, content: bytes) -> None:
    with pytest.raises(ConfigError):
        read_page(store, LogFilter(), base64.urlsafe_b64encode(content).decode())


def test_values_of_people_cannot_be_searched_as_a_correlation_id(store: Store) -> None:
    change = {"write": "w-42", "fields": {"email": ["", "ada@example.com"]}, "source": "cus_9"}
    user = {"source": "user:UI/user/ada@example.com"}
    store.run(lambda tx: tx.journal.add("held", S, "cus_8", "", user))
    store.run(lambda tx: tx.journal.add("updated", S, "cus_7", "l1", {"outer": [change]}))
    assert kinds(store, correlation_id="w-42") == ["updated"]
    assert kinds(store, correlation_id="cus_9") == ["updated"]
    assert [kinds(store, correlation_id=text) for text in ("ada@example.com", "ada", "xample.c")] == [[], [], []]
