"""Arrays as parameters, and batches of writes that take their rows from them, with the result of one by one."""

from __future__ import annotations

import psycopg
import pytest

from wanesync.core.errors import DatabaseRefused
from wanesync.core.jobs import JobKind, JobRequest, Priority
from wanesync.core.model import Side
from wanesync.store import Store, Tx, make_key, open_store
from wanesync.store.arrays import make_array
from wanesync.store.postgres import _configure
from wanesync.store.queries import Dialect, Value, load_queries
from wanesync.store.session import Row

ODD = ["", "NULL", "a,b", '"', "\\", '\\"{}', "é 😀", " x\n"]


@pytest.mark.parametrize(
    "values", [ODD, [0, -1, 2**63 - 1], [b"", b"\x00\xff", b'"\\'], [Side.HUBSPOT, Side.STRIPE], [1.5, 0.0]]
)
def test_an_array_arrives_as_it_was_sent(postgres_url: str, values: list[Value]) -> None:
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        _configure(connection)
        rows = connection.execute("SELECT * FROM unnest(%s)", [make_array(values)]).fetchall()
    assert [row[0] for row in rows] == values


def test_a_text_with_a_nul_is_refused_in_a_batch_as_alone(postgres_url: str) -> None:
    store = open_store(postgres_url, [make_key("k001")], migrate=True)
    for texts in (["a\0"], ["a", "b\0"], ["\0", "\0"]):
        with pytest.raises(DatabaseRefused):
            store.run(lambda tx, texts=texts: rows(tx, "take_lock", [lock(text, "t") for text in texts]))  # type: ignore[misc] # the loop's value
    store.close()


def rows(tx: Tx, name: str, batch: list[dict[str, Value]]) -> list[Row]:
    return tx.locks._session.each(name, batch)


def lock(key: str, token: str) -> dict[str, Value]:
    times = {"until_ms": 9_000, "now": 1_000, "latest_ms": 10_000, "fresh_ms": 0, "ahead_ms": 2_000}
    return {"key": key, "token": token, "owner": "p", **times}


def test_of_two_tokens_that_want_a_key_in_one_batch_the_first_has_it(store: Store) -> None:
    store.run(lambda tx: tx.processes.beat("p", "hubspot", 0))
    until_ms = store.now_ms() + 9_000
    wanted = {"a": ["k1", "k2"], "b": ["k2", "k3"], "c": ["k4"]}
    assert store.run(lambda tx: tx.locks.take_each(wanted, "p", until_ms)) == {"a", "c"}
    # What the loser had is free, what the others have is not.
    assert store.run(lambda tx: tx.locks.take_each({"d": ["k3"], "e": ["k1"]}, "p", until_ms)) == {"d"}


def test_a_key_that_comes_twice_in_a_batch_is_changed_twice(store: Store) -> None:
    requests = [
        JobRequest(Side.STRIPE, JobKind.WRITE, key, priority=priority)
        for key in "ab"
        for priority in (Priority.LIVE_BULK, Priority.PURCHASE)
    ]
    store.run(lambda tx: tx.jobs.put_many(requests))
    jobs = store.run(lambda tx: tx.jobs.claim(Side.STRIPE, [JobKind.WRITE], 10, "p"))
    assert sorted((job.key, job.priority) for job in jobs) == [("a", Priority.PURCHASE), ("b", Priority.PURCHASE)]


def test_sets_that_differ_in_what_they_must_share_are_run_one_by_one(postgres_url: str) -> None:
    form = load_queries(Dialect.POSTGRES)["take_lock"].rows_form
    assert form is not None
    assert set(form.shared) == {"now", "latest_ms", "fresh_ms", "ahead_ms"}
    store = open_store(postgres_url, [make_key("k001")], migrate=True)
    batch = [lock("k1", "t1"), {**lock("k2", "t2"), "now": 2_000}]
    assert store.run(lambda tx: rows(tx, "take_lock", batch)) == [("k1", "t1"), ("k2", "t2")]
    store.close()
