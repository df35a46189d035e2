"""docs/security.md lists every encrypted column, and every other column is known to hold no value of a person."""

from __future__ import annotations

import re
from pathlib import Path

from wanesync.store.queries import Dialect, load_migrations
from wanesync.store.tables.sealed_rows import SEALED_TABLES

DOCS = (Path(__file__).parents[2] / "docs" / "security.md").read_text(encoding="utf-8")
TEXTS = {
    "settings": {"name", "value"},
    "records": {"side", "id", "survivor", "other_id", "note_code", "note"},
    "emails": {"side", "id", "hmac"},
    "links": {"id", "hubspot_id", "stripe_id", "state", "hubspot_hash", "stripe_hash"},
    "events": {"key", "side", "kind", "record_id", "request_key", "source"},
    "rejected": {"id", "side", "reason"},
    "webhook_counts": {"side", "outcome"},
    "source_counts": {"id", "source"},
    "jobs": {
        "id", "lane", "kind", "key", "state", "token", "owner", "waits_for", "reason", "dead_class", "run_id",
    },
    "processes": {"name", "lanes", "key_ids"},
    "locks": {"key", "token", "owner"},
    "pending_writes": {
        "id", "side", "kind", "link_key", "source_id", "target_id", "idempotency_key", "link_id", "result",
    },
    "open_creates": {"hmac", "write_id"},
    "purchases": {
        "payment_id", "charge_id", "customer_id", "hmac", "sink", "state", "contact_id", "waits_for", "reason",
    },
    "conflicts": {"id", "link_id", "side", "record_id", "field", "kind", "value_hash"},
    "tombstones": {"side", "id", "hmac"},
    "journal": {"id", "kind", "side", "record_id", "link_id", "operator", "via"},
    "pauses": {"name", "reason"},
    "failed_batches": {"place", "process", "reason"},
    "rates": {"scope", "reason"},
    "quota_uses": {"scope", "span"},
    "holds": {"id", "source", "kind", "state"},
    "held_fields": {"link_id", "field", "hold_id", "side"},
    "overwrites": {"source", "link_id"},
    "overwrite_sources": {"source"},
    "admin_users": {"name", "role"},
    "admin_sessions": {"id", "user_name"},
    "admin_tokens": {"id", "name", "role", "hash", "made_by", "owner"},
    "admin_links": {"hash", "user_name"},
    "admin_guesses": {"subject"},
    "alert_states": {"code", "subject", "what", "way_out"},
    "alert_history": {"id", "code", "subject", "what", "way_out"},
    "alert_deliveries": {
        *("id", "kind", "code", "subject", "title", "body", "recipient", "label", "state", "error", "token"),
    },
    "alert_silences": {"id", "code", "subject", "reason", "operator"},
    "alert_claim": {"owner", "digest_day", "heartbeat_error"},
    "alert_reports": {"process", "alarms"},
    "audit_log": {"operator", "via", "action", "subject", "before_state", "after_state", "hash"},
    "audit_head": {"hash"},
    "reconcile_runs": {"id", "state", "process", "facts"},
    "reconcile_items": {"id", "run_id", "kind", "hubspot_id", "stripe_id"},
    "log_lines": {"id", "event", "logger", "process", "side", "record_id", "correlation_id"},
    "figures": {"name", "labels"},
    "samples": {"name"},
    "job_traces": {"lane", "kind", "key", "context"},
    "api_answers": {"id", "request_hash", "answer"},
    "job_attempts": {"job_id", "outcome", "code", "reason"},
    "bulk_runs": {"id", "action", "state", "selection", "operator", "via", "after_id", "owner", "ended_by"},
    "bulk_run_jobs": {"run_id", "job_id", "outcome"},
}  # fmt: skip
"""Table -> its columns of plain text: ids, codes, names of fields, reasons made of codes, keyed hashes.

A column that is added here must hold nothing else: what a person or a vendor typed is encrypted.
"""


def test_every_column_is_encrypted_or_known_to_hold_no_value() -> None:
    statements = [
        match
        for migration in load_migrations(Dialect.SQLITE)
        for statement in migration.statements
        if (match := re.match(r"CREATE TABLE (\w+) \((.*)\)", statement, re.DOTALL))
    ]
    columns = {match[1]: dict(re.findall(r"^\s*(\w+) (TEXT|BLOB)\b", match[2], re.MULTILINE)) for match in statements}
    texts = {table: {name for name, kind in found.items() if kind == "TEXT"} for table, found in columns.items()}
    blobs = {table: {name for name, kind in found.items() if kind == "BLOB"} for table, found in columns.items()}
    assert texts == TEXTS
    assert {table: found for table, found in blobs.items() if found} == {
        table.name: set(table.columns) for table in SEALED_TABLES
    }


def test_the_encrypted_columns_are_documented() -> None:
    rows = re.findall(r"^\| `(\w+)` \| ((?:`\w+`(?:, )?)+) \|", DOCS, re.MULTILINE)
    documented = {table: set(re.findall(r"`(\w+)`", columns)) for table, columns in rows}
    assert documented == {table.name: set(table.columns) for table in SEALED_TABLES}
