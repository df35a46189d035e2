"""A connection to Postgres whose statements are sent without a wait, over libpq itself (psycopg.pq).

Each statement is prepared once, is a transaction of its own and one message each way. An event loop waits for the
answer: a hand-over to a thread, or a wrapper of a cursor, would cost as much as the rest of a webhook.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence

import psycopg
from psycopg import errors, pq
from psycopg.postgres import types
from psycopg.rows import TupleRow

from wanesync.store.arrays import as_text
from wanesync.store.event_line import MAX_MESSAGE_S, SHARE_COUNTS, STORE_EVENTS
from wanesync.store.queries import Dialect, load_queries
from wanesync.store.session import Row

SETTINGS = (
    f"SET lock_timeout = 500; SET statement_timeout = {MAX_MESSAGE_S * 1000:.0f}; "
    "SET plan_cache_mode = force_generic_plan"
)
"""What waits for a lock any longer is repeated in a transaction, and others do not wait behind it; in ms (our choice).
"""
_PARAMETER = re.compile(r"%\((\w+)\)s")
_UNNEST = re.compile(r" FROM unnest\((.*?)\) AS v\((.*?)\)")
_OK = (pq.ExecStatus.TUPLES_OK, pq.ExecStatus.COMMAND_OK)


def _read_rows_form(name: str, prefix: str) -> str:
    """The text of a query for many rows, its parameters prefixed."""
    form = load_queries(Dialect.POSTGRES)[name].rows_form
    if form is None:
        raise ValueError(f"{name} has no form for many rows")
    return _PARAMETER.sub(rf"%({prefix}\1)s", form.text)


def _compose_store_events() -> str:
    """Compose the statement from the queries that do the same in a transaction, one after the other."""
    events, jobs = _read_rows_form("add_event", "event_"), _read_rows_form("queue_job", "job_")
    head, conflict, tail = events.partition(" ON CONFLICT ")
    events = f"{head} WHERE EXISTS (SELECT FROM allowed){conflict}{tail}"  # nosec B608 - as below
    # Of several new events of a record the best priority counts. In the order of the keys, as everywhere, so that two
    # transactions do not lock the same rows in two orders.
    order = 'p_lane COLLATE "C", p_kind COLLATE "C", p_key COLLATE "C"'
    # Of the condition as a value Postgres makes a look-up in a hash, of a mere condition a loop over all pairs.
    source = (
        rf"(SELECT DISTINCT ON ({order}) w.* FROM unnest(%(cause)s, \1) AS w(p_cause, \2)"  # noqa: S608 - as below
        rf" WHERE (p_cause IN (SELECT key FROM new)) IS TRUE ORDER BY {order}, p_priority)"
    )
    jobs = _UNNEST.sub(rf" FROM {source} AS v", jobs)
    return f"""WITH allowed AS MATERIALIZED (
    SELECT 1 AS yes WHERE %(map)s = '' OR EXISTS (
        SELECT FROM settings WHERE name = 'map_generation' AND value = %(map)s)),
new AS ({events}),
queued AS ({jobs} RETURNING lane, kind, key),
superseded AS (
    UPDATE jobs SET state = 'done', superseded = 1, ended_ms = %(now)s WHERE state = 'dead' AND id = ANY(ARRAY(
        SELECT d.id FROM queued q CROSS JOIN LATERAL (
            SELECT id FROM jobs WHERE lane = q.lane AND kind = q.kind AND key = q.key AND state = 'dead' OFFSET 0) d)))
SELECT (SELECT COUNT(*) FROM allowed), (SELECT COUNT(*) FROM new), (SELECT string_agg(key, ',') FROM new),
    (SELECT pg_notify('wanesync', lanes) FROM (SELECT string_agg(DISTINCT lane, ',') AS lanes FROM queued) AS woken
    WHERE lanes IS NOT NULL)"""  # noqa: S608 - only texts of our own queries


# One snapshot: the sum of what is stored does not hold what this statement adds.
_SHARE_COUNTS = """WITH added AS (
    INSERT INTO source_counts (id, source, at_ms, records)
    SELECT * FROM unnest(%(id)s, %(source)s, %(at_ms)s, %(records)s) RETURNING source, records)
