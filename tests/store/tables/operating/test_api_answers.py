"""Answers of the API under an Idempotency-Key."""

from __future__ import annotations

from tests.support.store_fixtures import Clock
from wanesync.store import Store
from wanesync.store.tables.operating.api_answers import ABANDONED_MS, StoredAnswer
from wanesync.store.tables.retention import DAY_MS, RetentionPolicy


def begin(store: Store, request: str = "request") -> StoredAnswer | None:
    return store.run(lambda tx: tx.api_answers.begin("key", request))


def test_the_first_request_runs_and_the_next_one_gets_its_answer(store: Store) -> None:
    assert begin(store) is None
    assert begin(store) == StoredAnswer("request", 0, "")
    store.run(lambda tx: tx.api_answers.finish("key", 201, '{"id": "1"}'))
    assert begin(store) == StoredAnswer("request", 201, '{"id": "1"}')
    assert begin(store, "another") == StoredAnswer("request", 201, '{"id": "1"}')


def test_a_request_that_failed_runs_again(store: Store) -> None:
    assert begin(store) is None
    store.run(lambda tx: tx.api_answers.forget("key"))
    assert begin(store) is None


def test_a_request_whose_process_ended_is_taken_over_by_the_same_request_only(store: Store, clock: Clock) -> None:
    assert begin(store) is None
    clock.advance(ABANDONED_MS + 1)
    assert begin(store, "another") == StoredAnswer("request", 0, "")
    assert begin(store) is None
    assert begin(store) == StoredAnswer("request", 0, "")


def test_of_two_processes_one_runs_it(store: Store, other_store: Store) -> None:
    assert sorted([begin(store) is None, begin(other_store) is None]) == [False, True]


def test_answers_are_kept_for_a_day(store: Store, clock: Clock) -> None:
    assert begin(store) is None
    clock.advance(DAY_MS + 1)

    with store.transaction() as tx:
        (rule,) = (rule for rule in tx.retention.rules(RetentionPolicy()) if rule.name == "API answers")
        assert tx.retention.apply(rule, rule.after, 100) == (1, None)
    assert begin(store) is None