SELECT source, SUM(records) FROM (
    SELECT source, records FROM source_counts WHERE source = ANY(%(source)s) AND at_ms > %(since_ms)s
    UNION ALL SELECT source, records FROM added) AS every GROUP BY source"""

_TEXTS, _NUMBERS, _BYTES = (types[name].array_oid for name in ("text", "int8", "bytea"))
_TYPES = {"map": types["text"].oid, "now": types["int8"].oid, "since_ms": types["int8"].oid}
_NUMBER_COLUMNS = (
    "occurred_ms received_ms is_read is_judged priority due_ms arrived_ms turns is_far at_ms records".split()
)


def _type_of(name: str) -> int:
    column = name.removeprefix("event_").removeprefix("job_")
    if name in _TYPES:
        return _TYPES[name]
    return _NUMBERS if column in _NUMBER_COLUMNS else _BYTES if column == "data" else _TEXTS


class PostgresLine:
    """One connection, with its statements prepared. Raises psycopg.Error; the label names the database in errors."""

    def __init__(self, connection: psycopg.Connection[TupleRow]) -> None:
        self._connection, self._pgconn = connection, connection.pgconn
        self._names: dict[str, tuple[bytes, Sequence[str]]] = {}
        self._results: list[pq.abc.PGresult] = []
        self._only_reads = False
        for name, text in ((STORE_EVENTS, _compose_store_events()), (SHARE_COUNTS, _SHARE_COUNTS)):
            self._prepare(name, text)
        self._pgconn.nonblocking = 1
        # libpq closes its own as soon as the connection is lost, while an event loop still looks at it.
        self._socket: int | None = os.dup(self._pgconn.socket)

    def _prepare(self, name: str, text: str) -> None:
        names = tuple(dict.fromkeys(_PARAMETER.findall(text)))
        numbered = _PARAMETER.sub(lambda found: f"${names.index(found[1]) + 1}", text).replace("%%", "%")
        result = self._pgconn.prepare(name.encode(), numbered.encode(), [_type_of(one) for one in names])
        if result.status not in _OK:
            raise errors.error_from_result(result)
        self._names[name] = name.encode(), names

    def fileno(self) -> int:
        """The socket; -1 once it is closed."""
        return -1 if self._socket is None else self._socket

    def send(self, statement: str, values: Mapping[str, object]) -> bool:
        """Send a statement; whether a part of it is left. An array without an item is one that no value names."""
        name, columns = self._names[statement]
        self._pgconn.send_query_prepared(name, [as_text(values.get(column, [])) for column in columns])
        return self.flush()

    def flush(self) -> bool:
        """Send what is left; whether a part still is."""
        return bool(self._pgconn.flush())

    def receive(self) -> list[Row] | None:
        """Return the rows of the answer as texts, None while it is not there."""
        self._pgconn.consume_input()
        while not self._pgconn.is_busy():
            result = self._pgconn.get_result()
            if result is not None:
                self._results.append(result)
                continue
            results, self._results = self._results, []
            for one in results:
                if one.status not in _OK:
                    error = errors.error_from_result(one)
                    # After a failover, new connections reach the other server.
                    self._only_reads = isinstance(error, errors.ReadOnlySqlTransaction)
                    raise error
            return [row for one in results for row in _read_rows(one)]
        return None

    @property
    def is_usable(self) -> bool:
        """Whether the connection is intact."""
        is_idle = self._pgconn.transaction_status == pq.TransactionStatus.IDLE
        return is_idle and self._pgconn.status == pq.ConnStatus.OK and not self._only_reads

    @property
    def is_closed(self) -> bool:
        """Whether ``close`` was called."""
        return self._socket is None

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()
        if self._socket is not None:
            os.close(self._socket)
            self._socket = None


def _read_rows(result: pq.abc.PGresult) -> list[Row]:
    columns = range(result.nfields)
    return [
        tuple(value.decode() if (value := result.get_value(row, column)) is not None else None for column in columns)
        for row in range(result.ntuples)
    ]
